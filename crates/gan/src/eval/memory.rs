//! Samples kept as a set of their own, for a classifier to learn from.

use super::collect::{check_available, take};
use super::source::SampleSource;
use crate::error::Error;
use crate::extractors::Watch;
use crate::picture::byte;
use ganymede_data::{ContentHash, Dataset, Items};

/// Images as bytes with their classes.
struct Kept {
    size: usize,
    bytes: Vec<u8>,
    labels: Vec<i32>,
}

impl Items for Kept {
    fn count(&self) -> Option<u64> {
        Some(self.labels.len() as u64)
    }

    fn held_bytes(&self) -> u64 {
        (self.bytes.len() + self.labels.len() * size_of::<i32>()) as u64
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        for (&index, item) in indices.iter().zip(out.chunks_exact_mut(self.size)) {
            let bytes = &self.bytes[index as usize * self.size..][..self.size];
            item.iter_mut().zip(bytes).for_each(|(value, &b)| *value = f32::from(b) / 127.5 - 1.0);
        }
        for (label, &index) in labels.into_iter().flatten().zip(indices) {
            *label = self.labels[index as usize];
        }
    }
}

/// The first `count` images of a labelled source as a set with these classes.
///
/// # Errors
/// As for taking them; a source that does not know its classes.
pub fn kept(
    source: &mut dyn SampleSource,
    count: usize,
    classes: &[String],
    watch: &mut dyn Watch,
) -> Result<Dataset, Error> {
    const CHUNK: usize = 1024;
    check_available(source, count)?;
    let shape = source.shape().to_vec();
    let (mut bytes, mut labels) = (Vec::new(), Vec::new());
    let path = source.info().path;
    for first in (0..count).step_by(CHUNK) {
        let (samples, of_classes) = take(source, first, CHUNK.min(count - first))?;
        bytes.extend(samples.iter().map(|&value| byte(value)));
        labels.extend(
            of_classes.ok_or_else(|| Error::Refused(format!("{path}: its samples have no classes")))?,
        );
        watch.moved("drawing samples of each class", labels.len() as u64, count as u64);
    }
    let hash = ContentHash(blake3::hash(&bytes).into());
    let items = Kept { size: shape.iter().product(), bytes, labels };
    let set = Dataset::new(format!("samples of {path}"), &shape, hash, Box::new(items));
    Ok(set.with_classes(classes.to_vec()))
}
