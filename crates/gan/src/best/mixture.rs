use super::{RunMetric, Score};
use crate::error::Error;
use crate::extractors::Watch;
use crate::run::{SCORED, known_mixture, original_points};
use ganymede_cpu::Executor;
use ganymede_data::Dataset;
use ganymede_metrics::mixture::{Mixture2d, MixtureScore};
use std::sync::Arc;

/// KL divergence of the modes' shares among good samples from those of the mixture.
pub struct ReverseKl;

/// Share of samples near a mode.
pub struct Quality;

/// A known mixture, and which of its scores is asked for.
struct Mixture {
    mixture: Mixture2d,
    dataset: Arc<Dataset>,
    of: fn(&MixtureScore) -> Option<f64>,
}

impl Mixture {
    fn boxed(
        name: &str,
        dataset: &Arc<Dataset>,
        of: fn(&MixtureScore) -> Option<f64>,
    ) -> Result<Box<dyn Score>, Error> {
        let Some(mixture) = known_mixture(dataset)? else {
            return Err(Error::Refused(format!(
                "best.metric `{name}` compares samples with a known mixture, and {} is none: choose another metric, or \
                 leave it out (--set takes no key away: edit the recipe)",
                dataset.spec()
            )));
        };
        Ok(Box::new(Self { mixture, dataset: dataset.clone(), of }))
    }
}

impl Score for Mixture {
    fn samples(&self) -> usize {
        SCORED
    }
    fn score(&mut self, samples: &[f32], _: &mut dyn Watch) -> Result<Option<f64>, Error> {
        Ok((self.of)(&self.mixture.score(&original_points(samples, &self.dataset))?))
    }
}

impl RunMetric for ReverseKl {
    fn name(&self) -> &'static str {
        "reverse-kl"
    }
    fn about(&self) -> &'static str {
        "of a known mixture: divergence of the modes' shares among samples within 3 sigma from its weights; less is better"
    }
    fn paper(&self) -> &'static str {
        "Srivastava et al. 2017 (VEEGAN), section 5"
    }
    fn higher_is_better(&self) -> bool {
        false
    }
    fn judge(&self, dataset: &Arc<Dataset>, _: &Arc<Executor>) -> Result<Box<dyn Score>, Error> {
        Mixture::boxed(self.name(), dataset, |score| score.reverse_kl)
    }
}

impl RunMetric for Quality {
    fn name(&self) -> &'static str {
        "quality"
    }
    fn about(&self) -> &'static str {
        "of a known mixture: share of samples within 3 sigma of the nearest centre; more is better"
    }
    fn paper(&self) -> &'static str {
        "Srivastava et al. 2017 (VEEGAN), section 5"
    }
    fn higher_is_better(&self) -> bool {
        true
    }
    fn judge(&self, dataset: &Arc<Dataset>, _: &Arc<Executor>) -> Result<Box<dyn Score>, Error> {
        Mixture::boxed(self.name(), dataset, |score| Some(score.high_quality))
    }
}
