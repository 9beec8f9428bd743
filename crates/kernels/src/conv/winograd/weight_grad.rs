//! The weight gradient, by the transposed algorithm.
//!
//! The forward pass is y = A' [ (G g G') . (B' d B) ] A in every tile, with a sum over channels at each point. It is
//! linear in g, so its adjoint is dg = G' [ sum over tiles of (B' d B) . (A dy A') ] G: the data transform of x as in the
//! forward pass, that of the output gradients by A, and at each point one matrix product whose sums run over all tiles.
//!
//! One stage transforms a chunk of tiles into a workspace, in the order in which the products read it; the next
//! multiplies. A multiplying task owns all points of a square of channels, so that it can transform their sums back
//! from its L2. Chunks bound the workspace and follow one another, each adding to the gradient.

use super::super::gather::share;
use super::super::shape::ConvShape;
use super::super::tile::{VECTORS, lanes};
use super::axis::Phase;
use super::transform::run_with_points;
use super::weight_grad_run::{MultiplyRun, TransformRun};
use super::{CHANNELS, Job, SKEW};
use crate::isa::Isa;
use crate::kernel::{OperandSpec, Operands};
use std::ops::Range;

/// Operand numbers.
pub(super) const X: usize = 0;
pub(super) const DY: usize = 1;
pub(super) const DW: usize = 2;
pub(super) const WORKSPACE: usize = 3;

/// Words that the workspace should not exceed, so that what one stage writes the next still finds in L3, of which other
/// operands and programs take their share.
const WORKSPACE_WORDS: usize = 2 << 20;
/// Words that it exceeds not even for a chunk of [`DEPTH`] tiles, which many channels need.
const MOST_WORDS: usize = 8 << 20;
/// Terms of a sum that are formed in registers before they are added to the scratch: as many rows of a panel of output
/// gradients as stay in L1.
pub(super) const DEPTH: usize = 128;
/// Rows of the products of a task: input channels of all pairs.
const ROWS: usize = 64;
/// Output channels of a task, unless there would be fewer than `MIN_TASKS` or more than `ROWS` rows.
const COLUMNS: usize = 64;
const MIN_TASKS: usize = 8;
/// Tasks of a transforming stage.
const TASKS: usize = 64;
/// Multiply-adds a unit of time of the register tiles, relative to those of the direct kernel.
const RATE: f64 = 0.95;

/// Cost of a word of transformed input and of transformed output gradients, in multiply-adds.
fn data_cost(isa: Isa) -> f64 {
    match isa {
        Isa::Avx512 | Isa::Portable => 9.0,
        // Chosen so that 32 to 64 channels at 28x28 go directly, which was faster there.
        Isa::Avx2 => 36.0,
    }
}

/// A weight gradient at fixed shapes.
#[derive(Clone, Debug)]
pub struct WinogradWeightGrad {
    pub isa: Isa,
    pub shape: ConvShape,
    /// The forward pass over one block of input channels.
    pub(super) job: Job,
    /// Input channels and output channels of a task.
    pub(super) block: [usize; 2],
    /// Most tiles of a chunk.
    most: usize,
    chunks: usize,
}

impl WinogradWeightGrad {
    /// The plan, if the algorithm fits the shape, which is valid.
    pub fn new(isa: Isa, shape: &ConvShape) -> Option<WinogradWeightGrad> {
        Self::bounded(isa, shape, WORKSPACE_WORDS)
    }

    /// As [`WinogradWeightGrad::new`], with another bound on the workspace.
    pub(super) fn bounded(isa: Isa, shape: &ConvShape, words: usize) -> Option<WinogradWeightGrad> {
        let whole = |channels: usize| channels.is_multiple_of(CHANNELS);
        if shape.groups > 1 || shape.dilation != [1, 1] || !whole(shape.in_c) || !whole(shape.out_c) {
            return None;
        }
        let [y, x] = [0, 1].map(|axis| Phase::forward(shape, axis)?.pop());
        let axes = [y?, x?];
        let pairs = axes[0].sources.len() * axes[1].sources.len();
        let rows = [4 * CHANNELS, 2 * CHANNELS]
            .into_iter()
            .find(|c| c * pairs <= ROWS && shape.in_c.is_multiple_of(*c))
            .unwrap_or(CHANNELS);
        let width = VECTORS * lanes(isa);
        let mut columns = COLUMNS;
        let few = |columns| shape.in_c / rows * shape.out_c.div_ceil(columns) < MIN_TASKS;
        while columns > width && (few(columns) || rows * pairs > ROWS) {
            columns /= 2;
        }
        let job = Job::new(axes, rows, shape.out_c, &mut 0);
        let mut plan =
            WinogradWeightGrad { isa, shape: *shape, job, block: [rows, columns], most: 1, chunks: 1 };
        let tiles = plan.tiles();
        let fewest = DEPTH.min(MOST_WORDS / plan.tile_words()).max(1);
        let room = (words / plan.tile_words() / DEPTH * DEPTH).max(fewest);
        plan.chunks = tiles.div_ceil(room);
        plan.most = (0..plan.chunks).map(|i| plan.chunk(i).len()).max()?;
        Some(plan)
    }

