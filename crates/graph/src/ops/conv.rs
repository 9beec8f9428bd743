//! The convolution triad. With F(x, w, g) = <conv(x, w), g>, the three ops are the partial derivatives of F by g, x
//! and w. F is linear in each argument, so the gradient of each op is written with the other two, and the family is
//! closed under differentiation. The geometry carries the input size, which an output size does not determine when
//! the stride leaves a remainder.

use super::{contract, operands};
use crate::array::{Array, Data};
use crate::grad::Rule;
use crate::types::TensorType;

/// Which partial derivative of F.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConvKind {
    /// (x, w) to y: images [N, H, W, C_in] and weights [KH, KW, C_in / groups, C_out] to [N, OH, OW, C_out].
    Forward,
    /// (g, w) to x: the transposed convolution.
    InputGrad,
    /// (x, g) to w.
    WeightGrad,
}

impl ConvKind {
    /// Name, as in dumps.
    pub fn name(self) -> &'static str {
        match self {
            ConvKind::Forward => "conv2d",
            ConvKind::InputGrad => "conv2d_input_grad",
            ConvKind::WeightGrad => "conv2d_weight_grad",
        }
    }
}

/// Stride, padding, dilation and groups of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvOptions {
    /// Steps along height and width.
    pub stride: [usize; 2],
    /// Zeros above and left.
    pub pad_low: [usize; 2],
    /// Zeros below and right.
    pub pad_high: [usize; 2],
    /// Distance between taps.
    pub dilation: [usize; 2],
    /// Channel groups; equal to the input channels for a depthwise convolution.
    pub groups: usize,
}

impl Default for ConvOptions {
    fn default() -> Self {
        Self { stride: [1; 2], pad_low: [0; 2], pad_high: [0; 2], dilation: [1; 2], groups: 1 }
    }
}

impl ConvOptions {
    /// The same stride on both axes.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = [stride; 2];
        self
    }
    /// The same padding on all four sides.
    pub fn pad(mut self, pad: usize) -> Self {
        (self.pad_low, self.pad_high) = ([pad; 2], [pad; 2]);
        self
    }
    /// Padding before and after, the same on both axes.
    pub fn pad_asymmetric(mut self, low: usize, high: usize) -> Self {
        (self.pad_low, self.pad_high) = ([low; 2], [high; 2]);
        self
    }
    /// The same dilation on both axes.
    pub fn dilation(mut self, dilation: usize) -> Self {
        self.dilation = [dilation; 2];
        self
    }
    /// Channel groups.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }
}

/// A convolution's geometry at fixed input size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvGeometry {
    /// Height and width of the input image.
    pub input: [usize; 2],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Stride, padding, dilation and groups.
    pub options: ConvOptions,
}

impl ConvGeometry {
    /// Height and width of the output, or why there is none.
    pub fn output(&self) -> Result<[usize; 2], String> {
        let o = &self.options;
        let mut out = [0; 2];
        for i in 0..2 {
            if o.stride[i] == 0 || o.dilation[i] == 0 || self.kernel[i] == 0 || o.groups == 0 {
                return Err("stride, dilation, kernel size and groups must be at least 1".into());
            }
            let reach = (self.kernel[i] - 1) * o.dilation[i] + 1;
            let padded = self.input[i] + o.pad_low[i] + o.pad_high[i];
            if padded < reach {
                return Err(format!(
                    "a kernel reaching over {reach} pixels does not fit into {} (padding included)",
                    padded
                ));
            }
            out[i] = (padded - reach) / o.stride[i] + 1;
        }
        Ok(out)
    }

    /// Shape of the weights for the given channels.
    fn weight(&self, c_in: usize, c_out: usize) -> Vec<usize> {
        vec![self.kernel[0], self.kernel[1], c_in / self.options.groups, c_out]
    }
}

fn check_groups(geometry: &ConvGeometry, c_in: usize, c_out: usize) -> Result<(), String> {
    let groups = geometry.options.groups;
    if groups == 0 || !c_in.is_multiple_of(groups) || !c_out.is_multiple_of(groups) {
        return Err(format!("{c_in} input and {c_out} output channels do not divide into {groups} groups"));
    }
    Ok(())
}

