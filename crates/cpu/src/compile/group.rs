//! Which roots are computed together.
//!
//! Groups are numbered in an order in which they can run: a root joins an earlier group only if everything it
//! reads comes from groups before that one, or is computed element by element in it.

use super::analysis::{Analysis, Leaf};
use super::family::{Family, family};
use super::map;
use super::tape::Results;
use ganymede_graph::ops::reduce::Reduction;
use ganymede_graph::{NodeId, Op};
use std::collections::{HashMap, HashSet};

/// Groups of the same size that are considered for a root.
const CANDIDATES: usize = 12;
/// Nodes of all expressions of a group.
const MAX_NODES: usize = 110;
/// Distinct operands of a group.
const MAX_LEAVES: usize = 24;
/// Results of a group.
const MAX_RESULTS: usize = 12;
/// Domains up to this size are joined whether or not they share operands: a pass costs more than their elements.
const SMALL: usize = 4096;

/// One pass or kernel.
#[derive(Debug)]
pub enum Group {
    /// Roots computed in one pass.
    Pass(Results),
    /// A kernel's root.
    Kernel(NodeId),
    /// A variance and the sum over the same elements.
    Moments {
        /// The variance.
        variance: NodeId,
        /// The sum.
        sum: NodeId,
    },
}

/// What a pass under construction is known to be.
#[derive(Debug, Default)]
struct Open {
    /// Operand shape and axes of its reductions.
    reduction: Option<(Vec<usize>, Vec<usize>)>,
    leaves: HashSet<NodeId>,
    nodes: HashSet<u32>,
    results: usize,
    shape: Vec<usize>,
}

/// Groups all roots. Roots in `apart` get a pass of their own.
pub fn group(analysis: &Analysis<'_>, apart: &HashSet<NodeId>) -> Vec<Group> {
    let f = analysis.function;
    let mut groups: Vec<Group> = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut group_of: Vec<Option<usize>> = vec![None; f.nodes.len()];
    let mut by_size: HashMap<usize, Vec<usize>> = HashMap::new();
    let moments = moments(analysis);
    for (i, node) in f.nodes.iter().enumerate() {
        let id = NodeId(i as u32);
        if !analysis.live[i] || !analysis.root[i] || node.ty.is_empty() {
            continue;
        }
        let kind = family(&node.op);
        if kind == Family::Source || group_of[i].is_some() {
            continue;
        }
        if let Some(&(variance, sum)) = moments.get(&id) {
            group_of[variance.index()] = Some(groups.len());
            group_of[sum.index()] = Some(groups.len());
            groups.push(Group::Moments { variance, sum });
            open.push(Open::default());
            continue;
        }
        let empty_operand = node.inputs.iter().any(|&x| f.ty(x).is_empty());
        if kind == Family::Kernel || (kind == Family::Reduce && empty_operand) {
            group_of[i] = Some(groups.len());
            groups.push(Group::Kernel(id));
            open.push(Open::default());
            continue;
        }
        let expression = &analysis.expression[i];
        let (shape, reduction) = if let Op::Reduce { axes, .. } = &node.op {
            let shape = f.ty(node.inputs[0]).shape.clone();
            (shape.clone(), Some((shape, axes.clone())))
        } else {
            (node.ty.shape.clone(), None)
        };
        let size: usize = shape.iter().product();
        let least = |l: &Leaf| group_of[l.root.index()].map_or(0, |g| g + 1);
        let first = expression.leaves.iter().map(least).max().unwrap_or(0);
        let candidates = by_size.entry(size).or_default();
        let joins = |&g: &usize| {
            let Group::Pass(results) = &groups[g] else { return None };
            let inside = |l: &Leaf| {
                group_of[l.root.index()] == Some(g) && !l.moved && results.inside.contains(&l.root)
            };
            let ready = g >= first
                || expression
                    .leaves
                    .iter()
                    .all(|l| group_of[l.root.index()].is_none_or(|k| k < g) || inside(l));
            let o = &open[g];
            let alike = match (&o.reduction, &reduction) {
                (Some(a), Some(b)) => a == b,
                (Some(_) | None, _) => true,
            };
            let alike = alike && map::compatible(&o.shape, &shape);
            let new_nodes = expression.nodes.iter().filter(|n| !o.nodes.contains(n)).count();
            let new_leaves = expression.leaves.iter().filter(|l| !o.leaves.contains(&l.root)).count();
            let fits = o.nodes.len() + new_nodes < MAX_NODES
                && o.leaves.len() + new_leaves <= MAX_LEAVES
                && o.results < MAX_RESULTS;
            let shared = expression
                .leaves
                .iter()
                .filter(|l| 2 * f.ty(l.root).len() >= size && (inside(l) || o.leaves.contains(&l.root)))
                .count();
            (ready && alike && fits && (shared > 0 || size <= SMALL)).then_some((shared, g))
        };
        let chosen = if apart.contains(&id) {
            None
        } else {
            candidates.iter().rev().take(CANDIDATES).filter_map(joins).max()
        };
        let g = match chosen {
            Some((_, g)) => g,
            None => {
                candidates.push(groups.len());
                groups.push(Group::Pass(Results::default()));
                open.push(Open { shape, ..Open::default() });
                groups.len() - 1
            }
        };
        group_of[i] = Some(g);
        let o = &mut open[g];
        o.results += 1;
        o.nodes.extend(&expression.nodes);
        o.nodes.insert(i as u32);
        if let Group::Pass(results) = &mut groups[g] {
            o.leaves.extend(expression.leaves.iter().map(|l| l.root).filter(|r| !results.inside.contains(r)));
            if reduction.is_some() {
                o.reduction = reduction;
                results.reduces.push(id);
            } else {
                results.inside.push(id);
                results.stores.push(id);
            }
        }
    }
    drop_unread(analysis, &mut groups, &group_of);
    groups
}

