//! Compiled phases over a state store.

use crate::compile::{FeedRef, Lowered, Program, Where, lower};
use crate::error::CpuError;
use crate::executor::{Executor, MemoryMode, Precision, Target};
use crate::stats::PhaseStats;
use crate::store::StateStore;
use ganymede_graph::{Function, TensorType};
use ganymede_kernels::buffer::Buffer;
use ganymede_kernels::kernel::WORD;
use ganymede_kernels::machine::{Commit, Lent, Machine, RunReport, Space, SpaceId, Step, View};
use std::collections::HashMap;
use std::sync::Arc;

/// Which phase of a [`Session`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhaseId(usize);

const SCRATCH: SpaceId = SpaceId(0);
const CONSTANTS: SpaceId = SpaceId(1);
const FEEDS: SpaceId = SpaceId(2);
const OUTPUTS: SpaceId = SpaceId(3);
const STATE: SpaceId = SpaceId(4);

/// One kernel call of the last profiled run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileEntry {
    /// Scope path and op.
    pub label: String,
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Time it took, barriers included.
    pub nanoseconds: u64,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes of all operands, each counted once.
    pub bytes: u64,
}

#[derive(Debug)]
struct Output {
    name: String,
    ty: TensorType,
    offset: usize,
}

#[derive(Debug)]
struct Phase {
    name: String,
    machine: Machine,
    constants: Buffer,
    feeds: Buffer,
    outputs: Buffer,
    feed_list: Vec<FeedRef>,
    output_list: Vec<Output>,
    scratch_words: usize,
    state_words: usize,
    stats: PhaseStats,
}

/// State, compiled phases, and the arena they share.
#[derive(Debug)]
pub struct Session {
    executor: Arc<Executor>,
    store: StateStore,
    scratch: Buffer,
    phases: Vec<Phase>,
    compiled: usize,
    profiling: bool,
    precision: Precision,
    memory: MemoryMode,
}

impl Session {
    /// A session without phases.
    pub fn new(executor: Arc<Executor>, store: StateStore) -> Session {
        Session {
            executor,
            store,
            scratch: Buffer::default(),
            phases: Vec::new(),
            compiled: 0,
            profiling: false,
            precision: Precision::F32,
            memory: MemoryMode::Normal,
        }
    }

    /// Asks for a precision of the contractions of phases that are added from now on.
    pub fn set_precision(&mut self, wanted: Precision) {
        self.precision = wanted;
    }

    /// The precision that phases get, which may be f32 in place of a bf16 that was asked for
    /// ([`Executor::precision`]).
    pub fn precision(&self) -> Precision {
        self.executor.precision(self.precision)
    }

    /// Chooses what is done about the memory of intermediate values in phases that are added from now on. Their results
    /// are the same bits either way.
    pub fn set_memory(&mut self, memory: MemoryMode) {
        self.memory = memory;
    }

    /// What is done about the memory of intermediate values.
    pub fn memory(&self) -> MemoryMode {
        self.memory
    }

    /// What phases run on.
    pub fn executor(&self) -> &Arc<Executor> {
        &self.executor
    }

    /// The state.
    pub fn store(&self) -> &StateStore {
        &self.store
    }

    /// The state, to be changed between runs. Slots that phases use must stay.
    pub fn store_mut(&mut self) -> &mut StateStore {
        &mut self.store
    }

    /// Optimizes, lowers and binds a function. Every state input must exist in the store with its type.
    ///
    /// # Errors
    /// The function is not valid, state is missing or of another type (all of it is listed), a kernel refuses
    /// a shape, or memory is short.
    pub fn add_phase(&mut self, name: &str, function: &Function) -> Result<PhaseId, CpuError> {
        let lowered = self.lower(function)?;
        let first = self.phases.len();
        self.bind_phases(vec![(name, lowered)], 0)?;
        Ok(PhaseId(first))
    }

