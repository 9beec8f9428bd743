//! The generator's step.

use super::commit::Gradients;
use super::{Objective, Random, Stream, feed, learning::weights_of};
use crate::networks::Side;
use crate::recipe::StatisticsPass;
use crate::regularizers::GeneratorContext;
use ganymede_graph::{DType, Function, Graph, GraphError, Tensor, TensorType, grad};
use ganymede_nn::Scope;

impl Objective {
    /// The generator's step with the given regularizers, and with the moving average of its weights. No gradient of
    /// discriminator weights exists.
    pub fn generator_phase(&self, due: &[bool]) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let random = Random::new(&graph);
        let batch = self.recipe.part();
        // The two phases of a step may begin at the same index.
        let source = random.source().salted("generator-step/");
        let latent = self.latent(&graph, &random, Stream::GeneratorLatent, batch);
        let labels = self.class_labels(&graph, batch);
        let g = Scope::root(
            &graph,
            Side::Generator.root(),
            self.mode(&source, Some(StatisticsPass::GeneratorStep), true),
        )
        .with_labels(labels.clone());
        let fake = self.generate(&g, &latent);
        let d = Scope::root(&graph, Side::Discriminator.root(), self.mode(&source, None, false))
            .with_labels(labels.clone());
        let judge = |samples: &Tensor| {
            let logits = self.judge(&d, &self.seen(&graph, &source, samples));
            (logits, d.features())
        };
        let compares = self.applied(Side::Generator, due).any(|(_, r)| r.regularizer.compares_features());
        let real =
            (self.loss.pairs() || compares).then(|| judge(&self.feed_samples(&graph, feed::REAL, batch)));
        let (fake_logits, fake_features) = judge(&fake);
        let class_logits = d.class_logits().filter(|_| self.compares_classes(Side::Generator, due));
        let real_logits = real.as_ref().map(|(logits, _)| logits).filter(|_| self.loss.pairs());
        let each = match self.recipe.loss.generator_label {
            Some(target) => self.loss.generator_each_toward(real_logits, &fake_logits, target),
            None => self.loss.generator_each(real_logits, &fake_logits),
        };
        let mut loss = match self.recipe.loss.top_k {
            Some(_) => mean_of_largest(&graph, &each, &fake_logits),
            None => each.mean_all(),
        };
        graph.output("g_loss", &loss);

        let params = self.learning(g.trainable());
        let weights = weights_of(&g, &params);
        let styles = g.styles().unwrap_or(latent);
        let real_features = real.and_then(|(_, features)| features);
        let features = real_features.as_ref().zip(fake_features.as_ref()).map(|(real, fake)| [real, fake]);
        let penalties = self.penalties(
            &graph,
            &source,
            (Side::Generator, due),
            labels.as_ref(),
            &weights,
            &|applied, common| {
                let class_logits = class_logits.as_ref();
                let context =
                    GeneratorContext { styles: &styles, fake: &fake, features, class_logits, common };
                applied.regularizer.generator_penalty(&context)
            },
        );
        if !penalties.strengths.is_empty() {
            graph.output("g_penalty", &penalties.sum);
            loss = loss + &penalties.sum;
        }

        let variables: Vec<&Tensor> = params.iter().map(|(_, t)| t).collect();
        let gradients = grad(&loss, &variables);
        let phase = Gradients {
            side: Side::Generator,
            loss: &loss,
            params: &params,
            gradients: &gradients,
            buffers: &g.buffers(),
            strengths: &penalties.strengths,
        };
        self.conclude(&graph, &phase);
        graph.finish()
    }
}

/// Mean of `each` over the k generated samples that the discriminator finds most real, k fed: the others would pull the
/// generator away from where it does well (Sinha et al. 2020, section 3).
fn mean_of_largest(graph: &Graph, each: &Tensor, logits: &Tensor) -> Tensor {
    let _at = graph.scope("top_k");
    let k = graph.feed(feed::TOP_K, TensorType::f32([]));
    // The place of a sample in the ascending order is the inverse of the permutation that sorts; equal logits keep
    // their order, so that no two samples share a place.
    let order = logits.stop_gradient().argsort().convert(DType::F32);
    let place = order.argsort().convert(DType::F32);
    let count = each.shape().first().copied().unwrap_or(1) as f64;
    let counts = place.ge(&(count - &k).broadcast_to(&each.shape()));
    counts.select(each, &each.zeros_like()).sum_all() / k
}

#[cfg(test)]
mod tests {
    use super::*;
    use ganymede_graph::{Array, Precision, interpret};
    use std::collections::HashMap;

    #[test]
    fn only_the_samples_with_the_largest_logits_count() {
        let each = [5.0, 1.0, 4.0, 2.0];
        // The last two logits are equal: the later one counts first.
        let logits = [0.3, -1.0, 2.0, 2.0];
        for (k, expected) in [(1.0, 2.0), (2.0, 3.0), (3.0, 11.0 / 3.0), (4.0, 3.0)] {
            let graph = Graph::new();
            let each_of = graph.feed("each", TensorType::f32([4]));
            let loss = mean_of_largest(&graph, &each_of, &graph.feed("logits", TensorType::f32([4])));
            graph.output("loss", &loss);
            graph.output("gradient", &grad(&loss, &[&each_of])[0]);
            let inputs = HashMap::from([
                ("each".to_string(), Array::f32(&[4], each)),
                ("logits".to_string(), Array::f32(&[4], logits)),
                (feed::TOP_K.to_string(), Array::f32(&[], [k])),
            ]);
            let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
            let got = outcome.outputs["loss"].floats()[0];
            assert!((got - expected).abs() < 1e-12, "k = {k}: {got} against {expected}");
            let gradient = outcome.outputs["gradient"].floats();
            assert_eq!(gradient.iter().filter(|g| **g > 0.0).count(), k as usize, "{gradient:?}");
        }
    }
}
