use super::warp::look_up;
use super::{Augmentation, Draw, places};
use ganymede_graph::Tensor;

/// Left and right exchanged in half of the samples.
pub struct Flip;

impl Augmentation for Flip {
    fn name(&self) -> &'static str {
        "flip"
    }
    fn about(&self) -> &'static str {
        "left and right exchanged in half of the samples; not for digits and letters"
    }
    fn paper(&self) -> &'static str {
        "Karras et al. 2020 (ADA), appendix B: x-flips"
    }
    fn apply(&self, images: &Tensor, draw: &Draw<'_>) -> Tensor {
        let flipped = draw.gated(images, draw.whole(images, 2), 0.0);
        let column = places(images, 2);
        let last = (images.shape()[2] - 1) as f64;
        // column where not flipped, last - column where flipped.
        let from = (&column * (1.0 - &flipped * 2.0)) + flipped * last;
        look_up(images, &places(images, 1), &from, None)
    }
}
