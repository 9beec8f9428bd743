//! Whether a generator copies its training samples: an exact test against samples held out.
//!
//! Training and held-out samples are draws from one law, so for a generator that has not looked at which is which, the
//! labels "training" and "held out" are exchangeable among all real samples, whatever the law and whatever the generator
//! makes: few kinds, typical ones, poor ones. Take the real samples that some generated sample lies *strikingly* near to,
//! chosen without regard to the labels: the number of training samples among them is hypergeometric, exactly. A copy adds
//! a training sample and never a held-out one. (Meehan, Chaudhuri and Dasgupta 2020 compare distances with those of
//! held-out samples instead; their test takes a generator of typical samples for one that copies.)
//!
//! Strikingly near: nearer than a share of the distance to the usual neighbours ([`Near::ratio`]), so that dense and
//! sparse places count alike.

use crate::error::{MetricError, check};
use statrs::distribution::{DiscreteCDF, Hypergeometric};
use std::collections::HashSet;

/// The real sample nearest to a generated one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// Its number among training samples followed by held-out ones.
    pub row: usize,
    /// Its distance over that of the usual neighbours: 0 of a copy, near 1 where nothing is special about it.
    pub ratio: f64,
}

/// What the test found among generated samples nearer than a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Copying {
    /// The ratio.
    pub below: f64,
    /// Different real samples that are strikingly near to a generated one.
    pub neighbours: usize,
    /// Of these, training samples.
    pub training: usize,
    /// Training samples that are expected among as many.
    pub expected: f64,
    /// Probability of so many or more training samples, were the generator blind to the labels.
    pub p: f64,
    /// The share of generated samples that are near to training samples beyond what the held-out ones predict: copies.
    pub copied: f64,
}

/// Tests the nearest real samples of generated ones, at each ratio of `below`; rows below `training` are training samples,
/// the others, up to `training + held_out`, held out.
///
/// # Errors
/// No generated samples, none of either kind of real ones, a row beyond them, a ratio that is negative or not a number.
pub fn copying(
    near: &[Near],
    training: usize,
    held_out: usize,
    below: &[f64],
) -> Result<Vec<Copying>, MetricError> {
    for (what, got) in [
        ("the test for copies (generated samples)", near.len()),
        ("the test for copies (training samples)", training),
        ("the test for copies (held-out samples)", held_out),
    ] {
        if got == 0 {
            return Err(MetricError::TooFew { what, needed: 1, got });
        }
    }
    let all = training + held_out;
    let rows = near.iter().map(|n| n.row as f64);
    check("the neighbour of sample", rows, "a row of the real samples", |row| (row as usize) < all)?;
    check("the ratio of sample", near.iter().map(|n| n.ratio), "a number from 0 on", |r| r >= 0.0)?;
    let test = |&below: &f64| {
        let close: Vec<usize> = near.iter().filter(|n| n.ratio < below).map(|n| n.row).collect();
        let distinct: HashSet<usize> = close.iter().copied().collect();
        let of_training = distinct.iter().filter(|&&row| row < training).count();
        let samples = close.iter().filter(|&&row| row < training).count() as f64;
        let predicted = (close.len() as f64 - samples) * training as f64 / held_out as f64;
        Copying {
            below,
            neighbours: distinct.len(),
            training: of_training,
            expected: distinct.len() as f64 * training as f64 / all as f64,
            p: at_least(of_training, all, training, distinct.len()),
            copied: ((samples - predicted) / near.len() as f64).max(0.0),
        }
    };
    Ok(below.iter().map(test).collect())
}

/// P(X >= found) of so many draws without replacement from `all`, of which `marked` count.
fn at_least(found: usize, all: usize, marked: usize, draws: usize) -> f64 {
    match (found.checked_sub(1), Hypergeometric::new(all as u64, marked as u64, draws as u64)) {
        (Some(below), Ok(law)) => law.sf(below as u64).clamp(0.0, 1.0),
        // At least none is certain.
        (None, _) | (_, Err(_)) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    /// Generated samples, some of them copies of random training samples, the rest near to whatever real sample.
    fn drawn(random: &mut Random, n: usize, copies: f64, training: usize, held_out: usize) -> Vec<Near> {
        (0..n)
            .map(|_| match random.unit() < copies {
                // Of what is no copy little lies strikingly near.
                true => Near { row: random.below(training), ratio: 0.05 * random.unit() },
                false => Near { row: random.below(training + held_out), ratio: 0.2 + 0.8 * random.unit() },
            })
            .collect()
    }

    #[test]
    fn blind_generators_are_accused_as_often_as_the_level_says() {
        let (mut random, mut accused, rounds) = (Random::new(3), 0, 2000);
        for _ in 0..rounds {
            let near = drawn(&mut random, 300, 0.0, 600, 300);
            accused += usize::from(copying(&near, 600, 300, &[0.5]).unwrap()[0].p < 0.05);
        }
        // At most 100 expected (the law is discrete); a deviation is 10.
        assert!((40..=130).contains(&accused), "{accused}");
        // The wrong twin counts samples for real ones: of a generator with few favourites it takes the same neighbour,
        // met again and again, for evidence.
        let (mut wrong, mut right) = (0, 0);
        for round in 0..200 {
            let favourite = Random::new(round).below(900);
            let mut near = drawn(&mut random, 50, 0.0, 600, 300);
            near.extend([Near { row: favourite, ratio: 0.1 }; 300]);
            let found = copying(&near, 600, 300, &[0.5]).unwrap()[0];
            right += usize::from(found.p < 0.01);
            let samples = near.iter().filter(|n| n.ratio < 0.5 && n.row < 600).count();
            let close = near.iter().filter(|n| n.ratio < 0.5).count();
            wrong += usize::from(at_least(samples, 900, 600, close) < 0.01);
        }
        assert!(right <= 8 && wrong > 100, "{right} {wrong}");
    }

    #[test]
    fn copies_are_found_and_counted() {
        let mut random = Random::new(5);
        for (copies, most) in [(0.1, 1e-5), (0.3, 1e-15), (1.0, 1e-50)] {
            let near = drawn(&mut random, 2000, copies, 6000, 1000);
            let found = copying(&near, 6000, 1000, &[0.25, 0.5]).unwrap();
            assert!(found.iter().any(|f| f.p < most), "{found:?}");
            assert!((found[0].copied - copies).abs() < 0.1, "{found:?}");
        }
    }

    #[test]
    fn the_law_is_the_hypergeometric() {
        // Of 5 real samples, 3 in training, 2 neighbours: both in training with probability 3/5 * 2/4.
        let near = [0, 1].map(|row| Near { row, ratio: 0.0 });
        let found = copying(&near, 3, 2, &[0.5]).unwrap()[0];
        assert!((found.p - 0.3).abs() < 1e-12, "{found:?}");
        assert_eq!((found.neighbours, found.training, found.expected), (2, 2, 1.2));
        assert_eq!(copying(&near, 3, 2, &[0.0]).unwrap()[0].p, 1.0);
    }

    #[test]
    fn what_is_no_test_is_refused() {
        let near = [Near { row: 5, ratio: 0.0 }];
        assert!(copying(&near, 3, 2, &[0.5]).is_err());
        assert!(copying(&[], 3, 2, &[0.5]).is_err() && copying(&near, 6, 0, &[0.5]).is_err());
        assert!(copying(&[Near { row: 0, ratio: f64::NAN }], 3, 2, &[0.5]).is_err());
    }
}
