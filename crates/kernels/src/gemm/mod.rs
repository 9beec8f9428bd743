//! Matrix products in the manner of GotoBLAS (Goto and van de Geijn, "Anatomy of High-Performance Matrix
//! Multiplication", ACM TOMS 34(3), 2008) and BLIS: tiles of the result stay in registers, the panel of B they
//! share in L1, the block of A in L2.
//!
//! Unlike there, B is packed a strip of panels at a time, just before use, by every task for itself: a task
//! covers up to 256 rows (192 with AVX2), so packing costs a hundredth of the arithmetic, no copy of a large B ever exists,
//! and no barrier stands between packing and use.

mod ahead;
mod bands;
mod blocked;
mod blocks;
mod dot;
mod mixed;
mod pack;
pub(crate) mod product;
mod reference;
mod tile;

#[cfg(test)]
mod mixed_tests;
#[cfg(test)]
mod tests;

pub use bands::{BandMatMul, PackedRight};
pub use mixed::MixedMatMul;
pub use reference::reference;

use crate::fused::{Contraction, Sink};
use crate::isa::Isa;
use crate::kernel::{Kernel, OperandSpec, Operands};
use crate::simd::{Simd, WithSimd, run_on};
use blocked::{Blocked, Source};
use blocks::{Blocks, Extent};
use dot::Dots;

/// Shapes of `C[b] = op(A[b]) * op(B[b])`, all row-major: op(A) is [m, k], op(B) is [k, n], C is [m, n].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MatMulShape {
    /// Number of products.
    pub batch: usize,
    /// Rows of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Length of the sums.
    pub k: usize,
    /// Whether A is stored [k, m] rather than [m, k].
    pub trans_a: bool,
    /// Whether B is stored [n, k] rather than [k, n].
    pub trans_b: bool,
    /// Whether A has a matrix for each product, rather than one for all.
    pub a_batched: bool,
    /// Whether B has a matrix for each product, rather than one for all.
    pub b_batched: bool,
}

impl MatMulShape {
    /// Words of A, of B and of C. Sizes that do not fit the address space saturate, which no operand matches.
    pub fn words(&self) -> [usize; 3] {
        let of = |batch: usize, rows: usize, columns: usize| {
            // A dimension of 0 empties the operand whatever the others are.
            if batch == 0 || rows == 0 || columns == 0 {
                return 0;
            }
            batch.saturating_mul(rows).saturating_mul(columns)
        };
        let batch = |batched: bool| if batched { self.batch } else { 1 };
        [
            of(batch(self.a_batched), self.m, self.k),
            of(batch(self.b_batched), self.k, self.n),
            of(self.batch, self.m, self.n),
        ]
    }
}

/// Which code computes a shape.
#[derive(Clone, Copy, Debug)]
enum Path {
    /// C has no words, or the sums no terms.
    Zeros,
    /// One of the operands is a vector and the other's rows run along k.
    Dot(Dots),
    /// Everything else.
    Blocked(Blocks),
}

/// The product of two matrices, or of two batches of them.
///
/// Operands: A (read), B (read), C (written), then the partial sums where k is cut into tasks. The order of
/// every sum is a function of shape and instruction set.
#[derive(Clone, Copy, Debug)]
pub struct MatMul {
    isa: Isa,
    shape: MatMulShape,
    /// The product that is computed: `shape` with batches of rows merged, and transposed where n is 1.
    merged: MatMulShape,
    /// Whether `merged` exchanges the operands.
    swapped: bool,
    path: Path,
}

/// Words of C that a task adds up or clears.
const COMBINE: usize = 8 << 10;

impl MatMul {
    /// Plans the product for `isa`, on which it must then run.
    pub fn new(isa: Isa, shape: MatMulShape) -> Self {
        let mut merged = shape;
        if !shape.b_batched && shape.a_batched && !shape.trans_a {
            // [batch, m, k] times one [k, n] is [batch * m, k] times [k, n].
            merged.m = shape.batch.saturating_mul(shape.m);
            (merged.batch, merged.a_batched) = (1, false);
        }
        let swapped = merged.n == 1 && merged.m != 1;
        if swapped {
            // A column C is in memory the row transposed(C) = transposed(B) * transposed(A).
            merged = MatMulShape {
                m: 1,
                n: merged.m,
                trans_a: !merged.trans_b,
                trans_b: !merged.trans_a,
                a_batched: merged.b_batched,
                b_batched: merged.a_batched,
                ..merged
            };
        }
        let MatMulShape { batch, m, n, k, .. } = merged;
        let path = if shape.words().contains(&usize::MAX) || [batch, m, n, k].contains(&0) {
            Path::Zeros
        } else if m == 1 && merged.trans_b {
            Path::Dot(Dots::new(batch, n, k))
        } else {
            Path::Blocked(Blocks::new(isa, Extent { batch, m, n, k }, !merged.trans_a))
        };
        Self { isa, shape, merged, swapped, path }
    }

    /// The shapes.
    pub fn shape(&self) -> MatMulShape {
        self.shape
    }

    fn partials(&self) -> usize {
        match &self.path {
            Path::Zeros => 0,
            Path::Dot(dots) => dots.partials(),
            Path::Blocked(blocks) => blocks.partials(),
        }
    }

    fn splits(&self) -> usize {
        match &self.path {
            Path::Zeros => 1,
            Path::Dot(dots) => dots.splits,
            Path::Blocked(blocks) => blocks.splits,
        }
    }
}

