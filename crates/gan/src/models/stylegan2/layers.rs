//! What both networks are made of.

use ganymede_graph::{ConvOptions, Tensor};
use ganymede_nn::layers::{fir_blur, fir_downsample, fir_upsample};
use ganymede_nn::{FanRule, Init, Scope, WeightRule};

const SLOPE: f64 = 0.2;

/// leaky ReLU times `gain` sqrt 2, so that a unit variance is kept (nearly: the exact factor is sqrt(2 / 1.04)).
pub(super) fn activate(x: &Tensor, gain: f64) -> Tensor {
    x.leaky_relu(SLOPE) * (std::f64::consts::SQRT_2 * gain)
}

/// x over the root mean square of each row.
pub(super) fn normalize(x: &Tensor) -> Tensor {
    let rows = x.shape().first().copied().unwrap_or(0);
    let mean = x.square().mean(&[1]).reshape(&[rows, 1]);
    x * (mean + 1e-8).rsqrt()
}

/// A dense layer whose weights and bias learn at `rate` of the learning rate; the bias begins at `bias`.
pub(super) fn dense(scope: &Scope, name: &str, x: &Tensor, units: usize, rate: f64, bias: f64) -> Tensor {
    let scope = scope.child(name).with_rule(WeightRule::Equalized { rate });
    let _at = scope.enter();
    let inputs = x.shape().last().copied().unwrap_or(0);
    let init = WeightRule::equalized_init(rate);
    let weight = scope.weight("weight", &[inputs, units], init, FanRule::Forward);
    let bias = scope.param("bias", &[units], Init::Constant(bias));
    let y = x.matmul(&weight) + if rate == 1.0 { bias } else { bias * rate };
    scope.record_layer(&format!("dense {units}"), &y);
    y
}

/// The class of each sample as a dense layer of its one-hot vector, normalized: `[batch, width]`.
pub(super) fn embed(scope: &Scope, labels: &ganymede_nn::ClassLabels, width: usize) -> Tensor {
    let scope = scope.child("embedding");
    let _at = scope.enter();
    let init = WeightRule::equalized_init(1.0);
    let table = scope.table("weight", [labels.classes, width], init);
    let embedded = table.gather(&labels.index, 0) + scope.param("bias", &[width], Init::Zeros);
    scope.record_layer(&format!("embedding {} x {width}", labels.classes), &embedded);
    normalize(&embedded)
}

/// A convolution that keeps the sides or changes them by a factor of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sides {
    Keep,
    Double,
    Halve,
}

/// A square convolution without bias and activation.
pub(super) fn conv(scope: &Scope, x: &Tensor, c_out: usize, size: usize, sides: Sides) -> Tensor {
    let c_in = x.shape().last().copied().unwrap_or(0);
    let weight = |fans| {
        let shape = match fans {
            FanRule::Forward => [size, size, c_in, c_out],
            FanRule::Transposed => [size, size, c_out, c_in],
        };
        scope.weight("weight", &shape, WeightRule::equalized_init(1.0), fans)
    };
    convolved(scope, x, &weight, size, sides)
}

/// `x` convolved by the weight as forward and transposed convolutions store it. Doubling: zeros between the pixels,
/// convolution, filter; halving: filter, every second place of the convolution. A 1x1 convolution commutes with the filter
/// and is done where there are fewer pixels.
fn convolved(
    scope: &Scope,
    x: &Tensor,
    weight: &dyn Fn(FanRule) -> Tensor,
    size: usize,
    sides: Sides,
) -> Tensor {
    let plain = |x: &Tensor| x.conv2d(&weight(FanRule::Forward), ConvOptions::default().pad(size / 2));
    match (sides, size) {
        (Sides::Keep, _) => plain(x),
        (Sides::Double, 1) => fir_upsample(scope, &plain(x)),
        (Sides::Halve, 1) => plain(&fir_downsample(scope, x)),
        (Sides::Double, _) => {
            let [height, width] = match x.shape()[..] {
                [_, h, w, _] => [(h - 1) * 2 + size, (w - 1) * 2 + size],
                _ => return x.clone(),
            };
            let spread = x.conv2d_transposed(
                &weight(FanRule::Transposed),
                ConvOptions::default().stride(2),
                [height, width],
            );
            // Of 2H + size - 2 pixels 2H are left; the zeros between pixels take three quarters of the sum.
            fir_blur(scope, &spread, 2 - size / 2, 4.0)
        }
        (Sides::Halve, _) => {
            let blurred = fir_blur(scope, x, 1 + size / 2, 1.0);
            blurred.conv2d(&weight(FanRule::Forward), ConvOptions::default().stride(2))
        }
    }
}

/// A square convolution whose input channels are scaled by a style `[batch, C_in]`: image n is convolved by s_n w. With
/// `demodulate` each of its outputs is divided by the norm of what it was convolved by, sqrt(sum over taps and inputs of
/// (s w)^2), so that an input of unit variance gives such an output (StyleGAN2, equations 1 and 3). Scaling the images in
/// front and behind keeps the weights one for the whole batch.
pub(super) fn modulated_conv(
    scope: &Scope,
    x: &Tensor,
    style: &Tensor,
    c_out: usize,
    size: usize,
    sides: Sides,
    demodulate: bool,
) -> Tensor {
    let (shape, style_shape) = (x.shape(), style.shape());
    let (&[n, .., c_in], &[_, inputs]) = (&shape[..], &style_shape[..]) else { return x.clone() };
    if c_in != inputs {
        let message = format!("styles {} do not fit images {}", style.ty(), x.ty());
        return scope.graph().fail("modulated_conv", message);
    }
    let scaled = x * style.reshape(&[n, 1, 1, c_in]);
    // Demodulation takes the weights' size out, so they need no equalizing.
    let plain = scope.with_rule(WeightRule::Plain);
    let transposed = sides == Sides::Double && size > 1;
    let (fans, stored) = match transposed {
        true => (FanRule::Transposed, [size, size, c_out, c_in]),
        false => (FanRule::Forward, [size, size, c_in, c_out]),
    };
    let weight = plain.weight("weight", &stored, WeightRule::equalized_init(1.0), fans);
    let y = convolved(scope, &scaled, &|_| weight.clone(), size, sides);
    if !demodulate {
        return y;
    }
    let squares = weight.square().sum(&[0, 1]);
    let squared = style.square().matmul_with(&squares, false, transposed);
    y * (squared + 1e-8).rsqrt().reshape(&[n, 1, 1, c_out])
}
