//! Networks and optimizers as recipes name them.

use crate::models::{self, Model, Options};
use crate::recipe::{NetworkSpec, OptimizerSpec, Scheduled, unknown};
use ganymede_graph::{DType, Graph, Tensor, TensorType};
use ganymede_nn::layers::classifier;
use ganymede_nn::{ClassLabels, Init, LayerRow, Mode, Network, Optimizer, Params, Scope, WeightRule};
use serde::{Deserialize, Serialize};

/// Which of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Latents to samples.
    Generator,
    /// Samples to logits.
    Discriminator,
}

impl Side {
    /// As recipes name it.
    pub fn name(self) -> &'static str {
        match self {
            Side::Generator => "generator",
            Side::Discriminator => "discriminator",
        }
    }

    /// The root of its parameter names.
    pub fn root(self) -> &'static str {
        match self {
            Side::Generator => "G",
            Side::Discriminator => "D",
        }
    }
}

/// A network ready to be built into graphs.
pub struct Net {
    kind: Kind,
    rule: WeightRule,
    classes: Option<usize>,
    /// Whether a model's features guess the class, of which the model itself is not told.
    classify: bool,
}

/// What a network does with the classes of its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassUse {
    /// Whether it is told them.
    pub told: bool,
    /// Whether it guesses them, as a classifier beside the logit.
    pub guessed: bool,
}

enum Kind {
    /// A plain list of layers.
    Layers(Network),
    /// A named model with its options.
    Model(&'static dyn Model, Options),
}

/// Most power iterations a step: with so many one step finds the largest singular value alone.
const MAX_ITERATIONS: usize = 64;

/// Batch used where a network that fits is built only for its parameters and layers, which no batch changes.
const PROBE: usize = 2;

impl Net {
    /// Resolves the layers or the model's name and options. `classes` is how many the recipe's samples have, where its
    /// networks are told.
    pub fn from_spec(spec: &NetworkSpec, classes: Option<usize>) -> Result<Net, String> {
        let rule = match spec.spectral_norm {
            0 => WeightRule::Plain,
            iterations if iterations <= MAX_ITERATIONS => WeightRule::Spectral { iterations },
            more => {
                return Err(format!(
                    "`spectral_norm` is from 0 (off) to {MAX_ITERATIONS} iterations, got {more}"
                ));
            }
        };
        let kind = match (&spec.model, spec.layers.is_empty()) {
            (None, true) => return Err("needs either `layers = [..]` or `model = \"..\"`".into()),
            (Some(_), false) => return Err("has both `layers` and `model`: keep one of them".into()),
            (None, false) if !spec.options.is_empty() => {
                return Err("has `options`, which only a `model` takes: leave them out".into());
            }
            (None, false) if spec.classify => {
                return Err("has `classify = true`, which only a `model` takes: put the word `classify` before the last of \
                            its layers"
                    .into());
            }
            (None, false) => {
                let network = Network::parse(&spec.layers).map_err(|e| e.to_string())?;
                Kind::Layers(network)
            }
            (Some(name), true) => {
                let model = models::find(name).ok_or_else(|| {
                    let known: Vec<&str> = models::MODELS.iter().map(|m| m.name()).collect();
                    unknown("model", name, &known)
                })?;
                Kind::Model(model, Options::resolve(model, &spec.options)?)
            }
        };
        Ok(Net { kind, rule, classes, classify: spec.classify })
    }

    /// A model that is in no registry, with its options as a recipe would give them.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub fn of_model(
        model: &'static dyn Model,
        options: &toml::Table,
        classes: Option<usize>,
    ) -> Result<Net, String> {
        let kind = Kind::Model(model, Options::resolve(model, options)?);
        Ok(Net { kind, rule: WeightRule::Plain, classes, classify: false })
    }

    /// Applies the network to latents `[batch, dim]` or samples `[batch, ...]`.
    pub fn build(&self, side: Side, scope: &Scope, x: &Tensor, sample: &[usize]) -> Tensor {
        let scope = &scope.with_rule(self.rule);
        match (&self.kind, side) {
            (Kind::Layers(network), _) => network.build(scope, x),
            (Kind::Model(model, options), Side::Generator) => model.generator(scope, x, sample, options),
            (Kind::Model(model, options), Side::Discriminator) if self.classify => {
                let logits = model.discriminator(&scope.with_labels(None), x, options);
                if let Some(features) = scope.features() {
                    classifier(&scope.child("classify"), &features, Init::GlorotUniform);
                }
                logits
            }
            (Kind::Model(model, options), Side::Discriminator) => model.discriminator(scope, x, options),
        }
    }

