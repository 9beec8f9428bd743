//! Population variance and mean in one kernel.

use super::blocks::Source;
use super::code::{Load, PassError};
use super::combine::Parts;
use super::deviations::{ColumnDeviations, RowDeviations};
use super::fold::{CELL, Cell, ROWS};
use super::halves;
use super::kernel::fold_block;
use super::ops::{Lane, ReduceOp};
use super::plan::{BLOCK, Block, Cut, Domain, Task, View, blocks};
use crate::isa::Isa;
use crate::kernel::{Element, Kernel, OperandSpec, Operands};
use crate::simd::run_on;

/// Output words of one combining task.
const OUTPUTS: usize = 256;

/// Variance `mean((x - mean)^2)` and mean over the dimensions that are not kept; NaN over nothing.
///
/// Each task reads its part twice, the second time from cache: it finds a mean `m` near that of its part, then
/// `S1 = sum(x - m)` and `S2 = sum((x - m)^2)`, so that nothing cancels however far the mean lies from 0. Parts
/// are combined in order by the rule of Chan, Golub and LeVeque (1979): for counts n and sums of squared
/// deviations M2, `M2 = M2_a + M2_b + d^2 n_a n_b / (n_a + n_b)`, `d` the difference of the means.
///
/// Operands: the input `[dims...]`, the variance and the mean `[kept dims...]`, a workspace.
#[derive(Clone, Debug)]
pub struct Variance {
    words: usize,
    element: Element,
    kept: usize,
    domain: Domain,
    cut: Cut,
    view: View,
    parts: Parts,
}

/// Counts and moments of a part, as f64 in the workspace.
#[derive(Clone, Copy, Debug)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn join(self, other: Moments) -> Moments {
        let count = self.count + other.count;
        if self.count == 0.0 || other.count == 0.0 {
            return if self.count == 0.0 { other } else { self };
        }
        let apart = other.mean - self.mean;
        let share = other.count / count;
        Moments {
            count,
            mean: self.mean + apart * share,
            squares: self.squares + other.squares + apart * apart * self.count * share,
        }
    }
}

/// Numbers of a [`Moments`] that a part stores; its count follows from the cut.
const STORED: usize = 2;

impl Variance {
    /// Plans a variance of a row-major f32 input.
    ///
    /// # Errors
    /// [`PassError::Rank`] if `keep` and `dims` differ in length.
    pub fn new(dims: &[usize], keep: &[bool]) -> Result<Variance, PassError> {
        Variance::stored(dims, keep, Element::F32)
    }

    /// Plans a variance of a row-major input whose elements are stored as `element`; those of bf16 are widened as they
    /// are read, so that the result errs as that of their f32 values.
    ///
    /// # Errors
    /// As [`Variance::new`].
    pub fn stored(dims: &[usize], keep: &[bool], element: Element) -> Result<Variance, PassError> {
        if keep.len() != dims.len() {
            return Err(PassError::Rank { what: "keep".into(), expected: dims.len(), got: keep.len() });
        }
        let (domain, views) = Domain::new(dims, &[Load::contiguous(dims)], keep, &[]);
        let cut = Cut::new(&domain, true);
        let parts = Parts::of(&domain, &cut);
        let kept = dims.iter().zip(keep).filter(|(_, keep)| **keep).map(|(&d, _)| d).product();
        Ok(Variance {
            words: dims.iter().product(),
            element,
            kept,
            domain,
            cut,
            view: views[0].clone(),
            parts,
        })
    }

    /// Cells of a task: shift or mean, sum, sum of squares for each output.
    fn cells(&self) -> usize {
        self.cut.cells(&self.domain)
    }

    fn slot(&self, group: usize, part: usize, column: usize) -> usize {
        ((group * self.parts.parts + part) * self.parts.width + column) * STORED * CELL
    }

    /// Values that the part of `task` holds of each of its outputs.
    fn count(&self, task: &Task) -> usize {
        let rows = task.rows.len() / task.groups.max(1);
        if self.domain.inner_kept { rows } else { rows * task.columns.len() }
    }

