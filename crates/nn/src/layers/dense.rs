//! The fully connected layer.

use super::bias_init;
use crate::init::{FanRule, Init};
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// Options of [`dense`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DenseLayer {
    /// Width of the output.
    pub units: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// First value of the weights.
    pub init: Init,
}

impl DenseLayer {
    /// With bias and Glorot's uniform weights, as in Keras.
    pub fn new(units: usize) -> Self {
        Self { units, bias: true, init: Init::GlorotUniform }
    }
    /// Without bias.
    pub fn no_bias(mut self) -> Self {
        self.bias = false;
        self
    }
    /// With weights drawn from `init`.
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }
}

/// y = x W + b: [N, C] to [N, units], with `weight` [C, units] and `bias` `[units]`.
#[track_caller]
pub fn dense(scope: &Scope, x: &Tensor, layer: DenseLayer) -> Tensor {
    let _in = scope.enter();
    if x.is_poisoned() {
        return x.clone();
    }
    let [_, inputs] = x.shape()[..] else {
        let hint = if x.shape().len() > 2 { "; flatten it first" } else { "" };
        return scope.graph().fail("dense", format!("expected vectors [N, C], got {}{hint}", x.ty()));
    };
    let weight = scope.weight("weight", &[inputs, layer.units], layer.init, FanRule::Forward);
    let mut y = x.matmul(&weight);
    if layer.bias {
        y = y + scope.param("bias", &[layer.units], bias_init(layer.init, inputs));
    }
    scope.record_layer(&format!("dense {}", layer.units), &y);
    y
}
