//! A pass over a contraction's result, run on its words while they are still in the caches of the core that made
//! them.
//!
//! A contraction's task says which words of its result it has finished, run by run ([`Sink`]). Runs that cover the
//! same columns are gathered to blocks, and a block goes through the code of the pass as any block of a
//! [`Pass`](super::Pass) does, so each element sees the same operations and its bits are the same. Where the runs of
//! a block follow each other in memory nothing is copied; else they are gathered into scratch and scattered from
//! there, which costs a fraction of what a trip to memory would.
//!
//! Reductions fold into cells of the task, written to a workspace when it ends and combined in the order of tasks.

use super::blocks::Source;
use super::code::{Instr, Load, PassError};
use super::combine::Parts;
use super::fold::{CELL, Cell, Columns, ROWS, Row};
use super::kernel::PassSpec;
use super::plan::{BLOCK, Domain, UNIFORM, View};
use super::tape::{Feed, Frame, Tape, put};
use crate::fused::Sink;
use crate::isa::Isa;
use crate::kernel::{Element, OperandSpec, Operands};
use crate::simd::{Simd, WithSimd, prefetch, run_math_on, run_on};
use std::cell::RefCell;

/// Most runs of a block.
const RUNS: usize = 64;
/// Words of a cache line on every target the kernels are written for.
const LINE: usize = 16;

/// How an operand of the pass lies along the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// It is the result.
    Result,
    /// Word by word as the result.
    Flat,
    /// One period, again and again.
    Period,
    /// One word.
    Uniform,
}

/// Where an operand of the pass is among those of the fused kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// It is the contraction's result.
    Result,
    /// So many operands behind the first of the epilogue.
    Own(usize),
}

/// A planned epilogue.
#[derive(Clone, Debug)]
pub(crate) struct Epilogue {
    spec: PassSpec,
    lies: Vec<Lie>,
    /// Loads that are flat.
    flat: Vec<usize>,
    loads: Vec<Slot>,
    stores: Vec<Slot>,
    /// Number of operands that are its own, reductions included.
    own: usize,
    /// Words after which operands along columns repeat; none if there are no such operands.
    period: Option<usize>,
    /// Cells of each reduction: one a column, or one.
    cells: usize,
    domain: Domain,
    tape: Tape,
}

/// The number of words after which a layout repeats, and how it does; none if it is of another kind.
fn lie(dims: &[usize], load: &Load) -> Option<(Lie, usize)> {
    let words = dims.iter().product();
    if load.is_contiguous(dims) {
        return Some((Lie::Flat, words));
    }
    let mut period = 1;
    let mut inner = true;
    for (&size, &stride) in dims.iter().zip(&load.strides).rev().filter(|(size, _)| **size != 1) {
        inner &= stride == period as isize;
        if inner {
            period *= size;
        } else if stride != 0 {
            return None;
        }
    }
    Some(if period == 1 { (Lie::Uniform, 1) } else { (Lie::Period, period) })
}

/// Product of the trailing dimensions that are kept, if only those are.
fn kept(dims: &[usize], keep: &[bool]) -> Option<usize> {
    let mut width = 1;
    let mut inner = true;
    for (&size, &keep) in dims.iter().zip(keep).rev().filter(|(size, _)| **size != 1) {
        inner &= keep;
        if inner {
            width *= size;
        } else if keep {
            return None;
        }
    }
    Some(width)
}

