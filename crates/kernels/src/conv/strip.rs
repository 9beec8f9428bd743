//! An image of few channels as the pixels of another image see it.
//!
//! With few channels the sums of a convolution are short, and most of a tile's time would go into finding the words of
//! each tap. So the rows that a band of pixels sees are copied first, with zeros where they reach past the image: all
//! pixels then see the same filter rows of `run` contiguous words each, `step` words from pixel to pixel, and no border
//! needs a class of its own. The copy is small beside the products, each word of it being used for all channels of the
//! other image.

use super::gather::{Image, share};
use super::shape::ConvShape;
use crate::isa::Isa;
use std::ops::Range;

/// Most channels of the image that is copied.
const MAX_CHANNELS: usize = 7;
/// Words of a band's copy that it should not exceed, and those of its least rows that rule the method out.
const BAND_WORDS: usize = 16 << 10;

/// Most rows of a register tile and vectors beside each other in one.
pub(super) const fn tile_size(isa: Isa) -> (usize, usize) {
    match isa {
        Isa::Avx512 => (6, 4),
        Isa::Avx2 => (6, 2),
        Isa::Portable => (4, 2),
    }
}

/// `$tile::<$simd, ROWS, VECTORS>($args)` for run-time values of at most [`tile_size`].
macro_rules! with_size {
    ($simd:ty, $rows:expr, $vectors:expr, $tile:ident, $args:tt) => {
        match <$simd>::ISA {
            Isa::Avx512 => match $vectors {
                1 => with_size!(@six $simd, $rows, 1, $tile, $args),
                2 => with_size!(@six $simd, $rows, 2, $tile, $args),
                3 => with_size!(@six $simd, $rows, 3, $tile, $args),
                _ => with_size!(@six $simd, $rows, 4, $tile, $args),
            },
            Isa::Avx2 => match $vectors {
                1 => with_size!(@six $simd, $rows, 1, $tile, $args),
                _ => with_size!(@six $simd, $rows, 2, $tile, $args),
            },
            Isa::Portable => match $vectors {
                1 => with_size!(@four $simd, $rows, 1, $tile, $args),
                _ => with_size!(@four $simd, $rows, 2, $tile, $args),
            },
        }
    };
    (@six $simd:ty, $rows:expr, $vectors:literal, $tile:ident, ($($arg:expr),*)) => {
        match $rows {
            1 => $tile::<$simd, 1, $vectors>($($arg),*),
            2 => $tile::<$simd, 2, $vectors>($($arg),*),
            3 => $tile::<$simd, 3, $vectors>($($arg),*),
            4 => $tile::<$simd, 4, $vectors>($($arg),*),
            5 => $tile::<$simd, 5, $vectors>($($arg),*),
            _ => $tile::<$simd, 6, $vectors>($($arg),*),
        }
    };
    (@four $simd:ty, $rows:expr, $vectors:literal, $tile:ident, ($($arg:expr),*)) => {
        match $rows {
            1 => $tile::<$simd, 1, $vectors>($($arg),*),
            2 => $tile::<$simd, 2, $vectors>($($arg),*),
            3 => $tile::<$simd, 3, $vectors>($($arg),*),
            _ => $tile::<$simd, 4, $vectors>($($arg),*),
        }
    };
}
pub(super) use with_size;

/// The geometry. Pixel `(y, x)` of the other image sees, at place `(ky, kx)` of the filter, pixel
/// `(y * stride + ky + origin, ..)` of the image of few channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strip {
    /// The image of few channels.
    pub src: Image,
    /// The other one.
    pub seen_by: Image,
    pub batch: usize,
    pub kernel: [usize; 2],
    /// Whether places run against taps: place k is tap `kernel - 1 - k`.
    pub flipped: bool,
    stride: [usize; 2],
    origin: [isize; 2],
    /// Rows of the other image that are taken at a time.
    band: usize,
}

impl Strip {
    /// The input, as the outputs see it. The shape is valid.
    pub fn of_input(shape: &ConvShape, pixels: usize) -> Option<Strip> {
        let strip = Strip {
            src: Image::input(shape),
            seen_by: Image::output(shape),
            batch: shape.batch,
            kernel: shape.kernel,
            flipped: false,
            stride: shape.stride,
            origin: shape.pad_low.map(|pad| -(pad as isize)),
            band: 1,
        };
        strip.banded(shape, pixels)
    }

