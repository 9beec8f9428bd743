//! Tensor handles and the methods that build nodes.

use crate::function::NodeId;
use crate::graph::Graph;
use crate::ops::Op;
use crate::ops::conv::{ConvGeometry, ConvKind, ConvOptions};
use crate::ops::elementwise::{Binary, Compare, Unary};
use crate::ops::reduce::Reduction;
use crate::ops::window::{WindowGeometry, WindowKind};
use crate::types::{DType, TensorType};

mod arithmetic;
mod composite;

/// A value of a [`Graph`] under construction. Cheap to clone; poisoned if an error made it impossible.
#[derive(Clone, Debug)]
pub struct Tensor {
    graph: Graph,
    id: Option<NodeId>,
}

impl Tensor {
    pub(crate) fn new(graph: Graph, id: NodeId) -> Self {
        Self { graph, id: Some(id) }
    }

    pub(crate) fn poisoned(graph: Graph) -> Self {
        Self { graph, id: None }
    }

    /// The graph it belongs to.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Its node; none if poisoned.
    pub fn id(&self) -> Option<NodeId> {
        self.id
    }

    /// Whether an error made this value impossible.
    pub fn is_poisoned(&self) -> bool {
        self.id.is_none()
    }

    /// Its type; an f32 scalar if poisoned.
    pub fn ty(&self) -> TensorType {
        self.id.map_or_else(|| TensorType::f32([]), |id| self.graph.ty(id))
    }

    /// Its element type.
    pub fn dtype(&self) -> DType {
        self.ty().dtype
    }

    /// Its shape.
    pub fn shape(&self) -> Vec<usize> {
        self.ty().shape
    }

    #[track_caller]
    fn unary(&self, op: Unary) -> Tensor {
        self.graph.push(Op::Unary(op), &[self])
    }

