//! The samples of a run, and their scores: by the metric that its best checkpoint is told by, and at the end against a
//! mixture that is known.

use super::{Observer, Run, original_points};
use crate::best::{self, Best, RunMetric, Score};
use crate::checkpoint::{self, Progress};
use crate::error::Error;
use crate::extractors::Watch;
use crate::recipe::Recipe;
use crate::sampler::Sampler;
use crate::standing::Standing;
use crate::step::Objective;
use ganymede_cpu::{Executor, Session};
use ganymede_data::Dataset;
use ganymede_metrics::mixture::{Mixture2d, MixtureScore, Sigma};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whoever follows a run, as the one who follows longer work within it.
pub(super) struct Watching<'a> {
    pub(super) observer: &'a mut dyn Observer,
    pub(super) stop: &'a AtomicBool,
}

impl Watch for Watching<'_> {
    fn note(&mut self, message: &str) {
        self.observer.note(message);
    }
    fn moved(&mut self, what: &'static str, done: u64, total: u64) {
        self.observer.moved(what, done, total);
    }
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Samples that are scored against a known mixture at the end of a run.
pub const SCORED: usize = 10_000;

/// A metric made ready for the data of a run.
pub(super) struct Scoring {
    metric: &'static dyn RunMetric,
    judge: Box<dyn Score>,
}

impl Scoring {
    /// Of the recipe's metric, if it names one.
    pub(super) fn of(
        recipe: &Recipe,
        dataset: &Arc<Dataset>,
        executor: &Arc<Executor>,
    ) -> Result<Option<Self>, Error> {
        let metric = recipe.best.as_ref().and_then(|best| best::find(&best.metric));
        metric.map(|metric| Ok(Self { metric, judge: metric.judge(dataset, executor)? })).transpose()
    }

    pub(super) fn samples(&self) -> usize {
        self.judge.samples()
    }

    pub(super) fn prepare(&mut self, watch: &mut dyn Watch) -> Result<(), Error> {
        match self.judge.prepare(watch) {
            // The run looks at its flag next, and ends.
            Err(Error::Stopped) => Ok(()),
            prepared => prepared,
        }
    }

    pub(super) fn score(&mut self, samples: &[f32], watch: &mut dyn Watch) -> Result<Option<f64>, Error> {
        match self.judge.score(samples, watch) {
            Err(Error::Stopped) => Ok(None),
            scored => scored,
        }
    }

    pub(super) fn improves(&self, score: f64, best: Option<Best>) -> bool {
        best::improves(self.metric, score, best)
    }
}

/// Whether a state that was kept as the best is one of the course that a run takes from `from` on with a recipe: it lies
/// before, or it is of a step yet to come, to which the same recipe over the same length leads again.
pub(super) fn on_course(kept: &Progress, from: &Progress, recipe: &Recipe) -> bool {
    let leads_there = || {
        let was = Recipe::parse("the best checkpoint", &kept.recipe, &[]);
        was.is_ok_and(|was| was.differences(&recipe.clone().resolved()).is_empty())
    };
    kept.step <= from.step || (kept.total_images == from.total_images && leads_there())
}

impl Run {
    /// The best state of a course that is being left makes room for that of the new one.
    pub(super) fn set_best_aside(&mut self) -> Result<(), Error> {
        let path = self.folder.best();
        let aside =
            checkpoint::put_aside(&path).map_err(Error::io(&path, "set the best checkpoint aside"))?;
        self.notes.push(format!(
            "the best checkpoint is of a course that is being left, and is set aside: {}",
            aside.display()
        ));
        Ok(())
    }

    /// The first `count` samples, with standing statistics where the recipe has them; the state stays as it is.
    ///
    /// # Errors
    /// [`Error::Stopped`] while these are taken, or what drawing says.
    fn samples(&mut self, count: usize, watch: &mut dyn Watch) -> Result<Vec<f32>, Error> {
        self.samples_by(count, count, watch)
    }

    /// [`Run::samples`], at least so many, drawn `part` at a time.
    fn samples_by(&mut self, part: usize, count: usize, watch: &mut dyn Watch) -> Result<Vec<f32>, Error> {
        let (objective, session) = self.trainer.parts_mut();
        let taken = self.standing.as_ref().map(|standing| standing.take_watched(session, watch));
        let replaced = taken.transpose()?;
        let drawn = in_parts(&mut self.sampler, objective, session, part, count);
        if let Some(replaced) = &replaced {
            Standing::put_back(session, replaced)?;
        }
        drawn
    }

    /// The same for somebody to look at: after a stop with running statistics, which takes no time.
    pub(super) fn samples_to_show(
        &mut self,
        part: usize,
        count: usize,
        watch: &mut dyn Watch,
    ) -> Result<Vec<f32>, Error> {
        match self.samples_by(part, count, watch) {
            Err(Error::Stopped) => {
                watch
                    .note("stopped: these samples are drawn with running statistics, not with standing ones");
                let (objective, session) = self.trainer.parts_mut();
                in_parts(&mut self.sampler, objective, session, part, count)
            }
            drawn => drawn,
        }
    }

    /// Scores samples by the recipe's metric, and keeps the state if none was better; whether it did. No score where it is
    /// stopped on the way.
    pub(super) fn score(&mut self, watch: &mut dyn Watch) -> Result<(Option<f64>, bool), Error> {
        let Some(wanted) = self.scoring.as_ref().map(Scoring::samples) else { return Ok((None, false)) };
        let samples = match self.samples(wanted, watch) {
            Err(Error::Stopped) => return Ok((None, false)),
            drawn => drawn?,
        };
        let Some(scoring) = &mut self.scoring else { return Ok((None, false)) };
        let Some(score) = scoring.score(&samples, watch)? else { return Ok((None, false)) };
        let progress = self.trainer.progress_mut();
        let best = scoring.improves(score, progress.best);
        if best {
            progress.best = Some(Best { step: progress.step, score });
            checkpoint::save(&self.folder.best(), self.trainer.store(), self.trainer.progress())?;
        }
        Ok((Some(score), best))
    }

    /// Scores samples against the mixture that the data are drawn from, if they are.
    pub(super) fn score_mixture(&mut self, watch: &mut dyn Watch) -> Result<Option<MixtureScore>, Error> {
        let Some(mixture) = known_mixture(&self.dataset)? else { return Ok(None) };
        let samples = self.samples_to_show(SCORED, SCORED, watch)?;
        Ok(Some(mixture.score(&original_points(&samples, &self.dataset))?))
    }
}

/// At least `count` samples from the first on, `part` at a time.
fn in_parts(
    sampler: &mut Sampler,
    objective: &Objective,
    session: &mut Session,
    part: usize,
    count: usize,
) -> Result<Vec<f32>, Error> {
    let mut samples = Vec::new();
    for first in (0..count).step_by(part.max(1)) {
        samples.extend(sampler.draw(objective, session, first as u64, part)?);
    }
    Ok(samples)
}

/// The mixture that a set is drawn from, if it is.
pub fn known_mixture(dataset: &Dataset) -> Result<Option<Mixture2d>, Error> {
    let Some(spec) = dataset.mixture() else { return Ok(None) };
    Ok(Some(Mixture2d::new(spec.centres.clone(), Sigma::Common(spec.sigma), spec.weights.clone())?))
}
