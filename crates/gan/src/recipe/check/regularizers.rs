//! Regularizers by name, with network, strength and interval.

use super::super::{Recipe, RecipeError, RegularizerSpec, Scheduled, Strength, unknown};
use crate::augment::Augmentation;
use crate::regularizers::{self, Regularizer};
use crate::step::Applied;

/// What samples are compared with where a regularizer that does so names nothing.
const USUAL_POLICY: [&str; 2] = ["flip", "translation"];

/// Longest interval of a lazy regularizer, in discriminator steps.
const MAX_INTERVAL: usize = 1 << 16;

impl Recipe {
    /// The regularizers by name, with network, strength and interval.
    pub fn regularizers(&self) -> Result<Vec<Applied>, RecipeError> {
        let mut out: Vec<Applied> = Vec::new();
        for spec in &self.regularizers {
            let regularizer = regularizers::find(&spec.name).ok_or_else(|| {
                let known: Vec<&str> = regularizers::REGULARIZERS.iter().map(|r| r.name()).collect();
                self.error("regularizers.name", unknown("regularizer", &spec.name, &known))
            })?;
            let sides = regularizer.sides();
            let side = spec.network.unwrap_or(sides[0]);
            if !sides.contains(&side) {
                let message = format!("`{}` is for the {} alone", spec.name, sides[0].name());
                return Err(self.error("regularizers.network", message));
            }
            let usual = || Scheduled::constant(regularizer.default_strength());
            let strength = match &spec.strength {
                None => usual(),
                Some(Strength::Given(strength)) => strength.clone(),
                Some(Strength::Auto) => {
                    let rule = self
                        .image_size()
                        .and_then(|size| regularizer.automatic_strength(size, self.train.batch));
                    Scheduled::constant(rule.ok_or_else(|| self.no_rule(spec))?)
                }
            };
            if strength.range().0 < 0.0 {
                return Err(
                    self.error("regularizers.strength", format!("must not be negative, got {strength}"))
                );
            }
            if !(1..=MAX_INTERVAL).contains(&spec.every) {
                let message = format!("must be from 1 to {MAX_INTERVAL}, got {}", spec.every);
                return Err(self.error("regularizers.every", message));
            }
            let twin = |r: &Applied| r.side == side && r.regularizer.name() == spec.name;
            if !regularizer.memory().is_empty() && out.iter().any(twin) {
                let message = format!("`{}` is there twice for the {}: keep one", spec.name, side.name());
                return Err(self.error("regularizers", message));
            }
            let policy = self.regularizer_policy(spec, regularizer)?;
            out.push(Applied { regularizer, side, strength, every: spec.every, policy });
        }
        Ok(out)
    }

    /// Why `strength = "auto"` means nothing.
    fn no_rule(&self, spec: &RegularizerSpec) -> RecipeError {
        let ruled = |r: &&&dyn Regularizer| r.automatic_strength([1, 1], 1).is_some();
        let known: Vec<&str> = regularizers::REGULARIZERS.iter().filter(ruled).map(|r| r.name()).collect();
        let message = match known.contains(&spec.name.as_str()) {
            true => format!(
                "\"auto\" follows from the pixels of images, and the samples have shape {:?}: give a number",
                self.data.shape
            ),
            false => format!(
                "there is no rule for the strength of `{}` (for {} there is): give a number",
                spec.name,
                known.join(", ")
            ),
        };
        self.error("regularizers.strength", message)
    }

    /// What a regularizer that compares samples with changed ones changes them by.
    fn regularizer_policy(
        &self,
        spec: &RegularizerSpec,
        regularizer: &dyn Regularizer,
    ) -> Result<Vec<&'static dyn Augmentation>, RecipeError> {
        let key = "regularizers.augment";
        if !regularizer.augments() {
            return match spec.augment.is_empty() {
                true => Ok(Vec::new()),
                false => Err(self.error(key, format!("`{}` changes no samples: leave it out", spec.name))),
            };
        }
        if self.data.shape.len() != 3 {
            let message =
                format!("`{}` changes images, and the samples have shape {:?}", spec.name, self.data.shape);
            return Err(self.error("regularizers", message));
        }
        if self.train.pack > 1 {
            let message = format!(
                "`{}` changes images one by one, and the discriminator judges packs of {}: leave train.pack out",
                spec.name, self.train.pack
            );
            return Err(self.error("regularizers", message));
        }
        let usual = [USUAL_POLICY.map(String::from)].concat();
        let policy = self.policy(key, if spec.augment.is_empty() { &usual } else { &spec.augment })?;
        self.check_pixels("regularizers")?;
        Ok(policy)
    }
}
