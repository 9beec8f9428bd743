//! Batch normalisation whose scale and shift depend on what a sample is meant to be.

use super::{labels, norm};
use crate::init::{FanRule, Init};
use crate::scope::{ClassLabels, Scope};
use ganymede_graph::{DType, Tensor};

/// Options of [`conditional_batch_norm`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConditionalBatchNorm {
    /// Share of the old running statistic that an update keeps.
    pub momentum: f64,
    /// Added to the variance.
    pub eps: f64,
}

impl Default for ConditionalBatchNorm {
    /// As [`BatchNorm`](super::BatchNorm): .9 and 1e-5.
    fn default() -> Self {
        let usual = super::BatchNorm::default();
        Self { momentum: usual.momentum, eps: usual.norm.eps }
    }
}

/// What scale and shift depend on.
#[derive(Clone, Copy, Debug)]
pub enum Condition<'a> {
    /// The class of each sample: parameters `gain` and `bias` `[classes, C]`, the gain first drawn from `gain`, the bias
    /// 0 (Dumoulin, Shlens, Kudlur 2017, equation 5; SNGAN and SAGAN in their class-conditional form).
    Classes {
        /// First value of the gain, 1 as a rule.
        gain: Init,
    },
    /// A vector `[N, D]` for each sample, such as an embedding of its class: the gain is 1 + vector `gain_map`, the bias
    /// vector `bias_map`, both weights `[D, C]` from `init` (de Vries et al. 2017, with a linear map;
    /// Brock, Donahue, Simonyan 2019, BigGAN, appendix B).
    Vectors {
        /// One a sample.
        vectors: &'a Tensor,
        /// First value of the weights.
        init: Init,
    },
}

/// As [`batch_norm`](super::batch_norm), with a gain and a bias for each sample in place of one for all: [N, C] or
/// [N, H, W, C]. Tables of classes are parameters that a [`WeightRule`](crate::WeightRule) leaves alone, like the scale
/// of any normalisation; the maps of vectors are weights that follow it, as in BigGAN.
#[track_caller]
pub fn conditional_batch_norm(
    scope: &Scope,
    x: &Tensor,
    condition: Condition<'_>,
    options: ConditionalBatchNorm,
) -> Tensor {
    const LAYER: &str = "conditional_batch_norm";
    let _in = scope.enter();
    let measured = match norm::measure(scope, LAYER, x, options.momentum) {
        Ok(measured) => measured,
        Err(poisoned) => return poisoned,
    };
    let shape = x.shape();
    let (samples, channels) = (shape[0], shape[shape.len() - 1]);
    let [gain, bias] = match condition {
        Condition::Classes { gain } => match labels(scope, LAYER, x) {
            Ok(labels) => of_classes(scope, &labels, channels, gain),
            Err(poisoned) => return poisoned,
        },
        Condition::Vectors { vectors, init } => {
            if vectors.is_poisoned() {
                return vectors.clone();
            }
            let ty = vectors.ty();
            match ty.shape[..] {
                [n, width] if n == samples && ty.dtype == DType::F32 => {
                    of_vectors(scope, vectors, width, channels, init)
                }
                _ => {
                    let message = format!("expected a vector for each sample of {}, got {ty}", x.ty());
                    return scope.graph().fail(LAYER, message);
                }
            }
        }
    };
    // [segments, N / segments, 1, .., C] where segments stand apart.
    let mut each = vec![1; measured.x.shape().len()];
    let last = each.len() - 1;
    each[last] = channels;
    let leading = measured.x.shape().len() - (shape.len() - 1);
    each[..leading].copy_from_slice(&measured.x.shape()[..leading]);
    let inverse = (&measured.variance + options.eps).rsqrt();
    let y = (&measured.x - &measured.mean) * (inverse * gain.reshape(&each)) + bias.reshape(&each);
    let y = y.reshape(&shape);
    scope.record_layer(LAYER, &y);
    y
}

fn of_classes(scope: &Scope, labels: &ClassLabels, channels: usize, gain: Init) -> [Tensor; 2] {
    [("gain", gain), ("bias", Init::Zeros)].map(|(name, init)| {
        let table = scope.param(name, &[labels.classes, channels], init);
        table.gather(&labels.index, 0)
    })
}

fn of_vectors(scope: &Scope, vectors: &Tensor, width: usize, channels: usize, init: Init) -> [Tensor; 2] {
    let [gain, bias] = ["gain_map", "bias_map"]
        .map(|name| vectors.matmul(&scope.weight(name, &[width, channels], init, FanRule::Forward)));
    [gain + 1.0, bias]
}
