//! Discriminator regularizers: one file and one line in [`REGULARIZERS`] each.

mod gradient_penalty;
mod r1;
mod r2;
mod weight_clipping;

use ganymede_graph::Tensor;

/// What a penalty may look at.
pub struct Context<'a> {
    /// Real samples `[batch, ...]`.
    pub real: &'a Tensor,
    /// Generated samples `[batch, ...]`, not differentiated into the generator.
    pub fake: &'a Tensor,
    /// Logits of the real samples `[batch]`.
    pub real_logits: &'a Tensor,
    /// Logits of the generated samples `[batch]`.
    pub fake_logits: &'a Tensor,
    /// Applies the discriminator to further samples.
    pub discriminator: &'a dyn Fn(&Tensor) -> Tensor,
    /// The scheduled strength, a scalar.
    pub strength: &'a Tensor,
    /// Uniform numbers in (0, 1), one for each sample, of the given shape.
    pub uniform: &'a dyn Fn(&[usize]) -> Tensor,
}

/// A term of the discriminator's loss, or a constraint on its weights.
pub trait Regularizer: Sync {
    /// Name in recipes.
    fn name(&self) -> &'static str;
    /// One sentence for people choosing, naming what the strength means.
    fn about(&self) -> &'static str;
    /// Authors, year, equation.
    fn paper(&self) -> &'static str;
    /// The usual strength.
    fn default_strength(&self) -> f64;
    /// What is added to the discriminator's loss; a scalar.
    fn penalty(&self, _context: &Context<'_>) -> Option<Tensor> {
        None
    }
    /// What a weight becomes after the optimizer's step, given the strength.
    fn constrain(&self, _weight: &Tensor, _strength: &Tensor) -> Option<Tensor> {
        None
    }
    /// Whether the penalty differentiates [`Context::real_logits`] or [`Context::fake_logits`] by their samples. These
    /// are then computed in passes of their own: through a common one the gradient of either would pass all of it.
    fn differentiates_logits(&self) -> bool {
        false
    }
    /// Whether the penalty takes gradients of logits by samples, which batch norm in the discriminator would mix
    /// across the batch.
    fn per_sample_gradients(&self) -> bool {
        false
    }
}

/// Every regularizer.
pub const REGULARIZERS: &[&dyn Regularizer] =
    &[&weight_clipping::WeightClipping, &gradient_penalty::GradientPenalty, &r1::R1, &r2::R2];

/// The regularizer of that name.
pub fn find(name: &str) -> Option<&'static dyn Regularizer> {
    REGULARIZERS.iter().copied().find(|r| r.name() == name)
}

/// Squared norm of each sample's gradient of its logit, `[batch]`. Logits of different samples do not depend on each
/// other (no batch norm), so the gradient of their sum holds each one's own.
fn squared_gradient_norms(logits: &Tensor, samples: &Tensor) -> Tensor {
    let gradient = &ganymede_graph::grad(&logits.sum_all(), &[samples])[0];
    let axes: Vec<usize> = (1..gradient.shape().len()).collect();
    gradient.square().sum(&axes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sound() {
        let mut names = std::collections::HashSet::new();
        for r in REGULARIZERS {
            assert!(names.insert(r.name()), "two regularizers are named {}", r.name());
            assert!(r.about().len() > 20 && r.paper().contains("20"), "{} lacks docs", r.name());
            assert!(r.default_strength() > 0.0);
            assert!(find(r.name()).is_some());
        }
    }
}
