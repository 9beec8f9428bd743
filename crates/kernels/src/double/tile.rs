//! The tile of each instruction set: what it adds up in registers, and how its strip of A is packed.

use super::{DEPTH, FAR, LINE};

/// A packed panel of B: word `(p, column)` is `words[p * step + column * lane]`.
#[derive(Clone, Copy)]
pub(super) enum Panel<'a> {
    /// Row after row of the tile's columns.
    Rows(&'a [f64]),
    /// Column after column, [`FAR`] words apart.
    Columns(&'a [f64]),
}

/// A tile of the result, column after column so many words apart.
pub(super) struct Into<'a> {
    pub(super) words: &'a mut [f64],
    pub(super) apart: usize,
}

/// What an instruction set adds up at once.
pub(super) trait Tile {
    const ROWS: usize;
    const COLUMNS: usize;
    /// Rows of A that are packed at once, which stay in L2.
    const BLOCK: usize;

    /// Adds the products of a packed strip of A, step after step of [`Tile::ROWS`] words, and a panel of B.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn add(a: &[f64], b: Panel<'_>, c: Into<'_>);

    /// Packs rows of A that lie contiguously, `apart` words from each other: word `(p, row)` goes to `p * ROWS + row`.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn turn(from: &[f64], apart: usize, to: &mut [f64]) {
        let steps = to.len() / Self::ROWS;
        assert!(from.len() >= (Self::ROWS - 1) * apart + steps, "rows of A beyond their words");
        // SAFETY: the CPU has the instructions, and the rows lie inside their words.
        let turned = unsafe { Self::turn_squares(from, apart, to) };
        turn_words(from, apart, to, turned, Self::ROWS);
    }

    /// Packs the first steps, as many as are whole squares of words that are turned in registers; how many these are.
    ///
    /// # Safety
    /// The CPU has the instructions; so many rows, of as many words as there are steps, lie inside `from`.
    unsafe fn turn_squares(_from: &[f64], _apart: usize, _to: &mut [f64]) -> usize {
        0
    }
}

/// Steps along k that words of A are fetched before they are used.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 16;

/// Steps along k that are copied at a time: a line of each row, into a part of the strip that stays in L1.
const STRETCH: usize = 8;

/// Asks for words that are read soon, if they are there.
pub(super) fn fetch(words: &[f64], first: usize, count: usize) {
    let there = words.get(first..).unwrap_or_default();
    for _line in there[..count.min(there.len())].chunks(LINE) {
        // SAFETY: of every x86-64; nothing is read.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(_line.as_ptr().cast());
        }
    }
}

/// Word by word, steps from `first` on.
fn turn_words(from: &[f64], apart: usize, to: &mut [f64], first: usize, rows: usize) {
    for (stretch, to) in to[first * rows..].chunks_mut(STRETCH * rows).enumerate() {
        let (first, steps) = (first + stretch * STRETCH, to.len() / rows);
        for row in 0..rows {
            let from = &from[row * apart + first..][..steps];
            to[row..].iter_mut().step_by(rows).zip(from).for_each(|(to, word)| *to = *word);
        }
    }
}

/// Checks that all words that a tile touches are there; steps along k.
fn check<T: Tile>(a: &[f64], b: Panel<'_>, c: &Into<'_>) -> usize {
    let steps = a.len() / T::ROWS;
    let (words, needed) = match b {
        Panel::Rows(words) => (words, steps * T::COLUMNS),
        Panel::Columns(words) => (words, (T::COLUMNS - 1) * FAR + steps),
    };
    assert!(steps <= DEPTH && words.len() >= needed, "a panel of {} words, {needed} needed", words.len());
    let needed = (T::COLUMNS - 1) * c.apart + T::ROWS;
    assert!(c.words.len() >= needed, "a tile of {} words, {needed} needed", c.words.len());
    steps
}

/// Plain Rust.
pub(super) struct Portable;

impl Tile for Portable {
    const ROWS: usize = 4;
    const COLUMNS: usize = 4;
    const BLOCK: usize = 96;

    unsafe fn add(a: &[f64], b: Panel<'_>, c: Into<'_>) {
        let steps = check::<Self>(a, b, &c);
        let mut sums = [[0.0; 4]; 4];
        let (words, step, lane) = match b {
            Panel::Rows(words) => (words, 4, 1),
            Panel::Columns(words) => (words, 1, FAR),
        };
        for (p, a) in a.chunks_exact(4).enumerate().take(steps) {
            for (column, sums) in sums.iter_mut().enumerate() {
                let b = words[p * step + column * lane];
                sums.iter_mut().zip(a).for_each(|(sum, a)| *sum += a * b);
            }
        }
        for (column, sums) in sums.iter().enumerate() {
            let into = &mut c.words[column * c.apart..][..4];
            into.iter_mut().zip(sums).for_each(|(c, sum)| *c += sum);
        }
    }
}

