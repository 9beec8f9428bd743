//! The fused pass as a kernel.

use super::blocks::Source;
use super::code::{Instr, Load, PassError, Reduce, Store, check_code};
use super::combine::Parts;
use super::fold::{CELL, Cell, Columns, ROWS, Row};
use super::halves::element_at;
use super::plan::{Block, Cut, Domain, UNIFORM, View, blocks};
use super::tape::{Feed, Frame, Tape, put};
use crate::bands::bands;
use crate::isa::Isa;
use crate::kernel::{Access, Element, Kernel, OperandSpec, Operands};
use crate::simd::run_math_on;
use std::ops::Range;

/// What a [`Pass`] computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PassSpec {
    /// The domain, row-major.
    pub dims: Vec<usize>,
    /// One an input operand.
    pub loads: Vec<Load>,
    /// Instruction `k` produces value `k`.
    pub code: Vec<Instr>,
    /// Outputs of the domain's shape.
    pub stores: Vec<Store>,
    /// Outputs over the kept dimensions, in their order.
    pub reduces: Vec<Reduce>,
    /// Which dimensions reductions keep; may be left empty where there are none.
    pub keep: Vec<bool>,
}

impl PassSpec {
    /// Checks the code, and that loads and kept dimensions fit the domain. Without reductions all dimensions are kept.
    pub(super) fn check(&mut self) -> Result<(), PassError> {
        let rank = self.dims.len();
        check_code(&self.code, self.loads.len(), rank, &self.stores, &self.reduces)?;
        if self.reduces.is_empty() {
            self.keep = vec![true; rank];
        }
        if self.keep.len() != rank {
            return Err(PassError::Rank { what: "keep".into(), expected: rank, got: self.keep.len() });
        }
        for (i, load) in self.loads.iter().enumerate() {
            if load.strides.len() != rank {
                let what = format!("strides of load {i}");
                return Err(PassError::Rank { what, expected: rank, got: load.strides.len() });
            }
            if !load.fits(&self.dims) {
                return Err(PassError::Outside { load: i });
            }
        }
        Ok(())
    }
}

/// A fused elementwise pass over a domain. Operands: the loads, the stores, the outputs of the reductions, and a
/// workspace if the reductions need one.
#[derive(Clone, Debug)]
pub struct Pass {
    spec: PassSpec,
    domain: Domain,
    cut: Cut,
    tape: Tape,
    /// The domain's own layout, where stores write.
    layout: View,
    parts: Parts,
    direct_store: bool,
    /// Whether each block is fetched from memory while the one before is computed. It pays where operands lie outside
    /// the caches; within L2 it costs up to a fifth of the time.
    fetch_ahead: bool,
}

impl Pass {
    /// Checks and plans a pass.
    ///
    /// # Errors
    /// See [`PassError`].
    pub fn new(mut spec: PassSpec) -> Result<Pass, PassError> {
        spec.check()?;
        for (j, store) in spec.stores.iter().enumerate() {
            let matches = |load: usize| {
                spec.loads[load].is_contiguous(&spec.dims) && spec.loads[load].element == store.element
            };
            if let Some(load) = store.alias.filter(|&load| !matches(load)) {
                return Err(PassError::Alias { store: j, load });
            }
        }

        let mut pinned: Vec<usize> = Vec::new();
        for instr in &spec.code {
            if let Instr::Iota(d) = *instr
                && spec.dims[d] != 1
                && !pinned.contains(&d)
            {
                pinned.push(d);
            }
        }
        let reduces = !spec.reduces.is_empty();
        let (domain, views, mut cut) = banded(&spec, &mut pinned).unwrap_or_else(|| {
            let (domain, views) = Domain::new(&spec.dims, &spec.loads, &spec.keep, &pinned);
            let cut = Cut::new(&domain, reduces);
            (domain, views, cut)
        });
        let layout = views[spec.loads.len()].clone();
        if spec.stores.iter().any(|s| s.element == Element::Bf16) {
            cut = cut.at_whole_words(&domain, domain.is_flat(&layout));
        }
        let direct_store = !cut.many_rows || domain.is_flat(&layout);
        let view_of = |instr: Instr| {
            let (view, element) = match instr {
                Instr::Load(i) => (&views[i], spec.loads[i].element),
                Instr::Iota(d) => {
                    let index = pinned.iter().position(|&p| p == d)?;
                    (&views[spec.loads.len() + 1 + index], Element::F32)
                }
                Instr::Const(_)
                | Instr::Unary(..)
                | Instr::Binary(..)
                | Instr::MulAdd(..)
                | Instr::Compare(..)
                | Instr::Select(..) => return None,
            };
            let made = matches!(instr, Instr::Iota(_)) || element != Element::F32;
            let feed = Feed::of(&domain, view, cut.many_rows, made);
            Some((view.clone(), feed, element))
        };
        let tape = Tape::new(&spec.code, &spec.stores, &spec.reduces, view_of, direct_store);
        let parts = Parts::of(&domain, &cut);
        Ok(Pass { spec, domain, cut, tape, layout, parts, direct_store, fetch_ahead: false })
    }

