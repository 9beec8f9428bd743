use super::layout::{Weights, hash};
use super::runner::Runner;
use super::{BATCH, Extracted, Extractor, Kind, Wanted};
use crate::error::Error;
use ganymede_graph::{Function, Graph, GraphError, Tensor, TensorType};
use ganymede_nn::layers::{ConvLayer, conv};
use ganymede_nn::{Init, Mode, Params, Scope};

/// Raised when the same images get other features.
const VERSION: u32 = 1;
/// The key that its weights are drawn with.
const KEY: [u32; 2] = [0x7261_6e64, 0x636f_6e76];
/// Channels of the stages, each of which halves the image; the last repeats.
const WIDTHS: [usize; 3] = [32, 64, 64];
/// Most stages, and the side below which no more follow.
const STAGES: usize = 4;
const SMALL: usize = 4;

/// Convolutions with random weights, the same for everybody.
pub(super) struct RandomConv;

impl Kind for RandomConv {
    fn name(&self) -> &'static str {
        "random-conv"
    }

    fn about(&self) -> &'static str {
        "Convolutions with fixed random weights, for images without labels (Naeem et al. 2020, section 4, show that \
         untrained networks tell sets apart): means and deviations of each stage, and the last by quarters of the image."
    }

    fn open(&self, wanted: &mut Wanted<'_>) -> Result<Box<dyn Extractor>, Error> {
        let [h, w, c] = wanted.train.shape()[..] else {
            return Err(Error::Refused(format!(
                "extractor random-conv takes images, {} has samples of shape {:?}: use pixels",
                wanted.train.spec(),
                wanted.train.shape()
            )));
        };
        let (function, params) = function([h, w, c], BATCH)?;
        let weights: Weights =
            params.iter().map(|p| (p.name.clone(), p.ty.clone(), p.initialize(KEY))).collect();
        let hash = hash(&format!("random-conv {VERSION} {h}x{w}x{c}"), &weights);
        let runner = Runner::new(wanted.executor.clone(), &function, &weights)?;
        let dimensions = function.outputs.first().map_or(0, |(_, features)| function.ty(*features).shape[1]);
        Ok(Box::new(Random { runner, shape: vec![h, w, c], hash, dimensions }))
    }
}

pub(super) fn function(shape: [usize; 3], count: usize) -> Result<(Function, Params), GraphError> {
    let graph = Graph::new();
    let images = graph.feed("samples", TensorType::f32([&[count], &shape[..]].concat()));
    let scope = Scope::root(&graph, "R", Mode::eval());
    graph.output("features", &features(&scope, &images));
    Ok((graph.finish()?, scope.params()))
}

/// Over the image the mean and the deviation of each channel of each stage, and of the last stage the means of the
/// image's quarters in place of the whole mean: where something is, as well as whether.
fn features(scope: &Scope, images: &Tensor) -> Tensor {
    let mut x = images.clone();
    let mut found = Vec::new();
    let orthogonal = Init::Orthogonal { gain: std::f64::consts::SQRT_2 };
    for stage in 0..STAGES {
        let width = WIDTHS[stage.min(WIDTHS.len() - 1)];
        let layer = ConvLayer::new(width, 3).stride(2).pad(1).init(orthogonal);
        x = conv(&scope.child(&format!("conv{}", stage + 1)), &x, layer).leaky_relu(0.2);
        if x.is_poisoned() {
            return x;
        }
        // sqrt has no slope at 0, but nothing here is differentiated.
        found.push(x.variance(&[1, 2]).sqrt());
        let (h, w) = (x.shape()[1], x.shape()[2]);
        if stage + 1 == STAGES || h.min(w) <= SMALL {
            for (low, high) in [(0, h.div_ceil(2)), (h / 2, h)] {
                for (left, right) in [(0, w.div_ceil(2)), (w / 2, w)] {
                    found.push(x.slice(1, low, high).slice(2, left, right).mean(&[1, 2]));
                }
            }
            break;
        }
        found.push(x.mean(&[1, 2]));
    }
    Tensor::concat(&found.iter().collect::<Vec<_>>(), 1)
}

struct Random {
    runner: Runner,
    shape: Vec<usize>,
    hash: String,
    dimensions: usize,
}

impl Extractor for Random {
    fn name(&self) -> &str {
        "random-conv"
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn extract(&mut self, samples: &[f32]) -> Result<Extracted, Error> {
        self.runner.run(samples, self.shape.iter().product())
    }
}
