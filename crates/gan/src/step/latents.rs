//! Phases of the latent tools: latents by themselves, samples of latents and styles that are given, and what the tools
//! differentiate.

use super::{Objective, Random, Stream, feed};
use crate::latent::{Space, first_contractions};
use crate::networks::Side;
use crate::projection::Features;
use ganymede_graph::{Function, Graph, GraphError, Tensor, TensorType, grad};
use ganymede_nn::optim::Hyper;
use ganymede_nn::{Adam, Mode, Optimizer, Scope};

/// What an optimizer step over codes is fed and gives, in units of the codes' deviation.
pub mod projected {
    /// The codes `[count, ...]`.
    pub const CODES: &str = "u";
    /// Adam's first moment of them.
    pub const FIRST_MOMENT: &str = "m";
    /// Adam's second moment of them.
    pub const SECOND_MOMENT: &str = "v";
    /// Product of the first decays so far.
    pub const BETA1_POWER: &str = "beta1_power";
    /// Product of the second decays so far.
    pub const BETA2_POWER: &str = "beta2_power";
    /// Mean of the codes, that of one.
    pub const MEAN: &str = "mean";
    /// Deviation of the codes, that of one.
    pub const DEVIATION: &str = "deviation";
    /// The largest mean square of a code that costs nothing.
    pub const REACH: &str = "reach";
}

/// How strongly a code is held where codes usually are, beside a distance of images of the order of .1.
const HOLD: f64 = 0.1;

impl Objective {
    /// Shape of one code of a space: `[dim]` of latents, `[layers, width]` of styles, which only some generators have.
    pub fn code_shape(&self, space: Space) -> Option<Vec<usize>> {
        match space {
            Space::Latent => Some(vec![self.recipe.latent.dim]),
            Space::Styles => {
                let graph = Graph::new();
                let latent = graph.feed(feed::CODES, TensorType::f32([1, self.recipe.latent.dim]));
                let labels = self.class_labels(&graph, 1);
                let g = Scope::root(&graph, Side::Generator.root(), Mode::eval()).with_labels(labels);
                let styles = self.generator.mapping(&g, &latent, &self.recipe.data.shape)?;
                styles.shape().get(1..).map(<[usize]>::to_vec)
            }
        }
    }

    /// The generator that samples are drawn from: averaged where there is an average, with running statistics. A
    /// truncation is a factor on the distance of styles from their mean, for generators that have styles.
    pub(super) fn sampled(&self, graph: &Graph, count: usize, truncation: Option<f64>) -> Scope {
        let mut mode = Mode::eval().with_prefix(self.sample_prefix());
        if let Some(factor) = truncation.filter(|_| self.generator.has_styles()) {
            mode = mode.with_truncation(factor);
        }
        Scope::root(graph, Side::Generator.root(), mode).with_labels(self.class_labels(graph, count))
    }

    /// Latents as samples are drawn from: within a truncation, for generators without styles.
    pub(super) fn drawn(
        &self,
        graph: &Graph,
        random: &Random,
        count: usize,
        truncation: Option<f64>,
    ) -> Tensor {
        if let Some(Err(refused)) = truncation.map(|psi| self.check_truncation(psi)) {
            return graph.fail("latent", refused.to_string());
        }
        match truncation {
            Some(threshold) if !self.generator.has_styles() => {
                self.truncated_latent(graph, random, count, threshold)
            }
            Some(_) | None => self.latent(graph, random, Stream::Sample, count),
        }
    }

    fn feed_codes(&self, graph: &Graph, space: Space, count: usize) -> Tensor {
        match self.code_shape(space) {
            Some(shape) => graph.feed(feed::CODES, TensorType::f32([&[count], &shape[..]].concat())),
            None => self.without_styles(graph),
        }
    }

    fn without_styles(&self, graph: &Graph) -> Tensor {
        graph.fail("styles", format!("the generator of recipe `{}` has no styles", self.recipe.name))
    }

    fn of_codes(&self, scope: &Scope, space: Space, codes: &Tensor) -> Tensor {
        match space {
            Space::Latent => self.generate(scope, codes),
            Space::Styles => {
                let samples = self.generator.synthesis(scope, codes, &self.recipe.data.shape);
                samples.unwrap_or_else(|| self.without_styles(scope.graph()))
            }
        }
    }

