//! The weight gradient in mixed precision.
//!
//! Stage 0 rounds the operands that are stored as f32. The next sums chunks of pixels, cut as the f32 kernel cuts them, the
//! last adds the chunks in order. Sums run over
//! pixels, so a word pairs two pixels at one channel. A task goes through its chunk in blocks; for every tap it lists the
//! block's pixels whose tap meets the image, and packs input and gradient of each two that follow each other in the
//! list. Packing for every tap costs one pass over the block's channels against a product with all those of the other
//! side, and no product is spent on padding. The matrix unit takes pixels in another order (`weight_phases`).

use super::super::gather::share;
use super::super::taps::Tap;
use super::super::weight_plan::{Cut, L2_WORDS, WeightPlan, WeightTask};
use super::computes;
use super::weight_phases::Phases;
use crate::conv::ConvShape;
use crate::isa::Isa;
use crate::kernel::{Element, Kernel, Mixed, OperandSpec, Operands};
use crate::pairs::pack::{self, Block, Combine, Rows, Source, interleave};
use crate::pairs::pair;
use crate::pairs::simd::{MAX_LANES, PairIsa, Pairs, Unit, WithPairs};
use crate::pairs::tile::{self, MAX_ROWS, Store, Tile, VECTORS, Walk};
use crate::simd::{Simd, prefetch};
use std::ops::Range;

/// Operand numbers.
const X: usize = 0;
const DY: usize = 1;
const DW: usize = 2;
const PARTIAL: usize = 3;

/// Tasks that round an operand.
const ROUND_TASKS: usize = 32;

/// Pixels that a task works on at a time: twice those of the f32 kernel, as pairs take half the room. The packed pairs
/// of [`CHANNELS`] channels take 128 KiB of L2, those of a panel 16 KiB of L1.
const BLOCK: usize = 256;
/// Input channels that are packed at a time.
const CHANNELS: usize = 256;
/// Pairs of pixels that are fetched before they are packed.
const AHEAD: usize = 4;
/// Elements of a cache line on every target the kernels are written for.
const LINE: usize = 32;

/// The weight gradient `dw` of `<conv(x, w), dy>`, of operands rounded to bf16, summed in f32.
///
/// Operands: `x [N, H, W, C_in]` read, `dy [N, OH, OW, C_out]` read, `dw [KH, KW, C_in, C_out]` written, then
/// workspaces: partial sums where pixels are cut into chunks, and each operand that is stored as f32, rounded. Errors are bounded as [`mod@crate::pairs`] says.
#[derive(Clone, Debug)]
pub struct MixedWeightGrad {
    isa: PairIsa,
    mixed: Mixed,
    plan: WeightPlan,
    sums: Sums,
}

/// How the products are summed.
#[derive(Clone, Debug)]
enum Sums {
    /// Tap by tap. By filter row: taps that meet the image at the same outputs follow each other, and share packed
    /// gradients.
    Taps(Vec<Vec<Tap>>),
    /// On the matrix unit.
    Phases(Box<Phases>),
}

/// An estimate of the time that a cut takes, in cycles of a core with 16 lanes. What a task does for each pair of pixels
/// beside multiplying is repeated for each part of the output channels.
fn cycles(plan: &WeightPlan, cut: Cut) -> f64 {
    /// To list a pair, to pack a vector, to add a vector to sums in L2 or beyond it, to store or load a vector of partial
    /// sums; about what profiles show.
    const COSTS: [f64; 5] = [20.0, 8.0, 6.0, 16.0, 12.0];
    let [list, pack, near_add, far_add, store] = COSTS;
    let shape = &plan.shape;
    let (inputs, outputs) = ((shape.in_c as f64 / 16.0).ceil(), (shape.out_c as f64 / 16.0).ceil());
    let (pairs, products) = ((plan.pixels() * shape.taps()) as f64 / 2.0, shape.in_c as f64 * outputs);
    let swept = shape.weight_words() / (cut.filter_rows * cut.parts);
    let add = if swept > L2_WORDS { far_add } else { near_add } / (BLOCK / 2) as f64;
    let packed = cut.parts as f64 * (list + pack * inputs) + pack * outputs;
    let partial = if cut.chunks > 1 { 3.0 * store * cut.chunks as f64 } else { 0.0 };
    pairs * (products * (1.0 + add) + packed) + partial * shape.taps() as f64 * products
}

