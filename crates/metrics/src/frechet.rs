//! The Frechet distance between Gaussians fitted to two sets of features (Dowson and Landau 1982, equation 4; Heusel et
//! al. 2017, equation 6, with Inception's features: FID).
//!
//! |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), with sample covariances (divisor N - 1). With any factors S = F F', the
//! products S1 S2 = F1 F1' F2 F2' and (F1' F2)(F1' F2)' have the same eigenvalues other than 0, so the trace of the root
//! is the sum of the singular values of F1' F2, its nuclear norm. No root of a matrix that is not symmetric is taken,
//! nothing is added to the diagonal, and covariances of any rank are right: of few samples the factor is the centred
//! samples themselves over sqrt(N - 1).

use crate::blocks::{Squares, map_blocks, multiply, multiply_shared, on_chunks, strided};
use crate::error::MetricError;
use crate::features::{Features, check_rows};
use crate::singular::nuclear_norm;
use ganymede_kernels::double::Strided;
use nalgebra::{DMatrix, DVector};
use std::ops::Range;

/// Rows that are added to the scatter at once: fixed, so that a fit does not depend on how rows are handed in.
const BLOCK: usize = 2048;
/// Words of rows that a thread centres at once: fewer are centred sooner than a thread is started.
const CHUNK: usize = 1 << 18;
/// Columns of Cholesky's factor that are found at once.
pub(crate) const STEP: usize = 64;
/// Rows of these that are found at once.
const ROWS: usize = 256;
/// Below this share of its variance that other features do not explain, a feature counts as depending on them.
const DEPENDENT: f64 = 1e-9;
/// Sweeps that an eigenvalue may take on average, before the decomposition counts as failed.
const SWEEPS: usize = 1000;

/// Mean and covariance of a stream of rows, in one pass.
#[derive(Clone, Debug)]
pub struct GaussianFit {
    dimensions: usize,
    /// Rows that are in `mean` and `scatter`.
    folded: usize,
    mean: DVector<f64>,
    /// Sum of (x - mean)(x - mean)' over those rows; none before the first block is full, nor where rows are as few as
    /// dimensions.
    scatter: Option<Squares>,
    /// Rows that are not folded in yet.
    pending: Vec<f64>,
    /// Where a block is centred, kept from one to the next.
    block: Vec<f64>,
}

/// A fitted Gaussian.
#[derive(Clone, Debug)]
pub struct Gaussian {
    samples: usize,
    mean: DVector<f64>,
    /// F, `[dimensions, rank]` or wider, with F F' the covariance.
    factor: DMatrix<f64>,
}

impl GaussianFit {
    /// No rows yet, of so many dimensions.
    ///
    /// # Errors
    /// No dimensions.
    pub fn new(dimensions: usize) -> Result<Self, MetricError> {
        Features::empty(dimensions)?;
        let mean = DVector::zeros(dimensions);
        Ok(Self { dimensions, folded: 0, mean, scatter: None, pending: Vec::new(), block: Vec::new() })
    }

    /// Rows so far.
    pub fn samples(&self) -> usize {
        self.folded + self.pending.len() / self.dimensions
    }

    /// Adds rows one after the other, row-major.
    ///
    /// # Errors
    /// A length that is no multiple of the dimensions, a value that is not finite.
    pub fn push(&mut self, rows: &[f64]) -> Result<(), MetricError> {
        check_rows(rows, self.dimensions, self.samples())?;
        // Up to as many rows as dimensions they are a smaller factor than their scatter, and an exact one.
        let keep = if self.scatter.is_some() { 0 } else { self.dimensions };
        if self.pending.len() + rows.len() <= keep * self.dimensions {
            self.pending.extend_from_slice(rows);
            return Ok(());
        }
        let block = BLOCK * self.dimensions;
        // Pending rows begin a block, or several of them where dimensions are many; what follows is folded where it lies.
        let missing = (self.pending.len().next_multiple_of(block) - self.pending.len()).min(rows.len());
        let (fill, rows) = rows.split_at(missing);
        self.pending.extend_from_slice(fill);
        let mut pending = std::mem::take(&mut self.pending);
        let whole = pending.len() / block * block;
        pending[..whole].chunks_exact(block).for_each(|block| self.fold_block(block));
        let blocks = rows.chunks_exact(block);
        pending.drain(..whole);
        pending.extend_from_slice(blocks.remainder());
        blocks.for_each(|block| self.fold_block(block));
        self.pending = pending;
        Ok(())
    }

