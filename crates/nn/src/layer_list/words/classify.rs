//! `classify`.

use crate::init::Init;
use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// The word.
pub struct Classify;

#[derive(Debug)]
struct Line {
    init: Init,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        layers::classifier(scope, x, self.init)
    }
}

impl LayerWord for Classify {
    fn name(&self) -> &'static str {
        "classify"
    }
    fn doc(&self) -> &'static str {
        "a classifier beside the logit, on what the layers above made of a sample, which goes on as it is; `dense 1` \
         follows (Odena, Olah, Shlens 2017, AC-GAN)"
    }
    fn usage(&self) -> &'static str {
        "classify [init=INIT]"
    }
    fn example(&self) -> &'static str {
        "classify"
    }
    fn example_input(&self) -> &'static [usize] {
        &[128]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        Ok(Box::new(Line { init: arguments.init(Init::GlorotUniform)? }))
    }
}
