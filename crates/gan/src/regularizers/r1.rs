use super::{Context, Regularizer, gamma_of, mean_squared_gradient};
use ganymede_graph::Tensor;

/// gamma/2 E |grad D(x)|^2 on real samples, of raw logits by the samples before augmentation.
pub struct R1;

impl Regularizer for R1 {
    fn name(&self) -> &'static str {
        "r1"
    }
    fn about(&self) -> &'static str {
        "half of strength times the squared gradient norm of the logits on real samples"
    }
    fn paper(&self) -> &'static str {
        "Mescheder, Geiger, Nowozin 2018, equation 9"
    }
    fn default_strength(&self) -> f64 {
        1.0
    }
    fn penalty(&self, context: &Context<'_>) -> Option<Tensor> {
        let mean = mean_squared_gradient(context.real_logits, context.sources[0]);
        Some(mean * 0.5 * context.common.strength)
    }
    fn automatic_strength(&self, size: [usize; 2], batch: usize) -> Option<f64> {
        Some(gamma_of(size, batch))
    }
    fn differentiates_logits(&self) -> bool {
        true
    }
    fn per_sample_gradients(&self) -> bool {
        true
    }
}
