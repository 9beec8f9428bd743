//! Activations whose derivative is read from their output.

use super::family::{Family, family};
use ganymede_graph::ops::elementwise::{Binary, Compare};
use ganymede_graph::passes::rewrite::rewrite;
use ganymede_graph::{DType, Function, Literal, Node, NodeId, Op};
use std::collections::HashMap;

/// A leaky ReLU y = x m with m = (x > 0 ? a : b), a > 0 and b >= 0, has y > 0 exactly where x > 0. Where y is kept
/// anyhow, as an operand of a kernel, and x is what a kernel wrote (with a bias at most), the gradient's m is
/// computed from y: then nothing reads x again, and y can take over its memory. A y that is kept in bf16 serves as
/// well: rounding changes no sign, and makes a zero only of what is below every normal number.
pub fn read_from_output(function: &Function) -> Function {
    let kept = kept(function);
    let masks: HashMap<usize, NodeId> = (0..function.nodes.len())
        .filter(|&i| kept[i] != Kept::No)
        .filter_map(|i| Some((i, leaky(function, &function.nodes[i])?)))
        .collect();
    let mut old = (0..function.nodes.len()).filter(|&i| !matches!(function.nodes[i].op, Op::Input { .. }));
    // New mask by the new id of the old one, once y is there.
    let mut replaced: HashMap<NodeId, NodeId> = HashMap::new();
    rewrite(
        function,
        |_| true,
        |new, mut node| {
            let Some(index) = old.next() else { return new.push_typed(node) };
            for input in &mut node.inputs {
                *input = replaced.get(input).copied().unwrap_or(*input);
            }
            let (inputs, path) = (node.inputs.clone(), node.path.clone());
            let mut y = new.push_typed(node);
            let written = y;
            if let Some(mask) = masks.get(&index) {
                if kept[index] == Kept::Bf16 {
                    // The same conversion as the kernel's, with which it will be merged.
                    for dtype in [DType::Bf16, DType::F32] {
                        y = new.push(Op::Convert(dtype), vec![y], &path);
                    }
                }
                let place = function.nodes[index].inputs.iter().position(|x| x == mask).unwrap_or_default();
                let mask = inputs[place];
                let select = new.node(mask).clone();
                let zero = new.node(select.inputs[0]).inputs[1];
                let positive = new.push(Op::Compare(Compare::Gt), vec![y, zero], &path);
                let again = vec![positive, select.inputs[1], select.inputs[2]];
                let again = new.push(Op::Select, again, &path);
                replaced.insert(mask, again);
            }
            written
        },
    )
}

/// Whether a value is in memory for a kernel to read, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    No,
    Itself,
    /// Only its conversion to bf16.
    Bf16,
}

/// What kernels read from memory of each value, under its own shape or another.
fn kept(function: &Function) -> Vec<Kept> {
    let mut kept = vec![Kept::No; function.nodes.len()];
    for (i, node) in function.nodes.iter().enumerate().rev() {
        let operands = match &node.op {
            Op::Convert(DType::Bf16) if kept[i] == Kept::Itself => Kept::Bf16,
            Op::Reshape(_) => kept[i],
            op if family(op) == Family::Kernel => Kept::Itself,
            _ => Kept::No,
        };
        for x in &node.inputs {
            let x = &mut kept[x.index()];
            *x = match (*x, operands) {
                (Kept::Itself, _) | (_, Kept::Itself) => Kept::Itself,
                (Kept::Bf16, _) | (_, Kept::Bf16) => Kept::Bf16,
                (Kept::No, Kept::No) => Kept::No,
            };
        }
    }
    kept
}

/// The mask of a leaky ReLU of what a kernel wrote.
fn leaky(function: &Function, node: &Node) -> Option<NodeId> {
    if node.op != Op::Binary(Binary::Mul) {
        return None;
    }
    for (x, mask) in [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])] {
        let select = function.node(mask);
        if select.op != Op::Select {
            continue;
        }
        let compare = function.node(select.inputs[0]);
        let fits = compare.op == Op::Compare(Compare::Gt)
            && compare.inputs[0] == x
            && repeated(function, compare.inputs[1]) == Some(0.0)
            && repeated(function, select.inputs[1]).is_some_and(|a| a > 0.0)
            && repeated(function, select.inputs[2]).is_some_and(|b| b >= 0.0);
        if fits && written(function, x) {
            return Some(mask);
        }
    }
    None
}

/// Whether a kernel writes the value, or what it adds a broadcast to.
fn written(function: &Function, id: NodeId) -> bool {
    let kernel = |mut id: NodeId| {
        // In bf16 or not.
        while let Op::Convert(DType::F32 | DType::Bf16) = function.node(id).op {
            id = function.node(id).inputs[0];
        }
        family(&function.node(id).op) == Family::Kernel
    };
    let spread = |id: NodeId| matches!(function.node(id).op, Op::Broadcast { .. });
    let node = function.node(id);
    match node.op {
        Op::Binary(Binary::Add) => {
            let (a, b) = (node.inputs[0], node.inputs[1]);
            (kernel(a) && spread(b)) || (kernel(b) && spread(a))
        }
        _ => kernel(id),
    }
}

/// The float that a node repeats.
fn repeated(function: &Function, id: NodeId) -> Option<f64> {
    let node = function.node(id);
    match &node.op {
        Op::Constant { ty, literal: Literal::Float(v) } if ty.len() == 1 => Some(v[0]),
        Op::Broadcast { .. } => repeated(function, node.inputs[0]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ganymede_graph::{Graph, TensorType, grad, passes};

    #[test]
    fn the_gradient_reads_the_activation() {
        let g = Graph::new();
        let x = g.feed("x", TensorType::f32([16, 8]));
        let (w, b) = (g.state("w", TensorType::f32([8, 12])), g.state("b", TensorType::f32([12])));
        let v = g.state("v", TensorType::f32([12, 5]));
        let y = (x.matmul(&w) + &b).leaky_relu(0.2);
        let loss = y.matmul(&v).tanh().sum_all();
        let gradients = grad(&loss, &[&w, &b]);
        g.output("dw", &gradients[0]);
        g.output("db", &gradients[1]);
        let f = read_from_output(&passes::optimize(&g.finish().unwrap()).unwrap());
        f.verify().unwrap();
        let product = f.nodes.iter().position(|n| matches!(n.op, Op::MatMul { .. })).unwrap();
        let users = |id: usize| f.nodes.iter().filter(|n| n.inputs.contains(&NodeId(id as u32))).count();
        assert_eq!(users(product), 1, "only the bias is added to it");
        let compares = f.nodes.iter().filter(|n| matches!(n.op, Op::Compare(_))).count();
        assert_eq!(compares, 2);
    }
}
