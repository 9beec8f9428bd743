//! The networks of R3GAN (Huang et al. 2024).
//!
//! ```text
//! generator       z [, embedded class] -> dense -> times a learned image -> blocks
//!                 then for each further stage: 1x1 convolution if widths differ -> doubled -> blocks; 1x1 to the image
//! discriminator   the same backwards: 1x1 from the image, blocks -> halved -> 1x1, .., blocks -> depthwise convolution
//!                 over what remains -> dense [-> dot product with the embedded class]
//! block           x + 1x1(act(grouped 3x3(act(1x1(x))))), act(x) = leaky ReLU(x + bias)
//! ```
//!
//! Convolutions have no bias but that of the activation behind them, and nothing is normalized.

use super::{Model, OptionSpec, Options};
use ganymede_graph::{ConvOptions, Tensor};
use ganymede_nn::layers::{embedding, fir_downsample, fir_upsample};
use ganymede_nn::{FanRule, Init, Scope};

/// The pair of R3GAN: no normalisation, grouped 3x3 convolutions inside inverted bottlenecks, filtered resampling, and an
/// initialization under which every block begins as the identity.
pub struct R3Gan;

const SLOPE: f64 = 0.2;

/// Each stage doubles the sides: ten reach 1024 times the first.
const MAX_STAGES: usize = 10;
/// Blocks of a network. With penalties of second order so many make 60,000 nodes a phase, which take about a second to
/// compile (`ganymede bench --graph 60000`), and twice that and more in low memory.
const MAX_BLOCKS: usize = 256;

/// Gain of He's initialization for leaky ReLU: sqrt(2 / (1 + slope^2)).
fn gain() -> f64 {
    (2.0 / (1.0 + SLOPE * SLOPE)).sqrt()
}

fn he(gain: f64) -> Init {
    Init::HeNormal { gain }
}

/// Square convolution of `size` in groups of channels, without bias, that keeps the sides.
fn conv(
    scope: &Scope,
    name: &str,
    x: &Tensor,
    c_out: usize,
    size: usize,
    groups: usize,
    init: Init,
) -> Tensor {
    let scope = scope.child(name);
    let _at = scope.enter();
    let c_in = x.shape().last().copied().unwrap_or(0);
    let weight = scope.weight("weight", &[size, size, c_in / groups.max(1), c_out], init, FanRule::Forward);
    let y = x.conv2d(&weight, ConvOptions::default().pad(size / 2).groups(groups));
    scope.record_layer(&format!("conv {c_out} {size}x{size}"), &y);
    y
}

fn pointwise(scope: &Scope, name: &str, x: &Tensor, c_out: usize, init: Init) -> Tensor {
    conv(scope, name, x, c_out, 1, 1, init)
}

fn dense(scope: &Scope, name: &str, x: &Tensor, units: usize) -> Tensor {
    let scope = scope.child(name);
    let _at = scope.enter();
    let inputs = x.shape().last().copied().unwrap_or(0);
    let y = x.matmul(&scope.weight("weight", &[inputs, units], he(1.0), FanRule::Forward));
    scope.record_layer(&format!("dense {units}"), &y);
    y
}

/// leaky ReLU(x + bias), the bias a channel.
fn activate(scope: &Scope, name: &str, x: &Tensor) -> Tensor {
    let scope = scope.child(name);
    let _at = scope.enter();
    let channels = x.shape().last().copied().unwrap_or(0);
    let y = (x + scope.param("bias", &[channels], Init::Zeros)).leaky_relu(SLOPE);
    scope.record_layer("bias leaky_relu", &y);
    y
}

/// 1x1 up, grouped 3x3, 1x1 down, beside the identity. The last convolution begins at 0, and the others are scaled by
/// L^(-1 / (2m - 2)) for L blocks of m = 3 convolutions, so that depth does not change the size of the updates (Zhang,
/// Dauphin, Ma 2019, Fixup, section 3).
fn block(scope: &Scope, x: &Tensor, depth: usize, options: &Options) -> Tensor {
    let channels = x.shape().last().copied().unwrap_or(0);
    let wide = channels * options.number("expansion");
    let groups = (wide / options.number("group_size")).max(1);
    let scaled = he(gain() * (depth.max(1) as f64).powf(-0.25));
    let y = activate(scope, "expand", &pointwise(scope, "expand", x, wide, scaled));
    let y = activate(scope, "spatial", &conv(scope, "spatial", &y, wide, 3, groups, scaled));
    x + pointwise(scope, "project", &y, channels, Init::Zeros)
}

fn stages(options: &Options) -> Vec<(usize, usize)> {
    options.list("widths").iter().copied().zip(options.list("blocks").iter().copied()).collect()
}

/// Blocks of a whole network.
fn depth(options: &Options) -> usize {
    options.list("blocks").iter().sum()
}

fn blocks(scope: &Scope, mut x: Tensor, count: usize, options: &Options) -> Tensor {
    for k in 0..count {
        x = block(&scope.child(&format!("block{k}")), &x, depth(options), options);
    }
    x
}

/// Height and width of the smallest stage, or what is wrong with `sides`.
fn smallest([height, width]: [usize; 2], options: &Options) -> Result<[usize; 2], String> {
    let stages = options.list("widths").len();
    let shrink = 1 << (stages - 1);
    if !height.is_multiple_of(shrink) || !width.is_multiple_of(shrink) || height * width == 0 {
        return Err(format!(
            "`widths` lists {stages} stages, so images must have sides that are multiples of {shrink}, got \
             {height}x{width}: list fewer"
        ));
    }
    Ok([height / shrink, width / shrink])
}