pub(super) fn infer(
    kind: ConvKind,
    geometry: &ConvGeometry,
    inputs: &[&TensorType],
) -> Result<TensorType, String> {
    let [a, b] = operands(inputs)?;
    if a.rank() != 4 || b.rank() != 4 {
        return Err(format!("operands need four axes, got {a} and {b}"));
    }
    if a.dtype != b.dtype || !a.dtype.is_float() {
        return Err(format!("operands must be floats of one type, got {a} and {b}"));
    }
    let [out_h, out_w] = geometry.output()?;
    let [in_h, in_w] = geometry.input;
    let image = |what: &str, t: &TensorType, h: usize, w: usize| {
        if t.shape[1..3] == [h, w] {
            Ok((t.shape[0], t.shape[3]))
        } else {
            Err(format!("{what} must be {h}x{w} pixels, got {t}"))
        }
    };
    let groups = geometry.options.groups;
    let shape = match kind {
        ConvKind::Forward => {
            let (n, c_in) = image("the input", a, in_h, in_w)?;
            let c_out = b.shape[3];
            if b.shape[2] * groups != c_in {
                return Err(format!(
                    "weight expects {} input channels, input has {c_in}",
                    b.shape[2] * groups
                ));
            }
            check_groups(geometry, c_in, c_out)?;
            if b.shape[..2] != geometry.kernel {
                return Err(format!("weight {b} is not {:?} taps", geometry.kernel));
            }
            vec![n, out_h, out_w, c_out]
        }
        ConvKind::InputGrad => {
            let (n, c_out) = image("the cotangent", a, out_h, out_w)?;
            if b.shape[3] != c_out {
                return Err(format!("weight has {} output channels, the cotangent {c_out}", b.shape[3]));
            }
            let c_in = b.shape[2] * groups;
            check_groups(geometry, c_in, c_out)?;
            if b.shape[..2] != geometry.kernel {
                return Err(format!("weight {b} is not {:?} taps", geometry.kernel));
            }
            vec![n, in_h, in_w, c_in]
        }
        ConvKind::WeightGrad => {
            let (n, c_in) = image("the input", a, in_h, in_w)?;
            let (m, c_out) = image("the cotangent", b, out_h, out_w)?;
            if n != m {
                return Err(format!("the input has {n} images, the cotangent {m}"));
            }
            check_groups(geometry, c_in, c_out)?;
            geometry.weight(c_in, c_out)
        }
    };
    Ok(TensorType::new(contract::ACCUMULATOR, shape))
}

pub(super) fn differentiate(kind: ConvKind, geometry: &ConvGeometry, rule: &mut Rule) {
    let (a, b) = (rule.input(0), rule.input(1));
    let c = contract::cotangent(rule, a.dtype());
    let conv = |kind, x: &crate::Tensor, y: &crate::Tensor| x.conv_triad(kind, *geometry, y);
    // Operands stand in the order of F(x, w, g) with the op's own argument left out; the cotangent takes its place.
    if rule.needs(0) {
        let given = match kind {
            ConvKind::Forward => conv(ConvKind::InputGrad, &c, &b),
            ConvKind::InputGrad => conv(ConvKind::Forward, &c, &b),
            ConvKind::WeightGrad => conv(ConvKind::InputGrad, &b, &c),
        };
        contract::give(rule, 0, given);
    }
    if rule.needs(1) {
        let given = match kind {
            ConvKind::Forward => conv(ConvKind::WeightGrad, &a, &c),
            ConvKind::InputGrad => conv(ConvKind::WeightGrad, &c, &a),
            ConvKind::WeightGrad => conv(ConvKind::Forward, &a, &c),
        };
        contract::give(rule, 1, given);
    }
}

pub(super) fn flops(kind: ConvKind, geometry: &ConvGeometry, inputs: &[&TensorType], ty: &TensorType) -> u64 {
    let (y, c_in) = match kind {
        ConvKind::Forward => (ty, inputs[0].shape[3]),
        ConvKind::InputGrad => (inputs[0], ty.shape[3]),
        ConvKind::WeightGrad => (inputs[1], inputs[0].shape[3]),
    };
    let taps = geometry.kernel[0] * geometry.kernel[1];
    2 * y.len() as u64 * (taps * c_in / geometry.options.groups) as u64
}

/// All three by the definition of F: one multiply-add for each (image, output pixel, tap, channel pair).
pub(super) fn evaluate(kind: ConvKind, geometry: &ConvGeometry, inputs: &[&Array], ty: &TensorType) -> Array {
    let (a, b) = (inputs[0], inputs[1]);
    let [out_h, out_w] = geometry.output().unwrap_or_else(|e| unreachable!("{e}"));
    let [in_h, in_w] = geometry.input;
    let o = &geometry.options;
    let (n, c_in, c_out) = match kind {
        ConvKind::Forward => (a.ty.shape[0], a.ty.shape[3], b.ty.shape[3]),
        ConvKind::InputGrad => (a.ty.shape[0], ty.shape[3], a.ty.shape[3]),
        ConvKind::WeightGrad => (a.ty.shape[0], a.ty.shape[3], b.ty.shape[3]),
    };
    let (ci, co) = (c_in / o.groups, c_out / o.groups);
    let (a, b) = (a.floats(), b.floats());
    let mut out = vec![0.0; ty.len()];
    for image in 0..n {
        for oy in 0..out_h {
            for ox in 0..out_w {
                for ky in 0..geometry.kernel[0] {
                    for kx in 0..geometry.kernel[1] {
                        let iy = (oy * o.stride[0] + ky * o.dilation[0]).wrapping_sub(o.pad_low[0]);
                        let ix = (ox * o.stride[1] + kx * o.dilation[1]).wrapping_sub(o.pad_low[1]);
                        if iy >= in_h || ix >= in_w {
                            continue;
                        }
                        let x = ((image * in_h + iy) * in_w + ix) * c_in;
                        let y = ((image * out_h + oy) * out_w + ox) * c_out;
                        let w = (ky * geometry.kernel[1] + kx) * ci * c_out;
                        for g in 0..o.groups {
                            for i in 0..ci {
                                for j in 0..co {
                                    let (xi, yi) = (x + g * ci + i, y + g * co + j);
                                    let wi = w + i * c_out + g * co + j;
                                    match kind {
                                        ConvKind::Forward => out[yi] += a[xi] * b[wi],
                                        ConvKind::InputGrad => out[xi] += a[yi] * b[wi],
                                        ConvKind::WeightGrad => out[wi] += a[xi] * b[yi],
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    Array::new(ty.clone(), Data::Float(out))
}
