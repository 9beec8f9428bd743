//! `concat_label`.

use crate::init::Init;
use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// The word.
pub struct ConcatLabel;

#[derive(Debug)]
struct Line {
    embedding: Option<(usize, Init)>,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        layers::concat_label(scope, x, self.embedding)
    }
}

impl LayerWord for ConcatLabel {
    fn name(&self) -> &'static str {
        "concat_label"
    }
    fn doc(&self) -> &'static str {
        "appends the class, as 1 at its place or as a learned vector of WIDTH values, to vectors or, as planes, to images \
         (Mirza, Osindero 2014, conditional GAN)"
    }
    fn usage(&self) -> &'static str {
        "concat_label [WIDTH] [init=INIT]"
    }
    fn example(&self) -> &'static str {
        "concat_label 16"
    }
    fn example_input(&self) -> &'static [usize] {
        &[100]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let width = arguments.optional_size("WIDTH")?;
        let embedding = match width {
            Some(width) => Some((width, arguments.init(Init::Normal { mean: 0.0, std: 1.0 })?)),
            None => None,
        };
        Ok(Box::new(Line { embedding }))
    }
}
