//! Changing the size of images as the published scores do it: linear filters, one axis after the other, whose taps are
//! found once for a size.
//!
//! One crate for images resizes like Pillow, none like TensorFlow 1 or PyTorch's position embeddings. All four are the
//! same sums over a few pixels and differ in their taps alone, so the sums are here and not each form by itself; in f64, so
//! that a score does not depend on an instruction set.

use crate::error::Error;
use crate::recipe::unknown;

/// How images come to the size that a network takes. Names are clean-fid's for its modes, whose effect on scores Parmar,
/// Zhang, Zhu 2022 measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resizer {
    /// Pillow's bicubic filter (a = -1/2) in float, stretched by the reduction so that nothing is aliased, then clipped to
    /// [0, 255]: clean-fid's.
    #[default]
    Clean,
    /// Bilinear between pixels at i in / out, as TensorFlow 1 did it and the first published FIDs therefore: the image moves by
    /// half a pixel, and reductions are aliased.
    LegacyTensorflow,
    /// Bilinear between pixel centres, reductions aliased: `torch.nn.functional.interpolate` and so pytorch-fid.
    LegacyPytorch,
}

impl Resizer {
    /// Every form.
    pub const ALL: [Self; 3] = [Self::Clean, Self::LegacyTensorflow, Self::LegacyPytorch];

    /// As `?resizer=` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::LegacyTensorflow => "legacy-tensorflow",
            Self::LegacyPytorch => "legacy-pytorch",
        }
    }

    /// In words, for reports.
    pub fn about(self) -> &'static str {
        match self {
            Self::Clean => "antialiased bicubic in float, as clean-fid",
            Self::LegacyTensorflow => "TensorFlow-1 bilinear, corners not aligned",
            Self::LegacyPytorch => "PyTorch bilinear without antialiasing",
        }
    }

    /// The form of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn find(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.map(Self::name);
        let found = Self::ALL.into_iter().find(|form| form.name() == name);
        found.ok_or_else(|| Error::Refused(unknown("resizer", name, &known)))
    }

    fn taps(self, from: usize, to: usize) -> Vec<Tap> {
        let scale = from as f64 / to as f64;
        // PyTorch and TensorFlow find places in f32, whose rounding decides which pixels meet where one falls on a pixel.
        let single = from as f32 / to as f32;
        match self {
            Self::Clean => antialiased(from, to, scale),
            Self::LegacyTensorflow => (0..to).map(|i| between(f64::from(i as f32 * single), from)).collect(),
            Self::LegacyPytorch => {
                let place = |i: usize| (single * (i as f32 + 0.5) - 0.5).max(0.0);
                (0..to).map(|i| between(f64::from(place(i)), from)).collect()
            }
        }
    }

    /// Whether sums can leave the range of the pixels they are made of.
    fn overshoots(self) -> bool {
        match self {
            Self::Clean => true,
            Self::LegacyTensorflow | Self::LegacyPytorch => false,
        }
    }
}

/// What one place of the result is made of: pixels from `first` on, and their weights.
#[derive(Clone, Debug, PartialEq)]
struct Tap {
    first: usize,
    weights: Vec<f64>,
}

/// Two neighbours of a place between pixels, the last repeated.
fn between(place: f64, from: usize) -> Tap {
    let low = (place.floor() as usize).min(from - 1);
    let part = place - low as f64;
    if low + 1 < from {
        Tap { first: low, weights: vec![1.0 - part, part] }
    } else {
        Tap { first: low, weights: vec![1.0] }
    }
}

/// Keys' cubic kernel (Keys 1981, equation 4 for general a).
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

/// Pillow's filter: the kernel as wide as the reduction, what lies outside the image left out, weights of sum one.
fn antialiased(from: usize, to: usize, scale: f64) -> Vec<Tap> {
    const A: f64 = -0.5;
    let wide = scale.max(1.0);
    let support = 2.0 * wide;
    let tap = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let mut weights: Vec<f64> =
            (first..end).map(|j| cubic((j as f64 - centre + 0.5) / wide, A)).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Tap { first, weights }
    };
    (0..to).map(tap).collect()
}

/// A change of size, prepared.
#[derive(Clone, Debug)]
pub struct Resize {
    from: [usize; 2],
    channels: usize,
    rows: Vec<Tap>,
    columns: Vec<Tap>,
    clip: bool,
}

impl Resize {
    /// From images of `from` pixels (height, width) with so many channels to images of `to` pixels.
    pub fn new(form: Resizer, from: [usize; 2], to: [usize; 2], channels: usize) -> Self {
        let [rows, columns] = [0, 1].map(|axis| form.taps(from[axis], to[axis]));
        Self { from, channels, rows, columns, clip: form.overshoots() }
    }

