//! Perceptual path length (Karras, Laine and Aila 2019, StyleGAN, section 4.1): how far samples move, by some distance,
//! when their code moves by epsilon along a path between two codes; d / epsilon^2 for a squared distance d, averaged.

use crate::error::{MetricError, check};
use crate::stats::{Interval, Moments, bootstrap};

/// Step along a path, in units of the path.
pub const EPSILON: f64 = 1e-4;
/// Shares of the smallest and the largest lengths that are left out.
pub const TRIM: [f64; 2] = [0.01, 0.99];
/// Resamples of the interval.
const RESAMPLES: usize = 1000;

/// Lengths of paths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathLength {
    /// Mean of the lengths that are left, with its percentile bootstrap interval of 95 % over 1000 resamples of these.
    pub mean: Interval,
    /// Their deviation, divisor of their number.
    pub deviation: f64,
    /// How many are left.
    pub kept: usize,
}

/// From squared distances of samples `epsilon` apart. Lengths below the percentile 1 or above 99 are left out, both taken
/// at an order statistic, the one below or above: as the authors' program and torch-fidelity do.
///
/// # Errors
/// Fewer than two distances, one that is negative or not finite, an epsilon that is not above 0.
pub fn path_length(squared: &[f64], epsilon: f64) -> Result<PathLength, MetricError> {
    if squared.len() < 2 {
        return Err(MetricError::TooFew { what: "a path length", needed: 2, got: squared.len() });
    }
    check("the squared distance of path", squared.iter().copied(), "a finite number from 0 on", |d| {
        d >= 0.0 && d.is_finite()
    })?;
    check("the step of path", [epsilon], "a number above 0", |e| e > 0.0 && e.is_finite())?;
    let mut lengths: Vec<f64> = squared.iter().map(|d| d / (epsilon * epsilon)).collect();
    lengths.sort_by(f64::total_cmp);
    let last = (lengths.len() - 1) as f64;
    let (low, high) = (lengths[(last * TRIM[0]).floor() as usize], lengths[(last * TRIM[1]).ceil() as usize]);
    // By value: equal ones stay or go together.
    lengths.retain(|length| (low..=high).contains(length));
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let moments: Moments = lengths.iter().copied().collect();
    Ok(PathLength {
        mean: bootstrap(&lengths, RESAMPLES, 0.95, mean)?,
        deviation: moments.population_variance().unwrap_or(0.0).sqrt(),
        kept: lengths.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    #[test]
    fn a_linear_generator_has_the_length_of_its_paths() {
        // Samples A z on the straight line between two codes: |A (b - a)|^2 wherever on it, whatever the step.
        let mut random = Random::new(8);
        let lengths: Vec<f64> = (0..301)
            .map(|_| {
                let step = [random.unit(), random.unit()];
                (2.0 * step[0] + step[1]).powi(2) + step[1].powi(2)
            })
            .collect();
        let mut sorted = lengths.clone();
        sorted.sort_by(f64::total_cmp);
        // Places 300 / 100 and 300 * 99 / 100.
        let expected = sorted[3..=297].iter().sum::<f64>() / 295.0;
        for epsilon in [1e-4, 0.5] {
            let squared: Vec<f64> = lengths.iter().map(|length| length * epsilon * epsilon).collect();
            let found = path_length(&squared, epsilon).unwrap();
            assert!((found.mean.estimate / expected - 1.0).abs() < 1e-12 && found.kept == 295, "{found:?}");
            assert!(found.mean.low < expected && expected < found.mean.high);
        }
        // The wrong twins: without trimming, and with the distance itself in place of its square.
        let all = lengths.iter().sum::<f64>() / 301.0;
        assert!((all / expected - 1.0).abs() > 1e-4);
    }

    #[test]
    fn places_between_order_statistics_are_rounded_outwards() {
        // NumPy's percentile(.., 1, method="lower") of 0..150 is place 1.49, so 1, and the upper one 147.51, so 148.
        let squared: Vec<f64> = (0..150).map(f64::from).collect();
        let found = path_length(&squared, 1.0).unwrap();
        assert_eq!((found.kept, found.mean.estimate), (148, 74.5));
        let found = path_length(&[3.0; 50], 1.0).unwrap();
        assert_eq!((found.kept, found.mean.estimate, found.deviation), (50, 3.0, 0.0));
        assert!(path_length(&[1.0], 1.0).is_err() && path_length(&[1.0, -1.0], 1.0).is_err());
        assert!(path_length(&[1.0, f64::NAN], 1.0).is_err() && path_length(&[1.0, 2.0], 0.0).is_err());
    }
}
