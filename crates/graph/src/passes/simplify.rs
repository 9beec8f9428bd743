//! Local algebra. No rule changes which inputs make a result non-finite: x * 0 is never folded.

use super::rewrite::{Rewriter, rewrite_moving};
use crate::function::{Function, Node, NodeId};
use crate::ops::Op;
use crate::ops::elementwise::{Binary, Unary};
use crate::types::{DType, Literal};

/// The float that a node repeats everywhere.
fn constant(new: &Rewriter, mut id: NodeId) -> Option<f64> {
    while let Op::Broadcast { .. } = new.node(id).op {
        id = new.node(id).inputs[0];
    }
    match &new.node(id).op {
        Op::Constant { ty, literal: Literal::Float(v) } if ty.len() == 1 => Some(v[0]),
        _ => None,
    }
}

/// Applies the rules to every node, operands first.
pub fn simplify(function: Function) -> Function {
    rewrite_moving(
        function,
        |_| true,
        |new, node| match replacement(new, &node) {
            Some(id) => {
                debug_assert_eq!(
                    *new.function.ty(id),
                    node.ty,
                    "a rule changed the type of `{}`",
                    node.op.name()
                );
                id
            }
            None => new.push_typed(node),
        },
    )
}

fn replacement(new: &mut Rewriter, node: &Node) -> Option<NodeId> {
    let first = *node.inputs.first()?;
    let same_shape = new.function.ty(first) == &node.ty;
    match &node.op {
        Op::Unary(Unary::Neg) => match &new.node(first).op {
            Op::Unary(Unary::Neg) => Some(new.node(first).inputs[0]),
            _ => None,
        },
        Op::Binary(op) => binary(new, *op, node),
        Op::Convert(_) if same_shape => Some(first),
        // f32 holds every bf16, so widening and rounding again gives what there was.
        Op::Convert(DType::Bf16) => match &new.node(first).op {
            Op::Convert(DType::F32) if new.function.ty(new.node(first).inputs[0]) == &node.ty => {
                Some(new.node(first).inputs[0])
            }
            _ => None,
        },
        Op::Reshape(shape) => {
            if same_shape {
                return Some(first);
            }
            match &new.node(first).op {
                Op::Reshape(_) => {
                    let inner = new.node(first).inputs[0];
                    if new.function.ty(inner) == &node.ty {
                        return Some(inner);
                    }
                    Some(new.push(Op::Reshape(shape.clone()), vec![inner], &node.path))
                }
                // A repeated scalar has no order.
                Op::Broadcast { axes, .. } if axes.is_empty() => {
                    let inner = new.node(first).inputs[0];
                    let op = Op::Broadcast { shape: shape.clone(), axes: vec![] };
                    Some(new.push(op, vec![inner], &node.path))
                }
                _ => None,
            }
        }
        Op::Broadcast { shape, axes } => {
            if same_shape {
                return Some(first);
            }
            let inner = new.node(first).clone();
            if let Op::Broadcast { axes: inner_axes, .. } = &inner.op {
                let composed: Vec<usize> = inner_axes.iter().map(|&a| axes[a]).collect();
                let op = Op::Broadcast { shape: shape.clone(), axes: composed };
                return Some(new.push(op, vec![inner.inputs[0]], &node.path));
            }
            None
        }
        Op::Transpose(perm) => {
            if perm.iter().enumerate().all(|(i, &p)| i == p) {
                return Some(first);
            }
            let inner = new.node(first).clone();
            match &inner.op {
                Op::Transpose(inner_perm) => {
                    let composed: Vec<usize> = perm.iter().map(|&p| inner_perm[p]).collect();
                    if composed.iter().enumerate().all(|(i, &p)| i == p) {
                        return Some(inner.inputs[0]);
                    }
                    Some(new.push(Op::Transpose(composed), vec![inner.inputs[0]], &node.path))
                }
                _ => None,
            }
        }
        Op::Slice { .. } | Op::Pad { .. } | Op::Concat { .. } if same_shape => Some(first),
        Op::Reverse(axes) => {
            if axes.iter().all(|&a| node.ty.shape[a] <= 1) {
                return Some(first);
            }
            match &new.node(first).op {
                Op::Reverse(inner) if inner == axes => Some(new.node(first).inputs[0]),
                _ => None,
            }
        }
        Op::Reduce { axes, .. } => {
            // Nothing to combine: the axes have one element each.
            let shape = &new.function.ty(first).shape;
            if axes.iter().all(|&a| shape[a] == 1) {
                if axes.is_empty() {
                    return Some(first);
                }
                return Some(new.push(Op::Reshape(node.ty.shape.clone()), vec![first], &node.path));
            }
            None
        }
        // Differentiation is over when passes run.
        Op::StopGradient => Some(first),
        _ => None,
    }
}

fn binary(new: &mut Rewriter, op: Binary, node: &Node) -> Option<NodeId> {
    let (a, b) = (node.inputs[0], node.inputs[1]);
    let (left, right) = (constant(new, a), constant(new, b));
    match op {
        // x + 0 turns -0 into 0, which compares equal; both are finite.
        Binary::Add if right == Some(0.0) => Some(a),
        Binary::Add if left == Some(0.0) => Some(b),
        Binary::Sub if right == Some(0.0) => Some(a),
        Binary::Sub if left == Some(0.0) => Some(new.push(Op::Unary(Unary::Neg), vec![b], &node.path)),
        Binary::Mul if right == Some(1.0) => Some(a),
        Binary::Mul if left == Some(1.0) => Some(b),
        Binary::Mul if right == Some(-1.0) => Some(new.push(Op::Unary(Unary::Neg), vec![a], &node.path)),
        Binary::Mul if left == Some(-1.0) => Some(new.push(Op::Unary(Unary::Neg), vec![b], &node.path)),
        Binary::Div if right == Some(1.0) => Some(a),
        // a + (-b) and a - (-b).
        Binary::Add => match &new.node(b).op {
            Op::Unary(Unary::Neg) => {
                let inner = new.node(b).inputs[0];
                Some(new.push(Op::Binary(Binary::Sub), vec![a, inner], &node.path))
            }
            _ => None,
        },
        Binary::Sub => match &new.node(b).op {
            Op::Unary(Unary::Neg) => {
                let inner = new.node(b).inputs[0];
                Some(new.push(Op::Binary(Binary::Add), vec![a, inner], &node.path))
            }
            _ => None,
        },
        Binary::Mul
        | Binary::Div
        | Binary::Rem
        | Binary::Max
        | Binary::Min
        | Binary::Pow
        | Binary::And
        | Binary::Or
        | Binary::Xor
        | Binary::Shl
        | Binary::Shr => None,
    }
}
