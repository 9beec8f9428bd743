//! What the discriminator makes of samples, beside real and generated ones.

use crate::error::Error;
use crate::sampler::{Asked, Sampler};
use crate::step::{Objective, feed};
use ganymede_cpu::{PhaseId, Session};
use ganymede_data::Dataset;

/// Most samples judged at once.
const BATCH: usize = 64;

/// Judges samples with the discriminator of the state in a session.
pub struct Judge {
    phase: PhaseId,
    /// Samples judged at once.
    batch: usize,
    /// Whether a batch must be whole.
    whole: bool,
}

/// Samples that [`Judge::of_many`] judges at once: no more than in training, so that it takes less memory than a step; `None` of
/// discriminators of packs.
pub(crate) fn batch_of_many(objective: &Objective) -> Option<usize> {
    (objective.recipe.train.pack == 1).then(|| objective.recipe.part().clamp(1, BATCH))
}

impl Judge {
    /// Compiles the discriminator.
    ///
    /// # Errors
    /// It compares samples with each other, so that one alone has no logit; or it cannot be compiled.
    pub fn new(objective: &Objective, session: &mut Session) -> Result<Self, Error> {
        let pack = objective.recipe.train.pack;
        let together = match (pack, objective.discriminator.compares_samples()) {
            (1, false) => None,
            (1, true) => Some("compares the samples of a batch (minibatch_stddev)".to_string()),
            (pack, _) => Some(format!("judges packs of {pack} samples")),
        };
        if let Some(together) = together {
            return Err(Error::Refused(format!(
                "the discriminator of recipe `{}` {together}, so what it makes of one depends on the others: judge with a \
                 run whose discriminator sees samples one by one",
                objective.recipe.name
            )));
        }
        Ok(Self {
            phase: session.add_phase("judge", &objective.judge_phase(BATCH)?)?,
            batch: BATCH,
            whole: false,
        })
    }

    /// Compiles the discriminator to judge many samples of one kind: what compares the samples of a batch then compares real
    /// ones with real ones, as in training, and whole batches alone are judged.
    ///
    /// # Errors
    /// It judges packs of samples, or cannot be compiled.
    pub fn of_many(objective: &Objective, session: &mut Session) -> Result<Self, Error> {
        let Some(batch) = batch_of_many(objective) else {
            return Err(Error::Unsuited(format!(
                "the discriminator of recipe `{}` judges packs of {} samples, not one by one",
                objective.recipe.name, objective.recipe.train.pack
            )));
        };
        let whole = objective.discriminator.compares_samples();
        Ok(Self { phase: session.add_phase("judge", &objective.judge_phase(batch)?)?, batch, whole })
    }

    /// One logit a sample; larger means more like real ones. `labels` are the classes of the samples, which a conditional
    /// discriminator judges by; others ignore them.
    ///
    /// # Errors
    /// The discriminator is conditional and there is not a class of its own for each sample.
    pub fn logits(
        &self,
        objective: &Objective,
        session: &mut Session,
        samples: &[f32],
        labels: &[i32],
    ) -> Result<Vec<f32>, Error> {
        let size: usize = objective.recipe.data.shape.iter().product();
        let mut out = Vec::with_capacity(samples.len() / size);
        let told = session.feed_index(self.phase, feed::LABELS).is_ok();
        if let Some(classes) = objective.recipe.data.classes.filter(|_| told) {
            let count = samples.len() / size;
            if labels.len() != count || labels.iter().any(|l| !usize::try_from(*l).is_ok_and(|l| l < classes))
            {
                return Err(Error::Unsuited(format!(
                    "recipe `{}` is conditional: its discriminator judges a sample as one of {classes} classes, so each of \
                     the {count} samples needs one",
                    objective.recipe.name
                )));
            }
        }
        for (i, chunk) in samples.chunks(self.batch * size).enumerate() {
            if self.whole && chunk.len() < self.batch * size {
                break;
            }
            if told {
                let labels = &labels[i * self.batch..];
                let feed = session.feed_words_mut(self.phase, feed::LABELS)?;
                feed.fill(0);
                for (word, label) in feed.iter_mut().zip(labels) {
                    *word = *label as u32;
                }
            }
            let feed = session.feed_mut(self.phase, "samples")?;
            feed[..chunk.len()].copy_from_slice(chunk);
            feed[chunk.len()..].fill(0.0);
            session.run(self.phase)?;
            let logits = session.output(self.phase, "logits").unwrap_or(&[]);
            out.extend_from_slice(&logits[..chunk.len() / size]);
        }
        Ok(out)
    }

    /// Logits of `count` real samples, sorted.
    pub fn real(
        &self,
        objective: &Objective,
        session: &mut Session,
        dataset: &Dataset,
        count: usize,
    ) -> Result<Vec<f32>, Error> {
        let count = dataset.len().map_or(count, |n| count.min(n as usize));
        let size: usize = objective.recipe.data.shape.iter().product();
        let indices: Vec<u64> = (0..count as u64).collect();
        let mut samples = vec![0.0; count * size];
        let mut labels = vec![0; if objective.recipe.data.classes.is_some() { count } else { 0 }];
        dataset.fill(&indices, &mut samples, (!labels.is_empty()).then_some(&mut labels))?;
        let mut logits = self.logits(objective, session, &samples, &labels)?;
        logits.sort_by(f32::total_cmp);
        Ok(logits)
    }

    /// Logits of `count` generated samples, sorted.
    pub fn generated(
        &self,
        objective: &Objective,
        session: &mut Session,
        seed: u64,
        count: usize,
    ) -> Result<Vec<f32>, Error> {
        let samples = Sampler::new(seed).draw(objective, session, 0, count)?;
        let classes = objective.recipe.data.classes.unwrap_or(1);
        let labels: Vec<i32> = (0..count as u64).map(|i| Asked::Each.class(i, classes) as i32).collect();
        let mut logits = self.logits(objective, session, &samples, &labels)?;
        logits.sort_by(f32::total_cmp);
        Ok(logits)
    }
}

/// Share of the sorted `population` below `value`, in percent.
pub fn percentile(population: &[f32], value: f32) -> f64 {
    100.0 * population.partition_point(|&p| p < value) as f64 / population.len().max(1) as f64
}
