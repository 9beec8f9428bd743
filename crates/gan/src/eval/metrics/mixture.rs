use super::{Better, Context, LEVEL, Metric, Score, Subject};
use crate::error::Error;
use crate::eval::SAMPLES;
use crate::eval::collect::{check_available, take};
use crate::run::{known_mixture, original_points};
use ganymede_metrics::law::kl_interval;
use ganymede_metrics::mixture::PERFECT_HIGH_QUALITY;
use ganymede_metrics::stats::wilson;
use serde_json::json;

/// Points against the mixture that they should follow.
pub(super) struct Mixture;

impl Metric for Mixture {
    fn name(&self) -> &'static str {
        "mixture"
    }

    fn about(&self) -> &'static str {
        "Points of a known mixture: modes found, share within 3 sigma of one, reverse KL, spread inside modes."
    }

    fn paper(&self) -> &'static str {
        "Metz et al. 2017; Lin et al. 2018, section 4.1"
    }

    fn better(&self) -> Better {
        Better::Higher
    }

    fn looks(&self) -> bool {
        false
    }

    fn compares(&self) -> bool {
        false
    }

    fn suits(&self, subject: &Subject) -> Result<(), String> {
        if subject.mixture {
            return Ok(());
        }
        Err(format!("{} is no known mixture of points", subject.spec))
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let Some(mixture) = known_mixture(context.train)? else {
            return Err(Error::Refused("metric mixture: the law of the data is not known".into()));
        };
        let count = context.n.unwrap_or(SAMPLES);
        check_available(context.source, count)?;
        let (samples, _) = take(context.source, 0, count)?;
        let found = mixture.score(&original_points(&samples, context.train))?;
        let (total, good) = (found.total_modes, found.counts.iter().sum::<u64>());
        let mut scores = vec![
            Score::new(self.name(), "modes", found.modes as f64, Better::Higher)
                .noting(format!("of {total}, over {} samples", found.samples)),
            Score::new(self.name(), "share within 3 sigma", found.high_quality, Better::Higher)
                .within(wilson(good as usize, found.samples, LEVEL)?)
                .noting(format!("{PERFECT_HIGH_QUALITY:.3} for a perfect sampler")),
        ];
        if let (Some(kl), Some(floor)) = (found.reverse_kl, found.reverse_kl_floor) {
            let mut kl = Score::new(self.name(), "reverse KL of modes", kl, Better::Lower);
            if good > 1 {
                kl = kl.within(kl_interval(&found.counts, mixture.weights(), LEVEL)?);
            }
            scores.push(kl.noting(format!("{floor:.1e} for a perfect sampler")));
        }
        if let Some((least, most)) = found.spread_range() {
            for (what, value) in [("least spread of a mode", least), ("largest spread of a mode", most)] {
                scores.push(
                    Score::new(self.name(), what, value, Better::Neither)
                        .noting("in sigmas, .974 is perfect"),
                );
            }
        }
        scores[0].detail =
            json!({"counts": found.counts, "spread": found.spread, "non_finite": found.non_finite});
        Ok(scores)
    }
}
