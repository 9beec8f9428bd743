//! Weights transformed once, then blocks of tiles: a task transforms a block into scratch that stays in its L2, so
//! nothing but the transformed weights takes memory, and each block reads all of these.

use super::super::gather::{PACKED, cut_evenly};
use super::super::tile::strip;
use super::axis::Phase;
use super::run::{Tile, clear, finish, transform};
use super::transform::{MAX_POINTS, Points, WithPoints, run_with_points};
use super::{CHANNELS, Job, Problem, SKEW, weights};
use crate::fused::Sink;
use crate::gemm::product::{self, Ahead, STRETCH};
use crate::isa::Isa;
use crate::kernel::{OperandSpec, Operands};
use crate::simd::Simd;
use std::ops::Range;

/// Most tiles of a block: each block reads all transformed weights once.
const BLOCK: usize = 48;
/// Words of transformed tiles and products that a block should not exceed, so that most of it stays in L2.
const BLOCK_WORDS: usize = 640 << 10;
/// Tiles of a small block, one register tile.
const SMALL: usize = 12;
/// Tasks where there are enough blocks, and the fewest that blocks are made smaller for.
const TASKS: usize = 64;
const MIN_TASKS: usize = 16;
/// Cost of a transformed weight read from L3, in multiply-adds.
const WEIGHT_COST: f64 = 6.0;
/// The same of weights beyond `CACHED_WORDS`, which do not stay in L3 and are read from memory once a block.
const MEMORY_COST: f64 = 24.0;
const CACHED_WORDS: usize = 8 << 20;

/// Tiles `first .. first + count` of one job, batch-major.
#[derive(Clone, Debug)]
struct Block {
    job: usize,
    first: usize,
    count: usize,
}

/// The plan.
#[derive(Clone, Debug)]
pub struct ByTiles {
    problem: Problem,
    blocks: Vec<Block>,
    tasks: Vec<Range<usize>>,
}

impl ByTiles {
    pub(super) fn new(problem: Problem) -> ByTiles {
        let mut plan = ByTiles { problem, blocks: Vec::new(), tasks: Vec::new() };
        plan.cut();
        plan
    }

    pub fn isa(&self) -> Isa {
        self.problem.isa
    }

    /// Estimated cost of an image, in multiply-adds of the direct kernel.
    pub fn cost(&self) -> f64 {
        let tiles = self.most_tiles() as f64;
        let near = self.problem.packed_words <= CACHED_WORDS;
        let weight_cost = if near { WEIGHT_COST } else { MEMORY_COST };
        self.problem.cost(weight_cost / tiles, |_| 0.0)
    }

    /// Words of transformed tiles and products for one tile.
    fn tile_words(&self) -> usize {
        self.problem.jobs.iter().map(|job| job.data_words() + job.product_words()).max().unwrap_or(0)
    }

    /// Tiles of a full block.
    fn most_tiles(&self) -> usize {
        (BLOCK_WORDS / self.tile_words() / SMALL * SMALL).clamp(SMALL, BLOCK)
    }

    /// Cuts the tiles into blocks and tasks.
    fn cut(&mut self) {
        let all: usize = self.problem.jobs.iter().map(|job| self.problem.tiles(job)).sum();
        let mut block = self.most_tiles();
        while block > SMALL && all / block < MIN_TASKS {
            block -= SMALL;
        }
        let mut costs = Vec::new();
        for (index, job) in self.problem.jobs.iter().enumerate() {
            let tiles = self.problem.tiles(job);
            for first in (0..tiles).step_by(block) {
                let count = block.min(tiles - first);
                self.blocks.push(Block { job: index, first, count });
                costs.push((count * job.multiply_adds()) as f64);
            }
        }
        self.tasks = cut_evenly(&costs, TASKS);
    }

    pub fn operands(&self) -> Vec<OperandSpec> {
        self.problem.operands(self.problem.packed_words)
    }

    pub fn stages(&self) -> usize {
        2
    }

    pub fn tasks(&self, stage: usize) -> usize {
        if stage == 0 { weights::tasks(&self.problem) } else { self.tasks.len() }
    }

    pub fn local_words(&self) -> usize {
        let problem = &self.problem;
        let most = self.blocks.iter().map(|block| block.count).max().unwrap_or(0);
        let points = problem.jobs.iter().map(Job::points).max().unwrap_or(0);
        (problem.zeros() + most * self.tile_words() + 2 * points * SKEW).max(weights::local_words(problem))
    }

    /// Words of a pixel.
    pub fn run_words(&self) -> usize {
        self.problem.out.c
    }

    /// Runs one task.
    ///
    /// # Safety
    /// As [`Winograd::run`](super::Winograd::run).
    pub unsafe fn run(
        &self,
        stage: usize,
        task: usize,
        operands: &Operands<'_>,
        local: &mut [f32],
        sink: Option<&dyn Sink>,
    ) {
        let problem = &self.problem;
        if stage == 0 {
            // SAFETY: the caller's promises.
            return unsafe { weights::run(problem, task, operands, local) };
        }
        for block in &self.blocks[self.tasks[task].clone()] {
            let job = &problem.jobs[block.job];
            let body = BlockRun { problem, job, block, operands, local: local.as_mut_ptr(), sink };
            // SAFETY: the caller's promises.
            unsafe { run_with_points(problem.isa, job.axes.each_ref().map(Phase::points), body) }
        }
    }
}