    /// What it computes.
    pub fn spec(&self) -> &PassSpec {
        &self.spec
    }

    fn first_reduce(&self) -> usize {
        self.spec.loads.len() + self.spec.stores.len()
    }

    /// Scratch words before the cells.
    fn cells_at(&self) -> usize {
        self.tape.scratch.next_multiple_of(UNIFORM)
    }

    /// Start of the workspace of reduction `j`.
    fn workspace(&self, operands: &Operands<'_>, j: usize) -> *mut f32 {
        if self.parts.workspace() == 0 {
            return std::ptr::null_mut();
        }
        let all = operands.ptr(self.first_reduce() + self.spec.reduces.len());
        // SAFETY: the operand has a workspace for each reduction.
        unsafe { all.add(j * self.parts.workspace()) }
    }

    unsafe fn run_task(&self, isa: Isa, index: usize, operands: &Operands<'_>, local: &mut [f32]) {
        let task = self.cut.task(&self.domain, index);
        let base = |i: usize| operands.ptr(i).cast_const();
        let scratch = local.as_mut_ptr();
        let cells_of_one = self.cut.cells(&self.domain);
        // SAFETY: `local` has `local_words` words: scratch, then the cells, at a multiple of 64 bytes.
        let cells: *mut Cell = unsafe { scratch.add(self.cells_at()).cast() };
        for (j, reduce) in self.spec.reduces.iter().enumerate() {
            let identity = Cell::identity(reduce.op, reduce.lane);
            for c in 0..cells_of_one {
                // SAFETY: as above.
                unsafe { *cells.add(j * cells_of_one + c) = identity };
            }
        }
        let rows = blocks(&self.cut, &task).next().map_or(0, |b| b.rows);
        // SAFETY: scratch and operands are as long as the plan says.
        let mut frame = unsafe { Frame::new(&self.tape, &self.domain, isa, scratch, rows, base) };
        let place = |block: Block| self.domain.row_start(&self.layout, block.row) + block.column as isize;
        let mut following = blocks(&self.cut, &task).skip(1);
        for block in blocks(&self.cut, &task) {
            let at = place(block);
            let next =
                if self.fetch_ahead { following.next().map(|next| (next, place(next) - at)) } else { None };
            // SAFETY: the block's words of an output, if outputs are direct.
            let target = |j: usize| unsafe {
                element_at(self.spec.stores[j].element, operands.ptr(self.spec.loads.len() + j), at)
            };
            // SAFETY: blocks of different tasks are disjoint.
            unsafe {
                frame.run(block, next, base, target);
                for j in 0..self.spec.stores.len() {
                    if self.direct_store {
                        frame.store(j, target(j), block.len());
                    } else {
                        let out = operands.ptr(self.spec.loads.len() + j);
                        frame.store_rows(j, &self.layout, out, block);
                    }
                    if self.domain.ends_with(block) {
                        self.finish(j, operands);
                    }
                }
            }
            for (j, reduce) in self.spec.reduces.iter().enumerate() {
                // SAFETY: the task's own cells.
                let cells = unsafe { cells.add(j * cells_of_one) };
                // SAFETY: the value has the block's words, the cells are the task's.
                unsafe { self.fold(isa, block, &task, reduce, frame.value(reduce.value), cells) };
            }
        }
        for (j, reduce) in self.spec.reduces.iter().enumerate() {
            let out = operands.ptr(self.first_reduce() + j);
            // SAFETY: the task's own cells and its part of the results.
            unsafe {
                let cells = cells.add(j * cells_of_one);
                self.parts.give(&task, cells, reduce.lane, out, self.workspace(operands, j));
            }
        }
    }

