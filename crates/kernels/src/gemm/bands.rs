//! Products of a batch of rows with a small matrix, band by band: the layers of small dense networks.
//!
//! The right operand is packed once, by a kernel of its own, for all products with it in both directions of a network,
//! and stays in L2. A band of the left operand and of the result belongs to one task, as in the elementwise passes
//! between two layers, so that a chain of layers needs no barrier.

use super::MatMulShape;
use super::ahead::Ahead;
use super::blocks::part;
use super::dot;
use super::pack::Pack;
use super::tile::{self, Geometry, Tile};
use crate::bands::{band, bands};
use crate::isa::Isa;
use crate::kernel::{Kernel, OperandSpec, Operands};
use crate::simd::run_on;
use std::ops::Range;

/// Most words of the right operand: half of an L2 cache of 1 MiB.
const MOST_WORDS: usize = 128 << 10;

/// Longest sums, which are not cut: rows of a tile and a panel of this depth share L2's smaller half with the band.
const DEEPEST: usize = 512;

/// The right operand of a [`BandMatMul`] in panels as wide as a register tile.
///
/// Operands: B (read), `[k, n]` or `[n, k]`; the panels (written), `[panels, k, pitch]`, with zeros behind the last column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PackedRight {
    isa: Isa,
    n: usize,
    k: usize,
    transposed: bool,
}

impl PackedRight {
    fn panels(&self) -> usize {
        self.n.div_ceil(Geometry::of(self.isa).columns())
    }

    fn columns(&self, panel: usize) -> Range<usize> {
        let width = Geometry::of(self.isa).columns();
        panel * width..self.n.min((panel + 1) * width)
    }

    /// Words of a row of a panel: whole vectors.
    fn pitch(&self) -> usize {
        let geometry = Geometry::of(self.isa);
        geometry.vectors_for(self.n.min(geometry.columns())) * geometry.lanes
    }

    /// Words of all panels.
    pub fn words(&self) -> usize {
        self.panels() * self.k * self.pitch()
    }
}

// SAFETY: B is only read; a task owns one panel.
unsafe impl Kernel for PackedRight {
    fn name(&self) -> &'static str {
        "matmul.pack"
    }

    fn flops(&self) -> u64 {
        0
    }

    fn operands(&self) -> Vec<OperandSpec> {
        vec![OperandSpec::read(self.n * self.k), OperandSpec::write(self.words())]
    }

    fn tasks(&self, _stage: usize) -> usize {
        self.panels()
    }

    unsafe fn run(&self, isa: Isa, _stage: usize, task: usize, operands: &Operands<'_>, _local: &mut [f32]) {
        assert_eq!(isa, self.isa, "the product was planned for another instruction set");
        let Self { n, k, transposed, .. } = *self;
        let columns = self.columns(task);
        let (stride, at) = if transposed { (k, columns.start * k) } else { (n, columns.start) };
        let pitch = self.pitch();
        // SAFETY: the panel of the operands' extents by the caller's promise. Vectors end within the pitch.
        unsafe {
            let (src, limit) = (operands.ptr(0).add(at).cast_const(), n * k - at);
            let dst = operands.ptr(1).add(task * k * pitch);
            let width = columns.len();
            run_on(isa, Pack { src, limit, transposed, stride, depth: k, width, pitch, dst });
            for row in 0..k {
                let end = width.next_multiple_of(Geometry::of(isa).lanes);
                dst.add(row * pitch + end).write_bytes(0, pitch - end);
            }
        }
    }
}

/// `C = A * B` for the rows of a batch, with B packed.
///
/// Operands: A (read), `[m, k]`; B (read), in the panels of [`PackedRight`], or as it is where n is 1; C (written), `[m, n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BandMatMul {
    right: PackedRight,
    m: usize,
}

impl BandMatMul {
    /// Plans the product for `isa`, on which it must then run; none if it is not of the kind described above.
    pub fn new(isa: Isa, shape: MatMulShape) -> Option<Self> {
        let MatMulShape { batch, m, n, k, trans_a, trans_b, .. } = shape;
        let most = m.checked_mul(n.max(k))?;
        let fits = batch == 1 && !trans_a && n > 0 && (1..=DEEPEST).contains(&k) && n <= MOST_WORDS / k;
        bands(m, most).filter(|_| fits)?;
        Some(Self { right: PackedRight { isa, n, k, transposed: trans_b }, m })
    }

    /// The kernel that packs B, unless it is taken as it is.
    pub fn right(&self) -> Option<PackedRight> {
        (self.right.n > 1).then_some(self.right)
    }

    fn band(&self, task: usize) -> Range<usize> {
        band(self.m, task)
    }
}

