//! The plan that forward pass and input gradient share: which outputs are computed together, from which source
//! words, by which tile, in which task.

use super::axis::{Axis, Class};
use super::depthwise::DepthwiseRun;
use super::dot::{DotRun, MAX_OUTPUTS};
use super::pack;
use super::shape::ConvShape;
use super::tile::{MAX_HEIGHT, TileArgs, VECTORS, lanes, panel};
use crate::fused::Sink;
use crate::isa::Isa;
use crate::kernel::{OperandSpec, Operands};
use crate::simd::{Simd, WithSimd, run_on};
use std::ops::Range;

/// Operand numbers, the same for both kernels.
pub(super) const SRC: usize = 0;
pub(super) const WEIGHTS: usize = 1;
pub(super) const OUT: usize = 2;
pub(super) const PACKED: usize = 3;

/// Pixels of a full block: eight to sixteen tiles, which share one pass over a weight panel's cache lines.
const BLOCK: usize = 96;
/// Tasks that a stage is cut into where the shape is large enough: four for each of 16 threads.
const TASKS: usize = 64;
/// Tasks that a stage is cut into, if need be, by splitting what would rather stay together.
const MIN_TASKS: usize = 32;

/// An NHWC image without its batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Image {
    pub h: usize,
    pub w: usize,
    pub c: usize,
}

impl Image {
    /// The convolution's input, as one group.
    pub fn input(shape: &ConvShape) -> Image {
        Image { h: shape.in_h, w: shape.in_w, c: shape.in_c }
    }

    /// Its output.
    pub fn output(shape: &ConvShape) -> Image {
        Image { h: shape.out_h(), w: shape.out_w(), c: shape.out_c }
    }
}

/// How a gather is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Tiles of pixels by output channels, one source channel at a time.
    Dense,
    /// Very few output channels: vectors of source channels, reduced at the end.
    Dot,
    /// One channel a group: vectors of channels, no reduction over channels.
    Depthwise,
}

/// One output pixel: where its first tap's source row and its output row begin.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub src: *const f32,
    pub out: *mut f32,
}

/// The source words of one output pixel, relative to its [`Row::src`]: `rows` rows of `runs` runs of `run_words`
/// contiguous words each.
#[derive(Clone, Copy)]
pub(super) struct TapWalk {
    /// Filter rows in use.
    pub rows: usize,
    /// Source words between filter rows.
    pub row_step: usize,
    /// Runs in a filter row.
    pub runs: usize,
    /// Source words between runs.
    pub run_step: usize,
    /// Words of a run: one tap's channels, or several taps' where these lie side by side.
    pub run_words: usize,
    /// Packed taps between filter rows.
    pub row_taps: usize,
    /// Source channels of a group.
    pub channels: usize,
    /// The first packed tap.
    pub tap_first: usize,
}

/// Pixels of one pair of classes.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Class indices (vertical, horizontal).
    class: [usize; 2],
    /// Pixels `first .. first + count` of the pair, batch-major.
    first: usize,
    pub count: usize,
}

/// A gather at fixed shapes.
#[derive(Clone, Debug)]
pub(super) struct Gather {
    pub isa: Isa,
    pub method: Method,
    pub axes: [Axis; 2],
    pub groups: usize,
    pub kernel: [usize; 2],
    pub src: Image,
    pub out: Image,
    /// Words from one pixel of the output to the next.
    pub out_pixel: usize,
    /// Words between neighbouring source channels, output channels and groups in the unpacked weights.
    pub weight_steps: [usize; 3],
    /// Words of one tap in the unpacked weights.
    pub tap_words: usize,
    batch: usize,
    src_words: usize,
    out_words: usize,
    weight_words: usize,
    pub blocks: Vec<Block>,
    pub block_tasks: Vec<Range<usize>>,
    /// Every range of `block_tasks` is done in so many tasks, each with a share of the panels.
    pub parts: usize,
}

impl Gather {
    /// `y = conv(x, w)`. The shape is valid.
    pub fn forward(isa: Isa, shape: &ConvShape) -> Gather {
        let axes = [Axis::forward(shape, 0), Axis::forward(shape, 1)];
        let src = Image::input(shape);
        let out = Image::output(shape);
        Gather::new(isa, shape, axes, src, out, [shape.out_c, 1, shape.out_group()])
    }