impl Model for R3Gan {
    fn name(&self) -> &'static str {
        "r3gan"
    }
    fn about(&self) -> &'static str {
        "residual networks without normalisation, as R3GAN has them; each stage doubles the resolution"
    }
    fn paper(&self) -> &'static str {
        "Huang et al. 2024 (R3GAN), section 4 and appendix D"
    }
    fn options(&self) -> &'static [OptionSpec] {
        &[
            OptionSpec {
                key: "widths",
                about: "channels of each stage, smallest resolution first",
                default: &[96, 32, 16],
            },
            OptionSpec { key: "blocks", about: "residual blocks of each stage", default: &[1, 1, 0] },
            OptionSpec {
                key: "expansion",
                about: "width inside a block, as a multiple of the stage's",
                default: &[2],
            },
            OptionSpec {
                key: "group_size",
                about: "channels a group of the 3x3 convolutions",
                default: &[16],
            },
        ]
    }
    fn check(&self, options: &Options) -> Result<(), String> {
        let (widths, blocks) = (options.list("widths"), options.list("blocks"));
        if widths.is_empty() || widths.len() != blocks.len() {
            return Err(format!("`widths` lists {} stages, `blocks` {}", widths.len(), blocks.len()));
        }
        let (expansion, group) = (options.number("expansion"), options.number("group_size"));
        if expansion == 0 || group == 0 || widths.contains(&0) {
            return Err("`widths`, `expansion` and `group_size` must be at least 1".into());
        }
        if widths.len() > MAX_STAGES || depth(options) > MAX_BLOCKS {
            return Err(format!(
                "`widths` and `blocks`: at most {MAX_STAGES} stages and {MAX_BLOCKS} blocks in all are possible"
            ));
        }
        for (width, count) in stages(options) {
            if count > 0 && width * expansion > group && !(width * expansion).is_multiple_of(group) {
                return Err(format!(
                    "a block of {} channels inside (`widths` {width} x `expansion` {expansion}) does not divide into \
                     groups of {group} (`group_size`)",
                    width * expansion
                ));
            }
        }
        Ok(())
    }
    fn generator(&self, scope: &Scope, latent: &Tensor, sample: &[usize], options: &Options) -> Tensor {
        let graph = latent.graph().clone();
        let stages = stages(options);
        let &[height, width, channels] = sample else {
            return graph.fail("r3gan generator", format!("makes images [H, W, C], got {sample:?}"));
        };
        let [height, width] = match smallest([height, width], options) {
            Ok(sides) => sides,
            Err(message) => return graph.fail("r3gan generator", message),
        };
        let batch = latent.shape().first().copied().unwrap_or(0);
        let given = match scope.labels() {
            None => latent.clone(),
            Some(labels) => {
                // As wide as the latent, as the authors' program has it.
                let width = latent.shape().last().copied().unwrap_or(0);
                let at = scope.child("embedding");
                let embedded = embedding(&at, &labels.index, labels.classes, width, he(1.0));
                Tensor::concat(&[latent, &embedded], 1)
            }
        };
        let mut x = {
            let first = stages[0].0;
            let scope = scope.child("basis");
            let _at = scope.enter();
            let constant =
                scope.param("constant", &[height, width, first], Init::Normal { mean: 0.0, std: 1.0 });
            let scale = dense(&scope, "scale", &given, first).reshape(&[batch, 1, 1, first]);
            constant * scale
        };
        for (i, &(c, count)) in stages.iter().enumerate() {
            let stage = scope.child(&format!("stage{i}"));
            if i > 0 {
                if c != stages[i - 1].0 {
                    x = pointwise(&stage, "narrow", &x, c, he(1.0));
                }
                x = fir_upsample(&stage, &x);
            }
            x = blocks(&stage, x, count, options);
        }
        pointwise(scope, "image", &x, channels, he(1.0))
    }
    fn discriminator(&self, scope: &Scope, samples: &Tensor, options: &Options) -> Tensor {
        let stages = stages(options);
        let last = stages.len() - 1;
        let shape = samples.shape();
        let sides = match shape[..] {
            [_, height, width, _] => smallest([height, width], options),
            _ => Err(format!("judges images [N, H, W, C], got {shape:?}")),
        };
        let [height, width] = match sides {
            Ok(sides) => sides,
            Err(message) => return scope.graph().fail("r3gan discriminator", message),
        };
        let mut x = pointwise(scope, "image", samples, stages[last].0, he(1.0));
        for (i, &(c, count)) in stages.iter().enumerate().rev() {
            let stage = scope.child(&format!("stage{i}"));
            if i < last {
                x = fir_downsample(&stage, &x);
                if c != stages[i + 1].0 {
                    x = pointwise(&stage, "widen", &x, c, he(1.0));
                }
            }
            x = blocks(&stage, x, count, options);
        }
        let (batch, channels) = (shape[0], stages[0].0);
        // A depthwise convolution over the whole remaining image.
        let pooled = {
            let scope = scope.child("basis");
            let _at = scope.enter();
            let weight = scope.weight("weight", &[height, width, 1, channels], he(1.0), FanRule::Forward);
            let y = x.conv2d(&weight, ConvOptions::default().groups(channels)).reshape(&[batch, channels]);
            scope.record_layer(&format!("depthwise {height}x{width}"), &y);
            y
        };
        scope.expose_features(&pooled);
        match scope.labels() {
            None => dense(scope, "logit", &pooled, 1),
            Some(labels) => {
                // As wide as the smallest stage; scaled so that the dot product has the variance of one logit.
                let at = scope.child("embedding");
                let init = he((channels as f64).sqrt().recip());
                let embedded = embedding(&at, &labels.index, labels.classes, channels, init);
                (dense(scope, "logit", &pooled, channels) * embedded).sum(&[1]).reshape(&[batch, 1])
            }
        }
    }
}
