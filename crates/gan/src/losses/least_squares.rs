use super::{Labels, Loss};
use ganymede_graph::Tensor;

/// Logits are pulled to 1 for real and 0 for generated samples by squared error.
pub struct LeastSquares;

impl Loss for LeastSquares {
    fn name(&self) -> &'static str {
        "least-squares"
    }
    fn about(&self) -> &'static str {
        "squared distance of the logits from 1 (real) and 0 (generated); does not saturate far from the boundary"
    }
    fn paper(&self) -> &'static str {
        "Mao et al. 2017 (LSGAN), equation 9: a = 0, b = c = 1"
    }
    fn discriminator(&self, real: &Tensor, fake: &Tensor, labels: Labels) -> Tensor {
        let distance = |logits: &Tensor, label: f64| match label {
            0.0 => logits.square().mean_all(),
            label => (logits - label).square().mean_all(),
        };
        (distance(real, labels.real) + distance(fake, labels.fake)) * 0.5
    }
    fn generator_each(&self, _real: Option<&Tensor>, fake: &Tensor) -> Tensor {
        (fake - 1.0).square() * 0.5
    }
    fn takes_labels(&self) -> bool {
        true
    }
}