// SAFETY: A and B are only read. Tasks of either path own disjoint blocks of the target, which is C or, if k is split,
// one copy of C for each split; the tasks that add the copies own disjoint ranges of C.
unsafe impl Kernel for MatMul {
    fn name(&self) -> &'static str {
        match self.path {
            Path::Zeros | Path::Blocked(_) => "matmul",
            Path::Dot(_) => "matmul.vector",
        }
    }

    fn flops(&self) -> u64 {
        let MatMulShape { batch, m, n, k, .. } = self.shape;
        [batch, m, n, k].into_iter().fold(2u64, |product, d| product.saturating_mul(d as u64))
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let [a, b, c] = self.shape.words();
        let mut operands = vec![OperandSpec::read(a), OperandSpec::read(b), OperandSpec::write(c)];
        if self.splits() > 1 {
            operands.push(OperandSpec::workspace(self.partials()));
        }
        operands
    }

    fn stages(&self) -> usize {
        if self.splits() > 1 { 2 } else { 1 }
    }

    fn tasks(&self, stage: usize) -> usize {
        match (&self.path, stage) {
            (Path::Zeros, _) => self.shape.words()[2].div_ceil(COMBINE),
            (Path::Dot(dots), 0) => dots.tasks(),
            (Path::Blocked(blocks), 0) => blocks.tasks(),
            (Path::Dot(_) | Path::Blocked(_), _) => (self.partials() / self.splits()).div_ceil(COMBINE),
        }
    }

    fn local_words(&self) -> usize {
        match &self.path {
            Path::Zeros | Path::Dot(_) => 0,
            Path::Blocked(blocks) => blocks.packed_a() + blocks.packed_b(),
        }
    }

    unsafe fn run(&self, isa: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        // SAFETY: forwarded from the caller.
        unsafe { self.run_into(isa, stage, task, operands, local, None) }
    }
}

// SAFETY: the last stage is the only one, or adds up the partial sums; its tasks announce the blocks that they own: of
// the blocked path when the last block along k is added, of the others when they are written.
unsafe impl Contraction for MatMul {
    fn run_words(&self) -> usize {
        match &self.path {
            Path::Blocked(blocks) if blocks.splits == 1 => blocks.run_words(),
            Path::Zeros | Path::Dot(_) | Path::Blocked(_) => COMBINE,
        }
    }

    unsafe fn run_into(
        &self,
        isa: Isa,
        stage: usize,
        task: usize,
        operands: &Operands<'_>,
        local: &mut [f32],
        sink: Option<&dyn Sink>,
    ) {
        assert_eq!(isa, self.isa, "the product was planned for another instruction set");
        let (a, b) = if self.swapped { (1, 0) } else { (0, 1) };
        let MatMulShape { batch, m, n, k, trans_a, trans_b, a_batched, b_batched } = self.merged;
        let target = operands.ptr(if self.splits() > 1 { 3 } else { 2 });
        if stage == 1 {
            let words = batch * m * n;
            let range = task * COMBINE..words.min((task + 1) * COMBINE);
            // SAFETY: stage 1 reads the partial sums of stage 0; each task writes its own range of C.
            let (partials, c) = unsafe { (operands.read(3), operands.write(2, range.clone())) };
            // SAFETY: the caller promises the CPU feature.
            unsafe { run_on(isa, Combine { partials, stride: words, first: range.start, c }) };
            if let Some(sink) = sink {
                // SAFETY: just written.
                unsafe { sink.done(range.start, range.len()) };
            }
            return;
        }
        match &self.path {
            Path::Zeros => {
                let words = self.shape.words()[2];
                let range = task * COMBINE..words.min((task + 1) * COMBINE);
                // SAFETY: each task writes its own range of C.
                unsafe { operands.write(2, range.clone()) }.fill(0.0);
                if let Some(sink) = sink {
                    // SAFETY: just written.
                    unsafe { sink.done(range.start, range.len()) };
                }
            }
            Path::Dot(dots) => {
                // SAFETY: A and B are only read.
                let (vector, matrix) = unsafe { (operands.read(a), operands.read(b)) };
                let matrix = (matrix, if b_batched { n * k } else { 0 });
                let vector = (vector, if a_batched { k } else { 0 });
                // SAFETY: the operands have the planned extents by the caller's promise.
                unsafe { dots.run(isa, task, matrix, vector, target, sink) };
            }
            Path::Blocked(blocks) => {
                let a = Source {
                    start: operands.ptr(a),
                    words: operands.words(a),
                    batch: if a_batched { m * k } else { 0 },
                    k_contiguous: !trans_a,
                    row: if trans_a { m } else { k },
                };
                let b = Source {
                    start: operands.ptr(b),
                    words: operands.words(b),
                    batch: if b_batched { k * n } else { 0 },
                    k_contiguous: trans_b,
                    row: if trans_b { k } else { n },
                };
                // SAFETY: the operands have the planned extents by the caller's promise.
                unsafe { Blocked { blocks, isa, a, b, c: target, sink }.run(task, local) };
            }
        }
    }
}

/// `c[i] = sum over s of partials[s * stride + first + i]`, in ascending order of s.
struct Combine<'a> {
    partials: &'a [f32],
    stride: usize,
    first: usize,
    c: &'a mut [f32],
}

impl WithSimd for Combine<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, s: S) {
        let Combine { partials, stride, first, c } = self;
        let len = c.len();
        for (i, part) in c.chunks_mut(S::LANES).enumerate() {
            let n = part.len();
            // SAFETY: first + len <= stride and the partials are whole multiples of it, so the n <= LANES words
            // end inside each of them.
            unsafe {
                debug_assert!(first + len <= stride);
                let at = partials.as_ptr().add(first + i * S::LANES);
                let mut sum = s.load_first(at, n);
                for split in 1..partials.len() / stride {
                    sum = s.add(sum, s.load_first(at.add(split * stride), n));
                }
                s.store_first(part.as_mut_ptr(), sum, n);
            }
        }
    }
}
