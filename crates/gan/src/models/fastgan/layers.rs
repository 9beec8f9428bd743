//! What both networks are made of.

use ganymede_graph::{ConvOptions, Tensor};
use ganymede_nn::layers::{BatchNorm, batch_norm};
use ganymede_nn::{FanRule, Init, Scope};

/// A convolution without bias, of `size` [height, width]. Spectral normalization takes the first weights' size out, so they
/// are PyTorch's, as published.
pub(super) fn conv(
    scope: &Scope,
    name: &str,
    x: &Tensor,
    c_out: usize,
    size: [usize; 2],
    options: ConvOptions,
) -> Tensor {
    let scope = scope.child(name);
    let _at = scope.enter();
    let c_in = x.shape().last().copied().unwrap_or(0);
    let shape = [size[0], size[1], c_in, c_out];
    let y = x.conv2d(&scope.weight("weight", &shape, Init::TorchDefault, FanRule::Forward), options);
    scope.record_layer(&format!("conv {c_out} {}x{}", size[0], size[1]), &y);
    y
}

/// A square convolution that keeps the sides.
pub(super) fn same(scope: &Scope, name: &str, x: &Tensor, c_out: usize, size: usize) -> Tensor {
    conv(scope, name, x, c_out, [size; 2], ConvOptions::default().pad(size / 2))
}

/// A 4x4 convolution that halves the sides.
pub(super) fn halve(scope: &Scope, name: &str, x: &Tensor, c_out: usize) -> Tensor {
    conv(scope, name, x, c_out, [4; 2], ConvOptions::default().stride(2).pad(1))
}

pub(super) fn norm(scope: &Scope, name: &str, x: &Tensor) -> Tensor {
    batch_norm(&scope.child(name), x, BatchNorm::dcgan())
}

/// The gated linear unit (Dauphin et al. 2017): the first half of the channels times the sigmoid of the second.
pub(super) fn glu(x: &Tensor) -> Tensor {
    let axis = x.shape().len().saturating_sub(1);
    let half = x.shape().last().copied().unwrap_or(0) / 2;
    x.slice(axis, 0, half) * x.slice(axis, half, 2 * half).sigmoid()
}

/// Skip-layer excitation (FastGAN, equation 1): each channel of `large` times a factor in 0..1 that a smaller network makes
/// of `small`, whose pixels are first averaged to `pooled` [height, width].
pub(super) fn excite(
    scope: &Scope,
    name: &str,
    small: &Tensor,
    large: &Tensor,
    pooled: [usize; 2],
) -> Tensor {
    if small.is_poisoned() || large.is_poisoned() {
        return large.clone();
    }
    let scope = scope.child(name);
    let (shape, c_out) = (small.shape(), large.shape()[3]);
    let (n, c) = (shape[0], shape[3]);
    let tiles = [shape[1] / pooled[0], shape[2] / pooled[1]];
    let x = match tiles {
        [1, 1] => small.clone(),
        _ => small.reshape(&[n, pooled[0], tiles[0], pooled[1], tiles[1], c]).mean(&[2, 4]),
    };
    let x = conv(&scope, "squeeze", &x, c_out, pooled, ConvOptions::default()).silu();
    large * same(&scope, "excite", &x, c_out, 1).sigmoid()
}
