//! Builds the code of one pass from the expressions of its results.

use super::analysis::{Analysis, Home};
use super::instr::{Code, lane, reduce_op};
use super::ir::Slice;
use super::map::{self, Axis, Map, MapError};
use ganymede_graph::{NodeId, Op};
use ganymede_kernels::kernel::Element;
use ganymede_kernels::pass::{Instr, Load, MAX_CODE, PassSpec, Reduce, Store, UnaryOp};
use std::collections::HashMap;

/// A pass without its memory: loads name roots.
#[derive(Debug)]
pub struct Built {
    /// The pass; no store takes over a load yet.
    pub spec: PassSpec,
    /// What each load reads.
    pub loads: Vec<Slice<NodeId>>,
}

/// Why a pass cannot be built as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This value must get memory.
    Memory(NodeId),
    /// The results do not share a domain, or are too many for one pass.
    Apart,
}

/// What a pass writes.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// Elementwise roots computed in the pass, whether stored or not.
    pub inside: Vec<NodeId>,
    /// Values of the domain's size that are written.
    pub stores: Vec<NodeId>,
    /// Reduction nodes, all over operands of one shape and along the same axes.
    pub reduces: Vec<NodeId>,
}

struct Builder<'a, 'f> {
    analysis: &'a Analysis<'f>,
    dims: Vec<usize>,
    inside: &'a [NodeId],
    redirect: &'a HashMap<NodeId, NodeId>,
    code: Code,
    maps: HashMap<Map, usize>,
    memo: HashMap<(NodeId, usize), usize>,
    loads: Vec<(Slice<NodeId>, Load)>,
    load_index: HashMap<(Slice<NodeId>, usize, Vec<isize>), usize>,
}

/// The value that was being mapped when a map failed.
type Failure = (NodeId, MapError);

/// Builds a pass whose stores have their elements as `elements` says. Loads of the keys of `redirect` read its values
/// instead.
pub fn build(
    analysis: &Analysis<'_>,
    results: &Results,
    elements: &[Element],
    redirect: &HashMap<NodeId, NodeId>,
) -> Result<Built, Refusal> {
    let f = analysis.function;
    let (mut dims, mut keep) = match results.reduces.first() {
        Some(&r) => {
            let shape = f.ty(f.node(r).inputs[0]).shape.clone();
            let Op::Reduce { axes, .. } = &f.node(r).op else { return Err(Refusal::Apart) };
            let keep = (0..shape.len()).map(|i| !axes.contains(&i)).collect();
            (shape, keep)
        }
        None => {
            let shape = results.stores.first().map(|&r| f.ty(r).shape.clone()).unwrap_or_default();
            let keep = vec![true; shape.len()];
            (shape, keep)
        }
    };
    // Every split makes a dimension smaller, so this ends.
    loop {
        let mut builder = Builder {
            analysis,
            dims: dims.clone(),
            inside: &results.inside,
            redirect,
            code: Code::default(),
            maps: HashMap::new(),
            memo: HashMap::new(),
            loads: Vec::new(),
            load_index: HashMap::new(),
        };
        match builder.results(results) {
            Ok(values) => return builder.finish(results, elements, values, keep),
            Err((_, MapError::Split { dim, inner })) => {
                dims[dim] /= inner;
                dims.insert(dim + 1, inner);
                keep.insert(dim + 1, keep[dim]);
            }
            Err((node, MapError::Impossible)) => {
                let operand = f.node(node).inputs.first().copied();
                let several = results.stores.len() + results.reduces.len() > 1;
                return Err(match operand {
                    Some(_) | None if several => Refusal::Apart,
                    Some(x) if analysis.home(x).is_none() => Refusal::Memory(x),
                    Some(_) | None => Refusal::Memory(node),
                });
            }
        }
    }
}

impl Builder<'_, '_> {
    /// Values of the stores, then of the reductions.
    fn results(&mut self, results: &Results) -> Result<Vec<usize>, Failure> {
        let f = self.analysis.function;
        let mut values = Vec::new();
        for &id in &results.stores {
            let map = self.root_map(id)?;
            values.push(self.compute(id, map)?);
        }
        for &id in &results.reduces {
            let operand = f.node(id).inputs[0];
            let map = self.root_map(operand)?;
            values.push(self.value(operand, &map)?);
        }
        Ok(values)
    }

