//! The general path: packed blocks, register tiles.

use super::ahead::Ahead;
use super::blocks::{Blocks, Extent, part};
use super::pack::{Pack, PackRows, Panel};
use super::tile::{self, STRETCH, Tile};
use crate::fused::Sink;
use crate::isa::Isa;
use crate::simd::run_on;
use std::ops::Range;

/// A matrix operand in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub start: *const f32,
    /// Words of the whole operand.
    pub words: usize,
    /// Words from one matrix of the batch to the next; 0 where all share one.
    pub batch: usize,
    /// Whether it is stored with k as its rows' direction: B transposed, or A not transposed.
    pub k_contiguous: bool,
    /// Words from one stored row to the next.
    pub row: usize,
}

impl Source {
    /// Start of the panel that begins at line `line` (a row of A, a column of B) and position `p` along k, and
    /// the words from there to the end of the operand.
    ///
    /// # Safety
    /// The position lies inside the operand.
    unsafe fn at(self, batch: usize, line: usize, p: usize) -> (*const f32, usize) {
        let inner = if self.k_contiguous { line * self.row + p } else { p * self.row + line };
        let offset = batch * self.batch + inner;
        // SAFETY: the caller's promise.
        (unsafe { self.start.add(offset) }, self.words - offset)
    }
}

/// Words of B from which strips are fetched ahead: a smaller one stays in L2 by itself.
const FETCH_FROM: usize = 128 << 10;

/// Row panels for which full panels of B's rows are read where they lie, if B is not in memory: each word is used so few
/// times that the copy costs more than reading it from L2 again, whose latency the arithmetic hides. One row panel uses
/// each word once wherever B is.
const FEW_PANELS: usize = 3;

/// Panels that are packed together, row by row.
const TOGETHER: usize = 40;

/// Operands of the blocked path.
#[derive(Clone, Copy)]
pub(super) struct Blocked<'a> {
    pub blocks: &'a Blocks,
    pub isa: Isa,
    pub a: Source,
    pub b: Source,
    /// The result, or the partial sums `[splits, batch, m, n]`.
    pub c: *mut f32,
    /// Where finished words of the result are announced.
    pub sink: Option<&'a dyn Sink>,
}

/// One block along k of one task.
#[derive(Clone, Debug)]
struct Block {
    batch: usize,
    /// Row panels.
    rows: Range<usize>,
    /// Column panels.
    columns: Range<usize>,
    k: Range<usize>,
    /// The block after this one.
    next_k: Option<Range<usize>>,
    /// Start of this product's result or partial sums.
    c: *mut f32,
    /// Whether earlier blocks are in C already.
    accumulate: bool,
}

