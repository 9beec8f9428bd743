//! Latents to styles.

use super::super::Options;
use super::layers::{activate, dense, embed, normalize};
use ganymede_graph::{DType, Tensor};
use ganymede_nn::{Init, Scope};

/// Learning rate of mapping networks, relative to that of the others.
const RATE: f64 = 0.01;
/// What the running mean of styles keeps at a step, or at each part of one.
const DECAY: f64 = 0.995;

/// Dense layers of `width` at a hundredth of the learning rate.
pub(super) fn layers(scope: &Scope, x: &Tensor, width: usize, options: &Options) -> Tensor {
    (0..options.number("mapping_layers"))
        .fold(x.clone(), |x, i| activate(&dense(scope, &format!("dense{i}"), &x, width, RATE, 0.0), 1.0))
}

fn map(scope: &Scope, latent: &Tensor, options: &Options) -> Tensor {
    let width = options.number("style_width");
    let latent = normalize(latent);
    let given = match scope.labels() {
        None => latent,
        Some(labels) => Tensor::concat(&[&latent, &embed(scope, labels, width)], 1),
    };
    layers(scope, &given, width, options)
}

/// Styles `[batch, count, width]` of latents. In training, of two latents each in a share of the samples: the second
/// one's from a random layer on (Karras, Laine, Aila 2019, section 3.1). Where the mode truncates, they are drawn to their
/// running mean `mapping/w_mean`.
pub(super) fn styles(scope: &Scope, latent: &Tensor, count: usize, options: &Options) -> Tensor {
    let scope = &scope.child("mapping");
    let _at = scope.enter();
    if latent.is_poisoned() || latent.shape().len() != 2 {
        return scope.graph().fail("mapping", format!("expected latents [N, dim], got {}", latent.ty()));
    }
    let width = options.number("style_width");
    let batch = latent.shape()[0];
    let each = |w: &Tensor| w.broadcast_axes(&[batch, count, width], &[0, 2]);
    let w = map(scope, latent, options);
    let mean = scope.buffer("w_mean", &[width], Init::Zeros);
    if scope.mode().training {
        let moved = &mean * DECAY + w.mean(&[0]) * (1.0 - DECAY);
        scope.advance("w_mean", &moved.stop_gradient());
    }
    let styles = each(&w);
    let styles = match mixing(scope, &latent.shape(), count, options) {
        Some((other, from)) => {
            let layer = scope.graph().iota(&[batch, count, width], 1).convert(DType::F32);
            layer
                .ge(&from.broadcast_axes(&[batch, count, width], &[0]))
                .select(&each(&map(scope, &other, options)), &styles)
        }
        None => styles,
    };
    let factor = scope.mode().truncation;
    if factor == 1.0 { styles } else { &mean + (styles - &mean) * factor }
}

/// A second latent for each sample, and the layer `[batch]` from which on its styles are used.
fn mixing(scope: &Scope, latent: &[usize], count: usize, options: &Options) -> Option<(Tensor, Tensor)> {
    let mode = scope.mode();
    let random = mode.random.as_ref().filter(|_| mode.training && options.number("mixing") > 0)?;
    let path = format!("{}/mixing", scope.path());
    let other = random.normal(scope.graph(), &format!("{path}/latent"), latent);
    let uniform = random.uniform(scope.graph(), &path, &[latent[0], 2]);
    let column = |i: usize| uniform.slice(1, i, i + 1).reshape(&[latent[0]]);
    let mixed = column(0).lt(&column(0).full_like(options.number("mixing") as f64 / 100.0));
    // One of 1 to count - 1.
    let from = (column(1) * (count - 1) as f64).floor() + 1.0;
    let none = from.full_like(count as f64);
    Some((other, mixed.select(&from, &none)))
}
