//! Samples as the discriminator sees them: augmented, with noise, packed.

use super::{Objective, feed};
use crate::augment::Draw;
use crate::recipe::Augment;
use crate::regularizers::Memory;
use ganymede_graph::{Graph, Tensor, TensorType};
use ganymede_nn::RandomSource;

/// Prefix of the slots that adapt the probability of augmentations.
pub(super) const ADAPTATION: &str = "augment";
/// The slot of the adapted probability.
pub const PROBABILITY: &str = "augment/probability";
/// What the mean sign of the logits keeps at a step: it remembers four steps.
const SIGN_DECAY: f64 = 0.75;

impl Objective {
    /// Samples as the discriminator gets them: `pack` of them side by side along the last axis (Lin et al. 2018,
    /// PacGAN), `[batch / pack, ..., pack channels]`.
    pub(super) fn packed(&self, samples: &Tensor) -> Tensor {
        let (pack, shape) = (self.recipe.train.pack, samples.shape());
        if pack == 1 || samples.is_poisoned() {
            return samples.clone();
        }
        let (batch, rank) = (shape[0] / pack, shape.len());
        let apart: Vec<usize> = [&[batch, pack], &shape[1..]].concat();
        // The members of a pack move before the channels.
        let order: Vec<usize> = [0].into_iter().chain(2..rank).chain([1, rank]).collect();
        let mut joined = shape;
        joined[0] = batch;
        joined[rank - 1] *= pack;
        samples.reshape(&apart).transpose(&order).reshape(&joined)
    }

    /// Samples as the discriminator sees them: augmented, with noise, packed.
    pub(super) fn seen(&self, graph: &Graph, source: &RandomSource, samples: &Tensor) -> Tensor {
        self.packed(&self.with_noise(graph, source, &self.augmented(graph, source, samples)))
    }

    /// Samples changed by the recipe's augmentations, at its probability.
    pub(super) fn augmented(&self, graph: &Graph, source: &RandomSource, samples: &Tensor) -> Tensor {
        let Some(spec) = &self.recipe.augment else { return samples.clone() };
        let probability = match (&spec.target, &spec.probability) {
            (Some(_), _) => Some(graph.state(PROBABILITY, TensorType::f32([]))),
            (None, Some(_)) => Some(graph.feed(feed::AUGMENT, TensorType::f32([]))),
            (None, None) => None,
        };
        self.augmented_at(graph, source, samples, probability.as_ref())
    }

    pub(super) fn augmented_at(
        &self,
        graph: &Graph,
        source: &RandomSource,
        samples: &Tensor,
        probability: Option<&Tensor>,
    ) -> Tensor {
        let _at = graph.scope("augment");
        self.augmentations.iter().fold(samples.clone(), |x, augmentation| {
            let _at = graph.scope(augmentation.name());
            let (uniform, normal) = (
                |shape: &[usize]| source.uniform(graph, augmentation.name(), shape),
                |shape: &[usize]| source.normal(graph, augmentation.name(), shape),
            );
            augmentation.apply(&x, &Draw { uniform: &uniform, normal: &normal, probability })
        })
    }

    /// Moves the probability of augmentations by a step towards the target (Karras et al. 2020, ADA, section 3): up by
    /// the batch's share of the ramp while the mean sign of the logits of real samples exceeds the target, else down. The
    /// sign is averaged over about four steps, as the authors' program does.
    pub(super) fn adapt(&self, graph: &Graph, real_logits: &Tensor) {
        let Some((spec, target)) = self.recipe.augment.as_ref().and_then(|s| Some((s, s.target?))) else {
            return;
        };
        let memory = Memory { graph, prefix: ADAPTATION, parts: self.recipe.train.accumulate };
        let sign = memory.average("sign", "share", &real_logits.sign().mean_all(), SIGN_DECAY);
        let step = self.recipe.part() as f64 / spec.ramp.unwrap_or(Augment::RAMP) as f64;
        let p = memory.recall("probability");
        let moved = &p + (sign - target).sign() * step;
        memory.keep("probability", &moved.maximum(&p.zeros_like()).minimum(&p.ones_like()));
    }

    /// Samples with noise upon them, where the recipe has some (Sonderby et al. 2017; Arjovsky, Bottou 2017, section 3).
    pub(super) fn with_noise(&self, graph: &Graph, source: &RandomSource, samples: &Tensor) -> Tensor {
        if self.recipe.loss.instance_noise.is_none() {
            return samples.clone();
        }
        let _at = graph.scope("instance_noise");
        let deviation = graph.feed(feed::INSTANCE_NOISE, TensorType::f32([]));
        samples + source.normal(graph, "instance_noise", &samples.shape()) * deviation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recipe;
    use ganymede_graph::{Array, Precision, interpret};
    use std::collections::HashMap;

    #[test]
    fn packs_hold_consecutive_samples_channel_by_channel() {
        let recipe = Recipe::load("dcgan28", &["train.pack=2".into(), "train.batch=4".into()]).unwrap();
        let objective = Objective::new(recipe).unwrap();
        let graph = Graph::new();
        // Sample s has 100 s + its place at each place.
        let samples = graph.feed("samples", TensorType::f32([4, 1, 2, 3]));
        let packed = objective.packed(&samples);
        assert_eq!(packed.shape(), [2, 1, 2, 6]);
        graph.output("packed", &packed);
        let values = (0..4).flat_map(|s| (0..6).map(move |place| f64::from(100 * s + place)));
        let inputs =
            HashMap::from([("samples".to_string(), Array::f32(&[4, 1, 2, 3], values.collect::<Vec<_>>()))]);
        let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
        let expected = [
            [0., 1., 2., 100., 101., 102.],
            [3., 4., 5., 103., 104., 105.],
            [200., 201., 202., 300., 301., 302.],
            [203., 204., 205., 303., 304., 305.],
        ];
        assert_eq!(outcome.outputs["packed"].floats(), expected.concat());
    }
}
