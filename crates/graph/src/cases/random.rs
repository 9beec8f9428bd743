//! Random graphs: every family of ops composed at random, with a gradient in the middle and gradients at the end.

use super::{Case, Values};
use crate::grad::grad;
use crate::graph::Graph;
use crate::ops::conv::ConvOptions;
use crate::tensor::Tensor;
use crate::types::DType;

/// No intermediate result has more elements.
const LARGEST: usize = 2048;
/// Elements of the operand from which weights and tables are cut.
const BANK: usize = 1024;

/// A random graph, a pure function of `seed`: about `steps` ops on images, matrices and vectors, then the gradients of
/// a scalar by every operand. Values stay near 1, so that f32 agrees with f64 to about 1e-5 in norm.
pub fn graph(seed: u32, steps: usize) -> Case {
    let mut values = Values::new(0x2000_0000 ^ seed);
    let inputs = [
        values.normal(&[2, 6, 6, 4]),
        values.normal(&[3, 5, 4, 2]),
        values.normal(&[5, 8]),
        values.normal(&[7]),
        values.normal(&[BANK]),
        values.integers(&[6], -2, 12),
    ];
    Case::new(format!("random graph {seed}"), inputs, move |g, x| {
        Growth {
            values: Values::new(0x3000_0000 ^ seed),
            graph: g.clone(),
            bank: x[4].clone(),
            index: x[5].clone(),
            pool: x[..4].to_vec(),
        }
        .results(steps, &x[..5])
    })
    .norm(1e-4)
    .smooth_within(1e-6)
}

struct Growth {
    values: Values,
    graph: Graph,
    bank: Tensor,
    index: Tensor,
    pool: Vec<Tensor>,
}

type Step = fn(&mut Growth, &Tensor) -> Option<Tensor>;

/// Each returns nothing where the operand's shape does not suit it.
const STEPS: &[Step] = &[
    Growth::smooth,
    Growth::smooth,
    Growth::kinked,
    Growth::combine,
    Growth::combine,
    Growth::combine,
    Growth::reduce,
    Growth::broadcast,
    Growth::rearrange,
    Growth::rearrange,
    Growth::resize,
    Growth::multiply_matrices,
    Growth::convolve,
    Growth::convolve,
    Growth::deconvolve,
    Growth::pool,
    Growth::normalize,
    Growth::index,
    Growth::differentiate,
];

impl Growth {
    fn results(mut self, steps: usize, inputs: &[Tensor]) -> Vec<Tensor> {
        for _ in 0..steps {
            // Recent values twice as often, so that graphs grow deep as well as wide.
            let from = if self.values.below(2) == 0 { self.pool.len() / 2 } else { 0 };
            let operand = self.pool[from + self.values.below(self.pool.len() - from)].clone();
            let step = self.values.choose(STEPS);
            if let Some(next) = step(&mut self, &operand)
                && (1..=LARGEST).contains(&next.ty().len())
            {
                self.pool.push(next);
            }
        }
        let mut out: Vec<Tensor> = self.pool[self.pool.len().saturating_sub(4)..].to_vec();
        let loss = out.iter().map(|t| t.tanh().mean_all()).reduce(|a, b| a + b);
        let loss = loss.unwrap_or_else(|| self.graph.scalar(0.0));
        let by: Vec<&Tensor> = inputs.iter().collect();
        out.extend(grad(&loss, &by));
        out.push(loss);
        out
    }

    /// Weights of the given shape with the variance 1 / fan-in.
    fn weights(&mut self, shape: &[usize], fan_in: usize) -> Option<Tensor> {
        let n: usize = shape.iter().product();
        let start = self.values.below(BANK.checked_sub(n)? + 1);
        Some(self.bank.slice(0, start, start + n).reshape(shape) * (1.0 / (fan_in.max(1) as f64).sqrt()))
    }

    fn smooth(&mut self, x: &Tensor) -> Option<Tensor> {
        Some(match self.values.below(13) {
            0 => x.tanh(),
            1 => x.sigmoid(),
            2 => x.softplus(),
            3 => x.sin(),
            4 => x.cos(),
            5 => x.erf(),
            6 => (-x.square()).exp(),
            7 => (x.square() + 1.0).sqrt(),
            8 => x.square().log1p(),
            9 => (x.square() + 1.0).rsqrt(),
            10 => (x.tanh() * 0.5).erfinv(),
            11 => (x.square() + 0.5).log(),
            _ => x.tanh().expm1(),
        })
    }

