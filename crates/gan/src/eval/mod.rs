//! Scores of generated samples against real ones: [`Evaluator`] holds the real side (data, extractor, reference features)
//! and scores any [`SampleSource`], a trained run or a folder of images.
//!
//! ```no_run
//! use ganymede::eval::{Evaluator, Images, Options};
//! use ganymede_cpu::{Executor, ExecutorOptions};
//!
//! let executor = Executor::new(ExecutorOptions::default())?;
//! let mut evaluator = Evaluator::open("mnist/", None, Options::default(), executor)?;
//! let mut images = Images::open("made/".as_ref(), evaluator.data(), 0)?;
//! println!("{}", evaluator.score("frechet", &mut images, &mut ())?);
//! # Ok::<(), ganymede::Error>(())
//! ```

mod collect;
mod memory;
pub mod metrics;
mod report;
mod source;

use crate::error::Error;
use crate::extractors::{self, Extractor, Wanted, Watch, cache_folder, channels::Stack};
use crate::recipe::unknown;
use collect::{Collected, collect};
use ganymede_cpu::Executor;
use ganymede_data::{Dataset, OpenOptions, Split, open};
use metrics::{Context, METRICS, Metric, Subject};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use report::{Better, ExtractorInfo, Report, Score, Skipped};
pub use source::{Drawn, Images, SampleSource, SourceInfo};

/// Samples of either side unless asked otherwise.
pub const SAMPLES: usize = 10_000;

/// What to score, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Metrics by name; without, those that suit the data.
    pub metrics: Option<Vec<String>>,
    /// Samples of either side; without, 10,000, and what a metric takes by custom.
    pub n: Option<usize>,
    /// Seed of latents and of the choice of samples.
    pub seed: u64,
    /// Extractor by name or file; without, the one that suits the data.
    pub extractor: Option<String>,
    /// The part of the data that samples are compared with.
    pub split: Split,
}

/// The real side of scores, and what is computed from it once.
pub struct Evaluator {
    train: Arc<Dataset>,
    test: Option<Arc<Dataset>>,
    options: Options,
    named: Vec<&'static dyn Metric>,
    executor: Arc<Executor>,
    cache: Option<PathBuf>,
    extractor: Option<Box<dyn Extractor>>,
    /// Features of the real samples, once asked for.
    real: Option<Collected>,
}

impl Evaluator {
    /// Opens data and, if there is one, their held-out part; pictures of a folder are read as `shape`, where it is given.
    ///
    /// # Errors
    /// The data cannot be opened, or as for [`Evaluator::new`].
    pub fn open(
        data: &str,
        shape: Option<&[usize]>,
        options: Options,
        executor: Arc<Executor>,
    ) -> Result<Self, Error> {
        let part = |split| {
            let usual = OpenOptions { split, ..OpenOptions::default() };
            open(data, &shape.map_or(usual, |shape| usual.for_shape(shape))).map(Arc::new)
        };
        let train = part(Split::Train)?;
        let test = match part(Split::Test) {
            // A file named itself is the same for either part, and so nothing is held out.
            Ok(test) if test.len().is_some() && test.hash() == train.hash() => None,
            Ok(test) => Some(test),
            Err(error) if options.split == Split::Test => return Err(error.into()),
            Err(_) => None,
        };
        if options.split == Split::Test && test.is_none() {
            return Err(Error::Refused(format!(
                "{data}: --split test, but the data have no part that is held out: leave it out, or name a folder with \
                 both parts"
            )));
        }
        Self::new(train, test, options, executor, cache_folder())
    }

    /// From sets, the second held out; what extractors learn is kept in `cache`.
    ///
    /// # Errors
    /// An unknown metric, or n = 0.
    pub fn new(
        train: Arc<Dataset>,
        test: Option<Arc<Dataset>>,
        options: Options,
        executor: Arc<Executor>,
        cache: Option<PathBuf>,
    ) -> Result<Self, Error> {
        if options.n == Some(0) {
            return Err(Error::Refused("scores of no samples: give a larger --n".into()));
        }
        let find = |name: &String| {
            METRICS.iter().copied().find(|m| m.name() == name).ok_or_else(|| {
                let known: Vec<&str> = METRICS.iter().map(|m| m.name()).collect();
                Error::Refused(unknown("metric", name, &known))
            })
        };
        let named = options.metrics.iter().flatten().map(find).collect::<Result<_, _>>()?;
        Ok(Self { train, test, options, named, executor, cache, extractor: None, real: None })
    }

    /// The data.
    pub fn data(&self) -> &Dataset {
        &self.train
    }

    /// The part that samples are compared with.
    fn reference(&self) -> &Arc<Dataset> {
        match (self.options.split, &self.test) {
            (Split::Test, Some(test)) => test,
            (Split::Test, None) | (Split::Train, _) => &self.train,
        }
    }

    /// Scores samples by the metrics of the options, or by all that suit them. A metric that was named and cannot be
    /// computed is an error; one that was not is left out with its reason.
    ///
    /// # Errors
    /// Samples of another shape than the data's, or values that are not finite; a named metric that does not suit
    /// them; no metric left; what data, extractor and executor say.
    pub fn evaluate(
        &mut self,
        source: &mut dyn SampleSource,
        watch: &mut dyn Watch,
    ) -> Result<Report, Error> {
        let wanted = if self.options.metrics.is_some() { self.named.clone() } else { METRICS.to_vec() };
        self.evaluate_by(&wanted, self.options.metrics.is_some(), source, watch)
    }

