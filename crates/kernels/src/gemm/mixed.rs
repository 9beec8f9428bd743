//! Products of matrices rounded to bf16, summed in f32.
//!
//! Stage 0 packs A as rows of pairs along k (left out where A is stored that way). In stage 1 a task owns rows by
//! panels of columns, at one stretch of k; it packs one panel of B at a time and takes it past all its rows. If k is cut
//! into stretches, these have partial sums of their own, which stage 2 adds in order.

use super::MatMulShape;
use crate::isa::Isa;
use crate::kernel::{Element, Kernel, Mixed, OperandSpec, Operands};
use crate::pairs::amx::{self, Registers};
use crate::pairs::pack::{self, Block, Combine, Panel, Rows, Source};
use crate::pairs::simd::PairIsa;
use crate::pairs::tile::{self, MAX_ROWS, Store, Tile, VECTORS, Walk};
use std::ops::Range;

/// Longest stretch of k in pairs: a packed panel of B of 32 columns takes a quarter of an L2 cache of 1 MiB.
const DEPTH: usize = 2048;
/// Tasks wanted where the work allows: two for each of 16 threads.
const WANTED: usize = 32;
/// Work below which a task is not cut further: some 10 microseconds.
const TASK_FLOPS: f64 = 2e6;
/// Rows of a task where there are more: packing a panel of B then costs a few hundredths of multiplying with it.
const TASK_ROWS: usize = 128;
/// Most words of partial sums (16 MiB), beyond what [`DEPTH`] asks for.
const PARTIAL_WORDS: usize = 4 << 20;
/// Elements of A that a packing task rounds, about.
const PACKED: usize = 32 << 10;
/// Words of partial sums that a task adds up, each so many times as k is cut.
const COMBINED: usize = 8 << 10;

/// A product of two matrices, or of two batches of them, of operands rounded to bf16, summed in f32.
///
/// Operands: A (read), B (read), C (written), then workspaces: A in pairs unless it is stored so, and partial sums where
/// k is cut into tasks. Errors are bounded as [`mod@crate::pairs`] says, plus, where C is stored as bf16, one rounding to
/// bf16.
#[derive(Clone, Copy, Debug)]
pub struct MixedMatMul {
    isa: PairIsa,
    shape: MatMulShape,
    /// The product that is computed: `shape` with batches of rows merged.
    merged: MatMulShape,
    mixed: Mixed,
    cut: Cut,
}

/// Tasks of stage 1 along each dimension, beside the batch.
#[derive(Clone, Copy, Debug)]
struct Cut {
    m: usize,
    n: usize,
    k: usize,
}

/// The `i`-th of `parts` nearly equal stretches of `0..whole`.
fn part(whole: usize, parts: usize, i: usize) -> Range<usize> {
    super::blocks::part(whole, parts, i)
}

impl MixedMatMul {
    /// Plans the product for `isa`, on which it must then run. `None` where only [`MatMul`](super::MatMul) computes it:
    /// products with one column or of single terms, which read each element once, empty ones, and, with C stored as bf16, those with rows of
    /// C that would begin in the middle of a word.
    pub fn new(isa: Isa, shape: MatMulShape, mixed: Mixed) -> Option<Self> {
        Self::on(PairIsa::of(isa), shape, mixed)
    }

    pub(super) fn on(isa: PairIsa, shape: MatMulShape, mixed: Mixed) -> Option<Self> {
        let mut merged = shape;
        if !shape.b_batched && shape.a_batched && !shape.trans_a {
            // [batch, m, k] times one [k, n] is [batch * m, k] times [k, n].
            merged.m = shape.batch.saturating_mul(shape.m);
            (merged.batch, merged.a_batched) = (1, false);
        }
        let MatMulShape { batch, m, n, k, .. } = merged;
        // Room for the padding of workspaces within the address space.
        let fits = shape.words().iter().all(|&words| words < usize::MAX >> 10);
        let whole_rows = mixed.out == Element::F32 || n.is_multiple_of(2);
        if batch == 0 || m == 0 || n < 2 || k < 2 || !fits || !whole_rows {
            return None;
        }
        let mut product = Self { isa, shape, merged, mixed, cut: Cut { m: 1, n: 1, k: 1 } };
        product.cut = product.best_cut();
        Some(product)
    }

