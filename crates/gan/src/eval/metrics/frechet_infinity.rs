use super::frechet::has_interval;
use super::{Better, Context, LEVEL, Metric, Score, Subject, suits_features};
use crate::error::Error;
use ganymede_metrics::extrapolation::extrapolate;
use ganymede_metrics::influence::influence;
use serde_json::json;

/// The Frechet distance of infinitely many generated samples.
pub(super) struct FrechetInfinity;

impl Metric for FrechetInfinity {
    fn name(&self) -> &'static str {
        "frechet-infinity"
    }

    fn about(&self) -> &'static str {
        "Frechet distance extrapolated to infinitely many generated samples, from 15 subsets of a tenth to all of them."
    }

    fn paper(&self) -> &'static str {
        "Chong and Forsyth 2020, section 3"
    }

    fn better(&self) -> Better {
        Better::Lower
    }

    fn on_request(&self) -> Option<&'static str> {
        Some("it takes fifteen times as long as `frechet`")
    }

    fn suits(&self, subject: &Subject) -> Result<(), String> {
        suits_features(subject)
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let (real, generated) = context.both()?;
        let found = extrapolate(&real.gaussian, &generated.features, context.seed)?;
        let (n, plain) = found.points.last().copied().unwrap_or((generated.count, f64::NAN));
        let name = context.named("Frechet distance at infinite N");
        let mut score = Score::new(self.name(), name, found.distance, Better::Lower)
            .noting(format!("{plain:.4} of {n} samples; the line explains {:.1} %", 100.0 * found.fit));
        if has_interval(context, 1)? {
            let influence = influence(&real.features, &generated.features)?;
            score = score.within(found.interval(&influence, LEVEL)?);
        }
        score.detail = json!({
            "points": found.points, "slope": found.slope, "explained": found.fit, "seed": context.seed,
            "reference_samples": real.count,
        });
        Ok(vec![score])
    }
}
