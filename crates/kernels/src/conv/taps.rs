//! The outputs at which a tap of the filter meets the image: a rectangle of every output.

use super::ConvShape;
use std::ops::Range;

/// A tap of the filter, and the outputs at which it meets the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tap {
    /// Filter row and column.
    pub at: [usize; 2],
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

/// Neighbouring output pixels of a row that a tap meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first output pixel, counted through the batch.
    pub pixel: usize,
    /// First word of the input that it meets. The next pixel meets one `stride` columns further.
    pub input: usize,
    pub count: usize,
}

impl Tap {
    pub fn new(shape: &ConvShape, at: [usize; 2]) -> Tap {
        let (image, outputs) = ([shape.in_h, shape.in_w], [shape.out_h(), shape.out_w()]);
        // Output o meets pixel o * stride + offset - pad.
        let met = |axis: usize| {
            let (stride, offset) = (shape.stride[axis], at[axis] * shape.dilation[axis]);
            let pad = shape.pad_low[axis];
            let end = (image[axis] + pad).saturating_sub(offset).div_ceil(stride).min(outputs[axis]);
            pad.saturating_sub(offset).div_ceil(stride).min(end)..end
        };
        Tap { at, rows: met(0), columns: met(1) }
    }

    /// Whether it meets the image at the same outputs as another.
    pub fn meets_with(&self, other: &Tap) -> bool {
        (&self.rows, &self.columns) == (&other.rows, &other.columns)
    }

    /// The runs of the output pixels `range` that it meets, in order.
    pub fn runs(&self, s: &ConvShape, range: Range<usize>, mut each: impl FnMut(Run)) {
        let (oh, ow) = (s.out_h(), s.out_w());
        let mut first = range.start / ow * ow;
        let (mut n, mut oy) = (range.start / ow / oh, range.start / ow % oh);
        while first < range.end {
            let low = self.columns.start.max(range.start.saturating_sub(first));
            let high = self.columns.end.min(range.end - first);
            if self.rows.contains(&oy) && low < high {
                let iy = oy * s.stride[0] + self.at[0] * s.dilation[0] - s.pad_low[0];
                let ix = low * s.stride[1] + self.at[1] * s.dilation[1] - s.pad_low[1];
                let input = ((n * s.in_h + iy) * s.in_w + ix) * s.in_c;
                each(Run { pixel: first + low, input, count: high - low });
            }
            first += ow;
            oy += 1;
            if oy == oh {
                (oy, n) = (0, n + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_the_pairs_that_the_definition_has() {
        let mut met = 0;
        for (stride, dilation, pad, size) in [(2, 1, 1, 8), (1, 1, 2, 5), (3, 2, 4, 7), (2, 1, 3, 4)] {
            let shape = ConvShape {
                batch: 3,
                in_h: size,
                in_w: size + 1,
                in_c: 2,
                out_c: 1,
                kernel: [3, 4],
                stride: [stride; 2],
                pad_low: [pad; 2],
                pad_high: [pad; 2],
                dilation: [dilation; 2],
                groups: 1,
            };
            shape.validate().unwrap();
            let (oh, ow) = (shape.out_h(), shape.out_w());
            for range in [0..3 * oh * ow, 1..oh * ow + 2, ow + 1..ow + 2] {
                for at in (0..3).flat_map(|y| (0..4).map(move |x| [y, x])) {
                    let mut expected = Vec::new();
                    for pixel in range.clone() {
                        let out = [pixel / ow % oh, pixel % ow];
                        let [iy, ix] = [0, 1].map(|i| (out[i] * stride + at[i] * dilation).wrapping_sub(pad));
                        if iy < shape.in_h && ix < shape.in_w {
                            let input = ((pixel / ow / oh * shape.in_h + iy) * shape.in_w + ix) * shape.in_c;
                            expected.push((pixel, input));
                        }
                    }
                    let mut got = Vec::new();
                    Tap::new(&shape, at).runs(&shape, range.clone(), |run| {
                        got.extend((0..run.count).map(|i| (run.pixel + i, run.input + i * stride * 2)));
                    });
                    assert_eq!(got, expected, "{at:?} of {shape:?}");
                    met += got.len();
                }
            }
        }
        assert!(met > 1000, "{met}");
    }
}
