//! `minibatch_stddev`.

use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// The word.
pub struct MinibatchStddev;

#[derive(Debug)]
struct Line(layers::MinibatchStddev);

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        layers::minibatch_stddev(scope, x, self.0)
    }
    fn mixes_samples(&self) -> bool {
        true
    }
}

impl LayerWord for MinibatchStddev {
    fn name(&self) -> &'static str {
        "minibatch_stddev"
    }
    fn doc(&self) -> &'static str {
        "appends how much the samples of a group differ, by which a discriminator sees collapse (Karras et al. 2018)"
    }
    fn usage(&self) -> &'static str {
        "minibatch_stddev [group=N] [channels=N]"
    }
    fn example(&self) -> &'static str {
        "minibatch_stddev group=4"
    }
    fn example_input(&self) -> &'static [usize] {
        &[4, 4, 64]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let group = arguments.size_option("group", 2, 4)?;
        let channels = arguments.size_option("channels", 1, 1)?;
        Ok(Box::new(Line(layers::MinibatchStddev { group, channels })))
    }
}
