//! Where samples come from: a trained generator, a folder of images, a set of real ones.

use crate::error::Error;
use crate::judge::Judge;
use crate::latent::{Codes, Space, Synthesizer, lerp, slerp};
use crate::picture::read_image;
use crate::sampler::{Asked, Sampler};
use crate::step::Objective;
use ganymede_cpu::Session;
use ganymede_data::{Dataset, Loader, Spec, is_hidden, is_picture, is_read};
use ganymede_metrics::stats::Random;
use serde::Serialize;
use std::collections::HashMap;
use std::path::{self, PathBuf};
use std::sync::Arc;

/// Paths that are followed at once.
const CHUNK: usize = 512;
/// Sets the places on paths apart from other draws under the same seed.
const PATHS: u64 = 0x7061_7468;

/// Where samples come from, for reports.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceInfo {
    /// The checkpoint or folder.
    pub path: String,
    /// Generator steps of the checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Real samples that its discriminator was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<u64>,
    /// Arithmetic of the generator, where one draws them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
    /// What the generator was trained on, where one draws them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_on: Option<TrainedOn>,
    /// Batches over which the statistics of its batch norm were taken anew; none where they are the running ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing_statistics: Option<usize>,
}

/// The data of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrainedOn {
    /// As they were given.
    pub data: String,
    /// BLAKE3 sum of their content.
    pub data_hash: String,
    /// Version of the program that began the run.
    pub version: String,
}

impl SourceInfo {
    /// Samples of which nothing is known but what they are called.
    pub fn named(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

/// Between which codes, and where, a path of a generator's codes is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Between latents, on the sphere, anywhere: equation 2 of Karras, Laine and Aila 2019.
    Latents,
    /// Between styles, straight, anywhere: equation 3.
    Styles,
    /// Between styles, at the first: what Karras et al. 2020 (StyleGAN2) and later report.
    StylesEnd,
}

impl Path {
    /// Every path.
    pub const ALL: [Path; 3] = [Path::Latents, Path::Styles, Path::StylesEnd];

    /// What it is, for a figure's name.
    pub fn words(self) -> &'static str {
        match self {
            Path::Latents => "latents, full",
            Path::Styles => "styles, full",
            Path::StylesEnd => "styles, end",
        }
    }

    fn space(self) -> Space {
        match self {
            Path::Latents => Space::Latent,
            Path::Styles | Path::StylesEnd => Space::Styles,
        }
    }
}

/// Takes samples at both ends of steps, some at a time.
pub type Steps<'a> = &'a mut dyn FnMut(&[f32], &[f32]) -> Result<(), Error>;

/// Samples by number.
pub trait SampleSource {
    /// Where they come from.
    fn info(&self) -> SourceInfo;
    /// Shape of a sample.
    fn shape(&self) -> &[usize];
    /// How many there are; `None` without an end.
    fn available(&self) -> Option<usize> {
        None
    }
    /// How many classes they are of, where each is known to be of one. Their numbers are the data's, of which there may be
    /// more.
    fn classes(&self) -> Option<usize> {
        None
    }
    /// Samples `first..first + count` in [-1, 1], one after the other, and their classes if known.
    ///
    /// # Errors
    /// What drawing or reading them says.
    fn take(&mut self, first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error>;
    /// What the discriminator that was trained beside the generator makes of samples of these classes, as far as they fill
    /// its batches; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Unsuited`] of a discriminator that cannot judge samples one by one; the executor's own.
    fn logits(&mut self, _samples: &[f32], _labels: &[i32]) -> Result<Option<Vec<f32>>, Error> {
        Ok(None)
    }
    /// The paths of codes that can be followed, where samples come from a generator at hand.
    fn paths(&self) -> &[Path] {
        &[]
    }
    /// Samples where each of `count` paths is, and a step of `epsilon` of its length farther on, as they are.
    ///
    /// # Errors
    /// There is no such path, or what drawing says.
    fn along(&mut self, path: Path, _count: usize, _epsilon: f64, _each: Steps<'_>) -> Result<(), Error> {
        Err(Error::Refused(format!("{}: there are no codes to follow ({})", self.info().path, path.words())))
    }
}

/// What the data that samples are compared with call the classes of a run.
enum Numbers {
    /// By the run's own numbers.
    Own,
    /// The number of each.
    Theirs(Vec<i32>),
    /// They do not have them.
    Unknown,
}

/// Samples of a trained generator.
pub struct Drawn<'a> {
    objective: &'a Objective,
    session: &'a mut Session,
    sampler: Sampler,
    judge: Option<Judge>,
    seed: u64,
    info: SourceInfo,
    numbers: Numbers,
}

