//! The sliced Wasserstein distance (Rabin et al. 2011), of features and, as Karras et al. 2018 (progressive growing,
//! section 5) define it, of patches of images at every level of a Laplacian pyramid.
//!
//! On a line the Wasserstein distance of two sets of equally many numbers is the mean |difference| of both in ascending
//! order. A sliced distance is its mean over random directions onto which samples are projected.
//!
//! Of images: from every level of the pyramid down to 16 pixels (Burt and Adelson 1983: what is lost when a level is
//! halved, by the filter (1 4 6 4 1) / 16 along both axes; of the smallest, the image itself), patches of 7x7 pixels at
//! random places, each channel of all patches of a set at a level shifted and scaled to mean 0 and deviation 1, over 4 x 128
//! directions, times 1000. So standardized, a set that is brighter or of more contrast has distance 0: it is texture that
//! is compared.

use crate::blocks::{map_blocks, multiply, rows, strided};
use crate::error::MetricError;
use crate::features::Features;
use crate::stats::{Interval, Random, student};
use nalgebra::DMatrix;

/// Sides of a patch.
pub const PATCH: usize = 7;
/// A level has at least so many pixels along each axis.
pub const SMALLEST: usize = 16;
/// What distances of images are multiplied with.
pub const SCALE: f64 = 1e3;
/// Images of either set that the authors take.
pub const IMAGES: usize = 16_384;
/// Parts that the interval comes from.
const PARTS: usize = 16;
/// Images of a part at least: a distance of few is no small copy of that of many.
const FEWEST: usize = 64;
/// Images of either set from which on there is an interval.
pub const TOLD: usize = PARTS * FEWEST;
/// Directions that a thread projects onto at once.
const GROUP: usize = 4;
/// Patches that are projected at once.
const CHUNK: usize = 1024;
const FILTER: [f64; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];

/// How images are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlicedOptions {
    /// Patches of each image at each level.
    pub patches: usize,
    /// Directions at each level.
    pub directions: usize,
    /// Of places and directions.
    pub seed: u64,
}

impl Default for SlicedOptions {
    /// 128 patches, 4 x 128 directions, as the authors' program has them.
    fn default() -> Self {
        Self { patches: 128, directions: 4 * 128, seed: 0 }
    }
}

/// The distance at one level.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelDistance {
    /// Rows and columns of the level.
    pub size: [usize; 2],
    /// The distance, times 1000.
    pub distance: f64,
    /// The same of each of sixteen equal parts of both sets, from which its interval comes; none of fewer than [`TOLD`] images, or where a
    /// channel is the same in all images of a part.
    pub parts: Vec<f64>,
}

/// An interval of confidence `level` for the chance that is in the choice of images, of a distance of all of them and of those of equal
/// parts of both sets, which share no image: the estimate +- Student's quantile times the deviation of the parts' over the root of
/// their number, not below 0. Deviations of distances on a line fall as 1 / sqrt(N), of equal laws as of others (del Barrio, Gine and
/// Matran 1999), so this is subsampling (Politis and Romano 1994) without repeats. `None` of fewer than two parts.
///
/// # Errors
/// A level outside (0, 1).
pub fn parts_interval(distance: f64, parts: &[f64], level: f64) -> Result<Option<Interval>, MetricError> {
    if parts.len() < 2 {
        return Ok(None);
    }
    let of_mean = student(parts, level)?;
    Ok(Some(Interval::about(distance, of_mean.high - of_mean.estimate)))
}

/// `count` directions of equal probability in `dimensions` dimensions, as columns.
fn directions(random: &mut Random, dimensions: usize, count: usize) -> DMatrix<f64> {
    let mut all = DMatrix::from_fn(dimensions, count, |_, _| random.normal());
    all.column_iter_mut().for_each(|mut column| column /= column.norm());
    all
}

