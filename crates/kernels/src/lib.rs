//! SIMD kernels and the machinery that runs them. All `unsafe` of Ganymede lives in this crate.
//!
//! * [`isa`]: instruction sets, detected or forced;
//! * [`simd`]: one source for every instruction set;
//! * [`kernel`]: what a kernel is;
//! * [`bands`]: where kernels over a batch of rows cut it;
//! * [`buffer`]: aligned memory;
//! * [`pool`]: the threads;
//! * [`machine`]: a checked list of kernel calls, run as one parallel region;
//! * [`conv`]: the convolution triad;
//! * [`gemm`]: matrix products;
//! * [`double`]: those of f64 matrices, for scores;
//! * [`pairs`]: bf16 and the tile that multiplies pairs of them;
//! * [`pass`]: fused elementwise passes and reductions;
//! * [`fused`]: contractions whose results go through a pass as they are made;
//! * [`movement`]: copies between strided layouts;
//! * [`select`]: kernels that choose by index;
//! * [`random`]: counter-based random bits;
//! * [`peak`]: what the machine can do at best.

pub mod bands;
pub mod buffer;
pub mod conv;
pub mod double;
pub mod fused;
pub mod gemm;
#[cfg(test)]
mod guard;
pub mod isa;
pub mod kernel;
pub mod machine;
pub mod movement;
pub mod pairs;
pub mod pass;
pub mod peak;
pub mod pool;
pub mod random;
pub mod select;
pub mod simd;
