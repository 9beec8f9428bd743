//! The Inception score (Salimans et al. 2016, section 4): exp E KL(p(y|x) || p(y)), p(y) the mean of p(y|x), with the
//! class probabilities of Inception; of another classifier it is a score of that classifier's classes.

use crate::error::MetricError;
use crate::law::entropy;
use crate::stats::{Interval, Moments, Random, bootstrap};

/// Splits that the authors average over.
pub const SPLITS: usize = 10;
/// Resamples of an interval.
const RESAMPLES: usize = 200;
/// Sets the shuffle apart from other draws under the same seed.
const SEED: u64 = 0x696e_6365_7074;

/// In which order samples are dealt to splits, which programs differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As given, split i being samples i N / splits to (i + 1) N / splits: the authors' program. Samples that come class
    /// by class lower it: each split then has few classes.
    Given,
    /// Shuffled under a seed first: torch-fidelity.
    Shuffled(u64),
}

/// An Inception score.
#[derive(Clone, Debug, PartialEq)]
pub struct InceptionScore {
    /// Mean over the splits: from 1, where all samples look alike, to the number of classes.
    pub mean: f64,
    /// Deviation over the splits, divisor of their number, as both programs have it; 0 of one split.
    pub deviation: f64,
    /// Of each split.
    pub splits: Vec<f64>,
}

/// The score of class probabilities `[samples, classes]`, row-major, over so many splits. 1000 samples in 10 splits
/// score less than in one: a split of few samples has a marginal law of its own, nearer to them.
///
/// # Errors
/// Fewer samples than splits, no splits or classes, a length that is no multiple of the classes, a probability that is
/// not from 0 to 1.
pub fn inception_score(
    probabilities: &[f64],
    classes: usize,
    splits: usize,
    order: Order,
) -> Result<InceptionScore, MetricError> {
    let rows = check(probabilities, classes)?;
    if splits == 0 || rows < splits {
        let what = "an Inception score (samples, one a split)";
        return Err(MetricError::TooFew { what, needed: splits.max(1), got: rows.min(splits) });
    }
    let mut places: Vec<usize> = (0..rows).collect();
    if let Order::Shuffled(seed) = order {
        Random::new(seed ^ SEED).shuffle(&mut places);
    }
    let row = |&place: &usize| &probabilities[place * classes..][..classes];
    let of_split = |split: usize| {
        score(places[split * rows / splits..(split + 1) * rows / splits].iter().map(row), classes)
    };
    let splits: Vec<f64> = (0..splits).map(of_split).collect();
    let moments: Moments = splits.iter().copied().collect();
    let deviation = moments.population_variance().unwrap_or(0.0).sqrt();
    Ok(InceptionScore { mean: moments.mean().unwrap_or(1.0), deviation, splits })
}

/// The score over all samples in one split, with its percentile bootstrap interval at confidence `level`, over 200
/// resamples.
///
/// # Errors
/// As [`inception_score`]; fewer than two samples, a level outside (0, 1).
pub fn inception_interval(
    probabilities: &[f64],
    classes: usize,
    level: f64,
) -> Result<Interval, MetricError> {
    check(probabilities, classes)?;
    let rows: Vec<&[f64]> = probabilities.chunks_exact(classes).collect();
    bootstrap(&rows, RESAMPLES, level, |rows| score(rows.iter().copied(), classes))
}

fn check(probabilities: &[f64], classes: usize) -> Result<usize, MetricError> {
    if classes == 0 || probabilities.is_empty() {
        return Err(MetricError::TooFew { what: "an Inception score", needed: 1, got: 0 });
    }
    if !probabilities.len().is_multiple_of(classes) {
        let expected = probabilities.len().next_multiple_of(classes);
        return Err(MetricError::Length { what: "class probabilities", expected, got: probabilities.len() });
    }
    let (what, expected) = ("a class probability (number)", "a finite number from 0 to 1");
    // Softmax in f32 may exceed 1 by its rounding.
    crate::error::check(what, probabilities.iter().copied(), expected, |p| (0.0..=1.001).contains(&p))?;
    Ok(probabilities.len() / classes)
}