    /// PyTorch's bicubic interpolation of a square grid by a given factor (a = -3/4, borders repeated, not antialiased): how
    /// DINOv2 fits its position embeddings, at (to + offset) / from.
    pub fn grid(from: usize, to: usize, offset: f64, channels: usize) -> Self {
        const A: f64 = -0.75;
        let scale = from as f64 / (to as f64 + offset);
        let tap = |i: usize| {
            let place = scale * (i as f64 + 0.5) - 0.5;
            let low = place.floor();
            let mut weights = vec![0.0; from];
            for near in -1..=2 {
                let at = low + f64::from(near);
                weights[at.clamp(0.0, (from - 1) as f64) as usize] += cubic(place - at, A);
            }
            Tap { first: 0, weights }
        };
        let taps: Vec<Tap> = (0..to).map(tap).collect();
        Self { from: [from; 2], channels, rows: taps.clone(), columns: taps, clip: false }
    }

    /// Of one image `[H, W, C]` with values in [0, 255] (a grid's are any) to `out`.
    ///
    /// Rows first, as Pillow does; what lies between the two is rounded to f32 there and here.
    pub fn apply(&self, image: &[f32], out: &mut [f32]) {
        let ([_, width], c) = (self.from, self.channels);
        let across = self.columns.len() * c;
        let mut between = vec![0f32; self.from[0] * across];
        for (row, to) in image.chunks_exact(width * c).zip(between.chunks_exact_mut(across)) {
            for (tap, pixel) in self.columns.iter().zip(to.chunks_exact_mut(c)) {
                for (channel, value) in pixel.iter_mut().enumerate() {
                    let seen = row[tap.first * c + channel..].iter().step_by(c);
                    *value = seen.zip(&tap.weights).map(|(&v, w)| f64::from(v) * w).sum::<f64>() as f32;
                }
            }
        }
        let mut sums = vec![0f64; across];
        for (tap, to) in self.rows.iter().zip(out.chunks_exact_mut(across)) {
            sums.fill(0.0);
            for (row, weight) in between[tap.first * across..].chunks_exact(across).zip(&tap.weights) {
                sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v) * weight);
            }
            for (value, &sum) in to.iter_mut().zip(&sums) {
                *value = if self.clip { sum.clamp(0.0, 255.0) } else { sum } as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_to_one_and_equal_sizes_change_nothing() {
        for form in Resizer::ALL {
            assert_eq!(Resizer::find(form.name()).unwrap(), form);
            for (from, to) in [(7, 19), (19, 7), (1, 5), (299, 224), (28, 299)] {
                for tap in form.taps(from, to) {
                    assert!((tap.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                    assert!(tap.first + tap.weights.len() <= from);
                }
            }
            let image: Vec<f32> = (0..5 * 4 * 3).map(|i| (i * 37 % 256) as f32).collect();
            let mut out = vec![0.0; image.len()];
            Resize::new(form, [5, 4], [5, 4], 3).apply(&image, &mut out);
            assert_eq!(out, image, "{}", form.name());
        }
        let error = Resizer::find("cleen").unwrap_err().to_string();
        assert!(error.contains("clean") && error.contains("legacy-tensorflow"), "{error}");
    }

    #[test]
    fn legacy_tensorflow_moves_by_half_a_pixel() {
        // Doubled: pixel i of the result lies at i / 2, and the last one repeats.
        let mut out = vec![0.0; 8];
        Resize::new(Resizer::LegacyTensorflow, [1, 4], [1, 8], 1).apply(&[0.0, 10.0, 20.0, 40.0], &mut out);
        assert_eq!(out, [0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 40.0]);
        let mut centred = vec![0.0; 8];
        Resize::new(Resizer::LegacyPytorch, [1, 4], [1, 8], 1).apply(&[0.0, 10.0, 20.0, 40.0], &mut centred);
        assert_eq!(centred, [0.0, 2.5, 7.5, 12.5, 17.5, 25.0, 35.0, 40.0]);
    }

    #[test]
    fn the_clean_form_does_not_alias() {
        // Stripes of a pixel, reduced to a quarter: their mean and not one of them.
        let stripes: Vec<f32> = (0..64).map(|i| if i % 2 == 0 { 255.0 } else { 0.0 }).collect();
        let mut out = vec![0.0; 16];
        Resize::new(Resizer::Clean, [1, 64], [1, 16], 1).apply(&stripes, &mut out);
        assert!(out[2..14].iter().all(|v| (v - 127.5).abs() < 1.0), "{out:?}");
        Resize::new(Resizer::LegacyTensorflow, [1, 64], [1, 16], 1).apply(&stripes, &mut out);
        assert!(out.iter().all(|&v| v == 255.0));
    }
}
