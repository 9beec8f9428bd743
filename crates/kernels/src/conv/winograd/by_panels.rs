//! Tiles transformed once, then panels of outputs: a task transforms those weights that its panels need, some source
//! channels at a time, into scratch that stays in its L2, and multiplies all tiles of a block with them. For shapes
//! whose transformed weights are so many that reading them again and again, or writing them at all, takes longer.

use super::super::gather::{PACKED, WEIGHTS, share};
use super::super::tile::strip;
use super::axis::Phase;
use super::run::{Tile, clear, finish, transform};
use super::transform::{MAX_POINTS, Points, WithPoints, run_with_points};
use super::weights::{self, Filters};
use super::{CHANNELS, Job, Problem, SKEW};
use crate::fused::Sink;
use crate::gemm::product::{self, Ahead, STRETCH};
use crate::isa::Isa;
use crate::kernel::{OperandSpec, Operands};
use crate::simd::Simd;
use std::ops::Range;

/// Most tiles of a block, for each of which weights are transformed anew.
const BLOCK: usize = 64;
/// Output channels of a task, so many that what it reads of the tiles takes less time than what it computes.
const COLUMNS: usize = 64;
/// Terms of a sum that are formed at a time, so few that their weights stay in L2 beside the products.
const TERMS: usize = 64;
/// Words of transformed tiles that one stage makes for the next, unless a single block has more.
const WORKSPACE_WORDS: usize = 4 << 20;
/// Tasks of a transforming stage.
const TASKS: usize = 64;
/// Words of scratch beyond which it would not stay in L2, as where filters have many phases.
const SCRATCH_WORDS: usize = 320 << 10;
/// Cost of transforming a weight, and of reading a word of a transformed tile, in multiply-adds.
const WEIGHT_COST: f64 = 20.0;
const READ_COST: f64 = 1.0;

/// Tiles `first .. first + count` of one job, batch-major.
#[derive(Clone, Debug)]
struct Block {
    job: usize,
    first: usize,
    count: usize,
    /// Its first word in the workspace.
    at: usize,
}

/// The plan.
#[derive(Clone, Debug)]
pub struct ByPanels {
    problem: Problem,
    blocks: Vec<Block>,
    /// Blocks whose tiles are in the workspace at the same time.
    rounds: Vec<Range<usize>>,
    workspace: usize,
}

impl ByPanels {
    pub(super) fn new(problem: Problem) -> ByPanels {
        Self::bounded(problem, WORKSPACE_WORDS)
    }

    /// As [`ByPanels::new`], with another bound on the workspace.
    pub(super) fn bounded(problem: Problem, bound: usize) -> ByPanels {
        let mut plan = ByPanels { problem, blocks: Vec::new(), rounds: Vec::new(), workspace: 0 };
        let (mut first, mut at) = (0, 0);
        for (index, job) in plan.problem.jobs.iter().enumerate() {
            let tiles = plan.problem.tiles(job);
            let parts = tiles.div_ceil(BLOCK);
            for part in 0..parts {
                let tiles = share(tiles, part, parts);
                let words = tiles.len() * job.data_words() + job.points() * SKEW;
                if at > 0 && at + words > bound {
                    plan.rounds.push(first..plan.blocks.len());
                    (first, at) = (plan.blocks.len(), 0);
                }
                plan.blocks.push(Block { job: index, first: tiles.start, count: tiles.len(), at });
                at += words;
                plan.workspace = plan.workspace.max(at);
            }
        }
        plan.rounds.push(first..plan.blocks.len());
        plan
    }

    pub fn isa(&self) -> Isa {
        self.problem.isa
    }

    /// Estimated cost of an image, in multiply-adds of the direct kernel; infinite if the scratch of full blocks would
    /// be too large.
    pub fn cost(&self) -> f64 {
        if self.scratch(BLOCK) > SCRATCH_WORDS {
            return f64::INFINITY;
        }
        let reads = |job: &Job| (self.groups() * job.results.len()) as f64 * READ_COST;
        self.problem.cost(WEIGHT_COST / BLOCK as f64, reads)
    }

