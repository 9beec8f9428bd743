//! The register tile of the weight gradient: rows of the input by vectors of output channels, summed over pixels.

use super::tile::{VECTORS, strip, tallest, with_height};
use super::weight_plan::{Columns, DW, DY, Method, PARTIAL, Pixel, WeightPlan, WeightTask, X};
use crate::isa::Isa;
use crate::kernel::Operands;
use crate::simd::{Simd, WithSimd, prefetch_near};
use std::ops::Range;

/// A task of [`Method::Dense`] or [`Method::Joined`].
pub(super) struct TiledRun<'a> {
    pub plan: &'a WeightPlan,
    pub task: WeightTask,
    pub operands: &'a Operands<'a>,
    pub local: *mut f32,
}

impl WithSimd for TiledRun<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, simd: S) {
        let TiledRun { plan, ref task, operands, local } = self;
        let shape = &plan.shape;
        let list = local.cast::<Pixel>();
        // SAFETY: the parts of the scratch follow one another as `local_words` counts them.
        let packed = unsafe { local.add(plan.list_words()) };
        let x = operands.ptr(X).cast_const();
        let sums = if plan.combines() {
            // SAFETY: the chunk's share of the workspace.
            unsafe { operands.ptr(PARTIAL).add(task.chunk * shape.weight_words()) }
        } else {
            operands.ptr(DW)
        };
        let joined = plan.method == Method::Joined;
        if joined {
            // Several passes add to the same sums, so these begin at zero. There is one group.
            let (first, end) =
                (task.units.start * plan.width(), (task.units.end * plan.width()).min(shape.out_c));
            let row_words = shape.kernel[1] * shape.in_c;
            for row in task.filter_rows.start * row_words..task.filter_rows.end * row_words {
                // SAFETY: the task's filter rows and output channels.
                unsafe { sums.add(row * shape.out_c + first).write_bytes(0, end - first) };
            }
        }
        for start in task.pixels.clone().step_by(plan.block()) {
            let block = start..(start + plan.block()).min(task.pixels.end);
            let (dy, dy_step) = if plan.packs() {
                // SAFETY: this task's scratch.
                unsafe { pack(simd, plan, task.units.clone(), block.clone(), operands, packed) };
                (packed.cast_const(), plan.width())
            } else {
                // SAFETY: the block's first pixel.
                (unsafe { operands.ptr(DY).cast_const().add(block.start * shape.out_c) }, shape.out_c)
            };
            let passes = if joined { plan.columns.classes.len() } else { shape.kernel[1] };
            for ky in task.filter_rows.clone() {
                for pass in 0..passes {
                    let (columns, kx, taps) = if joined {
                        let class = &plan.columns.classes[pass];
                        (Columns::of_class(class), class.tap_first, class.taps)
                    } else {
                        (plan.columns_of_tap(pass), pass, 1)
                    };
                    // SAFETY: the list has room for a block; `dy` is where the block's gradients begin.
                    let count = unsafe { plan.list(block.clone(), ky, columns, x, (dy, dy_step), list) };
                    let pass = Pass {
                        list,
                        count,
                        rows: taps * shape.in_group(),
                        out_row: (ky * shape.kernel[1] + kx) * shape.in_group(),
                        fresh: !joined && start == task.pixels.start,
                    };
                    // SAFETY: the pixels meet the image at the pass's taps; the filter row's sums for these units
                    // are this task's.
                    unsafe { multiply(simd, plan, task, &pass, sums) };
                }
            }
        }
    }
}

/// Pixels of a block and the rows (tap, input channel of a group) that they are multiplied into.
struct Pass {
    list: *const Pixel,
    count: usize,
    rows: usize,
    /// Row of the gradient.
    out_row: usize,
    /// Whether what the sums held is to be forgotten.
    fresh: bool,
}

/// Adds the products of a pass for all units of the task.
///
/// # Safety
/// The CPU supports `S::ISA`; every pixel of the list has `rows` words from each group's first channel, and the
/// gradients of the units; the sums of these rows and units belong to the caller.
#[inline(always)]
unsafe fn multiply<S: Simd>(simd: S, plan: &WeightPlan, task: &WeightTask, pass: &Pass, sums: *mut f32) {
    let shape = &plan.shape;
    let (out_group, width, tallest) = (shape.out_group(), plan.width(), tallest(S::ISA));
    for unit in task.units.clone() {
        let (group, first) = (unit / plan.panels(), unit % plan.panels() * width);
        let cols = width.min(out_group - first);
        for i in 0..pass.rows.div_ceil(tallest) {
            let strip = strip(pass.rows, tallest, i);
            // SAFETY: the strip lies in the pass's rows.
            unsafe {
                let args = TileArgs {
                    list: pass.list,
                    count: pass.count,
                    x_shift: group * shape.in_group() + strip.start,
                    dy_shift: if plan.packs() {
                        (unit - task.units.start) * plan.packed_step()
                    } else {
                        group * out_group + first
                    },
                    out: sums.add((pass.out_row + strip.start) * shape.out_c + group * out_group + first),
                    out_step: shape.out_c,
                    cols,
                    fresh: pass.fresh,
                };
                if cols > S::LANES {
                    with_height!(S, strip.len(), tile, VECTORS, (simd, &args));
                } else {
                    with_height!(S, strip.len(), tile, 1, (simd, &args));
                }
            }
        }
    }
}

