//! The transposed convolution layer.

use super::conv::{describe, reach};
use super::{Padding, bias_init, images};
use crate::init::{FanRule, Init};
use crate::scope::Scope;
use ganymede_graph::{ConvOptions, Tensor};

/// Options of [`conv_transpose`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvTransposeLayer {
    /// Output channels.
    pub channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Upsampling factor along both axes.
    pub stride: usize,
    /// Pixels cut from the full result.
    pub padding: Padding,
    /// Further rows and columns at the far end; smaller than the stride.
    pub output_pad: usize,
    /// Channel groups.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// First value of the weights.
    pub init: Init,
}

impl ConvTransposeLayer {
    /// A square kernel with stride 1, no padding, a bias and Glorot's uniform weights.
    pub fn new(channels: usize, kernel: usize) -> Self {
        Self {
            channels,
            kernel: [kernel; 2],
            stride: 1,
            padding: Padding::Valid,
            output_pad: 0,
            groups: 1,
            bias: true,
            init: Init::GlorotUniform,
        }
    }
    /// Another stride.
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }
    /// The same number of pixels cut from all sides.
    pub fn pad(mut self, pad: usize) -> Self {
        self.padding = Padding::Each(pad);
        self
    }
    /// Another padding rule.
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }
    /// Without bias.
    pub fn no_bias(mut self) -> Self {
        self.bias = false;
        self
    }
    /// With weights drawn from `init`.
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Pixels of the output along one axis.
    fn output(&self, input: usize, kernel: usize) -> Result<usize, String> {
        if self.stride == 0 || kernel == 0 || input == 0 {
            return Err("stride, kernel and image must be at least 1".into());
        }
        if self.output_pad >= self.stride {
            return Err(format!(
                "output_pad must be smaller than the stride of {}, got {}",
                self.stride, self.output_pad
            ));
        }
        let cut = match self.padding {
            Padding::Same if self.output_pad > 0 => {
                return Err(
                    "pad=same fixes the output at stride times the input; leave output_pad out".into()
                );
            }
            Padding::Same => return Ok(input.saturating_mul(self.stride)),
            Padding::Valid => 0,
            Padding::Each(n) => n.saturating_mul(2),
        };
        let full =
            (input - 1).saturating_mul(self.stride).saturating_add(kernel).saturating_add(self.output_pad);
        match full.checked_sub(cut) {
            Some(size) if size > 0 => Ok(size),
            _ => Err(format!("padding cuts {cut} of {full} pixels: nothing is left")),
        }
    }
}

/// Transposed convolution of images [N, H, W, C] to [N, H', W', channels], the input gradient of the convolution that
/// maps [H', W', channels] to [H, W, C]:
/// H' = (H - 1) stride - 2 pad + kernel + output_pad (PyTorch's formula), or H stride with `Padding::Same`.
/// Parameters are `weight` [KH, KW, channels / groups, C], stored as that convolution's, and `bias` `[channels]`.
#[track_caller]
pub fn conv_transpose(scope: &Scope, x: &Tensor, layer: ConvTransposeLayer) -> Tensor {
    let _in = scope.enter();
    let graph = scope.graph();
    let [_, h, w, c] = match images(scope, "conv_transpose", x) {
        Ok(shape) => shape,
        Err(poisoned) => return poisoned,
    };
    let ConvTransposeLayer { channels, kernel, stride, padding, groups, bias, init, .. } = layer;
    if groups == 0 || !c.is_multiple_of(groups) || !channels.is_multiple_of(groups) {
        let message = format!("{c} input and {channels} output channels do not divide into {groups} groups");
        return graph.fail("conv_transpose", message);
    }
    let output = match (layer.output(h, kernel[0]), layer.output(w, kernel[1])) {
        (Ok(height), Ok(width)) => [height, width],
        (Err(message), _) | (_, Err(message)) => return graph.fail("conv_transpose", message),
    };
    let vertical = padding.resolve(output[0], reach(kernel[0], 1), stride);
    let horizontal = padding.resolve(output[1], reach(kernel[1], 1), stride);
    let options = ConvOptions {
        stride: [stride; 2],
        pad_low: [vertical.0, horizontal.0],
        pad_high: [vertical.1, horizontal.1],
        dilation: [1; 2],
        groups,
    };
    let shape = [kernel[0], kernel[1], channels / groups, c];
    let weight = scope.weight("weight", &shape, init, FanRule::Transposed);
    let mut y = x.conv2d_transposed(&weight, options, output);
    if bias {
        // The fan-in that PyTorch's default counts for the weights, so for the bias.
        let fan_in = kernel[0].saturating_mul(kernel[1]).saturating_mul(channels / groups);
        y = y + scope.param("bias", &[channels], bias_init(init, fan_in));
    }
    scope.record_layer(&format!("conv_transpose {}", describe(channels, kernel, stride, groups)), &y);
    y
}
