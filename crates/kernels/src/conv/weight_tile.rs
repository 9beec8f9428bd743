//! The register tile of the weight gradient: rows of the input by vectors of output channels, summed over pixels.

use super::tile::{VECTORS, heights};
use super::weight_plan::{BLOCK, DW, DY, Method, PARTIAL, Pixel, WeightPlan, WeightTask, X};
use crate::isa::Isa;
use crate::kernel::Operands;
use crate::simd::{Simd, WithSimd};
use std::ops::Range;

/// Rows `first .. first + height`, of which the first `skip` belong to the tile before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Strip {
    first: usize,
    height: usize,
    skip: usize,
}

/// The strip that begins at row `first` of `rows`. The last strips overlap their predecessors where no height
/// fits, so that no tile reads past the last row.
fn strip(isa: Isa, first: usize, rows: usize) -> Strip {
    let [tall, middle, low] = heights(isa);
    let left = rows - first;
    let wanted = if left > tall && left <= 2 * middle {
        // Two middle tiles are more even than a tall one and a rest.
        middle
    } else if left >= tall || left > middle {
        tall
    } else if left > low {
        middle
    } else {
        low
    };
    let height = [wanted, middle, low, 1].into_iter().find(|&h| h <= wanted && h <= rows).unwrap_or(1);
    let begin = first.min(rows - height);
    Strip { first: begin, height, skip: first - begin }
}

/// A task of [`Method::Dense`] or [`Method::Patch`].
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
        let (in_group, out_group, width) = (shape.in_group(), shape.out_group(), plan.width());
        // SAFETY: the parts of the scratch follow one another as `local_words` counts them, 64-byte multiples.
        let (list, packed, patches) = unsafe {
            let packed = local.add(BLOCK * size_of::<Pixel>() / size_of::<f32>());
            (local.cast::<Pixel>(), packed, packed.add(plan.packed_words()))
        };
        let x = operands.ptr(X).cast_const();
        let sums = if plan.combines() {
            // SAFETY: the chunk's share of the workspace.
            unsafe { operands.ptr(PARTIAL).add(task.chunk * shape.weight_words()) }
        } else {
            operands.ptr(DW)
        };
        let rows = if plan.method == Method::Patch { plan.patch_row() } else { in_group };
        let taps = if plan.method == Method::Patch { 1 } else { shape.kernel[1] };
        for start in task.pixels.clone().step_by(BLOCK) {
            let block = start..(start + BLOCK).min(task.pixels.end);
            // SAFETY: this task's scratch; `dy` has these pixels.
            unsafe { pack(simd, plan, task.units.clone(), block.clone(), operands, packed) };
            for kx in 0..taps {
                // SAFETY: as above; the list has room for a block.
                let count = unsafe {
                    if plan.method == Method::Patch {
                        copy_patches(simd, plan, block.clone(), x, patches);
                        for i in 0..block.len() {
                            let (x, dy) = (patches.add(i * rows), packed.add(i * width));
                            list.add(i).write(Pixel { x, dy });
                        }
                        block.len()
                    } else {
                        plan.list(block.clone(), task.ky, plan.columns_of_tap(kx), x, (packed, width), list)
                    }
                };
                for unit in task.units.clone() {
                    let (group, first) = (unit / plan.panels(), unit % plan.panels() * width);
                    let cols = width.min(out_group - first);
                    let mut done = 0;
                    while done < rows {
                        let strip = strip(S::ISA, done, rows);
                        let out_row = (task.ky * shape.kernel[1] + kx) * in_group + strip.first;
                        // SAFETY: every pixel of the list has `rows` words from the group's first channel and a
                        // packed gradient; the output rows and columns belong to this task alone.
                        unsafe {
                            let args = TileArgs {
                                list,
                                count,
                                x_shift: group * in_group + strip.first,
                                dy_shift: (unit - task.units.start) * BLOCK * width,
                                out: sums.add(out_row * shape.out_c + group * out_group + first),
                                out_step: shape.out_c,
                                cols,
                                skip: strip.skip,
                                fresh: start == task.pixels.start,
                            };
                            if cols > S::LANES {
                                sized::<S, { VECTORS }>(simd, strip.height, &args);
                            } else {
                                sized::<S, 1>(simd, strip.height, &args);
                            }
                        }
                        done = strip.first + strip.height;
                    }
                }
            }
        }
    }
}

