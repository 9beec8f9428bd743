//! How a weight gradient is cut into work: stages, tasks, chunks of pixels, blocks of a chunk.

use super::axis::{Axis, Class};
use super::gather::share;
use super::shape::ConvShape;
use super::tile::{VECTORS, lanes};
use crate::isa::Isa;
use crate::kernel::OperandSpec;
use std::ops::Range;

/// Operand numbers.
pub(super) const X: usize = 0;
pub(super) const DY: usize = 1;
pub(super) const DW: usize = 2;
pub(super) const PARTIAL: usize = 3;

/// Output pixels that a task works on at a time: its packed output gradients and the input it meets stay in L1
/// or L2 while all taps and channels pass.
pub(super) const BLOCK: usize = 128;
/// The same on AVX-512, where a tile's products take half the time and adding them to the sums as long as elsewhere. A
/// panel of so many pixels fills an L1 of 32 KiB; the input then comes from L2.
const LONG_BLOCK: usize = 256;
/// Tasks of a stage where the shape is large enough: two for each of 16 threads.
const TASKS: usize = 32;
/// Sums that may share an L2 of 1 MiB with the pixels.
pub(super) const L2_WORDS: usize = 96 << 10;
/// Sums that may share an L2 of 512 KiB with the pixels, as CPUs with AVX2 alone often have.
const SMALL_L2_WORDS: usize = 64 << 10;
/// Words between panels of packed gradients beyond their size, which is a multiple of 4 KiB: the panels of a pixel would
/// fall into the same lines of L1.
const SKEW: usize = 16;
/// Bound on the partial sums.
pub(super) const PARTIAL_WORDS: usize = 8 << 20;
/// Channels that are packed at a time.
const PACKED_CHANNELS: usize = 256;
/// Words of a combining task.
const COMBINED_WORDS: usize = 16 << 10;

/// How a weight gradient is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Tiles of input by output channels, one tap at a time.
    Dense,
    /// Few input channels: tiles of (horizontal tap, input channel), neighbours in memory, by output channels.
    Joined,
    /// Very few output channels: vectors of input channels, several taps at a time.
    Few,
    /// One channel a group: vectors of channels, several taps at a time.
    Depthwise,
}

/// A weight gradient at fixed shapes.
#[derive(Clone, Debug)]
pub(super) struct WeightPlan {
    pub isa: Isa,
    pub shape: ConvShape,
    pub method: Method,
    /// The horizontal classes of the forward pass.
    pub columns: Axis,
    pub cut: Cut,
}

/// How the summing stage is cut into tasks: so many of each kind, all combinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Pieces of the pixels; each has partial sums of its own unless there is but one.
    pub chunks: usize,
    /// Pieces of the filter rows: each row, or all together.
    pub filter_rows: usize,
    /// Pieces of the panels of output channels.
    pub parts: usize,
}

/// One task of the summing stage.
#[derive(Clone, Debug)]
pub(super) struct WeightTask {
    pub chunk: usize,
    /// Filter rows.
    pub filter_rows: Range<usize>,
    /// Panels of output channels, counted through all groups.
    pub units: Range<usize>,
    /// Pixels of the chunk.
    pub pixels: Range<usize>,
}

impl WeightPlan {
    /// The shape is valid.
    pub fn new(isa: Isa, shape: ConvShape) -> WeightPlan {
        let method = if shape.is_depthwise() {
            Method::Depthwise
        } else if shape.out_group() <= 4 && shape.in_group() >= 8 {
            Method::Few
        } else if shape.groups == 1 && shape.dilation[1] == 1 && shape.in_c < 8 {
            Method::Joined
        } else {
            Method::Dense
        };
        let columns = Axis::forward(&shape, 1);
        let mut plan =
            WeightPlan { isa, shape, method, columns, cut: Cut { chunks: 1, filter_rows: 1, parts: 1 } };
        plan.cut = plan.best_cut(|cut| plan.traffic(cut));
        plan
    }

