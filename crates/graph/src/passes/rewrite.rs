//! Copying a function node by node under a mapping, the frame of every pass.

use crate::function::{Function, Node, NodeId};
use crate::ops;
use crate::ops::Op;
use crate::types::TensorType;
use std::sync::Arc;

/// The function being written.
pub struct Rewriter {
    /// The new function.
    pub function: Function,
}

impl Rewriter {
    /// Appends a node whose type is inferred from operands that are known to fit.
    pub fn push(&mut self, op: Op, inputs: Vec<NodeId>, path: &Arc<str>) -> NodeId {
        let types: Vec<&TensorType> = inputs.iter().map(|&i| self.function.ty(i)).collect();
        let ty = ops::infer(&op, &types).unwrap_or_else(|e| {
            unreachable!("a rewrite built `{}` at {path} with wrong operands: {e}", op.name())
        });
        self.push_typed(Node { op, inputs, ty, path: path.clone() })
    }

    /// Appends a node as it is.
    pub fn push_typed(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.function.nodes.len() as u32);
        self.function.nodes.push(node);
        id
    }

    /// The node of an id of the new function.
    pub fn node(&self, id: NodeId) -> &Node {
        self.function.node(id)
    }
}

/// Copies `old`, asking `visit` for the new id of each node (whose operands are already new ids). Nodes for which
/// `keep` is false are left out, so nothing kept may read them.
pub fn rewrite(
    old: &Function,
    keep: impl Fn(usize) -> bool,
    visit: impl FnMut(&mut Rewriter, Node) -> NodeId,
) -> Function {
    rewrite_moving(old.clone(), keep, visit)
}

/// As [`rewrite`], but nodes move to the new function: half the time of a pass over a large function goes to copies of
/// operands, shapes and axes otherwise.
pub fn rewrite_moving(
    old: Function,
    keep: impl Fn(usize) -> bool,
    mut visit: impl FnMut(&mut Rewriter, Node) -> NodeId,
) -> Function {
    let mut new = Rewriter { function: Function::default() };
    let mut map: Vec<Option<NodeId>> = vec![None; old.nodes.len()];
    let mapped = |map: &[Option<NodeId>], id: NodeId| {
        map[id.index()].unwrap_or_else(|| unreachable!("a kept node reads %{} which was left out", id.0))
    };
    new.function.nodes.reserve(old.nodes.len());
    for (i, mut node) in old.nodes.into_iter().enumerate() {
        if !keep(i) {
            continue;
        }
        for input in &mut node.inputs {
            *input = mapped(&map, *input);
        }
        let is_input = matches!(node.op, Op::Input { .. });
        map[i] = Some(if is_input { new.push_typed(node) } else { visit(&mut new, node) });
    }
    let mut function = new.function;
    function.inputs = old.inputs;
    for input in &mut function.inputs {
        input.node = mapped(&map, input.node);
    }
    function.outputs = old.outputs.into_iter().map(|(n, id)| (n, mapped(&map, id))).collect();
    function.updates = old.updates.into_iter().map(|(slot, id)| (slot, mapped(&map, id))).collect();
    function.gate = old.gate.map(|id| mapped(&map, id));
    function
}
