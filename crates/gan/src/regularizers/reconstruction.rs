use super::{Context, Regularizer};
use ganymede_graph::Tensor;

/// The discriminator's features shall hold enough of a real image for small decoders to draw it again.
pub struct Reconstruction;

impl Regularizer for Reconstruction {
    fn name(&self) -> &'static str {
        "reconstruction"
    }
    fn about(&self) -> &'static str {
        "strength times the mean distance of real samples from what the discriminator's decoders make of its features"
    }
    fn paper(&self) -> &'static str {
        "Liu et al. 2021 (FastGAN), equation 4"
    }
    fn default_strength(&self) -> f64 {
        1.0
    }
    fn compares_reconstructions(&self) -> bool {
        true
    }
    fn penalty(&self, context: &Context<'_>) -> Option<Tensor> {
        let Some(distances) = context.reconstruction else {
            let message = "the discriminator has no decoders: take model `fastgan` with `decoders = 1`";
            return Some(context.real.graph().fail("reconstruction", message));
        };
        Some(distances.mean_all() * context.common.strength)
    }
}
