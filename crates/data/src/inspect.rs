//! What is in a set, in one table.

use crate::{
    dataset::{ContentHash, Dataset},
    error::DataError,
};
use std::fmt;

/// Items of an infinite set that are looked at.
const SAMPLE: u64 = 10_000;

/// Items converted at a time.
const CHUNK: u64 = 256;

/// The figures of a set. Values are those a network sees: images in [-1, 1], points divided by their scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// What the set was opened from.
    pub spec: String,
    /// Items in it; `None` when it never ends.
    pub count: Option<u64>,
    /// Items that the figures below were computed from.
    pub examined: u64,
    /// The shape of an item.
    pub shape: Vec<usize>,
    /// Each class with its number of examined items; `None` without labels.
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
    /// What identifies the set.
    pub hash: ContentHash,
}

/// Looks at every item of a finite set, or at the first 10,000 of an infinite one.
///
/// # Errors
/// Those of [`Dataset::fill`].
pub fn inspect(set: &Dataset) -> Result<Summary, DataError> {
    let examined = set.len().unwrap_or(SAMPLE);
    let mut counts = set.classes().map(|names| vec![0_u64; names.len()]);
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    let (mut sum, mut square, mut finite, mut non_finite) = (0.0_f64, 0.0_f64, 0_u64, 0_u64);
    let mut start = 0;
    while start < examined {
        let indices: Vec<u64> = (start..examined.min(start + CHUNK)).collect();
        let mut data = vec![0.0; indices.len() * set.elements()];
        let mut labels = vec![0; indices.len()];
        set.fill(&indices, &mut data, counts.is_some().then_some(&mut labels[..]))?;
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
        for counts in counts.iter_mut() {
            // A label outside the classes would be the source's fault; it is not counted rather than trusted.
            labels.iter().filter_map(|&l| usize::try_from(l).ok()).for_each(|l| {
                if let Some(count) = counts.get_mut(l) {
                    *count += 1;
                }
            });
        }
        start += CHUNK;
    }
    let n = finite.max(1) as f64;
    let mean = sum / n;
    let classes =
        set.classes().zip(counts).map(|(names, counts)| names.iter().cloned().zip(counts).collect());
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
        hash: set.hash(),
    })
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = self.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
        writeln!(f, "{}", self.spec)?;
        match self.count {
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
        match &self.classes {
            None => writeln!(f, "  labels    none")?,
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
