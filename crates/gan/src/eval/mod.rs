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

pub mod checks;
mod collect;
pub mod compare;
mod held_out;
pub mod html;
mod keep;
mod looks;
mod memory;
pub mod metrics;
mod reference;
mod report;
mod source;

use crate::error::Error;
use crate::extractors::{self, Extractor, Wanted, Watch, cache_folder, channels::Stack};
use crate::recipe::unknown;
use checks::{CHECKS, Evidence};
use collect::{CHUNK, Collected, Wish, collect};
use ganymede_cpu::Executor;
use ganymede_data::{ContentHash, Dataset, OpenOptions, Split, open};
use ganymede_metrics::pairs::{self, PairOptions, PairScores};
use held_out::Found;
pub use held_out::held_out_part;
use metrics::{Context, METRICS, Metric, Subject};
use reference::Key;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub use keep::Before;
pub use looks::Looks;
pub use report::{Better, ExtractorInfo, Report, Score, Skipped, Unchecked, figure};
pub use source::{Drawn, Images, Path, SampleSource, SourceInfo, Steps, TrainedOn};

/// Samples of either side unless asked otherwise.
pub const SAMPLES: usize = 10_000;

/// What to score, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Metrics by name; without, those that suit the data.
    pub metrics: Option<Vec<String>>,
    /// Samples of either side; without, 10,000, and what a metric takes by custom.
    pub n: Option<usize>,
    /// Real samples that features are compared with, where these shall be other than `n`.
    pub real: Option<RealSamples>,
    /// Seed of latents and of the choice of samples.
    pub seed: u64,
    /// Extractor by name or file; without, the one that suits the data.
    pub extractor: Option<String>,
    /// The part of the data that samples are compared with.
    pub split: Split,
    /// Samples drawn and looked at together; figures do not depend on it [default: 1024].
    pub batch: Option<usize>,
}

/// How many real samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealSamples {
    /// As many as there are.
    All,
    /// So many, or all where there are fewer.
    Count(usize),
}

/// A report with what can be shown of it.
pub struct Examined {
    /// Scores and findings.
    pub report: Report,
    /// Pictures.
    pub looks: Looks,
    /// The generated samples as seen.
    generated: Collected,
}

