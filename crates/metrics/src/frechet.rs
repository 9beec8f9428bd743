//! The Frechet distance between Gaussians fitted to two sets of features (Dowson and Landau 1982, equation 4; Heusel et
//! al. 2017, equation 6, with Inception's features: FID).
//!
//! |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), with sample covariances (divisor N - 1). With any factors S = F F', the
//! products S1 S2 = F1 F1' F2 F2' and (F1' F2)(F1' F2)' have the same eigenvalues other than 0, so the trace of the root
//! is the sum of the singular values of F1' F2, its nuclear norm. No root of a matrix that is not symmetric is taken,
//! nothing is added to the diagonal, and covariances of any rank are right: of few samples the factor is the centred
//! samples themselves over sqrt(N - 1).

use crate::blocks::map_blocks;
use crate::error::{MetricError, check};
use crate::features::{Features, check_rows};
use crate::singular::nuclear_norm;
use crate::stats::{Interval, Moments, Random};
use ganymede_kernels::double::{Strided, product};
use ganymede_kernels::isa::Isa;
use nalgebra::{DMatrix, DMatrixView, DVector};

/// Rows that are added to the scatter at once: fixed, so that a fit does not depend on how rows are handed in.
const BLOCK: usize = 2048;
/// Dimensions of either side of a tile of the scatter.
const TILE: usize = 512;
/// Columns of Cholesky's factor that are found at once.
const STEP: usize = 64;
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
    /// Sum of (x - mean)(x - mean)' over those rows; none as long as there are at most as many rows as dimensions.
    scatter: Option<DMatrix<f64>>,
    /// Rows that are not folded in yet.
    pending: Vec<f64>,
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
        Ok(Self { dimensions, folded: 0, mean, scatter: None, pending: Vec::new() })
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
        self.pending.extend_from_slice(rows);
        // Up to as many rows as dimensions they are a smaller factor than their scatter, and an exact one.
        let keep = if self.scatter.is_some() { 0 } else { self.dimensions };
        if self.pending.len() > keep * self.dimensions {
            let whole = self.pending.len() / (BLOCK * self.dimensions) * BLOCK;
            self.fold(whole);
        }
        Ok(())
    }

    /// Folds the first so many pending rows in, a block at a time.
    fn fold(&mut self, rows: usize) {
        let pending = std::mem::take(&mut self.pending);
        let (now, later) = pending.split_at(rows * self.dimensions);
        now.chunks(BLOCK * self.dimensions).for_each(|block| self.fold_block(block));
        self.pending = later.to_vec();
    }

    /// Two sets of n and b rows with means m and c have the scatter S + B + (c - m)(c - m)' n b / (n + b) together (Chan,
    /// Golub and LeVeque 1979, equation 2.1).
    fn fold_block(&mut self, rows: &[f64]) {
        let (mean, centred) = centred(rows, self.dimensions);
        let count = centred.ncols();
        let (n, b) = (self.folded as f64, count as f64);
        let between = (&mean - &self.mean) * (n * b / (n + b)).sqrt();
        let scatter = self.scatter.get_or_insert_with(|| DMatrix::zeros(self.dimensions, self.dimensions));
        add_scatter(scatter, &centred);
        scatter.ger(1.0, &between, &between, 1.0);
        self.mean += (mean - &self.mean) * (b / (n + b));
        self.folded += count;
    }

    /// The Gaussian of the rows so far.
    ///
    /// # Errors
    /// Fewer than two rows.
    pub fn finish(mut self) -> Result<Gaussian, MetricError> {
        let samples = self.samples();
        if samples < 2 {
            return Err(MetricError::TooFew { what: "the Frechet distance", needed: 2, got: samples });
        }
        let divisor = ((samples - 1) as f64).sqrt();
        if self.scatter.is_none() && samples <= self.dimensions {
            let (mean, centred) = centred(&self.pending, self.dimensions);
            return Ok(Gaussian { samples, mean, factor: centred / divisor });
        }
        self.fold(self.pending.len() / self.dimensions);
        let scatter = self.scatter.unwrap_or_else(|| DMatrix::zeros(self.dimensions, self.dimensions));
        Ok(Gaussian { samples, mean: self.mean, factor: factor(&scatter)? / divisor })
    }
}

/// Adds X X', tile by tile on all threads; tiles below the diagonal are those above it turned over.
fn add_scatter(scatter: &mut DMatrix<f64>, x: &DMatrix<f64>) {
    let d = x.nrows();
    let blocks = d.div_ceil(TILE);
    let block = |i: usize| (i * TILE, TILE.min(d - i * TILE));
    let tiles: Vec<(usize, usize)> = (0..blocks).flat_map(|i| (i..blocks).map(move |j| (i, j))).collect();
    let found = map_blocks(tiles.len(), 1, |tile| {
        let ((i, height), (j, width)) = (block(tiles[tile.start].0), block(tiles[tile.start].1));
        let count = x.ncols();
        let left = Strided { words: &x.as_slice()[i..], size: [height, count], row: 1, column: d };
        let right = Strided { words: &x.as_slice()[j..], size: [count, width], row: d, column: 1 };
        DMatrix::from_vec(height, width, product(Isa::best(), left, right))
    });
    for ((i, j), tile) in tiles.into_iter().zip(found) {
        let (i, j) = (i * TILE, j * TILE);
        let mut into = scatter.view_mut((i, j), tile.shape());
        into += &tile;
        if i != j {
            let turned = tile.transpose();
            let mut into = scatter.view_mut((j, i), turned.shape());
            into += turned;
        }
    }
}

