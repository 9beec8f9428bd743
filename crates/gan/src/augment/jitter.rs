use super::{Augmentation, Draw, of_colors};
use ganymede_graph::Tensor;
use std::f64::consts::{LN_2, PI};

/// The color transformations of ADA: brightness, contrast, inversion of luma, and, of images with three channels, hue and
/// saturation.
pub struct Jitter;

/// Deviation of the brightness.
const BRIGHTNESS: f64 = 0.2;
/// Deviation of the contrast, in powers of two.
const CONTRAST: f64 = 0.5;
/// Deviation of the saturation, in powers of two.
const SATURATION: f64 = 1.0;

impl Augmentation for Jitter {
    fn name(&self) -> &'static str {
        "jitter"
    }
    fn about(&self) -> &'static str {
        "brightness, contrast and saturation by normals, luma inverted, hue turned: strong; for a small probability"
    }
    fn paper(&self) -> &'static str {
        "Karras et al. 2020 (ADA), appendix B: color transformations"
    }
    fn apply(&self, images: &Tensor, draw: &Draw<'_>) -> Tensor {
        of_colors(images, |colors| changed(colors, draw))
    }
}

fn changed(images: &Tensor, draw: &Draw<'_>) -> Tensor {
    let shape = images.shape();
    let each = |value: Tensor, rest: f64| draw.gated(images, value, rest).broadcast_to(&shape);
    let power = |deviation: f64| (draw.normal_each(images) * (deviation * LN_2)).exp();
    let mut x = images + each(draw.normal_each(images) * BRIGHTNESS, 0.0);
    x = x * each(power(CONTRAST), 1.0);
    // The luma axis is (1, 1, 1) / sqrt 3: a color's part along it is its mean in every channel.
    let luma = |x: &Tensor| {
        let kept = [shape[0], shape[1], shape[2], 1];
        x.mean(&[3]).reshape(&kept).broadcast_to(&shape)
    };
    x = &x - luma(&x) * (each(draw.whole(images, 2), 0.0) * 2.0);
    if shape[3] == 3 {
        let grey = luma(&x);
        let color = &x - &grey;
        let angle = each(draw.between(images, -PI, PI), 0.0);
        // Turned about the axis v (Rodrigues): c cos + (v x c) sin for the part at right angles to it.
        let channel = |k: usize| color.slice(3, k, k + 1);
        let (r, g, b) = (channel(0), channel(1), channel(2));
        let cross = Tensor::concat(&[&(&b - &g), &(&r - &b), &(&g - &r)], 3) * (1.0 / 3.0f64.sqrt());
        let turned = color * angle.cos() + cross * angle.sin();
        x = grey + turned * each(power(SATURATION), 1.0);
    }
    x
}
