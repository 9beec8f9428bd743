use super::{Check, Evidence, Fault, Finding, LEVEL};
use crate::error::Error;
use crate::extractors::{AskedOf, best_of};
use ganymede_metrics::stats::wilson;
use serde_json::json;

/// Samples that say something of classes.
const FEWEST: usize = 100;
/// The share of the way from chance to certainty that a classifier must be right about real samples of a class to be asked of it.
const SEES: f64 = 0.25;
/// The share of the way from chance to what is seen of real samples below which a class is not listened to.
const HEARD: f64 = 1.0 / 3.0;

/// A conditional generator that does not listen to its classes.
pub(super) struct Conditioning;

/// A class, and the share of samples that the classifier sees in it.
struct Told {
    class: usize,
    samples: usize,
    /// Of those that were asked for.
    found: f64,
    /// Of real samples of the class that the classifier has not learnt.
    expected: f64,
    heard: bool,
}

/// How many samples of each class there are, and how many of these are seen in it.
fn right(seen: &[f64], labels: &[i32], classes: usize) -> Vec<[usize; 2]> {
    let mut counts = vec![[0; 2]; classes];
    for (row, label) in seen.chunks_exact(classes).zip(labels) {
        if let Some([all, right]) = usize::try_from(*label).ok().and_then(|label| counts.get_mut(label)) {
            *all += 1;
            *right += usize::from(best_of(row) == *label as usize);
        }
    }
    counts
}

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
        let unsuited = |why: String| Err(Error::Unsuited(why));
        let (Some((classes, heads)), Some(seen)) = (evidence.classes, &evidence.generated.probabilities)
        else {
            return unsuited(
                "no classifier looked at the samples, so nobody says which classes they are of".into(),
            );
        };
        if heads != 1 || classes != names.len() {
            return unsuited(format!(
                "the extractor tells {classes} classes of {heads} parts of a sample, not the {} of {}",
                names.len(),
                evidence.train.spec()
            ));
        }
        let (Some(of_real), Some(seen_real)) = (&evidence.real.labels, &evidence.real.probabilities) else {
            return unsuited("the real samples that they are compared with have no labels".into());
        };
        let few = asked.len().min(of_real.len());
        if few < FEWEST {
            return unsuited(format!(
                "the classes of {few} samples say little: it takes {FEWEST} of either side"
            ));
        }
        let real = right(seen_real, of_real, classes);
        // Of samples that it has learnt a classifier knows more than of others: by how much, its held-out samples say.
        let learnt = match (evidence.of_training, evidence.accuracy) {
            (false, _) => 1.0,
            (true, Some((accuracy, AskedOf::HeldOut | AskedOf::Before))) => {
                let [all, right] = real.iter().fold([0, 0], |sum, of| [sum[0] + of[0], sum[1] + of[1]]);
                (accuracy * all as f64 / right.max(1) as f64).min(1.0)
            }
            (true, _) => {
                return unsuited("the classifier was asked of no sample that it has not learnt, so what it sees is no measure".into());
            }
        };
        let chance = 1.0 / classes as f64;
        let mut told = Vec::new();
        for (class, (&[samples, found], &[all, known])) in
            right(seen, asked, classes).iter().zip(&real).enumerate()
        {
            let expected = learnt * known as f64 / all.max(1) as f64;
            if samples == 0 || expected - chance < SEES * (1.0 - chance) {
                continue;
            }
            let found = wilson(found, samples, 1.0 - 2.0 * LEVEL / classes as f64)?;
            let heard = found.high >= chance + HEARD * (expected - chance);
            told.push(Told { class, samples, found: found.estimate, expected, heard });
        }
        if told.is_empty() {
            return unsuited(
                "the classifier tells no class that was asked for much better than chance".into(),
            );
        }
        let all: usize = told.iter().map(|t| t.samples).sum();
        let mean = |of: &dyn Fn(&Told) -> f64| {
            100.0 * told.iter().map(|t| t.samples as f64 * of(t)).sum::<f64>() / all as f64
        };
        let (found, expected) = (mean(&|t| t.found), mean(&|t| t.expected));
        let deaf: Vec<&Told> = told.iter().filter(|t| !t.heard).collect();
        let shares = format!(
            "{found:.0} % of the samples are seen as of the class that was asked for, where {expected:.0} % of real ones are of theirs"
        );
        let list = deaf.iter().take(12).map(|t| names[t.class].as_str()).collect::<Vec<_>>().join(", ");
        Ok(vec![Finding {
            check: "conditioning",
            name: "classes not listened to",
            value: deaf.len() as f64,
            threshold: 0.0,
            fault: Fault::Above,
            reason: "a class of which less is seen than a third of the way from chance to what the classifier sees of real samples of \
                     it, by more than chance gives once in 100,000 times",
            flagged: !deaf.is_empty(),
            sentence: match deaf.len() {
                0 => format!("{shares}."),
                n => format!(
                    "Samples that were asked for {n} of {} classes are of others, or too poor to be told: {list}{}. {shares}.",
                    told.len(),
                    if n > 12 { ", .." } else { "" }
                ),
            },
            p: None,
            detail: json!({
                "asked": told.len(), "classes": classes, "seen": found / 100.0, "expected": expected / 100.0,
                "each": told.iter().map(|t| json!({
                    "class": names[t.class], "samples": t.samples, "seen": t.found, "expected": t.expected,
                })).collect::<Vec<_>>(),
            }),
        }])
    }
}
