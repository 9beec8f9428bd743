use super::{Context, GeneratorContext, Regularizer};
use crate::networks::Side;
use ganymede_graph::Tensor;
use ganymede_nn::ClassLabels;

/// The cross-entropy of the discriminator's classifier: AC-GAN's L_C.
pub struct AuxiliaryClassifier;

/// Mean of -log softmax(logits)[class] over the batch.
fn cross_entropy(logits: &Tensor, labels: &ClassLabels) -> Tensor {
    if logits.is_poisoned() {
        return logits.clone();
    }
    // log softmax(x) does not change when a constant is taken from x: without its largest value no exp overflows.
    let largest = logits.stop_gradient().max(&[1]);
    let shape = logits.shape();
    let shifted = logits - largest.reshape(&[shape[0], 1]).broadcast_to(&shape);
    let log_sum = shifted.exp().sum(&[1]).log();
    let of_class = (shifted * labels.one_hot()).sum(&[1]);
    (log_sum - of_class).mean_all()
}

impl Regularizer for AuxiliaryClassifier {
    fn name(&self) -> &'static str {
        "auxiliary-classifier"
    }

    fn about(&self) -> &'static str {
        "cross-entropy of the classes that the discriminator's `classify` guesses, for both networks, times the strength"
    }

    fn paper(&self) -> &'static str {
        "Odena, Olah, Shlens 2017, Conditional image synthesis with auxiliary classifier GANs, equation 3"
    }

    fn default_strength(&self) -> f64 {
        1.0
    }

    fn sides(&self) -> &'static [Side] {
        &[Side::Discriminator, Side::Generator]
    }

    fn compares_classes(&self) -> bool {
        true
    }

    fn penalty(&self, context: &Context<'_>) -> Option<Tensor> {
        let ([real, fake], labels) = (context.class_logits?, context.common.labels?);
        Some((cross_entropy(real, labels) + cross_entropy(fake, labels)) * context.common.strength)
    }

    fn generator_penalty(&self, context: &GeneratorContext<'_>) -> Option<Tensor> {
        let (fake, labels) = (context.class_logits?, context.common.labels?);
        Some(cross_entropy(fake, labels) * context.common.strength)
    }
}
