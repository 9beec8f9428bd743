//! One training step as graph functions: a phase for the discriminator (one for each set of lazy regularizers that
//! fall due together), a phase for the generator, and one that samples.
//!
//! The whole objective can be read here. Each phase draws its latents itself, from the random key, a stream of its own
//! and the global index of its first sample, so a sample depends neither on the batch size nor on earlier phases.

use crate::losses::Loss;
use crate::networks::{self, Net, Side};
use crate::recipe::{EmaBuffers, OptimizerSpec, Recipe, RecipeError, Scheduled, StatisticsPass};
use crate::regularizers::{Context, Regularizer};
use ganymede_graph::{DType, Function, Graph, GraphError, Tensor, TensorType, grad};
use ganymede_nn::optim::{
    BufferRule, Constraint, EmaSpec, Hyper, Plan, StateSpec, and_bounded, apply, state_specs,
};
use ganymede_nn::{Mode, Optimizer, Params, RandomSource, Scope};

/// Streams of the random key; those of dropout layers have their top bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// Latents of the discriminator's step.
    DiscriminatorLatent = 1,
    /// Latents of the generator's step.
    GeneratorLatent = 2,
    /// Positions between real and generated samples (gradient penalty).
    Interpolation = 3,
    /// Latents of sampling.
    Sample = 4,
}

/// Prefix of the averaged generator's slots.
pub const EMA: &str = "ema/";