    /// Calls `visit` for each block with its words (which may be copied to `scratch`).
    unsafe fn each_block(
        &self,
        isa: Isa,
        task: &Task,
        input: *const f32,
        scratch: *mut f32,
        mut visit: impl FnMut(Block, *const f32),
    ) {
        let flat = !self.cut.many_rows || self.domain.is_flat(&self.view);
        for block in blocks(&self.cut, task) {
            let start = |row| self.domain.row_start(&self.view, row) + block.column as isize;
            // SAFETY: the block lies in the input; scratch has `BLOCK` words.
            unsafe {
                if self.element == Element::Bf16 {
                    let rows = if flat { 1 } else { block.rows };
                    let words = block.len() / rows;
                    for r in 0..rows {
                        let from = input.cast::<u16>().offset(start(block.row + r));
                        halves::widen(isa, from, scratch.add(r * words), words);
                    }
                    visit(block, scratch);
                } else if flat {
                    visit(block, input.offset(start(block.row)));
                } else {
                    for r in 0..block.rows {
                        let from = input.offset(start(block.row + r));
                        std::ptr::copy_nonoverlapping(from, scratch.add(r * block.words), block.words);
                    }
                    visit(block, scratch);
                }
            }
        }
    }

    /// Adds the deviations of a block from the shifts of its outputs to the cells of its task.
    unsafe fn deviations(
        &self,
        isa: Isa,
        block: Block,
        task: &Task,
        x: *const f32,
        shift: &[f32],
        (sums, squares): (*mut Cell, *mut Cell),
    ) {
        let words = block.words;
        let mut row = 0;
        while row < block.rows {
            let index = block.row + row;
            let group = index / self.domain.body;
            // SAFETY: rows of the block, of one group of the task if columns are kept.
            unsafe {
                let x = x.add(row * words);
                if self.domain.inner_kept {
                    let rows = ((group + 1) * self.domain.body - index).min(block.rows - row).min(ROWS);
                    let at = (group - task.group) * task.columns.len() + block.column - task.columns.start;
                    let shift = shift[at..at + words].as_ptr();
                    let (sums, squares) = (sums.add(at), squares.add(at));
                    run_on(isa, ColumnDeviations { x, rows, words, shift, sums, squares });
                    row += rows;
                } else {
                    let at = group - task.group;
                    let (sum, square) = (sums.add(at), squares.add(at));
                    run_on(isa, RowDeviations { x, words, shift: shift[at], sum, square });
                    row += 1;
                }
            }
        }
    }

    unsafe fn run_task(&self, isa: Isa, index: usize, operands: &Operands<'_>, local: &mut [f32]) {
        let task = self.cut.task(&self.domain, index);
        let input = operands.ptr(0).cast_const();
        let (copy, rest) = local.split_at_mut(BLOCK);
        let copy = copy.as_mut_ptr();
        let n = self.cells();
        let (cells, shift) = rest.split_at_mut(2 * n * CELL);
        let sums: *mut Cell = cells.as_mut_ptr().cast();
        // SAFETY: 2 n cells.
        let squares = unsafe { sums.add(n) };
        let kind = (ReduceOp::Sum, Lane::F32);
        let zero = Cell::identity(ReduceOp::Sum, Lane::F32);
        let count = self.count(&task) as f64;
        // SAFETY: cells, blocks and input are as long as the plan says.
        unsafe {
            for c in 0..2 * n {
                *sums.add(c) = zero;
            }
            self.each_block(isa, &task, input, copy, |block, x| {
                fold_block(isa, &self.domain, block, &task, kind, Source { ptr: x, step: 1 }, sums);
            });
            for (c, shift) in shift.iter_mut().enumerate().take(n) {
                *shift = (f64::from_bits((*sums.add(c)).0) / count) as f32;
                *sums.add(c) = zero;
            }
            self.each_block(isa, &task, input, copy, |block, x| {
                self.deviations(isa, block, &task, x, shift, (sums, squares));
            });
        }
        let columns = if self.domain.inner_kept { task.columns.clone() } else { 0..1 };
        for g in 0..task.groups {
            for (i, column) in columns.clone().enumerate() {
                let c = g * columns.len() + i;
                let at = self.slot(task.group + g, task.part, column);
                // SAFETY: the task's own cells and slots.
                unsafe {
                    let sum = f64::from_bits((*sums.add(c)).0);
                    let square = f64::from_bits((*squares.add(c)).0);
                    let slot = operands.ptr(3).add(at).cast::<f64>();
                    slot.write_unaligned(f64::from(shift[c]) + sum / count);
                    slot.add(1).write_unaligned(square - sum * sum / count);
                }
            }
        }
    }