    /// Clears the half of a word that an odd number of bf16 elements of store `j` leaves over.
    ///
    /// # Safety
    /// Called by the task that owns the last element.
    unsafe fn finish(&self, j: usize, operands: &Operands<'_>) {
        let elements: usize = self.spec.dims.iter().product();
        if self.spec.stores[j].element == Element::Bf16 && !elements.is_multiple_of(2) {
            let out = operands.ptr(self.spec.loads.len() + j).cast::<u16>();
            // SAFETY: the second half of the operand's last word, which the task owns with the first.
            unsafe { out.add(elements).write(0) };
        }
    }

    /// Folds a block of a value into the task's cells.
    unsafe fn fold(
        &self,
        isa: Isa,
        block: Block,
        task: &super::plan::Task,
        reduce: &Reduce,
        from: Source,
        cells: *mut Cell,
    ) {
        // SAFETY: the caller's promise.
        unsafe { fold_block(isa, &self.domain, block, task, (reduce.op, reduce.lane), from, cells) }
    }
}

/// The domain of a batch of rows, with the batch as a dimension of its own, cut into bands; leaves `pinned` as it was
/// where there is none.
fn banded(spec: &PassSpec, pinned: &mut Vec<usize>) -> Option<(Domain, Vec<View>, Cut)> {
    let mut elements = spec.loads.iter().map(|l| l.element).chain(spec.stores.iter().map(|s| s.element));
    let rows = *spec.dims.first().filter(|_| elements.all(|e| e == Element::F32))?;
    bands(rows, spec.dims.iter().product())?;
    let before = pinned.len();
    if !pinned.contains(&0) {
        pinned.push(0);
    }
    let (domain, views) = Domain::new(&spec.dims, &spec.loads, &spec.keep, pinned);
    let cut = Cut::banded(&domain, rows, !spec.reduces.is_empty());
    if cut.is_none() {
        pinned.truncate(before);
    }
    cut.map(|cut| (domain, views, cut))
}

/// Folds a block into the cells of its task: `[groups][columns]`, or one a group where rows are reduced.
///
/// # Safety
/// `from` has the block's words (16 if its step is 0); `cells` are the task's; the CPU supports `isa`.
pub(super) unsafe fn fold_block(
    isa: Isa,
    domain: &Domain,
    block: Block,
    task: &super::plan::Task,
    (op, lane): (super::ops::ReduceOp, super::ops::Lane),
    from: Source,
    cells: *mut Cell,
) {
    let mut row = 0;
    while row < block.rows {
        let index = block.row + row;
        // SAFETY: rows of the block; the group is one of the task's.
        unsafe {
            let from = Source { ptr: from.ptr.add(row * block.words * from.step), step: from.step };
            if domain.inner_kept {
                let group = index / domain.body;
                let rows = ((group + 1) * domain.body - index).min(block.rows - row).min(ROWS);
                let first = (group - task.group) * task.columns.len() + block.column - task.columns.start;
                let cells = cells.add(first);
                run_math_on(isa, Columns { from, rows, words: block.words, op, lane, cells });
                row += rows;
            } else {
                let cell = cells.add(index / domain.body - task.group);
                run_math_on(isa, Row { from, words: block.words, op, lane, cell });
                row += 1;
            }
        }
    }
}

