//! The sum of the singular values of a matrix, in two stages (Grosser and Lang 1999): blocks of reflections take it to a band
//! by matrix products, rotations take the band to a bidiagonal matrix, and bisection finds the singular values of that.
//!
//! A matrix of 2048 columns is 32 MB, more than caches hold. Taken to two diagonals column by column it passes through memory
//! several times for each of its columns; in blocks of 32 columns it does so for each block. Values alone are wanted, so no
//! reflection is kept.

use crate::blocks::{map_blocks, on_chunks};
use nalgebra::{DMatrix, DMatrixViewMut, DVector};

/// Columns of a block, and diagonals of the band beside the main one.
const BAND: usize = 32;
/// Columns or rows that a thread reflects at once.
const CHUNK: usize = 128;
/// Values that are bisected side by side.
const LANES: usize = 16;
/// Fewer values than this are bisected by one thread.
const FEW: usize = 256;

/// The nuclear norm: the sum of the singular values, each within rounding of the largest.
pub(crate) fn nuclear_norm(matrix: DMatrix<f64>) -> f64 {
    let tall = if matrix.nrows() < matrix.ncols() { matrix.transpose() } else { matrix };
    if tall.is_empty() {
        return 0.0;
    }
    let (diagonal, above) = bidiagonal(&mut band(tall));
    bidiagonal_values(&diagonal, &above).iter().sum()
}

/// Reflections I - V T V', as many as the block is wide or high, with which its columns become upper triangular (Schreiber
/// and Van Loan 1989).
struct Reflections {
    v: DMatrix<f64>,
    t: DMatrix<f64>,
}

impl Reflections {
    /// Turns the block into R with zeros below it.
    fn of(block: &mut DMatrix<f64>) -> Self {
        let (rows, columns) = block.shape();
        let count = rows.min(columns);
        let mut v = DMatrix::zeros(rows, count);
        let mut scales = DVector::zeros(count);
        for j in 0..count {
            // I - tau v v' with v_j = 1 takes the column to (.., beta, 0, .., 0), beta of the other sign, so that nothing
            // cancels.
            let norm = block.view((j, j), (rows - j, 1)).norm();
            v[(j, j)] = 1.0;
            if norm == 0.0 {
                continue;
            }
            let alpha = block[(j, j)];
            let beta = if alpha > 0.0 { -norm } else { norm };
            scales[j] = (beta - alpha) / beta;
            for i in j + 1..rows {
                v[(i, j)] = block[(i, j)] / (alpha - beta);
                block[(i, j)] = 0.0;
            }
            block[(j, j)] = beta;
            let reflector = v.view((j, j), (rows - j, 1));
            for k in j + 1..columns {
                let mut column = block.view_mut((j, k), (rows - j, 1));
                let product = scales[j] * reflector.dot(&column);
                column.zip_apply(&reflector, |value, v| *value -= product * v);
            }
        }
        let products = v.transpose() * &v;
        let mut t = DMatrix::zeros(count, count);
        for j in 0..count {
            // Column j of T: -tau_j T (V' v_j) above tau_j.
            for i in 0..j {
                t[(i, j)] = -scales[j] * (i..j).map(|k| t[(i, k)] * products[(k, j)]).sum::<f64>();
            }
            t[(j, j)] = scales[j];
        }
        Self { v, t }
    }

    /// Applies them from the left to columns of a matrix, from a row on.
    fn apply_left(&self, matrix: &mut DMatrix<f64>, row: usize, column: usize) {
        on_columns(matrix, row, column, |_, mut part| {
            let small = self.t.transpose() * (self.v.transpose() * &part);
            part.gemm(-1.0, &self.v, &small, 1.0);
        });
    }

    /// Applies them from the right to rows of a matrix, from a column on.
    fn apply_right(&self, matrix: &mut DMatrix<f64>, row: usize, column: usize) {
        let (rows, columns) = matrix.shape();
        let part = matrix.view((row, column), (rows - row, columns - column));
        let of_rows =
            map_blocks(rows - row, CHUNK, |range| (part.rows(range.start, range.len()) * &self.v) * &self.t);
        let mut small = DMatrix::zeros(rows - row, self.v.ncols());
        for (number, found) in of_rows.into_iter().enumerate() {
            small.rows_mut(number * CHUNK, found.nrows()).copy_from(&found);
        }
        on_columns(matrix, row, column, |first, mut part| {
            part.gemm(-1.0, &small, &self.v.rows(first, part.ncols()).transpose(), 1.0);
        });
    }
}