    /// Whether it makes styles of its latents before it makes samples.
    pub fn has_styles(&self) -> bool {
        matches!(&self.kind, Kind::Model(model, _) if model.has_styles())
    }

    /// Styles `[batch, layers, width]` of latents `[batch, dim]`, if the network [has them](Net::has_styles).
    pub fn mapping(&self, scope: &Scope, latent: &Tensor, sample: &[usize]) -> Option<Tensor> {
        let scope = &scope.with_rule(self.rule);
        match &self.kind {
            Kind::Model(model, options) if model.has_styles() => {
                Some(model.mapping(scope, latent, sample, options))
            }
            Kind::Model(..) | Kind::Layers(_) => None,
        }
    }

    /// Samples of styles `[batch, layers, width]`, if the network [has them](Net::has_styles).
    pub fn synthesis(&self, scope: &Scope, styles: &Tensor, sample: &[usize]) -> Option<Tensor> {
        let scope = &scope.with_rule(self.rule);
        match &self.kind {
            Kind::Model(model, options) if model.has_styles() => {
                Some(model.synthesis(scope, styles, sample, options))
            }
            Kind::Model(..) | Kind::Layers(_) => None,
        }
    }

    /// Whether it takes out of every sample what its batch has in common (batch norm in training), so that a sample's
    /// own gradient says nothing without the others.
    pub fn normalizes_batch(&self, side: Side) -> bool {
        match &self.kind {
            Kind::Layers(network) => network.normalizes_batch(),
            Kind::Model(model, options) => model.normalizes_batch(side, options),
        }
    }

    /// Whether it judges a sample by how it differs from others of its batch, also when it does not train.
    pub fn compares_samples(&self) -> bool {
        match &self.kind {
            Kind::Layers(network) => network.compares_samples(),
            Kind::Model(model, options) => model.compares_samples(options),
        }
    }

    /// Whether several batches as segments of one ([`Mode::segments`]) give what they give one by one.
    pub fn takes_segments(&self) -> bool {
        match &self.kind {
            Kind::Layers(network) => network.takes_segments(),
            Kind::Model(model, _) => model.takes_segments(),
        }
    }

    /// Shape of one output for one input of the given shape, or what does not fit. `batch` is that of training: what
    /// takes statistics over it, as batch norm does, refuses some.
    pub fn output_shape(
        &self,
        batch: usize,
        input: &[usize],
        sample: &[usize],
        side: Side,
    ) -> Result<Vec<usize>, String> {
        if let Kind::Layers(network) = &self.kind {
            network.inspect_with(input, batch, self.classes).map_err(|e| e.to_string())?;
        }
        let (graph, _, out) = self.probe(batch, input, sample, side);
        graph.finish().map_err(|e| e.to_string())?;
        Ok(out.shape()[1..].to_vec())
    }

    fn probe(&self, batch: usize, input: &[usize], sample: &[usize], side: Side) -> (Graph, Scope, Tensor) {
        let graph = Graph::new();
        let mut shape = vec![batch];
        shape.extend(input);
        let x = graph.feed("x", TensorType::f32(shape));
        let labels = self.classes.map(|classes| ClassLabels {
            index: graph.feed("labels", TensorType::new(DType::I32, [batch])),
            classes,
        });
        let scope = Scope::root(&graph, side.root(), Mode::eval()).with_labels(labels);
        let out = self.build(side, &scope, &x, sample);
        (graph, scope, out)
    }

    /// What a network that fits its shapes does with classes.
    pub fn class_use(&self, input: &[usize], sample: &[usize], side: Side) -> ClassUse {
        let (_, scope, _) = self.probe(PROBE, input, sample, side);
        ClassUse { told: scope.asked_for_labels(), guessed: scope.class_logits().is_some() }
    }

    /// Whether a discriminator that fits its shapes has decoders that draw its samples again.
    pub fn reconstructs(&self, input: &[usize], sample: &[usize]) -> bool {
        let (_, scope, _) = self.probe(PROBE, input, sample, Side::Discriminator);
        scope.reconstruction().is_some()
    }

