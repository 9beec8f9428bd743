//! How alike the samples of a set are among themselves, measured by real ones: the birthday test.
//!
//! Two samples collide when they are as near as a given share of all pairs of real ones is. Of a set that is as varied as
//! the real one the same share of pairs collides; of one that holds only S different images, 1 / S of them does (Arora and
//! Zhang 2017, section 2: with about sqrt(S) samples one meets a collision). The distance at which pairs collide is the
//! real data's own, so that nothing here depends on units.

use crate::blocks::{map_blocks, products};
use crate::error::{MetricError, check};
use crate::features::Features;

/// Rows whose distances are computed at once.
const BLOCK: usize = 128;

/// Squared distances of all pairs of rows, in no order that means anything.
fn pairs(set: &Features) -> Vec<f64> {
    let squares = set.squares();
    let found = map_blocks(set.rows(), BLOCK, |rows| {
        let products = products(set, rows.clone(), set, 0..rows.end);
        let mut found = Vec::new();
        for (i, row) in rows.enumerate() {
            found.extend((0..row).map(|other| {
                let square = squares[row] + squares[other] - 2.0 * products[(i, other)];
                // Equal rows collide at any distance, whatever rounding says.
                if square <= 1e-9 * squares[row] && set.row(row) == set.row(other) {
                    0.0
                } else {
                    square.max(0.0)
                }
            }));
        }
        found
    });
    found.concat()
}

/// The squared distance that each of these shares of all pairs of rows does not exceed.
///
/// # Errors
/// Fewer than two rows, a share outside (0, 1).
pub fn distances_at(set: &Features, shares: &[f64]) -> Result<Vec<f64>, MetricError> {
    if set.rows() < 2 {
        return Err(MetricError::TooFew { what: "distances of pairs", needed: 2, got: set.rows() });
    }
    check("the share of pairs", shares.iter().copied(), "a number between 0 and 1", |s| s > 0.0 && s < 1.0)?;
    let mut all = pairs(set);
    let last = all.len() - 1;
    Ok(shares
        .iter()
        .map(|share| *all.select_nth_unstable_by((share * last as f64).round() as usize, f64::total_cmp).1)
        .collect())
}

/// Pairs of a set that collide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Collisions {
    /// How many.
    pub pairs: u64,
    /// Their share of all pairs.
    pub share: f64,
    /// The standard deviation of that share.
    pub deviation: f64,
}

impl Collisions {
    /// How many different samples the set is drawn from, where all are equally likely: 1 / share. With no collision it is
    /// at least a third of the pairs (the rule of three: with three expected, none is met with probability 5 %).
    pub fn support(&self, samples: usize) -> f64 {
        let all = samples as f64 * (samples as f64 - 1.0) / 2.0;
        if self.pairs == 0 { all / 3.0 } else { 1.0 / self.share }
    }

    /// A bound that the share exceeds with the confidence of so many deviations.
    pub fn at_least(&self, deviations: f64) -> f64 {
        (self.share - deviations * self.deviation).max(0.0)
    }
}

/// Counts the pairs of rows at most so far apart, squared. The share of colliding pairs is a mean over pairs (a
/// U-statistic), whose variance is 4 / n times that of a row's own share of collisions (Hoeffding 1948), and at least
/// that of as many independent pairs.
///
/// # Errors
/// Fewer than two rows.
pub fn collisions(set: &Features, square: f64) -> Result<Collisions, MetricError> {
    let n = set.rows();
    if n < 2 {
        return Err(MetricError::TooFew { what: "collisions", needed: 2, got: n });
    }
    let all = pairs(set);
    let mut of_row = vec![0u64; n];
    let mut at = 0;
    for row in 0..n {
        for other in 0..row {
            let collides = u64::from(all[at] <= square);
            of_row[row] += collides;
            of_row[other] += collides;
            at += 1;
        }
    }
    let found = of_row.iter().sum::<u64>() / 2;
    let share = found as f64 / at as f64;
    let spread =
        of_row.iter().map(|&c| (c as f64 / (n - 1) as f64 - share).powi(2)).sum::<f64>() / (n - 1) as f64;
    let independent = share * (1.0 - share) / at as f64;
    Ok(Collisions { pairs: found, share, deviation: (4.0 * spread / n as f64).max(independent).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Moments, Random};

    fn uniform(random: &mut Random, rows: usize) -> Features {
        Features::new((0..rows * 2).map(|_| random.unit()).collect(), 2).unwrap()
    }

    #[test]
    fn equal_laws_collide_as_often_as_was_asked_for() {
        let mut random = Random::new(4);
        let at = distances_at(&uniform(&mut random, 1500), &[0.001, 0.1]).unwrap();
        assert!(at[0] < at[1]);
        for (share, square) in [0.001, 0.1].into_iter().zip(at) {
            let rounds: Vec<Collisions> =
                (0..60).map(|_| collisions(&uniform(&mut random, 200), square).unwrap()).collect();
            let shares: Moments = rounds.iter().map(|c| c.share).collect();
            let mean = shares.mean().unwrap();
            assert!((mean / share - 1.0).abs() < 0.08, "{mean} for {share}");
            // The deviation that one set tells is that of many sets, within a half.
            let told = rounds.iter().map(|c| c.deviation).sum::<f64>() / 60.0;
            let true_one = shares.variance().unwrap().sqrt();
            assert!((0.5..2.0).contains(&(told / true_one)), "{told} {true_one}");
        }
    }

    #[test]
    fn the_support_is_the_number_of_different_samples() {
        let mut random = Random::new(6);
        let square = distances_at(&uniform(&mut random, 1000), &[1e-4]).unwrap()[0];
        for support in [5usize, 50, 500] {
            let images = uniform(&mut random, support);
            let drawn = images.select((0..1500).map(|_| random.below(support)).collect::<Vec<_>>());
            let found = collisions(&drawn, square).unwrap().support(1500);
            // Images that are near each other by chance count for one: at a share of 1e-4 of pairs, a few percent.
            assert!((0.75..1.2).contains(&(found / support as f64)), "{found} for {support}");
        }
        let none = collisions(&uniform(&mut random, 100), 0.0).unwrap();
        assert_eq!((none.pairs, none.support(100)), (0, 1650.0));
        assert_eq!(none.at_least(3.0), 0.0);
    }

    #[test]
    fn equal_rows_collide_at_no_distance() {
        let values = [0.1, 1e3 / 3.0, 0.1, 1e3 / 3.0, 0.2, 7.0];
        let found = collisions(&Features::new(values.to_vec(), 2).unwrap(), 0.0).unwrap();
        assert_eq!((found.pairs, found.share), (1, 1.0 / 3.0));
        assert!(collisions(&Features::new(vec![1.0], 1).unwrap(), 0.0).is_err());
        assert!(distances_at(&Features::new(vec![1.0, 2.0], 1).unwrap(), &[1.0]).is_err());
    }
}
