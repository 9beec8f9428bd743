use super::{Labels, Loss};
use ganymede_graph::Tensor;

/// The critic estimates a distance between laws; it must be kept Lipschitz by weight clipping or a penalty.
pub struct Wasserstein;

impl Loss for Wasserstein {
    fn name(&self) -> &'static str {
        "wasserstein"
    }
    fn about(&self) -> &'static str {
        "difference of mean logits; needs weight clipping or a gradient penalty, and several critic steps"
    }
    fn paper(&self) -> &'static str {
        "Arjovsky, Chintala, Bottou 2017, equation 2 and algorithm 1"
    }
    fn discriminator(&self, real: &Tensor, fake: &Tensor, _: Labels) -> Tensor {
        fake.mean_all() - real.mean_all()
    }
    fn generator_each(&self, _real: Option<&Tensor>, fake: &Tensor) -> Tensor {
        -fake
    }
    fn needs_lipschitz(&self) -> bool {
        true
    }
    fn shift_invariant(&self) -> bool {
        true
    }
}
