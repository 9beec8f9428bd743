//! The program between grouping and memory planning.

use ganymede_kernels::fused::Contraction;
use ganymede_kernels::kernel::Kernel;
use ganymede_kernels::pass::PassSpec;

/// A stretch of a value's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice<V> {
    /// Which value.
    pub value: V,
    /// First word.
    pub offset: usize,
    /// Length in words.
    pub words: usize,
}

/// Index of a value with memory in a [`Program`](super::Program).
pub type ValueId = usize;

/// Where a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the arena, while it is needed.
    Scratch,
    /// State slot, by its position in the program's list.
    State(usize),
    /// At this word of the phase's feeds.
    Feed(usize),
    /// At this word of the phase's constants.
    Constant(usize),
    /// At this word of the phase's outputs.
    Output(usize),
}

/// A value with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Length in words.
    pub words: usize,
    /// Where it lives.
    pub place: Place,
}

/// What a call runs.
#[derive(Debug)]
pub enum Work {
    /// A pass whose stores may yet take over loads.
    Pass(PassSpec),
    /// A kernel that a pass over its result may yet join.
    Contraction(Box<dyn Contraction>),
    /// A finished kernel.
    Kernel(Box<dyn Kernel>),
    /// The kernel of the call of this number, which comes before, on other words.
    Again(usize),
}

/// A kernel call without its workspaces.
#[derive(Debug)]
pub struct Call {
    /// What runs.
    pub work: Work,
    /// Operands in the kernel's order; workspaces are appended later.
    pub operands: Vec<Slice<ValueId>>,
    /// Scope path and op.
    pub label: String,
}
