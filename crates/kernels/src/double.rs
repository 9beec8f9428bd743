//! Products of f64 matrices, for scores: one task's worth, on one thread.
//!
//! As in [`gemm`](crate::gemm), after GotoBLAS: a tile of the result stays in registers, the panel of B it multiplies in L1, the
//! block of A in L2. Here both operands are packed, since scores take them as they lie and long: packing is a word in hundreds of
//! operations.

use crate::isa::Isa;

/// Longest block along k: a panel of B of this depth and up to 14 columns takes 28 KiB.
const DEPTH: usize = 256;

/// Rows of A that are packed at once: 192 KiB of this depth, less than half an L2 cache of 512 KiB.
const ROWS: usize = 96;

/// A matrix as it lies in memory: word `(i, j)` is `words[i * row + j * column]`.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a> {
    /// What it lies in.
    pub words: &'a [f64],
    /// Rows and columns.
    pub size: [usize; 2],
    /// Words from a row to the next.
    pub row: usize,
    /// Words from a column to the next.
    pub column: usize,
}

impl Strided<'_> {
    /// Panics where it does not lie inside its words.
    fn check(&self) {
        let [rows, columns] = self.size;
        if rows > 0 && columns > 0 {
            let last = (rows - 1) * self.row + (columns - 1) * self.column;
            assert!(last < self.words.len(), "{self:?}: its last word is {last} of {}", self.words.len());
        }
    }
}

/// `A B`, `[m, k]` times `[k, n]`, column after column: word `(i, j)` of the result is at `j * m + i`.
///
/// The order of every sum is that of k, cut into blocks of a fixed length, and the rounding that of the instruction set.
///
/// # Panics
/// Where the sizes do not fit, a matrix does not lie inside its words, or the CPU lacks `isa`.
pub fn product(isa: Isa, a: Strided<'_>, b: Strided<'_>) -> Vec<f64> {
    let ([m, k], [inner, n]) = (a.size, b.size);
    assert_eq!(k, inner, "A has {k} columns, B {inner} rows");
    assert!(isa.supported(), "this CPU lacks {isa:?}");
    a.check();
    b.check();
    let mut c = vec![0.0; m * n];
    match isa {
        Isa::Portable => blocks::<4, 4>(a, b, &mut c, &tile_portable),
        // SAFETY: the CPU has the instructions, as was asked above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => blocks::<8, 6>(a, b, &mut c, &|a, b, sums| unsafe { tile_avx2(a, b, sums) }),
        // SAFETY: the same.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => blocks::<16, 14>(a, b, &mut c, &|a, b, sums| unsafe { tile_avx512(a, b, sums) }),
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 | Isa::Avx512 => unreachable!("not of this architecture"),
    }
    c
}

/// Adds up tiles of `MR` rows and `NR` columns. The kernel adds the products of a packed panel of either operand to sums.
fn blocks<const MR: usize, const NR: usize>(
    a: Strided<'_>,
    b: Strided<'_>,
    c: &mut [f64],
    kernel: &impl Fn(&[[f64; MR]], &[[f64; NR]], &mut [[f64; MR]; NR]),
) {
    let ([m, k], n) = (a.size, b.size[1]);
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for first in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - first);
        pack::<NR>(&mut of_b, b.words, first * b.row, [depth, n], [b.row, b.column]);
        for top in (0..m).step_by(ROWS) {
            let rows = ROWS.min(m - top);
            pack::<MR>(&mut of_a, a.words, top * a.row + first * a.column, [depth, rows], [a.column, a.row]);
            for (panel, columns) in of_b.chunks_exact(depth).enumerate() {
                for (strip, rows_of) in of_a.chunks_exact(depth).enumerate() {
                    let mut sums = [[0.0; MR]; NR];
                    kernel(rows_of, columns, &mut sums);
                    let (i, height) = (top + strip * MR, MR.min(rows - strip * MR));
                    for (j, sums) in (panel * NR..n).zip(&sums) {
                        let into = &mut c[j * m + i..][..height];
                        into.iter_mut().zip(sums).for_each(|(c, sum)| *c += sum);
                    }
                }
            }
        }
    }
}

/// Steps along k that are copied at a time where it is k that lies contiguously: lines read from each row, and a part of the panel
/// that stays in L1 while rows are put beside each other.
const STRETCH: usize = 8;

/// Copies `[depth, width]` words into panels of `W` columns, with zeros behind the last: `(p, lane)` is
/// `words[first + p * step + lane * beside]`.
fn pack<const W: usize>(
    to: &mut Vec<[f64; W]>,
    words: &[f64],
    first: usize,
    [depth, width]: [usize; 2],
    [step, beside]: [usize; 2],
) {
    to.clear();
    to.resize(depth * width.div_ceil(W), [0.0; W]);
    for (panel, rows) in to.chunks_exact_mut(depth).enumerate() {
        let lanes = W.min(width - panel * W);
        let words = &words[first + panel * W * beside..];
        if step == 1 {
            for (stretch, rows) in rows.chunks_mut(STRETCH).enumerate() {
                for lane in 0..lanes {
                    let from = &words[lane * beside + stretch * STRETCH..][..rows.len()];
                    rows.iter_mut().zip(from).for_each(|(row, word)| row[lane] = *word);
                }
            }
        } else if beside == 1 {
            for (p, row) in rows.iter_mut().enumerate() {
                row[..lanes].copy_from_slice(&words[p * step..][..lanes]);
            }
        } else {
            for (p, row) in rows.iter_mut().enumerate() {
                (0..lanes).for_each(|lane| row[lane] = words[p * step + lane * beside]);
            }
        }
    }
}

