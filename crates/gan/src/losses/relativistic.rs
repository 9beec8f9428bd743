use super::{Labels, Loss};
use ganymede_graph::Tensor;

/// Real and generated samples are judged in pairs: only the difference of their logits counts, so the generator
/// cannot gain by leaving modes that the discriminator has not yet learned.
pub struct RelativisticPairing;

impl Loss for RelativisticPairing {
    fn name(&self) -> &'static str {
        "relativistic-pairing"
    }
    fn about(&self) -> &'static str {
        "logits of a real and a generated sample compared pair by pair; with R1 and R2 it converges locally"
    }
    fn paper(&self) -> &'static str {
        "Jolicoeur-Martineau 2018; Huang et al. 2024 (R3GAN), equation 2 with f(t) = -log(1 + e^-t)"
    }
    fn discriminator(&self, real: &Tensor, fake: &Tensor, _: Labels) -> Tensor {
        (fake - real).softplus().mean_all()
    }
    fn generator_each(&self, real: Option<&Tensor>, fake: &Tensor) -> Tensor {
        match real {
            Some(real) => (real - fake).softplus(),
            None => {
                fake.graph().fail("relativistic-pairing", "the generator's loss needs logits of real samples")
            }
        }
    }
    fn shift_invariant(&self) -> bool {
        true
    }
    fn pairs(&self) -> bool {
        true
    }
}
