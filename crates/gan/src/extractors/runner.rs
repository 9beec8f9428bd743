//! A network with its values, compiled for batches of one size.

use super::layout::Weights;
use super::{BATCH, Extracted};
use crate::error::Error;
use ganymede_cpu::{Executor, PhaseId, Session, StateStore};
use ganymede_graph::Function;
use std::sync::Arc;

/// A compiled function of `samples` [`BATCH`] at a time with the outputs `features` and, of classifiers, `probabilities`.
pub struct Runner {
    session: Session,
    phase: PhaseId,
}

impl Runner {
    pub fn new(executor: Arc<Executor>, function: &Function, weights: &Weights) -> Result<Self, Error> {
        let mut store = StateStore::new();
        for (name, ty, values) in weights {
            store.insert(name, ty.clone(), values)?;
        }
        let mut session = Session::new(executor, store);
        let phase = session.add_phase("extract", function)?;
        Ok(Self { session, phase })
    }

    /// What it makes of samples of `size` values each, the last batch padded with zeros.
    pub fn run(&mut self, samples: &[f32], size: usize) -> Result<Extracted, Error> {
        if !samples.len().is_multiple_of(size) {
            return Err(Error::Refused(format!("{} values are no whole samples of {size}", samples.len())));
        }
        let (mut features, mut probabilities) = (Vec::new(), None);
        for chunk in samples.chunks(BATCH * size) {
            let count = chunk.len() / size;
            let feed = self.session.feed_mut(self.phase, "samples")?;
            feed[..chunk.len()].copy_from_slice(chunk);
            feed[chunk.len()..].fill(0.0);
            self.session.run(self.phase)?;
            let first = |values: &[f32]| values[..values.len() / BATCH * count].to_vec();
            features.extend(self.session.output(self.phase, "features").map(first).unwrap_or_default());
            if let Some(more) = self.session.output(self.phase, "probabilities").map(first) {
                probabilities.get_or_insert_with(Vec::new).extend(more);
            }
        }
        Ok(Extracted { features, probabilities })
    }
}
