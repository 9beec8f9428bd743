//! Images to logits and, by decoders, back to images.

use super::super::Options;
use super::super::sizes::Doubling;
use super::generator::decoded;
use super::layers::{conv, excite, halve, norm, same};
use ganymede_graph::{ConvOptions, DType, Tensor};
use ganymede_nn::layers::embedding;
use ganymede_nn::{Init, Scope};

const SLOPE: f64 = 0.2;
/// Halvings between a stage and the one that it excites.
const SKIPPED: usize = 3;
/// Pixels that an exciting stage is averaged to.
const POOLED: [usize; 2] = [4, 4];
/// Sides of a patch that has a logit.
const PATCH: usize = 4;
/// Doublings of a decoder: from the smallest image to half the sides, where the largest images are halved this often and
/// once more.
const MAX_DECODED: usize = 4;

/// Logits `[batch, 1]`, each the mean over patches; where the batch has classes, plus the product of the mean features with
/// the embedded class (Miyato, Koyama 2018, equation 6).
pub(super) fn logits(scope: &Scope, samples: &Tensor, doubling: Doubling, options: &Options) -> Tensor {
    let width = options.number("width");
    let batch = samples.shape()[0];
    let (levels, last) = large(scope, samples, doubling, width);
    scope.expose_features(&last);
    let patches = {
        let scope = scope.child("logit");
        let y = same(&scope, "conv", &last, 16 * width, 1);
        let y = norm(&scope, "norm", &y).leaky_relu(SLOPE);
        conv(&scope, "patches", &y, 1, [PATCH; 2], ConvOptions::default())
    };
    if patches.is_poisoned() {
        return patches;
    }
    let flat = |patches: &Tensor| {
        let count = patches.shape()[1..].iter().product();
        patches.reshape(&[batch, count])
    };
    let class = |logits: Tensor| match scope.labels() {
        None => logits,
        Some(labels) => {
            let init = Init::HeNormal { gain: (8.0 * width as f64).sqrt().recip() };
            let at = scope.child("embedding");
            let embedded = embedding(&at, &labels.index, labels.classes, 8 * width, init);
            logits + (last.mean(&[1, 2]) * embedded).sum(&[1])
        }
    };
    if doubling.count < 2 {
        return class(flat(&patches).mean(&[1])).reshape(&[batch, 1]);
    }
    let halved = samples.avg_pool2d(2, 2, 0);
    let small = small(&scope.child("small"), &halved, doubling, width);
    let small_patches = conv(&scope.child("small"), "patches", &small, 1, [PATCH; 2], ConvOptions::default());
    if options.number("decoders") == 1 {
        let scope = scope.child("decoder");
        let features = Features { last: &last, before: &levels[doubling.count - 1], small: &small };
        scope.expose_reconstruction(&distances(&scope, samples, &halved, features, doubling));
    }
    let all = Tensor::concat(&[&flat(&patches), &flat(&small_patches)], 1);
    class(all.mean(&[1])).reshape(&[batch, 1])
}

/// Channels of the image after all but `left` halvings: 8 `width` of the smallest, half as many for twice the sides.
fn channels(width: usize, left: usize) -> usize {
    ((8 * width) >> left).max(1)
}

/// The stages of the large network, from the full sides on, and the last one.
fn large(scope: &Scope, samples: &Tensor, doubling: Doubling, width: usize) -> (Vec<Tensor>, Tensor) {
    let first = same(scope, "image", samples, channels(width, doubling.count), 3).leaky_relu(SLOPE);
    let mut levels = vec![first];
    for level in 1..=doubling.count {
        let stage = scope.child(&format!("stage{level}"));
        let c = channels(width, doubling.count - level);
        let before = &levels[level - 1];
        let y = norm(&stage, "norm0", &halve(&stage, "conv0", before, c)).leaky_relu(SLOPE);
        let y = norm(&stage, "norm1", &same(&stage, "conv1", &y, c, 3)).leaky_relu(SLOPE);
        let beside = same(&stage, "beside", &before.avg_pool2d(2, 2, 0), c, 1);
        let beside = norm(&stage, "beside_norm", &beside).leaky_relu(SLOPE);
        let mut x = (y + beside) * 0.5;
        if let Some(larger) = level.checked_sub(SKIPPED) {
            x = excite(&stage, "excitation", &levels[larger], &x, POOLED);
        }
        levels.push(x);
    }
    let last = levels[doubling.count].clone();
    (levels, last)
}

/// The last stage of the network that sees the image at half the sides, half as wide as the large one.
fn small(scope: &Scope, halved: &Tensor, doubling: Doubling, width: usize) -> Tensor {
    let mut x = halved.clone();
    for level in 2..=doubling.count {
        let stage = scope.child(&format!("stage{level}"));
        x = halve(&stage, "conv", &x, channels(width, doubling.count - level + 1));
        if level > 2 {
            x = norm(&stage, "norm", &x);
        }
        x = x.leaky_relu(SLOPE);
    }
    x
}

/// What images are drawn again from.
struct Features<'a> {
    last: &'a Tensor,
    /// The stage before the last one.
    before: &'a Tensor,
    small: &'a Tensor,
}

/// Sum of three mean squares `[batch]`: of the halved image from the last stage of either network, and of a quarter of the
/// image from that quarter of the stage before the last, whose sides are the same.
fn distances(
    scope: &Scope,
    samples: &Tensor,
    halved: &Tensor,
    features: Features<'_>,
    doubling: Doubling,
) -> Tensor {
    let count = (doubling.count - 1).min(MAX_DECODED);
    let channels = samples.shape()[3];
    let draw = |name: &str, features: &Tensor| decoded(&scope.child(name), features, count, channels);
    let distance = |drawn: &Tensor, image: &Tensor| (drawn - image).square().mean(&[1, 2, 3]);
    let part = quarter(scope);
    distance(&draw("large", features.last), halved)
        + distance(&draw("small", features.small), halved)
        + distance(&draw("part", &part(features.before)), &part(samples))
}

/// A quarter of an image for each sample, the same whichever image: a random one, or the first without random words.
fn quarter(scope: &Scope) -> impl Fn(&Tensor) -> Tensor {
    let graph = scope.graph().clone();
    let random = scope.mode().random.clone();
    let path = format!("{}/quarter", scope.path());
    let drawn = std::cell::OnceCell::<Tensor>::new();
    move |x: &Tensor| {
        let &[n, h, w, c] = &x.shape()[..] else { return x.clone() };
        let tiles = x.reshape(&[n, 2, h / 2, 2, w / 2, c]);
        let at =
            |i: usize, j: usize| tiles.slice(1, i, i + 1).slice(3, j, j + 1).reshape(&[n, h / 2, w / 2, c]);
        let Some(random) = &random else { return at(0, 0) };
        let u = drawn.get_or_init(|| random.uniform(&graph, &path, &[n, 2]));
        let second = |axis: usize| {
            u.slice(1, axis, axis + 1)
                .ge(&graph.full(&[n, 1], 0.5))
                .convert(DType::F32)
                .reshape(&[n, 1, 1, 1])
        };
        let mixed = |a: Tensor, b: Tensor, s: &Tensor| &a * (1.0 - s) + b * s;
        let (lower, right) = (second(0), second(1));
        let upper = mixed(at(0, 0), at(0, 1), &right);
        mixed(upper, mixed(at(1, 0), at(1, 1), &right), &lower)
    }
}
