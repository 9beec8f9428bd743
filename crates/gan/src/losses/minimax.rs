use super::{Labels, Loss, cross_entropy};
use ganymede_graph::Tensor;

/// The original game: D minimises -log D(x) - log(1 - D(G(z))), and G the negative of the second term.
pub struct Minimax;

impl Loss for Minimax {
    fn name(&self) -> &'static str {
        "minimax"
    }
    fn about(&self) -> &'static str {
        "the original two-player game; the generator's gradient fades while the discriminator wins"
    }
    fn paper(&self) -> &'static str {
        "Goodfellow et al. 2014, equation 1"
    }
    fn discriminator(&self, real: &Tensor, fake: &Tensor, labels: Labels) -> Tensor {
        cross_entropy(real, labels.real).mean_all() + cross_entropy(fake, labels.fake).mean_all()
    }
    fn generator_each(&self, _real: Option<&Tensor>, fake: &Tensor) -> Tensor {
        // log(1 - D) with D = sigmoid(logit).
        -fake.softplus()
    }
    fn takes_labels(&self) -> bool {
        true
    }
}
