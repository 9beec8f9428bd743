use super::blocks::{Judgement, Told, Weights, generate};
use super::residual::Residual;
use super::sizes::{LEAST, halvings};
use super::stages::{ATTENTION, CHANNELS, HALVINGS, MULTIPLIERS, Making, Published};
use super::{OptionSpec, Options};
use ganymede_graph::Tensor;
use ganymede_nn::layers::embedding;
use ganymede_nn::{Init, Scope, WeightRule};

/// The pair of BigGAN, not of its deep variant: residual networks with attention whose normalisations in the generator
/// depend, through linear maps, on an embedding of the class that all of them share and, with `hierarchical`, on a part
/// of the latent of each block's own. Weights begin orthogonal. A recipe gives both networks `spectral_norm = 1` and the
/// generator the regularizer `orthogonal`.
///
/// Without classes the normalisations depend on the latent alone: each block's on its part, or all on the whole of it
/// (which then is the self-modulation of Chen et al. 2019).
pub struct BigGan;

/// Widths of the published networks for 32, 64, 128, 256 and 512 pixels (3 to 7 doublings) as multiples of `channels`.
fn generator_multipliers(doublings: usize) -> &'static [usize] {
    match doublings {
        0 | 1 => &[4, 4],
        2 => &[4, 4, 4],
        3 => &[4, 4, 4, 4],
        4 => &[16, 16, 8, 4, 2],
        5 => &[16, 16, 8, 4, 2, 1],
        6 => &[16, 16, 8, 8, 4, 2, 1],
        _ => &[16, 16, 8, 8, 4, 2, 1, 1],
    }
}

/// As [`generator_multipliers`].
fn discriminator_blocks(sides: [usize; 2]) -> Published {
    let possible = halvings(sides, LEAST);
    let (multipliers, halvings): (&[usize], usize) = match possible {
        0..=3 => (&[4, 4, 4, 4], possible.min(2)),
        4 => (&[16, 8, 4, 2, 1], 4),
        5 => (&[16, 16, 8, 4, 2, 1], 5),
        6 => (&[16, 16, 8, 8, 4, 2, 1], 6),
        _ => (&[16, 16, 8, 8, 4, 2, 1, 1], 7),
    };
    Published { multipliers, halvings }
}

/// The latent in `1 + blocks` parts of one width: for the first image and for each block.
fn parts(scope: &Scope, latent: &Tensor, blocks: usize) -> Result<Vec<Tensor>, Tensor> {
    if latent.is_poisoned() {
        return Err(latent.clone());
    }
    let (ty, count) = (latent.ty(), blocks + 1);
    match ty.shape[..] {
        [_, dim] if dim.is_multiple_of(count) && dim > 0 => {
            let width = dim / count;
            Ok((0..count).map(|i| latent.slice(1, i * width, (i + 1) * width)).collect())
        }
        _ => {
            let message = format!(
                "`hierarchical` cuts the latent in {count} parts, one for the base and one for each of {blocks} blocks: \
                 latent.dim must be a multiple of {count}, got {ty}; or set hierarchical = 0"
            );
            Err(scope.graph().fail(BigGan::NAME, message))
        }
    }
}

impl Residual for BigGan {
    const NAME: &'static str = "biggan";
    const ABOUT: &'static str = "residual networks with attention whose generator is told the class and parts of the latent at every block";
    const PAPER: &'static str = "Brock, Donahue, Simonyan 2019 (BigGAN), section 3 and appendix B";
    const OPTIONS: &'static [OptionSpec] = &[
        CHANNELS,
        MULTIPLIERS,
        HALVINGS,
        ATTENTION,
        OptionSpec {
            key: "hierarchical",
            about: "of a generator: 1 gives each block a part of the latent, 0 the base all of it",
            default: &[1],
        },
        OptionSpec {
            key: "shared",
            about: "of a generator: width of the embedding of a class that all its blocks share",
            default: &[128],
        },
    ];
    const FLAGS: &'static [&'static str] = &["hierarchical"];
    const WEIGHTS: Weights = Weights::Orthogonal;
    const WIDTHS: fn(usize) -> &'static [usize] = generator_multipliers;
    const BLOCKS: fn([usize; 2]) -> Published = discriminator_blocks;
    /// Where the paper has attention at 128 and 256 pixels.
    const ATTENTION: Option<usize> = Some(64);

    fn check_own(&self, options: &Options) -> Result<(), String> {
        options.check_single("shared")?;
        match options.number("shared") {
            0 => Err("`shared` must be at least 1".into()),
            _ => Ok(()),
        }
    }
    fn make(&self, scope: &Scope, latent: &Tensor, making: &Making, options: &Options) -> Tensor {
        let parts = match options.number("hierarchical") == 1 {
            true => match parts(scope, latent, making.blocks.len()) {
                Ok(parts) => parts,
                Err(poisoned) => return poisoned,
            },
            false => vec![latent.clone()],
        };
        // Not under a rule of weights: the published programs leave this table alone, whose rows are no matrix that
        // multiplies and whose maps in each norm are ruled already.
        let class = scope.labels().map(|labels| {
            let scope = scope.child("classes").with_rule(WeightRule::Plain);
            let init = Init::Orthogonal { gain: 1.0 };
            embedding(&scope, &labels.index, labels.classes, options.number("shared"), init)
        });
        let told = |block: usize| {
            let own = parts.get(block + 1);
            Told::Vectors(match (&class, own) {
                (Some(class), Some(own)) => Tensor::concat(&[class, own], 1),
                (Some(class), None) => class.clone(),
                (None, Some(own)) => own.clone(),
                (None, None) => latent.clone(),
            })
        };
        generate(scope, &parts[0], making, &told, Self::WEIGHTS)
    }
    fn judgement(&self, _: &Options) -> Judgement {
        Judgement { wide: true, layer_norm: false, mean_pool: false, weights: Self::WEIGHTS }
    }
}