    fn best_cut(&self) -> Cut {
        let MatMulShape { batch, m, n, k, .. } = self.merged;
        let flops = 2.0 * batch as f64 * m as f64 * n as f64 * k as f64;
        let wanted = (flops / TASK_FLOPS).clamp(1.0, WANTED as f64) as usize;
        let pairs = self.pairs();
        // Each cut of m packs B once more, one of n costs nothing, one of k partial sums. Rows are samples unless A is
        // transposed, and their sums must not depend on how many there are: k is cut as for `TASK_ROWS` of them.
        let mut cut = Cut { m: 1, n: self.panels().min(wanted.div_ceil(batch)), k: pairs.div_ceil(DEPTH) };
        let samples = !self.merged.trans_a && self.merged.batch == 1;
        if samples {
            let flops = flops / m as f64 * TASK_ROWS as f64;
            let wanted = (flops / TASK_FLOPS).clamp(1.0, WANTED as f64) as usize;
            while self.panels().min(wanted) * cut.k < wanted
                && pairs / (2 * cut.k) >= 128
                && 2 * cut.k * TASK_ROWS * n <= PARTIAL_WORDS
            {
                cut.k *= 2;
            }
        }
        for rows in [TASK_ROWS, 4 * MAX_ROWS] {
            while batch * cut.m * cut.n * cut.k < wanted && m / (2 * cut.m) >= rows {
                cut.m *= 2;
            }
            while !samples
                && batch * cut.m * cut.n * cut.k < wanted
                && pairs / (2 * cut.k) >= 128
                && 2 * cut.k * batch * m * n <= PARTIAL_WORDS
            {
                cut.k *= 2;
            }
        }
        cut
    }

    /// The shapes.
    pub fn shape(&self) -> MatMulShape {
        self.shape
    }

    /// Pairs along k.
    fn pairs(&self) -> usize {
        self.merged.k.div_ceil(2)
    }

    fn panel_width(&self) -> usize {
        VECTORS * self.isa.lanes()
    }

    fn panels(&self) -> usize {
        self.merged.n.div_ceil(self.panel_width())
    }

    /// Whether A is read where it lies.
    fn in_place(&self) -> bool {
        // The matrix unit reads whole steps of whole registers of rows.
        self.mixed.a == Element::Bf16
            && !self.merged.trans_a
            && self.merged.k.is_multiple_of(2)
            && !self.isa.tiles()
    }

    /// Words from one row of A's pairs to the next.
    fn stride(&self) -> usize {
        if self.in_place() {
            return self.pairs();
        }
        // An odd number of cache lines: rows a power of two apart would share few sets of the cache.
        (self.pairs().div_ceil(16) | 1) * 16
    }

    fn a_matrices(&self) -> usize {
        if self.merged.a_batched { self.merged.batch } else { 1 }
    }

    /// Words of A in pairs. The matrix unit may read what follows the rows of its last register.
    fn a_words(&self) -> usize {
        let rows = self.a_matrices() * self.merged.m;
        (rows + if self.isa.tiles() { amx::TALLEST } else { 0 }) * self.stride()
    }

    /// Pairs of the `i`-th stretch of k.
    fn stretch(&self, i: usize) -> Range<usize> {
        let step = self.isa.padded(1);
        let steps = part(self.pairs().div_ceil(step), self.cut.k, i);
        steps.start * step..self.pairs().min(steps.end * step)
    }

    /// Tasks that pack one matrix of A.
    fn pack_parts(&self) -> usize {
        let MatMulShape { m, k, .. } = self.merged;
        m.div_ceil((PACKED / k).max(1).next_multiple_of(16))
    }

