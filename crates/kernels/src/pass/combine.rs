//! The cells of a task and the second stage that combines partial results in a fixed order.

use super::fold::{CELL, Cell, each_kind};
use super::ops::{Lane, ReduceOp};
use super::plan::{Cut, Domain, Task};
use crate::kernel::Operands;
use std::ops::Range;

/// Output words of one combining task.
const OUTPUTS: usize = 1024;
/// Columns that are combined side by side.
const TOGETHER: usize = 16;

/// Where the results of reductions go: `parts` partial results for each of `groups` groups of `width` outputs.
/// The workspace holds, for each reduction, `[groups][parts][width]` cells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub groups: usize,
    pub parts: usize,
    pub width: usize,
}

impl Parts {
    pub fn of(domain: &Domain, cut: &Cut) -> Parts {
        Parts {
            groups: domain.groups,
            parts: cut.parts(domain),
            width: if domain.inner_kept { domain.inner } else { 1 },
        }
    }

    /// Words of workspace of one reduction.
    pub fn workspace(&self) -> usize {
        if self.parts > 1 { self.groups * self.parts * self.width * CELL } else { 0 }
    }

    /// Tasks of the second stage, for each reduction.
    pub fn tasks(&self) -> usize {
        self.groups * self.chunks()
    }

    fn chunks(&self) -> usize {
        self.width.div_ceil(OUTPUTS)
    }

    /// The outputs that a task writes where its cells are final, if they lie together.
    pub fn given(&self, task: &Task) -> Option<Range<usize>> {
        let rows = task.group * self.width..(task.group + task.groups) * self.width;
        if self.width == 1 || task.columns.len() == self.width {
            Some(rows)
        } else {
            (task.groups == 1).then(|| rows.start + task.columns.start..rows.start + task.columns.end)
        }
    }

    /// The outputs that task `index` of the second stage writes.
    pub fn combined(&self, index: usize) -> Range<usize> {
        let (group, chunk) = (index / self.chunks(), index % self.chunks());
        group * self.width + chunk * OUTPUTS..group * self.width + ((chunk + 1) * OUTPUTS).min(self.width)
    }

    /// Writes the cells of a task, `[task.groups][columns]`, to the output if they are final, else to the
    /// workspace.
    ///
    /// # Safety
    /// `cells` has the task's cells; `out` and `workspace` are the reduction's own and no other task writes
    /// what this one covers.
    pub unsafe fn give(
        &self,
        task: &Task,
        cells: *const Cell,
        lane: Lane,
        out: *mut f32,
        workspace: *mut f32,
    ) {
        let columns = if self.width == 1 { 0..1 } else { task.columns.clone() };
        let width = columns.len();
        for g in 0..task.groups {
            for c in 0..width {
                // SAFETY: the caller's promise; workspaces need not be aligned to cells.
                unsafe {
                    let cell = *cells.add(g * width + c);
                    let (group, column) = (task.group + g, columns.start + c);
                    if self.parts == 1 {
                        *out.add(group * self.width + column).cast::<u32>() = cell.word(lane);
                    } else {
                        let at = (group * self.parts + task.part) * self.width + column;
                        workspace.add(at * CELL).cast::<Cell>().write_unaligned(cell);
                    }
                }
            }
        }
    }

    /// Combines the partial results that task `index` of the second stage covers, part after part.
    ///
    /// # Safety
    /// The workspace is complete; no other task writes the outputs that this one covers.
    pub unsafe fn combine(
        &self,
        index: usize,
        (op, lane): (ReduceOp, Lane),
        operands: &Operands<'_>,
        (out, workspace): (usize, *const f32),
    ) {
        let range = self.combined(index);
        let first = range.start / self.width * self.parts * self.width + range.start % self.width;
        // Columns side by side: their sums do not wait for each other.
        macro_rules! combined {
            ($op:expr, $lane:expr) => {
                for start in range.clone().step_by(TOGETHER) {
                    let n = TOGETHER.min(range.end - start);
                    let mut cells = [Cell::identity($op, $lane); TOGETHER];
                    for part in 0..self.parts {
                        let at = first + part * self.width + start - range.start;
                        // SAFETY: inside the workspace by its layout.
                        let from = unsafe { workspace.add(at * CELL).cast::<Cell>() };
                        for (i, cell) in cells.iter_mut().enumerate().take(n) {
                            // SAFETY: as above.
                            *cell = cell.join(unsafe { from.add(i).read_unaligned() }, $op, $lane);
                        }
                    }
                    for (i, cell) in cells.iter().enumerate().take(n) {
                        // SAFETY: this task's output word.
                        unsafe { *operands.ptr(out).add(start + i).cast::<u32>() = cell.word(lane) };
                    }
                }
            };
        }
        each_kind!(op, lane, combined);
    }
}