    /// Two sets of n and b rows with means m and c have the scatter S + B + (c - m)(c - m)' n b / (n + b) together (Chan,
    /// Golub and LeVeque 1979, equation 2.1).
    fn fold_block(&mut self, rows: &[f64]) {
        let d = self.dimensions;
        let count = rows.len() / d;
        // One row more: the third term, which is a square as the others are.
        self.block.resize((count + 1) * d, 0.0);
        let (centred, between) = self.block.split_at_mut(count * d);
        let mean = centre(rows, d, centred);
        let (n, b) = (self.folded as f64, count as f64);
        let root = (n * b / (n + b)).sqrt();
        for (between, (new, old)) in between.iter_mut().zip(mean.iter().zip(&mut self.mean)) {
            *between = (new - *old) * root;
            *old += (new - *old) * (b / (n + b));
        }
        let columns = Strided { words: &self.block, size: [d, count + 1], row: 1, column: d };
        self.scatter.get_or_insert_with(|| Squares::new(d)).add(columns);
        self.folded += count;
    }

    /// The Gaussian of the rows so far.
    ///
    /// # Errors
    /// Fewer than two rows.
    pub fn finish(self) -> Result<Gaussian, MetricError> {
        let (samples, mean, spread) = self.spread()?;
        let divisor = ((samples - 1) as f64).sqrt();
        let factor = match spread {
            Spread::Rows(rows) => rows,
            Spread::Scatter(scatter) => factor(scatter)?,
        };
        Ok(Gaussian { samples, mean, factor: factor / divisor })
    }

    /// How many rows there are, their mean, and what they are about it.
    pub(crate) fn spread(mut self) -> Result<(usize, DVector<f64>, Spread), MetricError> {
        let samples = self.samples();
        if samples < 2 {
            return Err(MetricError::TooFew { what: "the Frechet distance", needed: 2, got: samples });
        }
        if self.scatter.is_none() && samples <= self.dimensions {
            let mut rows = DMatrix::zeros(self.dimensions, samples);
            let mean = centre(&self.pending, self.dimensions, rows.as_mut_slice());
            return Ok((samples, mean, Spread::Rows(rows)));
        }
        let pending = std::mem::take(&mut self.pending);
        pending.chunks(BLOCK * self.dimensions).for_each(|block| self.fold_block(block));
        let scatter = self.scatter.unwrap_or_else(|| Squares::new(self.dimensions)).whole();
        Ok((samples, self.mean, Spread::Scatter(scatter)))
    }
}

/// Rows about their mean.
pub(crate) enum Spread {
    /// The rows less it, as columns: at most as many as dimensions.
    Rows(DMatrix<f64>),
    /// The sum of (x - mean)(x - mean)'.
    Scatter(DMatrix<f64>),
}

