//! Recipes: what to train and how, as a TOML file.

mod auto;
mod builtin;
mod check;
mod compare;
mod parse;
mod scheduled;
mod settle;
mod strength;

pub use auto::{Choice, Facts, choose};
pub use builtin::{BUILTIN, Builtin};
pub use ganymede_cpu::{MemoryMode, Precision};
pub use parse::reaches;
pub use scheduled::Scheduled;
pub use strength::Strength;

use crate::losses::Labels;
use crate::networks::Side;
use ganymede_data::Sampling;
use ganymede_nn::error::nearest;
use serde::{Deserialize, Serialize};

/// Everything that determines a run but its data, length and seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name, shown in logs and stored in checkpoints.
    pub name: String,
    /// One sentence on what it is.
    #[serde(default)]
    pub about: String,
    /// What the networks expect of the data.
    pub data: DataSpec,
    /// The generator's input.
    pub latent: Latent,
    /// The training loop.
    pub train: Train,
    /// The adversarial loss.
    pub loss: LossSpec,
    /// Changes of what the discriminator sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
    /// Exponential moving average of the generator's weights; samples are drawn from it where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<Ema>,
    /// Which checkpoint of a run is kept as its best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<BestSpec>,
    /// The generator.
    pub generator: NetworkSpec,
    /// The discriminator.
    pub discriminator: NetworkSpec,
    /// Penalties and constraints on the discriminator.
    #[serde(default)]
    pub regularizers: Vec<RegularizerSpec>,
    /// Filled in when a run begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunSpec>,
    /// What was settled while the recipe was read and deserves a sentence when a run begins.
    #[serde(skip)]
    pub remarks: Vec<String>,
}

/// What the networks expect of the data.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// Shape of one sample: `[height, width, channels]`, or `[2]` for points.
    pub shape: Vec<usize>,
    /// What is trained on where the command names no data.
    pub default: String,
    /// Classes of a conditional pair: its networks are told the class of each sample. A run takes the number from its
    /// data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
}

/// The generator's input: independent standard normals.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latent {
    /// How many.
    pub dim: usize,
}

/// The training loop.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Samples a batch.
    pub batch: usize,
    /// Equal parts in which a batch is taken, one after the other, whose gradients are added up before the step: the step
    /// of the whole batch in the memory of a part. What compares samples of a batch compares those of a part.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// Discriminator steps for each generator step.
    #[serde(default = "one")]
    pub critic_steps: usize,
    /// Real samples shown to the discriminator in all, unless the command line says otherwise.
    pub images: u64,
    /// Samples that the discriminator judges together, side by side along their channels: it then sees when they are too
    /// alike (Lin et al. 2018, PacGAN).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub pack: usize,
    /// Whether every class of the data is shown equally often, however many samples it has.
    #[serde(default, skip_serializing_if = "is_false")]
    pub class_balanced: bool,
    /// Which passes update batch norm's running statistics.
    #[serde(default = "default_statistics")]
    pub statistics: Vec<StatisticsPass>,
    /// Batches of fresh latents over which batch norm's statistics are taken anew before samples are drawn (Brock,
    /// Donahue, Simonyan 2019, standing statistics); 0 draws with the running ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub standing_statistics: usize,
    /// Arithmetic of the contractions.
    #[serde(default)]
    pub precision: Precision,
    /// Whether time is spent to save memory.
    #[serde(default)]
    pub memory: MemoryMode,
}

fn one() -> usize {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

fn default_statistics() -> Vec<StatisticsPass> {
    vec![StatisticsPass::GeneratorStep, StatisticsPass::RealPass]
}

/// A pass that may update running statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatisticsPass {
    /// The generator's forward pass in its own step: updates the generator's statistics.
    GeneratorStep,
    /// The discriminator's pass over real samples in its own step: updates the discriminator's statistics.
    RealPass,
    /// The discriminator's pass over generated samples in its own step.
    FakePass,
}

/// The adversarial loss.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossSpec {
    /// A name in [`crate::losses::LOSSES`].
    pub name: String,
    /// What the discriminator is asked to say of real samples, 1 unless given: below 1 it is not driven to certainty
    /// (one-sided label smoothing; Salimans et al. 2016, section 3.4, with 0.9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real_label: Option<f64>,
    /// The same of generated samples, 0 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fake_label: Option<f64>,
    /// What the generator wants generated samples to be taken for, 1 unless given, for losses that measure its distance too
    /// (Mao et al. 2017, LSGAN: c).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator_label: Option<f64>,
    /// Share of the generated samples, those with the largest logits, that count in the generator's loss; may be
    /// scheduled, e.g. from 1 to 0.5 (Sinha et al. 2020, top-k training).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<Scheduled>,
    /// Standard deviation of normal noise on everything that the discriminator sees; may be scheduled, e.g. from 0.1 to
    /// 0 (Sonderby et al. 2017; Arjovsky, Bottou 2017, section 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_noise: Option<Scheduled>,
}

/// Augmentation of everything that the discriminator sees, real and generated, in both steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augment {
    /// Names in [`crate::augment::AUGMENTATIONS`], applied one after the other.
    pub policy: Vec<String>,
    /// Probability with which each part of each acts on a sample; may be scheduled. 1 unless given, and its first value
    /// where a target is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<Scheduled>,
    /// Adapts the probability: it rises while the mean sign of the logits of real samples is above this, and falls while
    /// it is below (Karras et al. 2020, ADA, with 0.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Images over which it could go from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<u64>,
}

impl Augment {
    /// Images over which an adapted probability could go from 0 to 1 where the recipe does not say: as in ADA.
    pub const RAMP: u64 = 500_000;
}

