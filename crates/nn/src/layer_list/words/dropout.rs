//! `dropout`.

use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// The word.
pub struct Dropout;

#[derive(Debug)]
struct Line {
    rate: f64,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        layers::dropout(scope, x, self.rate)
    }
    fn takes_segments(&self) -> bool {
        self.rate == 0.0
    }
}

impl LayerWord for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }
    fn doc(&self) -> &'static str {
        "in training, each value is zero with this probability and the others are scaled up (Srivastava and others 2014)"
    }
    fn usage(&self) -> &'static str {
        "dropout RATE"
    }
    fn example(&self) -> &'static str {
        "dropout 0.3"
    }
    fn example_input(&self) -> &'static [usize] {
        &[128]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let rate = arguments.optional_real("RATE")?;
        match rate {
            Some(rate) if (0.0..1.0).contains(&rate) => Ok(Box::new(Line { rate })),
            Some(rate) => Err(format!("RATE must be at least 0 and below 1, got {rate}")),
            None => Err(format!("RATE is missing; usage: `{}`", self.usage())),
        }
    }
}
