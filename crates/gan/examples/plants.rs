//! How well the checks of `ganymede eval` tell faults: planted ones, on top of trained runs, and runs as they are.
//!
//!     cargo run --release -p ganymede --example plants -- DATA RUN.. [--n N] [--plant RUNS] [--overfit STEPS]
//!
//! Each run or checkpoint is taken for healthy and examined as it is; the first so many (`--plant`, all) then with faults planted
//! in their samples: classes lost, copies of training images (exact, shifted, brighter, mirrored, noisy), few images. With
//! `--overfit`, the first run's recipe is trained for so many steps on 250 images of DATA, and its discriminator asked. A line
//! each, and the shares at the end; the exit code is 1 where fewer than nine of ten plants are named, or more than one run in twenty
//! is accused.

use ganymede::checkpoint::{self, Checkpoint};
use ganymede::eval::{Drawn, Evaluator, Examined, Options, SampleSource, SourceInfo};
use ganymede::{Error, Objective, Recipe, Trainer};
use ganymede_cpu::{Executor, ExecutorOptions, Session};
use ganymede_data::{Dataset, OpenOptions, Split, open, with_parameter};
use ganymede_metrics::stats::Random;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// A fault.
#[derive(Clone, Copy, Debug)]
enum Plant {
    /// Samples of the first so many classes are replaced by others.
    Lost(usize),
    /// A share of the samples is copies, changed so.
    Copies(f64, Change),
    /// So many different samples.
    Few(u64),
    /// Classes are not listened to: each sample is called of the next class. Of conditional runs.
    Deaf,
}

/// What is done to a copy.
#[derive(Clone, Copy, Debug)]
enum Change {
    None,
    Shifted,
    Brighter,
    Mirrored,
    Noisy,
}

const PLANTS: &[Plant] = &[
    Plant::Lost(1),
    Plant::Lost(5),
    Plant::Copies(0.1, Change::None),
    Plant::Copies(0.3, Change::None),
    Plant::Copies(1.0, Change::None),
    Plant::Copies(0.3, Change::Shifted),
    Plant::Copies(1.0, Change::Shifted),
    Plant::Copies(0.3, Change::Brighter),
    Plant::Copies(0.3, Change::Mirrored),
    Plant::Copies(0.3, Change::Noisy),
    Plant::Few(1),
    Plant::Few(100),
    Plant::Few(1000),
    Plant::Deaf,
];

impl Plant {
    /// Findings of which one must be flagged.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Lost(_) => &["missing classes", "lost part of the data"],
            Self::Copies(..) => &["copied samples"],
            Self::Few(_) => &["different samples"],
            Self::Deaf => &["classes not listened to"],
        }
    }
}

/// Samples of a run with a fault.
struct Planted<'a, 'b> {
    inner: &'a mut Drawn<'b>,
    plant: Plant,
    training: &'a Dataset,
    /// The class of a sample, as the judge of [`classes`] sees it; for lost classes.
    class: &'a dyn Fn(u64) -> usize,
}

impl Planted<'_, '_> {
    fn copy(&self, i: u64, change: Change) -> Result<Vec<f32>, Error> {
        let mut random = Random::new(i ^ 0x636f_7079);
        let index = random.below(self.training.len().unwrap_or(1) as usize) as u64;
        let shape = self.training.shape().to_vec();
        let mut image = vec![0.0; self.training.elements()];
        self.training.fill(&[index], &mut image, None)?;
        let (w, c) = (shape[1], shape[2]);
        Ok(match change {
            Change::None => image,
            Change::Shifted => {
                let back = image[0];
                let (down, right) = ((i % 2) as usize, 1 - (i % 2) as usize);
                let at = |y: usize, x: usize, k: usize| match y < down || x < right {
                    true => back,
                    false => image[((y - down) * w + x - right) * c + k],
                };
                (0..image.len()).map(|j| at(j / (w * c), j / c % w, j % c)).collect()
            }
            Change::Brighter => image.iter().map(|v| 0.85 * v + 0.1).collect(),
            Change::Mirrored => {
                (0..image.len()).map(|j| image[(j / (w * c) * w + w - 1 - j / c % w) * c + j % c]).collect()
            }
            Change::Noisy => image.iter().map(|v| v + 0.1 * (random.unit() as f32 - 0.5)).collect(),
        })
    }

