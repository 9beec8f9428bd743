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

/// Which classes a conditional generator is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// One after the other: sample i is of class i modulo their number.
    #[default]
    Each,
    /// One alone.
    Only(usize),
}

impl Asked {
    /// The class of sample `index` among `classes`.
    pub fn class(self, index: u64, classes: usize) -> usize {
        match self {
            Asked::Each => (index % classes.max(1) as u64) as usize,
            Asked::Only(class) => class,
        }
    }

    /// # Errors
    /// A class that the recipe does not have.
    pub(crate) fn check(self, objective: &Objective) -> Result<(), Error> {
        match (self, objective.recipe.data.classes) {
            (Asked::Each, _) => Ok(()),
            (Asked::Only(class), Some(classes)) if class < classes => Ok(()),
            (Asked::Only(class), Some(classes)) => {
                Err(Error::Refused(format!("there is no class {class}: the run has {classes}, from 0 on")))
            }
            (Asked::Only(_), None) => Err(Error::Refused(format!(
                "recipe `{}` has no classes, so none can be asked for: leave the class out",
                objective.recipe.name
            ))),
        }
    }
}

/// The key of everything that sampling under a seed draws.
pub(crate) fn sampling_key(seed: u64) -> [u32; 2] {
    fold_in(key_of(seed), SAMPLE)
}

/// Draws samples through programs of a few sizes, compiled when first needed.
pub struct Sampler {
    key: [u32; 2],
    truncation: Option<f64>,
    asked: Asked,
    programs: Vec<(usize, PhaseId)>,
}

impl Sampler {
    /// Sample `i` of a seed is the same whatever else is drawn with it.
    pub fn new(seed: u64) -> Self {
        Self { key: sampling_key(seed), truncation: None, asked: Asked::Each, programs: Vec::new() }
    }

    /// Of these classes, where the recipe has classes.
    pub fn of_classes(self, asked: Asked) -> Self {
        Self { asked, ..self }
    }

    /// With truncation, for samples that are more alike and nearer to the typical: latents restricted to |z| <= `psi`
    /// (Brock, Donahue, Simonyan 2019), or, where the generator has styles, styles drawn to `psi` times their distance from
    /// the mean (Karras, Laine, Aila 2019). Where it is out of range ([`Objective::check_truncation`]), drawing fails.
    pub fn truncated(seed: u64, psi: f64) -> Self {
        Self { truncation: Some(psi), ..Self::new(seed) }
    }

    /// Samples `first..first + count`, one after the other, from the state in `session`.
    ///
    /// # Errors
    /// A class that the recipe does not have, or what compiling and running say.
    pub fn draw(
        &mut self,
        objective: &Objective,
        session: &mut Session,
        first: u64,
        count: usize,
    ) -> Result<Vec<f32>, Error> {
        let size: usize = objective.recipe.data.shape.iter().product();
        self.asked.check(objective)?;
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
            if let Some(classes) = objective.recipe.data.classes {
                let labels = session.feed_words_mut(phase, feed::LABELS)?;
                for (i, label) in labels.iter_mut().enumerate() {
                    *label = self.asked.class(index + i as u64, classes) as u32;
                }
            }
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
