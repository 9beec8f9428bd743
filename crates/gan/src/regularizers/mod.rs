//! Regularizers of either network: one file and one line in [`REGULARIZERS`] each.

mod auxiliary_classifier;
mod consistency;
mod dragan;
mod feature_matching;
mod gradient_penalty;
mod lecam;
mod orthogonal;
mod path_length;
mod r1;
mod r2;
mod reconstruction;
mod weight_clipping;

use crate::networks::Side;
use ganymede_graph::{Graph, Tensor, TensorType};
use ganymede_nn::ClassLabels;

/// What a term of the discriminator's loss may look at. Where samples are packed, a sample here is a pack.
pub struct Context<'a> {
    /// Real samples `[batch, ...]`.
    pub real: &'a Tensor,
    /// Generated samples `[batch, ...]`, not differentiated into the generator.
    pub fake: &'a Tensor,
    /// Logits of the real samples `[batch]`.
    pub real_logits: &'a Tensor,
    /// Logits of the generated samples `[batch]`.
    pub fake_logits: &'a Tensor,
    /// How far each real sample lies from what the discriminator's decoders make of its features, `[batch]`, where it has
    /// decoders.
    pub reconstruction: Option<&'a Tensor>,
    /// Logits `[batch, classes]` of the discriminator's classifier for real samples and for generated ones, where the
    /// regularizer [`Regularizer::compares_classes`].
    pub class_logits: Option<[&'a Tensor; 2]>,
    /// Applies the discriminator to further samples, of the classes of the batch.
    pub discriminator: &'a dyn Fn(&Tensor) -> Tensor,
    /// What both sides have.
    pub common: Common<'a>,
}

/// What a term of the generator's loss may look at.
pub struct GeneratorContext<'a> {
    /// What samples are made of, `[batch, ...]`: the styles of a generator that maps its latents, the latents of others.
    pub styles: &'a Tensor,
    /// Generated samples `[batch, ...]`.
    pub fake: &'a Tensor,
    /// The input of the discriminator's last layer, `[batch, ...]`, for real samples and for the generated ones, where
    /// the regularizer [`Regularizer::compares_features`].
    pub features: Option<[&'a Tensor; 2]>,
    /// Logits `[batch, classes]` of the discriminator's classifier for generated samples, where the regularizer
    /// [`Regularizer::compares_classes`].
    pub class_logits: Option<&'a Tensor>,
    /// What both sides have.
    pub common: Common<'a>,
}

/// What terms of both losses have.
pub struct Common<'a> {
    /// The scheduled strength, a scalar.
    pub strength: &'a Tensor,
    /// Uniform numbers in (0, 1) of the given shape, whose first axis is the batch; others at each call.
    pub uniform: &'a dyn Fn(&[usize]) -> Tensor,
    /// Standard normals, likewise.
    pub normal: &'a dyn Fn(&[usize]) -> Tensor,
    /// Changes samples by the regularizer's own augmentations, with other draws at each call.
    pub augment: &'a dyn Fn(&Tensor) -> Tensor,
    /// The classes of the batch, real and generated samples alike, where the recipe has classes.
    pub labels: Option<&'a ClassLabels>,
    /// Names and values of the parameters that the loss trains.
    pub weights: &'a [(String, Tensor)],
    /// The regularizer's own numbers, kept from step to step.
    pub memory: Memory<'a>,
}

/// Scalars that a regularizer keeps from step to step: 0 before the first.
#[derive(Clone, Copy)]
pub struct Memory<'a> {
    /// The phase under construction.
    pub graph: &'a Graph,
    /// Before the names of its slots.
    pub prefix: &'a str,
    /// Parts in which a batch is taken: each keeps and moves what it keeps.
    pub parts: usize,
}

/// Prefix of the slots that a regularizer keeps.
pub fn memory_prefix(side: Side, name: &str) -> String {
    format!("regularizer/{}/{name}", side.root())
}

impl Memory<'_> {
    /// The number of the last step.
    pub fn recall(&self, name: &str) -> Tensor {
        self.graph.state(&format!("{}/{name}", self.prefix), TensorType::f32([]))
    }

    /// The number for the next step.
    pub fn keep(&self, name: &str, value: &Tensor) {
        self.graph.update(&format!("{}/{name}", self.prefix), &value.stop_gradient());
    }

    /// Moves the mean kept as `name` towards `value` by 1 - `decay`, and gives the new one, free of its start at 0: it is
    /// divided by the share that has been seen, 1 - decay^steps, kept as `name` and `share` together (Kingma, Ba 2015,
    /// section 3, correct their moments so). `decay` is that of a step, to which each part of a batch gives its share.
    pub fn average(&self, name: &str, share: &str, value: &Tensor, decay: f64) -> Tensor {
        let decay = if self.parts == 1 { decay } else { decay.powf(1.0 / self.parts as f64) };
        let mean = self.recall(name) * decay + value.stop_gradient() * (1.0 - decay);
        let seen = self.recall(share) * decay + (1.0 - decay);
        self.keep(name, &mean);
        self.keep(share, &seen);
        (mean / seen).stop_gradient()
    }
}

