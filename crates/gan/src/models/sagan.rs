use super::OptionSpec;
use super::Options;
use super::blocks::{Judgement, Weights};
use super::residual::Residual;
use super::resnet::{discriminator_blocks, generator_multipliers};
use super::stages::{ATTENTION, CHANNELS, HALVINGS, MULTIPLIERS, Published};

/// Residual networks with self-attention, at 32 pixels of 128 in the paper. A recipe gives both networks
/// `spectral_norm = 1`.
///
/// With classes the generator's normalisations have a gain and a bias a class, and the discriminator ends with a
/// projection.
pub struct Sagan;

impl Residual for Sagan {
    const NAME: &'static str = "sagan";
    const ABOUT: &'static str =
        "residual networks with self-attention in both, for structure that spans the image";
    const PAPER: &'static str = "Zhang, Goodfellow, Metaxas, Odena 2019 (SAGAN), sections 3 and 5";
    const OPTIONS: &'static [OptionSpec] = &[
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
    ];
    const FLAGS: &'static [&'static str] = &["wide"];
    const WEIGHTS: Weights = Weights::Glorot;
    const WIDTHS: fn(usize) -> &'static [usize] = generator_multipliers;
    const BLOCKS: fn([usize; 2]) -> Published = discriminator_blocks;
    /// Where the paper found attention to help most, and its memory is still small.
    const ATTENTION: Option<usize> = Some(32);

    fn judgement(&self, options: &Options) -> Judgement {
        Judgement {
            wide: options.number("wide") == 1,
            layer_norm: false,
            mean_pool: false,
            weights: Self::WEIGHTS,
        }
    }
}
