//! Writes a sheet of 100 glyphs, ten of each digit, as a PNG: `glyph_sheet FILE.png [SEED] [DATA]`.
//!
//! DATA is any labelled set of images with ten classes, `glyphs` when absent.

use ganymede_data::{OpenOptions, open};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: glyph_sheet FILE.png [SEED] [DATA]")?;
    let seed = args.next().map_or(Ok(0), |text| text.parse())?;
    let spec = args.next().unwrap_or_else(|| "glyphs".to_owned());
    let set = open(&spec, &OpenOptions { seed, ..OpenOptions::default() })?;
    let &[height, width, 1] = set.shape() else { return Err("not a set of grey images".into()) };
    let classes = set.classes().ok_or("not a labelled set")?.len();

    const COLUMNS: usize = 10;
    const ZOOM: usize = 3;
    let indices: Vec<u64> = (0..set.len().unwrap_or(5000).min(5000)).collect();
    let mut data = vec![0.0; indices.len() * set.elements()];
    let mut labels = vec![0; indices.len()];
    set.fill(&indices, &mut data, Some(&mut labels))?;

    let (sheet_width, sheet_height) = (COLUMNS * width * ZOOM, classes * height * ZOOM);
    let mut sheet = image::GrayImage::new(sheet_width as u32, sheet_height as u32);
    let mut placed = vec![0; classes];
    for (item, &label) in data.chunks_exact(set.elements()).zip(&labels) {
        let column = placed[label as usize];
        if column == COLUMNS {
            continue;
        }
        placed[label as usize] += 1;
        for y in 0..height * ZOOM {
            for x in 0..width * ZOOM {
                let value = item[(y / ZOOM) * width + x / ZOOM];
                let (px, py) = (column * width * ZOOM + x, label as usize * height * ZOOM + y);
                sheet.put_pixel(px as u32, py as u32, image::Luma([((value + 1.0) * 127.5).round() as u8]));
            }
        }
    }
    sheet.save(&path)?;
    Ok(())
}
