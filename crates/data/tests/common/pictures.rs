//! Picture files made in memory.

#![allow(dead_code)]

use flate2::{Compression, Crc, write::ZlibEncoder};
use image::{DynamicImage, ImageFormat, RgbImage};
use std::io::{Cursor, Write};

/// A PNG file from its parts: bit depth and colour type as in its header (0 grey, 2 RGB, 3 palette, 4 grey and alpha,
/// 6 RGBA), further chunks before the pixels, and the rows without their filter bytes.
pub fn png_file(
    (width, height): (u32, u32),
    depth: u8,
    color: u8,
    extra: &[(&[u8; 4], Vec<u8>)],
    rows: &[Vec<u8>],
) -> Vec<u8> {
    fn chunk(out: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
        out.extend((data.len() as u32).to_be_bytes());
        out.extend(name);
        out.extend(data);
        let mut crc = Crc::new();
        crc.update(name);
        crc.update(data);
        out.extend(crc.sum().to_be_bytes());
    }
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([depth, color, 0, 0, 0]);
    chunk(&mut out, b"IHDR", &header);
    for (name, data) in extra {
        chunk(&mut out, name, data);
    }
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    for row in rows {
        packed.write_all(&[0]).unwrap();
        packed.write_all(row).unwrap();
    }
    chunk(&mut out, b"IDAT", &packed.finish().unwrap());
    chunk(&mut out, b"IEND", &[]);
    out
}

/// A picture as a file.
pub fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A JPEG file with an Exif block that gives an orientation, 1 to 8.
pub fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    // Little-endian TIFF with one directory of one entry: tag 0x0112, of type SHORT, one value.
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut out = jpeg[..2].to_vec();
    out.extend([0xff, 0xe1]);
    out.extend((exif.len() as u16 + 2).to_be_bytes());
    out.extend(exif);
    out.extend(&jpeg[2..]);
    out
}

/// A colour picture that tells its corners and its `number` apart.
pub fn picture(width: u32, height: u32, number: u32) -> DynamicImage {
    let ramp = |at: u32, of: u32| (at * 255 / of.max(1)) as u8;
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([ramp(x, width), ramp(y, height), (number * 37 % 256) as u8])
    })
    .into()
}

/// The same as a PNG file.
pub fn png(width: u32, height: u32, number: u32) -> Vec<u8> {
    encoded(&picture(width, height, number), ImageFormat::Png)
}

/// The same as a JPEG file.
pub fn jpeg(width: u32, height: u32, number: u32) -> Vec<u8> {
    encoded(&picture(width, height, number), ImageFormat::Jpeg)
}