    fn combine(&self, index: usize, operands: &Operands<'_>) {
        for output in index * OUTPUTS..((index + 1) * OUTPUTS).min(self.kept) {
            let (group, column) = (output / self.parts.width, output % self.parts.width);
            let mut all = Moments { count: 0.0, mean: f64::NAN, squares: f64::NAN };
            for part in 0..self.parts.parts {
                // SAFETY: inside the workspace, which the first stage completed.
                let (mean, squares) = unsafe {
                    let slot = operands.ptr(3).add(self.slot(group, part, column)).cast::<f64>();
                    (slot.read_unaligned(), slot.add(1).read_unaligned())
                };
                all = all.join(Moments { count: self.part_count(part), mean, squares });
            }
            // A sum of squares that rounding made negative is 0; NaN stays.
            let squares = if all.squares < 0.0 { 0.0 } else { all.squares };
            // SAFETY: this task's output words.
            unsafe {
                *operands.ptr(1).add(output) = (squares / all.count) as f32;
                *operands.ptr(2).add(output) = all.mean as f32;
            }
        }
    }

    /// Values in part `part` of an output.
    fn part_count(&self, part: usize) -> f64 {
        let (slice, chunk) = if self.domain.inner_kept {
            (part, None)
        } else {
            (part / self.cut.column_chunks, Some(part % self.cut.column_chunks))
        };
        let rows = self.cut.rows.min(self.domain.body - slice * self.cut.rows);
        let width = chunk.map_or(1, |c| self.cut.columns.min(self.domain.inner - c * self.cut.columns));
        (rows * width) as f64
    }
}

// SAFETY: the input is only read. A task of the first stage writes the workspace cells of its own parts and groups; the
// second stage reads them, and its tasks write disjoint ranges of both outputs.
unsafe impl Kernel for Variance {
    fn name(&self) -> &'static str {
        "variance"
    }

    /// Subtraction and addition for the mean, subtraction, square and addition for the deviations.
    fn flops(&self) -> u64 {
        4 * self.words as u64
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let workspace =
            if self.domain.empty { 0 } else { self.parts.groups * self.parts.parts * self.parts.width };
        vec![
            OperandSpec::read(self.element.words(self.words)),
            OperandSpec::write(self.kept),
            OperandSpec::write(self.kept),
            OperandSpec::workspace(workspace * STORED * CELL),
        ]
    }

    fn stages(&self) -> usize {
        if self.domain.empty { 1 } else { 2 }
    }

    fn tasks(&self, stage: usize) -> usize {
        if self.domain.empty {
            1
        } else if stage == 0 {
            self.cut.tasks(&self.domain)
        } else {
            self.kept.div_ceil(OUTPUTS)
        }
    }

    fn local_words(&self) -> usize {
        BLOCK + self.cells() * (2 * CELL + 1)
    }

    unsafe fn run(&self, isa: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        if self.domain.empty {
            // SAFETY: the only task writes all of the outputs.
            unsafe {
                operands.write(1, 0..self.kept).fill(f32::NAN);
                operands.write(2, 0..self.kept).fill(f32::NAN);
            }
        } else if stage == 0 {
            // SAFETY: forwarded from the caller.
            unsafe { self.run_task(isa, task, operands, local) };
        } else {
            self.combine(task, operands);
        }
    }
}
