//! The metric that a run's best checkpoint is told by.

use crate::best::{self, Best, RunMetric, Score};
use crate::error::Error;
use crate::recipe::Recipe;
use ganymede_data::Dataset;
use std::sync::Arc;

/// A metric made ready for the data of a run.
pub(super) struct Scoring {
    metric: &'static dyn RunMetric,
    judge: Box<dyn Score>,
}

impl Scoring {
    /// Of the recipe's metric, if it names one.
    pub(super) fn of(recipe: &Recipe, dataset: &Arc<Dataset>) -> Result<Option<Self>, Error> {
        let metric = recipe.best.as_ref().and_then(|best| best::find(&best.metric));
        metric.map(|metric| Ok(Self { metric, judge: metric.judge(dataset)? })).transpose()
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
