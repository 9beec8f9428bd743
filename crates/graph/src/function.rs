//! A finished graph: plain data that passes rewrite and executors lower.

use crate::error::GraphError;
use crate::ops::{self, Op};
use crate::types::TensorType;
use std::sync::Arc;

/// Index of a node; operands always have smaller indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// As an index into [`Function::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One value of the graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// What computes it.
    pub op: Op,
    /// Operands.
    pub inputs: Vec<NodeId>,
    /// Type of the value.
    pub ty: TensorType,
    /// Scope path at which it was built, e.g. `D/conv1`.
    pub path: Arc<str>,
}

/// What an input stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A slot of the state store: parameters, moments, running statistics. May be updated.
    State,
    /// Handed in anew at every run: batches, random keys, schedules.
    Feed,
}

/// A named input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Unique name, e.g. `D/conv1/weight`.
    pub name: String,
    /// Type.
    pub ty: TensorType,
    /// State or feed.
    pub role: Role,
    /// Its node.
    pub node: NodeId,
}

/// A finished graph in topological order.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// All nodes; operands precede their users.
    pub nodes: Vec<Node>,
    /// Inputs, in order of declaration.
    pub inputs: Vec<Input>,
    /// Named results.
    pub outputs: Vec<(String, NodeId)>,
    /// State slots (indices into `inputs`) and the values they take when the phase commits.
    pub updates: Vec<(usize, NodeId)>,
    /// Boolean scalar; the updates commit only where it is true. Without one they always do.
    pub gate: Option<NodeId>,
}

impl Function {
    /// The node of an id.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Type of a value.
    pub fn ty(&self, id: NodeId) -> &TensorType {
        &self.nodes[id.index()].ty
    }

    /// Every value that must be computed: outputs, updates and the gate.
    pub fn roots(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.outputs.iter().map(|o| o.1).chain(self.updates.iter().map(|u| u.1)).chain(self.gate)
    }

    /// Floating-point operations of the contractions (matmul and the convolution triad; a multiply-add is two).
    pub fn contraction_flops(&self) -> u64 {
        self.nodes
            .iter()
            .map(|n| {
                let inputs: Vec<&TensorType> = n.inputs.iter().map(|&i| self.ty(i)).collect();
                ops::contraction_flops(&n.op, &inputs, &n.ty)
            })
            .sum()
    }

    /// Checks order, arity, types and names. Run after every pass.
    pub fn verify(&self) -> Result<(), GraphError> {
        let fail = |node: &Node, message: String| {
            Err(GraphError { op: node.op.name(), path: node.path.to_string(), message, caller: None })
        };
        let mut inputs: Vec<&TensorType> = Vec::new();
        for (i, node) in self.nodes.iter().enumerate() {
            if let Some(bad) = node.inputs.iter().find(|x| x.index() >= i) {
                return fail(node, format!("node %{i} reads %{} which does not precede it", bad.0));
            }
            inputs.clear();
            inputs.extend(node.inputs.iter().map(|&x| self.ty(x)));
            match ops::infer(&node.op, &inputs) {
                Ok(ty) if ty == node.ty => {}
                Ok(ty) => {
                    return fail(node, format!("node %{i} is recorded as {} but computes {ty}", node.ty));
                }
                Err(message) => return fail(node, message),
            }
        }
        let whole = |message: String| {
            Err(GraphError { op: "function".into(), path: String::new(), message, caller: None })
        };
        let mut names = std::collections::HashSet::new();
        for (k, input) in self.inputs.iter().enumerate() {
            if !names.insert(&input.name) {
                return whole(format!("two inputs are named `{}`", input.name));
            }
            match self.nodes.get(input.node.index()).map(|n| &n.op) {
                Some(Op::Input { index, ty }) if *index == k && *ty == input.ty => {}
                _ => return whole(format!("input `{}` does not name its own node", input.name)),
            }
        }
        for (i, node) in self.nodes.iter().enumerate() {
            if let Op::Input { index, .. } = &node.op
                && self.inputs.get(*index).is_none_or(|input| input.node.index() != i)
            {
                return fail(node, format!("node %{i} is no declared input"));
            }
        }
        let mut names = std::collections::HashSet::new();
        for (name, id) in &self.outputs {
            if !names.insert(name) {
                return whole(format!("two outputs are named `{name}`"));
            }
            if id.index() >= self.nodes.len() {
                return whole(format!("output `{name}` names a node that does not exist"));
            }
        }
        let mut updated = std::collections::HashSet::new();
        for (slot, id) in &self.updates {
            let Some(input) = self.inputs.get(*slot) else {
                return whole(format!("an update names input {slot}, which does not exist"));
            };
            if input.role != Role::State {
                return whole(format!("`{}` is a feed: only state can be updated", input.name));
            }
            if !updated.insert(*slot) {
                return whole(format!("`{}` is updated twice", input.name));
            }
            if id.index() >= self.nodes.len() || *self.ty(*id) != input.ty {
                return whole(format!("the update of `{}` has another type than the slot", input.name));
            }
        }
        if let Some(gate) = self.gate {
            match self.nodes.get(gate.index()) {
                None => return whole("the gate names a node that does not exist".into()),
                Some(node) if node.ty != TensorType::new(crate::DType::Bool, []) => {
                    return whole(format!("the gate must be bool[], got {}", node.ty));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}
