//! Common-subexpression elimination.

use super::rewrite::rewrite_moving;
use crate::function::{Function, Node, NodeId};
use crate::ops::Op;
use crate::ops::elementwise::Binary;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Merges nodes with the same op and operands. Operands of commutative ops are put in order first. Every op is a
/// pure function of its operands (random words too), so merging never changes a value.
pub fn merge(function: Function) -> Function {
    // By hash, since a key would be a copy of the node: two nodes of the same 64 bits, should there ever be any, are only
    // left apart.
    let mut seen: HashMap<u64, NodeId> = HashMap::new();
    rewrite_moving(
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
            let mut hasher = DefaultHasher::new();
            (&node.op, &node.inputs).hash(&mut hasher);
            let next = NodeId(new.function.nodes.len() as u32);
            let earlier = *seen.entry(hasher.finish()).or_insert(next);
            let same = |other: &Node| other.op == node.op && other.inputs == node.inputs;
            if earlier != next && same(new.node(earlier)) { earlier } else { new.push_typed(node) }
        },
    )
}
