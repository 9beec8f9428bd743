//! How far a Frechet distance may be off by chance: from how much each sample moves it.
//!
//! The distance of two laws changes by (1 / n) sum_i I(x_i) to first order when n samples stand for a law, so that its variance
//! is Var I / n from either side (Hampel 1974; Efron 1982, chapter 6, the infinitesimal jackknife). The derivative of the
//! nuclear norm |F1' F2| along E is tr Q' E, with Q the orthogonal polar factor of F1' F2 = Q H, which makes
//!
//! I(x) = 2 (m1 - m2)'(x - m1) + n / (n - 1) (|x - m1|^2 - z' H1 z), F1 z = x - m1, H1 = F1' F2 Q',
//!
//! less its mean over the samples: z' H1 z is (x - m1)' T (x - m1) for the map T that carries the first Gaussian to the second (Rippl,
//! Munk and Sturm 2016). Of laws that are nearly equal what is left out, of second order, counts: the jackknife's variance
//! holds it twice (Efron and Stein 1981), so that errors come out up to a root of two too large. Of few samples they come
//! out too small: of a variance of n numbers by a share 1 / (n - 1) of the square. It costs what a few distances cost, where
//! resamples are as many as are drawn; and sets drawn with replacement repeat samples, which spreads distances of few samples far
//! more than chance does (`cargo run --release -p ganymede-metrics --example intervals`).

use crate::blocks::{Squares, map_blocks, multiply, multiply_shared, rows, strided};
use crate::error::MetricError;
use crate::features::Features;
use crate::frechet::{GaussianFit, STEP, Spread, cholesky};
use crate::stats::{Interval, Moments, normal_quantile};
use nalgebra::{DMatrix, DVector};

/// Samples of either side below which there is no interval: of 20 one-dimensional ones whose laws are far apart errors are a twentieth
/// too small, of 10 an eighth, of 2 there is none.
pub const FEWEST: usize = 20;
/// What is added to a scatter's diagonal, of the mean of that: features that depend on others get a variance, 1e-4 of
/// a deviation each, which the influence does not show.
const RIDGE: f64 = 1e-8;
/// Samples whose influence a thread finds at once.
const SOME: usize = 256;
/// Singular values below this share of the root of the sum of squares of all are left to the last iterations.
const SMALL: f64 = 1e-4;
/// The share by which tr Q'G may still grow at the end.
const GROWTH: f64 = 1e-6;
/// Iterations at most: the nuclear norm is known to a share well before.
const MOST: usize = 100;

/// How much each sample of two sets moves the Frechet distance between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Influence {
    /// Of the first set's samples, with mean 0.
    pub first: Vec<f64>,
    /// Of the second's.
    pub second: Vec<f64>,
}

/// The influence of each sample on the distance between two sets.
///
/// # Errors
/// Fewer than two samples in either, different dimensions; a covariance that is not positive definite for all its ridge.
pub fn influence(a: &Features, b: &Features) -> Result<Influence, MetricError> {
    a.check_alike(b)?;
    let (a, b) = (Side::of(a)?, Side::of(b)?);
    let product = multiply_shared(strided(&a.factor).turned(), strided(&b.factor));
    let polar = polar(&product);
    // H1 = G Q', H2 = Q' G = G' Q, for G = Q H.
    let of_a = multiply_shared(strided(&product), strided(&polar).turned());
    let of_b = multiply_shared(strided(&product).turned(), strided(&polar));
    Ok(Influence { first: a.influence(&b.mean, &of_a), second: b.influence(&a.mean, &of_b) })
}

impl Influence {
    /// The standard error of the distance.
    pub fn error(&self) -> f64 {
        self.error_for(1.0 / self.second.len() as f64)
    }

    /// The interval of confidence `level` for the distance's sampling error: the distance +- the normal quantile times its standard error,
    /// not below 0. It says nothing of the distance's own bias, which falls like 1/N.
    ///
    /// # Errors
    /// A level outside (0, 1).
    pub fn interval(&self, distance: f64, level: f64) -> Result<Interval, MetricError> {
        Ok(Interval::about(distance, normal_quantile(level)? * self.error()))
    }

