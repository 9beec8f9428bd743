//! The loss and its options.

use super::super::{Recipe, RecipeError, unknown};
use crate::losses::{self, Loss};

/// Largest deviation of instance noise: samples span 2.
const MAX_NOISE: f64 = 100.0;

impl Recipe {
    /// The loss by name.
    pub fn loss_function(&self) -> Result<&'static dyn Loss, RecipeError> {
        losses::find(&self.loss.name).ok_or_else(|| {
            let known: Vec<&str> = losses::LOSSES.iter().map(|l| l.name()).collect();
            self.error("loss.name", unknown("loss", &self.loss.name, &known))
        })
    }

    /// Checks the options of the loss.
    pub(super) fn check_loss(&self) -> Result<(), RecipeError> {
        let loss = self.loss_function()?;
        let spec = &self.loss;
        for (key, label) in [("loss.real_label", spec.real_label), ("loss.fake_label", spec.fake_label)] {
            let Some(label) = label else { continue };
            if !loss.takes_labels() {
                let takes = losses::LOSSES.iter().filter(|l| l.takes_labels()).map(|l| l.name());
                let message = format!(
                    "the loss `{}` has no targets that a label could replace: leave it out, or choose one of {}",
                    loss.name(),
                    takes.collect::<Vec<_>>().join(", ")
                );
                return Err(self.error(key, message));
            }
            if !(0.0..=1.0).contains(&label) {
                return Err(self.error(key, format!("must be from 0 to 1, got {label}")));
            }
        }
        if spec.top_k.is_some() && !loss.sums_over_samples() {
            let message = format!(
                "in `{}` every sample's term depends on all generated samples, so none can be left out: choose another loss",
                loss.name()
            );
            return Err(self.error("loss.top_k", message));
        }
        let labels = self.labels();
        if labels.real <= labels.fake {
            let message =
                format!("must lie above that of generated samples, {}, got {}", labels.fake, labels.real);
            return Err(self.error("loss.real_label", message));
        }
        if let Some(share) = &spec.top_k
            && (share.range().0 <= 0.0 || share.range().1 > 1.0)
        {
            return Err(self.error("loss.top_k", format!("must stay above 0 and at most 1, got {share}")));
        }
        if let Some(noise) = &spec.instance_noise
            && (noise.range().0 < 0.0 || noise.range().1 > MAX_NOISE)
        {
            let message = format!("must stay from 0 to {MAX_NOISE}, got {noise}");
            return Err(self.error("loss.instance_noise", message));
        }
        Ok(())
    }
}
