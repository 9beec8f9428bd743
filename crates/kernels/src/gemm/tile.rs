//! The micro-kernel: one tile of the result kept in registers while it walks along k.

use super::ahead::Ahead;
use crate::isa::Isa;
use crate::simd::{Simd, WithSimd, prefetch, run_on};
use std::marker::PhantomData;

/// Tile sizes of an instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Most rows of a tile.
    pub rows: usize,
    /// Words of a vector.
    pub lanes: usize,
    /// Most vectors of a tile's row.
    pub vectors: usize,
}

impl Geometry {
    /// Accumulators, one row of B and one broadcast word of A share the vector registers: 14 x 2 + 2 + 1 of 32
    /// with AVX-512, 6 x 2 + 2 + 1 of 16 with AVX2. A portable vector takes two of 16 SSE registers:
    /// (6 + 1) x 2 + 1.
    pub(super) const fn of(isa: Isa) -> Self {
        match isa {
            Isa::Portable => Self { rows: 6, lanes: 8, vectors: 1 },
            Isa::Avx2 => Self { rows: 6, lanes: 8, vectors: 2 },
            Isa::Avx512 => Self { rows: 14, lanes: 16, vectors: 2 },
        }
    }

    /// Columns of a full panel of B.
    pub(super) fn columns(self) -> usize {
        self.lanes * self.vectors
    }

    /// Vectors for a panel of `columns`.
    pub(super) fn vectors_for(self, columns: usize) -> usize {
        columns.div_ceil(self.lanes)
    }
}

/// `C[i, j] = sum over p of A[i, p] * B[p, j]`, or `+=`, for one tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    /// Length of the sum.
    pub k: usize,
    /// `A[0, 0]`.
    pub a: *const f32,
    /// Words from one row of A to the next, or [`CHUNKED`].
    pub a_row: usize,
    /// Words from one column of A to the next, or from one chunk of columns to the next.
    pub a_k: usize,
    /// `B[0, 0]`; every row is readable in whole vectors.
    pub b: *const f32,
    /// Words from one row of B to the next.
    pub b_k: usize,
    /// `C[0, 0]`.
    pub c: *mut f32,
    /// Words from one row of C to the next.
    pub c_row: usize,
    /// Columns of C to write, at most those of the panel.
    pub columns: usize,
    /// Whether to add to C rather than overwrite it.
    pub accumulate: bool,
    /// Whether C is so large that its tile is fetched while the sums are formed.
    pub fetch_c: bool,
    /// What to fetch meanwhile.
    pub ahead: Ahead,
    /// Lines to fetch in each [`STRETCH`] of k.
    pub fetches: usize,
}

/// The row stride that marks an A in chunks of [`CHUNK`] columns, in which rows follow each other (no real stride is 0:
/// a broadcast is one of batches). The sums are then a number of whole chunks long.
pub(super) const CHUNKED: usize = 0;

/// Columns of a chunk of A.
pub(super) const CHUNK: usize = 16;

/// Steps along k between fetches, of which a chunk is a multiple.
pub const STRETCH: usize = 8;

/// Steps that are one piece of code where tiles are small.
const UNROLLED: usize = 4;

/// How the rows of A lie: what the compiler knows of their addresses need not be computed in every step.
trait Layout {
    /// Words from one row to the next.
    fn row(tile: &Tile) -> usize;

    /// Words from one column to the next, of the same chunk where there are chunks.
    fn column(tile: &Tile) -> usize;

    /// Words skipped behind a chunk.
    fn skipped(_: &Tile) -> usize {
        0
    }
}

/// Any strides.
struct Strided;

impl Layout for Strided {
    #[inline(always)]
    fn row(tile: &Tile) -> usize {
        tile.a_row
    }

    #[inline(always)]
    fn column(tile: &Tile) -> usize {
        tile.a_k
    }
}

/// Rows along k, `N` words apart: the usual widths of dense layers. Without additions for the rows' addresses, which take
/// the ports of multiply-adds, a product in bands is a tenth faster.
struct Apart<const N: usize>;

impl<const N: usize> Layout for Apart<N> {
    #[inline(always)]
    fn row(_: &Tile) -> usize {
        N
    }

    #[inline(always)]
    fn column(_: &Tile) -> usize {
        1
    }
}

/// The words of a column are neighbours.
struct Columns;

impl Layout for Columns {
    #[inline(always)]
    fn row(_: &Tile) -> usize {
        1
    }

    #[inline(always)]
    fn column(tile: &Tile) -> usize {
        tile.a_k
    }
}

/// Chunks of columns, as [`CHUNKED`] says.
struct Chunks;

impl Layout for Chunks {
    #[inline(always)]
    fn row(_: &Tile) -> usize {
        CHUNK
    }

    #[inline(always)]
    fn column(_: &Tile) -> usize {
        1
    }

    #[inline(always)]
    fn skipped(tile: &Tile) -> usize {
        tile.a_k - CHUNK
    }
}

/// A tile with its size known to the compiler.
struct Sized<const ROWS: usize, const VECTORS: usize, L>(Tile, PhantomData<L>);

impl<const ROWS: usize, const VECTORS: usize, L: Layout> WithSimd for Sized<ROWS, VECTORS, L> {
    type Output = Ahead;

