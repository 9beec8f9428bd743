//! Images as they are compared one with another: roughly, to find which could be the same, and closely, to say how alike
//! they are whatever was done to one of them: shifted a little, made brighter, mirrored.

use ganymede_metrics::{Features, MetricError};

/// Cells a side of a rough view.
const GRID: usize = 8;

/// A rough view of samples: what stands out moved to the middle, means over cells of at least four pixels a side (at most eight
/// cells), less their mean, over their length, so that neither place nor brightness nor contrast counts. Points are what they
/// are.
pub struct Rough {
    shape: Vec<usize>,
    grid: [usize; 2],
    /// Whether brightness and contrast are forgotten.
    relative: bool,
}

impl Rough {
    /// Of samples of this shape.
    pub fn of(shape: &[usize]) -> Self {
        let cells = |side: usize| (side / 4).clamp(side.min(4), GRID);
        let grid = if shape.len() == 3 { [cells(shape[0]), cells(shape[1])] } else { [1, 1] };
        Self { shape: shape.to_vec(), grid, relative: true }
    }

    /// Means over cells as they are.
    pub fn plain(shape: &[usize]) -> Self {
        Self { relative: false, ..Self::of(shape) }
    }

    /// Values of a view.
    pub fn dimensions(&self) -> usize {
        if self.shape.len() == 3 {
            self.grid[0] * self.grid[1] * self.shape[2]
        } else {
            self.shape.iter().product()
        }
    }

    /// Of samples one after the other.
    ///
    /// # Errors
    /// A value that is not finite.
    pub fn see(&self, samples: &[f32]) -> Result<Features, MetricError> {
        let size: usize = self.shape.iter().product();
        let mut values = Vec::with_capacity(samples.len() / size * self.dimensions());
        for sample in samples.chunks_exact(size) {
            values.extend(self.one(sample));
        }
        Features::new(values, self.dimensions())
    }

    /// How far the middle of what stands out from the border lies below and right of the image's, in whole pixels: moved back by
    /// that, a shifted image is the same again.
    fn off_centre(&self, sample: &[f32]) -> (isize, isize) {
        let [h, w, c] = self.shape[..] else { return (0, 0) };
        let light = |y: usize, x: usize| {
            (0..c).map(|k| f64::from(sample[(y * w + x) * c + k])).sum::<f64>() / c as f64
        };
        let on_border = |y: usize, x: usize| y == 0 || x == 0 || y + 1 == h || x + 1 == w;
        let places = move || (0..h).flat_map(move |y| (0..w).map(move |x| (y, x)));
        let (mut border, mut count) = (0.0, 0.0);
        for (y, x) in places().filter(|&(y, x)| on_border(y, x)) {
            border += light(y, x);
            count += 1.0;
        }
        let (mut total, mut down, mut across) = (0.0, 0.0, 0.0);
        for (y, x) in places() {
            let weight = (light(y, x) - border / count).abs();
            total += weight;
            down += weight * y as f64;
            across += weight * x as f64;
        }
        // Rounded from a part of a pixel that symmetric images do not have, so that a shift by a pixel moves it by one.
        let off = |sum: f64, side: usize| {
            let most = (side / 4) as f64;
            let middle = sum / total - (side - 1) as f64 / 2.0;
            if total > 1e-9 { (middle + 0.37).floor().clamp(-most, most) as isize } else { 0 }
        };
        (off(down, h), off(across, w))
    }

    fn one(&self, sample: &[f32]) -> Vec<f64> {
        let [h, w, c] = self.shape[..] else { return sample.iter().map(|&v| f64::from(v)).collect() };
        let [rows, columns] = self.grid;
        let (down, across) = if self.relative { self.off_centre(sample) } else { (0, 0) };
        let moved =
            |at: usize, by: isize, side: usize| (at as isize + by).clamp(0, side as isize - 1) as usize;
        let mut seen = Vec::with_capacity(self.dimensions());
        for row in 0..rows {
            let (top, bottom) = (row * h / rows, (row + 1) * h / rows);
            for column in 0..columns {
                let (left, right) = (column * w / columns, (column + 1) * w / columns);
                for channel in 0..c {
                    let mut sum = 0.0;
                    for y in top..bottom {
                        for x in left..right {
                            let (y, x) = (moved(y, down, h), moved(x, across, w));
                            sum += f64::from(sample[(y * w + x) * c + channel]);
                        }
                    }
                    seen.push(sum / ((bottom - top) * (right - left)) as f64);
                }
            }
        }
        if !self.relative {
            return seen;
        }
        let mean = seen.iter().sum::<f64>() / seen.len() as f64;
        seen.iter_mut().for_each(|v| *v -= mean);
        let length = seen.iter().map(|v| v * v).sum::<f64>().sqrt();
        // An image of one value has no direction.
        if length > 1e-9 {
            seen.iter_mut().for_each(|v| *v /= length);
        }
        seen
    }
}

