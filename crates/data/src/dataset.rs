//! A set of items addressed by index: images or points, finite or infinite, with labels or without.

use crate::{error::DataError, mixture::MixtureSpec};
use std::{fmt, path::PathBuf};

/// The BLAKE3 hash that identifies a set in run folders.
///
/// Finite sets: of shape, item bytes and labels. Infinite sets: of their parameters and version, that is, of the
/// law; the seed that chose the draw is kept beside it by whoever opened the set.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

/// Where the items of a [`Dataset`] come from.
///
/// [`Dataset::fill`] checks indices and buffer sizes before it calls, so an implementation can rely on them.
pub trait Items: Send + Sync {
    /// The number of items, or `None` when every `u64` is an index.
    fn count(&self) -> Option<u64>;

    /// Bytes of memory that the items take as long as the set is open.
    fn held_bytes(&self) -> u64;

    /// Writes item `indices[i]` to `out[i * elements..][..elements]` and its class to `labels[i]`. Must be a pure
    /// function of the indices.
    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>);

    /// Writes the class of item `indices[i]` to `labels[i]` without drawing items; `false` where that cannot be done.
    fn labels(&self, _indices: &[u64], _labels: &mut [i32]) -> bool {
        false
    }

    /// A copy of some items alone, in that order, where keeping all in memory is worth avoiding.
    fn select(&self, _indices: &[u64]) -> Option<Box<dyn Items>> {
        None
    }
}

/// What reading the files of a set met with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What was read or converted, in words, and how often.
    pub counts: Vec<(String, u64)>,
    /// Files that were left out because they could not be read, as was asked for, each with the reason.
    pub skipped: Vec<(PathBuf, String)>,
}

/// A set of items, opened and checked.
pub struct Dataset {
    spec: String,
    shape: Vec<usize>,
    classes: Option<Vec<String>>,
    channel_classes: Option<usize>,
    mixture: Option<MixtureSpec>,
    hash: ContentHash,
    reading: Reading,
    items: Box<dyn Items>,
}

/// Items that labels are drawn with at a time where a set cannot give them alone.
const CHUNK: usize = 256;

impl Dataset {
    /// A set of unlabelled items of `shape` (images: `[height, width, channels]` in [-1, 1]; points: `[2]`).
    pub fn new(spec: impl Into<String>, shape: &[usize], hash: ContentHash, items: Box<dyn Items>) -> Self {
        let (spec, shape, reading) = (spec.into(), shape.to_vec(), Reading::default());
        Self { spec, shape, classes: None, channel_classes: None, mixture: None, hash, reading, items }
    }

    /// The same set with labels: label `k` means `names[k]`.
    pub fn with_classes(mut self, names: Vec<String>) -> Self {
        self.classes = Some(names);
        self
    }

    /// The same set, whose three channels are images of their own with so many classes n each: labels are all triples,
    /// (a n + b) n + c.
    pub fn with_channel_classes(mut self, classes: usize) -> Self {
        self.channel_classes = Some(classes);
        self
    }

    /// The same set, known to be drawn from `mixture` (given in original units).
    pub fn with_mixture(mut self, mixture: MixtureSpec) -> Self {
        self.mixture = Some(mixture);
        self
    }

    /// The same set, with what reading it met with.
    pub fn with_reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// A part of the set: `wrap` makes its items of all, and `classes` are those of the set that are kept, ascending.
    pub(crate) fn part(
        self,
        spec: &str,
        hash: ContentHash,
        classes: Option<Vec<usize>>,
        wrap: impl FnOnce(Box<dyn Items>) -> Box<dyn Items>,
    ) -> Self {
        let kept = |names: Vec<String>| match &classes {
            Some(numbers) => numbers.iter().map(|&number| names[number].clone()).collect(),
            None => names,
        };
        // Renumbered labels no longer say what the channels hold.
        let all = self.classes.as_ref().map(Vec::len);
        let whole = classes.as_ref().is_none_or(|numbers| Some(numbers.len()) == all);
        let channel_classes = self.channel_classes.filter(|_| whole);
        let (classes, items) = (self.classes.map(kept), wrap(self.items));
        Self { spec: spec.to_owned(), classes, channel_classes, hash, items, ..self }
    }

