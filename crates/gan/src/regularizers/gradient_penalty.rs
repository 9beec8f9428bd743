use super::{Context, Regularizer, squared_gradient_norms};
use ganymede_graph::Tensor;

/// lambda E (|grad D(x^)| - 1)^2 on straight lines between real and generated samples.
pub struct GradientPenalty;

/// Keeps the square root differentiable at 0.
const EPSILON: f64 = 1e-12;

impl Regularizer for GradientPenalty {
    fn name(&self) -> &'static str {
        "gradient-penalty"
    }
    fn about(&self) -> &'static str {
        "strength times the squared distance of the critic's gradient norm from 1, between real and generated samples"
    }
    fn paper(&self) -> &'static str {
        "Gulrajani et al. 2017 (WGAN-GP), equation 3"
    }
    fn default_strength(&self) -> f64 {
        10.0
    }
    fn penalty(&self, context: &Context<'_>) -> Option<Tensor> {
        let shape = context.real.shape();
        let mut one_each = vec![1; shape.len()];
        one_each[0] = shape[0];
        let t = (context.uniform)(&one_each).broadcast_to(&shape);
        let between = &t * context.real + (1.0 - &t) * context.fake;
        let logits = (context.discriminator)(&between);
        let norms = (squared_gradient_norms(&logits, &between) + EPSILON).sqrt();
        Some((norms - 1.0).square().mean_all() * context.strength)
    }
    fn per_sample_gradients(&self) -> bool {
        true
    }
}