impl Blocked<'_> {
    /// Runs one task.
    ///
    /// # Safety
    /// The CPU supports `isa`, which is that of the geometry; sources and result are live and of the blocks'
    /// extent; no other task runs with the same number meanwhile; `local` has `packed_a + packed_b` words.
    pub(super) unsafe fn run(self, task: usize, local: &mut [f32]) {
        let blocks = self.blocks;
        // Neighbouring tasks, which run at the same time, share their part of B.
        let (m_task, rest) = (task % blocks.m_tasks, task / blocks.m_tasks);
        let (n_task, rest) = (rest % blocks.n_tasks, rest / blocks.n_tasks);
        let (split, group) = (rest % blocks.splits, rest / blocks.splits);
        let rows = part(blocks.row_panels, blocks.m_tasks, m_task);
        let columns = part(blocks.column_panels, blocks.n_tasks, n_task);
        let depths = part(blocks.depths, blocks.splits, split);
        let Extent { batch, m, n, .. } = blocks.extent;
        let (packed_a, packed_b) = local.split_at_mut(blocks.packed_a());
        for batch in group * blocks.group..batch.min((group + 1) * blocks.group) {
            for block in depths.clone() {
                let block = Block {
                    batch,
                    rows: rows.clone(),
                    columns: columns.clone(),
                    k: blocks.depth(block),
                    next_k: (block + 1 < depths.end).then(|| blocks.depth(block + 1)),
                    // SAFETY: within [splits, batch, m, n].
                    c: unsafe { self.c.add((split * blocks.extent.batch + batch) * m * n) },
                    accumulate: block > depths.start,
                };
                // SAFETY: forwarded from the caller.
                unsafe { self.block(block, packed_a, packed_b) };
            }
        }
    }

    /// One block along k of one task: `C (+)= A[rows, k] * B[k, columns]`.
    ///
    /// # Safety
    /// As for [`Blocked::run`].
    unsafe fn block(self, block: Block, packed_a: &mut [f32], packed_b: &mut [f32]) {
        let Block { batch, rows: row_panels, columns: column_panels, k, next_k, c, accumulate } = block;
        let Self { blocks, isa, a, b, .. } = self;
        let (n, depth, width) = (blocks.extent.n, k.len(), blocks.geometry.columns());
        let fetch_c = blocks.extent.m * n > FETCH_FROM;
        let first_row = blocks.rows(row_panels.start).start;
        let packs_a = blocks.packs_a();
        if packs_a {
            self.pack_block(batch, row_panels.clone(), &k, packed_a);
        }
        let few = row_panels.len() <= FEW_PANELS && b.words <= 4 * FETCH_FROM;
        let in_place = (few || row_panels.len() == 1) && !b.k_contiguous;
        let strip = blocks.strip();
        for first in column_panels.clone().step_by(strip) {
            let panels = first..column_panels.end.min(first + strip);
            let slot = |panel: usize| (panel - first) * depth * width;
            let is_full = |panel: usize| blocks.columns(panel).len() == width;
            self.pack_strip(batch, panels.clone(), in_place, &k, packed_b);
            let mut ahead = Ahead::nothing();
            if !in_place && b.words > FETCH_FROM {
                if panels.end < column_panels.end {
                    ahead = self.fetch(batch, panels.end..column_panels.end.min(panels.end + strip), &k);
                } else if let Some(next) = &next_k {
                    let panels = column_panels.start..column_panels.end.min(column_panels.start + strip);
                    ahead = self.fetch(batch, panels, next);
                }
            }
            let stretches = panels.len() * row_panels.len() * (depth / STRETCH).max(1);
            let fetches = ahead.share(stretches);
            let strip_panels = panels.clone();
            for panel in panels {
                let columns = blocks.columns(panel);
                let (b_at, b_k) = if in_place && is_full(panel) {
                    // SAFETY: inside B.
                    (unsafe { b.at(batch, columns.start, k.start).0 }, b.row)
                } else {
                    (packed_b[slot(panel)..].as_ptr(), width)
                };
                let vectors = blocks.geometry.vectors_for(columns.len());
                for row_panel in row_panels.clone() {
                    let rows = blocks.rows(row_panel);
                    let (a_at, a_row, a_k) = if packs_a {
                        (packed_a[(rows.start - first_row) * depth..].as_ptr(), 1, rows.len())
                    } else {
                        // SAFETY: inside A.
                        let at = unsafe { a.at(batch, rows.start, k.start).0 };
                        if a.k_contiguous { (at, a.row, 1) } else { (at, 1, a.row) }
                    };
                    // SAFETY: the tile lies inside the result, and only this task writes it.
                    unsafe {
                        let c = c.add(rows.start * n + columns.start);
                        let tile = Tile {
                            k: depth,
                            a: a_at,
                            a_row,
                            a_k,
                            b: b_at,
                            b_k,
                            c,
                            c_row: n,
                            columns: columns.len(),
                            accumulate,
                            fetch_c,
                            ahead,
                            fetches,
                        };
                        ahead = tile::run(isa, rows.len(), vectors, tile);
                    }
                }
            }
            if let Some(sink) = self.sink.filter(|_| next_k.is_none() && blocks.splits == 1) {
                let columns =
                    blocks.columns(strip_panels.start).start..blocks.columns(strip_panels.end - 1).end;
                for row in first_row..blocks.rows(row_panels.end - 1).end {
                    // SAFETY: rows and columns of this task, to which nothing is added any more.
                    unsafe { sink.done((batch * blocks.extent.m + row) * n + columns.start, columns.len()) };
                }
            }
        }
    }

    /// The memory of a strip of B.
    fn fetch(&self, batch: usize, panels: Range<usize>, k: &Range<usize>) -> Ahead {
        let columns = self.blocks.columns(panels.start).start..self.blocks.columns(panels.end - 1).end;
        // SAFETY: inside B.
        let (at, _) = unsafe { self.b.at(batch, columns.start, k.start) };
        let (runs, words) =
            if self.b.k_contiguous { (columns.len(), k.len()) } else { (k.len(), columns.len()) };
        Ahead::new(at, runs, words, self.b.row)
    }

    /// Packs panels of rows of A one behind the other.
    fn pack_block(&self, batch: usize, row_panels: Range<usize>, k: &Range<usize>, to: &mut [f32]) {
        let (a, blocks, depth) = (self.a, self.blocks, k.len());
        let first_row = blocks.rows(row_panels.start).start;
        if self.by_rows(a) {
            // SAFETY: inside A.
            let (src, _) = unsafe { a.at(batch, first_row, k.start) };
            self.pack_rows(src, a.row, depth, row_panels, to, |panel| {
                let rows = blocks.rows(panel);
                let first = rows.start - first_row;
                Panel { first, width: rows.len(), at: first * depth, pitch: rows.len() }
            });
            return;
        }
        for panel in row_panels {
            let rows = blocks.rows(panel);
            // SAFETY: the panel lies inside A; panels follow each other in `to`, with a vector's room behind the last
            // one.
            unsafe {
                let (src, limit) = a.at(batch, rows.start, k.start);
                let dst = to[(rows.start - first_row) * depth..].as_mut_ptr();
                let (transposed, stride, width) = (a.k_contiguous, a.row, rows.len());
                run_on(self.isa, Pack { src, limit, transposed, stride, depth, width, pitch: width, dst });
            }
        }
    }

    /// Whether panels of an operand are packed row by row. Panels of AVX-512 are whole lines already.
    fn by_rows(&self, source: Source) -> bool {
        !source.k_contiguous && source.row >= PackRows::LEAST && self.isa != Isa::Avx512
    }

    /// Packs the panels that `panel` names, row by row.
    fn pack_rows(
        &self,
        src: *const f32,
        stride: usize,
        depth: usize,
        mut panels: Range<usize>,
        to: &mut [f32],
        panel: impl Fn(usize) -> Panel,
    ) {
        while !panels.is_empty() {
            let mut together = [Panel::default(); TOGETHER];
            let count = panels.len().min(TOGETHER);
            for (place, number) in together.iter_mut().zip(panels.by_ref()) {
                *place = panel(number);
            }
            let panels = &together[..count];
            assert!(panels.iter().all(|p| p.at + (depth - 1) * p.pitch + p.width <= to.len()));
            // SAFETY: the panels lie in the source, by the callers' choice, and in `to`.
            unsafe { run_on(self.isa, PackRows { src, stride, depth, panels, dst: to.as_mut_ptr() }) };
        }
    }

    /// Packs the panels of a strip of B one behind the other, leaving out those that are read in place.
    fn pack_strip(
        &self,
        batch: usize,
        panels: Range<usize>,
        in_place: bool,
        k: &Range<usize>,
        to: &mut [f32],
    ) {
        let (depth, pitch) = (k.len(), self.blocks.geometry.columns());
        if self.by_rows(self.b) && !in_place {
            let first = self.blocks.columns(panels.start).start;
            // SAFETY: inside B.
            let (src, _) = unsafe { self.b.at(batch, first, k.start) };
            let start = panels.start;
            self.pack_rows(src, self.b.row, depth, panels, to, |panel| {
                let columns = self.blocks.columns(panel);
                let at = (panel - start) * depth * pitch;
                Panel { first: columns.start - first, width: columns.len(), at, pitch }
            });
            return;
        }
        for (slot, panel) in panels.enumerate() {
            let columns = self.blocks.columns(panel);
            let width = columns.len();
            if in_place && width == pitch {
                continue;
            }
            let dst = to[slot * depth * pitch..][..depth * pitch].as_mut_ptr();
            // SAFETY: the panel lies inside B; whole vectors of a row end within the pitch.
            unsafe {
                let (src, limit) = self.b.at(batch, columns.start, k.start);
                let (transposed, stride) = (self.b.k_contiguous, self.b.row);
                run_on(self.isa, Pack { src, limit, transposed, stride, depth, width, pitch, dst });
            }
        }
    }
}
