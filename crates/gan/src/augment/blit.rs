use super::warp::{Affine, warp};
use super::{Augmentation, Draw};
use ganymede_graph::Tensor;

/// Pixels moved as they are: mirrored, turned by right angles, shifted by whole pixels.
pub struct Blit;

/// Largest shift as a share of the side.
const RATIO: f64 = 0.125;

/// cos and sin of `turns` right angles, 0 to 3, exactly.
fn right_angles(turns: &Tensor) -> (Tensor, Tensor) {
    // 1, 0, -1, 0 is |turns - 2| - 1, and 0, 1, 0, -1 the same of the turns before, counted round.
    let wave = |t: &Tensor| (t - 2.0).abs() - 1.0;
    let before = (turns + 3.0) - ((turns + 3.0) * 0.25).floor() * 4.0;
    (wave(turns), wave(&before))
}

impl Augmentation for Blit {
    fn name(&self) -> &'static str {
        "blit"
    }
    fn about(&self) -> &'static str {
        "mirrored, turned by right angles (half turns unless square), shifted by whole pixels; edges reflect"
    }
    fn paper(&self) -> &'static str {
        "Karras et al. 2020 (ADA), appendix B: pixel blitting"
    }
    fn apply(&self, images: &Tensor, draw: &Draw<'_>) -> Tensor {
        let shape = images.shape();
        let mirrored = 1.0 - draw.gated(images, draw.whole(images, 2), 0.0) * 2.0;
        let one = mirrored.ones_like();
        let mirror = Affine::scale(&one, &mirrored);
        let turns = match shape[1] == shape[2] {
            true => draw.whole(images, 4),
            false => draw.whole(images, 2) * 2.0,
        };
        let (cos, sin) = right_angles(&draw.gated(images, turns, 0.0));
        let shift = |axis: usize| {
            let reach = shape[axis] as f64 * RATIO;
            // Rounded to whole pixels.
            (draw.between(images, -reach, reach) + 0.5).floor()
        };
        let moves = draw.gated(images, one, 0.0);
        let shifted = Affine::shift(shift(1) * &moves, shift(2) * moves);
        warp(images, &mirror.then(&Affine::turn(&cos, &sin)).then(&shifted))
    }
}