fn tile_portable(a: &[[f64; 4]], b: &[[f64; 4]], sums: &mut [[f64; 4]; 4]) {
    for (a, b) in a.iter().zip(b) {
        for (sums, b) in sums.iter_mut().zip(b) {
            sums.iter_mut().zip(a).for_each(|(sum, a)| *sum += a * b);
        }
    }
}

/// Eight rows are two vectors, twelve sums with one broadcast word and a column of A fill the sixteen registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn tile_avx2(a: &[[f64; 8]], b: &[[f64; 6]], sums: &mut [[f64; 8]; 6]) {
    use std::arch::x86_64::*;
    let mut acc = [[_mm256_setzero_pd(); 2]; 6];
    for (a, b) in a.iter().zip(b) {
        // SAFETY: four words from 0 and from 4 of eight.
        let column = unsafe { [_mm256_loadu_pd(a.as_ptr()), _mm256_loadu_pd(a.as_ptr().add(4))] };
        for (acc, b) in acc.iter_mut().zip(b) {
            let b = _mm256_set1_pd(*b);
            acc[0] = _mm256_fmadd_pd(column[0], b, acc[0]);
            acc[1] = _mm256_fmadd_pd(column[1], b, acc[1]);
        }
    }
    for (sums, acc) in sums.iter_mut().zip(acc) {
        // SAFETY: as above.
        unsafe {
            _mm256_storeu_pd(sums.as_mut_ptr(), acc[0]);
            _mm256_storeu_pd(sums.as_mut_ptr().add(4), acc[1]);
        }
    }
}

/// Sixteen rows are two vectors, twenty-eight sums of thirty-two registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn tile_avx512(a: &[[f64; 16]], b: &[[f64; 14]], sums: &mut [[f64; 16]; 14]) {
    use std::arch::x86_64::*;
    let mut acc = [[_mm512_setzero_pd(); 2]; 14];
    for (a, b) in a.iter().zip(b) {
        // SAFETY: eight words from 0 and from 8 of sixteen.
        let column = unsafe { [_mm512_loadu_pd(a.as_ptr()), _mm512_loadu_pd(a.as_ptr().add(8))] };
        for (acc, b) in acc.iter_mut().zip(b) {
            let b = _mm512_set1_pd(*b);
            acc[0] = _mm512_fmadd_pd(column[0], b, acc[0]);
            acc[1] = _mm512_fmadd_pd(column[1], b, acc[1]);
        }
    }
    for (sums, acc) in sums.iter_mut().zip(acc) {
        // SAFETY: as above.
        unsafe {
            _mm512_storeu_pd(sums.as_mut_ptr(), acc[0]);
            _mm512_storeu_pd(sums.as_mut_ptr().add(8), acc[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words in [-1, 1) by a multiplicative generator.
    fn drawn(count: usize, mut seed: u64) -> Vec<f64> {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn products_of_any_layout_agree_with_the_sums_on_every_instruction_set() {
        for (m, k, n) in
            [(1, 1, 1), (5, 3, 7), (16, 256, 14), (97, 257, 33), (200, 600, 41), (3, 0, 2), (0, 4, 5)]
        {
            let (along, across) = (drawn(m * k, 1), drawn(k * n, 2));
            for (a_turned, b_turned) in [(false, false), (true, false), (false, true), (true, true)] {
                let of = |words, size: [usize; 2], turned| match turned {
                    false => Strided { words, size, row: size[1], column: 1 },
                    true => Strided { words, size, row: 1, column: size[0] },
                };
                let (a, b) = (of(&along, [m, k], a_turned), of(&across, [k, n], b_turned));
                let word = |s: Strided<'_>, i: usize, j: usize| s.words[i * s.row + j * s.column];
                for isa in Isa::available() {
                    let c = product(isa, a, b);
                    assert_eq!(c.len(), m * n);
                    for (at, c) in c.iter().enumerate() {
                        let terms = (0..k).map(|p| word(a, at % m, p) * word(b, p, at / m));
                        let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
                        // Either side rounds k products and k additions.
                        let most = (2 * k + 2) as f64 * f64::EPSILON * size;
                        assert!((c - sum).abs() <= most, "{isa:?} {m} {k} {n} word {at}: {c}, {sum}");
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "its last word is")]
    fn a_matrix_beyond_its_words_is_refused() {
        let words = [0.0; 8];
        let a = Strided { words: &words, size: [3, 3], row: 3, column: 1 };
        product(Isa::Portable, a, a);
    }

    #[test]
    #[should_panic(expected = "A has 2 columns, B 4 rows")]
    fn sizes_that_do_not_fit_are_refused() {
        let words = [0.0; 8];
        let a = Strided { words: &words, size: [4, 2], row: 2, column: 1 };
        product(Isa::Portable, a, a);
    }
}
