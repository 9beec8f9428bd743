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
//! filters 121 in place of 400. The transformed weights are a multiple of the filters, so either they are made once and
//! read by every block of tiles ([`by_tiles`]), or the tiles are, and those weights made of which a panel of outputs
//! needs some at a time ([`by_panels`]). The weight gradient (`weight_grad`) runs the same transforms backwards.

mod axis;
mod by_panels;
mod by_tiles;
mod run;
#[cfg(test)]
mod tests;
mod transform;
mod weight_grad;
mod weight_grad_run;
mod weights;

pub use weight_grad::WinogradWeightGrad;

use super::gather::Image;
use super::shape::ConvShape;
use super::tile::{VECTORS, lanes};
use crate::fused::Sink;
use crate::gemm::product;
use crate::isa::Isa;
use crate::kernel::{OperandSpec, Operands};
use axis::Phase;
use by_panels::ByPanels;
use by_tiles::ByTiles;

/// Source and output channels are taken in vectors of every instruction set, so their numbers must be multiples. Of so
/// many source channels in turn all tiles of a block are neighbours, as the products read them.
const CHANNELS: usize = product::CHUNK;
/// Words between the tiles at neighbouring points, and their products, beyond their size, which is often a multiple of
/// 4 KiB: what belongs to one tile would fall into the same lines of L1.
const SKEW: usize = 16;
/// Multiply-adds a unit of time of the register tiles, relative to those of the direct kernel.
const RATE: f64 = 0.9;
/// Cost of a word of a transformed tile and of a product, in multiply-adds.
const DATA_COST: f64 = 5.0;
const PRODUCT_COST: f64 = 5.0;

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
        let (data_at, products_at) = (running(&depths), running(&widths));
        let words: Vec<usize> = depths.iter().zip(&widths).map(|(depth, width)| depth * width).collect();
        let weights_at = running(&words).into_iter().map(|at| *packed + at).collect();
        *packed += words.iter().sum::<usize>();
        Job { axes, pairs, results, depths, data_at, widths, products_at, weights_at }
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
        self.depths.iter().sum()
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

/// A forward pass or input gradient at fixed shapes, whichever way it is cut.
#[derive(Clone, Debug)]
struct Problem {
    isa: Isa,
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
    /// Words of all transformed weights.
    packed_words: usize,
    jobs: Vec<Job>,
}

impl Problem {
    /// The forward pass, if the algorithm fits the shape, which is valid.
    fn forward(isa: Isa, shape: &ConvShape) -> Option<Problem> {
        let axes = [Phase::forward(shape, 0)?, Phase::forward(shape, 1)?];
        Problem::new(isa, shape, axes, Image::input(shape), Image::output(shape), [shape.out_c, 1])
    }

    /// The input gradient, if the algorithm fits the shape, which is valid.
    fn input_grad(isa: Isa, shape: &ConvShape) -> Option<Problem> {
        let axes = [Phase::input_grad(shape, 0)?, Phase::input_grad(shape, 1)?];
        Problem::new(isa, shape, axes, Image::output(shape), Image::input(shape), [1, shape.out_c])
    }

    fn new(
        isa: Isa,
        shape: &ConvShape,
        axes: [Vec<Phase>; 2],
        src: Image,
        out: Image,
        weight_steps: [usize; 2],
    ) -> Option<Problem> {
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
        Some(Problem {
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
        })
    }

    /// The operands, with a workspace of so many words.
    fn operands(&self, workspace: usize) -> Vec<OperandSpec> {
        let image = |image: Image| self.batch * image.h * image.w * image.c;
        vec![
            OperandSpec::read(image(self.src)),
            OperandSpec::read(self.weight_words),
            OperandSpec::write(image(self.out)),
            OperandSpec::workspace(workspace),
        ]
    }

    /// Estimated cost of an image, in multiply-adds of the direct kernel: beside the transforms, of a product that takes
    /// `weights` for its transformed weight, and of as many reads of a job's tiles as `reads` says.
    fn cost(&self, weights: f64, reads: impl Fn(&Job) -> f64) -> f64 {
        let cost = |job: &Job| {
            let products = job.multiply_adds() as f64 * (1.0 / RATE + weights);
            let data = job.data_words() as f64 * (DATA_COST + reads(job));
            job.tiles() as f64 * (products + data + job.product_words() as f64 * PRODUCT_COST)
        };
        self.jobs.iter().map(cost).sum()
    }

    /// Tiles of a job.
    fn tiles(&self, job: &Job) -> usize {
        job.tiles() * self.batch
    }

    /// Columns of a full panel of weights.
    fn panel_width(&self) -> usize {
        VECTORS * lanes(self.isa)
    }

    fn panels(&self) -> usize {
        self.out.c.div_ceil(self.panel_width())
    }

    /// Words of a pixel of zeros, in place of sources outside the image and of products that are not formed.
    fn zeros(&self) -> usize {
        self.src.c.max(self.out.c)
    }
}

/// A forward pass or input gradient at fixed shapes, cut the way that costs less.
#[derive(Clone, Debug)]
pub enum Winograd {
    ByTiles(ByTiles),
    ByPanels(ByPanels),
}

/// `$plan.$method(..)` of whichever it is.
macro_rules! of {
    ($plan:expr, $method:ident $(, $argument:expr)*) => {
        match $plan {
            Winograd::ByTiles(plan) => plan.$method($($argument),*),
            Winograd::ByPanels(plan) => plan.$method($($argument),*),
        }
    };
}

impl Winograd {
    /// The forward pass, if the algorithm fits the shape, which is valid.
    pub fn forward(isa: Isa, shape: &ConvShape) -> Option<Winograd> {
        Problem::forward(isa, shape).map(Winograd::cheaper)
    }

    /// The input gradient, if the algorithm fits the shape, which is valid.
    pub fn input_grad(isa: Isa, shape: &ConvShape) -> Option<Winograd> {
        Problem::input_grad(isa, shape).map(Winograd::cheaper)
    }

    fn cheaper(problem: Problem) -> Winograd {
        let (tiles, panels) = (ByTiles::new(problem.clone()), ByPanels::new(problem));
        if panels.cost() < tiles.cost() { Winograd::ByPanels(panels) } else { Winograd::ByTiles(tiles) }
    }

    pub fn isa(&self) -> Isa {
        of!(self, isa)
    }

    /// Estimated cost of an image, in multiply-adds of the direct kernel.
    pub fn cost(&self) -> f64 {
        of!(self, cost)
    }

    pub fn operands(&self) -> Vec<OperandSpec> {
        of!(self, operands)
    }

    pub fn stages(&self) -> usize {
        of!(self, stages)
    }

    pub fn tasks(&self, stage: usize) -> usize {
        of!(self, tasks, stage)
    }

    pub fn local_words(&self) -> usize {
        of!(self, local_words)
    }

    /// Words of the result that are finished together, 0 if they are not announced.
    pub fn run_words(&self) -> usize {
        of!(self, run_words)
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
        // SAFETY: the caller's promises.
        unsafe { of!(self, run, stage, task, operands, local, sink) }
    }
}
