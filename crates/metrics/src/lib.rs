//! Scores of generated samples, as pure mathematics in f64: no files, no networks, no clocks.
//!
//! * [`mixture`]: points against a Gaussian mixture in the plane;
//! * [`classes`]: class probabilities that a classifier gives to samples, [`modes`]: which of many classes appear;
//! * [`features`]: what an extractor makes of samples, for
//! * [`frechet`]: the Frechet distance, [`kernel`]: the kernel distance, [`neighbours`]: precision, recall, density and
//!   coverage, [`pairs`]: these together in one pass;
//! * [`class_frechet`] and [`extrapolation`]: the Frechet distance by class, and of infinitely many samples; [`influence`]: how
//!   far each may be off by chance;
//! * [`inception`]: the Inception score; [`path_length`]: perceptual path length;
//! * [`sliced`]: the sliced Wasserstein distance, of features and of patches of images; [`ssim`]: how alike two images are;
//! * [`copying`]: whether a generator copies training samples, over [`mod@nearest`] neighbours; [`mod@lost`]: kinds that it has
//!   lost, classes or [`cells`] of feature space; [`mod@collisions`]: how alike its samples are; [`ranks`]: which of two sets of
//!   values lies above the other;
//! * [`pca`]: features in the plane, to be looked at;
//! * [`stats`]: means, quantiles, bootstrap intervals;
//! * [`law`]: entropy and Kullback-Leibler divergence of finite laws.
//!
//! Logarithms are natural: entropies and divergences are in nats.

mod blocks;
pub mod cells;
pub mod class_frechet;
pub mod classes;
pub mod collisions;
pub mod copying;
pub mod error;
pub mod extrapolation;
pub mod features;
pub mod frechet;
pub mod inception;
pub mod influence;
pub mod kernel;
pub mod law;
pub mod lost;
pub mod mixture;
pub mod modes;
pub mod nearest;
pub mod neighbours;
pub mod pairs;
pub mod path_length;
pub mod pca;
pub mod ranks;
mod singular;
pub mod sliced;
pub mod ssim;
pub mod stats;
mod sweep;

pub use blocks::limit_threads;
pub use classes::ClassScore;
pub use error::MetricError;
pub use features::Features;
pub use frechet::{Gaussian, GaussianFit};
pub use mixture::{Mixture2d, MixtureScore, Sigma};
pub use modes::ModeScore;
