//! From a function to a program: analysis, grouping, passes, commit, memory.

mod analysis;
mod commit;
mod factor;
mod family;
mod fuse;
mod group;
mod instr;
mod ir;
mod kernels;
mod lower;
mod map;
mod mask;
mod memory;
mod mixed;
mod recompute;
mod tape;

use crate::error::CpuError;
use crate::executor::{MemoryMode, Target};
use analysis::Analysis;
use ganymede_graph::{Function, NodeId, TensorType, passes};
use ganymede_kernels::isa::Isa;
use ganymede_kernels::pass::PassError;
use ir::{Call, Place, Slice, Value, ValueId};
use lower::{Lowering, Stop};
use memory::Finished;
use mixed::Abilities;
use recompute::Plan;
use std::collections::HashSet;
use tape::Refusal;

/// A state slot that a program binds.
#[derive(Clone, Debug)]
pub struct SlotRef {
    /// Name in the store.
    pub name: String,
    /// Type it must have.
    pub ty: TensorType,
}

/// A feed of a program.
#[derive(Clone, Debug)]
pub struct FeedRef {
    /// Name of the input.
    pub name: String,
    /// Its type.
    pub ty: TensorType,
    /// First word among the feeds.
    pub offset: usize,
}

/// A named result of a program.
#[derive(Clone, Debug)]
pub struct OutputRef {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: TensorType,
    /// Its memory, among the outputs.
    value: ValueId,
}

/// What a function compiles to: calls in order, with a place for every operand.
#[derive(Debug)]
pub struct Program {
    pub isa: Isa,
    pub calls: Vec<Finished>,
    /// First call that runs only if the gate is open.
    pub commit: usize,
    /// One word, the gate.
    pub gate: Option<Slice<ValueId>>,
    values: Vec<Value>,
    offset: Vec<usize>,
    pub scratch_words: usize,
    pub constants: Vec<u32>,
    pub feed_words: usize,
    pub output_words: usize,
    pub slots: Vec<SlotRef>,
    pub feeds: Vec<FeedRef>,
    pub outputs: Vec<OutputRef>,
    pub contraction_flops: u64,
}

impl Program {
    /// Where an operand lies: its place, and its first word there (within the slot for state).
    pub fn locate(&self, slice: &Slice<ValueId>) -> (Place, usize) {
        let place = self.values[slice.value].place;
        let start = match place {
            Place::Scratch => self.offset[slice.value],
            Place::State(_) => 0,
            Place::Feed(at) | Place::Constant(at) | Place::Output(at) => at,
        };
        (place, start + slice.offset)
    }

    /// First word of a result among the outputs.
    pub fn output_at(&self, output: &OutputRef) -> usize {
        match self.values[output.value].place {
            Place::Output(at) => at,
            Place::Scratch | Place::State(_) | Place::Feed(_) | Place::Constant(_) => {
                unreachable!("results lie among the outputs")
            }
        }
    }
}

pub use ir::Place as Where;

/// A function as a list of kernel calls whose values have no place in the arena yet.
#[derive(Debug)]
pub struct Lowered {
    target: Target,
    calls: Vec<Call>,
    commit: usize,
    gate: Option<Slice<ValueId>>,
    values: Vec<Value>,
    constants: Vec<u32>,
    feed_words: usize,
    output_words: usize,
    slots: Vec<SlotRef>,
    feeds: Vec<FeedRef>,
    outputs: Vec<OutputRef>,
    contraction_flops: u64,
    /// For as small an arena as pays, once it was asked for.
    least: Option<Plan>,
}

