use super::{GeneratorContext, Regularizer};
use crate::networks::Side;
use ganymede_graph::{Tensor, grad};

/// A step of fixed length in style space shall change the image by a fixed amount, whatever the style and direction.
pub struct PathLength;

/// What the running mean of the lengths keeps at a step.
const DECAY: f64 = 0.99;
/// Keeps the square root differentiable at 0.
const EPSILON: f64 = 1e-12;

impl Regularizer for PathLength {
    fn name(&self) -> &'static str {
        "path-length"
    }
    fn about(&self) -> &'static str {
        "strength times the squared distance of |J^T y| from its running mean, J the samples' Jacobian by their styles"
    }
    fn paper(&self) -> &'static str {
        "Karras et al. 2020 (StyleGAN2), equation 4"
    }
    fn default_strength(&self) -> f64 {
        2.0
    }
    fn sides(&self) -> &'static [Side] {
        &[Side::Generator]
    }
    fn memory(&self) -> &'static [&'static str] {
        &["mean", "mean_share"]
    }
    fn per_sample_gradients(&self) -> bool {
        true
    }
    fn generator_penalty(&self, context: &GeneratorContext<'_>) -> Option<Tensor> {
        let shape = context.fake.shape();
        // y is scaled so that the length does not grow with the number of pixels (appendix B).
        let pixels: usize = match shape.len() {
            0..=2 => 1,
            rank => shape[1..rank - 1].iter().product(),
        };
        let y = (context.common.normal)(&shape) * (1.0 / (pixels as f64).sqrt());
        let product = &grad(&(context.fake * y).sum_all(), &[context.styles])[0];
        let squares = product.square();
        // One style a layer: the mean over layers of each one's squared length, as the authors' program takes it.
        let squared = match squares.shape().len() {
            0..=2 => squares.sum(&[1]),
            rank => squares.sum(&[rank - 1]).mean(&(1..rank - 1).collect::<Vec<_>>()),
        };
        let lengths = (squared + EPSILON).sqrt();
        let mean = context.common.memory.average("mean", "mean_share", &lengths.mean_all(), DECAY);
        Some((lengths - mean).square().mean_all() * context.common.strength)
    }
}
