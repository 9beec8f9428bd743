//! One picture by the rules of a set's.

use super::{
    decode,
    fit::{self, Fit, Target},
    load::bytes_of,
};
use crate::error::DataError;
use std::{path::Path, sync::Mutex};

/// A PNG or JPEG file as values `[height, width, channels]` in [-1, 1], made as those of a folder of pictures are: turned
/// upright, laid on white where there is no alpha channel in the result, grey by ITU-R BT.601. Of one channel grey, of two
/// grey and alpha, of three RGB, of four RGBA. Nothing is resized, since that would change what is looked at.
///
/// # Errors
/// The file cannot be read or decoded, or is damaged; another size than asked for; a number of channels that no picture has.
pub fn read_picture(path: &Path, [height, width, channels]: [usize; 3]) -> Result<Vec<f32>, DataError> {
    let fail = |reason: String| DataError::OnePicture { path: path.to_owned(), reason };
    if !(1..=4).contains(&channels) {
        return Err(fail(format!(
            "pictures have 1 to 4 channels, and {channels} are asked for: samples of so many are no pictures"
        )));
    }
    let (picture, _) = decode::decode(&bytes_of(path).map_err(fail)?, &Mutex::new(())).map_err(fail)?;
    let found = (picture.height(), picture.width());
    if (found.0 as usize, found.1 as usize) != (height, width) {
        return Err(fail(format!(
            "is {}x{} pixels, and {width}x{height} are wanted (width x height): resize it first",
            found.1, found.0
        )));
    }
    let mut bytes = vec![0; height * width * channels];
    let target = Target { height: found.0, width: found.1, channels, fit: Fit::Crop };
    fit::convert(&picture, &target, &mut bytes);
    Ok(bytes.into_iter().map(|byte| f32::from(byte) / 127.5 - 1.0).collect())
}