/// Lowers a function for a target.
pub fn lower(function: &Function, target: Target) -> Result<Lowered, CpuError> {
    function.verify()?;
    let function = passes::optimize(function)?;
    // As the graph states them: a rewrite may do with fewer.
    let contraction_flops = function.contraction_flops();
    let function = factor::factor(function, target.precision)?;
    let mut forced: HashSet<NodeId> = HashSet::new();
    let mut apart: HashSet<NodeId> = HashSet::new();
    let abilities = Abilities::of(&function, target);
    let mut rounded = abilities.rounded(&function);
    loop {
        let analysis = Analysis::new(&function, &abilities, &rounded, &forced);
        let unrounded = analysis.unrounded();
        if !unrounded.is_empty() {
            rounded.retain(|id| !unrounded.contains(id));
            continue;
        }
        let groups = group::group(&analysis, &apart);
        let mut lowering = Lowering::new(&analysis, target);
        let commit = lowering.groups(&groups).and_then(|()| lowering.commit());
        // Each refusal gives one more value memory or one more result a pass of its own, so this ends.
        let progress = match commit {
            Ok(commit) => return fused(lowering, commit, &function, contraction_flops),
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Refused(Refusal::Memory(id), _)) => forced.insert(id),
            Err(Stop::Refused(Refusal::Apart, roots)) => {
                let before = apart.len();
                apart.extend(roots);
                apart.len() > before
            }
        };
        if !progress {
            unreachable!("a pass of one result over operands in memory was refused");
        }
    }
}

/// Why a pass was refused that was planned to be accepted.
fn refused((path, e): (String, PassError)) -> CpuError {
    CpuError::Kernel { op: "pass".into(), path, message: e.to_string() }
}

/// Joins passes to contractions.
fn fused(
    lowering: Lowering<'_, '_>,
    commit: usize,
    function: &Function,
    contraction_flops: u64,
) -> Result<Lowered, CpuError> {
    let gate = function.gate.map(|id| lowering.operand(id));
    let Lowering {
        target,
        calls,
        ahead,
        values,
        slots,
        feeds,
        outputs,
        constants,
        feed_words,
        output_words,
        ..
    } = lowering;
    assert!(ahead.is_empty(), "calls that go before all others were left out");
    let (calls, commit) = if target.fuse {
        fuse::fuse(calls, commit, &values, gate.map(|g| g.value)).map_err(refused)?
    } else {
        (calls, commit)
    };
    Ok(Lowered {
        target,
        calls,
        commit,
        gate,
        values,
        constants,
        feed_words,
        output_words,
        slots,
        feeds,
        outputs,
        contraction_flops,
        least: None,
    })
}

impl Lowered {
    /// Words of the arena that recomputation comes down to where nothing else is in the way; 0 where there is none.
    pub fn least_words(&mut self) -> usize {
        match self.target.memory {
            MemoryMode::Normal => 0,
            MemoryMode::Low => {
                let plan = self.least.take().unwrap_or_else(|| self.plan(0));
                self.least.insert(plan).words()
            }
        }
    }

    fn plan(&self, enough: usize) -> Plan {
        Plan::of(&self.calls, self.commit, &self.values, self.gate.map(|g| g.value), enough)
    }

    /// Gives every value its place. Where memory is low, an arena of `enough` words is small enough.
    pub fn finish(mut self, enough: usize) -> Result<Program, CpuError> {
        let plan = match self.target.memory {
            MemoryMode::Normal => None,
            MemoryMode::Low => {
                let least = self.least.take().filter(|plan| plan.words() >= enough);
                Some(least.unwrap_or_else(|| self.plan(enough)))
            }
        };
        let Lowered { target, calls, commit, gate, mut values, .. } = self;
        let (calls, commit) = match plan {
            None => (calls, commit),
            Some(plan) => recompute::recompute(calls, plan, &mut values),
        };
        let (calls, layout) =
            memory::finish(calls, &mut values, gate.map(|g| (commit, g.value)), target.memory)
                .map_err(refused)?;
        Ok(Program {
            isa: target.isa,
            calls,
            commit,
            gate,
            values,
            offset: layout.offset,
            scratch_words: layout.words,
            constants: self.constants,
            feed_words: self.feed_words,
            output_words: self.output_words,
            slots: self.slots,
            feeds: self.feeds,
            outputs: self.outputs,
            contraction_flops: self.contraction_flops,
        })
    }
}
