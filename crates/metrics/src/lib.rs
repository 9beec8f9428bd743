//! Scores of generated samples, as pure mathematics in f64: no files, no networks, no clocks.
//!
//! * [`mixture`]: points against a Gaussian mixture in the plane;
//! * [`classes`]: class probabilities that a classifier gives to samples, [`modes`]: which of many classes appear;
//! * [`features`]: what an extractor makes of samples, for
//! * [`frechet`]: the Frechet distance, [`kernel`]: the kernel distance, [`neighbours`]: precision, recall, density and
//!   coverage;
//! * [`stats`]: means, quantiles, bootstrap intervals;
//! * [`law`]: entropy and Kullback-Leibler divergence of finite laws.
//!
//! Logarithms are natural: entropies and divergences are in nats.

mod blocks;
pub mod classes;
pub mod error;
pub mod features;
pub mod frechet;
pub mod kernel;
pub mod law;
pub mod mixture;
pub mod modes;
pub mod neighbours;
pub mod stats;

pub use classes::ClassScore;
pub use error::MetricError;
pub use features::Features;
pub use frechet::{Gaussian, GaussianFit};
pub use mixture::{Mixture2d, MixtureScore, Sigma};
pub use modes::ModeScore;
