use super::{Better, Context, Metric, Score, Subject, suits_features};
use crate::error::Error;
use ganymede_metrics::kernel::{KernelOptions, discrepancy};
use ganymede_metrics::pairs::PairOptions;
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

    fn of_pairs(&self, seed: u64) -> PairOptions {
        PairOptions {
            kernel: Some(KernelOptions { seed, ..KernelOptions::default() }),
            ..PairOptions::default()
        }
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        if context.resampled {
            // One estimate over all of the part, as unbiased as the mean over subsets.
            let (real, generated) = context.both()?;
            let value = discrepancy(&real.features, &generated.features)?;
            return Ok(vec![Score::new(self.name(), context.named("kernel distance"), value, Better::Lower)]);
        }
        let paired = context.paired(&self.of_pairs(context.seed))?;
        let Some(found) = paired.kernel() else {
            return Err(Error::Refused("metric kid: the kernel distance was not computed".into()));
        };
        let mut score = Score::new(self.name(), context.named("kernel distance"), found.mean, Better::Lower)
            .noting(format!("deviation of a subset {:.2e}", found.deviation));
        score.interval = found.interval;
        score.detail = json!({
            "deviation_of_a_subset": found.deviation, "subsets": found.subsets, "size": found.size, "seed": context.seed,
        });
        Ok(vec![score])
    }
}
