use super::{Context, Regularizer, gradient_norms};
use ganymede_graph::Tensor;

/// lambda E (|grad D(x + delta)| - 1)^2 around real samples only.
pub struct Dragan;

/// Reach of the perturbation in standard deviations of the data, as in the authors' program.
const REACH: f64 = 0.5;

impl Regularizer for Dragan {
    fn name(&self) -> &'static str {
        "dragan"
    }
    fn about(&self) -> &'static str {
        "strength times the squared distance of the gradient norm from 1, at real samples moved by noise"
    }
    fn paper(&self) -> &'static str {
        "Kodali et al. 2017 (DRAGAN), equation 1, with k = 1 and noise uniform on half a standard deviation"
    }
    fn default_strength(&self) -> f64 {
        10.0
    }
    fn penalty(&self, context: &Context<'_>) -> Option<Tensor> {
        let shape = context.real.shape();
        let axes: Vec<usize> = (0..shape.len()).collect();
        let deviation = context.real.variance(&axes).sqrt().stop_gradient();
        let noise = (context.common.uniform)(&shape) * REACH * deviation.broadcast_to(&shape);
        let mut one_each = vec![1; shape.len()];
        one_each[0] = shape[0];
        // How far along its noise each sample is moved.
        let t = (context.common.uniform)(&one_each).broadcast_to(&shape);
        let near = context.real + t * noise;
        let norms = gradient_norms(&(context.discriminator)(&near), &near);
        Some((norms - 1.0).square().mean_all() * context.common.strength)
    }
    fn compares_samples(&self) -> bool {
        true
    }
    fn per_sample_gradients(&self) -> bool {
        true
    }
}
