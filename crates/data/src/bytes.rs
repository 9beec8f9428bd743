//! Images kept as bytes, with or without labels: what every file format here becomes.

use crate::{
    dataset::{ContentHash, Items},
    error::DataError,
};
use std::path::Path;

/// The most bytes of pixels that a set keeps in memory: 8 GiB.
pub(crate) const MAX_HELD: u64 = 1 << 33;

/// The value of a byte: 0 becomes -1, 255 becomes 1.
pub(crate) fn value(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}

/// Images of one shape, of which a sample has the [`value`] of each byte.
pub(crate) struct ByteImages {
    /// Bytes of one image.
    pub elements: usize,
    /// `[items, elements]`.
    pub pixels: Vec<u8>,
    /// `[items]`.
    pub labels: Option<Vec<u16>>,
}

impl ByteImages {
    /// The hash of shape, pixels and labels. `kind` keeps sets of different layout apart.
    pub fn hash(&self, kind: &str, shape: [usize; 3]) -> ContentHash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(kind.as_bytes());
        shape.iter().for_each(|&dim| _ = hasher.update(&(dim as u64).to_le_bytes()));
        hasher.update(&self.pixels);
        if let Some(labels) = &self.labels {
            hasher.update(b"labels");
            labels.iter().for_each(|label| _ = hasher.update(&label.to_le_bytes()));
        }
        ContentHash(hasher.finalize().into())
    }
}

impl Items for ByteImages {
    fn count(&self) -> Option<u64> {
        Some((self.pixels.len() / self.elements) as u64)
    }

    fn held_bytes(&self) -> u64 {
        (self.pixels.len() + self.labels.as_ref().map_or(0, |labels| labels.len() * size_of::<u16>())) as u64
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        for (&index, item) in indices.iter().zip(out.chunks_exact_mut(self.elements)) {
            let pixels = &self.pixels[index as usize * self.elements..][..self.elements];
            for (out, &pixel) in item.iter_mut().zip(pixels) {
                *out = value(pixel);
            }
        }
        if let Some(labels) = labels {
            self.labels(indices, labels);
        }
    }

    fn labels(&self, indices: &[u64], labels: &mut [i32]) -> bool {
        let Some(known) = &self.labels else { return false };
        for (label, &index) in labels.iter_mut().zip(indices) {
            *label = i32::from(known[index as usize]);
        }
        true
    }

    fn select(&self, indices: &[u64]) -> Option<Box<dyn Items>> {
        let mut pixels = Vec::with_capacity(indices.len() * self.elements);
        for &index in indices {
            pixels.extend_from_slice(&self.pixels[index as usize * self.elements..][..self.elements]);
        }
        let labels = self.labels.as_ref().map(|known| indices.iter().map(|&i| known[i as usize]).collect());
        Some(Box::new(Self { elements: self.elements, pixels, labels }))
    }
}

/// Refuses more pixels than memory is given to.
pub(crate) fn check_held(path: &Path, count: u64, shape: [usize; 3], advice: &str) -> Result<(), DataError> {
    let bytes = shape.iter().try_fold(count, |product, &side| product.checked_mul(side as u64));
    if bytes.is_some_and(|bytes| bytes <= MAX_HELD) {
        return Ok(());
    }
    let gigabytes = |bytes: f64| bytes / 1e9;
    Err(DataError::TooMuch {
        path: path.to_owned(),
        what: format!("{count} images of {} x {} x {}", shape[0], shape[1], shape[2]),
        need: gigabytes(shape.iter().fold(count as f64, |product, &side| product * side as f64)),
        most: gigabytes(MAX_HELD as f64),
        advice: advice.to_owned(),
    })
}
