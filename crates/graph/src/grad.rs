//! Reverse-mode differentiation: appends the nodes of a gradient to the same graph, so that gradients of gradients
//! come by calling it again.

use crate::function::NodeId;
use crate::graph::Graph;
use crate::ops;
use crate::tensor::Tensor;
use std::collections::HashMap;

/// One application of a gradient rule: reads operands, output and cotangent, gives cotangents of operands.
pub struct Rule {
    graph: Graph,
    inputs: Vec<NodeId>,
    output: NodeId,
    cotangent: Tensor,
    needed: Vec<bool>,
    given: Vec<Option<Tensor>>,
    refused: Option<&'static str>,
}

impl Rule {
    /// Number of operands.
    pub fn arity(&self) -> usize {
        self.inputs.len()
    }

    /// Operand `i`.
    pub fn input(&self, i: usize) -> Tensor {
        Tensor::new(self.graph.clone(), self.inputs[i])
    }

    /// The value the op computed.
    pub fn output(&self) -> Tensor {
        Tensor::new(self.graph.clone(), self.output)
    }

    /// The gradient of the loss by the output.
    pub fn cotangent(&self) -> Tensor {
        self.cotangent.clone()
    }

    /// Whether the cotangent of operand `i` leads to a variable; if not, computing it would be dead work.
    pub fn needs(&self, i: usize) -> bool {
        self.needed[i]
    }

    /// Hands over the cotangent of operand `i`.
    pub fn give(&mut self, i: usize, cotangent: Tensor) {
        if self.needed[i] {
            self.given[i] = Some(cotangent);
        }
    }

    /// States that all operands have zero gradient, and why.
    pub fn no_gradient(&mut self, why: &'static str) {
        self.refused = Some(why);
    }
}

/// Gradients of the scalar `loss` by each of `variables`, in order. A variable on which the loss does not depend has
/// gradient zero.
#[track_caller]
pub fn grad(loss: &Tensor, variables: &[&Tensor]) -> Vec<Tensor> {
    let graph = loss.graph();
    if loss.is_poisoned() {
        return variables.iter().map(|_| Tensor::poisoned(graph.clone())).collect();
    }
    let ty = loss.ty();
    if ty.rank() != 0 || !ty.dtype.is_float() {
        let poisoned =
            graph.fail("grad", format!("the loss must be a float scalar, got {ty}; sum or average it"));
        return variables.iter().map(|_| poisoned.clone()).collect();
    }
    grad_with(&[(loss, &loss.ones_like())], variables)
}

/// Vector-Jacobian product: the gradients by `variables` of sum(<value, cotangent>) over the given pairs, with the
/// cotangents held constant in form only (they are differentiated like any other tensor by a further call).
#[track_caller]
pub fn grad_with(seeds: &[(&Tensor, &Tensor)], variables: &[&Tensor]) -> Vec<Tensor> {
    let Some(graph) = seeds.first().map(|s| s.0.graph().clone()) else { return Vec::new() };
    let poisoned = |tensors: &[&Tensor]| tensors.iter().any(|t| t.is_poisoned());
    if poisoned(variables) || seeds.iter().any(|s| s.0.is_poisoned() || s.1.is_poisoned()) {
        return variables.iter().map(|_| Tensor::poisoned(graph.clone())).collect();
    }
    for (value, cotangent) in seeds {
        if value.ty() != cotangent.ty() {
            let message =
                format!("a value of {} needs a cotangent of its type, got {}", value.ty(), cotangent.ty());
            let poisoned = graph.fail("grad", message);
            return variables.iter().map(|_| poisoned.clone()).collect();
        }
    }
    if variables.iter().any(|v| !v.graph().same(&graph))
        || seeds
            .iter()
            .any(|(value, cotangent)| !value.graph().same(&graph) || !cotangent.graph().same(&graph))
    {
        let poisoned = graph.fail("grad", "a value, cotangent or variable belongs to another graph");
        return variables.iter().map(|_| poisoned.clone()).collect();
    }
    let ids: Vec<NodeId> = variables.iter().filter_map(|v| v.id()).collect();
    let top = seeds.iter().filter_map(|s| s.0.id()).map(|id| id.index()).max().unwrap_or(0);

    // Forward sweep: which nodes depend on a variable through float operands. Only these get cotangents.
    let mut depends = vec![false; top + 1];
    for id in &ids {
        if id.index() <= top {
            depends[id.index()] = true;
        }
    }
    let mut users = Vec::new();
    graph.with_nodes(|nodes| {
        for (i, node) in nodes.iter().enumerate().take(top + 1) {
            let through = !matches!(node.op, ops::Op::StopGradient)
                && node.inputs.iter().any(|x| depends[x.index()] && nodes[x.index()].ty.dtype.is_float());
            if through && node.ty.dtype.is_float() {
                depends[i] = true;
            }
            if depends[i] {
                users.push(i);
            }
        }
    });

    let mut cotangents: HashMap<usize, Tensor> = HashMap::new();
    let add = |map: &mut HashMap<usize, Tensor>, id: NodeId, value: Tensor| {
        let sum = match map.remove(&id.index()) {
            Some(earlier) => earlier + value,
            None => value,
        };
        map.insert(id.index(), sum);
    };
    for (value, cotangent) in seeds {
        if let Some(id) = value.id()
            && depends[id.index()]
        {
            add(&mut cotangents, id, (*cotangent).clone());
        }
    }

    // Reverse sweep in the order of creation, which is topological.
    let wanted: std::collections::HashSet<usize> = ids.iter().map(|i| i.index()).collect();
    for &i in users.iter().rev() {
        let Some(cotangent) = cotangents.get(&i).cloned() else { continue };
        if !wanted.contains(&i) {
            cotangents.remove(&i);
        }
        let node = graph.node(NodeId(i as u32));
        if node.inputs.is_empty() {
            continue;
        }
        let needed: Vec<bool> =
            node.inputs.iter().map(|x| depends[x.index()] && graph.ty(*x).dtype.is_float()).collect();
        if !needed.contains(&true) {
            continue;
        }
        let _scope = graph.enter_path(&node.path);
        let mut rule = Rule {
            graph: graph.clone(),
            given: vec![None; node.inputs.len()],
            inputs: node.inputs.clone(),
            output: NodeId(i as u32),
            cotangent,
            needed,
            refused: None,
        };
        ops::differentiate(&node.op, &mut rule);
        let complete = rule.refused.is_some()
            || rule.given.iter().zip(&rule.needed).all(|(given, needed)| given.is_some() || !needed);
        if !complete {
            let message = "its gradient rule gave no cotangent and stated no reason".to_string();
            graph.fail(&node.op.name(), message);
        }
        for (input, given) in node.inputs.iter().zip(rule.given) {
            if let Some(given) = given {
                add(&mut cotangents, *input, given);
            }
        }
    }
    variables
        .iter()
        .map(|v| match v.id().and_then(|id| cotangents.get(&id.index())) {
            Some(g) => g.clone(),
            None => v.zeros_like(),
        })
        .collect()
}
