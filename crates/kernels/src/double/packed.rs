//! The right side of products, packed into panels of a tile's columns.

#[cfg(target_arch = "x86_64")]
use super::tile::{Avx2, Avx512};
use super::tile::{Portable, Tile, fetch};
use super::{DEPTH, FAR, Strided, aligned, on_a_line, pack_steps};
use crate::isa::Isa;
use std::slice::ChunksExactMut;

/// A matrix packed as the right side of several products. It is not [`Clone`]: its first word lies on a line's beginning, which is
/// another place in a copy.
#[derive(Debug)]
pub struct Packed {
    pub(super) isa: Isa,
    size: [usize; 2],
    pub(super) along: bool,
    words: Vec<f64>,
}

impl Packed {
    /// Nothing by nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { isa: Isa::Portable, size: [0; 2], along: false, words: Vec::new() }
    }

    /// Words that a matrix of such a size takes, but for those of columns that fill up a panel.
    #[must_use]
    pub fn room([k, n]: [usize; 2]) -> usize {
        k.div_ceil(DEPTH).saturating_mul(FAR).saturating_mul(n)
    }

    /// Takes `b` in place of what it held.
    ///
    /// # Panics
    /// `b` does not lie inside its words, or the CPU lacks `isa`.
    pub fn pack(&mut self, isa: Isa, b: Strided<'_>) {
        assert!(isa.supported(), "this CPU lacks {isa:?}");
        b.check();
        (self.isa, self.size, self.along) = (isa, b.size, b.row == 1);
        match isa {
            Isa::Portable => self.fill::<Portable>(b),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => self.fill::<Avx2>(b),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => self.fill::<Avx512>(b),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => unreachable!("not of this architecture"),
        }
    }

    #[cfg(test)]
    pub(super) fn poison(&mut self) {
        self.words.fill(f64::NAN);
    }

    /// What rows from `first`, a multiple of [`DEPTH`], were packed into.
    pub(super) fn from<T: Tile>(&self, first: usize) -> &[f64] {
        let block = panel::<T>(DEPTH, self.along) * self.size[1].div_ceil(T::COLUMNS);
        &on_a_line(&self.words)[first / DEPTH * block..]
    }

    fn fill<T: Tile>(&mut self, b: Strided<'_>) {
        let [k, n] = self.size;
        let block = panel::<T>(DEPTH, self.along) * n.div_ceil(T::COLUMNS);
        let words = aligned(&mut self.words, block * k.div_ceil(DEPTH));
        for first in (0..k).step_by(DEPTH) {
            let (depth, words) = (DEPTH.min(k - first), &mut words[first / DEPTH * block..]);
            pack_b::<T>(words.chunks_exact_mut(panel::<T>(depth, self.along)), b, first, depth);
        }
    }
}

impl Default for Packed {
    fn default() -> Self {
        Self::new()
    }
}

/// The right side of a product.
#[derive(Clone, Copy)]
pub(super) enum Right<'a> {
    /// To be packed on the way.
    Loose(Strided<'a>),
    Packed(&'a Packed),
}

impl Right<'_> {
    pub(super) fn size(self) -> [usize; 2] {
        match self {
            Self::Loose(b) => b.size,
            Self::Packed(b) => b.size,
        }
    }
}

/// Words of a packed panel of B of so many rows.
pub(super) fn panel<T: Tile>(depth: usize, along: bool) -> usize {
    T::COLUMNS * if along { FAR } else { depth }
}

/// Copies rows of B into panels of a tile's columns, as they lie: column after column where these lie contiguously, which
/// spares turning them, and row after row otherwise. Columns behind the last keep what they had.
pub(super) fn pack_b<T: Tile>(panels: ChunksExactMut<'_, f64>, b: Strided<'_>, first: usize, depth: usize) {
    let n = b.size[1];
    for (left, to) in (0..n).step_by(T::COLUMNS).zip(panels) {
        let width = T::COLUMNS.min(n - left);
        let words = &b.words[first * b.row + left * b.column..];
        if b.row == 1 {
            for (column, to) in to.chunks_exact_mut(FAR).take(width).enumerate() {
                // Columns are as far apart as rows of features are long, farther than the CPU looks ahead by itself.
                fetch(words, (column + 2) * b.column, depth);
                to[..depth].copy_from_slice(&words[column * b.column..][..depth]);
            }
        } else {
            pack_steps(words, [b.row, b.column], width, to.chunks_exact_mut(T::COLUMNS));
        }
    }
}
