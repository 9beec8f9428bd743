//! Images to logits.

use super::super::Options;
use super::super::sizes::Doubling;
use super::layers::{Sides, activate, conv, dense, embed};
use super::{channels, mapping};
use ganymede_graph::Tensor;
use ganymede_nn::layers::{MinibatchStddev, minibatch_stddev};
use ganymede_nn::{Init, Scope};
use std::f64::consts::FRAC_1_SQRT_2;

/// Logits `[batch, 1]`.
pub(super) fn logits(scope: &Scope, samples: &Tensor, doubling: Doubling, options: &Options) -> Tensor {
    let residual = options.number("residual") == 1;
    let mut x = activated(scope, "image", samples, channels(options, doubling.count), 1, Sides::Keep, 1.0);
    for level in (1..=doubling.count).rev() {
        let stage = scope.child(&format!("stage{level}"));
        let _at = stage.enter();
        let (width, narrow) = (channels(options, level), channels(options, level - 1));
        let beside = residual.then(|| {
            let scope = stage.child("beside");
            let y = conv(&scope, &x, narrow, 1, Sides::Halve) * FRAC_1_SQRT_2;
            scope.record_layer(&format!("conv {narrow} 1x1 halve"), &y);
            y
        });
        let gain = if residual { FRAC_1_SQRT_2 } else { 1.0 };
        x = activated(&stage, "conv0", &x, width, 3, Sides::Keep, 1.0);
        x = activated(&stage, "conv1", &x, narrow, 3, Sides::Halve, gain);
        x = beside.map_or_else(|| x.clone(), |beside| beside + &x);
    }
    let width = channels(options, 0);
    let stddev = options.number("stddev_channels");
    if stddev > 0 {
        let layer = MinibatchStddev { group: options.number("stddev_group"), channels: stddev };
        x = minibatch_stddev(&scope.child("stddev"), &x, layer);
    }
    x = activated(scope, "conv", &x, width, 3, Sides::Keep, 1.0);
    if x.is_poisoned() {
        return x;
    }
    let batch = x.shape()[0];
    let flat = x.reshape(&[batch, x.shape()[1..].iter().product()]);
    let features = activate(&dense(scope, "dense", &flat, width, 1.0, 0.0), 1.0);
    scope.expose_features(&features);
    match scope.labels() {
        None => dense(scope, "logit", &features, 1, 1.0, 0.0),
        Some(labels) => {
            let at = scope.child("mapping");
            let class = mapping::layers(&at, &embed(&at, labels, width), width, options);
            let seen = dense(scope, "logit", &features, width, 1.0, 0.0);
            ((seen * class).sum(&[1]) * (1.0 / (width as f64).sqrt())).reshape(&[batch, 1])
        }
    }
}

/// A convolution with bias and leaky ReLU.
fn activated(
    scope: &Scope,
    name: &str,
    x: &Tensor,
    c_out: usize,
    size: usize,
    sides: Sides,
    gain: f64,
) -> Tensor {
    let scope = scope.child(name);
    let _at = scope.enter();
    let y = conv(&scope, x, c_out, size, sides);
    let y = activate(&(y + scope.param("bias", &[c_out], Init::Zeros)), gain);
    scope.record_layer(&format!("conv {c_out} {size}x{size}"), &y);
    y
}