/// A term of a loss, or a constraint on weights.
pub trait Regularizer: Sync {
    /// Name in recipes.
    fn name(&self) -> &'static str;
    /// One sentence for people choosing, naming what the strength means.
    fn about(&self) -> &'static str;
    /// Authors, year, equation.
    fn paper(&self) -> &'static str;
    /// The usual strength.
    fn default_strength(&self) -> f64;
    /// The networks it can be applied to; to the first, unless the recipe names another.
    fn sides(&self) -> &'static [Side] {
        &[Side::Discriminator]
    }
    /// What is added to the discriminator's loss; a scalar.
    fn penalty(&self, _context: &Context<'_>) -> Option<Tensor> {
        None
    }
    /// What is added to the generator's loss; a scalar.
    fn generator_penalty(&self, _context: &GeneratorContext<'_>) -> Option<Tensor> {
        None
    }
    /// What a weight becomes after the optimizer's step, given the strength.
    fn constrain(&self, _weight: &Tensor, _strength: &Tensor) -> Option<Tensor> {
        None
    }
    /// Whether it constrains weights.
    fn constrains(&self) -> bool {
        false
    }
    /// What the strength `"auto"` comes to for images of `height` by `width` in batches of `batch`, where there is a rule.
    fn automatic_strength(&self, _size: [usize; 2], _batch: usize) -> Option<f64> {
        None
    }
    /// Whether it compares samples with what [`Common::augment`] makes of them, and so has a policy of its own.
    fn augments(&self) -> bool {
        false
    }
    /// Whether its term looks at several samples at once, beside what it keeps and features.
    fn compares_samples(&self) -> bool {
        false
    }
    /// Names of the numbers it keeps from step to step.
    fn memory(&self) -> &'static [&'static str] {
        &[]
    }
    /// Whether the generator's term looks at [`GeneratorContext::features`].
    fn compares_features(&self) -> bool {
        false
    }
    /// Whether the terms look at [`Context::class_logits`] and [`GeneratorContext::class_logits`].
    fn compares_classes(&self) -> bool {
        false
    }
    /// Whether the discriminator's term looks at [`Context::reconstruction`].
    fn compares_reconstructions(&self) -> bool {
        false
    }
    /// Whether the penalty differentiates [`Context::real_logits`] or [`Context::fake_logits`] by their samples. These
    /// are then computed in passes of their own: through a common one the gradient of either would pass all of it.
    fn differentiates_logits(&self) -> bool {
        false
    }
    /// Whether the penalty takes gradients of each sample's output by its own input, which batch norm in the network would
    /// mix across the batch: of logits by samples, or of samples by styles.
    fn per_sample_gradients(&self) -> bool {
        false
    }
}

/// Every regularizer.
pub const REGULARIZERS: &[&dyn Regularizer] = &[
    &weight_clipping::WeightClipping,
    &gradient_penalty::TwoSided,
    &gradient_penalty::OneSided,
    &dragan::Dragan,
    &r1::R1,
    &r2::R2,
    &orthogonal::Orthogonal,
    &lecam::LeCam,
    &path_length::PathLength,
    &feature_matching::FeatureMatching,
    &reconstruction::Reconstruction,
    &consistency::Consistency,
    &consistency::Balanced,
    &auxiliary_classifier::AuxiliaryClassifier,
];

/// The regularizer of that name.
pub fn find(name: &str) -> Option<&'static dyn Regularizer> {
    REGULARIZERS.iter().copied().find(|r| r.name() == name)
}

/// .0002 pixels / batch: the rule of the training program of ADA (Karras et al. 2020) for its gamma. Larger images have
/// more pixels by which a logit changes, and larger batches need less of the penalty.
fn gamma_of([height, width]: [usize; 2], batch: usize) -> f64 {
    0.0002 * (height * width) as f64 / batch as f64
}

/// Squared norm of each sample's gradient of its logit, `[batch]`. Logits of different samples do not depend on each
/// other (no batch norm), so the gradient of their sum holds each one's own.
fn squared_gradient_norms(logits: &Tensor, samples: &Tensor) -> Tensor {
    let gradient = &ganymede_graph::grad(&logits.sum_all(), &[samples])[0];
    let axes: Vec<usize> = (1..gradient.shape().len()).collect();
    gradient.square().sum(&axes)
}

/// Keeps the square root of a norm differentiable at 0.
const EPSILON: f64 = 1e-12;

/// Norm of each sample's gradient of its logit, `[batch]`.
fn gradient_norms(logits: &Tensor, samples: &Tensor) -> Tensor {
    (squared_gradient_norms(logits, samples) + EPSILON).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sound() {
        let mut names = std::collections::HashSet::new();
        for r in REGULARIZERS {
            assert!(names.insert(r.name()), "two regularizers are named {}", r.name());
            assert!(r.about().len() > 20 && r.paper().contains("20"), "{} lacks docs", r.name());
            assert!(r.default_strength() > 0.0);
            assert!(find(r.name()).is_some());
            assert!(!r.sides().is_empty());
            assert!(!r.compares_features() || r.sides() == [Side::Generator], "{}", r.name());
        }
    }
}
