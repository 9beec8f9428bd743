use super::{Context, Regularizer};
use ganymede_graph::Tensor;

/// lambda E (D(x) - D(T(x)))^2 on real samples: what leaves a sample's meaning alone shall leave its logit alone.
pub struct Consistency;

/// The same on generated samples too: real ones alone teach the discriminator to take the traces of T for a sign of
/// generated ones.
pub struct Balanced;

/// E (D(x) - D(T(x)))^2, with T drawn anew for each sample.
fn difference(context: &Context<'_>, samples: &Tensor, logits: &Tensor) -> Tensor {
    let changed = (context.discriminator)(&(context.common.augment)(samples));
    (logits - changed).square().mean_all()
}

impl Regularizer for Consistency {
    fn name(&self) -> &'static str {
        "consistency"
    }
    fn about(&self) -> &'static str {
        "strength times the squared difference of a real sample's logit before and after an augmentation"
    }
    fn paper(&self) -> &'static str {
        "Zhang et al. 2020 (CR-GAN): consistency of the last layer's output before its activation"
    }
    fn default_strength(&self) -> f64 {
        10.0
    }
    fn augments(&self) -> bool {
        true
    }
    fn penalty(&self, context: &Context<'_>) -> Option<Tensor> {
        Some(difference(context, context.real, context.real_logits) * context.common.strength)
    }
}

impl Regularizer for Balanced {
    fn name(&self) -> &'static str {
        "balanced-consistency"
    }
    fn about(&self) -> &'static str {
        "strength times the squared differences of real and of generated samples' logits before and after an augmentation"
    }
    fn paper(&self) -> &'static str {
        "Zhao et al. 2021 (improved consistency regularization): bCR, with one strength for both kinds"
    }
    fn default_strength(&self) -> f64 {
        10.0
    }
    fn augments(&self) -> bool {
        true
    }
    fn penalty(&self, context: &Context<'_>) -> Option<Tensor> {
        let real = difference(context, context.real, context.real_logits);
        let fake = difference(context, context.fake, context.fake_logits);
        Some((real + fake) * context.common.strength)
    }
}
