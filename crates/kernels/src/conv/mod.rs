//! The convolution triad on NHWC images: forward pass, input gradient (the transposed convolution) and weight
//! gradient, in f32, without im2col.
//!
//! Forward and input gradient are one algorithm, `gather`: outputs that use the same taps are taken in tiles of
//! a few pixels by two vectors of channels; for every tap the pixels' source rows are read in place, one channel
//! at a time, against packed weights ("indirect GEMM": Dukhan, "The Indirect Convolution Algorithm", 2019).
//! Outputs near the border form classes of their own with fewer taps (`axis`), so padding is never multiplied
//! with. The weight gradient (`weight_grad`) sums outer products over pixels.
//!
//! Where the shape says that it pays, each of the three is computed by Winograd's algorithm instead (`winograd`), whose relative error in the L2 norm stays below 1e-5 where that of direct sums is about 1e-6;
//! [`Algorithm::Direct`] forbids it.
//!
//! Results depend on the shape and the instruction set only: not on the number of threads, and those of an image
//! not on the other images of its batch (weight gradients sum over it). [`mod@reference`] has the scalar twins.

mod axis;
mod choice;
mod depthwise;
mod dot;
mod few_outputs;
mod few_sources;
mod few_weights;
mod forward;
mod gather;
mod input_grad;
mod mixed;
mod pack;
pub mod reference;
mod shape;
mod strip;
mod taps;
#[cfg(test)]
mod tests;
mod tile;
mod weight_grad;
mod weight_lanes;
mod weight_lanes_run;
mod weight_plan;
mod weight_tile;
mod weight_vector;
mod winograd;

pub use choice::{Algorithm, UnknownAlgorithm};
pub use forward::ConvForward;
pub use input_grad::ConvInputGrad;
pub use mixed::{MixedConv, MixedWeightGrad};
pub use shape::{ConvShape, ConvShapeError};
pub use weight_grad::ConvWeightGrad;
