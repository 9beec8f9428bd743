//! Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003) of two images: 1 of equal ones. Between pairs of
//! generated images its mean says how varied they are (Odena, Olah and Shlens 2017, section 4.2): where a class has
//! collapsed, pairs are more alike than pairs of real ones.
//!
//! At each scale, under a Gaussian window of 11 pixels and deviation 1.5 at every place where it fits,
//!
//! luminance (2 m1 m2 + c1) / (m1^2 + m2^2 + c1), contrast and structure (2 s12 + c2) / (s1^2 + s2^2 + c2),
//!
//! c1 = (.01 L)^2, c2 = (.03 L)^2, L the range of values, averaged over places and channels; between scales images are
//! halved by means of 2x2 pixels. The product over scales of contrast and structure to the powers .0448, .2856, .3001, .2363,
//! .1333, the last times luminance within the mean; negative factors are 0. Where a side is below 11 pixels the window is
//! as large as the side and its deviation shrinks with it, as in the programs of TensorFlow and of Karras et al. 2018. Images
//! whose sides do not halve evenly four times have fewer scales, whose powers are scaled to the same sum: with another
//! number of scales figures differ, so it is said.

use crate::error::MetricError;

/// Powers of the scales, the largest first (section 3.2 of the paper).
const POWERS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
/// Side of the window, and its deviation.
const WINDOW: usize = 11;
const DEVIATION: f64 = 1.5;
const K: [f64; 2] = [0.01, 0.03];

/// How many of the five scales images of this size have.
pub fn scales(height: usize, width: usize) -> usize {
    let halves = height.trailing_zeros().min(width.trailing_zeros()) as usize;
    (halves + 1).min(POWERS.len())
}

/// The similarity of two images `[height, width, channels]` of values in a range of length `range`.
///
/// # Errors
/// Images of another size or without pixels, a value that is not finite, a range that is not above 0.
pub fn ms_ssim(a: &[f32], b: &[f32], shape: [usize; 3], range: f64) -> Result<f64, MetricError> {
    let [mut h, mut w, c] = shape;
    let size = h * w * c;
    if size == 0 {
        let (what, reason) = ("structural similarity", "it takes at least one");
        return Err(MetricError::Size { what, height: h, width: w, reason });
    }
    for image in [a, b] {
        if image.len() != size {
            return Err(MetricError::Length { what: "pixels of an image", expected: size, got: image.len() });
        }
        let values = image.iter().map(|&value| f64::from(value));
        crate::error::check("a pixel", values, "a finite number", f64::is_finite)?;
    }
    crate::error::check("the range of values", [range], "a number above 0", |r| r > 0.0 && r.is_finite())?;
    let constants = K.map(|k| (k * range).powi(2));
    let scales = scales(h, w);
    let used: f64 = POWERS[..scales].iter().sum();
    let whole: f64 = POWERS.iter().sum();
    let [mut a, mut b] = [a, b].map(|image| image.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>());
    let mut product = 1.0;
    for (scale, power) in POWERS[..scales].iter().enumerate() {
        let [similarity, structure] = compared(&a, &b, [h, w, c], constants);
        let last = scale + 1 == scales;
        let factor = if last { similarity } else { structure };
        product *= factor.max(0.0).powf(power * whole / used);
        if !last {
            [a, b] = [a, b].map(|image| halved(&image, [h, w, c]));
            (h, w) = (h / 2, w / 2);
        }
    }
    Ok(product)
}

/// The means over places and channels of luminance times contrast and structure, and of the latter.
fn compared(a: &[f64], b: &[f64], shape: [usize; 3], [c1, c2]: [f64; 2]) -> [f64; 2] {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<f64>>();
    let blurred = |image: &[f64]| blur(image, shape);
    let (m1, m2) = (blurred(a), blurred(b));
    let (s11, s22, s12) = (blurred(&product(a, a)), blurred(&product(b, b)), blurred(&product(a, b)));
    let mut sums = [0.0; 2];
    for i in 0..m1.len() {
        let (m11, m22, m12) = (m1[i] * m1[i], m2[i] * m2[i], m1[i] * m2[i]);
        let structure = (2.0 * (s12[i] - m12) + c2) / ((s11[i] - m11) + (s22[i] - m22) + c2);
        sums[0] += (2.0 * m12 + c1) / (m11 + m22 + c1) * structure;
        sums[1] += structure;
    }
    sums.map(|sum| sum / m1.len() as f64)
}

