//! Ops with a kernel of their own.

use super::ir::{Call, Place, Slice, ValueId, Work};
use super::lower::Lowering;
use super::mixed;
use crate::error::CpuError;
use crate::executor::Target;
use ganymede_graph::ops::conv::{ConvGeometry, ConvKind};
use ganymede_graph::ops::reduce::Reduction;
use ganymede_graph::ops::window::{WindowGeometry, WindowKind};
use ganymede_graph::types::strides;
use ganymede_graph::{DType, Node, NodeId, Op};
use ganymede_kernels::conv::{ConvForward, ConvInputGrad, ConvShape, ConvShapeError, ConvWeightGrad};
use ganymede_kernels::fused::Contraction;
use ganymede_kernels::gemm::{BandMatMul, MatMul, MatMulShape, PackedRight};
use ganymede_kernels::kernel::{Kernel, Mixed};
use ganymede_kernels::movement::{CopySource, StridedCopy};
use ganymede_kernels::pass::{BinaryOp, Instr, Load, PassSpec, Store, UnaryOp, Variance, row_major};
use ganymede_kernels::random::PhiloxBits;
use ganymede_kernels::select::{
    self, ArgMax, ArgSort, Gather, ScatterAdd, WindowArgMax, WindowGather, WindowScatter,
};

fn signed(list: Vec<usize>) -> Vec<isize> {
    list.into_iter().map(|n| n as isize).collect()
}

/// The kernels' form of a convolution of `n` images.
pub fn conv_shape(geometry: &ConvGeometry, n: usize, in_c: usize, out_c: usize) -> ConvShape {
    let o = &geometry.options;
    ConvShape {
        batch: n,
        in_h: geometry.input[0],
        in_w: geometry.input[1],
        in_c,
        out_c,
        kernel: geometry.kernel,
        stride: o.stride,
        pad_low: o.pad_low,
        pad_high: o.pad_high,
        dilation: o.dilation,
        groups: o.groups,
    }
}

fn pool_geometry(geometry: &WindowGeometry, n: usize, channels: usize) -> select::WindowGeometry {
    select::WindowGeometry {
        n,
        size: geometry.input,
        channels,
        kernel: geometry.window,
        stride: geometry.stride,
        pad_low: geometry.pad_low,
        pad_high: geometry.pad_high,
    }
}

/// Sizes of the axes before, at and after position `axis`.
fn around(shape: &[usize], axis: usize) -> [usize; 3] {
    [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()]
}

/// The kernels' form of a matrix product of `a` (and its partner) with the given result.
pub fn matmul_shape(a: &[usize], result: &[usize], trans_a: bool, trans_b: bool) -> MatMulShape {
    let rank = result.len();
    MatMulShape {
        batch: result[..rank - 2].iter().product(),
        m: result[rank - 2],
        n: result[rank - 1],
        k: if trans_a { a[rank - 2] } else { a[rank - 1] },
        trans_a,
        trans_b,
        a_batched: true,
        b_batched: true,
    }
}

impl Lowering<'_, '_> {
    /// Lowers a root of the kernel family (or a reduction of nothing).
    pub(super) fn kernel(&mut self, id: NodeId) -> Result<(), CpuError> {
        let f = self.analysis.function;
        let node = f.node(id);
        let to = self.whole(id);
        let empty = node.inputs.iter().any(|&x| f.ty(x).is_empty());
        let concat = matches!(node.op, Op::Concat { .. });
        if empty && !concat {
            let word = if let Op::Reduce { kind, .. } = &node.op {
                super::instr::reduce_op(*kind).identity(super::instr::lane(node.ty.dtype))
            } else {
                0
            };
            self.fill(to, word, node);
            return Ok(());
        }
        let read: Vec<NodeId> = node.inputs.iter().map(|&x| self.analysis.read_by(id, x)).collect();
        let mut operands: Vec<Slice<ValueId>> = read.iter().map(|&x| self.operand(x)).collect();
        let work = if let Some(kernel) = self.mixed(id, &read) {
            Work::Kernel(kernel)
        } else if let Some(kernel) = self.banded(node) {
            if let Some(right) = kernel.right() {
                operands[1] = self.packed(operands[1], right, &self.label(f.node(read[1])));
            }
            Work::Kernel(Box::new(kernel))
        } else if let Some(contraction) = self.contraction(node)? {
            Work::Contraction(contraction)
        } else {
            Work::Kernel(self.build(node)?)
        };
        operands.push(to);
        if let Op::Variance { .. } = &node.op {
            // The kernel gives the mean too.
            let words = node.ty.len();
            operands.push(Slice { value: self.scratch(words), offset: 0, words });
        }
        self.call(work, operands, &self.label(node));
        if node.ty.dtype == DType::Bf16 {
            self.round(to, node);
        }
        Ok(())
    }

