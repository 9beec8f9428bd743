//! What the discriminator makes of samples, beside real and generated ones.

use crate::error::Error;
use crate::sampler::Sampler;
use crate::step::Objective;
use ganymede_cpu::{PhaseId, Session};
use ganymede_data::Dataset;

/// Samples judged at once.
const BATCH: usize = 64;

/// Samples judged at once by a discriminator of packs of `pack`.
fn batch(pack: usize) -> usize {
    (BATCH / pack).max(1) * pack
}

/// Judges samples with the discriminator of the state in a session.
pub struct Judge {
    phase: PhaseId,
    batch: usize,
}

impl Judge {
    /// Compiles the discriminator.
    pub fn new(objective: &Objective, session: &mut Session) -> Result<Self, Error> {
        let batch = batch(objective.recipe.train.pack);
        Ok(Self { phase: session.add_phase("judge", &objective.judge_phase(batch)?)?, batch })
    }

    /// One logit a sample; larger means more like real ones.
    pub fn logits(
        &self,
        objective: &Objective,
        session: &mut Session,
        samples: &[f32],
    ) -> Result<Vec<f32>, Error> {
        let size: usize = objective.recipe.data.shape.iter().product();
        let mut out = Vec::with_capacity(samples.len() / size);
        for chunk in samples.chunks(self.batch * size) {
            let feed = session.feed_mut(self.phase, "samples")?;
            // Again from the first where they are fewer: the last pack holds samples alone.
            for part in feed.chunks_mut(chunk.len()) {
                part.copy_from_slice(&chunk[..part.len()]);
            }
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
        dataset.fill(&indices, &mut samples, None)?;
        let mut logits = self.logits(objective, session, &samples)?;
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
        let mut logits = self.logits(objective, session, &samples)?;
        logits.sort_by(f32::total_cmp);
        Ok(logits)
    }
}

/// Share of the sorted `population` below `value`, in percent.
pub fn percentile(population: &[f32], value: f32) -> f64 {
    100.0 * population.partition_point(|&p| p < value) as f64 / population.len().max(1) as f64
}