    /// Adds several phases, as [`Session::add_phase`] each. In low memory what one of them cannot do without is left to
    /// the others too, which then need not spend time to take less.
    ///
    /// # Errors
    /// As for [`Session::add_phase`]; then none of them is added.
    pub fn add_phases(&mut self, phases: &[(String, Function)]) -> Result<Vec<PhaseId>, CpuError> {
        let mut lowered = phases.iter().map(|(_, f)| self.lower(f)).collect::<Result<Vec<_>, _>>()?;
        let enough = lowered.iter_mut().map(Lowered::least_words).max().unwrap_or(0);
        let first = self.phases.len();
        self.bind_phases(phases.iter().map(|(name, _)| name.as_str()).zip(lowered).collect(), enough)?;
        Ok((first..self.phases.len()).map(PhaseId).collect())
    }

    fn lower(&self, function: &Function) -> Result<Lowered, CpuError> {
        lower(function, Target { memory: self.memory, ..self.executor.target_at(self.precision) })
    }

    /// Finishes phases, for an arena of `enough` words or as many as there are, and adds them, all or none.
    fn bind_phases(&mut self, lowered: Vec<(&str, Lowered)>, enough: usize) -> Result<(), CpuError> {
        let mut words = self.scratch.len();
        let mut added = Vec::with_capacity(lowered.len());
        for (name, lowered) in lowered {
            let phase = self.bind_phase(name, lowered.finish(enough.max(words))?)?;
            words = words.max(phase.scratch_words);
            added.push(phase);
        }
        if self.scratch.len() < words {
            // Takes no physical memory before a run, by when the old one is gone; nothing in that outlives a run.
            self.scratch = Buffer::try_zeroed(words).map_err(|source| {
                let names: Vec<&str> = added.iter().map(|p: &Phase| p.name.as_str()).collect();
                CpuError::Memory { what: format!("scratch of `{}`", names.join("`, `")), source }
            })?;
        }
        self.compiled += added.len();
        self.phases.extend(added);
        Ok(())
    }

    /// Gives a program its memory, the arena aside.
    fn bind_phase(&self, name: &str, program: Program) -> Result<Phase, CpuError> {
        let slots = self.bind_state(name, &program)?;
        let memory = |what: &str, words: usize| {
            Buffer::try_zeroed(words)
                .map_err(|source| CpuError::Memory { what: format!("{what} of phase `{name}`"), source })
        };
        let mut constants = memory("constants", program.constants.len())?;
        constants.as_u32_mut().copy_from_slice(&program.constants);
        let feeds = memory("feeds", program.feed_words)?;
        let outputs = memory("outputs", program.output_words)?;
        let output_list = program
            .outputs
            .iter()
            .map(|o| Output { name: o.name.clone(), ty: o.ty.clone(), offset: program.output_at(o) })
            .collect();
        let stats = PhaseStats::of(&program);
        let (scratch_words, state_words) = (program.scratch_words, self.store.used());
        let feed_list = program.feeds.clone();
        let mut machine = bind(program, &slots, state_words)
            .map_err(|source| CpuError::Plan { phase: name.to_string(), source: Box::new(source) })?;
        machine
            .prepare(self.executor.threads())
            .map_err(|source| CpuError::Run { phase: name.to_string(), source: Box::new(source) })?;
        machine.set_profile(self.profiling);
        Ok(Phase {
            name: name.to_string(),
            machine,
            constants,
            feeds,
            outputs,
            feed_list,
            output_list,
            scratch_words,
            state_words,
            stats,
        })
    }

    /// First word of each slot of a program in the store's memory.
    fn bind_state(&self, phase: &str, program: &Program) -> Result<Vec<usize>, CpuError> {
        let mut problems = Vec::new();
        let mut slots = Vec::with_capacity(program.slots.len());
        for slot in &program.slots {
            match (self.store.ty(&slot.name), self.store.offset(&slot.name)) {
                (Some(ty), Some(offset)) if *ty == slot.ty => slots.push(offset),
                (Some(ty), _) => {
                    problems.push(format!("`{}`: expected {}, the store has {ty}", slot.name, slot.ty));
                }
                (None, _) => problems.push(format!("`{}`: expected {}, it is missing", slot.name, slot.ty)),
            }
        }
        if problems.is_empty() {
            Ok(slots)
        } else {
            Err(CpuError::State { phase: phase.to_string(), problems })
        }
    }

    /// The id of a phase by its name.
    pub fn phase(&self, name: &str) -> Option<PhaseId> {
        self.phases.iter().position(|p| p.name == name).map(PhaseId)
    }

