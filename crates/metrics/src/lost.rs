//! Kinds of samples that a generator has lost: classes, or cells of feature space, whose share among generated samples
//! lies so far below that among real ones that chance cannot be the reason (after Richardson and Weiss 2018, section 3,
//! who count cells whose shares differ either way).

use crate::error::{MetricError, check};
use statrs::distribution::{Binomial, DiscreteCDF};

/// A kind that was lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lost {
    /// Its number.
    pub kind: usize,
    /// Its share among real samples.
    pub real: f64,
    /// Its share among generated ones.
    pub generated: f64,
    /// Probability of so few generated samples, did the generator keep `part` of the real share.
    pub p: f64,
}

/// What was lost of all kinds.
#[derive(Clone, Debug, PartialEq)]
pub struct Losses {
    /// The kinds, the most frequent among real samples first.
    pub kinds: Vec<Lost>,
    /// Their share among real samples together.
    pub mass: f64,
    /// The share among real samples of kinds so rare that losing them whole would not be told from chance.
    pub untold: f64,
}

/// Kinds whose generated share lies below `part` of their real share, at the level `level` for all kinds together
/// (Bonferroni). Counts are taken for independent Poisson numbers, of which the generated one is binomial given the sum.
///
/// # Errors
/// Different numbers of kinds, no samples of either set, a part or level outside (0, 1).
pub fn lost(real: &[u64], generated: &[u64], part: f64, level: f64) -> Result<Losses, MetricError> {
    let (expected, got) = (real.len(), generated.len());
    if expected != got {
        return Err(MetricError::Length { what: "counts of generated kinds", expected, got });
    }
    let inside = |value: f64| value > 0.0 && value < 1.0;
    check("the part of share", [part], "a number between 0 and 1", inside)?;
    check("the level of test", [level], "a number between 0 and 1", inside)?;
    let (m, n) = (real.iter().sum::<u64>(), generated.iter().sum::<u64>());
    for (what, got) in [("lost kinds (real samples)", m), ("lost kinds (generated samples)", n)] {
        if got == 0 {
            return Err(MetricError::TooFew { what, needed: 1, got: 0 });
        }
    }
    let present = real.iter().filter(|&&count| count > 0).count();
    let level = level / present.max(1) as f64;
    // Where the generator keeps `part`, a sample of the kind is a generated one with this probability.
    let share = part * n as f64 / (part * n as f64 + m as f64);
    let at_most = |found: u64, of: u64| Binomial::new(share, of).map_or(1.0, |law| law.cdf(found));
    let mut losses = Losses { kinds: Vec::new(), mass: 0.0, untold: 0.0 };
    for (kind, (&real, &generated)) in real.iter().zip(generated).enumerate().filter(|(_, (r, _))| **r > 0) {
        let p = at_most(generated, real + generated);
        let of = real as f64 / m as f64;
        if p < level {
            losses.kinds.push(Lost { kind, real: of, generated: generated as f64 / n as f64, p });
            losses.mass += of;
        } else if at_most(0, real) >= level {
            losses.untold += of;
        }
    }
    losses.kinds.sort_by(|a, b| b.real.total_cmp(&a.real).then(a.kind.cmp(&b.kind)));
    Ok(losses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    fn counts(random: &mut Random, weights: &[f64], n: usize) -> Vec<u64> {
        let total: f64 = weights.iter().sum();
        let mut counts = vec![0; weights.len()];
        for _ in 0..n {
            let mut u = random.unit() * total;
            let kind = weights.iter().position(|w| {
                u -= w;
                u < 0.0
            });
            counts[kind.unwrap_or(weights.len() - 1)] += 1;
        }
        counts
    }

    #[test]
    fn what_is_lost_is_named_and_what_is_rare_is_not() {
        let mut random = Random::new(2);
        let real = counts(&mut random, &[1.0; 10], 2000);
        // A tenth of a class is left, another is whole but halved: the first is lost, the second is not.
        let mut weights = [1.0; 10];
        (weights[3], weights[7]) = (0.05, 0.5);
        let found = lost(&real, &counts(&mut random, &weights, 2000), 0.25, 1e-3).unwrap();
        assert_eq!(found.kinds.iter().map(|l| l.kind).collect::<Vec<_>>(), [3]);
        assert!((found.mass - 0.1).abs() < 0.03 && found.untold == 0.0, "{found:?}");
        // A kind with five real samples cannot be missed, and is counted as such.
        let found = lost(&[1000, 5, 0], &[1000, 0, 0], 0.25, 1e-3).unwrap();
        assert!(found.kinds.is_empty() && (found.untold - 5.0 / 1005.0).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn no_alarm_at_the_border_more_often_than_the_level_says() {
        let (mut random, rounds, mut alarms) = (Random::new(9), 2000, 0);
        let weights = [1.0, 1.0, 1.0, 1.0, 0.25];
        for _ in 0..rounds {
            let real = counts(&mut random, &[1.0; 5], 300);
            // The last kind has a quarter of the others' weight, and so a little more than a quarter of its share.
            let made = counts(&mut random, &weights, 300);
            alarms += usize::from(!lost(&real, &made, 0.25, 0.05).unwrap().kinds.is_empty());
        }
        assert!(alarms < rounds / 20, "{alarms}");
        // The wrong twin compares shares without a test.
        let (real, made) = ([100, 4], [104, 0]);
        assert!(made[1] as f64 / 104.0 < 0.25 * real[1] as f64 / 104.0);
        assert!(lost(&real, &made, 0.25, 1e-3).unwrap().kinds.is_empty());
    }

    #[test]
    fn what_is_no_comparison_is_refused() {
        assert!(lost(&[1], &[1, 2], 0.25, 1e-3).is_err());
        assert!(lost(&[0], &[1], 0.25, 1e-3).is_err() && lost(&[1], &[0], 0.25, 1e-3).is_err());
        assert!(lost(&[1], &[1], 1.0, 1e-3).is_err() && lost(&[1], &[1], 0.25, 0.0).is_err());
    }
}
