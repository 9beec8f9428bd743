use super::{Context, Regularizer, gamma_of, mean_squared_gradient};
use ganymede_graph::Tensor;

/// gamma/2 E |grad D(G(z))|^2 on generated samples, of raw logits by the samples before augmentation.
pub struct R2;

impl Regularizer for R2 {
    fn name(&self) -> &'static str {
        "r2"
    }
    fn about(&self) -> &'static str {
        "half of strength times the squared gradient norm of the logits on generated samples"
    }
    fn paper(&self) -> &'static str {
        "Mescheder, Geiger, Nowozin 2018, equation 10; with R1 in Huang et al. 2024 (R3GAN)"
    }
    fn default_strength(&self) -> f64 {
        1.0
    }
    fn penalty(&self, context: &Context<'_>) -> Option<Tensor> {
        let mean = mean_squared_gradient(context.fake_logits, context.sources[1]);
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
