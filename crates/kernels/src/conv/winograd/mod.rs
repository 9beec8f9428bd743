//! Winograd's algorithm for the forward pass and the input gradient of convolutions whose stride phases have filters
//! of two or three taps: fewer products than the definition has, at a stated loss of accuracy.
//!
//! A convolution of stride s is a sum of s x s convolutions of stride 1, of the source's pixels (s i + p, s j + q) by
//! the taps (s a + p', s b + q'); its input gradient has s x s phases of outputs instead. Each is taken in tiles of 4x4
//! outputs: the tile's source pixels are transformed ([`transform`]), at each point of the transform one matrix product
//! over the source's channels replaces the convolution, and its results are transformed back. Phases of the source that
//! add to the same outputs are terms of the same sums; phases of outputs that see the same source are columns of the
//! same products. All phases share the points that the largest filter needs; at infinity a smaller one has no part and
//! costs nothing.
//!
//! For 4x4 filters of stride 2 that is 25 products of four phases' channels where the definition has 64, for 5x5
//! filters 121 in place of 400. A task transforms a block of tiles into scratch that stays in its L2, so nothing but
//! the transformed weights takes memory. The weight gradient (`weight_grad`) runs the same transforms backwards.

mod axis;
mod run;
#[cfg(test)]
mod tests;
mod transform;
mod weight_grad;
mod weight_grad_run;
mod weights;

pub use weight_grad::WinogradWeightGrad;

use super::gather::{Image, OUT, PACKED, SRC, WEIGHTS, cut_evenly};
use super::shape::ConvShape;
use super::tile::{VECTORS, lanes};
use crate::fused::Sink;
use crate::isa::Isa;
use crate::kernel::{OperandSpec, Operands};
use axis::Phase;
use run::BlockRun;
use std::ops::Range;
use transform::run_with_points;

/// Source and output channels are taken in vectors of every instruction set, so their numbers must be multiples.
const CHANNELS: usize = 16;
/// Most tiles of a block: each block reads all transformed weights once.
const BLOCK: usize = 48;
/// Words of transformed tiles and products that a block should not exceed, so that most of it stays in L2.
const BLOCK_WORDS: usize = 640 << 10;
/// Words between the tiles at neighbouring points, and their products, beyond their size, which is often a multiple of
/// 4 KiB: what belongs to one tile would fall into the same lines of L1.
const SKEW: usize = 16;
/// Tiles of a small block, one register tile.
const SMALL: usize = 12;
/// Tasks where there are enough blocks, and the fewest that blocks are made smaller for.
const TASKS: usize = 64;
const MIN_TASKS: usize = 16;
/// Cost of a word of a transformed tile, of a product and of a transformed weight read from L3, in multiply-adds.
const DATA_COST: f64 = 5.0;
const PRODUCT_COST: f64 = 5.0;
const WEIGHT_COST: f64 = 6.0;
/// The same of weights beyond `CACHED_WORDS`, which do not stay in L3 and are read from memory once a block.
const MEMORY_COST: f64 = 24.0;
const CACHED_WORDS: usize = 8 << 20;
/// Multiply-adds a unit of time of the register tiles, relative to those of the direct kernel.
const RATE: f64 = 0.9;

/// A phase of the source or of the outputs, along both axes.
#[derive(Clone, Debug)]
struct Pair {
    /// The vertical and the horizontal phase.
    of: [usize; 2],
    /// For each point, the position among the pairs with a part there.
    slots: Vec<Option<usize>>,
}

impl Pair {
    /// All pairs of `counts` phases, and how many have a part at each point: those for which `active(axis, phase, point)`
    /// on both axes.
    fn all(
        axes: &[Phase; 2],
        counts: [usize; 2],
        active: impl Fn(&Phase, usize, usize) -> bool,
    ) -> (Vec<Pair>, Vec<usize>) {
        let (ny, nx) = (axes[0].points(), axes[1].points());
        let mut parts = vec![0; ny * nx];
        let mut pairs = Vec::new();
        for (y, x) in (0..counts[0]).flat_map(|y| (0..counts[1]).map(move |x| (y, x))) {
            let slots = (0..ny * nx).map(|point| {
                (active(&axes[0], y, point / nx) && active(&axes[1], x, point % nx)).then(|| {
                    parts[point] += 1;
                    parts[point] - 1
                })
            });
            pairs.push(Pair { slots: slots.collect(), of: [y, x] });
        }
        (pairs, parts)
    }
}

/// Phases that share their tiles.
#[derive(Clone, Debug)]
struct Job {
    axes: [Phase; 2],
    /// Phases of the source: rows of the weights.
    pairs: Vec<Pair>,
    /// Phases of the outputs: columns of the weights.
    results: Vec<Pair>,
    /// For each point, the length of its sums.
    depths: Vec<usize>,
    /// For each point, the words from one tile to the next.
    strides: Vec<usize>,
    /// For each point, words of a tile at the points before.
    data_at: Vec<usize>,
    /// For each point, results of a tile, and those at the points before.
    widths: Vec<usize>,
    products_at: Vec<usize>,
    /// For each point, first word of its packed weights.
    weights_at: Vec<usize>,
}

