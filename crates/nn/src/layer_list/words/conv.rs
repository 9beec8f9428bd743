//! `conv`.

use crate::init::Init;
use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers::{Activation, ConvLayer, conv};
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// The word.
pub struct Conv;

#[derive(Debug)]
struct Line {
    layer: ConvLayer,
    activation: Activation,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let _in = scope.enter();
        self.activation.apply(&conv(scope, x, self.layer))
    }
}

impl LayerWord for Conv {
    fn name(&self) -> &'static str {
        "conv"
    }
    fn doc(&self) -> &'static str {
        "convolution of images; pad=same keeps ceil(size / stride) pixels as in TensorFlow, pad=N puts N zeros on each \
         side, without it there are none"
    }
    fn usage(&self) -> &'static str {
        "conv CHANNELS KERNEL [stride=N] [pad=N|same|valid] [dilation=N] [groups=N] [no_bias] [init=INIT] [ACTIVATION]"
    }
    fn example(&self) -> &'static str {
        "conv 64 5 stride=2 pad=same leaky_relu=0.2 init=normal:0.02 no_bias"
    }
    fn example_input(&self) -> &'static [usize] {
        &[28, 28, 1]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let channels = arguments.size("CHANNELS")?;
        let mut layer = ConvLayer::new(channels, arguments.size("KERNEL")?);
        layer.stride = arguments.size_option("stride", 1, 1)?;
        layer.padding = arguments.padding()?;
        layer.dilation = arguments.size_option("dilation", 1, 1)?;
        layer.groups = arguments.size_option("groups", 1, 1)?;
        layer.bias = !arguments.flag("no_bias");
        layer.init = arguments.init(Init::GlorotUniform)?;
        Ok(Box::new(Line { layer, activation: arguments.activation()? }))
    }
}