    /// Estimated cost of an image, in multiply-adds of the direct kernel. The transform back is done once a batch.
    pub fn cost(&self) -> f64 {
        let depth: usize = self.job.depths.iter().sum();
        let depth = (depth * self.blocks()) as f64;
        let (points, outputs) = (self.job.points() as f64, self.shape.out_c as f64);
        self.job.tiles() as f64 * (depth * outputs / RATE + (depth + points * outputs) * data_cost(self.isa))
    }

    /// Tiles of the batch.
    fn tiles(&self) -> usize {
        self.job.tiles() * self.shape.batch
    }

    /// Tiles of a chunk, which are numbered batch-major.
    pub(super) fn chunk(&self, i: usize) -> Range<usize> {
        share(self.tiles(), i, self.chunks)
    }

    /// Blocks of input channels.
    pub(super) fn blocks(&self) -> usize {
        self.shape.in_c / self.block[0]
    }

    /// Most columns of a panel.
    pub(super) fn width(&self) -> usize {
        VECTORS * lanes(self.isa)
    }

    fn panels(&self) -> usize {
        self.shape.out_c.div_ceil(self.width())
    }

    /// Words of a transformed tile.
    fn tile_words(&self) -> usize {
        self.blocks() * self.job.depths.iter().sum::<usize>()
            + self.panels() * self.job.points() * self.width()
    }

    /// Words from the transformed input of a point to that of the next: for each tile, a row of `job.depths[point]`.
    pub(super) fn x_region(&self, point: usize) -> usize {
        self.job.depths[point] * self.most + SKEW
    }

    /// Where the transformed input of a block and a point begins.
    pub(super) fn x_at(&self, block: usize, point: usize) -> usize {
        let words = |points: usize| (0..points).map(|point| self.x_region(point)).sum::<usize>();
        block * words(self.job.points()) + words(point)
    }

    /// Words from the transformed gradients of a point to those of the next: for each tile, a row of a panel's columns.
    pub(super) fn dy_region(&self) -> usize {
        self.most * self.width() + SKEW
    }

    /// Where the transformed gradients of a panel and a point begin.
    pub(super) fn dy_at(&self, panel: usize, point: usize) -> usize {
        self.x_at(self.blocks(), 0) + (panel * self.job.points() + point) * self.dy_region()
    }

    /// Words from the sums of a point to those of the next in a multiplying task's scratch.
    pub(super) fn sums_region(&self, point: usize) -> usize {
        self.job.depths[point] * self.block[1] + SKEW
    }

    pub fn operands(&self) -> Vec<OperandSpec> {
        vec![
            OperandSpec::read(self.shape.input_words()),
            OperandSpec::read(self.shape.output_words()),
            OperandSpec::write(self.shape.weight_words()),
            OperandSpec::workspace(self.dy_at(self.panels(), 0)),
        ]
    }

    pub fn stages(&self) -> usize {
        2 * self.chunks
    }

    pub fn tasks(&self, stage: usize) -> usize {
        if stage.is_multiple_of(2) {
            self.chunk(stage / 2).len().min(TASKS)
        } else {
            self.blocks() * self.shape.out_c.div_ceil(self.block[1])
        }
    }

    pub fn local_words(&self) -> usize {
        let sums: usize = (0..self.job.points()).map(|point| self.sums_region(point)).sum();
        sums.max(self.shape.in_c.max(self.shape.out_c))
    }

    /// Runs one task.
    ///
    /// # Safety
    /// As [`Kernel::run`](crate::kernel::Kernel::run).
    pub unsafe fn run(&self, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        assert!(local.len() >= self.local_words(), "too little local scratch");
        let (chunk, local) = (self.chunk(stage / 2), local.as_mut_ptr());
        let points = self.job.axes.each_ref().map(Phase::points);
        // SAFETY: the caller's promises.
        unsafe {
            if stage.is_multiple_of(2) {
                let part = share(chunk.len(), task, self.tasks(stage));
                let body = TransformRun { plan: self, chunk: chunk.start, part, operands, zeros: local };
                run_with_points(self.isa, points, body);
            } else {
                let block = [task % self.blocks(), task / self.blocks()];
                let body = MultiplyRun {
                    plan: self,
                    tiles: chunk.len(),
                    add: chunk.start > 0,
                    block,
                    operands,
                    sums: local,
                };
                run_with_points(self.isa, points, body);
            }
        }
    }
}
