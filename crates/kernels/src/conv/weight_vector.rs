//! Weight gradients whose vectors run along the input channels: very few output channels, and depthwise.

use super::tile::strip;
use super::weight_plan::{BLOCK, Columns, DW, DY, Method, PARTIAL, Pixel, WeightPlan, WeightTask, X};
use crate::kernel::Operands;
use crate::simd::{Simd, WithSimd};

/// A task of [`Method::Few`] or [`Method::Depthwise`].
pub(super) struct VectorRun<'a> {
    pub plan: &'a WeightPlan,
    pub task: WeightTask,
    pub operands: &'a Operands<'a>,
    pub local: *mut f32,
}

impl WithSimd for VectorRun<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, simd: S) {
        let VectorRun { plan, ref task, operands, local } = self;
        let shape = &plan.shape;
        let [kh, kw] = shape.kernel;
        let (in_group, out_group) = (shape.in_group(), shape.out_group());
        let list = local.cast::<Pixel>();
        let (x, dy) = (operands.ptr(X).cast_const(), operands.ptr(DY).cast_const());
        let few = plan.method == Method::Few;
        let row_words = kw * in_group;
        // SAFETY: the chunk's share of the workspace or the whole result, of which this task owns its filter rows.
        let sums = unsafe {
            let sums = if plan.combines() {
                operands.ptr(PARTIAL).add(task.chunk * shape.weight_words())
            } else {
                operands.ptr(DW)
            };
            if few {
                for channel in 0..shape.out_c {
                    let first = (channel * kh + task.filter_rows.start) * row_words;
                    sums.add(first).write_bytes(0, task.filter_rows.len() * row_words);
                }
            } else {
                let first = task.filter_rows.start * kw * shape.in_c;
                sums.add(first).write_bytes(0, task.filter_rows.len() * kw * shape.in_c);
            }
            sums
        };
        for start in task.pixels.clone().step_by(BLOCK) {
            let block = start..(start + BLOCK).min(task.pixels.end);
            let classes = plan.columns.classes.iter().filter(|c| c.taps > 0);
            for (ky, class) in task.filter_rows.clone().flat_map(|ky| classes.clone().map(move |c| (ky, c))) {
                let columns = Columns::of_class(class);
                // SAFETY: the list has room for a block; its pixels meet the image at all taps of the class;
                // this task owns the filter row in every sum.
                unsafe {
                    let dy = (dy.add(block.start * shape.out_c), shape.out_c);
                    let count = plan.list(block.clone(), ky, columns, x, dy, list);
                    let mut args = Args {
                        list,
                        count,
                        x_shift: 0,
                        dy_shift: 0,
                        out: sums,
                        words: 0,
                        out_step: kh * row_words,
                        tap_step: class.tap_step * shape.in_c,
                    };
                    if !few {
                        for tx in (0..class.taps).step_by(MAX_TAPS) {
                            args.x_shift = tx * args.tap_step;
                            args.out = sums.add((ky * kw + class.tap_first + tx) * shape.in_c);
                            args.words = shape.in_c;
                            args.out_step = shape.in_c;
                            depthwise(simd, &mut args, MAX_TAPS.min(class.taps - tx));
                        }
                        continue;
                    }
                    let joined = shape.groups == 1 && class.tap_step == 1;
                    let (runs, words) =
                        if joined { (1, class.taps * in_group) } else { (class.taps, in_group) };
                    for group in 0..shape.groups {
                        for run in 0..runs {
                            args.x_shift = group * in_group + run * args.tap_step;
                            args.dy_shift = group * out_group;
                            let row = group * out_group * kh + ky;
                            args.out = sums.add(row * row_words + (class.tap_first + run) * in_group);
                            args.words = words;
                            match out_group {
                                1 => few_outputs::<S, 6, 1>(simd, &args),
                                2 => few_outputs::<S, 4, 2>(simd, &args),
                                3 => few_outputs::<S, 3, 3>(simd, &args),
                                _ => few_outputs::<S, 2, 4>(simd, &args),
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One run of words along the input.
struct Args {
    list: *const Pixel,
    count: usize,
    /// Words from a pixel's input and gradient to the run's first.
    x_shift: usize,
    dy_shift: usize,
    out: *mut f32,
    /// Length of the run.
    words: usize,
    /// Output words between output channels (few outputs) or between taps (depthwise).
    out_step: usize,
    /// Input words between taps.
    tap_step: usize,
}

/// # Safety
/// The CPU supports `S::ISA`, and `n <= S::LANES` words can be read.
#[inline(always)]
unsafe fn load<S: Simd, const FULL: bool>(simd: S, p: *const f32, n: usize) -> S::F {
    // SAFETY: the caller's promise; FULL means n = LANES.
    unsafe { if FULL { simd.load(p) } else { simd.load_first(p, n) } }
}

/// # Safety
/// As [`few_tile`], for all words of the run.
#[inline(always)]
unsafe fn few_outputs<S: Simd, const NV: usize, const NC: usize>(simd: S, args: &Args) {
    let vectors = args.words / S::LANES;
    for i in 0..vectors.div_ceil(NV) {
        let strip = strip(vectors, NV, i);
        let first = strip.start * S::LANES;
        // SAFETY: forwarded; the strip has `strip.len()` whole vectors. Arms above NV fold away.
        unsafe {
            match strip.len() {
                6 if NV >= 6 => few_tile::<S, 6, NC, true>(simd, args, first),
                5 if NV >= 5 => few_tile::<S, 5, NC, true>(simd, args, first),
                4 if NV >= 4 => few_tile::<S, 4, NC, true>(simd, args, first),
                3 if NV >= 3 => few_tile::<S, 3, NC, true>(simd, args, first),
                2 => few_tile::<S, 2, NC, true>(simd, args, first),
                _ => few_tile::<S, 1, NC, true>(simd, args, first),
            }
        }
    }
    if vectors * S::LANES < args.words {
        // SAFETY: forwarded.
        unsafe { few_tile::<S, 1, NC, false>(simd, args, vectors * S::LANES) }
    }
}

/// Adds `sum over pixels of x * dy[c]` to words `first ..` of output channel c.
///
/// # Safety
/// The CPU supports `S::ISA`; every pixel's run and gradient can be read, the run's output belongs to the caller.
#[inline(always)]
unsafe fn few_tile<S: Simd, const NV: usize, const NC: usize, const FULL: bool>(
    simd: S,
    args: &Args,
    first: usize,
) {
    const { assert!(FULL || NV == 1) }
    let lanes = if FULL { S::LANES } else { args.words - first };
    // SAFETY: the caller's promise; without FULL, the only vector stops at the end of the run.
    unsafe {
        let mut acc = [[simd.zero(); NC]; NV];
        for i in 0..args.count {
            let pixel = *args.list.add(i);
            let (x, dy) = (pixel.x.add(args.x_shift + first), pixel.dy.add(args.dy_shift));
            let mut b = [simd.zero(); NC];
            for (c, b) in b.iter_mut().enumerate() {
                *b = simd.splat(*dy.add(c));
            }
            for (v, acc) in acc.iter_mut().enumerate() {
                let x = load::<S, FULL>(simd, x.add(v * S::LANES), lanes);
                for c in 0..NC {
                    acc[c] = simd.mul_add(x, b[c], acc[c]);
                }
            }
        }
        for (v, acc) in acc.iter().enumerate() {
            for (c, &acc) in acc.iter().enumerate() {
                let out = args.out.add(c * args.out_step + first + v * S::LANES);
                simd.store_first(out, simd.add(acc, simd.load_first(out, lanes)), lanes);
            }
        }
    }
}

/// Taps that are summed at a time.
const MAX_TAPS: usize = 8;

/// Adds the products of `taps <= MAX_TAPS` neighbouring taps, for all channels.
///
/// # Safety
/// As [`depthwise_tile`].
#[inline(always)]
unsafe fn depthwise<S: Simd>(simd: S, args: &mut Args, taps: usize) {
    for c in (0..args.words).step_by(S::LANES) {
        let lanes = S::LANES.min(args.words - c);
        // SAFETY: forwarded.
        unsafe {
            match taps {
                1 => depthwise_tile::<S, 1>(simd, args, c, lanes),
                2 => depthwise_tile::<S, 2>(simd, args, c, lanes),
                3 => depthwise_tile::<S, 3>(simd, args, c, lanes),
                4 => depthwise_tile::<S, 4>(simd, args, c, lanes),
                5 => depthwise_tile::<S, 5>(simd, args, c, lanes),
                6 => depthwise_tile::<S, 6>(simd, args, c, lanes),
                7 => depthwise_tile::<S, 7>(simd, args, c, lanes),
                _ => depthwise_tile::<S, MAX_TAPS>(simd, args, c, lanes),
            }
        }
    }
}

/// Adds `sum over pixels of x * dy` to channels `c .. c + lanes` of `NT` taps.
///
/// # Safety
/// The CPU supports `S::ISA`; every pixel's taps and gradient can be read, the taps' output belongs to the caller.
#[inline(always)]
unsafe fn depthwise_tile<S: Simd, const NT: usize>(simd: S, args: &Args, c: usize, lanes: usize) {
    // SAFETY: the caller's promise; masked lanes are not touched.
    unsafe {
        let mut acc = [simd.zero(); NT];
        for i in 0..args.count {
            let pixel = *args.list.add(i);
            let g = simd.load_first(pixel.dy.add(c), lanes);
            for (t, acc) in acc.iter_mut().enumerate() {
                let x = pixel.x.add(args.x_shift + t * args.tap_step + c);
                *acc = simd.mul_add(simd.load_first(x, lanes), g, *acc);
            }
        }
        for (t, &acc) in acc.iter().enumerate() {
            let out = args.out.add(t * args.out_step + c);
            simd.store_first(out, simd.add(acc, simd.load_first(out, lanes)), lanes);
        }
    }
}