    /// Lowers a variance and the sum over the same elements, which is n times the mean that comes with it.
    pub(super) fn variance_and_sum(&mut self, variance: NodeId, sum: NodeId) -> Result<(), CpuError> {
        let f = self.analysis.function;
        let node = f.node(variance);
        let input = self.operand(node.inputs[0]);
        let (to, words) = (self.whole(variance), node.ty.len());
        let mean = Slice { value: self.scratch(words), offset: 0, words };
        let kernel = self.build(node)?;
        self.call(Work::Kernel(kernel), vec![input, to, mean], &self.label(node));
        if node.ty.dtype == DType::Bf16 {
            self.round(to, node);
        }
        let count = f.ty(node.inputs[0]).len() / words.max(1);
        let total = self.whole(sum);
        let mut code =
            vec![Instr::Load(0), Instr::Const((count as f32).to_bits()), Instr::Binary(BinaryOp::Mul, 0, 1)];
        if node.ty.dtype == DType::Bf16 {
            code.push(Instr::Unary(UnaryOp::RoundBf16, 2));
        }
        let spec = PassSpec {
            dims: vec![words],
            loads: vec![Load::contiguous(&[words])],
            stores: vec![Store::new(code.len() - 1)],
            code,
            reduces: vec![],
            keep: vec![],
        };
        self.call(Work::Pass(spec), vec![mean, total], &self.label(f.node(sum)));
        Ok(())
    }

    /// The kernel of a contraction of bf16 operands, which it reads from `read`.
    fn mixed(&self, id: NodeId, read: &[NodeId]) -> Option<Box<dyn Kernel>> {
        let [a, b] = *read else { return None };
        let f = self.analysis.function;
        let element = |x| self.analysis.element(x);
        let mixed = Mixed { a: element(a), b: element(b), out: element(id) };
        mixed::kernel(f, self.target, f.node(id), mixed)
    }

    /// The kernel of a product of a batch of rows with a small matrix, if the node is one.
    fn banded(&self, node: &Node) -> Option<BandMatMul> {
        let Op::MatMul { trans_a, trans_b } = node.op else { return None };
        let a = &self.analysis.function.ty(node.inputs[0]).shape;
        BandMatMul::new(self.target.isa, matmul_shape(a, &node.ty.shape, trans_a, trans_b))
    }

    /// The packed form of a product's right operand, which all products with it share.
    fn packed(&mut self, from: Slice<ValueId>, right: PackedRight, label: &str) -> Slice<ValueId> {
        if let Some(&packed) = self.packed.get(&(from, right)) {
            return packed;
        }
        let words = right.words();
        let to = Slice { value: self.scratch(words), offset: 0, words };
        let work = Work::Kernel(Box::new(right));
        let call = Call { work, operands: vec![from, to], label: label.to_string() };
        if matches!(self.values[from.value].place, Place::Scratch | Place::Output(_)) {
            self.calls.push(call);
        } else {
            // There from the start, and so beside each other before everything else.
            self.ahead.push(call);
        }
        self.packed.insert((from, right), to);
        to
    }

    /// The kernel of a product whose result a pass can join: all but the weight gradient, which sums over images.
    fn contraction(&self, node: &Node) -> Result<Option<Box<dyn Contraction>>, CpuError> {
        let shape = |i: usize| &self.analysis.function.ty(node.inputs[i]).shape;
        let fail = |e: ConvShapeError| CpuError::Kernel {
            op: node.op.name(),
            path: node.path.to_string(),
            message: e.to_string(),
        };
        let Target { isa, convolutions, .. } = self.target;
        Ok(match &node.op {
            Op::MatMul { trans_a, trans_b } => {
                let shape = matmul_shape(shape(0), &node.ty.shape, *trans_a, *trans_b);
                Some(Box::new(MatMul::new(isa, shape)))
            }
            Op::Conv(ConvKind::Forward, geometry) => {
                let shape = conv_shape(geometry, shape(0)[0], shape(0)[3], node.ty.shape[3]);
                Some(Box::new(ConvForward::new(isa, shape, convolutions).map_err(fail)?))
            }
            Op::Conv(ConvKind::InputGrad, geometry) => {
                let shape = conv_shape(geometry, shape(0)[0], node.ty.shape[3], shape(0)[3]);
                Some(Box::new(ConvInputGrad::new(isa, shape, convolutions).map_err(fail)?))
            }
            _ => None,
        })
    }