impl<'a> Drawn<'a> {
    /// From the state in a session, with the latents of a seed. The session's precision goes into `info`, and what the recipe
    /// says of the data.
    pub fn new(objective: &'a Objective, session: &'a mut Session, seed: u64, info: SourceInfo) -> Self {
        let run = objective.recipe.run.as_ref().filter(|run| !run.data_hash.is_empty());
        let trained_on = run.map(|run| TrainedOn {
            data: run.data.clone(),
            data_hash: run.data_hash.clone(),
            version: run.version.clone(),
        });
        let info = SourceInfo { precision: Some(session.precision().to_string()), trained_on, ..info };
        let sampler = Sampler::new(seed);
        Self { objective, session, sampler, judge: None, seed, info, numbers: Numbers::Own }
    }

    /// With the numbers that these data give to classes of the same names, where the run knows their names: another set
    /// may have them in another order. Where it has no class of such a name, classes of samples are not told, and the
    /// reason is.
    #[must_use]
    pub fn numbered_as(mut self, data: &Dataset) -> (Self, Option<String>) {
        let own = self.objective.recipe.run.as_ref().map_or(&[][..], |run| &run.classes);
        let theirs = data.classes().unwrap_or_default();
        let told = self.objective.recipe.data.classes;
        if Some(own.len()) != told || theirs.is_empty() || own == theirs {
            return (self, None);
        }
        let number = |name: &String| theirs.iter().position(|other| other == name).map(|at| at as i32);
        let unknown = own.iter().find(|name| number(name).is_none());
        let (numbers, why) = match unknown {
            None => (Numbers::Theirs(own.iter().filter_map(number).collect()), None),
            Some(name) => {
                let why = format!(
                    "{}: the run makes the class `{name}`, and {} has none of that name (it has {}): no class is asked of its \
                     samples",
                    self.info.path,
                    data.spec(),
                    theirs.join(", ")
                );
                (Numbers::Unknown, Some(why))
            }
        };
        self.numbers = numbers;
        (self, why)
    }
}

impl SampleSource for Drawn<'_> {
    fn info(&self) -> SourceInfo {
        self.info.clone()
    }

    fn shape(&self) -> &[usize] {
        &self.objective.recipe.data.shape
    }

    fn classes(&self) -> Option<usize> {
        self.objective.recipe.data.classes.filter(|_| !matches!(self.numbers, Numbers::Unknown))
    }

    fn paths(&self) -> &[Path] {
        match self.objective.code_shape(Space::Styles) {
            Some(_) => &Path::ALL,
            None => &Path::ALL[..1],
        }
    }

    fn along(&mut self, path: Path, count: usize, epsilon: f64, each: Steps<'_>) -> Result<(), Error> {
        let mut synthesizer = Synthesizer::new(self.objective, self.session, self.seed);
        let classes = self.objective.recipe.data.classes;
        let mut random = Random::new(self.seed ^ PATHS);
        for first in (0..count).step_by(CHUNK) {
            let paths = CHUNK.min(count - first);
            let mut codes = synthesizer.latents(2 * first as u64, 2 * paths)?;
            // Both ends are of one class, so that the path is within it.
            if let Some(classes) = classes {
                let of = (0..2 * paths).map(|i| (first + i / 2) % classes).collect();
                codes = Codes::new(codes.space(), codes.shape(), codes.values().to_vec(), Some(of))?;
            }
            if path.space() == Space::Styles {
                codes = synthesizer.styles(&codes)?;
            }
            let mut ends = [codes.none_like(), codes.none_like()];
            for i in 0..paths {
                let (a, b) = (codes.code(2 * i), codes.code(2 * i + 1));
                let t = match path {
                    Path::Latents | Path::Styles => random.unit(),
                    Path::StylesEnd => 0.0,
                };
                for (end, t) in ends.iter_mut().zip([t, t + epsilon]) {
                    let code = match path.space() {
                        Space::Latent => slerp(a, b, t),
                        Space::Styles => lerp(a, b, t),
                    };
                    end.push(&code, codes.class(2 * i));
                }
            }
            // One after the other, not together: each sample then has the place in its batch, and so the noise, that the
            // other has.
            let [from, to] = ends;
            let from = synthesizer.samples(&from, &mut |_| {})?;
            let to = synthesizer.samples(&to, &mut |_| {})?;
            each(&from, &to)?;
        }
        Ok(())
    }

    fn take(&mut self, first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
        let samples = self.sampler.draw(self.objective, self.session, first, count)?;
        let number = |class: usize| match &self.numbers {
            Numbers::Theirs(numbers) => numbers[class],
            Numbers::Own | Numbers::Unknown => class as i32,
        };
        let of = |classes| (first..first + count as u64).map(move |i| number(Asked::Each.class(i, classes)));
        Ok((samples, self.classes().map(|classes| of(classes).collect())))
    }

    fn logits(&mut self, samples: &[f32], labels: &[i32]) -> Result<Option<Vec<f32>>, Error> {
        let own: Option<Vec<i32>> = match &self.numbers {
            Numbers::Own => Some(labels.to_vec()),
            Numbers::Theirs(numbers) => {
                let class =
                    |label: &i32| numbers.iter().position(|number| number == label).map(|own| own as i32);
                labels.iter().map(class).collect()
            }
            Numbers::Unknown => None,
        };
        // Without any, a discriminator that is told classes says that it cannot judge.
        let own = own.unwrap_or_default();
        if self.judge.is_none() {
            self.judge = Some(Judge::of_many(self.objective, self.session)?);
        }
        self.judge.as_ref().map(|judge| judge.logits(self.objective, self.session, samples, &own)).transpose()
    }
}

