//! Copies blocks of A and B into the order in which the micro-kernel reads them.

use crate::simd::{Simd, WithSimd};

/// A panel in packed order: for each p of `depth`, `width` words, either rows of A or columns of B.
///
/// The source is seen as lines of the panel: line `w` at step `p` is `src[w * line + p * step]`, where one of
/// the two strides is 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pack {
    /// First word of the panel's source.
    pub src: *const f32,
    /// Words of the source matrix from `src` to its end, none of which may be passed.
    pub limit: usize,
    /// Whether p is the contiguous direction of the source, so that packing transposes.
    pub transposed: bool,
    /// The stride that is not 1.
    pub stride: usize,
    /// Steps along k.
    pub depth: usize,
    /// Rows of A or columns of B in the panel.
    pub width: usize,
    /// Words of `dst` per step, at least `width`; words from `width` up to whole vectors become 0 or are
    /// overwritten by the next step.
    pub pitch: usize,
    /// Where to; a whole vector may be written from any word of the panel, so a vector's room follows it.
    pub dst: *mut f32,
}

impl WithSimd for Pack {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, s: S) {
        let Pack { src, limit, transposed, stride, depth, width, pitch, dst } = self;
        // SAFETY: lines and steps stay inside the source matrix (`limit`), vectors inside the destination and
        // the room behind it, by the contract of the fields.
        unsafe {
            for first in (0..width).step_by(S::LANES) {
                let lines = (width - first).min(S::LANES);
                if transposed {
                    for p in (0..depth).step_by(S::LANES) {
                        let steps = (depth - p).min(S::LANES);
                        let from = src.add(first * stride + p);
                        s.transpose(from, stride, lines, steps, dst.add(p * pitch + first), pitch);
                    }
                } else {
                    // Whole vectors up to the last step whose vector still ends inside the source.
                    let whole = match (limit + stride).checked_sub(first + S::LANES) {
                        _ if lines == S::LANES => depth,
                        Some(room) => depth.min(room / stride),
                        None => 0,
                    };
                    for p in 0..whole {
                        let row = s.load(src.add(p * stride + first));
                        s.store(dst.add(p * pitch + first), row);
                    }
                    for p in whole..depth {
                        let row = s.load_first(src.add(p * stride + first), lines);
                        s.store(dst.add(p * pitch + first), row);
                    }
                }
            }
        }
    }
}

/// A panel of [`PackRows`]: `width` words of each step, from the source's word `first` on, to the destination's word `at`,
/// and from there `pitch` words further for every step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Panel {
    pub first: usize,
    pub width: usize,
    pub at: usize,
    /// The width, or at least as many whole vectors.
    pub pitch: usize,
}

/// Copies panels whose steps are rows of the source, all panels of a row before the next row. One by one, each would
/// fetch lines and pages a row apart, which are often a power of two and share few places of a cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackRows<'a> {
    /// The first row, which holds all panels' words, as do `depth - 1` more.
    pub src: *const f32,
    /// Words from one row to the next, at least [`PackRows::LEAST`].
    pub stride: usize,
    /// Rows.
    pub depth: usize,
    pub panels: &'a [Panel],
    /// Where to; each panel has room for `depth` steps.
    pub dst: *mut f32,
}

impl PackRows<'_> {
    /// Shortest rows: a vector from any word of one ends within the next.
    pub(super) const LEAST: usize = 16;
}

impl WithSimd for PackRows<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, s: S) {
        let PackRows { src, stride, depth, panels, dst } = self;
        debug_assert!(stride >= Self::LEAST);
        for p in 0..depth {
            for panel in panels {
                // SAFETY: words of the row and, but in the last, of the next one; what is stored past a panel's step is
                // its next step's, which is copied later, or lies within the pitch.
                unsafe {
                    let from = src.add(p * stride + panel.first);
                    let to = dst.add(panel.at + p * panel.pitch);
                    for v in (0..panel.width).step_by(S::LANES) {
                        let left = panel.width - v;
                        if left >= S::LANES || p + 1 < depth {
                            s.store(to.add(v), s.load(from.add(v)));
                        } else {
                            s.store_first(to.add(v), s.load_first(from.add(v), left), left);
                        }
                    }
                }
            }
        }
    }
}
