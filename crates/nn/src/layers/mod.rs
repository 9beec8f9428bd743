//! Layers: functions of a scope, a tensor and options. Each enters its scope, so that errors and dumps name it,
//! declares its parameters there and records a row for the summary.

pub mod activation;
pub mod attention;
pub mod classifier;
pub mod concat_label;
pub mod conditional_norm;
pub mod conv;
pub mod conv_transpose;
pub mod dense;
pub mod dropout;
pub mod embedding;
pub mod fir;
pub mod fourier;
pub mod minibatch_stddev;
pub mod norm;
pub mod padding;
pub mod pool;
pub mod projection;
pub mod resample;
pub mod shape;

pub use activation::{Activation, activation};
pub use attention::attention;
pub use classifier::classifier;
pub use concat_label::concat_label;
pub use conditional_norm::{Condition, ConditionalBatchNorm, conditional_batch_norm};
pub use conv::{ConvLayer, conv};
pub use conv_transpose::{ConvTransposeLayer, conv_transpose};
pub use dense::{DenseLayer, dense};
pub use dropout::dropout;
pub use embedding::embedding;
pub use fir::{fir_blur, fir_downsample, fir_upsample};
pub use fourier::fourier_features;
pub use minibatch_stddev::{MinibatchStddev, minibatch_stddev};
pub use norm::{BatchNorm, Norm, batch_norm, group_norm, instance_norm, layer_norm};
pub use padding::Padding;
pub use pool::{Pool, avg_pool, global_avg_pool, max_pool};
pub use projection::projection;
pub use resample::{Upsampling, downsample, upsample};
pub use shape::{flatten, reshape};

use crate::init::Init;
use crate::scope::{ClassLabels, Scope};
use ganymede_graph::{DType, Tensor};

/// Most elements of a parameter or of a layer's output: 8 GiB of f32, and what 31-bit indices reach.
pub const MAX_ELEMENTS: usize = 1 << 31;

/// [N, H, W, C] of a batch of images, or the poisoned tensor of the error that it is none.
#[track_caller]
fn images(scope: &Scope, layer: &str, x: &Tensor) -> Result<[usize; 4], Tensor> {
    if x.is_poisoned() {
        return Err(x.clone());
    }
    match x.shape()[..] {
        [n, h, w, c] if x.dtype().is_float() => Ok([n, h, w, c]),
        _ => {
            let hint = if x.shape().len() == 2 { "; turn vectors into images with a reshape" } else { "" };
            Err(scope.graph().fail(layer, format!("expected images [N, H, W, C], got {}{hint}", x.ty())))
        }
    }
}

/// The classes of the batch `x`, or the poisoned tensor of the error that there are none, or as many as samples.
#[track_caller]
fn labels(scope: &Scope, layer: &str, x: &Tensor) -> Result<ClassLabels, Tensor> {
    if x.is_poisoned() {
        return Err(x.clone());
    }
    let Some(labels) = scope.labels() else {
        let message = "needs the classes of the samples, and the recipe has none: give it `[data] classes = N` and \
                       labelled data, or leave the layer out";
        return Err(scope.graph().fail(layer, message));
    };
    if labels.index.is_poisoned() {
        return Err(labels.index.clone());
    }
    let (samples, given) = (x.shape().first().copied(), labels.index.ty());
    if given.dtype != DType::I32 || given.shape.len() != 1 || samples != given.shape.first().copied() {
        let message = format!("expected a class i32 for each sample of {}, got {given}", x.ty());
        return Err(scope.graph().fail(layer, message));
    }
    Ok(labels.clone())
}

/// The first value of a bias beside weights from `init`: zeros, except that PyTorch's default draws it from the
/// interval of the weights.
fn bias_init(init: Init, fan_in: usize) -> Init {
    match init {
        Init::TorchDefault => {
            let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
            Init::Uniform { low: -bound, high: bound }
        }
        Init::Zeros
        | Init::Ones
        | Init::Constant(_)
        | Init::Normal { .. }
        | Init::Uniform { .. }
        | Init::GlorotUniform
        | Init::GlorotNormal
        | Init::HeNormal { .. }
        | Init::HeUniform
        | Init::Orthogonal { .. } => Init::Zeros,
    }
}

/// The product of extents, unless it overflows or passes [`MAX_ELEMENTS`].
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &e| n.checked_mul(e)).filter(|&n| n <= MAX_ELEMENTS)
}
