use super::{Check, Evidence, Fault, Finding, LEVEL};
use crate::error::Error;
use crate::extractors::best_of;
use ganymede_metrics::stats::wilson;
use serde_json::json;

/// Samples whose class says something.
const FEWEST: usize = 100;
/// How many times as often as chance a classifier must be right about real samples to be asked.
const SEES: f64 = 2.0;

/// A conditional generator that does not listen to its classes.
pub(super) struct Conditioning;

impl Check for Conditioning {
    fn name(&self) -> &'static str {
        "conditioning"
    }

    fn about(&self) -> &'static str {
        "Whether samples are of the classes that were asked for, as a classifier sees them."
    }

    fn paper(&self) -> &'static str {
        "after Odena, Olah and Shlens 2017, section 4.1 (accuracy of samples)"
    }

    fn check(&self, evidence: &mut Evidence<'_>) -> Result<Vec<Finding>, Error> {
        // Samples of no class have nothing to be checked.
        let Some(asked) = &evidence.generated.labels else { return Ok(Vec::new()) };
        let names = evidence.train.classes().unwrap_or_default();
        let (Some((classes, 1)), Some(seen)) = (evidence.classes, &evidence.generated.probabilities) else {
            return Err(Error::Unsuited(
                "no classifier of whole samples looked at them, so nobody says which classes they are of"
                    .into(),
            ));
        };
        let (Some(of_real), Some(seen_real)) = (&evidence.real.labels, &evidence.real.probabilities) else {
            return Err(Error::Unsuited(format!("{} has no labels to compare with", evidence.train.spec())));
        };
        if classes != names.len() {
            return Err(Error::Unsuited(format!(
                "the extractor tells {classes} classes that are not the {} of {}",
                names.len(),
                evidence.train.spec()
            )));
        }
        if asked.len().min(of_real.len()) < FEWEST {
            return Err(Error::Unsuited(format!(
                "classes of {} samples and {} real ones say little: it takes {FEWEST} of each",
                asked.len(),
                of_real.len()
            )));
        }
        let right = |seen: &[f64], labels: &[i32]| {
            let both = seen.chunks_exact(classes).zip(labels);
            both.filter(|(row, label)| usize::try_from(**label) == Ok(best_of(row))).count()
        };
        let chance = 1.0 / classes as f64;
        let real = right(seen_real, of_real) as f64 / of_real.len() as f64;
        if real < SEES * chance {
            return Err(Error::Unsuited(format!(
                "the classifier is right about {:.0} % of the real samples alone, which is near to chance",
                100.0 * real
            )));
        }
        let found = wilson(right(seen, asked), asked.len(), 1.0 - 2.0 * LEVEL)?;
        let threshold = 0.5 * (chance + real);
        let flagged = found.high < threshold;
        let shares = format!(
            "{:.0} % of the samples are seen as of the class that was asked for, and {:.0} % of real ones as of theirs",
            100.0 * found.estimate,
            100.0 * real
        );
        Ok(vec![Finding {
            check: "conditioning",
            name: "samples of the class asked for",
            value: found.estimate,
            threshold,
            fault: Fault::Below,
            reason: "half the way from chance to what the classifier sees of real samples, and lower by more than chance gives once \
                     in 100,000 times",
            flagged,
            sentence: match flagged {
                true => format!("Only {shares}: the generator hardly listens to its class."),
                false => format!("{shares}."),
            },
            p: None,
            detail: json!({"samples": asked.len(), "classes": classes, "real": real, "chance": chance}),
        }])
    }
}