    /// The first figure of one metric: what training can choose its best checkpoint by, with [`Metric::better`].
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`] with that metric named.
    pub fn score(
        &mut self,
        metric: &str,
        source: &mut dyn SampleSource,
        watch: &mut dyn Watch,
    ) -> Result<f64, Error> {
        let metric = metrics::find(metric).ok_or_else(|| {
            let known: Vec<&str> = METRICS.iter().map(|m| m.name()).collect();
            Error::Refused(unknown("metric", metric, &known))
        })?;
        let report = self.evaluate_by(&[metric], true, source, watch)?;
        let first = report.scores.first().map(|score| score.value);
        first.ok_or_else(|| Error::Refused(format!("metric {} gave no figure", metric.name())))
    }

    fn evaluate_by(
        &mut self,
        wanted: &[&'static dyn Metric],
        named: bool,
        source: &mut dyn SampleSource,
        watch: &mut dyn Watch,
    ) -> Result<Report, Error> {
        let began = Instant::now();
        if source.shape() != self.train.shape() {
            return Err(Error::Refused(format!(
                "the samples of {} have shape {:?}, {} has {:?}: name the data that they are like",
                source.info().path,
                source.shape(),
                self.train.spec(),
                self.train.shape()
            )));
        }
        let subject = Subject {
            shape: self.train.shape().to_vec(),
            labelled: self.train.classes().is_some(),
            stacked: Stack::of(&self.train).is_some(),
            mixture: self.train.mixture().is_some(),
            generated_labels: source.classes().is_some(),
            held_out: self.test.is_some(),
            spec: self.train.spec().to_string(),
        };
        let (mut chosen, mut skipped) = (Vec::new(), Vec::new());
        for metric in wanted {
            match metric.suits(&subject) {
                Ok(()) => chosen.push(*metric),
                Err(reason) if named => {
                    return Err(Error::Refused(format!("metric {}: {reason}", metric.name())));
                }
                Err(reason) => skipped.push(Skipped { metric: metric.name(), reason }),
            }
        }
        if chosen.iter().any(|metric| metric.looks()) && self.extractor.is_none() {
            let (train, test, executor) = (self.train.clone(), self.test.clone(), self.executor.clone());
            let cache = self.cache.clone();
            let mut wanted = Wanted { train, test, executor, cache, watch: &mut *watch };
            self.extractor = Some(extractors::open(self.options.extractor.as_deref(), &mut wanted)?);
        }
        let n = self.options.n.unwrap_or(SAMPLES);
        if chosen.iter().any(|metric| metric.compares()) && self.real.is_none() {
            let reference = self.reference().clone();
            let count = reference.len().map_or(n, |items| n.min(items as usize));
            let mut real = source::Real::new(reference, self.options.seed)?;
            let extractor = looked_through(&mut self.extractor)?;
            self.real = Some(collect(&mut real, extractor, count, "looking at real samples", watch)?);
        }
        let generated = if chosen.iter().any(|metric| metric.compares()) {
            let extractor = looked_through(&mut self.extractor)?;
            let count =
                source.available().map_or(n, |there| if self.options.n.is_some() { n } else { n.min(there) });
            Some(collect(source, extractor, count, "looking at generated samples", watch)?)
        } else {
            None
        };
        let mut scores = Vec::new();
        for metric in chosen {
            let computed = metric.compute(&mut Context {
                real: self.real.as_ref(),
                generated: generated.as_ref(),
                source: &mut *source,
                train: &self.train,
                test: self.test.as_ref(),
                extractor: self.extractor.as_deref_mut(),
                executor: &self.executor,
                n: self.options.n,
                seed: self.options.seed,
                watch: &mut *watch,
            });
            match computed {
                Ok(found) => scores.extend(found),
                Err(error @ (Error::Metric(_) | Error::Unsuited(_))) if named => {
                    return Err(Error::Refused(format!("metric {}: {error}", metric.name())));
                }
                Err(error @ (Error::Metric(_) | Error::Unsuited(_))) => {
                    skipped.push(Skipped { metric: metric.name(), reason: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        if scores.is_empty() {
            let reasons: Vec<String> =
                skipped.iter().map(|s| format!("{}: {}", s.metric, s.reason)).collect();
            return Err(Error::Refused(format!("no metric suits these samples: {}", reasons.join("; "))));
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Ok(Report {
            program: concat!("ganymede ", env!("CARGO_PKG_VERSION")),
            source: source.info(),
            generated: generated.as_ref().map(|g| g.count),
            data: self.train.spec().to_string(),
            data_hash: self.reference().hash().to_string(),
            split: if self.options.split == Split::Test { "test" } else { "train" },
            real: self.real.as_ref().map(|r| r.count),
            extractor: self.extractor.as_deref().map(ExtractorInfo::of),
            quantization: collect::quantization(self.train.shape()),
            resizer: (self.extractor.as_deref().and_then(Extractor::resizer))
                .unwrap_or("none: samples have the size of the data")
                .into(),
            seed: self.options.seed,
            scores,
            skipped,
            seconds: began.elapsed().as_secs_f64(),
            time_unix: time,
        })
    }
}

fn looked_through(extractor: &mut Option<Box<dyn Extractor>>) -> Result<&mut dyn Extractor, Error> {
    match extractor {
        Some(extractor) => Ok(extractor.as_mut()),
        None => {
            Err(Error::Refused("no extractor was opened: a metric compares features without looking".into()))
        }
    }
}
