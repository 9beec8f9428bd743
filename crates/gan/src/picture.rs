//! Pictures of samples: grids of images and scatter plots of points, as PNG.

use crate::checkpoint::write_atomically;
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, RgbImage, RgbaImage};
use std::io::Cursor;
use std::path::Path;

/// Why a picture cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot write the picture: {reason}")]
pub struct PictureError {
    path: String,
    reason: String,
}

/// A value of `[-1, 1]` as a byte.
pub fn byte(value: f32) -> u8 {
    // NaN becomes 0 by the saturating cast.
    ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}

/// The bytes of a PNG file with `picture`, handed to `write`.
fn encode(
    picture: &DynamicImage,
    path: &Path,
    write: impl FnOnce(&Path, &[u8]) -> std::io::Result<()>,
) -> Result<(), PictureError> {
    let fail = |reason: String| PictureError { path: path.display().to_string(), reason };
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(|e| fail(e.to_string()))?;
    write(path, bytes.get_ref()).map_err(|e| fail(e.to_string()))
}

/// The bytes of a PNG file.
///
/// # Errors
/// The picture is too large to be one.
pub fn png(picture: RgbImage) -> Result<Vec<u8>, PictureError> {
    let mut bytes = Vec::new();
    let keep = |_: &Path, png: &[u8]| {
        bytes = png.to_vec();
        Ok(())
    };
    encode(&picture.into(), Path::new("picture"), keep)?;
    Ok(bytes)
}

/// A picture that is ready.
pub fn write_rgb(path: &Path, picture: RgbImage) -> Result<(), PictureError> {
    encode(&picture.into(), path, write_atomically)
}

