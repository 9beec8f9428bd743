use super::{Better, Classified, Context, LEVEL, Metric, Score, Subject, suits_classes};
use crate::error::Error;
use ganymede_metrics::classes::{CONFIDENT, ClassScore};
use ganymede_metrics::law::kl_interval;
use ganymede_metrics::stats::wilson;
use serde_json::json;

/// Which classes a classifier sees, and how surely.
pub(super) struct Classes;

impl Metric for Classes {
    fn name(&self) -> &'static str {
        "classes"
    }

    fn about(&self) -> &'static str {
        "Shares of the classes that a classifier sees against those of the real samples, and the share recognised with \
         p >= .9."
    }

    fn paper(&self) -> &'static str {
        "after Santurkar et al. 2018, section 3"
    }

    fn better(&self) -> Better {
        Better::Lower
    }

    fn suits(&self, subject: &Subject) -> Result<(), String> {
        suits_classes(subject, subject.labelled, "has no labelled images to tell classes by")
    }

    fn keeps_features(&self, _: [usize; 2], _: usize) -> bool {
        false
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let Classified { classes, real: of_real, generated: seen } = context.classified()?;
        let (found, real) = (ClassScore::new(seen, classes)?, ClassScore::new(of_real, classes)?);
        // A network that others have trained tells other classes than the data's.
        let names = context.train.classes().filter(|names| names.len() == classes).unwrap_or_default();
        if let Some(class) = (0..classes).find(|&class| real.counts[class] == 0 && found.counts[class] > 0) {
            let Some(name) = names.get(class) else {
                return Err(Error::Unsuited(format!(
                    "the extractor tells {classes} classes that are not the data's, and its class {class} has no sample among \
                     the {} real ones, so shares cannot be compared: use --extractor classifier",
                    real.samples
                )));
            };
            return Err(Error::Unsuited(format!(
                "class {name} has no sample among the {} real ones, so shares cannot be compared: look at more of them (--n), \
                 or leave the class out of the data (?classes=..)",
                real.samples
            )));
        }
        // The data's shares are counted as well, which adds as much.
        let floor = found.kl_floor() + real.kl_floor();
        let divergence = |what: &str, value: f64, law: &[f64], better: Better| -> Result<Score, Error> {
            let score = Score::new(self.name(), context.named(what), value, better);
            let alone = context.resampled || found.samples < 2;
            Ok(if alone { score } else { score.within(kl_interval(&found.counts, law, LEVEL)?) })
        };
        let law = real.shares();
        let kl = divergence("KL of classes to the data's", found.kl_to(&law)?, &law, Better::Lower)?;
        let even = vec![1.0 / classes as f64; classes];
        let uniform = divergence("KL of classes to uniform", found.kl_to_uniform(), &even, Better::Neither)?;
        let recognised = context.named(&format!("share recognised, p >= {CONFIDENT}"));
        let mut recognised = Score::new(self.name(), recognised, found.confident, Better::Higher)
            .within(wilson(found.confident_counts.iter().sum::<u64>() as usize, found.samples, LEVEL)?)
            .noting(format!("real samples {:.3}", real.confident));
        recognised.detail = json!({
            "classes": names, "shares": found.shares(), "real_shares": real.shares(),
            "recognised": found.confident_counts, "counts": found.counts,
            "mean_entropy": found.mean_entropy, "real_mean_entropy": real.mean_entropy,
        });
        let missing =
            found.counts.iter().zip(&real.counts).filter(|(got, real)| **got == 0 && **real > 0).count();
        let told = format!("{floor:.1e} for a perfect sampler, {missing} of {classes} classes missing");
        Ok(vec![kl.noting(told), uniform, recognised])
    }
}
