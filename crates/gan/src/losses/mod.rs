//! Adversarial losses: one file and one line in [`LOSSES`] each.
//!
//! Every loss is a function of logits, the discriminator's raw outputs before any sigmoid, of shape `[batch]`.

mod hinge;
mod least_squares;
mod minimax;
mod non_saturating;
mod relativistic;
mod relativistic_average;
mod wasserstein;

use ganymede_graph::Tensor;

/// What the discriminator is asked to say of each kind of sample, for losses with targets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labels {
    /// Target of real samples.
    pub real: f64,
    /// Target of generated samples.
    pub fake: f64,
}

impl Default for Labels {
    /// 1 and 0.
    fn default() -> Self {
        Self { real: 1.0, fake: 0.0 }
    }
}

/// What the two networks minimise.
pub trait Loss: Sync {
    /// Name in recipes.
    fn name(&self) -> &'static str;
    /// One sentence for people choosing.
    fn about(&self) -> &'static str;
    /// Authors, year, equation.
    fn paper(&self) -> &'static str;
    /// The discriminator's loss from logits of real and generated samples, each `[batch]`; a scalar. Only a loss that
    /// [`Loss::takes_labels`] looks at the labels.
    fn discriminator(&self, real: &Tensor, fake: &Tensor, labels: Labels) -> Tensor;
    /// Each generated sample's part of the generator's loss, `[batch]`, whose mean is the loss; from logits of
    /// generated samples and, where [`Loss::pairs`], of as many real ones.
    fn generator_each(&self, real: Option<&Tensor>, fake: &Tensor) -> Tensor;
    /// The same with another target of the generator's than real samples', for losses that
    /// [`Loss::takes_generator_label`].
    fn generator_each_toward(&self, real: Option<&Tensor>, fake: &Tensor, _target: f64) -> Tensor {
        self.generator_each(real, fake)
    }
    /// The generator's loss; a scalar.
    fn generator(&self, real: Option<&Tensor>, fake: &Tensor) -> Tensor {
        self.generator_each(real, fake).mean_all()
    }
    /// Whether the generator's loss compares generated samples with real ones.
    fn pairs(&self) -> bool {
        false
    }
    /// Whether each part of [`Loss::generator_each`] depends on its own generated sample alone.
    fn sums_over_samples(&self) -> bool {
        true
    }
    /// Whether the generator's loss measures the distance from a target too.
    fn takes_generator_label(&self) -> bool {
        false
    }
    /// Least and largest target: of cross-entropies probabilities.
    fn labels_within(&self) -> [f64; 2] {
        [0.0, 1.0]
    }
    /// Whether the discriminator must be kept from growing steep for the loss to mean anything.
    fn needs_lipschitz(&self) -> bool {
        false
    }
    /// Whether a number added to every logit changes neither network's gradient. The logits then have no zero of their own: it
    /// drifts freely, and their sign says nothing.
    fn shift_invariant(&self) -> bool {
        false
    }
    /// Whether the discriminator's loss measures the distance from targets, which can then be others than 1 and 0.
    fn takes_labels(&self) -> bool {
        false
    }
}

/// Every loss.
pub const LOSSES: &[&dyn Loss] = &[
    &minimax::Minimax,
    &non_saturating::NonSaturating,
    &least_squares::LeastSquares,
    &wasserstein::Wasserstein,
    &hinge::Hinge,
    &relativistic::RelativisticPairing,
    &relativistic_average::RelativisticAverage,
];

/// The loss of that name.
pub fn find(name: &str) -> Option<&'static dyn Loss> {
    LOSSES.iter().copied().find(|l| l.name() == name)
}

/// Cross-entropy of the probability sigmoid(logit) against a target t, one value for each logit:
/// -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)) = t softplus(-x) + (1 - t) softplus(x).
fn cross_entropy(logits: &Tensor, target: f64) -> Tensor {
    match target {
        1.0 => (-logits).softplus(),
        0.0 => logits.softplus(),
        t => (-logits).softplus() * t + logits.softplus() * (1.0 - t),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ganymede_graph::{Array, Graph, Precision, TensorType, grad, interpret};
    use std::collections::HashMap;

    #[test]
    fn the_registry_is_sound() {
        let mut names = std::collections::HashSet::new();
        for loss in LOSSES {
            assert!(names.insert(loss.name()), "two losses are named {}", loss.name());
            assert!(loss.about().len() > 20 && loss.paper().contains("20"), "{} lacks docs", loss.name());
            assert!(find(loss.name()).is_some());
        }
    }

    #[test]
    fn a_shift_of_all_logits_changes_no_gradient_exactly_where_a_loss_says_so() {
        let gradients = |loss: &dyn Loss, shift: f64| -> Vec<f64> {
            let graph = Graph::new();
            let [real, fake] = ["real", "fake"].map(|name| graph.feed(name, TensorType::f32([3])));
            let (x, y) = (&real + shift, &fake + shift);
            let of_d = grad(&loss.discriminator(&x, &y, Labels::default()), &[&real, &fake]);
            let of_g = grad(&loss.generator(Some(&x), &y), &[&fake]);
            for (i, gradient) in of_d.iter().chain(&of_g).enumerate() {
                graph.output(&i.to_string(), gradient);
            }
            let inputs = HashMap::from([
                ("real".to_string(), Array::f32(&[3], [0.7, -0.2, 1.4])),
                ("fake".to_string(), Array::f32(&[3], [-0.9, 0.3, -1.6])),
            ]);
            let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
            (0..3).flat_map(|i| outcome.outputs[&i.to_string()].floats().to_vec()).collect()
        };
        for loss in LOSSES {
            let (here, there) = (gradients(*loss, 0.0), gradients(*loss, 0.75));
            let same = here.iter().zip(&there).all(|(a, b)| (a - b).abs() < 1e-9);
            assert_eq!(same, loss.shift_invariant(), "{}: {here:?} {there:?}", loss.name());
        }
    }
}
