//! Pooling.

use super::images;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// Square windows of a pooling layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Height and width of a window.
    pub window: usize,
    /// Step along both axes.
    pub stride: usize,
    /// Pixels of padding on all sides.
    pub pad: usize,
}

impl Pool {
    /// Windows side by side.
    pub fn tiles(window: usize) -> Self {
        Self { window, stride: window, pad: 0 }
    }

    fn describe(&self, name: &str) -> String {
        format!("{name} {}x{} stride {}", self.window, self.window, self.stride)
    }
}

/// Maximum over windows of images [N, H, W, C]; padding never wins; the first maximum of a window takes the gradient.
#[track_caller]
pub fn max_pool(scope: &Scope, x: &Tensor, pool: Pool) -> Tensor {
    let _in = scope.enter();
    if let Err(poisoned) = images(scope, "max_pool", x) {
        return poisoned;
    }
    let y = x.max_pool2d(pool.window, pool.stride, pool.pad);
    scope.record_layer(&pool.describe("max_pool"), &y);
    y
}

/// Mean over windows of images [N, H, W, C]; padding counts as zeros.
#[track_caller]
pub fn avg_pool(scope: &Scope, x: &Tensor, pool: Pool) -> Tensor {
    let _in = scope.enter();
    if let Err(poisoned) = images(scope, "avg_pool", x) {
        return poisoned;
    }
    let y = x.avg_pool2d(pool.window, pool.stride, pool.pad);
    scope.record_layer(&pool.describe("avg_pool"), &y);
    y
}

/// Mean over height and width: [N, H, W, C] to [N, C].
#[track_caller]
pub fn global_avg_pool(scope: &Scope, x: &Tensor) -> Tensor {
    let _in = scope.enter();
    if let Err(poisoned) = images(scope, "global_avg_pool", x) {
        return poisoned;
    }
    let y = x.mean(&[1, 2]);
    scope.record_layer("global_avg_pool", &y);
    y
}
