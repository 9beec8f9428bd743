//! Dead-code elimination.

use super::rewrite::rewrite_moving;
use crate::function::Function;
use crate::ops::Op;

/// Leaves out every node that no output, update or gate needs. Inputs stay: they are the function's signature.
pub fn eliminate(function: Function) -> Function {
    let mut live: Vec<bool> = function.nodes.iter().map(|n| matches!(n.op, Op::Input { .. })).collect();
    for root in function.roots() {
        live[root.index()] = true;
    }
    for i in (0..function.nodes.len()).rev() {
        if live[i] {
            for input in &function.nodes[i].inputs {
                live[input.index()] = true;
            }
        }
    }
    rewrite_moving(function, |i| live[i], |new, node| new.push_typed(node))
}
