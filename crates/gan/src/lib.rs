//! Ganymede trains, judges and samples generative adversarial networks.
//!
//! A [`recipe`] names two networks, a loss ([`losses`]), [`regularizers`] and augmentations ([`augment`]); [`step`] turns it into graph functions,
//! [`trainer`] advances them over a stream of real samples, [`run`] does so in a folder with checkpoints, sample
//! pictures and a log, [`sampler`] draws from what was trained, and [`eval`] scores it with what [`extractors`] see.

pub mod animation;
pub mod augment;
pub mod best;
pub mod checkpoint;
pub mod cost;
pub mod error;
pub mod eval;
pub mod extractors;
pub mod gallery;
pub mod judge;
pub mod latent;
pub mod losses;
pub mod memory;
pub mod models;
pub mod networks;
pub mod picture;
pub mod plot;
pub mod preview;
pub mod projection;
pub mod recipe;
pub mod regularizers;
pub mod run;
pub mod sampler;
pub mod standing;
pub mod step;
pub mod sweep;
pub mod trainer;
pub mod transfer;
pub mod workloads;

pub use error::Error;
pub use recipe::Recipe;
pub use step::Objective;
pub use trainer::Trainer;