    /// Groups of panels, each of a task's own.
    fn groups(&self) -> usize {
        self.problem.out.c.div_ceil(COLUMNS)
    }

    /// Output channels of a group.
    fn columns(&self, group: usize) -> Range<usize> {
        group * COLUMNS..self.problem.out.c.min((group + 1) * COLUMNS)
    }

    pub fn operands(&self) -> Vec<OperandSpec> {
        self.problem.operands(self.workspace)
    }

    pub fn stages(&self) -> usize {
        2 * self.rounds.len()
    }

    pub fn tasks(&self, stage: usize) -> usize {
        let blocks = &self.blocks[self.rounds[stage / 2].clone()];
        if stage.is_multiple_of(2) {
            blocks.iter().map(|block| block.count).sum::<usize>().min(TASKS)
        } else {
            self.groups()
                * blocks.iter().map(|block| self.problem.jobs[block.job].results.len()).sum::<usize>()
        }
    }

    /// Words of a point's weights, and of its products of `count` tiles, in the scratch.
    fn regions(&self, job: &Job, count: usize) -> [usize; 2] {
        let columns = self.columns(0).len();
        [self.channels(job) * job.pairs.len() * columns + SKEW, count * columns + SKEW]
    }

    /// Source channels taken at a time.
    fn channels(&self, job: &Job) -> usize {
        // The chunks of several phases are evenly spaced only if each has one.
        if job.pairs.len() > 1 { CHANNELS } else { TERMS.min(self.problem.src.c) }
    }

    pub fn local_words(&self) -> usize {
        self.scratch(self.blocks.iter().map(|block| block.count).max().unwrap_or(0))
    }

    /// Words of scratch for blocks of `count` tiles.
    fn scratch(&self, count: usize) -> usize {
        let words = |job: &Job| job.points() * self.regions(job, count).iter().sum::<usize>();
        let most = self.problem.jobs.iter().map(words).max().unwrap_or(0);
        self.problem.zeros() + weights::local_words(&self.problem) + most
    }

    /// Nothing is announced: where there are several rounds, results are finished in several stages.
    pub fn run_words(&self) -> usize {
        0
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
        _: Option<&dyn Sink>,
    ) {
        let (problem, local) = (&self.problem, local.as_mut_ptr());
        let blocks = &self.blocks[self.rounds[stage / 2].clone()];
        // SAFETY: the caller's promises.
        unsafe {
            if stage.is_multiple_of(2) {
                let all = blocks.iter().map(|block| block.count).sum();
                let part = share(all, task, self.tasks(stage));
                let mut before = 0;
                for block in blocks {
                    let own = part.start.max(before)..part.end.min(before + block.count);
                    if !own.is_empty() {
                        let tiles = own.start - before..own.end - before;
                        let job = &problem.jobs[block.job];
                        let body = TransformRun { problem, job, block, tiles, operands, zeros: local };
                        run_with_points(problem.isa, job.axes.each_ref().map(Phase::points), body);
                    }
                    before += block.count;
                }
                return;
            }
            let mut task = task;
            for block in blocks {
                let job = &problem.jobs[block.job];
                let tasks = self.groups() * job.results.len();
                if task < tasks {
                    let (group, result) = (task % self.groups(), task / self.groups());
                    let body = MultiplyRun { plan: self, job, block, group, result, operands, local };
                    return run_with_points(problem.isa, job.axes.each_ref().map(Phase::points), body);
                }
                task -= tasks;
            }
        }
    }
}

/// Transforms some tiles of a block.
struct TransformRun<'a> {
    problem: &'a Problem,
    job: &'a Job,
    block: &'a Block,
    /// Counted from the block's first.
    tiles: Range<usize>,
    operands: &'a Operands<'a>,
    /// Room for a pixel's channels.
    zeros: *mut f32,
}

impl WithPoints for TransformRun<'_> {
    #[inline(always)]
    unsafe fn call<S: Simd, Y: Points, X: Points>(self, s: S) {
        let TransformRun { problem, job, block, tiles, operands, zeros } = self;
        // SAFETY: the scratch has room for the zeros, the workspace for the block, in which a tile has its own words.
        unsafe {
            clear(s, zeros, problem.zeros());
            let data = operands.ptr(PACKED).add(block.at);
            for i in tiles {
                let tile = Tile::new(job, block.first + i);
                transform::<S, Y, X>(s, problem, job, tile, operands, zeros, block.count, i, data);
            }
        }
    }
}

