//! The discriminator's step.

use super::commit::Gradients;
use super::{Objective, Random, Stream, feed, learning::weights_of};
use crate::networks::Side;
use crate::recipe::StatisticsPass;
use crate::regularizers::Context;
use ganymede_graph::{Function, Graph, GraphError, Tensor, grad};
use ganymede_nn::{ClassLabels, RandomSource, Scope};

/// What the discriminator makes of a batch of real and one of generated samples.
struct Judged {
    /// The scope that declared the parameters.
    scope: Scope,
    /// Of real and of generated samples, each `[batch]`.
    logits: [Tensor; 2],
    /// Those of its classifier, if it has one, each `[batch, classes]`.
    class_logits: Option<[Tensor; 2]>,
}

impl Objective {
    /// The discriminator's step with the given regularizers: generated samples are constants, so no gradient of the
    /// generator exists.
    pub fn discriminator_phase(&self, due: &[bool]) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let random = Random::new(&graph);
        let batch = self.recipe.part();
        let real_source = self.feed_samples(&graph, feed::REAL, batch);
        let source = random.source();
        let latent = self.latent(&graph, &random, Stream::DiscriminatorLatent, batch);
        let labels = self.class_labels(&graph, batch);
        let g = Scope::root(&graph, Side::Generator.root(), self.mode(&source, None, false))
            .with_labels(labels.clone());
        let fake_source = self.generate(&g, &latent).stop_gradient();
        let sources = [&real_source, &fake_source];
        let [real, fake] = sources.map(|samples| self.seen(&graph, &source, samples));

        let together = self.judges_together(due);
        let Judged { scope: d, logits: [real_logits, fake_logits], class_logits } =
            self.judge_both(&graph, &source, labels.as_ref(), [&real, &fake], together);
        let class_logits = class_logits.as_ref().filter(|_| self.compares_classes(Side::Discriminator, due));
        let d_more = d.with_mode(self.mode(&source, None, true)).with_labels(labels.clone());
        let mut loss = self.loss.discriminator(&real_logits, &fake_logits, self.labels);
        graph.output("d_loss", &loss);

        let params = self.learning(d.trainable());
        let weights = weights_of(&d, &params);
        let reconstruction = d.reconstruction();
        let penalties = self.penalties(
            &graph,
            &source,
            (Side::Discriminator, due),
            labels.as_ref(),
            &weights,
            &|applied, common| {
                applied.regularizer.penalty(&Context {
                    real: &real,
                    fake: &fake,
                    sources,
                    real_logits: &real_logits,
                    fake_logits: &fake_logits,
                    reconstruction: reconstruction.as_ref(),
                    class_logits: class_logits.map(|[real, fake]| [real, fake]),
                    discriminator: &|x| self.judge(&d_more, x),
                    common,
                })
            },
        );
        loss = loss + &penalties.sum;

        let variables: Vec<&Tensor> = params.iter().map(|(_, t)| t).collect();
        let gradients = grad(&loss, &variables);
        let phase = Gradients {
            side: Side::Discriminator,
            loss: &loss,
            params: &params,
            gradients: &gradients,
            buffers: &d.buffers(),
            strengths: &penalties.strengths,
        };
        self.conclude(&graph, &phase);
        graph.output("d_penalty", &penalties.sum);
        self.adapt(&graph, &real_logits);
        graph.output("d_real", &real_logits.mean_all());
        graph.output("d_fake", &fake_logits.mean_all());
        graph.finish()
    }

    /// Whether the discriminator's step judges real and generated samples in one pass: each weight is then read and
    /// packed once, and each weight's gradient is one sum. It must give what two passes give, and no gradient of one
    /// half of the logits by its samples may be asked for.
    fn judges_together(&self, due: &[bool]) -> bool {
        let mut applied = self.applied(Side::Discriminator, due);
        self.discriminator.takes_segments() && !applied.any(|(_, r)| r.regularizer.differentiates_logits())
    }

    /// What the discriminator makes of real and of generated samples, which have the same classes.
    fn judge_both(
        &self,
        graph: &Graph,
        source: &RandomSource,
        labels: Option<&ClassLabels>,
        [real, fake]: [&Tensor; 2],
        together: bool,
    ) -> Judged {
        let passes = [StatisticsPass::RealPass, StatisticsPass::FakePass];
        let mode = |pass| self.mode(source, Some(pass), true);
        let root = |mode| Scope::root(graph, Side::Discriminator.root(), mode);
        if !together {
            let d = root(mode(passes[0])).with_labels(labels.cloned());
            let d_fake = d.with_mode(mode(passes[1]));
            let [(real_logits, real_classes), (fake_logits, fake_classes)] =
                [(&d, real), (&d_fake, fake)].map(|(d, samples)| (self.judge(d, samples), d.class_logits()));
            let class_logits = real_classes.zip(fake_classes).map(|(real, fake)| [real, fake]);
            return Judged { scope: d, logits: [real_logits, fake_logits], class_logits };
        }
        // At most one of the two updates running statistics: a recipe with both is refused.
        let updating = passes.iter().position(|p| self.recipe.train.statistics.contains(p));
        let chosen = updating.unwrap_or(0);
        let twice = labels.map(|labels| ClassLabels {
            index: Tensor::concat(&[&labels.index, &labels.index], 0),
            classes: labels.classes,
        });
        let d = root(mode(passes[chosen]).with_segments(2, chosen)).with_labels(twice);
        let logits = self.judge(&d, &Tensor::concat(&[real, fake], 0));
        let batch = self.recipe.judged_batch();
        let halves = |both: &Tensor| [both.slice(0, 0, batch), both.slice(0, batch, 2 * batch)];
        let class_logits = d.class_logits().map(|both| halves(&both));
        Judged { scope: d, logits: halves(&logits), class_logits }
    }
}