    /// What it was opened from.
    pub fn spec(&self) -> &str {
        &self.spec
    }

    /// The shape of one item: `[height, width, channels]` or `[2]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements of one item.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The number of items; `None` for a set that never ends.
    pub fn len(&self) -> Option<u64> {
        self.items.count()
    }

    /// Whether a finite set has no items.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Bytes of memory that its items take; sets that are drawn take next to none.
    pub fn held_bytes(&self) -> u64 {
        self.items.held_bytes()
    }

    /// The class names, when the set is labelled.
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// Classes of each channel, where the channels are images of their own and labels all triples of their classes.
    pub fn channel_classes(&self) -> Option<usize> {
        self.channel_classes
    }

    /// What reading its files met with.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// What identifies this set in a run folder.
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// The mixture that points are drawn from, in original units.
    pub fn mixture(&self) -> Option<&MixtureSpec> {
        self.mixture.as_ref()
    }

    /// The factor from items back to original units: `original = item * scale`. 1 for images.
    pub fn scale(&self) -> f64 {
        self.mixture.as_ref().map_or(1.0, MixtureSpec::scale)
    }

    /// Writes item `indices[i]` to `out[i * elements..][..elements]` and its class to `labels[i]`.
    ///
    /// # Errors
    /// An index outside a finite set, a buffer of another size, labels asked of a set without.
    pub fn fill(
        &self,
        indices: &[u64],
        out: &mut [f32],
        labels: Option<&mut [i32]>,
    ) -> Result<(), DataError> {
        self.check_indices(indices)?;
        self.check_buffer("data", indices.len() * self.elements(), out.len())?;
        if let Some(labels) = &labels {
            self.check_buffer("label", indices.len(), labels.len())?;
            if self.classes.is_none() {
                return Err(DataError::Unlabelled { spec: self.spec.clone() });
            }
        }
        self.items.fill(indices, out, labels);
        Ok(())
    }

    /// The classes of items.
    ///
    /// # Errors
    /// An index outside a finite set, a set without labels.
    pub fn labels(&self, indices: &[u64]) -> Result<Vec<i32>, DataError> {
        self.check_indices(indices)?;
        if self.classes.is_none() {
            return Err(DataError::Unlabelled { spec: self.spec.clone() });
        }
        let mut labels = vec![0; indices.len()];
        if self.items.labels(indices, &mut labels) {
            return Ok(labels);
        }
        let mut data = vec![0.0; CHUNK.min(indices.len()) * self.elements()];
        for (indices, labels) in indices.chunks(CHUNK).zip(labels.chunks_mut(CHUNK)) {
            self.items.fill(indices, &mut data[..indices.len() * self.elements()], Some(labels));
        }
        Ok(labels)
    }

    /// The class of each item of a finite set.
    ///
    /// # Errors
    /// Those of [`Dataset::labels`]; a set without end.
    pub fn labels_of_all(&self) -> Result<Vec<i32>, DataError> {
        let items = self.len().ok_or_else(|| DataError::Endless { spec: self.spec.clone() })?;
        self.labels(&(0..items).collect::<Vec<_>>())
    }

    fn check_indices(&self, indices: &[u64]) -> Result<(), DataError> {
        match self.len() {
            Some(items) => match indices.iter().find(|&&index| index >= items) {
                Some(&index) => Err(DataError::Index { spec: self.spec.clone(), index, items }),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    fn check_buffer(&self, what: &'static str, expected: usize, got: usize) -> Result<(), DataError> {
        if expected == got {
            return Ok(());
        }
        Err(DataError::Buffer { spec: self.spec.clone(), what, expected, got })
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset")
            .field("spec", &self.spec)
            .field("shape", &self.shape)
            .field("len", &self.len())
            .field("classes", &self.classes.as_ref().map(Vec::len))
            .field("hash", &self.hash)
            .finish_non_exhaustive()
    }
}
