//! Adversarial losses: one file and one line in [`LOSSES`] each.
//!
//! Every loss is a function of logits, the discriminator's raw outputs before any sigmoid, of shape `[batch]`.

mod hinge;
mod least_squares;
mod minimax;
mod non_saturating;
mod relativistic;
mod wasserstein;

use ganymede_graph::Tensor;

/// What the two networks minimise.
pub trait Loss: Sync {
    /// Name in recipes.
    fn name(&self) -> &'static str;
    /// One sentence for people choosing.
    fn about(&self) -> &'static str;
    /// Authors, year, equation.
    fn paper(&self) -> &'static str;
    /// The discriminator's loss from logits of real and generated samples, each `[batch]`; a scalar.
    fn discriminator(&self, real: &Tensor, fake: &Tensor) -> Tensor;
    /// The generator's loss from logits of generated samples and, where [`Loss::pairs`], of real ones; a scalar.
    fn generator(&self, real: Option<&Tensor>, fake: &Tensor) -> Tensor;
    /// Whether the generator's loss compares generated samples with real ones.
    fn pairs(&self) -> bool {
        false
    }
}

/// Every loss.
pub const LOSSES: &[&dyn Loss] = &[
    &minimax::Minimax,
    &non_saturating::NonSaturating,
    &least_squares::LeastSquares,
    &wasserstein::Wasserstein,
    &hinge::Hinge,
    &relativistic::RelativisticPairing,
];

/// The loss of that name.
pub fn find(name: &str) -> Option<&'static dyn Loss> {
    LOSSES.iter().copied().find(|l| l.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sound() {
        let mut names = std::collections::HashSet::new();
        for loss in LOSSES {
            assert!(names.insert(loss.name()), "two losses are named {}", loss.name());
            assert!(loss.about().len() > 20 && loss.paper().contains("20"), "{} lacks docs", loss.name());
            assert!(find(loss.name()).is_some());
        }
    }
}
