//! The staged tensor graph: types, ops, gradients of any order, passes and the reference interpreter.
//!
//! Nothing here runs fast. A [`Graph`] is built by calling methods on [`Tensor`] handles, [`grad()`] appends the
//! nodes of a derivative to the same graph, [`Graph::finish`] turns it into a plain [`Function`], the
//! [`passes`] rewrite that, and an executor (the `ganymede-cpu` crate) lowers it. [`interpret()`] evaluates any
//! function in f64 or f32 by definition, and every executor is tested against it.

pub mod array;
#[cfg(feature = "cases")]
pub mod cases;
pub mod dump;
pub mod error;
pub mod function;
pub mod grad;
pub mod graph;
pub mod interpret;
pub mod ops;
pub mod passes;
pub mod tensor;
pub mod types;

pub use array::{Array, Data};
pub use error::GraphError;
pub use function::{Function, Input, Node, NodeId, Role};
pub use grad::{grad, grad_with};
pub use graph::Graph;
pub use interpret::{Outcome, Precision, interpret};
pub use ops::Op;
pub use ops::conv::{ConvGeometry, ConvOptions};
pub use ops::window::WindowGeometry;
pub use tensor::Tensor;
pub use types::{DType, Literal, TensorType};
