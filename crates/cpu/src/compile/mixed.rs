//! Contractions of bf16 operands: their kernels, and how operands and results may be stored.
//!
//! A value of type bf16 takes two bytes an element where everything that reads or writes it knows how: passes, variances
//! and the kernels of mixed precision do, other kernels read f32 words that hold rounded numbers. Either way the numbers
//! are the same.

use super::kernels::{conv_shape, matmul_shape};
use crate::executor::Target;
use ganymede_graph::ops::conv::ConvKind;
use ganymede_graph::{DType, Function, Node, NodeId, Op};
use ganymede_kernels::conv::{MixedConv, MixedWeightGrad};
use ganymede_kernels::gemm::MixedMatMul;
use ganymede_kernels::kernel::{Element, Kernel, Mixed};
use std::collections::HashSet;

/// What the kernel of a contraction can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ability {
    /// It reads operands of two bytes, and rounds those that lie in f32 words itself.
    pub reads: bool,
    /// It writes a result of two bytes, rounded.
    pub writes: bool,
}

/// The kernel of a contraction of bf16 operands, if there is one for its shape. Where there is none the kernels for f32
/// give the same product of rounded operands.
pub fn kernel(function: &Function, target: Target, node: &Node, mixed: Mixed) -> Option<Box<dyn Kernel>> {
    let ty = |i: usize| function.ty(node.inputs[i]);
    let isa = target.isa;
    if node.inputs.is_empty() || ty(0).dtype != DType::Bf16 {
        return None;
    }
    fn boxed(kernel: impl Kernel + 'static) -> Box<dyn Kernel> {
        Box::new(kernel)
    }
    let shape = |i: usize| &ty(i).shape;
    match &node.op {
        Op::MatMul { trans_a, trans_b } => {
            let shape = matmul_shape(shape(0), &node.ty.shape, *trans_a, *trans_b);
            MixedMatMul::new(isa, shape, mixed).map(boxed)
        }
        Op::Conv(ConvKind::Forward, geometry) => {
            let shape = conv_shape(geometry, shape(0)[0], shape(0)[3], node.ty.shape[3]);
            MixedConv::forward(isa, shape, mixed).map(boxed)
        }
        Op::Conv(ConvKind::InputGrad, geometry) => {
            let shape = conv_shape(geometry, shape(0)[0], node.ty.shape[3], shape(0)[3]);
            MixedConv::input_grad(isa, shape, mixed).map(boxed)
        }
        Op::Conv(ConvKind::WeightGrad, geometry) => {
            let shape = conv_shape(geometry, shape(0)[0], shape(0)[3], shape(1)[3]);
            MixedWeightGrad::new(isa, shape, mixed).map(boxed)
        }
        _ => None,
    }
}

/// What is known of a function's contractions, by node.
#[derive(Debug)]
pub struct Abilities(Vec<Ability>);

impl Abilities {
    /// Asks the kernels of all contractions of `function`.
    pub fn of(function: &Function, target: Target) -> Abilities {
        let ask = |node: &Node| {
            let pairs = Mixed { a: Element::Bf16, b: Element::Bf16, out: Element::F32 };
            let can = |mixed| kernel(function, target, node, mixed).is_some();
            Ability { reads: can(pairs), writes: can(Mixed { out: Element::Bf16, ..pairs }) }
        };
        Abilities(function.nodes.iter().map(ask).collect())
    }

    /// That of a node; none for other ops than contractions.
    pub fn get(&self, id: NodeId) -> Ability {
        self.0[id.index()]
    }

    /// Contractions whose result is read only as rounded, by kernels that can write it so.
    pub fn rounded(&self, function: &Function) -> HashSet<NodeId> {
        let mut readers = vec![0; function.nodes.len()];
        let read = function.nodes.iter().flat_map(|node| &node.inputs).copied().chain(function.roots());
        read.for_each(|id| readers[id.index()] += 1);
        let conversions = function.nodes.iter().filter(|node| node.op == Op::Convert(DType::Bf16));
        let sources = conversions.map(|node| node.inputs[0]);
        sources.filter(|&id| readers[id.index()] == 1 && self.get(id).writes).collect()
    }
}

/// The f32 input that `id` is the rounding of, in the order in which it lies in memory.
pub fn rounded_input(function: &Function, mut id: NodeId) -> Option<NodeId> {
    let mut converted = false;
    loop {
        let node = function.node(id);
        match &node.op {
            Op::Reshape(_) => {}
            Op::Convert(DType::Bf16) if !converted => converted = true,
            Op::Input { .. } if converted && node.ty.dtype == DType::F32 => return Some(id),
            _ => return None,
        }
        id = node.inputs[0];
    }
}