/// The mean of rows, and the rows less it as columns.
fn centred(rows: &[f64], dimensions: usize) -> (DVector<f64>, DMatrix<f64>) {
    let mut columns = DMatrixView::from_slice(rows, dimensions, rows.len() / dimensions).into_owned();
    let mean = columns.column_mean();
    columns.column_iter_mut().for_each(|mut column| column -= &mean);
    (mean, columns)
}

/// F with F F' = `scatter`, positive semidefinite: Cholesky's over the features that vary, or the eigenvectors times the
/// roots of the eigenvalues where some feature is a combination of the others to within rounding.
fn factor(scatter: &DMatrix<f64>) -> Result<DMatrix<f64>, MetricError> {
    let d = scatter.nrows();
    // A unit that never fires has variance 0 and no part in the distance.
    let varying: Vec<usize> = (0..d).filter(|&i| scatter[(i, i)] > 0.0).collect();
    let inner = scatter.select_rows(&varying).select_columns(&varying);
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
    let mut factor = DMatrix::zeros(d, small.ncols());
    for (row, &at) in varying.iter().enumerate() {
        factor.set_row(at, &small.row(row));
    }
    Ok(factor)
}

/// L with L L' the matrix, if it is positive definite, block by block: the bulk of it is matrix products, which do not wait for
/// memory as a factor column by column does.
fn cholesky(mut matrix: DMatrix<f64>) -> Option<DMatrix<f64>> {
    let size = matrix.nrows();
    for first in (0..size).step_by(STEP) {
        let next = (first + STEP).min(size);
        let (width, rest) = (next - first, size - next);
        let corner = matrix.view((first, first), (width, width)).into_owned().cholesky()?.l();
        if rest > 0 {
            // Below the corner L satisfies X L' = A, and what it explains is taken off the rest.
            let below = matrix.view((next, first), (rest, width));
            let turned = corner.solve_lower_triangular(&below.transpose())?;
            let below = turned.transpose();
            matrix.view_mut((next, next), (rest, rest)).gemm(-1.0, &below, &turned, 1.0);
            matrix.view_mut((next, first), (rest, width)).copy_from(&below);
            matrix.view_mut((first, next), (width, rest)).fill(0.0);
        }
        matrix.view_mut((first, first), (width, width)).copy_from(&corner);
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
        let root = nuclear_norm(self.factor.transpose() * &other.factor);
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

/// The distance with an interval of confidence `level` for its sampling error: the estimate +- the normal quantile times
/// the deviation of the distances between sets drawn from both with replacement (Efron 1979), not below 0.
///
/// Centred on the estimate, since sets drawn with replacement repeat samples and are farther apart on average than those
/// they come from: their quantiles would lie above it. The interval says nothing of the estimate's own bias, which falls
/// like 1/N.
///
/// # Errors
/// As [`frechet_distance`]; fewer than two resamples, a level outside (0, 1).
pub fn frechet_interval(
    a: &Features,
    b: &Features,
    resamples: usize,
    level: f64,
) -> Result<Interval, MetricError> {
    let estimate = frechet_distance(a, b)?;
    let quantile = normal_quantile(level)?;
    if resamples < 2 {
        let what = "a bootstrap interval (resamples)";
        return Err(MetricError::TooFew { what, needed: 2, got: resamples });
    }
    let drawn = |seed: u64, set: &Features| {
        let mut random = Random::new(seed);
        set.select((0..set.rows()).map(|_| random.below(set.rows())))
    };
    let one = |range: std::ops::Range<usize>| {
        let seed = range.start as u64;
        // Streams far apart for the two sets.
        frechet_distance(&drawn(0x6672_6563 + (seed << 33), a), &drawn(0x6865_7400 + (seed << 34), b))
    };
    let moments: Moments = map_blocks(resamples, 1, one).into_iter().collect::<Result<_, _>>()?;
    let half = quantile * moments.variance().unwrap_or(0.0).sqrt();
    Ok(Interval { estimate, low: (estimate - half).max(0.0), high: estimate + half })
}

/// z with probability `level` between -z and z, by bisection of the normal law's tail: P(|Z| > z) = erfc(z / sqrt 2).
fn normal_quantile(level: f64) -> Result<f64, MetricError> {
    check("the level of interval", [level], "a number between 0 and 1", |level| level > 0.0 && level < 1.0)?;
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if within(middle) < level { low = middle } else { high = middle }
    }
    Ok(0.5 * (low + high))
}

/// P(|Z| <= z): the integral of the density over [-z, z] by Simpson's rule, exact to rounding with this many steps.
fn within(z: f64) -> f64 {
    const STEPS: usize = 2000;
    let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    let h = z / STEPS as f64;
    let inner = |i: usize| if i % 2 == 1 { 4.0 } else { 2.0 } * density(i as f64 * h);
    2.0 * h / 3.0 * (density(0.0) + density(z) + (1..STEPS).map(inner).sum::<f64>())
}