    /// `dx = conv_input_grad(dy, w)`. The shape is valid.
    pub fn input_grad(isa: Isa, shape: &ConvShape) -> Gather {
        let axes = [Axis::input_grad(shape, 0), Axis::input_grad(shape, 1)];
        let src = Image::output(shape);
        let out = Image::input(shape);
        Gather::new(isa, shape, axes, src, out, [1, shape.out_c, shape.out_group()])
    }

    fn new(
        isa: Isa,
        shape: &ConvShape,
        axes: [Axis; 2],
        src: Image,
        out: Image,
        weight_steps: [usize; 3],
    ) -> Gather {
        let (src_group, out_group) = (src.c / shape.groups, out.c / shape.groups);
        let method = if shape.is_depthwise() {
            Method::Depthwise
        } else if out_group <= MAX_OUTPUTS && src_group >= 8 {
            Method::Dot
        } else {
            Method::Dense
        };
        let mut gather = Gather {
            isa,
            method,
            axes,
            groups: shape.groups,
            kernel: shape.kernel,
            src,
            out,
            out_pixel: out.c,
            weight_steps,
            tap_words: shape.in_group() * shape.out_c,
            batch: shape.batch,
            src_words: shape.batch * src.h * src.w * src.c,
            out_words: shape.batch * out.h * out.w * out.c,
            weight_words: shape.weight_words(),
            blocks: Vec::new(),
            block_tasks: Vec::new(),
            parts: 1,
        };
        gather.cut();
        gather
    }

    /// Cuts the outputs into blocks and tasks.
    fn cut(&mut self) {
        let units = self.units();
        let pixels = self.batch * self.out.h * self.out.w;
        let mut block = BLOCK;
        while block > BLOCK / 4 && pixels / block * units < MIN_TASKS {
            block /= 2;
        }
        let mut costs = Vec::new();
        for (y, cy) in self.axes[0].classes.iter().enumerate() {
            for (x, cx) in self.axes[1].classes.iter().enumerate() {
                let pixels = self.batch * cy.count * cx.count;
                for first in (0..pixels).step_by(block) {
                    let count = block.min(pixels - first);
                    self.blocks.push(Block { class: [y, x], first, count });
                    // Beside the products: rows to list, outputs to store.
                    costs.push((count * (cy.taps * cx.taps * self.src_group() + 8) + 64) as f64);
                }
            }
        }
        if self.blocks.len() < MIN_TASKS {
            self.parts = MIN_TASKS.div_ceil(self.blocks.len()).min(units);
        }
        self.block_tasks = cut_evenly(&costs, TASKS);
    }

    /// Multiply-adds of an image.
    pub fn cost(&self) -> f64 {
        self.axes[0].met() as f64 * self.axes[1].met() as f64 * (self.src_group() * self.out.c) as f64
    }

    /// Source channels of a group.
    pub fn src_group(&self) -> usize {
        self.src.c / self.groups
    }

    /// Output channels of a group.
    pub fn out_group(&self) -> usize {
        self.out.c / self.groups
    }

    /// Channels of a full panel.
    pub fn panel_width(&self) -> usize {
        VECTORS * lanes(self.isa)
    }

    /// Panels of a group.
    pub fn panels(&self) -> usize {
        self.out_group().div_ceil(self.panel_width())
    }

    /// Pieces of the output channels that can be computed apart.
    fn units(&self) -> usize {
        match self.method {
            Method::Dense => self.groups * self.panels(),
            Method::Dot => self.groups,
            Method::Depthwise => 1,
        }
    }

    /// Words of packed weights.
    fn packed_words(&self) -> usize {
        let taps = self.kernel[0] * self.kernel[1];
        match self.method {
            Method::Dense => {
                self.groups * taps * self.src_group() * self.out_group().next_multiple_of(lanes(self.isa))
            }
            Method::Dot => self.weight_words,
            Method::Depthwise => 0,
        }
    }

    pub fn operands(&self) -> Vec<OperandSpec> {
        let mut specs = vec![
            OperandSpec::read(self.src_words),
            OperandSpec::read(self.weight_words),
            OperandSpec::write(self.out_words),
        ];
        if self.packed_words() > 0 {
            specs.push(OperandSpec::workspace(self.packed_words()));
        }
        specs
    }

