//! Self-attention over the pixels of an image.

use super::images;
use crate::init::{FanRule, Init};
use crate::scope::Scope;
use ganymede_graph::{ConvOptions, Tensor};

/// What a query and a key have of the input's channels: an eighth.
const KEY_SHARE: usize = 8;
/// What a value has of them: half.
const VALUE_SHARE: usize = 2;

/// Self-attention of images [N, H, W, C] (Zhang, Goodfellow, Metaxas, Odena 2019, SAGAN, section 3): x + gamma o(a),
/// where a is, at each pixel, the mean of the values g(x) at all pixels, weighted by the softmax of the products of its
/// query theta(x) with their keys phi(x). theta and phi have C / 8 channels, g has C / 2 and o leads back to C, all
/// 1x1 convolutions without bias: `theta`, `phi`, `g`, `o`, drawn from `init`. `gamma` of shape \[1\] begins at 0, so that a
/// network first learns what convolutions can see (equation 3).
///
/// Keys and values are the maxima of windows of 2x2 pixels, which the paper leaves open and its authors' program and
/// BigGAN's do: a quarter of the products. The height and width must be even, and C a multiple of 8.
#[track_caller]
pub fn attention(scope: &Scope, x: &Tensor, init: Init) -> Tensor {
    let _in = scope.enter();
    let graph = scope.graph();
    let [n, h, w, c] = match images(scope, "attention", x) {
        Ok(shape) => shape,
        Err(poisoned) => return poisoned,
    };
    if c == 0 || !c.is_multiple_of(KEY_SHARE) {
        let message = format!("splits the channels by {KEY_SHARE}: it needs a multiple of it, got {c}");
        return graph.fail("attention", message);
    }
    if !h.is_multiple_of(2) || !w.is_multiple_of(2) {
        let message =
            format!("looks at windows of 2x2 pixels: it needs an even height and width, got {h}x{w}");
        return graph.fail("attention", message);
    }
    let (narrow, half) = (c / KEY_SHARE, c / VALUE_SHARE);
    let pointwise = |name: &str, x: &Tensor, from: usize, to: usize| {
        let weight = scope.weight(name, &[1, 1, from, to], init, FanRule::Forward);
        x.conv2d(&weight, ConvOptions::default())
    };
    let pooled = |x: &Tensor, channels: usize| x.max_pool2d(2, 2, 0).reshape(&[n, h * w / 4, channels]);
    let query = pointwise("theta", x, c, narrow).reshape(&[n, h * w, narrow]);
    let key = pooled(&pointwise("phi", x, c, narrow), narrow);
    let value = pooled(&pointwise("g", x, c, half), half);
    let share = query.matmul_with(&key, false, true).softmax();
    let seen = share.matmul(&value).reshape(&[n, h, w, half]);
    let gamma = scope.param("gamma", &[1], Init::Zeros);
    let y = x + pointwise("o", &seen, half, c) * gamma;
    scope.record_layer("attention", &y);
    y
}
