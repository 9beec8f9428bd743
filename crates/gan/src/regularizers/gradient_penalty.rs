use super::{Context, Regularizer, gradient_norms};
use ganymede_graph::Tensor;

/// lambda E (|grad D(x^)| - 1)^2 on straight lines between real and generated samples.
pub struct TwoSided;

/// lambda E max(|grad D(x^)| - 1, 0)^2: gradients below 1 are left alone.
pub struct OneSided;

/// |grad D(x^)| - 1 at one place between each real and each generated sample, `[batch]`.
fn excess(context: &Context<'_>) -> Tensor {
    let shape = context.real.shape();
    let mut one_each = vec![1; shape.len()];
    one_each[0] = shape[0];
    let t = (context.common.uniform)(&one_each).broadcast_to(&shape);
    let between = &t * context.real + (1.0 - &t) * context.fake;
    gradient_norms(&(context.discriminator)(&between), &between) - 1.0
}

impl Regularizer for TwoSided {
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
        Some(excess(context).square().mean_all() * context.common.strength)
    }
    fn per_sample_gradients(&self) -> bool {
        true
    }
}

impl Regularizer for OneSided {
    fn name(&self) -> &'static str {
        "gradient-penalty-one-sided"
    }
    fn about(&self) -> &'static str {
        "strength times the square of what the critic's gradient norm exceeds 1 by; smaller gradients cost nothing"
    }
    fn paper(&self) -> &'static str {
        "Gulrajani et al. 2017, section 4; Petzka, Fischer, Lukovnikov 2018 (WGAN-LP), equation 8"
    }
    fn default_strength(&self) -> f64 {
        10.0
    }
    fn penalty(&self, context: &Context<'_>) -> Option<Tensor> {
        Some(excess(context).relu().square().mean_all() * context.common.strength)
    }
    fn per_sample_gradients(&self) -> bool {
        true
    }
}
