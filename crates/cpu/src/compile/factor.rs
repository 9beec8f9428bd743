//! Rewrites of the graph that pay on this executor: less work for each element of a large domain at the price of
//! a little on a small one. They hold for real numbers; in f32 results differ by rounding.

use crate::executor::Precision;
use ganymede_graph::ops::elementwise::{Binary, Unary};
use ganymede_graph::ops::reduce::{Reduction, reduced_shape};
use ganymede_graph::passes::rewrite::{Rewriter, rewrite};
use ganymede_graph::passes::{Pass, cse, dce, fold, mixed, simplify};
use ganymede_graph::{DType, Function, GraphError, Literal, Node, NodeId, Op, TensorType};
use std::collections::HashSet;
use std::sync::Arc;

/// The rewrites, in order.
const PASSES: &[Pass] = &[
    Pass { name: "shift removal", run: |f| remove_shifts(&f) },
    Pass { name: "factor extraction", run: |f| extract_factors(&f) },
    Pass { name: "constant folding", run: fold::fold },
    Pass { name: "common-subexpression elimination", run: cse::merge },
    Pass { name: "dead-code elimination", run: dce::eliminate },
    Pass { name: "factor merging", run: |f| merge_factors(&f) },
    Pass { name: "constant folding", run: fold::fold },
    Pass { name: "common-subexpression elimination", run: cse::merge },
];

/// After [`PASSES`], which look for contractions of f32: what transposes and factors are there no longer.
const MIXED: &[Pass] = &[
    Pass { name: "mixed precision", run: |f| mixed::mixed_precision(&f) },
    Pass { name: "simplification", run: simplify::simplify },
    Pass { name: "common-subexpression elimination", run: cse::merge },
];

/// Last.
const MASKS: &[Pass] = &[
    Pass { name: "masks from outputs", run: |f| super::mask::read_from_output(&f) },
    Pass { name: "dead-code elimination", run: dce::eliminate },
];

/// After masks of values in bf16, which name conversions that are there already.
const SHARED: &[Pass] = &[
    Pass { name: "common-subexpression elimination", run: cse::merge },
    Pass { name: "dead-code elimination", run: dce::eliminate },
];

/// Runs all rewrites.
pub fn factor(function: Function, precision: Precision) -> Result<Function, GraphError> {
    let mut current = function;
    let passes: &[&[Pass]] = match precision {
        Precision::F32 => &[PASSES, MASKS],
        Precision::Bf16 => &[PASSES, MIXED, MASKS, SHARED],
    };
    for pass in passes.iter().copied().flatten() {
        current = (pass.run)(current);
        current.verify().map_err(|e| e.after(pass.name))?;
    }
    Ok(current)
}

/// The operand of a broadcast to the shape that is left when `reduced` axes go, if the broadcast value does not
/// vary along them: (operand, its axes in that shape).
fn along_kept(new: &Rewriter, id: NodeId, reduced: &[usize]) -> Option<(NodeId, Vec<usize>)> {
    let node = new.node(id);
    let Op::Broadcast { axes, .. } = &node.op else { return None };
    if axes.iter().any(|a| reduced.contains(a)) {
        return None;
    }
    let place = |&a: &usize| a - reduced.iter().filter(|&&r| r < a).count();
    Some((node.inputs[0], axes.iter().map(place).collect()))
}

fn broadcast(new: &mut Rewriter, id: NodeId, shape: &[usize], axes: Vec<usize>, path: &Arc<str>) -> NodeId {
    if new.function.ty(id).shape == shape {
        return id;
    }
    new.push(Op::Broadcast { shape: shape.to_vec(), axes }, vec![id], path)
}

fn scalar(new: &mut Rewriter, value: f64, shape: &[usize], path: &Arc<str>) -> NodeId {
    let literal = Literal::Float([value].into());
    let id = new.push(Op::Constant { ty: TensorType::f32([]), literal }, vec![], path);
    broadcast(new, id, shape, vec![], path)
}

/// Elements that one result of a reduction combines.
fn count(shape: &[usize], axes: &[usize]) -> f64 {
    axes.iter().map(|&a| shape[a]).product::<usize>() as f64
}

