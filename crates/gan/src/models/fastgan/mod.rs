//! The light networks of FastGAN (Liu et al. 2021), for a few hundred images.
//!
//! ```text
//! generator       z -> transposed convolution -> at each resolution nearest neighbours, 3x3, batch norm, gated linear unit,
//!                 at every second one twice and with noise; stages of 64 px and more are weighed channel by channel by
//!                 what a stage of a sixteenth of their sides says (skip-layer excitation)
//! discriminator   at each resolution a 4x4 halving and 3x3 beside a mean and 1x1; excited from eight times the sides; one
//!                 logit a patch of it, and of a smaller network that sees the image at half the sides
//! decoders        small generators that draw images from the discriminator's features, for regularizer `reconstruction`
//! ```
//!
//! Every convolution is divided by its largest singular value, as published. Different here: the generator makes one image,
//! not a second one at half the sides for the small network, which sees the image itself, halved by means; a sample's
//! logit is the mean over its patches; decoders are compared in pixels instead of by a pretrained network. Classes, which the
//! published networks do not know, are embedded beside the latent and projected.

mod discriminator;
mod generator;
mod layers;

use super::sizes::Doubling;
use super::{Model, OptionSpec, Options};
use crate::networks::Side;
use ganymede_graph::Tensor;
use ganymede_nn::{Scope, WeightRule};

/// The pair of FastGAN.
pub struct FastGan;

/// Smaller side of the generator's first image: 4 to 7 pixels.
const LEAST: usize = 4;
/// Smaller side of the discriminator's last image, over which its logits are patches: 7 to 13 pixels.
const LEAST_JUDGED: usize = 7;
/// Largest sides: beyond, the published discriminator begins otherwise.
const MAX_SIDE: usize = 256;
/// Largest `width`.
const MAX_WIDTH: usize = 1024;

/// How the sides of images follow from smallest ones of `least` pixels, and their channels.
fn doubling(sample: &[usize], least: usize) -> Result<(Doubling, usize), String> {
    let found = Doubling::of_sample(sample, least)?;
    match *sample {
        [height, width, _] if height.max(width) > MAX_SIDE => Err(format!(
            "`data.shape`: images of {height}x{width} are too large, {MAX_SIDE}x{MAX_SIDE} is the most"
        )),
        _ => Ok(found),
    }
}

/// The same place with spectral normalization: the recipe's, or one iteration.
fn normalized(scope: &Scope) -> Scope {
    match scope.rule() {
        WeightRule::Spectral { .. } => scope.clone(),
        WeightRule::Plain | WeightRule::Equalized { .. } => {
            scope.with_rule(WeightRule::Spectral { iterations: 1 })
        }
    }
}

impl Model for FastGan {
    fn name(&self) -> &'static str {
        "fastgan"
    }
    fn about(&self) -> &'static str {
        "light networks for a few hundred images: skip-layer excitation, and decoders that keep the discriminator's \
         features rich"
    }
    fn paper(&self) -> &'static str {
        "Liu et al. 2021 (FastGAN), section 3"
    }
    fn options(&self) -> &'static [OptionSpec] {
        &[
            OptionSpec {
                key: "width",
                about: "channels at 128 px, and their measure elsewhere",
                default: &[64],
            },
            OptionSpec {
                key: "decoders",
                about: "1: decoders beside the discriminator, which regularizer `reconstruction` trains; 0: none",
                default: &[1],
            },
        ]
    }
    fn check(&self, options: &Options) -> Result<(), String> {
        for (key, least, most) in [("width", 4, MAX_WIDTH), ("decoders", 0, 1)] {
            let list = options.list(key);
            if list.len() != 1 || !(least..=most).contains(&list[0]) {
                return Err(format!("`{key}` must be one number from {least} to {most}, got {list:?}"));
            }
        }
        Ok(())
    }
    fn generator(&self, scope: &Scope, latent: &Tensor, sample: &[usize], options: &Options) -> Tensor {
        match doubling(sample, LEAST) {
            Ok((doubling, channels)) => {
                let width = options.number("width");
                generator::image(&normalized(scope), latent, doubling, channels, width)
            }
            Err(message) => scope.graph().fail("fastgan generator", message),
        }
    }
    fn discriminator(&self, scope: &Scope, samples: &Tensor, options: &Options) -> Tensor {
        if samples.is_poisoned() {
            return samples.clone();
        }
        match doubling(&samples.shape()[1..], LEAST_JUDGED) {
            Ok((doubling, _)) => discriminator::logits(&normalized(scope), samples, doubling, options),
            Err(message) => scope.graph().fail("fastgan discriminator", message),
        }
    }
    fn normalizes_batch(&self, side: Side, options: &Options) -> bool {
        let _ = (side, options);
        true
    }
    /// Decoders draw numbers, and what they are off counts for real samples alone.
    fn takes_segments(&self) -> bool {
        false
    }
}