// SAFETY: loads are only read, at offsets that `new` checks against their lengths. The cut gives each task rows of its
// own, and with them its words (those of bf16 stores whole: `Cut::at_whole_words`) of each store and cells of each
// reduction; an alias is granted only where a task reads a
// word of the load before it writes the same word.
unsafe impl Kernel for Pass {
    fn name(&self) -> &'static str {
        if self.spec.reduces.is_empty() { "pass" } else { "pass.reduce" }
    }

    fn flops(&self) -> u64 {
        let words = self.spec.dims.iter().product::<usize>() as u64;
        let code: u64 = self.spec.code.iter().map(|i| i.flops()).sum();
        words * (code + self.spec.reduces.len() as u64)
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let words = self.spec.dims.iter().product();
        let mut list: Vec<OperandSpec> = self.spec.loads.iter().map(|l| OperandSpec::read(l.words)).collect();
        for (store, may_alias) in self.spec.stores.iter().zip(&self.tape.aliases) {
            let words = store.element.words(words);
            list.push(OperandSpec { words, access: Access::Write, may_alias: *may_alias });
        }
        let kept = self.spec.dims.iter().zip(&self.spec.keep).filter(|(_, keep)| **keep);
        let outputs = kept.map(|(&d, _)| d).product();
        list.extend(self.spec.reduces.iter().map(|_| OperandSpec::write(outputs)));
        let workspace = self.parts.workspace() * self.spec.reduces.len();
        if workspace > 0 && !self.domain.empty {
            list.push(OperandSpec::workspace(workspace));
        }
        list
    }

    fn stages(&self) -> usize {
        if self.parts.parts > 1 && !self.spec.reduces.is_empty() && !self.domain.empty { 2 } else { 1 }
    }

    fn tasks(&self, stage: usize) -> usize {
        if self.domain.empty {
            1
        } else if stage == 0 {
            self.cut.tasks(&self.domain)
        } else {
            self.parts.tasks() * self.spec.reduces.len()
        }
    }

    fn reach(&self, stage: usize, task: usize, operand: usize) -> Option<Range<usize>> {
        if self.domain.empty {
            return None;
        }
        let (stores, reduces) = (self.spec.loads.len(), self.first_reduce());
        if stage > 0 {
            // Only the workspace is read.
            let (j, index) = (task / self.parts.tasks(), task % self.parts.tasks());
            return match operand.checked_sub(reduces) {
                None => Some(0..0),
                Some(o) if o == j => Some(self.parts.combined(index)),
                Some(o) => (o < self.spec.reduces.len()).then_some(0..0),
            };
        }
        let pairs = |element: Option<Element>| element == Some(Element::Bf16);
        if pairs(self.spec.loads.get(operand).map(|l| l.element))
            || (stores..reduces).contains(&operand) && pairs(Some(self.spec.stores[operand - stores].element))
        {
            // Two elements a word: neighbouring tasks may share one.
            return None;
        }
        let task = self.cut.task(&self.domain, task);
        let of = |view: &View| self.domain.reach(view, task.rows.clone(), task.columns.clone());
        if operand < stores {
            // Loads that the code does not use are not read.
            let mut views = self.tape.inputs.iter().filter(|i| i.load == Some(operand)).map(|i| of(&i.view));
            let first = views.next().unwrap_or(Some(0..0))?;
            views.all(|other| other == Some(first.clone())).then_some(first)
        } else if operand < reduces {
            of(&self.layout)
        } else if self.parts.parts == 1 && operand < reduces + self.spec.reduces.len() {
            self.parts.given(&task)
        } else {
            None
        }
    }

    fn operands_are_far(&mut self) {
        self.fetch_ahead = true;
    }

    fn local_words(&self) -> usize {
        self.cells_at() + self.cut.cells(&self.domain) * CELL * self.spec.reduces.len()
    }

    unsafe fn run(&self, isa: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        if self.domain.empty {
            for (j, reduce) in self.spec.reduces.iter().enumerate() {
                let out = self.first_reduce() + j;
                let identity = f32::from_bits(reduce.op.identity(reduce.lane));
                let from = Source { ptr: &identity, step: 0 };
                // SAFETY: the only task of an empty domain writes all of its outputs.
                unsafe { put(from, operands.ptr(out), operands.words(out)) };
            }
        } else if stage == 0 {
            // SAFETY: forwarded from the caller.
            unsafe { self.run_task(isa, task, operands, local) };
        } else {
            let (j, index) = (task / self.parts.tasks(), task % self.parts.tasks());
            let reduce = &self.spec.reduces[j];
            let workspace = self.workspace(operands, j).cast_const();
            let to = (self.first_reduce() + j, workspace);
            // SAFETY: the first stage has ended; outputs of tasks are disjoint.
            unsafe { self.parts.combine(index, (reduce.op, reduce.lane), operands, to) };
        }
    }
}