    /// How many of its parameters and buffers a network that fits its shapes declares before its last layer, where it says
    /// which that is.
    pub(crate) fn before_head(&self, input: &[usize], sample: &[usize], side: Side) -> Option<usize> {
        let (_, scope, _) = self.probe(PROBE, input, sample, side);
        scope.before_head()
    }

    /// Parameters and layer table of a network that fits its shapes.
    pub fn describe(&self, input: &[usize], sample: &[usize], side: Side) -> (Params, Vec<LayerRow>) {
        let (_, scope, _) = self.probe(PROBE, input, sample, side);
        (scope.params(), scope.layers())
    }
}

/// The optimizer of a recipe. Its decays are fed at every step, as they may be scheduled; they are set here as well,
/// because gradient descent keeps momentum only where it is not 0.
pub fn optimizer(spec: &OptimizerSpec) -> Result<Box<dyn Optimizer>, String> {
    let found = ganymede_nn::optim::by_name(&spec.kind).map_err(|e| e.to_string())?;
    let [first, second] = found.decays();
    let largest = |s: &Option<Scheduled>| s.as_ref().map(|s| s.range().1);
    let settings = [
        (first, largest(&spec.beta1)),
        (second, largest(&spec.beta2)),
        (Some("eps").filter(|name| has(found, name)), spec.eps),
        (Some("weight_decay").filter(|name| has(found, name)), spec.weight_decay),
        (Some("momentum").filter(|name| has(found, name) && first != Some(*name)), spec.momentum),
        (Some("nesterov").filter(|name| has(found, name)), spec.nesterov.map(|on| f64::from(u8::from(on)))),
    ];
    let given = settings.into_iter().filter_map(|(name, value)| Some((name?, value?)));
    ganymede_nn::optim::configure(&spec.kind, given).map_err(|e| e.to_string())
}

fn has(optimizer: &dyn Optimizer, name: &str) -> bool {
    optimizer.settings().iter().any(|s| s.name == name)
}

impl OptimizerSpec {
    /// With the optimizer's own value for what the recipe leaves open, and without what the optimizer does not have.
    /// An unknown optimizer is left as it is, for [`Recipe::validate`](crate::Recipe::validate) to refuse.
    pub fn resolved(mut self) -> Self {
        let Ok(found) = ganymede_nn::optim::by_name(&self.kind) else { return self };
        let own = |name: &str| found.settings().iter().find(|s| s.name == name).map(|s| s.value);
        let beta = |given: Option<Scheduled>, name: Option<&str>| {
            let own = name.and_then(own)?;
            Some(given.unwrap_or_else(|| Scheduled::constant(own)))
        };
        let [first, second] = found.decays();
        self.beta1 = beta(self.beta1, first);
        self.beta2 = beta(self.beta2, second);
        self.eps = own("eps").map(|own| self.eps.unwrap_or(own));
        self.weight_decay = own("weight_decay").map(|own| self.weight_decay.unwrap_or(own));
        let momentum = own("momentum").filter(|_| first != Some("momentum"));
        self.momentum = momentum.map(|own| self.momentum.unwrap_or(own));
        self.nesterov = own("nesterov").map(|own| self.nesterov.unwrap_or(own != 0.0));
        self
    }

    /// Whether `momentum` is what [`OptimizerSpec::beta1`] gives.
    pub(crate) fn calls_its_momentum_beta1(&self) -> bool {
        ganymede_nn::optim::by_name(&self.kind).is_ok_and(|found| found.decays()[0] == Some("momentum"))
    }

    /// Keys given that mean nothing to the optimizer.
    pub(crate) fn unused(&self) -> Vec<&'static str> {
        let resolved = self.clone().resolved();
        [
            ("beta1", self.beta1.is_some() && resolved.beta1.is_none()),
            ("beta2", self.beta2.is_some() && resolved.beta2.is_none()),
            ("eps", self.eps.is_some() && resolved.eps.is_none()),
            ("weight_decay", self.weight_decay.is_some() && resolved.weight_decay.is_none()),
            ("momentum", self.momentum.is_some() && resolved.momentum.is_none()),
            ("nesterov", self.nesterov.is_some() && resolved.nesterov.is_none()),
        ]
        .into_iter()
        .filter_map(|(name, unused)| unused.then_some(name))
        .collect()
    }
}
