//! What the search knows of calls and values.

use crate::compile::ir::{Call, Place, Slice, Value, ValueId, Work};
use ganymede_kernels::kernel::{Access, Kernel, OperandSpec, WORD};
use ganymede_kernels::pass::{Instr, Pass, PassSpec};

/// Floating-point operations in the time of moving a byte to memory or back: a core of today does about eight times as
/// many. It weighs calls against each other, so a machine's own figure, which would make plans differ between machines,
/// is not asked for.
const FLOPS_A_BYTE: u64 = 8;
/// Why no call is a repetition yet.
const FIRST: &str = "calls are repeated once, by the search's result";

/// A call, as far as the arena and time are concerned. Values outside the arena are there at any time and not listed.
#[derive(Clone, Debug, Default)]
pub struct Fact {
    /// Values read, each once.
    pub reads: Vec<ValueId>,
    /// Values written, each once.
    pub writes: Vec<ValueId>,
    /// Words of workspaces.
    pub workspace: usize,
    /// Estimated time, in floating-point operations.
    pub work: u64,
    /// For each store of a pass that may take over the memory of a load: the store, and these loads in order.
    pub places: Vec<(ValueId, Vec<ValueId>)>,
}

/// How a value is computed again: by which call, and what of it is needed.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The call that writes the value.
    pub call: usize,
    /// What is run: the whole call, or the part of a pass.
    pub fact: Fact,
}

/// All calls and values.
#[derive(Debug)]
pub struct Facts {
    /// By call.
    pub calls: Vec<Fact>,
    /// First call of the commit.
    pub commit: usize,
    /// Read before the commit, if it lies in the arena.
    pub gate: Option<ValueId>,
    /// Length of each value in words.
    pub words: Vec<usize>,
    /// By value; `None` for what must be kept: all outside the arena, and what more than one call writes.
    pub recipes: Vec<Option<Recipe>>,
}

impl Facts {
    /// Looks at all calls, in the given order.
    pub fn of(
        calls: &[Call],
        order: &[usize],
        commit: usize,
        values: &[Value],
        gate: Option<ValueId>,
    ) -> Facts {
        let arena = |v: ValueId| values[v].place == Place::Scratch;
        let mut writers = vec![0usize; values.len()];
        let mut recipes: Vec<Option<Recipe>> = vec![None; values.len()];
        let mut facts = Vec::with_capacity(calls.len());
        for (i, call) in order.iter().map(|&k| &calls[k]).enumerate() {
            let specs = specs(&call.work);
            let fact = match &call.work {
                Work::Pass(spec) => of_pass(spec, &specs, &call.operands, values),
                Work::Contraction(_) | Work::Kernel(_) | Work::Again(_) => {
                    of_operands(&specs, flops(&call.work), &call.operands, values)
                }
            };
            for (operand, spec) in call.operands.iter().zip(&specs) {
                if spec.access == Access::Read || !arena(operand.value) {
                    continue;
                }
                writers[operand.value] += 1;
                let whole = operand.offset == 0 && operand.words == values[operand.value].words;
                let fresh = spec.access == Access::Write && !fact.reads.contains(&operand.value);
                recipes[operand.value] = (i < commit && whole && fresh)
                    .then(|| recipe(i, call, &fact, operand.value, values))
                    .flatten();
            }
            facts.push(fact);
        }
        // What a repeated call reads must be as it was, and what else it writes must be its own.
        for (value, recipe) in recipes.iter_mut().enumerate() {
            let written_once = |r: &Recipe| {
                r.fact.reads.iter().all(|&v| writers[v] <= 1)
                    && r.fact.writes.iter().all(|&v| writers[v] == 1)
            };
            *recipe = recipe.take().filter(|r| writers[value] == 1 && written_once(r));
        }
        let words = values.iter().map(|v| v.words).collect();
        Facts { calls: facts, commit, gate: gate.filter(|&v| arena(v)), words, recipes }
    }

    /// Estimated time of all calls.
    pub fn work(&self) -> u64 {
        self.calls.iter().map(|call| call.work).sum()
    }
}

/// What the kernel of a call expects of its operands, workspaces included.
pub fn specs(work: &Work) -> Vec<OperandSpec> {
    match work {
        // A pass that is refused is reported by whoever builds it.
        Work::Pass(spec) => Pass::new(spec.clone()).map_or_else(|_| Vec::new(), |pass| pass.operands()),
        Work::Contraction(kernel) => kernel.operands(),
        Work::Kernel(kernel) => kernel.operands(),
        Work::Again(_) => unreachable!("{FIRST}"),
    }
}

fn flops(work: &Work) -> u64 {
    match work {
        Work::Pass(spec) => Pass::new(spec.clone()).map_or(0, |pass| pass.flops()),
        Work::Contraction(kernel) => kernel.flops(),
        Work::Kernel(kernel) => kernel.flops(),
        Work::Again(_) => unreachable!("{FIRST}"),
    }
}