/// The mean under the window at every place where it fits.
fn blur(image: &[f64], [h, w, c]: [usize; 3]) -> Vec<f64> {
    let size = WINDOW.min(h).min(w);
    let window = window(size);
    let (out_h, out_w) = (h - size + 1, w - size + 1);
    let mut rows = vec![0.0; h * out_w * c];
    for y in 0..h {
        for (tap, weight) in window.iter().enumerate() {
            let from = &image[(y * w + tap) * c..][..out_w * c];
            let to = &mut rows[y * out_w * c..][..out_w * c];
            to.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
        }
    }
    let mut out = vec![0.0; out_h * out_w * c];
    for (y, to) in out.chunks_exact_mut(out_w * c).enumerate() {
        for (tap, weight) in window.iter().enumerate() {
            let from = &rows[(y + tap) * out_w * c..][..out_w * c];
            to.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
        }
    }
    out
}

/// A Gaussian at the centres of so many pixels, of sum 1.
fn window(size: usize) -> Vec<f64> {
    let deviation = size as f64 * DEVIATION / WINDOW as f64;
    let middle = 0.5 * (size as f64 - 1.0);
    let values = (0..size).map(|i| (-0.5 * ((i as f64 - middle) / deviation).powi(2)).exp());
    let sum: f64 = values.clone().sum();
    values.map(|value| value / sum).collect()
}

/// Means of 2x2 pixels.
fn halved(image: &[f64], [h, w, c]: [usize; 3]) -> Vec<f64> {
    let mut out = Vec::with_capacity(image.len() / 4);
    for y in 0..h / 2 {
        for x in 0..w / 2 {
            for channel in 0..c {
                let at = |dy: usize, dx: usize| image[((2 * y + dy) * w + 2 * x + dx) * c + channel];
                out.push(0.25 * (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    fn noise(seed: u64, size: usize) -> Vec<f32> {
        let mut random = Random::new(seed);
        (0..size).map(|_| (255.0 * random.unit()).floor() as f32).collect()
    }

    #[test]
    fn closed_forms() {
        let shape = [48, 32, 3];
        let image = noise(1, 48 * 32 * 3);
        assert!((ms_ssim(&image, &image, shape, 255.0).unwrap() - 1.0).abs() < 1e-12);
        // Flat images differ in luminance alone, which counts at the last scale.
        let flat = |value: f32| vec![value; 48 * 32 * 3];
        let luminance: f64 =
            (2.0 * 50.0 * 80.0 + 2.55f64.powi(2)) / (50.0f64.powi(2) + 80.0f64.powi(2) + 2.55f64.powi(2));
        let found = ms_ssim(&flat(50.0), &flat(80.0), shape, 255.0).unwrap();
        assert!((found - luminance.powf(POWERS[4])).abs() < 1e-9, "{found}");
        // It is symmetric, and unrelated noise is far from alike.
        let other = noise(2, 48 * 32 * 3);
        let [ab, ba] = [ms_ssim(&image, &other, shape, 255.0), ms_ssim(&other, &image, shape, 255.0)]
            .map(Result::unwrap);
        assert!((ab - ba).abs() < 1e-12 && ab < 0.2, "{ab} {ba}");
        // Range and values in other units together change nothing.
        let [small, other] = [&image, &other].map(|i| i.iter().map(|v| v / 255.0).collect::<Vec<f32>>());
        assert!((ms_ssim(&small, &other, shape, 1.0).unwrap() - ab).abs() < 1e-6);
    }

    #[test]
    fn sizes_have_the_scales_that_they_halve_to() {
        assert_eq!(
            [(28, 28), (32, 32), (64, 48), (7, 7), (176, 176)].map(|(h, w)| scales(h, w)),
            [3, 5, 5, 1, 5]
        );
        assert!((window(11).iter().sum::<f64>() - 1.0).abs() < 1e-15 && (window(1)[0] - 1.0).abs() < 1e-15);
        let image = noise(3, 49);
        assert!((ms_ssim(&image, &image, [7, 7, 1], 255.0).unwrap() - 1.0).abs() < 1e-12);
        assert!(ms_ssim(&image, &image[1..], [7, 7, 1], 255.0).is_err());
        assert!(ms_ssim(&[], &[], [0, 7, 1], 255.0).is_err());
        assert!(ms_ssim(&image, &image, [7, 7, 1], 0.0).is_err());
        assert!(ms_ssim(&[f32::NAN; 49], &image, [7, 7, 1], 255.0).is_err());
    }
}
