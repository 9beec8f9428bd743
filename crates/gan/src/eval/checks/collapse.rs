use super::{Check, Evidence, Fault, Finding, LEVEL};
use crate::error::Error;
use crate::eval::report::Unchecked;
use crate::extractors::best_of;
use ganymede_metrics::cells::Cells;
use ganymede_metrics::collisions::{collisions, distances_at};
use ganymede_metrics::lost::{Losses, lost};
use serde_json::json;

/// What of its share a kind must keep: below a quarter of it, a kind is lost.
const KEPT: f64 = 0.25;
/// Samples that a cell of feature space holds on average.
const A_CELL: usize = 100;
/// Fewest and most cells.
const CELLS: [usize; 2] = [8, 50];
/// Samples of either side that cells and pairs say something of.
const FEWEST: usize = 20 * CELLS[0];
/// The share of the real samples in lost cells from which on it is a fault. Checkpoints of dcgan28 on MNIST that have seen their 100,000
/// images have up to .055, a class of ten that is lost is .1.
const MASS: f64 = 0.08;
/// Samples whose pairs are compared.
pub(super) const PAIRED: usize = 2_000;
/// Deviations that make a share certain.
const SURE: f64 = 4.0;

/// How variety is measured: the share of real pairs that are as near, how many times as many of a generator's may be, and
/// what it means when there are more.
pub(crate) struct Scale {
    /// The share of pairs of real samples.
    pub share: f64,
    /// So many times that share is a fault.
    pub times: f64,
}

/// At the coarse scale samples are of the same kind, at the fine one nearly the same.
pub(crate) const SCALES: [Scale; 2] = [Scale { share: 0.1, times: 4.0 }, Scale { share: 0.001, times: 25.0 }];

/// Kinds of samples that are not made, and samples that are all alike.
pub(super) struct Collapse;

impl Check for Collapse {
    fn name(&self) -> &'static str {
        "mode-collapse"
    }

    fn about(&self) -> &'static str {
        "Whether classes, or cells of feature space, have lost their share of the samples, and whether samples are more \
         alike than real ones."
    }

    fn paper(&self) -> &'static str {
        "after Richardson and Weiss 2018, section 3, and Arora and Zhang 2017, section 2"
    }

    fn check(&self, evidence: &mut Evidence<'_>) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        if let Some((classes, heads)) = evidence.classes {
            let found = classes_lost(evidence, classes, heads)?;
            if found.is_none() {
                evidence.unchecked.push(Unchecked {
                    check: self.name(),
                    reason: format!(
                        "missing classes: {} samples are too few to tell a class that has lost three quarters from chance",
                        evidence.generated.count
                    ),
                });
            }
            findings.extend(found);
        }
        let few = evidence.real.features.rows().min(evidence.generated.features.rows());
        if few >= FEWEST {
            findings.push(cells_lost(evidence)?);
            findings.extend(variety(evidence)?);
        }
        if findings.is_empty() {
            return Err(Error::Unsuited(format!(
                "{few} samples are too few to say which kinds are missing: it takes {FEWEST} of either side"
            )));
        }
        Ok(findings)
    }
}

fn counts(probabilities: &[f64], classes: usize, heads: usize, head: usize) -> Vec<u64> {
    let mut counts = vec![0; classes];
    for row in probabilities.chunks_exact(classes).skip(head).step_by(heads) {
        counts[best_of(row)] += 1;
    }
    counts
}