/// The mean of rows, which are given less it.
fn centre(rows: &[f64], dimensions: usize, into: &mut [f64]) -> DVector<f64> {
    let count = rows.len() / dimensions;
    let some = (CHUNK / dimensions).max(1);
    let sums = map_blocks(count, some, |range| {
        let mut sum = DVector::zeros(dimensions);
        for row in rows[range.start * dimensions..range.end * dimensions].chunks_exact(dimensions) {
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        sum
    });
    let mut mean = DVector::zeros(dimensions);
    sums.iter().for_each(|sum| mean += sum);
    mean /= count as f64;
    on_chunks(into, some * dimensions, |number, chunk| {
        let rows = rows[number * some * dimensions..].chunks_exact(dimensions);
        for (into, row) in chunk.chunks_exact_mut(dimensions).zip(rows) {
            into.iter_mut().zip(row.iter().zip(&mean)).for_each(|(into, (value, mean))| *into = value - mean);
        }
    });
    mean
}

/// F with F F' = `scatter`, positive semidefinite: Cholesky's over the features that vary, or the eigenvectors times the
/// roots of the eigenvalues where some feature is a combination of the others to within rounding.
fn factor(scatter: DMatrix<f64>) -> Result<DMatrix<f64>, MetricError> {
    let d = scatter.nrows();
    // A unit that never fires has variance 0 and no part in the distance.
    let varying: Vec<usize> = (0..d).filter(|&i| scatter[(i, i)] > 0.0).collect();
    let all = varying.len() == d;
    let inner = if all { scatter } else { scatter.select_rows(&varying).select_columns(&varying) };
    let triangle = cholesky(inner.clone());
    let sound = |l: &DMatrix<f64>| (0..l.nrows()).all(|i| l[(i, i)].powi(2) > DEPENDENT * inner[(i, i)]);
    let small = match triangle.filter(sound) {
        Some(triangle) => triangle,
        None => {
            let most = SWEEPS * varying.len();
            let eigen = inner.try_symmetric_eigen(f64::EPSILON, most).ok_or(MetricError::NotConverged)?;
            let largest = eigen.eigenvalues.iter().fold(0.0f64, |m, &v| m.max(v));
            // What rounding leaves of an eigenvalue 0 is at most this; its root would be far larger.
            let floor = largest * varying.len() as f64 * f64::EPSILON;
            let mut vectors = eigen.eigenvectors;
            for (mut column, &value) in vectors.column_iter_mut().zip(&eigen.eigenvalues) {
                column *= if value > floor { value.sqrt() } else { 0.0 };
            }
            vectors
        }
    };
    if all {
        return Ok(small);
    }
    let mut factor = DMatrix::zeros(d, small.ncols());
    for (row, &at) in varying.iter().enumerate() {
        factor.set_row(at, &small.row(row));
    }
    Ok(factor)
}

/// L with L L' the matrix, if it is positive definite, a block of columns at a time, from what columns to their left
/// explain (left-looking, Golub and Van Loan, section 4.2.9): the bulk of it is products of long rows, shared among threads.
pub(crate) fn cholesky(mut matrix: DMatrix<f64>) -> Option<DMatrix<f64>> {
    let size = matrix.nrows();
    for first in (0..size).step_by(STEP) {
        let next = (first + STEP).min(size);
        let width = next - first;
        // Rows of the block less what is explained, where L X' = A' with the corner's L.
        let left = strided(&matrix).turned().rows(0..first).turned();
        let unexplained = |rows: Range<usize>| {
            let mut part = matrix.view((rows.start, first), (rows.len(), width)).into_owned();
            if first > 0 {
                part -= multiply(left.rows(rows), left.rows(first..next).turned());
            }
            part
        };
        let corner = unexplained(first..next).cholesky()?.l();
        let below = map_blocks(size - next, ROWS, |range| {
            let part = unexplained(next + range.start..next + range.end);
            corner.solve_lower_triangular(&part.transpose()).map(|turned| turned.transpose())
        });
        matrix.view_mut((0, first), (first, width)).fill(0.0);
        matrix.view_mut((first, first), (width, width)).copy_from(&corner);
        for (part, row) in below.into_iter().zip((next..size).step_by(ROWS)) {
            let part = part?;
            matrix.view_mut((row, first), part.shape()).copy_from(&part);
        }
    }
    Some(matrix)
}

impl Gaussian {
    /// The Gaussian of a set of features.
    ///
    /// # Errors
    /// Fewer than two samples.
    pub fn of(features: &Features) -> Result<Self, MetricError> {
        let mut fit = GaussianFit::new(features.dimensions())?;
        fit.push(features.values())?;
        fit.finish()
    }

    /// Samples that it was fitted to.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Dimensions of the features.
    pub fn dimensions(&self) -> usize {
        self.mean.len()
    }

    /// The mean.
    pub fn mean(&self) -> &[f64] {
        self.mean.as_slice()
    }

    /// F with F F' the covariance, `[rank, dimensions]` row-major (columns of F one after the other).
    pub fn factor(&self) -> &[f64] {
        self.factor.as_slice()
    }

    /// From what [`Gaussian::mean`] and [`Gaussian::factor`] said.
    ///
    /// # Errors
    /// No dimensions, a factor of rows of other dimensions, values that are not finite, fewer than two samples.
    pub fn from_factor(samples: usize, mean: Vec<f64>, factor: Vec<f64>) -> Result<Self, MetricError> {
        let dimensions = mean.len();
        Features::empty(dimensions)?;
        check_rows(&mean, dimensions, 0)?;
        check_rows(&factor, dimensions, 0)?;
        if samples < 2 {
            return Err(MetricError::TooFew { what: "the Frechet distance", needed: 2, got: samples });
        }
        let factor = DMatrix::from_vec(dimensions, factor.len() / dimensions, factor);
        Ok(Self { samples, mean: DVector::from_vec(mean), factor })
    }

    /// The covariance, divisor N - 1, `[dimensions, dimensions]`.
    pub fn covariance(&self) -> Vec<f64> {
        (&self.factor * self.factor.transpose()).as_slice().to_vec()
    }

    /// The Frechet distance to another, in squared units of the features; 0 for equal ones, within rounding of the sum
    /// of both traces.
    ///
    /// # Errors
    /// Other dimensions.
    pub fn distance(&self, other: &Self) -> Result<f64, MetricError> {
        let (expected, got) = (self.dimensions(), other.dimensions());
        if expected != got {
            return Err(MetricError::Length {
                what: "dimensions of the second set's features",
                expected,
                got,
            });
        }
        let between = (&self.mean - &other.mean).norm_squared();
        let traces = self.factor.norm_squared() + other.factor.norm_squared();
        let root = nuclear_norm(multiply_shared(strided(&self.factor).turned(), strided(&other.factor)));
        // It is a squared distance; rounding alone makes it negative.
        Ok((between + traces - 2.0 * root).max(0.0))
    }
}

/// The Frechet distance between two sets.
///
/// # Errors
/// Fewer than two samples in either, or different dimensions.
pub fn frechet_distance(a: &Features, b: &Features) -> Result<f64, MetricError> {
    a.check_alike(b)?;
    Gaussian::of(a)?.distance(&Gaussian::of(b)?)
}
