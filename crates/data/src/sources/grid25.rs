use crate::{
    dataset::Dataset,
    error::DataError,
    mixture::MixtureSpec,
    source::{OpenOptions, Source},
    spec::Spec,
};

/// Twenty-five Gaussians on a square grid.
pub struct Grid25;

const SIDE: usize = 5;
const MODES: usize = SIDE * SIDE;

impl Source for Grid25 {
    fn name(&self) -> &'static str {
        "synthetic:grid25"
    }

    fn doc(&self) -> &'static str {
        "Points from 25 Gaussians on a 5 x 5 grid of spacing 2, sigma .05: more modes than a generator finds by luck."
    }

    fn example(&self) -> &'static str {
        "synthetic:grid25?spacing=1.5&sigma=.08"
    }

    fn parameters(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("spacing", "distance between neighbouring centres (2)"),
            ("sigma", "standard deviation of a mode (.05)"),
            ("weights", "`linear`, or 25 numbers with commas between (all equal)"),
        ]
    }

    fn embedded(&self) -> bool {
        true
    }

    fn recognizes(&self, spec: &Spec<'_>) -> bool {
        spec.base() == self.name()
    }

    fn open(&self, spec: &Spec<'_>, options: &OpenOptions) -> Result<Dataset, DataError> {
        let spacing = spec.positive("spacing")?.unwrap_or(2.0);
        let place = |step: usize| spacing * (step as f64 - (SIDE - 1) as f64 / 2.0);
        let mixture = MixtureSpec {
            centres: (0..MODES).map(|mode| [place(mode / SIDE), place(mode % SIDE)]).collect(),
            sigma: spec.positive("sigma")?.unwrap_or(0.05),
            weights: vec![1.0 / MODES as f64; MODES],
        };
        Ok(mixture.weighted(spec)?.into_dataset(spec.text(), options))
    }
}
