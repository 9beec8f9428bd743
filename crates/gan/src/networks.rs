//! Networks and optimizers as recipes name them.

use crate::models::{self, Model, Options};
use crate::recipe::{NetworkSpec, OptimizerSpec, unknown};
use ganymede_graph::{Graph, Tensor, TensorType};
use ganymede_nn::{LayerRow, Mode, Network, Optimizer, Params, Scope};

/// Which of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Latents to samples.
    Generator,
    /// Samples to logits.
    Discriminator,
}

impl Side {
    /// The root of its parameter names.
    pub fn root(self) -> &'static str {
        match self {
            Side::Generator => "G",
            Side::Discriminator => "D",
        }
    }
}

/// A network ready to be built into graphs.
pub enum Net {
    /// A plain list of layers.
    Layers(Network),
    /// A named model with its options.
    Model(&'static dyn Model, Options),
}

/// Batch used where a network is built only to look at its shapes.
const PROBE: usize = 2;

impl Net {
    /// Resolves the layers or the model's name and options.
    pub fn from_spec(spec: &NetworkSpec) -> Result<Net, String> {
        match (&spec.model, spec.layers.is_empty()) {
            (None, true) => Err("needs either `layers = [..]` or `model = \"..\"`".into()),
            (Some(_), false) => Err("has both `layers` and `model`: keep one of them".into()),
            (None, false) => {
                let network = Network::parse(&spec.layers).map_err(|e| e.to_string())?;
                Ok(Net::Layers(network))
            }
            (Some(name), true) => {
                let model = models::find(name).ok_or_else(|| {
                    let known: Vec<&str> = models::MODELS.iter().map(|m| m.name()).collect();
                    unknown("model", name, &known)
                })?;
                Ok(Net::Model(model, Options::resolve(model, &spec.options)?))
            }
        }
    }

    /// Applies the network to latents `[batch, dim]` or samples `[batch, ...]`.
    pub fn build(&self, side: Side, scope: &Scope, x: &Tensor, sample: &[usize]) -> Tensor {
        match (self, side) {
            (Net::Layers(network), _) => network.build(scope, x),
            (Net::Model(model, options), Side::Generator) => model.generator(scope, x, sample, options),
            (Net::Model(model, options), Side::Discriminator) => model.discriminator(scope, x, options),
        }
    }

    /// Whether the output for one sample depends on the others of its batch (batch norm in training).
    pub fn mixes_samples(&self) -> bool {
        match self {
            Net::Layers(network) => network.lines().any(|l| l.starts_with("batch_norm")),
            Net::Model(model, _) => model.mixes_samples(),
        }
    }

    /// Shape of one output for one input of the given shape, or what does not fit.
    pub fn output_shape(&self, input: &[usize], sample: &[usize], side: Side) -> Result<Vec<usize>, String> {
        if let Net::Layers(network) = self {
            network.check(input, PROBE).map_err(|e| e.to_string())?;
        }
        let (graph, _, out) = self.probe(input, sample, side);
        graph.finish().map_err(|e| e.to_string())?;
        Ok(out.shape()[1..].to_vec())
    }

    fn probe(&self, input: &[usize], sample: &[usize], side: Side) -> (Graph, Scope, Tensor) {
        let graph = Graph::new();
        let mut shape = vec![PROBE];
        shape.extend(input);
        let x = graph.feed("x", TensorType::f32(shape));
        let scope = Scope::root(&graph, side.root(), Mode::eval());
        let out = self.build(side, &scope, &x, sample);
        (graph, scope, out)
    }

    /// Parameters and layer table of a network that fits its shapes.
    pub fn describe(&self, input: &[usize], sample: &[usize], side: Side) -> (Params, Vec<LayerRow>) {
        let (_, scope, _) = self.probe(input, sample, side);
        (scope.params(), scope.layers())
    }
}

/// Which of a recipe's two decays an optimizer takes, fed at every step as they may be scheduled: (beta1, beta2).
/// Plain gradient descent uses beta1 as its momentum unless it is 0 throughout, and RMSProp beta2 as its decay.
pub fn decays(optimizer: &dyn Optimizer, spec: &OptimizerSpec) -> (bool, bool) {
    let settings = optimizer.settings();
    let has = |name: &str| settings.iter().any(|s| s.name == name);
    match (has("beta1"), has("decay")) {
        (true, _) => (true, true),
        (false, true) => (false, true),
        (false, false) => (has("momentum") && spec.beta1.range().1 > 0.0, false),
    }
}

/// The optimizer of a recipe.
pub fn optimizer(spec: &OptimizerSpec) -> Result<Box<dyn Optimizer>, String> {
    let found = ganymede_nn::optim::by_name(&spec.kind).map_err(|e| e.to_string())?;
    let mut settings = vec![("weight_decay", spec.weight_decay)];
    // Plain gradient descent divides by nothing, so an eps means nothing to it.
    if found.settings().iter().any(|s| s.name == "eps") {
        settings.push(("eps", spec.eps));
    } else if decays(found, spec).0 {
        // Its momentum has a slot only where it is not 0; the value itself is fed.
        settings.push(("momentum", spec.beta1.range().1));
    }
    ganymede_nn::optim::configure(&spec.kind, settings).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use crate::recipe::Recipe;
    use crate::step::Objective;

    #[test]
    fn every_optimizer_trains_with_the_decays_it_has() {
        for found in ganymede_nn::OPTIMIZERS {
            for beta1 in ["0.0", "linear 0 -> 0.5"] {
                let sets = [format!("kind={}", found.name()), format!("beta1={beta1}")];
                let text = Recipe::builtin("mlp2d").unwrap().to_toml();
                let objective = Objective::new(Recipe::parse("test", &text, &sets).unwrap()).unwrap();
                for function in [objective.discriminator_phase(&[true, true]), objective.generator_phase()] {
                    let function = function.unwrap_or_else(|e| panic!("{}: {e}", found.name()));
                    let fed = |name: &str| function.inputs.iter().any(|i| i.name == name);
                    let expected = match found.name() {
                        "sgd" => (beta1 != "0.0", false),
                        "rmsprop" => (false, true),
                        _ => (true, true),
                    };
                    assert_eq!((fed("beta1"), fed("beta2")), expected, "{} {beta1}", found.name());
                }
            }
        }
    }
}
