//! Kernels that choose by index: row gather and scatter-add, sorting, arg-max, and pooling windows.
//!
//! None uses atomics: words that several indices may write belong to one task, which adds in index order, so
//! results are bit-identical for any number of threads.

mod rows;
mod sort;
mod window;

pub use rows::{Gather, ScatterAdd};
pub use sort::{ArgMax, ArgSort};
pub use window::{WindowArgMax, WindowError, WindowGather, WindowGeometry, WindowScatter};

/// Words that one task aims at.
const TASK: usize = 16 * 1024;
