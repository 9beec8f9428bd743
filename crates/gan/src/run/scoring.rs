//! The samples of a run, and their scores: by the metric that its best checkpoint is told by, and at the end against a
//! mixture that is known.

use super::{Run, original_points};
use crate::best::{self, Best, RunMetric, Score};
use crate::checkpoint;
use crate::error::Error;
use crate::recipe::Recipe;
use crate::standing::Standing;
use ganymede_cpu::Executor;
use ganymede_data::Dataset;
use ganymede_metrics::mixture::{Mixture2d, MixtureScore, Sigma};
use std::sync::Arc;

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

    pub(super) fn score(&mut self, samples: &[f32]) -> Result<Option<f64>, Error> {
        self.judge.score(samples)
    }

    pub(super) fn improves(&self, score: f64, best: Option<Best>) -> bool {
        best::improves(self.metric, score, best)
    }
}

impl Run {
    /// The first `count` samples, with standing statistics where the recipe has them; the state stays as it is.
    pub(super) fn samples(&mut self, count: usize) -> Result<Vec<f32>, Error> {
        self.samples_by(count, count)
    }

    /// [`Run::samples`], at least so many, drawn `part` at a time.
    pub(super) fn samples_by(&mut self, part: usize, count: usize) -> Result<Vec<f32>, Error> {
        let (objective, session) = self.trainer.parts_mut();
        let replaced = self.standing.as_ref().map(|standing| standing.take(session)).transpose()?;
        let mut samples = Vec::new();
        let drawn: Result<(), Error> = (0..count).step_by(part.max(1)).try_for_each(|first| {
            samples.extend(self.sampler.draw(objective, session, first as u64, part)?);
            Ok(())
        });
        if let Some(replaced) = &replaced {
            Standing::put_back(session, replaced)?;
        }
        drawn.map(|()| samples)
    }

    /// Scores samples by the recipe's metric, and keeps the state if none was better; whether it did.
    pub(super) fn score(&mut self) -> Result<(Option<f64>, bool), Error> {
        let Some(wanted) = self.scoring.as_ref().map(Scoring::samples) else { return Ok((None, false)) };
        let samples = self.samples(wanted)?;
        let Some(scoring) = &mut self.scoring else { return Ok((None, false)) };
        let Some(score) = scoring.score(&samples)? else { return Ok((None, false)) };
        let progress = self.trainer.progress_mut();
        let best = scoring.improves(score, progress.best);
        if best {
            progress.best = Some(Best { step: progress.step, score });
            checkpoint::save(&self.folder.best(), self.trainer.store(), self.trainer.progress())?;
        }
        Ok((Some(score), best))
    }

    /// Scores samples against the mixture that the data are drawn from, if they are.
    pub(super) fn score_mixture(&mut self) -> Result<Option<MixtureScore>, Error> {
        let Some(mixture) = known_mixture(&self.dataset)? else { return Ok(None) };
        let samples = self.samples(SCORED)?;
        Ok(Some(mixture.score(&original_points(&samples, &self.dataset))?))
    }
}

/// The mixture that a set is drawn from, if it is.
pub fn known_mixture(dataset: &Dataset) -> Result<Option<Mixture2d>, Error> {
    let Some(spec) = dataset.mixture() else { return Ok(None) };
    Ok(Some(Mixture2d::new(spec.centres.clone(), Sigma::Common(spec.sigma), spec.weights.clone())?))
}
