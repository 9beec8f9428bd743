//! A run on disk: the folder, the training loop, checkpoints, samples and the guard against divergence.

mod folder;
mod guard;
mod length;
mod scoring;
mod watch;
mod window;

pub use folder::RunFolder;
use guard::MAX_SKIPS;
pub use length::{Length, planned_images};
use length::{next_measurement, steps_left};
use scoring::Scoring;
use watch::Watch;
pub use watch::{Seen, Trouble};

use crate::best::Best;
use crate::checkpoint::{self, Checkpoint};
use crate::error::Error;
use crate::picture;
use crate::recipe::Recipe;
use crate::sampler::Sampler;
use crate::standing::Standing;
use crate::step::Objective;
use crate::trainer::{StepReport, Trainer};
use crate::transfer::{Origin, transfer};
use ganymede_cpu::{Executor, Session};
use ganymede_data::Dataset;
use ganymede_metrics::mixture::{Mixture2d, MixtureScore, Sigma};
use serde::Serialize;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use window::{Rate, Window};

/// Sample grids and log lines over a whole run.
const TICKS: u64 = 40;
/// Images in a sample grid.
pub const GRID: usize = 64;
/// Most classes that have a column of a grid each.
const CLASS_COLUMNS: usize = 16;
/// Longest side of a sample grid in pixels; larger images are drawn in smaller grids.
const GRID_SIDE: usize = 4096;
/// Points in a scatter plot.
const POINTS: usize = 2000;
/// Samples that are scored against a known mixture at the end of a run.
pub const SCORED: usize = 10_000;
/// Checkpoints kept.
const KEEP: usize = 2;
/// Shortest time between two checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
/// Checkpoints take at most one part in this many of the time.
const CHECKPOINT_SHARE: u32 = 30;

/// A line of `log.jsonl`.
#[derive(Clone, Debug, Serialize)]
pub struct Tick {
    /// Generator steps done.
    pub step: u64,
    /// Real samples shown to the discriminator.
    pub images: u64,
    /// Length of the run.
    pub total_images: u64,
    /// Seconds of training, over all sessions of the run.
    pub seconds: f64,
    /// Real samples a second since the last tick.
    pub images_per_second: f64,
    /// Means since the last tick.
    pub d_loss: f64,
    /// Mean of the penalties.
    pub d_penalty: f64,
    /// Mean logit of real samples.
    pub d_real: f64,
    /// Mean logit of generated samples.
    pub d_fake: f64,
    /// Mean generator loss, without penalties.
    pub g_loss: f64,
    /// Mean of the generator's penalties.
    pub g_penalty: f64,
    /// Factor on the learning rates.
    pub lr_scale: f64,
    /// Phases skipped since the beginning because a value was not finite.
    pub skipped: u64,
    /// Rollbacks since the beginning.
    pub rollbacks: u32,
    /// Share of the time spent waiting for data.
    pub data_wait: f64,
    /// The sample picture of this tick, relative to the run folder.
    pub samples: String,
    /// Score of this tick's samples, where the recipe names a metric and it is defined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Whether it is the best so far, which is then kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub best: bool,
    /// How many times as often two samples are of the same kind, and nearly the same, as two real ones; around 1 where they
    /// are as varied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variety: Option<[f64; 2]>,
    /// Where samples are held out: how far they lie on the way from training to generated ones, by the discriminator's
    /// logits (r_v of Karras et al. 2020).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overfitting: Option<f64>,
    /// What has been wrong for some ticks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trouble: Vec<Trouble>,
}

/// Follows a run: the command line shows progress with it.
pub trait Observer {
    /// After every step.
    fn step(&mut self, _trainer: &Trainer, _report: &StepReport, _rate: f64) {}
    /// After every tick.
    fn tick(&mut self, _tick: &Tick, _samples: &Path) {}
    /// Something worth a sentence.
    fn note(&mut self, _message: &str) {}
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The run folder.
    pub root: PathBuf,
    /// The last sample picture.
    pub samples: PathBuf,
    /// The last checkpoint.
    pub checkpoint: PathBuf,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Generator steps done.
    pub step: u64,
    /// Real samples shown.
    pub images: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// For points of a known mixture: how [`SCORED`] samples compare with it.
    pub mixture: Option<MixtureScore>,
    /// The best checkpoint of the run and its score, where the recipe names a metric.
    pub best: Option<(PathBuf, Best)>,
}

