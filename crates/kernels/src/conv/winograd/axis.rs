//! One axis of a convolution as stride-1 correlations.

use super::super::shape::ConvShape;
use super::transform::{MAX_TAPS, TILE};

/// Outputs `first + step * j` for `j < count`, each the sum over `sources` of
/// `src[source.first + source.step * (j + t)] * w[source.taps[t]]`.
#[derive(Clone, Debug)]
pub struct Phase {
    pub first: usize,
    pub step: usize,
    pub count: usize,
    pub sources: Vec<Source>,
    /// Most taps of a source.
    pub taps: usize,
}

/// What one phase of the source adds.
#[derive(Clone, Debug)]
pub struct Source {
    /// Negative in the padding.
    pub first: isize,
    pub step: usize,
    pub taps: Vec<usize>,
}

impl Phase {
    /// The phases of y = conv(x, w), a single one: the source's phases all add to the same outputs.
    pub fn forward(shape: &ConvShape, axis: usize) -> Option<Vec<Phase>> {
        let (kernel, stride, pad) = (shape.kernel[axis], shape.stride[axis], shape.pad_low[axis]);
        let sources = (0..stride.min(kernel))
            .map(|p| Source {
                first: p as isize - pad as isize,
                step: stride,
                taps: (p..kernel).step_by(stride).collect(),
            })
            .collect();
        let count = [shape.out_h(), shape.out_w()][axis];
        Some(vec![Phase::new(0, 1, count, sources)?])
    }

    /// The phases of the input gradient: input s j + q is seen by the taps t = p, p + s, .. with p = (q + pad) mod s
    /// of the outputs (s j + q + pad - t) / s.
    pub fn input_grad(shape: &ConvShape, axis: usize) -> Option<Vec<Phase>> {
        let (kernel, stride, pad) = (shape.kernel[axis], shape.stride[axis], shape.pad_low[axis]);
        let size = [shape.in_h, shape.in_w][axis];
        (0..stride.min(size))
            .map(|q| {
                let p = (q + pad) % stride;
                let mut taps: Vec<usize> = (p..kernel).step_by(stride).collect();
                taps.reverse();
                let first = ((q + pad - p) / stride + 1) as isize - taps.len() as isize;
                let count = (size - q).div_ceil(stride);
                Phase::new(q, stride, count, vec![Source { first, step: 1, taps }])
            })
            .collect()
    }

    /// `None` unless a transform fits every source.
    fn new(first: usize, step: usize, count: usize, sources: Vec<Source>) -> Option<Phase> {
        let taps = sources.iter().map(|s| s.taps.len()).max()?;
        let fits = (2..=MAX_TAPS).contains(&taps)
            && sources.iter().all(|s| s.taps.len() + 1 >= taps && !s.taps.is_empty());
        fits.then_some(Phase { first, step, count, sources, taps })
    }

    /// Points of the transform.
    pub fn points(&self) -> usize {
        TILE + self.taps - 1
    }

    /// Tiles that cover the outputs.
    pub fn tiles(&self) -> usize {
        self.count.div_ceil(TILE)
    }

    /// Whether a source's filter has a part at a point: at infinity only those with the most taps have.
    pub fn active(&self, source: usize, point: usize) -> bool {
        point + 1 < self.points() || self.sources[source].taps.len() == self.taps
    }
}