    /// The standard error of a sum of distances in which each sample of the second set has such a weight, not 1 / n.
    ///
    /// # Errors
    /// Not as many weights as samples.
    pub fn error_weighted(&self, weights: &[f64]) -> Result<f64, MetricError> {
        let (expected, got) = (self.second.len(), weights.len());
        if expected != got {
            return Err(MetricError::Length { what: "weights of samples", expected, got });
        }
        Ok(self.error_for(weights.iter().map(|weight| weight * weight).sum()))
    }

    /// For the sum of the squares of the second set's weights.
    fn error_for(&self, squares: f64) -> f64 {
        let variance = |of: &[f64]| of.iter().copied().collect::<Moments>().variance().unwrap_or(0.0);
        (variance(&self.first) / self.first.len() as f64 + variance(&self.second) * squares).sqrt()
    }
}

/// A set, its mean, and F with F F' its covariance.
struct Side<'a> {
    set: &'a Features,
    mean: DVector<f64>,
    factor: DMatrix<f64>,
    /// Whether F is the centred samples over sqrt(n - 1), and no triangle.
    of_samples: bool,
}

impl<'a> Side<'a> {
    fn of(set: &'a Features) -> Result<Self, MetricError> {
        let mut fit = GaussianFit::new(set.dimensions())?;
        fit.push(set.values())?;
        let (samples, mean, spread) = fit.spread()?;
        let root = ((samples - 1) as f64).sqrt();
        let (factor, of_samples) = match spread {
            Spread::Rows(rows) => (rows, true),
            Spread::Scatter(mut scatter) => {
                let ridge = RIDGE * scatter.trace() / mean.len() as f64;
                if ridge > 0.0 {
                    (0..mean.len()).for_each(|i| scatter[(i, i)] += ridge);
                    (cholesky(scatter).ok_or(MetricError::NotConverged)?, false)
                } else {
                    // All samples are the same: nothing moves but the mean, and any z with F z = 0 will do.
                    (DMatrix::zeros(mean.len(), samples), true)
                }
            }
        };
        Ok(Self { set, mean, factor: factor / root, of_samples })
    }

    /// Of each sample, given the other set's mean and H of this side.
    fn influence(&self, other: &DVector<f64>, root: &DMatrix<f64>) -> Vec<f64> {
        let (n, d) = (self.set.rows(), self.mean.len());
        let between = &self.mean - other;
        let scale = n as f64 / (n as f64 - 1.0);
        let parts = map_blocks(n, SOME, |range| {
            let from = rows(self.set).rows(range.clone());
            let mut centred = DMatrix::from_column_slice(d, range.len(), &from.words[..d * range.len()]);
            centred.column_iter_mut().for_each(|mut column| column -= &self.mean);
            let linear: Vec<[f64; 2]> =
                centred.column_iter().map(|x| [2.0 * between.dot(&x), x.norm_squared()]).collect();
            let mapped: Vec<f64> = if self.of_samples {
                // F (sqrt(n - 1) e_i) is the i-th centred sample.
                range.map(|i| (n as f64 - 1.0) * root[(i, i)]).collect()
            } else {
                solve(&self.factor, &mut centred);
                let turned = multiply(strided(root), strided(&centred));
                centred.column_iter().zip(turned.column_iter()).map(|(z, hz)| z.dot(&hz)).collect()
            };
            linear.into_iter().zip(mapped).map(|([m, x], t)| m + scale * (x - t)).collect::<Vec<f64>>()
        });
        let mut found = parts.concat();
        let mean = found.iter().sum::<f64>() / n as f64;
        found.iter_mut().for_each(|value| *value -= mean);
        found
    }
}

/// L^-1 X for a lower triangle, in place of X, a block of rows at a time (Golub and Van Loan, section 3.1.4).
fn solve(triangle: &DMatrix<f64>, columns: &mut DMatrix<f64>) {
    let size = triangle.nrows();
    for first in (0..size).step_by(STEP) {
        let width = STEP.min(size - first);
        if first > 0 {
            let left = strided(triangle).rows(first..first + width).turned().rows(0..first).turned();
            let known = multiply(left, strided(columns).rows(0..first));
            let mut part = columns.rows_mut(first, width);
            part -= known;
        }
        let corner = triangle.view((first, first), (width, width));
        // Its diagonal is above 0, so there is a solution.
        corner.solve_lower_triangular_mut(&mut columns.rows_mut(first, width));
    }
}

