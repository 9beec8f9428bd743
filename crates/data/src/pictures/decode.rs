//! The pixels of one file, upright, and what was found in it.

use flate2::Crc;
use image::{
    DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits,
    codecs::{jpeg::JpegDecoder, png::PngDecoder},
    metadata::Orientation,
};
use std::{
    io::Cursor,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

/// The longest side of a picture before it is resized.
pub(crate) const MAX_SIDE: u32 = 32_768;

/// The most bytes of one decoded picture, and of what its decoder keeps beside it: 256 MiB, 89 megapixels of RGB.
pub(crate) const MAX_DECODED: u64 = 256 << 20;

/// The most bytes of one file.
pub(crate) const MAX_FILE: u64 = 256 << 20;

/// Pictures above this are decoded one at a time, so that many threads do not add up to many of the above.
const LARGE: u64 = 32 << 20;

/// What was found in a file and does not show in the pixels it gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub jpeg: bool,
    pub palette: bool,
    pub sixteen_bit: bool,
    pub alpha: bool,
    pub grey: bool,
    pub cmyk: bool,
    pub animated: bool,
    pub turned: bool,
}

/// A picture before its pixels are decoded.
pub(crate) struct Header {
    /// Upright.
    pub width: u32,
    /// Upright.
    pub height: u32,
    pub found: Found,
}

/// One of the two decoders, set up and limited.
enum Opened<'a> {
    Png(Box<PngDecoder<Cursor<&'a [u8]>>>),
    Jpeg(JpegDecoder<Cursor<&'a [u8]>>),
}

impl Opened<'_> {
    fn decoder(&mut self) -> &mut dyn ImageDecoder {
        match self {
            Self::Png(decoder) => decoder.as_mut(),
            Self::Jpeg(decoder) => decoder,
        }
    }
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    limits
}

/// Reads a header and refuses what is no picture, too large, or cut off.
fn open(bytes: &[u8]) -> Result<(Opened<'_>, Header, Orientation), String> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let mut found = Found::default();
    let reason = |error: image::ImageError| format!("cannot be decoded: {error}");
    let mut opened = match reader.format() {
        Some(ImageFormat::Png) => {
            walk_png(bytes)?;
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits()).map_err(reason)?;
            // The header chunk comes first, its colour type in byte 25 of the file.
            found.palette = bytes.get(25) == Some(&3);
            found.animated = decoder.is_apng().map_err(reason)?;
            Opened::Png(Box::new(decoder))
        }
        Some(ImageFormat::Jpeg) => {
            let stream = walk_jpeg(bytes);
            if !stream.ended {
                return Err("is a JPEG stream without an end (marker FF D9): it is truncated".to_owned());
            }
            found.cmyk = stream.components == Some(4);
            found.jpeg = true;
            Opened::Jpeg(JpegDecoder::new(Cursor::new(bytes)).map_err(reason)?)
        }
        Some(other) => {
            return Err(format!("is a {other:?} image, and PNG and JPEG alone are read: convert it"));
        }
        None => {
            let start: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            let start = if start.is_empty() {
                "is empty".to_owned()
            } else {
                format!("begins with {}", start.join(" "))
            };
            return Err(format!("is neither PNG nor JPEG: it {start}"));
        }
    };
    let decoder = opened.decoder();
    let (mut width, mut height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(format!("has no pixels: {width} x {height}"));
    }
    if width.max(height) > MAX_SIDE || decoder.total_bytes() > MAX_DECODED {
        return Err(format!(
            "has {width} x {height} pixels, {} MB when decoded; {MAX_SIDE} a side and {} MB are the most",
            decoder.total_bytes() / 1_000_000,
            MAX_DECODED / 1_000_000
        ));
    }
    decoder.set_limits(limits()).map_err(reason)?;
    let color = decoder.color_type();
    found.alpha = color.has_alpha();
    found.grey = !color.has_color();
    found.sixteen_bit = u16::from(color.bytes_per_pixel()) > u16::from(color.channel_count());
    // An Exif block that cannot be read is no reason to refuse the picture: it is then taken to be upright.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    found.turned = orientation != Orientation::NoTransforms;
    if matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    ) {
        (width, height) = (height, width);
    }
    Ok((opened, Header { width, height, found }, orientation))
}

