//! Everything that is computed from pairs of samples, in one pass: the kernel distance, precision and recall, density and
//! coverage together cost no more than the dearest of them.

use crate::error::MetricError;
use crate::features::Features;
use crate::kernel::{KernelOptions, KernelScore};
use crate::neighbours::{Ball, DensityCoverage, PrecisionRecall};
use crate::stats::{Interval, bootstrap};
use crate::sweep::{Inside, Members, across, sides, within};
use crate::{kernel, neighbours};

/// Resamples of an interval.
const RESAMPLES: usize = 1000;

/// What is asked of pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairOptions {
    /// Neighbours that balls reach to.
    pub neighbours: Vec<usize>,
    /// The kernel distance.
    pub kernel: Option<KernelOptions>,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct PairScores {
    asked: PairOptions,
    inside: Vec<Inside>,
    generated: usize,
    kernel: Option<KernelScore>,
}

/// Compares two sets.
///
/// # Errors
/// Different dimensions; no generated samples, k = 0 or at most k real ones for balls; what
/// [`kernel_distance`](kernel::kernel_distance) says of its options.
pub fn compare(
    real: &Features,
    generated: &Features,
    options: &PairOptions,
) -> Result<PairScores, MetricError> {
    real.check_alike(generated)?;
    let ks = &options.neighbours;
    for &k in ks {
        neighbours::check_size(real, k)?;
        if generated.rows() == 0 {
            return Err(MetricError::TooFew { what: "precision, density and coverage", needed: 1, got: 0 });
        }
    }
    let drawn = options.kernel.map(|options| kernel::draw([real, generated], options)).transpose()?;
    let shared = drawn.as_ref().filter(|drawn| drawn.fits_a_sweep([real, generated]));
    let members = shared.map(|drawn| {
        [(real, 0), (generated, 1)].map(|(set, side)| Members::new(set.rows(), &drawn.subsets[side]))
    });
    let [of_real, of_generated] = members.as_ref().map_or([None; 2], |[a, b]| [Some(a), Some(b)]);
    let (mut inside, mut kernel) = (Vec::new(), None);
    if !ks.is_empty() || shared.is_some() {
        let [real, generated] = sides([real, generated]);
        let first = within(&real, ks, of_real);
        let known: Vec<usize> = ks.iter().copied().filter(|&k| k < generated.set.rows()).collect();
        let second = within(&generated, &known, of_generated);
        let mut found = second.radii.into_iter();
        let balls: Vec<Vec<f64>> = ks
            .iter()
            .map(|k| if known.contains(k) { found.next().unwrap_or_default() } else { Vec::new() })
            .collect();
        let between =
            across([&real, &generated], [&first.radii, &balls], members.as_ref().map(|[a, b]| [a, b]));
        inside = between.inside;
        kernel = shared.map(|drawn| drawn.score_of_sums([&first.sums, &second.sums, &between.sums]));
    }
    if let (None, Some(drawn)) = (&kernel, &drawn) {
        kernel = Some(drawn.score_of_subsets([real, generated])?);
    }
    Ok(PairScores { asked: options.clone(), inside, generated: generated.rows(), kernel })
}

/// A score of two figures with their intervals: first precision or density, then recall or coverage.
pub type Intervals = [Interval; 2];

impl PairScores {
    /// Whether everything that `asked` asks was asked.
    pub fn answers(&self, asked: &PairOptions) -> bool {
        let kernel = asked.kernel.is_none() || asked.kernel == self.asked.kernel;
        kernel && asked.neighbours.iter().all(|k| self.asked.neighbours.contains(k))
    }

    fn of(&self, k: usize) -> Result<&Inside, MetricError> {
        let at = self.asked.neighbours.iter().position(|&known| known == k);
        at.map(|at| &self.inside[at]).ok_or(MetricError::TooFew {
            what: "a score of balls (neighbours asked for)",
            needed: k,
            got: 0,
        })
    }

    /// The kernel distance, where it was asked for.
    pub fn kernel(&self) -> Option<KernelScore> {
        self.kernel
    }

    /// Precision and recall with balls up to the k-th neighbour.
    ///
    /// # Errors
    /// This k was not asked for, or there are at most k generated samples.
    pub fn precision_recall(&self, k: usize, ball: Ball) -> Result<PrecisionRecall, MetricError> {
        let (precise, recalled) = self.precise_and_recalled(k, ball)?;
        Ok(PrecisionRecall { precision: share(&precise), recall: share(&recalled) })
    }

    fn precise_and_recalled(&self, k: usize, ball: Ball) -> Result<(Vec<bool>, Vec<bool>), MetricError> {
        let inside = self.of(k)?;
        neighbours::check_rows(self.generated, k)?;
        let at = ball.place();
        Ok((
            inside.balls.iter().map(|balls| balls[at] > 0).collect(),
            inside.recalled.iter().map(|any| any[at]).collect(),
        ))
    }

    /// Density and coverage with balls up to the k-th neighbour.
    ///
    /// # Errors
    /// This k was not asked for.
    pub fn density_coverage(&self, k: usize, ball: Ball) -> Result<DensityCoverage, MetricError> {
        let (counts, covered) = self.counts_and_covered(k, ball)?;
        let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        let density = total as f64 / (k * counts.len()) as f64;
        Ok(DensityCoverage { density, coverage: share(&covered) })
    }

    fn counts_and_covered(&self, k: usize, ball: Ball) -> Result<(Vec<u32>, Vec<bool>), MetricError> {
        let (inside, at) = (self.of(k)?, ball.place());
        let covered = inside.covered.iter().map(|any| any[at]).collect();
        Ok((inside.balls.iter().map(|balls| balls[at]).collect(), covered))
    }

    /// Percentile bootstrap intervals of precision and recall at confidence `level`, over 1000 resamples: the samples
    /// that are counted are drawn with replacement, the other set and its balls stay.
    ///
    /// # Errors
    /// As [`PairScores::precision_recall`]; a level outside (0, 1), one sample alone.
    pub fn precision_recall_intervals(
        &self,
        k: usize,
        ball: Ball,
        level: f64,
    ) -> Result<Intervals, MetricError> {
        let (precise, recalled) = self.precise_and_recalled(k, ball)?;
        Ok([bootstrap(&precise, RESAMPLES, level, share)?, bootstrap(&recalled, RESAMPLES, level, share)?])
    }

    /// The same of density and coverage.
    ///
    /// # Errors
    /// As [`PairScores::density_coverage`]; a level outside (0, 1), one sample alone.
    pub fn density_coverage_intervals(
        &self,
        k: usize,
        ball: Ball,
        level: f64,
    ) -> Result<Intervals, MetricError> {
        let (counts, covered) = self.counts_and_covered(k, ball)?;
        let density = |counts: &[u32]| {
            counts.iter().map(|&count| f64::from(count)).sum::<f64>() / (k * counts.len()) as f64
        };
        Ok([bootstrap(&counts, RESAMPLES, level, density)?, bootstrap(&covered, RESAMPLES, level, share)?])
    }
}

/// The share that holds.
fn share(of: &[bool]) -> f64 {
    of.iter().filter(|&&holds| holds).count() as f64 / of.len() as f64
}
