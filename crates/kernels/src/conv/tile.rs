//! The register tile of the gather: a few pixels by up to two vectors of output channels.

use super::gather::{Row, TapWalk, share};
use crate::isa::Isa;
use crate::simd::Simd;
use std::ops::Range;

/// Vectors of output channels in a full tile.
pub(super) const VECTORS: usize = 2;

/// Rows of the tallest tile: it leaves registers for the weights and one broadcast.
pub(super) const fn tallest(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 12,
        Isa::Avx2 => 6,
        Isa::Portable => 4,
    }
}

/// Lanes of a vector of `isa`.
pub(super) const fn lanes(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 16,
        Isa::Avx2 | Isa::Portable => 8,
    }
}

/// The most rows that any tile of a gather has.
pub(super) const MAX_HEIGHT: usize = 12;

/// The `i`-th of the fewest ranges of at most `tallest` rows that cover `rows`, all about equally high.
#[inline(always)]
pub(super) fn strip(rows: usize, tallest: usize, i: usize) -> Range<usize> {
    share(rows, i, rows.div_ceil(tallest))
}

/// `$tile::<$simd, MR, $vectors>($args)` for the run-time value `MR = $height`, at most `tallest(S::ISA)`.
macro_rules! with_height {
    ($simd:ty, $height:expr, $tile:ident, $vectors:expr, ($($arg:expr),*)) => {
        match <$simd>::ISA {
            Isa::Avx512 => match $height {
                1 => $tile::<$simd, 1, { $vectors }>($($arg),*),
                2 => $tile::<$simd, 2, { $vectors }>($($arg),*),
                3 => $tile::<$simd, 3, { $vectors }>($($arg),*),
                4 => $tile::<$simd, 4, { $vectors }>($($arg),*),
                5 => $tile::<$simd, 5, { $vectors }>($($arg),*),
                6 => $tile::<$simd, 6, { $vectors }>($($arg),*),
                7 => $tile::<$simd, 7, { $vectors }>($($arg),*),
                8 => $tile::<$simd, 8, { $vectors }>($($arg),*),
                9 => $tile::<$simd, 9, { $vectors }>($($arg),*),
                10 => $tile::<$simd, 10, { $vectors }>($($arg),*),
                11 => $tile::<$simd, 11, { $vectors }>($($arg),*),
                _ => $tile::<$simd, 12, { $vectors }>($($arg),*),
            },
            Isa::Avx2 => match $height {
                1 => $tile::<$simd, 1, { $vectors }>($($arg),*),
                2 => $tile::<$simd, 2, { $vectors }>($($arg),*),
                3 => $tile::<$simd, 3, { $vectors }>($($arg),*),
                4 => $tile::<$simd, 4, { $vectors }>($($arg),*),
                5 => $tile::<$simd, 5, { $vectors }>($($arg),*),
                _ => $tile::<$simd, 6, { $vectors }>($($arg),*),
            },
            Isa::Portable => match $height {
                1 => $tile::<$simd, 1, { $vectors }>($($arg),*),
                2 => $tile::<$simd, 2, { $vectors }>($($arg),*),
                3 => $tile::<$simd, 3, { $vectors }>($($arg),*),
                _ => $tile::<$simd, 4, { $vectors }>($($arg),*),
            },
        }
    };
}
pub(super) use with_height;

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
/// The CPU supports `S::ISA`; every source word and weight that `walk` visits from the `count` rows is readable, and
/// no other task touches the first `cols` outputs of a row.
#[inline(always)]
pub(super) unsafe fn panel<S: Simd, const NV: usize>(
    simd: S,
    walk: &TapWalk,
    rows: *const Row,
    count: usize,
    args: TileArgs,
) {
    let tallest = tallest(S::ISA);
    for i in 0..count.div_ceil(tallest) {
        let strip = strip(count, tallest, i);
        // SAFETY: the strip lies in the caller's rows.
        unsafe {
            let rows = rows.add(strip.start);
            with_height!(S, strip.len(), tile, NV, (simd, walk, rows, args));
        }
    }
}

/// # Safety
/// As [`panel`], for `MR` rows.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    walk: &TapWalk,
    rows: *const Row,
    args: TileArgs,
) {
    // SAFETY: reads and stores are those that the caller promises.
    unsafe {
        let mut acc = [[simd.zero(); NV]; MR];
        let mut segments = walk.rows * walk.runs;
        if segments > 0 {
            let (mut shift, mut w, mut run) = (args.src_shift, args.weights, 0);
            let row_gap = (walk.row_taps * walk.channels - walk.runs * walk.run_words) * NV * S::LANES;
            // Loops that test at the end: with a way around them, the sums would be copied at every entry.
            loop {
                let mut src = [std::ptr::null::<f32>(); MR];
                for (m, p) in src.iter_mut().enumerate() {
                    *p = (*rows.add(m)).src.add(shift);
                }
                let mut k = 0;
                loop {
                    let mut b = [simd.zero(); NV];
                    for (v, b) in b.iter_mut().enumerate() {
                        *b = simd.load(w.add(v * S::LANES));
                    }
                    w = w.wrapping_add(NV * S::LANES);
                    for m in 0..MR {
                        let x = simd.splat(*src[m].add(k));
                        for v in 0..NV {
                            acc[m][v] = simd.mul_add(x, b[v], acc[m][v]);
                        }
                    }
                    k += 1;
                    if k >= walk.run_words {
                        break;
                    }
                }
                segments -= 1;
                if segments == 0 {
                    break;
                }
                run += 1;
                if run == walk.runs {
                    run = 0;
                    shift += walk.row_step - (walk.runs - 1) * walk.run_step;
                    w = w.wrapping_add(row_gap);
                } else {
                    shift += walk.run_step;
                }
            }
        }
        for (m, acc) in acc.iter().enumerate() {
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
