//! Updates of state slots, which run after everything else and only if the gate is open.
//!
//! An update that is elementwise in slots and in values with memory is computed straight into its slot. A pass
//! may write a slot and read its old value, each element before it is written; what another pass reads of a
//! slot that is written must be copied before the commit.

use super::analysis::Leaf;
use super::ir::{Slice, ValueId, Work};
use super::lower::{Lowering, Stop};
use super::tape::{self, Built, Refusal, Results};
use ganymede_graph::{NodeId, Op};
use ganymede_kernels::kernel::Element;
use ganymede_kernels::pass::{Instr, MultiPass, MultiPassSpec, Pass, PassSpec};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Most slots that one pass writes.
const MAX_STORES: usize = 12;

/// An update: the slot's input node and its new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Update {
    slot: NodeId,
    value: NodeId,
}

/// A pass of the commit stage.
struct Ready {
    spec: PassSpec,
    operands: Vec<Slice<ValueId>>,
    label: String,
}

impl Lowering<'_, '_> {
    /// Lowers all updates; returns the number of the first call of the commit stage.
    pub fn commit(&mut self) -> Result<usize, Stop> {
        let f = self.analysis.function;
        let updates: Vec<Update> = f
            .updates
            .iter()
            .map(|&(slot, value)| Update { slot: f.inputs[slot].node, value })
            .filter(|u| u.slot != u.value && !f.ty(u.slot).is_empty())
            .collect();
        let mut late: Vec<Ready> = Vec::new();
        // Copies of old values, by slot.
        let mut copies: HashMap<NodeId, NodeId> = HashMap::new();
        for set in self.together(&updates) {
            let written: HashSet<NodeId> = set.iter().map(|u| u.slot).collect();
            self.copy_hazards(&set, &written, &updates, &mut copies);
            // Inside the set a slot is read in place.
            let redirect: HashMap<NodeId, NodeId> =
                copies.iter().filter(|(slot, _)| !self.in_place(slot, &set)).map(|(&a, &b)| (a, b)).collect();
            match self.in_place_pass(&set, &redirect) {
                Ok(Some(ready)) => late.push(ready),
                Ok(None) => self.through_scratch(&set, &mut late)?,
                Err(refusal) => {
                    if let Refusal::Memory(_) = refusal {
                        return Err(Stop::Refused(refusal, Vec::new()));
                    }
                    self.through_scratch(&set, &mut late)?;
                }
            }
        }
        let first = self.calls.len();
        self.merge(late);
        Ok(first)
    }

    /// Leaves of an update, as the pass will read them.
    fn leaves(&self, update: &Update) -> Vec<Leaf> {
        match self.analysis.home(update.value) {
            Some(home) => {
                let whole = self.analysis.function.ty(home.root).len()
                    == self.analysis.function.ty(update.value).len();
                vec![Leaf { root: home.root, moved: !whole }]
            }
            None => self.analysis.expression[update.value.index()].leaves.clone(),
        }
    }

    /// Sets of updates where each reads, element by element, a slot that another writes.
    fn together(&self, updates: &[Update]) -> Vec<Vec<Update>> {
        let f = self.analysis.function;
        let by_slot: HashMap<NodeId, usize> = updates.iter().enumerate().map(|(i, u)| (u.slot, i)).collect();
        let mut parent: Vec<usize> = (0..updates.len()).collect();
        fn find(parent: &mut [usize], mut i: usize) -> usize {
            while parent[i] != i {
                parent[i] = parent[parent[i]];
                i = parent[i];
            }
            i
        }
        for (i, update) in updates.iter().enumerate() {
            for leaf in self.leaves(update) {
                let Some(&j) = by_slot.get(&leaf.root) else { continue };
                if !leaf.moved && f.ty(leaf.root).len() == f.ty(update.slot).len() {
                    let (a, b) = (find(&mut parent, i), find(&mut parent, j));
                    parent[a.max(b)] = a.min(b);
                }
            }
        }
        let mut sets: BTreeMap<usize, Vec<Update>> = BTreeMap::new();
        for (i, update) in updates.iter().enumerate() {
            let root = find(&mut parent, i);
            sets.entry(root).or_default().push(*update);
        }
        sets.into_values()
            .flat_map(|set| set.chunks(MAX_STORES).map(<[Update]>::to_vec).collect::<Vec<_>>())
            .collect()
    }

    /// Whether a set reads `slot` only element by element while writing it.
    fn in_place(&self, slot: &NodeId, set: &[Update]) -> bool {
        let f = self.analysis.function;
        set.iter().any(|u| u.slot == *slot)
            && set.iter().flat_map(|u| self.leaves(u)).all(|l| l.root != *slot || !l.moved)
            && set.iter().all(|u| f.ty(u.slot).len() == f.ty(*slot).len())
    }

