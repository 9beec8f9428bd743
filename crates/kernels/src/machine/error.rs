//! What can be wrong with a plan or a run.

use super::{SpaceId, View};
use crate::buffer::AllocError;
use crate::isa::IsaError;
use crate::pool::PoolError;

/// Why a list of steps was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// The CPU cannot run the kernels.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// A step does not fit its kernel or the spaces.
    #[error("step {index} `{label}` ({kernel}): {problem}")]
    Step {
        /// Position in the list.
        index: usize,
        /// [`Step::label`](super::Step::label).
        label: String,
        /// [`Kernel::name`](crate::kernel::Kernel::name).
        kernel: &'static str,
        /// What is wrong.
        problem: StepProblem,
    },
    /// The commit gate stands outside the list.
    #[error("the commit gate stands before step {step}, the list has {steps} steps")]
    GateStep {
        /// Where it stands.
        step: usize,
        /// Length of the list.
        steps: usize,
    },
    /// The commit gate does not read one word of a space.
    #[error("the commit gate needs one word inside a space, got {view}")]
    GateView {
        /// What it was given.
        view: View,
    },
}

/// What is wrong with one step.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StepProblem {
    /// Wrong number of views.
    #[error("expected {expected} operands, got {got}")]
    Count {
        /// Operands of the kernel.
        expected: usize,
        /// Views of the step.
        got: usize,
    },
    /// A view of the wrong length.
    #[error("operand {operand}: expected {expected} words, got {got}")]
    Words {
        /// Which operand.
        operand: usize,
        /// What the kernel expects.
        expected: usize,
        /// What the view holds.
        got: usize,
    },
    /// A space that was not declared.
    #[error("operand {operand}: expected one of {spaces} spaces, got {view}")]
    NoSpace {
        /// Which operand.
        operand: usize,
        /// Number of spaces.
        spaces: usize,
        /// What it was given.
        view: View,
    },
    /// A view that ends after its space.
    #[error("operand {operand}: expected words within the space's {words}, got {view}")]
    Outside {
        /// Which operand.
        operand: usize,
        /// Words of the space.
        words: usize,
        /// What it was given.
        view: View,
    },
    /// A written operand in a read-only space.
    #[error("operand {operand}: expected a writable space, got {view}, which is read-only")]
    ReadOnly {
        /// Which operand.
        operand: usize,
        /// What it was given.
        view: View,
    },
    /// A written operand that shares words with another one.
    #[error(
        "operand {operand} is written and expected to share no word with operand {other}, got {view} and {with}"
    )]
    Overlap {
        /// The written operand.
        operand: usize,
        /// The other one.
        other: usize,
        /// Where the written one lies.
        view: View,
        /// Where the other one lies.
        with: View,
    },
}

/// Why a run did not take place or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Wrong number of lent memories.
    #[error("expected memory for {expected} spaces, got {got}")]
    Count {
        /// Number of spaces.
        expected: usize,
        /// Number of lent memories.
        got: usize,
    },
    /// Lent memory of the wrong length.
    #[error("{space}: expected {expected} words, got {got}")]
    Words {
        /// Which space.
        space: SpaceId,
        /// As declared.
        expected: usize,
        /// As lent.
        got: usize,
    },
    /// A writable space was lent for reading only.
    #[error("{space} is written: expected memory lent for writing, got it for reading")]
    ReadOnly {
        /// Which space.
        space: SpaceId,
    },
    /// No memory for the kernels' thread-private scratch.
    #[error("scratch for {threads} threads: {source}")]
    Scratch {
        /// Size of the pool.
        threads: usize,
        /// What was asked for.
        source: AllocError,
    },
    /// A kernel panicked.
    #[error("step {index} `{label}` ({kernel}): {source}")]
    Step {
        /// Position in the list.
        index: usize,
        /// [`Step::label`](super::Step::label).
        label: String,
        /// [`Kernel::name`](crate::kernel::Kernel::name).
        kernel: &'static str,
        /// The panic.
        source: PoolError,
    },
    /// The pool could not run the region.
    #[error(transparent)]
    Pool(#[from] PoolError),
}
