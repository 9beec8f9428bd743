use super::warp::{Affine, warp_continued};
use super::{Augmentation, Draw};
use ganymede_graph::{ConvOptions, Tensor};
use std::f64::consts::{LN_2, PI};

/// The geometric transformations of ADA: scaled, turned, stretched, turned again, shifted by fractions of pixels; looked up
/// between pixels of twice the resolution, so that little is lost and nothing aliases.
pub struct Geometry;

/// Deviation of the scales, in powers of two.
const SCALE: f64 = 0.2;
/// Deviation of the shift, as a share of the side.
const SHIFT: f64 = 0.125;

/// The low-pass filter of the wavelet Symlet 6, whose taps add up to sqrt 2 (Daubechies 1992, table 6.3).
const SYM6: [f64; 12] = [
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
];

/// Pixels that the filter reaches to either side.
pub(super) const REACH: usize = 6;

/// The image continued by `by` pixels on each side along `axis`, reflected about its edge pixels; where a side is too short
/// for that, its last pixel is repeated.
fn continued(x: &Tensor, axis: usize, by: usize) -> Tensor {
    let side = x.shape()[axis] as isize;
    let pixel = |at: isize| {
        let at = if at < 0 { -at } else { at };
        let at = if at >= side { 2 * (side - 1) - at } else { at };
        at.clamp(0, side - 1) as usize
    };
    let slice = |at: isize| x.slice(axis, pixel(at), pixel(at) + 1);
    let before: Vec<Tensor> = (-(by as isize)..0).map(slice).collect();
    let after: Vec<Tensor> = (side..side + by as isize).map(slice).collect();
    let parts: Vec<&Tensor> = before.iter().chain([x]).chain(&after).collect();
    Tensor::concat(&parts, axis)
}

/// The filter along one axis of every channel, `[12, 1, 1, C]` or `[1, 12, 1, C]`, its taps adding up to `gain`.
fn filter(x: &Tensor, axis: usize, gain: f64, turned: bool) -> Tensor {
    let channels = x.shape()[3];
    let scale = gain / SYM6.iter().sum::<f64>();
    let taps = (0..12).map(|i| SYM6[if turned { 11 - i } else { i }] * scale);
    let values: Vec<f64> = taps.flat_map(|tap| std::iter::repeat_n(tap, channels)).collect();
    let mut shape = [1, 1, 1, channels];
    shape[axis - 1] = 12;
    x.graph().constant_f32(&shape, &values)
}

/// Twice as many pixels along `axis`, [`REACH`] source pixels fewer on each side: pixel q of the result lies at place
/// q / 2 - 1/4 of what is left of the source.
fn doubled(x: &Tensor, axis: usize) -> Tensor {
    let (mut interior, mut high) = ([0; 4], [0; 4]);
    // Zeros between the pixels, and one behind the last.
    (interior[axis], high[axis]) = (1, 1);
    let spread = x.pad(&[0; 4], &high, &interior);
    let y = spread.conv2d(&filter(x, axis, 2.0, true), ConvOptions::default().groups(x.shape()[3]));
    // Result p sums over spread pixels p to p + 11, whose middle is p + 11/2; source pixel k stands at 2 k. So what
    // lies at REACH + q / 2 - 1/4 of the source is result q + 2 REACH - 1/2 - 11/2.
    let first = 2 * REACH - 6;
    y.slice(axis, first, first + 2 * (x.shape()[axis] - 2 * REACH))
}

/// The counterpart of [`doubled`]: half as many pixels, without [`REACH`] of the source's on each side.
fn halved(x: &Tensor, axis: usize) -> Tensor {
    let y = x.conv2d(&filter(x, axis, 1.0, false), ConvOptions::default().groups(x.shape()[3]));
    // Result p has its middle at p + 11/2; wanted are REACH + 1/2, REACH + 5/2, ..
    let side = x.shape()[axis] - 2 * REACH;
    let (mut start, mut stop, mut stride) = ([0; 4].to_vec(), y.shape(), [1; 4].to_vec());
    (start[axis], stop[axis], stride[axis]) = (REACH - 5, REACH - 5 + side, 2);
    y.slice_strided(&start, &stop, &stride)
}

impl Augmentation for Geometry {
    fn name(&self) -> &'static str {
        "geometry"
    }
    fn about(&self) -> &'static str {
        "scaled, turned, stretched and shifted between pixels, filtered against aliasing; edges reflect"
    }
    fn paper(&self) -> &'static str {
        "Karras et al. 2020 (ADA), appendix B: general geometric transformations"
    }
    fn apply(&self, images: &Tensor, draw: &Draw<'_>) -> Tensor {
        let shape = images.shape();
        let power = || (draw.normal_each(images) * (SCALE * LN_2)).exp();
        // Two turns, each acting so often that one of them does with the given probability: 1 - sqrt(1 - p).
        let rare = draw.probability.map(|p| 1.0 - (1.0 - p).sqrt());
        let turned = || {
            let angle = draw.between(images, -PI, PI);
            let seldom = Draw { probability: rare.as_ref(), ..*draw };
            let angle = seldom.gated(images, angle, 0.0);
            Affine::turn(&angle.cos(), &angle.sin())
        };
        let isotropic = draw.gated(images, power(), 1.0);
        let stretch = draw.gated(images, power(), 1.0);
        // In pixels of the doubled image.
        let shift = |axis: usize| draw.normal_each(images) * (2.0 * SHIFT * shape[axis] as f64);
        let moves = draw.gated(images, stretch.ones_like(), 0.0);
        let shifted = Affine::shift(shift(1) * &moves, shift(2) * moves);
        let map = Affine::scale(&isotropic, &isotropic)
            .then(&turned())
            .then(&Affine::scale(&stretch, &(1.0 / &stretch)))
            .then(&turned())
            .then(&shifted);
        // Continued as far as the filters of both directions reach, so that an image which nothing moves comes out as it
        // was. The edge pixels' middles lie 2 REACH + 1/2 inside the doubled image.
        let wide = continued(&continued(images, 1, 2 * REACH), 2, 2 * REACH);
        let large = doubled(&doubled(&wide, 1), 2);
        let size = [2 * (shape[1] + REACH), 2 * (shape[2] + REACH)];
        let moved = warp_continued(&large, &map, 2.0 * REACH as f64 + 0.5, size);
        halved(&halved(&moved, 1), 2)
    }
}