    /// Copies slots that the set reads and that are written elsewhere, or not in the same order here.
    fn copy_hazards(
        &mut self,
        set: &[Update],
        written: &HashSet<NodeId>,
        updates: &[Update],
        copies: &mut HashMap<NodeId, NodeId>,
    ) {
        let f = self.analysis.function;
        for leaf in set.iter().flat_map(|u| self.leaves(u)).collect::<Vec<_>>() {
            let slot = leaf.root;
            let updated = updates.iter().any(|u| u.slot == slot);
            if !updated
                || copies.contains_key(&slot)
                || (written.contains(&slot) && self.in_place(&slot, set))
            {
                continue;
            }
            let words = f.ty(slot).len();
            // The copy takes the place of a node of its own behind all others.
            let copy = NodeId(self.value_of.len() as u32);
            let value = self.scratch(words);
            self.value_of.push(Some(value));
            let from = self.whole(slot);
            self.copy(from, Slice { value, offset: 0, words }, "old value of a slot");
            copies.insert(slot, copy);
        }
    }

    fn results(&self, set: &[Update]) -> Results {
        let inside = set
            .iter()
            .map(|u| u.value)
            .filter(|&v| self.analysis.home(v).is_none() && self.analysis.splat[v.index()].is_none())
            .collect();
        Results { inside, stores: set.iter().map(|u| u.value).collect(), reduces: Vec::new() }
    }

    /// The pass that writes the slots in place; none if the kernel cannot.
    fn in_place_pass(
        &mut self,
        set: &[Update],
        redirect: &HashMap<NodeId, NodeId>,
    ) -> Result<Option<Ready>, Refusal> {
        let f = self.analysis.function;
        let Built { mut spec, loads } =
            tape::build(self.analysis, &self.results(set), &vec![Element::F32; set.len()], redirect)?;
        let mut operands: Vec<Slice<ValueId>> = loads.iter().map(|s| self.resolve(s)).collect();
        for (store, update) in spec.stores.iter_mut().zip(set) {
            let slot = self.whole(update.slot);
            let mut reading = (0..loads.len()).filter(|&i| operands[i].value == slot.value);
            if let Some(load) = reading.next() {
                if reading.next().is_some() || !spec.loads[load].is_contiguous(&spec.dims) {
                    return Ok(None);
                }
                store.alias = Some(load);
            }
        }
        operands.extend(set.iter().map(|u| self.whole(u.slot)));
        let wanted: Vec<Option<usize>> = spec.stores.iter().map(|s| s.alias).collect();
        let Ok(pass) = Pass::new(spec.clone()) else { return Ok(None) };
        let specs = ganymede_kernels::kernel::Kernel::operands(&pass);
        let granted = specs[loads.len()..].iter().map(|s| s.may_alias);
        if !granted.zip(&wanted).all(|(a, b)| a == *b) {
            return Ok(None);
        }
        let label = format!("commit {}", self.slot_name(set[0].slot, f));
        Ok(Some(Ready { spec, operands, label }))
    }

    fn slot_name(&self, slot: NodeId, f: &ganymede_graph::Function) -> String {
        match &f.node(slot).op {
            Op::Input { index, .. } => f.inputs[*index].name.clone(),
            op => op.name(),
        }
    }

    /// Computes new values before the commit, each in a pass of its own, and copies them during it.
    fn through_scratch(&mut self, set: &[Update], late: &mut Vec<Ready>) -> Result<(), Stop> {
        let f = self.analysis.function;
        for update in set {
            let results = self.results(std::slice::from_ref(update));
            let built = tape::build(self.analysis, &results, &[Element::F32], &HashMap::new())
                .map_err(|refusal| Stop::Refused(refusal, vec![update.value]))?;
            let words = f.ty(update.slot).len();
            let fresh = Slice { value: self.scratch(words), offset: 0, words };
            let mut operands: Vec<Slice<ValueId>> = built.loads.iter().map(|s| self.resolve(s)).collect();
            operands.push(fresh);
            let label = self.label(f.node(update.value));
            self.call(Work::Pass(built.spec), operands, &label);
            let spec = PassSpec {
                dims: vec![words],
                loads: vec![ganymede_kernels::pass::Load::contiguous(&[words])],
                code: vec![Instr::Load(0)],
                stores: vec![ganymede_kernels::pass::Store::new(0)],
                reduces: vec![],
                keep: vec![],
            };
            let label = format!("commit {}", self.slot_name(update.slot, f));
            late.push(Ready { spec, operands: vec![fresh, self.whole(update.slot)], label });
        }
        Ok(())
    }

