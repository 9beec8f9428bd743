//! The register tile of mixed precision: a few rows by up to two vectors of columns, summed over words of pairs.

use super::amx;
use super::pack::store_rounded;
use super::simd::{MAX_LANES, PairIsa, Pairs, WithPairs, run_pairs_on};
use crate::isa::Isa;
use crate::simd::Simd;
use std::ops::Range;

/// Vectors of a full panel.
pub(crate) const VECTORS: usize = 2;

/// Rows of the tallest tile of any instruction set.
pub(crate) const MAX_ROWS: usize = 12;

/// Rows of the tallest tile: with AVX-512, 12 x 2 sums, 2 vectors of the panel and a broadcast of 32 registers.
/// Widened pairs take twice the registers of operands.
fn tallest(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => MAX_ROWS,
        Isa::Avx2 => 4,
        Isa::Portable => 2,
    }
}

/// The rows of each tile, of `rows` rows.
pub(crate) fn strips(isa: PairIsa, rows: usize) -> impl Iterator<Item = Range<usize>> {
    let tallest = if isa.tiles() { amx::TALLEST } else { tallest(isa.isa) };
    let count = rows.div_ceil(tallest);
    (0..count).map(move |i| {
        if isa.tiles() {
            // Whole registers, and what is left.
            i * tallest..rows.min((i + 1) * tallest)
        } else {
            // Nearly equal: low tiles are slower.
            rows * i / count..rows * (i + 1) / count
        }
    })
}

/// What becomes of the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// f32 words are overwritten.
    Write,
    /// f32 words are added to.
    Add,
    /// Rounded to bf16; rows begin at whole words.
    Round,
}

/// The words of one row along the sum: `rows` rows of `runs` runs of `run_words` words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    pub rows: usize,
    /// Words between rows.
    pub row_step: usize,
    pub runs: usize,
    /// Words between runs.
    pub run_step: usize,
    /// Words of a run, at least 1.
    pub run_words: usize,
    /// Lines of the panel left out between rows.
    pub gap: usize,
    /// Words from one word of a run to the next.
    pub step: usize,
}

impl Walk {
    /// One run of `words` words, `step` apart.
    pub(crate) fn line(words: usize, step: usize) -> Self {
        Self { rows: 1, row_step: 0, runs: 1, run_step: 0, run_words: words, gap: 0, step }
    }
}

/// A tile of the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    pub walk: Walk,
    /// Where each row's walk begins.
    pub sources: [*const u32; MAX_ROWS],
    /// Where each row's results begin.
    pub results: [*mut f32; MAX_ROWS],
    /// The line of the panel that the first word meets; lines are whole vectors and follow each other.
    pub panel: *const u32,
    /// Columns that exist.
    pub columns: usize,
    pub store: Store,
}

/// Computes a tile of `rows` rows.
///
/// # Safety
/// The CPU has the instructions of `isa`; `rows` is from 1 to [`tallest`] and `columns` from 1 to two vectors; the words
/// that `walk` visits from each source, and as many lines of the panel, are readable, and `columns` elements of each
/// result are this task's alone.
pub(crate) unsafe fn run(isa: PairIsa, rows: usize, tile: &Tile) {
    // SAFETY: forwarded from the caller.
    unsafe {
        if tile.columns <= isa.lanes() {
            dispatch::<1>(isa, rows, tile);
        } else {
            dispatch::<VECTORS>(isa, rows, tile);
        }
    }
}

/// # Safety
/// As for [`run`].
unsafe fn dispatch<const NV: usize>(isa: PairIsa, rows: usize, tile: &Tile) {
    macro_rules! heights {
        ($($n:literal)*) => {
            match rows {
                // SAFETY: forwarded from the caller.
                $($n => unsafe { run_pairs_on(isa, Sized::<$n, NV>(tile)) },)*
                _ => unreachable!("a tile of {rows} rows"),
            }
        };
    }
    heights!(1 2 3 4 5 6 7 8 9 10 11 12)
}

