//! The geometry that the three convolution kernels share.

use std::fmt;

/// Geometry of a two-dimensional convolution of NHWC images with weights `[KH, KW, in_c / groups, out_c]`.
///
/// Arrays are ordered (height, width). Output `(oy, ox)` sees input `(oy * stride + k * dilation - pad_low)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Images.
    pub batch: usize,
    /// Input height in pixels.
    pub in_h: usize,
    /// Input width in pixels.
    pub in_w: usize,
    /// Input channels, all groups together.
    pub in_c: usize,
    /// Output channels, all groups together.
    pub out_c: usize,
    /// Filter taps.
    pub kernel: [usize; 2],
    /// Input pixels between neighbouring windows.
    pub stride: [usize; 2],
    /// Zero rows above and zero columns left of the image.
    pub pad_low: [usize; 2],
    /// Zero rows below and zero columns right of the image.
    pub pad_high: [usize; 2],
    /// Input pixels between neighbouring taps.
    pub dilation: [usize; 2],
    /// Groups: output channels of group g see only the input channels of group g.
    pub groups: usize,
}

/// Why a [`ConvShape`] describes no convolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConvShapeError {
    /// The named extent is zero.
    Zero(&'static str),
    /// The groups do not divide the named channel count.
    Groups {
        /// `in_c` or `out_c`.
        name: &'static str,
        /// Its value.
        channels: usize,
        /// The groups.
        groups: usize,
    },
    /// The dilated filter does not fit into the padded image.
    Window {
        /// `height` or `width`.
        name: &'static str,
        /// Extent of the dilated filter.
        window: usize,
        /// Extent of the padded image.
        image: usize,
    },
    /// An extent or a tensor is too large to be addressed.
    TooLarge,
}

impl fmt::Display for ConvShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConvShapeError::Zero(name) => write!(f, "convolution: {name} is 0; it must be at least 1"),
            ConvShapeError::Groups { name, channels, groups } => {
                write!(f, "convolution: {groups} groups do not divide {name} = {channels}")
            }
            ConvShapeError::Window { name, window, image } => write!(
                f,
                "convolution: the dilated filter covers {window} pixels of {name}, the padded image has only {image}"
            ),
            ConvShapeError::TooLarge => write!(f, "convolution: a tensor exceeds the address space"),
        }
    }
}

impl std::error::Error for ConvShapeError {}

/// Extents beyond this would let index arithmetic overflow.
const MAX_EXTENT: usize = 1 << 28;
/// Words of the largest tensor: its bytes must stay below `isize::MAX`, with room for padding to vectors.
const MAX_WORDS: usize = usize::MAX >> 10;

impl ConvShape {
    /// Checks that the shape describes a convolution whose tensors can be addressed.
    pub fn validate(&self) -> Result<(), ConvShapeError> {
        let named = [
            ("batch", self.batch),
            ("in_h", self.in_h),
            ("in_w", self.in_w),
            ("in_c", self.in_c),
            ("out_c", self.out_c),
            ("groups", self.groups),
            ("kernel height", self.kernel[0]),
            ("kernel width", self.kernel[1]),
            ("vertical stride", self.stride[0]),
            ("horizontal stride", self.stride[1]),
            ("vertical dilation", self.dilation[0]),
            ("horizontal dilation", self.dilation[1]),
        ];
        if let Some((name, _)) = named.iter().find(|(_, v)| *v == 0) {
            return Err(ConvShapeError::Zero(name));
        }
        let pads = self.pad_low.iter().chain(&self.pad_high);
        if named.iter().map(|(_, v)| v).chain(pads).any(|&v| v > MAX_EXTENT) {
            return Err(ConvShapeError::TooLarge);
        }
        for (name, channels) in [("in_c", self.in_c), ("out_c", self.out_c)] {
            if !channels.is_multiple_of(self.groups) {
                return Err(ConvShapeError::Groups { name, channels, groups: self.groups });
            }
        }
        for (axis, name) in ["height", "width"].into_iter().enumerate() {
            let (window, image) = (self.window(axis), self.padded(axis));
            if window > image {
                return Err(ConvShapeError::Window { name, window, image });
            }
        }
        let small = |dims: &[usize]| {
            dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).is_some_and(|n| n <= MAX_WORDS)
        };
        let fits = small(&[self.batch, self.in_h, self.in_w, self.in_c])
            && small(&[self.batch, self.out_h(), self.out_w(), self.out_c])
            && small(&[self.kernel[0], self.kernel[1], self.in_c / self.groups, self.out_c]);
        if fits { Ok(()) } else { Err(ConvShapeError::TooLarge) }
    }

    fn window(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    fn padded(&self, axis: usize) -> usize {
        [self.in_h, self.in_w][axis] + self.pad_low[axis] + self.pad_high[axis]
    }

    /// Output height in pixels (of a valid shape).
    pub fn out_h(&self) -> usize {
        (self.padded(0) - self.window(0)) / self.stride[0] + 1
    }

    /// Output width in pixels (of a valid shape).
    pub fn out_w(&self) -> usize {
        (self.padded(1) - self.window(1)) / self.stride[1] + 1
    }

    /// Input channels of a group.
    pub fn in_group(&self) -> usize {
        self.in_c / self.groups
    }

    /// Output channels of a group.
    pub fn out_group(&self) -> usize {
        self.out_c / self.groups
    }

    /// Filter taps.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Words of the input `[batch, in_h, in_w, in_c]`.
    pub fn input_words(&self) -> usize {
        self.batch * self.in_h * self.in_w * self.in_c
    }

    /// Words of the output `[batch, out_h, out_w, out_c]`.
    pub fn output_words(&self) -> usize {
        self.batch * self.out_h() * self.out_w() * self.out_c
    }

    /// Words of the weights `[KH, KW, in_c / groups, out_c]`.
    pub fn weight_words(&self) -> usize {
        self.taps() * self.in_group() * self.out_c
    }

    /// Floating-point operations of each of the three kernels, padding taps included.
    pub fn flops(&self) -> u64 {
        2 * self.output_words() as u64 * (self.taps() * self.in_group()) as u64
    }

    /// Whether every channel is a group of its own, on both sides.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.in_group() == 1 && self.out_group() == 1
    }
}