    #[inline(always)]
    unsafe fn call<S: Simd>(self, s: S) -> Ahead {
        // The contract of `run` excludes these, and what nobody calls need not be compiled.
        if const { ROWS > Geometry::of(S::ISA).rows || VECTORS > Geometry::of(S::ISA).vectors } {
            unreachable!("a tile of {ROWS} rows of {VECTORS} vectors")
        }
        let mut t = self.0;
        // SAFETY: the contract of `Tile` makes every address below readable or writable: whole vectors of B,
        // ROWS words of A for each p, and of C only the first `columns` words of ROWS rows.
        unsafe {
            let mut acc = [[s.zero(); VECTORS]; ROWS];
            let (mut a, mut b) = (t.a, t.b);
            let (row, column) = (L::row(&t), L::column(&t));
            if t.fetch_c {
                for i in 0..ROWS {
                    for v in 0..VECTORS {
                        prefetch(t.c.wrapping_add(i * t.c_row + v * S::LANES));
                    }
                }
            }
            let mut left = t.k;
            while left > 0 {
                t.ahead.fetch(t.fetches);
                let steps = left.min(STRETCH);
                left -= steps;
                if steps == STRETCH && S::ISA == Isa::Avx2 {
                    // Twelve multiply-adds take six cycles, in which what a loop adds to loads and broadcasts does
                    // not fit: of four steps it does.
                    for _ in 0..STRETCH / UNROLLED {
                        for _ in 0..UNROLLED {
                            step::<S, ROWS, VECTORS>(s, a, row, b, &mut acc);
                            (a, b) = (a.wrapping_add(column), b.wrapping_add(t.b_k));
                        }
                    }
                } else {
                    for _ in 0..steps {
                        step::<S, ROWS, VECTORS>(s, a, row, b, &mut acc);
                        (a, b) = (a.wrapping_add(column), b.wrapping_add(t.b_k));
                    }
                }
                if left.is_multiple_of(CHUNK) {
                    a = a.wrapping_add(L::skipped(&t));
                }
            }
            if t.columns == VECTORS * S::LANES {
                for (i, acc) in acc.iter().enumerate() {
                    for (v, &acc) in acc.iter().enumerate() {
                        let c = t.c.add(i * t.c_row + v * S::LANES);
                        s.store(c, if t.accumulate { s.add(s.load(c), acc) } else { acc });
                    }
                }
            } else {
                for (i, acc) in acc.iter().enumerate() {
                    for (v, &acc) in acc.iter().enumerate() {
                        let c = t.c.add(i * t.c_row + v * S::LANES);
                        let n = (t.columns - v * S::LANES).min(S::LANES);
                        s.store_first(c, if t.accumulate { s.add(s.load_first(c, n), acc) } else { acc }, n);
                    }
                }
            }
        }
        t.ahead
    }
}

/// One step along k: adds the products of a column of A and a row of B to the sums.
///
/// # Safety
/// The CPU supports the instruction set; the words of the column and whole vectors of the row are readable.
#[inline(always)]
unsafe fn step<S: Simd, const ROWS: usize, const VECTORS: usize>(
    s: S,
    a: *const f32,
    a_row: usize,
    b: *const f32,
    acc: &mut [[S::F; VECTORS]; ROWS],
) {
    // SAFETY: forwarded from the caller.
    unsafe {
        let mut row = [s.zero(); VECTORS];
        for (v, row) in row.iter_mut().enumerate() {
            *row = s.load(b.add(v * S::LANES));
        }
        for (i, acc) in acc.iter_mut().enumerate() {
            let x = s.splat(*a.add(i * a_row));
            for (acc, &row) in acc.iter_mut().zip(&row) {
                *acc = s.mul_add(x, row, *acc);
            }
        }
    }
}

/// Runs one tile of `rows` x `vectors`; returns what is still to be fetched.
///
/// # Safety
/// The CPU supports `isa`, the sizes are within [`Geometry`], and the fields of `tile` mean what they say.
pub(super) unsafe fn run(isa: Isa, rows: usize, vectors: usize, tile: Tile) -> Ahead {
    debug_assert!(tile.a_row != CHUNKED || tile.k.is_multiple_of(CHUNK));
    debug_assert!(vectors * Geometry::of(isa).lanes < tile.columns + Geometry::of(isa).lanes);
    // SAFETY: forwarded from the caller.
    unsafe {
        match (vectors, tile.a_row, tile.a_k) {
            (1, CHUNKED, _) => dispatch::<1, Chunks>(isa, rows, tile),
            (1, 1, _) => dispatch::<1, Columns>(isa, rows, tile),
            (1, _, _) => dispatch::<1, Strided>(isa, rows, tile),
            (_, CHUNKED, _) => dispatch::<2, Chunks>(isa, rows, tile),
            (_, 1, _) => dispatch::<2, Columns>(isa, rows, tile),
            (_, 64, 1) => dispatch::<2, Apart<64>>(isa, rows, tile),
            (_, 128, 1) => dispatch::<2, Apart<128>>(isa, rows, tile),
            (_, 256, 1) => dispatch::<2, Apart<256>>(isa, rows, tile),
            (_, 512, 1) => dispatch::<2, Apart<512>>(isa, rows, tile),
            (_, _, _) => dispatch::<2, Strided>(isa, rows, tile),
        }
    }
}

/// Chooses the compiled number of rows.
///
/// # Safety
/// As for [`run`].
unsafe fn dispatch<const VECTORS: usize, L: Layout>(isa: Isa, rows: usize, tile: Tile) -> Ahead {
    macro_rules! sizes {
        ($($n:literal)*) => {
            match rows {
                // SAFETY: forwarded from the caller.
                $($n => unsafe { run_on(isa, Sized::<$n, VECTORS, L>(tile, PhantomData)) },)*
                _ => unreachable!("a tile of {rows} rows"),
            }
        };
    }
    sizes!(1 2 3 4 5 6 7 8 9 10 11 12 13 14)
}
