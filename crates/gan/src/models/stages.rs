//! The stages of a residual model: how often sides are halved, how wide each stage is, and which attention follows.

use super::sizes::{image, sides, some_halvings};
use super::{OptionSpec, Options};
use ganymede_graph::{Graph, Tensor};

/// Most stages that `multipliers` may list: each doubles the sides, ten times are 1024-fold.
const MAX_STAGES: usize = 11;

/// `channels`, of which the widths of all stages are multiples.
pub const CHANNELS: OptionSpec =
    OptionSpec { key: "channels", about: "channels of which every stage has a multiple", default: &[64] };

/// `multipliers` in place of the published ones.
pub const MULTIPLIERS: OptionSpec = OptionSpec {
    key: "multipliers",
    about: "width of each stage as a multiple of `channels`, smallest resolution first; [] as published for the size",
    default: &[],
};

/// `halvings` of a discriminator.
pub const HALVINGS: OptionSpec = OptionSpec {
    key: "halvings",
    about: "of a discriminator: how many of its blocks, from the image on, halve the sides; [] as published",
    default: &[],
};

/// Where attention stands.
pub const ATTENTION: OptionSpec = OptionSpec {
    key: "attention",
    about: "shorter sides of the images that attention follows, [0] for none; [] as published for the size",
    default: &[],
};

/// Checks `channels`, `multipliers` and `halvings`.
pub fn check_stages(options: &Options) -> Result<(), String> {
    let multipliers = options.list("multipliers");
    options.check_single("channels")?;
    if options.number("channels") == 0 || multipliers.contains(&0) {
        return Err("`channels` and `multipliers` must be at least 1".into());
    }
    if multipliers.len() == 1 || multipliers.len() > MAX_STAGES {
        return Err(format!("`multipliers` lists 2 to {MAX_STAGES} stages, got {}", multipliers.len()));
    }
    if options.list("halvings").len() > 1 {
        return Err("`halvings` is one number".into());
    }
    Ok(())
}

/// The stages of a generator.
pub struct Making {
    /// Height and width of the first stage.
    pub base: [usize; 2],
    /// Channels of the first stage.
    pub width: usize,
    /// The blocks that follow, each of twice the sides of the last.
    pub blocks: Vec<UpStage>,
    /// Channels of the image.
    pub channels: usize,
}

/// What a generator's block makes.
pub struct UpStage {
    /// Channels of its result.
    pub channels: usize,
    /// Whether attention follows.
    pub attends: bool,
}

/// Stages that make images of the shape `sample`: by `multipliers`, or by those that `published` has for a number of
/// doublings. `attention` is the largest side that attention usually follows, for models that have it.
pub fn making(
    graph: &Graph,
    model: &str,
    sample: &[usize],
    options: &Options,
    published: fn(usize) -> &'static [usize],
    attention: Option<usize>,
) -> Result<Making, Tensor> {
    let [height, width, channels] = image(graph, model, sample)?;
    let given = options.list("multipliers");
    let multipliers =
        if given.is_empty() { published(some_halvings(graph, model, [height, width])?) } else { given };
    let factor = 1usize << (multipliers.len() - 1);
    if !height.is_multiple_of(factor) || !width.is_multiple_of(factor) {
        let message = format!(
            "`multipliers` lists {} stages, each twice as large as the last: it needs sides that are multiples of \
             {factor}, got {height}x{width}",
            multipliers.len()
        );
        return Err(graph.fail(model, message));
    }
    let base = [height / factor, width / factor];
    let made: Vec<[usize; 2]> = (1..multipliers.len()).map(|i| base.map(|side| side << i)).collect();
    let attends = attending(graph, model, [height, width], &made, options, attention)?;
    let widths: Vec<usize> = multipliers.iter().map(|m| m * options.number("channels")).collect();
    let blocks = widths[1..].iter().zip(attends).map(|(&channels, attends)| UpStage { channels, attends });
    Ok(Making { base, width: widths[0], blocks: blocks.collect(), channels })
}