/// variance(x + b) = variance(x) where b does not vary along the reduced axes, and sum(x + b) = sum(x) + n b for
/// the sum beside such a variance: batch normalization after a bias reads what the convolution wrote.
fn remove_shifts(function: &Function) -> Function {
    let with_variance: HashSet<(NodeId, &[usize])> = function
        .nodes
        .iter()
        .filter_map(|n| match &n.op {
            Op::Variance { axes } => Some((n.inputs[0], axes.as_slice())),
            _ => None,
        })
        .collect();
    let mut old = computed(function);
    rewrite(
        function,
        |_| true,
        |new, node| {
            let before = &function.nodes[old.next().unwrap_or_default()];
            shifted(new, &node, before, &with_variance).unwrap_or_else(|| new.push_typed(node))
        },
    )
}

/// Indices of the nodes that a rewrite visits.
fn computed(function: &Function) -> impl Iterator<Item = usize> + '_ {
    (0..function.nodes.len()).filter(|&i| !matches!(function.nodes[i].op, Op::Input { .. }))
}

fn shifted(
    new: &mut Rewriter,
    node: &Node,
    before: &Node,
    with_variance: &HashSet<(NodeId, &[usize])>,
) -> Option<NodeId> {
    let axes = match &node.op {
        Op::Variance { axes } => axes,
        Op::Reduce { kind: Reduction::Sum, axes } if with_variance.contains(&(before.inputs[0], axes)) => {
            axes
        }
        _ => return None,
    };
    let operand = new.node(node.inputs[0]).clone();
    if operand.ty.dtype != DType::F32 || axes.is_empty() || node.ty.is_empty() {
        return None;
    }
    let Op::Binary(sign @ (Binary::Add | Binary::Sub)) = operand.op else { return None };
    let (x, b) = match along_kept(new, operand.inputs[1], axes) {
        Some(b) => (operand.inputs[0], b),
        None if sign == Binary::Add => (operand.inputs[1], along_kept(new, operand.inputs[0], axes)?),
        None => return None,
    };
    let reduced = new.push(node.op.clone(), vec![x], &node.path);
    if matches!(node.op, Op::Variance { .. }) {
        return Some(reduced);
    }
    let b = broadcast(new, b.0, &node.ty.shape, b.1, &node.path);
    let n = scalar(new, count(&operand.ty.shape, axes), &node.ty.shape, &node.path);
    let shift = new.push(Op::Binary(Binary::Mul), vec![b, n], &node.path);
    Some(new.push(Op::Binary(sign), vec![reduced, shift], &node.path))
}

/// sum(x b) = b sum(x) where b does not vary along the reduced axes, and sum(-x) = -sum(x). Sums that differ by
/// such factors, as the gradients of a normalization's scale and statistics do, become one. Matrix products over one
/// term become elementwise, transposed operands flags of the product.
fn extract_factors(function: &Function) -> Function {
    rewrite(
        function,
        |_| true,
        |new, node| {
            let replaced = match &node.op {
                Op::Reduce { kind: Reduction::Sum, axes } if node.ty.dtype == DType::F32 => {
                    factored_sum(new, &node, axes)
                }
                Op::MatMul { trans_a, trans_b } => outer_product(new, &node, *trans_a)
                    .or_else(|| untransposed(new, &node, [*trans_a, *trans_b])),
                _ => None,
            };
            replaced.unwrap_or_else(|| new.push_typed(node))
        },
    )
}

/// A product split into a part that varies along the reduced axes and factors that do not.
#[derive(Default)]
struct Split {
    wide: Option<NodeId>,
    factors: Vec<(NodeId, Vec<usize>)>,
    negative: bool,
}

/// Nodes that one sum looks at.
const BUDGET: usize = 24;

fn split(new: &mut Rewriter, id: NodeId, axes: &[usize], budget: &mut usize) -> Split {
    let whole = Split { wide: Some(id), ..Split::default() };
    if *budget == 0 {
        return whole;
    }
    *budget -= 1;
    if let Some(factor) = along_kept(new, id, axes) {
        return Split { factors: vec![factor], ..Split::default() };
    }
    let node = new.node(id).clone();
    match node.op {
        Op::Unary(Unary::Neg) => {
            let inner = split(new, node.inputs[0], axes, budget);
            Split { negative: !inner.negative, ..inner }
        }
        Op::Binary(Binary::Mul) => {
            let a = split(new, node.inputs[0], axes, budget);
            let b = split(new, node.inputs[1], axes, budget);
            if a.factors.is_empty() && b.factors.is_empty() && !a.negative && !b.negative {
                return whole;
            }
            let wide = match (a.wide, b.wide) {
                (Some(x), Some(y)) => Some(new.push(Op::Binary(Binary::Mul), vec![x, y], &node.path)),
                (x, y) => x.or(y),
            };
            let factors = a.factors.into_iter().chain(b.factors).collect();
            Split { wide, factors, negative: a.negative != b.negative }
        }
        _ => whole,
    }
}