/// What a block's task works on.
#[derive(Clone, Copy)]
struct BlockRun<'a> {
    problem: &'a Problem,
    job: &'a Job,
    block: &'a Block,
    operands: &'a Operands<'a>,
    /// A row of zeros, transformed tiles, products.
    local: *mut f32,
    /// Where finished pixels are announced.
    sink: Option<&'a dyn Sink>,
}

impl BlockRun<'_> {
    /// Where the products of a tile lie, for each point at which an output phase has a part, else the zeros.
    #[inline(always)]
    fn products(
        &self,
        i: usize,
        slots: &[Option<usize>],
        products: *const f32,
        zeros: *const f32,
    ) -> [*const f32; MAX_POINTS * MAX_POINTS] {
        let BlockRun { problem, job, block, .. } = *self;
        let mut from = [zeros; MAX_POINTS * MAX_POINTS];
        for (point, (from, slot)) in from.iter_mut().zip(slots).enumerate() {
            if let Some(slot) = slot {
                let row = job.products_at[point] * block.count + point * SKEW + i * job.widths[point];
                *from = products.wrapping_add(row + slot * problem.out.c);
            }
        }
        from
    }
}

impl WithPoints for BlockRun<'_> {
    #[inline(always)]
    unsafe fn call<S: Simd, Y: Points, X: Points>(self, s: S) {
        let run = self;
        let BlockRun { problem, job, block, operands, local, sink } = run;
        let tile = |i: usize| Tile::new(job, block.first + i);
        let channels = 0..problem.out.c;
        // SAFETY: scratch is laid out as `local_words` counts it: zeros, `count` tiles at every point, products.
        unsafe {
            let zeros = local;
            let data = zeros.add(problem.zeros());
            let products = data.add(block.count * job.data_words() + job.points() * SKEW);
            clear(s, zeros, problem.zeros());
            for i in 0..block.count {
                transform::<S, Y, X>(s, problem, job, tile(i), operands, zeros, block.count, i, data);
            }
            for point in 0..job.points() {
                let weights = operands.ptr(PACKED).add(job.weights_at[point]);
                multiply(
                    &run,
                    point,
                    data.add(job.data_at[point] * block.count + point * SKEW),
                    weights,
                    products.add(job.products_at[point] * block.count + point * SKEW),
                );
            }
            for i in 0..block.count {
                if let Some(sink) = sink
                    && i + 1 < block.count
                {
                    for result in &job.results {
                        tile(i + 1).pixels(problem, job, result, |at| sink.soon(at, problem.out.c));
                    }
                }
                for result in &job.results {
                    let from = run.products(i, &result.slots, products, zeros);
                    finish::<S, Y, X>(s, problem, job, result, tile(i), &from, channels.clone(), operands);
                }
                if let Some(sink) = sink {
                    for result in &job.results {
                        tile(i).pixels(problem, job, result, |at| sink.done(at, problem.out.c));
                    }
                }
            }
        }
    }
}

/// The products of all tiles at one point.
///
/// # Safety
/// As [`ByTiles::run`]; `data` holds the block's tiles at the point, `products` has room for its results.
unsafe fn multiply(
    run: &BlockRun<'_>,
    point: usize,
    data: *const f32,
    weights: *const f32,
    products: *mut f32,
) {
    let BlockRun { problem, job, block, .. } = *run;
    let (depth, stride, results) = (job.depths[point], block.count * CHANNELS, job.widths[point]);
    let (width, outputs) = (problem.panel_width(), problem.out.c);
    let (tallest, terms) = (product::tallest(problem.isa), terms(problem.isa));
    let strips = block.count.div_ceil(tallest);
    // Panels end with a phase of the outputs.
    for phase in (0..results).step_by(outputs) {
        for panel in (0..outputs).step_by(width) {
            let (first, columns) = (phase + panel, width.min(outputs - panel));
            for k in (0..depth).step_by(terms) {
                let part = terms.min(depth - k);
                // SAFETY: `part` rows of `columns` words, from the panel's k-th row on.
                let weights = unsafe { weights.add(first * depth + k * columns) };
                // What follows in memory is the next part, panel or point.
                let mut ahead = Ahead::new(weights.wrapping_add(part * columns), 1, part * columns, 0);
                let fetches = ahead.share(strips * (part / STRETCH));
                for i in 0..strips {
                    let rows = strip(block.count, tallest, i);
                    let also = product::Also { accumulate: k > 0, ahead, fetches };
                    // SAFETY: rows are the block's, with words for every term.
                    unsafe {
                        let start = data.add(k / CHANNELS * stride + rows.start * CHANNELS);
                        let a = product::Chunks { start, stride };
                        let c = product::Results {
                            start: products.add(rows.start * results + first),
                            stride: results,
                        };
                        ahead = product::run(problem.isa, rows.len(), part, a, weights, columns, c, also);
                    }
                }
            }
        }
    }
}

/// Terms of a sum that are taken at a time. On 16 columns their weights, 16 KiB, stay in an L1 of 32 KiB beside the tile's
/// rows while all tiles of the block pass; panels of 32 columns are taken whole.
fn terms(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => usize::MAX,
        Isa::Avx2 | Isa::Portable => 256,
    }
}