/// A run in its folder.
pub struct Run {
    folder: RunFolder,
    trainer: Trainer,
    dataset: Arc<Dataset>,
    seed: u64,
    sampler: Sampler,
    standing: Option<Standing>,
    scoring: Option<Scoring>,
    watch: Option<Watch>,
    minutes: Option<f64>,
    saved: Option<(u64, Instant, Duration)>,
    /// What is worth a sentence and happened before anyone listened.
    notes: Vec<String>,
    /// Held as long as the run is: no other process trains in the folder.
    _lock: Option<File>,
}

impl Run {
    /// Begins a run in a new folder and writes its first checkpoint, so that an unwritable or full disk is found out
    /// before any work is done.
    pub fn begin(
        folder: RunFolder,
        recipe: Recipe,
        dataset: Arc<Dataset>,
        executor: Arc<Executor>,
        seed: u64,
        length: Length,
    ) -> Result<Self, Error> {
        Self::begin_from(folder, recipe, dataset, executor, seed, length, None)
    }

    /// The same with the weights of another run, if an origin is given.
    pub fn begin_from(
        folder: RunFolder,
        mut recipe: Recipe,
        dataset: Arc<Dataset>,
        executor: Arc<Executor>,
        seed: u64,
        length: Length,
        origin: Option<&Origin>,
    ) -> Result<Self, Error> {
        let images = planned_images(length, &recipe, &dataset)?;
        let minutes = match length {
            Length::Minutes(m) => Some(m),
            Length::Images(_) | Length::Steps(_) | Length::Epochs(_) => None,
        };
        let total = images.unwrap_or(u64::MAX);
        let lock = folder.lock()?;
        recipe.run = Some(crate::recipe::RunSpec {
            data: dataset.spec().to_string(),
            data_hash: dataset.hash().to_string(),
            seed,
            images: images.unwrap_or(0),
            classes: recipe.data.classes.and(dataset.classes()).unwrap_or_default().to_vec(),
            version: env!("CARGO_PKG_VERSION").into(),
            from: origin.map(|origin| origin.checkpoint.path.display().to_string()),
        });
        let begun = Objective::new(recipe).map_err(Error::from).and_then(|objective| {
            let mut notes = objective.remarks();
            let mut store = objective.initial_state_on(seed, &executor)?;
            if let Some(origin) = origin {
                notes.extend(transfer(&objective, &mut store, origin)?);
            }
            let trainer = Trainer::with_state(objective, dataset.clone(), executor, seed, total, store)?;
            let mut run = Self::assemble(folder.clone(), trainer, dataset, seed, notes, lock)?;
            run.minutes = minutes;
            run.write_recipe()?;
            run.save()?;
            Ok(run)
        });
        begun.inspect_err(|_| folder.discard())
    }

    fn assemble(
        folder: RunFolder,
        mut trainer: Trainer,
        dataset: Arc<Dataset>,
        seed: u64,
        notes: Vec<String>,
        lock: Option<File>,
    ) -> Result<Self, Error> {
        let executor = trainer.session().executor().clone();
        let scoring = Scoring::of(&trainer.objective().recipe, &dataset, &executor)?;
        let batches = trainer.objective().recipe.train.standing_statistics;
        let (objective, session) = trainer.parts_mut();
        let standing = (batches > 0).then(|| Standing::new(objective, session, seed, batches)).transpose()?;
        let sampler = Sampler::new(seed);
        let watch = Watch::new(&dataset)?;
        let (minutes, saved) = (None, None);
        Ok(Self {
            folder,
            trainer,
            dataset,
            seed,
            sampler,
            standing,
            scoring,
            watch,
            minutes,
            saved,
            notes,
            _lock: lock,
        })
    }

