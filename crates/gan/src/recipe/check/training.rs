//! The training loop: batches, their parts and packs, statistics.

use super::super::{Recipe, RecipeError, StatisticsPass};

/// Values in a batch of samples or latents; above it, tensors inside the networks would outgrow their indices.
const MAX_BATCH_VALUES: usize = 1 << 28;

/// Most batches of standing statistics.
const MAX_STANDING: usize = 1 << 20;

/// Classes of a conditional pair.
const MAX_CLASSES: usize = 1 << 16;

impl Recipe {
    /// Checks classes, batch and what is made of it.
    pub(super) fn check_training(&self) -> Result<(), RecipeError> {
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
        Ok(())
    }
}
