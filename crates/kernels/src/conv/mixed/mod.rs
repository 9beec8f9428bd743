//! The convolution triad of operands rounded to bf16, summed in f32.
//!
//! Forward pass and input gradient are the gather of `f32` convolutions (`Gather`) with words of
//! channel pairs in place of channels (`gather`). The weight gradient (`weight_grad`) pairs pixels, as its sums
//! run over them.

mod gather;
#[cfg(test)]
mod tests;
mod weight_grad;
mod weight_phases;

pub use gather::MixedConv;
pub use weight_grad::MixedWeightGrad;

use super::ConvShape;

/// Fewest channels on either side: below, padding and rounding take more than bf16 saves.
const CHANNELS: usize = 16;

/// Whether the kernels of mixed precision compute a shape.
fn computes(shape: &ConvShape) -> bool {
    shape.validate().is_ok() && shape.groups == 1 && shape.in_c >= CHANNELS && shape.out_c >= CHANNELS
}
