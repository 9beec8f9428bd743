//! Recipes: what to train and how, as a TOML file.

mod builtin;
mod compare;
mod parse;
mod scheduled;

pub use builtin::{BUILTIN, Builtin};
pub use ganymede_cpu::{MemoryMode, Precision};
pub use parse::reaches;
pub use scheduled::Scheduled;

use crate::augment::{self, Augmentation};
use crate::losses::{self, Labels, Loss};
use crate::networks::{Net, Side};
use crate::regularizers;
use crate::step::Applied;
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
}

/// What the networks expect of the data.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// Shape of one sample: `[height, width, channels]`, or `[2]` for points.
    pub shape: Vec<usize>,
    /// What is trained on where the command names no data.
    pub default: String,
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
    /// Discriminator steps for each generator step.
    #[serde(default = "one")]
    pub critic_steps: usize,
    /// Real samples shown to the discriminator in all, unless the command line says otherwise.
    pub images: u64,
    /// Samples that the discriminator judges together, side by side along their channels: it then sees when they are too
    /// alike (Lin et al. 2018, PacGAN).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub pack: usize,
    /// Which passes update batch norm's running statistics.
    #[serde(default = "default_statistics")]
    pub statistics: Vec<StatisticsPass>,
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
    /// A name in [`losses::LOSSES`].
    pub name: String,
    /// What the discriminator is asked to say of real samples, 1 unless given: below 1 it is not driven to certainty
    /// (one-sided label smoothing; Salimans et al. 2016, section 3.4, with 0.9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real_label: Option<f64>,
    /// The same of generated samples, 0 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fake_label: Option<f64>,
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
    /// Names in [`augment::AUGMENTATIONS`], applied one after the other.
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
    /// What becomes of the generator's running statistics in the average.
    #[serde(default)]
    pub buffers: EmaBuffers,
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
    /// A name in [`regularizers::REGULARIZERS`].
    pub name: String,
    /// Strength; may be scheduled. Its default is the regularizer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<Scheduled>,
    /// Applied every so many steps of its network, that many times as strongly (lazy regularization).
    #[serde(default = "one")]
    pub every: usize,
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
    /// Version of the program that began the run.
    pub version: String,
}

/// Values in a batch of samples or latents; above it, tensors inside the networks would outgrow their indices.
const MAX_BATCH_VALUES: usize = 1 << 28;

/// Parameters of one network: 4 GiB of weights, four times that with moments and average.
const MAX_PARAMETERS: usize = 1 << 30;

/// Smallest eps: the smallest normal number of the f32 arithmetic it is used in, rounded up.
const MIN_EPS: f64 = 1.2e-38;

/// Largest `clip_norm`: no gradient that a step is taken along is as long.
const MAX_CLIP: f64 = 1e30;

/// Largest deviation of instance noise: samples span 2.
const MAX_NOISE: f64 = 100.0;

/// Longest interval of a lazy regularizer, in discriminator steps.
const MAX_INTERVAL: usize = 1 << 16;

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

impl Recipe {
    fn error(&self, key: &str, message: impl Into<String>) -> RecipeError {
        RecipeError { at: format!("recipe `{}`, key `{key}`", self.name), message: message.into() }
    }

    /// With the optimizers' own values where the recipe leaves them open.
    pub fn resolved(mut self) -> Self {
        self.generator.optimizer = self.generator.optimizer.resolved();
        self.discriminator.optimizer = self.discriminator.optimizer.resolved();
        self
    }