    fn feed_range(
        &self,
        phase: PhaseId,
        index: usize,
        floats: Option<bool>,
    ) -> Result<std::ops::Range<usize>, CpuError> {
        let p = &self.phases[phase.0];
        let Some(feed) = p.feed_list.get(index) else {
            return Err(CpuError::Unknown {
                what: "feed",
                name: index.to_string(),
                place: format!("phase `{}`", p.name),
                known: p.feed_list.iter().map(|f| f.name.clone()).collect(),
            });
        };
        if floats.is_some_and(|wanted| wanted != feed.ty.dtype.is_float()) {
            return Err(CpuError::Type {
                what: "feed",
                name: feed.name.clone(),
                expected: feed.ty.to_string(),
                got: if feed.ty.dtype.is_float() { "words".into() } else { "floats".into() },
            });
        }
        Ok(feed.offset..feed.offset + feed.ty.len())
    }

    /// Position of a feed, for [`Session::feed_at_mut`].
    ///
    /// # Errors
    /// There is none of this name.
    pub fn feed_index(&self, phase: PhaseId, name: &str) -> Result<usize, CpuError> {
        let p = &self.phases[phase.0];
        p.feed_list.iter().position(|f| f.name == name).ok_or_else(|| CpuError::Unknown {
            what: "feed",
            name: name.to_string(),
            place: format!("phase `{}`", p.name),
            known: p.feed_list.iter().map(|f| f.name.clone()).collect(),
        })
    }

    /// Names and types of the feeds of a phase, by position.
    pub fn feeds(&self, phase: PhaseId) -> impl Iterator<Item = (&str, &TensorType)> {
        self.phases[phase.0].feed_list.iter().map(|f| (f.name.as_str(), &f.ty))
    }

    /// The values of a float feed, to be written before a run; they stay until overwritten.
    ///
    /// # Errors
    /// There is no float feed of this name.
    pub fn feed_mut(&mut self, phase: PhaseId, name: &str) -> Result<&mut [f32], CpuError> {
        let index = self.feed_index(phase, name)?;
        self.feed_at_mut(phase, index)
    }

    /// As [`Session::feed_mut`], by position.
    ///
    /// # Errors
    /// There is no float feed at this position.
    pub fn feed_at_mut(&mut self, phase: PhaseId, index: usize) -> Result<&mut [f32], CpuError> {
        let range = self.feed_range(phase, index, Some(true))?;
        Ok(&mut self.phases[phase.0].feeds.as_f32_mut()[range])
    }

    /// The words of a feed of any type.
    ///
    /// # Errors
    /// There is no feed of this name.
    pub fn feed_words_mut(&mut self, phase: PhaseId, name: &str) -> Result<&mut [u32], CpuError> {
        let index = self.feed_index(phase, name)?;
        self.feed_words_at_mut(phase, index)
    }

    /// As [`Session::feed_words_mut`], by position.
    ///
    /// # Errors
    /// There is no feed at this position.
    pub fn feed_words_at_mut(&mut self, phase: PhaseId, index: usize) -> Result<&mut [u32], CpuError> {
        let range = self.feed_range(phase, index, None)?;
        Ok(&mut self.phases[phase.0].feeds.as_u32_mut()[range])
    }

    /// Runs a phase: computes its outputs and, if its gate is open, commits its updates.
    ///
    /// # Errors
    /// A kernel panicked, which is a bug.
    pub fn run(&mut self, phase: PhaseId) -> Result<RunReport, CpuError> {
        let p = &mut self.phases[phase.0];
        let mut lent = [
            Lent::Write(&mut self.scratch.as_f32_mut()[..p.scratch_words]),
            Lent::Read(p.constants.as_f32()),
            Lent::Read(p.feeds.as_f32()),
            Lent::Write(p.outputs.as_f32_mut()),
            Lent::Write(&mut self.store.memory_mut()[..p.state_words]),
        ];
        p.machine
            .run(&self.executor.pool, &mut lent)
            .map_err(|source| CpuError::Run { phase: p.name.clone(), source: Box::new(source) })
    }

    fn find_output(&self, phase: PhaseId, name: &str) -> Option<(&Phase, &Output)> {
        let p = &self.phases[phase.0];
        p.output_list.iter().find(|o| o.name == name).map(|o| (p, o))
    }

