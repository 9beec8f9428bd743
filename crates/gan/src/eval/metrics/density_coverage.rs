use super::{Better, Context, LEVEL, Metric, Score, Subject, suits_features};
use crate::error::Error;
use ganymede_metrics::neighbours::Ball;
use ganymede_metrics::pairs::PairOptions;

/// Neighbour that a ball reaches to.
const K: usize = 5;

/// How many balls of real samples a generated one lies in, and how many hold one.
pub(super) struct DensityCoverage;

impl Metric for DensityCoverage {
    fn name(&self) -> &'static str {
        "density-coverage"
    }

    fn about(&self) -> &'static str {
        "Coverage: the share of real samples with a generated one in their ball; density: balls around each generated \
         one, k = 5."
    }

    fn paper(&self) -> &'static str {
        "Naeem et al. 2020, equations 3 and 4"
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
        let (real, generated) = context.both()?;
        // A real sample's ball of k others lacks generated ones where the k nearest of all are real: (N / (N + n))^k of N and n of one law.
        let lacking = real.count as f64 / (real.count + generated.count) as f64;
        let of_equal_laws = format!("{:.2} for equal laws", 1.0 - lacking.powi(K as i32));
        let mut scores = Vec::new();
        for ball in Ball::ALL {
            let [density, coverage] = if context.resampled {
                let found = paired.density_coverage(K, ball)?;
                [(found.density, None), (found.coverage, None)]
            } else {
                let found = paired.density_coverage_intervals(K, ball, LEVEL)?;
                found.map(|of| (of.estimate, Some([of.low, of.high])))
            };
            let figures = [
                ("coverage", coverage, Better::Higher, &*of_equal_laws),
                ("density", density, Better::Neither, "1 for equal laws"),
            ];
            for (what, (value, interval), better, note) in figures {
                let name = context.named(&format!("{what}, k = {K}, {}", ball.sign()));
                let mut score = Score::new(self.name(), name, value, better).noting(note);
                score.interval = interval;
                scores.push(score);
            }
        }
        Ok(scores)
    }
}
