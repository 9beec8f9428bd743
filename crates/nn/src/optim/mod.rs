//! Optimizers as pure functions: slots with first values, and a step from (parameter, gradient, slots) to new ones.
//! A step is elementwise with scalar coefficients, so that an executor can fuse it into one pass over a parameter.

pub mod adam;
pub mod apply;
pub mod ema;
pub mod rmsprop;
pub mod sgd;

pub use adam::{Adam, AdamW};
pub use apply::{Constraint, FirstValue, MAX_LR, Plan, StateSpec, and_bounded, apply, max_lr, state_specs};
pub use ema::{BufferRule, EmaSpec, ema_decay};
pub use rmsprop::RmsProp;
pub use sgd::Sgd;

use crate::error::{ParseError, suggestion};
use ganymede_graph::{Graph, Tensor, TensorType};

/// Scalars (f32) that enter anew at every step.
#[derive(Clone, Debug)]
pub struct Hyper {
    /// Learning rate.
    pub lr: Tensor,
    /// In place of the optimizer's own first decay, where that is scheduled.
    pub beta1: Option<Tensor>,
    /// In place of the optimizer's own second decay, where that is scheduled.
    pub beta2: Option<Tensor>,
}

impl Hyper {
    /// A learning rate as tensor; the betas stay the optimizer's own.
    pub fn lr(lr: &Tensor) -> Self {
        Self { lr: lr.clone(), beta1: None, beta2: None }
    }

    /// A learning rate fed at every step under the name `name`.
    #[track_caller]
    pub fn feed(graph: &Graph, name: &str) -> Self {
        Self::lr(&graph.feed(name, TensorType::f32([])))
    }

    /// With a scheduled first decay.
    pub fn beta1(mut self, beta1: &Tensor) -> Self {
        self.beta1 = Some(beta1.clone());
        self
    }

    /// With a scheduled second decay.
    pub fn beta2(mut self, beta2: &Tensor) -> Self {
        self.beta2 = Some(beta2.clone());
        self
    }
}

/// A piece of optimizer state and its first value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// Last part of its name, e.g. `m`.
    pub name: &'static str,
    /// First value, everywhere.
    pub initial: f64,
}

/// One hyper-parameter of an optimizer, by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Name, as in recipes.
    pub name: &'static str,
    /// Current value.
    pub value: f64,
    /// What it does.
    pub doc: &'static str,
}

/// New values of what a step changes.
#[derive(Clone, Debug)]
pub struct Updated {
    /// The parameter.
    pub param: Tensor,
    /// Its slots, in the order of [`Optimizer::slots`].
    pub slots: Vec<Tensor>,
}

/// What one step has in common for all parameters.
#[derive(Clone, Debug, Default)]
pub struct Common {
    /// New values of the common slots, in the order of [`Optimizer::common_slots`].
    pub slots: Vec<Tensor>,
    /// Scalars that the steps of the parameters read.
    pub coefficients: Vec<Tensor>,
}