impl Job {
    fn new(axes: [Phase; 2], channels: usize, outputs: usize, packed: &mut usize) -> Job {
        let sources = axes.each_ref().map(|axis| axis.sources.len());
        let (pairs, parts) = Pair::all(&axes, sources, |axis, source, point| {
            (0..axis.outputs.len()).any(|output| axis.active(source, output, point))
        });
        let depths: Vec<usize> = parts.iter().map(|n| n * channels).collect();
        let (results, parts) =
            Pair::all(&axes, axes.each_ref().map(|axis| axis.outputs.len()), |axis, output, point| {
                (0..axis.sources.len()).any(|source| axis.active(source, output, point))
            });
        let widths: Vec<usize> = parts.iter().map(|n| n * outputs).collect();
        // Rows a multiple of 4 KiB apart would fall into the same lines of L1.
        let strides: Vec<usize> = depths.iter().map(|&k| if k % 256 == 0 { k + 16 } else { k }).collect();
        let (data_at, products_at) = (running(&strides), running(&widths));
        let words: Vec<usize> = depths.iter().zip(&widths).map(|(depth, width)| depth * width).collect();
        let weights_at = running(&words).into_iter().map(|at| *packed + at).collect();
        *packed += words.iter().sum::<usize>();
        Job { axes, pairs, results, depths, strides, data_at, widths, products_at, weights_at }
    }

    fn points(&self) -> usize {
        self.depths.len()
    }

    /// Tiles of an image.
    fn tiles(&self) -> usize {
        self.axes[0].tiles() * self.axes[1].tiles()
    }

    /// Words of a transformed tile.
    fn data_words(&self) -> usize {
        self.strides.iter().sum()
    }

    /// Words of a tile's products.
    fn product_words(&self) -> usize {
        self.widths.iter().sum()
    }

    /// Multiply-adds of a tile.
    fn multiply_adds(&self) -> usize {
        self.depths.iter().zip(&self.widths).map(|(depth, width)| depth * width).sum()
    }
}

/// Sums of the numbers before each.
fn running(numbers: &[usize]) -> Vec<usize> {
    numbers
        .iter()
        .scan(0, |sum, n| {
            *sum += n;
            Some(*sum - n)
        })
        .collect()
}

/// Tiles `first .. first + count` of one job, batch-major.
#[derive(Clone, Debug)]
struct Block {
    job: usize,
    first: usize,
    count: usize,
}

/// A forward pass or input gradient at fixed shapes.
#[derive(Clone, Debug)]
pub struct Winograd {
    pub isa: Isa,
    src: Image,
    out: Image,
    batch: usize,
    /// Filter columns.
    kernel_width: usize,
    /// Words between neighbouring source channels and output channels in the unpacked weights.
    weight_steps: [usize; 2],
    /// Words of one tap in the unpacked weights.
    tap_words: usize,
    weight_words: usize,
    packed_words: usize,
    jobs: Vec<Job>,
    blocks: Vec<Block>,
    tasks: Vec<Range<usize>>,
}

impl Winograd {
    /// The forward pass, if the algorithm fits the shape and pays. The shape is valid.
    pub fn forward(isa: Isa, shape: &ConvShape) -> Option<Winograd> {
        let src = Image::input(shape);
        let out = Image::output(shape);
        let axes = [Phase::forward(shape, 0)?, Phase::forward(shape, 1)?];
        Winograd::new(isa, shape, axes, src, out, [shape.out_c, 1])
    }

    /// The input gradient, if the algorithm fits the shape and pays. The shape is valid.
    pub fn input_grad(isa: Isa, shape: &ConvShape) -> Option<Winograd> {
        let src = Image::output(shape);
        let out = Image::input(shape);
        let axes = [Phase::input_grad(shape, 0)?, Phase::input_grad(shape, 1)?];
        Winograd::new(isa, shape, axes, src, out, [1, shape.out_c])
    }

    fn new(
        isa: Isa,
        shape: &ConvShape,
        axes: [Vec<Phase>; 2],
        src: Image,
        out: Image,
        weight_steps: [usize; 2],
    ) -> Option<Winograd> {
        let whole = |channels: usize| channels.is_multiple_of(CHANNELS);
        if shape.groups > 1 || shape.dilation != [1, 1] || !whole(src.c) || !whole(out.c) {
            return None;
        }
        let mut packed_words = 0;
        let [ys, xs] = &axes;
        let jobs: Vec<Job> = ys
            .iter()
            .flat_map(|y| xs.iter().map(move |x| [y.clone(), x.clone()]))
            .map(|axes| Job::new(axes, src.c, out.c, &mut packed_words))
            .collect();
        let mut plan = Winograd {
            isa,
            src,
            out,
            batch: shape.batch,
            kernel_width: shape.kernel[1],
            weight_steps,
            tap_words: shape.in_c * shape.out_c,
            weight_words: shape.weight_words(),
            packed_words,
            jobs,
            blocks: Vec::new(),
            tasks: Vec::new(),
        };
        plan.cut();
        Some(plan)
    }

