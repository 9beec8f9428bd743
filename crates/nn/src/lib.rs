//! Parameters, initializers, layers, optimizers, moving averages and schedules.
//!
//! A network is a plain function of a [`Scope`] and tensors: layers ([`layers`]) declare their parameters through the
//! scope, which records them as a named tree ([`Params`]) and as rows of a [`summary`]. A network can also be written
//! as a list of text lines ([`layer_list`]). Optimizers ([`optim`]) are pure functions of parameter, gradient and
//! slots; a [`schedule`] turns the number of images seen into a hyper-parameter.

pub mod error;
pub mod init;
pub mod layer_list;
pub mod layers;
pub mod optim;
pub mod params;
pub mod rules;
pub mod schedule;
pub mod scope;
pub mod summary;

pub use error::ParseError;
pub use init::{FanRule, Init};
pub use layer_list::{LAYERS, LayerError, LayerWord, Network};
pub use layers::activation::Activation;
pub use optim::{Adam, Hyper, OPTIMIZERS, Optimizer};
pub use params::{ParamSpec, Params};
pub use rules::WeightRule;
pub use schedule::{Progress, Schedule};
pub use scope::{ClassLabels, Mode, RandomSource, Scope};
pub use summary::LayerRow;
