//! One picture as a sample.

use super::{
    decode::decode,
    fit::{Fit, Target, convert},
    load::bytes_of,
};
use crate::bytes::value;
use std::{path::Path, sync::Mutex};

/// The picture in a PNG or JPEG file as values `[height, width, channels]` in [-1, 1], the same bits as a folder of pictures
/// gives for it: upright, transparent pixels on white unless the last channel is alpha, grey from colour by ITU-R BT.601. Of one
/// channel grey, of two grey and alpha, of three RGB, of four RGBA.
/// Another size is refused: resizing would change what is judged.
///
/// # Errors
/// What is wrong with the file, its size or `shape`, as a sentence that goes on from the file's name.
pub fn read_picture(path: &Path, shape: [usize; 3]) -> Result<Vec<f32>, String> {
    let [height, width, channels] = shape;
    if !(1..=4).contains(&channels) {
        return Err(format!("a picture has 1 to 4 channels, and {channels} are wanted"));
    }
    let (picture, _) = decode(&bytes_of(path)?, &Mutex::new(()))?;
    let (wide, high) = (picture.width(), picture.height());
    let (Ok(to_width), Ok(to_height)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(format!("no picture has {width}x{height} pixels"));
    };
    if (wide, high) != (to_width, to_height) {
        return Err(format!("is {wide}x{high} pixels, the samples are {width}x{height}; resize it first"));
    }
    let mut bytes = vec![0; height * width * channels];
    convert(&picture, &Target { height: to_height, width: to_width, channels, fit: Fit::Crop }, &mut bytes);
    Ok(bytes.into_iter().map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OpenOptions, open};
    use image::{DynamicImage, ImageBuffer, Rgba};

    /// Colours of every kind, some of them transparent.
    fn picture() -> DynamicImage {
        let at = |x: u32, y: u32, c: u32| ((x * 31 + y * 57 + c * 83) % 256) as u8;
        ImageBuffer::from_fn(9, 7, |x, y| Rgba([0, 1, 2, 3].map(|c| at(x, y, c)))).into()
    }

    #[test]
    fn a_picture_alone_is_what_its_folder_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        picture().save(&path).unwrap();
        for channels in [1, 3, 4] {
            let spec = format!("{}?channels={channels}", folder.path().display());
            let set = open(&spec, &OpenOptions::default()).unwrap();
            let mut held = vec![0.0; 7 * 9 * channels];
            set.fill(&[0], &mut held, None).unwrap();
            assert_eq!(read_picture(&path, [7, 9, channels]).unwrap(), held, "{channels} channels");
        }
    }

    /// The weights of BT.601 are those with which Y' of the primaries of NTSC (1953) is the luminance of white: .299, .587
    /// and .114. Of pure colours a byte of 255 becomes 76.245, 149.685 and 29.07; BT.709 would have 54, 182 and 18.
    #[test]
    fn grey_is_that_of_bt_601() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.png");
        let pure: [[u8; 3]; 5] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [77, 77, 77]];
        image::RgbImage::from_fn(5, 1, |x, _| image::Rgb(pure[x as usize])).save(&path).unwrap();
        let expected = [76u8, 150, 29, 255, 77].map(value);
        assert_eq!(read_picture(&path, [1, 5, 1]).unwrap(), expected);
        let by_709 = image::open(&path).unwrap().to_luma8().into_raw();
        assert_eq!(by_709[..3], [54, 182, 18], "other weights are told apart");
    }

    #[test]
    fn what_is_no_such_picture_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        picture().save(&path).unwrap();
        let error = |path: &Path, shape| read_picture(path, shape).unwrap_err();
        assert!(error(&path, [9, 7, 3]).contains("is 9x7 pixels, the samples are 7x9"));
        assert!(error(&path, [7, 9, 5]).contains("5 are wanted"));
        assert!(error(&folder.path().join("b.png"), [7, 9, 3]).contains("cannot be read"));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
        assert!(error(&path, [7, 9, 3]).contains("truncated"));
    }
}
