//! Products of f64 matrices, for scores: one task's worth, on one thread.
//!
//! As in [`gemm`](crate::gemm), after GotoBLAS: a tile of the result stays in registers, the panel of B it multiplies in L1, the
//! block of A in L2. Here both operands are packed, since scores take them as they lie and long: packing is a word in hundreds of
//! operations.

mod packed;
mod tile;

use crate::isa::Isa;
use std::cell::RefCell;
use std::ops::Range;
use std::slice::ChunksExactMut;

pub use packed::Packed;
use packed::{Right, pack_b, panel};
#[cfg(target_arch = "x86_64")]
use tile::{Avx2, Avx512};
use tile::{Panel, Portable, Tile};

/// Longest block along k: a panel of B of this depth and up to 14 columns takes 28 KiB.
const DEPTH: usize = 256;

/// Words of a cache line.
const LINE: usize = 8;

/// Words between packed columns of B: a line more than the depth, so that columns do not share sets of a cache.
const FAR: usize = DEPTH + 8;

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
    /// Its transpose, in place.
    #[must_use]
    pub fn turned(self) -> Self {
        let Self { words, size: [rows, columns], row, column } = self;
        Self { words, size: [columns, rows], row: column, column: row }
    }

    /// Some of its rows.
    ///
    /// # Panics
    /// Where it does not have them, or does not lie inside its words.
    #[must_use]
    pub fn rows(self, range: Range<usize>) -> Self {
        assert!(range.end <= self.size[0], "rows {range:?} of {}", self.size[0]);
        let size = [range.len(), self.size[1]];
        let first = if range.is_empty() || size[1] == 0 { 0 } else { range.start * self.row };
        Self { words: &self.words[first..], size, ..self }
    }

    /// Panics where it does not lie inside its words.
    fn check(&self) {
        let Self { words, size: [rows, columns], row, column } = self;
        if *rows > 0 && *columns > 0 {
            let last = (rows - 1).checked_mul(*row).zip((columns - 1).checked_mul(*column));
            let last = last.and_then(|(down, across)| down.checked_add(across)).unwrap_or(usize::MAX);
            assert!(
                last < words.len(),
                "its last word is {last} of {}: [{rows}, {columns}], {row} and {column} apart",
                words.len()
            );
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
    let mut c = vec![0.0; a.size[0].checked_mul(b.size[1]).expect("as many words as can be counted")];
    add_product(isa, a, b, &mut c);
    c
}

/// Adds [`product`] to a matrix that lies as it does.
///
/// # Panics
/// As [`product`], or where the matrix has another size.
pub fn add_product(isa: Isa, a: Strided<'_>, b: Strided<'_>, c: &mut [f64]) {
    add(isa, a, Right::Loose(b), c, Words::All);
}

/// Adds [`product`] on and below the diagonal, where it is known to be symmetric: about half the work. Words above the diagonal get
/// their sums or are left, as it comes.
///
/// # Panics
/// As [`add_product`].
pub fn add_lower(isa: Isa, a: Strided<'_>, b: Strided<'_>, c: &mut [f64]) {
    add(isa, a, Right::Loose(b), c, Words::Lower);
}

/// [`add_product`] of a matrix that is packed already.
///
/// # Panics
/// As [`add_product`].
pub fn add_packed(a: Strided<'_>, b: &Packed, c: &mut [f64]) {
    add(b.isa, a, Right::Packed(b), c, Words::All);
}

/// [`add_lower`] of a matrix that is packed already.
///
/// # Panics
/// As [`add_product`].
pub fn add_packed_lower(a: Strided<'_>, b: &Packed, c: &mut [f64]) {
    add(b.isa, a, Right::Packed(b), c, Words::Lower);
}

/// Words of a product that are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    All,
    /// On and below the diagonal.
    Lower,
}

fn add(isa: Isa, a: Strided<'_>, b: Right<'_>, c: &mut [f64], asked: Words) {
    let ([m, k], [inner, n]) = (a.size, b.size());
    assert_eq!(k, inner, "A has {k} columns, B {inner} rows");
    assert!(isa.supported(), "this CPU lacks {isa:?}");
    a.check();
    if let Right::Loose(b) = b {
        b.check();
    }
    assert_eq!(Some(c.len()), m.checked_mul(n), "words of a matrix of {m} x {n}");
    // SAFETY: the CPU has the instructions, as was asked above.
    SPACE.with_borrow_mut(|space| unsafe {
        match isa {
            Isa::Portable => blocks::<Portable>(a, b, c, asked, space),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => blocks::<Avx2>(a, b, c, asked, space),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => blocks::<Avx512>(a, b, c, asked, space),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => unreachable!("not of this architecture"),
        }
    });
}

/// What operands are packed into, kept by a thread from one product to the next.
#[derive(Default)]
struct Space {
    a: Vec<f64>,
    b: Vec<f64>,
    border: Vec<f64>,
}

