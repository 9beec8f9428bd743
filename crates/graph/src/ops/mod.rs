//! The closed set of primitive ops, about one file a family: shape rule, gradient rule and reference evaluation of
//! an op stand side by side. An executor matches [`Op`] exhaustively, so the compiler names what a new op lacks.

pub mod contract;
pub mod conv;
pub mod elementwise;
pub mod index;
pub mod reduce;
pub mod scalar;
mod select;
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
        Op::Input { index: _, ty } => source::infer_input(ty, inputs),
        Op::Constant { ty, literal } => source::infer_constant(ty, literal, inputs),
        Op::Iota { shape, axis } => source::infer_iota(shape, *axis, inputs),
        Op::PhiloxBits { stream: _, rows, words } => source::infer_philox_bits(*rows, *words, inputs),
        Op::Unary(u) => elementwise::infer_unary(*u, inputs),
        Op::Binary(b) => elementwise::infer_binary(*b, inputs),
        Op::Compare(c) => elementwise::infer_compare(*c, inputs),
        Op::Select => select::infer_select(inputs),
        Op::Convert(dtype) => select::infer_convert(*dtype, inputs),
        Op::Reshape(shape) => shape::infer_reshape(shape, inputs),
        Op::Broadcast { shape, axes } => shape::infer_broadcast(shape, axes, inputs),
        Op::Transpose(perm) => shape::infer_transpose(perm, inputs),
        Op::Slice { start, stop, stride } => shape::infer_slice(start, stop, stride, inputs),
        Op::Pad { low, high, interior } => shape::infer_pad(low, high, interior, inputs),
        Op::Concat { axis } => shape::infer_concat(*axis, inputs),
        Op::Reverse(axes) => shape::infer_reverse(axes, inputs),
        Op::Reduce { kind: _, axes } => reduce::infer_reduce(axes, inputs),
        Op::Variance { axes } => reduce::infer_variance(axes, inputs),
        Op::ArgMax { axis } => reduce::infer_arg_max(*axis, inputs),
        Op::MatMul { trans_a, trans_b } => contract::infer(*trans_a, *trans_b, inputs),
        Op::Conv(kind, geometry) => conv::infer(*kind, geometry, inputs),
        Op::Window(kind, geometry) => window::infer(*kind, geometry, inputs),
        Op::Gather { batch } => index::infer_gather(*batch, inputs),
        Op::ScatterAdd { batch, rows } => index::infer_scatter_add(*batch, *rows, inputs),
        Op::ArgSort => index::infer_arg_sort(inputs),
        Op::StopGradient => select::infer_stop_gradient(inputs),
    }
}

/// Emits the cotangents of the operands.
pub(crate) fn differentiate(op: &Op, rule: &mut Rule) {
    match op {
        Op::Input { .. } | Op::Constant { .. } | Op::Iota { .. } | Op::PhiloxBits { .. } => {
            rule.no_gradient("it has no operands that are real numbers");
        }
        Op::Unary(u) => elementwise::differentiate_unary(*u, rule),
        Op::Binary(b) => elementwise::differentiate_binary(*b, rule),
        Op::Compare(_) => rule.no_gradient("a comparison is constant wherever it is differentiable"),
        Op::Select => select::differentiate_select(rule),
        Op::Convert(_) => select::differentiate_convert(rule),
        Op::Reshape(_) => shape::differentiate_reshape(rule),
        Op::Broadcast { shape, axes } => shape::differentiate_broadcast(shape, axes, rule),
        Op::Transpose(perm) => shape::differentiate_transpose(perm, rule),
        Op::Slice { start, stop: _, stride } => shape::differentiate_slice(start, stride, rule),
        Op::Pad { low, high: _, interior } => shape::differentiate_pad(low, interior, rule),
        Op::Concat { axis } => shape::differentiate_concat(*axis, rule),
        Op::Reverse(axes) => shape::differentiate_reverse(axes, rule),
        Op::Reduce { kind, axes } => reduce::differentiate_reduce(*kind, axes, rule),
        Op::Variance { axes } => reduce::differentiate_variance(axes, rule),
        Op::ArgMax { .. } | Op::ArgSort => rule.no_gradient("integer output"),
        Op::MatMul { trans_a, trans_b } => contract::differentiate(*trans_a, *trans_b, rule),
        Op::Conv(kind, geometry) => conv::differentiate(*kind, geometry, rule),
        Op::Window(kind, geometry) => window::differentiate(*kind, geometry, rule),
        Op::Gather { batch } => index::differentiate_gather(*batch, rule),
        Op::ScatterAdd { batch, rows: _ } => index::differentiate_scatter_add(*batch, rule),
        Op::StopGradient => rule.no_gradient("its operand counts as a constant"),
    }
}

/// Evaluates by definition. Float results are not yet rounded to their type.
pub(crate) fn evaluate(op: &Op, x: &[&Array], ty: &TensorType) -> Array {
    match op {
        Op::Input { index, .. } => unreachable!("the interpreter binds input {index}"),
        Op::Constant { ty, literal } => Array::literal(ty, literal),
        Op::Iota { shape: _, axis } => source::evaluate_iota(*axis, ty),
        Op::PhiloxBits { stream, rows, words } => source::evaluate_philox_bits(*stream, *rows, *words, x, ty),
        Op::Unary(u) => elementwise::evaluate_unary(*u, x[0], ty),
        Op::Binary(b) => elementwise::evaluate_binary(*b, x[0], x[1], ty),
        Op::Compare(c) => elementwise::evaluate_compare(*c, x[0], x[1], ty),
        Op::Select => select::evaluate_select(x[0], x[1], x[2], ty),
        Op::Convert(dtype) => select::evaluate_convert(*dtype, x[0], ty),
        Op::Reshape(_) => shape::evaluate_reshape(x[0], ty),
        Op::Broadcast { shape: _, axes } => shape::evaluate_broadcast(axes, x[0], ty),
        Op::Transpose(perm) => shape::evaluate_transpose(perm, x[0], ty),
        Op::Slice { start, stop: _, stride } => shape::evaluate_slice(start, stride, x[0], ty),
        Op::Pad { low, high: _, interior } => shape::evaluate_pad(low, interior, x[0], ty),
        Op::Concat { axis } => shape::evaluate_concat(*axis, x, ty),
        Op::Reverse(axes) => shape::evaluate_reverse(axes, x[0], ty),
        Op::Reduce { kind, axes } => reduce::evaluate_reduce(*kind, axes, x[0], ty),
        Op::Variance { axes } => reduce::evaluate_variance(axes, x[0], ty),
        Op::ArgMax { axis } => reduce::evaluate_arg_max(*axis, x[0], ty),
        Op::MatMul { trans_a, trans_b } => contract::evaluate(*trans_a, *trans_b, x, ty),
        Op::Conv(kind, geometry) => conv::evaluate(*kind, geometry, x, ty),
        Op::Window(kind, geometry) => window::evaluate(*kind, geometry, x, ty),
        Op::Gather { batch } => index::evaluate_gather(*batch, x, ty),
        Op::ScatterAdd { batch, rows } => index::evaluate_scatter_add(*batch, *rows, x, ty),
        Op::ArgSort => index::evaluate_arg_sort(x[0], ty),
        Op::StopGradient => select::evaluate_stop_gradient(x[0], ty),
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
