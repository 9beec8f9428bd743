use super::*;
use image::{ImageBuffer, Luma, Rgb};

const WIDTH: u32 = 37;
const HEIGHT: u32 = 23;

/// The bytes of tools/goldens_pictures.py.
fn byte(x: u32, y: u32, c: u32, channels: u32) -> u8 {
    let byte = (x * 7 + y * 13 + c * 29 + (x * y) % 17 * 5) % 256;
    if channels == 4 && c == 3 { (60 + byte % 196) as u8 } else { byte as u8 }
}

fn source(channels: u32, bits: u32) -> DynamicImage {
    match (channels, bits) {
        (3, 8) => ImageBuffer::from_fn(WIDTH, HEIGHT, |x, y| Rgb([0, 1, 2].map(|c| byte(x, y, c, 3)))).into(),
        (4, 8) => {
            ImageBuffer::from_fn(WIDTH, HEIGHT, |x, y| Rgba([0, 1, 2, 3].map(|c| byte(x, y, c, 4)))).into()
        }
        _ => ImageBuffer::from_fn(WIDTH, HEIGHT, |x, y| {
            Luma([(u32::from(byte(x, y, 0, 1)) * 257 + x).min(65_535) as u16])
        })
        .into(),
    }
}

fn converted(picture: &DynamicImage, width: u32, height: u32, channels: usize, fit: Fit) -> (Vec<u8>, Done) {
    let mut out = vec![77; (width * height) as usize * channels];
    let done = convert(picture, &Target { height, width, channels, fit }, &mut out);
    (out, done)
}

#[test]
fn resizing_agrees_with_pillow() {
    let golden: Vec<f32> = include_bytes!("../../../goldens/pictures.f32")
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let cases = [
        (source(3, 8), 3, 8, 8, Fit::Crop),
        (source(3, 8), 3, 12, 5, Fit::Stretch),
        (source(3, 8), 3, 64, 48, Fit::Stretch),
        (source(4, 8), 4, 9, 11, Fit::Stretch),
        (source(4, 8), 3, 9, 11, Fit::Stretch),
        (source(3, 8), 1, 10, 10, Fit::Stretch),
        (source(1, 16), 1, 6, 6, Fit::Stretch),
    ];
    let mut at = 0;
    for (number, (picture, channels, width, height, fit)) in cases.iter().enumerate() {
        let (got, _) = converted(picture, *width, *height, *channels, *fit);
        for (i, &byte) in got.iter().enumerate() {
            // Half a level of rounding, and a hundredth for sums of at most 50 floats, whose error is below 50 * 2^-24 of
            // values up to 2 in magnitude, twice, times 255.
            let error = (f32::from(byte) - 255.0 * golden[at + i]).abs();
            assert!(error <= 0.51, "case {number}, byte {i}: {byte} for {}", 255.0 * golden[at + i]);
        }
        at += got.len();
    }
    assert_eq!(at, golden.len());
}

#[test]
fn a_filter_that_does_not_widen_is_told_apart() {
    // Sampling without widening the filter by the reduction is what aliases; here it must differ from what is done.
    let picture = source(3, 8);
    let (got, _) = converted(&picture, 8, 8, 3, Fit::Crop);
    let coarse =
        imageops::resize(&picture.crop_imm(7, 0, 23, 23).to_rgb8(), 8, 8, imageops::FilterType::Nearest);
    let apart = got.iter().zip(coarse.as_raw()).filter(|(a, b)| a.abs_diff(**b) > 10).count();
    assert!(apart > 96, "{apart} of 192");
}

