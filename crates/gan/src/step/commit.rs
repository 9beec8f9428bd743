//! How a phase's gradients become a step: at once, or added up over the parts of a batch and taken then.

use super::state::optimizer_prefix;
use super::{Applied, Objective, feed};
use crate::networks::Side;
use crate::recipe::EmaBuffers;
use crate::regularizers::Regularizer;
use ganymede_graph::{Function, Graph, GraphError, Tensor, TensorType};
use ganymede_nn::optim::apply::sum_of_squares;
use ganymede_nn::optim::{BufferRule, Constraint, EmaSpec, Plan, and_bounded, apply};

/// Prefix of the slots in which gradients are added up over the parts of a batch. Between steps they mean nothing: no
/// checkpoint keeps them.
pub const ACCUMULATED: &str = "accumulated/";

/// What a phase has computed for the network that it trains.
pub(super) struct Gradients<'a> {
    pub side: Side,
    /// With its penalties.
    pub loss: &'a Tensor,
    /// Names and tensors of the parameters that learn.
    pub params: &'a [(String, Tensor)],
    /// Of the loss, by each of them.
    pub gradients: &'a [Tensor],
    /// The network's running statistics and vectors.
    pub buffers: &'a [(String, Tensor)],
    /// The regularizers that are due, with their strengths.
    pub strengths: &'a [(&'static dyn Regularizer, Tensor)],
}

impl Objective {
    /// Ends a phase: takes the step, or adds the gradients to those of the other parts of the batch.
    pub(super) fn conclude(&self, graph: &Graph, phase: &Gradients<'_>) {
        let finite = phase.loss.is_finite();
        let sound = match self.recipe.train.accumulate {
            1 => self.take_step(graph, phase).and(&finite),
            parts => {
                self.accumulate(graph, phase, parts);
                finite
            }
        };
        graph.commit_when(&and_bounded(sound, phase.buffers));
    }

    /// Adds each gradient's share to its slot, which the first part of a batch begins anew. Whether the sum may become a
    /// step is asked when it is taken.
    fn accumulate(&self, graph: &Graph, phase: &Gradients<'_>, parts: usize) {
        let _at = graph.scope("accumulate");
        let later = graph.feed(feed::LATER_PART, TensorType::f32([])).gt(&graph.scalar(0.0));
        for ((name, _), gradient) in phase.params.iter().zip(phase.gradients) {
            if gradient.is_poisoned() {
                return;
            }
            let slot = format!("{ACCUMULATED}{name}");
            let sum = graph.state(&slot, gradient.ty());
            // Chosen and not multiplied by 0: what an abandoned step has left need not be finite.
            let sum = later.select(&sum, &sum.zeros_like());
            graph.update(&slot, &(sum + gradient * (1.0 / parts as f64)));
        }
    }

    /// Updates parameters, moments and average along the gradients; returns the predicate of [`apply`].
    fn take_step(&self, graph: &Graph, phase: &Gradients<'_>) -> Tensor {
        let side = phase.side;
        let spec = self.optimizer_spec(side);
        let hyper = self.hyper(graph, side);
        let constrain = |weight: &Tensor| {
            let strengths = phase.strengths.iter();
            strengths.fold(weight.clone(), |w, (r, strength)| r.constrain(&w, strength).unwrap_or(w))
        };
        let mut plan = Plan::new(self.optimizer(side), &optimizer_prefix(side));
        plan.clip_norm = (spec.clip_norm > 0.0).then_some(spec.clip_norm);
        plan.clip_value = (spec.clip_value > 0.0).then_some(spec.clip_value);
        plan.inverse_bound = Some(graph.feed(feed::INVERSE_BOUND, TensorType::f32([])));
        if phase.strengths.iter().any(|(r, _)| r.constrains()) {
            plan.constrain = Some(Constraint(&constrain));
        }
        plan.ema = self.recipe.ema.as_ref().filter(|_| side == Side::Generator).map(|average| {
            let decay = graph.feed(feed::EMA_DECAY, TensorType::f32([]));
            let buffer_rule = match average.buffers {
                EmaBuffers::Copy => BufferRule::Copy,
                EmaBuffers::Average => BufferRule::Average,
            };
            EmaSpec { buffer_rule, ..EmaSpec::new(&decay, phase.buffers.to_vec()) }
        });
        graph.output("norm", &sum_of_squares(graph, phase.gradients).sqrt());
        apply(graph, &plan, phase.params, phase.gradients, &hyper)
    }

    /// The step along gradients that the parts of a batch have added up, with the constraints of the regularizers that
    /// `due` names.
    pub fn apply_phase(&self, side: Side, due: &[bool]) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let declared = self.params(side);
        let state = |name: &str, ty: &TensorType| (name.to_string(), graph.state(name, ty.clone()));
        let params: Vec<(String, Tensor)> =
            declared.trainable().filter(|p| self.learns(&p.name)).map(|p| state(&p.name, &p.ty)).collect();
        let gradients: Vec<Tensor> = params
            .iter()
            .map(|(name, param)| graph.state(&format!("{ACCUMULATED}{name}"), param.ty()))
            .collect();
        let averaged = side == Side::Generator && self.recipe.ema.is_some();
        let buffers: Vec<(String, Tensor)> =
            declared.buffers().filter(|_| averaged).map(|p| state(&p.name, &p.ty)).collect();
        let strength = |(i, applied): (usize, &Applied)| {
            (applied.regularizer, graph.feed(&feed::strength(i), TensorType::f32([])))
        };
        let strengths: Vec<_> =
            self.applied(side, due).filter(|(_, r)| r.regularizer.constrains()).map(strength).collect();
        let phase = Gradients {
            side,
            loss: &graph.scalar(0.0),
            params: &params,
            gradients: &gradients,
            buffers: &buffers,
            strengths: &strengths,
        };
        graph.commit_when(&self.take_step(&graph, &phase));
        graph.finish()
    }
}
