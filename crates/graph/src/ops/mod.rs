//! The closed set of primitive ops, about one file a family: shape rule, gradient rule and reference evaluation of
//! an op stand side by side. An executor matches [`Op`] exhaustively, so the compiler names what a new op lacks.

pub mod contract;
pub mod conv;
pub mod elementwise;
pub mod index;
pub mod reduce;
pub mod scalar;
pub mod shape;
pub mod source;
pub mod window;

use crate::array::Array;
use crate::grad::Rule;
use crate::types::{DType, Literal, TensorType};
use conv::{ConvGeometry, ConvKind};
use elementwise::{Binary, Compare, Unary};
use reduce::Reduction;
use window::{WindowGeometry, WindowKind};

/// A primitive op with its attributes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Input `index` of the function.
    Input {
        /// Position in [`Function::inputs`](crate::Function::inputs).
        index: usize,
        /// Its type.
        ty: TensorType,
    },
    /// Elements known at compile time.
    Constant {
        /// Type of the constant.
        ty: TensorType,
        /// Its elements.
        literal: Literal,
    },
    /// The index along an axis, i32.
    Iota {
        /// Shape of the result.
        shape: Vec<usize>,
        /// Axis counted along.
        axis: usize,
    },
    /// Random words `u32[rows, words]` of (key `u32[2]`, first `u32[2]`); see [`Graph::random_bits`](crate::Graph::random_bits).
    PhiloxBits {
        /// Separates uses of the same key.
        stream: u32,
        /// Rows: consecutive sample indices.
        rows: usize,
        /// Words a row.
        words: usize,
    },
    /// One operand, element by element.
    Unary(Unary),
    /// Two operands of the same type, element by element.
    Binary(Binary),
    /// Two operands of the same type, element by element, to bool.
    Compare(Compare),
    /// (condition, a, b): a where the condition holds, else b.
    Select,
    /// To another element type.
    Convert(DType),
    /// The same elements in the same order under another shape.
    Reshape(Vec<usize>),
    /// Operand axis i becomes axis `axes[i]` of `shape`; extents of 1 are repeated.
    Broadcast {
        /// Shape of the result.
        shape: Vec<usize>,
        /// Increasing, one for each operand axis.
        axes: Vec<usize>,
    },
    /// Result axis i is operand axis `perm[i]`.
    Transpose(Vec<usize>),
    /// Elements `start, start + stride, ...` below `stop`, for each axis.
    Slice {
        /// First index.
        start: Vec<usize>,
        /// One past the last index.
        stop: Vec<usize>,
        /// Step, at least 1.
        stride: Vec<usize>,
    },
    /// Zeros before, after and between the elements, for each axis.
    Pad {
        /// Zeros before.
        low: Vec<usize>,
        /// Zeros after.
        high: Vec<usize>,
        /// Zeros between neighbours.
        interior: Vec<usize>,
    },
    /// Operands one after the other along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Opposite order along the axes.
    Reverse(Vec<usize>),
    /// Reduces the axes away.
    Reduce {
        /// How.
        kind: Reduction,
        /// Increasing axes.
        axes: Vec<usize>,
    },
    /// Population variance over the axes: mean((x - mean(x))^2).
    Variance {
        /// Increasing axes.
        axes: Vec<usize>,
    },
    /// Index of the first maximum along an axis, i32; NaN counts as the largest.
    ArgMax {
        /// The axis, which is reduced away.
        axis: usize,
    },
    /// Matrix product over the last two axes; leading axes are a batch.
    MatMul {
        /// The first operand is stored transposed.
        trans_a: bool,
        /// The second operand is stored transposed.
        trans_b: bool,
    },
    /// A member of the convolution triad.
    Conv(ConvKind, ConvGeometry),
    /// Pooling windows.
    Window(WindowKind, WindowGeometry),
    /// (table [L.., R, D..], index i32 [L.., K]) to [L.., K, D..]; indices are clamped into 0..R.
    Gather {
        /// Number of leading batch axes L.
        batch: usize,
    },
    /// (rows [L.., K, D..], index i32 [L.., K]) added into zeros [L.., R, D..], in order of k.
    ScatterAdd {
        /// Number of leading batch axes L.
        batch: usize,
        /// R.
        rows: usize,
    },
    /// The stable permutation that sorts along the last axis, ascending, NaN last; i32.
    ArgSort,
    /// The operand, as a constant for differentiation.
    StopGradient,
}

impl Op {
    /// Name, as in dumps and errors.
    pub fn name(&self) -> String {
        match self {
            Op::Input { .. } => "input".into(),
            Op::Constant { .. } => "constant".into(),
            Op::Iota { .. } => "iota".into(),
            Op::PhiloxBits { .. } => "philox_bits".into(),
            Op::Unary(u) => u.name().into(),
            Op::Binary(b) => b.name().into(),
            Op::Compare(c) => c.name().into(),
            Op::Select => "select".into(),
            Op::Convert(_) => "convert".into(),
            Op::Reshape(_) => "reshape".into(),
            Op::Broadcast { .. } => "broadcast".into(),
            Op::Transpose(_) => "transpose".into(),
            Op::Slice { .. } => "slice".into(),
            Op::Pad { .. } => "pad".into(),
            Op::Concat { .. } => "concat".into(),
            Op::Reverse(_) => "reverse".into(),
            Op::Reduce { kind, .. } => format!("reduce_{}", kind.name()),
            Op::Variance { .. } => "variance".into(),
            Op::ArgMax { .. } => "argmax".into(),
            Op::MatMul { .. } => "matmul".into(),
            Op::Conv(kind, _) => kind.name().into(),
            Op::Window(kind, _) => kind.name().into(),
            Op::Gather { .. } => "gather".into(),
            Op::ScatterAdd { .. } => "scatter_add".into(),
            Op::ArgSort => "argsort".into(),
            Op::StopGradient => "stop_gradient".into(),
        }
    }
}

