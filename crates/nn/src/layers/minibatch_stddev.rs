//! How much the samples of a batch differ, as channels of their own.

use super::images;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// Options of [`minibatch_stddev`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinibatchStddev {
    /// Samples compared with each other, 4 in StyleGAN2; a batch of fewer is one group.
    pub group: usize,
    /// Channels appended: each sees its share of the input's.
    pub channels: usize,
}

/// Added to the variance before its root.
const EPSILON: f64 = 1e-8;

/// Appends to images [N, H, W, C] `channels` constant channels: the standard deviation of each value over a group of
/// samples, averaged over pixels and a share of the channels (Karras et al. 2018, progressive growing, section 3; with
/// groups and shares as in StyleGAN2). [N, H, W, C + channels].
///
/// A group is every (N / group)-th sample, counted within each segment.
#[track_caller]
pub fn minibatch_stddev(scope: &Scope, x: &Tensor, layer: MinibatchStddev) -> Tensor {
    let _in = scope.enter();
    let [n, h, w, c] = match images(scope, "minibatch_stddev", x) {
        Ok(shape) => shape,
        Err(poisoned) => return poisoned,
    };
    let MinibatchStddev { group, channels } = layer;
    let segments = scope.mode().segments.max(1);
    let batch = n / segments;
    let group = group.min(batch).max(1);
    if channels == 0 || !c.is_multiple_of(channels) {
        let message = format!("{c} channels do not divide into {channels} shares");
        return scope.graph().fail("minibatch_stddev", message);
    }
    if !batch.is_multiple_of(group) {
        let message = format!("a batch of {batch} does not divide into groups of {group}");
        return scope.graph().fail("minibatch_stddev", message);
    }
    let groups = batch / group;
    let inside = h * w * (c / channels);
    // [segment, member, group, pixel, share, channel of the share]
    let members = x.reshape(&[segments, group, groups, h * w, channels, c / channels]);
    let deviation = (members.variance(&[1]) + EPSILON).sqrt();
    let mean = deviation.sum(&[2, 4]) * (1.0 / inside as f64);
    let shares = mean.reshape(&[segments, 1, groups, 1, 1, channels]);
    let appended =
        shares.broadcast_to(&[segments, group, groups, h, w, channels]).reshape(&[n, h, w, channels]);
    let y = Tensor::concat(&[x, &appended], 3);
    scope.record_layer(&format!("minibatch_stddev {group}"), &y);
    y
}