/// A folder of images from any program, in an order that the seed gives; sub-folders that are named like the classes of
/// the data label them.
pub struct Images {
    root: PathBuf,
    shape: Vec<usize>,
    files: Vec<(PathBuf, Option<i32>)>,
    classes: Option<usize>,
}

impl Images {
    /// Lists the images of a folder and its sub-folders, those that links lead to among them; hidden ones are left out.
    ///
    /// # Errors
    /// It cannot be read, holds no images or some of formats that are not read, leads to a folder twice, or only some of its
    /// sub-folders are named like classes.
    pub fn open(root: &path::Path, data: &Dataset, seed: u64) -> Result<Self, Error> {
        let shape = data.shape().to_vec();
        if shape.len() != 3 {
            return Err(Error::Refused(format!(
                "{}: a folder of images cannot be compared with {}, whose samples have shape {shape:?}",
                root.display(),
                data.spec()
            )));
        }
        refuse_the_data_themselves(root, data)?;
        let mut listing = Listing::default();
        listing.add(root)?;
        let Listing { images: mut found, mut others, .. } = listing;
        others.sort();
        if let [first, more @ ..] = &others[..] {
            let (more, them) = match more.len() {
                0 => (String::new(), "it"),
                n => (format!(" and {n} more"), "them"),
            };
            return Err(Error::Refused(format!(
                "{}{more}: PNG and JPEG alone are read, and fewer images than there are would be scored: convert {them}, or \
                 move {them} elsewhere",
                first.display()
            )));
        }
        if found.is_empty() {
            return Err(Error::Refused(format!(
                "{}: neither a run (a folder with checkpoints/step-N.safetensors) nor a folder with images that end in \
                 .png, .jpg or .jpeg",
                root.display()
            )));
        }
        // Sorted first: the order in which a folder is listed is the file system's.
        found.sort();
        let folder = |path: &PathBuf| {
            let below = path.strip_prefix(root).ok()?.parent()?.components().next()?;
            Some(below.as_os_str().to_string_lossy().into_owned())
        };
        let names = data.classes().unwrap_or_default();
        let class = |path: &PathBuf| names.iter().position(|name| Some(name) == folder(path).as_ref());
        let labels: Vec<Option<i32>> = found.iter().map(|path| class(path).map(|c| c as i32)).collect();
        let known = labels.iter().flatten().count();
        if known > 0
            && let Some(at) = labels.iter().position(Option::is_none)
        {
            return Err(Error::Refused(format!(
                "{}: some sub-folders are named like classes of {}, but this image is in none of them: move it, or \
                 rename the folders so that none is",
                found[at].display(),
                data.spec()
            )));
        }
        let mut files: Vec<_> = found.into_iter().zip(labels).collect();
        let mut random = Random::new(seed ^ 0x666f_6c64);
        for i in (1..files.len()).rev() {
            files.swap(i, random.below(i + 1));
        }
        let classes = (known > 0).then_some(names.len());
        Ok(Self { root: root.to_path_buf(), shape, files, classes })
    }
}

