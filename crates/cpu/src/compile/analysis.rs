//! Which values get memory, and what each of those is computed from.
//!
//! A value with memory is a *root*. Everything elementwise between roots is computed inside the passes that
//! write roots, more than once where that is cheaper than memory traffic.

use super::family::{Family, family, weight};
use super::mixed::{self, Abilities};
use ganymede_graph::types::strides;
use ganymede_graph::{DType, Function, Literal, Node, NodeId, Op};
use ganymede_kernels::kernel::Element;
use std::collections::HashSet;

/// Most nodes of one expression: with moved operands counted twice it must stay below the 256 instructions of a
/// pass.
const MAX_EXPRESSION: usize = 96;
/// Most distinct operands of one expression.
const MAX_LEAVES: usize = 20;
/// Work (simple instructions an element) up to which a value with several users is computed again for each: a
/// simple instruction on a block in L1 takes about a tenth of the time of moving a word to memory and back.
const CHEAP: u32 = 14;
/// Full-size operands up to which that holds: with more, reading them again costs more than the value itself.
const FEW_READS: usize = 2;
/// Elements up to which arithmetic is repeated under a broadcast rather than given memory.
const SMALL: usize = 1024;

/// An operand of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// A root.
    pub root: NodeId,
    /// Whether some path reads it in another than its own order.
    pub moved: bool,
}

/// How a node is computed from roots.
#[derive(Clone, Debug, Default)]
pub struct Expression {
    /// Nodes computed inside, sorted.
    pub nodes: Vec<u32>,
    /// Roots read, sorted by node.
    pub leaves: Vec<Leaf>,
    /// Sum of weights.
    pub work: u32,
}

/// Where a value's elements are: in the memory of a root, from an element on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The root.
    pub root: NodeId,
    /// First element.
    pub offset: usize,
}

/// The outcome for a whole function.
#[derive(Debug)]
pub struct Analysis<'f> {
    /// The function.
    pub function: &'f Function,
    /// Needed by an output, an update or the gate.
    pub live: Vec<bool>,
    /// Needed before the commit: by an output, the gate, a kernel or a reduction.
    early: Vec<bool>,
    /// Uses by live nodes and roots of the function.
    users: Vec<u32>,
    /// Has memory of its own.
    pub root: Vec<bool>,
    /// Word that a node repeats everywhere.
    pub splat: Vec<Option<u32>>,
    /// How each elementwise or moving node, and the operand of each reduction, is computed.
    pub expression: Vec<Expression>,
    /// Read under a broadcast to a large shape: kept for all readers, so that passes alike but in size stay alike.
    spread: Vec<bool>,
    forced: HashSet<NodeId>,
    /// What the kernels of contractions can do.
    abilities: &'f Abilities,
    /// Contractions whose memory holds their rounded results.
    rounded: &'f HashSet<NodeId>,
    /// How the elements of each root are stored.
    storage: Vec<Element>,
}

