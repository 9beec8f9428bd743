//! A matrix times a vector where each result is a dot product of contiguous words: the matrix is streamed once.

use super::blocks::part;
use crate::fused::Sink;
use crate::isa::Isa;
use crate::simd::{Simd, WithSimd, run_on};

/// Matrix words of a task: some 15 microseconds of memory traffic.
const TASK_WORDS: usize = 64 << 10;

/// Tasks wanted where the work allows.
const WANTED: usize = 64;

/// Rows that share each load of the vector.
const ROWS: usize = 4;

/// The cut of `y[b, i] = sum over p of M[b, i, p] * x[b, p]`, with `i` below `lines`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dots {
    pub batch: usize,
    pub lines: usize,
    pub k: usize,
    /// Tasks along `i`.
    pub line_tasks: usize,
    /// Tasks along `p`, whose partial sums a second stage adds up.
    pub splits: usize,
    /// Vectors of the batch in one task.
    pub group: usize,
}

impl Dots {
    pub(super) fn new(batch: usize, lines: usize, k: usize) -> Self {
        let words = lines.saturating_mul(k).max(1);
        let group = (TASK_WORDS / words).clamp(1, batch);
        let groups = batch.div_ceil(group);
        let wanted = (words.saturating_mul(batch) / TASK_WORDS).clamp(1, WANTED);
        let line_tasks = wanted.div_ceil(groups).min(lines.div_ceil(ROWS));
        let splits = wanted.div_ceil(groups * line_tasks).min(k / (TASK_WORDS / 4)).max(1);
        Self { batch, lines, k, line_tasks, splits, group }
    }

    pub(super) fn tasks(&self) -> usize {
        self.batch.div_ceil(self.group) * self.splits * self.line_tasks
    }

    pub(super) fn partials(&self) -> usize {
        if self.splits > 1 { self.splits * self.batch * self.lines } else { 0 }
    }

    /// Runs one task; `y` is the result or the partial sums `[splits, batch, lines]`. Only the result is announced.
    ///
    /// # Safety
    /// The CPU supports `isa`; `matrix` and `vector` have the declared extents at batch strides
    /// `matrix_batch` and `vector_batch`; no other task runs with the same number meanwhile.
    pub(super) unsafe fn run(
        &self,
        isa: Isa,
        task: usize,
        (matrix, matrix_batch): (&[f32], usize),
        (vector, vector_batch): (&[f32], usize),
        y: *mut f32,
        sink: Option<&dyn Sink>,
    ) {
        let (line_task, rest) = (task % self.line_tasks, task / self.line_tasks);
        let (split, group) = (rest % self.splits, rest / self.splits);
        let lines = part(self.lines, self.line_tasks, line_task);
        let p = part(self.k, self.splits, split);
        for b in group * self.group..self.batch.min((group + 1) * self.group) {
            let matrix = &matrix[b * matrix_batch..];
            let vector = &vector[b * vector_batch..][p.clone()];
            let matrix = &matrix[lines.start * self.k + p.start..];
            // SAFETY: within [splits, batch, lines], written by this task alone; the lines end inside the matrix.
            unsafe {
                let y = y.add((split * self.batch + b) * self.lines + lines.start);
                self::lines(isa, matrix, self.k, vector, lines.len(), y);
            }
            if let Some(sink) = sink.filter(|_| self.splits == 1) {
                // SAFETY: this task's lines of the result, just written.
                unsafe { sink.done(b * self.lines + lines.start, lines.len()) };
            }
        }
    }
}

/// `y[i] = sum over p of matrix[i * stride + p] * vector[p]` for `count` lines.
///
/// # Safety
/// The CPU supports `isa`; that many lines of the vector's length lie in the matrix; `y` has `count` words.
pub(super) unsafe fn lines(
    isa: Isa,
    matrix: &[f32],
    stride: usize,
    vector: &[f32],
    count: usize,
    y: *mut f32,
) {
    let mut line = 0;
    while line < count {
        let rows = if count - line >= ROWS { ROWS } else { 1 };
        let matrix = &matrix[line * stride..];
        // SAFETY: `rows` lines from here end inside the matrix, and `rows` words from y inside the result.
        unsafe {
            let y = y.add(line);
            if rows == ROWS {
                run_on(isa, Dot::<ROWS> { matrix, stride, vector, y });
            } else {
                run_on(isa, Dot::<1> { matrix, stride, vector, y });
            }
        }
        line += rows;
    }
}

/// `y[r] = sum over p of matrix[r * stride + p] * vector[p]`.
struct Dot<'a, const R: usize> {
    matrix: &'a [f32],
    stride: usize,
    vector: &'a [f32],
    y: *mut f32,
}

/// Independent sums a row, to cover the latency of a multiply-add.
const CHAINS: usize = 2;

impl<const R: usize> WithSimd for Dot<'_, R> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, s: S) {
        let Dot { matrix, stride, vector, y } = self;
        let k = vector.len();
        debug_assert!(k == 0 || matrix.len() >= (R - 1) * stride + k);
        // SAFETY: p + LANES <= k in the first loop, p + n = k in the second; rows end inside the matrix and y
        // has R words by the contract of the caller.
        unsafe {
            let mut acc = [[s.zero(); CHAINS]; R];
            let mut p = 0;
            while p + CHAINS * S::LANES <= k {
                for chain in 0..CHAINS {
                    let at = p + chain * S::LANES;
                    let x = s.load(vector.as_ptr().add(at));
                    for (r, acc) in acc.iter_mut().enumerate() {
                        let row = s.load(matrix.as_ptr().add(r * stride + at));
                        acc[chain] = s.mul_add(row, x, acc[chain]);
                    }
                }
                p += CHAINS * S::LANES;
            }
            while p < k {
                let n = (k - p).min(S::LANES);
                let x = s.load_first(vector.as_ptr().add(p), n);
                for (r, acc) in acc.iter_mut().enumerate() {
                    let row = s.load_first(matrix.as_ptr().add(r * stride + p), n);
                    acc[0] = s.mul_add(row, x, acc[0]);
                }
                p += n;
            }
            for (r, acc) in acc.iter().enumerate() {
                let mut lanes = [0.0f32; 16];
                s.store(lanes.as_mut_ptr(), s.add(acc[0], acc[1]));
                let mut half = S::LANES / 2;
                while half > 0 {
                    for i in 0..half {
                        lanes[i] += lanes[i + half];
                    }
                    half /= 2;
                }
                *y.add(r) = lanes[0];
            }
        }
    }
}
