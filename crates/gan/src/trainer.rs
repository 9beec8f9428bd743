//! A run in memory: compiled phases, state, the stream of real samples and the counters; advances step by step.

mod feeding;
mod usual;

use usual::usual_norm;

use crate::checkpoint::{self, Checkpoint, CheckpointError, Progress};
use crate::error::Error;
use crate::networks::Side;
use crate::recipe::Recipe;
use crate::step::{ACCUMULATED, Objective, TrainingPhase, Work, feed};
use ganymede_cpu::{Executor, PhaseId, Session, StateStore};
use ganymede_data::{Batch, Dataset, Loader};
use ganymede_graph::Function;
use ganymede_kernels::random::fold_in;
use std::sync::Arc;

/// What a step reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepReport {
    /// Discriminator loss without penalties.
    pub d_loss: f32,
    /// Sum of the penalties applied.
    pub d_penalty: f32,
    /// Mean logit of real samples.
    pub d_real: f32,
    /// Mean logit of generated samples.
    pub d_fake: f32,
    /// Generator loss without penalties.
    pub g_loss: f32,
    /// Sum of the generator's penalties applied.
    pub g_penalty: f32,
    /// Phases of this step whose values were not finite and whose updates were dropped.
    pub skipped: u32,
}

/// The step of a network with some of its regularizers, or a part of it.
struct Phase {
    side: Side,
    due: Vec<bool>,
    work: Work,
    id: PhaseId,
    /// The slots that it changes, but for added gradients.
    changes: Vec<String>,
}

impl Phase {
    fn new(side: Side, work: Work, due: Vec<bool>, id: PhaseId, function: &Function) -> Self {
        let slots = function.updates.iter().map(|(input, _)| function.inputs[*input].name.clone());
        let changes = slots.filter(|name| !name.starts_with(ACCUMULATED)).collect();
        Self { side, due, work, id, changes }
    }
}

/// Place of a network in what is kept for both.
fn place(side: Side) -> usize {
    match side {
        Side::Discriminator => 0,
        Side::Generator => 1,
    }
}

/// A run in memory.
pub struct Trainer {
    objective: Objective,
    session: Session,
    phases: Vec<Phase>,
    loader: Loader,
    /// Classes of the last batch: the generator's step asks for them where it reads no real samples of its own.
    labels: Vec<i32>,
    key: [u32; 2],
    progress: Progress,
}

