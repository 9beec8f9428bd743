//! SIMD kernels and the machinery that runs them. All `unsafe` of Ganymede lives in this crate.
//!
//! * [`conv`]: the convolution triad;
//! * [`isa`]: instruction sets, detected or forced;
//! * [`kernel`]: what a kernel is;
//! * [`simd`]: one source for every instruction set.

pub mod conv;
pub mod isa;
pub mod kernel;
pub mod simd;
