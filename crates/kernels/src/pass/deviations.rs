//! Sums and sums of squares of deviations from given shifts, over one block.

use super::fold::Cell;
use crate::simd::{Simd, WithSimd};

/// For each column `c` of `rows` rows of `words` words, with `d = x - shift[c]`: adds the sum of `d` to
/// `sums[c]` and that of `d^2` to `squares[c]`, which hold f64.
///
/// Contract of [`WithSimd::call`]: `x` has `rows * words` words, the others `words` words or cells.
pub(super) struct ColumnDeviations {
    pub x: *const f32,
    pub rows: usize,
    pub words: usize,
    pub shift: *const f32,
    pub sums: *mut Cell,
    pub squares: *mut Cell,
}

impl WithSimd for ColumnDeviations {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, s: S) {
        let ColumnDeviations { x, rows, words, shift, sums, squares } = self;
        let (sums, squares) = (sums.cast::<f64>(), squares.cast::<f64>());
        // SAFETY: only words that the contract names are touched; the CPU feature is the caller's promise.
        unsafe {
            let mut c = 0;
            while c < words {
                let n = (words - c).min(S::LANES);
                let load = |p: *const f32| if n == S::LANES { s.load(p) } else { s.load_first(p, n) };
                let m = load(shift.add(c));
                let (mut sum, mut square) = (s.zero(), s.zero());
                for r in 0..rows {
                    let d = s.sub(load(x.add(r * words + c)), m);
                    sum = s.add(sum, d);
                    square = s.mul_add(d, d, square);
                }
                let mut lanes = [[0.0f32; 16]; 2];
                s.store(lanes[0].as_mut_ptr(), sum);
                s.store(lanes[1].as_mut_ptr(), square);
                for (i, (&sum, &square)) in lanes[0].iter().zip(&lanes[1]).enumerate().take(n) {
                    *sums.add(c + i) += f64::from(sum);
                    *squares.add(c + i) += f64::from(square);
                }
                c += S::LANES;
            }
        }
    }
}

/// As [`ColumnDeviations`], over `words` words with one shift.
pub(super) struct RowDeviations {
    pub x: *const f32,
    pub words: usize,
    pub shift: f32,
    pub sum: *mut Cell,
    pub square: *mut Cell,
}

impl WithSimd for RowDeviations {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, s: S) {
        let RowDeviations { x, words, shift, sum, square } = self;
        // SAFETY: only words that the contract names are touched; the CPU feature is the caller's promise.
        unsafe {
            let m = s.splat(shift);
            // Two chains each hide the latency of the additions.
            let (mut sums, mut squares) = ([s.zero(); 2], [s.zero(); 2]);
            let mut i = 0;
            while i + 2 * S::LANES <= words {
                for k in 0..2 {
                    let d = s.sub(s.load(x.add(i + k * S::LANES)), m);
                    sums[k] = s.add(sums[k], d);
                    squares[k] = s.mul_add(d, d, squares[k]);
                }
                i += 2 * S::LANES;
            }
            let mut lanes = [[0.0f32; 16]; 2];
            s.store(lanes[0].as_mut_ptr(), s.add(sums[0], sums[1]));
            s.store(lanes[1].as_mut_ptr(), s.add(squares[0], squares[1]));
            let mut totals = lanes.map(|l| l.iter().map(|&v| f64::from(v)).sum::<f64>());
            while i < words {
                let d = *x.add(i) - shift;
                totals[0] += f64::from(d);
                totals[1] += f64::from(d * d);
                i += 1;
            }
            *sum.cast::<f64>() += totals[0];
            *square.cast::<f64>() += totals[1];
        }
    }
}
