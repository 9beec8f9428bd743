//! Changing the resolution of images.

use super::images;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// How new pixels come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upsampling {
    /// Each pixel is repeated.
    Nearest,
    /// Between pixel centres, corners not aligned; edges repeat.
    Bilinear,
}

impl Upsampling {
    /// Every kind.
    pub const ALL: [Upsampling; 2] = [Upsampling::Nearest, Upsampling::Bilinear];

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Upsampling::Nearest => "nearest",
            Upsampling::Bilinear => "bilinear",
        }
    }
}

/// Doubles height and width: [N, H, W, C] to [N, 2H, 2W, C].
#[track_caller]
pub fn upsample(scope: &Scope, x: &Tensor, kind: Upsampling) -> Tensor {
    let _in = scope.enter();
    if let Err(poisoned) = images(scope, "upsample", x) {
        return poisoned;
    }
    let y = match kind {
        Upsampling::Nearest => x.upsample_nearest(2),
        Upsampling::Bilinear => x.upsample_bilinear2(),
    };
    scope.record_layer(&format!("upsample {}", kind.name()), &y);
    y
}

/// Halves height and width by the mean of 2x2 pixels: [N, H, W, C] to [N, H / 2, W / 2, C], both even.
#[track_caller]
pub fn downsample(scope: &Scope, x: &Tensor) -> Tensor {
    let _in = scope.enter();
    let [_, h, w, _] = match images(scope, "downsample", x) {
        Ok(shape) => shape,
        Err(poisoned) => return poisoned,
    };
    if !h.is_multiple_of(2) || !w.is_multiple_of(2) {
        return scope.graph().fail("downsample", format!("needs an even height and width, got {h}x{w}"));
    }
    let y = x.avg_pool2d(2, 2, 0);
    scope.record_layer("downsample", &y);
    y
}
