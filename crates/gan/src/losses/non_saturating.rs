use super::{Labels, Loss, cross_entropy};
use ganymede_graph::Tensor;

/// The minimax discriminator with a generator that maximises log D(G(z)), whose gradient does not fade while D wins.
pub struct NonSaturating;

impl Loss for NonSaturating {
    fn name(&self) -> &'static str {
        "non-saturating"
    }
    fn about(&self) -> &'static str {
        "cross-entropy with the generator's labels flipped; the usual starting point"
    }
    fn paper(&self) -> &'static str {
        "Goodfellow et al. 2014, section 3 (maximise log D(G(z)))"
    }
    fn discriminator(&self, real: &Tensor, fake: &Tensor, labels: Labels) -> Tensor {
        cross_entropy(real, labels.real).mean_all() + cross_entropy(fake, labels.fake).mean_all()
    }
    fn generator_each(&self, _real: Option<&Tensor>, fake: &Tensor) -> Tensor {
        (-fake).softplus()
    }
    fn takes_labels(&self) -> bool {
        true
    }
}
