//! The convolution layer.

use super::{Padding, bias_init, images};
use crate::init::{FanRule, Init};
use crate::scope::Scope;
use ganymede_graph::{ConvOptions, Tensor};

/// Options of [`conv`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvLayer {
    /// Output channels.
    pub channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step along both axes.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: Padding,
    /// Distance between taps.
    pub dilation: usize,
    /// Channel groups.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// First value of the weights.
    pub init: Init,
}

impl ConvLayer {
    /// A square kernel with stride 1, no padding, a bias and Glorot's uniform weights.
    pub fn new(channels: usize, kernel: usize) -> Self {
        Self {
            channels,
            kernel: [kernel; 2],
            stride: 1,
            padding: Padding::Valid,
            dilation: 1,
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
    /// The same number of zeros on all sides.
    pub fn pad(mut self, pad: usize) -> Self {
        self.padding = Padding::Each(pad);
        self
    }
    /// Another padding rule.
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }
    /// Channel groups.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
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
}

/// `64 5x5 stride 2 groups 4`.
pub(super) fn describe(channels: usize, kernel: [usize; 2], stride: usize, groups: usize) -> String {
    let mut out = format!("{channels} {}x{}", kernel[0], kernel[1]);
    if stride != 1 {
        out.push_str(&format!(" stride {stride}"));
    }
    if groups != 1 {
        out.push_str(&format!(" groups {groups}"));
    }
    out
}

/// Pixels over which the taps reach.
pub(super) fn reach(kernel: usize, dilation: usize) -> usize {
    kernel.saturating_sub(1).saturating_mul(dilation).saturating_add(1)
}

/// Convolution of images [N, H, W, C] to [N, H', W', channels], H' = (H + before + after - reach) / stride + 1 rounded
/// down, reach = (kernel - 1) dilation + 1; with `weight` [KH, KW, C / groups, channels] and `bias` `[channels]`.
#[track_caller]
pub fn conv(scope: &Scope, x: &Tensor, layer: ConvLayer) -> Tensor {
    let _in = scope.enter();
    let [_, h, w, c] = match images(scope, "conv", x) {
        Ok(shape) => shape,
        Err(poisoned) => return poisoned,
    };
    let ConvLayer { channels, kernel, stride, padding, dilation, groups, bias, init } = layer;
    if groups == 0 || !c.is_multiple_of(groups) || !channels.is_multiple_of(groups) {
        let message = format!("{c} input and {channels} output channels do not divide into {groups} groups");
        return scope.graph().fail("conv", message);
    }
    let vertical = padding.resolve(h, reach(kernel[0], dilation), stride);
    let horizontal = padding.resolve(w, reach(kernel[1], dilation), stride);
    let options = ConvOptions {
        stride: [stride; 2],
        pad_low: [vertical.0, horizontal.0],
        pad_high: [vertical.1, horizontal.1],
        dilation: [dilation; 2],
        groups,
    };
    let shape = [kernel[0], kernel[1], c / groups, channels];
    let weight = scope.weight("weight", &shape, init, FanRule::Forward);
    let mut y = x.conv2d(&weight, options);
    if bias {
        let fan_in = kernel[0].saturating_mul(kernel[1]).saturating_mul(c / groups);
        y = y + scope.param("bias", &[channels], bias_init(init, fan_in));
    }
    scope.record_layer(&format!("conv {}", describe(channels, kernel, stride, groups)), &y);
    y
}
