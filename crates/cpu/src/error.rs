//! Everything that can go wrong between a graph and its result.

use ganymede_graph::{GraphError, TensorType};
use ganymede_kernels::buffer::AllocError;
use ganymede_kernels::conv::UnknownAlgorithm;
use ganymede_kernels::isa::IsaError;
use ganymede_kernels::machine::{PlanError, RunError};
use ganymede_kernels::pool::PoolError;

/// Why a phase could not be compiled, bound or run.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// The instruction set is unknown or not supported here.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// `GANYMEDE_CONV` names no algorithm.
    #[error(transparent)]
    Convolutions(#[from] UnknownAlgorithm),
    /// `GANYMEDE_BF16` says something unknown.
    #[error("unknown word `{0}`: GANYMEDE_BF16 takes `native` or `everywhere`")]
    Bf16(String),
    /// The thread pool could not be made.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The function is not valid.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Memory is short.
    #[error("{what}: {source}")]
    Memory {
        /// What the memory was for.
        what: String,
        /// The request that failed.
        source: AllocError,
    },
    /// A phase needs state that the store lacks or holds with another type.
    #[error("phase `{phase}` does not fit the state store: {}", .problems.join("; "))]
    State {
        /// Name of the phase.
        phase: String,
        /// One sentence for each slot.
        problems: Vec<String>,
    },
    /// A slot was inserted twice.
    #[error("state slot `{name}` exists already as {existing}")]
    Duplicate {
        /// Name of the slot.
        name: String,
        /// Its type.
        existing: TensorType,
    },
    /// Something is named that does not exist.
    #[error("{what} `{name}` does not exist in {place}; there is {}", list(.known))]
    Unknown {
        /// `feed`, `state slot`, ...
        what: &'static str,
        /// The name asked for.
        name: String,
        /// Where it was looked for.
        place: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A value of the wrong type or length.
    #[error("{what} `{name}`: expected {expected}, got {got}")]
    Type {
        /// `feed`, `state slot`, ...
        what: &'static str,
        /// Which one.
        name: String,
        /// What it is.
        expected: String,
        /// What was handed over or asked for.
        got: String,
    },
    /// An op at a shape that its kernel refuses.
    #[error("{op} at `{path}`: {message}")]
    Kernel {
        /// The op.
        op: String,
        /// Its scope path.
        path: String,
        /// What the kernel said.
        message: String,
    },
    /// The compiled program was refused by the machine.
    #[error("phase `{phase}`: {source}")]
    Plan {
        /// Name of the phase.
        phase: String,
        /// What is wrong.
        source: Box<PlanError>,
    },
    /// A run failed.
    #[error("phase `{phase}`: {source}")]
    Run {
        /// Name of the phase.
        phase: String,
        /// What happened.
        source: Box<RunError>,
    },
}

fn list(names: &[String]) -> String {
    const SHOWN: usize = 12;
    match names.len() {
        0 => "none".to_string(),
        n if n <= SHOWN => names.join(", "),
        n => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
    }
}
