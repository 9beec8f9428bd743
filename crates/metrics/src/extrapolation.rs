//! The Frechet distance of infinitely many samples, by extrapolation (Chong and Forsyth 2020, section 3): with N generated
//! samples against a fixed reference its bias is of order 1/N, so that distances of subsets lie on a line over 1/N, which
//! is read off at 0. What is left is the bias of the reference's own number.

use crate::error::MetricError;
use crate::features::Features;
use crate::frechet::Gaussian;
use crate::influence::Influence;
use crate::stats::{Interval, Random, normal_quantile};

/// Subsets that the line is drawn through, from a tenth of the samples to all of them, as the authors do.
pub const POINTS: usize = 15;
/// The largest subset, in units of the smallest.
const RATIO: usize = 10;
/// Sets the shuffles apart from other draws under the same seed.
const SEED: u64 = 0x696e_6669_6e69;

/// An extrapolated distance.
#[derive(Clone, Debug, PartialEq)]
pub struct Extrapolated {
    /// The line at 1/N = 0. It may be below 0 where the sets are alike.
    pub distance: f64,
    /// What 1/N is multiplied with.
    pub slope: f64,
    /// Share of the variance of the distances that the line explains, 1 where it goes through all.
    pub fit: f64,
    /// Samples and distance of each subset.
    pub points: Vec<(usize, f64)>,
    /// The standard error of the line at 0 by how far the distances lie off it.
    pub scatter: f64,
    /// What each generated sample counts for in the distance, to first order: what the line makes of the shares 1 / n that it has in
    /// subsets of n, 1 in all.
    pub weights: Vec<f64>,
}

impl Extrapolated {
    /// The interval of confidence `level` for the sampling error of both sets, given how much each sample moves the distance between
    /// the real and the generated ones: its influences weighted as the line does, and what it leaves unexplained.
    ///
    /// # Errors
    /// A level outside (0, 1).
    pub fn interval(&self, influence: &Influence, level: f64) -> Result<Interval, MetricError> {
        let error = influence.error_weighted(&self.weights).hypot(self.scatter);
        let half = normal_quantile(level)? * error;
        Ok(Interval { estimate: self.distance, low: self.distance - half, high: self.distance + half })
    }
}

/// Extrapolates from subsets of the generated samples, each drawn anew without replacement.
///
/// # Errors
/// Different dimensions; samples of which a tenth, the smallest subset, would be fewer than two dimensions need: at most
/// as many samples as dimensions lie on another curve.
pub fn extrapolate(real: &Gaussian, generated: &Features, seed: u64) -> Result<Extrapolated, MetricError> {
    let (n, d) = (generated.rows(), generated.dimensions());
    let smallest = n / RATIO;
    if smallest <= d + 1 {
        return Err(MetricError::TooFew {
            what: "an extrapolation to infinitely many samples (more than ten times as many as dimensions)",
            needed: RATIO * (d + 2),
            got: n,
        });
    }
    let sizes: Vec<usize> =
        (0..POINTS).map(|point| smallest + (n - smallest) * point / (POINTS - 1)).collect();
    let shares = shares(&sizes);
    let mut random = Random::new(seed ^ SEED);
    let mut order: Vec<usize> = (0..n).collect();
    let (mut points, mut weights) = (Vec::with_capacity(POINTS), vec![0.0; n]);
    for (&size, share) in sizes.iter().zip(&shares) {
        random.shuffle(&mut order);
        let subset = Gaussian::of(&generated.select(order[..size].iter().copied()))?;
        points.push((size, real.distance(&subset)?));
        order[..size].iter().for_each(|&sample| weights[sample] += share / size as f64);
    }
    Ok(line(points, &shares, weights))
}

/// What each distance counts for in the line over 1/N at 0: least squares.
fn shares(sizes: &[usize]) -> Vec<f64> {
    let count = sizes.len() as f64;
    let x: Vec<f64> = sizes.iter().map(|&size| 1.0 / size as f64).collect();
    let mean = x.iter().sum::<f64>() / count;
    let square: f64 = x.iter().map(|x| (x - mean).powi(2)).sum();
    x.iter().map(|x| 1.0 / count - mean * (x - mean) / square).collect()
}