/// The classes that a classifier sees; of stacked digits in each channel.
fn classes_lost(evidence: &Evidence<'_>, classes: usize, heads: usize) -> Result<Option<Finding>, Error> {
    let (Some(real), Some(generated)) = (&evidence.real.probabilities, &evidence.generated.probabilities)
    else {
        return Ok(None);
    };
    let mut told = Vec::new();
    let (mut worst, mut least, mut untold, mut there) = (0.0f64, 0usize, 0.0f64, 0);
    // A network that others have trained tells other classes than the data's.
    let names = evidence.train.classes().filter(|names| names.len() == classes).unwrap_or_default();
    for head in 0..heads {
        let of = |probabilities: &[f64]| counts(probabilities, classes, heads, head);
        let of_real = of(real);
        there += of_real.iter().filter(|&&count| count > 0).count();
        let Losses { kinds, mass, untold: rare } = lost(&of_real, &of(generated), KEPT, LEVEL)?;
        (worst, least, untold) = (worst.max(mass), least + kinds.len(), untold.max(rare));
        let name =
            |kind: usize| names.get(kind).filter(|_| heads == 1).cloned().unwrap_or_else(|| kind.to_string());
        told.extend(kinds.iter().map(|k| (head, name(k.kind), k.real, k.generated, k.p)));
    }
    // Where chance could have lost any class, their absence says nothing.
    if told.is_empty() && untold > 0.5 {
        return Ok(None);
    }
    let list = told.iter().take(12).map(|(head, name, ..)| match heads {
        1 => name.clone(),
        _ => format!("{name} of channel {head}"),
    });
    let list = list.collect::<Vec<_>>().join(", ");
    let sentence = match least {
        0 if untold > 0.0 => format!(
            "No class is seen to be missing; those of {:.1} % of the real samples are too rare to tell.",
            100.0 * untold
        ),
        // A network that others have trained may know classes that the data have nothing of.
        0 if heads == 1 && there < classes => {
            format!("Each of the {there} classes that are seen in the data has its samples.")
        }
        0 => format!("Each of the {classes} classes has its samples."),
        1 => format!("A class is missing: {list}."),
        _ => format!("{least} classes are missing: {list}{}.", if least > 12 { ", .." } else { "" }),
    };
    Ok(Some(Finding {
        check: "mode-collapse",
        name: "missing classes",
        value: least as f64,
        threshold: 0.0,
        fault: Fault::Above,
        reason: "a class is missing where it has less than a quarter of its share of the real samples, and so few that \
                 chance gives it once in 100,000 times",
        flagged: least > 0,
        sentence,
        p: told.iter().map(|t| t.4).reduce(f64::min),
        detail: json!({
            "share_of_real_samples": worst, "too_rare_to_tell": untold,
            "missing": told.iter().map(|(head, name, real, generated, p)| json!({
                "class": name, "channel": head, "real_share": real, "share": generated, "p": p,
            })).collect::<Vec<_>>(),
        }),
    }))
}

/// Cells that real samples fill, whatever they are.
fn cells_lost(evidence: &Evidence<'_>) -> Result<Finding, Error> {
    let (real, generated) = (&evidence.real.features, &evidence.generated.features);
    let wanted = (real.rows().min(generated.rows()) / A_CELL).clamp(CELLS[0], CELLS[1]);
    let cells = Cells::new(real, wanted, evidence.seed)?;
    let found = lost(&cells.counts(real)?, &cells.counts(generated)?, KEPT, LEVEL)?;
    let flagged = found.mass > MASS;
    let sentence = if flagged {
        format!(
            "{:.0} % of what the data hold is hardly made: {} of {wanted} cells of feature space have less than a quarter of \
             their samples.",
            100.0 * found.mass,
            found.kinds.len()
        )
    } else {
        format!("Samples reach {} of {wanted} cells of feature space.", wanted - found.kinds.len())
    };
    Ok(Finding {
        check: "mode-collapse",
        name: "lost part of the data",
        value: found.mass,
        threshold: MASS,
        fault: Fault::Above,
        reason: "a twelfth of the real samples in cells that have less than a quarter of their share of the generated \
                 ones, by more than chance gives once in 100,000 times; less is the trouble of rare kinds that any \
                 generator has",
        flagged,
        sentence,
        p: found.kinds.iter().map(|k| k.p).reduce(f64::min),
        detail: json!({"cells": wanted, "lost": found.kinds.len(), "too_rare_to_tell": found.untold}),
    })
}

/// How many times as often two samples are alike as two real ones.
fn variety(evidence: &Evidence<'_>) -> Result<Vec<Finding>, Error> {
    let first = |set: &ganymede_metrics::Features| set.select(0..set.rows().min(PAIRED));
    let (real, generated) = (first(&evidence.real.features), first(&evidence.generated.features));
    let shares: Vec<f64> = SCALES.iter().map(|scale| scale.share).collect();
    let at = distances_at(&real, &shares)?;
    let mut findings = Vec::new();
    for (scale, square) in SCALES.iter().zip(at) {
        let found = collisions(&generated, square)?;
        let value = found.share / scale.share;
        let sure = found.at_least(SURE) / scale.share;
        let flagged = sure > scale.times;
        let (name, alike) = match scale.share > 0.01 {
            true => ("samples of one kind", "of the same kind"),
            false => ("samples nearly the same", "nearly the same"),
        };
        let sentence = match flagged {
            true => format!(
                "Two samples are {value:.1} times as often {alike} as two real ones: the generator makes only a part of \
                 what the data hold."
            ),
            false => format!("Two samples are {value:.2} times as often {alike} as two real ones."),
        };
        findings.push(Finding {
            check: "mode-collapse",
            name,
            value,
            threshold: scale.times,
            fault: Fault::Above,
            reason: match scale.share > 0.01 {
                true => {
                    "as near as a tenth of all real pairs, four times as often, and by four deviations more: as if three \
                     quarters of the data were missing"
                }
                false => {
                    "as near as the nearest thousandth of real pairs, 25 times as often, and by four deviations more: as \
                     if all samples were of some forty images"
                }
            },
            flagged,
            sentence,
            p: None,
            detail: json!({"samples": generated.rows(), "real": real.rows(), "at_least": sure}),
        });
    }
    Ok(findings)
}