impl Epilogue {
    /// Plans `spec` as the epilogue of a contraction whose result is its load `result`. With `in_place` the result is
    /// read by nobody else, so that the first store that can takes over its memory: see
    /// [`Epilogue::taken`].
    ///
    /// None where the pass is not of the form that can be run on parts of the result: a load is neither the whole
    /// domain, nor its trailing dimensions again and again, nor one word; periods of loads and reductions differ; the
    /// position of an element matters.
    ///
    /// # Errors
    /// The pass itself is wrong: see [`PassError`].
    pub fn new(mut spec: PassSpec, result: usize, in_place: bool) -> Result<Option<Epilogue>, PassError> {
        spec.check()?;
        let words = spec.dims.iter().product::<usize>();
        let halves = spec.loads.iter().map(|l| l.element).chain(spec.stores.iter().map(|s| s.element));
        let halves = halves.into_iter().any(|element| element == Element::Bf16);
        let placed = spec.code.iter().any(|i| matches!(*i, Instr::Iota(d) if spec.dims[d] != 1));
        let taken = spec.stores.iter().any(|s| s.alias.is_some());
        if words == 0 || placed || taken || halves {
            return Ok(None);
        }
        let mut lies = Vec::with_capacity(spec.loads.len());
        let mut periods = Vec::new();
        for (i, load) in spec.loads.iter().enumerate() {
            match lie(&spec.dims, load) {
                Some((Lie::Flat, _)) if i == result => lies.push(Lie::Result),
                Some((Lie::Period | Lie::Uniform, _)) | None if i == result => return Ok(None),
                Some((lie, period)) => {
                    lies.push(lie);
                    if lie == Lie::Period {
                        periods.push(period);
                    }
                }
                None => return Ok(None),
            }
        }
        let mut cells = 0;
        if !spec.reduces.is_empty() {
            let Some(width) = kept(&spec.dims, &spec.keep) else { return Ok(None) };
            // Nothing is reduced: no cell would be shared.
            if width == words {
                return Ok(None);
            }
            cells = width;
            if width > 1 {
                periods.push(width);
            }
        }
        let period = periods.first().copied();
        if periods.iter().any(|&p| Some(p) != period) {
            return Ok(None);
        }

        let domain =
            Domain { outer: vec![], inner: words, groups: 1, body: 1, inner_kept: true, empty: false };
        let plan = |spec: &PassSpec| {
            let view_of = |instr: Instr| match instr {
                Instr::Load(i) => {
                    let uniform = lies[i] == Lie::Uniform;
                    let inner = isize::from(!uniform);
                    let view = View { offset: spec.loads[i].offset, outer: vec![], inner };
                    Some((view, if uniform { Feed::Uniform } else { Feed::Rows }, Element::F32))
                }
                Instr::Iota(_)
                | Instr::Const(_)
                | Instr::Unary(..)
                | Instr::Binary(..)
                | Instr::MulAdd(..)
                | Instr::Compare(..)
                | Instr::Select(..) => None,
            };
            Tape::new(&spec.code, &spec.stores, &spec.reduces, view_of, true)
        };
        let mut tape = plan(&spec);
        if in_place {
            for j in 0..spec.stores.len() {
                spec.stores[j].alias = Some(result);
                let with = plan(&spec);
                if with.aliases[j] == Some(result) {
                    tape = with;
                    break;
                }
                spec.stores[j].alias = None;
            }
        }
        let mut own = 0;
        let mut next = |shared: bool| {
            if shared {
                return Slot::Result;
            }
            own += 1;
            Slot::Own(own - 1)
        };
        let loads = (0..spec.loads.len()).map(|i| next(i == result)).collect();
        let stores = spec.stores.iter().map(|s| next(s.alias.is_some())).collect();
        own += spec.reduces.len();
        let flat = (0..lies.len()).filter(|&i| lies[i] == Lie::Flat).collect();
        Ok(Some(Epilogue { spec, lies, flat, loads, stores, own, period, cells, domain, tape }))
    }

    /// The store that is computed in the memory of the result, if any.
    pub fn taken(&self) -> Option<usize> {
        self.stores.iter().position(|s| *s == Slot::Result)
    }

    /// Words of the result.
    pub fn words(&self) -> usize {
        self.domain.inner
    }

    /// Own operands in their order: loads but the result, stores but the one in its place, reductions.
    pub fn operands(&self) -> Vec<OperandSpec> {
        let loads = self.spec.loads.iter().zip(&self.loads).filter(|(_, slot)| **slot != Slot::Result);
        let mut list: Vec<OperandSpec> = loads.map(|(load, _)| OperandSpec::read(load.words)).collect();
        let stores = self.stores.iter().filter(|slot| **slot != Slot::Result);
        list.extend(stores.map(|_| OperandSpec::write(self.words())));
        list.extend(self.spec.reduces.iter().map(|_| OperandSpec::write(self.cells)));
        list
    }

