//! One training step as graph functions: a phase for the discriminator (one for each set of lazy regularizers that
//! fall due together), a phase for the generator, and one that samples.
//!
//! The whole objective can be read here and in the files of the phases. Each phase draws its latents itself, from the random key, a stream of its own
//! and the global index of its first sample, so a sample depends neither on the batch size nor on earlier phases.

mod commit;
mod discriminator;
mod generator;
mod latents;
mod parts;
mod sampling;

pub use commit::ACCUMULATED;
pub use latents::projected;

use crate::augment::{Augmentation, Draw};
use crate::losses::{Labels, Loss};
use crate::networks::{self, Net, Side};
use crate::recipe::{Augment, OptimizerSpec, Recipe, RecipeError, Scheduled, StatisticsPass};
use crate::regularizers::{Common, Memory, Regularizer, memory_prefix};
use ganymede_graph::{DType, Function, Graph, GraphError, Tensor, TensorType};
use ganymede_nn::optim::apply::slot_name;
use ganymede_nn::optim::{FirstValue, Hyper, StateSpec, state_specs};
use ganymede_nn::{ClassLabels, Mode, Optimizer, Params, RandomSource, Scope};

/// Streams of the random key; those of dropout layers have their top bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// Latents of the discriminator's step.
    DiscriminatorLatent = 1,
    /// Latents of the generator's step.
    GeneratorLatent = 2,
    /// Latents of sampling.
    Sample = 4,
    /// Latents from which standing statistics are taken.
    Standing = 8,
}

/// Prefix of the slots that adapt the probability of augmentations.
const ADAPTATION: &str = "augment";
/// The slot of the adapted probability.
pub const PROBABILITY: &str = "augment/probability";
/// What the mean sign of the logits keeps at a step: it remembers four steps.
const SIGN_DECAY: f64 = 0.75;

/// Prefix of the averaged generator's slots.
pub const EMA: &str = "ema/";

/// Names of the scalar and vector feeds that phases share.
pub mod feed {
    /// Real samples `[batch, ...]`.
    pub const REAL: &str = "real";
    /// Classes of the batch, `i32[batch]`.
    pub const LABELS: &str = "labels";
    /// Codes `[batch, ...]`: latents or styles that samples are made of.
    pub const CODES: &str = "codes";
    /// Random key, `u32[2]`.
    pub const KEY: &str = "key";
    /// Global index of the batch's first sample, `u32[2]`, low word first.
    pub const FIRST: &str = "first";
    /// Learning rate.
    pub const LR: &str = "lr";
    /// First decay of the optimizer.
    pub const BETA1: &str = "beta1";
    /// Second decay of the optimizer.
    pub const BETA2: &str = "beta2";
    /// Share of the averaged weights that stays: 0.5^(images a step / half-life).
    pub const EMA_DECAY: &str = "ema_decay";
    /// One over a bound on the norm of the gradients that the guard against divergence sets; 0 for none.
    pub const INVERSE_BOUND: &str = "inverse_bound";
    /// 0 at the first part of a batch whose gradients are added up, 1 at later ones.
    pub const LATER_PART: &str = "later_part";
    /// Share of the running statistics that a pass keeps, for standing statistics.
    pub const KEEP: &str = "keep";
    /// Generated samples that count in the generator's loss, those with the largest logits.
    pub const TOP_K: &str = "top_k";
    /// Standard deviation of the noise on what the discriminator sees.
    pub const INSTANCE_NOISE: &str = "instance_noise";
    /// Probability of augmentations.
    pub const AUGMENT: &str = "augment";
    /// Strength of regularizer `i`.
    pub fn strength(i: usize) -> String {
        format!("strength/{i}")
    }
}

/// Everything a recipe resolves to.
pub struct Objective {
    /// The recipe.
    pub recipe: Recipe,
    /// The generator.
    pub generator: Net,
    /// The discriminator.
    pub discriminator: Net,
    /// The adversarial loss.
    pub loss: &'static dyn Loss,
    /// What the discriminator is asked to say.
    pub labels: Labels,
    /// Changes of what the discriminator sees, one after the other.
    pub augmentations: Vec<&'static dyn Augmentation>,
    /// The regularizers as the recipe applies them.
    pub regularizers: Vec<Applied>,
    /// The parts of the discriminator that do not learn, by the paths of their parameters.
    frozen: Vec<String>,
    generator_optimizer: Box<dyn Optimizer>,
    discriminator_optimizer: Box<dyn Optimizer>,
}