/// Eight rows are two vectors; twelve sums with one broadcast word and a column of A fill the sixteen registers.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Tile for Avx2 {
    const ROWS: usize = 8;
    const COLUMNS: usize = 6;
    /// 192 KiB, less than half of 512.
    const BLOCK: usize = 96;

    unsafe fn add(a: &[f64], b: Panel<'_>, c: Into<'_>) {
        let steps = check::<Self>(a, b, &c);
        // SAFETY: the CPU has the instructions, and all words are there.
        unsafe {
            match b {
                Panel::Rows(b) => add_avx2::<6, 1>(a, b.as_ptr(), steps, c.words, c.apart),
                Panel::Columns(b) => add_avx2::<1, FAR>(a, b.as_ptr(), steps, c.words, c.apart),
            }
        }
    }

    unsafe fn turn_squares(from: &[f64], apart: usize, to: &mut [f64]) -> usize {
        let whole = to.len() / Self::ROWS / 4 * 4;
        // SAFETY: the caller's.
        unsafe { turn_avx2(from, apart, &mut to[..whole * Self::ROWS]) };
        whole
    }
}

/// # Safety
/// The CPU has AVX2 and FMA; a panel of six columns and the tile's words are there.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn add_avx2<const STEP: usize, const LANE: usize>(
    a: &[f64],
    mut b: *const f64,
    steps: usize,
    c: &mut [f64],
    apart: usize,
) {
    use std::arch::x86_64::*;
    let mut sums = [[_mm256_setzero_pd(); 2]; 6];
    let mut a = a.as_ptr();
    // SAFETY: the caller's.
    unsafe {
        for _ in 0..steps {
            let column = [_mm256_loadu_pd(a), _mm256_loadu_pd(a.add(4))];
            for (lane, sums) in sums.iter_mut().enumerate() {
                let b = _mm256_set1_pd(*b.add(lane * LANE));
                sums[0] = _mm256_fmadd_pd(column[0], b, sums[0]);
                sums[1] = _mm256_fmadd_pd(column[1], b, sums[1]);
            }
            (a, b) = (a.add(8), b.add(STEP));
        }
        for (lane, sums) in sums.iter().enumerate() {
            let to = c.as_mut_ptr().add(lane * apart);
            _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), sums[0]));
            let to = to.add(4);
            _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), sums[1]));
        }
    }
}

/// Squares of four by four words, turned in registers.
///
/// # Safety
/// The CPU has AVX2; a multiple of four steps, all inside `from`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn turn_avx2(from: &[f64], apart: usize, to: &mut [f64]) {
    use std::arch::x86_64::*;
    for (square, to) in to.chunks_exact_mut(4 * 8).enumerate() {
        for half in [0, 4] {
            // SAFETY: four words of each of four rows, the caller's; four words from `half` of eight in each of four steps.
            unsafe {
                let row = |row: usize| _mm256_loadu_pd(from.as_ptr().add((half + row) * apart + square * 4));
                let [r0, r1, r2, r3] = [row(0), row(1), row(2), row(3)];
                let (even_0, odd_0) = (_mm256_unpacklo_pd(r0, r1), _mm256_unpackhi_pd(r0, r1));
                let (even_1, odd_1) = (_mm256_unpacklo_pd(r2, r3), _mm256_unpackhi_pd(r2, r3));
                let to = to.as_mut_ptr().add(half);
                _mm256_storeu_pd(to, _mm256_permute2f128_pd::<0x20>(even_0, even_1));
                _mm256_storeu_pd(to.add(8), _mm256_permute2f128_pd::<0x20>(odd_0, odd_1));
                _mm256_storeu_pd(to.add(16), _mm256_permute2f128_pd::<0x31>(even_0, even_1));
                _mm256_storeu_pd(to.add(24), _mm256_permute2f128_pd::<0x31>(odd_0, odd_1));
            }
        }
    }
}

