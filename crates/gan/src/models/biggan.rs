use super::blocks::{Judgement, Told, Weights, generate, judge};
use super::stages::{
    ATTENTION, CHANNELS, HALVINGS, MULTIPLIERS, Published, check_flags, check_stages, halvings, judging,
    making, single,
};
use super::{Model, OptionSpec, Options};
use crate::networks::Side;
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

const NAME: &str = "biggan";
const WEIGHTS: Weights = Weights::Orthogonal;
/// Where the paper has attention at 128 and 256 pixels.
const LARGEST: usize = 64;

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
    let possible = halvings(sides);
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
            Err(scope.graph().fail(NAME, message))
        }
    }
}

impl Model for BigGan {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "residual networks with attention whose generator is told the class and parts of the latent at every block"
    }
    fn paper(&self) -> &'static str {
        "Brock, Donahue, Simonyan 2019 (BigGAN), section 3 and appendix B"
    }
    fn options(&self) -> &'static [OptionSpec] {
        &[
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
        ]
    }
    fn check(&self, options: &Options) -> Result<(), String> {
        check_stages(options)?;
        check_flags(options, &["hierarchical"])?;
        single(options, "shared")?;
        match options.number("shared") {
            0 => Err("`shared` must be at least 1".into()),
            _ => Ok(()),
        }
    }
    fn normalizes_batch(&self, side: Side, _: &Options) -> bool {
        match side {
            Side::Generator => true,
            Side::Discriminator => false,
        }
    }
    fn generator(&self, scope: &Scope, latent: &Tensor, sample: &[usize], options: &Options) -> Tensor {
        let graph = scope.graph();
        let hierarchical = options.number("hierarchical") == 1;
        let cut =
            making(graph, NAME, sample, options, generator_multipliers, Some(LARGEST)).and_then(|making| {
                let parts = match hierarchical {
                    true => parts(scope, latent, making.blocks.len())?,
                    false => vec![latent.clone()],
                };
                Ok((making, parts))
            });
        let (making, parts) = match cut {
            Ok(cut) => cut,
            Err(poisoned) => return poisoned,
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
        generate(scope, &parts[0], &making, &told, WEIGHTS)
    }
    fn discriminator(&self, scope: &Scope, samples: &Tensor, options: &Options) -> Tensor {
        let how = Judgement { wide: true, layer_norm: false, mean_pool: false, weights: WEIGHTS };
        match judging(scope.graph(), NAME, samples, options, discriminator_blocks, Some(LARGEST)) {
            Ok(stages) => judge(scope, samples, &stages, how),
            Err(poisoned) => poisoned,
        }
    }
}