    fn build(&self, node: &Node) -> Result<Box<dyn Kernel>, CpuError> {
        let f = self.analysis.function;
        let fail =
            |message: String| CpuError::Kernel { op: node.op.name(), path: node.path.to_string(), message };
        let shape = |i: usize| &f.ty(node.inputs[i]).shape;
        let dtype = |i: usize| f.ty(node.inputs[i]).dtype;
        let Target { isa, convolutions, .. } = self.target;
        Ok(match &node.op {
            Op::Conv(ConvKind::WeightGrad, geometry) => {
                let shape = conv_shape(geometry, shape(0)[0], shape(0)[3], shape(1)[3]);
                Box::new(ConvWeightGrad::new(isa, shape, convolutions).map_err(|e| fail(e.to_string()))?)
            }
            Op::Window(kind, geometry) => {
                let (n, channels) = (shape(0)[0], shape(0)[3]);
                let pixels = geometry.input[0] * geometry.input[1];
                let outputs = geometry.output().map_err(&fail)?;
                let picks = outputs[0] * outputs[1];
                match kind {
                    WindowKind::ArgMax => {
                        let pool = pool_geometry(geometry, n, channels);
                        Box::new(WindowArgMax::new(pool).map_err(|e| fail(e.to_string()))?)
                    }
                    WindowKind::Gather => Box::new(WindowGather { n, pixels, channels, picks }),
                    WindowKind::Scatter => Box::new(WindowScatter { n, pixels, channels, picks }),
                }
            }
            Op::Gather { batch } => {
                let [tables, rows, row_words] = around(shape(0), *batch);
                Box::new(Gather { tables, rows, row_words, picks: node.ty.shape[*batch] })
            }
            Op::ScatterAdd { batch, rows } => {
                let [tables, picks, row_words] = around(shape(0), *batch);
                Box::new(ScatterAdd { tables, rows: *rows, row_words, picks })
            }
            Op::ArgSort => {
                let row_words = node.ty.shape[node.ty.rank() - 1];
                let rows = node.ty.len() / row_words.max(1);
                Box::new(ArgSort { rows, row_words, lane: super::instr::lane(dtype(0)) })
            }
            Op::ArgMax { axis } => {
                let [outer, axis, inner] = around(shape(0), *axis);
                Box::new(ArgMax { outer, axis, inner, lane: super::instr::lane(dtype(0)) })
            }
            Op::Variance { axes } => {
                let keep: Vec<bool> = (0..shape(0).len()).map(|i| !axes.contains(&i)).collect();
                let element = self.analysis.element(node.inputs[0]);
                Box::new(Variance::stored(shape(0), &keep, element).map_err(|e| fail(e.to_string()))?)
            }
            Op::PhiloxBits { stream, rows, words } => Box::new(
                PhiloxBits::new(*rows, *words, *stream)
                    .ok_or_else(|| fail(format!("stream {stream} is reserved, or rows are too long")))?,
            ),
            Op::Pad { low, interior, .. } => {
                let to = strides(&node.ty.shape);
                let source = CopySource {
                    dims: shape(0).clone(),
                    src_words: f.ty(node.inputs[0]).len(),
                    src_offset: 0,
                    src_strides: row_major(shape(0)),
                    dst_offset: low.iter().zip(&to).map(|(l, s)| l * s).sum(),
                    dst_strides: signed(to.iter().zip(interior).map(|(s, i)| s * (i + 1)).collect()),
                };
                let copy = StridedCopy::new(node.ty.len(), Some(0), &[source]);
                Box::new(copy.map_err(|e| fail(e.to_string()))?)
            }
            Op::Concat { axis } => {
                let to = strides(&node.ty.shape);
                let mut at = 0;
                let mut sources = Vec::with_capacity(node.inputs.len());
                for i in 0..node.inputs.len() {
                    sources.push(CopySource {
                        dims: shape(i).clone(),
                        src_words: f.ty(node.inputs[i]).len(),
                        src_offset: 0,
                        src_strides: row_major(shape(i)),
                        dst_offset: at * to[*axis],
                        dst_strides: signed(to.clone()),
                    });
                    at += shape(i)[*axis];
                }
                Box::new(StridedCopy::new(node.ty.len(), None, &sources).map_err(|e| fail(e.to_string()))?)
            }
            Op::MatMul { .. } | Op::Conv(ConvKind::Forward | ConvKind::InputGrad, _) => {
                unreachable!("`{}` is a contraction with a result of its own", node.op.name())
            }
            Op::Input { .. }
            | Op::Constant { .. }
            | Op::Iota { .. }
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
            | Op::StopGradient
            | Op::Reduce { kind: Reduction::Sum | Reduction::Max | Reduction::Min, .. } => {
                unreachable!("`{}` is computed in a pass", node.op.name())
            }
        })
    }
}
