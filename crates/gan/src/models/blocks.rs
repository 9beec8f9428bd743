//! Residual blocks, and the networks that models make of them.

use super::stages::{DownStage, Making};
use ganymede_graph::Tensor;
use ganymede_nn::layers::{
    BatchNorm, Condition, ConditionalBatchNorm, ConvLayer, DenseLayer, Norm, attention, batch_norm,
    conditional_batch_norm, conv, dense, layer_norm, projection,
};
use ganymede_nn::{Init, Scope};

/// How the weights of residual networks begin.
#[derive(Clone, Copy)]
pub enum Weights {
    /// Glorot's uniform, the two convolutions of a block times sqrt 2 (Miyato et al. 2018, authors' program).
    GlorotScaled,
    /// Glorot's uniform everywhere.
    Glorot,
    /// Orthogonal everywhere (Brock, Donahue, Simonyan 2019).
    Orthogonal,
}

impl Weights {
    /// Outside blocks and in their shortcuts.
    pub fn plain(self) -> Init {
        match self {
            Weights::GlorotScaled | Weights::Glorot => Init::GlorotUniform,
            Weights::Orthogonal => Init::Orthogonal { gain: 1.0 },
        }
    }

    /// A 3x3 convolution within a block.
    fn inner(self, c_in: usize, c_out: usize) -> Init {
        match self {
            Weights::Glorot | Weights::Orthogonal => self.plain(),
            Weights::GlorotScaled => {
                let bound = std::f64::consts::SQRT_2 * (6.0 / (9.0 * (c_in as f64 + c_out as f64))).sqrt();
                Init::Uniform { low: -bound, high: bound }
            }
        }
    }
}

/// What a generator's normalisations depend on.
pub enum Told {
    /// The class of a sample, where there are classes, and nothing else.
    Class,
    /// A vector a sample, `[N, D]`.
    Vectors(Tensor),
}

impl Told {
    /// Batch normalisation, conditional where there is something to depend on.
    fn norm(&self, scope: &Scope, x: &Tensor, weights: Weights) -> Tensor {
        let options = ConditionalBatchNorm::default();
        match self {
            Told::Class if scope.labels().is_none() => batch_norm(scope, x, BatchNorm::default()),
            Told::Class => conditional_batch_norm(scope, x, Condition::Classes { gain: Init::Ones }, options),
            Told::Vectors(vectors) => {
                let condition = Condition::Vectors { vectors, init: weights.plain() };
                conditional_batch_norm(scope, x, condition, options)
            }
        }
    }
}

fn channels_of(x: &Tensor) -> usize {
    x.shape().last().copied().unwrap_or(0)
}

/// A 3x3 convolution within a block.
fn spatial(scope: &Scope, x: &Tensor, channels: usize, weights: Weights) -> Tensor {
    conv(scope, x, ConvLayer::new(channels, 3).pad(1).init(weights.inner(channels_of(x), channels)))
}

/// The 1x1 convolution of a shortcut.
fn shortcut(scope: &Scope, x: &Tensor, channels: usize, weights: Weights) -> Tensor {
    conv(scope, x, ConvLayer::new(channels, 1).init(weights.plain()))
}

/// Twice the sides: normalisation, ReLU, nearest upsampling, 3x3 convolution, normalisation, ReLU, 3x3 convolution,
/// beside an upsampled 1x1 convolution of the input, which commutes with upsampling and so comes before it (Miyato et
/// al. 2018, SNGAN, appendix B.4).
fn up_block(scope: &Scope, x: &Tensor, channels: usize, told: &Told, weights: Weights) -> Tensor {
    let _at = scope.enter();
    let y = told.norm(&scope.child("norm1"), x, weights).relu().upsample_nearest(2);
    let y = spatial(&scope.child("conv1"), &y, channels, weights);
    let y = told.norm(&scope.child("norm2"), &y, weights).relu();
    let y = spatial(&scope.child("conv2"), &y, channels, weights);
    y + shortcut(&scope.child("shortcut"), x, channels, weights).upsample_nearest(2)
}

