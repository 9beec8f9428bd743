//! Max pooling in NHWC as three kernels: where the maximum is, gathering there, and the adjoint of that.

use super::TASK;
use crate::isa::Isa;
use crate::kernel::{Kernel, OperandSpec, Operands};
use crate::simd::{SimdMath, WithSimdMath, run_math_on};
use std::fmt;

/// Windows over the two spatial dimensions of an NHWC image; pairs are (height, width).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WindowGeometry {
    /// Batch.
    pub n: usize,
    /// Height and width of the input.
    pub size: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Padding before the input.
    pub pad_low: [usize; 2],
    /// Padding after the input.
    pub pad_high: [usize; 2],
}

/// Why windows cannot be laid; `axis` is `height` or `width`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowError {
    /// The kernel or the stride is 0.
    Zero {
        /// Which dimension.
        axis: &'static str,
    },
    /// The padded input is smaller than the window.
    TooSmall {
        /// Which dimension.
        axis: &'static str,
        /// Input with padding.
        padded: usize,
        /// Size of the window.
        kernel: usize,
    },
    /// A window would see nothing but padding.
    OnlyPadding {
        /// Which dimension.
        axis: &'static str,
        /// Index of the window along it.
        window: usize,
    },
    /// The plane has 2^31 pixels or more, so an i32 cannot number them.
    TooLarge,
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WindowError::Zero { axis } => {
                write!(f, "window: kernel and stride along the {axis} must not be 0")
            }
            WindowError::TooSmall { axis, padded, kernel } => {
                write!(f, "window: padded {axis} {padded} is smaller than the kernel's {kernel}")
            }
            WindowError::OnlyPadding { axis, window } => write!(
                f,
                "window: number {window} along the {axis} would see only padding: pad by less than the kernel"
            ),
            WindowError::TooLarge => write!(f, "window: the plane has 2^31 pixels or more"),
        }
    }
}

impl std::error::Error for WindowError {}

impl WindowGeometry {
    /// Height and width of the output, `(size + pad_low + pad_high - kernel) / stride + 1`, rounded down.
    ///
    /// # Errors
    /// See [`WindowError`].
    pub fn output(&self) -> Result<[usize; 2], WindowError> {
        if self.size[0].saturating_mul(self.size[1]) > i32::MAX as usize {
            return Err(WindowError::TooLarge);
        }
        let mut out = [0; 2];
        for (d, axis) in ["height", "width"].into_iter().enumerate() {
            let (size, kernel, stride, low) = (self.size[d], self.kernel[d], self.stride[d], self.pad_low[d]);
            if kernel == 0 || stride == 0 {
                return Err(WindowError::Zero { axis });
            }
            let padded = size + low + self.pad_high[d];
            if padded < kernel {
                return Err(WindowError::TooSmall { axis, padded, kernel });
            }
            out[d] = (padded - kernel) / stride + 1;
            let blind = |w: usize| w * stride + kernel <= low || w * stride >= low + size;
            // Only windows at the ends can miss an input that is not empty, but where the stride exceeds the
            // kernel each must be asked.
            if let Some(window) = (0..out[d]).find(|&w| blind(w)) {
                return Err(WindowError::OnlyPadding { axis, window });
            }
        }
        Ok(out)
    }

    fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    fn input_words(&self) -> usize {
        self.n * self.pixels() * self.channels
    }
}

/// Where each window's maximum is: f32 input `[N, H, W, C]`, output i32 `[N, OH, OW, C]`, the index `h W + w`.
/// Padding never wins; the first of equal maxima in row-major order wins; NaN counts as larger than any number,
/// so the first NaN wins where there is one.
#[derive(Clone, Debug)]
pub struct WindowArgMax {
    geometry: WindowGeometry,
    out: [usize; 2],
}

impl WindowArgMax {
    /// Plans the windows.
    ///
    /// # Errors
    /// See [`WindowError`].
    pub fn new(geometry: WindowGeometry) -> Result<WindowArgMax, WindowError> {
        let out = geometry.output()?;
        Ok(WindowArgMax { geometry, out })
    }

    fn rows_per_task(&self) -> usize {
        let g = &self.geometry;
        (TASK / (self.out[1] * g.channels * g.stride[0] * g.stride[1]).max(1)).max(1)
    }
}

