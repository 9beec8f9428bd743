//! Order and maxima along an axis.

use super::TASK;
use crate::isa::Isa;
use crate::kernel::{Kernel, OperandSpec, Operands};
use crate::pass::Lane;

/// Stable ascending order of rows: input `[rows, row_words]`, output i32 of the same shape, the position in
/// its row of the first, second, ... element. Zeros of either sign are equal; NaN comes last.
#[derive(Clone, Debug)]
pub struct ArgSort {
    /// Number of rows.
    pub rows: usize,
    /// Elements of a row; below 2^31.
    pub row_words: usize,
    /// How words are read.
    pub lane: Lane,
}

/// A word whose unsigned order is the order of [`ArgSort`].
fn key(x: f32, lane: Lane) -> u32 {
    match lane {
        Lane::F32 => float_key(x),
        Lane::I32 => x.to_bits() ^ 1 << 31,
        Lane::U32 => x.to_bits(),
    }
}

fn float_key(x: f32) -> u32 {
    if x.is_nan() {
        return u32::MAX;
    }
    // Adding 0 turns -0 into 0. Negative numbers sort backwards by their bits, positive ones above them.
    let bits = (x + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

impl ArgSort {
    fn rows_per_task(&self) -> usize {
        (TASK / self.row_words.max(1)).max(1)
    }
}

// SAFETY: the input is only read; a task writes the rows that are its own, through checked ranges.
unsafe impl Kernel for ArgSort {
    fn name(&self) -> &'static str {
        "argsort"
    }

    fn flops(&self) -> u64 {
        0
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let words = self.rows * self.row_words;
        vec![OperandSpec::read(words), OperandSpec::write(words)]
    }

    fn tasks(&self, _stage: usize) -> usize {
        self.rows.div_ceil(self.rows_per_task())
    }

    fn local_words(&self) -> usize {
        2 * self.row_words
    }

    unsafe fn run(&self, _isa: Isa, _stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        let n = self.row_words;
        // SAFETY: `local` has 2 n words, aligned to 64 bytes; every bit pattern is a u64.
        let keys = unsafe {
            std::ptr::write_bytes(local.as_mut_ptr(), 0, 2 * n);
            std::slice::from_raw_parts_mut(local.as_mut_ptr().cast::<u64>(), n)
        };
        let first = task * self.rows_per_task();
        for row in first..(first + self.rows_per_task()).min(self.rows) {
            let range = row * n..(row + 1) * n;
            // SAFETY: the input is only read; this task alone writes its rows.
            let (x, out) = unsafe { (&operands.read(0)[range.clone()], operands.write(1, range)) };
            // The position in the low half breaks ties, which makes any sort a stable one.
            for (i, (slot, &x)) in keys.iter_mut().zip(x).enumerate() {
                *slot = u64::from(key(x, self.lane)) << 32 | i as u64;
            }
            keys.sort_unstable();
            for (out, key) in out.iter_mut().zip(&*keys) {
                *out = f32::from_bits(*key as u32);
            }
        }
    }
}

/// Position of the maximum along an axis: input `[outer, axis, inner]`, output i32 `[outer, inner]`. The
/// first of equal maxima wins; NaN counts as larger than any number, so the first NaN wins where there is one.
/// 0 where the axis is empty.
#[derive(Clone, Debug)]
pub struct ArgMax {
    /// Product of the dimensions before the axis.
    pub outer: usize,
    /// Length of the axis; below 2^31.
    pub axis: usize,
    /// Product of the dimensions after the axis.
    pub inner: usize,
    /// How words are read.
    pub lane: Lane,
}

impl ArgMax {
    /// Inner words of a task, and chunks of the inner dimension.
    fn chunk(&self) -> (usize, usize) {
        let chunk = self.inner.clamp(1, 256);
        (chunk, self.inner.div_ceil(chunk))
    }
    fn units_per_task(&self) -> usize {
        (TASK / (self.chunk().0 * self.axis.max(1))).max(1)
    }
}

// SAFETY: the input is only read; a task writes the units that are its own, through checked ranges.
unsafe impl Kernel for ArgMax {
    fn name(&self) -> &'static str {
        "argmax"
    }

    fn flops(&self) -> u64 {
        (self.outer * self.axis * self.inner) as u64
    }

    fn operands(&self) -> Vec<OperandSpec> {
        vec![
            OperandSpec::read(self.outer * self.axis * self.inner),
            OperandSpec::write(self.outer * self.inner),
        ]
    }

    fn tasks(&self, _stage: usize) -> usize {
        (self.outer * self.chunk().1).div_ceil(self.units_per_task())
    }

    fn local_words(&self) -> usize {
        self.chunk().0
    }

    unsafe fn run(&self, _isa: Isa, _stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        let (chunk, chunks) = self.chunk();
        let first = task * self.units_per_task();
        for unit in first..(first + self.units_per_task()).min(self.outer * chunks) {
            let (outer, start) = (unit / chunks, unit % chunks * chunk);
            let end = (start + chunk).min(self.inner);
            let at = outer * self.inner;
            // SAFETY: the input is only read; this task alone writes these words.
            let (x, out) = unsafe { (operands.read(0), operands.write(1, at + start..at + end)) };
            let best = &mut local[..end - start];
            out.fill(f32::from_bits(0));
            for i in 0..self.axis {
                let at = (outer * self.axis + i) * self.inner;
                for ((best, out), &x) in best.iter_mut().zip(out.iter_mut()).zip(&x[at + start..at + end]) {
                    let better = match self.lane {
                        Lane::F32 => x > *best || x.is_nan() && !best.is_nan(),
                        Lane::I32 | Lane::U32 => key(x, self.lane) > key(*best, self.lane),
                    };
                    if i == 0 || better {
                        *best = x;
                        *out = f32::from_bits(i as u32);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::harness::{Noise, outputs};
    use std::cmp::Ordering;

    /// Coarse values, so that ties abound, with NaN and zeros of both signs.
    fn coarse(n: usize, seed: u64) -> Vec<u32> {
        let mut noise = Noise(seed);
        let pick = [f32::NAN, -0.0, 0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, 2.5, 1e-40];
        (0..n).map(|_| pick[noise.below(pick.len())].to_bits()).collect()
    }

    #[test]
    fn sorts_are_stable_with_nan_last() {
        for (rows, row_words) in [(3, 37), (1, 20_001), (500, 3), (4, 1), (2, 0), (0, 4)] {
            let input = coarse(rows * row_words, rows as u64);
            let want: Vec<u32> = (0..rows)
                .flat_map(|row| {
                    let x = |i: u32| f32::from_bits(input[row * row_words + i as usize]);
                    let mut order: Vec<u32> = (0..row_words as u32).collect();
                    order.sort_by(|&a, &b| {
                        let nan = x(a).is_nan().cmp(&x(b).is_nan());
                        nan.then(x(a).partial_cmp(&x(b)).unwrap_or(Ordering::Equal))
                    });
                    order
                })
                .collect();
            let kernel = ArgSort { rows, row_words, lane: Lane::F32 };
            assert_eq!(outputs(&kernel, Isa::best(), std::slice::from_ref(&input)), [want]);
        }
    }

    #[test]
    fn first_maximum_wins_and_nan_is_largest() {
        for (outer, axis, inner) in [(3, 10, 1), (2, 7, 300), (1, 5000, 5), (700, 3, 9), (2, 0, 3), (1, 1, 1)]
        {
            let mut input = coarse(outer * axis * inner, axis as u64);
            // Most columns without NaN.
            for (i, w) in input.iter_mut().enumerate() {
                if f32::from_bits(*w).is_nan() && i % 4 != 0 {
                    *w = 0;
                }
            }
            let x = |o: usize, i: usize, c: usize| f32::from_bits(input[(o * axis + i) * inner + c]);
            let want: Vec<u32> = (0..outer * inner)
                .map(|at| {
                    let (o, c) = (at / inner, at % inner);
                    let nan = (0..axis).find(|&i| x(o, i, c).is_nan());
                    let largest = (0..axis).find(|&i| (0..axis).all(|j| x(o, j, c) <= x(o, i, c)));
                    nan.or(largest).unwrap_or(0) as u32
                })
                .collect();
            let kernel = ArgMax { outer, axis, inner, lane: Lane::F32 };
            assert_eq!(outputs(&kernel, Isa::best(), std::slice::from_ref(&input)), [want]);
        }
    }

    #[test]
    fn integers_keep_their_order() {
        let row = [3u32, u32::MAX, 0, 1 << 31, 3];
        for (lane, order, top) in [(Lane::U32, [2, 0, 4, 3, 1], 1), (Lane::I32, [3, 1, 2, 0, 4], 0)] {
            let sort = ArgSort { rows: 1, row_words: 5, lane };
            assert_eq!(outputs(&sort, Isa::best(), &[row.to_vec()]), [order.to_vec()]);
            let max = ArgMax { outer: 1, axis: 5, inner: 1, lane };
            assert_eq!(outputs(&max, Isa::best(), &[row.to_vec()]), [vec![top]]);
        }
    }
}