    fn kinked(&mut self, x: &Tensor) -> Option<Tensor> {
        Some(match self.values.below(8) {
            0 => x.leaky_relu(0.2),
            1 => x.abs(),
            2 => x.maximum(&x.full_like(0.15)),
            3 => x.lt(&x.full_like(0.3)).select(&x.square().tanh(), x),
            4 => x.ge(&x.full_like(-0.7)).select(x, &x.sin()),
            5 => x.le(&x.full_like(0.9)).select(x, &(x * 0.5)),
            6 => x.ne(&x.full_like(0.123)).and(&x.is_finite()).not().select(&x.zeros_like(), x),
            _ => x * x.gt(&x.full_like(-0.4)).convert(DType::F32),
        })
    }

    fn combine(&mut self, x: &Tensor) -> Option<Tensor> {
        let shape = x.shape();
        let fits = |t: &Tensor| {
            let s = t.shape();
            s.len() <= shape.len() && s.iter().rev().zip(shape.iter().rev()).all(|(a, b)| a == b || *a == 1)
        };
        let partners: Vec<Tensor> = self.pool.iter().filter(|t| fits(t)).cloned().collect();
        let y = &partners[self.values.below(partners.len())];
        Some(match self.values.below(8) {
            0 => x + y,
            1 => x - y,
            2 => x * y.tanh(),
            3 => x.tanh() * y,
            4 => x / (y.square() + 1.0),
            5 => x.maximum(&(y - 0.1)),
            6 => x.minimum(&(y + 0.1)),
            _ => (x.square() * 0.25 + 0.5).pow(&y.tanh()),
        })
    }

    fn reduce(&mut self, x: &Tensor) -> Option<Tensor> {
        let rank = x.shape().len();
        let axes: Vec<usize> = (0..rank).filter(|_| self.values.below(2) == 0).collect();
        let n: usize = axes.iter().map(|&a| x.shape()[a]).product();
        Some(match self.values.below(5) {
            0 => x.mean(&axes),
            1 => x.sum(&axes) * (1.0 / (n as f64).sqrt()),
            2 => x.max(&axes),
            3 => x.min(&axes),
            _ => x.variance(&axes),
        })
    }

    fn broadcast(&mut self, x: &Tensor) -> Option<Tensor> {
        let mut shape = x.shape();
        if shape.len() >= 4 {
            return None;
        }
        let at = self.values.below(shape.len() + 1);
        let axes: Vec<usize> = (0..shape.len()).map(|a| a + usize::from(a >= at)).collect();
        shape.insert(at, 1 + self.values.below(4));
        Some(x.broadcast_axes(&shape, &axes))
    }

    fn rearrange(&mut self, x: &Tensor) -> Option<Tensor> {
        let shape = x.shape();
        let rank = shape.len();
        if rank == 0 {
            return None;
        }
        let axis = self.values.below(rank);
        Some(match self.values.below(4) {
            0 => {
                let mut perm: Vec<usize> = (0..rank).collect();
                for i in (1..rank).rev() {
                    perm.swap(i, self.values.below(i + 1));
                }
                x.transpose(&perm)
            }
            1 => x.reverse(&[axis]),
            2 => Tensor::concat(&[x, &x.tanh()], axis),
            _ => {
                let split = self.values.choose(&[2, 3]);
                let mut folded = shape.clone();
                if rank < 4 && shape[axis].is_multiple_of(split) {
                    folded[axis] /= split;
                    folded.insert(axis + 1, split);
                } else if axis > 0 {
                    folded[axis - 1] *= folded.remove(axis);
                }
                x.reshape(&folded)
            }
        })
    }

    fn resize(&mut self, x: &Tensor) -> Option<Tensor> {
        let shape = x.shape();
        let rank = shape.len();
        let mut draw = |limit: usize| -> Vec<usize> { (0..rank).map(|_| self.values.below(limit)).collect() };
        if rank == 0 {
            return None;
        }
        if draw(2)[0] == 0 {
            let (low, high, interior) = (draw(2), draw(2), draw(2));
            return Some(x.pad(&low, &high, &interior));
        }
        let (start, stride) = (draw(2), draw(2));
        let start: Vec<usize> = (0..rank).map(|a| start[a].min(shape[a] - 1)).collect();
        Some(x.slice_strided(&start, &shape, &stride.iter().map(|s| s + 1).collect::<Vec<_>>()))
    }

