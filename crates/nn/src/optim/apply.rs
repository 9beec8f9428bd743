//! One optimizer step on a graph: slots, clipping, updates, moving average, and the predicate under which it counts.

use super::{BufferRule, EmaSpec, Hyper, Optimizer};
use crate::params::Params;
use ganymede_graph::{Graph, Tensor, TensorType};

/// An elementwise function of a new parameter.
#[derive(Clone, Copy)]
pub struct Constraint<'a>(pub &'a dyn Fn(&Tensor) -> Tensor);

impl std::fmt::Debug for Constraint<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Constraint(..)")
    }
}

/// How gradients become updates.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The rule.
    pub optimizer: &'a dyn Optimizer,
    /// Put before the names of its slots, e.g. `opt/G`.
    pub prefix: String,
    /// Gradients are scaled down to at most this global norm (Pascanu, Mikolov, Bengio 2013, algorithm 1).
    pub clip_norm: Option<f64>,
    /// Each element of a gradient is first clamped to +- this.
    pub clip_value: Option<f64>,
    /// What a new parameter becomes before it is stored, e.g. clipped (Arjovsky, Chintala, Bottou 2017, algorithm 1).
    pub constrain: Option<Constraint<'a>>,
    /// A moving average of the new parameters.
    pub ema: Option<EmaSpec>,
}

impl<'a> Plan<'a> {
    /// No clipping, no average.
    pub fn new(optimizer: &'a dyn Optimizer, prefix: &str) -> Self {
        Self {
            optimizer,
            prefix: prefix.to_string(),
            clip_norm: None,
            clip_value: None,
            constrain: None,
            ema: None,
        }
    }
}

/// The first value of a slot.
#[derive(Clone, Debug, PartialEq)]
pub enum FirstValue {
    /// The same everywhere.
    Fill(f64),
    /// That of another slot.
    CopyOf(String),
}

/// A state slot that training needs beside the parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct StateSpec {
    /// Name of the slot.
    pub name: String,
    /// Type.
    pub ty: TensorType,
    /// First value.
    pub first: FirstValue,
}

/// Name of the slot `slot` beside `param`: `opt/G` and `G/conv1/weight` give `opt/G/conv1/weight/m`. Where the prefix
/// ends with the network's name it is not repeated.
pub fn slot_name(prefix: &str, param: &str, slot: &str) -> String {
    let last = prefix.rsplit('/').next().unwrap_or_default();
    let own = param.strip_prefix(last).and_then(|rest| rest.strip_prefix('/')).unwrap_or(param);
    format!("{prefix}/{own}/{slot}")
}

/// Slots of `optimizer` for the trainable ones of `params`.
pub fn optimizer_state(optimizer: &dyn Optimizer, prefix: &str, params: &Params) -> Vec<StateSpec> {
    let mut out: Vec<StateSpec> = optimizer
        .common_slots()
        .iter()
        .map(|slot| StateSpec {
            name: format!("{prefix}/{}", slot.name),
            ty: TensorType::f32([]),
            first: FirstValue::Fill(slot.initial),
        })
        .collect();
    for param in params.trainable() {
        out.extend(optimizer.slots().iter().map(|slot| StateSpec {
            name: slot_name(prefix, &param.name, slot.name),
            ty: param.ty.clone(),
            first: FirstValue::Fill(slot.initial),
        }));
    }
    out
}

/// Slots of a moving average under `prefix` (`ema/`) for all of `params`, buffers included: each starts as a copy.
pub fn ema_state(prefix: &str, params: &Params) -> Vec<StateSpec> {
    params
        .iter()
        .map(|param| StateSpec {
            name: format!("{prefix}{}", param.name),
            ty: param.ty.clone(),
            first: FirstValue::CopyOf(param.name.clone()),
        })
        .collect()
}

/// All slots that [`apply`] with these arguments declares beside the parameters: the optimizer's, then the average's.
pub fn state_specs(
    optimizer: &dyn Optimizer,
    prefix: &str,
    params: &Params,
    ema_prefix: Option<&str>,
) -> Vec<StateSpec> {
    let mut out = optimizer_state(optimizer, prefix, params);
    if let Some(ema_prefix) = ema_prefix {
        out.extend(ema_state(ema_prefix, params));
    }
    out
}

/// Sum of the squares of all elements of all tensors; an f32 scalar.
#[track_caller]
pub fn sum_of_squares(graph: &Graph, tensors: &[Tensor]) -> Tensor {
    let mut parts = tensors.iter().map(|t| t.square().sum_all());
    let Some(first) = parts.next() else { return graph.scalar(0.0) };
    parts.fold(first, |sum, part| sum + part)
}

