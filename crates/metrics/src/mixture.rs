//! Points against a Gaussian mixture in the plane: modes found, share of good samples, divergence, spread.

use crate::{
    error::{MetricError, check},
    law::{kl, kl_floor, shares},
};

/// Samples within this many standard deviations of a centre belong to its mode.
pub const REACH: f64 = 3.0;

/// The share of a plane Gaussian within [`REACH`] standard deviations: r^2 / 2 is exponential with mean 1, so it is
/// 1 - e^(-9/2) = .98889.
pub const PERFECT_HIGH_QUALITY: f64 = 0.988_891_003_461_757_7;

/// The spread that perfect samples show: the root mean square per axis, in sigmas, of a plane Gaussian cut off at
/// [`REACH`]. With t = r^2 / 2, exponential and cut at T = 9/2, the mean square per axis is E[r^2] / 2 = E[t | t <= T]
/// = 1 - T e^-T / (1 - e^-T) = .949448, and its root .974396.
pub const PERFECT_SPREAD: f64 = 0.974_396_188_846_618_5;

/// Standard deviations of the modes along each axis.
#[derive(Clone, Debug, PartialEq)]
pub enum Sigma {
    /// One for all modes.
    Common(f64),
    /// One a mode.
    PerMode(Vec<f64>),
}

/// A mixture of round Gaussians in the plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture2d {
    centres: Vec<[f64; 2]>,
    sigmas: Vec<f64>,
    weights: Vec<f64>,
}

/// How samples compare with a mixture.
///
/// A sample belongs to the centre nearest to it, distances measured in that centre's sigma. It is of *high quality*
/// when this distance is at most 3. Everything but `high_quality` is computed from the high-quality samples.
#[derive(Clone, Debug, PartialEq)]
pub struct MixtureScore {
    /// Samples scored.
    pub samples: usize,
    /// Samples with a coordinate that is NaN or infinite; they count as samples, never as high quality.
    pub non_finite: usize,
    /// Modes with at least one high-quality sample.
    pub modes: usize,
    /// Modes there are.
    pub total_modes: usize,
    /// The share of samples of high quality; [`PERFECT_HIGH_QUALITY`] for samples of the mixture itself.
    pub high_quality: f64,
    /// High-quality samples of each mode.
    pub counts: Vec<u64>,
    /// KL(law of the modes among high-quality samples || weights), natural logarithm; `None` without any. A mode
    /// that is missing leaves it finite.
    pub reverse_kl: Option<f64>,
    /// What `reverse_kl` is on average for a perfect sampler with as many high-quality samples: (K - 1) / (2 N).
    pub reverse_kl_floor: Option<f64>,
    /// For each mode the root mean square per axis of its samples' offsets from the centre, in sigmas: 0 for a
    /// collapsed mode, [`PERFECT_SPREAD`] for a perfect one; `None` for a mode without samples.
    pub spread: Vec<Option<f64>>,
}

impl MixtureScore {
    /// The smallest and the largest spread among modes found; `None` if there is none.
    pub fn spread_range(&self) -> Option<(f64, f64)> {
        let spreads = || self.spread.iter().flatten().copied();
        spreads().next()?;
        Some((spreads().fold(f64::INFINITY, f64::min), spreads().fold(0.0, f64::max)))
    }
}

