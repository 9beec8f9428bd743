//! How each op of the graph is executed.

use ganymede_graph::Op;
use ganymede_graph::ops::elementwise::{Binary, Unary};

/// The four ways of executing an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Memory that exists before the run.
    Source,
    /// Computed element by element inside a pass; moving ops as strides of its loads.
    Inline,
    /// The end of a pass.
    Reduce,
    /// A kernel of its own, on operands in memory.
    Kernel,
}

/// The family of an op.
pub fn family(op: &Op) -> Family {
    match op {
        Op::Input { .. } | Op::Constant { .. } => Family::Source,
        Op::Iota { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Convert(_)
        | Op::Reshape(_)
        | Op::Broadcast { .. }
        | Op::Transpose(_)
        | Op::Slice { .. }
        | Op::Reverse(_)
        | Op::StopGradient => Family::Inline,
        Op::Reduce { .. } => Family::Reduce,
        Op::PhiloxBits { .. }
        | Op::Pad { .. }
        | Op::Concat { .. }
        | Op::Variance { .. }
        | Op::ArgMax { .. }
        | Op::MatMul { .. }
        | Op::Conv(..)
        | Op::Window(..)
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::ArgSort => Family::Kernel,
    }
}

/// Work an element of an inline op, in simple instructions; 0 for what only moves.
pub fn weight(op: &Op) -> u32 {
    match op {
        Op::Unary(u) => match u {
            Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor | Unary::IsFinite | Unary::Not => 1,
            Unary::Sqrt | Unary::Rsqrt => 4,
            Unary::Exp | Unary::Expm1 | Unary::Log | Unary::Log1p | Unary::Sigmoid => 12,
            Unary::Tanh | Unary::Softplus | Unary::Erf | Unary::Erfinv | Unary::Sin | Unary::Cos => 20,
        },
        Op::Binary(b) => match b {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Max | Binary::Min => 1,
            Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => 1,
            Binary::Div => 4,
            // Element by element through scalar code.
            Binary::Pow | Binary::Rem => 60,
        },
        Op::Compare(_) | Op::Select | Op::Convert(_) => 1,
        Op::Iota { .. }
        | Op::Reshape(_)
        | Op::Broadcast { .. }
        | Op::Transpose(_)
        | Op::Slice { .. }
        | Op::Reverse(_)
        | Op::StopGradient
        | Op::Input { .. }
        | Op::Constant { .. }
        | Op::PhiloxBits { .. }
        | Op::Pad { .. }
        | Op::Concat { .. }
        | Op::Reduce { .. }
        | Op::Variance { .. }
        | Op::ArgMax { .. }
        | Op::MatMul { .. }
        | Op::Conv(..)
        | Op::Window(..)
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::ArgSort => 0,
    }
}
