//! What a phase is fed: its part of a batch, and the values of schedules at this point of the run.

use super::{Trainer, place};
use crate::error::Error;
use crate::networks::Side;
use crate::recipe::Scheduled;
use crate::step::feed;
use ganymede_cpu::PhaseId;
use ganymede_data::Batch;
use ganymede_nn::optim::ema_decay;

impl Trainer {
    /// Hands a phase its part of the batch, with the classes of its samples; where it sees no real ones, those of the last
    /// batch.
    pub(super) fn feed_part(
        &mut self,
        phase: PhaseId,
        batch: Option<&Batch>,
        number: usize,
    ) -> Result<(), Error> {
        if let Some(batch) = batch {
            let real = self.session.feed_mut(phase, feed::REAL)?;
            let at = number * real.len();
            real.copy_from_slice(&batch.data[at..at + real.len()]);
        }
        if self.session.feed_index(phase, feed::LABELS).is_ok() {
            let labels = self.session.feed_words_mut(phase, feed::LABELS)?;
            let at = number * labels.len();
            labels.copy_from_slice(bytemuck::cast_slice(&self.labels[at..at + labels.len()]));
        }
        if self.session.feed_index(phase, feed::LATER_PART).is_ok() {
            self.session.feed_mut(phase, feed::LATER_PART)?[0] = if number == 0 { 0.0 } else { 1.0 };
        }
        Ok(())
    }

    /// Writes everything that a phase reads beside its samples.
    pub(super) fn feed_values(&mut self, phase: PhaseId, side: Side, due: &[bool]) -> Result<(), Error> {
        let recipe = &self.objective.recipe;
        let optimizer = match side {
            Side::Generator => &recipe.generator.optimizer,
            Side::Discriminator => &recipe.discriminator.optimizer,
        };
        let (images, total) = (self.progress.images, self.progress.total_images);
        let at = |s: &Scheduled| s.at(images, total);
        let bound = self.progress.norm_bounds[place(side)];
        let ema = recipe.ema.as_ref().map(|ema| {
            // Images are those the discriminator is shown, here as everywhere.
            let shown = recipe.train.batch * recipe.train.critic_steps;
            let before = images.saturating_sub(shown as u64) as f64;
            let half_life = at(&ema.half_life);
            ema_decay(shown, ema.ramp.map_or(half_life, |ramp| half_life.min(ramp * before)))
        });
        let values = [
            (feed::LR, Some(at(&optimizer.lr) * self.progress.lr_scale)),
            (feed::BETA1, optimizer.beta1.as_ref().map(at)),
            (feed::BETA2, optimizer.beta2.as_ref().map(at)),
            (feed::INVERSE_BOUND, Some(if bound > 0.0 { (1.0 / bound).min(1e30) } else { 0.0 })),
            (feed::EMA_DECAY, ema),
            (feed::TOP_K, recipe.loss.top_k.as_ref().map(|share| counted(at(share), recipe.judged_batch()))),
            (feed::AUGMENT, recipe.augment.as_ref().and_then(|a| a.probability.as_ref()).map(at)),
            (feed::INSTANCE_NOISE, recipe.loss.instance_noise.as_ref().map(at)),
        ];
        let strengths = self.objective.regularizers.iter().enumerate().filter(|(i, _)| due[*i]);
        let strengths = strengths.map(|(i, r)| (feed::strength(i), Some(at(&r.strength))));
        let named = values.into_iter().map(|(name, value)| (name.to_string(), value)).chain(strengths);
        for (name, value) in named {
            // A phase may not use every one of them.
            if let Some(value) = value
                && self.session.feed_index(phase, &name).is_ok()
            {
                self.session.feed_mut(phase, &name)?[0] = value as f32;
            }
        }
        if self.session.feed_index(phase, feed::KEY).is_ok() {
            self.session.feed_words_mut(phase, feed::KEY)?.copy_from_slice(&self.key);
        }
        Ok(())
    }
}

/// How many of `batch` samples a share of them is, one at least.
fn counted(share: f64, batch: usize) -> f64 {
    (share * batch as f64).round().clamp(1.0, batch as f64)
}
