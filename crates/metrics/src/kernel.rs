//! The kernel distance between two sets of features (Binkowski et al. 2018, section 4, with Inception's features: KID).
//!
//! The squared maximum mean discrepancy with the kernel k(x, y) = (x.y / d + 1)^3, by its unbiased estimate (Gretton et
//! al. 2012, equation 3), averaged over subsets. Unbiased, so it can be negative on equal sets, and sets of any size have
//! the same mean.

use crate::blocks::{map_blocks, products};
use crate::error::MetricError;
use crate::features::Features;
use crate::pairs::{PairOptions, compare};
use crate::stats::{Moments, Random, quantile};
use crate::sweep::kernel;
use std::ops::Range;

/// Rows whose kernel values are held at once.
const BLOCK: usize = 512;
/// Sets the draw of subsets apart from others under the same seed.
const SEED: u64 = 0x6b65_726e_656c;
/// Confidence of the interval.
const LEVEL: f64 = 0.95;

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
    /// 95 % interval for the sampling of both sets, where they have more samples than a subset takes.
    pub interval: Option<[f64; 2]>,
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
    let of = |rows: Range<usize>, others: Range<usize>| {
        let all = products(a, rows.clone(), b, others.clone());
        let sum: f64 = all.iter().map(|&p| kernel(p, d)).sum();
        let own = rows.clone().filter(|i| same && others.contains(i));
        sum - own.map(|i| kernel(all[(i - rows.start, i - others.start)], d)).sum::<f64>()
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
    let asked = PairOptions { neighbours: Vec::new(), kernel: Some(options) };
    let found = compare(x, y, &asked)?.kernel();
    found.ok_or(MetricError::TooFew { what: "the kernel distance (subsets)", needed: 2, got: 0 })
}

/// Subsets of two sets.
pub(crate) struct Drawn {
    options: KernelOptions,
    /// Rows of each subset, for either set.
    pub(crate) subsets: [Vec<Vec<usize>>; 2],
    /// Rows of the smaller set.
    smaller: usize,
}

/// Draws the subsets of a distance: those of the first and the second set by turns.
pub(crate) fn draw(sets: [&Features; 2], options: KernelOptions) -> Result<Drawn, MetricError> {
    let KernelOptions { subsets, size, seed } = options;
    for (what, got) in [("the kernel distance (subsets)", subsets), ("the kernel distance (size)", size)] {
        if got < 2 {
            return Err(MetricError::TooFew { what, needed: 2, got });
        }
    }
    let smaller = sets[0].rows().min(sets[1].rows());
    if smaller < size {
        let (what, setting) = ("the kernel distance", "subset size");
        return Err(MetricError::Subset { what, setting, needed: size, got: smaller });
    }
    let mut random = Random::new(seed ^ SEED);
    let mut drawn = [Vec::new(), Vec::new()];
    for _ in 0..subsets {
        for (set, drawn) in sets.iter().zip(&mut drawn) {
            drawn.push(without_replacement(&mut random, set.rows(), size));
        }
    }
    Ok(Drawn { options, subsets: drawn, smaller })
}

impl Drawn {
    /// Whether one pass over all pairs takes no more products than the subsets do by themselves. It depends on sizes
    /// alone, so that the last digits of a score do too.
    pub(crate) fn fits_a_sweep(&self, sets: [&Features; 2]) -> bool {
        let [n, m] = sets.map(|set| set.rows() as f64);
        let KernelOptions { subsets, size, .. } = self.options;
        0.5 * (n * n + m * m) + n * m <= 2.0 * subsets as f64 * (size * size) as f64
    }

    /// From the sums of the kernel over ordered pairs of two rows of each subset of the first set, of the second, and
    /// over pairs of both.
    pub(crate) fn score_of_sums(&self, [of_x, of_y, of_both]: [&[f64]; 3]) -> KernelScore {
        let n = self.options.size as f64;
        let each = of_x.iter().zip(of_y).zip(of_both);
        self.score(
            &each.map(|((x, y), both)| (x + y) / (n * (n - 1.0)) - 2.0 * both / (n * n)).collect::<Vec<_>>(),
        )
    }

    /// Subset by subset.
    pub(crate) fn score_of_subsets(&self, [x, y]: [&Features; 2]) -> Result<KernelScore, MetricError> {
        let [of_x, of_y] = &self.subsets;
        let one = |range: Range<usize>| {
            let [a, b] = [(x, of_x), (y, of_y)].map(|(set, of)| set.select(of[range.start].iter().copied()));
            discrepancy(&a, &b)
        };
        let each: Vec<f64> =
            map_blocks(self.options.subsets, 1, one).into_iter().collect::<Result<_, _>>()?;
        Ok(self.score(&each))
    }

    fn score(&self, each: &[f64]) -> KernelScore {
        let moments: Moments = each.iter().copied().collect();
        let (mean, variance) = (moments.mean().unwrap_or(0.0), moments.variance().unwrap_or(0.0));
        let KernelOptions { subsets, size, .. } = self.options;
        KernelScore { mean, deviation: variance.sqrt(), subsets, size, interval: self.interval(mean, each) }
    }

    /// Subsampling (Politis and Romano 1994): what the distances of subsets of b samples are off their mean is, times
    /// sqrt(b / n), what a distance of n samples is off its own. Subsets without replacement repeat samples of each
    /// other, so that they spread less by sqrt(1 - b / n).
    fn interval(&self, mean: f64, each: &[f64]) -> Option<[f64; 2]> {
        let share = self.options.size as f64 / self.smaller as f64;
        let factor = (share / (1.0 - share)).sqrt();
        let tail = (1.0 - LEVEL) / 2.0;
        let ends = [1.0 - tail, tail].map(|share| quantile(each, share));
        match ends {
            [Ok(high), Ok(low)] if factor.is_finite() => {
                Some([mean - factor * (high - mean), mean - factor * (low - mean)])
            }
            _ => None,
        }
    }
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
