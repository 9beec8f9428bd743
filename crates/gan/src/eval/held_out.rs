//! The held-out part of a set, with its classes numbered as in the part that is trained on.

use crate::error::Error;
use crate::extractors::renumbered;
use ganymede_data::Dataset;
use std::collections::HashMap;
use std::sync::Arc;

/// Names that an error lists.
const LISTED: usize = 20;

fn listed(names: &[String]) -> String {
    let more = if names.len() > LISTED { ", .." } else { "" };
    format!("{}{more}", names[..names.len().min(LISTED)].join(", "))
}

/// The held-out part with the labels of the training part. Each part numbers the classes that it has itself, so that only
/// their names say which are the same.
///
/// # Errors
/// Classes that the training part lacks, or samples of another shape.
pub fn like(train: &Dataset, test: Arc<Dataset>) -> Result<Arc<Dataset>, Error> {
    if test.shape() != train.shape() {
        return Err(Error::Refused(format!(
            "the held-out part of {} has samples of shape {:?}, the part to train on {:?}: give both the same size",
            train.spec(),
            test.shape(),
            train.shape()
        )));
    }
    let (Some(known), Some(names)) = (train.classes(), test.classes()) else { return Ok(test) };
    if known == names {
        return Ok(test);
    }
    let numbers: HashMap<&String, i32> = known.iter().zip(0..).collect();
    let (mut to, mut unknown) = (Vec::with_capacity(names.len()), Vec::new());
    for name in names {
        match numbers.get(name) {
            Some(&number) => to.push(number),
            None => unknown.push(name.clone()),
        }
    }
    if !unknown.is_empty() {
        return Err(Error::Refused(format!(
            "the held-out part of {} has classes that the part to train on lacks: {}. It has {}; to train on there are {}. \
             Name the same classes alike in both parts, and take away what is in the held-out one alone",
            train.spec(),
            listed(&unknown),
            listed(names),
            listed(known)
        )));
    }
    Ok(Arc::new(renumbered(&test, to, known)))
}