impl Mixture2d {
    /// A mixture; weights are divided by their sum.
    ///
    /// # Errors
    /// No centres, lists of different lengths, a sigma or weight that is not a finite number above 0, a centre that
    /// is not finite.
    pub fn new(centres: Vec<[f64; 2]>, sigma: Sigma, weights: Vec<f64>) -> Result<Self, MetricError> {
        let modes = centres.len();
        if modes == 0 {
            return Err(MetricError::TooFew { what: "a mixture (as centres)", needed: 1, got: 0 });
        }
        let sigmas = match sigma {
            Sigma::Common(sigma) => vec![sigma; modes],
            Sigma::PerMode(sigmas) => sigmas,
        };
        for (what, got) in [("sigmas of a mixture", sigmas.len()), ("weights of a mixture", weights.len())] {
            if got != modes {
                return Err(MetricError::Length { what, expected: modes, got });
            }
        }
        let positive = |value: f64| value > 0.0 && value.is_finite();
        check("coordinate", centres.iter().flatten().copied(), "a finite number", f64::is_finite)?;
        check("sigma", sigmas.iter().copied(), "a finite number above 0", positive)?;
        check("weight", weights.iter().copied(), "a finite number above 0", positive)?;
        let sum: f64 = weights.iter().sum();
        Ok(Self { centres, sigmas, weights: weights.into_iter().map(|weight| weight / sum).collect() })
    }

    /// A mixture of equally probable modes of one sigma.
    ///
    /// # Errors
    /// As [`Mixture2d::new`].
    pub fn uniform(centres: Vec<[f64; 2]>, sigma: f64) -> Result<Self, MetricError> {
        let weights = vec![1.0; centres.len()];
        Self::new(centres, Sigma::Common(sigma), weights)
    }

    /// The means of the modes.
    pub fn centres(&self) -> &[[f64; 2]] {
        &self.centres
    }

    /// The standard deviation of each mode.
    pub fn sigmas(&self) -> &[f64] {
        &self.sigmas
    }

    /// The probability of each mode.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Scores points given in the mixture's own units.
    ///
    /// # Errors
    /// No points.
    pub fn score(&self, points: &[[f64; 2]]) -> Result<MixtureScore, MetricError> {
        if points.is_empty() {
            return Err(MetricError::TooFew { what: "the score of a mixture", needed: 1, got: 0 });
        }
        let mut counts = vec![0_u64; self.centres.len()];
        let mut squares = vec![0.0; self.centres.len()];
        let mut non_finite = 0;
        for point in points {
            if !point.iter().all(|x| x.is_finite()) {
                non_finite += 1;
                continue;
            }
            let (mode, square) = self.nearest(*point);
            if square <= REACH * REACH {
                counts[mode] += 1;
                squares[mode] += square;
            }
        }
        let good: u64 = counts.iter().sum();
        let found = (good > 0).then_some(());
        Ok(MixtureScore {
            samples: points.len(),
            non_finite,
            modes: counts.iter().filter(|&&count| count > 0).count(),
            total_modes: counts.len(),
            high_quality: good as f64 / points.len() as f64,
            reverse_kl: found.map(|()| kl(&shares(&counts), &self.weights)),
            reverse_kl_floor: found.map(|()| kl_floor(counts.len(), good as usize)),
            spread: counts
                .iter()
                .zip(&squares)
                // Two axes share the square of the distance.
                .map(|(&count, square)| (count > 0).then(|| (square / (2.0 * count as f64)).sqrt()))
                .collect(),
            counts,
        })
    }

