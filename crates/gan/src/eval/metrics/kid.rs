use super::{Better, Context, Metric, Score, Subject, suits_features};
use crate::error::Error;
use ganymede_metrics::kernel::{KernelOptions, discrepancy, kernel_distance};
use serde_json::json;

/// Squared maximum mean discrepancy of features under a cubic kernel.
pub(super) struct Kid;

impl Metric for Kid {
    fn name(&self) -> &'static str {
        "kid"
    }

    fn about(&self) -> &'static str {
        "Kernel distance: unbiased squared discrepancy under (x.y / d + 1)^3 over 100 subsets of 1000 samples."
    }

    fn paper(&self) -> &'static str {
        "Binkowski et al. 2018, section 4"
    }

    fn better(&self) -> Better {
        Better::Lower
    }

    fn suits(&self, subject: &Subject) -> Result<(), String> {
        suits_features(subject)
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let (real, generated) = context.both()?;
        if context.resampled {
            // One estimate over all of the part, as unbiased as the mean over subsets.
            let value = discrepancy(&real.features, &generated.features)?;
            return Ok(vec![Score::new(self.name(), context.named("kernel distance"), value, Better::Lower)]);
        }
        let options = KernelOptions { seed: context.seed, ..KernelOptions::default() };
        let found = kernel_distance(&real.features, &generated.features, options)?;
        let mut score = Score::new(self.name(), context.named("kernel distance"), found.mean, Better::Lower)
            .noting(format!("deviation of a subset {:.2e}", found.deviation));
        score.detail = json!({
            "deviation_of_a_subset": found.deviation, "subsets": found.subsets, "size": found.size,
        });
        Ok(vec![score])
    }
}