    /// The map of a value whose elements are the domain's, in order.
    fn root_map(&self, id: NodeId) -> Result<Map, Failure> {
        let shape = &self.analysis.function.ty(id).shape;
        map::reshape(&map::identity(self.dims.len()), &self.dims, shape, &self.dims).map_err(|e| (id, e))
    }

    /// Computes a root of this pass, or copies one from elsewhere.
    fn compute(&mut self, id: NodeId, map: Map) -> Result<usize, Failure> {
        if self.inside.contains(&id) { self.expression(id, map) } else { self.value(id, &map) }
    }

    fn value(&mut self, id: NodeId, map: &Map) -> Result<usize, Failure> {
        if let Some(word) = self.analysis.splat[id.index()] {
            return Ok(self.code.push(Instr::Const(word)));
        }
        let Some(home) = self.analysis.home(id) else { return self.expression(id, map.clone()) };
        let f = self.analysis.function;
        if self.inside.contains(&home.root) {
            // Grouping admits only uses in the domain's own order.
            let map = self.root_map(home.root)?;
            return self.expression(home.root, map);
        }
        Ok(self.load(home, &f.ty(id).shape, map))
    }

    /// Loads `shape` from the memory at `home`, row-major.
    fn load(&mut self, home: Home, shape: &[usize], map: &Map) -> usize {
        let root = self.redirect.get(&home.root).copied().unwrap_or(home.root);
        let (offset, strides) = map::address(map, shape, self.dims.len());
        let element = self.analysis.element(home.root);
        // An odd element of two bytes lies in the middle of a word, where no slice begins.
        let inside = if element == Element::Bf16 { home.offset % 2 } else { 0 };
        let words = element.words(inside + shape.iter().product::<usize>());
        let slice = Slice { value: root, offset: element.words(home.offset - inside), words };
        let offset = inside + offset as usize;
        // A dimension of extent 1 has no stride to speak of.
        let strides: Vec<isize> =
            strides.iter().zip(&self.dims).map(|(&s, &n)| if n == 1 { 0 } else { s }).collect();
        let key = (slice, offset, strides.clone());
        let next = self.loads.len();
        let at = *self.load_index.entry(key).or_insert(next);
        if at == next {
            self.loads.push((slice, Load { offset, strides, words, element }));
        }
        self.code.push(Instr::Load(at))
    }

    fn expression(&mut self, id: NodeId, map: Map) -> Result<usize, Failure> {
        if let Some(word) = self.analysis.splat[id.index()] {
            return Ok(self.code.push(Instr::Const(word)));
        }
        let next = self.maps.len();
        let key = (id, *self.maps.entry(map.clone()).or_insert(next));
        if let Some(&value) = self.memo.get(&key) {
            return Ok(value);
        }
        let value = self.instructions(id, &map)?;
        self.memo.insert(key, value);
        Ok(value)
    }

    fn instructions(&mut self, id: NodeId, map: &Map) -> Result<usize, Failure> {
        let f = self.analysis.function;
        let node = f.node(id);
        let dtype = node.inputs.first().map_or(node.ty.dtype, |&x| f.ty(x).dtype);
        let value = match &node.op {
            Op::Unary(op) => {
                let a = self.value(node.inputs[0], map)?;
                let value = self.code.unary(*op, dtype, a);
                self.code.rounded(value, node.ty.dtype)
            }
            Op::Binary(op) => {
                let a = self.value(node.inputs[0], map)?;
                let b = self.value(node.inputs[1], map)?;
                let value = self.code.binary(*op, dtype, a, b);
                self.code.rounded(value, node.ty.dtype)
            }
            Op::Compare(op) => {
                let a = self.value(node.inputs[0], map)?;
                let b = self.value(node.inputs[1], map)?;
                self.code.compare(*op, dtype, a, b)
            }
            Op::Select => {
                let c = self.value(node.inputs[0], map)?;
                let a = self.value(node.inputs[1], map)?;
                let b = self.value(node.inputs[2], map)?;
                self.code.push(Instr::Select(c, a, b))
            }
            Op::Convert(to) => {
                let a = self.value(node.inputs[0], map)?;
                self.code.convert(dtype, *to, a)
            }
            Op::StopGradient => self.value(node.inputs[0], map)?,
            Op::Iota { axis, .. } => {
                let Axis { offset, terms } = &map[*axis];
                self.code.index(*offset, terms)
            }
            Op::Reshape(shape)
                if self.analysis.home(node.inputs[0]).is_some_and(|h| !self.inside.contains(&h.root)) =>
            {
                // The operand's memory read under this shape, whatever its own.
                match self.analysis.home(node.inputs[0]) {
                    Some(home) => self.load(home, shape, map),
                    None => unreachable!("just found"),
                }
            }
            Op::Reshape(_) | Op::Broadcast { .. } | Op::Transpose(_) | Op::Slice { .. } | Op::Reverse(_) => {
                let map = self.operand_map(id, map)?;
                self.value(node.inputs[0], &map)?
            }
            Op::Input { .. }
            | Op::Constant { .. }
            | Op::PhiloxBits { .. }
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
            | Op::ArgSort => unreachable!("`{}` has memory of its own", node.op.name()),
        };
        Ok(value)
    }

