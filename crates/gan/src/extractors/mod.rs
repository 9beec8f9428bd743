//! What scores look at samples with: networks and maps from samples to feature vectors, and class probabilities where
//! they are classifiers. An extractor is one file and one line in [`EXTRACTORS`]; of weights in files of the user's, those of
//! published networks are told by [`pretrained`], those of classifiers read by [`mod@file`].

mod cache;
pub mod channels;
pub mod classifier;
pub mod file;
pub mod layout;
mod parts;
mod pixels;
pub mod pretrained;
mod random_conv;
mod runner;
pub mod training;

use crate::error::Error;
use crate::recipe::unknown;
use channels::{PerChannel, Stack};
use ganymede_cpu::{Executor, Isa, plan};
use ganymede_data::Dataset;
use ganymede_graph::Function;
use pretrained::resample::Resizer;
use pretrained::tensors::{self, Tensors};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

pub use cache::folder as cache_folder;
pub use parts::held_out;
pub(crate) use parts::renumbered;

/// Samples that extractors are given at once.
pub const BATCH: usize = 256;

/// What an extractor makes of n samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Extracted {
    /// `[n, dimensions]`.
    pub features: Vec<f32>,
    /// `[n, heads, classes]`, where it is a classifier.
    pub probabilities: Option<Vec<f32>>,
}

/// Which real samples an accuracy was asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AskedOf {
    /// Those of the data that are held out.
    HeldOut,
    /// Those to train on, for want of others: the extractor may have learnt them.
    Training,
    /// Those held out when it was trained, of data that are not at hand now.
    Before,
}

impl AskedOf {
    /// The samples, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::HeldOut => "held-out real samples",
            Self::Training => "training samples, which it may have learnt (none are held out),",
            Self::Before => "the held-out samples of the data that it was trained on",
        }
    }
}

/// A map from samples to features.
pub trait Extractor {
    /// Its name, to be said with every score.
    fn name(&self) -> &str;
    /// BLAKE3 sum of everything that its features depend on.
    fn hash(&self) -> &str;
    /// Shape of the samples that it takes.
    fn shape(&self) -> &[usize];
    /// Length of a feature vector.
    fn dimensions(&self) -> usize;
    /// Classes that each head tells apart, where it is a classifier.
    fn classes(&self) -> Option<usize> {
        None
    }
    /// Parts of a sample that are classified each by itself.
    fn heads(&self) -> usize {
        1
    }
    /// The share of real samples that it classifies rightly, where labelled ones were there to ask.
    fn accuracy(&self) -> Option<f64> {
        None
    }
    /// Of which samples that is.
    fn asked_of(&self) -> Option<AskedOf> {
        self.accuracy().map(|_| AskedOf::HeldOut)
    }
    /// How it changes the size of images, in words, where it sees them at another than their own.
    fn resizer(&self) -> Option<&str> {
        None
    }
    /// The perceptual distance of pairs that belongs to it, where there is one: for path lengths and diversity.
    fn distance(&mut self) -> Option<&mut dyn Distance> {
        None
    }
    /// Features, and probabilities where it is a classifier, of samples `[n, shape...]` in [-1, 1].
    ///
    /// # Errors
    /// A length that is no multiple of a sample's, or the executor's own.
    fn extract(&mut self, samples: &[f32]) -> Result<Extracted, Error>;
}

/// How far apart people would find two images.
pub trait Distance {
    /// One distance for each pair of samples `[n, shape...]` in [-1, 1], which need not be quantized.
    ///
    /// # Errors
    /// Lengths that are no multiple of a sample's or differ, or the executor's own.
    fn distances(&mut self, a: &[f32], b: &[f32]) -> Result<Vec<f32>, Error>;
}

/// Follows work that takes more than a moment.
pub trait Watch {
    /// Something worth a sentence.
    fn note(&mut self, _message: &str) {}
    /// `done` of `total` of `what` is done.
    fn moved(&mut self, _what: &'static str, _done: u64, _total: u64) {}
    /// Whether the work shall be left, which then ends with [`Error::Stopped`].
    fn stopped(&self) -> bool {
        false
    }
}

/// Nobody watches.
impl Watch for () {}

/// What an extractor is made for.
pub struct Wanted<'a> {
    /// Real samples to learn from.
    pub train: Arc<Dataset>,
    /// Real samples to ask what was learnt.
    pub test: Option<Arc<Dataset>>,
    /// What it computes on.
    pub executor: Arc<Executor>,
    /// Where what was learnt is kept; [`cache_folder`] for the user's own.
    pub cache: Option<PathBuf>,
    /// Told of progress.
    pub watch: &'a mut dyn Watch,
}