    fn multiply_matrices(&mut self, x: &Tensor) -> Option<Tensor> {
        let shape = x.shape();
        let rank = shape.len();
        if rank < 2 {
            return None;
        }
        let (ta, tb) = (self.values.below(2) == 1, self.values.below(2) == 1);
        let (k, n) = (if ta { shape[rank - 2] } else { shape[rank - 1] }, 1 + self.values.below(9));
        let mut other = shape[..rank - 2].to_vec();
        other.extend(if tb { [n, k] } else { [k, n] });
        let weights = self.weights(&other, k)?;
        Some(x.matmul_with(&weights, ta, tb))
    }

    fn geometry(&mut self, channels: usize) -> ([usize; 2], ConvOptions) {
        let kernel = [1 + self.values.below(3), 1 + self.values.below(3)];
        let groups = if channels.is_multiple_of(2) && self.values.below(3) == 0 { 2 } else { 1 };
        let options = ConvOptions {
            stride: [1 + self.values.below(2), 1 + self.values.below(2)],
            pad_low: [self.values.below(2), self.values.below(2)],
            pad_high: [self.values.below(2), self.values.below(2)],
            dilation: [1 + self.values.below(2), 1],
            groups,
        };
        (kernel, options)
    }

    fn convolve(&mut self, x: &Tensor) -> Option<Tensor> {
        let [_, h, w, c] = x.shape()[..] else { return None };
        let (kernel, options) = self.geometry(c);
        let geometry = crate::ConvGeometry { input: [h, w], kernel, options };
        geometry.output().ok()?;
        let c_out = options.groups * (1 + self.values.below(5));
        let [kh, kw] = kernel;
        let weight = self.weights(&[kh, kw, c / options.groups, c_out], kh * kw * c / options.groups)?;
        Some(x.conv2d(&weight, options))
    }

    fn deconvolve(&mut self, x: &Tensor) -> Option<Tensor> {
        let [_, h, w, c] = x.shape()[..] else { return None };
        let (kernel, options) = self.geometry(c);
        // The image of which a convolution would make this one, perhaps with a leftover row and column.
        let size = |i: usize, n: usize, rest: usize| {
            ((n - 1) * options.stride[i]
                + (kernel[i] - 1) * options.dilation[i]
                + 1
                + rest % options.stride[i])
                .checked_sub(options.pad_low[i] + options.pad_high[i])
        };
        let output = [size(0, h, self.values.below(2))?, size(1, w, self.values.below(2))?];
        let c_out = options.groups * (1 + self.values.below(3));
        let weight = self.weights(&[kernel[0], kernel[1], c_out / options.groups, c], c)?;
        Some(x.conv2d_transposed(&weight, options, output))
    }

    fn pool(&mut self, x: &Tensor) -> Option<Tensor> {
        let [_, h, w, _] = x.shape()[..] else { return None };
        if h.min(w) < 2 {
            return None;
        }
        let (stride, pad) = (1 + self.values.below(2), self.values.below(2));
        let last_starts_inside = |n: usize| (n + 2 * pad - 2) / stride * stride < n + pad;
        if !last_starts_inside(h) || !last_starts_inside(w) {
            return None;
        }
        Some(if self.values.below(2) == 0 {
            x.max_pool2d(2, stride, pad)
        } else {
            x.avg_pool2d(2, stride, pad)
        })
    }

    fn normalize(&mut self, x: &Tensor) -> Option<Tensor> {
        let shape = x.shape();
        let last = shape.len().checked_sub(1)?;
        if self.values.below(2) == 0 {
            return Some(x.softmax());
        }
        let kept: Vec<usize> = (0..last).collect();
        let spread = |t: Tensor| t.broadcast_axes(&shape, &kept);
        Some((x - spread(x.mean(&[last]))) * spread((x.variance(&[last]) + 0.1).rsqrt()))
    }

    fn index(&mut self, x: &Tensor) -> Option<Tensor> {
        let rows = *x.shape().first()?;
        Some(match self.values.below(5) {
            0 => x.gather(&self.index, 0),
            1 => x.gather(&self.index, 0).scatter_add(&self.index, 0, rows) * 0.3,
            2 if x.shape().len() == 1 => x.gather(&x.argsort(), 0),
            3 if x.shape().len() == 2 => x.gather(&x.argmax(1), 0),
            _ => x.gather(&self.graph.iota(&[2 * rows], 0), 0),
        })
    }

    /// The gradient of a scalar of `x` by an operand of the whole graph, or by `x` itself.
    fn differentiate(&mut self, x: &Tensor) -> Option<Tensor> {
        let by = if self.values.below(2) == 0 { self.pool[self.values.below(4)].clone() } else { x.clone() };
        let loss = (x.tanh() * x).sum_all();
        Some(grad(&loss, &[&by])[0].tanh())
    }
}