/// Copies the gradients of `block` to `[unit][pixel][width]`, units [`WeightPlan::packed_step`] apart, zeros past the
/// last channel.
///
/// # Safety
/// The CPU supports `S::ISA`, `packed` has room, the operands are the plan's.
#[inline(always)]
unsafe fn pack<S: Simd>(
    simd: S,
    plan: &WeightPlan,
    units: Range<usize>,
    block: Range<usize>,
    operands: &Operands<'_>,
    packed: *mut f32,
) {
    let (width, out_group, out_c) = (plan.width(), plan.shape.out_group(), plan.shape.out_c);
    let (first_group, first_panel) = (units.start / plan.panels(), units.start % plan.panels());
    for i in 0..block.len() {
        // Divisions for each unit of each pixel would take as long as the copy.
        let (mut group, mut first) = (first_group, first_panel * width);
        for u in 0..units.len() {
            let cols = width.min(out_group - first);
            // SAFETY: the unit's channels of the block's pixel, and its place in the unit's share of `packed`.
            unsafe {
                let from =
                    operands.ptr(DY).cast_const().add((block.start + i) * out_c + group * out_group + first);
                let to = packed.add(u * plan.packed_step() + i * width);
                for v in (0..width).step_by(S::LANES) {
                    let value = if v + S::LANES <= cols {
                        simd.load(from.add(v))
                    } else if v < cols {
                        simd.load_first(from.add(v), cols - v)
                    } else {
                        simd.zero()
                    };
                    simd.store(to.add(v), value);
                }
            }
            first += width;
            if first >= out_group {
                (group, first) = (group + 1, 0);
            }
        }
    }
}

/// One tile of the gradient.
struct TileArgs {
    list: *const Pixel,
    count: usize,
    /// Words from a pixel's input to the tile's first row, and from its gradient to the tile's panel.
    x_shift: usize,
    dy_shift: usize,
    /// The tile's first row and column.
    out: *mut f32,
    out_step: usize,
    /// Columns that exist.
    cols: usize,
    /// Whether what the output held is to be forgotten.
    fresh: bool,
}

/// Pixels from one to that whose input is fetched meanwhile. Neighbours in a list are often a power of two apart, so that
/// they share a few lines of L1, and the words around a tile's that an earlier tile read are gone from there.
const SOON: usize = 8;

/// # Safety
/// The CPU supports `S::ISA`; from every pixel `MR` words of the input and `NV` vectors of gradients can
/// be read; no other task touches the tile's output.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(simd: S, args: &TileArgs) {
    // SAFETY: the caller's promises; masked columns are not touched.
    unsafe {
        let mut acc = [[simd.zero(); NV]; MR];
        for i in 0..args.count {
            let pixel = *args.list.add(i);
            if S::ISA == Isa::Avx512 {
                let soon = (*args.list.add((i + SOON).min(args.count - 1))).x.wrapping_add(args.x_shift);
                prefetch_near(soon);
                prefetch_near(soon.wrapping_add(MR - 1));
            }
            let x = pixel.x.add(args.x_shift);
            let dy = pixel.dy.add(args.dy_shift);
            let mut b = [simd.zero(); NV];
            for (v, b) in b.iter_mut().enumerate() {
                *b = simd.load(dy.add(v * S::LANES));
            }
            for (m, acc) in acc.iter_mut().enumerate() {
                let x = simd.splat(*x.add(m));
                for v in 0..NV {
                    acc[v] = simd.mul_add(x, b[v], acc[v]);
                }
            }
        }
        for (m, acc) in acc.iter().enumerate() {
            let out = args.out.add(m * args.out_step);
            for (v, &acc) in acc.iter().enumerate() {
                let first = v * S::LANES;
                let lanes = S::LANES.min(args.cols.saturating_sub(first));
                let out = out.wrapping_add(first);
                if lanes == S::LANES {
                    simd.store(out, if args.fresh { acc } else { simd.add(acc, simd.load(out)) });
                } else if lanes > 0 {
                    let sum = if args.fresh { acc } else { simd.add(acc, simd.load_first(out, lanes)) };
                    simd.store_first(out, sum, lanes);
                }
            }
        }
    }
}