/// The distance of two sets of equally many numbers on a line, which it sorts.
fn wasserstein(a: &mut [f64], b: &mut [f64]) -> f64 {
    a.sort_unstable_by(f64::total_cmp);
    b.sort_unstable_by(f64::total_cmp);
    a.iter().zip(b.iter()).map(|(a, b)| (a - b).abs()).sum::<f64>() / a.len() as f64
}

/// The sum over directions of the distances of two sets' projections onto these; `project` gives what a set, 0 or 1,
/// becomes on a group of directions, one after the other.
fn sliced(directions: &DMatrix<f64>, project: impl Fn(usize, &DMatrix<f64>) -> Vec<f64> + Sync) -> f64 {
    let found = map_blocks(directions.ncols(), GROUP, |range| {
        let group = directions.columns(range.start, range.len()).into_owned();
        let [mut a, mut b] = [0, 1].map(|set| project(set, &group));
        let rows = a.len() / range.len();
        let pairs = a.chunks_exact_mut(rows).zip(b.chunks_exact_mut(rows));
        pairs.map(|(a, b)| wasserstein(a, b)).sum::<f64>()
    });
    found.into_iter().sum()
}

/// The sliced distance of two sets of features as they are, over so many directions drawn under a seed.
///
/// # Errors
/// Sets of different numbers or dimensions, no samples or directions.
pub fn sliced_wasserstein(a: &Features, b: &Features, count: usize, seed: u64) -> Result<f64, MetricError> {
    a.check_alike(b)?;
    check_counts(a.rows(), b.rows(), count)?;
    let directions = directions(&mut Random::new(seed), a.dimensions(), count);
    let sum = sliced(&directions, |set, group| {
        let set = [a, b][set];
        multiply(rows(set), strided(group)).as_slice().to_vec()
    });
    Ok(sum / count as f64)
}

fn check_counts(a: usize, b: usize, directions: usize) -> Result<(), MetricError> {
    let what = "samples of the second set of a sliced Wasserstein distance, which takes as many of either";
    if a != b {
        return Err(MetricError::Length { what, expected: a, got: b });
    }
    for (what, got) in
        [("a sliced Wasserstein distance", a), ("a sliced Wasserstein distance (directions)", directions)]
    {
        if got == 0 {
            return Err(MetricError::TooFew { what, needed: 1, got });
        }
    }
    Ok(())
}

/// The sizes of the levels of a pyramid: halved as long as both sides stay whole and at least [`SMALLEST`].
///
/// # Errors
/// Images that are smaller than that.
pub fn levels(height: usize, width: usize) -> Result<Vec<[usize; 2]>, MetricError> {
    if height.min(width) < SMALLEST {
        let (what, reason) = ("the sliced Wasserstein distance", "it takes at least 16x16");
        return Err(MetricError::Size { what, height, width, reason });
    }
    let mut sizes = vec![[height, width]];
    while let Some(&[h, w]) = sizes.last()
        && h % 2 == 0
        && w % 2 == 0
        && (h / 2).min(w / 2) >= SMALLEST
    {
        sizes.push([h / 2, w / 2]);
    }
    Ok(sizes)
}