    /// Samples of the run in place of those asked for, by their numbers.
    fn others(&mut self, first: u64, count: usize, other: impl Fn(u64) -> u64) -> Result<Vec<f32>, Error> {
        let mut samples = Vec::new();
        for i in first..first + count as u64 {
            samples.extend(self.inner.take(other(i), 1)?.0);
        }
        Ok(samples)
    }
}

/// Samples whose class is known.
const CLASSIFIED: u64 = 20_000;

impl SampleSource for Planted<'_, '_> {
    fn info(&self) -> SourceInfo {
        self.inner.info()
    }
    fn shape(&self) -> &[usize] {
        self.training.shape()
    }
    fn take(&mut self, first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
        match self.plant {
            Plant::Deaf => {
                let (samples, labels) = self.inner.take(first, count)?;
                let classes = self.inner.classes().unwrap_or(1) as i32;
                let next = |of: Vec<i32>| of.into_iter().map(|class| (class + 1) % classes).collect();
                Ok((samples, labels.map(next)))
            }
            Plant::Copies(share, change) => {
                // Drawn together, and copies put in their places.
                let (mut samples, _) = self.inner.take(first, count)?;
                let size = self.training.elements();
                for (i, sample) in (first..).zip(samples.chunks_exact_mut(size)) {
                    if Random::new(i ^ 0x7368_6172).unit() < share {
                        sample.copy_from_slice(&self.copy(i, change)?);
                    }
                }
                Ok((samples, None))
            }
            Plant::Few(images) => Ok((self.others(first, count, |i| i % images)?, None)),
            Plant::Lost(classes) => {
                // Another sample in place of one that is lost, far from those that are asked for.
                let class = self.class;
                let kept = |mut of: u64| {
                    while class(of) < classes {
                        of = (of + 1_000_003) % CLASSIFIED;
                    }
                    of
                };
                Ok((self.others(first, count, kept)?, None))
            }
        }
    }
}

struct Asked {
    data: String,
    runs: Vec<PathBuf>,
    n: usize,
    plant: usize,
    overfit: Option<u64>,
}

fn asked() -> Result<Asked, String> {
    let mut words = std::env::args().skip(1);
    let mut found =
        Asked { data: String::new(), runs: Vec::new(), n: 5000, plant: usize::MAX, overfit: None };
    while let Some(word) = words.next() {
        let mut number =
            || words.next().and_then(|n| n.parse::<u64>().ok()).ok_or(format!("{word} takes a number"));
        match word.as_str() {
            "--n" => found.n = number()? as usize,
            "--plant" => found.plant = number()? as usize,
            "--overfit" => found.overfit = Some(number()?),
            _ if found.data.is_empty() => found.data = word,
            _ => found.runs.push(word.into()),
        }
    }
    if found.runs.is_empty() {
        Err("usage: plants DATA RUN.. [--n N] [--plant RUNS] [--overfit STEPS]".into())
    } else {
        Ok(found)
    }
}

fn loaded(path: &Path, executor: &Arc<Executor>) -> Result<(Objective, Session, SourceInfo), Error> {
    let (Checkpoint { path, progress, store }, _) = checkpoint::open(path)?;
    let objective = Objective::new(Recipe::parse(&path.display().to_string(), &progress.recipe, &[])?)?;
    let info = SourceInfo {
        step: Some(progress.step),
        images: Some(progress.images),
        ..SourceInfo::named(path.display().to_string())
    };
    Ok((objective, Session::new(executor.clone(), store), info))
}

