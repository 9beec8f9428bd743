//! The one error of graph construction.

use std::fmt;
use std::panic::Location;

/// Why a graph could not be built: the op, where it stands in the network, what was expected and what came.
#[derive(Clone, Debug)]
pub struct GraphError {
    /// Name of the op, e.g. `conv2d`.
    pub op: String,
    /// Scope path of the op, e.g. `D/block2/conv1`; empty at the top.
    pub path: String,
    /// Operand, expected and got, in one sentence.
    pub message: String,
    /// The line of Rust that asked for it.
    pub caller: Option<&'static Location<'static>>,
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.op)?;
        if !self.path.is_empty() {
            write!(f, " at {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for GraphError {}

impl GraphError {
    /// Names the pass after which [`Function::verify`](crate::Function::verify) failed.
    pub fn after(mut self, pass: &str) -> Self {
        self.message = format!("{} (found after pass `{pass}`)", self.message);
        self
    }
}
