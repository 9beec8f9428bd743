//! One dimension of a gather: which source coordinates feed which output coordinates.
//!
//! Forward and input gradient are both sums over taps of a source image read at an affine coordinate. Along one
//! axis the forward pass reads `o * s + k * d - p`. The input gradient reads `(i + p - k * d) / s` where that
//! is whole, i.e. for the taps with `k * d = i + p (mod s)`: s phases of outputs, each with its own taps and a
//! source step of one output.
//!
//! Each phase is cut into classes of neighbouring outputs whose taps hit the image in the same places. Within a
//! class there is no padding left to test or to multiply with.

use super::ConvShape;

/// Outputs `out_first + j * out_step`, `j < count`, that all use packed taps `tap_first .. tap_first + taps`;
/// output `j` and tap `t` (counted from `tap_first`) meet source `src_first + j * src_step + t * tap_step`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub out_first: usize,
    pub out_step: usize,
    pub count: usize,
    pub src_first: usize,
    pub src_step: usize,
    pub tap_first: usize,
    pub taps: usize,
    pub tap_step: usize,
}

/// One dimension of a gather.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// Packed tap index to tap of the filter: phase by phase, ascending in source coordinate.
    pub order: Vec<usize>,
    /// Every output coordinate lies in exactly one class.
    pub classes: Vec<Class>,
}

/// Outputs `out_first + j * out_step` and taps `t`, meeting at source `origin + j * src_step + t * tap_step`,
/// which may lie outside the image.
struct Phase {
    out_first: usize,
    out_step: usize,
    count: usize,
    origin: isize,
    src_step: usize,
    tap_first: usize,
    taps: usize,
    tap_step: usize,
}

impl Axis {
    /// Pairs of an output and a tap that meet the source.
    pub fn met(&self) -> usize {
        self.classes.iter().map(|class| class.count * class.taps).sum()
    }

    /// The axis of the forward pass.
    pub fn forward(shape: &ConvShape, axis: usize) -> Axis {
        let phase = Phase {
            out_first: 0,
            out_step: 1,
            count: [shape.out_h(), shape.out_w()][axis],
            origin: -(shape.pad_low[axis] as isize),
            src_step: shape.stride[axis],
            tap_first: 0,
            taps: shape.kernel[axis],
            tap_step: shape.dilation[axis],
        };
        let mut classes = Vec::new();
        phase.cut([shape.in_h, shape.in_w][axis], &mut classes);
        Axis { order: (0..shape.kernel[axis]).collect(), classes }
    }

    /// The axis of the input gradient.
    pub fn input_grad(shape: &ConvShape, axis: usize) -> Axis {
        let (stride, dilation, pad) = (shape.stride[axis], shape.dilation[axis], shape.pad_low[axis]);
        let (len, src_len) = ([shape.in_h, shape.in_w][axis], [shape.out_h(), shape.out_w()][axis]);
        let mut axis_plan = Axis { order: Vec::new(), classes: Vec::new() };
        for residue in 0..stride {
            let taps: Vec<usize> =
                (0..shape.kernel[axis]).rev().filter(|k| k * dilation % stride == residue).collect();
            // The smallest i >= 0 with (i + pad) mod stride = residue.
            let out_first = (residue + stride - pad % stride) % stride;
            // A larger k reads a smaller source coordinate, so the last tap comes first.
            let reach = taps.first().map_or(0, |k| k * dilation);
            let phase = Phase {
                out_first,
                out_step: stride,
                count: len.saturating_sub(out_first).div_ceil(stride),
                // Whole by the choice of the residue; without taps it is not used.
                origin: ((out_first + pad) as isize - reach as isize).div_euclid(stride as isize),
                src_step: 1,
                tap_first: axis_plan.order.len(),
                taps: taps.len(),
                tap_step: match taps[..] {
                    [a, b, ..] => (a - b) * dilation / stride,
                    _ => 1,
                },
            };
            phase.cut(src_len, &mut axis_plan.classes);
            axis_plan.order.extend(taps);
        }
        axis_plan
    }
}

impl Phase {
    /// The taps `low..high` of output `j` that hit a source of length `len`; `0..0` where none does.
    fn hits(&self, j: usize, len: usize) -> (usize, usize) {
        let base = self.origin + (j * self.src_step) as isize;
        let low = base.min(0).unsigned_abs().div_ceil(self.tap_step);
        let room = len as isize - base;
        let high = if room <= 0 { 0 } else { (room as usize).div_ceil(self.tap_step).min(self.taps) };
        if low < high { (low, high) } else { (0, 0) }
    }

