use super::warp::look_up;
use super::{Augmentation, Draw, places};
use ganymede_graph::{DType, Tensor};

/// Shifts by up to an eighth of the image, with zeros moving in.
pub struct Translation;

/// Largest shift as a share of the side.
const RATIO: f64 = 0.125;

impl Augmentation for Translation {
    fn name(&self) -> &'static str {
        "translation"
    }
    fn about(&self) -> &'static str {
        "shifts by whole pixels, up to an eighth of each side; what moves in is 0, the middle grey"
    }
    fn paper(&self) -> &'static str {
        "Zhao et al. 2020 (DiffAugment), section 4"
    }
    fn apply(&self, images: &Tensor, draw: &Draw<'_>) -> Tensor {
        let shape = images.shape();
        let along = |axis: usize| {
            let most = (shape[axis] as f64 * RATIO + 0.5).floor();
            let shift = draw.gated(images, draw.whole(images, 2 * most as usize + 1) - most, 0.0);
            let from = places(images, axis) + shift;
            let last = (shape[axis] - 1) as f64;
            let inside = from.ge(&from.zeros_like()).and(&from.le(&from.full_like(last)));
            (from, inside.convert(DType::F32))
        };
        let ((row, row_inside), (column, column_inside)) = (along(1), along(2));
        look_up(images, &row, &column, Some(&(row_inside * column_inside)))
    }
}