// SAFETY: the input is only read, as a slice; a task writes the output rows that are its own, through a checked range.
unsafe impl Kernel for WindowArgMax {
    fn name(&self) -> &'static str {
        "window.argmax"
    }

    /// One comparison a tap.
    fn flops(&self) -> u64 {
        let g = &self.geometry;
        (g.n * self.out[0] * self.out[1] * g.channels * g.kernel[0] * g.kernel[1]) as u64
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let g = &self.geometry;
        vec![
            OperandSpec::read(g.input_words()),
            OperandSpec::write(g.n * self.out[0] * self.out[1] * g.channels),
        ]
    }

    fn tasks(&self, _stage: usize) -> usize {
        (self.geometry.n * self.out[0]).div_ceil(self.rows_per_task())
    }

    unsafe fn run(&self, isa: Isa, _stage: usize, task: usize, operands: &Operands<'_>, _local: &mut [f32]) {
        let first = task * self.rows_per_task();
        let last = (first + self.rows_per_task()).min(self.geometry.n * self.out[0]);
        let words = self.out[1] * self.geometry.channels;
        // SAFETY: the input is only read; this task alone writes its rows.
        let (x, out) = unsafe { (operands.read(0), operands.write(1, first * words..last * words)) };
        // SAFETY: the CPU supports `isa`; the slices are what the geometry says.
        unsafe { run_math_on(isa, Maxima { geometry: &self.geometry, size: self.out, x, first, last, out }) };
    }
}

/// Rows `first..last` of all output rows of all samples.
struct Maxima<'a> {
    geometry: &'a WindowGeometry,
    size: [usize; 2],
    x: &'a [f32],
    first: usize,
    last: usize,
    out: &'a mut [f32],
}

impl WithSimdMath for Maxima<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: SimdMath>(self, s: S) {
        let g = self.geometry;
        let (c, width) = (g.channels, g.size[1]);
        // The part of a window that lies inside the input.
        let inside = |window: usize, d: usize| {
            let start = window * g.stride[d];
            start.saturating_sub(g.pad_low[d])..(start + g.kernel[d] - g.pad_low[d]).min(g.size[d])
        };
        for row in self.first..self.last {
            let sample = row / self.size[0] * g.pixels() * c;
            let rows = inside(row % self.size[0], 0);
            for column in 0..self.size[1] {
                let columns = inside(column, 1);
                let at = ((row - self.first) * self.size[1] + column) * c;
                for channel in (0..c).step_by(S::LANES) {
                    let n = (c - channel).min(S::LANES);
                    // SAFETY: the pixel lies inside the input and has n more channels; so has the output.
                    unsafe {
                        let load = |pixel: usize| {
                            let p = self.x.as_ptr().add(sample + pixel * c + channel);
                            if n == S::LANES { s.load(p) } else { s.load_first(p, n) }
                        };
                        let start = rows.start * width + columns.start;
                        let (mut best, mut index) = (load(start), s.int(start as i32));
                        for h in rows.clone() {
                            for w in columns.clone() {
                                let pixel = h * width + w;
                                let x = load(pixel);
                                let nan = s.both(s.not(s.ordered(x)), s.ordered(best));
                                let better = s.either(s.lt(best, x), nan);
                                best = s.select(better, x, best);
                                index = s.int_select(better, s.int(pixel as i32), index);
                            }
                        }
                        s.store_first(self.out.as_mut_ptr().add(at + channel), s.float(index), n);
                    }
                }
            }
        }
    }
}

/// Values at pixels chosen for each channel: input `[N, H W, C]`, indices i32 `[N, P, C]` into H W, output
/// `[N, P, C]` with `y[n, p, c] = x[n, index[n, p, c], c]`. Indices outside are clamped.
#[derive(Clone, Debug)]
pub struct WindowGather {
    /// Batch.
    pub n: usize,
    /// Pixels H W of the input.
    pub pixels: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels P of the output.
    pub picks: usize,
}

fn clamp(index: f32, pixels: usize) -> usize {
    let index = index.to_bits() as i32;
    if index < 0 { 0 } else { (index as usize).min(pixels - 1) }
}

impl WindowGather {
    fn rows_per_task(&self) -> usize {
        (TASK / 2 / self.channels.max(1)).max(1)
    }
}