impl<'f> Analysis<'f> {
    /// Decides for `function`; nodes in `forced` get memory whatever the rules say, the memory of those in `rounded`
    /// holds their results as rounded.
    pub fn new(
        function: &'f Function,
        abilities: &'f Abilities,
        rounded: &'f HashSet<NodeId>,
        forced: &HashSet<NodeId>,
    ) -> Analysis<'f> {
        let n = function.nodes.len();
        let mut a = Analysis {
            function,
            live: vec![false; n],
            early: vec![false; n],
            users: vec![0; n],
            root: vec![false; n],
            splat: vec![None; n],
            expression: vec![Expression::default(); n],
            spread: vec![false; n],
            forced: forced.clone(),
            abilities,
            rounded,
            storage: vec![Element::F32; n],
        };
        a.sweep_back();
        for i in 0..n {
            if a.live[i] {
                a.visit(NodeId(i as u32));
            }
        }
        a.settle();
        a.store();
        a
    }

    /// Stores bf16 in two bytes where all that touches it can.
    fn store(&mut self) {
        let f = self.function;
        for (i, node) in f.nodes.iter().enumerate() {
            let id = NodeId(i as u32);
            let written = match family(&node.op) {
                Family::Inline => node.ty.dtype == DType::Bf16,
                Family::Kernel => self.rounded.contains(&id),
                Family::Source | Family::Reduce => false,
            };
            if self.live[i] && self.root[i] && written && !node.ty.is_empty() {
                self.storage[i] = Element::Bf16;
            }
        }
        // Whoever reads results of a phase finds f32 words.
        let outside = f.outputs.iter().map(|o| o.1).chain(f.gate);
        let mut words: Vec<NodeId> = outside.filter_map(|id| self.home(id)).map(|home| home.root).collect();
        for (i, node) in f.nodes.iter().enumerate().filter(|&(i, _)| self.live[i]) {
            let id = NodeId(i as u32);
            let reads = match (family(&node.op), &node.op) {
                (Family::Kernel, Op::Variance { .. }) => true,
                (Family::Kernel, _) => self.abilities.get(id).reads,
                (Family::Source | Family::Inline | Family::Reduce, _) => continue,
            };
            let homes = node.inputs.iter().filter_map(|&x| self.home(self.read_by(id, x)));
            words.extend(homes.filter(|h| !reads || !h.offset.is_multiple_of(2)).map(|h| h.root));
        }
        words.into_iter().for_each(|root| self.storage[root.index()] = Element::F32);
    }

    /// Contractions in whose memory the rounded result cannot be, as something reads f32 words there.
    pub fn unrounded(&self) -> Vec<NodeId> {
        let wide = |id: &&NodeId| self.live[id.index()] && self.storage[id.index()] == Element::F32;
        self.rounded.iter().filter(wide).copied().collect()
    }

    /// How the elements of a value are stored in the memory of its root.
    pub fn element(&self, id: NodeId) -> Element {
        self.home(id).map_or(Element::F32, |home| self.storage[home.root.index()])
    }

    /// What the kernel of `node` reads for its operand `x`: the value, or the f32 input that the kernel rounds itself.
    pub fn read_by(&self, node: NodeId, x: NodeId) -> NodeId {
        let rounds = self.abilities.get(node).reads;
        mixed::rounded_input(self.function, x).filter(|_| rounds).unwrap_or(x)
    }

    /// Writes all expressions anew. A node can be given memory by a later user than those whose expressions were
    /// joined before: these must name it as an operand, or they could be scheduled before it is written.
    fn settle(&mut self) {
        for (i, node) in self.function.nodes.iter().enumerate() {
            if !self.live[i] || self.splat[i].is_some() {
                continue;
            }
            let computed = match family(&node.op) {
                Family::Source | Family::Kernel => false,
                Family::Reduce => true,
                Family::Inline => self.root[i] || self.home(NodeId(i as u32)).is_none(),
            };
            if computed {
                self.expression[i] = self.join(node);
            }
        }
    }

    fn node(&self, id: NodeId) -> &'f Node {
        self.function.node(id)
    }

    /// Liveness, users, and which values kernels and outputs need in memory.
    fn sweep_back(&mut self) {
        let f = self.function;
        for (_, id) in &f.updates {
            self.live[id.index()] = true;
            self.users[id.index()] += 1;
        }
        for id in f.outputs.iter().map(|o| o.1).chain(f.gate) {
            self.live[id.index()] = true;
            self.early[id.index()] = true;
            self.users[id.index()] += 1;
            self.root[id.index()] = true;
        }
        for (i, node) in f.nodes.iter().enumerate().rev() {
            if !self.live[i] {
                continue;
            }
            let family = family(&node.op);
            if matches!(node.op, Op::Broadcast { .. }) && node.ty.len() > SMALL {
                self.spread[node.inputs[0].index()] = true;
            }
            let early = self.early[i] || matches!(family, Family::Reduce | Family::Kernel);
            for &x in &node.inputs {
                self.live[x.index()] = true;
                self.users[x.index()] += 1;
                self.early[x.index()] |= early;
                if family == Family::Kernel {
                    let read = self.read_by(NodeId(i as u32), x);
                    self.root[read.index()] = true;
                }
            }
            // A view needs no memory of its own where its operand has some.
            if self.root[i] && self.window(node).is_some() && !self.forced.contains(&NodeId(i as u32)) {
                self.root[node.inputs[0].index()] = true;
                self.root[i] = false;
            }
        }
    }

    /// The first element of the operand from which on a node is what is stored there, if it moves nothing.
    fn window(&self, node: &Node) -> Option<usize> {
        let operand = self.node(*node.inputs.first()?);
        match &node.op {
            Op::Reshape(_) | Op::StopGradient => Some(0),
            // The memory of bf16 holds numbers that are f32 too, that of a rounded contraction those of its rounding.
            Op::Convert(DType::F32) => (operand.ty.dtype == DType::Bf16).then_some(0),
            Op::Convert(DType::Bf16) => self.rounded.contains(&node.inputs[0]).then_some(0),
            Op::Slice { start, stride, .. } => {
                // Contiguous if all axes inside the first cut one are whole, and those outside have extent 1.
                let (shape, out) = (&operand.ty.shape, &node.ty.shape);
                let cut = (0..shape.len()).rev().find(|&i| out[i] != shape[i])?;
                let flat = out[..cut].iter().all(|&n| n == 1) && (stride[cut] == 1 || out[cut] <= 1);
                let at = start.iter().zip(strides(shape)).map(|(s, n)| s * n).sum();
                (flat && !node.ty.is_empty()).then_some(at)
            }
            Op::Input { .. }
            | Op::Constant { .. }
            | Op::Iota { .. }
            | Op::PhiloxBits { .. }
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Convert(_)
            | Op::Broadcast { .. }
            | Op::Transpose(_)
            | Op::Pad { .. }
            | Op::Concat { .. }
            | Op::Reverse(_)
            | Op::Reduce { .. }
            | Op::Variance { .. }
            | Op::ArgMax { .. }
            | Op::MatMul { .. }
            | Op::Conv(..)
            | Op::Window(..)
            | Op::Gather { .. }
            | Op::ScatterAdd { .. }
            | Op::ArgSort => None,
        }
    }

    /// Where a value lies, if it or what it is a view of has memory.
    pub fn home(&self, id: NodeId) -> Option<Home> {
        let (mut id, mut offset) = (id, 0);
        loop {
            if self.root[id.index()] {
                return Some(Home { root: id, offset });
            }
            let node = self.node(id);
            offset += self.window(node)?;
            id = node.inputs[0];
        }
    }

    fn visit(&mut self, id: NodeId) {
        let i = id.index();
        let node = self.node(id);
        self.splat[i] = self.splat_of(node);
        match family(&node.op) {
            Family::Source => self.root[i] = self.root[i] || self.splat[i].is_none(),
            Family::Kernel => self.root[i] = true,
            Family::Reduce => {
                self.expression[i] = self.union(node);
                self.root[i] = true;
            }
            Family::Inline => {
                if self.splat[i].is_some() {
                    return;
                }
                if self.root[i] || self.home(id).is_none() {
                    self.separate(node);
                    self.expression[i] = self.union(node);
                    self.root[i] |= self.forced.contains(&id) || self.deserves_memory(id);
                }
            }
        }
    }

    fn splat_of(&self, node: &Node) -> Option<u32> {
        match &node.op {
            Op::Constant { ty, literal } if ty.len() == 1 => Some(match literal {
                Literal::Float(v) if ty.dtype == DType::Bf16 => {
                    (ganymede_graph::ops::scalar::round_bf16(v[0]) as f32).to_bits()
                }
                Literal::Float(v) => (v[0] as f32).to_bits(),
                Literal::I32(v) => v[0] as u32,
                Literal::U32(v) => v[0],
                Literal::Bool(v) => u32::from(v[0]),
            }),
            Op::Broadcast { .. } | Op::Reshape(_) | Op::Transpose(_) | Op::Reverse(_) | Op::Slice { .. } => {
                self.splat[node.inputs[0].index()]
            }
            Op::Input { .. }
            | Op::Constant { .. }
            | Op::Iota { .. }
            | Op::PhiloxBits { .. }
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Convert(_)
            | Op::Pad { .. }
            | Op::Concat { .. }
            | Op::Reduce { .. }
            | Op::Variance { .. }
            | Op::ArgMax { .. }
            | Op::MatMul { .. }
            | Op::Conv(..)
            | Op::Window(..)
            | Op::Gather { .. }
            | Op::ScatterAdd { .. }
            | Op::ArgSort
            | Op::StopGradient => None,
        }
    }

    /// Gives memory to operands that the node would have computed more often than needed.
    fn separate(&mut self, node: &Node) {
        let Some(&x) = node.inputs.first() else { return };
        let arithmetic =
            self.home(x).is_none() && self.splat[x.index()].is_none() && self.expression[x.index()].work > 0;
        if !arithmetic {
            return;
        }
        let (from, to) = (self.node(x).ty.len(), node.ty.len());
        let split = match &node.op {
            Op::Broadcast { .. } => to > from && (to > SMALL || self.spread[x.index()]),
            Op::Slice { .. } | Op::Reverse(_) => self.users[x.index()] > 1,
            Op::Transpose(perm) => {
                self.users[x.index()] > 1 || (from > SMALL && perm.last() != Some(&(perm.len() - 1)))
            }
            Op::Input { .. }
            | Op::Constant { .. }
            | Op::Iota { .. }
            | Op::PhiloxBits { .. }
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Compare(_)
            | Op::Select
            | Op::Convert(_)
            | Op::Reshape(_)
            | Op::Pad { .. }
            | Op::Concat { .. }
            | Op::Reduce { .. }
            | Op::Variance { .. }
            | Op::ArgMax { .. }
            | Op::MatMul { .. }
            | Op::Conv(..)
            | Op::Window(..)
            | Op::Gather { .. }
            | Op::ScatterAdd { .. }
            | Op::ArgSort
            | Op::StopGradient => false,
        };
        if split {
            self.give_memory(x);
        }
    }

    /// Makes a root of a node, or of what it is a view of.
    fn give_memory(&mut self, mut id: NodeId) {
        while self.home(id).is_none() {
            let node = self.node(id);
            match self.window(node) {
                Some(_) if !self.forced.contains(&id) => id = node.inputs[0],
                Some(_) | None => self.root[id.index()] = true,
            }
        }
    }

    /// Joins the operands' expressions and adds the node itself.
    fn union(&mut self, node: &Node) -> Expression {
        loop {
            let joined = self.join(node);
            if joined.nodes.len() <= MAX_EXPRESSION && joined.leaves.len() <= MAX_LEAVES {
                return joined;
            }
            // The largest operand becomes a root; an op has too few operands to exceed the limits by roots alone.
            let largest = node
                .inputs
                .iter()
                .copied()
                .filter(|&x| self.home(x).is_none() && self.splat[x.index()].is_none())
                .max_by_key(|x| {
                    let e = &self.expression[x.index()];
                    (e.nodes.len().max(e.leaves.len()), x.0)
                });
            match largest {
                Some(x) => self.give_memory(x),
                None => return joined,
            }
        }
    }

    fn join(&self, node: &Node) -> Expression {
        let moves =
            matches!(node.op, Op::Broadcast { .. } | Op::Transpose(_) | Op::Slice { .. } | Op::Reverse(_));
        let mut out = Expression::default();
        for &x in &node.inputs {
            if self.splat[x.index()].is_some() {
                continue;
            }
            if let Some(home) = self.home(x) {
                let partial = self.function.ty(home.root).len() != self.function.ty(x).len();
                out.leaves.push(Leaf { root: home.root, moved: moves || partial });
            } else {
                let e = &self.expression[x.index()];
                out.nodes.extend(&e.nodes);
                out.nodes.push(x.0);
                out.leaves.extend(e.leaves.iter().map(|l| Leaf { moved: l.moved || moves, ..*l }));
            }
        }
        out.nodes.sort_unstable();
        out.nodes.dedup();
        out.leaves.sort_unstable_by_key(|l| (l.root, !l.moved));
        out.leaves.dedup_by_key(|l| l.root);
        let inner: u32 = out.nodes.iter().map(|&k| weight(&self.function.nodes[k as usize].op)).sum();
        out.work = inner + weight(&node.op);
        out
    }

    /// Whether a value is better kept than computed again by each user.
    fn deserves_memory(&self, id: NodeId) -> bool {
        let (i, node) = (id.index(), self.node(id));
        if self.users[i] < 2 || !self.early[i] || weight(&node.op) == 0 {
            return false;
        }
        let e = &self.expression[i];
        let large = e.leaves.iter().filter(|l| 2 * self.function.ty(l.root).len() >= node.ty.len()).count();
        node.ty.len() > 1 && (e.work > CHEAP || large > FEW_READS)
    }
}