// SAFETY: A and B are only read; a task reads the rows of its band of A and writes those of C.
unsafe impl Kernel for BandMatMul {
    fn name(&self) -> &'static str {
        "matmul.bands"
    }

    fn flops(&self) -> u64 {
        [self.m, self.right.n, self.right.k]
            .into_iter()
            .fold(2u64, |product, d| product.saturating_mul(d as u64))
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let PackedRight { n, k, .. } = self.right;
        let right = self.right().map_or(k, |right| right.words());
        vec![OperandSpec::read(self.m * k), OperandSpec::read(right), OperandSpec::write(self.m * n)]
    }

    fn tasks(&self, _stage: usize) -> usize {
        self.m.div_ceil(crate::bands::BAND)
    }

    fn reach(&self, _stage: usize, task: usize, operand: usize) -> Option<Range<usize>> {
        let rows = self.band(task);
        let of = |width: usize| Some(rows.start * width..rows.end * width);
        match operand {
            0 => of(self.right.k),
            2 => of(self.right.n),
            _ => None,
        }
    }

    unsafe fn run(&self, isa: Isa, _stage: usize, task: usize, operands: &Operands<'_>, _local: &mut [f32]) {
        assert_eq!(isa, self.right.isa, "the product was planned for another instruction set");
        let (PackedRight { n, k, .. }, rows) = (self.right, self.band(task));
        // SAFETY: the rows of the band lie inside A and C.
        let (a, c) = unsafe {
            (operands.ptr(0).add(rows.start * k).cast_const(), operands.ptr(2).add(rows.start * n))
        };
        let b = operands.ptr(1).cast_const();
        let Some(right) = self.right() else {
            // SAFETY: k words of B and the band's rows of A, which nothing writes meanwhile; the band's words of C are
            // this task's.
            unsafe {
                let (vector, matrix) =
                    (std::slice::from_raw_parts(b, k), std::slice::from_raw_parts(a, rows.len() * k));
                dot::lines(isa, matrix, k, vector, rows.len(), c);
            }
            return;
        };
        let (geometry, pitch) = (Geometry::of(isa), right.pitch());
        let tiles = rows.len().div_ceil(geometry.rows);
        for panel in 0..right.panels() {
            let columns = right.columns(panel);
            for tile in 0..tiles {
                let rows = part(rows.len(), tiles, tile);
                // SAFETY: the tile lies inside the band, the panel inside the packed operand, whose rows are whole
                // vectors.
                unsafe {
                    let tile = Tile {
                        k,
                        a: a.add(rows.start * k),
                        a_row: k,
                        a_k: 1,
                        b: b.add(panel * k * pitch),
                        b_k: pitch,
                        c: c.add(rows.start * n + columns.start),
                        c_row: n,
                        columns: columns.len(),
                        accumulate: false,
                        fetch_c: false,
                        ahead: Ahead::nothing(),
                        fetches: 0,
                    };
                    tile::run(isa, rows.len(), geometry.vectors_for(columns.len()), tile);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MatMul, reference};
    use super::*;
    use crate::pass::harness::{Noise, outputs};

    fn shape(m: usize, n: usize, k: usize, trans_b: bool) -> MatMulShape {
        MatMulShape { batch: 1, m, n, k, trans_a: false, trans_b, a_batched: false, b_batched: false }
    }

    fn product(isa: Isa, kernel: &BandMatMul, a: &[u32], b: &[u32]) -> Vec<u32> {
        let right = kernel.right();
        let b = right.map_or_else(|| b.to_vec(), |right| outputs(&right, isa, &[b.to_vec()]).remove(0));
        outputs(kernel, isa, &[a.to_vec(), b]).remove(0)
    }

    #[test]
    fn products_agree_with_the_reference_and_keep_to_their_bands() {
        let floats = |words: &[u32]| words.iter().map(|&w| f32::from_bits(w)).collect::<Vec<f32>>();
        for (m, n, k) in
            [(64, 1, 128), (70, 2, 5), (95, 33, 16), (256, 128, 128), (97, 156, 257), (65, 16, 1)]
                .into_iter()
                // Rows of the widths that register tiles know, over full panels and others.
                .chain([64, 128, 256, 512].map(|k| (64, 72, k)))
        {
            for trans_b in [false, true] {
                let shape = shape(m, n, k, trans_b);
                let mut noise = Noise(7);
                let (a, b) = (noise.floats(m * k), noise.floats(k * n));
                let expected = reference(&shape, &floats(&a), &floats(&b));
                // As for the other products: k additions, the multiplication, the joining of chains.
                let unit = (k + 2) as f64 * 0.5f64.powi(24);
                for isa in Isa::available() {
                    let kernel = BandMatMul::new(isa, shape).unwrap();
                    let got = product(isa, &kernel, &a, &b);
                    for (i, (&got, &(sum, magnitude))) in got.iter().zip(&expected).enumerate() {
                        let error = (f64::from(f32::from_bits(got)) - sum).abs();
                        assert!(error <= unit * magnitude, "{isa:?} {shape:?} word {i}: {sum}, got {got:#x}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_others() {
        let (m, n, k) = (130, 40, 70);
        let mut noise = Noise(3);
        let (a, b) = (noise.floats(m * k), noise.floats(k * n));
        for isa in Isa::available() {
            let all = product(isa, &BandMatMul::new(isa, shape(m, n, k, false)).unwrap(), &a, &b);
            let tail = BandMatMul::new(isa, shape(m - 50, n, k, false)).unwrap();
            assert_eq!(product(isa, &tail, &a[50 * k..], &b), all[50 * n..], "{isa:?}");
            // Nor on whether there are enough of them for bands.
            let few = MatMul::new(isa, shape(40, n, k, false));
            let few = outputs(&few, isa, &[a[..40 * k].to_vec(), b.clone()]).remove(0);
            assert_eq!(few, all[..40 * n], "{isa:?}");
        }
    }

    #[test]
    fn other_products_are_left_to_the_general_kernel() {
        let new = |shape| BandMatMul::new(Isa::Portable, shape);
        assert!(new(shape(64, 32, 32, false)).is_some());
        for (m, n, k) in [(63, 32, 32), (3000, 32, 32), (64, 32, 513), (64, 600, 500), (64, 0, 5), (64, 5, 0)]
        {
            assert_eq!(new(shape(m, n, k, false)), None, "{m} {n} {k}");
        }
        assert_eq!(new(MatMulShape { trans_a: true, ..shape(64, 32, 32, false) }), None);
        assert_eq!(new(MatMulShape { batch: 2, ..shape(64, 32, 32, false) }), None);
    }
}
