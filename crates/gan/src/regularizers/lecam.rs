use super::{Context, Regularizer};
use ganymede_graph::Tensor;

/// Holds each kind's logits near the running mean of the other kind's: for few training samples.
pub struct LeCam;

/// What the running means keep at a step.
const DECAY: f64 = 0.99;

impl Regularizer for LeCam {
    fn name(&self) -> &'static str {
        "lecam"
    }
    fn about(&self) -> &'static str {
        "strength times the squared distance of real logits from generated ones' running mean, and the other way round"
    }
    fn paper(&self) -> &'static str {
        "Tseng et al. 2021 (LeCam regularization), with running means as anchors"
    }
    fn default_strength(&self) -> f64 {
        0.3
    }
    fn memory(&self) -> &'static [&'static str] {
        &["real", "real_share", "fake", "fake_share"]
    }
    fn penalty(&self, context: &Context<'_>) -> Option<Tensor> {
        let memory = &context.common.memory;
        let real = memory.average("real", "real_share", &context.real_logits.mean_all(), DECAY);
        let fake = memory.average("fake", "fake_share", &context.fake_logits.mean_all(), DECAY);
        let apart = (context.real_logits - fake).square().mean_all()
            + (context.fake_logits - real).square().mean_all();
        Some(apart * context.common.strength)
    }
}
