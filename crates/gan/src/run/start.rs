//! How a run starts: anew, with the weights of another, or from a checkpoint of its own.

use super::scoring::{Scoring, on_course};
use super::watch::Watch;
use super::{Length, Run, RunFolder, guard, planned_images};
use crate::checkpoint::{self, Checkpoint};
use crate::error::Error;
use crate::recipe::Recipe;
use crate::sampler::Sampler;
use crate::standing::Standing;
use crate::step::Objective;
use crate::trainer::Trainer;
use crate::transfer::{Origin, transfer};
use ganymede_cpu::Executor;
use ganymede_data::Dataset;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
            blamed: None,
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
        let same_recipe = before.differences(&recipe.clone().resolved()).is_empty();
        if !same_recipe {
            progress.failing.clear();
        }
        if progress.rollbacks > 0 && !same_recipe {
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
        let kept = same.then(|| checkpoint::load(&folder.best()).ok()).flatten();
        let left = kept.as_ref().is_some_and(|kept| !on_course(&kept.progress, progress, &recipe));
        progress.best = kept.filter(|_| !left).and_then(|kept| kept.progress.best);
        let step = progress.step;
        let objective = Objective::new(recipe)?;
        notes.extend(objective.remarks());
        let trainer = Trainer::resume(objective, dataset.clone(), executor, seed, checkpoint)?;
        let mut run = Self::assemble(folder, trainer, dataset, seed, notes, lock)?;
        run.saved = Some((step, Instant::now(), Duration::ZERO));
        for path in [run.folder.samples(), run.folder.checkpoints()] {
            std::fs::create_dir_all(&path).map_err(Error::io(&path, "make the folder"))?;
        }
        run.set_aside(step)?;
        if left {
            run.set_best_aside()?;
        }
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
}