    /// Words of the workspace for `tasks` tasks.
    pub fn workspace(&self, tasks: usize) -> usize {
        self.spec.reduces.len() * tasks * self.cells * CELL
    }

    /// Words of partial results of a task.
    pub fn partial_words(&self) -> usize {
        self.workspace(1)
    }

    fn parts(&self, tasks: usize) -> Parts {
        Parts { groups: 1, parts: tasks, width: self.cells }
    }

    /// Tasks of the stage that combines the partial results of `tasks` tasks; 0 if there is none.
    pub fn combining_tasks(&self, tasks: usize) -> usize {
        self.spec.reduces.len() * self.parts(tasks).tasks()
    }

    /// Where blocks of stores go that are not contiguous, in words of the scratch.
    fn blocks_at(&self) -> usize {
        self.tape.scratch.next_multiple_of(UNIFORM)
    }

    fn cells_at(&self) -> usize {
        self.blocks_at() + self.spec.stores.len() * BLOCK
    }

    /// Words of a task's scratch.
    pub fn local_words(&self) -> usize {
        self.cells_at() + self.partial_words()
    }

    /// Combines what `tasks` tasks left in the workspace.
    ///
    /// # Safety
    /// `operands` holds the epilogue's own from `first` on and the workspace at `workspace`; all tasks have ended; no
    /// other task has this index.
    pub unsafe fn combine(
        &self,
        index: usize,
        tasks: usize,
        operands: &Operands<'_>,
        first: usize,
        workspace: usize,
    ) {
        let parts = self.parts(tasks);
        let (j, chunk) = (index / parts.tasks(), index % parts.tasks());
        let reduce = &self.spec.reduces[j];
        let out = first + self.own - self.spec.reduces.len() + j;
        // SAFETY: the workspace has the words of all reductions, each of which has outputs of its own.
        unsafe {
            let partial = operands.ptr(workspace).cast_const().add(j * tasks * self.cells * CELL);
            parts.combine(chunk, (reduce.op, reduce.lane), operands, (out, partial));
        }
    }
}

/// Where an epilogue's operands are and which task runs it.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub isa: Isa,
    pub operands: Operands<'a>,
    /// Number of the result among the operands.
    pub result: usize,
    /// Number of the epilogue's first own operand.
    pub first: usize,
    /// Number of the workspace, if there are reductions.
    pub workspace: usize,
    pub task: usize,
    pub tasks: usize,
}

/// The running state of one task's epilogue.
pub(crate) struct Tail<'a>(RefCell<Running<'a>>);

/// Runs over the same columns.
#[derive(Clone, Copy)]
struct Runs {
    /// First column.
    column: usize,
    /// Words of each.
    width: usize,
    /// Their starts.
    at: [usize; RUNS],
    count: usize,
}

struct Running<'a> {
    epilogue: &'a Epilogue,
    site: Site<'a>,
    frame: Frame<'a>,
    scratch: *mut f32,
    /// The block that is being filled, and the one before, whose operands have been on their way since it was.
    blocks: [Runs; 2],
    filling: usize,
    /// Columns that the blocks of periodic loads are filled with.
    filled: Option<(usize, usize)>,
}

