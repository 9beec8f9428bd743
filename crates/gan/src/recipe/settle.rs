//! What a recipe leaves open and its other keys decide.

use super::{Recipe, RecipeError, Scheduled, Strength};
use crate::networks::{Net, Side};
use crate::regularizers;

impl Recipe {
    /// With the optimizers' own values, and strengths that a rule gives, where the recipe leaves them open. What was
    /// derived is said in [`Recipe::remarks`]. Where a rule is missing the recipe is left as it is, for
    /// [`Recipe::validate`] to refuse.
    pub fn resolved(mut self) -> Self {
        self.generator.optimizer = self.generator.optimizer.resolved();
        self.discriminator.optimizer = self.discriminator.optimizer.resolved();
        let batch = self.train.batch;
        let size = self.image_size();
        for spec in &mut self.regularizers {
            let rule =
                regularizers::find(&spec.name).zip(size).filter(|_| spec.strength == Some(Strength::Auto));
            let Some((regularizer, [height, width])) = rule else { continue };
            let Some(value) = regularizer.automatic_strength([height, width], batch) else { continue };
            // Four digits are what such a rule is worth, and read well in a recipe.
            let value = format!("{value:.3e}").parse().unwrap_or(value);
            spec.strength = Some(Strength::Given(Scheduled::constant(value)));
            self.remarks.push(format!(
                "the strength of `{}` is {value}: .0002 x {height} x {width} pixels / a batch of {batch}",
                spec.name
            ));
        }
        self
    }

    /// Height and width of its samples, if they are images.
    pub fn image_size(&self) -> Option<[usize; 2]> {
        match self.data.shape[..] {
            [height, width, _] => Some([height, width]),
            _ => None,
        }
    }

    /// The parts of the discriminator that do not learn, by the paths of their parameters: the first of those that make the
    /// features of its last layer. What makes logits of features must learn (Mo, Cho, Shin 2020, FreezeD, section 3).
    ///
    /// # Errors
    /// More are named than there are.
    pub(crate) fn frozen(&self, discriminator: &Net) -> Result<Vec<String>, RecipeError> {
        let count = self.discriminator.freeze;
        if count == 0 {
            return Ok(Vec::new());
        }
        let (params, _) = discriminator.describe(&self.judged_shape(), &self.data.shape, Side::Discriminator);
        let declared = discriminator.before_head(&self.judged_shape(), &self.data.shape, Side::Discriminator);
        let mut parts: Vec<String> = Vec::new();
        let of_features = params.iter().take(declared.unwrap_or(params.len()));
        for param in of_features.filter(|param| param.trainable) {
            // The root and what follows it: `D/conv1` of a list, `D/stage1` of a model.
            let part: Vec<&str> = param.name.split('/').take(2).collect();
            let part = part.join("/");
            if parts.last() != Some(&part) && !parts.contains(&part) {
                parts.push(part);
            }
        }
        if declared.is_none() {
            parts.pop();
        }
        if count > parts.len() {
            return Err(RecipeError {
                at: format!("recipe `{}`, key `discriminator.freeze`", self.name),
                message: format!(
                    "freezes {count} parts, and the discriminator makes its features in {} ({}): what follows them must learn, so \
                     that at most {} can be",
                    parts.len(),
                    parts.join(", "),
                    parts.len()
                ),
            });
        }
        parts.truncate(count);
        Ok(parts)
    }

    /// What in the recipe looks at several samples of a batch, and so sees those of a part where gradients are added up
    /// over parts; with what that means. Empty where a batch is taken whole.
    pub(crate) fn seen_by_part(&self, generator: &Net, discriminator: &Net) -> Vec<String> {
        if self.train.accumulate == 1 {
            return Vec::new();
        }
        let mut seen = Vec::new();
        if generator.normalizes_batch(Side::Generator) || discriminator.normalizes_batch(Side::Discriminator)
        {
            seen.push("batch norm, whose running statistics move at every part".to_string());
        }
        if generator.has_styles() {
            seen.push("the mean of styles, which moves at every part".to_string());
        }
        if discriminator.compares_samples() {
            seen.push("minibatch_stddev".to_string());
        }
        if self.train.pack > 1 {
            seen.push("packs, which lie within a part".to_string());
        }
        if self.loss_function().is_ok_and(|loss| !loss.sums_over_samples()) {
            seen.push(format!("the means of `{}`", self.loss.name));
        }
        for spec in &self.regularizers {
            let compares = regularizers::find(&spec.name)
                .is_some_and(|r| r.compares_samples() || r.compares_features() || !r.memory().is_empty());
            if compares {
                seen.push(format!("the means of `{}`", spec.name));
            }
        }
        if self.augment.as_ref().is_some_and(|a| a.target.is_some()) {
            seen.push("the probability of augmentations, which moves at every part".to_string());
        }
        if self.generator.spectral_norm > 0 || self.discriminator.spectral_norm > 0 {
            seen.push("spectral norm, whose power iteration goes on at every part".to_string());
        }
        seen
    }
}
