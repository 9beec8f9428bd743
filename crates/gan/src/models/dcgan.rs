use super::sizes::{image, sides, some_halvings};
use super::{Model, OptionSpec, Options};
use crate::networks::Side;
use ganymede_graph::Tensor;
use ganymede_nn::layers::{
    BatchNorm, Condition, ConditionalBatchNorm, ConvLayer, ConvTransposeLayer, batch_norm,
    conditional_batch_norm, conv, conv_transpose, embedding,
};
use ganymede_nn::{Init, Scope};

/// The pair of Radford, Metz, Chintala 2015 as PyTorch's examples have it: 4x4 convolutions of stride 2 between the
/// image and a base of at least 4 pixels, one convolution over the whole base at either end, batch normalisation
/// between. `channels` beside the image, twice as many at each halving, `max_channels` at most.
///
/// With classes the generator's normalisations have a gain and a bias a class, and the logit gains the product of the
/// last features, summed over pixels, with a vector of the class (Miyato, Koyama 2018).
pub struct Dcgan;

const NAME: &str = "dcgan";
const SLOPE: f64 = 0.2;
const WEIGHTS: Init = Init::Normal { mean: 0.0, std: 0.02 };
const SCALE: Init = Init::Normal { mean: 1.0, std: 0.02 };

/// Channels of each stage between the image and the base, the base first.
fn widths(count: usize, options: &Options) -> Vec<usize> {
    let (channels, most) = (options.number("channels"), options.number("max_channels"));
    (0..count).rev().map(|i| channels.saturating_mul(1 << i).min(most)).collect()
}

fn generator_norm(scope: &Scope, x: &Tensor) -> Tensor {
    match scope.labels() {
        None => batch_norm(scope, x, BatchNorm::dcgan()),
        Some(_) => {
            let condition = Condition::Classes { gain: SCALE };
            conditional_batch_norm(scope, x, condition, ConditionalBatchNorm::default())
        }
    }
}

impl Model for Dcgan {
    fn name(&self) -> &'static str {
        NAME
    }
    fn about(&self) -> &'static str {
        "4x4 convolutions of stride 2 and batch normalisation: the classic pair, small and quick"
    }
    fn paper(&self) -> &'static str {
        "Radford, Metz, Chintala 2015 (DCGAN), section 3; widths of pytorch/examples"
    }
    fn options(&self) -> &'static [OptionSpec] {
        &[
            OptionSpec {
                key: "channels",
                about: "channels beside the image; each halving has twice as many",
                default: &[64],
            },
            OptionSpec { key: "max_channels", about: "most channels of a layer", default: &[512] },
            OptionSpec {
                key: "batch_norm",
                about: "1: the discriminator normalises over the batch; 0: it does not, as gradient penalties need, and has \
                        biases instead",
                default: &[1],
            },
        ]
    }
    fn check(&self, options: &Options) -> Result<(), String> {
        options.check_single("channels")?;
        options.check_single("max_channels")?;
        options.check_flags(&["batch_norm"])?;
        if options.number("channels") == 0 || options.number("max_channels") == 0 {
            return Err("`channels` and `max_channels` must be at least 1".into());
        }
        Ok(())
    }
    fn normalizes_batch(&self, side: Side, options: &Options) -> bool {
        match side {
            Side::Generator => true,
            Side::Discriminator => options.number("batch_norm") == 1,
        }
    }
    fn generator(&self, scope: &Scope, latent: &Tensor, sample: &[usize], options: &Options) -> Tensor {
        let graph = scope.graph();
        let shape = image(graph, NAME, sample)
            .and_then(|[h, w, c]| Ok(([h, w], c, some_halvings(graph, NAME, [h, w])?)));
        let ([height, width], channels, count) = match shape {
            Ok(shape) => shape,
            Err(poisoned) => return poisoned,
        };
        let [batch, dim] = latent.shape()[..] else {
            return graph.fail(NAME, format!("takes latents [N, dim], got {}", latent.ty()));
        };
        let mut x = latent.reshape(&[batch, 1, 1, dim]);
        for (i, c) in widths(count, options).into_iter().enumerate() {
            let layer = match i {
                0 => ConvTransposeLayer {
                    kernel: [height >> count, width >> count],
                    ..ConvTransposeLayer::new(c, 1)
                },
                _ => ConvTransposeLayer::new(c, 4).stride(2).pad(1),
            };
            x = conv_transpose(&scope.child(&format!("up{i}")), &x, layer.no_bias().init(WEIGHTS));
            x = generator_norm(&scope.child(&format!("norm{i}")), &x).relu();
        }
        let layer = ConvTransposeLayer::new(channels, 4).stride(2).pad(1).no_bias().init(WEIGHTS);
        conv_transpose(&scope.child("image"), &x, layer).tanh()
    }
    fn discriminator(&self, scope: &Scope, samples: &Tensor, options: &Options) -> Tensor {
        let graph = scope.graph();
        let shape =
            sides(graph, NAME, samples).and_then(|sides| Ok((sides, some_halvings(graph, NAME, sides)?)));
        let ([height, width], count) = match shape {
            Ok(shape) => shape,
            Err(poisoned) => return poisoned,
        };
        // With no normalization behind them, weights from N(0, .02) shrink what passes through them layer by layer, and without
        // biases the logit of the mid-grey image is 0 whatever they are. This gain keeps the variance (He et al. 2015,
        // equation 15).
        let plain = Init::HeNormal { gain: (2.0 / (1.0 + SLOPE * SLOPE)).sqrt() };
        let normalized = options.number("batch_norm") == 1;
        let begun = |layer: ConvLayer| match normalized {
            true => layer.no_bias().init(WEIGHTS),
            false => layer.init(plain),
        };
        let mut x = samples.clone();
        for (i, c) in widths(count, options).into_iter().rev().enumerate() {
            let layer = begun(ConvLayer::new(c, 4).stride(2).pad(1));
            x = conv(&scope.child(&format!("down{i}")), &x, layer);
            if i > 0 && normalized {
                x = batch_norm(&scope.child(&format!("norm{i}")), &x, BatchNorm::dcgan());
            }
            x = x.leaky_relu(SLOPE);
        }
        scope.expose_features(&x);
        let layer = ConvLayer { kernel: [height >> count, width >> count], ..ConvLayer::new(1, 1) };
        let whole = conv(&scope.child("logit"), &x, begun(layer));
        if whole.is_poisoned() {
            return whole;
        }
        let batch = whole.shape()[0];
        let whole = whole.reshape(&[batch, 1]);
        let Some(labels) = scope.labels() else { return whole };
        let features = x.sum(&[1, 2]);
        let width = features.shape()[1];
        let of_class = embedding(&scope.child("classes"), &labels.index, labels.classes, width, WEIGHTS);
        whole + (features * of_class).sum(&[1]).reshape(&[batch, 1])
    }
}
