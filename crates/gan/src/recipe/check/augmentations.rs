//! Augmentations of everything that the discriminator sees, and policies of them by name.

use super::super::{Recipe, RecipeError, unknown};
use crate::augment::{self, Augmentation};

impl Recipe {
    /// The augmentations by name.
    pub fn augmentations(&self) -> Result<Vec<&'static dyn Augmentation>, RecipeError> {
        let Some(spec) = &self.augment else { return Ok(Vec::new()) };
        if self.data.shape.len() != 3 {
            let message =
                format!("changes images, and the samples have shape {:?}: leave it out", self.data.shape);
            return Err(self.error("augment", message));
        }
        let within = |low: f64, high: f64| 0.0 <= low && high <= 1.0;
        if let Some(p) = &spec.probability
            && !within(p.range().0, p.range().1)
        {
            return Err(self.error("augment.probability", format!("must stay from 0 to 1, got {p}")));
        }
        if let Some(target) = spec.target
            && !within(target, target)
        {
            return Err(self.error("augment.target", format!("must be from 0 to 1, got {target}")));
        }
        if spec.target.is_none() && spec.ramp.is_some() {
            return Err(
                self.error("augment.ramp", "is the pace of a probability that follows a target: give one")
            );
        }
        if spec.ramp == Some(0) {
            return Err(self.error("augment.ramp", "must be at least 1 image, got 0"));
        }
        self.check_pixels("augment")?;
        self.policy("augment.policy", &spec.policy)
    }

    /// Augmentations by name.
    pub(super) fn policy(
        &self,
        key: &str,
        names: &[String],
    ) -> Result<Vec<&'static dyn Augmentation>, RecipeError> {
        let find = |name: &String| {
            augment::find(name).ok_or_else(|| {
                let known: Vec<&str> = augment::AUGMENTATIONS.iter().map(|a| a.name()).collect();
                self.error(key, unknown("augmentation", name, &known))
            })
        };
        names.iter().map(find).collect()
    }

    /// Pixels are counted in f32.
    pub(super) fn check_pixels(&self, key: &str) -> Result<(), RecipeError> {
        let (height, width) = (self.data.shape[0], self.data.shape[1]);
        if augment::pixels(height, width) > augment::MAX_PIXELS {
            let message = format!(
                "images of {height}x{width} are too large: their pixels are counted in 24 bits, at twice the resolution"
            );
            return Err(self.error(key, message));
        }
        Ok(())
    }
}
