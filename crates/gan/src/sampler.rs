//! Samples of a trained generator.

use crate::error::Error;
use crate::step::{Objective, feed};
use crate::trainer::key_of;
use ganymede_cpu::{PhaseId, Session};
use ganymede_kernels::random::fold_in;

/// Tag that separates sampling from training under one seed.
const SAMPLE: u64 = 0x736d_706c;

/// Batches that programs are compiled for; a request is padded to the smallest that holds it.
const BATCHES: [usize; 5] = [1, 4, 16, 64, 256];

/// The batch in which `count` samples are drawn, as far as they fill it. Larger ones than in training are not used:
/// drawing samples takes less memory than a step of training then.
pub fn batch_for(objective: &Objective, count: usize) -> usize {
    let allowed = || BATCHES.into_iter().filter(|b| *b <= objective.recipe.part().max(1));
    allowed().find(|b| *b >= count).or_else(|| allowed().next_back()).unwrap_or(1)
}

/// Draws samples through programs of a few sizes, compiled when first needed.
pub struct Sampler {
    key: [u32; 2],
    truncation: Option<f64>,
    programs: Vec<(usize, PhaseId)>,
}

impl Sampler {
    /// Sample `i` of a seed is the same whatever else is drawn with it.
    pub fn new(seed: u64) -> Self {
        Self { key: fold_in(key_of(seed), SAMPLE), truncation: None, programs: Vec::new() }
    }

    /// With latents restricted to |z| <= `threshold`, which must be above 0: samples that are more alike and nearer to
    /// the typical (Brock, Donahue, Simonyan 2019). Where it is not, drawing fails.
    pub fn truncated(seed: u64, threshold: f64) -> Self {
        Self { truncation: Some(threshold), ..Self::new(seed) }
    }

    /// Samples `first..first + count`, one after the other, from the state in `session`.
    pub fn draw(
        &mut self,
        objective: &Objective,
        session: &mut Session,
        first: u64,
        count: usize,
    ) -> Result<Vec<f32>, Error> {
        let size: usize = objective.recipe.data.shape.iter().product();
        let mut out = Vec::with_capacity(count * size);
        let mut done = 0;
        while done < count {
            let left = count - done;
            let batch = batch_for(objective, left);
            let phase = self.program(objective, session, batch)?;
            let index = first + done as u64;
            // A generator without random layers still has its latents, so both feeds exist.
            session.feed_words_mut(phase, feed::KEY)?.copy_from_slice(&self.key);
            session
                .feed_words_mut(phase, feed::FIRST)?
                .copy_from_slice(&[index as u32, (index >> 32) as u32]);
            session.run(phase)?;
            let samples = session.output(phase, "samples").unwrap_or(&[]);
            let take = left.min(batch);
            out.extend_from_slice(&samples[..take * size]);
            done += take;
        }
        Ok(out)
    }

    fn program(
        &mut self,
        objective: &Objective,
        session: &mut Session,
        batch: usize,
    ) -> Result<PhaseId, Error> {
        if let Some((_, phase)) = self.programs.iter().find(|(b, _)| *b == batch) {
            return Ok(*phase);
        }
        let phase =
            session.add_phase(&format!("sample{batch}"), &objective.sample_phase(batch, self.truncation)?)?;
        self.programs.push((batch, phase));
        Ok(phase)
    }
}