#[test]
fn a_picture_of_the_wanted_size_keeps_its_bytes() {
    for fit in [Fit::Crop, Fit::Stretch, Fit::Pad] {
        let picture = source(3, 8);
        let (got, done) = converted(&picture, WIDTH, HEIGHT, 3, fit);
        assert_eq!(&got, picture.as_rgb8().unwrap().as_raw());
        assert_eq!(done, Done::default());
    }
    let (got, _) = converted(&source(4, 8), WIDTH, HEIGHT, 4, Fit::Crop);
    assert_eq!(&got, source(4, 8).as_rgba8().unwrap().as_raw());
    let grey: DynamicImage = ImageBuffer::from_fn(16, 16, |x, y| Luma([(y * 16 + x) as u8])).into();
    assert_eq!(&converted(&grey, 16, 16, 1, Fit::Crop).0, grey.as_luma8().unwrap().as_raw());
}

#[test]
fn crops_are_centred_and_bars_are_black() {
    // Thirds of red, green, blue from left to right.
    let wide: DynamicImage =
        ImageBuffer::from_fn(30, 10, |x, _| Rgb([0, 1, 2].map(|c| if x / 10 == c { 255u8 } else { 0 })))
            .into();
    let (got, done) = converted(&wide, 10, 10, 3, Fit::Crop);
    assert!(got.chunks(3).all(|p| p == [0, 255, 0]));
    assert_eq!(done, Done { cropped: true, ..Done::default() });
    let (got, done) = converted(&wide, 30, 30, 3, Fit::Pad);
    assert_eq!(done, Done { padded: true, ..Done::default() });
    assert!(got[..30 * 10 * 3].iter().chain(&got[30 * 20 * 3..]).all(|&b| b == 0));
    assert_eq!(&got[30 * 10 * 3..30 * 20 * 3], wide.as_rgb8().unwrap().as_raw());
    let (got, _) = converted(&wide, 30, 30, 4, Fit::Pad);
    assert_eq!((&got[..4], &got[30 * 10 * 4..][..4]), (&[0, 0, 0, 0][..], &[255, 0, 0, 255][..]));
    let (_, done) = converted(&wide, 10, 10, 3, Fit::Stretch);
    assert_eq!(done, Done { stretched: true, reduced: true, ..Done::default() });
    // One pixel in any shape is that pixel.
    let dot: DynamicImage = ImageBuffer::from_pixel(1, 1, Rgb([9u8, 8, 7])).into();
    for fit in [Fit::Crop, Fit::Stretch] {
        let (got, done) = converted(&dot, 5, 3, 3, fit);
        assert!(got.chunks(3).all(|p| p == [9, 8, 7]) && done.enlarged, "{got:?}");
    }
    // A line of one pixel stays at least one pixel high.
    let line: DynamicImage = ImageBuffer::from_pixel(4000, 1, Rgb([50u8, 60, 70])).into();
    let (got, _) = converted(&line, 8, 8, 3, Fit::Pad);
    assert_eq!(got.chunks(3).filter(|p| *p == [50, 60, 70]).count(), 8);
}

#[test]
fn transparent_colours_do_not_bleed_and_lie_on_white() {
    // Invisible red beside opaque blue.
    let pair: DynamicImage =
        ImageBuffer::from_fn(
            32,
            32,
            |x, _| if x < 16 { Rgba([255, 0, 0, 0]) } else { Rgba([0, 0, 255, 255u8]) },
        )
        .into();
    let (got, _) = converted(&pair, 4, 4, 4, Fit::Crop);
    assert!(got.chunks(4).all(|p| p[0] == 0), "no red anywhere: {got:?}");
    let (got, _) = converted(&pair, 32, 32, 3, Fit::Crop);
    assert_eq!((&got[..3], &got[31 * 3..32 * 3]), (&[255, 255, 255][..], &[0, 0, 255][..]));
    let (got, _) = converted(&pair, 32, 32, 1, Fit::Crop);
    assert_eq!((got[0], got[31]), (255, (0.114f32 * 255.0).round() as u8));
}

#[test]
fn sizes_are_rounded_to_the_nearest() {
    assert_eq!([scaled(3, 1, 2), scaled(10, 1, 3), scaled(1, 1, 100), scaled(5, 4, 4)], [2, 3, 1, 5]);
    assert_eq!(scaled(u32::MAX, u32::MAX, u32::MAX), u32::MAX);
}