    /// The outputs, as the inputs see them: with stride 1, input i meets output i + pad - tap. The shape is valid.
    pub fn of_output(shape: &ConvShape, pixels: usize) -> Option<Strip> {
        let origin = |axis: usize| shape.pad_low[axis] as isize - (shape.kernel[axis] as isize - 1);
        let strip = Strip {
            src: Image::output(shape),
            seen_by: Image::input(shape),
            batch: shape.batch,
            kernel: shape.kernel,
            flipped: true,
            stride: [1, 1],
            origin: [origin(0), origin(1)],
            band: 1,
        };
        strip.banded(shape, pixels).filter(|_| shape.stride == [1, 1])
    }

    /// With bands of about so many pixels, if the method fits the shape.
    fn banded(mut self, shape: &ConvShape, pixels: usize) -> Option<Strip> {
        let fits = |strip: &Strip| strip.words(strip.band) <= BAND_WORDS;
        if shape.groups > 1 || shape.dilation != [1, 1] || self.src.c > MAX_CHANNELS || !fits(&self) {
            return None;
        }
        let mut bands = self.seen_by.h.min((self.seen_by.h * self.seen_by.w).div_ceil(pixels));
        loop {
            self.band = self.seen_by.h.div_ceil(bands);
            if fits(&self) {
                return Some(self);
            }
            bands += 1;
        }
    }

    /// Words of a filter row.
    pub fn run(&self) -> usize {
        self.kernel[1] * self.src.c
    }

    /// Terms of a sum over the filter.
    pub fn depth(&self) -> usize {
        self.kernel[0] * self.run()
    }

    /// Words between neighbouring pixels of a row.
    pub fn step(&self) -> usize {
        self.stride[1] * self.src.c
    }

    /// Words of a copied row.
    pub fn pitch(&self) -> usize {
        ((self.seen_by.w - 1) * self.stride[1] + self.kernel[1]) * self.src.c
    }

    /// Words between what neighbouring rows of pixels see.
    pub fn row_step(&self) -> usize {
        self.stride[0] * self.pitch()
    }

    /// Words of a copy for so many rows of pixels.
    fn words(&self, rows: usize) -> usize {
        ((rows - 1) * self.stride[0] + self.kernel[0]).saturating_mul(self.pitch())
    }

    /// Words of the copy of a band.
    pub fn local_words(&self) -> usize {
        self.words(self.band)
    }

    /// Bands of the batch.
    pub fn bands(&self) -> usize {
        self.batch * self.seen_by.h.div_ceil(self.band)
    }

    /// Image and rows of pixels of a band.
    pub fn band(&self, index: usize) -> (usize, Range<usize>) {
        let bands = self.seen_by.h.div_ceil(self.band);
        (index / bands, share(self.seen_by.h, index % bands, bands))
    }

    /// Copies what `rows` of the other image see.
    ///
    /// # Safety
    /// `image` is an image of the source, `to` has room for the rows, of which there are at most a band's.
    pub unsafe fn copy(&self, image: *const f32, rows: Range<usize>, to: *mut f32) {
        let (c, pitch) = (self.src.c, self.pitch());
        let columns = pitch / c;
        // Source columns `first ..` that a row has, behind `left` columns of zeros.
        let left = (-self.origin[1]).clamp(0, columns as isize) as usize;
        let first = (self.origin[1].max(0) as usize).min(self.src.w);
        let count = (self.src.w - first).min(columns - left);
        for row in 0..(rows.len() - 1) * self.stride[0] + self.kernel[0] {
            let y = (rows.start * self.stride[0] + row) as isize + self.origin[0];
            // SAFETY: `row` is one of the copy's; left, count and the rest add up to its columns, and the source's
            // columns lie in its row.
            unsafe {
                let to = to.add(row * pitch);
                if y < 0 || y as usize >= self.src.h {
                    to.write_bytes(0, pitch);
                    continue;
                }
                let from = image.add((y as usize * self.src.w + first) * c);
                to.write_bytes(0, left * c);
                to.add(left * c).copy_from_nonoverlapping(from, count * c);
                to.add((left + count) * c).write_bytes(0, (columns - left - count) * c);
            }
        }
    }
}
