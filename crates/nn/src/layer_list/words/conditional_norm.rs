//! `conditional_batch_norm`.

use crate::init::Init;
use crate::layer_list::{Arguments, Layer, LayerWord};
use crate::layers::{self, Activation, Condition};
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// The word.
pub struct ConditionalBatchNorm;

#[derive(Debug)]
struct Line {
    options: layers::ConditionalBatchNorm,
    gain: Init,
    activation: Activation,
}

impl Layer for Line {
    fn build(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let _in = scope.enter();
        let condition = Condition::Classes { gain: self.gain };
        self.activation.apply(&layers::conditional_batch_norm(scope, x, condition, self.options))
    }
    fn mixes_samples(&self) -> bool {
        true
    }
    fn normalizes_batch(&self) -> bool {
        true
    }
}

impl LayerWord for ConditionalBatchNorm {
    fn name(&self) -> &'static str {
        "conditional_batch_norm"
    }
    fn doc(&self) -> &'static str {
        "batch_norm with a scale and shift of each class (Dumoulin, Shlens, Kudlur 2017; de Vries et al. 2017), by which a \
         generator makes what it is asked for"
    }
    fn usage(&self) -> &'static str {
        "conditional_batch_norm [momentum=X] [eps=X] [init=INIT] [ACTIVATION]"
    }
    fn example(&self) -> &'static str {
        "conditional_batch_norm momentum=0.9 relu"
    }
    fn example_input(&self) -> &'static [usize] {
        &[7, 7, 64]
    }
    fn parse(&self, arguments: &mut Arguments<'_>) -> Result<Box<dyn Layer>, String> {
        let usual = layers::ConditionalBatchNorm::default();
        let momentum = arguments.real_option("momentum", usual.momentum)?;
        if !(0.0..=1.0).contains(&momentum) {
            return Err(format!("momentum must be from 0 to 1, got {momentum}"));
        }
        let eps = arguments.real_option("eps", usual.eps)?;
        if eps <= 0.0 {
            return Err(format!("eps must be above 0, got {eps}"));
        }
        Ok(Box::new(Line {
            options: layers::ConditionalBatchNorm { momentum, eps },
            gain: arguments.init(Init::Ones)?,
            activation: arguments.activation()?,
        }))
    }
}
