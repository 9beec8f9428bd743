//! What a classifier makes of samples: how many it recognises, and which classes they fill.

use crate::{
    error::MetricError,
    law::{entropy, kl, kl_floor, kl_to_uniform, shares},
};

/// A sample is recognised when the probability of its class is at least this.
pub const CONFIDENT: f64 = 0.9;

/// How far the probabilities of a sample may sum from 1: what f32 softmax over 1000 classes leaves.
const SUM_TOLERANCE: f64 = 1e-3;

/// Figures of the classes that a classifier gives to samples.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassScore {
    /// Samples scored.
    pub samples: usize,
    /// The share of samples whose largest probability is at least [`CONFIDENT`].
    pub confident: f64,
    /// Samples of each class, that is, of the largest probability (the first of equal ones).
    pub counts: Vec<u64>,
    /// Of these, the recognised ones.
    pub confident_counts: Vec<u64>,
    /// The mean of the probabilities: the marginal law p(y) of the Inception score.
    pub marginal: Vec<f64>,
    /// The mean entropy of a sample's probabilities, in nats: 0 when the classifier is always sure.
    pub mean_entropy: f64,
}

impl ClassScore {
    /// Scores the rows of `probabilities`, `[samples, classes]` row-major.
    ///
    /// # Errors
    /// No samples or classes, a length that is no multiple of the classes, a probability that is negative or not
    /// finite, a row that does not sum to 1 within .001.
    pub fn new(probabilities: &[f64], classes: usize) -> Result<Self, MetricError> {
        if probabilities.is_empty() || classes == 0 {
            return Err(MetricError::TooFew { what: "the class score", needed: 1, got: 0 });
        }
        let samples = probabilities.len() / classes;
        if samples * classes != probabilities.len() {
            let expected = (samples + 1) * classes;
            return Err(MetricError::Length {
                what: "class probabilities",
                expected,
                got: probabilities.len(),
            });
        }
        let (mut counts, mut confident_counts) = (vec![0; classes], vec![0; classes]);
        let (mut marginal, mut total_entropy) = (vec![0.0; classes], 0.0);
        for (sample, row) in probabilities.chunks_exact(classes).enumerate() {
            check_row(sample, row)?;
            let mut class = 0;
            for (candidate, &p) in row.iter().enumerate() {
                if p > row[class] {
                    class = candidate;
                }
                marginal[candidate] += p / samples as f64;
            }
            counts[class] += 1;
            confident_counts[class] += u64::from(row[class] >= CONFIDENT);
            total_entropy += entropy(row);
        }
        let confident = confident_counts.iter().sum::<u64>() as f64 / samples as f64;
        let mean_entropy = total_entropy / samples as f64;
        Ok(Self { samples, confident, counts, confident_counts, marginal, mean_entropy })
    }

    /// The share of samples of each class.
    pub fn shares(&self) -> Vec<f64> {
        shares(&self.counts)
    }

    /// Entropy of the law of classes in nats; ln C when all are equally frequent.
    pub fn entropy(&self) -> f64 {
        entropy(&self.shares())
    }

    /// KL(law of classes || uniform) in nats.
    pub fn kl_to_uniform(&self) -> f64 {
        kl_to_uniform(&self.shares())
    }

    /// KL(law of classes || `law`) in nats; infinite where a class fills that `law` excludes.
    ///
    /// # Errors
    /// A law of another number of classes, or that is not one.
    pub fn kl_to(&self, law: &[f64]) -> Result<f64, MetricError> {
        if law.len() != self.counts.len() {
            let (expected, got) = (self.counts.len(), law.len());
            return Err(MetricError::Length { what: "the law of classes", expected, got });
        }
        check_row(0, law)?;
        Ok(kl(&self.shares(), law))
    }

    /// What either divergence is on average when samples follow the law exactly: (C - 1) / (2 N).
    pub fn kl_floor(&self) -> f64 {
        kl_floor(self.counts.len(), self.samples)
    }
}

