//! Scores of generated samples, as pure mathematics in f64: no files, no networks, no clocks.
//!
//! * [`mixture`]: points against a Gaussian mixture in the plane;
//! * [`classes`]: class probabilities that a classifier gives to samples;
//! * [`stats`]: means, quantiles, bootstrap intervals;
//! * [`law`]: entropy and Kullback-Leibler divergence of finite laws.
//!
//! Logarithms are natural: entropies and divergences are in nats.

pub mod classes;
pub mod error;
pub mod law;
pub mod mixture;
pub mod stats;

pub use classes::ClassScore;
pub use error::MetricError;
pub use mixture::{Mixture2d, MixtureScore, Sigma};
