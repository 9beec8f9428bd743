use super::tensors::Tensors;
use super::{Built, Network, Range};
use ganymede_graph::Tensor;
use ganymede_nn::layers::{ConvLayer, Pool, conv, max_pool};
use ganymede_nn::{Init, Scope};

/// Channels of the stages of VGG16 (Simonyan, Zisserman 2015, table 1, column D) and convolutions of each, all 3x3; a maximum
/// over 2x2 pixels lies between stages.
const STAGES: [(usize, usize); 5] = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)];
/// Added to lengths of feature vectors.
const EPS: f64 = 1e-10;
/// Smallest side whose image has a pixel left in the last stage.
const SMALLEST: usize = 16;

/// VGG16 without its dense layers, with the weights of LPIPS.
pub(super) struct Vgg16Lpips;

/// What torchvision numbers a convolution (`features.N`), of a stage and its place there.
fn number(stage: usize, place: usize) -> usize {
    // A convolution and its ReLU are two entries, the maximum between stages is one.
    STAGES[..stage].iter().map(|(_, convolutions)| 2 * convolutions + 1).sum::<usize>() + 2 * place
}

/// Names of a convolution in torchvision's file and in that of the `lpips` package.
fn names(stage: usize, place: usize) -> [String; 2] {
    let number = number(stage, place);
    [format!("features.{number}"), format!("net.slice{}.{number}", stage + 1)]
}

/// The features of the stages, unit vectors at each pixel (Zhang et al. 2018, section 3.1).
fn stages(scope: &Scope, images: &Tensor) -> Vec<Tensor> {
    let mut x = images.clone();
    let mut found = Vec::new();
    for (stage, (channels, convolutions)) in STAGES.into_iter().enumerate() {
        if stage > 0 {
            x = max_pool(scope, &x, Pool::tiles(2));
        }
        for place in 0..convolutions {
            let scope = scope.child(&format!("stage{stage}")).child(&format!("conv{place}"));
            x = conv(&scope, &x, ConvLayer::new(channels, 3).pad(1)).relu();
        }
        if x.is_poisoned() {
            return vec![x];
        }
        let shape = x.shape();
        let length = x.square().sum(&[3]).sqrt() + EPS;
        found.push(&x / length.broadcast_axes(&shape, &[0, 1, 2]));
    }
    found
}

impl Network for Vgg16Lpips {
    fn name(&self) -> &'static str {
        "vgg16-lpips"
    }

    fn about(&self) -> &'static str {
        "VGG16 with LPIPS weights, images at their own size: the perceptual distance, and as features the means of the five \
         stages' unit vectors, 1472 values."
    }

    fn paper(&self) -> &'static str {
        "Zhang et al. 2018, equation 1; Simonyan, Zisserman 2015"
    }

    fn published(&self) -> &'static str {
        "two files joined by a comma: vgg16-397923af.pth of download.pytorch.org/models (BSD-3-Clause; trained on ImageNet) and \
         lpips/weights/v0.1/vgg.pth of github.com/richzhang/PerceptualSimilarity (BSD-2-Clause); or the state dict of \
         lpips.LPIPS(net='vgg')"
    }

    fn expects(&self) -> &'static str {
        "features.28.weight (or net.slice5.28.weight) [512, 512, 3, 3] and lin4.model.1.weight [1, 512, 1, 1]"
    }

    fn recognises(&self, tensors: &Tensors) -> bool {
        let trunk = names(4, 2).iter().any(|name| tensors.has(&format!("{name}.weight"), &[512, 512, 3, 3]));
        trunk && tensors.has("lin4.model.1.weight", &[1, 512, 1, 1])
    }

    fn side(&self) -> Option<usize> {
        None
    }

    fn smallest(&self) -> usize {
        SMALLEST
    }

    /// lpips takes values in [-1, 1], then (x - shift) / scale with its `ScalingLayer`'s numbers.
    fn range(&self) -> Range {
        let of = |signed: [f64; 3], add: f64| signed.map(|v| (v + add) * 127.5);
        Range { mean: of([-0.030, -0.088, -0.188], 1.0), deviation: of([0.458, 0.448, 0.450], 0.0) }
    }

    fn batch(&self, [h, w]: [usize; 2]) -> usize {
        // 64 channels at full size: half a million pixels are 128 MiB of each value that lives.
        ((1 << 19) / (h * w)).clamp(4, 64)
    }

    fn parameter(&self, tensors: &Tensors, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let parts: Vec<&str> = name.split('/').collect();
        let digit = |text: &str, before: &str| text.strip_prefix(before).and_then(|n| n.parse().ok());
        match parts[..] {
            ["heads", stage] => super::plain(
                tensors,
                &format!("{}.model.1.weight", stage.replace("stage", "lin")),
                &[1, 1, shape[0], 1],
            ),
            [stage, place, end] => {
                let (Some(stage), Some(place)) = (digit(stage, "stage"), digit(place, "conv")) else {
                    return Err(format!("`{name}` is no parameter of it"));
                };
                let [torchvision, lpips] = names(stage, place).map(|unit| format!("{unit}.{end}"));
                let there = if tensors.shape(&torchvision).is_some() { torchvision } else { lpips };
                super::plain(tensors, &there, shape)
            }
            _ => Err(format!("`{name}` is no parameter of it")),
        }
    }

    /// LPIPS compares vectors pixel by pixel; their means over the image are what there is of one image alone.
    fn build(&self, scope: &Scope, images: &Tensor) -> Built {
        let means: Vec<Tensor> = stages(scope, images)
            .into_iter()
            .map(|stage| if stage.is_poisoned() { stage } else { stage.mean(&[1, 2]) })
            .collect();
        let features = Tensor::concat(&means.iter().collect::<Vec<_>>(), 1);
        Built { features, logits: None }
    }

    fn dimensions(&self) -> usize {
        STAGES.iter().map(|(channels, _)| channels).sum()
    }

    /// Sum over stages of the mean over pixels of the weighted squared differences (equation 1).
    fn distance(&self, scope: &Scope, a: &Tensor, b: &Tensor) -> Option<Tensor> {
        let (a, b) = (stages(scope, a), stages(scope, b));
        let heads = scope.child("heads");
        let each = a.iter().zip(&b).enumerate().map(|(i, (a, b))| {
            if a.is_poisoned() || b.is_poisoned() {
                return a.clone();
            }
            let (n, h, w, channels) = (a.shape()[0], a.shape()[1], a.shape()[2], a.shape()[3]);
            let weights = heads.param(&format!("stage{i}"), &[channels], Init::Zeros);
            let apart = (a - b).square() * weights;
            apart.sum(&[1, 2, 3]).reshape(&[n, 1]) * (1.0 / (h * w) as f64)
        });
        each.reduce(|sum, stage| sum + stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn convolutions_have_torchvisions_numbers() {
        let all: Vec<usize> = STAGES
            .iter()
            .enumerate()
            .flat_map(|(stage, (_, convolutions))| (0..*convolutions).map(move |place| number(stage, place)))
            .collect();
        // The entries of `torchvision.models.vgg16().features` that are convolutions.
        assert_eq!(all, [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]);
        assert_eq!(names(2, 1), ["features.12".to_string(), "net.slice3.12".to_string()]);
    }
}