/// A discriminator's blocks as published for a size.
pub struct Published {
    /// Multiples of `channels`, smallest resolution first.
    pub multipliers: &'static [usize],
    /// Blocks, from the image on, that halve the sides.
    pub halvings: usize,
}

/// What a discriminator's block makes.
pub struct DownStage {
    /// Channels of its result.
    pub channels: usize,
    /// Whether it halves the sides.
    pub halve: bool,
    /// Whether attention follows.
    pub attends: bool,
}

/// The blocks of a discriminator, from the image on: by `multipliers` and `halvings`, or as `published` has them for
/// such sides. `attention` is the largest side that attention usually follows, for models that have it.
pub fn judging(
    graph: &Graph,
    model: &str,
    samples: &Tensor,
    options: &Options,
    published: fn([usize; 2]) -> Published,
    attention: Option<usize>,
) -> Result<Vec<DownStage>, Tensor> {
    let [height, width] = sides(graph, model, samples)?;
    let usual = published([height, width]);
    let given = options.list("multipliers");
    let multipliers = if given.is_empty() { usual.multipliers } else { given };
    let halving = match options.list("halvings").first() {
        Some(&count) => count,
        None => usual.halvings.min(multipliers.len()),
    };
    if halving > multipliers.len() {
        let message = format!("`halvings` is {halving}, but there are {} blocks", multipliers.len());
        return Err(graph.fail(model, message));
    }
    let factor = 1usize << halving;
    if !height.is_multiple_of(factor) || !width.is_multiple_of(factor) {
        let message = format!(
            "{halving} blocks halve the sides, which must be multiples of {factor}, got {height}x{width}: set \
             `halvings`"
        );
        return Err(graph.fail(model, message));
    }
    let count = multipliers.len();
    let seen: Vec<[usize; 2]> =
        (1..=count).map(|i| [height, width].map(|side| side >> i.min(halving))).collect();
    let attends = attending(graph, model, [height, width], &seen, options, attention)?;
    let widths = multipliers.iter().rev().map(|m| m * options.number("channels"));
    let blocks = widths.zip(attends).enumerate();
    let block = |(i, (channels, attends))| DownStage { channels, halve: i < halving, attends };
    Ok(blocks.map(block).collect())
}

/// After which blocks attention follows, whose images have the sides `between`: those that `attention` names by their
/// shorter side, or the largest that are even, smaller than the image and at most `largest`. Where several blocks have
/// images of one size it follows the first.
fn attending(
    graph: &Graph,
    model: &str,
    image: [usize; 2],
    between: &[[usize; 2]],
    options: &Options,
    largest: Option<usize>,
) -> Result<Vec<bool>, Tensor> {
    let Some(largest) = largest else { return Ok(vec![false; between.len()]) };
    let shorter = |[height, width]: [usize; 2]| height.min(width);
    let even = |sides: [usize; 2]| sides.iter().all(|side| side.is_multiple_of(2));
    let given = options.list("attention");
    let wanted: Vec<usize> = if given.is_empty() {
        let possible = between.iter().filter(|s| even(**s)).map(|s| shorter(*s));
        possible.filter(|s| *s < shorter(image) && *s <= largest).max().into_iter().collect()
    } else {
        given.iter().copied().filter(|side| *side > 0).collect()
    };
    let mut attends = vec![false; between.len()];
    for side in wanted {
        match between.iter().position(|s| shorter(*s) == side) {
            Some(place) => attends[place] = true,
            None => {
                let known: Vec<usize> = between.iter().map(|s| shorter(*s)).collect();
                let message = format!(
                    "`attention` names {side} pixels, but the images between the blocks have shorter sides {known:?}"
                );
                return Err(graph.fail(model, message));
            }
        }
    }
    Ok(attends)
}