// SAFETY: inputs are only read, as slices; a task writes the rows that are its own, through a checked range.
unsafe impl Kernel for WindowGather {
    fn name(&self) -> &'static str {
        "window.gather"
    }

    fn flops(&self) -> u64 {
        0
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let picked = self.n * self.picks * self.channels;
        let words = self.n * self.pixels * self.channels;
        vec![OperandSpec::read(words), OperandSpec::read(picked), OperandSpec::write(picked)]
    }

    fn tasks(&self, _stage: usize) -> usize {
        (self.n * self.picks).div_ceil(self.rows_per_task())
    }

    unsafe fn run(&self, _isa: Isa, _stage: usize, task: usize, operands: &Operands<'_>, _local: &mut [f32]) {
        let c = self.channels;
        let first = task * self.rows_per_task();
        let last = (first + self.rows_per_task()).min(self.n * self.picks);
        // SAFETY: inputs are only read; this task alone writes its rows.
        let (x, indices, out) =
            unsafe { (operands.read(0), operands.read(1), operands.write(2, first * c..last * c)) };
        if self.pixels == 0 || c == 0 {
            out.fill(0.0);
            return;
        }
        for (row, out) in (first..last).zip(out.chunks_exact_mut(c)) {
            let sample = &x[row / self.picks * self.pixels * c..][..self.pixels * c];
            for (channel, (out, &index)) in out.iter_mut().zip(&indices[row * c..][..c]).enumerate() {
                *out = sample[clamp(index, self.pixels) * c + channel];
            }
        }
    }
}

/// The adjoint of [`WindowGather`] in its input: values `[N, P, C]` are added, in the order of P, to the pixels
/// that indices i32 `[N, P, C]` name, starting from 0: output `[N, H W, C]`. Operands: values, indices, output.
#[derive(Clone, Debug)]
pub struct WindowScatter {
    /// Batch.
    pub n: usize,
    /// Pixels H W of the output.
    pub pixels: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels P of the input.
    pub picks: usize,
}

impl WindowScatter {
    /// Channels of a task, and chunks of the channels: whole lines, cut only where samples are large.
    fn chunk(&self) -> (usize, usize) {
        let worth = (self.pixels * self.channels / TASK).clamp(1, self.channels.div_ceil(16).max(1));
        let chunk = self.channels.div_ceil(worth).next_multiple_of(16).min(self.channels).max(1);
        (chunk, self.channels.div_ceil(chunk))
    }
}