    /// Broadcasts both operands to their common shape (trailing axes aligned, extents of 1 repeated).
    #[track_caller]
    fn aligned(&self, other: &Tensor, name: &str) -> Option<(Tensor, Tensor)> {
        if self.is_poisoned() || other.is_poisoned() {
            return None;
        }
        let (a, b) = (self.shape(), other.shape());
        if a == b {
            return Some((self.clone(), other.clone()));
        }
        let rank = a.len().max(b.len());
        let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |j| s[j]);
        let mut shape = Vec::with_capacity(rank);
        for i in 0..rank {
            match (at(&a, i), at(&b, i)) {
                (x, y) if x == y => shape.push(x),
                (1, y) => shape.push(y),
                (x, 1) => shape.push(x),
                _ => {
                    self.graph.fail(name, format!("shapes {a:?} and {b:?} do not broadcast to each other"));
                    return None;
                }
            }
        }
        Some((self.broadcast_to(&shape), other.broadcast_to(&shape)))
    }

    #[track_caller]
    pub(crate) fn binary(&self, op: Binary, other: &Tensor) -> Tensor {
        match self.aligned(other, op.name()) {
            Some((a, b)) => self.graph.push(Op::Binary(op), &[&a, &b]),
            None => Tensor::poisoned(self.graph.clone()),
        }
    }

    #[track_caller]
    fn compare(&self, op: Compare, other: &Tensor) -> Tensor {
        match self.aligned(other, op.name()) {
            Some((a, b)) => self.graph.push(Op::Compare(op), &[&a, &b]),
            None => Tensor::poisoned(self.graph.clone()),
        }
    }

    /// A constant of this tensor's shape and type, `value` everywhere.
    #[track_caller]
    pub fn full_like(&self, value: f64) -> Tensor {
        if self.is_poisoned() {
            return self.clone();
        }
        let scalar = match self.dtype() {
            DType::F32 => self.graph.scalar(value),
            DType::Bf16 => self.graph.scalar(value).convert(DType::Bf16),
            DType::I32 => self.graph.scalar_i32(value as i32),
            DType::U32 => self.graph.scalar_u32(value as u32),
            DType::Bool => self.graph.scalar_u32(u32::from(value != 0.0)).convert(DType::Bool),
        };
        scalar.broadcast_to(&self.shape())
    }

    /// Zeros of this tensor's shape and type.
    #[track_caller]
    pub fn zeros_like(&self) -> Tensor {
        self.full_like(0.0)
    }

    /// Ones of this tensor's shape and type.
    #[track_caller]
    pub fn ones_like(&self) -> Tensor {
        self.full_like(1.0)
    }

    /// Larger of the two, element by element; ties share the gradient; NaN wins.
    #[track_caller]
    pub fn maximum(&self, other: &Tensor) -> Tensor {
        self.binary(Binary::Max, other)
    }
    /// Smaller of the two, element by element; ties share the gradient; NaN wins.
    #[track_caller]
    pub fn minimum(&self, other: &Tensor) -> Tensor {
        self.binary(Binary::Min, other)
    }
    /// This to the power `other`.
    #[track_caller]
    pub fn pow(&self, other: &Tensor) -> Tensor {
        self.binary(Binary::Pow, other)
    }
    /// Integer remainder; 0 by zero.
    #[track_caller]
    pub fn rem(&self, other: &Tensor) -> Tensor {
        self.binary(Binary::Rem, other)
    }
    /// Bitwise or logical and.
    #[track_caller]
    pub fn and(&self, other: &Tensor) -> Tensor {
        self.binary(Binary::And, other)
    }
    /// Bitwise or logical or.
    #[track_caller]
    pub fn or(&self, other: &Tensor) -> Tensor {
        self.binary(Binary::Or, other)
    }
    /// Bitwise or logical exclusive or.
    #[track_caller]
    pub fn xor(&self, other: &Tensor) -> Tensor {
        self.binary(Binary::Xor, other)
    }
    /// Shifts u32 left by a constant.
    #[track_caller]
    pub fn shl(&self, bits: u32) -> Tensor {
        self.binary(Binary::Shl, &self.full_like(f64::from(bits)))
    }
    /// Shifts u32 right by a constant.
    #[track_caller]
    pub fn shr(&self, bits: u32) -> Tensor {
        self.binary(Binary::Shr, &self.full_like(f64::from(bits)))
    }

    /// Equal.
    #[track_caller]
    pub fn eq(&self, other: &Tensor) -> Tensor {
        self.compare(Compare::Eq, other)
    }
    /// Not equal; true for NaN.
    #[track_caller]
    pub fn ne(&self, other: &Tensor) -> Tensor {
        self.compare(Compare::Ne, other)
    }
    /// Less.
    #[track_caller]
    pub fn lt(&self, other: &Tensor) -> Tensor {
        self.compare(Compare::Lt, other)
    }
    /// Less or equal.
    #[track_caller]
    pub fn le(&self, other: &Tensor) -> Tensor {
        self.compare(Compare::Le, other)
    }
    /// Greater.
    #[track_caller]
    pub fn gt(&self, other: &Tensor) -> Tensor {
        self.compare(Compare::Gt, other)
    }
    /// Greater or equal.
    #[track_caller]
    pub fn ge(&self, other: &Tensor) -> Tensor {
        self.compare(Compare::Ge, other)
    }

    /// `a` where this bool tensor holds, else `b`.
    #[track_caller]
    pub fn select(&self, a: &Tensor, b: &Tensor) -> Tensor {
        match a.aligned(b, "select") {
            Some((a, b)) => {
                let condition = self.broadcast_to(&a.shape());
                self.graph.push(Op::Select, &[&condition, &a, &b])
            }
            None => Tensor::poisoned(self.graph.clone()),
        }
    }

    /// To another element type; see the op for rounding.
    #[track_caller]
    pub fn convert(&self, dtype: DType) -> Tensor {
        if self.is_poisoned() || self.dtype() == dtype {
            return self.clone();
        }
        self.graph.push(Op::Convert(dtype), &[self])
    }

    /// The same value, a constant for differentiation.
    #[track_caller]
    pub fn stop_gradient(&self) -> Tensor {
        self.graph.push(Op::StopGradient, &[self])
    }

    /// The same elements under another shape.
    #[track_caller]
    pub fn reshape(&self, shape: &[usize]) -> Tensor {
        if self.is_poisoned() || self.shape() == shape {
            return self.clone();
        }
        self.graph.push(Op::Reshape(shape.to_vec()), &[self])
    }

    /// Repeats to `shape`: trailing axes aligned, extents of 1 repeated.
    #[track_caller]
    pub fn broadcast_to(&self, shape: &[usize]) -> Tensor {
        let own = self.shape();
        if self.is_poisoned() || own == shape {
            return self.clone();
        }
        if own.len() > shape.len() {
            return self.graph.fail("broadcast", format!("{} has more axes than {shape:?}", self.ty()));
        }
        let axes: Vec<usize> = (shape.len() - own.len()..shape.len()).collect();
        self.broadcast_axes(shape, &axes)
    }

    /// Repeats to `shape`, operand axis i becoming axis `axes[i]`.
    #[track_caller]
    pub fn broadcast_axes(&self, shape: &[usize], axes: &[usize]) -> Tensor {
        if self.is_poisoned() || self.shape() == shape {
            return self.clone();
        }
        self.graph.push(Op::Broadcast { shape: shape.to_vec(), axes: axes.to_vec() }, &[self])
    }

    /// Result axis i is operand axis `perm[i]`.
    #[track_caller]
    pub fn transpose(&self, perm: &[usize]) -> Tensor {
        self.graph.push(Op::Transpose(perm.to_vec()), &[self])
    }

    /// Elements `start..stop` along one axis.
    #[track_caller]
    pub fn slice(&self, axis: usize, start: usize, stop: usize) -> Tensor {
        let shape = self.shape();
        if self.is_poisoned() {
            return self.clone();
        }
        if axis >= shape.len() {
            return self.graph.fail("slice", format!("axis {axis} is outside {}", self.ty()));
        }
        let (mut from, mut to) = (vec![0; shape.len()], shape.clone());
        (from[axis], to[axis]) = (start, stop);
        self.slice_strided(&from, &to, &vec![1; shape.len()])
    }

    /// Elements `start, start + stride, ..` below `stop`, for each axis.
    #[track_caller]
    pub fn slice_strided(&self, start: &[usize], stop: &[usize], stride: &[usize]) -> Tensor {
        let op = Op::Slice { start: start.to_vec(), stop: stop.to_vec(), stride: stride.to_vec() };
        self.graph.push(op, &[self])
    }

    /// Zeros before, after and between the elements, for each axis.
    #[track_caller]
    pub fn pad(&self, low: &[usize], high: &[usize], interior: &[usize]) -> Tensor {
        let op = Op::Pad { low: low.to_vec(), high: high.to_vec(), interior: interior.to_vec() };
        self.graph.push(op, &[self])
    }

    /// Tensors one after the other along `axis`.
    #[track_caller]
    pub fn concat(tensors: &[&Tensor], axis: usize) -> Tensor {
        assert!(!tensors.is_empty(), "concat needs at least one tensor");
        if tensors.len() == 1 {
            return tensors[0].clone();
        }
        tensors[0].graph.push(Op::Concat { axis }, tensors)
    }

    /// Opposite order along the axes.
    #[track_caller]
    pub fn reverse(&self, axes: &[usize]) -> Tensor {
        if axes.is_empty() {
            return self.clone();
        }
        self.graph.push(Op::Reverse(axes.to_vec()), &[self])
    }

    #[track_caller]
    fn reduce(&self, kind: Reduction, axes: &[usize]) -> Tensor {
        if self.is_poisoned() || axes.is_empty() {
            return self.clone();
        }
        self.graph.push(Op::Reduce { kind, axes: axes.to_vec() }, &[self])
    }

    /// Sum over the axes, which are reduced away.
    #[track_caller]
    pub fn sum(&self, axes: &[usize]) -> Tensor {
        self.reduce(Reduction::Sum, axes)
    }
    /// Maximum over the axes; ties share the gradient.
    #[track_caller]
    pub fn max(&self, axes: &[usize]) -> Tensor {
        self.reduce(Reduction::Max, axes)
    }
    /// Minimum over the axes; ties share the gradient.
    #[track_caller]
    pub fn min(&self, axes: &[usize]) -> Tensor {
        self.reduce(Reduction::Min, axes)
    }
    /// Population variance over the axes.
    #[track_caller]
    pub fn variance(&self, axes: &[usize]) -> Tensor {
        self.graph.push(Op::Variance { axes: axes.to_vec() }, &[self])
    }
    /// Index of the first maximum along an axis.
    #[track_caller]
    pub fn argmax(&self, axis: usize) -> Tensor {
        self.graph.push(Op::ArgMax { axis }, &[self])
    }

    /// Matrix product over the last two axes; leading axes must agree.
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Tensor {
        self.matmul_with(other, false, false)
    }

    /// Matrix product with either operand stored transposed.
    #[track_caller]
    pub fn matmul_with(&self, other: &Tensor, trans_a: bool, trans_b: bool) -> Tensor {
        self.graph.push(Op::MatMul { trans_a, trans_b }, &[self, other])
    }

    /// Convolution of NHWC images with weights [KH, KW, C_in / groups, C_out].
    #[track_caller]
    pub fn conv2d(&self, weight: &Tensor, options: ConvOptions) -> Tensor {
        let (x, w) = (self.shape(), weight.shape());
        if self.is_poisoned() || weight.is_poisoned() {
            return Tensor::poisoned(self.graph.clone());
        }
        if x.len() != 4 || w.len() != 4 {
            let message =
                format!("needs images [N, H, W, C] and weights [KH, KW, C, C_out], got {x:?} and {w:?}");
            return self.graph.fail("conv2d", message);
        }
        let geometry = ConvGeometry { input: [x[1], x[2]], kernel: [w[0], w[1]], options };
        self.conv_triad(ConvKind::Forward, geometry, weight)
    }

    /// Transposed convolution: the input gradient of the convolution that maps images of `output` pixels to this
    /// tensor. Weights are [KH, KW, C_out / groups, C_in], as that convolution stores them.
    #[track_caller]
    pub fn conv2d_transposed(&self, weight: &Tensor, options: ConvOptions, output: [usize; 2]) -> Tensor {
        let w = weight.shape();
        if self.is_poisoned() || weight.is_poisoned() {
            return Tensor::poisoned(self.graph.clone());
        }
        if w.len() != 4 {
            return self.graph.fail("conv2d_transposed", format!("weights need four axes, got {w:?}"));
        }
        let geometry = ConvGeometry { input: output, kernel: [w[0], w[1]], options };
        self.conv_triad(ConvKind::InputGrad, geometry, weight)
    }

    /// A member of the convolution triad with this tensor as first operand.
    #[track_caller]
    pub fn conv_triad(&self, kind: ConvKind, geometry: ConvGeometry, other: &Tensor) -> Tensor {
        self.graph.push(Op::Conv(kind, geometry), &[self, other])
    }

    /// A member of the pooling family with this tensor as first operand.
    #[track_caller]
    pub fn window(&self, kind: WindowKind, geometry: WindowGeometry, index: Option<&Tensor>) -> Tensor {
        match index {
            Some(index) => self.graph.push(Op::Window(kind, geometry), &[self, index]),
            None => self.graph.push(Op::Window(kind, geometry), &[self]),
        }
    }

    /// Rows of this table [L.., R, D..] at `index` [L.., K]; out of range is clamped.
    #[track_caller]
    pub fn gather(&self, index: &Tensor, batch: usize) -> Tensor {
        self.graph.push(Op::Gather { batch }, &[self, index])
    }

    /// These rows [L.., K, D..] added at `index` [L.., K] into zeros [L.., rows, D..].
    #[track_caller]
    pub fn scatter_add(&self, index: &Tensor, batch: usize, rows: usize) -> Tensor {
        self.graph.push(Op::ScatterAdd { batch, rows }, &[self, index])
    }

    /// The stable permutation that sorts along the last axis, ascending, NaN last.
    #[track_caller]
    pub fn argsort(&self) -> Tensor {
        self.graph.push(Op::ArgSort, &[self])
    }
}
