//! Moving pictures of images: GIF, or WebP without loss.

use crate::checkpoint::write_atomically;
use crate::error::Error;
use crate::picture::pixel;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

mod webp;

/// Frames a second that are possible; players show GIF frames of less than 2/100 s as slow ones.
pub const FPS: std::ops::RangeInclusive<f64> = 0.1..=50.0;

/// What an animation is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Up to 256 colours a frame: greys exactly, other images by the colours that suit a frame best.
    Gif,
    /// Every colour exactly.
    WebP,
}

impl Format {
    /// By the ending of a file's name.
    pub fn of(path: &Path) -> Option<Format> {
        let ending = path.extension()?.to_str()?.to_lowercase();
        match ending.as_str() {
            "gif" => Some(Format::Gif),
            "webp" => Some(Format::WebP),
            _ => None,
        }
    }

    /// Largest width and height in pixels.
    fn largest(self) -> usize {
        match self {
            Format::Gif => 65_535,
            Format::WebP => 16_384,
        }
    }

    /// Units of time a second.
    fn ticks(self) -> f64 {
        match self {
            Format::Gif => 100.0,
            Format::WebP => 1000.0,
        }
    }
}

enum Encoder {
    Gif(Box<gif::Encoder<Vec<u8>>>),
    WebP(webp::Animation),
}

/// An animation that is written frame by frame and shown over and over.
pub struct Animation {
    path: PathBuf,
    shape: [usize; 3],
    scale: usize,
    fps: f64,
    ticks: f64,
    frames: u64,
    encoder: Encoder,
}

/// By how much images of this shape are enlarged to about 256 pixels.
pub fn enlargement(shape: &[usize]) -> usize {
    let longest = shape.iter().take(2).copied().max().unwrap_or(1).max(1);
    (256 / longest).max(1)
}

impl Animation {
    /// Of images `[height, width, channels]`, each value a square of `scale` pixels, to a file whose ending says the format.
    ///
    /// # Errors
    /// An ending, a shape, a size or a number of frames a second that is not possible.
    pub fn new(path: &Path, shape: &[usize], scale: usize, fps: f64) -> Result<Self, Error> {
        let refuse = |why: String| Error::Refused(format!("{}: {why}", path.display()));
        let format = Format::of(path)
            .ok_or_else(|| refuse("animations go to a .gif or .webp file: change --out".into()))?;
        let &[height, width, channels] = shape else {
            return Err(refuse(format!("samples of shape {shape:?} are no images")));
        };
        if !FPS.contains(&fps) {
            let (least, most) = (FPS.start(), FPS.end());
            return Err(refuse(format!("{fps} frames a second: {least} to {most} are possible")));
        }
        let longest = height.max(width).saturating_mul(scale);
        if scale == 0 || longest > format.largest() {
            return Err(refuse(format!(
                "frames of {}x{} pixels: 1 to {} a side are possible; choose another --scale",
                width * scale,
                height.saturating_mul(scale),
                format.largest()
            )));
        }
        let (w, h) = (width * scale, height * scale);
        let encoder = match format {
            Format::Gif => {
                let greys: Vec<u8> = (0..=255).flat_map(|grey| [grey; 3]).collect();
                let palette = if channels <= 2 { &greys[..] } else { &[] };
                let failed = |e: gif::EncodingError| refuse(e.to_string());
                let mut encoder =
                    gif::Encoder::new(Vec::new(), w as u16, h as u16, palette).map_err(failed)?;
                encoder.set_repeat(gif::Repeat::Infinite).map_err(failed)?;
                Encoder::Gif(Box::new(encoder))
            }
            Format::WebP => Encoder::WebP(webp::Animation::new(w as u32, h as u32)),
        };
        Ok(Self {
            path: path.to_path_buf(),
            shape: [height, width, channels],
            scale,
            fps,
            ticks: format.ticks(),
            frames: 0,
            encoder,
        })
    }

    /// Appends an image in [-1, 1].
    ///
    /// # Errors
    /// The encoder's.
    pub fn frame(&mut self, sample: &[f32]) -> Result<(), Error> {
        let [height, width, channels] = self.shape;
        let (w, h) = (width * self.scale, height * self.scale);
        let bytes = if channels <= 2 { 1 } else { 3 };
        let mut pixels = Vec::with_capacity(w * h * bytes);
        for y in 0..h {
            for x in 0..w {
                let at = y / self.scale * width + x / self.scale;
                pixels.extend_from_slice(&pixel(sample, at, channels)[..bytes]);
            }
        }
        // Frame n ends at the tick nearest to (n + 1) / fps, so that rounding does not add up.
        let end = |frames: u64| (frames as f64 * self.ticks / self.fps).round() as u64;
        let shown = end(self.frames + 1) - end(self.frames);
        self.frames += 1;
        let failed = |why: String| Error::Refused(format!("{}: cannot write: {why}", self.path.display()));
        match &mut self.encoder {
            Encoder::Gif(encoder) => {
                let (w, h) = (w as u16, h as u16);
                let mut frame = match bytes {
                    // Values are places in the palette of greys.
                    1 => gif::Frame {
                        width: w,
                        height: h,
                        buffer: Cow::Owned(pixels),
                        ..gif::Frame::default()
                    },
                    _ => gif::Frame::from_rgb_speed(w, h, &pixels, 1),
                };
                frame.delay = shown as u16;
                encoder.write_frame(&frame).map_err(|e| failed(e.to_string()))
            }
            Encoder::WebP(animation) => animation.frame(&pixels, bytes, shown as u32).map_err(failed),
        }
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> Result<(), Error> {
        let bytes = match self.encoder {
            Encoder::Gif(encoder) => {
                let failed = |e: gif::EncodingError| {
                    Error::Refused(format!("{}: cannot write: {e}", self.path.display()))
                };
                encoder.into_inner().map_err(failed)?
            }
            Encoder::WebP(animation) => animation.finish(),
        };
        write_atomically(&self.path, &bytes).map_err(Error::io(&self.path, "write the animation"))
    }
}
