//! Latents to images, and the decoders, which are built alike.

use super::super::sizes::Doubling;
use super::layers::{excite, glu, norm, same};
use ganymede_graph::{ConvOptions, Tensor};
use ganymede_nn::layers::embedding;
use ganymede_nn::{FanRule, Init, Scope};

/// Doublings between a stage and the one that it excites: 4 to 64 px, and so on.
const SKIPPED: usize = 4;

/// Channels of the stage after `level` doublings as a multiple of `width`, in eighths: 16, 8, 4, 2, 2, 1, .5 .. for 4 to
/// 256 px.
fn eighths(level: usize) -> usize {
    match level {
        0 => 128,
        1 => 64,
        2 => 32,
        3 | 4 => 16,
        5 => 8,
        6 => 4,
        _ => 2,
    }
}

fn channels(width: usize, level: usize) -> usize {
    (width * eighths(level) / 8).max(1)
}

/// Images `[batch, H, W, channels]`, not bounded.
pub(super) fn image(
    scope: &Scope,
    latent: &Tensor,
    doubling: Doubling,
    image_channels: usize,
    width: usize,
) -> Tensor {
    let &[batch, dim] = &latent.shape()[..] else {
        let message = format!("expected latents [N, dim], got {}", latent.ty());
        return scope.graph().fail("fastgan generator", message);
    };
    let (latent, dim) = match scope.labels() {
        None => (latent.clone(), dim),
        Some(labels) => {
            let init = Init::HeNormal { gain: 1.0 };
            let embedded = embedding(&scope.child("embedding"), &labels.index, labels.classes, dim, init);
            (Tensor::concat(&[latent, &embedded], 1), 2 * dim)
        }
    };
    let mut levels =
        vec![first(&scope.child("stage0"), &latent, [batch, dim], doubling.base, channels(width, 0))];
    for level in 1..=doubling.count {
        let stage = scope.child(&format!("stage{level}"));
        let c = channels(width, level);
        let mut x = levels[level - 1].upsample_nearest(2);
        // Two convolutions and noise at every second resolution, one at the others.
        if level % 2 == 1 {
            x = noised(&stage, "noise0", &same(&stage, "conv0", &x, 2 * c, 3));
            x = glu(&norm(&stage, "norm0", &x));
            x = noised(&stage, "noise1", &same(&stage, "conv1", &x, 2 * c, 3));
            x = glu(&norm(&stage, "norm1", &x));
        } else {
            x = glu(&norm(&stage, "norm0", &same(&stage, "conv0", &x, 2 * c, 3)));
        }
        if let Some(small) = level.checked_sub(SKIPPED) {
            x = excite(&stage, "excitation", &levels[small], &x, doubling.base);
        }
        levels.push(x);
    }
    same(scope, "image", &levels[doubling.count], image_channels, 3)
}

/// A transposed convolution of the latent as an image of one pixel.
fn first(scope: &Scope, latent: &Tensor, [batch, dim]: [usize; 2], base: [usize; 2], c: usize) -> Tensor {
    let x = {
        let scope = scope.child("conv");
        let _at = scope.enter();
        let shape = [base[0], base[1], 2 * c, dim];
        let weight = scope.weight("weight", &shape, Init::TorchDefault, FanRule::Transposed);
        let x = latent.reshape(&[batch, 1, 1, dim]);
        let y = x.conv2d_transposed(&weight, ConvOptions::default(), base);
        scope.record_layer(&format!("conv_transpose {} {}x{}", 2 * c, base[0], base[1]), &y);
        y
    };
    glu(&norm(scope, "norm", &x))
}

/// Plus noise of a learned strength that begins at 0, where the mode has random words; elsewhere its mean, none.
fn noised(scope: &Scope, name: &str, x: &Tensor) -> Tensor {
    let scope = scope.child(name);
    let _at = scope.enter();
    let strength = scope.param("strength", &[1], Init::Zeros);
    let shape = x.shape();
    match (&scope.mode().random, &shape[..]) {
        (Some(random), &[n, h, w, _]) => {
            x + random.normal(scope.graph(), scope.path(), &[n, h, w, 1]) * strength
        }
        _ => x.clone(),
    }
}

/// Channels of a decoder's stages, the largest image last; a decoder of fewer stages has the last of them.
const DECODER: [usize; 4] = [128, 64, 64, 32];

/// What a decoder draws of features `[batch, h, w, C]` after `count` doublings: `[batch, H, W, channels]` in -1..1.
pub(super) fn decoded(scope: &Scope, features: &Tensor, count: usize, channels: usize) -> Tensor {
    let skipped = DECODER.len() - count.min(DECODER.len());
    let mut x = features.clone();
    for (i, c) in DECODER[skipped..].iter().enumerate() {
        let stage = scope.child(&format!("stage{i}"));
        x = same(&stage, "conv", &x.upsample_nearest(2), 2 * c, 3);
        x = glu(&norm(&stage, "norm", &x));
    }
    same(scope, "image", &x, channels, 3).tanh()
}
