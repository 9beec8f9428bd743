//! `dense`.

use crate::init::Init;
use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers::{Activation, DenseLayer, dense};
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// The word.
pub struct Dense;

#[derive(Debug)]
struct Line {
    layer: DenseLayer,
    activation: Activation,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let _in = scope.enter();
        self.activation.apply(&dense(scope, x, self.layer))
    }
}

impl LayerWord for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }
    fn doc(&self) -> &'static str {
        "every output from every input: x W + b"
    }
    fn usage(&self) -> &'static str {
        "dense UNITS [no_bias] [init=INIT] [ACTIVATION]"
    }
    fn example(&self) -> &'static str {
        "dense 128 relu"
    }
    fn example_input(&self) -> &'static [usize] {
        &[100]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let mut layer = DenseLayer::new(arguments.size("UNITS")?);
        layer.bias = !arguments.flag("no_bias");
        layer.init = arguments.init(Init::GlorotUniform)?;
        Ok(Box::new(Line { layer, activation: arguments.activation()? }))
    }
}
