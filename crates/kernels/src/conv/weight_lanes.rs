//! Direct weight gradients with input channels in the lanes of vectors: how they are cut into work.
//!
//! A tile is a few output channels by two vectors of input channels, summed over pixels: its rows are broadcast from
//! output gradients, its vectors are a panel of what the pixels hold under a tap of the filter. Both must lie as the tile
//! walks over them. What interleaves channels a few words at a time, the rows, is so packed once a block of pixels for
//! all taps; what is copied for every tap, the panel, is one cache line a pixel, into words that stay in L1 while all
//! output channels pass. Pixels whose tap lies outside the image are left out of the panel, and a list leads to the
//! gradients of the others, so that padding is not multiplied with.
//!
//! Sums are `[chunk][tap][panel][output channel][lane]`: those of a tile are neighbours, and those of the next tile
//! follow. The second stage adds the chunks in order and transposes them.

use super::gather::share;
use super::shape::ConvShape;
use super::taps::Tap;
use super::tile::{VECTORS, lanes, tallest};
use super::weight_lanes_run::{CombineRun, SumRun};
use super::weight_plan::PARTIAL_WORDS;
use crate::isa::Isa;
use crate::kernel::{OperandSpec, Operands};
use crate::simd::run_on;
use std::ops::Range;

/// Output pixels that a task works on at a time: the panel of a tap takes 16 KiB of an L1 of 32 KiB, beside the rows of
/// the tile and of the next.
pub(super) const BLOCK: usize = 256;
/// Output channels whose gradients are packed at a time, a quarter to a half of an L2 of 512 KiB.
const PACKED_CHANNELS: usize = 256;
/// Words of sums that share that L2 with packed gradients and what the block's pixels hold.
const L2_WORDS: usize = 112 << 10;
/// Tasks where the shape is large enough: two for each of 16 threads.
const TASKS: usize = 32;
/// Fewest channels of the input, and of outputs, that fill tiles.
const CHANNELS: usize = 16;
/// Fewest sums of an output channel for which interleaving its gradients pays.
const SUMS: usize = 256;
/// Tasks of the combining stage.
const COMBINED: usize = 64;

/// A weight gradient at fixed shapes.
#[derive(Clone, Debug)]
pub(super) struct InputLanes {
    pub isa: Isa,
    pub shape: ConvShape,
    /// Row by row.
    pub taps: Vec<Tap>,
    /// The output channels of each row of tiles, of at most two heights.
    pub strips: Vec<Range<usize>>,
    pub cut: Cut,
}

/// How the summing stage is cut into tasks: so many of each kind, all combinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Pieces of the pixels, each with sums of its own.
    chunks: usize,
    /// Pieces of the filter rows: each row, or all together.
    filter_rows: usize,
    /// Pieces of the panels of input channels.
    inputs: usize,
    /// Pieces of the strips of output channels.
    outputs: usize,
}

/// One task of the summing stage.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub chunk: usize,
    pub pixels: Range<usize>,
    pub taps: Range<usize>,
    pub panels: Range<usize>,
    pub strips: Range<usize>,
}

impl InputLanes {
    /// The plan, where it is the faster of the direct kernels. The shape is valid.
    pub fn new(isa: Isa, shape: &ConvShape) -> Option<InputLanes> {
        // Tiles of 12 x 32 have other bounds, and half as many registers would not hold the tile.
        let fits = isa == Isa::Avx2
            && shape.groups == 1
            && shape.in_c >= CHANNELS
            && shape.out_c >= CHANNELS
            && shape.taps() * shape.in_c >= SUMS
            // Lanes that hold no channel are multiplied all the same.
            && 8 * shape.in_c >= 7 * shape.in_c.next_multiple_of(lanes(isa));
        fits.then(|| {
            let [kh, kw] = shape.kernel;
            let taps = (0..kh).flat_map(|y| (0..kw).map(move |x| Tap::new(shape, [y, x])));
            let strips = shape.out_c.div_ceil(tallest(isa));
            let mut plan = InputLanes {
                isa,
                shape: *shape,
                taps: taps.collect(),
                strips: (0..strips).map(|i| share(shape.out_c, i, strips)).collect(),
                cut: Cut { chunks: 1, filter_rows: 1, inputs: 1, outputs: 1 },
            };
            plan.cut = plan.best_cut();
            plan
        })
    }

    /// The cut into enough tasks that costs least.
    fn best_cut(&self) -> Cut {
        let mut best = (f64::INFINITY, self.cut);
        let room = PARTIAL_WORDS / self.sums_words();
        let room = room.min(self.pixels().div_ceil(BLOCK).div_ceil(2)).max(1);
        let fewest = self.shape.out_c.div_ceil(PACKED_CHANNELS);
        for filter_rows in [1, self.shape.kernel[0]] {
            for inputs in 1..=self.panels() {
                for outputs in fewest..=self.strips.len().min(2 * fewest) {
                    let parts = filter_rows * inputs * outputs;
                    let chunks = TASKS.div_ceil(parts).min(room);
                    let cut = Cut { chunks, filter_rows, inputs, outputs };
                    let missing = TASKS as f64 / (chunks * parts).min(TASKS) as f64;
                    let cost = self.cycles(cut) * missing;
                    if cost < best.0 {
                        best = (cost, cut);
                    }
                }
            }
        }
        best.1
    }