    pub fn stages(&self) -> usize {
        match self.method {
            Method::Dense | Method::Dot => 2,
            Method::Depthwise => 1,
        }
    }

    pub fn tasks(&self, stage: usize) -> usize {
        if stage + 1 < self.stages() { pack::tasks(self) } else { self.block_tasks.len() * self.parts }
    }

    pub fn local_words(&self) -> usize {
        (BLOCK + MAX_HEIGHT) * size_of::<Row>() / size_of::<f32>()
    }

    /// Words of a pixel that a task finishes, on average.
    pub fn run_words(&self) -> usize {
        self.out.c / self.parts
    }

    /// Output channels of some units.
    fn channels(&self, units: &Range<usize>) -> Range<usize> {
        let group = self.out_group();
        let first = |unit: usize| match self.method {
            Method::Dense => unit / self.panels() * group + unit % self.panels() * self.panel_width(),
            Method::Dot => unit * group,
            Method::Depthwise => unit * self.out.c,
        };
        first(units.start)..first(units.end)
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
        // SAFETY: the caller's promises, which are the bodies' contracts.
        unsafe {
            if stage + 1 < self.stages() {
                return pack::run(self, task, operands);
            }
            assert!(local.len() >= self.local_words(), "too little local scratch");
            let task = GatherTask {
                plan: self,
                blocks: &self.blocks[self.block_tasks[task / self.parts].clone()],
                units: share(self.units(), task % self.parts, self.parts),
                operands,
                rows: local.as_mut_ptr().cast::<Row>(),
                sink,
            };
            match self.method {
                Method::Dense => run_on(self.isa, DenseRun(task)),
                Method::Dot => run_on(self.isa, DotRun(task)),
                Method::Depthwise => run_on(self.isa, DepthwiseRun(task)),
            }
        }
    }

    /// The two classes of a block.
    fn classes(&self, block: &Block) -> [&Class; 2] {
        [&self.axes[0].classes[block.class[0]], &self.axes[1].classes[block.class[1]]]
    }

    /// The source words of a pixel of `block`.
    pub fn walk(&self, block: &Block) -> TapWalk {
        let [cy, cx] = self.classes(block);
        let channels = self.src_group();
        // Taps one pixel apart are neighbours in memory if no other group's channels lie between them.
        let joined = self.groups == 1 && cx.tap_step == 1;
        let empty = cy.taps == 0 || cx.taps == 0;
        TapWalk {
            rows: if empty { 0 } else { cy.taps },
            row_step: cy.tap_step * self.src.w * self.src.c,
            runs: if joined { 1 } else { cx.taps },
            run_step: cx.tap_step * self.src.c,
            run_words: if joined { cx.taps * channels } else { channels },
            row_taps: self.kernel[1],
            channels,
            tap_first: if empty { 0 } else { cy.tap_first * self.kernel[1] + cx.tap_first },
        }
    }
}

/// Neighbouring items in at most `parts` ranges of about equal cost, none of them empty.
pub(super) fn cut_evenly(costs: &[f64], parts: usize) -> Vec<Range<usize>> {
    let total: f64 = costs.iter().sum();
    let (mut ranges, mut first, mut sum) = (Vec::new(), 0, 0.0);
    for (i, cost) in costs.iter().enumerate() {
        sum += cost;
        if sum * parts as f64 >= total * (ranges.len() + 1) as f64 || i + 1 == costs.len() {
            ranges.push(first..i + 1);
            first = i + 1;
        }
    }
    ranges
}

/// The `part`-th of `parts` shares of `0..count`.
pub(super) fn share(count: usize, part: usize, parts: usize) -> Range<usize> {
    count * part / parts..count * (part + 1) / parts
}

/// What a task of the gathering stage works on.
#[derive(Clone)]
pub(super) struct GatherTask<'a> {
    pub plan: &'a Gather,
    pub blocks: &'a [Block],
    pub units: Range<usize>,
    pub operands: &'a Operands<'a>,
    /// Scratch for the rows of a block and `MAX_HEIGHT` more.
    pub rows: *mut Row,
    pub sink: Option<&'a dyn Sink>,
}

