//! What regularizers add to the loss of a phase.

use super::{Applied, Objective, feed};
use crate::augment::Draw;
use crate::networks::Side;
use crate::regularizers::{Common, Memory, Regularizer, memory_prefix};
use ganymede_graph::{Graph, Tensor, TensorType};
use ganymede_nn::{ClassLabels, RandomSource};

/// What the regularizers of one phase come to.
pub(super) struct Penalties {
    /// Their terms of the loss, added up.
    pub(super) sum: Tensor,
    /// Each with its strength at this step.
    pub(super) strengths: Vec<(&'static dyn Regularizer, Tensor)>,
}

impl Objective {
    /// Whether a regularizer of `side` that is due looks at the discriminator's classifier.
    pub(super) fn compares_classes(&self, side: Side, due: &[bool]) -> bool {
        self.applied(side, due).any(|(_, r)| r.regularizer.compares_classes())
    }

    /// Hands every regularizer of `side` that is due to `penalty`, and adds up what it makes of them. Applied every n-th
    /// step a penalty counts n times, which leaves its mean weight as it was.
    pub(super) fn penalties(
        &self,
        graph: &Graph,
        source: &RandomSource,
        (side, due): (Side, &[bool]),
        labels: Option<&ClassLabels>,
        weights: &[(String, Tensor)],
        penalty: &dyn Fn(&Applied, Common<'_>) -> Option<Tensor>,
    ) -> Penalties {
        let mut sum = graph.scalar(0.0);
        let mut strengths = Vec::new();
        for (i, applied) in self.applied(side, due) {
            let name = applied.regularizer.name();
            let _at = graph.scope(name);
            let strength = graph.feed(&feed::strength(i), TensorType::f32([]));
            // By number: two of one name draw apart.
            let path = format!("regularizer/{i}");
            let common = Common {
                strength: &strength,
                uniform: &|shape| source.uniform(graph, &path, shape),
                normal: &|shape| source.normal(graph, &path, shape),
                augment: &|samples| {
                    let uniform = |shape: &[usize]| source.uniform(graph, &path, shape);
                    let normal = |shape: &[usize]| source.normal(graph, &path, shape);
                    let draw = Draw { uniform: &uniform, normal: &normal, probability: None };
                    applied.policy.iter().fold(samples.clone(), |x, augmentation| {
                        let _at = graph.scope(augmentation.name());
                        augmentation.apply(&x, &draw)
                    })
                },
                labels,
                weights,
                memory: Memory {
                    graph,
                    prefix: &memory_prefix(side, name),
                    parts: self.recipe.train.accumulate,
                },
            };
            if let Some(penalty) = penalty(applied, common) {
                sum = sum + penalty * applied.every as f64;
            }
            strengths.push((applied.regularizer, strength));
        }
        Penalties { sum, strengths }
    }
}
