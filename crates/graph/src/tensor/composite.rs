//! Functions written with the primitives: activations, means, pooling, resampling.

use super::Tensor;
use crate::ops::conv::ConvOptions;
use crate::ops::window::{WindowGeometry, WindowKind};
use crate::types::DType;

impl Tensor {
    /// max(x, 0), with gradient 0 at 0.
    #[track_caller]
    pub fn relu(&self) -> Tensor {
        self.leaky_relu(0.0)
    }

    /// x where positive, else slope x. The derivative at 0 is `slope`, as in PyTorch and TensorFlow. Written as a
    /// product with the slope, so that NaN stays NaN and the derivative reads the same factor.
    #[track_caller]
    pub fn leaky_relu(&self, slope: f64) -> Tensor {
        let one = self.ones_like();
        self * self.gt(&self.zeros_like()).select(&one, &self.full_like(slope))
    }

    /// x sigmoid(x) (Ramachandran, Zoph, Le 2017).
    #[track_caller]
    pub fn silu(&self) -> Tensor {
        self * self.sigmoid()
    }

    /// x Phi(x) with the normal distribution function (Hendrycks, Gimpel 2016, the exact form).
    #[track_caller]
    pub fn gelu(&self) -> Tensor {
        self * ((self * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5
    }

    /// x where positive, else e^x - 1 (Clevert, Unterthiner, Hochreiter 2015).
    #[track_caller]
    pub fn elu(&self) -> Tensor {
        let zero = self.zeros_like();
        let positive = self.gt(&zero);
        // The exponential sees no positive argument, so that it cannot overflow in the branch not taken. A minimum
        // would do the same but halve the derivative at 0, where the function is smooth.
        positive.select(self, &positive.select(&zero, self).expm1())
    }

    /// The square.
    #[track_caller]
    pub fn square(&self) -> Tensor {
        self * self
    }

    /// Mean over the axes, which are reduced away.
    #[track_caller]
    pub fn mean(&self, axes: &[usize]) -> Tensor {
        let shape = self.shape();
        let n: usize = axes.iter().filter_map(|&a| shape.get(a)).product();
        self.sum(axes) * (1.0 / n.max(1) as f64)
    }

    /// Sum over everything.
    #[track_caller]
    pub fn sum_all(&self) -> Tensor {
        self.sum(&(0..self.shape().len()).collect::<Vec<_>>())
    }

    /// Mean over everything.
    #[track_caller]
    pub fn mean_all(&self) -> Tensor {
        self.mean(&(0..self.shape().len()).collect::<Vec<_>>())
    }

    /// Whether all elements are finite; bool scalar.
    #[track_caller]
    pub fn all_finite(&self) -> Tensor {
        let bad = self.is_finite().not().convert(DType::I32).sum_all();
        bad.eq(&bad.zeros_like())
    }

    /// Softmax along the last axis.
    #[track_caller]
    pub fn softmax(&self) -> Tensor {
        let shape = self.shape();
        if self.is_poisoned() || shape.is_empty() {
            return self.graph.fail("softmax", "needs at least one axis");
        }
        let last = shape.len() - 1;
        let kept: Vec<usize> = (0..last).collect();
        let top = self.stop_gradient().max(&[last]).broadcast_axes(&shape, &kept);
        let e = (self - top).exp();
        &e / e.sum(&[last]).broadcast_axes(&shape, &kept)
    }

    /// Maximum over windows of NHWC images; the first maximum of a window takes the whole gradient.
    #[track_caller]
    pub fn max_pool2d(&self, window: usize, stride: usize, pad: usize) -> Tensor {
        let shape = self.shape();
        if self.is_poisoned() || shape.len() != 4 {
            return self.graph.fail("max_pool2d", format!("needs images [N, H, W, C], got {}", self.ty()));
        }
        let geometry = WindowGeometry {
            input: [shape[1], shape[2]],
            window: [window; 2],
            stride: [stride; 2],
            pad_low: [pad; 2],
            pad_high: [pad; 2],
        };
        let index = self.window(WindowKind::ArgMax, geometry, None);
        self.window(WindowKind::Gather, geometry, Some(&index))
    }

    /// Mean over windows of NHWC images; padding counts as zeros. Where windows tile the image this is a reduction,
    /// else a depthwise convolution with constant weights.
    #[track_caller]
    pub fn avg_pool2d(&self, window: usize, stride: usize, pad: usize) -> Tensor {
        let shape = self.shape();
        if self.is_poisoned() || shape.len() != 4 || window == 0 {
            return self.graph.fail("avg_pool2d", format!("needs images [N, H, W, C], got {}", self.ty()));
        }
        let [n, h, w, c] = [shape[0], shape[1], shape[2], shape[3]];
        if window == stride && pad == 0 && h.is_multiple_of(window) && w.is_multiple_of(window) {
            let tiles = self.reshape(&[n, h / window, window, w / window, window, c]);
            return tiles.mean(&[2, 4]);
        }
        let weight = self.graph.full(&[window, window, 1, c], 1.0 / (window * window) as f64);
        self.conv2d(&weight, ConvOptions::default().stride(stride).pad(pad).groups(c))
    }

    /// Repeats each pixel `factor` times along height and width.
    #[track_caller]
    pub fn upsample_nearest(&self, factor: usize) -> Tensor {
        let shape = self.shape();
        if self.is_poisoned() || shape.len() != 4 {
            return self
                .graph
                .fail("upsample_nearest", format!("needs images [N, H, W, C], got {}", self.ty()));
        }
        let [n, h, w, c] = [shape[0], shape[1], shape[2], shape[3]];
        self.broadcast_axes(&[n, h, factor, w, factor, c], &[0, 1, 3, 5]).reshape(&[
            n,
            h * factor,
            w * factor,
            c,
        ])
    }

    /// Doubles height and width by bilinear interpolation between pixel centres (corners not aligned): an output pixel
    /// is 3/4 of the nearer and 1/4 of the farther input pixel along each axis; edges repeat.
    #[track_caller]
    pub fn upsample_bilinear2(&self) -> Tensor {
        let shape = self.shape();
        if self.is_poisoned() || shape.len() != 4 {
            return self
                .graph
                .fail("upsample_bilinear2", format!("needs images [N, H, W, C], got {}", self.ty()));
        }
        self.double_along(1).double_along(2)
    }

    #[track_caller]
    fn double_along(&self, axis: usize) -> Tensor {
        let shape = self.shape();
        let n = shape[axis];
        if n == 0 {
            return self.clone();
        }
        let first = self.slice(axis, 0, 1);
        let last = self.slice(axis, n - 1, n);
        let before = Tensor::concat(&[&first, &self.slice(axis, 0, n - 1)], axis);
        let after = Tensor::concat(&[&self.slice(axis, 1, n), &last], axis);
        let near = self * 0.75;
        let even = &near + before * 0.25;
        let odd = &near + after * 0.25;
        // Interleaved by a new axis behind `axis`.
        let mut split = shape.clone();
        split.insert(axis + 1, 1);
        let pair = Tensor::concat(&[&even.reshape(&split), &odd.reshape(&split)], axis + 1);
        let mut doubled = shape;
        doubled[axis] = 2 * n;
        pair.reshape(&doubled)
    }
}