thread_local! {
    static SPACE: RefCell<Space> = RefCell::default();
}

/// Where words of which the first lies on a line's beginning begin: a vector that lies in two lines is read twice.
fn on_a_line(words: &[f64]) -> &[f64] {
    &words[words.as_ptr().align_offset(LINE * size_of::<f64>()).min(LINE)..]
}

/// The first so many words of those, grown where they are too few. What is in them is left.
fn aligned(words: &mut Vec<f64>, count: usize) -> &mut [f64] {
    if words.len() < count + LINE {
        words.resize(count + LINE, 0.0);
    }
    let begin = words.len() - on_a_line(words).len();
    &mut words[begin..][..count]
}

/// Adds up tile after tile.
///
/// # Safety
/// The CPU has the tile's instructions.
unsafe fn blocks<T: Tile>(a: Strided<'_>, b: Right<'_>, c: &mut [f64], asked: Words, space: &mut Space) {
    let ([m, k], n) = (a.size, b.size()[1]);
    let Space { a: strips, b: panels, border } = space;
    let border = aligned(border, T::ROWS * T::COLUMNS);
    for first in (0..k).step_by(DEPTH) {
        let depth = DEPTH.min(k - first);
        let (of_b, along) = match b {
            Right::Loose(b) => {
                let along = b.row == 1;
                let panel = panel::<T>(depth, along);
                let of_b = aligned(panels, panel * n.div_ceil(T::COLUMNS));
                pack_b::<T>(of_b.chunks_exact_mut(panel), b, first, depth);
                (&*of_b, along)
            }
            Right::Packed(b) => (b.from::<T>(first), b.along),
        };
        let panel = panel::<T>(depth, along);
        for top in (0..m).step_by(T::BLOCK) {
            let rows = T::BLOCK.min(m - top);
            let of_a = aligned(strips, depth * rows.next_multiple_of(T::ROWS));
            // SAFETY: the caller's.
            unsafe { pack_a::<T>(of_a.chunks_exact_mut(depth * T::ROWS), a, [top, first], rows) };
            for (left, columns) in (0..n).step_by(T::COLUMNS).zip(of_b.chunks_exact(panel)) {
                let panel = if along { Panel::Columns(columns) } else { Panel::Rows(columns) };
                let width = T::COLUMNS.min(n - left);
                for (above, strip) in (0..rows).step_by(T::ROWS).zip(of_a.chunks_exact(depth * T::ROWS)) {
                    let height = T::ROWS.min(rows - above);
                    if asked == Words::Lower && top + above + height <= left {
                        continue;
                    }
                    let whole = height == T::ROWS && width == T::COLUMNS;
                    let into = &mut c[left * m + top + above..];
                    let (words, apart) = if whole { (&mut *into, m) } else { (&mut *border, T::ROWS) };
                    if !whole {
                        words.fill(0.0);
                    }
                    // SAFETY: the caller's.
                    unsafe { T::add(strip, panel, tile::Into { words, apart }) };
                    if !whole {
                        for (into, sums) in into.chunks_mut(m).zip(border.chunks_exact(T::ROWS)).take(width) {
                            into.iter_mut().zip(&sums[..height]).for_each(|(c, sum)| *c += sum);
                        }
                    }
                }
            }
        }
    }
}

/// Copies rows of A into strips of a tile's rows, step after step. Lanes behind the last row keep what they had: of them sums
/// are made that nobody reads.
///
/// # Safety
/// The CPU has the tile's instructions.
unsafe fn pack_a<T: Tile>(
    strips: ChunksExactMut<'_, f64>,
    a: Strided<'_>,
    [top, first]: [usize; 2],
    rows: usize,
) {
    for (above, strip) in (0..rows).step_by(T::ROWS).zip(strips) {
        let height = T::ROWS.min(rows - above);
        let words = &a.words[(top + above) * a.row + first * a.column..];
        if a.column == 1 && height == T::ROWS {
            // SAFETY: the caller's.
            unsafe { T::turn(words, a.row, strip) };
        } else {
            pack_steps(words, [a.column, a.row], height, strip.chunks_exact_mut(T::ROWS));
        }
    }
}