/// Computes a group of panels of one phase of the outputs, for all tiles of a block.
#[derive(Clone, Copy)]
struct MultiplyRun<'a> {
    plan: &'a ByPanels,
    job: &'a Job,
    block: &'a Block,
    group: usize,
    result: usize,
    operands: &'a Operands<'a>,
    /// Zeros, squares of channels, weights, products.
    local: *mut f32,
}

impl MultiplyRun<'_> {
    /// Words of a chunk: of [`CHANNELS`] channels of all tiles.
    fn chunk(&self) -> usize {
        self.block.count * CHANNELS
    }

    /// Phases of the source with a part at a point.
    fn slots(&self, point: usize) -> usize {
        self.job.depths[point] / self.plan.problem.src.c
    }

    /// Words from one chunk of a sum to the next. One phase has several chunks in turn; of several phases each has one.
    fn step(&self, point: usize) -> usize {
        if self.slots(point) > 1 { self.plan.problem.src.c / CHANNELS * self.chunk() } else { self.chunk() }
    }

    /// The tiles' first word at a point, in a source channel.
    fn data_at(&self, point: usize, channel: usize) -> *const f32 {
        let MultiplyRun { job, block, operands, .. } = *self;
        let at =
            block.at + job.data_at[point] * block.count + point * SKEW + channel / CHANNELS * self.chunk();
        operands.ptr(PACKED).cast_const().wrapping_add(at)
    }

    /// The memory of the tiles at one point, in some source channels.
    fn data(&self, point: usize, channels: Range<usize>) -> Ahead {
        let chunks = self.slots(point) * channels.len() / CHANNELS;
        Ahead::new(self.data_at(point, channels.start), chunks, self.chunk(), self.step(point))
    }

    /// The memory of one tap from some source channels to the group.
    fn filters(&self, tap: usize, channels: Range<usize>) -> Ahead {
        if channels.is_empty() {
            return Ahead::nothing();
        }
        let problem = &self.plan.problem;
        let (columns, [src_step, out_step]) = (self.plan.columns(self.group), problem.weight_steps);
        let at = tap * problem.tap_words + channels.start * src_step + columns.start * out_step;
        let first = self.operands.ptr(WEIGHTS).cast_const().wrapping_add(at);
        let (runs, words) =
            if out_step == 1 { (channels.len(), columns.len()) } else { (columns.len(), channels.len()) };
        Ahead::new(first, runs, words, src_step.max(out_step))
    }
}

impl WithPoints for MultiplyRun<'_> {
    #[inline(always)]
    unsafe fn call<S: Simd, Y: Points, X: Points>(self, s: S) {
        let MultiplyRun { plan, job, block, group, result, operands, local } = self;
        let problem = &plan.problem;
        let [weights_region, products_region] = plan.regions(job, block.count);
        let (columns, channels) = (plan.columns(group), plan.channels(job));
        let phase = &job.results[result];
        // SAFETY: the scratch is laid out as `local_words` counts it.
        unsafe {
            let zeros = local;
            let square = zeros.add(problem.zeros());
            let weights = square.add(weights::local_words(problem));
            let products = weights.add(job.points() * weights_region);
            clear(s, zeros, problem.zeros());
            for first in (0..problem.src.c).step_by(channels) {
                let some = first..problem.src.c.min(first + channels);
                transform_weights::<S, Y, X>(s, &self, some.clone(), square, weights);
                let next = some.end..problem.src.c.min(some.end + channels);
                let mut taps = job.pairs.iter().flat_map(|pair| {
                    let [ys, xs] = [0, 1].map(|axis| job.axes[axis].taps(pair.of[axis], phase.of[axis]));
                    ys.iter().flat_map(move |y| xs.iter().map(move |x| y * problem.kernel_width + x))
                });
                let present = |point: &usize| phase.slots[*point].is_some();
                let mut points = (0..job.points()).filter(present).peekable();
                while let Some(point) = points.next() {
                    // Of more taps than points the rest is not fetched.
                    let ahead = [
                        points.peek().map_or(Ahead::nothing(), |&point| self.data(point, some.clone())),
                        taps.next().map_or(Ahead::nothing(), |tap| self.filters(tap, next.clone())),
                    ];
                    let (weights, products) =
                        (weights.add(point * weights_region), products.add(point * products_region));
                    multiply(&self, point, some.clone(), weights, products, ahead);
                }
            }
            for i in 0..block.count {
                let mut from = [zeros.cast_const(); MAX_POINTS * MAX_POINTS];
                for (point, from) in from.iter_mut().enumerate().take(job.points()) {
                    if phase.slots[point].is_some() {
                        *from = products.add(point * products_region + i * columns.len());
                    }
                }
                let tile = Tile::new(job, block.first + i);
                finish::<S, Y, X>(s, problem, job, phase, tile, &from, columns.clone(), operands);
            }
        }
    }
}