    fn cut(&self, len: usize, classes: &mut Vec<Class>) {
        let mut j = 0;
        while j < self.count {
            let (low, high) = self.hits(j, len);
            let count = (j..self.count).take_while(|&i| self.hits(i, len) == (low, high)).count();
            let base = self.origin + (j * self.src_step + low * self.tap_step) as isize;
            let empty = low == high;
            classes.push(Class {
                out_first: self.out_first + j * self.out_step,
                out_step: self.out_step,
                count,
                src_first: if empty { 0 } else { base as usize },
                src_step: if empty { 0 } else { self.src_step },
                tap_first: self.tap_first + low,
                taps: high - low,
                tap_step: self.tap_step,
            });
            j += count;
        }
    }
}

/// How input `stride j + q` of an axis is seen without dilation, for `q` below the stride: by the taps `t = p, p + stride, ..` with
/// `p = (q + pad) mod stride`, of the outputs `(stride j + q + pad - t) / stride`. Returns these outputs' first, less `j`,
/// and the taps in the order of the outputs.
pub(super) fn seen_by(shape: &ConvShape, axis: usize, q: usize) -> (isize, Vec<usize>) {
    let (kernel, stride, pad) = (shape.kernel[axis], shape.stride[axis], shape.pad_low[axis]);
    let taps: Vec<usize> = (((q + pad) % stride)..kernel).step_by(stride).rev().collect();
    (((q + pad) / stride + 1) as isize - taps.len() as isize, taps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(len: usize, kernel: usize, stride: usize, dilation: usize, pads: (usize, usize)) -> ConvShape {
        ConvShape {
            batch: 1,
            in_h: 1,
            in_w: len,
            in_c: 1,
            out_c: 1,
            kernel: [1, kernel],
            stride: [1, stride],
            pad_low: [0, pads.0],
            pad_high: [0, pads.1],
            dilation: [1, dilation],
            groups: 1,
        }
    }

    /// The (output, source, tap) triples of an axis.
    fn triples(axis: &Axis) -> Vec<(usize, usize, usize)> {
        let mut all = Vec::new();
        for c in &axis.classes {
            for j in 0..c.count {
                for t in 0..c.taps {
                    let source = c.src_first + j * c.src_step + t * c.tap_step;
                    all.push((c.out_first + j * c.out_step, source, axis.order[c.tap_first + t]));
                }
            }
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn both_directions_walk_the_same_terms_and_cover_every_output_once() {
        let mut cases = 0;
        for len in [1, 4, 7, 12] {
            for (kernel, stride, dilation) in [
                (1, 1, 1),
                (1, 3, 1),
                (2, 3, 1),
                (3, 1, 1),
                (3, 2, 2),
                (4, 2, 1),
                (5, 2, 1),
                (3, 2, 3),
                (5, 4, 6),
            ] {
                for pads in [(0, 0), (2, 1), (1, 3), (30, 7)] {
                    let shape = line(len, kernel, stride, dilation, pads);
                    if shape.validate().is_err() {
                        continue;
                    }
                    cases += 1;
                    let mut expected = Vec::new();
                    for o in 0..shape.out_w() {
                        for k in 0..kernel {
                            let at = o * stride + k * dilation;
                            if at >= pads.0 && at - pads.0 < len {
                                expected.push((o, at - pads.0, k));
                            }
                        }
                    }
                    let (forward, back) = (Axis::forward(&shape, 1), Axis::input_grad(&shape, 1));
                    assert_eq!(triples(&forward), expected, "{shape:?}");
                    let mut flipped: Vec<_> = triples(&back).iter().map(|&(i, o, k)| (o, i, k)).collect();
                    flipped.sort_unstable();
                    assert_eq!(flipped, expected, "{shape:?}");
                    for (axis, outputs) in [(&forward, shape.out_w()), (&back, len)] {
                        let mut seen: Vec<_> = (axis.classes.iter())
                            .flat_map(|c| (0..c.count).map(|j| c.out_first + j * c.out_step))
                            .collect();
                        seen.sort_unstable();
                        assert_eq!(seen, (0..outputs).collect::<Vec<_>>(), "{shape:?}");
                        let mut order = axis.order.clone();
                        order.sort_unstable();
                        assert_eq!(order, (0..kernel).collect::<Vec<_>>(), "{shape:?}");
                    }
                }
            }
        }
        assert!(cases > 80, "only {cases} cases are valid");
    }
}