/// Longest shorter side of images that are compared closely; larger ones are reduced first.
const SIDE: usize = 32;

/// Samples as they are compared closely.
pub struct Close {
    /// Of an image as it is.
    whole: [usize; 3],
    /// Pixels a side that are averaged first.
    factor: usize,
    /// Of an image as it is compared.
    shape: [usize; 3],
    /// Pixels that one may be shifted by, either way.
    reach: isize,
}

impl Close {
    /// `None` of points.
    pub fn of(shape: &[usize]) -> Option<Self> {
        let [h, w, c] = shape[..] else { return None };
        let factor = h.min(w).div_ceil(SIDE).max(1);
        let (height, width) = (h / factor, w / factor);
        let reach = (height.min(width) as f64 / 14.0).round().max(1.0) as isize;
        Some(Self { whole: [h, w, c], factor, shape: [height, width, c], reach })
    }

    /// An image as [`Close::distance`] takes it: pixels averaged where it is large.
    pub fn prepare(&self, image: &[f32]) -> Vec<f32> {
        let ([_, w, c], [height, width, _], f) = (self.whole, self.shape, self.factor);
        if f == 1 {
            return image.to_vec();
        }
        let mut out = Vec::with_capacity(height * width * c);
        for y in 0..height {
            for x in 0..width {
                for channel in 0..c {
                    let pixel = |i: usize| image[((y * f + i / f) * w + x * f + i % f) * c + channel];
                    out.push((0..f * f).map(pixel).sum::<f32>() / (f * f) as f32);
                }
            }
        }
        out
    }

    /// How unlike two prepared images are: sqrt(1 - r) with r the correlation of their values where they overlap, at the shift at
    /// which it is largest; 0 where one is the other shifted, brighter or of more contrast.
    pub fn distance(&self, a: &[f32], b: &[f32]) -> f64 {
        let mut best = f64::NEG_INFINITY;
        for down in -self.reach..=self.reach {
            for right in -self.reach..=self.reach {
                best = best.max(self.correlation(a, b, down, right));
            }
        }
        (1.0 - best).max(0.0).sqrt()
    }

    fn correlation(&self, a: &[f32], b: &[f32], down: isize, right: isize) -> f64 {
        let [h, w, c] = self.shape;
        // The rows y of b with y + down a row of a, and so for columns.
        let span = |by: isize, side: usize| ((-by).max(0) as usize, (side as isize - by.max(0)) as usize);
        let ((top, bottom), (left, edge)) = (span(down, h), span(right, w));
        let (mut n, mut sa, mut sb, mut saa, mut sbb, mut sab) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        for y in top..bottom {
            let at = |y: usize, x: usize| (y * w + x) * c;
            let first = at((y as isize + down) as usize, (left as isize + right) as usize);
            let row_a = &a[first..first + (edge - left) * c];
            let row_b = &b[at(y, left)..at(y, left) + (edge - left) * c];
            // Sums of a row in f32 lanes would be faster and less exact; a few thousand pairs are compared.
            for (&u, &v) in row_a.iter().zip(row_b) {
                let (u, v) = (f64::from(u), f64::from(v));
                sa += u;
                sb += v;
                saa += u * u;
                sbb += v * v;
                sab += u * v;
            }
            n += row_a.len() as f64;
        }
        let (va, vb) = (saa - sa * sa / n, sbb - sb * sb / n);
        match va > 1e-9 && vb > 1e-9 {
            true => (sab - sa * sb / n) / (va * vb).sqrt(),
            // Images of one value each are alike, and nothing else is like one.
            false => f64::from(u8::from(va <= 1e-9 && vb <= 1e-9)),
        }
    }
}