/// The two halves of a random key from a seed.
pub fn key_of(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// Tag that separates what steps draw from other uses of a seed.
const DRAW: u64 = 0x6472_6177;

fn halves(index: u64) -> [u32; 2] {
    [index as u32, (index >> 32) as u32]
}

impl Trainer {
    /// A new run.
    pub fn new(
        objective: Objective,
        dataset: Arc<Dataset>,
        executor: Arc<Executor>,
        seed: u64,
        total_images: u64,
    ) -> Result<Self, Error> {
        let store = objective.initial_state_on(seed, &executor)?;
        Self::with_state(objective, dataset, executor, seed, total_images, store)
    }

    /// A new run that begins with the given state, which is of the objective's types.
    pub fn with_state(
        objective: Objective,
        dataset: Arc<Dataset>,
        executor: Arc<Executor>,
        seed: u64,
        total_images: u64,
        store: StateStore,
    ) -> Result<Self, Error> {
        let progress = Progress {
            step: 0,
            images: 0,
            cursor: 0,
            critic_steps: 0,
            total_images,
            lr_scale: 1.0,
            rollbacks: 0,
            skipped: 0,
            skipped_in_a_row: 0,
            rolled_back_to: None,
            usual_norms: [0.0; 2],
            norm_bounds: [0.0; 2],
            best: None,
            seconds: 0.0,
            recipe: objective.recipe.to_toml(),
        };
        Self::assemble(objective, dataset, executor, seed, store, progress)
    }

    /// Continues a run from a checkpoint, bit for bit as if it had never stopped.
    pub fn resume(
        objective: Objective,
        dataset: Arc<Dataset>,
        executor: Arc<Executor>,
        seed: u64,
        checkpoint: Checkpoint,
    ) -> Result<Self, Error> {
        let expected = objective.state_types();
        if let Some(reason) = checkpoint::differences_from(&expected, &checkpoint.store) {
            let path = checkpoint.path.display().to_string();
            let reason = format!("it was made by another recipe; {reason}");
            return Err(CheckpointError::Mismatch { path, reason }.into());
        }
        let mut progress = checkpoint.progress;
        progress.recipe = objective.recipe.to_toml();
        Self::assemble(objective, dataset, executor, seed, checkpoint.store, progress)
    }

    fn assemble(
        objective: Objective,
        dataset: Arc<Dataset>,
        executor: Arc<Executor>,
        seed: u64,
        mut store: StateStore,
        progress: Progress,
    ) -> Result<Self, Error> {
        if dataset.shape() != objective.recipe.data.shape {
            return Err(Error::Refused(format!(
                "the samples of {} have shape {:?}, recipe `{}` expects {:?}: choose another recipe, or set \
                 data.shape and the networks to match",
                dataset.spec(),
                dataset.shape(),
                objective.recipe.name,
                objective.recipe.data.shape
            )));
        }
        if let Some(classes) = objective.recipe.data.classes {
            let found = dataset.classes().map(<[String]>::len);
            if found != Some(classes) {
                let found = found.map_or("no labels".into(), |n| format!("{n} classes"));
                return Err(Error::Refused(format!(
                    "{} has {found}, recipe `{}` is conditional on {classes}: choose labelled data, or a recipe without \
                     data.classes",
                    dataset.spec(),
                    objective.recipe.name,
                )));
            }
        }
        let train = &objective.recipe.train;
        let loader = Loader::with_sampling(dataset, train.batch, seed, progress.cursor, train.sampling())?;
        let accumulators = objective.accumulators();
        store.reserve(accumulators.iter().map(|(_, ty)| ty.len()))?;
        for (name, ty) in accumulators {
            store.insert_zeros(&name, ty)?;
        }
        let mut session = Session::new(executor, store);
        session.set_precision(objective.recipe.train.precision);
        session.set_memory(objective.recipe.train.memory);
        let (mut sets, mut functions) = (Vec::new(), Vec::new());
        for TrainingPhase { side, due, work, function } in objective.phases()? {
            sets.push((side, work, due));
            functions.push(function);
        }
        let ids = session.add_phases(&functions)?;
        let mut phases = Vec::with_capacity(ids.len());
        for (((side, work, due), id), (_, function)) in sets.into_iter().zip(ids).zip(&functions) {
            phases.push(Phase::new(side, work, due, id, function));
        }
        let key = fold_in(key_of(seed), DRAW);
        Ok(Self { objective, session, phases, loader, labels: Vec::new(), key, progress })
    }

    /// The phase for a network, compiled if its set of regularizers falls due for the first time.
    fn phase(&mut self, side: Side, work: Work, due: &[bool]) -> Result<usize, Error> {
        let known = self.phases.iter().position(|p| (p.side, p.work) == (side, work) && p.due == due);
        if let Some(at) = known {
            return Ok(at);
        }
        let TrainingPhase { function: (name, function), .. } =
            self.objective.training_phase(side, work, due)?;
        let id = self.session.add_phase(&name, &function)?;
        self.phases.push(Phase::new(side, work, due.to_vec(), id, &function));
        Ok(self.phases.len() - 1)
    }

    /// Takes step number `n` of a network, whose batch begins at sample `first` of its stream; returns whether it was
    /// committed, and `outputs`, where a batch is taken in parts their means over these.
    fn advance<const N: usize>(
        &mut self,
        side: Side,
        n: u64,
        first: u64,
        outputs: [&str; N],
    ) -> Result<(bool, [f32; N]), Error> {
        let due = self.objective.due(side, n);
        let (parts, part) = (self.objective.recipe.train.accumulate, self.objective.recipe.part());
        let work = if parts == 1 { Work::Step } else { Work::Accumulate };
        let at = self.phase(side, work, &due)?;
        let mut id = self.phases[at].id;
        let batch = match self.session.feed_index(id, feed::REAL) {
            Ok(_) => Some(self.next_batch()?),
            Err(_) => None,
        };
        self.feed_values(id, side, &due)?;
        // A step that one part spoils leaves all slots as they were, also what earlier parts have moved.
        let before = if parts > 1 { self.copies(at) } else { Vec::new() };
        let mut committed = true;
        let mut means = [0.0; N];
        for number in 0..parts {
            self.feed_part(id, batch.as_ref(), number)?;
            let first = first + (number * part) as u64;
            self.session.feed_words_mut(id, feed::FIRST)?.copy_from_slice(&halves(first));
            committed = self.session.run(id)?.committed;
            for (mean, name) in means.iter_mut().zip(outputs) {
                *mean += self.session.output(id, name).map_or(0.0, |v| v[0]) / parts as f32;
            }
            if !committed {
                break;
            }
        }
        if let Some(batch) = batch {
            self.loader.recycle(batch);
        }
        if committed && parts > 1 {
            let apply = self.phase(side, Work::Apply, &self.objective.constraints_of(&due))?;
            id = self.phases[apply].id;
            self.feed_values(id, side, &due)?;
            committed = self.session.run(id)?.committed;
        }
        if committed {
            let norm = self.session.output(id, "norm").map_or(0.0, |v| v[0]);
            let usual = &mut self.progress.usual_norms[place(side)];
            *usual = usual_norm(*usual, f64::from(norm));
        } else {
            for (name, words) in before {
                self.session.store_mut().set_words(&name, &words)?;
            }
        }
        Ok((committed, means))
    }

    /// What a phase would change, as it is.
    fn copies(&self, phase: usize) -> Vec<(String, Vec<u32>)> {
        let store = self.session.store();
        let copy = |name: &String| Some((name.clone(), store.words(name)?.to_vec()));
        self.phases[phase].changes.iter().filter_map(copy).collect()
    }

    /// One generator step and the discriminator steps before it.
    pub fn step(&mut self) -> Result<StepReport, Error> {
        let mut report = StepReport::default();
        for _ in 0..self.objective.recipe.train.critic_steps {
            self.critic_step(&mut report)?;
        }
        self.generator_step(&mut report)?;
        self.progress.step += 1;
        self.progress.skipped += u64::from(report.skipped);
        self.progress.skipped_in_a_row =
            if report.skipped == 0 { 0 } else { self.progress.skipped_in_a_row.saturating_add(1) };
        Ok(report)
    }

    fn critic_step(&mut self, report: &mut StepReport) -> Result<(), Error> {
        let outputs = ["d_loss", "d_penalty", "d_real", "d_fake"];
        let (n, first) = (self.progress.critic_steps, self.progress.images);
        let (committed, means) = self.advance(Side::Discriminator, n, first, outputs)?;
        report.skipped += u32::from(!committed);
        [report.d_loss, report.d_penalty, report.d_real, report.d_fake] = means;
        self.progress.images += self.objective.recipe.train.batch as u64;
        self.progress.critic_steps += 1;
        Ok(())
    }

    fn generator_step(&mut self, report: &mut StepReport) -> Result<(), Error> {
        let (n, batch) = (self.progress.step, self.objective.recipe.train.batch as u64);
        let (committed, means) = self.advance(Side::Generator, n, n * batch, ["g_loss", "g_penalty"])?;
        report.skipped += u32::from(!committed);
        [report.g_loss, report.g_penalty] = means;
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Batch, Error> {
        let batch = self.loader.next_batch()?;
        self.progress.cursor = batch.cursor_after;
        if let Some(labels) = &batch.labels {
            self.labels.clone_from(labels);
        }
        Ok(batch)
    }

    /// Puts a checkpoint's state and its place in the run in place of the current ones, and restarts the stream of real
    /// samples there. What the checkpoint cannot know stays: the recipe and the length that now hold, rollbacks,
    /// learning rates, and all that was skipped so far.
    pub fn restore(&mut self, checkpoint: Checkpoint, dataset: Arc<Dataset>, seed: u64) -> Result<(), Error> {
        let names: Vec<String> = self.session.store().names().map(str::to_string).collect();
        for name in names {
            if let Some(words) = checkpoint.store.words(&name) {
                self.session.store_mut().set_words(&name, words)?;
            }
        }
        let Progress { step, images, cursor, critic_steps, usual_norms, .. } = checkpoint.progress;
        let kept = self.progress.clone();
        self.progress =
            Progress { step, images, cursor, critic_steps, usual_norms, skipped_in_a_row: 0, ..kept };
        let train = &self.objective.recipe.train;
        self.loader =
            Loader::with_sampling(dataset, train.batch, seed, self.progress.cursor, train.sampling())?;
        Ok(())
    }

    /// The counters.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The counters, to be changed by the training loop.
    pub fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }

    /// The recipe and what it resolved to.
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// The state.
    pub fn store(&self) -> &StateStore {
        self.session.store()
    }

    /// The session, e.g. for its statistics.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The objective beside the session, to draw samples from the current state.
    pub fn parts_mut(&mut self) -> (&Objective, &mut Session) {
        (&self.objective, &mut self.session)
    }

    /// Replaces the recipe's text where only its run section has changed.
    pub fn set_recipe(&mut self, recipe: Recipe) {
        self.progress.recipe = recipe.to_toml();
        self.objective.recipe = recipe;
    }

    /// Time the training thread spent waiting for batches.
    pub fn waited(&self) -> std::time::Duration {
        self.loader.waited()
    }
}
