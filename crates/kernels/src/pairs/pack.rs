//! Rounding operands to bf16 pairs, in the order in which tiles read them.

use super::simd::{MAX_LANES, PairIsa, Pairs, WithPairs, run_pairs_on};
use super::{pair, round};
use crate::kernel::Element;
use crate::simd::Simd;

/// Elements that follow each other in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    F32(*const f32),
    Bf16(*const u16),
}

impl Source {
    /// The operand that begins at `start`.
    pub(crate) fn new(element: Element, start: *const f32) -> Self {
        match element {
            Element::F32 => Source::F32(start),
            Element::Bf16 => Source::Bf16(start.cast()),
        }
    }

    /// Element `i` and those after it.
    ///
    /// # Safety
    /// At most one element past the end of the operand.
    #[inline(always)]
    pub(crate) unsafe fn add(self, i: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Source::F32(p) => Source::F32(p.add(i)),
                Source::Bf16(p) => Source::Bf16(p.add(i)),
            }
        }
    }
}

/// Writes `first[t], second[t]` for `t < n` to words `t` of `to`, and zeros up to the next whole vector. Without a
/// second, it counts as zeros.
///
/// # Safety
/// The sources have n elements, `to` room for n words and what completes a vector.
#[inline(always)]
pub(crate) unsafe fn interleave<P: Pairs>(
    pairs: P,
    first: Source,
    second: Option<Source>,
    n: usize,
    to: *mut u32,
) {
    let (simd, lanes) = (pairs.simd(), <P::S as Simd>::LANES);
    // SAFETY: the caller's promise; a vector begins before n.
    unsafe {
        match (first, second) {
            (Source::F32(first), Some(Source::F32(second))) => {
                let whole = n / lanes * lanes;
                for t in (0..whole).step_by(lanes) {
                    pairs.interleave(simd.load(first.add(t)), simd.load(second.add(t)), to.add(t));
                }
                if whole < n {
                    let rest = n - whole;
                    let (x, y) = (first.add(whole), second.add(whole));
                    pairs.interleave(simd.load_first(x, rest), simd.load_first(y, rest), to.add(whole));
                }
            }
            (Source::F32(first), _) => {
                for t in (0..n).step_by(lanes) {
                    let x = simd.load_first(first.add(t), lanes.min(n - t));
                    pairs.interleave(x, simd.zero(), to.add(t));
                }
            }
            (Source::Bf16(first), second) => {
                match second {
                    Some(Source::Bf16(second)) => {
                        for t in 0..n {
                            to.add(t).write(pair(first.add(t).read(), second.add(t).read()));
                        }
                    }
                    _ => {
                        for t in 0..n {
                            to.add(t).write(pair(first.add(t).read(), 0));
                        }
                    }
                }
                for t in n..n.next_multiple_of(lanes) {
                    to.add(t).write(0);
                }
            }
        }
    }
}

/// Writes n elements to the `n.div_ceil(2)` words at `to`; an odd last one is followed by 0.
///
/// # Safety
/// The source has n elements, `to` room for the words.
#[inline(always)]
pub(crate) unsafe fn narrow<P: Pairs>(pairs: P, from: Source, n: usize, to: *mut u32) {
    let (simd, lanes) = (pairs.simd(), <P::S as Simd>::LANES);
    // SAFETY: the caller's promise.
    unsafe {
        match from {
            Source::F32(from) => {
                let whole = n / (2 * lanes) * 2 * lanes;
                for i in (0..whole).step_by(2 * lanes) {
                    let (low, high) = (simd.load(from.add(i)), simd.load(from.add(i + lanes)));
                    pairs.narrow(low, high, to.add(i / 2));
                }
                for i in (whole..n).step_by(2) {
                    let second = if i + 1 < n { round(from.add(i + 1).read()) } else { 0 };
                    to.add(i / 2).write(pair(round(from.add(i).read()), second));
                }
            }
            Source::Bf16(from) => {
                std::ptr::copy_nonoverlapping(from, to.cast::<u16>(), n);
                if !n.is_multiple_of(2) {
                    to.cast::<u16>().add(n).write(0);
                }
            }
        }
    }
}

/// Rounds the first n lanes of `v` to `to`.
///
/// # Safety
/// `to` has room for n <= LANES elements.
#[inline(always)]
pub(crate) unsafe fn store_rounded<S: Simd>(simd: S, v: S::F, n: usize, to: *mut u16) {
    let (mut lanes, mut halves) = ([0.0f32; MAX_LANES], [0u16; MAX_LANES]);
    // SAFETY: the arrays hold a vector; the caller promises n elements at `to`.
    unsafe {
        simd.store(lanes.as_mut_ptr(), v);
        for (half, &lane) in halves.iter_mut().zip(&lanes) {
            *half = round(lane);
        }
        std::ptr::copy_nonoverlapping(halves.as_ptr(), to, n);
    }
}

/// A block of a matrix, to be packed along `depth`, which sums run along, and `width`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// Element (0, 0).
    pub from: Source,
    /// Elements from one step along the sum to the next, and from one column to the next. One of them is 1.
    pub steps: [usize; 2],
    /// Length of the sums.
    pub depth: usize,
    pub columns: usize,
}

