//! `upsample` and `downsample`.

use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers::{self, Upsampling};
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// `upsample`.
pub struct Upsample;
/// `downsample`.
pub struct Downsample;

#[derive(Debug)]
enum Line {
    Up(Upsampling),
    Down,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        match *self {
            Line::Up(kind) => layers::upsample(scope, x, kind),
            Line::Down => layers::downsample(scope, x),
        }
    }
}

impl LayerWord for Upsample {
    fn name(&self) -> &'static str {
        "upsample"
    }
    fn doc(&self) -> &'static str {
        "doubles height and width, by repeating pixels (nearest) or between them (bilinear)"
    }
    fn usage(&self) -> &'static str {
        "upsample nearest|bilinear"
    }
    fn example(&self) -> &'static str {
        "upsample nearest"
    }
    fn example_input(&self) -> &'static [usize] {
        &[7, 7, 32]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let name = arguments.choice("upsampling", &Upsampling::ALL.map(Upsampling::name))?;
        let kind = Upsampling::ALL.into_iter().find(|k| k.name() == name).unwrap_or(Upsampling::Nearest);
        Ok(Box::new(Line::Up(kind)))
    }
}

impl LayerWord for Downsample {
    fn name(&self) -> &'static str {
        "downsample"
    }
    fn doc(&self) -> &'static str {
        "halves height and width by the mean of 2x2 pixels"
    }
    fn usage(&self) -> &'static str {
        "downsample"
    }
    fn example(&self) -> &'static str {
        "downsample"
    }
    fn example_input(&self) -> &'static [usize] {
        &[14, 14, 32]
    }
    fn parse(&self, _: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        Ok(Box::new(Line::Down))
    }
}
