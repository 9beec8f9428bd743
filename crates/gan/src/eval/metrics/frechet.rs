use super::{Better, Context, LEVEL, Metric, Score, Subject, suits_features};
use crate::error::Error;
use ganymede_metrics::influence::influence;

/// Multiplications beyond which the interval would take a minute and is left out.
const AFFORDABLE: f64 = 2e12;
/// Features beyond which they are not kept for it: 2 GiB.
const KEPT: usize = 1 << 28;

/// Whether an interval of so many samples of either side, in so many parts that are compared by themselves, is given: it takes
/// covariances, solutions and products of all samples, and some thirty products of matrices of as many rows as dimensions,
/// or as samples of a part where these are fewer.
pub(super) fn affordable(samples: [usize; 2], parts: usize, dimensions: usize) -> bool {
    let words = (samples[0] + samples[1]).saturating_mul(dimensions);
    let (rows, d) = ((samples[0] + samples[1]) as f64, dimensions as f64);
    let rank = d.min(rows / (2.0 * parts as f64));
    words <= KEPT && 2.5 * rows * d * d + 30.0 * parts as f64 * rank * rank * rank <= AFFORDABLE
}

/// Distance of Gaussians fitted to features.
pub(super) struct Frechet;

impl Metric for Frechet {
    fn name(&self) -> &'static str {
        "frechet"
    }

    fn about(&self) -> &'static str {
        "Frechet distance between Gaussians fitted to the features of both sets (FID where these are Inception's)."
    }

    fn paper(&self) -> &'static str {
        "Heusel et al. 2017, equation 6"
    }

    fn better(&self) -> Better {
        Better::Lower
    }

    fn suits(&self, subject: &Subject) -> Result<(), String> {
        suits_features(subject)
    }

    fn keeps_features(&self, samples: [usize; 2], dimensions: usize) -> bool {
        affordable(samples, 1, dimensions)
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let (real, generated) = context.both()?;
        let value = generated.gaussian.distance(&real.gaussian)?;
        let d = real.features.dimensions();
        let counts = [real.count, generated.count];
        let few = real.count.min(generated.count) <= d;
        let mut score = Score::new(self.name(), context.named("Frechet distance"), value, Better::Lower);
        if !context.resampled && real.whole() && generated.whole() && affordable(counts, 1, d) {
            let influence = influence(&real.features, &generated.features)?;
            score = score.within(influence.interval(value, LEVEL)?);
        }
        if few {
            score = score.noting(format!("fewer samples than its {d} dimensions: it would fall with more"));
        }
        Ok(vec![score])
    }
}