fn of_operands(specs: &[OperandSpec], flops: u64, operands: &[Slice<ValueId>], values: &[Value]) -> Fact {
    let mut fact = Fact::default();
    let moved: usize = operands.iter().map(|operand| operand.words).sum();
    fact.work = flops + FLOPS_A_BYTE * (moved * WORD) as u64;
    for (operand, spec) in operands.iter().zip(specs) {
        if values[operand.value].place != Place::Scratch {
            continue;
        }
        if spec.access != Access::Write {
            fact.reads.push(operand.value);
        }
        if spec.access != Access::Read {
            fact.writes.push(operand.value);
        }
    }
    for list in [&mut fact.reads, &mut fact.writes] {
        list.sort_unstable();
        list.dedup();
    }
    fact.workspace = specs.iter().skip(operands.len()).map(|spec| spec.words).sum();
    fact
}

fn of_pass(spec: &PassSpec, specs: &[OperandSpec], operands: &[Slice<ValueId>], values: &[Value]) -> Fact {
    let elements: usize = spec.dims.iter().product();
    let arithmetic =
        spec.code.iter().filter(|i| !matches!(i, Instr::Load(_) | Instr::Const(_) | Instr::Iota(_))).count();
    let mut fact = of_operands(specs, (arithmetic * elements) as u64, operands, values);
    let (loads, outputs) = operands.split_at(spec.loads.len());
    for (store, to) in spec.stores.iter().zip(outputs) {
        let open = store.alias.is_none() && values[to.value].place == Place::Scratch && elements > 0;
        let free = |&(i, from): &(usize, &Slice<ValueId>)| {
            values[from.value].place == Place::Scratch
                && values[from.value].words == spec.loads[i].words
                && spec.loads[i].element == store.element
                && spec.loads[i].is_contiguous(&spec.dims)
                && loads.iter().filter(|other| other.value == from.value).count() == 1
        };
        let places: Vec<ValueId> =
            loads.iter().enumerate().filter(free).map(|(_, from)| from.value).collect();
        if open && !places.is_empty() {
            fact.places.push((to.value, places));
        }
    }
    fact
}

/// How call `i` gives `value` again, if it can.
fn recipe(i: usize, call: &Call, fact: &Fact, value: ValueId, values: &[Value]) -> Option<Recipe> {
    let fact = match &call.work {
        Work::Pass(spec) => {
            // Reductions are small and not worth a pass over what they reduce.
            let at = call.operands[spec.loads.len()..].iter().position(|o| o.value == value)?;
            spec.stores.get(at).filter(|store| store.alias.is_none())?;
            let (spec, operands) = part(spec, &call.operands, value);
            let work = Work::Pass(spec);
            let specs = specs(&work);
            let Work::Pass(spec) = &work else { return None };
            of_pass(spec, &specs, &operands, values)
        }
        Work::Contraction(_) | Work::Kernel(_) => fact.clone(),
        Work::Again(_) => unreachable!("{FIRST}"),
    };
    Some(Recipe { call: i, fact })
}

/// The part of a pass that stores `value`, with its operands. Each element goes through the same instructions.
pub fn part(spec: &PassSpec, operands: &[Slice<ValueId>], value: ValueId) -> (PassSpec, Vec<Slice<ValueId>>) {
    let (loads, outputs) = operands.split_at(spec.loads.len());
    let at = outputs.iter().position(|o| o.value == value).unwrap_or_default();
    let store = spec.stores[at];
    let mut needed = vec![false; spec.code.len()];
    needed[store.value] = true;
    let mut load_needed = vec![false; loads.len()];
    for k in (0..spec.code.len()).rev().filter(|&k| k <= store.value) {
        if needed[k] {
            spec.code[k].uses().for_each(|used| needed[used] = true);
            if let Instr::Load(i) = spec.code[k] {
                load_needed[i] = true;
            }
        }
    }
    // New numbers of the instructions and loads that stay.
    let number = |needed: &[bool]| -> Vec<usize> {
        needed.iter().scan(0, |n, &stays| Some(std::mem::replace(n, *n + usize::from(stays)))).collect()
    };
    let (place, load_place) = (number(&needed), number(&load_needed));
    let code = (0..spec.code.len())
        .filter(|&k| needed[k])
        .map(|k| match spec.code[k] {
            Instr::Load(i) => Instr::Load(load_place[i]),
            instr => instr.renumbered(|used| place[used]),
        })
        .collect();
    fn kept<T: Clone>(list: &[T], needed: &[bool]) -> Vec<T> {
        list.iter().zip(needed).filter(|(_, stays)| **stays).map(|(x, _)| x.clone()).collect()
    }
    let mut store = store;
    store.value = place[store.value];
    let part = PassSpec {
        dims: spec.dims.clone(),
        loads: kept(&spec.loads, &load_needed),
        code,
        stores: vec![store],
        reduces: vec![],
        keep: vec![],
    };
    let mut operands = kept(loads, &load_needed);
    operands.push(outputs[at]);
    (part, operands)
}