/// The colour that a pixel of an image `[height, width, channels]` in `[-1, 1]` is shown in where pictures have no alpha, in grids
/// and animations: grey values three times; of two and four channels the last is alpha, and the rest laid on white, as the
/// reader of data does.
pub(crate) fn pixel(sample: &[f32], at: usize, channels: usize) -> [u8; 3] {
    let channel = |c: usize| byte(sample[at * channels + c]);
    let on_white = |c: usize, alpha: usize| {
        let (color, alpha) = (u32::from(channel(c)), u32::from(channel(alpha)));
        // At most 255, rounded to the nearest.
        ((color * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    match channels {
        1 => [channel(0); 3],
        2 => [on_white(0, 1); 3],
        4 => [on_white(0, 3), on_white(1, 3), on_white(2, 3)],
        _ => [channel(0), channel(1), channel(2)],
    }
}

/// An image `[height, width, channels]` in `[-1, 1]`, each of its pixels a square of `scale` pixels: grey, grey with alpha, RGB
/// or RGBA by its channels, and of more than four the first three.
fn whole(sample: &[f32], shape: &[usize], scale: usize) -> DynamicImage {
    let (width, channels) = (shape[1], shape[2]);
    let (w, h) = ((width * scale) as u32, (shape[0] * scale) as u32);
    let value = |x: u32, y: u32, c: usize| {
        byte(sample[(y as usize / scale * width + x as usize / scale) * channels + c])
    };
    match channels {
        1 => GrayImage::from_fn(w, h, |x, y| image::Luma([value(x, y, 0)])).into(),
        2 => GrayAlphaImage::from_fn(w, h, |x, y| image::LumaA([0, 1].map(|c| value(x, y, c)))).into(),
        4 => RgbaImage::from_fn(w, h, |x, y| image::Rgba([0, 1, 2, 3].map(|c| value(x, y, c)))).into(),
        _ => RgbImage::from_fn(w, h, |x, y| image::Rgb([0, 1, 2].map(|c| value(x, y, c)))).into(),
    }
}

/// One image `[height, width, channels]` in `[-1, 1]` at its own size, with its alpha where it has two or four channels. It is
/// written in place: one of thousands, and drawn again from its seed, it is not worth waiting for the disk.
pub fn write_image(path: &Path, sample: &[f32], shape: &[usize]) -> Result<(), PictureError> {
    encode(&whole(sample, shape, 1), path, |path, bytes| std::fs::write(path, bytes))
}

/// One image `[height, width, channels]` in `[-1, 1]`, each of its pixels a square of `scale` pixels.
pub fn write_enlarged(
    path: &Path,
    sample: &[f32],
    shape: &[usize],
    scale: usize,
) -> Result<(), PictureError> {
    encode(&whole(sample, shape, scale), path, write_atomically)
}

/// Pixels between the images of a grid.
const GAP: usize = 2;

/// How many times an image of that shape is enlarged in a grid, so that small images can be looked at.
fn enlargement(shape: &[usize]) -> usize {
    (64 / shape[0].max(shape[1])).max(1)
}

/// Width and height in pixels of the picture that [`write_grid`] makes of `count` images.
pub fn grid_size(shape: &[usize], count: usize, columns: usize) -> (usize, usize) {
    let scale = enlargement(shape);
    let columns = columns.clamp(1, count.max(1));
    let rows = count.div_ceil(columns).max(1);
    (columns * (shape[1] * scale + GAP) + GAP, rows * (shape[0] * scale + GAP) + GAP)
}

/// Images `[n, height, width, channels]` in `[-1, 1]` side by side, `columns` in a row, enlarged so that small images
/// can be looked at.
pub fn grid(samples: &[f32], shape: &[usize], columns: usize) -> RgbImage {
    let (height, width, channels) = (shape[0], shape[1], shape[2]);
    let size = height * width * channels;
    let count = samples.len() / size;
    let scale = enlargement(shape);
    let columns = columns.clamp(1, count.max(1));
    let (cell_w, cell_h) = (width * scale + GAP, height * scale + GAP);
    let (full_w, full_h) = grid_size(shape, count, columns);
    let mut picture = RgbImage::from_pixel(full_w as u32, full_h as u32, image::Rgb([40, 40, 48]));
    for (i, sample) in samples.chunks_exact(size).enumerate() {
        let (left, top) = (GAP + i % columns * cell_w, GAP + i / columns * cell_h);
        for y in 0..height * scale {
            for x in 0..width * scale {
                let color = pixel(sample, y / scale * width + x / scale, channels);
                picture.put_pixel((left + x) as u32, (top + y) as u32, image::Rgb(color));
            }
        }
    }
    picture
}

/// [`grid`] as a file.
pub fn write_grid(path: &Path, samples: &[f32], shape: &[usize], columns: usize) -> Result<(), PictureError> {
    encode(&grid(samples, shape, columns).into(), path, write_atomically)
}

/// Width and height in pixels of the picture that [`write_scatter`] makes.
pub const SCATTER: (usize, usize) = (640, 640);

/// Points in the plane: real ones grey, generated ones orange on top, on a square that holds all real ones with a
/// margin. Generated points outside it are drawn on its edge.
pub fn write_scatter(path: &Path, real: &[[f64; 2]], generated: &[[f64; 2]]) -> Result<(), PictureError> {
    const SIDE: u32 = SCATTER.0 as u32;
    let reach = real.iter().chain(if real.is_empty() { generated } else { &[] }).flatten();
    let reach = reach.fold(0.0f64, |m, v| if v.is_finite() { m.max(v.abs()) } else { m }).max(1e-6) * 1.15;
    let mut picture = RgbImage::from_pixel(SIDE, SIDE, image::Rgb([250, 250, 248]));
    let at = |v: f64| (((v / reach + 1.0) * 0.5).clamp(0.0, 1.0) * f64::from(SIDE - 2)) as u32;
    let mut draw = |points: &[[f64; 2]], color: [u8; 3], strength: f64| {
        for p in points.iter().filter(|p| p[0].is_finite() && p[1].is_finite()) {
            let (x, y) = (at(p[0]), at(-p[1]));
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let old = picture.get_pixel(x + dx, y + dy).0;
                let mix =
                    |c: usize| (f64::from(old[c]) * (1.0 - strength) + f64::from(color[c]) * strength) as u8;
                picture.put_pixel(x + dx, y + dy, image::Rgb([mix(0), mix(1), mix(2)]));
            }
        }
    };
    draw(real, [120, 130, 145], 0.35);
    draw(generated, [226, 88, 34], 0.6);
    encode(&picture.into(), path, write_atomically)
}

/// An image file as `[height, width, channels]` values in `[-1, 1]`, as [`ganymede_data::read_picture`] gives them.
///
/// # Errors
/// The file's name and what is wrong with it; another size is an error, since resizing would change what is judged.
pub fn read_image(path: &Path, shape: &[usize]) -> Result<Vec<f32>, String> {
    let wrong = |reason: String| format!("{}: {reason}", path.display());
    let Ok(shape) = <[usize; 3]>::try_from(shape) else {
        return Err(wrong(format!("samples of shape {shape:?} cannot come from an image")));
    };
    ganymede_data::read_picture(path, shape).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_and_saturate() {
        assert_eq!(
            [byte(-1.0), byte(1.0), byte(0.0), byte(-7.0), byte(9.0), byte(f32::NAN)],
            [0, 255, 128, 0, 255, 0]
        );
    }

    #[test]
    fn an_image_survives_writing_and_reading() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let values: Vec<f32> = (0..12).map(|i| f32::from(byte(i as f32 / 6.0 - 1.0)) / 127.5 - 1.0).collect();
        write_image(&path, &values, &[4, 3, 1]).unwrap();
        assert_eq!(read_image(&path, &[4, 3, 1]).unwrap(), values);
        assert!(read_image(&path, &[3, 4, 1]).unwrap_err().contains("a.png: is 3x4 pixels"));
        assert!(read_image(&path, &[12]).unwrap_err().contains("a.png: samples of shape [12]"));
    }

    /// `count` values of bytes that begin at 1 and end at 255, so that no alpha is 0, whose colours a reader drops.
    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| (1 + i * 254 / (count - 1)) as f32 / 127.5 - 1.0).collect()
    }

    #[test]
    fn channels_survive_writing_and_reading_alpha_among_them() {
        let folder = tempfile::tempdir().unwrap();
        let kinds =
            [image::ColorType::L8, image::ColorType::La8, image::ColorType::Rgb8, image::ColorType::Rgba8];
        for (channels, kind) in (1..).zip(kinds) {
            let shape = [4, 3, channels];
            let values = values(12 * channels);
            let (small, large) = (folder.path().join("a.png"), folder.path().join("b.png"));
            write_image(&small, &values, &shape).unwrap();
            assert_eq!(image::open(&small).unwrap().color(), kind);
            assert_eq!(read_image(&small, &shape).unwrap(), values, "{channels}");
            write_enlarged(&large, &values, &shape, 2).unwrap();
            let read = read_image(&large, &[8, 6, channels]).unwrap();
            let corner = |y: usize, x: usize| &read[(y * 6 + x) * channels..][..channels];
            for (y, x) in [(0, 0), (7, 5), (3, 2)] {
                assert_eq!(corner(y, x), &values[(y / 2 * 3 + x / 2) * channels..][..channels]);
            }
        }
        let error = read_image(&folder.path().join("a.png"), &[4, 3, 5]).unwrap_err();
        assert!(error.contains("5 are wanted"), "{error}");
    }

    #[test]
    fn what_is_transparent_is_shown_on_white() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let at = |bytes: [u8; 4]| bytes.map(|b| f32::from(b) / 127.5 - 1.0);
        // A red pixel that is opaque, half transparent and not to be seen.
        for (alpha, shown) in [(255, [255, 0, 0]), (128, [255, 127, 127]), (0, [255, 255, 255])] {
            write_grid(&path, &at([255, 0, 0, alpha]), &[1, 1, 4], 1).unwrap();
            assert_eq!(image::open(&path).unwrap().to_rgb8().get_pixel(9, 9).0, shown);
        }
        assert_eq!(pixel(&[-1.0, -1.0], 0, 2), [255; 3]);
        assert_eq!(pixel(&[-1.0, 1.0], 0, 2), [0; 3]);
    }

    #[test]
    fn files_are_read_by_the_rules_of_data() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let byte_of =
            |shape: &[usize]| read_image(&path, shape).unwrap().into_iter().map(byte).collect::<Vec<_>>();
        RgbImage::from_pixel(1, 1, image::Rgb([255, 0, 0])).save(&path).unwrap();
        assert_eq!(byte_of(&[1, 1, 1]), [76], "ITU-R BT.601: .299 of 255");
        RgbaImage::from_pixel(1, 1, image::Rgba([255, 0, 0, 0])).save(&path).unwrap();
        assert_eq!(byte_of(&[1, 1, 1]), [255], "laid on white");
        assert_eq!(byte_of(&[1, 1, 3]), [255; 3]);
        RgbImage::from_fn(16, 16, |x, y| image::Rgb([(16 * x) as u8, (16 * y) as u8, 9]))
            .save(&path)
            .unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 30]).unwrap();
        let error = read_image(&path, &[16, 16, 3]).unwrap_err();
        assert!(error.contains("a.png: ") && error.contains("truncated"), "{error}");
    }
}
