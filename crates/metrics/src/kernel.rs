//! The kernel distance between two sets of features (Binkowski et al. 2018, section 4, with Inception's features: KID).
//!
//! The squared maximum mean discrepancy with the kernel k(x, y) = (x.y / d + 1)^3, by its unbiased estimate (Gretton et
//! al. 2012, equation 3), averaged over subsets. Unbiased, so it can be negative on equal sets, and sets of any size have
//! the same mean.

use crate::blocks::{map_blocks, products};
use crate::error::MetricError;
use crate::features::Features;
use crate::stats::{Moments, Random};
use std::ops::Range;

/// Rows whose kernel values are held at once.
const BLOCK: usize = 512;

/// How the distance is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelOptions {
    /// Pairs of subsets.
    pub subsets: usize,
    /// Samples of each subset.
    pub size: usize,
    /// Of the draw of subsets.
    pub seed: u64,
}

impl Default for KernelOptions {
    /// 100 subsets of 1000, as the authors' program has them.
    fn default() -> Self {
        Self { subsets: 100, size: 1000, seed: 0 }
    }
}

/// A kernel distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelScore {
    /// Mean over the subsets.
    pub mean: f64,
    /// Standard deviation over the subsets, divisor of their number less one: of one subset's distance, not of the mean.
    pub deviation: f64,
    /// Subsets.
    pub subsets: usize,
    /// Samples of each.
    pub size: usize,
}

/// The unbiased squared discrepancy of all rows of two sets:
/// mean of k(x, x') over x != x' + the same of y - 2 mean of k(x, y).
///
/// # Errors
/// Fewer than two samples in either, or different dimensions.
pub fn discrepancy(x: &Features, y: &Features) -> Result<f64, MetricError> {
    x.check_alike(y)?;
    for set in [x, y] {
        if set.rows() < 2 {
            return Err(MetricError::TooFew { what: "the kernel distance", needed: 2, got: set.rows() });
        }
    }
    let (n, m) = (x.rows() as f64, y.rows() as f64);
    let own = |set: &Features, n: f64| kernel_sum(set, set, true) / (n * (n - 1.0));
    Ok(own(x, n) + own(y, m) - 2.0 * kernel_sum(x, y, false) / (n * m))
}

/// The sum of k over all pairs of rows of two sets; without those of a row with itself where they are one set.
fn kernel_sum(a: &Features, b: &Features, same: bool) -> f64 {
    let d = a.dimensions() as f64;
    let blocks = |rows: usize| (0..rows).step_by(BLOCK).map(move |i| i..(i + BLOCK).min(rows));
    let kernel = |product: f64| (product / d + 1.0).powi(3);
    let of = |rows: Range<usize>, others: Range<usize>| {
        let all = products(a, rows.clone(), b, others.clone());
        let sum: f64 = all.iter().map(|&p| kernel(p)).sum();
        let own = rows.clone().filter(|i| same && others.contains(i));
        sum - own.map(|i| kernel(all[(i - rows.start, i - others.start)])).sum::<f64>()
    };
    blocks(a.rows())
        .flat_map(|rows| blocks(b.rows()).map(move |o| (rows.clone(), o)))
        .map(|(r, o)| of(r, o))
        .sum()
}

/// The distance between two sets, over subsets drawn without replacement.
///
/// # Errors
/// Fewer samples in either than a subset takes: that is never made smaller silently, since the deviation depends on
/// it. Fewer than two subsets, subsets of fewer than two, different dimensions.
pub fn kernel_distance(
    x: &Features,
    y: &Features,
    options: KernelOptions,
) -> Result<KernelScore, MetricError> {
    x.check_alike(y)?;
    let KernelOptions { subsets, size, seed } = options;
    for (what, got) in [("the kernel distance (subsets)", subsets), ("the kernel distance (size)", size)] {
        if got < 2 {
            return Err(MetricError::TooFew { what, needed: 2, got });
        }
    }
    let got = x.rows().min(y.rows());
    if got < size {
        let (what, setting) = ("the kernel distance", "subset size");
        return Err(MetricError::Subset { what, setting, needed: size, got });
    }
    let mut random = Random::new(seed ^ 0x6b65_726e_656c);
    let drawn: Vec<[Vec<usize>; 2]> =
        (0..subsets).map(|_| [x, y].map(|set| without_replacement(&mut random, set.rows(), size))).collect();
    let one = |range: Range<usize>| {
        let [of_x, of_y] = &drawn[range.start];
        discrepancy(&x.select(of_x.iter().copied()), &y.select(of_y.iter().copied()))
    };
    let moments: Moments = map_blocks(subsets, 1, one).into_iter().collect::<Result<_, _>>()?;
    let (mean, variance) = (moments.mean().unwrap_or(0.0), moments.variance().unwrap_or(0.0));
    Ok(KernelScore { mean, deviation: variance.sqrt(), subsets, size })
}

/// `count` different ones of `0..total`: the first places of a shuffle (Fisher and Yates).
fn without_replacement(random: &mut Random, total: usize, count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..total).collect();
    for i in 0..count {
        all.swap(i, i + random.below(total - i));
    }
    all.truncate(count);
    all
}
