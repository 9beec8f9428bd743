//! Any picture at one size and with given channels.
//!
//! Everything is computed in floats on the values that the file stores (sRGB is not linearised, as in Pillow and the
//! tools that made the usual data sets) and rounded to bytes once. The filter is Lanczos of three lobes, stretched by the
//! reduction, so that a reduced picture is free of aliasing. Colours are multiplied by their alpha first, so that the colour
//! of transparent pixels does not bleed into others. Transparent pixels are laid on white where there is no alpha channel
//! in the result; grey from colour has the weights of ITU-R BT.601, as in Pillow and OpenCV.

use image::{DynamicImage, GenericImageView, Rgba, imageops};

/// Weights of red, green and blue in grey (ITU-R BT.601), for all that reads pictures.
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

/// What was done with them, in words.
pub(crate) const MADE_GREY: &str = "in colour, made grey (.299 R + .587 G + .114 B)";

/// What becomes of a picture of another shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fit {
    /// The largest centred part of the wanted shape.
    #[default]
    Crop,
    /// The whole, its shape changed.
    Stretch,
    /// The whole, with black (or transparent) bars.
    Pad,
}

/// Height, width and channels of a set, and how pictures get there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub height: u32,
    pub width: u32,
    pub channels: usize,
    pub fit: Fit,
}

/// What was done to a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub cropped: bool,
    pub stretched: bool,
    pub padded: bool,
    pub reduced: bool,
    pub enlarged: bool,
}

/// A part of a picture as floats in [0, 1], colours multiplied by alpha.
struct Part<'a> {
    picture: &'a DynamicImage,
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl GenericImageView for Part<'_> {
    type Pixel = Rgba<f32>;

    fn dimensions(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn get_pixel(&self, x: u32, y: u32) -> Rgba<f32> {
        let (x, y) = (x + self.left, y + self.top);
        let byte = |v: u8| f32::from(v) / 255.0;
        let word = |v: u16| f32::from(v) / 65_535.0;
        let [r, g, b, a] = match self.picture {
            DynamicImage::ImageLuma8(p) => [byte(p.get_pixel(x, y)[0]); 3].extend(1.0),
            DynamicImage::ImageLumaA8(p) => {
                [byte(p.get_pixel(x, y)[0]); 3].extend(byte(p.get_pixel(x, y)[1]))
            }
            DynamicImage::ImageRgb8(p) => p.get_pixel(x, y).0.map(byte).extend(1.0),
            DynamicImage::ImageRgba8(p) => p.get_pixel(x, y).0.map(byte),
            DynamicImage::ImageLuma16(p) => [word(p.get_pixel(x, y)[0]); 3].extend(1.0),
            DynamicImage::ImageLumaA16(p) => {
                [word(p.get_pixel(x, y)[0]); 3].extend(word(p.get_pixel(x, y)[1]))
            }
            DynamicImage::ImageRgb16(p) => p.get_pixel(x, y).0.map(word).extend(1.0),
            DynamicImage::ImageRgba16(p) => p.get_pixel(x, y).0.map(word),
            // The enum is open; the decoders of PNG and JPEG give those above.
            other => other.get_pixel(x, y).0.map(byte),
        };
        Rgba([r * a, g * a, b * a, a])
    }
}

trait Extend {
    fn extend(self, last: f32) -> [f32; 4];
}

impl Extend for [f32; 3] {
    fn extend(self, last: f32) -> [f32; 4] {
        [self[0], self[1], self[2], last]
    }
}

/// `a * b / c`, rounded to the nearest, at least 1.
fn scaled(a: u32, b: u32, c: u32) -> u32 {
    let (a, b, c) = (u128::from(a), u128::from(b), u128::from(c.max(1)));
    ((2 * a * b + c) / (2 * c)).max(1) as u32
}

/// Writes `picture` to `out`, `[height, width, channels]`.
pub(crate) fn convert(picture: &DynamicImage, target: &Target, out: &mut [u8]) -> Done {
    let (width, height) = (picture.width(), picture.height());
    let Target { height: to_height, width: to_width, channels, fit } = *target;
    // Whether the picture is wider in proportion than the target.
    let across = u64::from(width) * u64::from(to_height);
    let down = u64::from(height) * u64::from(to_width);
    let mut part = Part { picture, left: 0, top: 0, width, height };
    let (mut inner_width, mut inner_height) = (to_width, to_height);
    let mut done = Done::default();
    match fit {
        Fit::Crop => {
            part.width = if across > down { scaled(height, to_width, to_height).min(width) } else { width };
            part.height = if across < down { scaled(width, to_height, to_width).min(height) } else { height };
            part.left = (width - part.width) / 2;
            part.top = (height - part.height) / 2;
            done.cropped = (part.width, part.height) != (width, height);
        }
        Fit::Stretch => done.stretched = across != down,
        Fit::Pad => {
            inner_width =
                if across < down { scaled(width, to_height, height).min(to_width) } else { to_width };
            inner_height =
                if across > down { scaled(height, to_width, width).min(to_height) } else { to_height };
            done.padded = (inner_width, inner_height) != (to_width, to_height);
        }
    }
    done.enlarged = inner_width > part.width || inner_height > part.height;
    done.reduced = inner_width < part.width || inner_height < part.height;
    let resized = imageops::resize(&part, inner_width, inner_height, imageops::FilterType::Lanczos3);
    let (left, top) = ((to_width - inner_width) / 2, (to_height - inner_height) / 2);
    for y in 0..to_height {
        for x in 0..to_width {
            let inside = (left..left + inner_width).contains(&x) && (top..top + inner_height).contains(&y);
            // Bars are black, and transparent where there is an alpha channel.
            let bar = [0.0, 0.0, 0.0, if channels == 4 { 0.0 } else { 1.0 }];
            let pixel = if inside { resized.get_pixel(x - left, y - top).0 } else { bar };
            let at = (y as usize * to_width as usize + x as usize) * channels;
            write(pixel, &mut out[at..at + channels]);
        }
    }
    done
}

/// One pixel, colours multiplied by alpha, as bytes of 1 to 4 channels.
fn write([r, g, b, a]: [f32; 4], out: &mut [u8]) {
    let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
    let straight = |v: f32| if a > 0.0 { v / a } else { 0.0 };
    let grey_of = |[r, g, b]: [f32; 3]| GREY[0] * r + GREY[1] * g + GREY[2] * b;
    match out {
        [red, green, blue, alpha] => {
            [*red, *green, *blue, *alpha] =
                [byte(straight(r)), byte(straight(g)), byte(straight(b)), byte(a)];
            return;
        }
        [grey, alpha] => {
            [*grey, *alpha] = [byte(straight(grey_of([r, g, b]))), byte(a)];
            return;
        }
        _ => {}
    }
    let on_white = |v: f32| v + (1.0 - a);
    let [r, g, b] = [r, g, b].map(on_white);
    match out {
        [grey] => *grey = byte(grey_of([r, g, b])),
        colors => colors.iter_mut().zip([r, g, b]).for_each(|(color, v)| *color = byte(v)),
    }
}

#[cfg(test)]
mod tests;
