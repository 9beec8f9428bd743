use super::{Labels, Loss};
use ganymede_graph::Tensor;

/// The discriminator stops caring about samples beyond the margin 1; the generator follows the logits.
pub struct Hinge;

impl Loss for Hinge {
    fn name(&self) -> &'static str {
        "hinge"
    }
    fn about(&self) -> &'static str {
        "margins of 1 for the discriminator, plain logits for the generator; common with spectral norm"
    }
    fn paper(&self) -> &'static str {
        "Lim, Ye 2017; Miyato et al. 2018 (SNGAN), equations 16 and 17"
    }
    fn discriminator(&self, real: &Tensor, fake: &Tensor, _: Labels) -> Tensor {
        (1.0 - real).relu().mean_all() + (fake + 1.0).relu().mean_all()
    }
    fn generator_each(&self, _real: Option<&Tensor>, fake: &Tensor) -> Tensor {
        -fake
    }
}
