//! What is in a data set, as a picture.

use crate::error::Error;
use crate::picture::{self, PictureError};
use crate::plot::Canvas;
use ganymede_data::Dataset;
use image::{Rgb, RgbImage, imageops};
use std::path::Path;

/// Images a row.
const COLUMNS: usize = 8;
/// Rows of a set without classes.
const ROWS: usize = 8;
/// Classes shown at most, one a row.
const CLASSES: usize = 40;
/// Items of an endless set that its classes are looked for among.
const SEARCHED: u64 = 10_000;
/// Points of a set of points.
const POINTS: u64 = 2000;
/// Longest side of an image as drawn.
const SIDE: u32 = 64;
/// Pixels of a letter.
const LETTER: i32 = 8;
/// Letters of a class name that are drawn.
const LETTERS: usize = 16;
const GAP: u32 = 2;
const PAPER: Rgb<u8> = Rgb([40, 40, 48]);
const INK: Rgb<u8> = Rgb([236, 236, 240]);

/// Writes a picture of a set: eight evenly spaced items of each class, a row a class with its name in front (of more than
/// 40 classes, evenly spaced ones); 64 evenly spaced items of a set without classes; points as a scatter plot. Of an
/// endless set the first items are taken.
///
/// # Errors
/// The picture cannot be written.
pub fn write(dataset: &Dataset, path: &Path) -> Result<(), Error> {
    let &[height, width, channels] = dataset.shape() else {
        let count = dataset.len().unwrap_or(POINTS).min(POINTS);
        let points = items(dataset, &(0..count).collect::<Vec<_>>())?;
        return Ok(picture::write_scatter(path, &crate::run::original_points(&points, dataset), &[])?);
    };
    let rows = rows(dataset)?;
    let letters = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(LETTERS);
    let margin = if letters == 0 { 0 } else { (letters as u32 + 1) * LETTER as u32 };
    let longest = height.max(width) as u32;
    // Small images are enlarged by a whole factor, large ones reduced.
    let scale = |side: usize| match SIDE / longest {
        0 => (side as u32 * SIDE / longest).max(1),
        factor => side as u32 * factor,
    };
    let (cell_width, cell_height) = (scale(width), scale(height));
    let full =
        (margin + COLUMNS as u32 * (cell_width + GAP) + GAP, rows.len() as u32 * (cell_height + GAP) + GAP);
    let mut canvas = Canvas(RgbImage::from_pixel(full.0, full.1, PAPER));
    for (row, (name, indices)) in (0..).zip(&rows) {
        let top = GAP + row * (cell_height + GAP);
        let middle = top as i32 + (cell_height as i32 - LETTER) / 2;
        canvas.text(&name.chars().take(LETTERS).collect::<String>(), LETTER / 2, middle, INK);
        let data = items(dataset, indices)?;
        for (column, sample) in (0..).zip(data.chunks_exact(dataset.elements())) {
            let image = RgbImage::from_fn(width as u32, height as u32, |x, y| {
                Rgb(picture::pixel(sample, y as usize * width + x as usize, channels))
            });
            let filter = match SIDE / longest {
                0 => imageops::FilterType::Triangle,
                _ => imageops::FilterType::Nearest,
            };
            let image = imageops::resize(&image, cell_width, cell_height, filter);
            let left = margin + GAP + column * (cell_width + GAP);
            imageops::replace(&mut canvas.0, &image, i64::from(left), i64::from(top));
        }
    }
    let written: Result<(), PictureError> = picture::write_rgb(path, canvas.0);
    Ok(written?)
}

fn items(dataset: &Dataset, indices: &[u64]) -> Result<Vec<f32>, Error> {
    let mut data = vec![0.0; indices.len() * dataset.elements()];
    dataset.fill(indices, &mut data, None)?;
    Ok(data)
}

/// Up to `count` of `all`, evenly spaced from the first.
fn spaced(all: &[u64], count: usize) -> Vec<u64> {
    let count = count.min(all.len());
    (0..count).map(|i| all[i * all.len() / count]).collect()
}

/// The rows of the picture: what stands in front, and the items.
fn rows(dataset: &Dataset) -> Result<Vec<(String, Vec<u64>)>, Error> {
    let all: Vec<u64> = (0..dataset.len().unwrap_or(SEARCHED)).collect();
    let Some(names) = dataset.classes() else {
        let shown = match dataset.len() {
            Some(_) => spaced(&all, ROWS * COLUMNS),
            None => all[..ROWS * COLUMNS].to_vec(),
        };
        return Ok(shown.chunks(COLUMNS).map(|row| (String::new(), row.to_vec())).collect());
    };
    let mut members = vec![Vec::new(); names.len()];
    for (&index, label) in all.iter().zip(dataset.labels(&all)?) {
        if let Some(class) = usize::try_from(label).ok().and_then(|label| members.get_mut(label)) {
            class.push(index);
        }
    }
    let classes: Vec<u64> = (0..names.len() as u64).collect();
    let row = |class: u64| {
        let class = class as usize;
        (names[class].clone(), spaced(&members[class], COLUMNS))
    };
    Ok(spaced(&classes, CLASSES).into_iter().map(row).collect())
}