/// A kind of extractor, by name.
pub trait Kind: Sync {
    /// As `--extractor` names it.
    fn name(&self) -> &'static str;
    /// A sentence or two for people choosing.
    fn about(&self) -> &'static str;
    /// Whether it looks at each channel of stacked digits by itself.
    fn per_channel(&self) -> bool {
        false
    }
    /// Makes or loads it.
    ///
    /// # Errors
    /// The data do not suit it, or training it fails.
    fn open(&self, wanted: &mut Wanted<'_>) -> Result<Box<dyn Extractor>, Error>;
}

/// Every kind.
pub const EXTRACTORS: &[&dyn Kind] = &[&classifier::Classifier, &random_conv::RandomConv, &pixels::Pixels];

/// What a choice says, where it names files.
struct Files {
    /// As it was given, without what follows `?`.
    named: String,
    paths: Vec<PathBuf>,
    resizer: Option<Resizer>,
}

impl Files {
    /// `FILE[,FILE..][?resizer=NAME]`; `None` of the name of a kind.
    fn parse(choice: &str) -> Result<Option<Self>, Error> {
        let (named, more) = choice.split_once('?').unwrap_or((choice, ""));
        // A single file may have a comma in its name.
        let paths: Vec<&str> =
            if std::path::Path::new(named).exists() { vec![named] } else { named.split(',').collect() };
        if !paths.iter().any(|path| tensors::is_file(path)) {
            return Ok(None);
        }
        let mut resizer = None;
        for parameter in more.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("resizer", name)) => resizer = Some(Resizer::find(name)?),
                _ => {
                    let known = Resizer::ALL.map(Resizer::name).join(", ");
                    return Err(Error::Refused(format!(
                        "{choice}: `{parameter}` is no parameter of an extractor: `resizer=` one of {known} is"
                    )));
                }
            }
        }
        let paths = paths.into_iter().map(PathBuf::from).collect();
        Ok(Some(Self { named: named.into(), paths, resizer }))
    }

    /// The published network whose weights they hold, or the user's classifier.
    fn open(&self, wanted: &mut Wanted<'_>, stack: Option<&Stack>) -> Result<Box<dyn Extractor>, Error> {
        let tensors = Tensors::open(&self.paths)?;
        if let Some(network) = pretrained::recognise(&tensors) {
            return pretrained::open(
                network,
                &tensors,
                &self.named,
                self.resizer.unwrap_or_default(),
                wanted,
            );
        }
        let [path] = &self.paths[..] else {
            return Err(Error::Refused(format!(
                "{}: together they are no network known here ({}); known are{}",
                self.named,
                tensors.sample(),
                pretrained::known()
            )));
        };
        if self.resizer.is_some() {
            return Err(Error::Refused(format!(
                "{}: a classifier takes images at their size: leave ?resizer out",
                self.named
            )));
        }
        match stack {
            Some(stack) => {
                Ok(PerChannel::boxed(file::open(path, &tensors, &mut apart(wanted, stack))?, stack))
            }
            None => file::open(path, &tensors, wanted),
        }
    }
}

/// The extractor that `choice` names (a kind, or files of weights, joined by commas, with `?resizer=` behind them), or the
/// one that suits the data: of labelled images the classifier trained on them, of others and those of one class random
/// convolutions, of points themselves.
///
/// # Errors
/// An unknown name, the kind's own, files that hold no known network, or an extractor of samples of another shape.
pub fn open(choice: Option<&str>, wanted: &mut Wanted<'_>) -> Result<Box<dyn Extractor>, Error> {
    let images = wanted.train.shape().len() == 3;
    let choice = choice.unwrap_or(match (images, told_apart(&wanted.train)) {
        (false, _) => "pixels",
        (true, Some(_)) => "classifier",
        (true, None) => "random-conv",
    });
    let stack = Stack::of(&wanted.train);
    let extractor = if let Some(files) = Files::parse(choice)? {
        files.open(wanted, stack.as_ref())?
    } else {
        let kind = EXTRACTORS.iter().find(|kind| kind.name() == choice).ok_or_else(|| {
            if pretrained::NETWORKS.iter().any(|network| network.name() == choice) {
                return Error::Refused(format!(
                    "{choice} has weights that do not come with the program: name their file in its place (`ganymede eval --list` \
                     says what it is called, docs/scores.md where it is)"
                ));
            }
            let known: Vec<&str> = EXTRACTORS.iter().map(|kind| kind.name()).collect();
            Error::Refused(format!(
                "{}; or a file of weights that ends in .{}",
                unknown("extractor", choice, &known),
                tensors::ENDINGS.join(", .")
            ))
        })?;
        match stack.filter(|_| kind.per_channel()) {
            Some(stack) => PerChannel::boxed(kind.open(&mut apart(wanted, &stack))?, &stack),
            None => kind.open(wanted)?,
        }
    };
    let (takes, given) = (extractor.shape(), wanted.train.shape());
    if takes != given {
        return Err(Error::Refused(format!(
            "extractor {} takes samples of shape {takes:?}, {} has {given:?}: choose another extractor",
            extractor.name(),
            wanted.train.spec()
        )));
    }
    Ok(extractor)
}

/// How many classes there are to tell apart.
fn told_apart(set: &Dataset) -> Option<usize> {
    set.classes().map(<[String]>::len).filter(|classes| *classes > 1)
}