    /// The cut into enough tasks that costs least.
    pub fn best_cut(&self, cost: impl Fn(Cut) -> f64) -> Cut {
        let blocks = self.pixels().div_ceil(self.block());
        let fewest = (self.units() * self.width()).div_ceil(PACKED_CHANNELS);
        let parts = match self.method {
            Method::Dense => fewest..=self.units(),
            // Listing a pixel costs about as much as multiplying it with two channels: not to be repeated for
            // each panel.
            Method::Joined => fewest..=fewest,
            Method::Few | Method::Depthwise => 1..=1,
        };
        let mut best = (f64::INFINITY, self.cut);
        for parts in parts {
            for filter_rows in [1, self.shape.kernel[0]] {
                let room = (PARTIAL_WORDS / self.shape.weight_words()).clamp(1, blocks.div_ceil(2));
                let chunks = TASKS.div_ceil(filter_rows * parts).min(room);
                let cut = Cut { chunks, filter_rows, parts };
                let missing = TASKS as f64 / (chunks * filter_rows * parts).min(TASKS) as f64;
                let cost = cost(cut) * missing;
                if cost < best.0 {
                    best = (cost, cut);
                }
            }
        }
        best.1
    }

    /// An estimate of the words that a cut moves between L2 and what lies beyond. The fewest are best in f32.
    fn traffic(&self, cut: Cut) -> f64 {
        let dw = self.shape.weight_words() as f64;
        let (x, dy) = (self.shape.input_words() as f64, self.shape.output_words() as f64);
        let (filter_rows, parts) = (cut.filter_rows as f64, cut.parts as f64);
        // One filter row alone meets one in `stride` image rows.
        let rows_met = if cut.filter_rows > 1 { 1.0 / self.shape.stride[0] as f64 } else { 1.0 };
        let read = filter_rows * (parts * x * rows_met + dy);
        let sums = if cut.chunks > 1 { 3.0 * cut.chunks as f64 * dw } else { dw };
        // A task's share of the sums is swept once a block, through L2 or from it.
        let swept = dw / (filter_rows * parts);
        let room = if self.isa == Isa::Avx2 { SMALL_L2_WORDS } else { L2_WORDS };
        let sweeps = if swept > room as f64 { 2.0 * dw * (self.pixels() / self.block()) as f64 } else { 0.0 };
        read + sums + sweeps
    }

    /// Output pixels.
    pub fn pixels(&self) -> usize {
        self.shape.batch * self.shape.out_h() * self.shape.out_w()
    }

    /// Channels of a panel; the last of a group may have fewer.
    pub fn width(&self) -> usize {
        let lanes = lanes(self.isa);
        self.shape.out_group().next_multiple_of(lanes).min(VECTORS * lanes)
    }

    /// Panels of a group.
    pub fn panels(&self) -> usize {
        self.shape.out_group().div_ceil(self.width())
    }

    fn units(&self) -> usize {
        self.shape.groups * self.panels()
    }

    /// Whether chunks sum into the workspace first. [`Method::Few`] sums in another order than `dw` has.
    pub fn combines(&self) -> bool {
        self.cut.chunks > 1 || self.method == Method::Few
    }

    pub fn operands(&self) -> Vec<OperandSpec> {
        let mut specs = vec![
            OperandSpec::read(self.shape.input_words()),
            OperandSpec::read(self.shape.output_words()),
            OperandSpec::write(self.shape.weight_words()),
        ];
        if self.combines() {
            specs.push(OperandSpec::workspace(self.cut.chunks * self.shape.weight_words()));
        }
        specs
    }

    /// Tasks of the summing stage.
    pub fn sum_tasks(&self) -> usize {
        self.cut.chunks * self.cut.filter_rows * self.cut.parts
    }

    /// Tasks of the combining stage.
    pub fn combine_tasks(&self) -> usize {
        let rows = self.shape.taps() * self.shape.in_group();
        self.shape.weight_words().div_ceil(COMBINED_WORDS).min(rows)
    }

    /// Task `task` of the summing stage.
    pub fn sum_task(&self, task: usize) -> WeightTask {
        let Cut { chunks, filter_rows, parts } = self.cut;
        let (chunk, row, part) = (task / (filter_rows * parts), task / parts % filter_rows, task % parts);
        WeightTask {
            chunk,
            filter_rows: share(self.shape.kernel[0], row, filter_rows),
            units: share(self.units(), part, parts),
            pixels: share(self.pixels(), chunk, chunks),
        }
    }

