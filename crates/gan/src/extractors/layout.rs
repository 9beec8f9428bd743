//! Small convolutional classifiers: a list of convolutions, a dense layer whose outputs are the features, and logits.

use super::hash_of;
use ganymede_graph::{Function, Graph, GraphError, Tensor, TensorType};
use ganymede_nn::layers::{ConvLayer, DenseLayer, conv, dense, flatten};
use ganymede_nn::{Init, Mode, Params, Scope};
use serde::{Deserialize, Serialize};

/// Root of the parameter names.
pub const ROOT: &str = "C";

/// One convolution with as many zeros around the image as half its kernel, and a ReLU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convolution {
    /// Channels that it makes.
    pub channels: usize,
    /// Height and width of its kernel.
    pub kernel: usize,
    /// Step along both axes.
    pub stride: usize,
}

/// A classifier of images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Height, width, channels of what it takes.
    pub shape: [usize; 3],
    /// Its convolutions.
    pub convolutions: Vec<Convolution>,
    /// Length of a feature vector.
    pub features: usize,
    /// Classes.
    pub classes: usize,
}

/// Values of a network by name.
pub type Weights = Vec<(String, TensorType, Vec<f32>)>;

/// Length of a feature vector of classifiers that are trained here.
const FEATURES: usize = 96;
/// Sides that images are brought down to before the dense layer.
const SMALL: usize = 8;

impl Layout {
    /// The classifier that is trained on images of this shape: one convolution 5x5, then pairs of 3x3 that halve the image
    /// until it is at most 8 pixels wide, with more channels each time.
    pub fn trained(shape: [usize; 3], classes: usize) -> Self {
        let side = shape[0].max(shape[1]);
        let first = if side > 2 * SMALL { 2 } else { 1 };
        let mut convolutions = vec![Convolution { channels: 24, kernel: 5, stride: first }];
        let (mut side, mut width) = (side.div_ceil(first), 48);
        while side > SMALL {
            convolutions.push(Convolution { channels: width, kernel: 3, stride: 1 });
            convolutions.push(Convolution { channels: width * 4 / 3, kernel: 3, stride: 2 });
            (side, width) = (side.div_ceil(2), (2 * width).min(192));
        }
        Self { shape, convolutions, features: FEATURES, classes }
    }

    /// Features `[N, features]` and logits `[N, classes]` of images `[N, H, W, C]`.
    pub fn build(&self, scope: &Scope, images: &Tensor) -> (Tensor, Tensor) {
        let mut x = images.clone();
        let relu = Init::HeNormal { gain: std::f64::consts::SQRT_2 };
        for (i, c) in self.convolutions.iter().enumerate() {
            let layer = ConvLayer::new(c.channels, c.kernel).stride(c.stride).pad(c.kernel / 2).init(relu);
            x = conv(&scope.child(&format!("conv{}", i + 1)), &x, layer).relu();
        }
        let x = flatten(scope, &x);
        let features = dense(&scope.child("fc1"), &x, DenseLayer::new(self.features).init(relu)).relu();
        let logits = dense(&scope.child("fc2"), &features, DenseLayer::new(self.classes));
        (features, logits)
    }

    /// Features and probabilities of `count` samples.
    ///
    /// # Errors
    /// A layer does not fit the shape.
    pub fn function(&self, count: usize) -> Result<Function, GraphError> {
        let graph = Graph::new();
        let images = graph.feed("samples", TensorType::f32([&[count], &self.shape[..]].concat()));
        let (features, logits) = self.build(&Scope::root(&graph, ROOT, Mode::eval()), &images);
        graph.output("features", &features);
        graph.output("probabilities", &logits.softmax());
        graph.finish()
    }

    /// Its parameters.
    ///
    /// # Errors
    /// A layer does not fit the shape.
    pub fn params(&self) -> Result<Params, GraphError> {
        let graph = Graph::new();
        let images = graph.feed("samples", TensorType::f32([&[1], &self.shape[..]].concat()));
        let scope = Scope::root(&graph, ROOT, Mode::eval());
        let (_, logits) = self.build(&scope, &images);
        graph.output("logits", &logits);
        graph.finish()?;
        Ok(scope.params())
    }

    /// As text.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// BLAKE3 sum of a network: what it is, and its values.
pub(super) fn hash(what: &str, weights: &Weights) -> String {
    let values = weights.iter().flat_map(|(name, ty, values)| {
        [
            name.as_bytes().to_vec(),
            ty.to_string().into_bytes(),
            bytemuck::cast_slice::<f32, u8>(values).to_vec(),
        ]
    });
    let parts: Vec<Vec<u8>> = std::iter::once(what.as_bytes().to_vec()).chain(values).collect();
    hash_of(parts.iter().map(Vec::as_slice))
}