    fn c_elements(&self) -> usize {
        self.merged.batch * self.merged.m * self.merged.n
    }

    /// The operand of partial sums.
    fn partials(&self) -> usize {
        if self.in_place() { 3 } else { 4 }
    }

    /// What a stage does.
    fn work(&self, stage: usize) -> Work {
        match stage + usize::from(self.in_place()) {
            0 => Work::Pack,
            1 => Work::Multiply,
            _ => Work::Combine,
        }
    }

    /// # Safety
    /// As [`Kernel::run`].
    unsafe fn pack(&self, task: usize, operands: &Operands<'_>) {
        let MatMulShape { m, k, trans_a, .. } = self.merged;
        let (matrix, part_index) = (task / self.pack_parts(), task % self.pack_parts());
        let rows = part(m, self.pack_parts(), part_index);
        let steps = if trans_a { [m, 1] } else { [1, k] };
        // SAFETY: the rows lie in the operand and in the workspace, and belong to this task alone.
        unsafe {
            let from = Source::new(self.mixed.a, operands.ptr(0)).add(matrix * m * k + rows.start * steps[1]);
            let to = operands.ptr(3).cast::<u32>().add((matrix * m + rows.start) * self.stride());
            let block = Block { from, steps, depth: k, columns: rows.len() };
            let words = self.isa.padded(self.pairs());
            pack::run(self.isa, Rows { block, to, stride: self.stride(), words });
        }
    }

    /// # Safety
    /// As [`Kernel::run`].
    unsafe fn multiply(&self, task: usize, operands: &Operands<'_>, local: *mut u32) {
        let MatMulShape { m, n, k, trans_b, a_batched, b_batched, .. } = self.merged;
        let Cut { m: m_tasks, n: n_tasks, k: k_tasks } = self.cut;
        let (rest, column_task) = (task / n_tasks, task % n_tasks);
        let (rest, row_task) = (rest / m_tasks, rest % m_tasks);
        let (matrix, split) = (rest / k_tasks, rest % k_tasks);
        let rows = part(m, m_tasks, row_task);
        let pairs = self.stretch(split);
        let lines = self.isa.padded(pairs.len());
        let depth = k.min(2 * pairs.end) - 2 * pairs.start;
        let steps = if trans_b { [1, k] } else { [n, 1] };
        let (target, element, offset) = if k_tasks > 1 {
            (self.partials(), Element::F32, split * self.c_elements())
        } else {
            (2, self.mixed.out, 0)
        };
        let store = if element == Element::F32 { Store::Write } else { Store::Round };
        // SAFETY: the unit was granted.
        let registers = self.isa.tiles().then(|| unsafe { Registers::configure() });
        // SAFETY: all elements named lie in their operands; each task owns its block of the target.
        unsafe {
            let a = operands.ptr(if self.in_place() { 0 } else { 3 }).cast_const().cast::<u32>();
            let a = a.add(if a_batched { matrix * m * self.stride() } else { 0 } + pairs.start);
            let b =
                Source::new(self.mixed.b, operands.ptr(1)).add(if b_batched { matrix * k * n } else { 0 });
            for panel in part(self.panels(), n_tasks, column_task) {
                let first = panel * self.panel_width();
                let columns = self.panel_width().min(n - first);
                let from = b.add(2 * pairs.start * steps[0] + first * steps[1]);
                let block = Block { from, steps, depth, columns };
                pack::run(self.isa, Panel { block, lines, to: local });
                for strip in tile::strips(self.isa, rows.len()) {
                    let first_row = rows.start + strip.start;
                    let source = |r: usize| a.add((first_row + r) * self.stride());
                    let result = |r: usize| {
                        let at = offset + (matrix * m + first_row + r) * n + first;
                        // Rows of C as bf16 begin at even elements.
                        operands.ptr(target).add(element.words(at))
                    };
                    if let Some(registers) = &registers {
                        let mut results = [std::ptr::null_mut(); amx::TALLEST];
                        (0..strip.len()).for_each(|r| results[r] = result(r));
                        let tile = amx::Tile {
                            rows: source(0),
                            stride: self.stride(),
                            panel: local,
                            stretches: 1,
                            steps: lines / amx::DEPTH,
                            gap: 0,
                            results: &results[..strip.len()],
                            columns,
                            store,
                        };
                        registers.run(self.isa, &tile);
                        continue;
                    }
                    let mut tile = Tile {
                        walk: Walk::line(pairs.len(), 1),
                        sources: [std::ptr::null(); MAX_ROWS],
                        results: [std::ptr::null_mut(); MAX_ROWS],
                        panel: local,
                        columns,
                        store,
                    };
                    for r in 0..strip.len() {
                        (tile.sources[r], tile.results[r]) = (source(r), result(r));
                    }
                    tile::run(self.isa, strip.len(), &tile);
                }
            }
        }
    }
}

