use super::{Better, Context, Metric, Score, Subject, suits_features};
use crate::error::Error;
use ganymede_metrics::neighbours::{Ball, precision_recall};

/// Neighbour that a ball reaches to.
const K: usize = 3;

/// Shares of samples inside balls of the other set.
pub(super) struct PrecisionRecall;

impl Metric for PrecisionRecall {
    fn name(&self) -> &'static str {
        "precision-recall"
    }

    fn about(&self) -> &'static str {
        "Share of generated samples within reach of real ones and the reverse, k = 3, in both conventions (<= and <)."
    }

    fn paper(&self) -> &'static str {
        "Kynkaanniemi et al. 2019, equations 1 and 2"
    }

    fn better(&self) -> Better {
        Better::Higher
    }

    fn suits(&self, subject: &Subject) -> Result<(), String> {
        suits_features(subject)
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let (real, generated) = context.both()?;
        let mut scores = Vec::new();
        for ball in [Ball::Closed, Ball::Open] {
            let found = precision_recall(&real.features, &generated.features, K, ball)?;
            for (what, value) in [("precision", found.precision), ("recall", found.recall)] {
                let name = context.named(&format!("{what}, k = {K}, {}", ball.sign()));
                scores.push(Score::new(self.name(), name, value, Better::Higher));
            }
        }
        Ok(scores)
    }
}
