use super::{Check, Evidence, Fault, Finding, LEVEL, spaced};
use crate::error::Error;
use ganymede_metrics::ranks::{Above, above};
use serde_json::json;

/// Samples of each kind that the discriminator is asked about.
const ASKED: usize = 1_000;
/// The share of the way from generated to training samples at which held-out ones lie lower, from which on it is a fault.
pub(crate) const OVERFIT: f64 = 0.25;
/// Held-out samples that the figure means something of.
pub(crate) const FEWEST: usize = 30;

/// A discriminator that knows its training samples by heart.
pub(super) struct Overfitting;

/// What a discriminator makes of training, held-out and generated samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    /// (mean of training - mean of held-out) / (mean of training - mean of generated samples).
    pub share: f64,
    /// Training samples against held-out ones.
    pub above: Above,
    /// Means of the three.
    pub means: [f64; 3],
}

impl Verdict {
    /// Of the logits of training, held-out and generated samples.
    pub fn of(training: &[f64], held_out: &[f64], generated: &[f64]) -> Result<Self, Error> {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let means = [mean(training), mean(held_out), mean(generated)];
        let way = means[0] - means[2];
        // A discriminator that takes generated samples for more real than training ones knows none of them.
        let share = if way > 0.0 { (means[0] - means[1]) / way } else { 0.0 };
        Ok(Self { share, above: above(training, held_out)?, means })
    }

    /// Whether it knows training samples by heart, at a level of the test of ranks.
    pub fn overfits(&self, level: f64) -> bool {
        self.share > OVERFIT && self.above.p < level
    }
}

impl Check for Overfitting {
    fn name(&self) -> &'static str {
        "overfitting"
    }

    fn about(&self) -> &'static str {
        "Whether the discriminator takes held-out samples for generated ones, since it knows its training samples by heart."
    }

    fn paper(&self) -> &'static str {
        "Karras et al. 2020, StyleGAN2-ADA, equation 1 (r_v)"
    }

    fn check(&self, evidence: &mut Evidence<'_>) -> Result<Vec<Finding>, Error> {
        let spec = evidence.train.spec().to_string();
        let Some(test) = evidence.test else {
            return Err(Error::Unsuited(format!(
                "{spec} has no part that is held out to ask the discriminator about"
            )));
        };
        if evidence.train.len().is_none() {
            return Err(Error::Unsuited(format!(
                "{spec} has no end, so no discriminator sees a sample of it twice"
            )));
        }
        if let Some(own) = evidence.trained_elsewhere() {
            return Err(Error::Unsuited(format!(
                "the discriminator was trained on {}, which has another BLAKE3 sum than {spec}, and of other data the figure says \
                 nothing: leave --data out, or name what it was trained on",
                own
            )));
        }
        let size = evidence.train.elements();
        let (training, of_training) = spaced(evidence.train, ASKED)?;
        let (held_out, of_held_out) = spaced(test, ASKED)?;
        if held_out.len() / size < FEWEST || training.len() / size < FEWEST {
            return Err(Error::Unsuited(format!(
                "{} held-out samples are too few: it takes {FEWEST}",
                held_out.len() / size
            )));
        }
        let kept = &evidence.generated.kept;
        let count = (kept.len() / size).min(ASKED);
        let of_generated = evidence.generated.labels.as_ref().map(|labels| labels[..count].to_vec());
        let mut logits = |samples: &[f32], labels: &Option<Vec<i32>>| -> Result<Option<Vec<f64>>, Error> {
            let found = evidence.source.logits(samples, labels.as_deref().unwrap_or(&[]))?;
            Ok(found.map(|found| found.into_iter().map(f64::from).collect()))
        };
        let of = [
            logits(&training, &of_training)?,
            logits(&held_out, &of_held_out)?,
            logits(&kept[..count * size], &of_generated)?,
        ];
        let [Some(training), Some(held_out), Some(generated)] = of else {
            return Err(Error::Unsuited(
                "images in a folder have no discriminator that could be asked".into(),
            ));
        };
        let verdict = Verdict::of(&training, &held_out, &generated)?;
        let flagged = verdict.overfits(LEVEL);
        let value = verdict.share;
        let sentence = match flagged {
            true => format!(
                "The discriminator knows training samples by heart: held-out ones lie {:.0} % of the way from training to \
                 generated samples. More data, augmentation (augment.*) or a shorter run would help.",
                100.0 * value
            ),
            false if value <= 0.0 => {
                "Training samples look no more real to the discriminator than held-out ones.".to_string()
            }
            false => format!(
                "Held-out samples lie {:.0} % of the way from training to generated samples.",
                100.0 * value
            ),
        };
        Ok(vec![Finding {
            check: "overfitting",
            name: "overfitting of the discriminator",
            value,
            threshold: OVERFIT,
            fault: Fault::Above,
            reason: "0 is none, 1 all (r_v of Karras et al. 2020): a quarter of the way, and more than chance gives once in \
                     100,000 times by ranks",
            flagged,
            sentence,
            p: Some(verdict.above.p),
            detail: json!({
                "training": training.len(), "held_out": held_out.len(), "generated": generated.len(),
                "mean_logits": verdict.means, "training_above_held_out": verdict.above.share,
            }),
        }])
    }
}
