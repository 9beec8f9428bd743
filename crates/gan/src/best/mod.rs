//! Scores by which a run tells its best checkpoint: one file and one line in [`RUN_METRICS`] each.

mod frechet;
mod mixture;

use crate::error::Error;
use crate::extractors::Watch;
use ganymede_cpu::Executor;
use ganymede_data::Dataset;
use std::sync::Arc;

/// The best score of a run so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// Generator steps done when it was reached.
    pub step: u64,
    /// The score.
    pub score: f64,
}

/// A score of samples that a run can be judged by at each of its ticks.
pub trait RunMetric: Sync {
    /// Name in recipes.
    fn name(&self) -> &'static str;
    /// One sentence for people choosing, saying which way is better.
    fn about(&self) -> &'static str;
    /// Authors, year.
    fn paper(&self) -> &'static str;
    /// Whether more is better.
    fn higher_is_better(&self) -> bool;
    /// Bytes that it takes beside what training does, on so many threads.
    ///
    /// # Errors
    /// The data are not such as the metric can judge.
    fn memory(&self, _dataset: &Dataset, _threads: usize) -> Result<u64, Error> {
        Ok(0)
    }
    /// Makes ready to score the samples of a run on `dataset`; what takes long is left to [`Score::prepare`]. What has
    /// networks of its own runs them on `executor`.
    ///
    /// # Errors
    /// The data are not such as the metric can judge; with the reason.
    fn judge(&self, dataset: &Arc<Dataset>, executor: &Arc<Executor>) -> Result<Box<dyn Score>, Error>;
}

/// A metric made ready for one set of data.
pub trait Score {
    /// Does what takes long and is done once, such as training a classifier. A run calls it before its first step; where it
    /// is left out, the first score does it.
    ///
    /// # Errors
    /// [`Error::Stopped`], or the metric's own.
    fn prepare(&mut self, _watch: &mut dyn Watch) -> Result<(), Error> {
        Ok(())
    }
    /// Samples that it wants.
    fn samples(&self) -> usize;
    /// The score of so many samples, one after the other as the generator makes them. `None` where they are so bad that
    /// it is not defined.
    ///
    /// # Errors
    /// The metric's own.
    fn score(&mut self, samples: &[f32], watch: &mut dyn Watch) -> Result<Option<f64>, Error>;
}

/// Every metric that a recipe can name under `best.metric`.
pub const RUN_METRICS: &[&dyn RunMetric] = &[&mixture::ReverseKl, &mixture::Quality, &frechet::Frechet];

/// The metric of that name.
pub fn find(name: &str) -> Option<&'static dyn RunMetric> {
    RUN_METRICS.iter().copied().find(|m| m.name() == name)
}

/// Whether `score` beats the best so far. Equal scores do not, so that the earlier checkpoint stays.
pub fn improves(metric: &dyn RunMetric, score: f64, best: Option<Best>) -> bool {
    let better = |best: Best| match metric.higher_is_better() {
        true => score > best.score,
        false => score < best.score,
    };
    !score.is_nan() && best.is_none_or(better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sound() {
        let mut names = std::collections::HashSet::new();
        for m in RUN_METRICS {
            assert!(names.insert(m.name()), "two metrics are named {}", m.name());
            assert!(m.about().len() > 20 && m.paper().contains("20"), "{} lacks docs", m.name());
            assert!(m.about().contains(if m.higher_is_better() {
                "more is better"
            } else {
                "less is better"
            }));
            assert!(find(m.name()).is_some());
        }
    }

    #[test]
    fn better_is_the_metrics_own_way_and_equal_is_not_better() {
        let [less, more] =
            [false, true].map(|up| RUN_METRICS.iter().find(|m| m.higher_is_better() == up).unwrap());
        let best = Some(Best { step: 3, score: 0.5 });
        for (metric, score, expected) in [
            (less, 0.4, true),
            (less, 0.5, false),
            (less, 0.6, false),
            (less, f64::NAN, false),
            (more, 0.6, true),
            (more, 0.5, false),
            (more, 0.4, false),
            (more, f64::NAN, false),
        ] {
            assert_eq!(improves(*metric, score, best), expected, "{} {score}", metric.name());
            assert_eq!(improves(*metric, score, None), !score.is_nan());
        }
    }
}
