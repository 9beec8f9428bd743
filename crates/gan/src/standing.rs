//! Standing statistics: batch norm's statistics of the generator that samples are drawn from, taken anew over many batches
//! of latents (Brock, Donahue, Simonyan 2019, BigGAN). Running ones lag behind weights that still move, and fit an average
//! of weights only by chance.

use crate::error::Error;
use crate::extractors::Watch;
use crate::networks::Side;
use crate::sampler::Asked;
use crate::step::{Objective, feed};
use crate::trainer::key_of;
use ganymede_cpu::{PhaseId, Session};
use ganymede_kernels::random::fold_in;

/// Tag that separates these latents from others under one seed.
const STANDING: u64 = 0x7374_616e;

/// What standing statistics took the place of.
pub type Replaced = Vec<(String, Vec<u32>)>;

/// Takes standing statistics in a session. A conditional generator is asked for one class after the other.
pub struct Standing {
    phase: PhaseId,
    slots: Vec<String>,
    key: [u32; 2],
    batches: usize,
    batch: usize,
    classes: Option<usize>,
}

impl Standing {
    /// Statistics over `batches` batches of the size of a training step's part, from latents that `seed` gives.
    ///
    /// # Errors
    /// The generator keeps no running statistics, or cannot be compiled.
    pub fn new(
        objective: &Objective,
        session: &mut Session,
        seed: u64,
        batches: usize,
    ) -> Result<Self, Error> {
        // Others may move something too, as mapping networks do the mean of their styles: no statistics of batches.
        if !objective.generator.normalizes_batch(Side::Generator) {
            return Err(Error::Refused(format!(
                "the generator of recipe `{}` has no batch norm, so there are no statistics to take anew: leave \
                 standing statistics out",
                objective.recipe.name
            )));
        }
        let batch = objective.recipe.part();
        let function = objective.standing_phase(batch)?;
        let slots: Vec<String> =
            function.updates.iter().map(|(input, _)| function.inputs[*input].name.clone()).collect();
        let phase = session.add_phase("standing", &function)?;
        let (key, classes) = (fold_in(key_of(seed), STANDING), objective.recipe.data.classes);
        Ok(Self { phase, slots, key, batches, batch, classes })
    }

    /// Makes a session that holds a trained run ready for samples: takes the statistics over so many batches, or as many as the
    /// recipe says, from the run's own seed as at its ticks (which samples are drawn shall not change what they are
    /// normalized by), and returns how many.
    ///
    /// # Errors
    /// As [`Standing::new`] and [`Standing::take_watched`].
    pub fn ready(
        objective: &Objective,
        session: &mut Session,
        batches: Option<usize>,
        watch: &mut dyn Watch,
    ) -> Result<usize, Error> {
        let recipe = &objective.recipe;
        let batches = batches.unwrap_or(recipe.train.standing_statistics);
        if batches > 0 {
            let seed = recipe.run.as_ref().map_or(0, |run| run.seed);
            Self::new(objective, session, seed, batches)?.take_watched(session, watch)?;
        }
        Ok(batches)
    }

    /// Puts standing statistics in place of those in the session, and returns the latter. The same state gives the same
    /// bits.
    ///
    /// # Errors
    /// The executor's.
    pub fn take(&self, session: &mut Session) -> Result<Replaced, Error> {
        self.take_watched(session, &mut ())
    }

    /// The same, followed pass by pass. Where it is stopped, the session is as it was.
    ///
    /// # Errors
    /// [`Error::Stopped`], or the executor's.
    pub fn take_watched(&self, session: &mut Session, watch: &mut dyn Watch) -> Result<Replaced, Error> {
        let store = session.store();
        let before: Replaced =
            self.slots.iter().filter_map(|name| Some((name.clone(), store.words(name)?.to_vec()))).collect();
        session.feed_words_mut(self.phase, feed::KEY)?.copy_from_slice(&self.key);
        for pass in 0..self.batches {
            if watch.stopped() {
                Self::put_back(session, &before)?;
                return Err(Error::Stopped);
            }
            let first = (pass * self.batch) as u64;
            session
                .feed_words_mut(self.phase, feed::FIRST)?
                .copy_from_slice(&[first as u32, (first >> 32) as u32]);
            if let Some(classes) = self.classes {
                let labels = session.feed_words_mut(self.phase, feed::LABELS)?;
                for (i, label) in labels.iter_mut().enumerate() {
                    *label = Asked::Each.class(first + i as u64, classes) as u32;
                }
            }
            // The mean over passes: at the first nothing of the old ones stays.
            session.feed_mut(self.phase, feed::KEEP)?[0] = (pass as f64 / (pass + 1) as f64) as f32;
            session.run(self.phase)?;
            watch.moved("taking standing statistics", pass as u64 + 1, self.batches as u64);
        }
        Ok(before)
    }

    /// Puts back what [`Standing::take`] replaced.
    ///
    /// # Errors
    /// The slots are another session's.
    pub fn put_back(session: &mut Session, before: &Replaced) -> Result<(), Error> {
        for (name, words) in before {
            session.store_mut().set_words(name, words)?;
        }
        Ok(())
    }
}
