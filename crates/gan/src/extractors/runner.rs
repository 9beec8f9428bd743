//! A network with its values, compiled for batches of one size.

use super::layout::Weights;
use super::{BATCH, Extracted};
use crate::error::Error;
use ganymede_cpu::{Executor, PhaseId, Session, StateStore};
use ganymede_graph::{Function, Role};
use std::sync::Arc;

/// A compiled function of a batch of samples; its outputs have a row for each.
pub struct Runner {
    session: Session,
    phase: PhaseId,
    batch: usize,
    feeds: Vec<String>,
    outputs: Vec<String>,
}

impl Runner {
    /// A function of `samples` [`BATCH`] at a time with the outputs `features` and, of classifiers, `probabilities`.
    pub fn new(executor: Arc<Executor>, function: &Function, weights: &Weights) -> Result<Self, Error> {
        Self::batched(executor, function, weights, BATCH)
    }

    /// A function that was built for so many samples at a time.
    pub fn batched(
        executor: Arc<Executor>,
        function: &Function,
        weights: &Weights,
        batch: usize,
    ) -> Result<Self, Error> {
        let mut store = StateStore::new();
        store.reserve(weights.iter().map(|(_, ty, _)| ty.len()))?;
        for (name, ty, values) in weights {
            store.insert(name, ty.clone(), values)?;
        }
        let mut session = Session::new(executor, store);
        let phase = session.add_phase("extract", function)?;
        let fed = function.inputs.iter().filter(|input| input.role == Role::Feed);
        let feeds = fed.map(|input| input.name.clone()).collect();
        let outputs = function.outputs.iter().map(|(name, _)| name.clone()).collect();
        Ok(Self { session, phase, batch, feeds, outputs })
    }

    /// What it makes of samples of `size` values each, the last batch padded with zeros.
    pub fn run(&mut self, samples: &[f32], size: usize) -> Result<Extracted, Error> {
        let count = whole(samples, size)?;
        let found = self.each(count, &mut |_, sample, to| {
            to.copy_from_slice(&samples[sample * size..][..size]);
        })?;
        Ok(self.extracted(found))
    }

    /// Outputs, in the function's order, of `count` samples, each of which `fill` writes into the feed of that number; the
    /// last batch is padded with zeros.
    pub fn each(
        &mut self,
        count: usize,
        fill: &mut dyn FnMut(usize, usize, &mut [f32]),
    ) -> Result<Vec<Vec<f32>>, Error> {
        let mut found = vec![Vec::new(); self.outputs.len()];
        for first in (0..count).step_by(self.batch) {
            let here = self.batch.min(count - first);
            for (number, name) in self.feeds.iter().enumerate() {
                let feed = self.session.feed_mut(self.phase, name)?;
                let size = feed.len() / self.batch;
                let (filled, rest) = feed.split_at_mut(here * size);
                for (i, to) in filled.chunks_exact_mut(size).enumerate() {
                    fill(number, first + i, to);
                }
                rest.fill(0.0);
            }
            self.session.run(self.phase)?;
            for (name, all) in self.outputs.iter().zip(&mut found) {
                let values = self.session.output(self.phase, name).unwrap_or_default();
                all.extend_from_slice(&values[..values.len() / self.batch * here]);
            }
        }
        Ok(found)
    }

    /// The outputs of [`Runner::each`] by what they are named.
    pub fn extracted(&self, found: Vec<Vec<f32>>) -> Extracted {
        let mut out = Extracted { features: Vec::new(), probabilities: None };
        for (name, values) in self.outputs.iter().zip(found) {
            match name.as_str() {
                "probabilities" => out.probabilities = Some(values),
                _ => out.features = values,
            }
        }
        out
    }
}

/// How many samples of `size` values there are.
///
/// # Errors
/// Their values are no multiple of it.
pub(super) fn whole(samples: &[f32], size: usize) -> Result<usize, Error> {
    if samples.len().is_multiple_of(size) {
        Ok(samples.len() / size)
    } else {
        Err(Error::Refused(format!("{} values are no whole samples of {size}", samples.len())))
    }
}
