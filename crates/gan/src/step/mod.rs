//! One training step as graph functions: a phase for the discriminator (one for each set of lazy regularizers that
//! fall due together), a phase for the generator, and one that samples.
//!
//! The whole objective can be read here, in the files of the networks' steps, and in what they share: what the
//! discriminator sees (`seen`), what regularizers add (`penalties`), how gradients become a step (`commit`). Each phase
//! draws its latents itself, from the random key, a stream of its own and the global index of its first sample, so a
//! sample depends neither on the batch size nor on earlier phases.

mod commit;
mod discriminator;
pub mod feed;
mod generator;
mod latents;
mod learning;
mod penalties;
mod phases;
mod sampling;
mod seen;
mod state;

pub use commit::ACCUMULATED;
pub use latents::projected;
pub use phases::{TrainingPhase, Work};
pub use sampling::MAX_FACTOR;
pub use seen::PROBABILITY;

use crate::augment::Augmentation;
use crate::losses::{Labels, Loss};
use crate::networks::{self, Net, Side};
use crate::recipe::{OptimizerSpec, Recipe, RecipeError, Scheduled, StatisticsPass};
use crate::regularizers::Regularizer;
use ganymede_graph::{DType, Graph, Tensor, TensorType};
use ganymede_nn::optim::Hyper;
use ganymede_nn::{ClassLabels, Mode, Optimizer, RandomSource, Scope};

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

/// Prefix of the averaged generator's slots.
pub const EMA: &str = "ema/";

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

    fn latent(&self, graph: &Graph, random: &Random, stream: Stream, count: usize) -> Tensor {
        let _at = graph.scope("latent");
        graph.random_normal(&random.key, &random.first, stream as u32, &[count, self.recipe.latent.dim])
    }

    fn generate(&self, scope: &Scope, latent: &Tensor) -> Tensor {
        self.generator.build(Side::Generator, scope, latent, &self.recipe.data.shape)
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

    /// The optimizer of one side.
    pub fn optimizer(&self, side: Side) -> &dyn Optimizer {
        match side {
            Side::Generator => self.generator_optimizer.as_ref(),
            Side::Discriminator => self.discriminator_optimizer.as_ref(),
        }
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
}