/// A decoder's panic is its error.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err("cannot be decoded: the decoder gave up".to_owned()))
}

/// Size and kind of a picture.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, String> {
    guarded(|| open(bytes).map(|(_, header, _)| header))
}

/// The picture, upright. `large` is held while a large one is decoded.
pub(crate) fn decode(bytes: &[u8], large: &Mutex<()>) -> Result<(DynamicImage, Found), String> {
    guarded(|| {
        let (mut opened, header, orientation) = open(bytes)?;
        let _alone = (opened.decoder().total_bytes() > LARGE).then(|| large.lock());
        let decoded = match opened {
            Opened::Png(decoder) => DynamicImage::from_decoder(*decoder),
            Opened::Jpeg(decoder) => DynamicImage::from_decoder(decoder),
        };
        let mut picture = decoded.map_err(|error| format!("cannot be decoded: {error}"))?;
        picture.apply_orientation(orientation);
        Ok((picture, header.found))
    })
}

/// Follows the chunks of a PNG file (ISO/IEC 15948, 5.3: length, name, data, sum over name and data) to its last one. The
/// sums of critical chunks, whose names begin with a capital letter, must be right: decoders may stop at the last pixel,
/// before they have seen them.
fn walk_png(bytes: &[u8]) -> Result<(), String> {
    const AROUND: usize = 12;
    let cut = || "ends before its IEND chunk: it is truncated".to_owned();
    let mut at = 8;
    loop {
        let head = bytes.get(at..at + 8).ok_or_else(cut)?;
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let chunk = bytes.get(at..).and_then(|rest| rest.get(..len.checked_add(AROUND)?)).ok_or_else(cut)?;
        let (covered, sum) = chunk[4..].split_at(len + 4);
        let name = &covered[..4];
        let mut crc = Crc::new();
        crc.update(covered);
        if name[0].is_ascii_uppercase() && crc.sum().to_be_bytes() != sum {
            return Err(format!("fails the check sum of its {} chunk: it is damaged", name.escape_ascii()));
        }
        if name == b"IEND" {
            return Ok(());
        }
        at += chunk.len();
    }
}

/// What the markers of a JPEG stream say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stream {
    /// Whether it comes to its end marker. Decoders fill in grey what a truncated file lacks.
    ended: bool,
    /// Colour components, from the frame header.
    components: Option<u8>,
}

/// Follows the markers of a JPEG stream (ITU-T T.81, annex B): each is FF and a code; most are followed by a segment
/// with its length in front. In entropy-coded data FF is followed by 00 or is a restart marker, so that the next other
/// marker ends them. The end marker inside a segment, such as that of an embedded thumbnail, does not count.
fn walk_jpeg(bytes: &[u8]) -> Stream {
    let mut stream = Stream::default();
    let mut at = 2;
    while at + 1 < bytes.len() {
        let code = bytes[at + 1];
        if bytes[at] != 0xff || code == 0xff {
            at += 1;
            continue;
        }
        at += 2;
        match code {
            0xd9 => {
                stream.ended = true;
                return stream;
            }
            // Stuffed zero, TEM, restart markers, start of image: nothing follows.
            0x00 | 0x01 | 0xd0..=0xd8 => {}
            _ => {
                let Some(&[high, low]) = bytes.get(at..at + 2).and_then(|len| len.first_chunk::<2>()) else {
                    break;
                };
                // Frame headers, without the tables DHT, JPG and DAC among their codes: length, precision, height, width,
                // components.
                if matches!(code, 0xc0..=0xcf) && !matches!(code, 0xc4 | 0xc8 | 0xcc) {
                    stream.components = stream.components.or(bytes.get(at + 7).copied());
                }
                at += usize::from(u16::from_be_bytes([high, low])).max(2);
            }
        }
    }
    stream
}

#[cfg(test)]
mod tests;
