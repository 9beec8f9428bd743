//! One axis of a convolution as stride-1 correlations.

use super::super::axis::seen_by;
use super::super::shape::ConvShape;
use super::transform::{MAX_TAPS, TILE};

/// Correlations that share their tiles: those of several sources, which add to the same outputs, or those of one source,
/// whose outputs lie in between each other.
///
/// With the taps of a source or of an output, whichever are several, output `j` is the sum over sources and `t` of
/// `src[source.first + source.step * (j + output.shift + t)] * w[taps[t]]`.
#[derive(Clone, Debug)]
pub struct Phase {
    pub sources: Vec<Source>,
    pub outputs: Vec<Output>,
    taps: Vec<Vec<usize>>,
}

/// Where sources lie.
#[derive(Clone, Debug)]
pub struct Source {
    /// Negative in the padding.
    pub first: isize,
    pub step: usize,
}

/// Outputs `first + step * j` for `j < count`.
#[derive(Clone, Debug)]
pub struct Output {
    pub first: usize,
    pub step: usize,
    pub count: usize,
    /// Outputs of the first tile before these begin.
    pub shift: usize,
}

impl Output {
    /// The outputs of a tile, counted from its first.
    pub fn of_tile(&self, tile: usize) -> std::ops::Range<usize> {
        let first = tile * TILE;
        let low = self.shift.saturating_sub(first).min(TILE);
        low..(self.count + self.shift).saturating_sub(first).clamp(low, TILE)
    }

    /// The coordinate of an output of a tile.
    pub fn at(&self, tile: usize, i: usize) -> usize {
        self.first + self.step * (tile * TILE + i - self.shift)
    }

    fn tiles(&self) -> usize {
        (self.count + self.shift).div_ceil(TILE)
    }
}

impl Phase {
    /// The phases of y = conv(x, w), a single one: the source's phases all add to the same outputs.
    pub fn forward(shape: &ConvShape, axis: usize) -> Option<Vec<Phase>> {
        let (kernel, stride, pad) = (shape.kernel[axis], shape.stride[axis], shape.pad_low[axis]);
        let phases = 0..stride.min(kernel);
        let sources =
            phases.clone().map(|p| Source { first: p as isize - pad as isize, step: stride }).collect();
        let taps = phases.map(|p| (p..kernel).step_by(stride).collect()).collect();
        let count = [shape.out_h(), shape.out_w()][axis];
        Some(vec![Phase::new(sources, vec![Output { first: 0, step: 1, count, shift: 0 }], taps)?])
    }

    /// The phases of the input gradient: one for each input s j + q.
    ///
    /// The windows of neighbouring phases begin one output apart at most. If each begins with the earliest, so that
    /// later ones have idle outputs in their first tile, all share the transform of one window; that is done unless it
    /// takes more tiles.
    pub fn input_grad(shape: &ConvShape, axis: usize) -> Option<Vec<Phase>> {
        let stride = shape.stride[axis];
        let size = [shape.in_h, shape.in_w][axis];
        let phases = 0..stride.min(size);
        let (firsts, taps): (Vec<isize>, Vec<Vec<usize>>) =
            (phases.clone()).map(|q| seen_by(shape, axis, q)).unzip();
        let window = *firsts.iter().min()?;
        let outputs = |window: Option<isize>| -> Vec<Output> {
            (phases.clone())
                .map(|q| {
                    let shift = window.map_or(0, |window| (firsts[q] - window) as usize);
                    Output { first: q, step: stride, count: (size - q).div_ceil(stride), shift }
                })
                .collect()
        };
        let tiles = |outputs: &[Output]| outputs.iter().map(Output::tiles).max();
        let (apart, together) = (outputs(None), outputs(Some(window)));
        if tiles(&together) == tiles(&apart)
            && let Some(phase) = Phase::new(vec![Source { first: window, step: 1 }], together, taps.clone())
        {
            return Some(vec![phase]);
        }
        let each = apart.into_iter().zip(firsts).zip(taps);
        each.map(|((output, first), taps)| {
            Phase::new(vec![Source { first, step: 1 }], vec![output], vec![taps])
        })
        .collect()
    }

    /// `None` unless a transform fits all taps.
    fn new(sources: Vec<Source>, outputs: Vec<Output>, taps: Vec<Vec<usize>>) -> Option<Phase> {
        debug_assert!(sources.len() == 1 || outputs.len() == 1);
        let most = taps.iter().map(Vec::len).max()?;
        let fits =
            (2..=MAX_TAPS).contains(&most) && taps.iter().all(|t| t.len() + 1 >= most && !t.is_empty());
        fits.then_some(Phase { sources, outputs, taps })
    }

    /// The taps by which an output sees a source.
    pub fn taps(&self, source: usize, output: usize) -> &[usize] {
        // One of the two is the only one of its kind.
        &self.taps[source + output]
    }

    fn most_taps(&self) -> usize {
        self.taps.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Points of the transform.
    pub fn points(&self) -> usize {
        TILE + self.most_taps() - 1
    }

    /// Tiles that cover the outputs.
    pub fn tiles(&self) -> usize {
        self.outputs.iter().map(Output::tiles).max().unwrap_or(0)
    }

    /// Whether a filter has a part at a point: at infinity only those with the most taps have.
    pub fn active(&self, source: usize, output: usize, point: usize) -> bool {
        point + 1 < self.points() || self.taps(source, output).len() == self.most_taps()
    }
}