    /// Checks every name and number; networks are checked for shape by [`Recipe::networks`].
    pub fn validate(&self) -> Result<(), RecipeError> {
        self.check_loss()?;
        self.augmentations()?;
        self.regularizers()?;
        // The name is part of the run folder's.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(plain) {
            let message = "names the run folder: letters, digits, `-`, `_` and `.` only, and no `.` first";
            return Err(self.error("name", message));
        }
        let elements = self.data.shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side));
        let bounded = [
            ("train.batch", Some(self.train.batch), 1 << 20),
            ("train.critic_steps", Some(self.train.critic_steps), 1 << 16),
            ("train.pack", Some(self.train.pack), 1 << 10),
            ("latent.dim", Some(self.latent.dim), 1 << 24),
            ("data.shape", elements, 1 << 26),
        ];
        for (key, value, most) in bounded {
            if value.is_none_or(|v| v == 0 || v > most) {
                let got = value.map_or("more".into(), |v| v.to_string());
                let what = if key == "data.shape" { "must make 1 to" } else { "must be from 1 to" };
                let unit = if key == "data.shape" { " values a sample" } else { "" };
                return Err(self.error(key, format!("{what} {most}{unit}, got {got}")));
            }
        }
        let width = elements.unwrap_or(0).max(self.latent.dim);
        if self.train.batch.saturating_mul(width) > MAX_BATCH_VALUES {
            return Err(self.error(
                "train.batch",
                format!(
                    "a batch of {} times {width} values is more than {MAX_BATCH_VALUES}: use {} or less",
                    self.train.batch,
                    MAX_BATCH_VALUES / width
                ),
            ));
        }
        if !self.train.batch.is_multiple_of(self.train.pack) {
            let message =
                format!("a batch of {} does not divide into packs of {}", self.train.batch, self.train.pack);
            return Err(self.error("train.pack", message));
        }
        if self.train.images == 0 {
            return Err(self.error("train.images", "must be at least 1, got 0"));
        }
        let s = &self.train.statistics;
        if s.contains(&StatisticsPass::RealPass) && s.contains(&StatisticsPass::FakePass) {
            return Err(self.error(
                "train.statistics",
                "real-pass and fake-pass both update the discriminator's statistics: name one of them",
            ));
        }
        for (side, network) in [("generator", &self.generator), ("discriminator", &self.discriminator)] {
            let o = &network.optimizer;
            let key = |name: &str| format!("{side}.optimizer.{name}");
            for (name, schedule) in [("beta1", &o.beta1), ("beta2", &o.beta2)] {
                let Some(schedule) = schedule else { continue };
                let (low, high) = schedule.range();
                // In the f32 of the arithmetic: one that rounds to 1 would divide by 1 - 1.
                if low < 0.0 || high as f32 >= 1.0 {
                    let message = format!("must stay in [0, 1), as a 32-bit number too, got {schedule}");
                    return Err(self.error(&key(name), message));
                }
            }
            if o.lr.range().0 < 0.0 {
                return Err(self.error(&key("lr"), format!("must not be negative, got {}", o.lr)));
            }
            for (name, value, least) in [
                ("eps", o.eps, MIN_EPS),
                ("weight_decay", o.weight_decay, 0.0),
                ("clip_value", Some(o.clip_value), 0.0),
            ] {
                if let Some(value) = value
                    && (!value.is_finite() || value < least)
                {
                    return Err(
                        self.error(&key(name), format!("must be a number of at least {least}, got {value}"))
                    );
                }
            }
            if o.clip_norm != 0.0 && !(MIN_EPS..=MAX_CLIP).contains(&o.clip_norm) {
                let message =
                    format!("must be 0 (off) or from {MIN_EPS:e} to {MAX_CLIP:e}, got {}", o.clip_norm);
                return Err(self.error(&key("clip_norm"), message));
            }
            // As for the betas: in the f32 of the arithmetic.
            if let Some(momentum) = o.momentum
                && !(momentum >= 0.0 && (momentum as f32) < 1.0)
            {
                let message =
                    format!("must be at least 0 and below 1, as a 32-bit number too, got {momentum}");
                return Err(self.error(&key("momentum"), message));
            }
            let optimizer = crate::networks::optimizer(o).map_err(|m| self.error(&key("kind"), m))?;
            let most = ganymede_nn::optim::max_lr(optimizer.as_ref());
            if o.lr.range().1 > most {
                let how = match o.eps {
                    Some(eps) if most < ganymede_nn::optim::MAX_LR => {
                        format!("with an eps of {eps:e}: lower it, or raise eps")
                    }
                    Some(_) | None => "so that no step leaves the range of 32-bit numbers: lower it".into(),
                };
                let message = format!("must be at most {most:e} {how}; got {}", o.lr);
                return Err(self.error(&key("lr"), message));
            }
            let resolved = o.clone().resolved();
            let still = resolved.beta1.is_none_or(|momentum| momentum.range().1 == 0.0);
            if resolved.nesterov == Some(true) && still {
                let message = "looks ahead along a momentum, and there is none: give beta1 above 0, e.g. 0.9";
                return Err(self.error(&key("nesterov"), message));
            }
        }
        if let Some(ema) = &self.ema
            && ema.half_life.range().0 < 0.0
        {
            return Err(self.error("ema.half_life", format!("must not be negative, got {}", ema.half_life)));
        }
        Ok(())
    }

    /// The loss by name.
    pub fn loss_function(&self) -> Result<&'static dyn Loss, RecipeError> {
        losses::find(&self.loss.name).ok_or_else(|| {
            let known: Vec<&str> = losses::LOSSES.iter().map(|l| l.name()).collect();
            self.error("loss.name", unknown("loss", &self.loss.name, &known))
        })
    }

    /// What the discriminator is asked to say.
    pub fn labels(&self) -> Labels {
        let usual = Labels::default();
        let LossSpec { real_label, fake_label, .. } = self.loss;
        Labels { real: real_label.unwrap_or(usual.real), fake: fake_label.unwrap_or(usual.fake) }
    }

    /// Checks the options of the loss.
    fn check_loss(&self) -> Result<(), RecipeError> {
        let loss = self.loss_function()?;
        let spec = &self.loss;
        for (key, label) in [("loss.real_label", spec.real_label), ("loss.fake_label", spec.fake_label)] {
            let Some(label) = label else { continue };
            if !loss.takes_labels() {
                let takes = losses::LOSSES.iter().filter(|l| l.takes_labels()).map(|l| l.name());
                let message = format!(
                    "the loss `{}` has no targets that a label could replace: leave it out, or choose one of {}",
                    loss.name(),
                    takes.collect::<Vec<_>>().join(", ")
                );
                return Err(self.error(key, message));
            }
            if !(0.0..=1.0).contains(&label) {
                return Err(self.error(key, format!("must be from 0 to 1, got {label}")));
            }
        }
        if spec.top_k.is_some() && !loss.sums_over_samples() {
            let message = format!(
                "in `{}` every sample's term depends on all generated samples, so none can be left out: choose another loss",
                loss.name()
            );
            return Err(self.error("loss.top_k", message));
        }
        let labels = self.labels();
        if labels.real <= labels.fake {
            let message =
                format!("must lie above that of generated samples, {}, got {}", labels.fake, labels.real);
            return Err(self.error("loss.real_label", message));
        }
        if let Some(share) = &spec.top_k
            && (share.range().0 <= 0.0 || share.range().1 > 1.0)
        {
            return Err(self.error("loss.top_k", format!("must stay above 0 and at most 1, got {share}")));
        }
        if let Some(noise) = &spec.instance_noise
            && (noise.range().0 < 0.0 || noise.range().1 > MAX_NOISE)
        {
            let message = format!("must stay from 0 to {MAX_NOISE}, got {noise}");
            return Err(self.error("loss.instance_noise", message));
        }
        Ok(())
    }

    /// The augmentations by name.
    pub fn augmentations(&self) -> Result<Vec<&'static dyn Augmentation>, RecipeError> {
        let Some(spec) = &self.augment else { return Ok(Vec::new()) };
        if self.data.shape.len() != 3 {
            let message =
                format!("changes images, and the samples have shape {:?}: leave it out", self.data.shape);
            return Err(self.error("augment", message));
        }
        let within = |low: f64, high: f64| 0.0 <= low && high <= 1.0;
        if let Some(p) = &spec.probability
            && !within(p.range().0, p.range().1)
        {
            return Err(self.error("augment.probability", format!("must stay from 0 to 1, got {p}")));
        }
        if let Some(target) = spec.target
            && !within(target, target)
        {
            return Err(self.error("augment.target", format!("must be from 0 to 1, got {target}")));
        }
        if spec.target.is_none() && spec.ramp.is_some() {
            return Err(
                self.error("augment.ramp", "is the pace of a probability that follows a target: give one")
            );
        }
        if spec.ramp == Some(0) {
            return Err(self.error("augment.ramp", "must be at least 1 image, got 0"));
        }
        let (height, width) = (self.data.shape[0], self.data.shape[1]);
        if augment::pixels(height, width) > augment::MAX_PIXELS {
            let message = format!(
                "images of {height}x{width} are too large: their pixels are counted in 24 bits, at twice the resolution"
            );
            return Err(self.error("augment", message));
        }
        let find = |name: &String| {
            augment::find(name).ok_or_else(|| {
                let known: Vec<&str> = augment::AUGMENTATIONS.iter().map(|a| a.name()).collect();
                self.error("augment.policy", unknown("augmentation", name, &known))
            })
        };
        spec.policy.iter().map(find).collect()
    }

    /// Samples, or packs of them, that the discriminator judges in a step.
    pub fn judged_batch(&self) -> usize {
        self.train.batch / self.train.pack
    }

    /// Shape of what the discriminator judges: a sample, or a pack of them.
    pub fn judged_shape(&self) -> Vec<usize> {
        let mut shape = self.data.shape.clone();
        if let Some(channels) = shape.last_mut() {
            *channels = channels.saturating_mul(self.train.pack);
        }
        shape
    }

    /// The regularizers by name, with network, strength and interval.
    pub fn regularizers(&self) -> Result<Vec<Applied>, RecipeError> {
        let mut out: Vec<Applied> = Vec::new();
        for spec in &self.regularizers {
            let regularizer = regularizers::find(&spec.name).ok_or_else(|| {
                let known: Vec<&str> = regularizers::REGULARIZERS.iter().map(|r| r.name()).collect();
                self.error("regularizers.name", unknown("regularizer", &spec.name, &known))
            })?;
            let sides = regularizer.sides();
            let side = spec.network.unwrap_or(sides[0]);
            if !sides.contains(&side) {
                let message = format!("`{}` is for the {} alone", spec.name, sides[0].name());
                return Err(self.error("regularizers.network", message));
            }
            let strength =
                spec.strength.clone().unwrap_or_else(|| Scheduled::constant(regularizer.default_strength()));
            if strength.range().0 < 0.0 {
                return Err(
                    self.error("regularizers.strength", format!("must not be negative, got {strength}"))
                );
            }
            if !(1..=MAX_INTERVAL).contains(&spec.every) {
                let message = format!("must be from 1 to {MAX_INTERVAL}, got {}", spec.every);
                return Err(self.error("regularizers.every", message));
            }
            let twin = |r: &Applied| r.side == side && r.regularizer.name() == spec.name;
            if !regularizer.memory().is_empty() && out.iter().any(twin) {
                let message = format!("`{}` is there twice for the {}: keep one", spec.name, side.name());
                return Err(self.error("regularizers", message));
            }
            out.push(Applied { regularizer, side, strength, every: spec.every });
        }
        Ok(out)
    }

    /// Builds and checks both networks: generator and discriminator.
    pub fn networks(&self) -> Result<(Net, Net), RecipeError> {
        let generator = Net::from_spec(&self.generator).map_err(|m| self.error("generator", m))?;
        let discriminator =
            Net::from_spec(&self.discriminator).map_err(|m| self.error("discriminator", m))?;
        let made = generator
            .output_shape(self.train.batch, &[self.latent.dim], &self.data.shape, Side::Generator)
            .map_err(|m| self.error("generator", m))?;
        if made != self.data.shape {
            return Err(self.error(
                "generator",
                format!("makes samples of shape {made:?}, the data has {:?}", self.data.shape),
            ));
        }
        let judged_shape = self.judged_shape();
        let judged = discriminator
            .output_shape(self.judged_batch(), &judged_shape, &self.data.shape, Side::Discriminator)
            .map_err(|m| self.error("discriminator", m))?;
        if judged.iter().product::<usize>() != 1 {
            return Err(self.error(
                "discriminator",
                format!("ends with shape {judged:?} a sample: it must end with one logit (e.g. `dense 1`)"),
            ));
        }
        for (key, net, input, side) in [
            ("generator", &generator, std::slice::from_ref(&self.latent.dim), Side::Generator),
            ("discriminator", &discriminator, judged_shape.as_slice(), Side::Discriminator),
        ] {
            let (params, _) = net.describe(input, &self.data.shape, side);
            let count = params.iter().fold(0usize, |sum, p| sum.saturating_add(p.ty.len()));
            if count > MAX_PARAMETERS {
                let message =
                    format!("has {count} parameters, {MAX_PARAMETERS} is the most: make its layers smaller");
                return Err(self.error(key, message));
            }
        }
        for Applied { regularizer, side, .. } in self.regularizers()? {
            let network = match side {
                Side::Generator => &generator,
                Side::Discriminator => &discriminator,
            };
            if regularizer.per_sample_gradients() && network.normalizes_batch() {
                return Err(self.error(
                    "regularizers",
                    format!(
                        "`{}` needs each sample's own gradient, but the {} has batch norm, which mixes the samples of a \
                         batch: use layer_norm or none",
                        regularizer.name(),
                        side.name()
                    ),
                ));
            }
        }
        Ok((generator, discriminator))
    }
}
