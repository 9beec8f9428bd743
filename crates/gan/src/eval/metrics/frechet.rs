use super::{Better, Context, LEVEL, Metric, Score, Subject, suits_features};
use crate::error::Error;
use ganymede_metrics::frechet::frechet_interval;

/// Pairs of sets drawn with replacement for the interval.
pub(super) const RESAMPLES: usize = 50;
/// Multiplications beyond which the interval would take minutes and is left out.
const AFFORDABLE: f64 = 4e11;

/// Whether an interval of so many samples of either side, in so many parts that are compared by themselves, is given.
pub(super) fn affordable(samples: [usize; 2], parts: usize, dimensions: usize) -> bool {
    let (rows, d) = ((samples[0] + samples[1]) as f64, dimensions as f64);
    RESAMPLES as f64 * (rows * d * d + 20.0 * parts as f64 * d * d * d) <= AFFORDABLE
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
            let interval = frechet_interval(&real.features, &generated.features, RESAMPLES, LEVEL)?;
            score = score.within(interval);
        }
        if few {
            score = score.noting(format!("fewer samples than its {d} dimensions: it would fall with more"));
        }
        Ok(vec![score])
    }
}
