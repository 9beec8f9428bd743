//! `conv_transpose`.

use crate::init::Init;
use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers::{Activation, ConvTransposeLayer, conv_transpose};
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// The word.
pub struct ConvTranspose;

#[derive(Debug)]
struct Line {
    layer: ConvTransposeLayer,
    activation: Activation,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let _in = scope.enter();
        self.activation.apply(&conv_transpose(scope, x, self.layer))
    }
}

impl LayerWord for ConvTranspose {
    fn name(&self) -> &'static str {
        "conv_transpose"
    }
    fn doc(&self) -> &'static str {
        "transposed convolution, which enlarges images: (size - 1) stride - 2 pad + kernel + output_pad pixels, or \
         size stride with pad=same"
    }
    fn usage(&self) -> &'static str {
        "conv_transpose CHANNELS KERNEL [stride=N] [pad=N|same|valid] [output_pad=N] [groups=N] [no_bias] [init=INIT] \
         [ACTIVATION]"
    }
    fn example(&self) -> &'static str {
        "conv_transpose 64 4 stride=2 pad=1"
    }
    fn example_input(&self) -> &'static [usize] {
        &[7, 7, 128]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let channels = arguments.size("CHANNELS")?;
        let mut layer = ConvTransposeLayer::new(channels, arguments.size("KERNEL")?);
        layer.stride = arguments.size_option("stride", 1, 1)?;
        layer.padding = arguments.padding()?;
        layer.output_pad = arguments.size_option("output_pad", 0, 0)?;
        layer.groups = arguments.size_option("groups", 1, 1)?;
        layer.bias = !arguments.flag("no_bias");
        layer.init = arguments.init(Init::GlorotUniform)?;
        Ok(Box::new(Line { layer, activation: arguments.activation()? }))
    }
}
