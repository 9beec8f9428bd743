use super::{GeneratorContext, Regularizer};
use crate::networks::Side;
use ganymede_graph::Tensor;

/// Generated batches shall have the mean features of real ones.
pub struct FeatureMatching;

impl Regularizer for FeatureMatching {
    fn name(&self) -> &'static str {
        "feature-matching"
    }
    fn about(&self) -> &'static str {
        "strength times the squared distance of mean features, at the input of the discriminator's last layer"
    }
    fn paper(&self) -> &'static str {
        "Salimans et al. 2016, section 3.1"
    }
    fn default_strength(&self) -> f64 {
        1.0
    }
    fn sides(&self) -> &'static [Side] {
        &[Side::Generator]
    }
    fn compares_features(&self) -> bool {
        true
    }
    fn generator_penalty(&self, context: &GeneratorContext<'_>) -> Option<Tensor> {
        let Some([real, fake]) = context.features else {
            let message = "the discriminator shows no features: its last layer has no layer before it";
            return Some(context.fake.graph().fail("feature-matching", message));
        };
        let distance = real.mean(&[0]).stop_gradient() - fake.mean(&[0]);
        Some(distance.square().sum_all() * context.common.strength)
    }
}
