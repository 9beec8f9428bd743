//! Finite probability laws: entropy and divergence.

use crate::error::MetricError;
use crate::stats::{Interval, bootstrap};

/// Entropy - sum p ln p of a law, in nats; 0 ln 0 is 0.
pub fn entropy(law: &[f64]) -> f64 {
    // Adding 0 turns the -0 of a point mass into 0.
    0.0 - law.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>()
}

/// Kullback-Leibler divergence KL(p || q) = sum p ln(p / q) in nats, over the common length of the two laws.
///
/// 0 ln 0 is 0; infinite where p has mass and q has none. Not symmetric: with p the law of the samples and q that of
/// the data this is the *reverse* divergence of generative modelling, which a missing mode leaves finite.
pub fn kl(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).filter(|&(&p, _)| p > 0.0).map(|(p, q)| p * (p / q).ln()).sum()
}

/// Divergence KL(p || uniform) = ln C - entropy(p) in nats.
pub fn kl_to_uniform(p: &[f64]) -> f64 {
    let uniform = 1.0 / p.len() as f64;
    p.iter().filter(|&&p| p > 0.0).map(|p| p * (p / uniform).ln()).sum()
}

/// Counts as shares of their sum; all 0 when the sum is.
pub fn shares(counts: &[u64]) -> Vec<f64> {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    counts.iter().map(|&count| count as f64 / total).collect()
}

/// What KL(empirical law of n draws || true law) is on average for a law of `classes` classes: (C - 1) / (2 n).
///
/// 2 n KL is the likelihood-ratio statistic, whose limit is chi-squared with C - 1 degrees of freedom (Wilks 1938).
/// The next term is of order 1 / (n^2 min p): the figure holds once every class is expected a few times.
pub fn kl_floor(classes: usize, n: usize) -> f64 {
    classes.saturating_sub(1) as f64 / (2.0 * n as f64)
}

/// Draws of counts that an interval is made of.
const RESAMPLES: usize = 200;