/// Updates the parameters (names and tensors of their slots), the optimizer's slots and the average by one step along
/// `grads`, and returns the predicate (bool scalar) under which the step should count; hand it to
/// [`Graph::commit_when`].
///
/// The predicate says that the sum of squares of all gradients and the scheduled scalars are finite. That all new
/// values are then finite, if the old ones were: each g^2 is at most the finite sum, so |g| < 1.9e19 and every gradient
/// and square is finite; moments are sums of a finite old value and a finite new one with weights of at most one;
/// every division is by a root of a non-negative number plus eps > 0, or by 1 - B with B < 1 as the decays lie below
/// one; so a step is at most lr |m| / eps, finite for any lr / eps below 1e19. An overflow of the sum alone (a norm
/// above 1.8e19) rejects a step that could have been taken, and that is no loss.
#[track_caller]
pub fn apply(
    graph: &Graph,
    plan: &Plan<'_>,
    params: &[(String, Tensor)],
    grads: &[Tensor],
    hyper: &Hyper,
) -> Tensor {
    if params.len() != grads.len() {
        let message = format!("{} parameters, but {} gradients", params.len(), grads.len());
        return graph.fail("apply", message);
    }
    for ((name, param), grad) in params.iter().zip(grads) {
        if param.is_poisoned() || grad.is_poisoned() {
            // Poison comes with an error that is recorded already; it goes on through the result.
            return param.is_finite().and(&grad.is_finite());
        }
        if param.ty() != grad.ty() {
            let message = format!("`{name}` is {}, its gradient {}", param.ty(), grad.ty());
            return graph.fail("apply", message);
        }
    }
    let bounds = [("clip_norm", plan.clip_norm), ("clip_value", plan.clip_value)];
    for (name, bound) in bounds {
        if let Some(bound) = bound
            && !(bound > 0.0 && bound.is_finite())
        {
            return graph.fail("apply", format!("{name} must be a finite number above 0, got {bound}"));
        }
    }
    let _in = graph.scope(&plan.prefix);
    let squares = sum_of_squares(graph, grads);
    let mut finite = squares.is_finite().and(&hyper.lr.is_finite());
    for beta in [&hyper.beta1, &hyper.beta2].into_iter().flatten() {
        finite = finite.and(&beta.is_finite());
    }

    let mut grads = grads.to_vec();
    if let Some(bound) = plan.clip_value {
        grads = grads.iter().map(|g| clamp(g, bound)).collect();
    }
    if let Some(bound) = plan.clip_norm {
        let squares = if plan.clip_value.is_some() { sum_of_squares(graph, &grads) } else { squares };
        // bound / max(norm, bound): exactly 1 below the bound, and no division by zero.
        let bound = graph.scalar(bound);
        let factor = &bound / squares.sqrt().maximum(&bound);
        grads = grads.iter().map(|g| g * &factor).collect();
    }

    let declare = |name: &str, ty: TensorType| graph.state(name, ty);
    let optimizer = plan.optimizer;
    let names: Vec<String> =
        optimizer.common_slots().iter().map(|s| format!("{}/{}", plan.prefix, s.name)).collect();
    let old: Vec<Tensor> = names.iter().map(|n| declare(n, TensorType::f32([]))).collect();
    let common = optimizer.advance(graph, hyper, &old);
    for (name, value) in names.iter().zip(&common.slots) {
        graph.update(name, value);
    }
    // The average's 1 - decay, once.
    let follow = plan.ema.as_ref().map(|ema| 1.0 - &ema.decay);
    for ((name, param), grad) in params.iter().zip(&grads) {
        let names: Vec<String> =
            optimizer.slots().iter().map(|s| slot_name(&plan.prefix, name, s.name)).collect();
        let old: Vec<Tensor> = names.iter().map(|n| declare(n, param.ty())).collect();
        let mut new = optimizer.step(hyper, &common, param, grad, &old);
        if let Some(Constraint(constrain)) = &plan.constrain {
            new.param = constrain(&new.param);
        }
        graph.update(name, &new.param);
        for (name, value) in names.iter().zip(&new.slots) {
            graph.update(name, value);
        }
        if let (Some(ema), Some(follow)) = (&plan.ema, &follow) {
            average(graph, &ema.prefix, name, &new.param, follow);
        }
    }
    if let (Some(ema), Some(follow)) = (&plan.ema, &follow) {
        finite = finite.and(&ema.decay.is_finite());
        for (name, current) in &ema.buffers {
            let newest = graph.pending(name).unwrap_or_else(|| current.clone());
            match ema.buffer_rule {
                BufferRule::Copy => {
                    let slot = format!("{}{name}", ema.prefix);
                    declare(&slot, newest.ty());
                    graph.update(&slot, &newest);
                }
                BufferRule::Average => average(graph, &ema.prefix, name, &newest, follow),
            }
        }
    }
    finite
}

/// e <- e + (1 - decay)(w - e).
fn average(graph: &Graph, prefix: &str, name: &str, value: &Tensor, follow: &Tensor) {
    let slot = format!("{prefix}{name}");
    let old = graph.state(&slot, value.ty());
    graph.update(&slot, &(&old + (value - &old) * follow));
}

fn clamp(x: &Tensor, bound: f64) -> Tensor {
    x.maximum(&x.full_like(-bound)).minimum(&x.full_like(bound))
}
