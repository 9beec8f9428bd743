//! Residual pairs: what SNGAN's networks and those after them have in common, and each fills in.

use super::blocks::{Judgement, Told, Weights, generate, judge};
use super::stages::{Making, Published, check_stages, judging, making};
use super::{Model, OptionSpec, Options};
use crate::networks::Side;
use ganymede_graph::Tensor;
use ganymede_nn::Scope;

/// A residual pair: a [`Model`] whose networks are [`generate`] and [`judge`] of the stages that follow from the sides of
/// its images.
pub trait Residual: Sync {
    /// As [`Model::name`].
    const NAME: &'static str;
    /// As [`Model::about`].
    const ABOUT: &'static str;
    /// As [`Model::paper`].
    const PAPER: &'static str;
    /// As [`Model::options`], those of [`super::stages`] among them.
    const OPTIONS: &'static [OptionSpec];
    /// Options that are 0 or 1.
    const FLAGS: &'static [&'static str];
    /// How weights begin.
    const WEIGHTS: Weights;
    /// Widths of the generator as published for a number of doublings, as multiples of `channels`.
    const WIDTHS: fn(usize) -> &'static [usize];
    /// The discriminator's blocks as published for sides of images.
    const BLOCKS: fn([usize; 2]) -> Published;
    /// The largest side of images that attention usually follows, for models that have it.
    const ATTENTION: Option<usize>;

    /// What is wrong with options beside those of stages and flags.
    ///
    /// # Errors
    /// What that is.
    fn check_own(&self, _options: &Options) -> Result<(), String> {
        Ok(())
    }
    /// The generator, by its stages: told the class, where there are classes, in every normalisation.
    fn make(&self, scope: &Scope, latent: &Tensor, making: &Making, _options: &Options) -> Tensor {
        generate(scope, latent, making, &|_| Told::Class, Self::WEIGHTS)
    }
    /// What the discriminator's blocks have in common.
    fn judgement(&self, options: &Options) -> Judgement;
}

impl<T: Residual> Model for T {
    fn name(&self) -> &'static str {
        T::NAME
    }
    fn about(&self) -> &'static str {
        T::ABOUT
    }
    fn paper(&self) -> &'static str {
        T::PAPER
    }
    fn options(&self) -> &'static [OptionSpec] {
        T::OPTIONS
    }
    fn check(&self, options: &Options) -> Result<(), String> {
        check_stages(options)?;
        options.check_flags(T::FLAGS)?;
        self.check_own(options)
    }
    fn normalizes_batch(&self, side: Side, _: &Options) -> bool {
        match side {
            Side::Generator => true,
            Side::Discriminator => false,
        }
    }
    fn generator(&self, scope: &Scope, latent: &Tensor, sample: &[usize], options: &Options) -> Tensor {
        match making(scope.graph(), T::NAME, sample, options, T::WIDTHS, T::ATTENTION) {
            Ok(making) => self.make(scope, latent, &making, options),
            Err(poisoned) => poisoned,
        }
    }
    fn discriminator(&self, scope: &Scope, samples: &Tensor, options: &Options) -> Tensor {
        match judging(scope.graph(), T::NAME, samples, options, T::BLOCKS, T::ATTENTION) {
            Ok(stages) => judge(scope, samples, &stages, self.judgement(options)),
            Err(poisoned) => poisoned,
        }
    }
}
