//! The two stages of a direct weight gradient with input channels in lanes: sums of tiles, then their transposition.

use super::tile::{VECTORS, with_height};
use super::weight_lanes::{BLOCK, InputLanes, Task};
use super::weight_plan::{DW, DY, PARTIAL, X};
use crate::isa::Isa;
use crate::kernel::Operands;
use crate::simd::{Simd, WithSimd, prefetch, prefetch_near};
use std::ops::Range;

/// Steps of a tile that are one piece of code: the loop around twelve multiply-adds would cost a tenth of them.
const UNROLLED: usize = 4;
/// Words of a cache line on every target the kernels are written for.
const LINE: usize = 16;

/// A summing task.
pub(super) struct SumRun<'a> {
    pub plan: &'a InputLanes,
    pub task: Task,
    pub operands: &'a Operands<'a>,
    pub local: *mut f32,
}

/// What of a block meets the image under a tap.
#[derive(Clone, Copy)]
struct Met {
    tap: usize,
    /// The pixels' first channels.
    inputs: *mut *const f32,
    /// Words from the block's first gradients in a strip to theirs: in lower strips, and in those a row higher.
    places: [*mut u32; 2],
    count: usize,
    /// Whether it is all of the block.
    all: bool,
}

impl WithSimd for SumRun<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, simd: S) {
        // What nobody plans need not be compiled.
        if const { !matches!(S::ISA, Isa::Avx2) } {
            unreachable!("planned for AVX2")
        }
        let SumRun { plan, ref task, operands, local } = self;
        let shape = &plan.shape;
        let strips = &plan.strips[task.strips.clone()];
        // SAFETY: the parts of the scratch follow one another as `local_words` counts them, the pointers, which need 8 bytes'
        // alignment, behind multiples of a vector.
        unsafe {
            let packed = local;
            let panel = packed.add(plan.packed_words());
            let inputs = panel.add(BLOCK * plan.width()).cast::<*const f32>();
            let places = inputs.add(2 * BLOCK).cast::<u32>();
            let [mut met, mut next] = [0, 1].map(|i| {
                let places = [2 * i, 2 * i + 1].map(|i| places.add(i * BLOCK));
                Met { tap: task.taps.start, inputs: inputs.add(i * BLOCK), places, count: 0, all: false }
            });
            let sums = operands.ptr(PARTIAL).add(task.chunk * plan.sums_words());
            for start in task.pixels.clone().step_by(BLOCK) {
                let block = start..(start + BLOCK).min(task.pixels.end);
                let fresh = start == task.pixels.start;
                let dy = operands.ptr(DY).cast_const().add(block.start * shape.out_c);
                pack(simd, dy, shape.out_c, block.len(), strips, packed);
                list(plan, task.taps.start, block.clone(), operands, &mut met);
                for tap in task.taps.clone() {
                    if tap + 1 < task.taps.end {
                        list(plan, tap + 1, block.clone(), operands, &mut next);
                    } else {
                        next.count = 0;
                    }
                    if met.count > 0 || fresh {
                        for p in task.panels.clone() {
                            copy(simd, &met, p * plan.width(), shape.in_c, panel);
                            // What is copied next, fetched while the products are formed.
                            let (ahead, first) = if p + 1 < task.panels.end {
                                (&met, p + 1)
                            } else {
                                (&next, task.panels.start)
                            };
                            let ahead = Ahead { met: ahead, first: first * plan.width() };
                            multiply(simd, plan, strips, &met, p, [packed, panel], sums, fresh, ahead);
                        }
                    }
                    std::mem::swap(&mut met, &mut next);
                }
            }
        }
    }
}

/// The next panel: what of a block, from which channel on.
struct Ahead<'a> {
    met: &'a Met,
    first: usize,
}

/// Adds the products of a panel with the packed gradients of all strips to the sums, or stores them.
///
/// # Safety
/// The CPU supports `S::ISA`; the panel and the gradients are packed, and the sums of the panel's and the strips' channels are
/// the caller's.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn multiply<S: Simd>(
    simd: S,
    plan: &InputLanes,
    strips: &[Range<usize>],
    met: &Met,
    p: usize,
    [packed, panel]: [*mut f32; 2],
    sums: *mut f32,
    fresh: bool,
    ahead: Ahead<'_>,
) {
    let lines = ahead.met.count.div_ceil(strips.len());
    let mut fetched = 0;
    // SAFETY: the caller's promises; the list of what is ahead has `count` entries.
    unsafe {
        let sums = sums.add(plan.sums_at(met.tap, p));
        let mut rows = packed.cast_const();
        for strip in strips {
            for i in fetched..(fetched + lines).min(ahead.met.count) {
                prefetch((*ahead.met.inputs.add(i)).wrapping_add(ahead.first));
            }
            fetched += lines;
            let args = TileArgs {
                rows,
                places: met.places[usize::from(strip.len() > plan.low())],
                panel,
                count: met.count,
                sums: sums.add(strip.start * plan.width()),
                fresh,
            };
            match (plan.shape.in_c - p * plan.width() > S::LANES, met.all) {
                (true, true) => with_height!(S, strip.len(), whole_tile, VECTORS, (simd, &args)),
                (true, false) => with_height!(S, strip.len(), listed_tile, VECTORS, (simd, &args)),
                (false, true) => with_height!(S, strip.len(), whole_tile, 1, (simd, &args)),
                (false, false) => with_height!(S, strip.len(), listed_tile, 1, (simd, &args)),
            }
            rows = rows.add(strip_words::<S>(strip));
        }
    }
}

