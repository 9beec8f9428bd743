use super::Loss;
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
    fn discriminator(&self, real: &Tensor, fake: &Tensor) -> Tensor {
        // With D = sigmoid(logit): -log D = softplus(-logit), -log(1 - D) = softplus(logit).
        (-real).softplus().mean_all() + fake.softplus().mean_all()
    }
    fn generator(&self, _real: Option<&Tensor>, fake: &Tensor) -> Tensor {
        -fake.softplus().mean_all()
    }
}
