//! The held-out part of a set, with its classes numbered as in the part that is trained on.

use crate::error::Error;
use crate::extractors::renumbered;
use ganymede_data::{DataError, Dataset, OpenOptions, Split, open};
use std::collections::HashMap;
use std::sync::Arc;

/// Names that an error lists.
const LISTED: usize = 20;

fn listed(names: &[String]) -> String {
    let more = if names.len() > LISTED { ", .." } else { "" };
    format!("{}{more}", names[..names.len().min(LISTED)].join(", "))
}

/// What there is of a held-out part.
pub enum Found {
    /// The part.
    Part(Arc<Dataset>),
    /// No such part.
    Nothing(DataError),
    /// A part that the parameters of the specification leave nothing of.
    NothingOf(DataError),
}

/// Opens the held-out part of what `train` was opened from, in the shape of its samples.
///
/// # Errors
/// The part is there and cannot be read.
pub fn find(data: &str, train: &Dataset) -> Result<Found, Error> {
    let options = OpenOptions { split: Split::Test, ..OpenOptions::default() };
    match open(data, &options.for_shape(train.shape())) {
        // A file named itself is the same for either part, and so nothing is held out.
        Ok(test) if test.len().is_some() && test.hash() == train.hash() => {
            Ok(Found::Nothing(DataError::Missing {
                path: data.into(),
                looked_for:
                    "a part that is held out, and found the same samples: name a folder with both parts"
                        .into(),
                nearest: None,
            }))
        }
        Ok(test) => Ok(Found::Part(Arc::new(test))),
        Err(error @ DataError::Missing { .. }) => Ok(Found::Nothing(error)),
        // The part to train on was opened with the same words, so that it is this part that has no such classes, or not
        // as many items.
        Err(error @ (DataError::Subset { .. } | DataError::BadParameter { .. })) => {
            Ok(Found::NothingOf(error))
        }
        Err(error) => Err(Error::Refused(format!(
            "the held-out part of {data}: {error} (the part to train on can be read; without any held-out part, scores that \
             need none are computed)"
        ))),
    }
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

/// The held-out part of the set that `train` is the other part of, its classes numbered as there; nothing where the set has
/// one part alone.
///
/// # Errors
/// There is such a part, but it cannot be read, or is not like `train`.
pub fn held_out_part(train: &Dataset) -> Result<Option<Arc<Dataset>>, Error> {
    match find(train.spec(), train)? {
        Found::Part(test) => like(train, test).map(Some),
        Found::Nothing(_) => Ok(None),
        Found::NothingOf(error) => {
            Err(Error::Refused(format!("the held-out part of {}: {error}", train.spec())))
        }
    }
}
