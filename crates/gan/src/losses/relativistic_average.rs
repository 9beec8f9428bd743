use super::{Labels, Loss, cross_entropy};
use ganymede_graph::Tensor;

/// Each sample is judged against the mean of the other kind: the discriminator says how much more real a real sample is
/// than the average generated one, and the other way round.
pub struct RelativisticAverage;

/// Cross-entropies of (first - mean second) against 1 and of (second - mean first) against 0, pair by pair.
fn contrast(first: &Tensor, second: &Tensor) -> Tensor {
    let over = |x: &Tensor, other: &Tensor| x - other.mean_all().broadcast_to(&x.shape());
    cross_entropy(&over(first, second), 1.0) + cross_entropy(&over(second, first), 0.0)
}

impl Loss for RelativisticAverage {
    fn name(&self) -> &'static str {
        "relativistic-average"
    }
    fn about(&self) -> &'static str {
        "each logit compared with the mean logit of the other kind of sample; steadier than plain cross-entropy"
    }
    fn paper(&self) -> &'static str {
        "Jolicoeur-Martineau 2018, section 4.2 (RaSGAN)"
    }
    fn discriminator(&self, real: &Tensor, fake: &Tensor, _: Labels) -> Tensor {
        contrast(real, fake).mean_all()
    }
    fn generator_each(&self, real: Option<&Tensor>, fake: &Tensor) -> Tensor {
        match real {
            Some(real) => contrast(fake, real),
            None => {
                fake.graph().fail("relativistic-average", "the generator's loss needs logits of real samples")
            }
        }
    }
    fn shift_invariant(&self) -> bool {
        true
    }
    fn pairs(&self) -> bool {
        true
    }
    fn sums_over_samples(&self) -> bool {
        false
    }
}
