//! What is in a set, in one table.

use crate::{
    dataset::{ContentHash, Dataset, Reading},
    error::DataError,
};
use std::fmt;

/// Items of an infinite set that are looked at.
const SAMPLE: u64 = 10_000;

/// Values that are looked at in a finite set at most.
const MOST: u64 = 1 << 30;

/// Classes that are printed one a line; of more, only what sets them apart.
const LISTED: usize = 40;

/// Skipped files that are printed.
const SKIPPED: usize = 20;

/// Items converted at a time.
const CHUNK: u64 = 256;

/// The figures of a set. Values are those a network sees: images in [-1, 1], points divided by their scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// What the set was opened from.
    pub spec: String,
    /// Items in it; `None` when it never ends.
    pub count: Option<u64>,
    /// Items that the figures of the values were computed from.
    pub examined: u64,
    /// The shape of an item.
    pub shape: Vec<usize>,
    /// Each class with its number of items (of an endless set: of the examined ones); `None` without labels.
    pub classes: Option<Vec<(String, u64)>>,
    /// The smallest and the largest value.
    pub range: (f32, f32),
    /// The mean of all values.
    pub mean: f64,
    /// The standard deviation of all values.
    pub deviation: f64,
    /// Values that are NaN or infinite; they are left out of the other figures.
    pub non_finite: u64,
    /// The factor from values to original units.
    pub scale: f64,
    /// Bytes of memory that the items take.
    pub held_bytes: u64,
    /// What reading its files met with.
    pub reading: Reading,
    /// What identifies the set.
    pub hash: ContentHash,
}

/// Looks at every item of a finite set (of one with more than 2^30 values: at evenly spaced ones), or at the first
/// 10,000 of an infinite one.
///
/// # Errors
/// Those of [`Dataset::fill`].
pub fn inspect(set: &Dataset) -> Result<Summary, DataError> {
    let most = (MOST / set.elements().max(1) as u64).max(1);
    let examined = set.len().map_or(SAMPLE, |count| count.min(most));
    let place = |i: u64| match set.len() {
        Some(count) => (u128::from(i) * u128::from(count) / u128::from(examined)) as u64,
        None => i,
    };
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    let (mut sum, mut square, mut finite, mut non_finite) = (0.0_f64, 0.0_f64, 0_u64, 0_u64);
    let mut start = 0;
    while start < examined {
        let indices: Vec<u64> = (start..examined.min(start + CHUNK)).map(place).collect();
        let mut data = vec![0.0; indices.len() * set.elements()];
        set.fill(&indices, &mut data, None)?;
        for &value in &data {
            if !value.is_finite() {
                non_finite += 1;
                continue;
            }
            (low, high) = (low.min(value), high.max(value));
            sum += f64::from(value);
            square += f64::from(value) * f64::from(value);
            finite += 1;
        }
        start += CHUNK;
    }
    let classes = set.classes().map(|names| count_classes(set, names)).transpose()?;
    let n = finite.max(1) as f64;
    let mean = sum / n;
    Ok(Summary {
        spec: set.spec().to_owned(),
        count: set.len(),
        examined,
        shape: set.shape().to_vec(),
        classes,
        range: if finite == 0 { (f32::NAN, f32::NAN) } else { (low, high) },
        mean,
        // Values are of order 1 and the sums are in f64: the cancellation costs no digit that is printed.
        deviation: (square / n - mean * mean).max(0.0).sqrt(),
        non_finite,
        scale: set.scale(),
        held_bytes: set.held_bytes(),
        reading: set.reading().clone(),
        hash: set.hash(),
    })
}

fn count_classes(set: &Dataset, names: &[String]) -> Result<Vec<(String, u64)>, DataError> {
    let labels = match set.len() {
        Some(_) => set.labels_of_all()?,
        None => set.labels(&(0..SAMPLE).collect::<Vec<_>>())?,
    };
    let mut counts = vec![0; names.len()];
    // A label outside the classes would be the source's fault; it is not counted rather than trusted.
    for count in labels.into_iter().filter_map(|label| usize::try_from(label).ok()) {
        if let Some(count) = counts.get_mut(count) {
            *count += 1;
        }
    }
    Ok(names.iter().cloned().zip(counts).collect())
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = self.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
        writeln!(f, "{}", self.spec)?;
        match self.count {
            Some(count) if self.examined < count => {
                writeln!(f, "  items     {count} of {shape}; values from {} of them", self.examined)?;
            }
            Some(count) => writeln!(f, "  items     {count} of {shape}")?,
            None => writeln!(f, "  items     endless, of {shape}; figures from the first {}", self.examined)?,
        }
        let (low, high) = self.range;
        writeln!(
            f,
            "  values    {low:.4} to {high:.4}, mean {:.4}, deviation {:.4}",
            self.mean, self.deviation
        )?;
        if self.scale != 1.0 {
            writeln!(f, "  units     one value is {:.6} original units", self.scale)?;
        }
        if self.non_finite > 0 {
            writeln!(f, "  warning   {} values are not finite", self.non_finite)?;
        }
        if self.held_bytes > 0 {
            writeln!(f, "  memory    {:.1} MB", self.held_bytes as f64 / 1e6)?;
        }
        for (i, (what, count)) in self.reading.counts.iter().enumerate() {
            writeln!(f, "  {:<8}  {count:>8}  {what}", if i == 0 { "read" } else { "" })?;
        }
        let skipped = &self.reading.skipped;
        if !skipped.is_empty() {
            writeln!(f, "  skipped   {:>8}  that cannot be read:", skipped.len())?;
            for (path, reason) in skipped.iter().take(SKIPPED) {
                writeln!(f, "    {}: {reason}", path.display())?;
            }
            if skipped.len() > SKIPPED {
                writeln!(f, "    and {} more", skipped.len() - SKIPPED)?;
            }
        }
        match &self.classes {
            None => writeln!(f, "  labels    none")?,
            Some(classes) if classes.len() > LISTED => {
                let counts = || classes.iter().map(|(_, count)| *count);
                let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
                let empty = counts().filter(|&count| count == 0).count();
                let names = (&classes[0].0, &classes[classes.len() - 1].0);
                writeln!(
                    f,
                    "  labels    {} classes, {} to {}, with {least} to {most} items each, {empty} of them without any",
                    classes.len(),
                    names.0,
                    names.1
                )?;
            }
            Some(classes) => {
                writeln!(f, "  labels    {} classes", classes.len())?;
                let most = classes.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
                let width = classes.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
                for (name, count) in classes {
                    let bar = "#".repeat((count * 30 / most) as usize);
                    let note = if *count == 0 { "no items" } else { "" };
                    writeln!(f, "    {name:>width$}  {count:>8}  {bar}{note}")?;
                }
            }
        }
        write!(f, "  hash      {}", self.hash)
    }
}
