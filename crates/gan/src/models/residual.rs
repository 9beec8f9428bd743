use super::{Model, OptionSpec, Options};
use ganymede_graph::{ConvOptions, Tensor};
use ganymede_nn::{FanRule, Init, Scope};

/// The residual pair of R3GAN: no normalisation, grouped 3x3 convolutions inside inverted bottlenecks, bilinear
/// resampling, and an initialization under which every block begins as the identity.
pub struct Residual;

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

/// What kind of convolution, beside its channels.
struct Filter {
    size: usize,
    groups: usize,
    init: Init,
    bias: bool,
}

impl Filter {
    fn new(size: usize, init: Init) -> Self {
        Self { size, groups: 1, init, bias: false }
    }

    fn biased(self) -> Self {
        Self { bias: true, ..self }
    }
}

fn conv(scope: &Scope, name: &str, x: &Tensor, c_out: usize, filter: Filter) -> Tensor {
    let scope = scope.child(name);
    let _at = scope.enter();
    let c_in = x.shape().last().copied().unwrap_or(0);
    let Filter { size, groups, init, bias } = filter;
    let weight = scope.weight("weight", &[size, size, c_in / groups.max(1), c_out], init, FanRule::Forward);
    let y = x.conv2d(&weight, ConvOptions::default().pad(size / 2).groups(groups));
    if bias { y + scope.param("bias", &[c_out], Init::Zeros) } else { y }
}

/// x + c(act(b(act(a(x))))): 1x1 up, grouped 3x3, 1x1 down. The last convolution begins at 0, and the others are scaled
/// by depth^(-1/4), so that depth does not change the size of the updates (Zhang et al. 2019, Fixup).
fn block(scope: &Scope, x: &Tensor, depth: usize, options: &Options) -> Tensor {
    let channels = x.shape().last().copied().unwrap_or(0);
    let wide = channels * options.number("expansion");
    let groups = (wide / options.number("group_size")).max(1);
    let scaled = gain() * (depth.max(1) as f64).powf(-0.25);
    let y = conv(scope, "expand", x, wide, Filter::new(1, he(scaled)).biased()).leaky_relu(SLOPE);
    let spatial = Filter { groups, ..Filter::new(3, he(scaled)) };
    let y = conv(scope, "spatial", &y, wide, spatial).leaky_relu(SLOPE);
    x + conv(scope, "project", &y, channels, Filter::new(1, Init::Zeros))
}

fn stages(options: &Options) -> Vec<(usize, usize)> {
    options.list("widths").iter().copied().zip(options.list("blocks").iter().copied()).collect()
}

impl Model for Residual {
    fn name(&self) -> &'static str {
        "residual"
    }
    fn about(&self) -> &'static str {
        "residual networks without normalisation, as R3GAN uses them; each stage doubles the resolution"
    }
    fn paper(&self) -> &'static str {
        "Huang et al. 2024 (R3GAN), section 4"
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
        if widths.len() > MAX_STAGES || blocks.iter().sum::<usize>() > MAX_BLOCKS {
            return Err(format!("at most {MAX_STAGES} stages and {MAX_BLOCKS} blocks in all are possible"));
        }
        for (width, count) in stages(options) {
            if count > 0 && width * expansion > group && !(width * expansion).is_multiple_of(group) {
                return Err(format!(
                    "a block of {} channels inside (width {width} x expansion {expansion}) does not divide into \
                     groups of {group}",
                    width * expansion
                ));
            }
        }
        Ok(())
    }
    fn generator(&self, scope: &Scope, latent: &Tensor, sample: &[usize], options: &Options) -> Tensor {
        let graph = latent.graph().clone();
        let stages = stages(options);
        let shrink = 1 << (stages.len() - 1);
        let [height, width, channels] = match sample {
            [h, w, c] if h.is_multiple_of(shrink) && w.is_multiple_of(shrink) => [h / shrink, w / shrink, *c],
            _ => {
                let message = format!("needs images whose sides are multiples of {shrink}, got {sample:?}");
                return graph.fail("residual generator", message);
            }
        };
        let depth: usize = stages.iter().map(|s| s.1).sum();
        let (batch, dim) = (latent.shape()[0], latent.shape()[1]);
        let base = {
            let scope = scope.child("basis");
            let _at = scope.enter();
            let init = Init::Normal { mean: 0.0, std: 1.0 / (dim as f64).sqrt() };
            let weight = scope.weight("weight", &[dim, height * width * stages[0].0], init, FanRule::Forward);
            latent.matmul(&weight).reshape(&[batch, height, width, stages[0].0])
        };
        let mut x = base;
        for (i, &(c, count)) in stages.iter().enumerate() {
            let stage = scope.child(&format!("stage{i}"));
            if i > 0 {
                let init = Init::Normal { mean: 0.0, std: 1.0 / (stages[i - 1].0 as f64).sqrt() };
                x = conv(&stage, "narrow", &x, c, Filter::new(1, init)).upsample_bilinear2();
            }
            for k in 0..count {
                x = block(&stage.child(&format!("block{k}")), &x, depth, options);
            }
        }
        conv(scope, "image", &x.leaky_relu(SLOPE), channels, Filter::new(3, he(1.0)).biased())
    }
    fn discriminator(&self, scope: &Scope, samples: &Tensor, options: &Options) -> Tensor {
        let stages = stages(options);
        let depth: usize = stages.iter().map(|s| s.1).sum();
        let last = stages.len() - 1;
        let mut x = conv(scope, "image", samples, stages[last].0, Filter::new(3, he(gain())).biased())
            .leaky_relu(SLOPE);
        for (i, &(c, count)) in stages.iter().enumerate().rev() {
            let stage = scope.child(&format!("stage{i}"));
            if i < last {
                let init = Init::Normal { mean: 0.0, std: 1.0 / (stages[i + 1].0 as f64).sqrt() };
                x = conv(&stage, "widen", &x.avg_pool2d(2, 2, 0), c, Filter::new(1, init));
            }
            for k in 0..count {
                x = block(&stage.child(&format!("block{k}")), &x, depth, options);
            }
        }
        let shape = x.shape();
        if x.is_poisoned() || shape.len() != 4 {
            return x;
        }
        let [batch, height, width, channels] = [shape[0], shape[1], shape[2], shape[3]];
        // A depthwise convolution over the whole remaining image, then one number.
        let pooled = {
            let scope = scope.child("basis");
            let _at = scope.enter();
            let weight = scope.weight("weight", &[height, width, 1, channels], he(1.0), FanRule::Forward);
            x.conv2d(&weight, ConvOptions::default().groups(channels)).reshape(&[batch, channels])
        };
        scope.expose_features(&pooled);
        let scope = scope.child("logit");
        let _at = scope.enter();
        let init = Init::Normal { mean: 0.0, std: 1.0 / (channels as f64).sqrt() };
        let weight = scope.weight("weight", &[channels, 1], init, FanRule::Forward);
        pooled.matmul(&weight) + scope.param("bias", &[1], Init::Zeros)
    }
}
