//! Networks as lists of text lines, as the guides teach them:
//! `["dense 128 relu", "dense 784 tanh", "reshape 28 28 1"]`.
//!
//! A line is a layer word, its sizes, options `name=value`, flags, and an activation if one follows. [`LAYERS`] lists
//! the words; a file in `words`, its `mod` line and a line there make a new one.

mod arguments;
mod network;
mod words;

pub use arguments::Arguments;
pub use network::Network;

use crate::scope::Scope;
use ganymede_graph::Tensor;

/// A layer of a list that could not be read or built: the line, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("layer {line} (`{text}`): {message}")]
pub struct LayerError {
    /// Number of the line, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// Expected, got, and what to do.
    pub message: String,
}

/// A layer as read from a line, ready to be built.
pub trait Layer: std::fmt::Debug {
    /// Builds it in its own scope.
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor;
    /// Whether in training the output for one sample depends on the others of its batch.
    fn mixes_samples(&self) -> bool {
        false
    }
    /// Whether it takes out of every sample what its batch has in common, as batch norm does: the gradient of one
    /// sample's output by its input then says nothing without the others.
    fn normalizes_batch(&self) -> bool {
        false
    }
    /// Whether several batches as segments of one ([`Mode::segments`](crate::Mode::segments)) give what they give one
    /// by one. A layer that draws random numbers would draw others.
    fn takes_segments(&self) -> bool {
        true
    }
}

/// A word that starts a line.
pub trait LayerWord: Sync {
    /// The word.
    fn name(&self) -> &'static str;
    /// What the layer does, with its source.
    fn doc(&self) -> &'static str;
    /// Arguments, e.g. `dense UNITS [no_bias] [init=INIT] [ACTIVATION]`.
    fn usage(&self) -> &'static str;
    /// A line that works on samples of shape [`LayerWord::example_input`].
    fn example(&self) -> &'static str;
    /// Sample shape, without the batch axis, that the example takes.
    fn example_input(&self) -> &'static [usize];
    /// Reads the arguments.
    ///
    /// # Errors
    /// Says which argument is missing, unknown or out of range.
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String>;
}

/// Every layer word.
pub const LAYERS: &[&dyn LayerWord] = &[
    &words::dense::Dense,
    &words::conv::Conv,
    &words::conv_transpose::ConvTranspose,
    &words::norm::BatchNorm,
    &words::norm::LayerNorm,
    &words::norm::InstanceNorm,
    &words::norm::GroupNorm,
    &words::conditional_norm::ConditionalBatchNorm,
    &words::minibatch_stddev::MinibatchStddev,
    &words::attention::Attention,
    &words::concat_label::ConcatLabel,
    &words::classify::Classify,
    &words::projection::Projection,
    &words::pool::MaxPool,
    &words::pool::AvgPool,
    &words::pool::GlobalAvgPool,
    &words::fourier::FourierFeatures,
    &words::resample::Upsample,
    &words::resample::Downsample,
    &words::shape::Flatten,
    &words::shape::Reshape,
    &words::dropout::Dropout,
    &words::activation::RELU,
    &words::activation::LEAKY_RELU,
    &words::activation::ELU,
    &words::activation::SILU,
    &words::activation::GELU,
    &words::activation::TANH,
    &words::activation::SIGMOID,
    &words::activation::SOFTPLUS,
];
