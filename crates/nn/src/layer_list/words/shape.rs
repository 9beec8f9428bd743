//! `flatten` and `reshape`.

use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// `flatten`.
pub struct Flatten;
/// `reshape`.
pub struct Reshape;

#[derive(Debug)]
enum Line {
    Flatten,
    Reshape(Vec<usize>),
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        match self {
            Line::Flatten => layers::flatten(scope, x),
            Line::Reshape(shape) => layers::reshape(scope, x, shape),
        }
    }
}

impl LayerWord for Flatten {
    fn name(&self) -> &'static str {
        "flatten"
    }
    fn doc(&self) -> &'static str {
        "images to vectors, as a dense layer takes them"
    }
    fn usage(&self) -> &'static str {
        "flatten"
    }
    fn example(&self) -> &'static str {
        "flatten"
    }
    fn example_input(&self) -> &'static [usize] {
        &[7, 7, 64]
    }
    fn parse(&self, _: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        Ok(Box::new(Line::Flatten))
    }
}

impl LayerWord for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }
    fn doc(&self) -> &'static str {
        "the same values in another shape, which leaves out the batch: vectors of 784 to images of 28 28 1"
    }
    fn usage(&self) -> &'static str {
        "reshape SIZE [SIZE ...]"
    }
    fn example(&self) -> &'static str {
        "reshape 28 28 1"
    }
    fn example_input(&self) -> &'static [usize] {
        &[784]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let sizes = arguments.sizes("SIZE")?;
        if sizes.len() > 4 {
            return Err(format!("at most 4 sizes are possible, got {}", sizes.len()));
        }
        Ok(Box::new(Line::Reshape(sizes)))
    }
}
