use super::blocks::{Judgement, Told, Weights, generate, judge};
use super::resnet::{discriminator_blocks, generator_multipliers};
use super::stages::{ATTENTION, CHANNELS, HALVINGS, MULTIPLIERS, check_flags, check_stages, judging, making};
use super::{Model, OptionSpec, Options};
use crate::networks::Side;
use ganymede_graph::Tensor;
use ganymede_nn::Scope;

/// Residual networks with self-attention, at 32 pixels of 128 in the paper. A recipe gives both networks
/// `spectral_norm = 1`.
///
/// With classes the generator's normalisations have a gain and a bias a class, and the discriminator ends with a
/// projection.
pub struct Sagan;

const NAME: &str = "sagan";
const WEIGHTS: Weights = Weights::Glorot;
/// Where the paper found attention to help most, and its memory is still small.
const LARGEST: usize = 32;

impl Model for Sagan {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "residual networks with self-attention in both, for structure that spans the image"
    }
    fn paper(&self) -> &'static str {
        "Zhang, Goodfellow, Metaxas, Odena 2019 (SAGAN), sections 3 and 5"
    }
    fn options(&self) -> &'static [OptionSpec] {
        &[
            CHANNELS,
            MULTIPLIERS,
            HALVINGS,
            ATTENTION,
            OptionSpec {
                key: "wide",
                about: "of a discriminator: 1 gives a block's first convolution the block's width, as the authors do; 0 \
                        that of its input, as SNGAN does",
                default: &[1],
            },
        ]
    }
    fn check(&self, options: &Options) -> Result<(), String> {
        check_stages(options)?;
        check_flags(options, &["wide"])
    }
    fn normalizes_batch(&self, side: Side, _: &Options) -> bool {
        match side {
            Side::Generator => true,
            Side::Discriminator => false,
        }
    }
    fn generator(&self, scope: &Scope, latent: &Tensor, sample: &[usize], options: &Options) -> Tensor {
        match making(scope.graph(), NAME, sample, options, generator_multipliers, Some(LARGEST)) {
            Ok(making) => generate(scope, latent, &making, &|_| Told::Class, WEIGHTS),
            Err(poisoned) => poisoned,
        }
    }
    fn discriminator(&self, scope: &Scope, samples: &Tensor, options: &Options) -> Tensor {
        let how = Judgement {
            wide: options.number("wide") == 1,
            layer_norm: false,
            mean_pool: false,
            weights: WEIGHTS,
        };
        match judging(scope.graph(), NAME, samples, options, discriminator_blocks, Some(LARGEST)) {
            Ok(stages) => judge(scope, samples, &stages, how),
            Err(poisoned) => poisoned,
        }
    }
}
