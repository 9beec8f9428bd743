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
    /// What each generated sample counts for in the distance, to first order: what the line makes of the shares 1 / n that it has in
    /// subsets of n, 1 in all.
    pub weights: Vec<f64>,
}

impl Extrapolated {
    /// The interval of confidence `level` for the sampling error of both sets, given how much each sample moves the distance between
    /// the real and the generated ones, with the weights that these have in the line. How far the distances lie off it is in there: to
    /// first order it is the influence of the samples that subsets leave out.
    ///
    /// # Errors
    /// An influence of other sets, a level outside (0, 1).
    pub fn interval(&self, influence: &Influence, level: f64) -> Result<Interval, MetricError> {
        let half = normal_quantile(level)? * influence.error_weighted(&self.weights)?;
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
    Ok(line(points, weights))
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
fn line(points: Vec<(usize, f64)>, weights: Vec<f64>) -> Extrapolated {
    let count = points.len() as f64;
    let mean = |of: &dyn Fn(&(usize, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let x = |point: &(usize, f64)| 1.0 / point.0 as f64;
    let (mean_x, mean_y) = (mean(&x), mean(&|point| point.1));
    let xx = mean(&|point| (x(point) - mean_x).powi(2));
    let xy = mean(&|point| (x(point) - mean_x) * (point.1 - mean_y));
    let yy = mean(&|point| (point.1 - mean_y).powi(2));
    let slope = xy / xx;
    let fit = if yy > 0.0 { xy * xy / (xx * yy) } else { 1.0 };
    Extrapolated { distance: mean_y - slope * mean_x, slope, fit, points, weights }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influence::influence;
    use crate::stats::Moments;

    fn normal(seed: u64, rows: usize, d: usize, shift: f64) -> Features {
        let mut random = Random::new(seed);
        Features::new((0..rows * d).map(|_| random.normal() + shift).collect(), d).unwrap()
    }

    #[test]
    fn a_line_is_read_off_at_zero() {
        let sizes = [10, 20, 40, 100];
        let shares = shares(&sizes);
        let found = line(sizes.map(|n| (n, 3.0 + 8.0 / n as f64)).to_vec(), Vec::new());
        let at_zero: f64 = found.points.iter().zip(&shares).map(|(point, share)| point.1 * share).sum();
        assert!((at_zero - 3.0).abs() < 1e-12, "{at_zero}");
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

    /// Held against the deviation of where the line falls over 200 pairs of sets, known to a twentieth: of laws apart it is that.
    #[test]
    fn errors_are_those_of_the_line() {
        for (shift, least, most) in [(0.5, 0.87, 1.15), (0.0, 0.9, 1.45)] {
            let (mut distances, mut halves) = (Moments::default(), Moments::default());
            for round in 0..200 {
                let (a, b) = (normal(100 + round, 600, 6, 0.0), normal(900 + round, 600, 6, shift));
                let found = extrapolate(&Gaussian::of(&a).unwrap(), &b, round).unwrap();
                let interval = found.interval(&influence(&a, &b).unwrap(), 0.9).unwrap();
                assert_eq!(interval.estimate, found.distance);
                distances.push(found.distance);
                halves.push(interval.high - interval.estimate);
            }
            // 1.645 deviations hold 90 %.
            let ratio = halves.mean().unwrap() / 1.645 / distances.variance().unwrap().sqrt();
            assert!((least..most).contains(&ratio), "{shift}: {ratio}");
        }
        let other = influence(&normal(1, 30, 6, 0.0), &normal(2, 40, 6, 0.0)).unwrap();
        let found =
            extrapolate(&Gaussian::of(&normal(1, 600, 6, 0.0)).unwrap(), &normal(2, 600, 6, 0.0), 1).unwrap();
        assert!(found.interval(&other, 0.9).unwrap_err().to_string().contains("weights"));
    }
}