/// Where a pixel of the list is: its element of the input under the tap, and of the gradient.
type Pixel = [usize; 2];

impl MixedWeightGrad {
    /// Plans the kernel for the instruction set that it will be run on. `None` where only
    /// [`ConvWeightGrad`](crate::conv::ConvWeightGrad) computes it: invalid shapes, groups, fewer than 16 channels, and
    /// results stored as bf16, which sums over a batch are not fit for.
    pub fn new(isa: Isa, shape: ConvShape, mixed: Mixed) -> Option<Self> {
        Self::on(PairIsa::of(isa), shape, mixed)
    }

    pub(super) fn on(isa: PairIsa, shape: ConvShape, mixed: Mixed) -> Option<Self> {
        let computed = computes(&shape) && mixed.out == Element::F32;
        computed.then(|| {
            let mut plan = WeightPlan::new(isa.isa, shape);
            let phases = isa.tiles().then(|| Phases::new(isa, shape)).flatten();
            if let Some(phases) = phases {
                plan.cut = plan.best_cut(|cut| phases.cycles(cut));
                return Self { isa, mixed, plan, sums: Sums::Phases(phases.into()) };
            }
            // The unit's tiles take no lists of pixels.
            let unit = if isa.tiles() { Unit::Vectors } else { isa.unit };
            let isa = PairIsa { unit, ..isa };
            plan.cut = plan.best_cut(|cut| cycles(&plan, cut));
            let rows = plan.cut.filter_rows;
            let taps_of = |rows: Range<usize>| {
                let mut taps: Vec<Tap> = rows
                    .flat_map(|ky| (0..shape.kernel[1]).map(move |kx| [ky, kx]))
                    .map(|at| Tap::new(&shape, at))
                    .collect();
                taps.sort_by_key(|tap| (tap.rows.start, tap.rows.end, tap.columns.start, tap.columns.end));
                taps
            };
            let taps = (0..rows).map(|row| taps_of(share(shape.kernel[0], row, rows))).collect();
            Self { isa, mixed, plan, sums: Sums::Taps(taps) }
        })
    }

    /// With other blocks of places on the matrix unit; `None` where it is not used.
    #[cfg(test)]
    pub(super) fn in_blocks(self, places: usize) -> Option<Self> {
        let Sums::Phases(phases) = self.sums else { return None };
        Some(Self { sums: Sums::Phases(phases.in_blocks(places).into()), ..self })
    }

    fn units_of_a_task(&self) -> usize {
        self.plan.panels().div_ceil(self.plan.cut.parts)
    }

    /// Elements of the input, or of the gradient.
    fn elements(&self, operand: usize) -> usize {
        if operand == X { self.plan.shape.input_words() } else { self.plan.shape.output_words() }
    }

    /// Whether an operand is stored as f32.
    fn rounds(&self, operand: usize) -> bool {
        [self.mixed.a, self.mixed.b][operand] == Element::F32
    }

    /// The operand that holds the input, or the gradient, as bf16.
    fn rounded(&self, operand: usize) -> usize {
        if self.rounds(operand) {
            PARTIAL + usize::from(self.plan.combines()) + usize::from(operand == DY && self.rounds(X))
        } else {
            operand
        }
    }

    fn round_tasks(&self) -> usize {
        (usize::from(self.rounds(X)) + usize::from(self.rounds(DY))) * ROUND_TASKS
    }

