use super::{Better, Context, LEVEL, Metric, Score, Subject, suits_features};
use crate::error::Error;
use ganymede_metrics::neighbours::Ball;
use ganymede_metrics::pairs::PairOptions;

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

    fn of_pairs(&self, _seed: u64) -> PairOptions {
        PairOptions { neighbours: vec![K], ..PairOptions::default() }
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let paired = context.paired(&self.of_pairs(context.seed))?;
        let mut scores = Vec::new();
        for ball in [Ball::Closed, Ball::Open] {
            let found = if context.resampled {
                let found = paired.precision_recall(K, ball)?;
                [(found.precision, None), (found.recall, None)]
            } else {
                let found = paired.precision_recall_intervals(K, ball, LEVEL)?;
                found.map(|of| (of.estimate, Some([of.low, of.high])))
            };
            for (what, (value, interval)) in ["precision", "recall"].into_iter().zip(found) {
                let name = context.named(&format!("{what}, k = {K}, {}", ball.sign()));
                let mut score = Score::new(self.name(), name, value, Better::Higher);
                score.interval = interval;
                scores.push(score);
            }
        }
        Ok(scores)
    }
}
