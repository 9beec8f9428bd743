//! `projection`.

use crate::init::Init;
use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// The word.
pub struct Projection;

#[derive(Debug)]
struct Line {
    init: Init,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        layers::projection(scope, x, self.init)
    }
}

impl LayerWord for Projection {
    fn name(&self) -> &'static str {
        "projection"
    }
    fn doc(&self) -> &'static str {
        "a conditional discriminator's last layer: dense 1 and the product with a vector of the sample's class; images are \
         summed over their pixels first (Miyato, Koyama 2018)"
    }
    fn usage(&self) -> &'static str {
        "projection [init=INIT]"
    }
    fn example(&self) -> &'static str {
        "projection"
    }
    fn example_input(&self) -> &'static [usize] {
        &[7, 7, 64]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        Ok(Box::new(Line { init: arguments.init(Init::GlorotUniform)? }))
    }
}