impl GatherTask<'_> {
    /// Announces the task's channels of the pixels of `block`.
    ///
    /// # Safety
    /// They are written, and `rows` lists the block's pixels.
    pub unsafe fn announce(&self, block: &Block) {
        let Some(sink) = self.sink else { return };
        let channels = self.plan.channels(&self.units);
        let start = self.operands.ptr(OUT).cast_const();
        for i in 0..block.count {
            // SAFETY: rows begin inside the output; the rest is the caller's promise.
            unsafe {
                let pixel = (*self.rows.add(i)).out.cast_const().offset_from(start) as usize;
                sink.done(pixel + channels.start, channels.len());
            }
        }
    }

    /// Lists the pixels of `block`, then repeats the last one: tiles of fixed height (dot, depthwise) may
    /// read up to `MAX_HEIGHT` rows past the end.
    ///
    /// # Safety
    /// The operands are those of the plan, and `rows` is scratch of the documented size.
    pub unsafe fn list_rows(&self, block: &Block) {
        let plan = self.plan;
        let [cy, cx] = plan.classes(block);
        let (src, out) = (self.operands.ptr(SRC).cast_const(), self.operands.ptr(OUT));
        let area = cy.count * cx.count;
        let (mut n, mut jy, mut jx) =
            (block.first / area, block.first % area / cx.count, block.first % cx.count);
        for i in 0..block.count {
            let (sy, sx) = (cy.src_first + jy * cy.src_step, cx.src_first + jx * cx.src_step);
            let (oy, ox) = (cy.out_first + jy * cy.out_step, cx.out_first + jx * cx.out_step);
            // SAFETY: the classes' coordinates lie inside the images, and i < count fits the scratch.
            unsafe {
                let src = src.add(((n * plan.src.h + sy) * plan.src.w + sx) * plan.src.c);
                let out = out.add(((n * plan.out.h + oy) * plan.out.w + ox) * plan.out_pixel);
                self.rows.add(i).write(Row { src, out });
            }
            jx += 1;
            if jx == cx.count {
                (jx, jy) = (0, jy + 1);
                if jy == cy.count {
                    (jy, n) = (0, n + 1);
                }
            }
        }
        // SAFETY: the row before exists since blocks are not empty, and MAX_HEIGHT more fit.
        unsafe {
            let last = self.rows.add(block.count - 1).read();
            for i in 0..MAX_HEIGHT {
                self.rows.add(block.count + i).write(last);
            }
        }
    }
}

/// [`Method::Dense`].
struct DenseRun<'a>(GatherTask<'a>);

impl WithSimd for DenseRun<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, simd: S) {
        let (task, plan) = (&self.0, self.0.plan);
        let taps = plan.kernel[0] * plan.kernel[1];
        let (src_group, out_group) = (plan.src_group(), plan.out_group());
        let width = plan.panel_width();
        let group_words = taps * src_group * out_group.next_multiple_of(S::LANES);
        let packed = task.operands.ptr(PACKED).cast_const();
        for block in task.blocks {
            // SAFETY: this task's scratch and the plan's operands.
            unsafe { task.list_rows(block) };
            let walk = plan.walk(block);
            for unit in task.units.clone() {
                let (group, first) = (unit / plan.panels(), unit % plan.panels() * width);
                let cols = width.min(out_group - first);
                let vectors = cols.div_ceil(S::LANES);
                let panel_first = group * group_words + first * taps * src_group;
                let args = TileArgs {
                    src_shift: group * src_group,
                    out_shift: group * out_group + first,
                    // SAFETY: `tap_first < taps`, so this is inside the panel.
                    weights: unsafe {
                        packed.add(panel_first + walk.tap_first * src_group * vectors * S::LANES)
                    },
                    cols,
                };
                // SAFETY: the block's rows were listed; the walk stays in the image by the classes'
                // construction; blocks and units cut the output into disjoint pieces.
                unsafe {
                    if vectors == VECTORS {
                        panel::<S, VECTORS>(simd, &walk, task.rows, block.count, args);
                    } else {
                        panel::<S, 1>(simd, &walk, task.rows, block.count, args);
                    }
                }
            }
            // SAFETY: all units of the block are written.
            unsafe { task.announce(block) };
        }
    }
}