/// The real side of scores, and what is computed from it once.
pub struct Evaluator {
    train: Arc<Dataset>,
    test: Option<Arc<Dataset>>,
    /// Why no held-out sample can be asked of its class, beyond there being none.
    unasked: Option<String>,
    /// Whether that was said.
    told: bool,
    /// Of the part compared with, as it lies in its files.
    compared: ContentHash,
    options: Options,
    named: Vec<&'static dyn Metric>,
    executor: Arc<Executor>,
    cache: Option<PathBuf>,
    extractor: Option<Box<dyn Extractor>>,
    /// The real samples as seen, once asked for: their features, or the Gaussian of these alone.
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
        let usual = OpenOptions::default();
        let train = Arc::new(open(data, &shape.map_or(usual, |shape| usual.for_shape(shape)))?);
        let (test, why) = match held_out::find(data, &train)? {
            Found::Part(test) => (Some(test), None),
            Found::Nothing(error) | Found::NothingOf(error) if options.split == Split::Test => {
                return Err(Error::Refused(format!("--split test: the held-out part: {error}")));
            }
            Found::Nothing(_) => (None, None),
            Found::NothingOf(error) => (None, Some(format!("nothing is left of the held-out part: {error}"))),
        };
        let mut evaluator = Self::new(train, test, options, executor, cache_folder())?;
        evaluator.unasked = why.or(evaluator.unasked);
        Ok(evaluator)
    }

    /// From sets, the second held out; what extractors learn is kept in `cache`. Classes of the two are the same where their
    /// names are. Scores are computed on as many threads as the executor's, those of other evaluators of the process as well.
    ///
    /// # Errors
    /// An unknown metric, n = 0, or a held-out part with samples of another shape or classes that the first lacks.
    pub fn new(
        train: Arc<Dataset>,
        test: Option<Arc<Dataset>>,
        options: Options,
        executor: Arc<Executor>,
        cache: Option<PathBuf>,
    ) -> Result<Self, Error> {
        if options.n == Some(0) || options.real == Some(RealSamples::Count(0)) {
            return Err(Error::Refused("scores of no samples: give a larger --n or --real".into()));
        }
        ganymede_metrics::limit_threads(executor.threads());
        let find = |name: &String| {
            METRICS.iter().copied().find(|m| m.name() == name).ok_or_else(|| {
                let known: Vec<&str> = METRICS.iter().map(|m| m.name()).collect();
                Error::Refused(unknown("metric", name, &known))
            })
        };
        let named = options.metrics.iter().flatten().map(find).collect::<Result<_, _>>()?;
        let compared = match (options.split, &test) {
            (Split::Test, Some(test)) => test.hash(),
            (Split::Test, None) | (Split::Train, _) => train.hash(),
        };
        let test = test.map(|test| held_out::like(&train, test)).transpose()?;
        let reference = compared_with(options.split, &train, test.as_ref());
        if options.real == Some(RealSamples::All) && reference.len().is_none() {
            return Err(Error::Refused(format!(
                "--real all: {} has no end: give a number of real samples",
                reference.spec()
            )));
        }
        let unlabelled = train.classes().is_some() && test.as_ref().is_some_and(|t| t.classes().is_none());
        let unasked = unlabelled.then(|| {
            format!("the held-out part of {} has no labels: put them beside its images", train.spec())
        });
        let (extractor, real, told) = (None, None, false);
        Ok(Self { train, test, unasked, told, compared, options, named, executor, cache, extractor, real })
    }

    /// The data.
    pub fn data(&self) -> &Dataset {
        &self.train
    }

    /// The part that samples are compared with.
    fn reference(&self) -> &Arc<Dataset> {
        compared_with(self.options.split, &self.train, self.test.as_ref())
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
        Ok(self.by_options([false, false], source, watch)?.0)
    }

    /// [`Evaluator::evaluate`] with every check ([`checks`]) and pictures.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`]; a check that does not suit the samples is left out with its reason.
    pub fn examine(
        &mut self,
        source: &mut dyn SampleSource,
        watch: &mut dyn Watch,
    ) -> Result<Examined, Error> {
        self.look_by(true, source, watch)
    }

    /// [`Evaluator::evaluate`] with pictures, and no checks: what two that are compared by named metrics are looked at for.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`].
    pub fn look(&mut self, source: &mut dyn SampleSource, watch: &mut dyn Watch) -> Result<Examined, Error> {
        self.look_by(false, source, watch)
    }

    fn look_by(
        &mut self,
        checks: bool,
        source: &mut dyn SampleSource,
        watch: &mut dyn Watch,
    ) -> Result<Examined, Error> {
        match self.by_options([true, checks], source, watch)? {
            (report, Some((looks, generated))) => Ok(Examined { report, looks, generated }),
            (_, None) => Err(Error::Refused("nothing was looked at to check".into())),
        }
    }

    /// By the metrics of the options, with pictures or without, and with checks or without.
    fn by_options(
        &mut self,
        [pictures, checks]: [bool; 2],
        source: &mut dyn SampleSource,
        watch: &mut dyn Watch,
    ) -> Result<(Report, Option<(Looks, Collected)>), Error> {
        let named = self.options.metrics.is_some();
        let wanted = if named { self.named.clone() } else { METRICS.to_vec() };
        self.evaluate_by(&Choice { wanted: &wanted, named, pictures, checks }, source, watch)
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
        let choice = Choice { wanted: &[metric], named: true, pictures: false, checks: false };
        let (report, _) = self.evaluate_by(&choice, source, watch)?;
        let first = report.scores.first().map(|score| score.value);
        first.ok_or_else(|| Error::Refused(format!("metric {} gave no figure", metric.name())))
    }

    /// Opens the extractor and looks at the real samples, unless that is done; returns how many these are and how many
    /// features each has.
    ///
    /// # Errors
    /// [`Error::Stopped`], or what data, extractor and executor say.
    pub fn prepare(&mut self, watch: &mut dyn Watch) -> Result<(usize, usize), Error> {
        self.open_extractor(watch)?;
        self.look_at_real(false, watch)?;
        let real = self.seen()?;
        Ok((real.count, real.features.dimensions()))
    }

    /// The Frechet distance alone, without the interval that a report has beside it.
    ///
    /// # Errors
    /// [`Error::Stopped`], or what data, extractor and executor say.
    pub fn frechet(&mut self, source: &mut dyn SampleSource, watch: &mut dyn Watch) -> Result<f64, Error> {
        self.prepare(watch)?;
        let n = self.options.n.unwrap_or(SAMPLES);
        let wish = self.wish(n, 0, false, "looking at generated samples");
        let extractor = looked_through(&mut self.extractor)?;
        let generated = collect(source, extractor, wish, watch)?;
        Ok(generated.gaussian.distance(&self.seen()?.gaussian)?)
    }

    /// The class that the extractor sees in each of the first samples of a source.
    ///
    /// # Errors
    /// The extractor is no classifier of whole samples, or as for looking at them.
    pub fn classes_of(&mut self, source: &mut dyn SampleSource, count: usize) -> Result<Vec<usize>, Error> {
        self.open_extractor(&mut ())?;
        let wish = self.wish(count, 0, false, "classifying samples");
        let extractor = looked_through(&mut self.extractor)?;
        let (Some(classes), 1) = (extractor.classes(), extractor.heads()) else {
            return Err(Error::Unsuited(format!("extractor {} does not classify samples", extractor.name())));
        };
        let seen = collect(source, extractor, wish, &mut ())?;
        Ok(seen.probabilities.unwrap_or_default().chunks_exact(classes).map(extractors::best_of).collect())
    }

    fn subject(&self, source: &dyn SampleSource) -> Subject {
        Subject {
            shape: self.train.shape().to_vec(),
            labelled: self.train.classes().is_some(),
            stacked: Stack::of(&self.train).is_some(),
            mixture: self.train.mixture().is_some(),
            generated_labels: source.classes().is_some(),
            held_out: self.test.is_some(),
            unasked: self.unasked.clone(),
            generator: !source.paths().is_empty(),
            spec: self.train.spec().to_string(),
        }
    }

    fn open_extractor(&mut self, watch: &mut dyn Watch) -> Result<(), Error> {
        if self.extractor.is_none() {
            let (train, executor) = (self.train.clone(), self.executor.clone());
            let test = self.test.clone().filter(|_| self.unasked.is_none());
            let cache = self.cache.clone();
            let mut wanted = Wanted { train, test, executor, cache, watch };
            self.extractor = Some(extractors::open(self.options.extractor.as_deref(), &mut wanted)?);
        }
        Ok(())
    }

    /// To look at so many samples, keep the first of them as they are, and the features of all or none.
    fn wish(&self, count: usize, keep: usize, features: bool, what: &'static str) -> Wish {
        Wish { count, keep, features, batch: self.options.batch.unwrap_or(CHUNK), what }
    }

    /// The real samples, once looked at.
    fn seen(&self) -> Result<&Collected, Error> {
        self.real.as_ref().ok_or_else(|| Error::Refused("the real samples have not been looked at".into()))
    }

    /// How many real samples are looked at.
    fn real_count(&self) -> usize {
        let n = match self.options.real {
            Some(RealSamples::Count(n)) => n,
            // Of a set with an end, as was made sure of.
            Some(RealSamples::All) => usize::MAX,
            None => self.options.n.unwrap_or(SAMPLES),
        };
        self.reference().len().map_or(n, |items| n.min(items as usize))
    }

    /// Looks at the real samples, or at what was kept of them: at their features, or at the Gaussian of these alone.
    fn look_at_real(&mut self, features: bool, watch: &mut dyn Watch) -> Result<(), Error> {
        if self.real.as_ref().is_some_and(|real| real.whole() || !features) {
            return Ok(());
        }
        let reference = self.reference().clone();
        let count = self.real_count();
        let (seed, wish) = (self.options.seed, self.wish(count, 0, features, "looking at real samples"));
        let extractor = looked_through(&mut self.extractor)?;
        let key = Key { extractor: extractor.hash(), data: reference.hash().0, count, seed };
        // Kept features serve both; they are looked for last, as the larger file.
        let kinds = if features { &[true][..] } else { &[false, true] };
        let path = |features: bool| self.cache.as_deref().map(|cache| key.path(cache, features));
        let to = path(features);
        for path in kinds.iter().filter_map(|&kind| path(kind)).filter(|path| path.exists()) {
            match reference::load(&path, &key, features) {
                Ok(seen) => {
                    self.real = Some(seen);
                    return Ok(());
                }
                Err(reason) => {
                    watch.note(&format!("{}: {reason}: looking at real samples again", path.display()))
                }
            }
        }
        let mut real = source::Real::new(reference, seed)?;
        let seen = collect(&mut real, extractor, wish, watch)?;
        // Without a place to keep them, they are as good for now.
        if let Some(Err(error)) = to.map(|path| reference::store(&path, &seen)) {
            watch.note(&format!("features of real samples are not kept: {error}"));
        }
        self.real = Some(seen);
        Ok(())
    }

    /// What the chosen metrics ask of pairs, as far as there are enough samples for it: those for which there are not
    /// say so themselves.
    fn paired(
        &self,
        chosen: &[&'static dyn Metric],
        real: &Collected,
        generated: &Collected,
    ) -> Result<Option<PairScores>, Error> {
        let few = real.count.min(generated.count);
        let mut asked = PairOptions::default();
        for options in chosen.iter().map(|metric| metric.of_pairs(self.options.seed)) {
            asked.neighbours.extend(options.neighbours.into_iter().filter(|&k| k < few));
            asked.kernel = asked.kernel.or(options.kernel.filter(|kernel| kernel.size <= few));
        }
        asked.neighbours.sort_unstable();
        asked.neighbours.dedup();
        if asked == PairOptions::default() {
            return Ok(None);
        }
        Ok(Some(pairs::compare(&real.features, &generated.features, &asked)?))
    }

    fn evaluate_by(
        &mut self,
        choice: &Choice<'_>,
        source: &mut dyn SampleSource,
        watch: &mut dyn Watch,
    ) -> Result<(Report, Option<(Looks, Collected)>), Error> {
        let began = Instant::now();
        if let Some(reason) = self.unasked.as_ref().filter(|_| !self.told) {
            watch.note(&format!("{reason}; no class is asked of it"));
            self.told = true;
        }
        if source.shape() != self.train.shape() {
            return Err(Error::Refused(format!(
                "the samples of {} have shape {:?}, {} has {:?}: name the data that they are like",
                source.info().path,
                source.shape(),
                self.train.spec(),
                self.train.shape()
            )));
        }
        let subject = self.subject(source);
        let (mut chosen, mut skipped) = (Vec::new(), Vec::new());
        for metric in choice.wanted {
            match metric.suits(&subject) {
                Ok(()) => match metric.on_request().filter(|_| !choice.named) {
                    None => chosen.push(*metric),
                    Some(why) => {
                        let reason = format!("{why}: name it, --metrics {}", metric.name());
                        skipped.push(Skipped { metric: metric.name(), reason });
                    }
                },
                Err(reason) if choice.named => {
                    return Err(Error::Refused(format!("metric {}: {reason}", metric.name())));
                }
                Err(reason) => skipped.push(Skipped { metric: metric.name(), reason }),
            }
        }
        if choice.pictures || chosen.iter().any(|metric| metric.looks()) {
            self.open_extractor(watch)?;
        }
        let n = self.options.n.unwrap_or(SAMPLES);
        let mut generated = None;
        if choice.pictures || chosen.iter().any(|metric| metric.compares()) {
            let count =
                source.available().map_or(n, |there| if self.options.n.is_some() { n } else { n.min(there) });
            let real = self.real_count();
            let dimensions = looked_through(&mut self.extractor)?.dimensions();
            let features =
                choice.pictures || chosen.iter().any(|m| m.keeps_features([real, count], dimensions));
            self.look_at_real(features, watch)?;
            let keep =
                if choice.pictures { checks::held(checks::LOOKED_AT, self.train.elements()) } else { 0 };
            let wish = self.wish(count, keep, features, "looking at generated samples");
            let extractor = looked_through(&mut self.extractor)?;
            generated = Some(collect(source, extractor, wish, watch)?);
        }
        let paired = match (&self.real, &generated) {
            (Some(real), Some(generated)) => self.paired(&chosen, real, generated)?,
            (None, _) | (_, None) => None,
        };
        let mut scores = Vec::new();
        for metric in chosen {
            let computed = metric.compute(&mut Context {
                real: self.real.as_ref(),
                generated: generated.as_ref(),
                pairs: paired.as_ref(),
                source: &mut *source,
                train: &self.train,
                test: self.test.as_ref(),
                reference: compared_with(self.options.split, &self.train, self.test.as_ref()),
                extractor: self.extractor.as_deref_mut(),
                executor: &self.executor,
                n: self.options.n,
                seed: self.options.seed,
                resampled: false,
                watch: &mut *watch,
            });
            match computed {
                Ok(found) => scores.extend(found),
                Err(error @ (Error::Metric(_) | Error::Unsuited(_))) if choice.named => {
                    return Err(Error::Refused(format!("metric {}: {error}", metric.name())));
                }
                Err(error @ (Error::Metric(_) | Error::Unsuited(_))) => {
                    skipped.push(Skipped { metric: metric.name(), reason: error.to_string() });
                }
                Err(error) => return Err(error),
            }
        }
        if scores.is_empty() && !choice.checks {
            let reasons: Vec<String> =
                skipped.iter().map(|s| format!("{}: {}", s.metric, s.reason)).collect();
            return Err(Error::Refused(format!("no metric suits these samples: {}", reasons.join("; "))));
        }
        let (mut findings, mut unchecked, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        if let (true, Some(generated), Some(real)) = (choice.checks, &generated, &self.real) {
            let heads =
                |extractor: &dyn Extractor| extractor.classes().map(|classes| (classes, extractor.heads()));
            let mut evidence = Evidence {
                generated,
                real,
                of_training: self.options.split == Split::Train,
                classes: self.extractor.as_deref().and_then(heads),
                accuracy: self.extractor.as_deref().and_then(|seen| seen.accuracy().zip(seen.asked_of())),
                train: &self.train,
                test: self.test.as_ref(),
                source: &mut *source,
                seed: self.options.seed,
                watch: &mut *watch,
                pairs: &mut pairs,
                unchecked: &mut unchecked,
            };
            for check in CHECKS {
                match check.check(&mut evidence) {
                    Ok(found) => findings.extend(found),
                    Err(error @ (Error::Metric(_) | Error::Unsuited(_))) => {
                        evidence.unchecked.push(Unchecked { check: check.name(), reason: error.to_string() });
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let report = Report {
            program: concat!("ganymede ", env!("CARGO_PKG_VERSION")),
            source: source.info(),
            n: self.options.n,
            generated: generated.as_ref().map(|g| g.count),
            data: self.train.spec().to_string(),
            data_hash: self.compared.to_string(),
            split: if self.options.split == Split::Test { "test" } else { "train" },
            real: self.real.as_ref().map(|r| r.count),
            extractor: self.extractor.as_deref().map(ExtractorInfo::of),
            quantization: collect::quantization(self.train.shape()),
            resizer: resizing(self.reference(), self.extractor.as_deref().and_then(Extractor::resizer)),
            seed: self.options.seed,
            scores,
            skipped,
            findings,
            unchecked,
            seconds: began.elapsed().as_secs_f64(),
            time_unix: time,
        };
        let looks = match (choice.pictures, generated, &self.real) {
            (true, Some(generated), Some(real)) => {
                let classes = self.extractor.as_deref().and_then(Extractor::classes);
                let names = self.train.classes().unwrap_or_default();
                Some((Looks::of(self.train.shape(), real, &generated, classes, names, pairs)?, generated))
            }
            (_, _, _) => None,
        };
        Ok((report, looks))
    }
}

/// The part that samples are compared with.
fn compared_with<'a>(
    split: Split,
    train: &'a Arc<Dataset>,
    test: Option<&'a Arc<Dataset>>,
) -> &'a Arc<Dataset> {
    match (split, test) {
        (Split::Test, Some(test)) => test,
        (Split::Test, None) | (Split::Train, _) => train,
    }
}

/// What is asked for.
struct Choice<'a> {
    wanted: &'a [&'static dyn Metric],
    /// Whether the metrics were named, so that one that does not suit is an error.
    named: bool,
    /// Whether samples are looked at in any case, and kept with what can be shown of them.
    pictures: bool,
    /// Whether checks are made.
    checks: bool,
}

/// How sizes were changed, of real samples when the set was opened and of both sides for the extractor. Generated ones have the
/// size of the data, or are refused.
fn resizing(real: &Dataset, seen: Option<&str>) -> String {
    let counts = &real.reading().counts;
    let sized =
        |word: &str| ["reduced", "enlarged", "cropped", "stretched", "bars"].iter().any(|w| word.contains(w));
    let done: Vec<String> = counts
        .iter()
        .filter(|(word, n)| *n > 0 && sized(word))
        .map(|(word, n)| format!("{n} {word}"))
        .collect();
    let mut told = match done.is_empty() {
        true => "none: real samples have the size they come in".to_string(),
        false => format!("real samples once, when read, by {RESIZER}: {}", done.join(", ")),
    };
    if let Some(seen) = seen {
        told.push_str(&format!("; for the extractor {seen}"));
    }
    told
}

/// The one resizer of data.
const RESIZER: &str = "Lanczos of three lobes, antialiased, in floats, rounded once";

fn looked_through(extractor: &mut Option<Box<dyn Extractor>>) -> Result<&mut dyn Extractor, Error> {
    match extractor {
        Some(extractor) => Ok(extractor.as_mut()),
        None => {
            Err(Error::Refused("no extractor was opened: a metric compares features without looking".into()))
        }
    }
}
