use super::{Better, Context, LEVEL, Metric, Score, Subject, suits_features};
use crate::error::Error;
use ganymede_metrics::influence::{FEWEST, influence};

/// Multiplications beyond which the interval would take a minute and is left out.
const AFFORDABLE: f64 = 2e12;
/// Multiplications that take seconds, so that it is said what is done.
const TOLD: f64 = 1e11;
/// Features beyond which they are not kept for the interval alone: 1 GiB.
const KEPT: usize = 1 << 27;

/// Multiplications that an interval takes of so many samples of either side, in so many parts that are compared by themselves:
/// covariances, solutions and products of all samples, and some thirty products of matrices of as many rows as dimensions, or
/// as samples of a part where these are fewer.
fn multiplications(samples: [usize; 2], parts: usize, dimensions: usize) -> f64 {
    let (rows, d) = ((samples[0] + samples[1]) as f64, dimensions as f64);
    let rank = d.min(rows / (2.0 * parts as f64));
    2.5 * rows * d * d + 30.0 * parts as f64 * rank * rank * rank
}

/// Whether both sides have an interval of the distance between them, and that it is made where it takes seconds.
pub(super) fn has_interval(context: &mut Context<'_>, parts: usize) -> Result<bool, Error> {
    let (real, generated) = context.both()?;
    let counts = [real.count, generated.count];
    let work = multiplications(counts, parts, real.features.dimensions());
    let has = !context.resampled
        && real.whole()
        && generated.whole()
        && counts.into_iter().all(|count| count >= FEWEST)
        && work <= AFFORDABLE;
    if has && work > TOLD {
        context.watch.note("finding how far the Frechet distance may be off");
    }
    Ok(has)
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
        let words = (samples[0] + samples[1]).saturating_mul(dimensions);
        words <= KEPT && multiplications(samples, 1, dimensions) <= AFFORDABLE
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let (real, generated) = context.both()?;
        let value = generated.gaussian.distance(&real.gaussian)?;
        let d = real.features.dimensions();
        let few = real.count.min(generated.count) <= d;
        let mut score = Score::new(self.name(), context.named("Frechet distance"), value, Better::Lower);
        if has_interval(context, 1)? {
            let influence = influence(&real.features, &generated.features)?;
            score = score.within(influence.interval(value, LEVEL)?);
        }
        if few {
            score = score.noting(format!("fewer samples than its {d} dimensions: it would fall with more"));
        }
        Ok(vec![score])
    }
}