/// Variances that have a sum over the same elements beside them, by either node.
fn moments(analysis: &Analysis<'_>) -> HashMap<NodeId, (NodeId, NodeId)> {
    let f = analysis.function;
    let mut variances: HashMap<(NodeId, &[usize]), NodeId> = HashMap::new();
    let live = |i: &usize| analysis.live[*i];
    for i in (0..f.nodes.len()).filter(live) {
        if let Op::Variance { axes } = &f.nodes[i].op {
            variances.insert((f.nodes[i].inputs[0], axes), NodeId(i as u32));
        }
    }
    let mut found = HashMap::new();
    for i in (0..f.nodes.len()).filter(live) {
        if let Op::Reduce { kind: Reduction::Sum, axes } = &f.nodes[i].op
            && let Some(&variance) = variances.get(&(f.nodes[i].inputs[0], axes.as_slice()))
            && !f.nodes[i].ty.is_empty()
        {
            let pair = (variance, NodeId(i as u32));
            found.insert(pair.0, pair);
            found.insert(pair.1, pair);
        }
    }
    found
}

/// A root whose every reader is in its own pass is not written.
fn drop_unread(analysis: &Analysis<'_>, groups: &mut [Group], group_of: &[Option<usize>]) {
    let f = analysis.function;
    let mut read = vec![false; f.nodes.len()];
    for id in f.outputs.iter().map(|o| o.1).chain(f.gate) {
        if let Some(home) = analysis.home(id) {
            read[home.root.index()] = true;
        }
    }
    // Updates are computed after all groups.
    for &(_, id) in &f.updates {
        match analysis.home(id) {
            Some(home) => read[home.root.index()] = true,
            None => analysis.expression[id.index()].leaves.iter().for_each(|l| read[l.root.index()] = true),
        }
    }
    for (g, group) in groups.iter().enumerate() {
        match group {
            Group::Kernel(id) | Group::Moments { variance: id, .. } => {
                for home in f.node(*id).inputs.iter().filter_map(|&x| analysis.home(x)) {
                    read[home.root.index()] = true;
                }
            }
            Group::Pass(results) => {
                for id in results.inside.iter().chain(&results.reduces) {
                    for leaf in &analysis.expression[id.index()].leaves {
                        read[leaf.root.index()] |= group_of[leaf.root.index()] != Some(g);
                    }
                }
            }
        }
    }
    for group in groups {
        if let Group::Pass(results) = group {
            results.stores.retain(|id| read[id.index()]);
        }
    }
}