/// The transformed weights from some source channels to the group, at each point
/// `[panel][phase of the source, channel][channel of the panel]`.
///
/// # Safety
/// As [`ByPanels::run`]; `square` and `weights` are the scratch's.
#[inline(always)]
unsafe fn transform_weights<S: Simd, Y: Points, X: Points>(
    s: S,
    run: &MultiplyRun<'_>,
    channels: Range<usize>,
    square: *mut f32,
    weights: *mut f32,
) {
    let MultiplyRun { plan, job, group, result, operands, .. } = *run;
    let (problem, region) = (&plan.problem, plan.regions(job, run.block.count)[0]);
    let (all, width) = (plan.columns(group), problem.panel_width());
    for panel in all.start / width..all.end.div_ceil(width) {
        for pair in 0..job.pairs.len() {
            for first in channels.clone().step_by(CHANNELS) {
                let filters = Filters { problem, job, pair, result, first, panel };
                let columns = filters.columns();
                let to = |point: usize, slot: usize, _: usize| {
                    let terms = job.depths[point] / problem.src.c * channels.len();
                    let row = slot * channels.len() + first - channels.start;
                    let at = (columns.start - all.start) * terms + row * columns.len();
                    weights.wrapping_add(point * region + at)
                };
                // SAFETY: a point's region has room for the terms of all phases by the group's columns.
                unsafe { filters.transform::<S, Y, X>(s, operands, square, to) };
            }
        }
    }
}

/// The products of the block's tiles at one point, over some source channels.
///
/// # Safety
/// As [`ByPanels::run`]; `weights` are the point's, `products` has room for the block.
unsafe fn multiply(
    run: &MultiplyRun<'_>,
    point: usize,
    channels: Range<usize>,
    weights: *const f32,
    products: *mut f32,
    ahead: [Ahead; 2],
) {
    let MultiplyRun { plan, block, group, .. } = *run;
    let isa = plan.problem.isa;
    let (all, width) = (plan.columns(group).len(), plan.problem.panel_width());
    let terms = run.slots(point) * channels.len();
    let (tallest, stride) = (product::tallest(isa), run.step(point));
    let strips = block.count.div_ceil(tallest);
    // The first panels fetch the one, the others the other.
    let panels = all.div_ceil(width);
    let halves = [0..panels / 2, panels / 2..panels];
    for (panels, mut ahead) in halves.into_iter().zip(ahead) {
        let fetches = ahead.share(panels.len() * strips * (terms / STRETCH));
        for column in panels.map(|panel| panel * width) {
            let columns = width.min(all - column);
            for i in 0..strips {
                let rows = strip(block.count, tallest, i);
                // SAFETY: rows are the block's, with chunks for every term; of the others the caller promises it.
                unsafe {
                    let start = run.data_at(point, channels.start).add(rows.start * CHANNELS);
                    let a = product::Chunks { start, stride };
                    let c = product::Results { start: products.add(rows.start * all + column), stride: all };
                    let also = product::Also { accumulate: channels.start > 0, ahead, fetches };
                    let weights = weights.add(column * terms);
                    ahead = product::run(isa, rows.len(), terms, a, weights, columns, c, also);
                }
            }
        }
    }
}