/// Names of the scalar and vector feeds that phases share.
pub mod feed {
    /// Real samples `[batch, ...]`.
    pub const REAL: &str = "real";
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
    /// Regularizers with strength and interval.
    pub regularizers: Vec<(&'static dyn Regularizer, Scheduled, usize)>,
    generator_optimizer: Box<dyn Optimizer>,
    discriminator_optimizer: Box<dyn Optimizer>,
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
            regularizers: recipe.regularizers()?,
            generator,
            discriminator,
            recipe,
        })
    }

    /// Which regularizers the discriminator's step number `n` (from 0) applies: those whose interval divides n.
    pub fn due(&self, n: u64) -> Vec<bool> {
        self.regularizers.iter().map(|(_, _, every)| n.is_multiple_of(*every as u64)).collect()
    }

    /// Every set of regularizers that falls due together at some step. Intervals repeat after their least common
    /// multiple; sets are looked for over that many steps, or 4096 if it is larger, and a set that first falls due
    /// later is compiled when it does.
    pub fn due_sets(&self) -> Vec<Vec<bool>> {
        let gcd = |mut a: u64, mut b: u64| {
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        let period = self
            .regularizers
            .iter()
            .fold(1u64, |l, r| (l / gcd(l, r.2 as u64)).saturating_mul(r.2 as u64))
            .min(4096);
        let mut sets: Vec<Vec<bool>> = Vec::new();
        for n in 0..period {
            let due = self.due(n);
            if !sets.contains(&due) {
                sets.push(due);
            }
        }
        sets
    }

    fn batch_of(&self, shape: &[usize]) -> TensorType {
        let mut full = vec![self.recipe.train.batch];
        full.extend(shape);
        TensorType::f32(full)
    }

    fn latent(&self, graph: &Graph, random: &Random, stream: Stream, count: usize) -> Tensor {
        let _at = graph.scope("latent");
        graph.random_normal(&random.key, &random.first, stream as u32, &[count, self.recipe.latent.dim])
    }

    /// Latents of the normal restricted to |z| <= t: the truncation trick (Brock, Donahue, Simonyan 2019, BigGAN,
    /// section 3.1), which draws a value again until it lies within.
    ///
    /// Here by inversion, one uniform a value as without it: the restricted distribution function
    /// F(z) = (Phi(z) - Phi(-t)) / (Phi(t) - Phi(-t)) and Phi(z) = (1 + erf(z / sqrt 2)) / 2 give, for u uniform,
    /// z = sqrt(2) erfinv((2u - 1) erf(t / sqrt 2)).
    fn truncated_latent(&self, graph: &Graph, random: &Random, count: usize, t: f64) -> Tensor {
        let _at = graph.scope("latent");
        // As an f32, in which it is used.
        if !(t as f32 > 0.0 && (t as f32).is_finite()) {
            return graph.fail("latent", format!("the threshold of truncation must be above 0, got {t}"));
        }
        let shape = [count, self.recipe.latent.dim];
        let u = graph.random_uniform(&random.key, &random.first, Stream::Sample as u32, &shape);
        let root = std::f64::consts::SQRT_2;
        let z = ((u * 2.0 - 1.0) * graph.scalar(t / root).erf()).erfinv() * root;
        // At u next to 0 and 1 the rounding of erf and erfinv could step over.
        z.maximum(&z.full_like(-t)).minimum(&z.full_like(t))
    }

    fn generate(&self, scope: &Scope, latent: &Tensor) -> Tensor {
        self.generator.build(Side::Generator, scope, latent, &self.recipe.data.shape)
    }

    /// Logits `[batch]` of samples.
    fn judge(&self, scope: &Scope, samples: &Tensor) -> Tensor {
        let batch = samples.shape().first().copied().unwrap_or(1);
        self.discriminator
            .build(Side::Discriminator, scope, samples, &self.recipe.data.shape)
            .reshape(&[batch])
    }

    /// Whether the discriminator's step judges real and generated samples in one pass: each weight is then read and
    /// packed once, and each weight's gradient is one sum. It must give what two passes give, and no gradient of one
    /// half of the logits by its samples may be asked for.
    fn judges_together(&self, due: &[bool]) -> bool {
        let apart =
            |(i, r): (usize, &(&dyn Regularizer, Scheduled, usize))| due[i] && r.0.differentiates_logits();
        self.discriminator.takes_segments() && !self.regularizers.iter().enumerate().any(apart)
    }

    /// Logits of real and of generated samples, each `[batch]`, and the scope that declared the parameters.
    fn judge_both(
        &self,
        graph: &Graph,
        source: &RandomSource,
        [real, fake]: [&Tensor; 2],
        together: bool,
    ) -> (Scope, [Tensor; 2]) {
        let passes = [StatisticsPass::RealPass, StatisticsPass::FakePass];
        let root = |mode| Scope::root(graph, Side::Discriminator.root(), mode);
        if !together {
            let d = root(self.mode(source, Some(passes[0])));
            let d_fake = d.with_mode(self.mode(source, Some(passes[1])));
            let logits = [self.judge(&d, real), self.judge(&d_fake, fake)];
            return (d, logits);
        }
        // At most one of the two updates running statistics: a recipe with both is refused.
        let updating = passes.iter().position(|p| self.recipe.train.statistics.contains(p));
        let chosen = updating.unwrap_or(0);
        let d = root(self.mode(source, Some(passes[chosen])).with_segments(2, chosen));
        let logits = self.judge(&d, &Tensor::concat(&[real, fake], 0));
        let batch = self.recipe.train.batch;
        (d, [logits.slice(0, 0, batch), logits.slice(0, batch, 2 * batch)])
    }

    fn mode(&self, random: &RandomSource, pass: Option<StatisticsPass>) -> Mode {
        let updates = pass.is_some_and(|p| self.recipe.train.statistics.contains(&p));
        let mode = if updates { Mode::train() } else { Mode::train_frozen_statistics() };
        mode.with_random(random.clone())
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

    /// The discriminator's step with the given regularizers: generated samples are constants, so no gradient of the
    /// generator exists.
    pub fn discriminator_phase(&self, due: &[bool]) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let random = Random::new(&graph);
        let real = graph.feed(feed::REAL, self.batch_of(&self.recipe.data.shape));
        let hyper = self.hyper(&graph, Side::Discriminator);
        let source = random.source();
        let latent = self.latent(&graph, &random, Stream::DiscriminatorLatent, self.recipe.train.batch);
        let g = Scope::root(&graph, Side::Generator.root(), self.mode(&source, None));
        let fake = self.generate(&g, &latent).stop_gradient();

        let together = self.judges_together(due);
        let (d, [real_logits, fake_logits]) = self.judge_both(&graph, &source, [&real, &fake], together);
        let d_more = d.with_mode(self.mode(&source, None));
        let mut loss = self.loss.discriminator(&real_logits, &fake_logits);
        graph.output("d_loss", &loss);

        let uniform = |shape: &[usize]| {
            graph.random_uniform(&random.key, &random.first, Stream::Interpolation as u32, shape)
        };
        let mut constraints: Vec<(&dyn Regularizer, Tensor)> = Vec::new();
        let mut penalties = graph.scalar(0.0);
        for (i, (regularizer, _, every)) in self.regularizers.iter().enumerate() {
            if !due[i] {
                continue;
            }
            let _at = graph.scope(regularizer.name());
            let strength = graph.feed(&feed::strength(i), TensorType::f32([]));
            let context = Context {
                real: &real,
                fake: &fake,
                real_logits: &real_logits,
                fake_logits: &fake_logits,
                discriminator: &|x| self.judge(&d_more, x),
                strength: &strength,
                uniform: &uniform,
            };
            if let Some(penalty) = regularizer.penalty(&context) {
                // Applied every n-th step it counts n times, which leaves its mean weight as it was.
                penalties = penalties + penalty * *every as f64;
            }
            constraints.push((*regularizer, strength));
        }
        loss = loss + &penalties;

        let params = d.trainable();
        let variables: Vec<&Tensor> = params.iter().map(|(_, t)| t).collect();
        let gradients = grad(&loss, &variables);
        let constrain = |weight: &Tensor| {
            constraints.iter().fold(weight.clone(), |w, (r, strength)| r.constrain(&w, strength).unwrap_or(w))
        };
        let mut plan = self.plan(Side::Discriminator);
        plan.constrain = Some(Constraint(&constrain));
        let sound = apply(&graph, &plan, &params, &gradients, &hyper).and(&loss.is_finite());
        graph.commit_when(&and_bounded(sound, &d.buffers()));
        graph.output("d_penalty", &penalties);
        graph.output("d_real", &real_logits.mean_all());
        graph.output("d_fake", &fake_logits.mean_all());
        graph.finish()
    }

    /// The generator's step, with the moving average of its weights. No gradient of discriminator weights exists.
    pub fn generator_phase(&self) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let random = Random::new(&graph);
        let hyper = self.hyper(&graph, Side::Generator);
        // The two phases of a step may begin at the same index.
        let source = random.source().salted("generator-step/");
        let latent = self.latent(&graph, &random, Stream::GeneratorLatent, self.recipe.train.batch);
        let g = Scope::root(
            &graph,
            Side::Generator.root(),
            self.mode(&source, Some(StatisticsPass::GeneratorStep)),
        );
        let fake = self.generate(&g, &latent);
        let d = Scope::root(&graph, Side::Discriminator.root(), self.mode(&source, None));
        let real_logits = self.loss.pairs().then(|| {
            let real = graph.feed(feed::REAL, self.batch_of(&self.recipe.data.shape));
            self.judge(&d, &real)
        });
        let fake_logits = self.judge(&d, &fake);
        let loss = self.loss.generator(real_logits.as_ref(), &fake_logits);

        let params = g.trainable();
        let variables: Vec<&Tensor> = params.iter().map(|(_, t)| t).collect();
        let gradients = grad(&loss, &variables);
        let mut plan = self.plan(Side::Generator);
        plan.ema = self.recipe.ema.as_ref().map(|average| {
            let decay = graph.feed(feed::EMA_DECAY, TensorType::f32([]));
            let buffer_rule = match average.buffers {
                EmaBuffers::Copy => BufferRule::Copy,
                EmaBuffers::Average => BufferRule::Average,
            };
            EmaSpec { buffer_rule, ..EmaSpec::new(&decay, g.buffers()) }
        });
        let sound = apply(&graph, &plan, &params, &gradients, &hyper).and(&loss.is_finite());
        graph.commit_when(&and_bounded(sound, &g.buffers()));
        graph.output("g_loss", &loss);
        graph.finish()
    }

    /// Prefix of the slots that samples are drawn from: the averaged generator's, if there is one.
    pub fn sample_prefix(&self) -> &'static str {
        if self.recipe.ema.is_some() { EMA } else { "" }
    }

    /// `count` samples of the (averaged) generator with running statistics, from latents within `truncation` of 0 where
    /// it is given.
    ///
    /// # Errors
    /// The graph's own, or a truncation that is not above 0.
    pub fn sample_phase(&self, count: usize, truncation: Option<f64>) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let random = Random::new(&graph);
        let latent = match truncation {
            None => self.latent(&graph, &random, Stream::Sample, count),
            Some(t) => self.truncated_latent(&graph, &random, count, t),
        };
        let g = Scope::root(&graph, Side::Generator.root(), Mode::eval().with_prefix(self.sample_prefix()));
        let samples = self.generate(&g, &latent);
        graph.output("samples", &samples);
        graph.finish()
    }

    /// Logits of `count` given samples, with running statistics.
    pub fn judge_phase(&self, count: usize) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let mut shape = vec![count];
        shape.extend(&self.recipe.data.shape);
        let samples = graph.feed("samples", TensorType::f32(shape));
        let d = Scope::root(&graph, Side::Discriminator.root(), Mode::eval());
        graph.output("logits", &self.judge(&d, &samples));
        graph.finish()
    }

    fn optimizer_spec(&self, side: Side) -> &OptimizerSpec {
        match side {
            Side::Generator => &self.recipe.generator.optimizer,
            Side::Discriminator => &self.recipe.discriminator.optimizer,
        }
    }

    fn plan(&self, side: Side) -> Plan<'_> {
        let spec = self.optimizer_spec(side);
        let mut plan = Plan::new(self.optimizer(side), &optimizer_prefix(side));
        plan.clip_norm = (spec.clip_norm > 0.0).then_some(spec.clip_norm);
        plan.clip_value = (spec.clip_value > 0.0).then_some(spec.clip_value);
        plan
    }

    /// State beside the parameters: the optimizers' slots, and the averaged generator's.
    pub fn extra_state(&self, side: Side, params: &Params) -> Vec<StateSpec> {
        let ema = (side == Side::Generator && self.recipe.ema.is_some()).then_some(EMA);
        state_specs(self.optimizer(side), &optimizer_prefix(side), params, ema)
    }

    /// The optimizer of one side.
    pub fn optimizer(&self, side: Side) -> &dyn Optimizer {
        match side {
            Side::Generator => self.generator_optimizer.as_ref(),
            Side::Discriminator => self.discriminator_optimizer.as_ref(),
        }
    }
}
