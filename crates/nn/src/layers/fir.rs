//! Resampling with a low-pass filter: images are filtered as they are doubled or halved, so that no frequency above
//! what the smaller image can show is folded into it (Zhang 2019; Karras et al. 2020, StyleGAN2, as upfirdn2d).
//!
//! The filter is [1, 3, 3, 1] along each axis, [1, 2, 1] convolved with the box of nearest-neighbour resampling. Beyond its
//! borders an image is zero.

use super::images;
use crate::scope::Scope;
use ganymede_graph::{ConvOptions, Graph, Tensor};

const TAPS: [f64; 4] = [1.0, 3.0, 3.0, 1.0];

/// The filter as a depthwise weight [4, 4, 1, channels] whose taps add up to `gain`.
fn filter(graph: &Graph, channels: usize, gain: f64) -> Tensor {
    let sum: f64 = TAPS.iter().sum();
    let values: Vec<f64> =
        TAPS.iter().flat_map(|a| TAPS.iter().map(move |b| gain * a * b / (sum * sum))).collect();
    graph.constant_f32(&[4, 4, 1, 1], &values).broadcast_to(&[4, 4, 1, channels])
}

/// Doubles height and width: [N, H, W, C] to [N, 2H, 2W, C]. Zeros are put between the pixels and the filter, with a sum of
/// 4, is applied: inside the image this is bilinear interpolation between pixel centres.
#[track_caller]
pub fn fir_upsample(scope: &Scope, x: &Tensor) -> Tensor {
    let _in = scope.enter();
    match images(scope, "fir_upsample", x) {
        Ok([_, h, w, c]) => {
            let options = ConvOptions::default().stride(2).pad(1).groups(c);
            x.conv2d_transposed(&filter(scope.graph(), c, 4.0), options, [2 * h, 2 * w])
        }
        Err(poisoned) => poisoned,
    }
}

/// Halves height and width, both even: [N, H, W, C] to [N, H / 2, W / 2, C], the filter applied at every second pixel.
#[track_caller]
pub fn fir_downsample(scope: &Scope, x: &Tensor) -> Tensor {
    let _in = scope.enter();
    match images(scope, "fir_downsample", x) {
        Ok([_, h, w, c]) if h.is_multiple_of(2) && w.is_multiple_of(2) => {
            x.conv2d(&filter(scope.graph(), c, 1.0), ConvOptions::default().stride(2).pad(1).groups(c))
        }
        Ok([_, h, w, _]) => {
            scope.graph().fail("fir_downsample", format!("needs an even height and width, got {h}x{w}"))
        }
        Err(poisoned) => poisoned,
    }
}

/// The filter, its taps adding up to `gain`, with `pad` zeros on all sides: [N, H, W, C] to
/// [N, H + 2 pad - 3, W + 2 pad - 3, C].
#[track_caller]
pub fn fir_blur(scope: &Scope, x: &Tensor, pad: usize, gain: f64) -> Tensor {
    let _in = scope.enter();
    match images(scope, "fir_blur", x) {
        Ok([.., c]) => x.conv2d(&filter(scope.graph(), c, gain), ConvOptions::default().pad(pad).groups(c)),
        Err(poisoned) => poisoned,
    }
}