fn factored_sum(new: &mut Rewriter, node: &Node, axes: &[usize]) -> Option<NodeId> {
    let operand = new.function.ty(node.inputs[0]).clone();
    if axes.is_empty() || operand.is_empty() {
        return None;
    }
    let Split { wide, factors, negative } = split(new, node.inputs[0], axes, &mut BUDGET.clone());
    if factors.is_empty() && !negative {
        return None;
    }
    let mut value = match wide {
        Some(wide) => new.push(node.op.clone(), vec![wide], &node.path),
        None => scalar(new, count(&operand.shape, axes), &node.ty.shape, &node.path),
    };
    debug_assert_eq!(node.ty.shape, reduced_shape(&operand.shape, axes));
    for (factor, along) in factors {
        let factor = broadcast(new, factor, &node.ty.shape, along, &node.path);
        value = new.push(Op::Binary(Binary::Mul), vec![value, factor], &node.path);
    }
    if negative {
        value = new.push(Op::Unary(Unary::Neg), vec![value], &node.path);
    }
    Some(value)
}

/// A product over one term is elementwise, and joins the pass that reads it.
fn outer_product(new: &mut Rewriter, node: &Node, trans_a: bool) -> Option<NodeId> {
    let a = &new.function.ty(node.inputs[0]).shape;
    let batch = a.len() - 2;
    let k = a[if trans_a { batch } else { batch + 1 }];
    if k != 1 || node.ty.dtype != DType::F32 || node.ty.is_empty() {
        return None;
    }
    let mut side = |input: NodeId, axis: usize| {
        let mut shape = node.ty.shape[..batch].to_vec();
        shape.push(node.ty.shape[axis]);
        let mut flat = new.push(Op::Reshape(shape), vec![input], &node.path);
        if new.function.ty(flat).dtype != node.ty.dtype {
            // The product of two bf16 is an f32; their elementwise product would be rounded to bf16.
            flat = new.push(Op::Convert(node.ty.dtype), vec![flat], &node.path);
        }
        let axes = (0..batch).chain([axis]).collect();
        new.push(Op::Broadcast { shape: node.ty.shape.clone(), axes }, vec![flat], &node.path)
    };
    let (a, b) = (side(node.inputs[0], batch), side(node.inputs[1], batch + 1));
    Some(new.push(Op::Binary(Binary::Mul), vec![a, b], &node.path))
}

fn untransposed(new: &mut Rewriter, node: &Node, mut flags: [bool; 2]) -> Option<NodeId> {
    let mut inputs = node.inputs.clone();
    for (input, flag) in inputs.iter_mut().zip(&mut flags) {
        let operand = new.node(*input);
        if let Op::Transpose(perm) = &operand.op {
            let rank = perm.len();
            let swaps = (0..rank - 2).all(|i| perm[i] == i) && perm[rank - 1] == rank - 2;
            if swaps {
                (*input, *flag) = (operand.inputs[0], !*flag);
            }
        }
    }
    let op = Op::MatMul { trans_a: flags[0], trans_b: flags[1] };
    (inputs != node.inputs).then(|| new.push(op, inputs, &node.path))
}

/// (x a) b = x (a b) where a and b are broadcasts alike: their product is taken once for each of their elements.
/// Only where x a has no other use.
fn merge_factors(function: &Function) -> Function {
    let mut uses = vec![0u32; function.nodes.len()];
    for node in &function.nodes {
        for x in &node.inputs {
            uses[x.index()] += 1;
        }
    }
    for root in function.roots() {
        uses[root.index()] += 1;
    }
    let mut old = computed(function);
    rewrite(
        function,
        |_| true,
        |new, node| {
            let before = &function.nodes[old.next().unwrap_or_default()];
            merged(new, &node, before, &uses).unwrap_or_else(|| new.push_typed(node))
        },
    )
}