/// Refuses a folder that holds the data, or lies in them: the score of samples against themselves.
fn refuse_the_data_themselves(root: &path::Path, data: &Dataset) -> Result<(), Error> {
    let base = Spec::parse(data.spec()).ok().map(|spec| PathBuf::from(spec.base()));
    let (Some(base), Ok(root)) = (base.and_then(|base| base.canonicalize().ok()), root.canonicalize()) else {
        return Ok(());
    };
    if root.starts_with(&base) || base.starts_with(&root) {
        return Err(Error::Refused(format!(
            "{}: these are the data themselves ({}), and samples are compared with others: name a folder of generated images",
            root.display(),
            data.spec()
        )));
    }
    Ok(())
}

/// What lies below a folder.
#[derive(Default)]
struct Listing {
    images: Vec<PathBuf>,
    /// Pictures of other formats.
    others: Vec<PathBuf>,
    /// The folders looked through: the way to each by its real path.
    seen: HashMap<PathBuf, PathBuf>,
}

impl Listing {
    fn add(&mut self, folder: &path::Path) -> Result<(), Error> {
        let real = folder.canonicalize().map_err(Error::io(folder, "read the folder"))?;
        if let Some(before) = self.seen.insert(real, folder.to_path_buf()) {
            // A link to a folder above would lead round and round, any other would count images twice.
            return Err(Error::Refused(format!(
                "{} is the same folder as {}: remove the link",
                folder.display(),
                before.display()
            )));
        }
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder, "read the folder"))? {
            let entry = entry.map_err(Error::io(folder, "read the folder"))?;
            let path = entry.path();
            if is_hidden(&entry.file_name()) {
                continue;
            }
            // Of what a link leads to; one that leads nowhere is an error and no smaller set.
            if std::fs::metadata(&path).map_err(Error::io(&path, "look at"))?.is_dir() {
                self.add(&path)?;
            } else if is_read(&path) {
                self.images.push(path);
            } else if is_picture(&path) {
                self.others.push(path);
            }
        }
        Ok(())
    }
}

impl SampleSource for Images {
    fn info(&self) -> SourceInfo {
        SourceInfo::named(self.root.display().to_string())
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn available(&self) -> Option<usize> {
        Some(self.files.len())
    }

    fn classes(&self) -> Option<usize> {
        self.classes
    }

    fn take(&mut self, first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
        let files = self.files.get(first as usize..first as usize + count).ok_or_else(|| {
            Error::Refused(format!("{}: it has {} images", self.root.display(), self.files.len()))
        })?;
        let mut samples = Vec::with_capacity(count * self.shape.iter().product::<usize>());
        for (path, _) in files {
            samples.extend(read_image(path, &self.shape).map_err(Error::Refused)?);
        }
        Ok((samples, files.iter().map(|(_, label)| *label).collect()))
    }
}

/// Real samples in a shuffled order, each once before any comes again.
pub(super) struct Real {
    set: Arc<Dataset>,
    loader: Loader,
    /// What the last batch left over.
    left: (Vec<f32>, Vec<i32>),
}

impl Real {
    pub(super) fn new(set: Arc<Dataset>, seed: u64) -> Result<Self, Error> {
        let batch = set.len().map_or(256, |items| items.min(256)) as usize;
        let loader = Loader::new(set.clone(), batch, seed, 0)?;
        Ok(Self { set, loader, left: (Vec::new(), Vec::new()) })
    }
}

impl SampleSource for Real {
    fn info(&self) -> SourceInfo {
        SourceInfo::named(self.set.spec())
    }

    fn shape(&self) -> &[usize] {
        self.set.shape()
    }

    fn available(&self) -> Option<usize> {
        self.set.len().map(|items| items as usize)
    }

    fn classes(&self) -> Option<usize> {
        self.set.classes().map(<[String]>::len)
    }

    /// The next ones, whatever their number: they are looked at once, in order.
    fn take(&mut self, _first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
        let size = self.set.elements();
        let (mut samples, mut labels) = std::mem::take(&mut self.left);
        while samples.len() < count * size {
            let batch = self.loader.next_batch()?;
            samples.extend_from_slice(&batch.data);
            labels.extend_from_slice(batch.labels.as_deref().unwrap_or(&[]));
            self.loader.recycle(batch);
        }
        self.left = (samples.split_off(count * size), labels.split_off(count.min(labels.len())));
        Ok((samples, self.set.classes().is_some().then_some(labels)))
    }
}
