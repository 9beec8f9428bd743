//! Metrics of generated samples: one file and one line in [`METRICS`] each. Their mathematics are in `ganymede-metrics`.

mod accuracy;
mod class_frechet;
mod classes;
mod density_coverage;
mod frechet;
mod frechet_infinity;
mod inception_score;
mod kid;
mod mixture;
mod modes;
mod ms_ssim;
mod path_length;
mod precision_recall;
mod sliced_wasserstein;

use super::collect::{Collected, check_available, take};
use super::report::{Better, Score};
use super::source::{Real, SampleSource};
use crate::error::Error;
use crate::extractors::{Extractor, Watch};
use ganymede_cpu::Executor;
use ganymede_data::Dataset;
use ganymede_metrics::pairs::{PairOptions, PairScores, compare};
use std::borrow::Cow;
use std::sync::Arc;

/// Confidence of intervals.
const LEVEL: f64 = 0.95;
/// Images that are drawn at once.
const CHUNK: usize = 1024;

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
    /// Whether samples come from a generator at hand.
    pub generator: bool,
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
    /// What the metrics asked for find in pairs of these, in one pass.
    pub pairs: Option<&'a PairScores>,
    /// Where further generated samples come from.
    pub source: &'a mut dyn SampleSource,
    /// Real samples that may be learnt from.
    pub train: &'a Arc<Dataset>,
    /// Real samples held out.
    pub test: Option<&'a Arc<Dataset>>,
    /// The part that samples are compared with.
    pub reference: &'a Arc<Dataset>,
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

    /// What a classifier sees in both sides.
    fn classified(&self) -> Result<Classified<'a>, Error> {
        let (real, generated) = self.both()?;
        let classes = self.extractor.as_deref().and_then(Extractor::classes);
        match (classes, &real.probabilities, &generated.probabilities) {
            (Some(classes), Some(real), Some(generated)) => Ok(Classified { classes, real, generated }),
            (_, _, _) => Err(Error::Unsuited(
                "the extractor is no classifier, so nobody says which classes samples are of: use --extractor classifier"
                    .into(),
            )),
        }
    }

    /// Scores of pairs: those that were computed for all metrics together, or for this one alone, which says why it
    /// cannot be.
    fn paired(&self, asked: &PairOptions) -> Result<Cow<'a, PairScores>, Error> {
        let (real, generated) = self.both()?;
        match self.pairs.filter(|pairs| pairs.answers(asked)) {
            Some(pairs) => Ok(Cow::Borrowed(pairs)),
            None => Ok(Cow::Owned(compare(&real.features, &generated.features, asked)?)),
        }
    }

    /// Shape of an image.
    fn image_shape(&self) -> Result<[usize; 3], Error> {
        <[usize; 3]>::try_from(self.train.shape())
            .map_err(|_| Error::Refused(format!("{} has no images", self.train.spec())))
    }

    /// How many images there are of both sides, an even number, `wanted` at most.
    fn pairs_of_images(&self, wanted: usize) -> usize {
        let there = self.source.available().unwrap_or(wanted);
        let real = self.reference.len().map_or(wanted, |items| items as usize);
        let wanted = if self.n.is_some() { wanted } else { wanted.min(there) };
        wanted.min(real) / 2 * 2
    }

    /// The first real images in shuffled order, rounded to bytes, with their classes if known.
    fn real_images(&mut self, count: usize) -> Result<Images, Error> {
        let mut real = Real::new(self.reference.clone(), self.seed)?;
        images(&mut real, count, "reading real images", self.watch)
    }

    /// The first generated images, rounded to bytes, with their classes if known.
    fn generated_images(&mut self, count: usize) -> Result<Images, Error> {
        images(self.source, count, "drawing images", self.watch)
    }

    /// A figure's name with what the samples were seen through.
    fn named(&self, what: &str) -> String {
        match &self.extractor {
            Some(extractor) => format!("{what} ({})", extractor.name()),
            None => what.into(),
        }
    }
}

/// Probabilities of classes, one sample after the other.
struct Classified<'a> {
    classes: usize,
    real: &'a [f64],
    generated: &'a [f64],
}

/// Images one after the other, and the class of each where it is known.
type Images = (Vec<f32>, Option<Vec<i32>>);

fn images(
    source: &mut dyn SampleSource,
    count: usize,
    what: &'static str,
    watch: &mut dyn Watch,
) -> Result<Images, Error> {
    check_available(source, count)?;
    let (mut samples, mut labels): (Vec<f32>, Option<Vec<i32>>) = (Vec::new(), None);
    for first in (0..count).step_by(CHUNK) {
        let chunk = CHUNK.min(count - first);
        let (more, of_classes) = take(source, first, chunk)?;
        samples.extend(more);
        if let Some(classes) = of_classes {
            labels.get_or_insert_with(Vec::new).extend(classes);
        }
        watch.moved(what, (first + chunk) as u64, count as u64);
    }
    Ok((samples, labels))
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
    /// Whether it needs the features of so many real and generated samples themselves, where it compares, and not just their
    /// Gaussian or what a classifier sees.
    fn keeps_features(&self, _samples: [usize; 2], _dimensions: usize) -> bool {
        self.compares()
    }
    /// Whether the intervals of two sets' figures hold the chance of the same real samples, so that their errors are not independent.
    fn shares_real(&self) -> bool {
        self.compares()
    }
    /// Why it is left out unless it is named, if it is: it takes long, or work of its own.
    fn on_request(&self) -> Option<&'static str> {
        None
    }
    /// What it asks of pairs of samples, so that one pass finds what all metrics ask.
    fn of_pairs(&self, _seed: u64) -> PairOptions {
        PairOptions::default()
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
    &frechet_infinity::FrechetInfinity,
    &class_frechet::ClassFrechet,
    &kid::Kid,
    &precision_recall::PrecisionRecall,
    &density_coverage::DensityCoverage,
    &classes::Classes,
    &inception_score::InceptionScore,
    &modes::Modes,
    &mixture::Mixture,
    &accuracy::Accuracy,
    &sliced_wasserstein::SlicedWasserstein,
    &ms_ssim::MsSsim,
    &path_length::PathLength,
];

/// The metric of that name.
pub fn find(name: &str) -> Option<&'static dyn Metric> {
    METRICS.iter().copied().find(|metric| metric.name() == name)
}

/// Metrics of a classifier's classes are for images that have some, `told` as the metric needs; else they have what `lacking`
/// says.
fn suits_classes(subject: &Subject, told: bool, lacking: &str) -> Result<(), String> {
    match (subject.images() && told, subject.stacked) {
        (true, false) => Ok(()),
        (true, true) => Err("stacked digits have thousands of classes, which `modes` counts".into()),
        (false, _) => Err(format!("{} {lacking}", subject.spec)),
    }
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
        let labelled = Subject {
            labelled: true,
            generated_labels: true,
            held_out: true,
            generator: true,
            ..images.clone()
        };
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