fn merged(new: &mut Rewriter, node: &Node, before: &Node, uses: &[u32]) -> Option<NodeId> {
    if node.op != Op::Binary(Binary::Mul) || node.ty.dtype != DType::F32 {
        return None;
    }
    for (inner, outer) in [(0, 1), (1, 0)] {
        let product = new.node(node.inputs[inner]).clone();
        let second = new.node(node.inputs[outer]).clone();
        let Op::Broadcast { shape, axes } = &second.op else { continue };
        if product.op != Op::Binary(Binary::Mul) || uses[before.inputs[inner].index()] > 1 {
            continue;
        }
        for (x, a) in [(0, 1), (1, 0)] {
            let first = new.node(product.inputs[a]).clone();
            if first.op == second.op && new.function.ty(first.inputs[0]) == new.function.ty(second.inputs[0])
            {
                let factors = vec![first.inputs[0], second.inputs[0]];
                let factor = new.push(Op::Binary(Binary::Mul), factors, &node.path);
                let op = Op::Broadcast { shape: shape.clone(), axes: axes.clone() };
                let factor = new.push(op, vec![factor], &node.path);
                return Some(new.push(Op::Binary(Binary::Mul), vec![product.inputs[x], factor], &node.path));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use ganymede_graph::{Graph, passes};

    fn count_ops(function: &Function, wanted: impl Fn(&Op) -> bool) -> usize {
        function.nodes.iter().filter(|n| wanted(&n.op)).count()
    }

    fn rewritten(g: &Graph) -> Function {
        factor(passes::optimize(&g.finish().unwrap()).unwrap(), Precision::F32).unwrap()
    }

    #[test]
    fn sums_that_differ_by_a_factor_become_one() {
        let g = Graph::new();
        let x = g.feed("x", TensorType::f32([50, 8]));
        let b = g.feed("b", TensorType::f32([8]));
        g.output("sum", &x.sum(&[0]));
        g.output("scaled", &(-(&x * &b)).sum(&[0]));
        g.output("rows", &(&x * &b).sum(&[1]));
        let f = rewritten(&g);
        assert_eq!(count_ops(&f, |op| matches!(op, Op::Reduce { .. })), 2);
    }

    #[test]
    fn normalization_reads_what_stands_before_the_bias() {
        let g = Graph::new();
        let x = g.feed("x", TensorType::f32([50, 8]));
        let y = &x + g.feed("b", TensorType::f32([8]));
        g.output("variance", &y.variance(&[0]));
        g.output("mean", &y.mean(&[0]));
        let f = rewritten(&g);
        let x = f.inputs[0].node;
        for node in &f.nodes {
            if matches!(node.op, Op::Variance { .. } | Op::Reduce { .. }) {
                assert_eq!(node.inputs, [x]);
            }
        }
    }

    #[test]
    fn broadcast_factors_are_multiplied_first() {
        let g = Graph::new();
        let x = g.feed("x", TensorType::f32([50, 8]));
        let (a, b) = (g.feed("a", TensorType::f32([8])), g.feed("b", TensorType::f32([8])));
        g.output("y", &(&x * a * b));
        let f = rewritten(&g);
        let wide = |n: &&Node| n.op == Op::Binary(Binary::Mul) && n.ty.len() == 400;
        assert_eq!(f.nodes.iter().filter(wide).count(), 1);
    }

    #[test]
    fn products_over_one_term_are_elementwise() {
        let g = Graph::new();
        let (a, b) = (g.feed("a", TensorType::f32([3, 5, 1])), g.feed("b", TensorType::f32([3, 6, 1])));
        g.output("y", &a.matmul_with(&b, false, true));
        let f = rewritten(&g);
        assert_eq!(count_ops(&f, |op| matches!(op, Op::MatMul { .. })), 0);
        assert_eq!(f.ty(f.outputs[0].1).shape, [3, 5, 6]);
    }

    #[test]
    fn transposed_factors_become_flags() {
        let g = Graph::new();
        let a = g.feed("a", TensorType::f32([2, 5, 8]));
        let b = g.feed("b", TensorType::f32([2, 6, 8]));
        g.output("y", &a.matmul(&b.transpose(&[0, 2, 1])));
        let f = rewritten(&g);
        assert_eq!(count_ops(&f, |op| matches!(op, Op::Transpose(_))), 0);
        assert_eq!(count_ops(&f, |op| *op == Op::MatMul { trans_a: false, trans_b: true }), 1);
    }
}
