//! Styles to images.

use super::super::Options;
use super::super::sizes::Doubling;
use super::channels;
use super::layers::{Sides, activate, conv, dense, modulated_conv};
use ganymede_graph::Tensor;
use ganymede_nn::layers::fir_upsample;
use ganymede_nn::{Init, Scope};
use std::f64::consts::FRAC_1_SQRT_2;

/// Styles `[batch, layers, width]`, handed out one by one.
struct Styles<'a> {
    all: &'a Tensor,
    next: usize,
}

impl Styles<'_> {
    fn at(&self, layer: usize) -> Tensor {
        let shape = self.all.shape();
        self.all.slice(1, layer, layer + 1).reshape(&[shape[0], shape[2]])
    }

    fn take(&mut self) -> Tensor {
        self.next += 1;
        self.at(self.next - 1)
    }

    /// An image is made with the style of the next convolution, which it shares with it.
    fn peek(&self) -> Tensor {
        self.at(self.next)
    }
}

/// Images `[batch, H, W, channels]`, not bounded.
pub(super) fn image(
    scope: &Scope,
    styles: &Tensor,
    doubling: Doubling,
    image_channels: usize,
    options: &Options,
) -> Tensor {
    let scope = &scope.child("synthesis");
    let (shape, count) = (styles.shape(), 2 * doubling.count + 2);
    if styles.is_poisoned() || shape.len() != 3 || shape[1] != count {
        let message = format!("expected styles [N, {count}, width], got {}", styles.ty());
        return scope.graph().fail("synthesis", message);
    }
    let mut styles = Styles { all: styles, next: 0 };
    let residual = options.number("residual_generator") == 1;
    let mut x = {
        let constant = [doubling.base[0], doubling.base[1], channels(options, 0)];
        let one = scope.param("constant", &constant, Init::Normal { mean: 0.0, std: 1.0 });
        one.broadcast_axes(&[shape[0], constant[0], constant[1], constant[2]], &[1, 2, 3])
    };
    let mut sum: Option<Tensor> = None;
    for level in 0..=doubling.count {
        let stage = scope.child(&format!("stage{level}"));
        let _at = stage.enter();
        let width = channels(options, level);
        if level > 0 {
            let beside = residual.then(|| {
                let scope = stage.child("beside");
                let y = conv(&scope, &x, width, 1, Sides::Double) * FRAC_1_SQRT_2;
                scope.record_layer(&format!("conv {width} 1x1 double"), &y);
                y
            });
            let gain = if residual { FRAC_1_SQRT_2 } else { 1.0 };
            x = styled(
                &stage,
                "conv0",
                &x,
                &styles.take(),
                Styled { width, sides: Sides::Double, gain: 1.0 },
                options,
            );
            x = styled(
                &stage,
                "conv1",
                &x,
                &styles.take(),
                Styled { width, sides: Sides::Keep, gain },
                options,
            );
            x = beside.map_or_else(|| x.clone(), |beside| &x + beside);
        } else {
            x = styled(
                &stage,
                "conv1",
                &x,
                &styles.take(),
                Styled { width, sides: Sides::Keep, gain: 1.0 },
                options,
            );
        }
        let larger = sum.map(|image| fir_upsample(&stage, &image));
        sum = if !residual || level == doubling.count {
            let image = to_image(&stage, &x, &styles.peek(), image_channels);
            Some(larger.map_or_else(|| image.clone(), |larger| larger + &image))
        } else {
            larger
        };
    }
    sum.unwrap_or(x)
}

/// A layer of [`styled`].
struct Styled {
    width: usize,
    sides: Sides,
    /// Factor behind the activation.
    gain: f64,
}

/// A modulated 3x3 convolution of its own style, noise, bias and leaky ReLU.
fn styled(scope: &Scope, name: &str, x: &Tensor, w: &Tensor, layer: Styled, options: &Options) -> Tensor {
    let Styled { width, sides, gain } = layer;
    let scope = scope.child(name);
    let _at = scope.enter();
    let c_in = x.shape().last().copied().unwrap_or(0);
    let style = dense(&scope, "style", w, c_in, 1.0, 1.0);
    let mut y = modulated_conv(&scope, x, &style, width, 3, sides, true);
    if options.number("noise") == 1 {
        y = y.clone() + noise(&scope, &y) * scope.param("noise_strength", &[1], Init::Zeros);
    }
    let y = activate(&(y + scope.param("bias", &[width], Init::Zeros)), gain);
    scope.record_layer(&format!("modulated conv {width} 3x3"), &y);
    y
}

/// Noise `[batch, H, W, 1]` for `y` from the random words of the samples, or where there are none the fixed noise that the
/// checkpoint keeps.
fn noise(scope: &Scope, y: &Tensor) -> Tensor {
    let shape = y.shape();
    let &[n, h, w, _] = &shape[..] else { return y.clone() };
    let fixed = scope.buffer("noise", &[h, w, 1], Init::Normal { mean: 0.0, std: 1.0 });
    match &scope.mode().random {
        Some(random) => random.normal(scope.graph(), &format!("{}/noise", scope.path()), &[n, h, w, 1]),
        None => fixed.reshape(&[1, h, w, 1]),
    }
}

/// A modulated 1x1 convolution to the channels of the image, without demodulation.
fn to_image(scope: &Scope, x: &Tensor, w: &Tensor, channels: usize) -> Tensor {
    let scope = scope.child("image");
    let _at = scope.enter();
    let c_in = x.shape().last().copied().unwrap_or(1);
    let style = dense(&scope, "style", w, c_in, 1.0, 1.0) * (1.0 / (c_in as f64).sqrt());
    let y = modulated_conv(&scope, x, &style, channels, 1, Sides::Keep, false);
    let y = y + scope.param("bias", &[channels], Init::Zeros);
    scope.record_layer(&format!("modulated conv {channels} 1x1"), &y);
    y
}
