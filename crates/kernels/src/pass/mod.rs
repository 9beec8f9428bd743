//! Fused elementwise passes and reductions, interpreted as bytecode block by block in the first-level cache.
//!
//! A [`Pass`] walks a domain once: each block of at most 1024 elements goes through all instructions before the
//! next block begins, so that values between instructions never reach memory. Broadcasts, transposes, slices
//! and reversals are strides of its loads. [`MultiPass`] runs the same code over many flat segments (an
//! optimizer's update of every parameter), [`Variance`] is the two-moment reduction.
//!
//! Sums run in f32 over at most 32 elements a lane, in f64 beyond. Tasks are cut by shape only and their partial
//! results combined in a fixed order, so results are bit-identical for any number of threads.

mod blocks;
mod code;
mod combine;
mod deviations;
pub(crate) mod epilogue;
mod fold;
mod gate;
mod halves;
mod kernel;
mod multi;
pub mod ops;
mod plan;
pub mod reference;
pub(crate) mod special;
mod tape;
mod variance;

#[cfg(test)]
mod halves_tests;
#[cfg(test)]
pub(crate) mod harness;
#[cfg(test)]
mod multi_tests;
#[cfg(test)]
mod tests;

pub use code::{Instr, Load, MAX_CODE, PassError, Reduce, Store, row_major};
pub use kernel::{Pass, PassSpec};
pub use multi::{MultiPass, MultiPassSpec};
pub use ops::{BinaryOp, CompareOp, Lane, ReduceOp, UnaryOp};
pub use variance::Variance;