// SAFETY: inputs are only read, as slices; a task owns a stretch of channels in one sample's plane. It clears them
// through checked ranges before it adds to them at clamped pixels, so that every address was checked.
unsafe impl Kernel for WindowScatter {
    fn name(&self) -> &'static str {
        "window.scatter"
    }

    fn flops(&self) -> u64 {
        (self.n * self.picks * self.channels) as u64
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let picked = self.n * self.picks * self.channels;
        let words = self.n * self.pixels * self.channels;
        vec![OperandSpec::read(picked), OperandSpec::read(picked), OperandSpec::write(words)]
    }

    fn tasks(&self, _stage: usize) -> usize {
        self.n * self.chunk().1
    }

    unsafe fn run(&self, _isa: Isa, _stage: usize, task: usize, operands: &Operands<'_>, _local: &mut [f32]) {
        let c = self.channels;
        let (chunk, chunks) = self.chunk();
        let (sample, start) = (task / chunks, task % chunks * chunk);
        let end = (start + chunk).min(c);
        // SAFETY: inputs are only read.
        let (values, indices) = unsafe { (operands.read(0), operands.read(1)) };
        let plane = sample * self.pixels * c;
        for pixel in 0..self.pixels {
            let at = plane + pixel * c;
            // SAFETY: this task alone writes these channels of this sample.
            unsafe { operands.write(2, at + start..at + end) }.fill(0.0);
        }
        if self.pixels == 0 {
            return;
        }
        let out = operands.ptr(2);
        for pick in 0..self.picks {
            let at = (sample * self.picks + pick) * c;
            let pairs = values[at + start..at + end].iter().zip(&indices[at + start..at + end]);
            for (channel, (&value, &index)) in (start..).zip(pairs) {
                // SAFETY: the clamped pixel lies in this sample, the channel is one of this task's.
                unsafe { *out.add(plane + clamp(index, self.pixels) * c + channel) += value };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::harness::{Noise, outputs};

    fn geometry(n: usize, size: [usize; 2], channels: usize, kernel: usize, stride: usize) -> WindowGeometry {
        WindowGeometry {
            n,
            size,
            channels,
            kernel: [kernel; 2],
            stride: [stride; 2],
            pad_low: [0; 2],
            pad_high: [0; 2],
        }
    }

    fn argmax(g: &WindowGeometry, out: [usize; 2], x: &[f32]) -> Vec<u32> {
        let mut list = Vec::new();
        for n in 0..g.n {
            for at in 0..out[0] * out[1] * g.channels {
                let (c, ow, oh) = (at % g.channels, at / g.channels % out[1], at / g.channels / out[1]);
                let mut best: Option<(usize, f32)> = None;
                for tap in 0..g.kernel[0] * g.kernel[1] {
                    let h = (oh * g.stride[0] + tap / g.kernel[1]).wrapping_sub(g.pad_low[0]);
                    let w = (ow * g.stride[1] + tap % g.kernel[1]).wrapping_sub(g.pad_low[1]);
                    if h < g.size[0] && w < g.size[1] {
                        let v = x[((n * g.size[0] + h) * g.size[1] + w) * g.channels + c];
                        if best.is_none_or(|(_, b)| v > b || v.is_nan() && !b.is_nan()) {
                            best = Some((h * g.size[1] + w, v));
                        }
                    }
                }
                list.push(best.expect("no window sees only padding").0 as u32);
            }
        }
        list
    }

    #[test]
    fn pooling_matches_its_definition() {
        let mut noise = Noise(6);
        let mut padded = geometry(2, [9, 7], 19, 3, 2);
        (padded.pad_low, padded.pad_high) = ([1, 2], [2, 1]);
        let mut tall = geometry(1, [30, 5], 3, 1, 1);
        tall.kernel = [4, 2];
        tall.stride = [5, 1];
        for g in [geometry(3, [8, 8], 16, 2, 2), padded, tall, geometry(2, [64, 64], 40, 3, 1)] {
            let out = g.output().expect("windows");
            let picks = out[0] * out[1];
            // Coarse, so that ties and NaN occur.
            let values = [f32::NAN, 0.0, -0.0, 1.0, 2.0, f32::NEG_INFINITY, -3.0, 3.0];
            let x: Vec<f32> = (0..g.input_words())
                .map(|_| {
                    let i = noise.below(40);
                    values[if i < 8 { i } else { 1 + i % 7 }]
                })
                .collect();
            let want = argmax(&g, out, &x);
            let words: Vec<u32> = x.iter().map(|v| v.to_bits()).collect();
            let grads = noise.floats(want.len());
            let (n, pixels, channels) = (g.n, g.pixels(), g.channels);
            let mut picked = Vec::new();
            let mut sums = vec![0.0f32; x.len()];
            for (i, &index) in want.iter().enumerate() {
                let at = (i / channels / picks * pixels + index as usize) * channels + i % channels;
                picked.push(words[at]);
                sums[at] += f32::from_bits(grads[i]);
            }
            let sums: Vec<Vec<u32>> = vec![sums.into_iter().map(f32::to_bits).collect()];
            let picked = vec![picked];
            let kernel = WindowArgMax::new(g).expect("windows");
            let gather = WindowGather { n, pixels, channels, picks };
            let scatter = WindowScatter { n, pixels, channels, picks };
            for isa in Isa::available() {
                assert_eq!(
                    outputs(&kernel, isa, std::slice::from_ref(&words)),
                    std::slice::from_ref(&want),
                    "{isa:?}"
                );
                assert_eq!(outputs(&gather, isa, &[words.clone(), want.clone()]), picked);
                assert_eq!(outputs(&scatter, isa, &[grads.clone(), want.clone()]), sums);
            }
        }
    }

    #[test]
    fn mistakes_are_named() {
        let good = geometry(1, [4, 4], 1, 2, 2);
        assert_eq!(good.output(), Ok([2, 2]));
        let bad = |change: &dyn Fn(&mut WindowGeometry)| {
            let mut g = good.clone();
            change(&mut g);
            WindowArgMax::new(g).expect_err("refused")
        };
        assert_eq!(bad(&|g| g.stride[1] = 0), WindowError::Zero { axis: "width" });
        assert_eq!(bad(&|g| g.kernel[0] = 5), WindowError::TooSmall { axis: "height", padded: 4, kernel: 5 });
        assert_eq!(bad(&|g| g.pad_low[0] = 2), WindowError::OnlyPadding { axis: "height", window: 0 });
        assert_eq!(bad(&|g| g.pad_high[1] = 2), WindowError::OnlyPadding { axis: "width", window: 2 });
        assert_eq!(bad(&|g| g.size = [1 << 16; 2]), WindowError::TooLarge);
    }
}
