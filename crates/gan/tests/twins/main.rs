//! Objectives on logits, on images and in whole steps against PyTorch, and their wrong twins: for every registered loss,
//! regularizer and augmentation a variant with one thing wrong, for which the same comparison must fail.
//!
//! Each family has a table of twins. A member of a registry without one fails the family's test.

mod augmentations;
#[path = "../common/mod.rs"]
mod common;
mod compare;
mod losses;
mod networks;
mod regularizers;
mod steps;
mod whole;
