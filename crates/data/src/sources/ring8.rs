use crate::{
    dataset::Dataset,
    error::DataError,
    mixture::MixtureSpec,
    source::{OpenOptions, Source},
    spec::Spec,
};
use std::f64::consts::PI;

/// Eight Gaussians on a circle.
pub struct Ring8;

const MODES: usize = 8;

impl Source for Ring8 {
    fn name(&self) -> &'static str {
        "synthetic:ring8"
    }

    fn doc(&self) -> &'static str {
        "Points from 8 Gaussians on a circle of radius 2, sigma .02: the classic test for mode collapse."
    }

    fn example(&self) -> &'static str {
        "synthetic:ring8?radius=1.5&sigma=.05"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("radius", "radius of the circle (2)"),
            ("spacing", "distance between neighbouring centres, instead of the radius"),
            ("sigma", "standard deviation of a mode (.02)"),
            ("weights", "`linear`, or 8 numbers with commas between (all equal)"),
        ]
    }

    fn embedded(&self) -> bool {
        true
    }

    fn recognizes(&self, spec: &Spec<'_>) -> bool {
        spec.base() == self.name()
    }

    fn open(&self, spec: &Spec<'_>, options: &OpenOptions) -> Result<Dataset, DataError> {
        let radius = match (spec.positive("radius")?, spec.positive("spacing")?) {
            (Some(_), Some(_)) => {
                let spec = spec.text().to_owned();
                return Err(DataError::Conflict { spec, first: "radius", second: "spacing" });
            }
            (Some(radius), None) => radius,
            // The chord over an eighth of a circle of radius r is 2 r sin(pi / 8).
            (None, Some(spacing)) => spacing / (2.0 * (PI / MODES as f64).sin()),
            (None, None) => 2.0,
        };
        let angle = |mode: usize| 2.0 * PI * mode as f64 / MODES as f64;
        let mixture = MixtureSpec {
            centres: (0..MODES)
                .map(|mode| [radius * angle(mode).cos(), radius * angle(mode).sin()])
                .collect(),
            sigma: spec.positive("sigma")?.unwrap_or(0.02),
            weights: vec![1.0 / MODES as f64; MODES],
        };
        Ok(mixture.weighted(spec)?.into_dataset(spec.text(), options))
    }
}