    /// An estimate of the cycles that a cut takes on one core.
    fn cycles(&self, cut: Cut) -> f64 {
        /// To copy a line of the input, to pack the gradients of a strip, to list a pixel, to add a tile to sums in L2 or
        /// beyond it, to combine a word of partial sums; about what profiles show.
        const COSTS: [f64; 6] = [8.0, 6.0, 6.0, 40.0, 90.0, 0.7];
        let [copy, pack, list, near, far, combine] = COSTS;
        let [filter_rows, inputs, outputs] = [cut.filter_rows, cut.inputs, cut.outputs].map(|n| n as f64);
        let (taps, panels) = (self.shape.taps() as f64, self.panels() as f64);
        let (pixels, strips) = (self.pixels() as f64, self.strips.len() as f64);
        let swept = self.sums_words() / (cut.filter_rows * cut.inputs * cut.outputs);
        let add = if swept > L2_WORDS { far } else { near };
        let tiles = taps * panels * strips * (6.0 + add / BLOCK as f64);
        let copies = taps * panels * outputs * copy + taps * inputs * outputs * list;
        let packs = filter_rows * inputs * strips * pack;
        pixels * (tiles + copies + packs) + combine * (cut.chunks * self.sums_words()) as f64
    }

    fn pixels(&self) -> usize {
        self.shape.batch * self.shape.out_h() * self.shape.out_w()
    }

    /// Input channels of a panel; the last may have fewer.
    pub fn width(&self) -> usize {
        VECTORS * lanes(self.isa)
    }

    /// Panels of input channels.
    pub fn panels(&self) -> usize {
        self.shape.in_c.div_ceil(self.width())
    }

    /// Words of a chunk's sums.
    pub fn sums_words(&self) -> usize {
        self.shape.taps() * self.panels() * self.shape.out_c * self.width()
    }

    /// Where the sums of a tap and a panel begin.
    pub fn sums_at(&self, tap: usize, panel: usize) -> usize {
        (tap * self.panels() + panel) * self.shape.out_c * self.width()
    }

    /// Output channels of the lower strips; the others have one more.
    pub fn low(&self) -> usize {
        self.shape.out_c / self.strips.len()
    }

    pub fn chunks(&self) -> usize {
        self.cut.chunks
    }

    pub fn operands(&self) -> Vec<OperandSpec> {
        vec![
            OperandSpec::read(self.shape.input_words()),
            OperandSpec::read(self.shape.output_words()),
            OperandSpec::write(self.shape.weight_words()),
            OperandSpec::workspace(self.cut.chunks * self.sums_words()),
        ]
    }

    pub fn stages(&self) -> usize {
        2
    }

    pub fn tasks(&self, stage: usize) -> usize {
        let Cut { chunks, filter_rows, inputs, outputs } = self.cut;
        if stage == 0 {
            chunks * filter_rows * inputs * outputs
        } else {
            (self.shape.taps() * self.panels()).min(COMBINED)
        }
    }

    /// Task `task` of the summing stage. Neighbours read the same pixels.
    fn sum_task(&self, task: usize) -> Task {
        let Cut { chunks, filter_rows, inputs, outputs } = self.cut;
        let (output, rest) = (task % outputs, task / outputs);
        let (input, rest) = (rest % inputs, rest / inputs);
        let (row, chunk) = (rest % filter_rows, rest / filter_rows);
        let rows = share(self.shape.kernel[0], row, filter_rows);
        Task {
            chunk,
            pixels: share(self.pixels(), chunk, chunks),
            taps: rows.start * self.shape.kernel[1]..rows.end * self.shape.kernel[1],
            panels: share(self.panels(), input, inputs),
            strips: share(self.strips.len(), output, outputs),
        }
    }

    /// Words of packed gradients: those of a strip's channels, pixel by pixel, and a vector for what is stored past them. What
    /// follows begins on a cache line.
    pub fn packed_words(&self) -> usize {
        let strips = self.strips.len().div_ceil(self.cut.outputs);
        (strips * (BLOCK * tallest(self.isa) + lanes(self.isa))).next_multiple_of(self.width())
    }

    pub fn local_words(&self) -> usize {
        // Beside gradients and panel the block's pixels under a tap and the next: an address and two places each.
        let lists = (size_of::<*const f32>() + 2 * size_of::<u32>()) / size_of::<f32>();
        self.packed_words() + BLOCK * (self.width() + 2 * lists)
    }

    /// Runs one task.
    ///
    /// # Safety
    /// As [`Kernel::run`](crate::kernel::Kernel::run).
    pub unsafe fn run(&self, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        assert!(local.len() >= self.local_words(), "too little local scratch");
        let local = local.as_mut_ptr();
        // SAFETY: the caller's promises, which are the bodies' contracts.
        unsafe {
            if stage == 0 {
                run_on(self.isa, SumRun { plan: self, task: self.sum_task(task), operands, local });
            } else {
                let parts = share(self.shape.taps() * self.panels(), task, self.tasks(stage));
                run_on(self.isa, CombineRun { plan: self, parts, operands, local });
            }
        }
    }
}
