//! The convolution triad by its definition: plain loops, f64 sums. The scalar twins of the kernels.
//!
//! All three are partial derivatives of `F(x, w, g) = sum over (output, tap, channel) of x * w * g`, so all three
//! walk the same terms.

use super::ConvShape;

/// Calls `visit(x index, w index, y index)` for every product of the convolution that meets the image.
fn for_each_term(shape: &ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    let (oh, ow) = (shape.out_h(), shape.out_w());
    let (in_group, out_group) = (shape.in_group(), shape.out_group());
    let [kh, kw] = shape.kernel;
    for n in 0..shape.batch {
        for oy in 0..oh {
            for ox in 0..ow {
                for ky in 0..kh {
                    let Some(iy) = source(shape, 0, oy, ky) else { continue };
                    for kx in 0..kw {
                        let Some(ix) = source(shape, 1, ox, kx) else { continue };
                        for oc in 0..shape.out_c {
                            let y = ((n * oh + oy) * ow + ox) * shape.out_c + oc;
                            for ic in 0..in_group {
                                let c = oc / out_group * in_group + ic;
                                let x = ((n * shape.in_h + iy) * shape.in_w + ix) * shape.in_c + c;
                                let w = ((ky * kw + kx) * in_group + ic) * shape.out_c + oc;
                                visit(x, w, y);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The input coordinate under tap `k` of output `o`, or `None` in the padding.
fn source(shape: &ConvShape, axis: usize, o: usize, k: usize) -> Option<usize> {
    let at = o * shape.stride[axis] + k * shape.dilation[axis];
    at.checked_sub(shape.pad_low[axis]).filter(|&i| i < [shape.in_h, shape.in_w][axis])
}

/// `y = conv(x, w)`.
pub fn conv_forward(shape: &ConvShape, x: &[f32], w: &[f32]) -> Vec<f64> {
    let mut y = vec![0.0; shape.output_words()];
    for_each_term(shape, |xi, wi, yi| y[yi] += f64::from(x[xi]) * f64::from(w[wi]));
    y
}

/// `dx`, the gradient of `<conv(x, w), dy>` with respect to `x`.
pub fn conv_input_grad(shape: &ConvShape, dy: &[f32], w: &[f32]) -> Vec<f64> {
    let mut dx = vec![0.0; shape.input_words()];
    for_each_term(shape, |xi, wi, yi| dx[xi] += f64::from(dy[yi]) * f64::from(w[wi]));
    dx
}

/// `dw`, the gradient of `<conv(x, w), dy>` with respect to `w`.
pub fn conv_weight_grad(shape: &ConvShape, x: &[f32], dy: &[f32]) -> Vec<f64> {
    let mut dw = vec![0.0; shape.weight_words()];
    for_each_term(shape, |xi, wi, yi| dw[wi] += f64::from(x[xi]) * f64::from(dy[yi]));
    dw
}
