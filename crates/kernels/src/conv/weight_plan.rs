//! How a weight gradient is cut into work: stages, tasks, chunks of pixels, blocks of a chunk.

use super::axis::Axis;
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
/// Tasks of a stage where the shape is large enough: three for each of 16 threads.
const TASKS: usize = 48;
/// Bound on the partial sums.
const PARTIAL_WORDS: usize = 8 << 20;
/// Channels that are packed at a time.
const PACKED_CHANNELS: usize = 256;
/// Words of a combining task.
const COMBINED_WORDS: usize = 16 << 10;

/// How a weight gradient is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Tiles of input by output channels, one tap at a time.
    Dense,
    /// Few input channels: tiles of (tap, input channel) by output channels, over copies of the image patches.
    Patch,
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
    /// Pieces of the pixels; each has partial sums of its own unless there is but one.
    pub chunks: usize,
    /// Pieces of the output channels.
    pub parts: usize,
    /// Filter rows that are tasks of their own: all of them or, where taps are worked on together, one.
    pub filter_rows: usize,
}

/// One task of the summing stage.
#[derive(Clone, Debug)]
pub(super) struct WeightTask {
    pub chunk: usize,
    /// Filter row.
    pub ky: usize,
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
        } else if shape.groups == 1 && shape.in_c <= 4 && shape.taps() * shape.in_c <= 256 {
            Method::Patch
        } else if shape.out_group() <= 4 && shape.in_group() >= 8 {
            Method::Few
        } else {
            Method::Dense
        };
        let mut plan = WeightPlan {
            isa,
            shape,
            method,
            columns: Axis::forward(&shape, 1),
            chunks: 1,
            parts: 1,
            filter_rows: if method == Method::Patch { 1 } else { shape.kernel[0] },
        };
        if matches!(method, Method::Dense | Method::Patch) {
            let units = plan.units();
            plan.parts = (units * plan.width()).div_ceil(PACKED_CHANNELS).min(units);
            // Listing a tap's pixels costs about as much as multiplying two channels: not to be repeated for
            // each panel of a thin group.
            if shape.in_group() >= 32 {
                plan.parts = plan.parts.max(TASKS.div_ceil(plan.filter_rows)).min(units);
            }
        }
        let blocks = plan.pixels().div_ceil(2 * BLOCK);
        let room = (PARTIAL_WORDS / shape.weight_words()).max(1);
        plan.chunks = TASKS.div_ceil(plan.filter_rows * plan.parts).min(blocks).min(room);
        plan
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
        self.chunks > 1 || self.method == Method::Few
    }

    pub fn operands(&self) -> Vec<OperandSpec> {
        let mut specs = vec![
            OperandSpec::read(self.shape.input_words()),
            OperandSpec::read(self.shape.output_words()),
            OperandSpec::write(self.shape.weight_words()),
        ];
        if self.combines() {
            specs.push(OperandSpec::workspace(self.chunks * self.shape.weight_words()));
        }
        specs
    }

    /// Tasks of the summing stage.
    pub fn sum_tasks(&self) -> usize {
        self.chunks * self.filter_rows * self.parts
    }

    /// Tasks of the combining stage.
    pub fn combine_tasks(&self) -> usize {
        let rows = self.shape.taps() * self.shape.in_group();
        self.shape.weight_words().div_ceil(COMBINED_WORDS).min(rows)
    }

    /// Task `task` of the summing stage.
    pub fn sum_task(&self, task: usize) -> WeightTask {
        let (chunk, rest) = (task / (self.filter_rows * self.parts), task % (self.filter_rows * self.parts));
        let share = super::gather::share;
        WeightTask {
            chunk,
            ky: rest / self.parts,
            units: share(self.units(), rest % self.parts, self.parts),
            pixels: share(self.pixels(), chunk, self.chunks),
        }
    }

    /// Words of packed output gradients that a task needs.
    pub fn packed_words(&self) -> usize {
        match self.method {
            Method::Dense | Method::Patch => self.units().div_ceil(self.parts) * BLOCK * self.width(),
            Method::Few | Method::Depthwise => 0,
        }
    }

    /// Words of image patches that a task needs.
    pub fn patch_words(&self) -> usize {
        match self.method {
            Method::Patch => BLOCK * self.patch_row(),
            Method::Dense | Method::Few | Method::Depthwise => 0,
        }
    }

    /// Words of one image patch: taps by input channels.
    pub fn patch_row(&self) -> usize {
        self.shape.taps() * self.shape.in_c
    }

    pub fn local_words(&self) -> usize {
        BLOCK * size_of::<Pixel>() / size_of::<f32>() + self.packed_words() + self.patch_words()
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
