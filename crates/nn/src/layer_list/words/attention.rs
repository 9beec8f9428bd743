//! `attention`.

use crate::init::Init;
use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// The word.
pub struct Attention;

#[derive(Debug)]
struct Line {
    init: Init,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        layers::attention(scope, x, self.init)
    }
}

impl LayerWord for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }
    fn doc(&self) -> &'static str {
        "adds to each pixel a mean over all pixels, weighted by how well they go with it, times a factor that begins at 0 \
         (Zhang et al. 2019, SAGAN)"
    }
    fn usage(&self) -> &'static str {
        "attention [init=INIT]"
    }
    fn example(&self) -> &'static str {
        "attention"
    }
    fn example_input(&self) -> &'static [usize] {
        &[14, 14, 32]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        Ok(Box::new(Line { init: arguments.init(Init::GlorotUniform)? }))
    }
}