    /// Estimated cost of an image, in multiply-adds of the direct kernel.
    pub fn cost(&self) -> f64 {
        let tiles = self.most_tiles() as f64;
        // Measured on AVX2 alone.
        let far = self.isa == Isa::Avx2 && self.packed_words > CACHED_WORDS;
        let weight_cost = if far { MEMORY_COST } else { WEIGHT_COST };
        let cost = |job: &Job| {
            let depth: usize = job.depths.iter().sum();
            let products = job.multiply_adds() as f64 * (1.0 / RATE + weight_cost / tiles);
            let transforms = depth as f64 * DATA_COST + job.product_words() as f64 * PRODUCT_COST;
            job.tiles() as f64 * (products + transforms)
        };
        self.jobs.iter().map(cost).sum()
    }

    /// Words of transformed tiles and products for one tile.
    fn tile_words(&self) -> usize {
        self.jobs.iter().map(|job| job.data_words() + job.product_words()).max().unwrap_or(0)
    }

    /// Tiles of a full block.
    fn most_tiles(&self) -> usize {
        (BLOCK_WORDS / self.tile_words() / SMALL * SMALL).clamp(SMALL, BLOCK)
    }

    /// Cuts the tiles into blocks and tasks.
    fn cut(&mut self) {
        let all: usize = self.jobs.iter().map(|job| job.tiles() * self.batch).sum();
        let mut block = self.most_tiles();
        while block > SMALL && all / block < MIN_TASKS {
            block -= SMALL;
        }
        let mut costs = Vec::new();
        for (index, job) in self.jobs.iter().enumerate() {
            let tiles = job.tiles() * self.batch;
            for first in (0..tiles).step_by(block) {
                let count = block.min(tiles - first);
                self.blocks.push(Block { job: index, first, count });
                costs.push((count * job.multiply_adds()) as f64);
            }
        }
        self.tasks = cut_evenly(&costs, TASKS);
    }

    fn panel_width(&self) -> usize {
        VECTORS * lanes(self.isa)
    }

    fn panels(&self) -> usize {
        self.out.c.div_ceil(self.panel_width())
    }

    pub fn operands(&self) -> Vec<OperandSpec> {
        let image = |image: Image| self.batch * image.h * image.w * image.c;
        let specs = [
            OperandSpec::read(image(self.src)),
            OperandSpec::read(self.weight_words),
            OperandSpec::write(image(self.out)),
            OperandSpec::workspace(self.packed_words),
        ];
        debug_assert_eq!([SRC, WEIGHTS, OUT, PACKED], [0, 1, 2, 3]);
        specs.into()
    }

    pub fn stages(&self) -> usize {
        2
    }

    pub fn tasks(&self, stage: usize) -> usize {
        if stage == 0 { weights::tasks(self) } else { self.tasks.len() }
    }

    /// Words of a pixel of zeros, in place of sources outside the image and of products that are not formed.
    fn zeros(&self) -> usize {
        self.src.c.max(self.out.c)
    }

    pub fn local_words(&self) -> usize {
        let most = self.blocks.iter().map(|block| block.count).max().unwrap_or(0);
        let points = self.jobs.iter().map(Job::points).max().unwrap_or(0);
        (self.zeros() + most * self.tile_words() + 2 * points * SKEW).max(weights::local_words(self))
    }

    /// Words of a pixel.
    pub fn run_words(&self) -> usize {
        self.out.c
    }

    /// Runs one task, announcing finished words of the result to `sink`.
    ///
    /// # Safety
    /// As [`Kernel::run`](crate::kernel::Kernel::run).
    pub unsafe fn run(
        &self,
        stage: usize,
        task: usize,
        operands: &Operands<'_>,
        local: &mut [f32],
        sink: Option<&dyn Sink>,
    ) {
        assert!(local.len() >= self.local_words(), "too little local scratch");
        if stage == 0 {
            // SAFETY: the caller's promises.
            return unsafe { weights::run(self, task, operands, local) };
        }
        for block in &self.blocks[self.tasks[task].clone()] {
            let job = &self.jobs[block.job];
            let body = BlockRun { plan: self, job, block, operands, local: local.as_mut_ptr(), sink };
            // SAFETY: the caller's promises.
            unsafe { run_with_points(self.isa, job.axes.each_ref().map(Phase::points), body) }
        }
    }
}