    /// Continues a run from a checkpoint of its folder. `images` may lengthen it; `recipe` may differ from the run's in
    /// keys that leave the state as it is, and rollbacks are then counted anew, with full learning rates.
    ///
    /// # Errors
    /// The folder is in use, the data are not those of the run, the recipe's state differs, or nothing says how long
    /// the run shall be.
    pub fn resume(
        folder: RunFolder,
        mut recipe: Recipe,
        mut checkpoint: Checkpoint,
        dataset: Arc<Dataset>,
        executor: Arc<Executor>,
        seed: u64,
        images: Option<u64>,
    ) -> Result<Self, Error> {
        let lock = folder.lock()?;
        let before = Recipe::parse(&checkpoint.path.display().to_string(), &checkpoint.progress.recipe, &[])?;
        let hash = dataset.hash().to_string();
        if let Some(begun) = &before.run
            && !begun.data_hash.is_empty()
            && begun.data_hash != hash
        {
            return Err(Error::Refused(format!(
                "{}: the run was begun on other data: {} with BLAKE3 sum {}, now {} with {hash}. A run goes on only on \
                 what it began with: put that back, or name where it is, or begin a new run",
                folder.root.display(),
                begun.data,
                begun.data_hash,
                dataset.spec(),
            )));
        }
        let progress = &mut checkpoint.progress;
        progress.total_images = images.unwrap_or(progress.total_images);
        if progress.total_images == u64::MAX {
            return Err(Error::Refused(format!(
                "{}: the run was stopped before its minutes had become a number of images: say how long it shall be \
                 with --images, --steps or --epochs",
                folder.root.display()
            )));
        }
        if let Some(run) = &mut recipe.run {
            run.images = progress.total_images;
            run.data_hash = hash;
        }
        let mut notes = Vec::new();
        if progress.rollbacks > 0 && !before.differences(&recipe.clone().resolved()).is_empty() {
            notes.push(format!(
                "the recipe has changed: rollbacks ({} so far) are counted anew, and the learning rates are the \
                 recipe's again, without bounds on gradients",
                progress.rollbacks
            ));
            guard::relax(progress);
        }
        let (was, now) = (before.train.precision, recipe.train.precision);
        if was != now {
            notes.push(format!(
                "the precision has changed from {} to {}: the run goes on, but not bit for bit as it would have",
                was,
                now
            ));
        }
        let metric = |recipe: &Recipe| recipe.best.as_ref().map(|best| best.metric.clone());
        let same = metric(&recipe).is_some() && metric(&before) == metric(&recipe);
        // A kept state may be of a later step than the checkpoint: then it is the one that this step leads to.
        let kept = same.then(|| checkpoint::load(&folder.best()).ok()).flatten();
        progress.best = kept.and_then(|kept| kept.progress.best);
        let step = progress.step;
        let trainer = Trainer::resume(Objective::new(recipe)?, dataset.clone(), executor, seed, checkpoint)?;
        let mut run = Self::assemble(folder, trainer, dataset, seed, notes, lock)?;
        run.saved = Some((step, Instant::now(), Duration::ZERO));
        for path in [run.folder.samples(), run.folder.checkpoints()] {
            std::fs::create_dir_all(&path).map_err(Error::io(&path, "make the folder"))?;
        }
        run.set_aside(step)?;
        if let Some(logged) = run.last_logged_step().filter(|logged| *logged > step) {
            let again = logged - step;
            run.notes.push(format!(
                "the log reaches step {logged}, the newest checkpoint step {step}: {again} steps are made again"
            ));
        }
        run.write_recipe()?;
        // Ticks after the checkpoint will be written again: this line tells the two apart.
        run.append_log(&serde_json::json!({"event": "resume", "step": step}))?;
        Ok(run)
    }