    /// # Safety
    /// As [`Kernel::run`].
    unsafe fn round(&self, task: usize, operands: &Operands<'_>) {
        let operand = if self.rounds(X) && task < ROUND_TASKS { X } else { DY };
        // Whole words, of which the last may have one element.
        let elements = self.elements(operand);
        let words = share(elements.div_ceil(2), task % ROUND_TASKS, ROUND_TASKS);
        let depth = elements.min(2 * words.end) - 2 * words.start;
        // SAFETY: the elements lie in both operands, and their words are this task's alone.
        unsafe {
            let from = Source::F32(operands.ptr(operand).cast_const().add(2 * words.start));
            let to = operands.ptr(self.rounded(operand)).cast::<u32>().add(words.start);
            let block = Block { from, steps: [1, depth], depth, columns: 1 };
            pack::run(self.isa, Rows { block, to, stride: words.len(), words: words.len() });
        }
    }

    fn packed_input(&self) -> usize {
        self.plan.shape.in_c.min(CHANNELS).next_multiple_of(self.isa.lanes()) * (BLOCK / 2)
    }

    /// Lists the pixels of `range` at which a tap meets the image; returns how many.
    fn list(&self, range: Range<usize>, tap: &Tap, list: &mut [Pixel]) -> usize {
        let s = &self.plan.shape;
        let step = s.stride[1] * s.in_c;
        let mut count = 0;
        tap.runs(s, range, |run| {
            let (mut x, mut dy) = (run.input, run.pixel * s.out_c);
            for pixel in &mut list[count..count + run.count] {
                *pixel = [x, dy];
                x += step;
                dy += s.out_c;
            }
            count += run.count;
        });
        count
    }

    /// # Safety
    /// As [`Kernel::run`].
    unsafe fn sum(&self, task: &WeightTask, operands: &Operands<'_>, local: &mut [f32]) {
        let (plan, shape) = (&self.plan, &self.plan.shape);
        // SAFETY: the chunk's share of the workspace, or the result.
        let sums = unsafe {
            if plan.combines() {
                operands.ptr(PARTIAL).add(task.chunk * shape.weight_words())
            } else {
                operands.ptr(DW)
            }
        };
        let taps = match &self.sums {
            Sums::Taps(taps) => &taps[if plan.cut.filter_rows > 1 { task.filter_rows.start } else { 0 }],
            Sums::Phases(phases) => {
                let images = [X, DY].map(|i| operands.ptr(self.rounded(i)).cast_const().cast::<u16>());
                // SAFETY: the contract of this function.
                return unsafe { phases.sum(plan, task, images, sums, local) };
            }
        };
        let (list, packed) = local.split_at_mut(BLOCK * size_of::<Pixel>() / size_of::<f32>());
        let (input, gradient) = packed.split_at_mut(self.packed_input());
        // SAFETY: aligned to a cache line by the contract of `run`, of the right size, and any words are pixels.
        let list = unsafe { std::slice::from_raw_parts_mut(list.as_mut_ptr().cast::<Pixel>(), BLOCK) };
        let width = plan.width();
        let channels = task.units.start * width..shape.out_c.min(task.units.end * width);
        for start in task.pixels.clone().step_by(BLOCK) {
            let block = start..(start + BLOCK).min(task.pixels.end);
            let store = if start == task.pixels.start { Store::Write } else { Store::Add };
            let mut before: Option<&Tap> = None;
            for tap in taps {
                let count = self.list(block.clone(), tap, list);
                let rows = (tap.at[0] * shape.kernel[1] + tap.at[1]) * shape.in_c;
                if count == 0 {
                    if store == Store::Write {
                        for row in rows..rows + shape.in_c {
                            // SAFETY: sums of the task's filter rows and output channels.
                            unsafe {
                                let row = sums.add(row * shape.out_c + channels.start);
                                row.write_bytes(0, channels.len());
                            }
                        }
                    }
                    continue;
                }
                // SAFETY: the listed pixels lie in the operands, the packed pairs in this task's scratch, and the sums
                // are those of the task's filter rows and channels.
                unsafe {
                    let list = &list[..count];
                    let lines = count.div_ceil(2);
                    if !before.is_some_and(|other| other.meets_with(tap)) {
                        let from = operands.ptr(self.rounded(DY)).cast_const().cast::<u16>();
                        let to = gradient.as_mut_ptr().cast();
                        let pack = Pack { from, list, side: 1, channels: channels.clone(), width, to };
                        pack::run(self.isa, pack);
                    }
                    before = Some(tap);
                    for first in (0..shape.in_c).step_by(CHANNELS) {
                        let inputs = first..shape.in_c.min(first + CHANNELS);
                        let from = operands.ptr(self.rounded(X)).cast_const().cast::<u16>();
                        let (to, width) = (input.as_mut_ptr().cast(), self.isa.lanes());
                        let pack = Pack { from, list, side: 0, channels: inputs.clone(), width, to };
                        pack::run(self.isa, pack);
                        let sums = sums.add((rows + first) * shape.out_c);
                        let packed = [input.as_ptr().cast(), gradient.as_ptr().cast()];
                        self.multiply(inputs.len(), channels.clone(), lines, packed, (sums, store));
                    }
                }
            }
        }
    }