/// A regularizer as a recipe applies it.
#[derive(Clone)]
pub struct Applied {
    /// Which.
    pub regularizer: &'static dyn Regularizer,
    /// To which network's loss or weights.
    pub side: Side,
    /// How strongly.
    pub strength: Scheduled,
    /// At every so many steps of that network.
    pub every: usize,
    /// What it changes samples by, if it compares them with changed ones.
    pub policy: Vec<&'static dyn Augmentation>,
}

/// What a phase of training does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A whole step of a network.
    Step,
    /// The gradients of one part of a batch, added to those of the others.
    Accumulate,
    /// The step along gradients that were added up.
    Apply,
}

/// A step of one network with some of its regularizers, or a part of it.
pub struct TrainingPhase {
    /// The network that it trains.
    pub side: Side,
    /// Which regularizers it applies.
    pub due: Vec<bool>,
    /// What of the step it does.
    pub work: Work,
    /// Its name and what it computes.
    pub function: (String, Function),
}

/// What the regularizers of one phase come to.
struct Penalties {
    /// Their terms of the loss, added up.
    sum: Tensor,
    /// Each with its strength at this step.
    strengths: Vec<(&'static dyn Regularizer, Tensor)>,
}

/// Prefix of an optimizer's slots, e.g. `opt/G`.
fn optimizer_prefix(side: Side) -> String {
    format!("opt/{}", side.root())
}

/// The random feeds of a phase.
struct Random {
    key: Tensor,
    first: Tensor,
}

impl Random {
    fn new(graph: &Graph) -> Self {
        let pair = TensorType::new(DType::U32, [2]);
        Self { key: graph.feed(feed::KEY, pair.clone()), first: graph.feed(feed::FIRST, pair) }
    }

    /// For all passes of one phase: a network that a phase applies twice draws anew each time.
    fn source(&self) -> RandomSource {
        RandomSource::new(&self.key, &self.first)
    }
}

impl Objective {
    /// Resolves names and checks shapes.
    pub fn new(recipe: Recipe) -> Result<Self, RecipeError> {
        recipe.validate()?;
        let recipe = recipe.resolved();
        let (generator, discriminator) = recipe.networks()?;
        let optimizer = |spec| {
            networks::optimizer(spec).map_err(|message| RecipeError { at: "optimizer.kind".into(), message })
        };
        Ok(Self {
            generator_optimizer: optimizer(&recipe.generator.optimizer)?,
            discriminator_optimizer: optimizer(&recipe.discriminator.optimizer)?,
            loss: recipe.loss_function()?,
            labels: recipe.labels(),
            augmentations: recipe.augmentations()?,
            regularizers: recipe.regularizers()?,
            frozen: recipe.frozen(&discriminator)?,
            generator,
            discriminator,
            recipe,
        })
    }

    /// Which regularizers step number `n` (from 0) of a network applies: its own whose interval divides n.
    pub fn due(&self, side: Side, n: u64) -> Vec<bool> {
        let due = |r: &Applied| r.side == side && n.is_multiple_of(r.every as u64);
        self.regularizers.iter().map(due).collect()
    }

    /// The regularizers of one network that `due` names.
    fn applied<'a>(&'a self, side: Side, due: &'a [bool]) -> impl Iterator<Item = (usize, &'a Applied)> {
        let named = move |i: usize| due.get(i).copied().unwrap_or(false);
        self.regularizers.iter().enumerate().filter(move |(i, r)| r.side == side && named(*i))
    }