/// Sixteen rows are two vectors, twenty-eight sums of thirty-two registers.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Tile for Avx512 {
    const ROWS: usize = 16;
    const COLUMNS: usize = 14;
    /// 384 KiB, less than half of the MiB or two that servers' CPUs have.
    const BLOCK: usize = 192;

    unsafe fn add(a: &[f64], b: Panel<'_>, c: Into<'_>) {
        let steps = check::<Self>(a, b, &c);
        // SAFETY: the CPU has the instructions, and all words are there.
        unsafe {
            match b {
                Panel::Rows(b) => add_avx512::<14, 1>(a, b.as_ptr(), steps, c.words, c.apart),
                Panel::Columns(b) => add_avx512::<1, FAR>(a, b.as_ptr(), steps, c.words, c.apart),
            }
        }
    }

    unsafe fn turn_squares(from: &[f64], apart: usize, to: &mut [f64]) -> usize {
        let whole = to.len() / Self::ROWS / 8 * 8;
        // SAFETY: the caller's.
        unsafe { turn_avx512(from, apart, &mut to[..whole * Self::ROWS]) };
        whole
    }
}

/// # Safety
/// The CPU has AVX-512F; a panel of fourteen columns and the tile's words are there.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn add_avx512<const STEP: usize, const LANE: usize>(
    a: &[f64],
    mut b: *const f64,
    steps: usize,
    c: &mut [f64],
    apart: usize,
) {
    use std::arch::x86_64::*;
    let mut sums = [[_mm512_setzero_pd(); 2]; 14];
    let mut a = a.as_ptr();
    // SAFETY: the caller's; what is fetched ahead need not be there.
    unsafe {
        for lane in 0..14 {
            // The words that sums are added to, which lie in L2 and are needed at the end.
            let to = c.as_ptr().add(lane * apart).cast();
            _mm_prefetch::<_MM_HINT_T0>(to);
            _mm_prefetch::<_MM_HINT_T0>(to.wrapping_add(64));
        }
        for _ in 0..steps {
            // The strip lies in L2, the next one behind it.
            let ahead = a.wrapping_add(AHEAD * 16).cast();
            _mm_prefetch::<_MM_HINT_T0>(ahead);
            _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(64));
            let column = [_mm512_loadu_pd(a), _mm512_loadu_pd(a.add(8))];
            for (lane, sums) in sums.iter_mut().enumerate() {
                let b = _mm512_set1_pd(*b.add(lane * LANE));
                sums[0] = _mm512_fmadd_pd(column[0], b, sums[0]);
                sums[1] = _mm512_fmadd_pd(column[1], b, sums[1]);
            }
            (a, b) = (a.add(16), b.add(STEP));
        }
        for (lane, sums) in sums.iter().enumerate() {
            let to = c.as_mut_ptr().add(lane * apart);
            _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), sums[0]));
            let to = to.add(8);
            _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), sums[1]));
        }
    }
}

/// Squares of eight by eight words, turned in registers: pairs within a quarter of a vector, then quarters.
///
/// # Safety
/// The CPU has AVX-512F; a multiple of eight steps, all inside `from`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn turn_avx512(from: &[f64], apart: usize, to: &mut [f64]) {
    use std::arch::x86_64::*;
    for (square, to) in to.chunks_exact_mut(8 * 16).enumerate() {
        for half in [0, 8] {
            let mut pairs = [[_mm512_setzero_pd(); 2]; 4];
            for (pair, words) in pairs.iter_mut().enumerate() {
                let at = (half + 2 * pair) * apart + square * 8;
                // SAFETY: eight words of each of two rows, the caller's.
                let (upper, lower) = unsafe {
                    let upper = from.as_ptr().add(at);
                    (_mm512_loadu_pd(upper), _mm512_loadu_pd(upper.add(apart)))
                };
                *words = [_mm512_unpacklo_pd(upper, lower), _mm512_unpackhi_pd(upper, lower)];
            }
            for odd in 0..2 {
                // Quarter q of a pair's vector holds step 2 q + odd of its two rows.
                let low = quarters(pairs[0][odd], pairs[1][odd]);
                let high = quarters(pairs[2][odd], pairs[3][odd]);
                for (even, (low, high)) in low.into_iter().zip(high).enumerate() {
                    for (later, words) in quarters(low, high).into_iter().enumerate() {
                        let step = 4 * later + 2 * even + odd;
                        // SAFETY: eight words from `half` of sixteen, of one of eight steps.
                        unsafe { _mm512_storeu_pd(to.as_mut_ptr().add(step * 16 + half), words) };
                    }
                }
            }
        }
    }
}

/// Quarters 0 and 2 of both, and 1 and 3.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn quarters(a: std::arch::x86_64::__m512d, b: std::arch::x86_64::__m512d) -> [std::arch::x86_64::__m512d; 2] {
    use std::arch::x86_64::_mm512_shuffle_f64x2;
    [_mm512_shuffle_f64x2::<0x88>(a, b), _mm512_shuffle_f64x2::<0xdd>(a, b)]
}
