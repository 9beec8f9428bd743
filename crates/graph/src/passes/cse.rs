//! Common-subexpression elimination.

use super::rewrite::rewrite;
use crate::function::{Function, NodeId};
use crate::ops::Op;
use crate::ops::elementwise::Binary;
use std::collections::HashMap;

/// Merges nodes with the same op and operands. Operands of commutative ops are put in order first. Every op is a
/// pure function of its operands (random words too), so merging never changes a value.
pub fn merge(function: &Function) -> Function {
    let mut seen: HashMap<(Op, Vec<NodeId>), NodeId> = HashMap::new();
    rewrite(
        function,
        |_| true,
        |new, mut node| {
            let commutes = match &node.op {
                Op::Binary(b) => match b {
                    Binary::Add
                    | Binary::Mul
                    | Binary::Max
                    | Binary::Min
                    | Binary::And
                    | Binary::Or
                    | Binary::Xor => true,
                    Binary::Sub | Binary::Div | Binary::Rem | Binary::Pow | Binary::Shl | Binary::Shr => {
                        false
                    }
                },
                _ => false,
            };
            if commutes {
                node.inputs.sort_unstable();
            }
            let key = (node.op.clone(), node.inputs.clone());
            if let Some(&earlier) = seen.get(&key) {
                return earlier;
            }
            let id = new.push_typed(node);
            seen.insert(key, id);
            id
        },
    )
}
