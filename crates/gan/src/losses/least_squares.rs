use super::Loss;
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
    fn discriminator(&self, real: &Tensor, fake: &Tensor) -> Tensor {
        ((real - 1.0).square().mean_all() + fake.square().mean_all()) * 0.5
    }
    fn generator(&self, _real: Option<&Tensor>, fake: &Tensor) -> Tensor {
        (fake - 1.0).square().mean_all() * 0.5
    }
}