fn check_row(sample: usize, row: &[f64]) -> Result<(), MetricError> {
    let what = "a class probability of sample";
    if let Some(&value) = row.iter().find(|p| !(p.is_finite() && **p >= 0.0)) {
        return Err(MetricError::Value {
            what,
            index: sample,
            value,
            expected: "a finite number from 0 to 1",
        });
    }
    let sum: f64 = row.iter().sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        let what = "the sum of class probabilities of sample";
        return Err(MetricError::Value { what, index: sample, value: sum, expected: "1 within .001" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_shares_and_confidence() {
        #[rustfmt::skip]
        let rows = [
            0.95, 0.03, 0.02,
            0.05, 0.90, 0.05, // exactly at the threshold: recognised
            0.10, 0.8999, 0.0001,
            0.40, 0.40, 0.20, // a tie: the first
        ];
        let score = ClassScore::new(&rows, 3).unwrap();
        assert_eq!((score.samples, score.confident), (4, 0.5));
        assert_eq!(score.counts, [2, 2, 0]);
        assert_eq!(score.confident_counts, [1, 1, 0]);
        assert_eq!(score.shares(), [0.5, 0.5, 0.0]);
        let expected = [1.5, 2.2299, 0.2701].map(|sum| sum / 4.0);
        assert!(score.marginal.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15));
        // The wrong twin, `>` for `>=`, would recognise one of four.
        let strict = rows.chunks_exact(3).filter(|row| row.iter().any(|&p| p > CONFIDENT)).count();
        assert_eq!(strict, 1);
    }

    #[test]
    fn divergences_are_closed_forms() {
        let sure = |class: usize| (0..4).map(move |k| f64::from(u8::from(k == class)));
        let one: Vec<f64> = (0..10).flat_map(|_| sure(2)).collect();
        let collapsed = ClassScore::new(&one, 4).unwrap();
        assert!((collapsed.kl_to_uniform() - 4f64.ln()).abs() < 1e-15);
        assert_eq!((collapsed.entropy(), collapsed.mean_entropy, collapsed.confident), (0.0, 0.0, 1.0));
        let all: Vec<f64> = (0..40).flat_map(|i| sure(i % 4)).collect();
        let balanced = ClassScore::new(&all, 4).unwrap();
        assert!(balanced.kl_to_uniform().abs() < 1e-15);
        assert!((balanced.entropy() - 4f64.ln()).abs() < 1e-15);
        assert!((balanced.kl_floor() - 3.0 / 80.0).abs() < 1e-15);
        // KL((1/4, ...) || (1/2, 1/4, 1/8, 1/8)) = ln(1/4 / 1/2)/4 + 2 ln(2)/4 = ln(2)/4; the other way it is ln(2)/4
        // as well for this law, so a second one tells the directions apart.
        let ln2 = std::f64::consts::LN_2;
        assert!((balanced.kl_to(&[0.5, 0.25, 0.125, 0.125]).unwrap() - ln2 / 4.0).abs() < 1e-15);
        let law = [0.7, 0.1, 0.1, 0.1];
        let expected = 0.25 * (0.25 / 0.7_f64).ln() + 0.75 * 2.5_f64.ln();
        assert!((balanced.kl_to(&law).unwrap() - expected).abs() < 1e-15);
        assert!((kl(&law, &balanced.shares()) - expected).abs() > 0.01);
        assert_eq!(balanced.kl_to(&[0.5, 0.5, 0.0, 0.0]).unwrap(), f64::INFINITY);
        assert!((collapsed.kl_to(&[0.5, 0.0, 0.5, 0.0]).unwrap() - ln2).abs() < 1e-15);
    }

    #[test]
    fn an_unsure_classifier_has_the_full_entropy() {
        let score = ClassScore::new(&[0.1; 50], 10).unwrap();
        assert!((score.mean_entropy - 10f64.ln()).abs() < 1e-12);
        assert_eq!((score.confident, score.counts[0]), (0.0, 5));
    }

    #[test]
    fn what_is_no_law_is_refused() {
        let error = |rows: &[f64], classes| ClassScore::new(rows, classes).unwrap_err().to_string();
        assert!(error(&[], 3).contains("at least 1"));
        assert!(error(&[1.0], 0).contains("at least 1"));
        assert_eq!(error(&[0.5, 0.5, 1.0], 2), "class probabilities: 3 values where 4 belong");
        assert!(
            error(&[0.5, 0.5, 0.5, 0.6], 2).starts_with("the sum of class probabilities of sample 1 is 1.1")
        );
        assert!(error(&[f64::NAN, 1.0], 2).contains("sample 0 is NaN"));
        assert!(error(&[-0.5, 1.5], 2).contains("sample 0 is -0.5"));
        let score = ClassScore::new(&[0.5, 0.5], 2).unwrap();
        assert!(score.kl_to(&[1.0]).is_err() && score.kl_to(&[0.5, 0.6]).is_err());
    }
}