/// Words from a strip's packed gradients to those of the next.
#[inline(always)]
fn strip_words<S: Simd>(strip: &Range<usize>) -> usize {
    BLOCK * strip.len() + S::LANES
}

/// Packs the gradients of `count` pixels from `dy` on: for each strip its channels, pixel by pixel.
///
/// # Safety
/// The CPU supports `S::ISA`; the pixels have `channels` words each, and `packed` room for a block of all strips.
#[inline(always)]
unsafe fn pack<S: Simd>(
    simd: S,
    dy: *const f32,
    channels: usize,
    count: usize,
    strips: &[Range<usize>],
    packed: *mut f32,
) {
    for i in 0..count {
        let mut to = packed;
        for strip in strips {
            // SAFETY: the strip's channels of the pixel. Words stored past them are its next pixel's, which is packed
            // later, or lie in the vector behind the strip.
            unsafe {
                let (from, at) = (dy.add(i * channels + strip.start), to.add(i * strip.len()));
                // The block exceeds L1, and stores wait for their lines in order.
                prefetch_near(at.wrapping_add(LINE));
                if strip.start + S::LANES <= channels {
                    simd.store(at, simd.load(from));
                } else {
                    simd.store_first(at, simd.load_first(from, strip.len()), strip.len());
                }
                to = to.add(strip_words::<S>(strip));
            }
        }
    }
}

/// Lists what of `block` meets the image under a tap.
///
/// # Safety
/// The lists have room for a block.
unsafe fn list(plan: &InputLanes, tap: usize, block: Range<usize>, operands: &Operands<'_>, met: &mut Met) {
    let x = operands.ptr(X).cast_const();
    let (step, start, len) = (plan.shape.stride[1] * plan.shape.in_c, block.start, block.len());
    let mut count = 0;
    plan.taps[tap].runs(&plan.shape, block, |run| {
        for i in 0..run.count {
            let place = run.pixel - start + i;
            // SAFETY: the run lies in the image and in the block.
            unsafe {
                met.inputs.add(count).write(x.add(run.input + i * step));
                met.places[0].add(count).write((place * plan.low()) as u32);
                met.places[1].add(count).write((place * (plan.low() + 1)) as u32);
            }
            count += 1;
        }
    });
    (met.tap, met.count, met.all) = (tap, count, count == len);
}

/// Copies a panel of the listed pixels, from their channel `first` on, side by side, in whole vectors.
///
/// # Safety
/// The CPU supports `S::ISA`; the pixels have `channels` channels, and `panel` has room for whole vectors of a block.
#[inline(always)]
unsafe fn copy<S: Simd>(simd: S, met: &Met, first: usize, channels: usize, panel: *mut f32) {
    let channels = (VECTORS * S::LANES).min(channels - first);
    let pitch = channels.next_multiple_of(S::LANES);
    // SAFETY: the caller's promise.
    unsafe {
        if channels == VECTORS * S::LANES {
            for i in 0..met.count {
                let (from, to) = ((*met.inputs.add(i)).add(first), panel.add(i * VECTORS * S::LANES));
                for v in 0..VECTORS {
                    simd.store(to.add(v * S::LANES), simd.load(from.add(v * S::LANES)));
                }
            }
            return;
        }
        for i in 0..met.count {
            let (from, to) = ((*met.inputs.add(i)).add(first), panel.add(i * pitch));
            for v in (0..channels).step_by(S::LANES) {
                simd.store(to.add(v), simd.load_first(from.add(v), S::LANES.min(channels - v)));
            }
        }
    }
}

/// One tile of sums.
struct TileArgs {
    /// The strip's packed gradients.
    rows: *const f32,
    /// Words to those of each listed pixel.
    places: *const u32,
    /// The input of the listed pixels, vectors side by side.
    panel: *const f32,
    /// Pixels listed.
    count: usize,
    /// The strip's first sums.
    sums: *mut f32,
    /// Whether what the sums held is to be forgotten.
    fresh: bool,
}

/// [`tile`] of listed pixels.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn listed_tile<S: Simd, const MR: usize, const NV: usize>(simd: S, args: &TileArgs) {
    // SAFETY: forwarded from the caller.
    unsafe { tile::<S, MR, NV, true>(simd, args) }
}