    /// The map of the operand of an op that moves elements.
    fn operand_map(&self, id: NodeId, map: &Map) -> Result<Map, Failure> {
        let f = self.analysis.function;
        let node = f.node(id);
        let from = &f.ty(node.inputs[0]).shape;
        Ok(match &node.op {
            Op::Reshape(shape) => map::reshape(map, shape, from, &self.dims).map_err(|e| (id, e))?,
            Op::Broadcast { axes, .. } => axes
                .iter()
                .zip(from)
                .map(|(&a, &n)| if n == 1 { Axis::zero() } else { map[a].clone() })
                .collect(),
            Op::Transpose(perm) => {
                let mut out = vec![Axis::zero(); perm.len()];
                for (i, &p) in perm.iter().enumerate() {
                    out[p] = map[i].clone();
                }
                out
            }
            Op::Slice { start, stride, .. } => {
                (0..from.len()).map(|i| map[i].affine(stride[i] as isize, start[i] as isize)).collect()
            }
            Op::Reverse(axes) => {
                (0..from.len())
                    .map(|i| {
                        if axes.contains(&i) {
                            map[i].affine(-1, from[i] as isize - 1)
                        } else {
                            map[i].clone()
                        }
                    })
                    .collect()
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
            | Op::StopGradient => map.clone(),
        })
    }

    fn finish(
        self,
        results: &Results,
        elements: &[Element],
        mut values: Vec<usize>,
        keep: Vec<bool>,
    ) -> Result<Built, Refusal> {
        let f = self.analysis.function;
        for (value, _) in values.iter_mut().zip(elements).filter(|(_, e)| **e == Element::Bf16) {
            // The store rounds.
            if let Instr::Unary(UnaryOp::RoundBf16, exact) = self.code.list[*value] {
                *value = exact;
            }
        }
        let (code, values) = self.code.contract(&values);
        if code.len() > MAX_CODE {
            if values.len() > 1 {
                return Err(Refusal::Apart);
            }
            // The largest expression below the result takes a part of the code away.
            let node = results.stores.first().or(results.reduces.first()).map(|&r| f.node(r));
            let largest = node
                .into_iter()
                .flat_map(|n| &n.inputs)
                .filter(|x| self.analysis.home(**x).is_none() && self.analysis.splat[x.index()].is_none())
                .max_by_key(|x| self.analysis.expression[x.index()].nodes.len());
            return Err(largest.map_or(Refusal::Apart, |&x| Refusal::Memory(x)));
        }
        let (stored, reduced) = values.split_at(results.stores.len());
        let reduces = results
            .reduces
            .iter()
            .zip(reduced)
            .filter_map(|(&r, &value)| {
                let node = f.node(r);
                let Op::Reduce { kind, .. } = &node.op else { return None };
                Some(Reduce { value, op: reduce_op(*kind), lane: lane(node.ty.dtype) })
            })
            .collect();
        let (slices, loads) = self.loads.into_iter().unzip();
        let spec = PassSpec {
            dims: self.dims,
            loads,
            code,
            stores: (stored.iter().zip(elements))
                .map(|(&value, &element)| Store { element, ..Store::new(value) })
                .collect(),
            reduces,
            keep,
        };
        Ok(Built { spec, loads: slices })
    }
}
