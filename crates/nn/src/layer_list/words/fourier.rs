//! `fourier_features`.

use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers;
use crate::layers::fourier::MAX_OCTAVES;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// The word.
pub struct FourierFeatures;

#[derive(Debug)]
struct Line {
    octaves: usize,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        layers::fourier_features(scope, x, self.octaves)
    }
}

impl LayerWord for FourierFeatures {
    fn name(&self) -> &'static str {
        "fourier_features"
    }
    fn doc(&self) -> &'static str {
        "appends sin and cos of pi, 2 pi, 4 pi .. times each coordinate, so that a dense network sees fine detail \
         (Tancik and others 2020)"
    }
    fn usage(&self) -> &'static str {
        "fourier_features OCTAVES"
    }
    fn example(&self) -> &'static str {
        "fourier_features 3"
    }
    fn example_input(&self) -> &'static [usize] {
        &[2]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let octaves = arguments.size("OCTAVES")?;
        if octaves > MAX_OCTAVES {
            return Err(format!("OCTAVES must be 1 to {MAX_OCTAVES}, got {octaves}"));
        }
        Ok(Box::new(Line { octaves }))
    }
}