/// Q with G = Q H, H symmetric, positive semidefinite, for a G of any shape and rank. On directions in which G is not 0, Q is orthogonal: Q' Q
/// = I for one of full column rank. What it is on others does not matter, and is next to 0.
///
/// Newton and Schulz's iteration X (3 I - X'X) / 2 takes singular values in (0, sqrt 3) to 1. In (0, 1] small ones grow by 3 / 2
/// at a time; with X scaled by a, a^2 = 3 / (1 + l + l^2) where all are in [l, 1], by up to 3^(3/2) / 2, and all stay in
/// [l', 1], l' = a l (3 - a^2 l^2) / 2 (Chen and Chow 2014). Products of matrices alone.
fn polar(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let norm = matrix.norm();
    if norm == 0.0 {
        return matrix.clone();
    }
    let wide = matrix.nrows() < matrix.ncols();
    let tall = if wide { matrix.transpose() } else { matrix.clone() };
    let mut x = &tall / norm;
    let (mut least, mut trace) = (SMALL, 0.0);
    for _ in 0..MOST {
        let scale = (3.0 / (1.0 + least + least * least)).sqrt();
        let mut squares = Squares::new(x.ncols());
        squares.add(strided(&x).turned());
        let mut step = squares.whole() * (-0.5 * scale.powi(3));
        (0..x.ncols()).for_each(|i| step[(i, i)] += 1.5 * scale);
        x = multiply_shared(strided(&x), strided(&step));
        let scaled = least < 1.0 - GROWTH;
        least = 0.5 * scale * least * (3.0 - scale * scale * least * least);
        let before = std::mem::replace(&mut trace, x.dot(&tall));
        if !scaled && trace <= before * (1.0 + GROWTH) {
            break;
        }
    }
    if wide { x.transpose() } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frechet::frechet_distance;
    use crate::stats::Random;

    fn normal(random: &mut Random, rows: usize, d: usize, shift: f64, scale: f64) -> Features {
        let value = |i: usize| scale * (1.0 + (i % d) as f64 / d as f64);
        Features::new((0..rows * d).map(|i| value(i) * random.normal() + shift).collect(), d).unwrap()
    }

    #[test]
    fn polar_factors_are_orthogonal_and_leave_a_root() {
        let mut random = Random::new(2);
        for (rows, columns) in [(1, 1), (40, 40), (70, 33), (20, 55)] {
            let matrix = DMatrix::from_fn(rows, columns, |_, _| random.normal());
            let q = polar(&matrix);
            let few = rows.min(columns);
            let square = if rows < columns { &q * q.transpose() } else { q.transpose() * &q };
            assert!((square - DMatrix::identity(few, few)).norm() < 1e-3, "{rows}x{columns}");
            let root = q.transpose() * &matrix;
            assert!((&root - root.transpose()).norm() < 1e-4 * root.norm());
            let expected: f64 = matrix.singular_values().iter().sum();
            assert!((root.trace() / expected - 1.0).abs() < 1e-5, "{} {expected}", root.trace());
        }
        assert_eq!(polar(&DMatrix::zeros(3, 2)), DMatrix::zeros(3, 2));
        // Values far apart, some of them 0.
        let [u, v] = [0, 1].map(|_| DMatrix::from_fn(30, 30, |_, _| random.normal()).qr().q());
        let values = DVector::from_fn(30, |i, _| if i < 5 { 0.0 } else { 10f64.powi(-(i as i32) / 6) });
        let matrix = u * DMatrix::from_diagonal(&values) * v.transpose();
        let trace = (polar(&matrix).transpose() * &matrix).trace();
        assert!((trace / values.sum() - 1.0).abs() < 1e-4, "{trace} {}", values.sum());
    }

    #[test]
    fn triangles_are_solved_block_by_block() {
        let mut random = Random::new(3);
        for size in [1, 63, 64, 65, 200] {
            let triangle = DMatrix::from_fn(size, size, |i, j| match i.cmp(&j) {
                std::cmp::Ordering::Less => 0.0,
                std::cmp::Ordering::Equal => 1.0 + random.unit(),
                std::cmp::Ordering::Greater => 0.1 * random.normal(),
            });
            let expected = DMatrix::from_fn(size, 7, |_, _| random.normal());
            let mut found = &triangle * &expected;
            solve(&triangle, &mut found);
            assert!((found - &expected).norm() < 1e-9 * expected.norm(), "{size}");
        }
    }

    /// The distance of two sets under weights of the first's samples that sum to 1, by singular values: the influence is its
    /// derivative when a sample's weight grows and all others shrink.
    fn weighted(a: &Features, weights: &[f64], b: &Features) -> f64 {
        let columns = |set: &Features, weights: &[f64]| {
            let (n, d) = (set.rows(), set.dimensions());
            let x = DMatrix::from_column_slice(d, n, set.values());
            let mean = &x * DVector::from_column_slice(weights);
            let unbiased = n as f64 / (n as f64 - 1.0);
            let factor =
                DMatrix::from_fn(d, n, |i, j| (x[(i, j)] - mean[i]) * (weights[j] * unbiased).sqrt());
            (mean, factor)
        };
        let (m1, f1) = columns(a, weights);
        let (m2, f2) = columns(b, &vec![1.0 / b.rows() as f64; b.rows()]);
        let root: f64 = (f1.transpose() * &f2).singular_values().iter().sum();
        (m1 - m2).norm_squared() + f1.norm_squared() + f2.norm_squared() - 2.0 * root
    }

    #[test]
    fn influences_are_derivatives() {
        // Of more samples than dimensions, of fewer on either side or both, and with features that depend on others.
        for (n, m, d, dependent) in
            [(40, 50, 3, false), (12, 40, 20, false), (12, 15, 20, false), (40, 50, 4, true)]
        {
            let mut random = Random::new(5);
            let mut draw = |rows: usize, shift: f64, scale: f64| {
                let set = normal(&mut random, rows, d, shift, scale);
                let sum = |row: &[f64]| [&row[..d - 1], &[row[0] + row[1]]].concat();
                match dependent {
                    true => Features::new((0..rows).flat_map(|i| sum(set.row(i))).collect(), d).unwrap(),
                    false => set,
                }
            };
            let (a, b) = (draw(n, 0.0, 1.0), draw(m, 0.3, 1.3));
            let found = influence(&a, &b).unwrap();
            let plain = frechet_distance(&a, &b).unwrap();
            assert!((weighted(&a, &vec![1.0 / n as f64; n], &b) / plain - 1.0).abs() < 1e-6);
            assert!(found.first.iter().sum::<f64>().abs() < 1e-9);
            let spread = (found.first.iter().map(|i| i * i).sum::<f64>() / n as f64).sqrt();
            for (at, expected) in found.first.iter().enumerate().take(8) {
                let moved = |epsilon: f64| {
                    let of = |i: usize| (1.0 - epsilon) / n as f64 + if i == at { epsilon } else { 0.0 };
                    weighted(&a, &(0..n).map(of).collect::<Vec<f64>>(), &b)
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((slope - expected).abs() < 2e-3 * spread, "{n} {m} {d} {at}: {slope} {expected}");
            }
            let turned = influence(&b, &a).unwrap();
            let alike = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-3 * spread);
            assert!(alike(&turned.second, &found.first) && alike(&turned.first, &found.second));
        }
        let same = Features::new(vec![2.0; 12], 2).unwrap();
        assert_eq!(influence(&same, &same).unwrap().error(), 0.0);
    }

    /// Held against the deviation of the distance itself over many pairs of sets, known to a twentieth of 250 pairs: of laws apart it is
    /// that, of equal ones a root of two above it, of fewer samples than dimensions between the two, and of few samples below.
    #[test]
    fn errors_are_those_of_distances() {
        for (n, d, shift, scale, least, most) in [
            (300, 6, 0.3, 1.2, 0.9, 1.15),
            (300, 24, 0.0, 1.0, 1.25, 1.55),
            (60, 100, 0.2, 1.0, 1.0, 1.55),
            (FEWEST, 1, 0.0, 100.0, 0.83, 1.1),
        ] {
            let mut random = Random::new(8);
            let (mut distances, mut errors) = (Moments::default(), Moments::default());
            for _ in 0..250 {
                let (a, b) = (normal(&mut random, n, d, 0.0, 1.0), normal(&mut random, n, d, shift, scale));
                distances.push(frechet_distance(&a, &b).unwrap());
                errors.push(influence(&a, &b).unwrap().error());
            }
            let ratio = errors.mean().unwrap() / distances.variance().unwrap().sqrt();
            assert!((least..most).contains(&ratio), "{n} {d} {shift} {scale}: {ratio}");
        }
    }
}
