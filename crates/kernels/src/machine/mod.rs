//! A checked list of kernel calls over memory spaces, run as one parallel region.
//!
//! The plan is checked once, when it is handed in: every view lies inside its space, fits its kernel, and no
//! written operand shares a word with another one. What is left to check at each run is that the lent memory
//! is what was declared. That makes [`Machine::run`] safe, given that each [`Kernel`] touches no more than its
//! operands and its tasks write disjoint words.

mod chains;
mod check;
mod error;

#[cfg(test)]
mod tests;

pub use chains::{Turn, turns};
pub use error::{PlanError, RunError, StepProblem};

use crate::buffer::{ALIGN, Buffer};
use crate::isa::{Isa, IsaError};
use crate::kernel::{Kernel, Operands, WORD};
use crate::pool::{Pool, PoolError, Worker};
use chains::Group;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Which space, in the order of declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpaceId(pub u32);

impl fmt::Display for SpaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "space {}", self.0)
    }
}

/// One contiguous memory that a run is lent: state, inputs, scratch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Length in words.
    pub words: usize,
    /// Whether steps may write it.
    pub writable: bool,
}

/// A stretch of a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The space.
    pub space: SpaceId,
    /// First word.
    pub offset: usize,
    /// Length in words.
    pub words: usize,
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} words from {} of {}", self.words, self.offset, self.space)
    }
}

/// One kernel call.
#[derive(Debug)]
pub struct Step {
    /// What runs. Steps that do the same on other words may share it.
    pub kernel: Arc<dyn Kernel>,
    /// On what, in the order of [`Kernel::operands`].
    pub views: Vec<View>,
    /// Where it comes from, for errors and profiles.
    pub label: String,
}

/// A condition on the end of the list: steps from `step` on run only if `word`, as a u32, is not 0 when all
/// earlier steps have ended. They are meant to write state that must stay as it was after a non-finite step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// First conditional step; the list's length makes the report the only effect.
    pub step: usize,
    /// One word.
    pub word: View,
}