    /// The mode nearest to a finite point and the squared distance to it in its sigmas.
    fn nearest(&self, [x, y]: [f64; 2]) -> (usize, f64) {
        let (mut best, mut least) = (0, f64::INFINITY);
        for (mode, ([cx, cy], sigma)) in self.centres.iter().zip(&self.sigmas).enumerate() {
            let (dx, dy) = ((x - cx) / sigma, (y - cy) / sigma);
            let square = dx * dx + dy * dy;
            if square < least {
                (best, least) = (mode, square);
            }
        }
        (best, least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    fn ring(sigma: f64) -> Mixture2d {
        let angle = |mode: usize| std::f64::consts::TAU * mode as f64 / 8.0;
        let centres = (0..8).map(|mode| [2.0 * angle(mode).cos(), 2.0 * angle(mode).sin()]).collect();
        Mixture2d::uniform(centres, sigma).unwrap()
    }

    fn normal_pair(random: &mut Random) -> [f64; 2] {
        let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * random.unit()).sin_cos();
        [radius * cos, radius * sin]
    }

    fn sample(mixture: &Mixture2d, n: usize, seed: u64) -> Vec<[f64; 2]> {
        let mut random = Random::new(seed);
        let mut draw = |_| {
            let mut u = random.unit();
            let mode = mixture.weights().iter().position(|weight| {
                u -= weight;
                u < 0.0
            });
            let mode = mode.unwrap_or(mixture.weights().len() - 1);
            let ([a, b], [x, y]) = (normal_pair(&mut random), mixture.centres()[mode]);
            let sigma = mixture.sigmas()[mode];
            [x + sigma * a, y + sigma * b]
        };
        (0..n).map(&mut draw).collect()
    }

    #[test]
    fn constants_are_their_closed_forms() {
        let tail = (-4.5_f64).exp();
        assert!((PERFECT_HIGH_QUALITY - (1.0 - tail)).abs() < 1e-15);
        assert!((PERFECT_SPREAD - (1.0 - 4.5 * tail / (1.0 - tail)).sqrt()).abs() < 1e-15);
        // The same by integration: E[r^2] / 2 under the density r e^(-r^2/2) on [0, 3].
        let (steps, mut mass, mut square) = (200_000, 0.0, 0.0);
        for step in 0..steps {
            let r = REACH * (f64::from(step) + 0.5) / f64::from(steps);
            let density = r * (-0.5 * r * r).exp();
            mass += density;
            square += density * r * r;
        }
        assert!((PERFECT_SPREAD - (square / mass / 2.0).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn perfect_samples_score_perfectly() {
        let unequal = Mixture2d::new(
            ring(0.02).centres().to_vec(),
            Sigma::PerMode((1..=8).map(|k| 0.01 * f64::from(k)).collect()),
            (1..=8).map(f64::from).collect(),
        );
        for mixture in [ring(0.02), unequal.unwrap()] {
            let n = 20_000;
            let score = mixture.score(&sample(&mixture, n, 3)).unwrap();
            assert_eq!((score.modes, score.total_modes, score.samples, score.non_finite), (8, 8, n, 0));
            let error = (PERFECT_HIGH_QUALITY * (1.0 - PERFECT_HIGH_QUALITY) / n as f64).sqrt();
            assert!(
                (score.high_quality - PERFECT_HIGH_QUALITY).abs() < 4.0 * error,
                "{}",
                score.high_quality
            );
            // 2 N KL is chi-squared with 7 degrees of freedom: above 24.3 with probability .001.
            let statistic = score.reverse_kl.unwrap() * 7.0 / score.reverse_kl_floor.unwrap();
            assert!((0.0..24.3).contains(&statistic), "{statistic}");
            for (spread, &count) in score.spread.iter().zip(&score.counts) {
                // The root mean square of m values has a standard error of at most 1 / (2 sqrt m).
                let error = 0.5 / (count as f64).sqrt();
                assert!((spread.unwrap() - PERFECT_SPREAD).abs() < 4.5 * error, "{spread:?}");
            }
        }
    }

    #[test]
    fn the_third_sigma_is_inside() {
        let mixture = Mixture2d::uniform(vec![[0.0, 0.0], [100.0, 0.0]], 1.0).unwrap();
        let score = mixture.score(&[[3.0, 0.0], [0.0, -3.0], [3.0 + 1e-12, 0.0], [50.0, 0.0]]).unwrap();
        assert_eq!(score.counts, [2, 0]);
        assert_eq!(score.high_quality, 0.5);
        // Offsets (3, 0) and (0, -3): 9 over two axes.
        assert_eq!(score.spread, [Some(4.5_f64.sqrt()), None]);
        assert_eq!(score.spread_range(), Some((4.5_f64.sqrt(), 4.5_f64.sqrt())));
    }

    #[test]
    fn nearness_is_in_sigmas() {
        let sigmas = Sigma::PerMode(vec![1.0, 10.0]);
        let mixture = Mixture2d::new(vec![[0.0, 0.0], [20.0, 0.0]], sigmas, vec![1.0, 1.0]).unwrap();
        // 5 is 5 sigmas from the first centre, 1.5 from the second.
        assert_eq!(mixture.score(&[[5.0, 0.0]]).unwrap().counts, [0, 1]);
    }

    #[test]
    fn divergence_runs_from_samples_to_weights() {
        let mixture =
            Mixture2d::new(vec![[0.0, 0.0], [9.0, 0.0]], Sigma::Common(1.0), vec![1.0, 3.0]).unwrap();
        let score = mixture.score(&[[0.0, 0.0], [9.0, 0.0]]).unwrap();
        // p = (1/2, 1/2), w = (1/4, 3/4): ln 2 - ln(3)/2 = .1438; the wrong twin KL(w || p) is .1308.
        let expected = std::f64::consts::LN_2 - 0.5 * 3f64.ln();
        let twin = kl(mixture.weights(), &[0.5, 0.5]);
        assert!((score.reverse_kl.unwrap() - expected).abs() < 1e-15);
        assert!((twin - expected).abs() > 0.01, "the test tells the directions apart");
    }

    #[test]
    fn collapse_shows_in_every_figure() {
        let mixture = ring(0.02);
        // Everything in one mode, exactly on its centre.
        let score = mixture.score(&vec![mixture.centres()[5]; 100]).unwrap();
        assert_eq!((score.modes, score.high_quality), (1, 1.0));
        assert!((score.reverse_kl.unwrap() - 8f64.ln()).abs() < 1e-12);
        assert_eq!(score.spread[5], Some(0.0));
        assert_eq!(score.spread.iter().flatten().count(), 1);
        // Too wide by a half: uniform spread would be seen, and fewer samples are near.
        let wide = mixture.score(&sample(&ring(0.03), 20_000, 4)).unwrap();
        assert!((wide.high_quality - (1.0 - (-2.0_f64).exp())).abs() < 0.01, "9/2 over 1.5^2 is 2");
        assert!(wide.spread_range().unwrap().0 > 1.1);
    }

    #[test]
    fn samples_without_a_value_are_counted_and_harmless() {
        let mixture = ring(0.02);
        let score =
            mixture.score(&[[f64::NAN, 0.0], [2.0, f64::INFINITY], [2.0, 0.0], [1e300, 1e300]]).unwrap();
        assert_eq!((score.non_finite, score.modes, score.high_quality), (2, 1, 0.25));
        let lost = mixture.score(&[[f64::NAN; 2]]).unwrap();
        assert_eq!((lost.modes, lost.reverse_kl, lost.reverse_kl_floor), (0, None, None));
        assert_eq!(lost.spread_range(), None);
    }

    #[test]
    fn impossible_mixtures_are_refused() {
        let error = |result: Result<Mixture2d, MetricError>| result.unwrap_err().to_string();
        assert!(error(Mixture2d::uniform(vec![], 1.0)).contains("at least 1"));
        let two = || vec![[0.0, 0.0], [1.0, 0.0]];
        assert_eq!(
            error(Mixture2d::new(two(), Sigma::Common(1.0), vec![1.0])),
            "weights of a mixture: 1 values where 2 belong"
        );
        let weights = error(Mixture2d::new(two(), Sigma::Common(1.0), vec![1.0, 0.0]));
        assert_eq!(weights, "weight 1 is 0: expected a finite number above 0");
        assert!(error(Mixture2d::uniform(two(), f64::NAN)).starts_with("sigma 0 is NaN"));
        assert!(
            error(Mixture2d::uniform(vec![[0.0, f64::INFINITY]], 1.0)).starts_with("coordinate 1 is inf")
        );
        assert!(ring(0.1).score(&[]).is_err());
    }
}