/// An image from right to left.
pub fn mirrored(sample: &[f32], shape: &[usize]) -> Vec<f32> {
    let [_, w, c] = shape[..] else { return sample.to_vec() };
    let mut out = Vec::with_capacity(sample.len());
    for row in sample.chunks_exact(w * c) {
        row.chunks_exact(c).rev().for_each(|pixel| out.extend_from_slice(pixel));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ganymede_metrics::stats::Random;

    const SHAPE: [usize; 3] = [14, 12, 1];

    fn noise(seed: u64) -> Vec<f32> {
        let mut random = Random::new(seed);
        (0..14 * 12).map(|_| random.unit() as f32 * 2.0 - 1.0).collect()
    }

    fn shifted(image: &[f32], down: isize, right: isize) -> Vec<f32> {
        let at = |y: isize, x: isize| {
            let inside = (0..14).contains(&y) && (0..12).contains(&x);
            if inside { image[(y * 12 + x) as usize] } else { -1.0 }
        };
        (0..14).flat_map(|y| (0..12).map(move |x| at(y - down, x - right))).collect()
    }

    #[test]
    fn an_image_is_itself_whatever_was_done_to_it() {
        let (close, image) = (Close::of(&SHAPE).unwrap(), noise(1));
        assert_eq!(close.distance(&image, &image), 0.0);
        for (down, right) in [(1, 0), (0, -1), (-1, 1), (1, 1)] {
            let moved = shifted(&image, down, right);
            assert!(close.distance(&moved, &image) < 1e-6, "{down} {right}");
            // The wrong twin, without shifts, sees another image.
            assert!((1.0 - close.correlation(&moved, &image, 0, 0)).sqrt() > 0.7);
        }
        let brighter: Vec<f32> = image.iter().map(|v| 0.5 * v + 0.3).collect();
        assert!(close.distance(&brighter, &image) < 1e-3);
        assert!(close.distance(&noise(2), &image) > 0.7);
        assert_eq!(mirrored(&mirrored(&image, &SHAPE), &SHAPE), image);
        assert!(close.distance(&mirrored(&image, &SHAPE), &image) > 0.7);
        let flat = vec![0.25; 14 * 12];
        assert_eq!((close.distance(&flat, &flat), close.distance(&flat, &image)), (0.0, 1.0));
        assert_eq!(close.prepare(&image), image);
        let large = Close::of(&[64, 65, 1]).unwrap();
        let ramp: Vec<f32> = (0..64 * 65).map(|i| (i % 65) as f32).collect();
        let small = large.prepare(&ramp);
        assert_eq!((small.len(), small[0], small[1], small[32]), (32 * 32, 0.5, 2.5, 0.5));
    }

    #[test]
    fn rough_views_have_length_one_and_forget_brightness() {
        let rough = Rough::of(&SHAPE);
        let image = noise(3);
        let brighter: Vec<f32> = image.iter().map(|v| 0.5 * v + 0.3).collect();
        let seen = rough.see(&[image, brighter, vec![0.5; 14 * 12]].concat()).unwrap();
        assert_eq!((seen.rows(), seen.dimensions()), (3, 4 * 4));
        let length = seen.row(0).iter().map(|v| v * v).sum::<f64>();
        assert!((length - 1.0).abs() < 1e-12);
        assert!(seen.row(0).iter().zip(seen.row(1)).all(|(a, b)| (a - b).abs() < 1e-6));
        assert!(seen.row(2).iter().all(|&v| v == 0.0));
        // A patch is the same wherever it lies, but not as it is.
        let patch = |down: usize, right: usize| -> Vec<f32> {
            let inside = |i: usize| {
                (4 + down..7 + down).contains(&(i / 12)) && (4 + right..9 + right).contains(&(i % 12))
            };
            (0..14 * 12).map(|i| if inside(i) { 0.1 * (i % 12 - right) as f32 } else { -1.0 }).collect()
        };
        let both = [patch(0, 0), patch(2, 1)].concat();
        let seen = rough.see(&both).unwrap();
        assert!(seen.row(0).iter().zip(seen.row(1)).all(|(a, b)| (a - b).abs() < 1e-6));
        let plain = Rough::plain(&SHAPE).see(&both).unwrap();
        assert!(plain.row(0).iter().zip(plain.row(1)).any(|(a, b)| (a - b).abs() > 0.1));
        assert_eq!(Rough::of(&[2]).see(&[1.0, 2.0]).unwrap().row(0), [1.0, 2.0]);
        assert_eq!(Rough::of(&[28, 28, 1]).dimensions(), 49);
        assert_eq!(Rough::of(&[64, 64, 3]).dimensions(), 192);
    }
}
