//! Whether the values of one set lie above those of another: the share of pairs in which they do.

use crate::error::{MetricError, check};
use statrs::function::erf::erfc;

/// The area under the curve of one set against another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Above {
    /// The share of pairs in which the first set's value is the larger, equal ones half: 1/2 for equal laws.
    pub share: f64,
    /// Deviations of `share` from 1/2 in units of its standard deviation under equal laws, sqrt((n + m + 1) / (12 n m))
    /// (Mann and Whitney 1947); ties make that deviation smaller, so that of many equal values |z| is too small.
    pub z: f64,
    /// Probability of a share this large or larger under equal laws.
    pub p: f64,
}

/// Compares two sets of values.
///
/// # Errors
/// A set without values, or with one that is not a number.
pub fn above(first: &[f64], second: &[f64]) -> Result<Above, MetricError> {
    if first.is_empty() || second.is_empty() {
        return Err(MetricError::TooFew { what: "a comparison of ranks", needed: 1, got: 0 });
    }
    check("value", first.iter().chain(second).copied(), "a number", |value| !value.is_nan())?;
    let mut sorted = second.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = |value: f64| {
        let less = sorted.partition_point(|&other| other < value);
        let upto = sorted.partition_point(|&other| other <= value);
        (less + upto) as f64 / 2.0
    };
    let (n, m) = (first.len() as f64, second.len() as f64);
    let share = first.iter().map(|&value| below(value)).sum::<f64>() / (n * m);
    let z = (share - 0.5) / ((n + m + 1.0) / (12.0 * n * m)).sqrt();
    Ok(Above { share, z, p: 0.5 * erfc(z / std::f64::consts::SQRT_2) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    #[test]
    fn shares_are_those_of_all_pairs() {
        let found = above(&[3.0, 1.0, 2.0], &[0.0, 2.0]).unwrap();
        // 3 > 0, 3 > 2, 1 > 0, 2 > 0, and 2 = 2 half.
        assert!((found.share - 4.5 / 6.0).abs() < 1e-15);
        assert_eq!(above(&[1.0; 4], &[1.0; 9]).unwrap().share, 0.5);
        assert_eq!(above(&[f64::INFINITY], &[f64::NEG_INFINITY]).unwrap().share, 1.0);
        assert!(above(&[], &[1.0]).is_err() && above(&[f64::NAN], &[1.0]).is_err());
    }

    #[test]
    fn equal_laws_exceed_a_deviation_as_often_as_the_normal_does() {
        let (mut random, rounds, mut beyond) = (Random::new(8), 4000, 0);
        for _ in 0..rounds {
            let mut draw = |n: usize| (0..n).map(|_| random.unit()).collect::<Vec<f64>>();
            let found = above(&draw(40), &draw(60)).unwrap();
            beyond += usize::from(found.p < 0.05);
        }
        // 200 expected, deviation 14.
        assert!((150..250).contains(&beyond), "{beyond}");
    }
}