/// Copies the gradients of `block` to `[unit][BLOCK][width]`, zeros past the last channel.
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
    for (i, unit) in units.enumerate() {
        let (group, first) = (unit / plan.panels(), unit % plan.panels() * width);
        let cols = width.min(out_group - first);
        // SAFETY: the unit's channels of the block's pixels, and the unit's share of `packed`.
        unsafe {
            let mut from = operands.ptr(DY).cast_const().add(block.start * out_c + group * out_group + first);
            let mut to = packed.add(i * BLOCK * width);
            for _ in 0..block.len() {
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
                (from, to) = (from.wrapping_add(out_c), to.wrapping_add(width));
            }
        }
    }
}

/// Copies the image patch under each pixel of `block` to `[pixel][ky][kx][channel]`, zeros in the padding.
///
/// # Safety
/// The CPU supports `S::ISA`, `patches` has room, `x` is the input.
#[inline(always)]
unsafe fn copy_patches<S: Simd>(
    simd: S,
    plan: &WeightPlan,
    block: Range<usize>,
    x: *const f32,
    patches: *mut f32,
) {
    let s = &plan.shape;
    let (oh, ow) = (s.out_h(), s.out_w());
    let [kh, kw] = s.kernel;
    let run = kw * s.in_c;
    for (i, p) in block.enumerate() {
        let (n, oy, ox) = (p / ow / oh, p / ow % oh, p % ow);
        let left = (ox * s.stride[1]) as isize - s.pad_low[1] as isize;
        let inside = s.dilation[1] == 1 && left >= 0 && left as usize + kw <= s.in_w;
        for ky in 0..kh {
            // SAFETY: reads stay in the image row, writes in the patch's filter row.
            unsafe {
                let to = patches.add((i * kh + ky) * run);
                let Some(iy) = plan.input_row(oy, ky) else {
                    to.write_bytes(0, run);
                    continue;
                };
                let line = x.add((n * s.in_h + iy) * s.in_w * s.in_c);
                if inside {
                    let from = line.add(left as usize * s.in_c);
                    for v in (0..run).step_by(S::LANES) {
                        let lanes = S::LANES.min(run - v);
                        simd.store_first(to.add(v), simd.load_first(from.add(v), lanes), lanes);
                    }
                    continue;
                }
                for kx in 0..kw {
                    let ix = left + (kx * s.dilation[1]) as isize;
                    let to = to.add(kx * s.in_c);
                    if ix >= 0 && (ix as usize) < s.in_w {
                        to.copy_from_nonoverlapping(line.add(ix as usize * s.in_c), s.in_c);
                    } else {
                        to.write_bytes(0, s.in_c);
                    }
                }
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
    /// First rows that are not to be stored.
    skip: usize,
    /// Whether what the output held is to be forgotten.
    fresh: bool,
}

/// # Safety
/// The CPU supports `S::ISA`; from every pixel `height` input words and `NV` vectors of gradients can be read; no
/// other task touches the tile's output.
#[inline(always)]
unsafe fn sized<S: Simd, const NV: usize>(simd: S, height: usize, args: &TileArgs) {
    // SAFETY: forwarded.
    unsafe {
        match S::ISA {
            Isa::Avx512 => match height {
                12 => tile::<S, 12, NV>(simd, args),
                8 => tile::<S, 8, NV>(simd, args),
                4 => tile::<S, 4, NV>(simd, args),
                _ => tile::<S, 1, NV>(simd, args),
            },
            Isa::Avx2 => match height {
                6 => tile::<S, 6, NV>(simd, args),
                4 => tile::<S, 4, NV>(simd, args),
                2 => tile::<S, 2, NV>(simd, args),
                _ => tile::<S, 1, NV>(simd, args),
            },
            Isa::Portable => match height {
                4 => tile::<S, 4, NV>(simd, args),
                2 => tile::<S, 2, NV>(simd, args),
                _ => tile::<S, 1, NV>(simd, args),
            },
        }
    }
}

/// # Safety
/// As [`sized`].
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(simd: S, args: &TileArgs) {
    // SAFETY: the caller's promises; masked columns are not touched.
    unsafe {
        let mut acc = [[simd.zero(); NV]; MR];
        for i in 0..args.count {
            let pixel = *args.list.add(i);
            let (x, dy) = (pixel.x.add(args.x_shift), pixel.dy.add(args.dy_shift));
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
            if m < args.skip {
                continue;
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_cover_every_row_once_and_never_leave_them() {
        for isa in Isa::ALL {
            for rows in 1..200 {
                let mut done = 0;
                while done < rows {
                    let s = strip(isa, done, rows);
                    assert!(s.first + s.height <= rows, "{isa:?} {rows} {s:?}");
                    assert_eq!(s.first + s.skip, done, "{isa:?} {rows} {s:?}");
                    assert!(s.skip < s.height && (heights(isa).contains(&s.height) || s.height == 1));
                    done = s.first + s.height;
                }
            }
        }
    }
}