impl<'a> Tail<'a> {
    /// Starts a task.
    ///
    /// # Safety
    /// `local` has [`Epilogue::local_words`] words, aligned to 64 bytes, of this task alone until [`Tail::finish`];
    /// the site's operands are as declared, and the CPU supports its instruction set.
    pub unsafe fn new(epilogue: &'a Epilogue, site: Site<'a>, local: *mut f32) -> Tail<'a> {
        let base = |i: usize| site.pointer(epilogue.loads[i]).cast_const();
        // SAFETY: the caller's promise; only uniform loads are read.
        let frame = unsafe { Frame::new(&epilogue.tape, &epilogue.domain, site.isa, local, 1, base) };
        for (j, reduce) in epilogue.spec.reduces.iter().enumerate() {
            for c in 0..epilogue.cells {
                // SAFETY: the scratch has these cells, at a multiple of 64 bytes.
                unsafe {
                    let cells: *mut Cell = local.add(epilogue.cells_at()).cast();
                    *cells.add(j * epilogue.cells + c) = Cell::identity(reduce.op, reduce.lane);
                }
            }
        }
        Tail(RefCell::new(Running {
            epilogue,
            site,
            frame,
            scratch: local,
            blocks: [Runs { column: 0, width: 0, at: [0; RUNS], count: 0 }; 2],
            filling: 0,
            filled: None,
        }))
    }

    /// Ends the task: runs what waits, and hands over the partial results.
    ///
    /// # Safety
    /// As for [`Tail::new`].
    pub unsafe fn finish(self) {
        let mut running = self.0.into_inner();
        // SAFETY: the workspace has room for every task's cells of every reduction.
        unsafe {
            running.turn();
            running.turn();
            let Running { epilogue, site, scratch, .. } = running;
            let words = epilogue.cells * CELL;
            for j in 0..epilogue.spec.reduces.len() {
                let from = scratch.add(epilogue.cells_at() + j * words);
                let to = site.operands.ptr(site.workspace).add((j * site.tasks + site.task) * words);
                std::ptr::copy_nonoverlapping(from, to, words);
            }
        }
    }
}

impl Sink for Tail<'_> {
    unsafe fn done(&self, at: usize, words: usize) {
        // SAFETY: forwarded from the caller.
        unsafe { self.0.borrow_mut().push(at, words) }
    }

    fn soon(&self, at: usize, words: usize) {
        let running = self.0.borrow();
        let Running { epilogue, site, .. } = &*running;
        let loads = epilogue.flat.iter().map(|&load| epilogue.loads[load]);
        let stores = epilogue.stores.iter().filter(|slot| **slot != Slot::Result).copied();
        for slot in std::iter::once(Slot::Result).chain(loads).chain(stores) {
            let from = site.pointer(slot).cast_const().wrapping_add(at);
            (0..words).step_by(LINE).for_each(|i| prefetch(from.wrapping_add(i)));
        }
    }
}

impl Site<'_> {
    fn pointer(&self, slot: Slot) -> *mut f32 {
        match slot {
            Slot::Result => self.operands.ptr(self.result),
            Slot::Own(i) => self.operands.ptr(self.first + i),
        }
    }
}