    /// Whether output gradients are copied into panels: for many passes over them, and where the last panel is
    /// not full.
    pub fn packs(&self) -> bool {
        match self.method {
            Method::Dense => true,
            Method::Joined => !self.shape.out_group().is_multiple_of(self.width()),
            Method::Few | Method::Depthwise => false,
        }
    }

    /// Output pixels that a task of tiles works on at a time.
    pub fn block(&self) -> usize {
        if self.isa == Isa::Avx512 { LONG_BLOCK } else { BLOCK }
    }

    /// Words of a panel of packed output gradients and to the next.
    pub fn packed_step(&self) -> usize {
        self.block() * self.width() + SKEW
    }

    /// Words of packed output gradients that a task needs.
    pub fn packed_words(&self) -> usize {
        if self.packs() { self.units().div_ceil(self.cut.parts) * self.packed_step() } else { 0 }
    }

    /// Words of a list of a block's pixels.
    pub fn list_words(&self) -> usize {
        self.block() * size_of::<Pixel>() / size_of::<f32>()
    }

    pub fn local_words(&self) -> usize {
        self.list_words() + self.packed_words()
    }
}

/// An output pixel: the input it meets at some tap, and its gradient.
#[derive(Clone, Copy)]
pub(super) struct Pixel {
    pub x: *const f32,
    pub dy: *const f32,
}

/// Output columns `first .. first + count`, which meet input columns `src_first + j * stride`.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    pub first: usize,
    pub count: usize,
    pub src_first: usize,
}

impl Columns {
    /// The columns of a class of the forward pass, which meet its first tap.
    pub fn of_class(class: &Class) -> Columns {
        Columns { first: class.out_first, count: class.count, src_first: class.src_first }
    }
}

impl WeightPlan {
    /// The columns whose tap `kx` hits the image.
    pub fn columns_of_tap(&self, kx: usize) -> Columns {
        let (mut first, mut count, mut src_first) = (0, 0, 0);
        for class in &self.columns.classes {
            if (class.tap_first..class.tap_first + class.taps).contains(&kx) {
                if count == 0 {
                    first = class.out_first;
                    src_first = class.src_first + (kx - class.tap_first) * class.tap_step;
                }
                count += class.count;
            }
        }
        Columns { first, count, src_first }
    }

    /// The input row that filter row `ky` meets at output row `oy`.
    pub fn input_row(&self, oy: usize, ky: usize) -> Option<usize> {
        let s = &self.shape;
        (oy * s.stride[0] + ky * s.dilation[0]).checked_sub(s.pad_low[0]).filter(|&iy| iy < s.in_h)
    }

    /// Lists the pixels of `range` that lie in `columns` and meet the image at filter row `ky`; returns how many.
    /// Pixel p's gradient is at `dy + (p - range.start) * dy_step`.
    ///
    /// # Safety
    /// `x` is the input, and `list` has room for `range`.
    pub unsafe fn list(
        &self,
        range: Range<usize>,
        ky: usize,
        columns: Columns,
        x: *const f32,
        (dy, dy_step): (*const f32, usize),
        list: *mut Pixel,
    ) -> usize {
        let s = &self.shape;
        let (oh, ow) = (s.out_h(), s.out_w());
        let step = s.stride[1] * s.in_c;
        let mut line_first = range.start / ow * ow;
        let (mut n, mut oy) = (range.start / ow / oh, range.start / ow % oh);
        let mut count = 0;
        while line_first < range.end {
            if let Some(iy) = self.input_row(oy, ky) {
                let low = columns.first.max(range.start.saturating_sub(line_first));
                let high = (columns.first + columns.count).min(range.end - line_first);
                for ox in low..high {
                    let ix = columns.src_first * s.in_c + (ox - columns.first) * step;
                    // SAFETY: the coordinates lie in the image; at most one entry a pixel of `range`.
                    unsafe {
                        list.add(count).write(Pixel {
                            x: x.add((n * s.in_h + iy) * s.in_w * s.in_c + ix),
                            dy: dy.add((line_first + ox - range.start) * dy_step),
                        });
                    }
                    count += 1;
                }
            }
            line_first += ow;
            oy += 1;
            if oy == oh {
                (oy, n) = (0, n + 1);
            }
        }
        count
    }
}
