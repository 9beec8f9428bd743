//! Samples of a trained generator, and what the discriminator makes of samples.

use super::{EMA, Objective, Random, Stream, feed};
use crate::error::Error;
use crate::networks::Side;
use ganymede_graph::{Function, Graph, GraphError, Tensor, TensorType};
use ganymede_nn::{Mode, Scope};

/// Largest factor of truncation, and its negative the least: at 100 a style lies as many deviations from the mean, where no
/// generator has seen any; published pictures have -1 to 2 (Karras, Laine, Aila 2019).
pub const MAX_FACTOR: f64 = 100.0;

impl Objective {
    /// Whether a truncation means something to the generator: of one with styles it is a factor on their distance from the
    /// mean, from -[`MAX_FACTOR`] to [`MAX_FACTOR`], with 0 for the sample of the mean itself; of others a bound on latents,
    /// above 0.
    ///
    /// # Errors
    /// It does not, with what is expected.
    pub fn check_truncation(&self, psi: f64) -> Result<(), Error> {
        // A bound as the f32 in which it is used.
        let (fits, expected) = match self.generator.has_styles() {
            true => (
                psi.abs() <= MAX_FACTOR,
                format!("a factor on styles from -{MAX_FACTOR} to {MAX_FACTOR}, e.g. 0.7"),
            ),
            false => (
                psi as f32 > 0.0 && (psi as f32).is_finite(),
                "a number above 0, e.g. 0.7, since without styles latents come from [-PSI, PSI]".into(),
            ),
        };
        match fits {
            true => Ok(()),
            false => Err(Error::Refused(format!("truncation {psi}: expected {expected}"))),
        }
    }

    /// Latents of the normal restricted to |z| <= t: the truncation trick (Brock, Donahue, Simonyan 2019, BigGAN,
    /// section 3.1), which draws a value again until it lies within.
    ///
    /// Here by inversion, one uniform a value as without it: the restricted distribution function
    /// F(z) = (Phi(z) - Phi(-t)) / (Phi(t) - Phi(-t)) and Phi(z) = (1 + erf(z / sqrt 2)) / 2 give, for u uniform,
    /// z = sqrt(2) erfinv((2u - 1) erf(t / sqrt 2)).
    pub(super) fn truncated_latent(&self, graph: &Graph, random: &Random, count: usize, t: f64) -> Tensor {
        let _at = graph.scope("latent");
        let shape = [count, self.recipe.latent.dim];
        let u = graph.random_uniform(&random.key, &random.first, Stream::Sample as u32, &shape);
        let root = std::f64::consts::SQRT_2;
        let z = ((u * 2.0 - 1.0) * graph.scalar(t / root).erf()).erfinv() * root;
        // At u next to 0 and 1 the rounding of erf and erfinv could step over.
        z.maximum(&z.full_like(-t)).minimum(&z.full_like(t))
    }

    /// Prefix of the slots that samples are drawn from: the averaged generator's, if there is one.
    pub fn sample_prefix(&self) -> &'static str {
        if self.recipe.ema.is_some() { EMA } else { "" }
    }

    /// `count` samples of the (averaged) generator with running statistics. A truncation is a bound on the latents, which
    /// are drawn within it, or, for generators with styles, a factor on the distance of styles from their mean.
    ///
    /// # Errors
    /// The graph's own, or a truncation out of range ([`Objective::check_truncation`]).
    pub fn sample_phase(&self, count: usize, truncation: Option<f64>) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let random = Random::new(&graph);
        let latent = self.drawn(&graph, &random, count, truncation);
        if latent.is_poisoned() {
            return graph.finish();
        }
        let g = self.sampled(&graph, count, truncation);
        let samples = self.generate(&g, &latent);
        graph.output("samples", &samples);
        graph.finish()
    }

    /// Moves the running statistics of the (averaged) generator to their mean over passes of `count` samples: with
    /// [`feed::KEEP`] i / (i + 1) at pass i. It updates nothing where the generator keeps none.
    pub fn standing_phase(&self, count: usize) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let random = Random::new(&graph);
        let keep = graph.feed(feed::KEEP, TensorType::f32([]));
        let latent = self.latent(&graph, &random, Stream::Standing, count);
        let mode = Mode::train().advancing_rules(false).keeping(&keep).with_prefix(self.sample_prefix());
        let source = random.source().salted("standing/");
        let g = Scope::root(&graph, Side::Generator.root(), mode.with_random(source))
            .with_labels(self.class_labels(&graph, count));
        graph.output("finite", &self.generate(&g, &latent).is_finite());
        graph.finish()
    }

    /// Logits of `count` given samples, with running statistics, of a discriminator that judges them one by one.
    pub fn judge_phase(&self, count: usize) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let samples = self.feed_samples(&graph, "samples", count);
        let d = Scope::root(&graph, Side::Discriminator.root(), Mode::eval())
            .with_labels(self.class_labels(&graph, count));
        graph.output("logits", &self.judge(&d, &samples));
        graph.finish()
    }

    /// `count` given samples as the recipe's augmentations change them at the probability that is fed.
    pub fn augment_phase(&self, count: usize) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let random = Random::new(&graph);
        let samples = self.feed_samples(&graph, "samples", count);
        let probability = graph.feed(feed::AUGMENT, TensorType::f32([]));
        graph.output("samples", &self.augmented_at(&graph, &random.source(), &samples, Some(&probability)));
        graph.finish()
    }
}