/// exp of the mean divergence of rows from their mean: of the entropy of the mean less the mean entropy.
fn score<'a>(rows: impl Iterator<Item = &'a [f64]>, classes: usize) -> f64 {
    let (mut marginal, mut own, mut count) = (vec![0.0; classes], 0.0, 0u64);
    for row in rows {
        marginal.iter_mut().zip(row).for_each(|(sum, p)| *sum += p);
        own += entropy(row);
        count += 1;
    }
    let count = count.max(1) as f64;
    marginal.iter_mut().for_each(|sum| *sum /= count);
    (entropy(&marginal) - own / count).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_hot(class: usize, classes: usize) -> impl Iterator<Item = f64> {
        (0..classes).map(move |c| f64::from(u8::from(c == class)))
    }

    #[test]
    fn closed_forms() {
        let whole = |p: &[f64], classes| inception_score(p, classes, 1, Order::Given).unwrap().mean;
        // All alike, sure or not: 1. Balanced and sure: the number of classes; the zeros are no trouble.
        assert!((whole(&[0.2, 0.3, 0.5].repeat(40), 3) - 1.0).abs() < 1e-14);
        let same: Vec<f64> = (0..40).flat_map(|_| one_hot(2, 7)).collect();
        assert!((whole(&same, 7) - 1.0).abs() < 1e-14);
        let balanced: Vec<f64> = (0..70).flat_map(|i| one_hot(i % 7, 7)).collect();
        assert!((whole(&balanced, 7) - 7.0).abs() < 1e-12);
        // Two classes, each with probability p or 1 - p: exp(ln 2 - H(p)).
        let pairs = [0.9, 0.1, 0.1, 0.9].repeat(20);
        let entropy = -(0.9f64 * 0.9f64.ln() + 0.1 * 0.1f64.ln());
        assert!((whole(&pairs, 2) - 2.0 * (-entropy).exp()).abs() < 1e-14);
        // One missing class of seven leaves six.
        let six: Vec<f64> = (0..60).flat_map(|i| one_hot(i % 6, 7)).collect();
        assert!((whole(&six, 7) - 6.0).abs() < 1e-12);
    }

    #[test]
    fn the_order_of_samples_tells_the_conventions_apart() {
        // Class by class: each of 5 splits holds one class alone.
        let sorted: Vec<f64> = (0..500).flat_map(|i| one_hot(i / 100, 5)).collect();
        let of = |splits, order| inception_score(&sorted, 5, splits, order).unwrap();
        assert!((of(5, Order::Given).mean - 1.0).abs() < 1e-12);
        let shuffled = of(5, Order::Shuffled(1));
        // Of 100 samples the entropy of 5 classes is short of ln 5 by 4 / 200 on average.
        assert!(
            (shuffled.mean - 5.0 * (-0.02f64).exp()).abs() < 0.12 && shuffled.deviation > 0.0,
            "{shuffled:?}"
        );
        assert_eq!(shuffled, of(5, Order::Shuffled(1)));
        assert_ne!(shuffled, of(5, Order::Shuffled(2)));
        assert!((of(1, Order::Shuffled(3)).mean - 5.0).abs() < 1e-12);
    }

    #[test]
    fn intervals_hold_the_estimate_and_what_is_no_law_is_refused() {
        let mut random = Random::new(4);
        let p: Vec<f64> = (0..300)
            .flat_map(|_| {
                let p = random.unit();
                [p, 1.0 - p]
            })
            .collect();
        let interval = inception_interval(&p, 2, 0.95).unwrap();
        assert!(interval.low < interval.estimate && interval.estimate < interval.high, "{interval:?}");
        assert_eq!(interval.estimate, inception_score(&p, 2, 1, Order::Given).unwrap().mean);
        // E KL = ln 2 - 1/2 for p uniform: the mean entropy is 1/2.
        assert!((interval.low..interval.high).contains(&(2.0 * (-0.5f64).exp())), "{interval:?}");
        let refused = |p: &[f64], classes, splits| inception_score(p, classes, splits, Order::Given).is_err();
        assert!(
            refused(&[], 2, 1)
                && refused(&[0.5; 3], 2, 1)
                && refused(&[0.5; 4], 2, 3)
                && refused(&[0.5; 4], 2, 0)
        );
        assert!(refused(&[f64::NAN, 0.5], 2, 1) && refused(&[-0.1, 1.1], 2, 1) && refused(&[0.5], 0, 1));
    }
}
