//! What a recipe may say: every name and number checked, and names resolved to what they stand for.

use super::{Recipe, RecipeError, RegularizerSpec, Scheduled, StatisticsPass, Strength, unknown};
use crate::augment::{self, Augmentation};
use crate::best;
use crate::losses::{self, Loss};
use crate::networks::{ClassUse, Net, Side};
use crate::regularizers::{self, Regularizer};
use crate::step::Applied;

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

/// Most batches of standing statistics.
const MAX_STANDING: usize = 1 << 20;

/// What samples are compared with where a regularizer that does so names nothing.
const USUAL_POLICY: [&str; 2] = ["flip", "translation"];
/// Classes of a conditional pair.
const MAX_CLASSES: usize = 1 << 16;

/// Longest interval of a lazy regularizer, in discriminator steps.
const MAX_INTERVAL: usize = 1 << 16;

impl Recipe {
    fn error(&self, key: &str, message: impl Into<String>) -> RecipeError {
        RecipeError { at: format!("recipe `{}`, key `{key}`", self.name), message: message.into() }
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
        if let Some(classes) = self.data.classes {
            if !(2..=MAX_CLASSES).contains(&classes) {
                return Err(
                    self.error("data.classes", format!("must be from 2 to {MAX_CLASSES}, got {classes}"))
                );
            }
            if self.train.pack > 1 {
                let message = "a pack holds samples of several classes, and a conditional discriminator judges by one: \
                               leave train.pack or data.classes out";
                return Err(self.error("train.pack", message));
            }
        }
        let elements = self.data.shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side));
        let bounded = [
            ("train.batch", Some(self.train.batch), 1 << 20),
            ("train.accumulate", Some(self.train.accumulate), 1 << 20),
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
        if !self.train.batch.is_multiple_of(self.train.accumulate) {
            let message = format!(
                "a batch of {} does not divide into {} equal parts",
                self.train.batch, self.train.accumulate
            );
            return Err(self.error("train.accumulate", message));
        }
        if self.train.accumulate > 1 && self.loss.top_k.is_some() {
            let message = "the samples with the largest logits of a batch cannot be told part by part: leave loss.top_k \
                           out, or take the batch whole";
            return Err(self.error("train.accumulate", message));
        }
        if !self.part().is_multiple_of(self.train.pack) {
            let of = if self.train.accumulate > 1 { "part of a batch" } else { "batch" };
            let message =
                format!("a {of} of {} does not divide into packs of {}", self.part(), self.train.pack);
            return Err(self.error("train.pack", message));
        }
        if self.train.standing_statistics > MAX_STANDING {
            let message = format!("must be at most {MAX_STANDING}, got {}", self.train.standing_statistics);
            return Err(self.error("train.standing_statistics", message));
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
        if self.generator.freeze > 0 {
            let message =
                "is for the discriminator: what its first layers see is what two sets have in common";
            return Err(self.error("generator.freeze", message));
        }
        if let Some(best) = &self.best
            && best::find(&best.metric).is_none()
        {
            let known: Vec<&str> = best::RUN_METRICS.iter().map(|m| m.name()).collect();
            return Err(self.error("best.metric", unknown("metric", &best.metric, &known)));
        }
        if let Some(ramp) = self.ema.as_ref().and_then(|ema| ema.ramp)
            && !(ramp > 0.0 && ramp.is_finite())
        {
            return Err(self.error("ema.ramp", format!("must be a number above 0, got {ramp}")));
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
            self.check_label(loss, key, label)?;
        }
        if let Some(label) = spec.generator_label {
            let key = "loss.generator_label";
            if !loss.takes_generator_label() {
                let takes = losses::LOSSES.iter().filter(|l| l.takes_generator_label()).map(|l| l.name());
                let message = format!(
                    "the generator's part of `{}` has no target that a label could replace: leave it out, or choose {}",
                    loss.name(),
                    takes.collect::<Vec<_>>().join(", ")
                );
                return Err(self.error(key, message));
            }
            self.check_label(loss, key, label)?;
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

    fn check_label(&self, loss: &dyn Loss, key: &str, label: f64) -> Result<(), RecipeError> {
        let [least, most] = loss.labels_within();
        match (least..=most).contains(&label) {
            true => Ok(()),
            false => Err(self.error(key, format!("must be from {least} to {most}, got {label}"))),
        }
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
        if spec.target.is_some() && self.loss_function()?.shift_invariant() {
            let message = format!(
                "follows the sign of the logits of real samples, and `{}` leaves the logits without a zero, since only their \
                 differences count: leave it out and schedule the probability, e.g. augment.probability = \"cosine 0 -> \
                 0.3\" (R3GAN does so)",
                self.loss.name
            );
            return Err(self.error("augment.target", message));
        }
        if spec.target.is_none() && spec.ramp.is_some() {
            return Err(
                self.error("augment.ramp", "is the pace of a probability that follows a target: give one")
            );
        }
        if spec.ramp == Some(0) {
            return Err(self.error("augment.ramp", "must be at least 1 image, got 0"));
        }
        self.check_pixels("augment")?;
        self.policy("augment.policy", &spec.policy)
    }

    /// Augmentations by name.
    fn policy(&self, key: &str, names: &[String]) -> Result<Vec<&'static dyn Augmentation>, RecipeError> {
        let find = |name: &String| {
            augment::find(name).ok_or_else(|| {
                let known: Vec<&str> = augment::AUGMENTATIONS.iter().map(|a| a.name()).collect();
                self.error(key, unknown("augmentation", name, &known))
            })
        };
        names.iter().map(find).collect()
    }

    /// What a regularizer that compares samples with changed ones changes them by.
    fn regularizer_policy(
        &self,
        spec: &RegularizerSpec,
        regularizer: &dyn Regularizer,
    ) -> Result<Vec<&'static dyn Augmentation>, RecipeError> {
        let key = "regularizers.augment";
        if !regularizer.augments() {
            return match spec.augment.is_empty() {
                true => Ok(Vec::new()),
                false => Err(self.error(key, format!("`{}` changes no samples: leave it out", spec.name))),
            };
        }
        if self.data.shape.len() != 3 {
            let message =
                format!("`{}` changes images, and the samples have shape {:?}", spec.name, self.data.shape);
            return Err(self.error("regularizers", message));
        }
        if self.train.pack > 1 {
            let message = format!(
                "`{}` changes images one by one, and the discriminator judges packs of {}: leave train.pack out",
                spec.name, self.train.pack
            );
            return Err(self.error("regularizers", message));
        }
        let usual = [USUAL_POLICY.map(String::from)].concat();
        let policy = self.policy(key, if spec.augment.is_empty() { &usual } else { &spec.augment })?;
        self.check_pixels("regularizers")?;
        Ok(policy)
    }

    /// Pixels are counted in f32.
    fn check_pixels(&self, key: &str) -> Result<(), RecipeError> {
        let (height, width) = (self.data.shape[0], self.data.shape[1]);
        if augment::pixels(height, width) > augment::MAX_PIXELS {
            let message = format!(
                "images of {height}x{width} are too large: their pixels are counted in 24 bits, at twice the resolution"
            );
            return Err(self.error(key, message));
        }
        Ok(())
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
            let usual = || Scheduled::constant(regularizer.default_strength());
            let strength = match &spec.strength {
                None => usual(),
                Some(Strength::Given(strength)) => strength.clone(),
                Some(Strength::Auto) => {
                    let rule = self
                        .image_size()
                        .and_then(|size| regularizer.automatic_strength(size, self.train.batch));
                    Scheduled::constant(rule.ok_or_else(|| self.no_rule(spec))?)
                }
            };
            if strength.range().0 < 0.0 {
                return Err(
                    self.error("regularizers.strength", format!("must not be negative, got {strength}"))
                );
            }
            // Where it is due a penalty counts `every` times, in 32 bits.
            let most = f64::from(f32::MAX) / spec.every.max(1) as f64;
            if strength.range().1 > most {
                let message = format!("must be at most {most:.2e} at every = {}, got {strength}", spec.every);
                return Err(self.error("regularizers.strength", message));
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
            let policy = self.regularizer_policy(spec, regularizer)?;
            out.push(Applied { regularizer, side, strength, every: spec.every, policy });
        }
        Ok(out)
    }

    /// Why `strength = "auto"` means nothing.
    fn no_rule(&self, spec: &RegularizerSpec) -> RecipeError {
        let ruled = |r: &&&dyn Regularizer| r.automatic_strength([1, 1], 1).is_some();
        let known: Vec<&str> = regularizers::REGULARIZERS.iter().filter(ruled).map(|r| r.name()).collect();
        let message = match known.contains(&spec.name.as_str()) {
            true => format!(
                "\"auto\" follows from the pixels of images, and the samples have shape {:?}: give a number",
                self.data.shape
            ),
            false => format!(
                "there is no rule for the strength of `{}` (for {} there is): give a number",
                spec.name,
                known.join(", ")
            ),
        };
        self.error("regularizers.strength", message)
    }

    /// Checks that a conditional recipe has networks that use the classes, and that a classifier beside the logit is
    /// trained for both.
    fn check_class_use(&self, generator: ClassUse, discriminator: ClassUse) -> Result<(), RecipeError> {
        let trained: Vec<Side> = self
            .regularizers()?
            .iter()
            .filter(|r| r.regularizer.compares_classes())
            .map(|r| r.side)
            .collect();
        if let Some(side) = trained.first()
            && self.data.classes.is_none()
        {
            let message =
                format!("the {}'s classifier needs classes: set data.classes, e.g. to 10", side.name());
            return Err(self.error("regularizers", message));
        }
        if self.data.classes.is_none() {
            return Ok(());
        }
        if !generator.told {
            let message = "is not told the class it should make, though data.classes is set: begin its layers with \
                           `concat_label`, or use `conditional_batch_norm` in place of `batch_norm`";
            return Err(self.error("generator", message));
        }
        if !discriminator.told && !discriminator.guessed {
            let message = "neither is told the class of a sample nor guesses it, though data.classes is set: use \
                           `concat_label`, or end with `projection` in place of `dense 1`, or put `classify` before \
                           its last layer";
            return Err(self.error("discriminator", message));
        }
        let sides = [Side::Discriminator, Side::Generator];
        let missing = sides.into_iter().find(|side| !trained.contains(side));
        match (discriminator.guessed, missing) {
            (true, Some(side)) => {
                let message = format!(
                    "the discriminator's classifier (`classify`) is not part of the {}'s loss: add {{ name = \
                     \"auxiliary-classifier\", network = \"{}\" }}",
                    side.name(),
                    side.name()
                );
                Err(self.error("regularizers", message))
            }
            (false, _) if !trained.is_empty() => {
                let message = "`auxiliary-classifier` needs a discriminator that guesses the class: put `classify` \
                               before its last layer";
                Err(self.error("regularizers", message))
            }
            (true, None) | (false, _) => Ok(()),
        }
    }

    /// Builds and checks both networks: generator and discriminator.
    pub fn networks(&self) -> Result<(Net, Net), RecipeError> {
        let generator =
            Net::from_spec(&self.generator, self.data.classes).map_err(|m| self.error("generator", m))?;
        let discriminator = Net::from_spec(&self.discriminator, self.data.classes)
            .map_err(|m| self.error("discriminator", m))?;
        let made = generator
            .output_shape(self.part(), &[self.latent.dim], &self.data.shape, Side::Generator)
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
        self.check_class_use(
            generator.class_use(&[self.latent.dim], &self.data.shape, Side::Generator),
            discriminator.class_use(&judged_shape, &self.data.shape, Side::Discriminator),
        )?;
        for Applied { regularizer, side, .. } in self.regularizers()? {
            let network = match side {
                Side::Generator => &generator,
                Side::Discriminator => &discriminator,
            };
            if regularizer.per_sample_gradients() && network.normalizes_batch(side) {
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
        self.frozen(&discriminator)?;
        Ok((generator, discriminator))
    }
}