/// The distances at every level, the largest first, of two sets of equally many images `[n, height, width, channels]` of
/// any range of values. Their mean is the authors' average.
///
/// # Errors
/// Images smaller than 16x16, values that are no whole images or not finite, sets of different numbers, no images,
/// patches or directions, a channel that is the same in all patches of a set.
pub fn image_distances(
    a: &[f32],
    b: &[f32],
    shape: [usize; 3],
    options: SlicedOptions,
) -> Result<Vec<LevelDistance>, MetricError> {
    let [height, width, channels] = shape;
    let sizes = levels(height, width)?;
    let size = height * width * channels;
    for values in [a, b] {
        if size == 0 || !values.len().is_multiple_of(size) {
            let expected = values.len().next_multiple_of(size.max(1));
            return Err(MetricError::Length { what: "pixels of images", expected, got: values.len() });
        }
        let finite = values.iter().map(|&value| f64::from(value));
        crate::error::check("a pixel of images", finite, "a finite number", f64::is_finite)?;
    }
    let count = a.len() / size;
    check_counts(count, b.len() / size, options.directions)?;
    if options.patches == 0 {
        let what = "a sliced Wasserstein distance (patches an image)";
        return Err(MetricError::TooFew { what, needed: 1, got: 0 });
    }
    let pyramids = [a, b].map(|images| {
        let of = |range: std::ops::Range<usize>| {
            pyramid(&images[range.start * size..][..size], shape, sizes.len())
        };
        map_blocks(count, 1, of)
    });
    let mut random = Random::new(options.seed);
    let mut found = Vec::with_capacity(sizes.len());
    for (level, &[h, w]) in sizes.iter().enumerate() {
        let levels = pyramids
            .each_ref()
            .map(|images| -> Vec<f32> { images.iter().flat_map(|levels| &levels[level]).copied().collect() });
        let places = [(); 2].map(|()| -> Vec<[u32; 2]> {
            let one = |_| [random.below(h - PATCH + 1), random.below(w - PATCH + 1)].map(|at| at as u32);
            (0..count * options.patches).map(one).collect()
        });
        let directions = directions(&mut random, PATCH * PATCH * channels, options.directions);
        let of = |images: std::ops::Range<usize>| {
            patches_distance(
                [0, 1].map(|set| Patches {
                    images: &levels[set][images.start * h * w * channels..images.end * h * w * channels],
                    shape: [h, w, channels],
                    places: &places[set][images.start * options.patches..images.end * options.patches],
                    each: options.patches,
                }),
                &directions,
            )
        };
        let distance = of(0..count)?;
        let some = count / PARTS;
        // A part whose images are all the same has no distance, and the whole no interval.
        let parts = match some >= FEWEST {
            true => (0..PARTS).map(|part| of(part * some..(part + 1) * some)).collect::<Result<_, _>>(),
            false => Ok(Vec::new()),
        };
        found.push(LevelDistance { size: [h, w], distance, parts: parts.unwrap_or_default() });
    }
    Ok(found)
}

/// The distance of two sets of patches over directions, times 1000.
fn patches_distance(sets: [Patches<'_>; 2], directions: &DMatrix<f64>) -> Result<f64, MetricError> {
    let scales = [sets[0].moments()?, sets[1].moments()?];
    let sum = sliced(directions, |set, group| sets[set].projected(&scales[set], group));
    Ok(SCALE * sum / directions.ncols() as f64)
}

/// The levels of the Laplacian pyramid of an image `[height, width, channels]`, the largest first.
fn pyramid(image: &[f32], [mut h, mut w, c]: [usize; 3], levels: usize) -> Vec<Vec<f32>> {
    let mut now: Vec<f64> = image.iter().map(|&value| f64::from(value)).collect();
    let mut found = Vec::with_capacity(levels);
    let round = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
    for _ in 1..levels {
        let smooth = filter(&now, [h, w, c]);
        let [half_h, half_w] = [h / 2, w / 2];
        let mut half = Vec::with_capacity(half_h * half_w * c);
        let mut spread = vec![0.0; h * w * c];
        for y in 0..half_h {
            for x in 0..half_w {
                let at = (2 * y * w + 2 * x) * c;
                half.extend_from_slice(&smooth[at..at + c]);
                // Three of four values are 0, for which the filter makes up.
                (0..c).for_each(|channel| spread[at + channel] = 4.0 * smooth[at + channel]);
            }
        }
        let up = filter(&spread, [h, w, c]);
        found.push(round(&now.iter().zip(&up).map(|(value, up)| value - up).collect::<Vec<f64>>()));
        (now, h, w) = (half, half_h, half_w);
    }
    found.push(round(&now));
    found
}

/// The filter along both axes, images mirrored at the centres of their border pixels.
fn filter(image: &[f64], [h, w, c]: [usize; 3]) -> Vec<f64> {
    let mirrored = |at: usize, tap: usize, size: usize| {
        let at = (at + tap).abs_diff(2);
        // abs_diff mirrors at 0: |at + tap - 2|.
        if at >= size { 2 * (size - 1) - at } else { at }
    };
    let along = |from: &[f64], vertical: bool| {
        let mut to = vec![0.0; from.len()];
        for y in 0..h {
            for x in 0..w {
                for (tap, weight) in FILTER.iter().enumerate() {
                    let (y2, x2) = if vertical { (mirrored(y, tap, h), x) } else { (y, mirrored(x, tap, w)) };
                    for channel in 0..c {
                        to[(y * w + x) * c + channel] += weight * from[(y2 * w + x2) * c + channel];
                    }
                }
            }
        }
        to
    };
    along(&along(image, true), false)
}

/// Patches of a set of images, by their places.
struct Patches<'a> {
    images: &'a [f32],
    shape: [usize; 3],
    /// Row and column of the first pixel.
    places: &'a [[u32; 2]],
    /// Of each image.
    each: usize,
}

