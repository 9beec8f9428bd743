use super::Regularizer;
use ganymede_graph::Tensor;

/// Every discriminator weight is clipped into `[-c, c]` after each step.
pub struct WeightClipping;

impl Regularizer for WeightClipping {
    fn name(&self) -> &'static str {
        "weight-clipping"
    }
    fn about(&self) -> &'static str {
        "clips every discriminator weight into plus or minus strength after each step"
    }
    fn paper(&self) -> &'static str {
        "Arjovsky, Chintala, Bottou 2017 (WGAN), algorithm 1"
    }
    fn default_strength(&self) -> f64 {
        0.01
    }
    fn constrains(&self) -> bool {
        true
    }
    fn constrain(&self, weight: &Tensor, strength: &Tensor) -> Option<Tensor> {
        Some(weight.minimum(strength).maximum(&-strength))
    }
}