/// Checks that there are `N` operands.
pub(crate) fn operands<'a, const N: usize>(inputs: &[&'a TensorType]) -> Result<[&'a TensorType; N], String> {
    inputs.try_into().map_err(|_| format!("takes {N} operands, got {}", inputs.len()))
}

/// Type of the result of `op`, or what is wrong with the operands.
pub fn infer(op: &Op, inputs: &[&TensorType]) -> Result<TensorType, String> {
    match op {
        Op::Input { .. } | Op::Constant { .. } | Op::Iota { .. } | Op::PhiloxBits { .. } => {
            source::infer(op, inputs)
        }
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Convert(_) | Op::StopGradient => {
            elementwise::infer(op, inputs)
        }
        Op::Reshape(_)
        | Op::Broadcast { .. }
        | Op::Transpose(_)
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concat { .. }
        | Op::Reverse(_) => shape::infer(op, inputs),
        Op::Reduce { .. } | Op::Variance { .. } | Op::ArgMax { .. } => reduce::infer(op, inputs),
        Op::MatMul { trans_a, trans_b } => contract::infer(*trans_a, *trans_b, inputs),
        Op::Conv(kind, geometry) => conv::infer(*kind, geometry, inputs),
        Op::Window(kind, geometry) => window::infer(*kind, geometry, inputs),
        Op::Gather { .. } | Op::ScatterAdd { .. } | Op::ArgSort => index::infer(op, inputs),
    }
}

/// Emits the cotangents of the operands.
pub(crate) fn differentiate(op: &Op, rule: &mut Rule) {
    match op {
        Op::Input { .. } | Op::Constant { .. } | Op::Iota { .. } | Op::PhiloxBits { .. } => {
            rule.no_gradient("it has no operands that are real numbers");
        }
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Convert(_) | Op::StopGradient => {
            elementwise::differentiate(op, rule);
        }
        Op::Reshape(_)
        | Op::Broadcast { .. }
        | Op::Transpose(_)
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concat { .. }
        | Op::Reverse(_) => shape::differentiate(op, rule),
        Op::Reduce { .. } | Op::Variance { .. } | Op::ArgMax { .. } => reduce::differentiate(op, rule),
        Op::MatMul { trans_a, trans_b } => contract::differentiate(*trans_a, *trans_b, rule),
        Op::Conv(kind, geometry) => conv::differentiate(*kind, geometry, rule),
        Op::Window(kind, geometry) => window::differentiate(*kind, geometry, rule),
        Op::Gather { .. } | Op::ScatterAdd { .. } | Op::ArgSort => index::differentiate(op, rule),
    }
}

/// Evaluates by definition. Float results are not yet rounded to their type.
pub(crate) fn evaluate(op: &Op, inputs: &[&Array], ty: &TensorType) -> Array {
    match op {
        Op::Input { .. } | Op::Constant { .. } | Op::Iota { .. } | Op::PhiloxBits { .. } => {
            source::evaluate(op, inputs, ty)
        }
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Convert(_) | Op::StopGradient => {
            elementwise::evaluate(op, inputs, ty)
        }
        Op::Reshape(_)
        | Op::Broadcast { .. }
        | Op::Transpose(_)
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concat { .. }
        | Op::Reverse(_) => shape::evaluate(op, inputs, ty),
        Op::Reduce { .. } | Op::Variance { .. } | Op::ArgMax { .. } => reduce::evaluate(op, inputs, ty),
        Op::MatMul { trans_a, trans_b } => contract::evaluate(*trans_a, *trans_b, inputs, ty),
        Op::Conv(kind, geometry) => conv::evaluate(*kind, geometry, inputs, ty),
        Op::Window(kind, geometry) => window::evaluate(*kind, geometry, inputs, ty),
        Op::Gather { .. } | Op::ScatterAdd { .. } | Op::ArgSort => index::evaluate(op, inputs, ty),
    }
}

/// Floating-point operations necessary for a contraction (a multiply-add is two); 0 for every other op.
pub fn contraction_flops(op: &Op, inputs: &[&TensorType], ty: &TensorType) -> u64 {
    match op {
        Op::MatMul { trans_a, .. } => {
            let a = &inputs[0].shape;
            let k = if *trans_a { a[a.len() - 2] } else { a[a.len() - 1] };
            2 * ty.len() as u64 * k as u64
        }
        Op::Conv(kind, geometry) => conv::flops(*kind, geometry, inputs, ty),
        Op::Input { .. }
        | Op::Constant { .. }
        | Op::Iota { .. }
        | Op::PhiloxBits { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Convert(_)
        | Op::Reshape(_)
        | Op::Broadcast { .. }
        | Op::Transpose(_)
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concat { .. }
        | Op::Reverse(_)
        | Op::Reduce { .. }
        | Op::Variance { .. }
        | Op::ArgMax { .. }
        | Op::Window(..)
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::ArgSort
        | Op::StopGradient => 0,
    }
}
