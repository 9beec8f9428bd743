//! Combining the elements of blocks: f32 lanes over one block, f64 (or i64) cells across blocks.
//!
//! A lane adds at most 32 elements before its sum goes to an f64 cell, so the relative error of a
//! sum of terms of one sign stays near 1e-7 whatever its length.

use super::blocks::Source;
use super::ops::{Lane, ReduceOp};
use crate::simd::{SimdMath, WithSimdMath};

/// Most rows that [`Columns`] is given at a time, which bounds the error of its f32 sums.
pub(super) const ROWS: usize = 32;

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

    #[inline(always)]
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

/// Combines lanes. Integer sums wrap, which loses nothing of a result that is taken modulo 2^32.
#[inline(always)]
unsafe fn join_lanes<S: SimdMath>(s: S, op: ReduceOp, lane: Lane, a: S::F, b: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let (x, y) = (s.bits(a), s.bits(b));
        match (op, lane) {
            (ReduceOp::Sum, Lane::F32) => s.add(a, b),
            (ReduceOp::Max, Lane::F32) => s.max(a, b),
            (ReduceOp::Min, Lane::F32) => s.min(a, b),
            (ReduceOp::Sum, Lane::I32 | Lane::U32) => s.float(s.int_add(x, y)),
            (ReduceOp::Max, Lane::I32) => s.select(s.int_lt(y, x), a, b),
            (ReduceOp::Min, Lane::I32) => s.select(s.int_lt(x, y), a, b),
            (ReduceOp::Max, Lane::U32) => s.select(s.uint_lt(y, x), a, b),
            (ReduceOp::Min, Lane::U32) => s.select(s.uint_lt(x, y), a, b),
        }
    }
}

/// Compiles a loop once for each operation and lane, so that the choice lies outside of it.
macro_rules! each_kind {
    ($op:expr, $lane:expr, $body:ident) => {
        match ($op, $lane) {
            (ReduceOp::Sum, Lane::F32) => $body!(ReduceOp::Sum, Lane::F32),
            (ReduceOp::Max, Lane::F32) => $body!(ReduceOp::Max, Lane::F32),
            (ReduceOp::Min, Lane::F32) => $body!(ReduceOp::Min, Lane::F32),
            (ReduceOp::Sum, Lane::I32 | Lane::U32) => $body!(ReduceOp::Sum, Lane::U32),
            (ReduceOp::Max, Lane::I32) => $body!(ReduceOp::Max, Lane::I32),
            (ReduceOp::Min, Lane::I32) => $body!(ReduceOp::Min, Lane::I32),
            (ReduceOp::Max, Lane::U32) => $body!(ReduceOp::Max, Lane::U32),
            (ReduceOp::Min, Lane::U32) => $body!(ReduceOp::Min, Lane::U32),
        }
    };
}

pub(super) use each_kind;

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
        macro_rules! columns {
            ($op:expr, $lane:expr) => {{
                let mut c = 0;
                while c < words {
                    let n = (words - c).min(S::LANES);
                    let row = |r: usize| {
                        let p = from.ptr.add((r * words + c) * from.step);
                        if n == S::LANES { s.load(p) } else { s.load_first(p, n) }
                    };
                    let mut all = row(0);
                    for r in 1..rows {
                        all = join_lanes(s, $op, $lane, all, row(r));
                    }
                    let mut lanes = [0.0f32; 16];
                    s.store(lanes.as_mut_ptr(), all);
                    if n == S::LANES {
                        for i in 0..S::LANES {
                            let cell = cells.add(c + i);
                            *cell = (*cell).join(Cell::of(lanes[i].to_bits(), $lane), $op, $lane);
                        }
                    } else {
                        for (i, word) in lanes.iter().enumerate().take(n) {
                            let cell = cells.add(c + i);
                            *cell = (*cell).join(Cell::of(word.to_bits(), $lane), $op, $lane);
                        }
                    }
                    c += S::LANES;
                }
            }};
        }
        // SAFETY: only words that the contract names are touched; the CPU feature is the caller's promise.
        unsafe { each_kind!(op, lane, columns) }
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
        macro_rules! row {
            ($op:expr, $lane:expr) => {{
                let load = |i: usize| s.load(from.ptr.add(i * from.step));
                let join = |a, b| join_lanes(s, $op, $lane, a, b);
                let mut total = *cell;
                let mut i = 0;
                if words >= 4 * S::LANES {
                    let mut four = [load(0), load(S::LANES), load(2 * S::LANES), load(3 * S::LANES)];
                    i = 4 * S::LANES;
                    while i + 4 * S::LANES <= words {
                        for (j, lanes) in four.iter_mut().enumerate() {
                            *lanes = join(*lanes, load(i + j * S::LANES));
                        }
                        i += 4 * S::LANES;
                    }
                    let all = join(join(four[0], four[1]), join(four[2], four[3]));
                    total = total.join(across(s, all, $op, $lane), $op, $lane);
                }
                while i + S::LANES <= words {
                    total = total.join(across(s, load(i), $op, $lane), $op, $lane);
                    i += S::LANES;
                }
                while i < words {
                    let word = (*from.ptr.add(i * from.step)).to_bits();
                    total = total.join(Cell::of(word, $lane), $op, $lane);
                    i += 1;
                }
                *cell = total;
            }};
        }
        // SAFETY: only words that the contract names are touched; the CPU feature is the caller's promise.
        unsafe { each_kind!(op, lane, row) }
    }
}

/// Combines the lanes of a vector, pairwise.
#[inline(always)]
unsafe fn across<S: SimdMath>(s: S, v: S::F, op: ReduceOp, lane: Lane) -> Cell {
    let mut lanes = [0.0f32; 16];
    // SAFETY: no vector has more than 16 lanes; the CPU feature is the caller's promise.
    unsafe { s.store(lanes.as_mut_ptr(), v) };
    let mut cells = lanes.map(|x| Cell::of(x.to_bits(), lane));
    let mut n = S::LANES;
    while n > 1 {
        n /= 2;
        for i in 0..n {
            cells[i] = cells[i].join(cells[i + n], op, lane);
        }
    }
    cells[0]
}
