//! Mixed precision (Micikevicius et al. 2018): contractions on bf16 operands with sums in f32.
//!
//! bf16 has the exponents of f32, so unlike fp16 it needs no loss scaling (Kalamkar et al. 2019). The pass runs after
//! differentiation, so neither layers nor gradient rules know of it, and changes three things:
//!
//! * Operands of matrix products and convolutions are converted to bf16; the result is an f32 as before.
//! * A result that is on its way to another contraction, as activations and their cotangents are, is rounded to bf16
//!   and back, so that an executor may keep it in two bytes. Weight gradients end in an update and stay as they are.
//! * Nothing else: parameters, moments, statistics, losses and penalties are computed and kept in f32.
//!
//! What is summed over its last axis is left in f32 too: means and norms of samples (losses, gradient penalties), the
//! sums of a softmax, statistics over channels. So are products with a single column, the logits of a batch, which cost
//! next to nothing and decide much. No rule asks for the batch's size: a sample is the same in any batch.

use super::rewrite::{Rewriter, rewrite};
use crate::function::{Function, Node, NodeId};
use crate::ops::Op;
use crate::ops::conv::ConvKind;
use crate::types::DType;
use std::collections::HashMap;

/// Rewrites a function to mixed precision. A second run changes nothing more.
pub fn mixed_precision(function: &Function) -> Function {
    let kept = kept(function);
    let mut old = (0..function.nodes.len()).filter(|&i| !matches!(function.nodes[i].op, Op::Input { .. }));
    let mut narrow: HashMap<NodeId, NodeId> = HashMap::new();
    rewrite(
        function,
        |_| true,
        |new, mut node| {
            let index = old.next().unwrap_or_default();
            if !is_mixed(function, &function.nodes[index]) {
                return new.push_typed(node);
            }
            for input in &mut node.inputs {
                *input = to_bf16(new, &mut narrow, *input);
            }
            let path = node.path.clone();
            let result = new.push_typed(node);
            if !kept[index] {
                return result;
            }
            let rounded = new.push(Op::Convert(DType::Bf16), vec![result], &path);
            new.push(Op::Convert(DType::F32), vec![rounded], &path)
        },
    )
}

/// Whether a node becomes a contraction of bf16 operands.
fn is_mixed(function: &Function, node: &Node) -> bool {
    let contraction = match &node.op {
        Op::MatMul { .. } => node.ty.shape.last() != Some(&1),
        Op::Conv(ConvKind::Forward | ConvKind::InputGrad | ConvKind::WeightGrad, _) => true,
        _ => false,
    };
    contraction && node.inputs.iter().all(|&x| function.ty(x).dtype == DType::F32)
}

/// The value in bf16: what it was widened from, or a conversion. A conversion goes before a reshape, where it can be
/// shared and joined to what computes the value.
fn to_bf16(new: &mut Rewriter, narrow: &mut HashMap<NodeId, NodeId>, id: NodeId) -> NodeId {
    if let Some(&known) = narrow.get(&id) {
        return known;
    }
    let node = new.node(id).clone();
    let converted = match &node.op {
        Op::Convert(DType::F32) if new.function.ty(node.inputs[0]).dtype == DType::Bf16 => node.inputs[0],
        Op::Reshape(_) => {
            let operand = to_bf16(new, narrow, node.inputs[0]);
            new.push(node.op.clone(), vec![operand], &node.path)
        }
        _ => new.push(Op::Convert(DType::Bf16), vec![id], &node.path),
    };
    narrow.insert(id, converted);
    converted
}

/// What is known of a value from its readers.
#[derive(Clone, Copy, Default)]
struct Readers {
    /// A contraction that becomes mixed reads it or what is computed from it element by element.
    contraction: bool,
    /// It, or what is computed from it element by element, is summed over its last axis.
    scalar: bool,
    /// Something reads the value itself, or a view of it, as f32 words in memory.
    memory: bool,
}

/// Which results of contractions are rounded to bf16.
fn kept(function: &Function) -> Vec<bool> {
    let mut readers = vec![Readers::default(); function.nodes.len()];
    for root in function.roots() {
        readers[root.index()].memory = true;
    }
    for (i, node) in function.nodes.iter().enumerate().rev() {
        let own = readers[i];
        for &x in &node.inputs {
            let whole = function.ty(x).len() == node.ty.len();
            let last = function.ty(x).rank().wrapping_sub(1);
            let r = &mut readers[x.index()];
            match &node.op {
                Op::Unary(_)
                | Op::Binary(_)
                | Op::Select
                | Op::Transpose(_)
                | Op::Reverse(_)
                | Op::StopGradient => {
                    r.contraction |= own.contraction && whole;
                    r.scalar |= own.scalar;
                }
                Op::Reshape(_) => {
                    r.contraction |= own.contraction;
                    r.scalar |= own.scalar;
                    r.memory |= own.memory;
                }
                Op::Reduce { axes, .. } | Op::Variance { axes } => r.scalar |= axes.contains(&last),
                Op::MatMul { .. } | Op::Conv(..) => {
                    let mixed = is_mixed(function, node);
                    r.contraction |= mixed;
                    r.memory |= !mixed;
                }
                Op::Compare(_) | Op::Convert(_) | Op::Broadcast { .. } | Op::Slice { .. } => {}
                Op::Input { .. } | Op::Constant { .. } | Op::Iota { .. } | Op::PhiloxBits { .. } => {}
                Op::Pad { .. }
                | Op::Concat { .. }
                | Op::ArgMax { .. }
                | Op::Window(..)
                | Op::Gather { .. }
                | Op::ScatterAdd { .. }
                | Op::ArgSort => r.memory = true,
            }
        }
    }
    let keep = |(node, r): (&Node, &Readers)| {
        is_mixed(function, node) && r.contraction && !r.scalar && !r.memory && !node.ty.is_empty()
    };
    function.nodes.iter().zip(&readers).map(keep).collect()
}