/// KL(empirical law of the counts || `law`) with its percentile bootstrap interval at confidence `level`. Drawing again from an
/// empirical law costs what [`kl_floor`] says once more, which is taken off both ends.
///
/// # Errors
/// As [`bootstrap`]; lists of different lengths.
pub fn kl_interval(counts: &[u64], law: &[f64], level: f64) -> Result<Interval, MetricError> {
    if counts.len() != law.len() {
        return Err(MetricError::Length { what: "classes of a law", expected: law.len(), got: counts.len() });
    }
    let samples: Vec<usize> =
        counts.iter().enumerate().flat_map(|(class, &n)| std::iter::repeat_n(class, n as usize)).collect();
    let found = bootstrap(&samples, RESAMPLES, level, |samples| {
        let mut counts = vec![0u64; law.len()];
        samples.iter().for_each(|&class| counts[class] += 1);
        kl(&shares(&counts), law)
    })?;
    let floor = kl_floor(counts.iter().filter(|&&n| n > 0).count(), samples.len());
    Ok(Interval { estimate: found.estimate, low: (found.low - floor).max(0.0), high: found.high - floor })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    /// A class of a law.
    fn draw(random: &mut Random, law: &[f64]) -> usize {
        let mut u = random.unit();
        let class = law.iter().position(|p| {
            u -= p;
            u < 0.0
        });
        class.unwrap_or(law.len() - 1)
    }

    /// Of samples of a law that differs from the one compared with, the interval holds the divergence, with the floor that
    /// the estimate itself has, about as often as it says.
    #[test]
    fn intervals_of_a_divergence_hold_it() {
        let (drawn, compared) = ([0.4, 0.3, 0.2, 0.1], [0.25; 4]);
        let (mut random, n) = (Random::new(5), 500);
        let truth = kl(&drawn, &compared) + kl_floor(4, n);
        let (rounds, mut held, mut narrow) = (200, 0, 0);
        for _ in 0..rounds {
            let mut counts = [0; 4];
            for _ in 0..n {
                counts[draw(&mut random, &drawn)] += 1;
            }
            let found = kl_interval(&counts, &compared, 0.9).unwrap();
            assert!(found.low <= found.high && found.low >= 0.0, "{found:?}");
            held += usize::from((found.low..=found.high).contains(&truth));
            // A wrong twin: half the width.
            let (low, high) = ((found.estimate + found.low) / 2.0, (found.estimate + found.high) / 2.0);
            narrow += usize::from((low..=high).contains(&truth));
        }
        // 90 % of 200 with four standard deviations of .021, and the bootstrap's own error.
        assert!((164..=196).contains(&held), "{held} of {rounds}");
        assert!(!(164..=196).contains(&narrow), "{narrow} of {rounds}");
        assert!(kl_interval(&[1, 2], &[1.0], 0.9).is_err());
        assert!(kl_interval(&[1, 0], &[0.5, 0.5], 0.9).is_err(), "one sample has no interval");
    }

    #[test]
    fn closed_forms() {
        let ln2 = std::f64::consts::LN_2;
        assert_eq!(entropy(&[1.0, 0.0]), 0.0);
        assert!(entropy(&[1.0, 0.0]).is_sign_positive());
        assert!((entropy(&[0.25; 4]) - 2.0 * ln2).abs() < 1e-15);
        // p = (1/2, 1/2), q = (1/4, 3/4): KL(p||q) = ln 2 - ln(3) / 2, KL(q||p) = 3/4 ln 3 - ln 2.
        let (p, q) = ([0.5, 0.5], [0.25, 0.75]);
        assert!((kl(&p, &q) - (ln2 - 0.5 * 3f64.ln())).abs() < 1e-15);
        assert!((kl(&q, &p) - (0.75 * 3f64.ln() - ln2)).abs() < 1e-15);
        assert!((kl_to_uniform(&q) - kl(&q, &p)).abs() < 1e-15);
        assert!((kl_to_uniform(&[1.0, 0.0, 0.0, 0.0]) - 2.0 * ln2).abs() < 1e-15);
    }

    #[test]
    fn a_missing_class_is_finite_one_way_and_infinite_the_other() {
        let (some, all) = ([1.0, 0.0], [0.5, 0.5]);
        assert!((kl(&some, &all) - std::f64::consts::LN_2).abs() < 1e-15);
        // The wrong twin, arguments exchanged, differs as much as can be.
        assert_eq!(kl(&all, &some), f64::INFINITY);
    }

    #[test]
    fn shares_sum_to_one_and_survive_nothing() {
        assert_eq!(shares(&[1, 3]), [0.25, 0.75]);
        assert_eq!(shares(&[0, 0]), [0.0, 0.0]);
    }

    #[test]
    fn floor_is_what_perfect_sampling_costs() {
        for weights in [vec![1.0 / 8.0; 8], (1..=8).map(|k| f64::from(k) / 36.0).collect::<Vec<_>>()] {
            let (n, rounds) = (2000, 3000);
            let mut random = Random::new(17);
            let (mut sum, mut square) = (0.0, 0.0);
            for _ in 0..rounds {
                let mut counts = [0; 8];
                for _ in 0..n {
                    counts[draw(&mut random, &weights)] += 1;
                }
                let value = kl(&shares(&counts), &weights);
                sum += value;
                square += value * value;
            }
            let mean = sum / f64::from(rounds);
            let error = ((square / f64::from(rounds) - mean * mean) / f64::from(rounds)).sqrt();
            let floor = kl_floor(8, n);
            assert!((mean - floor).abs() < 4.0 * error, "{mean} against {floor} +- {error}");
            // Wrong twins: K for K - 1, and N for 2 N.
            assert!((mean - 8.0 / (2.0 * n as f64)).abs() > 4.0 * error);
            assert!((mean - 7.0 / n as f64).abs() > 4.0 * error);
        }
    }
}
