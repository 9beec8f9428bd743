//! What a recipe may say: every name and number checked, and names resolved to what they stand for.

mod augmentations;
mod loss;
mod networks;
mod optimizers;
mod regularizers;
mod training;

use super::{Recipe, RecipeError, unknown};
use crate::best;

impl Recipe {
    fn error(&self, key: &str, message: impl Into<String>) -> RecipeError {
        RecipeError { at: format!("recipe `{}`, key `{key}`", self.name), message: message.into() }
    }

    /// Checks every name and number; networks are checked for shape by [`Recipe::networks`].
    pub fn validate(&self) -> Result<(), RecipeError> {
        self.check_loss()?;
        self.augmentations()?;
        self.regularizers()?;
        // The name is part of the run folder's.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(plain) {
            let message = "names the run folder: letters, digits, `-`, `_` and `.` only, and no `.` first";
            return Err(self.error("name", message));
        }
        self.check_training()?;
        self.check_optimizers()?;
        if self.generator.freeze > 0 {
            let message =
                "is for the discriminator: what its first layers see is what two sets have in common";
            return Err(self.error("generator.freeze", message));
        }
        if self.generator.classify {
            return Err(self.error("generator.classify", "is for the discriminator, which sees samples"));
        }
        if let Some(best) = &self.best
            && best::find(&best.metric).is_none()
        {
            let known: Vec<&str> = best::RUN_METRICS.iter().map(|m| m.name()).collect();
            return Err(self.error("best.metric", unknown("metric", &best.metric, &known)));
        }
        if let Some(ramp) = self.ema.as_ref().and_then(|ema| ema.ramp)
            && !(ramp > 0.0 && ramp.is_finite())
        {
            return Err(self.error("ema.ramp", format!("must be a number above 0, got {ramp}")));
        }
        if let Some(ema) = &self.ema
            && ema.half_life.range().0 < 0.0
        {
            return Err(self.error("ema.half_life", format!("must not be negative, got {}", ema.half_life)));
        }
        Ok(())
    }
}