    /// Checkpoints of a later step belong to a course of the run that is being left.
    fn set_aside(&mut self, step: u64) -> Result<(), Error> {
        let folder = self.folder.checkpoints();
        let moved = checkpoint::set_aside(&folder, step)
            .map_err(Error::io(&folder, "set newer checkpoints aside"))?;
        self.notes.extend(moved.iter().map(|path| {
            format!("going on from step {step}, so a later checkpoint is set aside: {}", path.display())
        }));
        Ok(())
    }

    /// The objective beside the session, to draw samples from the current state.
    pub fn parts_mut(&mut self) -> (&Objective, &mut Session) {
        self.trainer.parts_mut()
    }

    /// The run in memory.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    fn write_recipe(&self) -> Result<(), Error> {
        let path = self.folder.recipe();
        let text = &self.trainer.progress().recipe;
        checkpoint::write_atomically(&path, text.as_bytes()).map_err(Error::io(&path, "write the recipe"))
    }

    fn save(&mut self) -> Result<PathBuf, Error> {
        let began = Instant::now();
        let progress = self.trainer.progress();
        let path = self.folder.checkpoint(progress.step);
        checkpoint::save(&path, self.trainer.store(), progress)?;
        self.saved = Some((progress.step, Instant::now(), began.elapsed()));
        let folder = self.folder.checkpoints();
        checkpoint::prune(&folder, KEEP).map_err(Error::io(&folder, "remove old checkpoints"))?;
        Ok(path)
    }

    /// The last step that the log tells of.
    fn last_logged_step(&self) -> Option<u64> {
        let text = std::fs::read_to_string(self.folder.log()).ok()?;
        let step = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?.get("step")?.as_u64();
        text.lines().rev().find_map(step)
    }

    fn append_log(&self, line: &serde_json::Value) -> Result<(), Error> {
        let path = self.folder.log();
        let write = || {
            let mut file = File::options().create(true).read(true).append(true).open(&path)?;
            // A line that a full disk or a kill cut short must not run into this one.
            let mut last = [b'\n'];
            if file.seek(SeekFrom::End(0))? > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            let start = if last == [b'\n'] { "" } else { "\n" };
            file.write_all(format!("{start}{line}\n").as_bytes())
        };
        write().map_err(Error::io(&path, "write the log"))
    }

    /// The samples of a tick: as many as its picture shows first, then those that are watched. They are drawn in requests of
    /// one size, so that no further program is made for them.
    fn samples_of_tick(&mut self) -> Result<Vec<f32>, Error> {
        let recipe = &self.trainer.objective().recipe;
        let (count, _) = samples_drawn(&recipe.data.shape, recipe.data.classes);
        let wanted = self.watch.as_ref().map_or(0, Watch::wanted);
        self.samples_by(count, wanted.max(count))
    }

    fn draw(&mut self, samples: &[f32]) -> Result<PathBuf, Error> {
        let path = self.folder.sample(self.trainer.progress().step);
        let recipe = &self.trainer.objective().recipe;
        let (count, columns) = samples_drawn(&recipe.data.shape, recipe.data.classes);
        let shown = &samples[..count * self.dataset.elements()];
        write_picture(&path, shown, &recipe.data.shape, &self.dataset, columns)?;
        Ok(path)
    }

    /// Draws samples, unless `drawn` names them, and writes a line of the log. Neither is worth the work done since
    /// the last checkpoint: where they fail, the state is saved before the error is returned.
    fn tick(
        &mut self,
        drawn: Option<PathBuf>,
        window: &mut Window,
        observer: &mut dyn Observer,
    ) -> Result<PathBuf, Error> {
        if let (Some(path), 0) = (&drawn, window.steps) {
            return Ok(path.clone());
        }
        let told = self.samples_of_tick().and_then(|samples| {
            let path = drawn.map_or_else(|| self.draw(&samples), Ok)?;
            if window.steps > 0 {
                let (score, best) = self.score()?;
                let seen = self.look(&samples, observer)?;
                let tick = Tick {
                    score,
                    best,
                    variety: seen.as_ref().map(|seen| seen.variety),
                    overfitting: seen.as_ref().and_then(|seen| seen.overfitting),
                    trouble: seen.map(|seen| seen.trouble).unwrap_or_default(),
                    ..window.close(&self.trainer, &self.folder.root, &path)
                };
                self.append_log(&serde_json::to_value(&tick).unwrap_or_default())?;
                observer.tick(&tick, &path);
            }
            Ok(path)
        });
        told.map_err(|error| match self.saved {
            Some((step, ..)) if step == self.trainer.progress().step => error,
            Some(_) | None => match self.save() {
                Ok(_) => error,
                Err(second) => Error::Refused(format!("{error}; nor could the state be saved: {second}")),
            },
        })
    }

    fn tell_notes(&mut self, observer: &mut dyn Observer) {
        self.notes.drain(..).for_each(|note| observer.note(&note));
    }

    /// Trains to the end, to `stop`, or to divergence.
    pub fn train(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Finished, Error> {
        let began = Instant::now();
        let before = self.trainer.progress().seconds;
        let first_step = self.trainer.progress().step;
        let mut window = Window::new(&self.trainer);
        let mut rate = Rate::default();
        let mut tick_at = next_tick(self.trainer.progress().images, self.trainer.progress().total_images);
        let mut measure_at = Duration::ZERO;
        if let Some(minutes) = self.minutes {
            measure_at = next_measurement(Duration::from_secs_f64(minutes * 60.0), Duration::ZERO);
        }
        let mut samples = None;
        let mut interrupted = false;
        self.tell_notes(observer);
        while self.trainer.progress().images < self.trainer.progress().total_images {
            if stop.load(Ordering::Relaxed) {
                interrupted = true;
                break;
            }
            let report = self.trainer.step()?;
            let elapsed = began.elapsed();
            let speed = rate.update(self.trainer.progress().images, elapsed);
            self.trainer.progress_mut().seconds = before + elapsed.as_secs_f64();
            window.add(&report);
            observer.step(&self.trainer, &report, speed);

            if self.trainer.progress().skipped_in_a_row >= MAX_SKIPS {
                self.roll_back(observer)?;
                tick_at = next_tick(self.trainer.progress().images, self.trainer.progress().total_images);
                rate = Rate::default();
                window = Window::new(&self.trainer);
                continue;
            }

            if let Some(minutes) = self.minutes {
                let limit = Duration::from_secs_f64(minutes * 60.0);
                if elapsed >= measure_at {
                    measure_at = next_measurement(limit, elapsed);
                    self.fix_length(limit, elapsed, self.trainer.progress().step - first_step, observer)?;
                    tick_at = next_tick(self.trainer.progress().images, self.trainer.progress().total_images);
                }
                if elapsed >= limit {
                    break;
                }
            }

            if self.trainer.progress().images >= tick_at {
                tick_at = next_tick(self.trainer.progress().images, self.trainer.progress().total_images);
                samples = Some(self.tick(None, &mut window, observer)?);
            }
            if self.checkpoint_due() && self.trainer.progress().skipped_in_a_row == 0 {
                self.save()?;
            }
        }
        let checkpoint = self.save()?;
        let last = format!("step-{:06}.png", self.trainer.progress().step);
        let drawn = samples.filter(|path| !interrupted && path.ends_with(&last));
        let best = self.trainer.progress().best;
        let path = self.tick(drawn, &mut window, observer)?;
        if self.trainer.progress().best != best {
            // The last checkpoint shall know of it.
            self.save()?;
        }
        let mixture = self.score_mixture()?;
        let progress = self.trainer.progress();
        Ok(Finished {
            best: progress.best.map(|best| (self.folder.best(), best)),
            mixture,
            root: self.folder.root.clone(),
            samples: path,
            checkpoint,
            interrupted,
            step: progress.step,
            images: progress.images,
            seconds: progress.seconds,
        })
    }

    /// Scores samples against the mixture that the data are drawn from, if they are.
    fn score_mixture(&mut self) -> Result<Option<MixtureScore>, Error> {
        let Some(mixture) = known_mixture(&self.dataset)? else { return Ok(None) };
        let samples = self.samples(SCORED)?;
        Ok(Some(mixture.score(&original_points(&samples, &self.dataset))?))
    }

    fn checkpoint_due(&self) -> bool {
        match self.saved {
            Some((step, at, took)) => {
                step != self.trainer.progress().step
                    && at.elapsed() >= CHECKPOINT_EVERY.max(took * CHECKPOINT_SHARE)
            }
            None => true,
        }
    }

    /// With the speed known, the time becomes a number of images, which schedules and a resumed run can rely on.
    fn fix_length(
        &mut self,
        limit: Duration,
        elapsed: Duration,
        steps: u64,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let train = &self.trainer.objective().recipe.train;
        let per_step = (train.batch * train.critic_steps) as u64;
        let before = Some(self.trainer.progress().total_images).filter(|&total| total != u64::MAX);
        let more = steps_left(limit, elapsed, steps, before.is_none());
        let total = self.trainer.progress().images + more * per_step;
        if before.is_some_and(|before| total.abs_diff(before) < before / 50) {
            return Ok(());
        }
        self.trainer.progress_mut().total_images = total;
        let now = if before.is_none() { "at this speed" } else { "the speed has changed:" };
        observer.note(&format!("{now} {:.1} minutes are {total} images", limit.as_secs_f64() / 60.0));
        let mut recipe = self.trainer.objective().recipe.clone();
        if let Some(run) = &mut recipe.run {
            run.images = total;
        }
        self.trainer.set_recipe(recipe);
        self.write_recipe()?;
        // From here on a resumed run knows its end too.
        self.save()?;
        Ok(())
    }
}

