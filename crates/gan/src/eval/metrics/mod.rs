//! Metrics of generated samples: one file and one line in [`METRICS`] each. Their mathematics are in `ganymede-metrics`.

mod accuracy;
mod classes;
mod density_coverage;
mod frechet;
mod kid;
mod mixture;
mod modes;
mod precision_recall;

use super::collect::Collected;
use super::report::{Better, Score};
use super::source::SampleSource;
use crate::error::Error;
use crate::extractors::{Extractor, Watch};
use ganymede_cpu::Executor;
use ganymede_data::Dataset;
use std::sync::Arc;

/// What is scored, as far as it decides which metrics suit it.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Shape of a sample.
    pub shape: Vec<usize>,
    /// Whether the data are labelled.
    pub labelled: bool,
    /// Whether the data are stacked digits.
    pub stacked: bool,
    /// Whether the law of the data is a known mixture.
    pub mixture: bool,
    /// Whether the class of each generated sample is known.
    pub generated_labels: bool,
    /// Whether a part of the data is held out.
    pub held_out: bool,
    /// Why no held-out sample can be asked of its class, beyond there being none.
    pub unasked: Option<String>,
    /// The data as given.
    pub spec: String,
}

impl Subject {
    /// Whether samples are images.
    pub fn images(&self) -> bool {
        self.shape.len() == 3
    }
}

/// What a metric computes from.
pub struct Context<'a> {
    /// Real samples as seen, for metrics that compare.
    pub real: Option<&'a Collected>,
    /// Generated ones.
    pub generated: Option<&'a Collected>,
    /// Where further generated samples come from.
    pub source: &'a mut dyn SampleSource,
    /// Real samples that may be learnt from.
    pub train: &'a Arc<Dataset>,
    /// Real samples held out.
    pub test: Option<&'a Arc<Dataset>>,
    /// What samples are seen through.
    pub extractor: Option<&'a mut (dyn Extractor + 'static)>,
    /// What further networks compute on.
    pub executor: &'a Arc<Executor>,
    /// Samples asked for.
    pub n: Option<usize>,
    /// The seed asked for.
    pub seed: u64,
    /// Whether this is one of many parts of the samples, drawn to tell how far a figure may be off: intervals of its own are
    /// left out, and means over subsets taken over a few.
    pub resampled: bool,
    /// Told of progress.
    pub watch: &'a mut dyn Watch,
}

impl<'a> Context<'a> {
    /// Both sides as seen.
    fn both(&self) -> Result<(&'a Collected, &'a Collected), Error> {
        match (self.real, self.generated) {
            (Some(real), Some(generated)) => Ok((real, generated)),
            (None, _) | (_, None) => Err(Error::Refused("no samples were looked at to compare".into())),
        }
    }

    /// A figure's name with what the samples were seen through.
    fn named(&self, what: &str) -> String {
        match &self.extractor {
            Some(extractor) => format!("{what} ({})", extractor.name()),
            None => what.into(),
        }
    }
}

/// A metric by name.
pub trait Metric: Sync {
    /// As `--metrics` names it.
    fn name(&self) -> &'static str;
    /// A sentence for people choosing.
    fn about(&self) -> &'static str;
    /// Authors, year and place in the paper.
    fn paper(&self) -> &'static str;
    /// Which way its first figure is better.
    fn better(&self) -> Better;
    /// Whether it sees samples through an extractor.
    fn looks(&self) -> bool {
        true
    }
    /// Whether it compares features of real and generated samples.
    fn compares(&self) -> bool {
        true
    }
    /// Why it does not suit the samples, if it does not.
    ///
    /// # Errors
    /// The reason, and what to do.
    fn suits(&self, _subject: &Subject) -> Result<(), String> {
        Ok(())
    }
    /// Its figures, the most telling first.
    ///
    /// # Errors
    /// [`Error::Metric`] or [`Error::Unsuited`] where these samples have no such figure.
    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error>;
}

/// Every metric.
pub const METRICS: &[&dyn Metric] = &[
    &frechet::Frechet,
    &kid::Kid,
    &precision_recall::PrecisionRecall,
    &density_coverage::DensityCoverage,
    &classes::Classes,
    &modes::Modes,
    &mixture::Mixture,
    &accuracy::Accuracy,
];

/// The metric of that name.
pub fn find(name: &str) -> Option<&'static dyn Metric> {
    METRICS.iter().copied().find(|metric| metric.name() == name)
}

/// Metrics on features are for samples that no better score is known of.
fn suits_features(subject: &Subject) -> Result<(), String> {
    if subject.mixture {
        return Err(format!("{} is a known mixture, which `mixture` compares with directly", subject.spec));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sound() {
        let mut names = std::collections::HashSet::new();
        for metric in METRICS {
            assert!(names.insert(metric.name()), "two metrics are named {}", metric.name());
            assert!(metric.about().len() > 30 && metric.about().ends_with('.'), "{}", metric.name());
            assert!(metric.paper().contains("20"), "{}", metric.name());
            assert!(metric.looks() || !metric.compares(), "{} compares what nobody looked at", metric.name());
        }
        // Each suits something and, but for those on features of any kind, is refused somewhere with a reason.
        let images = Subject { shape: vec![28, 28, 1], ..Subject::default() };
        let labelled = Subject { labelled: true, generated_labels: true, held_out: true, ..images.clone() };
        let stacked = Subject { stacked: true, ..labelled.clone() };
        let points = Subject { shape: vec![2], mixture: true, ..Subject::default() };
        for metric in METRICS {
            let all = [&images, &labelled, &stacked, &points].map(|subject| metric.suits(subject));
            assert!(all.iter().any(Result::is_ok), "{} suits nothing", metric.name());
            assert!(all.iter().any(Result::is_err), "{} suits everything", metric.name());
            assert!(all.into_iter().filter_map(Result::err).all(|reason| reason.len() > 10));
        }
    }
}
