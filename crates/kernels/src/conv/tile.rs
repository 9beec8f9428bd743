//! The register tile of the gather: a few pixels by up to two vectors of output channels.

use super::gather::{Row, TapWalk};
use crate::isa::Isa;
use crate::simd::Simd;

/// Vectors of output channels in a full tile.
pub(super) const VECTORS: usize = 2;

/// Heights that tiles come in, tallest first: the tallest leaves registers for the weights and one broadcast,
/// the others keep the waste at the end of a block below a third of it.
pub(super) const fn heights(isa: Isa) -> [usize; 3] {
    match isa {
        Isa::Avx512 => [12, 8, 4],
        Isa::Avx2 => [6, 4, 2],
        Isa::Portable => [4, 2, 1],
    }
}

/// Lanes of a vector of `isa`.
pub(super) const fn lanes(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 16,
        Isa::Avx2 | Isa::Portable => 8,
    }
}

/// The most rows any tile has.
pub(super) const MAX_HEIGHT: usize = 12;

/// The height of the next tile when `left` rows are to do: the smallest that holds them, or the tallest.
#[inline(always)]
pub(super) fn next_height(isa: Isa, left: usize) -> usize {
    let [tall, middle, low] = heights(isa);
    if left <= low {
        low
    } else if left <= middle {
        middle
    } else {
        tall
    }
}

/// What a tile computes beside its rows.
#[derive(Clone, Copy)]
pub(super) struct TileArgs {
    /// Words from a row's source and output to this group's first channel, and to this panel's for the output.
    pub src_shift: usize,
    pub out_shift: usize,
    /// The panel's weights of the first tap.
    pub weights: *const f32,
    /// Channels of the panel that exist.
    pub cols: usize,
}

/// Computes `count` rows by one panel of `NV` vectors.
///
/// # Safety
/// The CPU supports `S::ISA`; `rows` holds `count` rows and `MAX_HEIGHT` more; every source word and weight that
/// `walk` visits from them is readable and no other task touches the first `cols` outputs of a row.
#[inline(always)]
pub(super) unsafe fn panel<S: Simd, const NV: usize>(
    simd: S,
    walk: &TapWalk,
    rows: *const Row,
    count: usize,
    args: TileArgs,
) {
    let mut done = 0;
    while done < count {
        let height = next_height(S::ISA, count - done);
        let valid = height.min(count - done);
        // SAFETY: `done < count`, and up to MAX_HEIGHT rows follow; the rest is the caller's promise.
        unsafe {
            let rows = rows.add(done);
            match S::ISA {
                Isa::Avx512 => sized::<S, 12, 8, 4, NV>(simd, height, walk, rows, valid, args),
                Isa::Avx2 => sized::<S, 6, 4, 2, NV>(simd, height, walk, rows, valid, args),
                Isa::Portable => sized::<S, 4, 2, 1, NV>(simd, height, walk, rows, valid, args),
            }
        }
        done += valid;
    }
}

/// # Safety
/// As [`panel`], for `height` rows.
#[inline(always)]
unsafe fn sized<S: Simd, const TALL: usize, const MIDDLE: usize, const LOW: usize, const NV: usize>(
    simd: S,
    height: usize,
    walk: &TapWalk,
    rows: *const Row,
    valid: usize,
    args: TileArgs,
) {
    // SAFETY: forwarded.
    unsafe {
        if height == TALL {
            tile::<S, TALL, NV>(simd, walk, rows, valid, args)
        } else if height == MIDDLE {
            tile::<S, MIDDLE, NV>(simd, walk, rows, valid, args)
        } else {
            tile::<S, LOW, NV>(simd, walk, rows, valid, args)
        }
    }
}

/// # Safety
/// As [`panel`], for `MR` rows of which `valid` are stored.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    walk: &TapWalk,
    rows: *const Row,
    valid: usize,
    args: TileArgs,
) {
    // SAFETY: reads stay inside what the caller promises: `walk` visits the same words from every row, and rows
    // past `valid` repeat an earlier one. Stores go to `valid` rows and `cols` channels.
    unsafe {
        let mut acc = [[simd.zero(); NV]; MR];
        for ty in 0..walk.rows {
            let mut w = args.weights.add(ty * walk.row_taps * walk.channels * NV * S::LANES);
            for run in 0..walk.runs {
                let shift = args.src_shift + ty * walk.row_step + run * walk.run_step;
                let mut src = [std::ptr::null::<f32>(); MR];
                for (m, p) in src.iter_mut().enumerate() {
                    *p = (*rows.add(m)).src.add(shift);
                }
                for k in 0..walk.run_words {
                    let mut b = [simd.zero(); NV];
                    for (v, b) in b.iter_mut().enumerate() {
                        *b = simd.load(w.add(v * S::LANES));
                    }
                    w = w.add(NV * S::LANES);
                    for m in 0..MR {
                        let x = simd.splat(*src[m].add(k));
                        for v in 0..NV {
                            acc[m][v] = simd.mul_add(x, b[v], acc[m][v]);
                        }
                    }
                }
            }
        }
        for (m, acc) in acc.iter().enumerate() {
            if m < valid {
                let out = (*rows.add(m)).out.add(args.out_shift);
                for (v, acc) in acc.iter().enumerate() {
                    let first = v * S::LANES;
                    if first + S::LANES <= args.cols {
                        simd.store(out.add(first), *acc);
                    } else if first < args.cols {
                        simd.store_first(out.add(first), *acc, args.cols - first);
                    }
                }
            }
        }
    }
}
