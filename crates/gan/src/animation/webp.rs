//! The container of animated WebP (RFC 9649, section 2.7) around still images without loss, which `image-webp` encodes.

use image_webp::{ColorType, WebPEncoder};

/// Bit of VP8X's flags that announces an animation.
const ANIMATION: u8 = 1 << 1;
/// Bit of a frame's flags: it takes the place of the canvas, nothing shows through.
const REPLACE: u8 = 1 << 1;
/// Bytes of a file's header, `RIFF`, size and `WEBP`, and of a chunk's, name and size.
const FILE_HEADER: usize = 12;
const CHUNK_HEADER: usize = 8;

/// An animation of frames of one size.
pub struct Animation {
    width: u32,
    height: u32,
    body: Vec<u8>,
}

fn three_bytes(value: u32) -> [u8; 3] {
    let [a, b, c, _] = value.to_le_bytes();
    [a, b, c]
}

/// Appends a chunk: name, size, data, and a zero where the size is odd.
fn chunk(out: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out.extend_from_slice(data);
    if !data.len().is_multiple_of(2) {
        out.push(0);
    }
}

/// The chunk of that name in a still WebP file, header and padding included.
fn find<'a>(file: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    let mut rest = file.get(FILE_HEADER..)?;
    loop {
        let size = u32::from_le_bytes(rest.get(4..CHUNK_HEADER)?.try_into().ok()?) as usize;
        let whole = CHUNK_HEADER + size.next_multiple_of(2);
        if rest.get(..4)? == name {
            return rest.get(..whole);
        }
        rest = rest.get(whole..)?;
    }
}

impl Animation {
    /// Of frames of so many pixels, shown over and over.
    pub fn new(width: u32, height: u32) -> Self {
        let mut body = Vec::new();
        let size = [three_bytes(width - 1), three_bytes(height - 1)].concat();
        chunk(&mut body, b"VP8X", &[&[ANIMATION, 0, 0, 0], &size[..]].concat());
        // Background colour, four bytes, and 0 for no end of repetitions.
        chunk(&mut body, b"ANIM", &[0; 6]);
        Self { width, height, body }
    }

    /// Appends a frame of `bytes` bytes a pixel, 1 for grey and 3 for RGB, to be shown for so many milliseconds.
    pub fn frame(&mut self, pixels: &[u8], bytes: usize, milliseconds: u32) -> Result<(), String> {
        let color = if bytes == 1 { ColorType::L8 } else { ColorType::Rgb8 };
        let mut still = Vec::new();
        let encoder = WebPEncoder::new(&mut still);
        encoder.encode(pixels, self.width, self.height, color).map_err(|e| e.to_string())?;
        let image = find(&still, b"VP8L").ok_or("the encoder gave no image without loss")?;
        let mut data = Vec::with_capacity(16 + image.len());
        // Left and top, then width and height less one, then the time, then the flags.
        for value in [0, 0, self.width - 1, self.height - 1, milliseconds] {
            data.extend_from_slice(&three_bytes(value));
        }
        data.push(REPLACE);
        data.extend_from_slice(image);
        chunk(&mut self.body, b"ANMF", &data);
        // Sizes are 32 bits.
        let whole = self.body.len() + 4;
        if u32::try_from(whole).is_err() {
            return Err(format!(
                "{whole} bytes are more than a WebP file can have; make fewer or smaller frames"
            ));
        }
        Ok(())
    }

    /// The file.
    pub fn finish(self) -> Vec<u8> {
        let size = (self.body.len() + 4) as u32;
        [b"RIFF", &size.to_le_bytes()[..], b"WEBP", &self.body].concat()
    }
}