/// [`tile`] of neighbouring pixels.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn whole_tile<S: Simd, const MR: usize, const NV: usize>(simd: S, args: &TileArgs) {
    // SAFETY: forwarded from the caller.
    unsafe { tile::<S, MR, NV, false>(simd, args) }
}

/// # Safety
/// The CPU supports `S::ISA`; the strip has `MR` rows, the panel `NV` vectors a pixel; the tile's sums are the caller's.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize, const LISTED: bool>(simd: S, args: &TileArgs) {
    // SAFETY: the caller's promises.
    unsafe {
        for m in 0..MR {
            prefetch_near(args.sums.add(m * VECTORS * S::LANES));
        }
        let mut acc = [[simd.zero(); NV]; MR];
        let (mut rows, mut panel, mut places) = (args.rows, args.panel, args.places);
        let mut left = args.count;
        while left >= UNROLLED {
            for i in 0..UNROLLED {
                let row = if LISTED { args.rows.add(*places.add(i) as usize) } else { rows.add(i * MR) };
                step::<S, MR, NV>(simd, row, panel.add(i * NV * S::LANES), &mut acc);
            }
            (rows, places) = (rows.wrapping_add(UNROLLED * MR), places.add(UNROLLED));
            panel = panel.add(UNROLLED * NV * S::LANES);
            left -= UNROLLED;
        }
        for i in 0..left {
            let row = if LISTED { args.rows.add(*places.add(i) as usize) } else { rows.add(i * MR) };
            step::<S, MR, NV>(simd, row, panel.add(i * NV * S::LANES), &mut acc);
        }
        for (m, acc) in acc.iter().enumerate() {
            for (v, &acc) in acc.iter().enumerate() {
                let sums = args.sums.add(m * VECTORS * S::LANES + v * S::LANES);
                simd.store(sums, if args.fresh { acc } else { simd.add(acc, simd.load(sums)) });
            }
        }
    }
}

/// Adds the products of a pixel's gradients and input to the sums.
///
/// # Safety
/// The CPU supports `S::ISA`; `row` has `MR` words, `panel` `NV` vectors.
#[inline(always)]
unsafe fn step<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    row: *const f32,
    panel: *const f32,
    acc: &mut [[S::F; NV]; MR],
) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut x = [simd.zero(); NV];
        for (v, x) in x.iter_mut().enumerate() {
            *x = simd.load(panel.add(v * S::LANES));
        }
        for (m, acc) in acc.iter_mut().enumerate() {
            let dy = simd.splat(*row.add(m));
            for v in 0..NV {
                acc[v] = simd.mul_add(dy, x[v], acc[v]);
            }
        }
    }
}

/// A combining task: adds the chunks' sums of some taps and panels, numbered as they lie, into the gradient.
pub(super) struct CombineRun<'a> {
    pub plan: &'a InputLanes,
    pub parts: Range<usize>,
    pub operands: &'a Operands<'a>,
    /// Room for two squares of vectors.
    pub local: *mut f32,
}

impl WithSimd for CombineRun<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, simd: S) {
        if const { !matches!(S::ISA, Isa::Avx2) } {
            unreachable!("planned for AVX2")
        }
        let CombineRun { plan, parts, operands, local } = self;
        let (out_c, in_c, width) = (plan.shape.out_c, plan.shape.in_c, plan.width());
        for part in parts {
            let (tap, panel) = (part / plan.panels(), part % plan.panels());
            let channels = width.min(in_c - panel * width);
            for output in (0..out_c).step_by(S::LANES) {
                let outputs = S::LANES.min(out_c - output);
                for lane in (0..channels).step_by(S::LANES) {
                    let inputs = S::LANES.min(channels - lane);
                    // SAFETY: the sums of these channels are complete, and their words of the result are this task's.
                    unsafe {
                        let from = operands.ptr(PARTIAL).cast_const();
                        let from = from.add(plan.sums_at(tap, panel) + output * width + lane);
                        for o in 0..outputs {
                            let mut sum = simd.load(from.add(o * width));
                            for chunk in 1..plan.chunks() {
                                let partial = from.add(chunk * plan.sums_words() + o * width);
                                sum = simd.add(sum, simd.load(partial));
                            }
                            simd.store(local.add(o * S::LANES), sum);
                        }
                        let dw = (tap * in_c + panel * width + lane) * out_c + output;
                        let dw = operands.ptr(DW).add(dw);
                        if outputs == S::LANES {
                            simd.transpose(local, S::LANES, outputs, inputs, dw, out_c);
                            continue;
                        }
                        let turned = local.add(S::LANES * S::LANES);
                        simd.transpose(local, S::LANES, outputs, inputs, turned, S::LANES);
                        for i in 0..inputs {
                            let words = simd.load(turned.add(i * S::LANES));
                            simd.store_first(dw.add(i * out_c), words, outputs);
                        }
                    }
                }
            }
        }
    }
}