struct Sized<'a, const MR: usize, const NV: usize>(&'a Tile);

impl<const MR: usize, const NV: usize> WithPairs for Sized<'_, MR, NV> {
    #[inline(always)]
    unsafe fn call<P: Pairs>(self, pairs: P) {
        let (tile, simd) = (self.0, pairs.simd());
        let walk = tile.walk;
        let lanes = <P::S as Simd>::LANES;
        // SAFETY: reads and stores are those that the caller of `run` promises.
        unsafe {
            let mut sums = [[simd.zero(); NV]; MR];
            let mut segments = walk.rows * walk.runs;
            if segments > 0 {
                let (mut shift, mut panel, mut run) = (0, tile.panel, 0);
                // Loops that test at the end: with a way around them, the sums would be copied at every entry.
                loop {
                    let mut source = [std::ptr::null::<u32>(); MR];
                    for (m, source) in source.iter_mut().enumerate() {
                        *source = tile.sources[m].add(shift);
                    }
                    let (mut k, end) = (0, walk.run_words * walk.step);
                    loop {
                        let mut line = [pairs.load(panel); NV];
                        for (v, line) in line.iter_mut().enumerate().skip(1) {
                            *line = pairs.load(panel.add(v * lanes));
                        }
                        panel = panel.wrapping_add(NV * lanes);
                        for m in 0..MR {
                            let x = pairs.splat(*source[m].add(k));
                            for v in 0..NV {
                                sums[m][v] = pairs.dot(x, line[v], sums[m][v]);
                            }
                        }
                        k += walk.step;
                        if k >= end {
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
                        panel = panel.wrapping_add(walk.gap * NV * lanes);
                    } else {
                        shift += walk.run_step;
                    }
                }
            }
            // Loops that the compiler unrolls and nothing else: any other would keep the sums in memory throughout.
            if tile.columns == NV * lanes && tile.store != Store::Round {
                if tile.store == Store::Add {
                    for (m, sums) in sums.iter_mut().enumerate() {
                        for (v, sum) in sums.iter_mut().enumerate() {
                            *sum = simd.add(simd.load(tile.results[m].add(v * lanes)), *sum);
                        }
                    }
                }
                for (m, sums) in sums.iter().enumerate() {
                    for (v, &sum) in sums.iter().enumerate() {
                        simd.store(tile.results[m].add(v * lanes), sum);
                    }
                }
                return;
            }
            let mut block = [[0.0f32; VECTORS * MAX_LANES]; MR];
            for (block, sums) in block.iter_mut().zip(&sums) {
                for (v, &sum) in sums.iter().enumerate() {
                    simd.store(block.as_mut_ptr().add(v * lanes), sum);
                }
            }
            finish(pairs, &tile.results[..MR], &block, tile.columns, tile.store);
        }
    }
}

/// Takes rows of sums to their results.
///
/// # Safety
/// The CPU has the instructions of `P`, and `columns` elements of each result, at most those of a row, are this task's alone.
#[inline(always)]
pub(super) unsafe fn finish<P: Pairs>(
    pairs: P,
    results: &[*mut f32],
    rows: &[[f32; VECTORS * MAX_LANES]],
    columns: usize,
    store: Store,
) {
    let (simd, lanes) = (pairs.simd(), <P::S as Simd>::LANES);
    for (&out, sums) in results.iter().zip(rows) {
        for first in (0..columns).step_by(lanes) {
            let n = lanes.min(columns - first);
            // SAFETY: the caller's promise; a row holds whole vectors.
            unsafe {
                let sum = simd.load(sums.as_ptr().add(first));
                match store {
                    Store::Write => simd.store_first(out.add(first), sum, n),
                    Store::Add => {
                        let out = out.add(first);
                        simd.store_first(out, simd.add(simd.load_first(out, n), sum), n);
                    }
                    Store::Round if n == lanes => pairs.round(sum, out.cast::<u16>().add(first)),
                    Store::Round => store_rounded(simd, sum, n, out.cast::<u16>().add(first)),
                }
            }
        }
    }
}