    /// Sums products of `pairs` packed pairs of pixels: `rows` input channels by the output channels `channels`.
    ///
    /// # Safety
    /// `packed` holds input and gradient, `sums` is the first row of results.
    unsafe fn multiply(
        &self,
        rows: usize,
        channels: Range<usize>,
        pairs: usize,
        [input, gradient]: [*const u32; 2],
        (sums, store): (*mut f32, Store),
    ) {
        let (width, lanes, out_c) = (self.plan.width(), self.isa.lanes(), self.plan.shape.out_c);
        for (unit, first) in channels.clone().step_by(width).enumerate() {
            for strip in tile::strips(self.isa, rows) {
                let mut tile = Tile {
                    walk: Walk::line(pairs, lanes),
                    sources: [std::ptr::null(); MAX_ROWS],
                    results: [std::ptr::null_mut(); MAX_ROWS],
                    // SAFETY: panels are packed one after another.
                    panel: unsafe { gradient.add(unit * pairs * width) },
                    columns: width.min(channels.end - first),
                    store,
                };
                for (r, row) in strip.clone().enumerate() {
                    // SAFETY: row `row` is lane `row % lanes` of panel `row / lanes` of the input.
                    unsafe {
                        tile.sources[r] = input.add(row / lanes * pairs * lanes + row % lanes);
                        tile.results[r] = sums.add(row * out_c + first);
                    }
                }
                // SAFETY: the tile's pairs are packed, its sums this task's.
                unsafe { tile::run(self.isa, strip.len(), &tile) };
            }
        }
    }
}

/// Packs pairs of pixels into panels of `width` channels, one line a pair; the last panel's lines are whole vectors.
struct Pack<'a> {
    from: *const u16,
    list: &'a [Pixel],
    /// Which element of the pixels counts.
    side: usize,
    channels: Range<usize>,
    width: usize,
    to: *mut u32,
}