/// Memory lent to one space for one run.
#[derive(Debug)]
pub enum Lent<'a> {
    /// For a space that is not writable.
    Read(&'a [f32]),
    /// For any space.
    Write(&'a mut [f32]),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunReport {
    /// Whether the steps behind the commit gate ran; true without a gate.
    pub committed: bool,
}

/// Where a step's parts stand in the flat table.
#[derive(Clone, Copy, Debug)]
struct Range {
    first_part: usize,
    end_part: usize,
    local: usize,
}

/// Start and length of every operand of every step, flat. The starts are refreshed at each run and are looked
/// at only during it.
#[derive(Debug)]
struct Parts(Vec<(*mut f32, usize)>);

// SAFETY: the pointers are dereferenced only inside `Machine::run`, which sets them from what it was lent.
unsafe impl Send for Parts {}
// SAFETY: as above.
unsafe impl Sync for Parts {}

/// A checked list of steps.
#[derive(Debug)]
pub struct Machine {
    isa: Isa,
    spaces: Vec<Space>,
    steps: Vec<Step>,
    commit: Option<Commit>,
    ranges: Vec<Range>,
    /// What runs between two barriers, in order.
    groups: Vec<Group>,
    parts: Parts,
    /// Start of each space, refreshed at each run.
    bases: Vec<WordPtr>,
    /// Thread-private words of one worker, a multiple of a page so that no two share a cache line.
    local_stride: usize,
    local: Buffer,
    /// Nanoseconds of each step in the last run; empty where profiling is off.
    nanos: Vec<AtomicU64>,
}

/// A pointer into lent memory or into the thread-private scratch.
#[derive(Clone, Copy, Debug)]
struct WordPtr(*mut f32);

// SAFETY: only the unsafe blocks of `Machine::walk` dereference it, each with a reason of its own.
unsafe impl Send for WordPtr {}
// SAFETY: as above.
unsafe impl Sync for WordPtr {}

const PAGE_WORDS: usize = 4096 / WORD;
const _: () = assert!((PAGE_WORDS * WORD).is_multiple_of(ALIGN));

/// Words of scratch that a thread has for kernels which ask for `local` words each: one at a time runs.
pub fn thread_words(local: impl Iterator<Item = usize>) -> usize {
    local.max().unwrap_or(0).next_multiple_of(PAGE_WORDS)
}

impl Machine {
    /// Checks the plan and prepares to run it on any pool.
    pub fn new(
        isa: Isa,
        spaces: Vec<Space>,
        steps: Vec<Step>,
        commit: Option<Commit>,
    ) -> Result<Self, PlanError> {
        if !isa.supported() {
            return Err(IsaError::Unsupported(isa).into());
        }
        check::check(&spaces, &steps, commit)?;
        let mut ranges = Vec::with_capacity(steps.len());
        let mut parts = Vec::new();
        for step in &steps {
            let first_part = parts.len();
            parts.extend(step.views.iter().map(|v| (std::ptr::null_mut(), v.words)));
            let local = step.kernel.local_words();
            ranges.push(Range { first_part, end_part: parts.len(), local });
        }
        let of_kernel = steps.iter().map(|step| (step.kernel.as_ref(), step.views.as_slice()));
        let (groups, _) = chains::groups(of_kernel, commit);
        let local_stride = thread_words(ranges.iter().map(|r| r.local));
        Ok(Self {
            isa,
            bases: vec![WordPtr(std::ptr::null_mut()); spaces.len()],
            spaces,
            steps,
            commit,
            ranges,
            groups,
            parts: Parts(parts),
            local_stride,
            local: Buffer::default(),
            nanos: Vec::new(),
        })
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The spaces, by [`SpaceId`].
    pub fn spaces(&self) -> &[Space] {
        &self.spaces
    }

    /// The commit gate.
    pub fn commit(&self) -> Option<Commit> {
        self.commit
    }

    /// The instruction set the kernels run on.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Words of thread-private scratch that a pool of `threads` needs.
    pub fn scratch_words(&self, threads: usize) -> usize {
        self.local_stride.saturating_mul(threads)
    }

    /// Allocates the thread-private scratch for a pool of `threads`; [`Machine::run`] does it where needed, so
    /// this serves only to learn early that memory is short.
    pub fn prepare(&mut self, threads: usize) -> Result<(), RunError> {
        let words = self.scratch_words(threads);
        if self.local.len() < words {
            self.local = Buffer::try_zeroed(words).map_err(|source| RunError::Scratch { threads, source })?;
        }
        Ok(())
    }

    /// Switches the measurement of each step on or off; off at first.
    pub fn set_profile(&mut self, on: bool) {
        self.nanos.clear();
        if on {
            self.nanos.resize_with(self.steps.len(), AtomicU64::default);
        }
    }

    /// Nanoseconds of each step in the last run, as seen by worker 0; `None` where profiling is off. A step
    /// that did not run took 0.
    pub fn profile(&self) -> Option<Vec<u64>> {
        let on = self.nanos.len() == self.steps.len();
        on.then(|| self.nanos.iter().map(|n| n.load(Ordering::Relaxed)).collect())
    }

    /// Runs all steps on the memory lent to each space, in one parallel region of `pool`.
    ///
    /// After [`RunError::Step`] what the steps write is undefined; all other errors leave it untouched.
    pub fn run(&mut self, pool: &Pool, lent: &mut [Lent<'_>]) -> Result<RunReport, RunError> {
        self.check_lent(lent)?;
        self.prepare(pool.threads())?;
        self.bind(lent);
        let gate = self.commit.map(|c| {
            let base = self.bases[c.word.space.0 as usize].0;
            // SAFETY: the check of the plan put the word inside the space, whose memory was just bound.
            (c.step, WordPtr(unsafe { base.add(c.word.offset) }))
        });
        let local = WordPtr(self.local.as_f32_mut().as_mut_ptr());
        let committed = AtomicBool::new(true);
        let failed = AtomicUsize::new(usize::MAX);
        let this = &*self;
        pool.run(&|worker| this.walk(worker, local, gate, &committed, &failed)).map_err(|source| {
            match (source, failed.load(Ordering::Relaxed)) {
                (source @ PoolError::Panicked { .. }, index) if index < this.steps.len() => {
                    let step = &this.steps[index];
                    RunError::Step { index, label: step.label.clone(), kernel: step.kernel.name(), source }
                }
                (source, _) => RunError::Pool(source),
            }
        })?;
        Ok(RunReport { committed: committed.into_inner() })
    }

    fn check_lent(&self, lent: &[Lent<'_>]) -> Result<(), RunError> {
        if lent.len() != self.spaces.len() {
            return Err(RunError::Count { expected: self.spaces.len(), got: lent.len() });
        }
        for (id, (space, lent)) in (0..).map(SpaceId).zip(self.spaces.iter().zip(lent)) {
            let (got, writable) = match lent {
                Lent::Read(words) => (words.len(), false),
                Lent::Write(words) => (words.len(), true),
            };
            if got != space.words {
                return Err(RunError::Words { space: id, expected: space.words, got });
            }
            if space.writable && !writable {
                return Err(RunError::ReadOnly { space: id });
            }
        }
        Ok(())
    }

    /// Points the tables into the lent memory.
    fn bind(&mut self, lent: &mut [Lent<'_>]) {
        // Once per space: a second mutable borrow of the same memory would end the validity of the first.
        for (base, lent) in self.bases.iter_mut().zip(lent) {
            base.0 = match lent {
                // Only read: the check of the plan refuses writes to spaces that are not writable, and that of
                // the loan this variant for those that are.
                Lent::Read(words) => words.as_ptr().cast_mut(),
                Lent::Write(words) => words.as_mut_ptr(),
            };
        }
        let views = self.steps.iter().flat_map(|s| &s.views);
        for (part, view) in self.parts.0.iter_mut().zip(views) {
            // SAFETY: the check of the plan put the view inside the space, whose memory was just bound.
            part.0 = unsafe { self.bases[view.space.0 as usize].0.add(view.offset) };
        }
    }

    /// What each worker does: the same walk over all stages, sharing the tasks of each.
    fn walk(
        &self,
        worker: &Worker<'_>,
        local: WordPtr,
        mut gate: Option<(usize, WordPtr)>,
        committed: &AtomicBool,
        failed: &AtomicUsize,
    ) {
        // SAFETY: `prepare` allocated `threads` times the stride, a worker's index is below `threads`.
        let local = unsafe { local.0.add(worker.index() * self.local_stride) };
        let profiled = worker.index() == 0 && !self.nanos.is_empty();
        if profiled {
            self.nanos.iter().for_each(|n| n.store(0, Ordering::Relaxed));
        }
        let began = Cell::new(Instant::now());
        // Adds the time since the last call to a step.
        let clock = |step: usize| {
            let now = Instant::now();
            self.nanos[step].fetch_add((now - began.get()).as_nanos() as u64, Ordering::Relaxed);
            began.set(now);
        };
        let mut blame = Blame { failed, index: 0 };
        for group in &self.groups {
            if let Some((_, word)) = gate.take_if(|(at, _)| *at <= group.first_step)
                && !open(worker, word, committed)
            {
                return;
            }
            blame.index = group.first_step;
            let run = |task| {
                let (chain, task) = group.task(task);
                for link in &chain.links {
                    blame.index = link.step;
                    let (step, range) = (&self.steps[link.step], &self.ranges[link.step]);
                    let operands = Operands::new(&self.parts.0[range.first_part..range.end_part]);
                    for task in link.tasks(task) {
                        // SAFETY: this worker's own scratch, which nothing else refers to while a task runs.
                        let local = unsafe { std::slice::from_raw_parts_mut(local, range.local) };
                        // SAFETY: `new` checked the instruction set, the operands and their overlap; the memory is
                        // lent for the whole region; tasks run once, after all those of earlier stages that touch
                        // a word in common: earlier groups have ended, and `groups` lets a task share a group only
                        // with tasks that share no word with it or come before it on this worker.
                        unsafe { step.kernel.run(self.isa, link.stage, task, &operands, local) };
                    }
                    if profiled {
                        clock(link.step);
                    }
                }
            };
            if group.small {
                worker.stage_near(group.tasks(), run);
            } else {
                worker.stage(group.tasks(), run);
            }
            if profiled {
                // What the barrier waited for.
                clock(blame.index);
            }
        }
        if let Some((_, word)) = gate {
            open(worker, word, committed);
        }
    }
}

/// Whether the steps behind the gate are to run, whose word is live; all earlier steps have ended.
fn open(worker: &Worker<'_>, word: WordPtr, committed: &AtomicBool) -> bool {
    // SAFETY: a live word, which later steps write at the earliest, and these begin after the barrier below.
    let open = unsafe { word.0.cast::<u32>().read() } != 0;
    // The word's memory may be reused by later steps: all must have read it before one goes on.
    worker.barrier();
    committed.store(open, Ordering::Relaxed);
    open
}

/// Remembers the step in which the first worker unwound.
struct Blame<'a> {
    failed: &'a AtomicUsize,
    index: usize,
}

impl Drop for Blame<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The others unwind only after the first one has, so whoever comes first is the one that panicked.
            let _ =
                self.failed.compare_exchange(usize::MAX, self.index, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}
