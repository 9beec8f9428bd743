//! `max_pool`, `avg_pool` and `global_avg_pool`.

use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers::{self, Pool};
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// `max_pool`.
pub struct MaxPool;
/// `avg_pool`.
pub struct AvgPool;
/// `global_avg_pool`.
pub struct GlobalAvgPool;

#[derive(Debug)]
enum Line {
    Max(Pool),
    Average(Pool),
    Global,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        match *self {
            Line::Max(pool) => layers::max_pool(scope, x, pool),
            Line::Average(pool) => layers::avg_pool(scope, x, pool),
            Line::Global => layers::global_avg_pool(scope, x),
        }
    }
}

fn pool(arguments: &mut Arguments<'_>) -> Result<Pool, String> {
    let window = arguments.size("WINDOW")?;
    let stride = arguments.size_option("stride", 1, window)?;
    let pad = arguments.size_option("pad", 0, 0)?;
    if pad >= window {
        return Err(format!("pad must be smaller than the window of {window}, got {pad}"));
    }
    Ok(Pool { window, stride, pad })
}

impl LayerWord for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool"
    }
    fn doc(&self) -> &'static str {
        "largest value of each window of pixels; windows lie side by side unless a stride is given"
    }
    fn usage(&self) -> &'static str {
        "max_pool WINDOW [stride=N] [pad=N]"
    }
    fn example(&self) -> &'static str {
        "max_pool 2"
    }
    fn example_input(&self) -> &'static [usize] {
        &[14, 14, 64]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        Ok(Box::new(Line::Max(pool(arguments)?)))
    }
}

impl LayerWord for AvgPool {
    fn name(&self) -> &'static str {
        "avg_pool"
    }
    fn doc(&self) -> &'static str {
        "mean of each window of pixels, padding counted as zeros"
    }
    fn usage(&self) -> &'static str {
        "avg_pool WINDOW [stride=N] [pad=N]"
    }
    fn example(&self) -> &'static str {
        "avg_pool 3 stride=2 pad=1"
    }
    fn example_input(&self) -> &'static [usize] {
        &[14, 14, 64]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        Ok(Box::new(Line::Average(pool(arguments)?)))
    }
}

impl LayerWord for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "global_avg_pool"
    }
    fn doc(&self) -> &'static str {
        "mean over all pixels: images to vectors of channels (Lin, Chen, Yan 2013)"
    }
    fn usage(&self) -> &'static str {
        "global_avg_pool"
    }
    fn example(&self) -> &'static str {
        "global_avg_pool"
    }
    fn example_input(&self) -> &'static [usize] {
        &[7, 7, 64]
    }
    fn parse(&self, _: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        Ok(Box::new(Line::Global))
    }
}
