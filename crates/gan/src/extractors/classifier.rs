//! The classifier that is trained here, on the data it judges.

use super::cache::{self, Kept};
use super::layout::{Layout, Weights, hash};
use super::runner::Runner;
use super::training::{settings, steps, train};
use super::{AskedOf, BATCH, Extracted, Extractor, Kind, Wanted, Watch, accuracy, hash_of, held_out};
use crate::error::Error;
use ganymede_cpu::Executor;
use std::path::PathBuf;
use std::sync::Arc;

/// Held-out samples that the accuracy is asked of.
pub(super) const ASKED: u64 = 10_000;
/// Seed of its weights and of the order of samples.
const SEED: u64 = 0;

/// Trained on the labelled set itself, and kept.
pub(super) struct Classifier;

impl Kind for Classifier {
    fn name(&self) -> &'static str {
        "classifier"
    }

    fn about(&self) -> &'static str {
        "A small convolutional classifier trained here on the labelled data and kept for the next time; its features are \
         the 96 values before the logits."
    }

    fn per_channel(&self) -> bool {
        true
    }

    fn open(&self, wanted: &mut Wanted<'_>) -> Result<Box<dyn Extractor>, Error> {
        let spec = wanted.train.spec().to_string();
        let (Some(classes), [h, w, c]) = (wanted.train.classes().map(<[String]>::len), wanted.train.shape())
        else {
            return Err(Error::Refused(format!(
                "{spec} has no labelled images to train a classifier on: use --extractor random-conv, or a file of \
                 weights"
            )));
        };
        if classes < 2 {
            return Err(Error::Refused(format!(
                "{spec} has {classes} class, and a classifier needs two to tell apart: use --extractor random-conv"
            )));
        }
        let layout = Layout::trained([*h, *w, *c], classes);
        let (train_set, test) = match wanted.test.clone() {
            Some(test) => (wanted.train.clone(), Some(test)),
            None => held_out(&wanted.train),
        };
        let steps = steps(&train_set);
        let settings = settings(steps, SEED);
        let test_hash = test.as_ref().map_or([0; 32], |t| t.hash().0);
        let key = hash_of([
            settings.as_bytes(),
            layout.text().as_bytes(),
            train_set.hash().0.as_slice(),
            test_hash.as_slice(),
        ]);
        let kept_at = |folder: &PathBuf| folder.join("classifiers").join(format!("{key}.safetensors"));
        let mut path = wanted.cache.as_ref().map(kept_at);
        let mut found = None;
        if let Some(path) = path.as_ref().filter(|path| path.exists()) {
            let read = std::fs::read(path).map_err(|e| e.to_string()).and_then(|bytes| cache::read(&bytes));
            match read {
                Ok(kept) => found = kept.filter(|kept| kept.layout == layout),
                Err(reason) => wanted.watch.note(&format!("{}: {reason}: trained again", path.display())),
            }
        }
        let mut store = |kept: &Kept, watch: &mut dyn Watch| {
            // Without a place to keep it, it is as good for now.
            if let Some(Err(error)) = path.as_ref().map(|path| cache::store(path, kept)) {
                watch.note(&format!("the classifier is not kept: {error}"));
                path = None;
            }
        };
        let mut trained = match found {
            Some(kept) => Trained::new("classifier".into(), kept, &wanted.executor)?,
            None => {
                wanted.watch.note(&format!(
                    "training a classifier on {spec} ({steps} steps), to be kept for the next time"
                ));
                let weights = train(&layout, &train_set, steps, SEED, &wanted.executor, wanted.watch)?;
                let kept = Kept { layout, weights, accuracy: None };
                let trained = Trained::new("classifier".into(), kept, &wanted.executor)?;
                // Before it is asked: what is wrong with the held-out samples shall not cost the training.
                store(&trained.kept, wanted.watch);
                trained
            }
        };
        if let Some(test) = test.filter(|_| trained.kept.accuracy.is_none()) {
            trained.kept.accuracy = Some(accuracy(&mut trained, &test, ASKED)?);
            store(&trained.kept, wanted.watch);
        }
        Ok(Box::new(trained))
    }
}

/// A classifier with its weights.
pub struct Trained {
    name: String,
    hash: String,
    kept: Kept,
    asked: AskedOf,
    runner: Runner,
}

impl Trained {
    pub(super) fn new(name: String, kept: Kept, executor: &Arc<Executor>) -> Result<Self, Error> {
        let runner = Runner::new(executor.clone(), &kept.layout.function(BATCH)?, &kept.weights)?;
        let hash = hash(&kept.layout.text(), &kept.weights);
        Ok(Self { name, hash, kept, asked: AskedOf::HeldOut, runner })
    }

    /// A classifier of these weights under a name, e.g. one trained on generated samples.
    ///
    /// # Errors
    /// The weights do not fit the layout.
    pub fn of(name: &str, layout: Layout, weights: Weights, executor: &Arc<Executor>) -> Result<Self, Error> {
        Self::new(name.into(), Kept { layout, weights, accuracy: None }, executor)
    }

    /// With the accuracy that was found for it, and of what.
    pub(super) fn with_accuracy(mut self, accuracy: Option<f64>, asked: AskedOf) -> Self {
        self.kept.accuracy = accuracy;
        self.asked = asked;
        self
    }
}

impl Extractor for Trained {
    fn name(&self) -> &str {
        &self.name
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    fn shape(&self) -> &[usize] {
        &self.kept.layout.shape
    }

    fn dimensions(&self) -> usize {
        self.kept.layout.features
    }

    fn classes(&self) -> Option<usize> {
        Some(self.kept.layout.classes)
    }

    fn accuracy(&self) -> Option<f64> {
        self.kept.accuracy
    }

    fn asked_of(&self) -> Option<AskedOf> {
        self.kept.accuracy.map(|_| self.asked)
    }

    fn extract(&mut self, samples: &[f32]) -> Result<Extracted, Error> {
        self.runner.run(samples, self.kept.layout.shape.iter().product())
    }
}
