use super::{Labels, Loss};
use ganymede_graph::Tensor;

/// Logits are pulled to 1 for real and 0 for generated samples by squared error.
pub struct LeastSquares;

/// Targets are logits here, of the order of 1.
const MAX_LABEL: f64 = 100.0;

impl Loss for LeastSquares {
    fn name(&self) -> &'static str {
        "least-squares"
    }
    fn about(&self) -> &'static str {
        "squared distance of the logits from 1 (real) and 0 (generated); does not saturate far from the boundary"
    }
    fn paper(&self) -> &'static str {
        "Mao et al. 2017 (LSGAN), equation 9: a = 0, b = c = 1; other codings by fake_label, real_label, generator_label"
    }
    fn discriminator(&self, real: &Tensor, fake: &Tensor, labels: Labels) -> Tensor {
        let distance = |logits: &Tensor, label: f64| match label {
            0.0 => logits.square().mean_all(),
            label => (logits - label).square().mean_all(),
        };
        (distance(real, labels.real) + distance(fake, labels.fake)) * 0.5
    }
    fn generator_each(&self, real: Option<&Tensor>, fake: &Tensor) -> Tensor {
        self.generator_each_toward(real, fake, 1.0)
    }
    fn generator_each_toward(&self, _real: Option<&Tensor>, fake: &Tensor, target: f64) -> Tensor {
        (fake - target).square() * 0.5
    }
    fn takes_generator_label(&self) -> bool {
        true
    }
    fn labels_within(&self) -> [f64; 2] {
        [-MAX_LABEL, MAX_LABEL]
    }
    fn takes_labels(&self) -> bool {
        true
    }
}
