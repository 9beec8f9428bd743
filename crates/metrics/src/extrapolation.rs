//! The Frechet distance of infinitely many samples, by extrapolation (Chong and Forsyth 2020, section 3): with N generated
//! samples against a fixed reference its bias is of order 1/N, so that distances of subsets lie on a line over 1/N, which
//! is read off at 0. What is left is the bias of the reference's own number.

use crate::error::MetricError;
use crate::features::Features;
use crate::frechet::Gaussian;
use crate::stats::Random;

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
    let mut random = Random::new(seed ^ SEED);
    let mut order: Vec<usize> = (0..n).collect();
    let mut points = Vec::with_capacity(POINTS);
    for point in 0..POINTS {
        let size = smallest + (n - smallest) * point / (POINTS - 1);
        random.shuffle(&mut order);
        let subset = Gaussian::of(&generated.select(order[..size].iter().copied()))?;
        points.push((size, real.distance(&subset)?));
    }
    Ok(line(points))
}

/// Least squares of distances over 1/N.
fn line(points: Vec<(usize, f64)>) -> Extrapolated {
    let count = points.len() as f64;
    let mean = |of: &dyn Fn(&(usize, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let x = |point: &(usize, f64)| 1.0 / point.0 as f64;
    let (mean_x, mean_y) = (mean(&x), mean(&|point| point.1));
    let xx = mean(&|point| (x(point) - mean_x).powi(2));
    let xy = mean(&|point| (x(point) - mean_x) * (point.1 - mean_y));
    let yy = mean(&|point| (point.1 - mean_y).powi(2));
    let slope = xy / xx;
    let fit = if yy > 0.0 { xy * xy / (xx * yy) } else { 1.0 };
    Extrapolated { distance: mean_y - slope * mean_x, slope, fit, points }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(seed: u64, rows: usize, d: usize, shift: f64) -> Features {
        let mut random = Random::new(seed);
        Features::new((0..rows * d).map(|_| random.normal() + shift).collect(), d).unwrap()
    }

    #[test]
    fn a_line_is_read_off_at_zero() {
        let found = line([10, 20, 40, 100].map(|n| (n, 3.0 + 8.0 / n as f64)).to_vec());
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
        assert!((found.points[POINTS - 1].1 / plain - 1.0).abs() < 1e-9, "the last is all of them");
        assert_eq!(found, extrapolate(&real, &generated, 7).unwrap());
        assert_ne!(found, extrapolate(&real, &generated, 8).unwrap());
        let error = extrapolate(&real, &normal(3, 250, 24, 0.0), 0).unwrap_err().to_string();
        assert!(error.contains("260") && error.contains("got 250"), "{error}");
    }
}
