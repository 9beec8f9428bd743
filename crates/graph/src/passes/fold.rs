//! Constant folding.

use super::rewrite::{Rewriter, rewrite_moving};
use crate::array::{Array, Data};
use crate::function::{Function, Node, NodeId};
use crate::ops::{self, Op};
use crate::types::{DType, Literal, TensorType};

fn literal(array: Array) -> Literal {
    match array.data {
        Data::Float(v) => Literal::Float(v.into()),
        Data::I32(v) => Literal::I32(v.into()),
        Data::U32(v) => Literal::U32(v.into()),
        Data::Bool(v) => Literal::Bool(v.into()),
    }
}

/// The scalar that a node repeats: a scalar constant, or its broadcast.
fn repeated(new: &Rewriter, mut id: NodeId) -> Option<Array> {
    while let Op::Broadcast { .. } = new.node(id).op {
        id = new.node(id).inputs[0];
    }
    match &new.node(id).op {
        Op::Constant { ty, literal } if ty.rank() == 0 => Some(Array::literal(ty, literal)),
        _ => None,
    }
}

fn is_elementwise(op: &Op) -> bool {
    matches!(op, Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Convert(_))
}

/// Evaluates ops on constants. Folding never enlarges a constant: an elementwise op on repeated scalars becomes a
/// repeated scalar, and an op on constant tensors is evaluated only where the result is no larger than its operands.
/// Floats fold in f64 and are rounded where they are used, except that whatever touches bf16 waits for run time.
pub fn fold(function: Function) -> Function {
    rewrite_moving(
        function,
        |_| true,
        |new, node| {
            if node.inputs.is_empty()
                || matches!(node.op, Op::Convert(DType::Bf16))
                || node.ty.dtype == DType::Bf16
                || node.inputs.iter().any(|&i| new.function.ty(i).dtype == DType::Bf16)
            {
                return new.push_typed(node);
            }
            if is_elementwise(&node.op) {
                let scalars: Option<Vec<Array>> = node.inputs.iter().map(|&i| repeated(new, i)).collect();
                if let Some(scalars) = scalars {
                    let operands: Vec<&Array> = scalars.iter().collect();
                    let ty = TensorType::new(node.ty.dtype, []);
                    let value = literal(ops::evaluate(&node.op, &operands, &ty));
                    let constant = Op::Constant { ty, literal: value };
                    let id = new.push(constant, vec![], &node.path);
                    return broadcast(new, id, &node);
                }
            }
            let constants: Option<Vec<Array>> = node
                .inputs
                .iter()
                .map(|&i| match &new.node(i).op {
                    Op::Constant { ty, literal } => Some(Array::literal(ty, literal)),
                    _ => None,
                })
                .collect();
            if let Some(constants) = constants {
                let size: usize = constants.iter().map(|c| c.ty.len()).sum();
                if node.ty.len() <= size && size <= 4096 && !matches!(node.op, Op::Broadcast { .. }) {
                    let operands: Vec<&Array> = constants.iter().collect();
                    let value = literal(ops::evaluate(&node.op, &operands, &node.ty));
                    return new.push(
                        Op::Constant { ty: node.ty.clone(), literal: value },
                        vec![],
                        &node.path,
                    );
                }
            }
            new.push_typed(node)
        },
    )
}

fn broadcast(new: &mut Rewriter, scalar: NodeId, node: &Node) -> NodeId {
    if node.ty.rank() == 0 {
        return scalar;
    }
    new.push(Op::Broadcast { shape: node.ty.shape.clone(), axes: vec![] }, vec![scalar], &node.path)
}