/// A rule that turns gradients into new parameters.
pub trait Optimizer: Send + Sync + std::fmt::Debug {
    /// Lower-case name, as in recipes.
    fn name(&self) -> &'static str;
    /// What it does, in a sentence.
    fn doc(&self) -> &'static str;
    /// Authors, year and place in the paper.
    fn paper(&self) -> &'static str;
    /// Hyper-parameters and their values.
    fn settings(&self) -> Vec<Setting>;
    /// The same with one hyper-parameter changed.
    ///
    /// # Errors
    /// If there is none of this name (the nearest is named) or the value is out of range.
    fn with_setting(&self, name: &str, value: f64) -> Result<Box<dyn Optimizer>, ParseError>;
    /// The settings that [`Hyper::beta1`] and [`Hyper::beta2`] take the place of, where it has such. One without slots
    /// (gradient descent without momentum) has nothing that a decay applies to.
    fn decays(&self) -> [Option<&'static str>; 2];
    /// A copy of its own.
    fn boxed(&self) -> Box<dyn Optimizer>;
    /// State beside each parameter, of its shape.
    fn slots(&self) -> Vec<Slot>;
    /// Scalar state kept once.
    fn common_slots(&self) -> Vec<Slot>;
    /// What is computed once a step, from the common slots.
    fn advance(&self, graph: &Graph, hyper: &Hyper, common: &[Tensor]) -> Common;
    /// New parameter and slots. All tensors but the scalars have the parameter's shape.
    fn step(
        &self,
        hyper: &Hyper,
        common: &Common,
        param: &Tensor,
        grad: &Tensor,
        slots: &[Tensor],
    ) -> Updated;
}

/// Every optimizer, with its default hyper-parameters.
pub const OPTIMIZERS: &[&dyn Optimizer] =
    &[&Adam::DEFAULT, &AdamW::DEFAULT, &RmsProp::DEFAULT, &Sgd::DEFAULT];

/// The optimizer of this name.
///
/// # Errors
/// If there is none; the nearest is named.
pub fn by_name(name: &str) -> Result<&'static dyn Optimizer, ParseError> {
    OPTIMIZERS.iter().copied().find(|o| o.name() == name).ok_or_else(|| {
        ParseError::new("an optimizer", name, suggestion(name, OPTIMIZERS.iter().map(|o| o.name())))
    })
}

/// The optimizer of this name with these hyper-parameters, as a recipe gives them.
///
/// # Errors
/// If the name or a setting is unknown (the nearest is named) or a value is out of range.
pub fn configure<'a>(
    name: &str,
    settings: impl IntoIterator<Item = (&'a str, f64)>,
) -> Result<Box<dyn Optimizer>, ParseError> {
    let mut optimizer = by_name(name)?.boxed();
    for (setting, value) in settings {
        optimizer = optimizer.with_setting(setting, value)?;
    }
    Ok(optimizer)
}

/// The closed-open range of a decay rate.
const DECAY: Range = Range { low: 0.0, below: 1.0, text: "at least 0 and below 1" };
/// A value that divides.
const POSITIVE: Range = Range { low: f64::MIN_POSITIVE, below: f64::INFINITY, text: "above 0" };
/// A weight decay: times the largest rate, and as f32, it is still finite.
const PENALTY: Range = Range { low: 0.0, below: 1e6, text: "at least 0 and below 1e6" };

#[derive(Clone, Copy)]
struct Range {
    low: f64,
    below: f64,
    text: &'static str,
}

/// Sets the field of this name, if the value lies in its range.
fn set(
    optimizer: &'static str,
    fields: &mut [(&'static str, &mut f64, Range)],
    name: &str,
    value: f64,
) -> Result<(), ParseError> {
    match fields.iter_mut().find(|f| f.0 == name) {
        Some((_, field, range)) if value >= range.low && value < range.below => {
            **field = value;
            Ok(())
        }
        Some((_, _, range)) => {
            let message = format!("`{name}` of {optimizer} must be {}", range.text);
            Err(ParseError::new("a possible value", value.to_string(), message))
        }
        None => {
            let hint = suggestion(name, fields.iter().map(|f| f.0));
            Err(ParseError::new("a setting of this optimizer", name, format!("{optimizer}: {hint}")))
        }
    }
}

/// (decay, 1 - decay): the schedule's, or the optimizer's own as constants, whose difference is then exact.
fn decay(graph: &Graph, scheduled: Option<&Tensor>, own: f64) -> (Tensor, Tensor) {
    match scheduled {
        Some(beta) => (beta.clone(), 1.0 - beta),
        None => (graph.scalar(own), graph.scalar(1.0 - own)),
    }
}

/// Poison, with an error, if a beta is scheduled that this optimizer does not have.
#[track_caller]
fn refuse_beta(graph: &Graph, optimizer: &str, beta: Option<&Tensor>, which: &str) -> Option<Tensor> {
    beta.map(|_| graph.fail(optimizer, format!("has no {which} to schedule")))
}