impl WithPairs for Pack<'_> {
    #[inline(always)]
    unsafe fn call<P: Pairs>(self, pairs: P) {
        let Pack { from, list, side, channels, width, to } = self;
        let lanes = <P::S as Simd>::LANES;
        let lines = list.len().div_ceil(2);
        // Panels that need no padding, if both pixels are there.
        let full = channels.len() / width;
        let shift = width.trailing_zeros();
        for (line, two) in list.chunks(2).enumerate() {
            // SAFETY: the pixels' channels lie in the operand; `to` has room for whole panels.
            unsafe {
                // The list leads through memory in strides that hardware does not foresee.
                for pixel in list[(2 * line + 2 * AHEAD).min(list.len())..].iter().take(2) {
                    let ahead = from.wrapping_add(pixel[side] + channels.start);
                    (0..channels.len()).step_by(LINE).for_each(|i| prefetch(ahead.wrapping_add(i).cast()));
                }
                let first = from.add(two[0][side] + channels.start);
                let second = two.get(1).map(|pixel| from.add(pixel[side] + channels.start));
                let mut done = 0;
                if let Some(second) = second {
                    for t in (0..full * width).step_by(lanes) {
                        let (mut x, mut y) = ([0u16; MAX_LANES], [0u16; MAX_LANES]);
                        for i in 0..lanes {
                            x[i] = first.add(t + i).read();
                            y[i] = second.add(t + i).read();
                        }
                        let panel = t >> shift;
                        let to = to.add((panel * lines + line) * width + t - panel * width);
                        for i in 0..lanes {
                            to.add(i).write(pair(x[i], y[i]));
                        }
                    }
                    done = full;
                }
                for panel in done..channels.len().div_ceil(width) {
                    let channel = panel * width;
                    let n = width.min(channels.len() - channel);
                    let to = to.add(panel * lines * width + line * n.next_multiple_of(lanes));
                    let second = second.map(|second| Source::Bf16(second.add(channel)));
                    interleave(pairs, Source::Bf16(first.add(channel)), second, n, to);
                }
            }
        }
    }
}

// SAFETY: images and gradients are only read; a rounding task owns words of a workspace, a summing task owns its filter rows and output channels in its chunk's
// partial sums, a combining task its words of the result.
unsafe impl Kernel for MixedWeightGrad {
    fn name(&self) -> &'static str {
        "conv.weight_grad.bf16"
    }

    fn flops(&self) -> u64 {
        self.plan.shape.flops()
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let mut specs = self.plan.operands();
        specs[X] = OperandSpec::read(self.mixed.a.words(self.plan.shape.input_words()));
        specs[DY] = OperandSpec::read(self.mixed.b.words(self.plan.shape.output_words()));
        for operand in [X, DY].into_iter().filter(|&operand| self.rounds(operand)) {
            specs.push(OperandSpec::workspace(Element::Bf16.words(self.elements(operand))));
        }
        specs
    }

    fn stages(&self) -> usize {
        1 + usize::from(self.round_tasks() > 0) + usize::from(self.plan.combines())
    }

    fn tasks(&self, stage: usize) -> usize {
        match stage + usize::from(self.round_tasks() == 0) {
            0 => self.round_tasks(),
            1 => self.plan.sum_tasks(),
            _ => self.plan.combine_tasks(),
        }
    }

    fn local_words(&self) -> usize {
        let units = self.units_of_a_task();
        match &self.sums {
            Sums::Taps(_) => {
                BLOCK * size_of::<Pixel>() / size_of::<f32>()
                    + self.packed_input()
                    + units * VECTORS * self.isa.lanes() * (BLOCK / 2)
            }
            Sums::Phases(phases) => phases.local_words(units),
        }
    }

    unsafe fn run(&self, isa: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        assert_eq!(isa, self.isa.isa, "planned for another instruction set");
        // SAFETY: the caller's promises, which are the bodies' contracts; a combining task owns its words.
        unsafe {
            let stage = stage + usize::from(self.round_tasks() == 0);
            if stage == 0 {
                return self.round(task, operands);
            }
            if stage == 1 {
                return self.sum(&self.plan.sum_task(task), operands, &mut local[..self.local_words()]);
            }
            let words = self.plan.shape.weight_words();
            let range = share(words, task, self.plan.combine_tasks());
            let combine = Combine {
                partials: operands.ptr(PARTIAL).add(range.start),
                stride: words,
                splits: self.plan.cut.chunks,
                out: operands.ptr(DW).add(range.start),
                element: Element::F32,
                len: range.len(),
            };
            pack::run(self.isa, combine);
        }
    }
}