fn flagged(examined: &Examined) -> Vec<&'static str> {
    examined.report.findings.iter().filter(|f| f.flagged).map(|f| f.name).collect()
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let Asked { data, runs, n, plant, overfit } = asked()?;
    let executor = Executor::new(ExecutorOptions::default())?;
    let options = Options { n: Some(n), metrics: Some(vec!["frechet".into()]), ..Options::default() };
    let mut of = Evaluator::open(&data, None, options.clone(), executor.clone())?;
    let training = open(&data, &OpenOptions::default())?;
    let (mut accused, mut named, mut planted) = (0, 0, 0);
    for (i, run) in runs.iter().enumerate() {
        let (objective, mut session, info) = loaded(run, &executor)?;
        let path = info.path.clone();
        let mut drawn = Drawn::new(&objective, &mut session, 0, info);
        let examined = of.examine(&mut drawn, &mut ())?;
        let faults = flagged(&examined);
        accused += usize::from(!faults.is_empty());
        println!(
            "{path} as it is: {}",
            if faults.is_empty() { "nothing wrong".into() } else { faults.join(", ") }
        );
        let figures: Vec<String> =
            examined.report.findings.iter().map(|f| format!("{} {:.4}", f.name, f.value)).collect();
        println!("    {}", figures.join(", "));
        if i >= plant {
            continue;
        }
        // A conditional generator is asked for its classes one after the other; of others each sample is classified.
        let classes = objective.recipe.data.classes;
        let known = classes.map_or_else(
            || of.classes_of(&mut drawn, CLASSIFIED as usize),
            |n| Ok((0..CLASSIFIED as usize).map(|i| i % n).collect()),
        )?;
        let class = |i: u64| known[i as usize % known.len()];
        for &plant in PLANTS.iter().filter(|plant| classes.is_some() || !matches!(plant, Plant::Deaf)) {
            let mut source = Planted { inner: &mut drawn, plant, training: &training, class: &class };
            let examined = of.examine(&mut source, &mut ())?;
            let faults = flagged(&examined);
            let found = plant.names().iter().any(|name| faults.contains(name));
            planted += 1;
            named += usize::from(found);
            println!("  {plant:?}: {} ({})", if found { "named" } else { "MISSED" }, faults.join(", "));
        }
    }
    if let (Some(steps), Some(run)) = (overfit, runs.first()) {
        let few = with_parameter(&data, "limit", "250");
        let set = Arc::new(open(&few, &OpenOptions::default())?);
        let test = Arc::new(open(&few, &OpenOptions { split: Split::Test, ..OpenOptions::default() })?);
        let (mut objective, ..) = loaded(run, &executor)?;
        // It is trained anew, on other data than the run.
        objective.recipe.run = None;
        let images = steps * objective.recipe.train.batch as u64;
        let mut trainer = Trainer::new(objective, set.clone(), executor.clone(), 0, images)?;
        let mut of =
            Evaluator::new(set, Some(test), options, executor.clone(), ganymede::extractors::cache_folder())?;
        for step in 1..=steps {
            trainer.step()?;
            if step % (steps / 8).max(1) == 0 {
                let (objective, session) = trainer.parts_mut();
                let info = SourceInfo { step: Some(step), ..SourceInfo::named("overfitted") };
                let examined = of.examine(&mut Drawn::new(objective, session, 0, info), &mut ())?;
                let figure = examined.report.findings.iter().find(|f| f.check == "overfitting");
                let told = figure.map_or("not checked".into(), |f| format!("{:.3} {}", f.value, f.sentence));
                println!("overfitted for {step} steps: {told}");
                if step == steps {
                    planted += 1;
                    named += usize::from(figure.is_some_and(|f| f.flagged));
                }
            }
        }
    }
    println!("{named} of {planted} plants named, {accused} of {} runs accused", runs.len());
    let good = 10 * named >= 9 * planted && 20 * accused <= runs.len().max(20);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