    /// The latents of which [`Objective::sample_phase`] makes samples: `latent` `[count, dim]`.
    ///
    /// # Errors
    /// The graph's own, or a truncation out of range.
    pub fn latents_phase(&self, count: usize, truncation: Option<f64>) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let random = Random::new(&graph);
        graph.output("latent", &self.drawn(&graph, &random, count, truncation));
        graph.finish()
    }

    /// Styles `[count, layers, width]` of latents that are fed.
    ///
    /// # Errors
    /// The generator has no styles, or the graph's own.
    pub fn styles_phase(&self, count: usize, truncation: Option<f64>) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let latents = self.feed_codes(&graph, Space::Latent, count);
        let g = self.sampled(&graph, count, truncation);
        let styles = self.generator.mapping(&g, &latents, &self.recipe.data.shape);
        graph.output("styles", &styles.unwrap_or_else(|| self.without_styles(&graph)));
        graph.finish()
    }

    /// Samples `[count, ...]` of codes that are fed. A truncation acts on the styles that latents become.
    ///
    /// # Errors
    /// The generator has no such codes, or the graph's own.
    pub fn sample_from_codes_phase(
        &self,
        space: Space,
        count: usize,
        truncation: Option<f64>,
    ) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let codes = self.feed_codes(&graph, space, count);
        let g = self.sampled(&graph, count, truncation);
        graph.output("samples", &self.of_codes(&g, space, &codes));
        graph.finish()
    }

    /// What the first layers make of codes that are fed, before anything nonlinear: results of every product of a code
    /// with weights, as outputs `response/0`, `response/1` and so on.
    ///
    /// # Errors
    /// The generator has no such codes, or the graph's own.
    pub fn responses_phase(&self, space: Space, count: usize) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let codes = self.feed_codes(&graph, space, count);
        let g = self.sampled(&graph, count, None);
        self.of_codes(&g, space, &codes);
        let mut function = graph.finish()?;
        let found = first_contractions(&function, feed::CODES);
        function.outputs =
            found.into_iter().enumerate().map(|(i, node)| (format!("response/{i}"), node)).collect();
        function.verify()?;
        Ok(function)
    }

    /// Distances `[count]` of the samples of codes that are fed from a target `[1, ...]` that is fed.
    ///
    /// # Errors
    /// The generator has no such codes, or the graph's own.
    pub fn distance_phase(
        &self,
        space: Space,
        count: usize,
        features: &Features,
    ) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let codes = self.feed_codes(&graph, space, count);
        let g = self.sampled(&graph, count, None);
        let target = self.feed_samples(&graph, "target", 1);
        let distance = features.distance(&graph, &self.of_codes(&g, space, &codes), &target);
        graph.output("distance", &distance);
        graph.finish()
    }

    /// One step of Adam over `count` codes, each by itself, towards samples like a target that is fed. Codes are in units
    /// of their own deviation around their mean, so that a rate means the same for latents and styles. State goes in and
    /// out as feeds and outputs of the names in [`projected`], so that the session's own stays as it is.
    ///
    /// A code further from the mean than `reach` (the mean square of its units) is drawn back by the square of the
    /// excess: far away the distance can be small too, at images that the generator never learned to make.
    ///
    /// # Errors
    /// The generator has no such codes, or the graph's own.
    pub fn projection_phase(
        &self,
        space: Space,
        count: usize,
        features: &Features,
    ) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let Some(shape) = self.code_shape(space) else {
            self.without_styles(&graph);
            return graph.finish();
        };
        let many = TensorType::f32([&[count], &shape[..]].concat());
        let axes: Vec<usize> = (1..many.shape.len()).collect();
        let one =
            |name: &str| graph.feed(name, TensorType::f32(&shape[..])).broadcast_axes(&many.shape, &axes);
        let scalar = |name: &str| graph.feed(name, TensorType::f32([]));
        let u = graph.feed(projected::CODES, many.clone());
        let codes = one(projected::MEAN) + &u * one(projected::DEVIATION);
        let g = self.sampled(&graph, count, None);
        let target = self.feed_samples(&graph, "target", 1);
        let distance = features.distance(&graph, &self.of_codes(&g, space, &codes), &target);
        let beyond = u.square().mean(&axes) - scalar(projected::REACH);
        let held = beyond.maximum(&beyond.zeros_like()).square() * HOLD;
        // The sum's gradient by a code is that code's own: no other term reads it.
        let gradients = grad(&(&distance + held).sum_all(), &[&u]);

        let adam = Adam::betas(0.9, 0.999);
        let hyper = Hyper::feed(&graph, feed::LR);
        let powers = [projected::BETA1_POWER, projected::BETA2_POWER];
        let common = adam.advance(&graph, &hyper, &powers.map(scalar));
        let slots = [projected::FIRST_MOMENT, projected::SECOND_MOMENT];
        let moments = slots.map(|name| graph.feed(name, many.clone()));
        let new = adam.step(&hyper, &common, &u, &gradients[0], &moments);
        graph.output(projected::CODES, &new.param);
        for (name, value) in slots.iter().zip(&new.slots).chain(powers.iter().zip(&common.slots)) {
            graph.output(name, value);
        }
        graph.output("distance", &distance);
        graph.finish()
    }
}
