//! Samples of a law over many classes: how many of them appear, and how evenly.

use crate::error::MetricError;
use crate::law::{kl_floor, kl_to_uniform, shares};

/// What classes samples are of, as for StackedMNIST (Metz et al. 2017, section 3.3.1; Srivastava et al. 2017, VEEGAN).
#[derive(Clone, Debug, PartialEq)]
pub struct ModeScore {
    /// Samples scored.
    pub samples: usize,
    /// Classes with at least one.
    pub modes: usize,
    /// Classes there are.
    pub total_modes: usize,
    /// KL(law of the classes || uniform), in nats.
    pub kl_to_uniform: f64,
    /// What it is on average for a perfect uniform sampler of as many samples, (C - 1) / (2 N): .0192 for 26,000 samples
    /// of 1000 classes.
    pub kl_floor: f64,
    /// Samples of each class.
    pub counts: Vec<u64>,
}

impl ModeScore {
    /// Scores samples of these classes, each below `total`.
    ///
    /// # Errors
    /// No samples, or a class that does not exist.
    pub fn new(classes: &[usize], total: usize) -> Result<Self, MetricError> {
        if classes.is_empty() {
            return Err(MetricError::TooFew { what: "the count of modes", needed: 1, got: 0 });
        }
        let mut counts = vec![0u64; total];
        for (index, &class) in classes.iter().enumerate() {
            let Some(count) = counts.get_mut(class) else {
                let (what, expected) = ("the class of sample", "below the number of classes");
                return Err(MetricError::Value { what, index, value: class as f64, expected });
            };
            *count += 1;
        }
        Ok(Self {
            samples: classes.len(),
            modes: counts.iter().filter(|&&count| count > 0).count(),
            total_modes: total,
            kl_to_uniform: kl_to_uniform(&shares(&counts)),
            kl_floor: kl_floor(total, classes.len()),
            counts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    #[test]
    fn modes_are_counted_and_their_divergence_is_a_closed_form() {
        let score = ModeScore::new(&[0, 0, 3, 3], 4).unwrap();
        assert_eq!((score.modes, score.total_modes, score.samples), (2, 4, 4));
        assert!((score.kl_to_uniform - 2f64.ln()).abs() < 1e-15);
        assert_eq!(score.counts, [2, 0, 0, 2]);
        assert!(ModeScore::new(&[], 4).is_err());
        assert!(ModeScore::new(&[4], 4).unwrap_err().to_string().contains("sample 0 is 4"));
    }

    #[test]
    fn a_perfect_sampler_of_stacked_digits_pays_the_floor() {
        let mut random = Random::new(9);
        let classes: Vec<usize> = (0..26_000).map(|_| random.below(1000)).collect();
        let score = ModeScore::new(&classes, 1000).unwrap();
        assert_eq!(score.modes, 1000);
        // 2 N KL has 999 degrees of freedom: a deviation of sqrt(2 * 999) / 52000 = .00086.
        assert!(
            (score.kl_floor - 0.0192).abs() < 1e-4 && (score.kl_to_uniform - 0.0195).abs() < 0.0026,
            "{score:?}"
        );
    }
}