/// The mixture that a set is drawn from, if it is.
pub fn known_mixture(dataset: &Dataset) -> Result<Option<Mixture2d>, Error> {
    let Some(spec) = dataset.mixture() else { return Ok(None) };
    Ok(Some(Mixture2d::new(spec.centres.clone(), Sigma::Common(spec.sigma), spec.weights.clone())?))
}

/// Points as the networks see them, in the units of the data.
pub fn original_points(values: &[f32], dataset: &Dataset) -> Vec<[f64; 2]> {
    let scale = dataset.scale();
    values.chunks_exact(2).map(|p| [f64::from(p[0]) * scale, f64::from(p[1]) * scale]).collect()
}

/// Draws samples as the data's kind asks: a grid of images with so many in a row, or points over real ones.
pub fn write_picture(
    path: &Path,
    samples: &[f32],
    shape: &[usize],
    dataset: &Dataset,
    columns: usize,
) -> Result<(), Error> {
    if shape.len() == 3 {
        picture::write_grid(path, samples, shape, columns)?;
        return Ok(());
    }
    let indices: Vec<u64> = (0..POINTS as u64).collect();
    let mut real = vec![0.0; POINTS * 2];
    dataset.fill(&indices, &mut real, None)?;
    picture::write_scatter(path, &original_points(&real, dataset), &original_points(samples, dataset))?;
    Ok(())
}

/// Samples that a tick draws, and how many stand in a row: a square grid of at most [`GRID`] images and 4096 pixels a side,
/// or points. Up to 16 classes have a column each, as far as they fit.
pub fn samples_drawn(shape: &[usize], classes: Option<usize>) -> (usize, usize) {
    let [height, width, _] = shape[..] else { return (POINTS, 1) };
    let fits = |side: usize| side * side <= GRID && side * height.max(width) <= GRID_SIDE;
    let side = (1..=GRID).take_while(|&side| fits(side)).last().unwrap_or(1);
    let by_class = classes.filter(|&n| n <= CLASS_COLUMNS && n * width <= GRID_SIDE);
    by_class.map_or((side * side, side), |columns| (columns * side.min(GRID / columns), columns))
}

/// The image count of the next tick after `images`.
fn next_tick(images: u64, total: u64) -> u64 {
    if total == u64::MAX {
        return u64::MAX;
    }
    let every = (total / TICKS).max(1);
    (images / every + 1) * every
}
