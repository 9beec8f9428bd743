//! Which parts of the networks learn, and what to say about a recipe's choices when a run begins.

use super::Objective;
use ganymede_graph::Tensor;

impl Objective {
    /// What deserves a sentence when a run begins: what was derived, and what the recipe's choices mean for each other.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = self.recipe.remarks.clone();
        let seen = self.recipe.seen_by_part(&self.generator, &self.discriminator);
        if !seen.is_empty() {
            let part = self.recipe.part();
            remarks.push(format!(
                "gradients are added up over parts of {part} samples; what compares samples sees a part: {}",
                seen.join("; ")
            ));
        }
        if !self.frozen.is_empty() {
            remarks.push(format!("the discriminator does not learn in {}", self.frozen.join(", ")));
        }
        remarks
    }

    /// Whether an optimizer changes the parameter of that name.
    pub fn learns(&self, name: &str) -> bool {
        let below = |path: &String| {
            name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        !self.frozen.iter().any(below)
    }

    /// The parts of the discriminator that do not learn, by the paths of their parameters.
    pub fn frozen(&self) -> &[String] {
        &self.frozen
    }

    /// Those parameters that learn.
    pub(super) fn learning(&self, mut params: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
        params.retain(|(name, _)| self.learns(name));
        params
    }
}