/// Copies so many lanes of every step: word `(p, lane)` is `words[p * step + lane * beside]`.
fn pack_steps(words: &[f64], [step, beside]: [usize; 2], lanes: usize, steps: ChunksExactMut<'_, f64>) {
    for (p, to) in steps.enumerate() {
        let words = &words[p * step..];
        match beside {
            1 => to[..lanes].copy_from_slice(&words[..lanes]),
            _ => (0..lanes).for_each(|lane| to[lane] = words[lane * beside]),
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
    fn a_packed_matrix_makes_the_same_products_to_the_last_bit() {
        let mut packed = Packed::new();
        for (m, k, n) in [(33, 600, 41), (5, 3, 7), (17, 256, 14), (3, 0, 2), (4, 5, 0)] {
            let (left, right) = (drawn(m * k, 5), drawn(n * k, 6));
            let a = Strided { words: &left, size: [m, k], row: k, column: 1 };
            let along = Strided { words: &right, size: [k, n], row: 1, column: k };
            let across = Strided { words: &right, size: [k, n], row: n, column: 1 };
            for isa in Isa::available() {
                for b in [along, across] {
                    // What an earlier matrix left stays out.
                    packed.poison();
                    packed.pack(isa, b);
                    let mut c = vec![0.0; m * n];
                    add_packed(a, &packed, &mut c);
                    assert_eq!(c, product(isa, a, b), "{isa:?} {m} {k} {n}");
                }
                let mut lower = [vec![0.0; m * m], vec![0.0; m * m]];
                packed.pack(isa, a.turned());
                add_packed_lower(a, &packed, &mut lower[0]);
                add_lower(isa, a, a.turned(), &mut lower[1]);
                assert_eq!(lower[0], lower[1], "{isa:?} {m} {k}");
            }
        }
    }

    #[test]
    fn the_lower_triangle_is_that_of_the_whole_product_to_the_last_bit() {
        for (n, k) in [(1, 3), (7, 5), (100, 300), (211, 40)] {
            let words = drawn(n * k, 9);
            let x = Strided { words: &words, size: [n, k], row: k, column: 1 };
            for isa in Isa::available() {
                let whole = product(isa, x, x.turned());
                let mut lower = vec![0.0; n * n];
                add_lower(isa, x, x.turned(), &mut lower);
                let left = (0..n * n).filter(|at| lower[*at].to_bits() != whole[*at].to_bits());
                let left: Vec<usize> = left.collect();
                assert!(left.iter().all(|at| at % n < at / n), "{isa:?} {n} {k}: below the diagonal");
                // Nearly half: the tiles above those that the diagonal runs through.
                assert!(n < 200 || left.len() > n * n * 2 / 5, "{isa:?} {n} {k}: {} left", left.len());
                let symmetric = (0..n * n).all(|at| whole[at] == whole[at % n * n + at / n]);
                assert!(symmetric, "{isa:?} {n} {k}: the other triangle is another");
            }
        }
    }

    #[test]
    fn words_of_an_earlier_product_stay_out() {
        // Rows and columns behind the last, in both forms of a panel, and strides of no unit.
        let (nothing, words) = (vec![f64::NAN; 3 * 40 * 300], drawn(3 * 40 * 300, 4));
        for isa in Isa::available() {
            for turned in [false, true] {
                let of = |words, rows| match turned {
                    false => Strided { words, size: [rows, 300], row: 600, column: 2 },
                    true => Strided { words, size: [rows, 300], row: 1, column: 40 },
                };
                product(isa, of(&nothing, 40), of(&nothing, 40).turned());
                let (a, b) = (of(&words, 21), of(&words, 19).turned());
                for (at, c) in product(isa, a, b).into_iter().enumerate() {
                    let (i, j) = (at % 21, at / 21);
                    let word = |s: Strided<'_>, i: usize, j: usize| s.words[i * s.row + j * s.column];
                    let expected: f64 = (0..300).map(|p| word(a, i, p) * word(b, p, j)).sum();
                    assert!((c - expected).abs() < 1e-12, "{isa:?} {turned} {i} {j}: {c}, {expected}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "its last word is")]
    fn strides_that_wrap_around_are_refused() {
        let words = [0.0; 16];
        // 15 of these steps are one of 8 words, counted modulo 2^64.
        let row = 8usize.wrapping_mul(0xeeee_eeee_eeee_eeef);
        let a = Strided { words: &words, size: [16, 8], row, column: 1 };
        product(Isa::best(), a, Strided { words: &words, size: [8, 2], row: 2, column: 1 });
    }

    #[test]
    fn parts_and_transposes_are_those_of_the_matrix() {
        let words = drawn(35, 3);
        let matrix = Strided { words: &words, size: [5, 7], row: 7, column: 1 };
        let one = [1.0];
        let ones = |size: [usize; 2]| Strided { words: &one, size, row: 0, column: 0 };
        for isa in Isa::available() {
            let sums = product(isa, matrix.turned().rows(2..4), ones([5, 1]));
            for (column, sum) in (2..4).zip(sums) {
                let expected: f64 = (0..5).map(|row| words[row * 7 + column]).sum();
                assert!((sum - expected).abs() < 1e-15, "{isa:?}: {sum} {expected}");
            }
            assert!(product(isa, matrix.rows(5..5), ones([7, 2])).is_empty());
        }
    }

    #[test]
    #[should_panic(expected = "rows 3..6 of 5")]
    fn rows_that_are_not_there_are_refused() {
        let words = [0.0; 35];
        let _ = Strided { words: &words, size: [5, 7], row: 7, column: 1 }.rows(3..6);
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