impl Patches<'_> {
    /// Writes a patch `[7, 7, channels]`.
    fn read(&self, patch: usize, out: &mut [f64]) {
        let [h, w, c] = self.shape;
        let image = &self.images[patch / self.each * h * w * c..][..h * w * c];
        let [y, x] = self.places[patch].map(|at| at as usize);
        for (row, out) in out.chunks_exact_mut(PATCH * c).enumerate() {
            let from = &image[((y + row) * w + x) * c..][..PATCH * c];
            out.iter_mut().zip(from).for_each(|(out, &value)| *out = f64::from(value));
        }
    }

    /// Mean and deviation (divisor of the number) of each channel over all patches.
    fn moments(&self) -> Result<Vec<[f64; 2]>, MetricError> {
        let c = self.shape[2];
        let sums = |of: &(dyn Fn(usize, f64) -> f64 + Sync)| -> Vec<f64> {
            let parts = map_blocks(self.places.len(), 16 * CHUNK, |range| {
                let (mut sums, mut patch) = (vec![0.0; c], vec![0.0; PATCH * PATCH * c]);
                for at in range {
                    self.read(at, &mut patch);
                    patch.iter().enumerate().for_each(|(i, &value)| sums[i % c] += of(i % c, value));
                }
                sums
            });
            let count = (self.places.len() * PATCH * PATCH) as f64;
            (0..c).map(|channel| parts.iter().map(|sums| sums[channel]).sum::<f64>() / count).collect()
        };
        let means = sums(&|_, value| value);
        let squares = sums(&|channel, value| (value - means[channel]).powi(2));
        let deviations = squares.iter().map(|square| square.sqrt());
        let what = "the deviation of channel";
        crate::error::check(what, deviations.clone(), "above 0: it is the same in all images", |d| d > 0.0)?;
        Ok(means.iter().copied().zip(deviations).map(|(mean, deviation)| [mean, deviation]).collect())
    }

    /// Standardized patches on a group of directions, one direction after the other.
    fn projected(&self, moments: &[[f64; 2]], group: &DMatrix<f64>) -> Vec<f64> {
        let (d, c, n) = (group.nrows(), self.shape[2], self.places.len());
        // (x - mean) / deviation . t is x . (t / deviation) less a constant.
        let scaled = DMatrix::from_fn(d, group.ncols(), |i, j| group[(i, j)] / moments[i % c][1]);
        let offset = |j: usize| (0..d).map(|i| scaled[(i, j)] * moments[i % c][0]).sum::<f64>();
        let offsets: Vec<f64> = (0..group.ncols()).map(offset).collect();
        let mut out = vec![0.0; n * group.ncols()];
        let mut patches = vec![0.0; CHUNK * d];
        for first in (0..n).step_by(CHUNK) {
            let count = CHUNK.min(n - first);
            for (i, patch) in patches.chunks_exact_mut(d).take(count).enumerate() {
                self.read(first + i, patch);
            }
            let rows = nalgebra::DMatrixView::from_slice(&patches[..count * d], d, count);
            let projected = rows.transpose() * &scaled;
            for (j, column) in projected.column_iter().enumerate() {
                let into = &mut out[j * n + first..][..count];
                into.iter_mut().zip(column.iter()).for_each(|(out, value)| *out = value - offsets[j]);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Moments;

    fn noise(seed: u64, count: usize, [h, w, c]: [usize; 3]) -> Vec<f32> {
        let mut random = Random::new(seed);
        (0..count * h * w * c).map(|_| random.unit() as f32).collect()
    }

    #[test]
    fn a_shift_of_features_is_a_closed_form() {
        // E |s . t| for t of equal probability on the sphere is |s| G(d / 2) / (sqrt(pi) G((d + 1) / 2)): in two
        // dimensions 2 / pi, in three 1/2.
        for (d, expected) in [(2, 2.0 / std::f64::consts::PI), (3, 0.5)] {
            let values: Vec<f64> = noise(5, 30, [1, 1, d]).into_iter().map(f64::from).collect();
            let moved =
                values.iter().enumerate().map(|(i, v)| if i % d == 0 { v + 3.0 } else { *v }).collect();
            let [a, b] = [values.clone(), moved].map(|values| Features::new(values, d).unwrap());
            let found = sliced_wasserstein(&a, &b, 40_000, 1).unwrap();
            // A deviation of |cos| over directions is .31 and .29.
            assert!((found / 3.0 - expected).abs() < 4.0 * 0.31 / 200.0, "{d}: {found}");
            assert_eq!(sliced_wasserstein(&a, &a, 10, 1), Ok(0.0));
            assert!(sliced_wasserstein(&a, &b.select(0..29), 10, 1).is_err());
            assert!(sliced_wasserstein(&a, &b, 0, 1).is_err());
        }
        // On a line there is one direction: the mean |difference| of the ordered values.
        let line = |values: &[f64]| Features::new(values.to_vec(), 1).unwrap();
        let found = sliced_wasserstein(&line(&[0.0, 5.0, 2.0]), &line(&[3.0, 1.0, 9.0]), 3, 0).unwrap();
        assert!((found - 2.0).abs() < 1e-12, "{found}");
        // The wrong twin: samples in the order they came.
        assert!(((3.0 + 4.0 + 7.0) / 3.0 - found).abs() > 1.0);
    }

    #[test]
    fn pyramids_add_up_to_the_image_again() {
        let shape = [32, 64, 2];
        let image = noise(9, 1, shape);
        assert_eq!(levels(32, 64).unwrap(), [[32, 64], [16, 32]]);
        let found = pyramid(&image, shape, 2);
        assert_eq!((found[0].len(), found[1].len()), (32 * 64 * 2, 16 * 32 * 2));
        let mut spread = vec![0.0; image.len()];
        for (i, value) in found[1].iter().enumerate() {
            let (y, x, c) = (i / 64, i / 2 % 32, i % 2);
            spread[(2 * y * 64 + 2 * x) * 2 + c] = 4.0 * f64::from(*value);
        }
        let up = filter(&spread, shape);
        for ((value, detail), up) in image.iter().zip(&found[0]).zip(&up) {
            assert!((f64::from(value - detail) - up).abs() < 1e-6);
        }
        // A flat image has no detail, up to its border.
        let flat = pyramid(&vec![0.25; image.len()], shape, 2);
        assert!(flat[0].iter().all(|d| d.abs() < 1e-7) && flat[1].iter().all(|v| (v - 0.25).abs() < 1e-7));
        assert_eq!(levels(28, 28).unwrap(), [[28, 28]]);
        assert_eq!(levels(100, 66).unwrap(), [[100, 66], [50, 33]]);
        assert!(levels(15, 64).is_err());
    }

    #[test]
    fn texture_is_seen_and_brightness_is_not() {
        let shape = [16, 16, 2];
        let (a, b) = (noise(1, 300, shape), noise(2, 300, shape));
        let options = SlicedOptions { patches: 32, directions: 32, seed: 4 };
        let of = |a: &[f32], b: &[f32]| image_distances(a, b, shape, options).unwrap()[0].distance;
        let floor = of(&a, &b);
        let brighter: Vec<f32> = b.iter().map(|v| 0.5 * v + 3.0).collect();
        // Rounding to f32 apart, a standardized set is the same whatever its brightness and contrast.
        assert!((of(&a, &brighter) / floor - 1.0).abs() < 1e-4);
        let smooth: Vec<f32> = b
            .chunks_exact(512)
            .flat_map(|image| filter(&image.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), shape))
            .map(|v| v as f32)
            .collect();
        assert!(of(&a, &smooth) > 3.0 * floor, "{} {floor}", of(&a, &smooth));
        assert_eq!(of(&a, &b), of(&a, &b));
        let refused = |a: &[f32], b: &[f32], shape, options| image_distances(a, b, shape, options).is_err();
        assert!(refused(&a, &b[512..], shape, options) && refused(&a[1..], &b, shape, options));
        assert!(refused(&a, &b, shape, SlicedOptions { patches: 0, ..options }));
        assert!(refused(&a, &vec![1.0; b.len()], shape, options), "no contrast at all");
        assert!(refused(&[f32::NAN; 512], &b[..512], shape, options));
    }

    /// Images of a law of their own (each has its own contrast), so that patches of one are alike and chance is in the choice of images.
    #[test]
    fn intervals_hold_the_mean_as_often_as_they_say() {
        let (shape, n, rounds) = ([16, 16, 1], PARTS * FEWEST, 60);
        let options = SlicedOptions { patches: 4, directions: 8, seed: 4 };
        let draw = |seed: u64, power: f64| -> Vec<f32> {
            let mut random = Random::new(seed);
            let image = |_| {
                let contrast = random.unit().powf(power);
                (0..256).map(|_| (contrast * random.normal()) as f32).collect::<Vec<f32>>()
            };
            (0..n).flat_map(image).collect()
        };
        for power in [1.0, 3.0] {
            let found: Vec<Interval> = (0..rounds)
                .map(|round| {
                    let (a, b) = (draw(100 + round, 1.0), draw(900 + round, power));
                    let found = image_distances(&a, &b, shape, options).unwrap().remove(0);
                    parts_interval(found.distance, &found.parts, 0.9).unwrap().unwrap()
                })
                .collect();
            let estimates: Moments = found.iter().map(|found| found.estimate).collect();
            let mean = estimates.mean().unwrap();
            // Student's quantile of 15 degrees of freedom is 1.753. The deviation of 60 distances is known to a tenth.
            let half = found.iter().map(|i| i.high - i.estimate).sum::<f64>() / rounds as f64;
            let ratio = half / 1.753 / estimates.variance().unwrap().sqrt();
            assert!((0.75..1.3).contains(&ratio), "{power}: {ratio}");
            let held = |scale: f64| {
                let within = |i: &&Interval| (mean - i.estimate).abs() <= scale * (i.high - i.estimate);
                found.iter().filter(within).count()
            };
            // 54 expected, with three deviations of 2.3 below; at half the width 34.
            assert!(held(1.0) >= 47, "{power}: {}", held(1.0));
            assert!(held(0.5) < 47, "{power}: {}", held(0.5));
        }
        let few =
            image_distances(&draw(1, 1.0)[..256 * 100], &draw(2, 1.0)[..256 * 100], shape, options).unwrap();
        assert!(few[0].parts.is_empty() && parts_interval(1.0, &few[0].parts, 0.9).unwrap().is_none());
    }
}
