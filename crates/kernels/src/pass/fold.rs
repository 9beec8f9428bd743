//! Combining the elements of blocks: f32 lanes over one block, f64 (or i64) cells across blocks.
//!
//! A lane adds at most 512 / 16 rows of one block before its sum goes to an f64 cell, so the relative error of a
//! sum of terms of one sign stays near 1e-7 whatever its length.

use super::blocks::Source;
use super::ops::{Lane, ReduceOp};
use crate::simd::{SimdMath, WithSimdMath};

/// Words of a cell in scratch and workspaces.
pub(super) const CELL: usize = 2;

/// An accumulator: f64 bits for f32 values, i64 bits for integers (whose sums wrap to 32 bits at the end).
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(transparent)]
pub(super) struct Cell(pub u64);

impl Cell {
    pub fn identity(op: ReduceOp, lane: Lane) -> Cell {
        Cell::of(op.identity(lane), lane)
    }

    pub fn of(word: u32, lane: Lane) -> Cell {
        Cell(match lane {
            Lane::F32 => f64::from(f32::from_bits(word)).to_bits(),
            Lane::I32 => i64::from(word as i32) as u64,
            Lane::U32 => u64::from(word),
        })
    }

    pub fn word(self, lane: Lane) -> u32 {
        match lane {
            Lane::F32 => (f64::from_bits(self.0) as f32).to_bits(),
            Lane::I32 | Lane::U32 => self.0 as u32,
        }
    }

    #[inline(always)]
    pub fn join(self, other: Cell, op: ReduceOp, lane: Lane) -> Cell {
        match lane {
            Lane::F32 => Cell(join_float(f64::from_bits(self.0), f64::from_bits(other.0), op).to_bits()),
            Lane::I32 | Lane::U32 => {
                let (a, b) = (self.0 as i64, other.0 as i64);
                Cell(match op {
                    ReduceOp::Sum => a.wrapping_add(b),
                    ReduceOp::Max => a.max(b),
                    ReduceOp::Min => a.min(b),
                } as u64)
            }
        }
    }
}

/// Combines two f64; NaN wins.
#[inline(always)]
pub(super) fn join_float(a: f64, b: f64, op: ReduceOp) -> f64 {
    match op {
        ReduceOp::Sum => a + b,
        ReduceOp::Max => {
            if a.is_nan() || a > b {
                a
            } else {
                b
            }
        }
        ReduceOp::Min => {
            if a.is_nan() || a < b {
                a
            } else {
                b
            }
        }
    }
}

#[inline(always)]
unsafe fn join_lanes<S: SimdMath>(s: S, op: ReduceOp, a: S::F, b: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        match op {
            ReduceOp::Sum => s.add(a, b),
            ReduceOp::Max => s.max(a, b),
            ReduceOp::Min => s.min(a, b),
        }
    }
}

/// Combines `rows` rows of `words` words into `words` cells, column by column.
///
/// Contract of [`WithSimdMath::call`]: the source has `rows * words` words (16 if its step is 0), `cells` has
/// `words` cells.
pub(super) struct Columns {
    pub from: Source,
    pub rows: usize,
    pub words: usize,
    pub op: ReduceOp,
    pub lane: Lane,
    pub cells: *mut Cell,
}

impl WithSimdMath for Columns {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: SimdMath>(self, s: S) {
        let Columns { from, rows, words, op, lane, cells } = self;
        // SAFETY: only words that the contract names are touched; the CPU feature is the caller's promise.
        unsafe {
            if lane != Lane::F32 {
                for i in 0..rows * words {
                    let cell = cells.add(i % words);
                    *cell = (*cell).join(Cell::of((*from.ptr.add(i * from.step)).to_bits(), lane), op, lane);
                }
                return;
            }
            macro_rules! columns {
                ($op:expr) => {{
                    let mut lanes = [0.0f32; 16];
                    let mut c = 0;
                    while c < words {
                        let n = (words - c).min(S::LANES);
                        let row = |r: usize| {
                            let p = from.ptr.add((r * words + c) * from.step);
                            if n == S::LANES { s.load(p) } else { s.load_first(p, n) }
                        };
                        let mut sum = row(0);
                        for r in 1..rows {
                            sum = join_lanes(s, $op, sum, row(r));
                        }
                        s.store(lanes.as_mut_ptr(), sum);
                        if n == S::LANES {
                            for i in 0..S::LANES {
                                let cell = cells.cast::<f64>().add(c + i);
                                *cell = join_float(*cell, f64::from(lanes[i]), $op);
                            }
                        } else {
                            for (i, lane) in lanes.iter().enumerate().take(n) {
                                let cell = cells.cast::<f64>().add(c + i);
                                *cell = join_float(*cell, f64::from(*lane), $op);
                            }
                        }
                        c += S::LANES;
                    }
                }};
            }
            match op {
                ReduceOp::Sum => columns!(ReduceOp::Sum),
                ReduceOp::Max => columns!(ReduceOp::Max),
                ReduceOp::Min => columns!(ReduceOp::Min),
            }
        }
    }
}

/// Combines `words > 0` words into one cell; contract as for [`Columns`].
pub(super) struct Row {
    pub from: Source,
    pub words: usize,
    pub op: ReduceOp,
    pub lane: Lane,
    pub cell: *mut Cell,
}

impl WithSimdMath for Row {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: SimdMath>(self, s: S) {
        let Row { from, words, op, lane, cell } = self;
        // SAFETY: only words that the contract names are touched; the CPU feature is the caller's promise.
        unsafe {
            if lane != Lane::F32 {
                for i in 0..words {
                    *cell = (*cell).join(Cell::of((*from.ptr.add(i * from.step)).to_bits(), lane), op, lane);
                }
                return;
            }
            let load = |i: usize| s.load(from.ptr.add(i * from.step));
            let mut total = f64::from_bits((*cell).0);
            let mut i = 0;
            if words >= 4 * S::LANES {
                let mut sums = [load(0), load(S::LANES), load(2 * S::LANES), load(3 * S::LANES)];
                i = 4 * S::LANES;
                while i + 4 * S::LANES <= words {
                    for (j, sum) in sums.iter_mut().enumerate() {
                        *sum = join_lanes(s, op, *sum, load(i + j * S::LANES));
                    }
                    i += 4 * S::LANES;
                }
                let low = join_lanes(s, op, sums[0], sums[1]);
                total = join_float(
                    total,
                    across(s, op, join_lanes(s, op, low, join_lanes(s, op, sums[2], sums[3]))),
                    op,
                );
            }
            while i + S::LANES <= words {
                total = join_float(total, across(s, op, load(i)), op);
                i += S::LANES;
            }
            while i < words {
                total = join_float(total, f64::from(*from.ptr.add(i * from.step)), op);
                i += 1;
            }
            *cell = Cell(total.to_bits());
        }
    }
}

/// Combines the lanes of a vector in f64, pairwise.
#[inline(always)]
unsafe fn across<S: SimdMath>(s: S, op: ReduceOp, v: S::F) -> f64 {
    let mut lanes = [0.0f32; 16];
    // SAFETY: no vector has more than 16 lanes; the CPU feature is the caller's promise.
    unsafe { s.store(lanes.as_mut_ptr(), v) };
    let mut wide = lanes.map(f64::from);
    let mut n = S::LANES;
    while n > 1 {
        n /= 2;
        for i in 0..n {
            wide[i] = join_float(wide[i], wide[i + n], op);
        }
    }
    wide[0]
}