/// What a stage does.
#[derive(Clone, Copy)]
enum Work {
    Pack,
    Multiply,
    Combine,
}

// SAFETY: A and B are only read. Packing tasks own rows of the workspace; multiplying tasks own disjoint blocks of the
// target, which is C or, if k is cut, one copy of C for each stretch; combining tasks own disjoint words of C. Blocks of
// a C stored as bf16 begin and end at whole words, as its rows and panels have even lengths.
unsafe impl Kernel for MixedMatMul {
    fn name(&self) -> &'static str {
        "matmul.bf16"
    }

    fn flops(&self) -> u64 {
        let MatMulShape { batch, m, n, k, .. } = self.shape;
        [batch, m, n, k].into_iter().fold(2u64, |product, d| product.saturating_mul(d as u64))
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let [a, b, c] = self.shape.words();
        let mut operands = vec![
            OperandSpec::read(self.mixed.a.words(a)),
            OperandSpec::read(self.mixed.b.words(b)),
            OperandSpec::write(self.mixed.out.words(c)),
        ];
        if !self.in_place() {
            operands.push(OperandSpec::workspace(self.a_words()));
        }
        if self.cut.k > 1 {
            operands.push(OperandSpec::workspace(self.cut.k * c));
        }
        operands
    }

    fn stages(&self) -> usize {
        1 + usize::from(!self.in_place()) + usize::from(self.cut.k > 1)
    }

    fn tasks(&self, stage: usize) -> usize {
        match self.work(stage) {
            Work::Pack => self.a_matrices() * self.pack_parts(),
            Work::Multiply => self.merged.batch * self.cut.m * self.cut.n * self.cut.k,
            Work::Combine => self.c_elements().div_ceil(COMBINED),
        }
    }

    fn local_words(&self) -> usize {
        let step = self.isa.padded(1);
        self.pairs().div_ceil(step).div_ceil(self.cut.k) * step * self.panel_width()
    }

    unsafe fn run(&self, isa: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        assert_eq!(isa, self.isa.isa, "the product was planned for another instruction set");
        // SAFETY: the caller's promises; a combining task owns its words of C, which begin at an even element.
        unsafe {
            match self.work(stage) {
                Work::Pack => self.pack(task, operands),
                Work::Multiply => {
                    assert!(local.len() >= self.local_words(), "too little local scratch");
                    self.multiply(task, operands, local.as_mut_ptr().cast());
                }
                Work::Combine => {
                    let (first, words) = (task * COMBINED, self.c_elements());
                    let combine = Combine {
                        partials: operands.ptr(self.partials()).add(first),
                        stride: words,
                        splits: self.cut.k,
                        out: operands.ptr(2).add(self.mixed.out.words(first)),
                        element: self.mixed.out,
                        len: COMBINED.min(words - first),
                    };
                    pack::run(self.isa, combine);
                }
            }
        }
    }
}