/// Packs a panel: line p holds the pair (2 p, 2 p + 1) of each column, zeros where there is none, in whole vectors.
pub(crate) struct Panel {
    pub block: Block,
    /// Lines, at least `depth.div_ceil(2)`: those past the sums' end are 0.
    pub lines: usize,
    pub to: *mut u32,
}

impl WithPairs for Panel {
    #[inline(always)]
    unsafe fn call<P: Pairs>(self, pairs: P) {
        let Panel { block: Block { from, steps, depth, columns }, lines: padded, to } = self;
        let lanes = <P::S as Simd>::LANES;
        let width = columns.next_multiple_of(lanes);
        let lines = depth.div_ceil(2);
        // SAFETY: the block is readable, `to` has room for the lines; both by the caller's promise.
        unsafe {
            to.add(lines * width).write_bytes(0, (padded - lines) * width);
            if steps[1] == 1 {
                for p in 0..lines {
                    let second = (2 * p + 1 < depth).then(|| from.add((2 * p + 1) * steps[0]));
                    interleave(pairs, from.add(2 * p * steps[0]), second, columns, to.add(p * width));
                }
                return;
            }
            let mut square = [0u32; MAX_LANES * MAX_LANES];
            for c in (0..columns).step_by(lanes) {
                let rows = lanes.min(columns - c);
                for p in (0..lines).step_by(lanes) {
                    let n = (2 * lanes).min(depth - 2 * p);
                    for r in 0..rows {
                        let row = from.add((c + r) * steps[1] + 2 * p);
                        narrow(pairs, row, n, square.as_mut_ptr().add(r * lanes));
                    }
                    let to = to.add(p * width + c).cast();
                    pairs.simd().transpose(square.as_ptr().cast(), lanes, rows, n.div_ceil(2), to, width);
                }
            }
        }
    }
}

/// Packs rows along the sum: row i holds the pairs of column i of the block.
pub(crate) struct Rows {
    pub block: Block,
    /// As many rows of `stride` words as the block has columns. Without unit steps along the sum, whole vectors are
    /// written, of which the words past the sums' end are 0.
    pub to: *mut u32,
    pub stride: usize,
    /// Words of a row, at least `depth.div_ceil(2)` and at most the whole vectors of these: those past the sums' end
    /// are 0.
    pub words: usize,
}

impl WithPairs for Rows {
    #[inline(always)]
    unsafe fn call<P: Pairs>(self, pairs: P) {
        let Rows { block: Block { from, steps, depth, columns }, to, stride, words } = self;
        let lanes = <P::S as Simd>::LANES;
        // SAFETY: the block is readable, `to` has room for the rows; both by the caller's promise.
        unsafe {
            if steps[0] == 1 {
                let filled = depth.div_ceil(2);
                for c in 0..columns {
                    let to = to.add(c * stride);
                    narrow(pairs, from.add(c * steps[1]), depth, to);
                    to.add(filled).write_bytes(0, words - filled);
                }
                return;
            }
            let lines = depth.div_ceil(2);
            let mut square = [0u32; MAX_LANES * MAX_LANES];
            for c in (0..columns).step_by(lanes) {
                let n = lanes.min(columns - c);
                for p in (0..lines).step_by(lanes) {
                    let rows = lanes.min(lines - p);
                    for r in 0..rows {
                        let at = 2 * (p + r);
                        let second = (at + 1 < depth).then(|| from.add((at + 1) * steps[0] + c));
                        let first = from.add(at * steps[0] + c);
                        interleave(pairs, first, second, n, square.as_mut_ptr().add(r * lanes));
                    }
                    let to = to.add(c * stride + p).cast();
                    pairs.simd().transpose(square.as_ptr().cast(), lanes, rows, n, to, stride);
                }
            }
        }
    }
}

/// Runs a packing body.
///
/// # Safety
/// As for [`run_pairs_on`]; the block is readable and the target has the documented room.
pub(crate) unsafe fn run<W: WithPairs>(isa: PairIsa, body: W) {
    // SAFETY: forwarded from the caller.
    unsafe { run_pairs_on(isa, body) }
}

/// `out[i] = sum over s of partials[s * stride + i]` for `len` words, in ascending order of s.
pub(crate) struct Combine {
    pub partials: *const f32,
    pub stride: usize,
    pub splits: usize,
    /// Element 0; begins at a whole word.
    pub out: *mut f32,
    pub element: Element,
    pub len: usize,
}

impl WithPairs for Combine {
    #[inline(always)]
    unsafe fn call<P: Pairs>(self, pairs: P) {
        let (simd, lanes) = (pairs.simd(), <P::S as Simd>::LANES);
        for i in (0..self.len).step_by(lanes) {
            let n = lanes.min(self.len - i);
            // SAFETY: i + n <= len, by the caller's promise readable in each copy and writable in the result.
            unsafe {
                let at = self.partials.add(i);
                let mut sum = simd.load_first(at, n);
                for split in 1..self.splits {
                    sum = simd.add(sum, simd.load_first(at.add(split * self.stride), n));
                }
                match self.element {
                    Element::F32 => simd.store_first(self.out.add(i), sum, n),
                    Element::Bf16 if n == lanes => pairs.round(sum, self.out.cast::<u16>().add(i)),
                    Element::Bf16 => store_rounded(simd, sum, n, self.out.cast::<u16>().add(i)),
                }
            }
        }
    }
}
