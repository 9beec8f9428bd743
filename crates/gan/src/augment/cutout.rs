use super::{Augmentation, Draw, one_each, places};
use ganymede_graph::{DType, Tensor};

/// A rectangle of half the sides becomes 0, wherever its centre falls in the image.
pub struct Cutout;

/// Sides of the hole as a share of the image's.
const RATIO: f64 = 0.5;

impl Augmentation for Cutout {
    fn name(&self) -> &'static str {
        "cutout"
    }
    fn about(&self) -> &'static str {
        "a rectangle of half the image's sides becomes 0, the middle grey"
    }
    fn paper(&self) -> &'static str {
        "DeVries, Taylor 2017; Zhao et al. 2020 (DiffAugment), section 4"
    }
    fn apply(&self, images: &Tensor, draw: &Draw<'_>) -> Tensor {
        let shape = images.shape();
        let along = |axis: usize| {
            let (side, hole) = (shape[axis], (shape[axis] as f64 * RATIO + 0.5).floor());
            // The centre is any pixel, and one beyond the last where the hole has no middle pixel.
            let centres = side + (hole as usize + 1) % 2;
            let first = draw.whole(images, centres) - (hole / 2.0).floor();
            let place = places(images, axis);
            let from = &place - first;
            from.ge(&from.zeros_like()).and(&from.lt(&from.full_like(hole))).convert(DType::F32)
        };
        let hole = along(1) * along(2);
        let acts = draw.gated(images, images.graph().full(&one_each(images), 1.0), 0.0);
        let hole = hole * acts;
        images * (1.0 - hole).broadcast_to(&shape)
    }
}
