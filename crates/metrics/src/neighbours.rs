//! Precision, recall, density and coverage from nearest neighbours in feature space.
//!
//! Each sample of a set has a ball: around it, up to its k-th nearest neighbour in the same set (itself not counted).
//! Samples inside balls of the other set are taken for plausible or covered. Whether a sample on the surface is inside is
//! a convention that programs differ in: [`Ball`] names it. Neighbours are found from matrix products; wherever their
//! rounding could decide, the sum of squared differences does, so that equal features have distance 0 and ties are ties.
//! Several of these scores, or the kernel distance with them, cost least together: [`crate::pairs::compare`].

use crate::error::MetricError;
use crate::features::Features;
use crate::pairs::{PairOptions, compare};
use crate::sweep::{sides, within};

/// Whether a sample on the surface of a ball is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ball {
    /// No, distance < radius: the program `prdc` (Naeem et al. 2020) for all four scores.
    Open,
    /// Yes, distance <= radius: Kynkaanniemi et al. 2019 (equation 1) and torch-fidelity.
    Closed,
}

impl Ball {
    /// Both.
    pub const ALL: [Ball; 2] = [Ball::Open, Ball::Closed];

    /// The inequality, `<` or `<=`.
    pub fn sign(self) -> &'static str {
        match self {
            Ball::Open => "<",
            Ball::Closed => "<=",
        }
    }

    /// Its place in [`Ball::ALL`].
    pub(crate) fn place(self) -> usize {
        match self {
            Ball::Open => 0,
            Ball::Closed => 1,
        }
    }

    /// Whether a squared distance lies in a ball of that squared radius.
    pub(crate) fn holds(self, square: f64, radius: f64) -> bool {
        match self {
            Ball::Open => square < radius,
            Ball::Closed => square <= radius,
        }
    }
}

/// How alike two sets are, as Kynkaanniemi et al. 2019 count it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecall {
    /// The share of generated samples inside a ball of a real one.
    pub precision: f64,
    /// The share of real samples inside a ball of a generated one.
    pub recall: f64,
}

/// How alike two sets are, as Naeem et al. 2020 count it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DensityCoverage {
    /// Balls of real samples that a generated sample lies in, over k, on average (equation 3): 1 on average for equal
    /// laws, and not bounded by it.
    pub density: f64,
    /// The share of real samples whose ball holds a generated one (equation 4).
    pub coverage: f64,
}

/// Precision and recall with balls up to the k-th neighbour; k = 3 is usual.
///
/// # Errors
/// A set of at most k samples, k = 0, different dimensions.
pub fn precision_recall(
    real: &Features,
    generated: &Features,
    k: usize,
    ball: Ball,
) -> Result<PrecisionRecall, MetricError> {
    real.check_alike(generated)?;
    check_size(generated, k)?;
    compare(real, generated, &PairOptions { neighbours: vec![k], kernel: None })?.precision_recall(k, ball)
}

/// Density and coverage with balls up to the k-th neighbour; k = 5 is usual, with which equal laws cover .9688 of many
/// samples: 1 - 2^-k.
///
/// # Errors
/// At most k real samples, no generated ones, k = 0, different dimensions.
pub fn density_coverage(
    real: &Features,
    generated: &Features,
    k: usize,
    ball: Ball,
) -> Result<DensityCoverage, MetricError> {
    compare(real, generated, &PairOptions { neighbours: vec![k], kernel: None })?.density_coverage(k, ball)
}

/// Squared distance of every row to its k-th nearest other row.
///
/// # Errors
/// At most k rows, or k = 0.
pub fn radii(set: &Features, k: usize) -> Result<Vec<f64>, MetricError> {
    check_size(set, k)?;
    let none = set.select([]);
    let [side, _] = sides([set, &none]);
    Ok(within(&side, &[k], None).radii.swap_remove(0))
}

/// Refuses sets whose samples have no k-th neighbour.
pub(crate) fn check_size(set: &Features, k: usize) -> Result<(), MetricError> {
    check_rows(set.rows(), k)
}

pub(crate) fn check_rows(rows: usize, k: usize) -> Result<(), MetricError> {
    if k == 0 {
        return Err(MetricError::TooFew { what: "a neighbourhood (as k)", needed: 1, got: 0 });
    }
    if rows <= k {
        let what = "a distance to the k-th neighbour";
        return Err(MetricError::TooFew { what, needed: k + 1, got: rows });
    }
    Ok(())
}