/// Least squares of distances over 1/N.
fn line(points: Vec<(usize, f64)>, shares: &[f64], weights: Vec<f64>) -> Extrapolated {
    let count = points.len() as f64;
    let mean = |of: &dyn Fn(&(usize, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let x = |point: &(usize, f64)| 1.0 / point.0 as f64;
    let (mean_x, mean_y) = (mean(&x), mean(&|point| point.1));
    let xx = mean(&|point| (x(point) - mean_x).powi(2));
    let xy = mean(&|point| (x(point) - mean_x) * (point.1 - mean_y));
    let yy = mean(&|point| (point.1 - mean_y).powi(2));
    let slope = xy / xx;
    let fit = if yy > 0.0 { xy * xy / (xx * yy) } else { 1.0 };
    let distance = mean_y - slope * mean_x;
    // Two of the degrees of freedom are the line's.
    let off = points.iter().map(|point| (point.1 - distance - slope * x(point)).powi(2)).sum::<f64>()
        / (count - 2.0);
    let scatter = (off * shares.iter().map(|share| share * share).sum::<f64>()).sqrt();
    Extrapolated { distance, slope, fit, points, scatter, weights }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influence::influence;

    fn normal(seed: u64, rows: usize, d: usize, shift: f64) -> Features {
        let mut random = Random::new(seed);
        Features::new((0..rows * d).map(|_| random.normal() + shift).collect(), d).unwrap()
    }

    #[test]
    fn a_line_is_read_off_at_zero() {
        let sizes = [10, 20, 40, 100];
        let shares = shares(&sizes);
        let found = line(sizes.map(|n| (n, 3.0 + 8.0 / n as f64)).to_vec(), &shares, Vec::new());
        let at_zero: f64 = found.points.iter().zip(&shares).map(|(point, share)| point.1 * share).sum();
        assert!((at_zero - 3.0).abs() < 1e-12 && found.scatter < 1e-12, "{found:?}");
        let off = line(vec![(10, 3.9), (20, 3.3), (40, 3.3), (100, 3.0)], &shares, Vec::new());
        assert!(off.scatter > 0.05, "{off:?}");
        assert!((found.distance - 3.0).abs() < 1e-12 && (found.slope - 8.0).abs() < 1e-9, "{found:?}");
        assert!((found.fit - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_bias_of_few_samples_is_taken_off() {
        let (real, d) = (Gaussian::of(&normal(1, 20_000, 24, 0.0)).unwrap(), 24.0);
        // Laws whose distance is 24 * .05^2 = .06.
        let generated = normal(2, 3000, 24, 0.05);
        let plain = real.distance(&Gaussian::of(&generated).unwrap()).unwrap();
        let found = extrapolate(&real, &generated, 7).unwrap();
        // For equal covariances I the bias is about d / N of the mean and (d^2 + d) / (4 N) of the covariance.
        let slope = d + (d * d + d) / 4.0;
        assert!((found.slope / slope - 1.0).abs() < 0.25, "slope {} against {slope}", found.slope);
        assert!((found.distance - 0.06).abs() < 0.5 * (plain - 0.06), "{} and {plain}", found.distance);
        assert!(found.fit > 0.9 && found.points.len() == POINTS);
        assert_eq!((found.points[0].0, found.points[POINTS - 1].0), (300, 3000));
        assert!((found.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((found.points[POINTS - 1].1 / plain - 1.0).abs() < 1e-9, "the last is all of them");
        assert_eq!(found, extrapolate(&real, &generated, 7).unwrap());
        assert_ne!(found, extrapolate(&real, &generated, 8).unwrap());
        let error = extrapolate(&real, &normal(3, 250, 24, 0.0), 0).unwrap_err().to_string();
        assert!(error.contains("260") && error.contains("got 250"), "{error}");
    }

    /// Held against where the line falls for many pairs of sets: laws apart, and equal ones, whose errors come out too large
    /// rather than too small.
    #[test]
    fn intervals_hold_what_they_should() {
        for (shift, least, most) in [(0.5, 93, 118), (0.0, 93, 120)] {
            let draws: Vec<(f64, Interval)> = (0..120)
                .map(|round| {
                    let (a, b) = (normal(100 + round, 600, 6, 0.0), normal(900 + round, 600, 6, shift));
                    let found = extrapolate(&Gaussian::of(&a).unwrap(), &b, round).unwrap();
                    let interval = found.interval(&influence(&a, &b).unwrap(), 0.9).unwrap();
                    (found.distance, interval)
                })
                .collect();
            let mean = draws.iter().map(|draw| draw.0).sum::<f64>() / 120.0;
            // 108 expected of exact ones, with three deviations of 3.3; at half the width fewer.
            let held = |scale: f64| {
                draws.iter().filter(|(at, i)| (mean - at).abs() <= scale * (i.high - at)).count()
            };
            assert!((least..=most).contains(&held(1.0)), "{shift}: {}", held(1.0));
            assert!(held(0.4) < 93, "{shift}: {}", held(0.4));
        }
    }
}
