//! Fetching the next strip of B into L2 while the present one is being used.
//!
//! Packing a large B is bound by memory and the tiles in between by arithmetic; spread over the tiles, the
//! fetches make the two overlap. Hardware does not do it: the rows of a strip lie in different pages.

use crate::simd::prefetch;

/// Bytes of a cache line on every target the kernels are written for, in words.
const LINE: usize = 16;

/// The lines of a strip that are still to be fetched: `runs` stretches of `lines` lines, `stride` words apart.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    at: *const f32,
    lines: usize,
    stride: usize,
    /// Position within the present stretch.
    line: usize,
    /// Lines left in all.
    left: usize,
}

impl Ahead {
    /// Nothing to fetch.
    pub fn nothing() -> Self {
        Self { at: std::ptr::null(), lines: 1, stride: 0, line: 0, left: 0 }
    }

    /// `runs` stretches of `words` words, `stride` words apart.
    pub fn new(at: *const f32, runs: usize, words: usize, stride: usize) -> Self {
        let lines = words.div_ceil(LINE).max(1);
        Self { at, lines, stride, line: 0, left: runs * lines }
    }

    /// Lines to fetch at a time, so that all are after so many times.
    pub fn share(&self, times: usize) -> usize {
        self.left.div_ceil(times.max(1))
    }

    /// Fetches up to `count` lines. A hint: addresses need not be valid.
    #[inline(always)]
    pub fn fetch(&mut self, count: usize) {
        for _ in 0..count.min(self.left) {
            prefetch(self.at.wrapping_add(self.line * LINE));
            self.line += 1;
            if self.line == self.lines {
                self.line = 0;
                self.at = self.at.wrapping_add(self.stride);
            }
            self.left -= 1;
        }
    }
}