impl Running<'_> {
    /// Cuts a run where the period begins anew and where it would exceed a block.
    unsafe fn push(&mut self, mut at: usize, mut words: usize) {
        while words > 0 {
            let (column, room) = match self.epilogue.period {
                Some(period) => (at % period, period - at % period),
                None => (0, words),
            };
            let n = words.min(room).min(BLOCK);
            let block = &self.blocks[self.filling];
            let joins = (column, n) == (block.column, block.width)
                && block.count < RUNS
                && (block.count + 1) * n <= BLOCK;
            if !joins {
                // SAFETY: runs that wait were announced.
                unsafe { self.turn() };
                (self.blocks[self.filling].column, self.blocks[self.filling].width) = (column, n);
            }
            let block = &mut self.blocks[self.filling];
            block.at[block.count] = at;
            block.count += 1;
            at += n;
            words -= n;
        }
    }

    /// Runs the code over the block before, whose place the next one takes.
    unsafe fn turn(&mut self) {
        self.filling = 1 - self.filling;
        let Running { epilogue, site, scratch, .. } = *self;
        let Runs { column, width, at, count } = self.blocks[self.filling];
        if count == 0 {
            return;
        }
        self.blocks[self.filling].count = 0;
        let at = &at[..count];
        let n = count * width;
        let first = at[0];
        let contiguous = at.iter().enumerate().all(|(i, &at)| at == first + i * width);
        // SAFETY: runs lie inside the result and so inside flat loads and stores; columns lie inside the period, and
        // with the offset of a periodic load inside it, which `new` checked; blocks are inside the scratch. Stores
        // share memory with the result alone, in place, where the tape says that a word is read before it is written.
        unsafe {
            for input in &epilogue.tape.inputs {
                let Some(load) = input.load else { continue };
                let base = site.pointer(epilogue.loads[load]).cast_const();
                let block = scratch.add(input.scratch);
                match epilogue.lies[load] {
                    Lie::Uniform => {}
                    Lie::Result | Lie::Flat if contiguous => self.frame.point(input, base.add(at[0])),
                    Lie::Result | Lie::Flat => {
                        run_on(site.isa, Gather { from: base, at, width, to: block });
                        self.frame.point(input, block);
                    }
                    Lie::Period => {
                        let row = base.add(epilogue.spec.loads[load].offset + column);
                        if count == 1 {
                            self.frame.point(input, row);
                            continue;
                        }
                        if self.filled != Some((column, width)) {
                            for i in 0..RUNS.min(BLOCK / width) {
                                std::ptr::copy_nonoverlapping(row, block.add(i * width), width);
                            }
                        }
                        self.frame.point(input, block);
                    }
                }
            }
            if count > 1 {
                self.filled = Some((column, width));
            }
            let target = |j: usize| {
                if contiguous {
                    site.pointer(epilogue.stores[j]).add(at[0])
                } else {
                    scratch.add(epilogue.blocks_at() + j * BLOCK)
                }
            };
            self.frame.compute(n, target);
            for (j, reduce) in epilogue.spec.reduces.iter().enumerate() {
                let cells: *mut Cell = scratch.add(epilogue.cells_at()).cast();
                let cells = cells.add(j * epilogue.cells);
                let (from, op, lane) = (self.frame.value(reduce.value), reduce.op, reduce.lane);
                if epilogue.cells == 1 {
                    run_math_on(site.isa, Row { from, words: n, op, lane, cell: cells });
                    continue;
                }
                for first in (0..count).step_by(ROWS) {
                    let rows = ROWS.min(count - first);
                    let from = Source { ptr: from.ptr.add(first * width * from.step), step: from.step };
                    let cells = cells.add(column);
                    run_math_on(site.isa, Columns { from, rows, words: width, op, lane, cells });
                }
            }
            for (j, store) in epilogue.spec.stores.iter().enumerate() {
                if contiguous {
                    self.frame.store(j, target(j), n);
                    continue;
                }
                let from = self.frame.value(store.value);
                let to = site.pointer(epilogue.stores[j]);
                if from.step == 1 {
                    run_on(site.isa, Scatter { from: from.ptr, at, width, to });
                    continue;
                }
                for (i, &at) in at.iter().enumerate() {
                    let run = Source { ptr: from.ptr.add(i * width * from.step), step: from.step };
                    put(run, to.add(at), width);
                }
            }
        }
    }
}

/// Copies runs of `width` words at `at` to one block.
///
/// Contract of [`WithSimd::call`]: all lie in memory that is live, the block apart from the rest.
struct Gather<'a> {
    from: *const f32,
    at: &'a [usize],
    width: usize,
    to: *mut f32,
}

impl WithSimd for Gather<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, s: S) {
        let Gather { from, at, width, to } = self;
        for (i, &at) in at.iter().enumerate() {
            // SAFETY: the contract.
            unsafe { copy(s, from.add(at), to.add(i * width), width) };
        }
    }
}

/// The reverse of [`Gather`], with its contract.
struct Scatter<'a> {
    from: *const f32,
    at: &'a [usize],
    width: usize,
    to: *mut f32,
}

impl WithSimd for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, s: S) {
        let Scatter { from, at, width, to } = self;
        for (i, &at) in at.iter().enumerate() {
            // SAFETY: the contract.
            unsafe { copy(s, from.add(i * width), to.add(at), width) };
        }
    }
}

/// # Safety
/// The CPU supports `S::ISA`; `n` words can be read and written, apart from each other.
#[inline(always)]
unsafe fn copy<S: Simd>(s: S, from: *const f32, to: *mut f32, n: usize) {
    let whole = n / S::LANES * S::LANES;
    // SAFETY: the caller's promise.
    unsafe {
        for i in (0..whole).step_by(S::LANES) {
            s.store(to.add(i), s.load(from.add(i)));
        }
        if whole < n {
            s.store_first(to.add(whole), s.load_first(from.add(whole), n - whole), n - whole);
        }
    }
}