/// `work` on all threads on what lies below a row, and right of a column, of some columns of a matrix; the number of the first,
/// counted from that column.
fn on_columns(
    matrix: &mut DMatrix<f64>,
    row: usize,
    column: usize,
    work: impl Fn(usize, DMatrixViewMut<'_, f64>) + Sync,
) {
    let rows = matrix.nrows();
    on_chunks(&mut matrix.as_mut_slice()[column * rows..], CHUNK * rows, |number, chunk| {
        let columns = chunk.len() / rows;
        let mut chunk = DMatrixViewMut::from_slice(chunk, rows, columns);
        // A view of a view keeps the distance between columns.
        work(number * CHUNK, chunk.rows_range_mut(row..));
    });
}

/// An upper band: entry (r, c) for r - 1 <= c <= r + BAND + 1, which leaves room for one entry beyond either border.
struct Band {
    size: usize,
    values: Vec<f64>,
}

impl Band {
    const WIDTH: usize = BAND + 3;

    fn at(row: usize, column: usize) -> usize {
        row * Self::WIDTH + column + 1 - row
    }

    /// Turns columns c - 1 and c, of rows from `first` on, so that entry (first, c) becomes 0; entry (c, c - 1) fills.
    fn turn_columns(&mut self, first: usize, c: usize) {
        let (cos, sin) = rotation(self.values[Self::at(first, c - 1)], self.values[Self::at(first, c)]);
        for row in first..=c {
            let at = Self::at(row, c - 1);
            let [x, y] = [self.values[at], self.values[at + 1]];
            [self.values[at], self.values[at + 1]] = [cos * x + sin * y, cos * y - sin * x];
        }
        self.values[Self::at(first, c)] = 0.0;
    }

    /// Turns rows r - 1 and r so that entry (r, r - 1) becomes 0; entry (r - 1, r + BAND) fills.
    fn turn_rows(&mut self, r: usize) {
        let (cos, sin) = rotation(self.values[Self::at(r - 1, r - 1)], self.values[Self::at(r, r - 1)]);
        let (upper, lower) =
            self.values[(r - 1) * Self::WIDTH..(r + 1) * Self::WIDTH].split_at_mut(Self::WIDTH);
        // Column r - 1 is the second place of row r - 1 and the first of row r.
        for (x, y) in upper[1..].iter_mut().zip(lower) {
            [*x, *y] = [cos * *x + sin * *y, cos * *y - sin * *x];
        }
        self.values[Self::at(r, r - 1)] = 0.0;
    }
}

/// cos and sin with (x, y) turned to (hypot, 0).
fn rotation(x: f64, y: f64) -> (f64, f64) {
    let length = x.hypot(y);
    if length == 0.0 { (1.0, 0.0) } else { (x / length, y / length) }
}

/// Takes a matrix of at least as many rows as columns to an upper band: columns of a block to upper triangular form, then
/// their rows, beyond the block, to lower triangular form, in turns.
fn band(mut matrix: DMatrix<f64>) -> Band {
    let (rows, size) = matrix.shape();
    let mut values = vec![0.0; size * Band::WIDTH];
    for first in (0..size).step_by(BAND) {
        let next = (first + BAND).min(size);
        let mut block = matrix.view((first, first), (rows - first, next - first)).into_owned();
        let reflections = Reflections::of(&mut block);
        for (i, j) in (0..next - first).flat_map(|j| (0..=j).map(move |i| (i, j))) {
            values[Band::at(first + i, first + j)] = block[(i, j)];
        }
        if next == size {
            break;
        }
        reflections.apply_left(&mut matrix, first, next);
        let mut turned = matrix.view((first, next), (next - first, size - next)).transpose();
        let reflections = Reflections::of(&mut turned);
        for (i, j) in (0..next - first).flat_map(|i| (0..=i.min(size - next - 1)).map(move |j| (i, j))) {
            values[Band::at(first + i, next + j)] = turned[(j, i)];
        }
        reflections.apply_right(&mut matrix, next, next);
    }
    Band { size, values }
}

/// Takes a band to a bidiagonal matrix: row by row the entries beyond the first superdiagonal, from the outermost; each
/// rotation moves an entry over the border, which is chased down the band and out.
fn bidiagonal(band: &mut Band) -> (Vec<f64>, Vec<f64>) {
    let size = band.size;
    for row in 0..size {
        for offset in (2..=BAND.min(size - 1 - row)).rev() {
            let (mut first, mut column) = (row, row + offset);
            while column < size {
                if band.values[Band::at(first, column)] != 0.0 {
                    band.turn_columns(first, column);
                    band.turn_rows(column);
                }
                (first, column) = (column - 1, column + BAND);
            }
        }
    }
    let diagonal = (0..size).map(|i| band.values[Band::at(i, i)]).collect();
    (diagonal, (1..size).map(|i| band.values[Band::at(i - 1, i)]).collect())
}

/// The singular values of a bidiagonal matrix. Beside their negatives they are the eigenvalues of the symmetric matrix with
/// zeros on the diagonal and d1, e1, d2, e2, .., dn beside it (Golub and Kahan 1965); how many of these are below x is
/// how many pivots of its L D L' less x are negative, by which each is bisected (Demmel and Kahan 1990, section 4).
fn bidiagonal_values(diagonal: &[f64], above: &[f64]) -> Vec<f64> {
    let size = diagonal.len();
    let mut beside = Vec::with_capacity(2 * size - 1);
    for (i, d) in diagonal.iter().enumerate() {
        beside.push(*d);
        beside.extend(above.get(i));
    }
    let largest = beside.iter().fold(0.0f64, |m, b| m.max(b.abs()));
    if largest == 0.0 {
        return vec![0.0; size];
    }
    // In units of the largest entry: no square is lost, and rows sum to 2 at most.
    let squares: Vec<f64> = beside.iter().map(|b| (b / largest) * (b / largest)).collect();
    let part = |range: std::ops::Range<usize>| {
        let (mut low, mut high) = ([0.0f64; LANES], [2.0f64; LANES]);
        // Eigenvalue size + i, counted from the least: value i from the least.
        let wanted: [f64; LANES] = std::array::from_fn(|lane| (size + range.start + lane) as f64);
        for _ in 0..54 {
            let middle: [f64; LANES] = std::array::from_fn(|lane| 0.5 * (low[lane] + high[lane]));
            let below = below(&squares, &middle);
            for lane in 0..LANES {
                if below[lane] > wanted[lane] {
                    high[lane] = middle[lane];
                } else {
                    low[lane] = middle[lane];
                }
            }
        }
        (0..range.len()).map(|lane| 0.5 * largest * (low[lane] + high[lane])).collect::<Vec<f64>>()
    };
    // A few values are found sooner than threads are started.
    let found = if size < FEW {
        (0..size).step_by(LANES).map(|i| part(i..(i + LANES).min(size))).collect()
    } else {
        map_blocks(size, LANES, part)
    };
    found.concat()
}

/// How many eigenvalues of the matrix with zeros on the diagonal are below each x, by squares of the entries beside it.
fn below(squares: &[f64], x: &[f64; LANES]) -> [f64; LANES] {
    let mut pivots = x.map(|x| -x);
    let mut count = pivots.map(|pivot| if pivot < 0.0 { 1.0 } else { 0.0 });
    for square in squares {
        for lane in 0..LANES {
            let pivot = -x[lane] - square / pivots[lane];
            // A pivot of 0, of an x that is a value itself, is one just below 0.
            pivots[lane] = if pivot.abs() < f64::MIN_POSITIVE { -f64::MIN_POSITIVE } else { pivot };
            count[lane] += if pivots[lane] < 0.0 { 1.0 } else { 0.0 };
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    fn noise(seed: u64, rows: usize, columns: usize) -> DMatrix<f64> {
        let mut random = Random::new(seed);
        DMatrix::from_fn(rows, columns, |_, _| random.normal())
    }

    fn one_stage(matrix: &DMatrix<f64>) -> f64 {
        matrix.clone().singular_values().iter().sum()
    }

    #[test]
    fn it_is_the_sum_of_the_singular_values_at_every_size() {
        for (rows, columns) in [
            (1, 1),
            (1, 5),
            (2, 2),
            (7, 3),
            (32, 32),
            (33, 33),
            (40, 65),
            (64, 64),
            (63, 64),
            (97, 95),
            (150, 40),
            (200, 200),
        ] {
            let matrix = noise(3, rows, columns);
            let expected = one_stage(&matrix);
            let found = nuclear_norm(matrix);
            assert!((found / expected - 1.0).abs() < 1e-12, "{rows}x{columns}: {found} {expected}");
        }
        assert_eq!(nuclear_norm(DMatrix::zeros(0, 3)), 0.0);
        assert_eq!(nuclear_norm(DMatrix::zeros(50, 40)), 0.0);
    }

    #[test]
    fn closed_forms() {
        // Known values, turned from both sides; some of them 0, equal, or far apart.
        let size = 120;
        let values = DVector::from_fn(size, |i, _| match i % 4 {
            0 => 0.0,
            1 => 5.0,
            2 => 1e-9 * i as f64,
            _ => 100.0 / (1.0 + i as f64),
        });
        let turned = |values: &DVector<f64>| {
            noise(1, size, size).qr().q() * DMatrix::from_diagonal(values) * noise(2, size, size).qr().q()
        };
        let expected = values.sum();
        assert!((nuclear_norm(turned(&values)) / expected - 1.0).abs() < 1e-13);
        // Rank one: |a| |b|.
        let (a, b) = (noise(5, 77, 1), noise(6, 60, 1));
        let found = nuclear_norm(&a * b.transpose());
        assert!((found / (a.norm() * b.norm()) - 1.0).abs() < 1e-13, "{found}");
        // The wrong twin, the trace of the absolute diagonal, is far off.
        let twin: f64 = turned(&values).diagonal().iter().map(|d| d.abs()).sum();
        assert!((twin / expected - 1.0).abs() > 0.1);
    }

    #[test]
    fn values_of_a_bidiagonal_matrix_are_found_to_the_last_digits() {
        // d = 1, e = 1: 2 cos(pi k / (2 n + 1)), the values of Strang's difference matrix.
        let n = 37;
        let mut found = bidiagonal_values(&vec![1.0; n], &vec![1.0; n - 1]);
        found.sort_by(f64::total_cmp);
        for (k, value) in found.iter().rev().enumerate() {
            let expected = 2.0 * (std::f64::consts::PI * (k + 1) as f64 / (2 * n + 1) as f64).cos();
            assert!((value - expected).abs() < 1e-15, "{k}: {value} {expected}");
        }
    }
}
