//! One optimizer step on a graph: slots, clipping, updates, moving average, and the predicate under which it counts.

use super::{BufferRule, EmaSpec, Hyper, Optimizer};
use crate::params::Params;
use ganymede_graph::{DType, Graph, Tensor, TensorType};

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
    /// A bound on the norm that may change from step to step: one over it, an f32 scalar; 0 is no bound. It holds after
    /// the others, and where it is not reached no bit changes.
    pub inverse_bound: Option<Tensor>,
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
            inverse_bound: None,
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

/// Largest learning rate of any optimizer.
pub const MAX_LR: f64 = 1e4;
/// Largest learning rate in units of the optimizer's eps.
const MAX_LR_IN_EPS: f64 = 1e12;
/// Largest sum of squares of the gradients at which a step counts: a norm of 1e17.
const MAX_SQUARES: f64 = 1e34;
/// Largest inverse of a bound on the norm.
const MAX_INVERSE: f64 = 1e30;
/// Largest new value of a buffer at which a step counts: the difference of two such is still finite.
const MAX_BUFFER: f64 = 1e38;

/// Value of an optimizer's setting, if it has it.
fn setting(optimizer: &dyn Optimizer, name: &str) -> Option<f64> {
    optimizer.settings().iter().find(|s| s.name == name).map(|s| s.value)
}

/// Largest learning rate at which every step that [`apply`] lets through is finite: 1e4, and 1e12 times the
/// optimizer's eps where it has one.
pub fn max_lr(optimizer: &dyn Optimizer) -> f64 {
    setting(optimizer, "eps").map_or(MAX_LR, |eps| (MAX_LR_IN_EPS * eps).min(MAX_LR))
}

/// `gate`, and that the new values of those of `slots` that are updated so far are numbers of at most 1e38: for state
/// that no optimizer bounds, such as running statistics.
#[track_caller]
pub fn and_bounded(gate: Tensor, slots: &[(String, Tensor)]) -> Tensor {
    let graph = gate.graph().clone();
    let count = |new: Tensor| {
        let bounded = new.abs().le(&new.full_like(MAX_BUFFER));
        bounded.not().convert(DType::I32).sum_all()
    };
    let outside = slots.iter().filter_map(|(name, _)| graph.pending(name)).map(count);
    match outside.reduce(|sum, more| sum + more) {
        Some(outside) => gate.and(&outside.eq(&outside.zeros_like())),
        None => gate,
    }
}

/// Updates the parameters (names and tensors of their slots), the optimizer's slots and the average by one step along
/// `grads`, and returns the predicate (bool scalar) under which the step should count; hand it to
/// [`Graph::commit_when`], with [`and_bounded`] over the network's buffers.
///
/// The predicate: the squares of all gradients, and of the weights times their decay, add up to at most 1e34; the rate
/// is at most [`max_lr`]; scheduled decays lie in [0, 1), the average's in [0, 1], and a fed bound's inverse is from 0 to 1e30. New values are then finite in f32
/// if the old ones were, whatever came before:
///
/// * A gradient with its penalty is at most P = 1.5e17. First and second moments are means of past values with weights
///   that add up to at most one; rounding can carry them past the largest value they saw, but not past four times it,
///   where what is added no longer reaches half a unit in the last place. So |m| <= 4 P (1 - B1) and v <= 4 P^2 < 1e36.
/// * Adam's step, lr m / (1 - B1) / (sqrt(v / (1 - B2)) + eps), is at most 4 P lr / eps <= 6e29. A momentum is at most
///   2^26 P: beyond that P is less than a quarter unit in its last place and cannot raise it. Gradient descent with it,
///   Nesterov's look ahead included, steps by at most 2^27 P lr <= 2e29. RMSprop's g / (sqrt(v) + eps) is at most
///   (1 - b)^-1/2 <= 2^12 where (1 - b) g^2 is a normal number and 1e-15 / eps where it is not, 2^26 times that with a
///   momentum. AdamW takes lr times the decayed weight, at most 1e21, besides.
/// * A weight beyond 2^26 times the largest step, which is 4e37, is not moved outward, for the same reason as a momentum.
///   The average lies between values of the weight, whose differences are finite.
///
/// No tensor of a parameter's size is read for this that the step does not read anyway. A step with a norm above 1e17
/// could have been taken; to reject it is no loss.
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
        // In f32: one that rounds to 0 or to infinity would divide 0 by 0 or infinity by itself.
        if let Some(bound) = bound
            && !(bound > 0.0 && (bound as f32).is_normal())
        {
            return graph.fail("apply", format!("{name} must be a finite number above 0, got {bound}"));
        }
    }
    let _in = graph.scope(&plan.prefix);
    let squares = sum_of_squares(graph, grads);
    let within = |value: &Tensor, most: f64| value.le(&graph.scalar(most));
    let counted = match setting(plan.optimizer, "weight_decay") {
        Some(decay) if decay != 0.0 => {
            let decayed: Vec<Tensor> = params.iter().map(|(_, param)| param * decay).collect();
            &squares + sum_of_squares(graph, &decayed)
        }
        Some(_) | None => squares.clone(),
    };
    let mut sound = within(&counted, MAX_SQUARES).and(&within(&hyper.lr.abs(), max_lr(plan.optimizer)));
    for beta in [&hyper.beta1, &hyper.beta2].into_iter().flatten() {
        sound = sound.and(&beta.ge(&graph.scalar(0.0))).and(&beta.lt(&graph.scalar(1.0)));
    }

    let mut grads = grads.to_vec();
    if let Some(bound) = plan.clip_value {
        grads = grads.iter().map(|g| clamp(g, bound)).collect();
    }
    if plan.clip_norm.is_some() || plan.inverse_bound.is_some() {
        let squares = if plan.clip_value.is_some() { sum_of_squares(graph, &grads) } else { squares };
        let norm = squares.sqrt();
        // bound / max(norm, bound): exactly 1 below the bound, and no division by zero.
        let mut factor = plan.clip_norm.map(|bound| {
            let bound = graph.scalar(bound);
            &bound / norm.maximum(&bound)
        });
        if let Some(inverse) = &plan.inverse_bound {
            sound = sound.and(&inverse.ge(&graph.scalar(0.0))).and(&within(inverse, MAX_INVERSE));
            // 1 / max(norm / bound, 1): exactly 1 below the bound, and where there is none.
            let left = factor.as_ref().map_or(norm.clone(), |factor| &norm * factor);
            let one = graph.scalar(1.0);
            let further = &one / (left * inverse).maximum(&one);
            factor = Some(factor.map_or(further.clone(), |factor| factor * &further));
        }
        if let Some(factor) = &factor {
            grads = grads.iter().map(|g| g * factor).collect();
        }
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
        sound = sound.and(&ema.decay.ge(&graph.scalar(0.0))).and(&within(&ema.decay, 1.0));
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
    sound
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
