use super::{Better, Context, LEVEL, Metric, Score, Subject};
use crate::error::Error;
use crate::eval::SAMPLES;
use crate::eval::memory::kept;
use crate::extractors::classifier::Trained;
use crate::extractors::layout::Layout;
use crate::extractors::{accuracy, training};
use ganymede_metrics::stats::wilson;
use serde_json::json;
use std::sync::Arc;

/// Fewest steps that the classifier is trained: generated samples repeat less than real ones in so many.
const LEAST: u64 = 1000;
/// Real samples that it is asked of.
const ASKED: u64 = 10_000;

/// How well a classifier of generated samples tells real ones.
pub(super) struct Accuracy;

impl Metric for Accuracy {
    fn name(&self) -> &'static str {
        "accuracy"
    }

    fn about(&self) -> &'static str {
        "Classification accuracy score: a classifier trained on generated samples of each class alone, asked of held-out \
         real ones."
    }

    fn paper(&self) -> &'static str {
        "Ravuri and Vinyals 2019, section 3"
    }

    fn better(&self) -> Better {
        Better::Higher
    }

    fn looks(&self) -> bool {
        false
    }

    fn compares(&self) -> bool {
        false
    }

    fn suits(&self, subject: &Subject) -> Result<(), String> {
        if !(subject.labelled && subject.images()) {
            return Err(format!("{} has no labelled images to ask the classifier of", subject.spec));
        }
        if !subject.generated_labels {
            return Err("the classes of the generated samples are not known: it takes a conditional run, or a folder with \
                        a sub-folder a class"
                .into());
        }
        if let Some(reason) = &subject.unasked {
            return Err(reason.clone());
        }
        if !subject.held_out {
            return Err(format!("{} has no part that is held out to ask the classifier of", subject.spec));
        }
        Ok(())
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let (Some(test), Some(classes), [h, w, c]) =
            (context.test, context.train.classes(), context.train.shape())
        else {
            return Err(Error::Unsuited("it needs labelled images, some of them held out".into()));
        };
        if context.source.classes() != Some(classes.len()) {
            let of_samples = context.source.classes().map_or("no".into(), |classes| classes.to_string());
            return Err(Error::Unsuited(format!(
                "the samples are of {of_samples} classes, {} has {}",
                context.train.spec(),
                classes.len()
            )));
        }
        let available = context.source.available().unwrap_or(usize::MAX);
        let count = context.n.unwrap_or(SAMPLES.min(available));
        let generated = Arc::new(kept(context.source, count, classes, context.watch)?);
        let of_classes = generated.labels_of_all()?;
        if let Some(class) = (0..classes.len()).find(|&class| !of_classes.contains(&(class as i32))) {
            return Err(Error::Unsuited(format!(
                "class {} has no generated sample among {count}, so nothing could be learnt of it: give samples of each class",
                classes[class]
            )));
        }
        let layout = Layout::trained([*h, *w, *c], classes.len());
        let steps = training::steps(&generated).max(LEAST);
        let weights =
            training::train(&layout, &generated, steps, context.seed, context.executor, context.watch)?;
        let mut trained = Trained::of("classifier of generated samples", layout, weights, context.executor)?;
        let value = accuracy(&mut trained, test, ASKED)?;
        let mut score = Score::new(self.name(), "classification accuracy score", value, Better::Higher);
        score = score.noting(format!("trained on {count} generated samples, asked of real ones"));
        let asked = test.len().map_or(ASKED, |n| n.min(ASKED));
        let right = (value * asked as f64).round() as usize;
        score = score.within(wilson(right, asked as usize, LEVEL)?);
        score.detail = json!({"generated": count, "steps": steps, "asked": asked});
        Ok(vec![score])
    }
}
