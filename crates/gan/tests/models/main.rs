//! The convolutional models: parameters as published, values against PyTorch, gradients to order two, some steps of
//! training, every size, and what they refuse.

mod case;
#[path = "../common/mod.rs"]
mod common;
mod goldens;
mod gradients;
mod parameters;
mod sizes;
mod training;
