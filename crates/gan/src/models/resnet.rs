use super::blocks::{Judgement, Weights};
use super::residual::Residual;
use super::sizes::{LEAST, halvings};
use super::stages::{CHANNELS, HALVINGS, MULTIPLIERS, Published};
use super::{OptionSpec, Options};

/// The residual pair of SNGAN and, with `layer_norm` and `mean_pool`, of WGAN-GP. At 32 pixels and below every block of
/// the generator has 4 x `channels` and of the discriminator 2 x `channels`; above, widths halve as sides double.
///
/// With classes the generator's normalisations have a gain and a bias a class, and the discriminator ends with a
/// projection (Miyato, Koyama 2018).
pub struct Resnet;

/// Widths of the authors' networks for 32, 64 and 128 pixels (3, 4 and 5 doublings) as multiples of 64; for more, of
/// PyTorch-StudioGAN's.
pub(super) fn generator_multipliers(doublings: usize) -> &'static [usize] {
    match doublings {
        0 | 1 => &[4, 4],
        2 => &[4, 4, 4],
        3 => &[4, 4, 4, 4],
        4 => &[16, 8, 4, 2, 1],
        5 => &[16, 16, 8, 4, 2, 1],
        6 => &[16, 16, 8, 8, 4, 2, 1],
        _ => &[16, 16, 8, 8, 4, 2, 1, 1],
    }
}

/// As [`generator_multipliers`], halving to 4 pixels and more.
pub(super) fn discriminator_blocks(sides: [usize; 2]) -> Published {
    let possible = halvings(sides, LEAST);
    let (multipliers, halvings): (&[usize], usize) = match possible {
        0..=3 => (&[2, 2, 2, 2], possible.min(2)),
        4 => (&[16, 8, 4, 2, 1], 4),
        5 => (&[16, 16, 8, 4, 2, 1], 5),
        6 => (&[16, 16, 8, 8, 4, 2, 1], 6),
        _ => (&[16, 16, 8, 8, 4, 2, 1, 1], 7),
    };
    Published { multipliers, halvings }
}

/// As [`discriminator_blocks`], but the last of five blocks halves too, as the authors have it for 64 pixels, where the
/// sides allow.
fn blocks_to_two_pixels(sides: [usize; 2]) -> Published {
    let usual = discriminator_blocks(sides);
    let even = sides.iter().all(|side| (side >> usual.halvings).is_multiple_of(2));
    if usual.halvings == 4 && even { Published { halvings: 5, ..usual } } else { usual }
}

impl Residual for Resnet {
    const NAME: &'static str = "resnet";
    const ABOUT: &'static str =
        "residual networks with batch normalisation in the generator alone, as SNGAN and WGAN-GP use them";
    const PAPER: &'static str = "Miyato et al. 2018 (SNGAN), appendix B.4; Gulrajani et al. 2017 (WGAN-GP), its networks for CIFAR-10";
    const OPTIONS: &'static [OptionSpec] = &[
        CHANNELS,
        MULTIPLIERS,
        HALVINGS,
        OptionSpec {
            key: "layer_norm",
            about: "of a discriminator: 1 puts layer normalisation before activations, as WGAN-GP may",
            default: &[0],
        },
        OptionSpec {
            key: "mean_pool",
            about: "of a discriminator: 1 averages the last features over pixels (WGAN-GP), 0 adds them (SNGAN)",
            default: &[0],
        },
    ];
    const FLAGS: &'static [&'static str] = &["layer_norm", "mean_pool"];
    const WEIGHTS: Weights = Weights::GlorotScaled;
    const WIDTHS: fn(usize) -> &'static [usize] = generator_multipliers;
    const BLOCKS: fn([usize; 2]) -> Published = blocks_to_two_pixels;
    const ATTENTION: Option<usize> = None;

    fn judgement(&self, options: &Options) -> Judgement {
        Judgement {
            wide: false,
            layer_norm: options.number("layer_norm") == 1,
            mean_pool: options.number("mean_pool") == 1,
            weights: Self::WEIGHTS,
        }
    }
}
