//! Which parts of the networks learn, and what to say about a recipe's choices when a run begins.

use super::{Applied, Objective};
use crate::networks::Side;
use ganymede_graph::Tensor;
use ganymede_nn::Scope;

/// Those of a network's parameters that layers multiply their input by.
pub(super) fn weights_of(scope: &Scope, params: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    params.iter().filter(|(name, _)| scope.is_weight(name)).cloned().collect()
}

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
        let of_discriminator = || self.regularizers.iter().filter(|r| r.side == Side::Discriminator);
        for clipping in of_discriminator().filter(|r| r.regularizer.constrains()) {
            if clipping.strength.range().1 == 0.0 {
                let name = clipping.regularizer.name();
                remarks.push(format!(
                    "`{name}` with a strength of 0 holds every weight of the discriminator at 0"
                ));
            }
        }
        let steep = |r: &Applied| !(r.regularizer.constrains() || r.regularizer.per_sample_gradients());
        if self.loss.needs_lipschitz()
            && self.recipe.discriminator.spectral_norm == 0
            && of_discriminator().all(steep)
        {
            remarks.push(format!(
                "`{}` estimates a distance only while the discriminator is kept from growing steep, and nothing does that \
                 here: add `gradient-penalty` (or `weight-clipping`), or set discriminator.spectral_norm = 1",
                self.loss.name()
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
