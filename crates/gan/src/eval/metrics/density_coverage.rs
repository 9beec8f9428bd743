use super::{Better, Context, Metric, Score, Subject, suits_features};
use crate::error::Error;
use ganymede_metrics::neighbours::{Ball, density_coverage};

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

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let (real, generated) = context.both()?;
        let mut scores = Vec::new();
        for ball in Ball::ALL {
            let found = density_coverage(&real.features, &generated.features, K, ball)?;
            let name = |what: &str| context.named(&format!("{what}, k = {K}, {}", ball.sign()));
            let coverage = Score::new(self.name(), name("coverage"), found.coverage, Better::Higher);
            scores.push(coverage.noting(".97 for equal laws"));
            let density = Score::new(self.name(), name("density"), found.density, Better::Neither);
            scores.push(density.noting("1 for equal laws"));
        }
        Ok(scores)
    }
}