/// What the extractor that suits a set needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// At the most, while it is trained or while it looks.
    pub bytes: u64,
    /// Length of a feature vector.
    pub dimensions: usize,
}

/// What the extractor needs that [`open`] chooses for a set of images, on so many threads of this machine.
///
/// # Errors
/// Samples that are no images, or too small for it.
pub fn needs(set: &Dataset, threads: usize) -> Result<Needs, Error> {
    let [h, w, c] = set.shape()[..] else {
        return Err(Error::Refused(format!(
            "{} has samples of shape {:?}, which are no images to look at",
            set.spec(),
            set.shape()
        )));
    };
    let (looking, training) = match told_apart(set) {
        Some(classes) => {
            let layout = layout::Layout::trained([h, w, c], classes);
            (layout.function(BATCH)?, Some(training::usual_step(&layout)?))
        }
        None => (random_conv::function([h, w, c], BATCH)?.0, None),
    };
    let bytes = |function: &Function| -> Result<u64, Error> {
        let stats = plan(function, Isa::best().into())?;
        let all = [stats.state_bytes_bound, stats.scratch_bytes, stats.constant_bytes, stats.feed_bytes];
        Ok((all.iter().sum::<usize>() + stats.output_bytes + threads * stats.thread_bytes) as u64)
    };
    let dimensions = looking.outputs.first().map_or(0, |(_, features)| looking.ty(*features).shape[1]);
    let trained = training.as_ref().map_or(Ok(0), bytes)?;
    Ok(Needs { bytes: bytes(&looking)?.max(trained), dimensions })
}

/// The same for the channels of stacked digits.
fn apart<'a>(wanted: &'a mut Wanted<'_>, stack: &Stack) -> Wanted<'a> {
    Wanted {
        train: stack.apart(&wanted.train),
        test: wanted.test.as_ref().map(|test| stack.apart(test)),
        executor: wanted.executor.clone(),
        cache: wanted.cache.clone(),
        watch: &mut *wanted.watch,
    }
}

/// The share of samples of a labelled set that a classifier of one head tells rightly, asked about at most so many.
///
/// # Errors
/// The set has samples of another shape or no labels; the extractor's own.
pub fn accuracy(extractor: &mut dyn Extractor, set: &Dataset, most: u64) -> Result<f64, Error> {
    if extractor.shape() != set.shape() {
        return Err(Error::Refused(format!(
            "{} takes samples of shape {:?}, {} has {:?}: nobody can be asked of them",
            extractor.name(),
            extractor.shape(),
            set.spec(),
            set.shape()
        )));
    }
    let classes = extractor.classes().unwrap_or(0);
    let size: usize = set.elements();
    let count = set.len().map_or(most, |items| items.min(most));
    let (mut right, mut asked) = (0u64, 0u64);
    // At equal distances, so that a set sorted by class is asked about all of them.
    let every = set.len().map_or(1, |items| (items / count.max(1)).max(1));
    while asked < count {
        let batch = (count - asked).min(BATCH as u64);
        let indices: Vec<u64> = (asked..asked + batch).map(|i| i * every).collect();
        let (mut samples, mut labels) = (vec![0.0; indices.len() * size], vec![0; indices.len()]);
        set.fill(&indices, &mut samples, Some(&mut labels))?;
        let found = extractor.extract(&samples)?.probabilities.unwrap_or_default();
        right +=
            found.chunks_exact(classes.max(1)).zip(&labels).filter(|(p, l)| best(p) as i32 == **l).count()
                as u64;
        asked += batch;
    }
    Ok(right as f64 / asked.max(1) as f64)
}

/// The place of the largest value, the first of equal ones.
pub fn best(values: &[f32]) -> usize {
    values.iter().enumerate().fold(0, |best, (i, &v)| if v > values[best] { i } else { best })
}

/// The same of f64 values.
pub fn best_of(values: &[f64]) -> usize {
    values.iter().enumerate().fold(0, |best, (i, &v)| if v > values[best] { i } else { best })
}

/// A sum over the parts of something.
pub(crate) fn hash_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ganymede_cpu::ExecutorOptions;
    use ganymede_data::{OpenOptions, open as open_data};

    #[test]
    fn the_registry_is_sound() {
        let mut names = std::collections::HashSet::new();
        for kind in EXTRACTORS {
            assert!(names.insert(kind.name()), "two extractors are named {}", kind.name());
            assert!(kind.about().len() > 40 && kind.about().ends_with('.'), "{}", kind.name());
        }
        let executor = Executor::new(ExecutorOptions::default()).unwrap();
        let train = Arc::new(open_data("glyphs", &OpenOptions::default()).unwrap());
        let mut wanted = Wanted { train, test: None, executor, cache: None, watch: &mut () };
        let error = open(Some("clasifier"), &mut wanted).err().unwrap().to_string();
        assert!(error.contains("classifier") && error.contains(".safetensors"), "{error}");
    }
}
