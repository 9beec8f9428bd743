//! Max pooling as three ops: which element of a window is the largest, and the gather and scatter by that choice,
//! which are transposes of each other and so each other's gradient.

use super::operands;
use crate::array::{Array, Data};
use crate::grad::Rule;
use crate::types::{DType, TensorType};

/// The members of the family. Indices count pixels of the input plane, h * W + w; gather and scatter clamp them into
/// 0..H * W.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// x [N, H, W, C] to i32 [N, OH, OW, C]: the first maximum of each window; padding never wins, NaN does.
    ArgMax,
    /// (x [N, H, W, C], index [N, OH, OW, C]) to [N, OH, OW, C].
    Gather,
    /// (g [N, OH, OW, C], index) to [N, H, W, C], adding where windows overlap.
    Scatter,
}

impl WindowKind {
    /// Name, as in dumps.
    pub fn name(self) -> &'static str {
        match self {
            WindowKind::ArgMax => "window_argmax",
            WindowKind::Gather => "window_gather",
            WindowKind::Scatter => "window_scatter",
        }
    }
}

/// Pooling windows over an image of fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowGeometry {
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of a window.
    pub window: [usize; 2],
    /// Steps.
    pub stride: [usize; 2],
    /// Padding above and left; smaller than the window.
    pub pad_low: [usize; 2],
    /// Padding below and right; smaller than the window.
    pub pad_high: [usize; 2],
}

impl WindowGeometry {
    /// Height and width of the output, or why there is none.
    pub fn output(&self) -> Result<[usize; 2], String> {
        let mut out = [0; 2];
        for i in 0..2 {
            let (window, stride) = (self.window[i], self.stride[i]);
            if window == 0 || stride == 0 || self.input[i] == 0 {
                return Err("window, stride and input must be at least 1".into());
            }
            if self.pad_low[i] >= window || self.pad_high[i] >= window {
                return Err(format!("padding must be smaller than the window of {window}"));
            }
            let padded = self.input[i] + self.pad_low[i] + self.pad_high[i];
            if padded < window {
                return Err(format!("a window of {window} does not fit into {padded} (padding included)"));
            }
            out[i] = (padded - window) / stride + 1;
            if (out[i] - 1) * stride >= self.input[i] + self.pad_low[i] {
                return Err("the last window would lie in the padding alone".into());
            }
        }
        Ok(out)
    }
}

pub(super) fn infer(
    kind: WindowKind,
    geometry: &WindowGeometry,
    inputs: &[&TensorType],
) -> Result<TensorType, String> {
    let [out_h, out_w] = geometry.output()?;
    let [in_h, in_w] = geometry.input;
    let check = |what: &str, t: &TensorType, h: usize, w: usize| {
        if t.rank() == 4 && t.shape[1..3] == [h, w] {
            Ok((t.shape[0], t.shape[3]))
        } else {
            Err(format!("{what} must be [N, {h}, {w}, C], got {t}"))
        }
    };
    let index_type = |t: &TensorType, n: usize, c: usize| {
        if *t == TensorType::new(DType::I32, [n, out_h, out_w, c]) {
            Ok(())
        } else {
            Err(format!("the index must be i32[{n}, {out_h}, {out_w}, {c}], got {t}"))
        }
    };
    match kind {
        WindowKind::ArgMax => {
            let [x] = operands(inputs)?;
            let (n, c) = check("the input", x, in_h, in_w)?;
            if !x.dtype.is_float() {
                return Err(format!("is not defined on {}", x.dtype));
            }
            Ok(TensorType::new(DType::I32, [n, out_h, out_w, c]))
        }
        WindowKind::Gather => {
            let [x, index] = operands(inputs)?;
            let (n, c) = check("the input", x, in_h, in_w)?;
            index_type(index, n, c)?;
            Ok(TensorType::new(x.dtype, [n, out_h, out_w, c]))
        }
        WindowKind::Scatter => {
            let [g, index] = operands(inputs)?;
            let (n, c) = check("the operand", g, out_h, out_w)?;
            index_type(index, n, c)?;
            if !g.dtype.is_float() {
                return Err(format!("is not defined on {}", g.dtype));
            }
            Ok(TensorType::new(g.dtype, [n, in_h, in_w, c]))
        }
    }
}

/// With the choice held fixed, gather and scatter are linear and transposes of each other.
pub(super) fn differentiate(kind: WindowKind, geometry: &WindowGeometry, rule: &mut Rule) {
    match kind {
        WindowKind::ArgMax => rule.no_gradient("integer output"),
        WindowKind::Gather if !rule.cotangent().dtype().is_float() => rule.no_gradient("discrete operand"),
        WindowKind::Gather => {
            let index = rule.input(1);
            rule.give(0, rule.cotangent().window(WindowKind::Scatter, *geometry, Some(&index)));
        }
        WindowKind::Scatter => {
            let index = rule.input(1);
            rule.give(0, rule.cotangent().window(WindowKind::Gather, *geometry, Some(&index)));
        }
    }
}

pub(super) fn evaluate(
    kind: WindowKind,
    geometry: &WindowGeometry,
    inputs: &[&Array],
    ty: &TensorType,
) -> Array {
    let [out_h, out_w] = geometry.output().unwrap_or_else(|e| unreachable!("{e}"));
    let [in_h, in_w] = geometry.input;
    let c = ty.shape[3];
    let plane = in_h * in_w * c;
    let pixel = |index: i32| (index.max(0) as usize).min(in_h * in_w - 1);
    match kind {
        WindowKind::ArgMax => {
            let x = inputs[0].floats();
            let mut out = Vec::with_capacity(ty.len());
            for at in 0..ty.len() {
                let (n, oy, ox, ch) =
                    (at / (out_h * out_w * c), at / (out_w * c) % out_h, at / c % out_w, at % c);
                let mut best: Option<(usize, f64)> = None;
                for ky in 0..geometry.window[0] {
                    for kx in 0..geometry.window[1] {
                        let iy = (oy * geometry.stride[0] + ky).wrapping_sub(geometry.pad_low[0]);
                        let ix = (ox * geometry.stride[1] + kx).wrapping_sub(geometry.pad_low[1]);
                        if iy >= in_h || ix >= in_w {
                            continue;
                        }
                        let pixel = iy * in_w + ix;
                        let value = x[n * plane + pixel * c + ch];
                        if best.is_none_or(|(_, b)| value > b || (value.is_nan() && !b.is_nan())) {
                            best = Some((pixel, value));
                        }
                    }
                }
                out.push(best.map_or(0, |(pixel, _)| pixel as i32));
            }
            Array::new(ty.clone(), Data::I32(out))
        }
        WindowKind::Gather => {
            let index = inputs[1].i32s();
            let per_image = out_h * out_w * c;
            let from = |at: usize| at / per_image * plane + pixel(index[at]) * c + at % c;
            Array::new(ty.clone(), inputs[0].data.gather((0..ty.len()).map(from)))
        }
        WindowKind::Scatter => {
            let (g, index) = (inputs[0].floats(), inputs[1].i32s());
            let per_image = out_h * out_w * c;
            let mut out = vec![0.0; ty.len()];
            for (at, &value) in g.iter().enumerate() {
                out[at / per_image * plane + pixel(index[at]) * c + at % c] += value;
            }
            Array::new(ty.clone(), Data::Float(out))
        }
    }
}
