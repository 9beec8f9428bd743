use super::Loss;
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
    fn discriminator(&self, real: &Tensor, fake: &Tensor) -> Tensor {
        (-real).softplus().mean_all() + fake.softplus().mean_all()
    }
    fn generator(&self, _real: Option<&Tensor>, fake: &Tensor) -> Tensor {
        (-fake).softplus().mean_all()
    }
}