    /// Appends the passes of the commit, those with the same code as one kernel over all their slots.
    fn merge(&mut self, late: Vec<Ready>) {
        type Key = (Vec<Instr>, Vec<ganymede_kernels::pass::Store>, Vec<bool>, Vec<Slice<ValueId>>);
        let mut alike: HashMap<Key, usize> = HashMap::new();
        let mut bundles: Vec<Vec<Ready>> = Vec::new();
        for ready in late {
            let Some((spec, operands, scalars)) = flat(&ready) else {
                bundles.push(vec![ready]);
                continue;
            };
            let kinds = spec.loads.iter().map(|l| l.words == 1).collect();
            let shared = operands[spec.loads.len() - scalars..spec.loads.len()].to_vec();
            let key = (spec.code.clone(), spec.stores.clone(), kinds, shared);
            let flattened = Ready { spec, operands, label: ready.label };
            match alike.get(&key) {
                Some(&at) => bundles[at].push(flattened),
                None => {
                    alike.insert(key, bundles.len());
                    bundles.push(vec![flattened]);
                }
            }
        }
        for mut bundle in bundles {
            if bundle.len() == 1 {
                if let Some(Ready { spec, operands, label }) = bundle.pop() {
                    self.call(Work::Pass(spec), operands, &label);
                }
                continue;
            }
            let first = &bundle[0];
            let scalars = first.spec.loads.iter().filter(|l| l.strides == [0]).count();
            let loads = first.spec.loads.len() - scalars;
            let spec = MultiPassSpec {
                segments: bundle.iter().map(|r| r.spec.dims[0]).collect(),
                loads,
                scalars,
                code: first.spec.code.clone(),
                stores: first.spec.stores.clone(),
                reduces: vec![],
            };
            let mut operands: Vec<Slice<ValueId>> = Vec::new();
            for ready in &bundle {
                operands.extend(&ready.operands[..loads]);
                operands.extend(&ready.operands[loads + scalars..]);
            }
            operands.extend(&first.operands[loads..loads + scalars]);
            let label = format!("{} and {} more", first.label, bundle.len() - 1);
            match MultiPass::new(spec) {
                Ok(kernel) => self.call(Work::Kernel(Box::new(kernel)), operands, &label),
                Err(_) => {
                    for Ready { spec, operands, label } in bundle {
                        self.call(Work::Pass(spec), operands, &label);
                    }
                }
            }
        }
    }
}

/// The pass over one flat dimension, with loads of the whole segment first and of shared scalars last, sorted by
/// where they lie, and the number of scalars; none if it is no such pass.
fn flat(ready: &Ready) -> Option<(PassSpec, Vec<Slice<ValueId>>, usize)> {
    let Ready { spec, operands, .. } = ready;
    let words: usize = spec.dims.iter().product();
    if spec.loads.iter().any(|load| load.element != Element::F32) {
        return None;
    }
    let whole = |i: &usize| spec.loads[*i].is_contiguous(&spec.dims);
    let scalar = |i: &usize| !whole(i) && spec.loads[*i].strides.iter().all(|&s| s == 0);
    let (wide, mut narrow): (Vec<usize>, Vec<usize>) = (0..spec.loads.len()).partition(whole);
    if words <= 1 || !narrow.iter().all(scalar) || spec.code.iter().any(|c| matches!(c, Instr::Iota(_))) {
        return None;
    }
    narrow.sort_by_key(|&i| (operands[i].value, operands[i].offset + spec.loads[i].offset));
    let order: Vec<usize> = wide.iter().chain(&narrow).copied().collect();
    let mut place = vec![0; order.len()];
    for (new, &old) in order.iter().enumerate() {
        place[old] = new;
    }
    let mut flat = spec.clone();
    flat.dims = vec![words];
    flat.keep = vec![];
    flat.loads = order
        .iter()
        .map(|i| {
            if whole(i) {
                ganymede_kernels::pass::Load::contiguous(&[words])
            } else {
                ganymede_kernels::pass::Load { offset: 0, strides: vec![0], words: 1, element: Element::F32 }
            }
        })
        .collect();
    for instr in &mut flat.code {
        if let Instr::Load(i) = instr {
            *i = place[*i];
        }
    }
    for store in &mut flat.stores {
        store.alias = store.alias.map(|i| place[i]);
    }
    let mut moved: Vec<Slice<ValueId>> = order
        .iter()
        .map(|&i| {
            if whole(&i) {
                operands[i]
            } else {
                let at = operands[i].offset + spec.loads[i].offset;
                Slice { value: operands[i].value, offset: at, words: 1 }
            }
        })
        .collect();
    moved.extend(&operands[spec.loads.len()..]);
    Some((flat, moved, narrow.len()))
}