/// Exponential moving average of the generator's weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ema {
    /// Images after which a weight has moved half way to a new value; 0 follows at once. May be scheduled.
    pub half_life: Scheduled,
    /// Bounds the half-life by this share of the images shown so far: young averages follow faster (Karras et al. 2020,
    /// StyleGAN2, whose program has 0.05).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<f64>,
    /// What becomes of the generator's running statistics in the average.
    #[serde(default)]
    pub buffers: EmaBuffers,
}

/// Which checkpoint of a run is kept as its best.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BestSpec {
    /// A name in [`crate::best::RUN_METRICS`], by which samples are scored at every tick.
    pub metric: String,
}

/// What the average does with running statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmaBuffers {
    /// Takes the newest: they are averages already (Karras, Laine, Aila 2019, StyleGAN).
    #[default]
    Copy,
    /// Averages them like weights, so that both are of the same age.
    Average,
}

/// A network and its optimizer. Exactly one of `layers` and `model` is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// A named model of [`crate::models::MODELS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The named model's options.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub options: toml::Table,
    /// A plain list of layers, e.g. `"dense 128 relu"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
    /// Power iterations a step that estimate the largest singular value of every weight, by which it is then divided
    /// (Miyato et al. 2018, spectral normalization, with 1); 0 is off.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spectral_norm: usize,
    /// Of the discriminator: so many of its first layers (of a named model: stages), as they declare parameters, do not
    /// learn (Mo, Cho, Shin 2020, FreezeD): for training that begins with the weights of another run.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub freeze: usize,
    /// Of a discriminator that is a named model: it guesses the class of a sample from the features before its last layer (Odena,
    /// Olah, Shlens 2017, AC-GAN, section 3), for `auxiliary-classifier`, and is not told it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub classify: bool,
    /// How it learns.
    pub optimizer: OptimizerSpec,
}

/// An optimizer and its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSpec {
    /// adam, adamw, rmsprop or sgd.
    #[serde(default = "adam")]
    pub kind: String,
    /// Learning rate; may be scheduled.
    pub lr: Scheduled,
    /// Decay of the first moment (of `sgd`: its momentum; `rmsprop` has none); may be scheduled. Where it, or one of the
    /// next three, is left out, the optimizer's own default holds, and the resolved recipe prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta1: Option<Scheduled>,
    /// Decay of the second moment (of `rmsprop`: of the mean square; `sgd` has none); may be scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta2: Option<Scheduled>,
    /// Added to the root of the second moment; `sgd` has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// Weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Share of the last step that `rmsprop` adds. (That of `sgd` is its beta1, which may be scheduled.)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Whether `sgd` looks ahead along its momentum, as Nesterov's form does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nesterov: Option<bool>,
    /// Gradients with a larger global norm are scaled down to it; 0 is off.
    #[serde(default)]
    pub clip_norm: f64,
    /// Each element of a gradient is first clamped to this and its negative; 0 is off.
    #[serde(default)]
    pub clip_value: f64,
}

fn adam() -> String {
    "adam".into()
}

/// A penalty or constraint on the discriminator.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegularizerSpec {
    /// A name in [`crate::regularizers::REGULARIZERS`].
    pub name: String,
    /// Strength; may be scheduled, or `"auto"` where the regularizer has a rule for it. Its default is the regularizer's
    /// own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<Strength>,
    /// Applied every so many steps of its network, that many times as strongly (lazy regularization).
    #[serde(default = "one")]
    pub every: usize,
    /// Augmentations, for a regularizer that compares samples with changed ones: names in
    /// [`crate::augment::AUGMENTATIONS`], flips and translations where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub augment: Vec<String>,
    /// The network, where the regularizer can be applied to either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Side>,
}

/// What the command line settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// The data as given, e.g. a folder, `glyphs` or `synthetic:ring8`.
    pub data: String,
    /// BLAKE3 sum of the data's content, by which a resumed run knows them again.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data_hash: String,
    /// Seed of initial weights, latents and the order of samples.
    pub seed: u64,
    /// Length of the run in real samples shown to the discriminator.
    pub images: u64,
    /// Names of the classes of a conditional run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Version of the program that began the run.
    pub version: String,
    /// The checkpoint whose weights it began with, if it did not draw them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// A wrong recipe: where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {message}")]
pub struct RecipeError {
    /// File and line, or the `--set` key.
    pub at: String,
    /// Expected, got, and the nearest valid choice.
    pub message: String,
}

/// `name` unknown among `known`: the nearest first, then the whole list.
pub(crate) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let nearest = nearest(name, known.iter().copied());
    let hint = nearest.map_or(String::new(), |k| format!("; did you mean `{k}`?"));
    format!("unknown {what} `{name}`{hint} (known: {})", known.join(", "))
}

impl Train {
    /// How real samples are chosen.
    pub fn sampling(&self) -> Sampling {
        if self.class_balanced { Sampling::ClassBalanced } else { Sampling::Shuffled }
    }
}

impl Recipe {
    /// What the discriminator is asked to say.
    pub fn labels(&self) -> Labels {
        let usual = Labels::default();
        let LossSpec { real_label, fake_label, .. } = self.loss;
        Labels { real: real_label.unwrap_or(usual.real), fake: fake_label.unwrap_or(usual.fake) }
    }

    /// Samples in a part of a batch; in all of it, where it is taken whole.
    pub fn part(&self) -> usize {
        self.train.batch / self.train.accumulate
    }

    /// Samples, or packs of them, that the discriminator judges at once.
    pub fn judged_batch(&self) -> usize {
        self.part() / self.train.pack
    }

    /// Shape of what the discriminator judges: a sample, or a pack of them.
    pub fn judged_shape(&self) -> Vec<usize> {
        let mut shape = self.data.shape.clone();
        if let Some(channels) = shape.last_mut() {
            *channels = channels.saturating_mul(self.train.pack);
        }
        shape
    }
}