    /// A float result of the last run; `None` if there is none of this name, or it holds no floats.
    pub fn output(&self, phase: PhaseId, name: &str) -> Option<&[f32]> {
        let (p, o) = self.find_output(phase, name).filter(|(_, o)| o.ty.dtype.is_float())?;
        Some(&p.outputs.as_f32()[o.offset..o.offset + o.ty.len()])
    }

    /// The words of a result of any type.
    pub fn output_words(&self, phase: PhaseId, name: &str) -> Option<&[u32]> {
        let (p, o) = self.find_output(phase, name)?;
        Some(&p.outputs.as_u32()[o.offset..o.offset + o.ty.len()])
    }

    /// Type of a result.
    pub fn output_type(&self, phase: PhaseId, name: &str) -> Option<&TensorType> {
        self.find_output(phase, name).map(|(_, o)| &o.ty)
    }

    /// How many functions this session has compiled.
    pub fn compile_count(&self) -> usize {
        self.compiled
    }

    /// Fills the arena with NaN: a result that depends on what a run left there shows it.
    pub fn poison_scratch(&mut self) {
        self.scratch.as_f32_mut().fill(f32::NAN);
    }

    /// What a phase costs.
    pub fn stats(&self, phase: PhaseId) -> &PhaseStats {
        &self.phases[phase.0].stats
    }

    /// Bytes that the session holds: state, arena, and every phase's constants, feeds, outputs and the kernels'
    /// thread-private scratch.
    pub fn memory_bytes(&self) -> usize {
        let threads = self.executor.threads();
        let of = |p: &Phase| {
            (p.constants.len() + p.feeds.len() + p.outputs.len() + p.machine.scratch_words(threads)) * WORD
        };
        self.store.total_bytes() + self.scratch.len() * WORD + self.phases.iter().map(of).sum::<usize>()
    }

    /// Switches the measurement of each kernel call on or off.
    pub fn set_profiling(&mut self, on: bool) {
        self.profiling = on;
        for phase in &mut self.phases {
            phase.machine.set_profile(on);
        }
    }

    /// The kernel calls of the last run, in order; empty where profiling is off.
    pub fn profile(&self, phase: PhaseId) -> Vec<ProfileEntry> {
        let machine = &self.phases[phase.0].machine;
        let entry = |(step, nanoseconds): (&Step, u64)| ProfileEntry {
            label: step.label.clone(),
            kernel: step.kernel.name(),
            nanoseconds,
            flops: step.kernel.flops(),
            bytes: step.views.iter().map(|view| (view.words * WORD) as u64).sum(),
        };
        machine.profile().map_or_else(Vec::new, |n| machine.steps().iter().zip(n).map(entry).collect())
    }
}

/// Gives every operand its view.
fn bind(
    program: Program,
    slots: &[usize],
    state_words: usize,
) -> Result<Machine, ganymede_kernels::machine::PlanError> {
    let spaces = vec![
        Space { words: program.scratch_words, writable: true },
        Space { words: program.constants.len(), writable: false },
        Space { words: program.feed_words, writable: false },
        Space { words: program.output_words, writable: true },
        Space { words: state_words, writable: true },
    ];
    let mut seen = HashMap::new();
    let mut view = |slice: &_| {
        *seen.entry(*slice).or_insert_with_key(|slice| {
            let (place, at) = program.locate(slice);
            let (space, offset) = match place {
                Where::Scratch => (SCRATCH, at),
                Where::Constant(_) => (CONSTANTS, at),
                Where::Feed(_) => (FEEDS, at),
                Where::Output(_) => (OUTPUTS, at),
                Where::State(slot) => (STATE, slots[slot] + at),
            };
            View { space, offset, words: slice.words }
        })
    };
    let commit = program.gate.map(|gate| Commit { step: program.commit, word: view(&gate) });
    let views: Vec<Vec<View>> =
        program.calls.iter().map(|call| call.operands.iter().map(&mut view).collect()).collect();
    let steps = program
        .calls
        .into_iter()
        .zip(views)
        .map(|(call, views)| Step { kernel: call.kernel, views, label: call.label })
        .collect();
    Machine::new(program.isa, spaces, steps, commit)
}
