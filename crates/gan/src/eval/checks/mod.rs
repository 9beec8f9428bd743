//! What is wrong with samples: checks that each give a number, a threshold with its reason, and a sentence. A check is one
//! file and one line in [`CHECKS`].

mod collapse;
mod conditioning;
mod duplicates;
mod memorization;
mod overfitting;
mod views;

use super::collect::Collected;
use super::report::Unchecked;
use super::source::SampleSource;
use crate::error::Error;
use crate::extractors::{AskedOf, Watch};
use ganymede_data::Dataset;
use serde::Serialize;
use std::sync::Arc;

pub(crate) use collapse::SCALES;
pub use memorization::Pair;
pub(crate) use overfitting::{FEWEST, Verdict};
pub(crate) use views::Rough;

/// Generated samples that are looked at one by one.
pub(super) const LOOKED_AT: usize = 4_000;
/// Most bytes of samples that are held at once, as values.
const MOST_BYTES: usize = 256 << 20;

/// So many samples of a size, or as many as are held at once, but one at least.
pub(super) fn held(samples: usize, size: usize) -> usize {
    samples.min(MOST_BYTES / (size_of::<f32>() * size)).max(1)
}

/// Probability of an alarm where nothing is wrong, for each test: 20 reports of ten tests each raise a false one once in
/// five hundred times.
pub(super) const LEVEL: f64 = 1e-5;

/// Which side of its threshold a figure is at fault on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Above it.
    Above,
    /// Below it.
    Below,
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The check.
    pub check: &'static str,
    /// What was measured.
    pub name: &'static str,
    /// The figure.
    pub value: f64,
    /// Where a fault begins.
    pub threshold: f64,
    /// On which side of it.
    pub fault: Fault,
    /// Why there.
    pub reason: &'static str,
    /// Whether there is a fault.
    pub flagged: bool,
    /// What it means, in a sentence.
    pub sentence: String,
    /// Probability of a figure this bad where nothing is wrong, where the check is a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// Further figures.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

/// What checks look at.
pub struct Evidence<'a> {
    /// Generated samples as seen, the first of them as they are.
    pub generated: &'a Collected,
    /// Real samples as seen.
    pub real: &'a Collected,
    /// Whether the real samples are of the part that a generator learnt from.
    pub of_training: bool,
    /// Classes that the extractor tells apart, and how many parts of a sample it classifies.
    pub classes: Option<(usize, usize)>,
    /// The share of real samples that the extractor classifies rightly, and of which.
    pub accuracy: Option<(f64, AskedOf)>,
    /// Real samples that a generator learnt from.
    pub train: &'a Arc<Dataset>,
    /// Real samples that it did not.
    pub test: Option<&'a Arc<Dataset>>,
    /// Where the samples come from, with the discriminator that was trained beside.
    pub source: &'a mut dyn SampleSource,
    /// The seed of choices.
    pub seed: u64,
    /// Told of progress.
    pub watch: &'a mut dyn Watch,
    /// Generated samples beside the training samples that they are nearest to, the most striking first.
    pub pairs: &'a mut Vec<Pair>,
    /// Parts of a check that cannot be made, and why.
    pub unchecked: &'a mut Vec<Unchecked>,
}

impl Evidence<'_> {
    /// The data that the samples' generator was trained on, where it says so and these are others.
    fn trained_elsewhere(&self) -> Option<String> {
        let own = self.source.info().trained_on?;
        (own.data_hash != self.train.hash().to_string()).then_some(own.data)
    }
}

/// A check by name.
pub trait Check: Sync {
    /// Its name in reports.
    fn name(&self) -> &'static str;
    /// A sentence on what it looks for.
    fn about(&self) -> &'static str;
    /// Authors, year and place in the paper.
    fn paper(&self) -> &'static str;
    /// Looks.
    ///
    /// # Errors
    /// [`Error::Unsuited`] with the reason where these samples cannot be checked; the data's and executor's own.
    fn check(&self, evidence: &mut Evidence<'_>) -> Result<Vec<Finding>, Error>;
}

/// Every check.
pub const CHECKS: &[&dyn Check] = &[
    &memorization::Memorization,
    &duplicates::Duplicates,
    &collapse::Collapse,
    &conditioning::Conditioning,
    &overfitting::Overfitting,
];

/// Items of a set at equal distances, at most so many, with their classes if it has any.
pub(crate) fn spaced(set: &Dataset, most: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
    let all = set.len().unwrap_or(most as u64);
    let count = all.min(most as u64);
    let indices: Vec<u64> =
        (0..count).map(|i| (u128::from(i) * u128::from(all) / u128::from(count)) as u64).collect();
    let mut samples = vec![0.0; indices.len() * set.elements()];
    let mut labels = set.classes().is_some().then(|| vec![0; indices.len()]);
    set.fill(&indices, &mut samples, labels.as_deref_mut())?;
    super::collect::quantize(&mut samples, set.shape());
    Ok((samples, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sound() {
        let mut names = std::collections::HashSet::new();
        for check in CHECKS {
            assert!(names.insert(check.name()), "two checks are named {}", check.name());
            assert!(check.about().len() > 40 && check.about().ends_with('.'), "{}", check.name());
            assert!(check.paper().contains("20"), "{}", check.name());
        }
    }
}