/// A residual generator: a dense layer's result as the first image, blocks, each told what `told` says of its number,
/// then batch normalisation, ReLU, a 3x3 convolution to the image's channels and tanh.
pub fn generate(
    scope: &Scope,
    latent: &Tensor,
    making: &Making,
    told: &dyn Fn(usize) -> Told,
    weights: Weights,
) -> Tensor {
    let [height, width] = making.base;
    let units = height.saturating_mul(width).saturating_mul(making.width);
    let x = dense(&scope.child("base"), latent, DenseLayer::new(units).init(weights.plain()));
    if x.is_poisoned() {
        return x;
    }
    let mut x = x.reshape(&[x.shape()[0], height, width, making.width]);
    for (i, block) in making.blocks.iter().enumerate() {
        x = up_block(&scope.child(&format!("block{i}")), &x, block.channels, &told(i), weights);
        if block.attends {
            x = attention(&scope.child(&format!("attention{i}")), &x, weights.plain());
        }
    }
    let y = batch_norm(&scope.child("norm"), &x, BatchNorm::default()).relu();
    let image = ConvLayer::new(making.channels, 3).pad(1).init(weights.plain());
    conv(&scope.child("image"), &y, image).tanh()
}

/// What all blocks of a discriminator have in common.
#[derive(Clone, Copy)]
pub struct Judgement {
    /// Whether a block's first convolution has the channels of its result rather than of its input.
    pub wide: bool,
    /// Whether layer normalisation precedes activations, except in the block that reads the image.
    pub layer_norm: bool,
    /// Whether the last features are averaged over pixels rather than added.
    pub mean_pool: bool,
    /// How weights begin.
    pub weights: Weights,
}

/// ReLU, 3x3 convolution, ReLU, 3x3 convolution and, if it halves, mean over 2x2 pixels, beside a 1x1 convolution of
/// such means of the input (the two commute), or the input itself where nothing changes its shape. The first block
/// reads the image without an activation before (Miyato et al. 2018, appendix B.4).
fn down_block(scope: &Scope, x: &Tensor, stage: &DownStage, first: bool, how: Judgement) -> Tensor {
    let _at = scope.enter();
    let (c_in, channels, weights) = (channels_of(x), stage.channels, how.weights);
    let active = |name: &str, x: &Tensor| match how.layer_norm && !first {
        true => layer_norm(&scope.child(name), x, Norm::default()).relu(),
        false => x.relu(),
    };
    let pooled = |x: &Tensor| if stage.halve { x.avg_pool2d(2, 2, 0) } else { x.clone() };
    let inside = if how.wide || first { channels } else { c_in };
    let y = if first { x.clone() } else { active("norm1", x) };
    let y = active("norm2", &spatial(&scope.child("conv1"), &y, inside, weights));
    let y = pooled(&spatial(&scope.child("conv2"), &y, channels, weights));
    if stage.halve || c_in != channels {
        y + shortcut(&scope.child("shortcut"), &pooled(x), channels, weights)
    } else {
        y + x
    }
}

/// A residual discriminator: blocks, ReLU, the sum (or mean) of each feature over pixels, and one dense unit `[N, 1]`;
/// with classes the product of the features with a vector of the sample's class is added (Miyato, Koyama 2018).
pub fn judge(scope: &Scope, samples: &Tensor, stages: &[DownStage], how: Judgement) -> Tensor {
    let mut x = samples.clone();
    for (i, stage) in stages.iter().enumerate() {
        x = down_block(&scope.child(&format!("block{i}")), &x, stage, i == 0, how);
        if stage.attends {
            x = attention(&scope.child(&format!("attention{i}")), &x, how.weights.plain());
        }
    }
    let x = x.relu();
    if x.is_poisoned() {
        return x;
    }
    let features = if how.mean_pool { x.mean(&[1, 2]) } else { x.sum(&[1, 2]) };
    scope.expose_features(&features);
    let scope = scope.child("logit");
    match scope.labels() {
        Some(_) => projection(&scope, &features, how.weights.plain()),
        None => dense(&scope, &features, DenseLayer::new(1).init(how.weights.plain())),
    }
}