    /// Every set of a network's regularizers that falls due together at some step. Intervals repeat after their least
    /// common multiple; sets are looked for over that many steps, or 4096 if it is larger, and a set that first falls
    /// due later is compiled when it does.
    pub fn due_sets(&self, side: Side) -> Vec<Vec<bool>> {
        let gcd = |mut a: u64, mut b: u64| {
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        let period = self
            .regularizers
            .iter()
            .filter(|r| r.side == side)
            .fold(1u64, |l, r| (l / gcd(l, r.every as u64)).saturating_mul(r.every as u64))
            .min(4096);
        let mut sets: Vec<Vec<bool>> = Vec::new();
        for n in 0..period {
            let due = self.due(side, n);
            if !sets.contains(&due) {
                sets.push(due);
            }
        }
        sets
    }

    /// The step of one network with the given regularizers.
    pub fn phase(&self, side: Side, due: &[bool]) -> Result<Function, GraphError> {
        match side {
            Side::Discriminator => self.discriminator_phase(due),
            Side::Generator => self.generator_phase(due),
        }
    }

    /// Every step that training takes, for each network and each set of its regularizers that falls due together.
    pub fn phases(&self) -> Result<Vec<TrainingPhase>, GraphError> {
        let sides = [Side::Discriminator, Side::Generator];
        let whole = self.recipe.train.accumulate == 1;
        let mut phases = Vec::new();
        for side in sides {
            let sets = self.due_sets(side);
            let work = if whole { Work::Step } else { Work::Accumulate };
            for due in &sets {
                phases.push(self.training_phase(side, work, due)?);
            }
            let mut applied: Vec<Vec<bool>> = Vec::new();
            for due in sets.iter().filter(|_| !whole).map(|due| self.constraints_of(due)) {
                if !applied.contains(&due) {
                    phases.push(self.training_phase(side, Work::Apply, &due)?);
                    applied.push(due);
                }
            }
        }
        Ok(phases)
    }

    /// One of them.
    pub fn training_phase(&self, side: Side, work: Work, due: &[bool]) -> Result<TrainingPhase, GraphError> {
        let name = self.phase_name(side, due);
        let function = match work {
            Work::Step => (name, self.phase(side, due)?),
            Work::Accumulate => (format!("{name}, part"), self.phase(side, due)?),
            Work::Apply => (format!("{name}, apply"), self.apply_phase(side, due)?),
        };
        Ok(TrainingPhase { side, due: due.to_vec(), work, function })
    }

    /// Name of that step: the network, and what is applied.
    pub fn phase_name(&self, side: Side, due: &[bool]) -> String {
        let applied = self.applied(side, due).map(|(_, r)| r.regularizer.name());
        [side.name()].into_iter().chain(applied).collect::<Vec<_>>().join("+")
    }

    /// `count` samples under the name `name`.
    fn feed_samples(&self, graph: &Graph, name: &str, count: usize) -> Tensor {
        graph.feed(name, TensorType::f32([&[count], &self.recipe.data.shape[..]].concat()))
    }

    /// The classes of a batch of `count`, where the recipe has classes.
    fn class_labels(&self, graph: &Graph, count: usize) -> Option<ClassLabels> {
        self.recipe.data.classes.map(|classes| ClassLabels {
            index: graph.feed(feed::LABELS, TensorType::new(DType::I32, [count])),
            classes,
        })
    }

    /// Whether a regularizer of `side` that is due looks at the discriminator's classifier.
    fn compares_classes(&self, side: Side, due: &[bool]) -> bool {
        self.applied(side, due).any(|(_, r)| r.regularizer.compares_classes())
    }

    fn latent(&self, graph: &Graph, random: &Random, stream: Stream, count: usize) -> Tensor {
        let _at = graph.scope("latent");
        graph.random_normal(&random.key, &random.first, stream as u32, &[count, self.recipe.latent.dim])
    }

    fn generate(&self, scope: &Scope, latent: &Tensor) -> Tensor {
        self.generator.build(Side::Generator, scope, latent, &self.recipe.data.shape)
    }

    /// Samples as the discriminator gets them: `pack` of them side by side along the last axis (Lin et al. 2018,
    /// PacGAN), `[batch / pack, ..., pack channels]`.
    fn packed(&self, samples: &Tensor) -> Tensor {
        let (pack, shape) = (self.recipe.train.pack, samples.shape());
        if pack == 1 || samples.is_poisoned() {
            return samples.clone();
        }
        let (batch, rank) = (shape[0] / pack, shape.len());
        let apart: Vec<usize> = [&[batch, pack], &shape[1..]].concat();
        // The members of a pack move before the channels.
        let order: Vec<usize> = [0].into_iter().chain(2..rank).chain([1, rank]).collect();
        let mut joined = shape;
        joined[0] = batch;
        joined[rank - 1] *= pack;
        samples.reshape(&apart).transpose(&order).reshape(&joined)
    }

    /// Samples as the discriminator sees them: augmented, with noise, packed.
    fn seen(&self, graph: &Graph, source: &RandomSource, samples: &Tensor) -> Tensor {
        self.packed(&self.with_noise(graph, source, &self.augmented(graph, source, samples)))
    }

    /// Samples changed by the recipe's augmentations, at its probability.
    fn augmented(&self, graph: &Graph, source: &RandomSource, samples: &Tensor) -> Tensor {
        let Some(spec) = &self.recipe.augment else { return samples.clone() };
        let probability = match (&spec.target, &spec.probability) {
            (Some(_), _) => Some(graph.state(PROBABILITY, TensorType::f32([]))),
            (None, Some(_)) => Some(graph.feed(feed::AUGMENT, TensorType::f32([]))),
            (None, None) => None,
        };
        self.augmented_at(graph, source, samples, probability.as_ref())
    }

    fn augmented_at(
        &self,
        graph: &Graph,
        source: &RandomSource,
        samples: &Tensor,
        probability: Option<&Tensor>,
    ) -> Tensor {
        let _at = graph.scope("augment");
        self.augmentations.iter().fold(samples.clone(), |x, augmentation| {
            let _at = graph.scope(augmentation.name());
            let (uniform, normal) = (
                |shape: &[usize]| source.uniform(graph, augmentation.name(), shape),
                |shape: &[usize]| source.normal(graph, augmentation.name(), shape),
            );
            augmentation.apply(&x, &Draw { uniform: &uniform, normal: &normal, probability })
        })
    }

    /// Moves the probability of augmentations by a step towards the target (Karras et al. 2020, ADA, section 3): up by
    /// the batch's share of the ramp while the mean sign of the logits of real samples exceeds the target, else down. The
    /// sign is averaged over about four steps, as the authors' program does.
    fn adapt(&self, graph: &Graph, real_logits: &Tensor) {
        let Some((spec, target)) = self.recipe.augment.as_ref().and_then(|s| Some((s, s.target?))) else {
            return;
        };
        let memory = Memory { graph, prefix: ADAPTATION, parts: self.recipe.train.accumulate };
        let sign = memory.average("sign", "share", &real_logits.sign().mean_all(), SIGN_DECAY);
        let step = self.recipe.part() as f64 / spec.ramp.unwrap_or(Augment::RAMP) as f64;
        let p = memory.recall("probability");
        let moved = &p + (sign - target).sign() * step;
        memory.keep("probability", &moved.maximum(&p.zeros_like()).minimum(&p.ones_like()));
    }

    /// Samples with noise upon them, where the recipe has some (Sonderby et al. 2017; Arjovsky, Bottou 2017, section 3).
    fn with_noise(&self, graph: &Graph, source: &RandomSource, samples: &Tensor) -> Tensor {
        if self.recipe.loss.instance_noise.is_none() {
            return samples.clone();
        }
        let _at = graph.scope("instance_noise");
        let deviation = graph.feed(feed::INSTANCE_NOISE, TensorType::f32([]));
        samples + source.normal(graph, "instance_noise", &samples.shape()) * deviation
    }

    /// Logits `[batch]` of samples, packed if the recipe packs.
    fn judge(&self, scope: &Scope, samples: &Tensor) -> Tensor {
        let batch = samples.shape().first().copied().unwrap_or(1);
        self.discriminator
            .build(Side::Discriminator, scope, samples, &self.recipe.data.shape)
            .reshape(&[batch])
    }

    /// How a network is built for training in a phase that trains it or the other one.
    fn mode(&self, random: &RandomSource, pass: Option<StatisticsPass>, trains: bool) -> Mode {
        let updates = pass.is_some_and(|p| self.recipe.train.statistics.contains(&p));
        let mode = if updates { Mode::train() } else { Mode::train_frozen_statistics() };
        mode.with_random(random.clone()).advancing_rules(trains)
    }

    /// Hands every regularizer of `side` that is due to `penalty`, and adds up what it makes of them. Applied every n-th
    /// step a penalty counts n times, which leaves its mean weight as it was.
    fn penalties(
        &self,
        graph: &Graph,
        source: &RandomSource,
        (side, due): (Side, &[bool]),
        labels: Option<&ClassLabels>,
        weights: &[(String, Tensor)],
        penalty: &dyn Fn(&Applied, Common<'_>) -> Option<Tensor>,
    ) -> Penalties {
        let mut sum = graph.scalar(0.0);
        let mut strengths = Vec::new();
        for (i, applied) in self.applied(side, due) {
            let name = applied.regularizer.name();
            let _at = graph.scope(name);
            let strength = graph.feed(&feed::strength(i), TensorType::f32([]));
            // By number: two of one name draw apart.
            let path = format!("regularizer/{i}");
            let common = Common {
                strength: &strength,
                uniform: &|shape| source.uniform(graph, &path, shape),
                normal: &|shape| source.normal(graph, &path, shape),
                augment: &|samples| {
                    let uniform = |shape: &[usize]| source.uniform(graph, &path, shape);
                    let normal = |shape: &[usize]| source.normal(graph, &path, shape);
                    let draw = Draw { uniform: &uniform, normal: &normal, probability: None };
                    applied.policy.iter().fold(samples.clone(), |x, augmentation| {
                        let _at = graph.scope(augmentation.name());
                        augmentation.apply(&x, &draw)
                    })
                },
                labels,
                weights,
                memory: Memory {
                    graph,
                    prefix: &memory_prefix(side, name),
                    parts: self.recipe.train.accumulate,
                },
            };
            if let Some(penalty) = penalty(applied, common) {
                sum = sum + penalty * applied.every as f64;
            }
            strengths.push((applied.regularizer, strength));
        }
        Penalties { sum, strengths }
    }

    fn hyper(&self, graph: &Graph, side: Side) -> Hyper {
        let scalar = |name| graph.feed(name, TensorType::f32([]));
        let optimizer = self.optimizer(side);
        let [first, second] = if optimizer.slots().is_empty() { [None, None] } else { optimizer.decays() };
        Hyper {
            lr: scalar(feed::LR),
            beta1: first.map(|_| scalar(feed::BETA1)),
            beta2: second.map(|_| scalar(feed::BETA2)),
        }
    }

    fn optimizer_spec(&self, side: Side) -> &OptimizerSpec {
        match side {
            Side::Generator => &self.recipe.generator.optimizer,
            Side::Discriminator => &self.recipe.discriminator.optimizer,
        }
    }

    /// State beside the parameters: the optimizers' slots, the averaged generator's, and what regularizers keep.
    pub fn extra_state(&self, side: Side, params: &Params) -> Vec<StateSpec> {
        let ema = (side == Side::Generator && self.recipe.ema.is_some()).then_some(EMA);
        let mut specs = state_specs(self.optimizer(side), &optimizer_prefix(side), params, ema);
        // What does not learn has no moments.
        let moments = |spec: &StateSpec| {
            let of = |path: &String| slot_name(&optimizer_prefix(side), path, "");
            self.frozen.iter().any(|path| side == Side::Discriminator && spec.name.starts_with(&of(path)))
        };
        specs.retain(|spec| !moments(spec));
        let adapts =
            self.recipe.augment.as_ref().filter(|a| side == Side::Discriminator && a.target.is_some());
        if let Some(augment) = adapts {
            let first = augment.probability.as_ref().map_or(0.0, |p| p.at(0, self.recipe.train.images));
            specs.extend([("probability", first), ("sign", 0.0), ("share", 0.0)].map(|(name, first)| {
                StateSpec {
                    name: format!("{ADAPTATION}/{name}"),
                    ty: TensorType::f32([]),
                    first: FirstValue::Fill(first),
                }
            }));
        }
        for applied in self.regularizers.iter().filter(|r| r.side == side) {
            let prefix = memory_prefix(side, applied.regularizer.name());
            specs.extend(applied.regularizer.memory().iter().map(|name| StateSpec {
                name: format!("{prefix}/{name}"),
                ty: TensorType::f32([]),
                first: FirstValue::Fill(0.0),
            }));
        }
        specs
    }

    /// The optimizer of one side.
    pub fn optimizer(&self, side: Side) -> &dyn Optimizer {
        match side {
            Side::Generator => self.generator_optimizer.as_ref(),
            Side::Discriminator => self.discriminator_optimizer.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ganymede_graph::{Array, Precision, interpret};
    use std::collections::HashMap;

    #[test]
    fn packs_hold_consecutive_samples_channel_by_channel() {
        let recipe = Recipe::load("dcgan28", &["train.pack=2".into(), "train.batch=4".into()]).unwrap();
        let objective = Objective::new(recipe).unwrap();
        let graph = Graph::new();
        // Sample s has 100 s + its place at each place.
        let samples = graph.feed("samples", TensorType::f32([4, 1, 2, 3]));
        let packed = objective.packed(&samples);
        assert_eq!(packed.shape(), [2, 1, 2, 6]);
        graph.output("packed", &packed);
        let values = (0..4).flat_map(|s| (0..6).map(move |place| f64::from(100 * s + place)));
        let inputs =
            HashMap::from([("samples".to_string(), Array::f32(&[4, 1, 2, 3], values.collect::<Vec<_>>()))]);
        let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
        let expected = [
            [0., 1., 2., 100., 101., 102.],
            [3., 4., 5., 103., 104., 105.],
            [200., 201., 202., 300., 301., 302.],
            [203., 204., 205., 303., 304., 305.],
        ];
        assert_eq!(outcome.outputs["packed"].floats(), expected.concat());
    }
}
