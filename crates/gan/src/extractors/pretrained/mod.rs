//! Networks that others have trained, whose weights the user gives: a network is one file and one line in [`NETWORKS`], and is
//! told by the names and shapes of a file's tensors, which are the published ones.

mod dinov2;
mod inception;
mod inception_fid;
mod inception_torchvision;
pub mod resample;
pub mod tensors;
mod vgg16_lpips;

use super::layout::{Weights, hash};
use super::runner::{Runner, whole};
use super::{Distance, Extracted, Extractor, Wanted};
use crate::error::Error;
use ganymede_cpu::Executor;
use ganymede_graph::{Function, Graph, GraphError, Tensor, TensorType};
use ganymede_nn::{Mode, Params, Scope};
use resample::{Resize, Resizer};
use std::sync::Arc;
use tensors::Tensors;

/// Raised when the same weights and images get other features.
const VERSION: u32 = 1;

/// What bytes of each channel become: (b - mean) / deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Byte that becomes 0.
    pub mean: [f64; 3],
    /// Distance from there that becomes 1.
    pub deviation: [f64; 3],
}

impl Range {
    /// 2 b / 255 - 1.
    pub const SIGNED: Self = Self { mean: [127.5; 3], deviation: [127.5; 3] };
}

/// What a network makes of images.
pub struct Built {
    /// `[N, dimensions]`.
    pub features: Tensor,
    /// `[N, classes]`, where it is a classifier.
    pub logits: Option<Tensor>,
}

/// A network whose weights are published.
pub trait Network: Sync {
    /// As scores name it.
    fn name(&self) -> &'static str;
    /// A sentence or two for people choosing.
    fn about(&self) -> &'static str;
    /// Authors and year.
    fn paper(&self) -> &'static str;
    /// Where its weights are, and under which licence.
    fn published(&self) -> &'static str;
    /// The tensors that it is told by, in words.
    fn expects(&self) -> &'static str;
    /// Whether tensors are its own.
    fn recognises(&self, tensors: &Tensors) -> bool;
    /// Side of the square images that it takes; `None` of any size.
    fn side(&self) -> Option<usize>;
    /// Smallest side of images that it takes at their own size.
    fn smallest(&self) -> usize {
        1
    }
    /// What becomes of bytes.
    fn range(&self) -> Range;
    /// The same beside PyTorch's resizer, where the program that uses it scales otherwise.
    fn range_of_pytorch(&self) -> Range {
        self.range()
    }
    /// Images of a height and width at once: as many as keep all cores busy without gigabytes of intermediate values.
    fn batch(&self, size: [usize; 2]) -> usize;
    /// The values of one of its parameters, by name and shape here.
    ///
    /// # Errors
    /// What of it is missing or of another shape.
    fn parameter(&self, tensors: &Tensors, name: &str, shape: &[usize]) -> Result<Vec<f32>, String>;
    /// Of images `[N, H, W, 3]` in its range.
    fn build(&self, scope: &Scope, images: &Tensor) -> Built;
    /// Length of a feature vector.
    fn dimensions(&self) -> usize;
    /// Classes that it tells apart.
    fn classes(&self) -> Option<usize> {
        None
    }
    /// Distances `[N, 1]` of pairs of images in its range, where it has learnt one.
    fn distance(&self, _scope: &Scope, _a: &Tensor, _b: &Tensor) -> Option<Tensor> {
        None
    }
}

/// Every network.
pub const NETWORKS: &[&dyn Network] = &[
    &inception_fid::InceptionFid,
    &inception_torchvision::InceptionTorchvision,
    &vgg16_lpips::Vgg16Lpips,
    &dinov2::DinoV2,
];

/// The network that tensors belong to.
pub fn recognise(tensors: &Tensors) -> Option<&'static dyn Network> {
    NETWORKS.iter().copied().find(|network| network.recognises(tensors))
}

/// What files of weights are known, one a line.
pub fn known() -> String {
    let lines: Vec<String> =
        NETWORKS.iter().map(|network| format!("\n  {}: {}", network.name(), network.expects())).collect();
    lines.concat()
}

/// A tensor as published (`[out, in, rows, columns]` of convolutions, `[out, in]` of dense layers) in the order of this
/// program: `[rows, columns, in, out]` and `[in, out]`.
fn plain(tensors: &Tensors, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
    match *shape {
        [rows, columns, inputs, outputs] => {
            let values = tensors.floats(name, &[outputs, inputs, rows, columns])?;
            let at = |i: usize| {
                let (o, rest) = (i % outputs, i / outputs);
                (o * inputs + rest % inputs) * rows * columns + rest / inputs
            };
            Ok((0..values.len()).map(|i| values[at(i)]).collect())
        }
        [inputs, outputs] => {
            let values = tensors.floats(name, &[outputs, inputs])?;
            Ok((0..values.len()).map(|i| values[i % outputs * inputs + i / outputs]).collect())
        }
        _ => tensors.floats(name, shape),
    }
}

/// Images of a data set as a network takes them.
struct Input {
    shape: [usize; 3],
    to: [usize; 2],
    resize: Option<Resize>,
    range: Range,
    /// What was done, for reports.
    about: String,
}

impl Input {
    fn new(network: &dyn Network, shape: &[usize], form: Resizer) -> Result<Self, String> {
        let name = network.name();
        let [h, w, c] = *shape else {
            return Err(format!("{name} takes images, samples have shape {shape:?}: use --extractor pixels"));
        };
        if c != 1 && c != 3 {
            return Err(format!(
                "{name} takes grey or RGB images, samples have {c} channels: name data with 1 or 3 channels, or use \
                 --extractor random-conv"
            ));
        }
        let small = network.smallest();
        if h.min(w) < small {
            return Err(format!(
                "{name} takes images of {small}x{small} pixels at least, samples have {h}x{w}"
            ));
        }
        let to = network.side().map_or([h, w], |side| [side, side]);
        let resize = (to != [h, w]).then(|| Resize::new(form, [h, w], to, c));
        let pytorch = form == Resizer::LegacyPytorch;
        let range = if pytorch { network.range_of_pytorch() } else { network.range() };
        let mut about = match &resize {
            Some(_) => format!("{} ({}), {h}x{w} to {}x{}", form.name(), form.about(), to[0], to[1]),
            None => "none: samples have the size that the network takes".into(),
        };
        if c == 1 {
            about.push_str("; grey repeated as red, green and blue");
        }
        Ok(Self { shape: [h, w, c], to, resize, range, about })
    }

    fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// One image in [-1, 1] to `[H, W, 3]` in the network's range; nothing is rounded to bytes here.
    fn fill(&self, image: &[f32], to: &mut [f32]) {
        let c = self.shape[2];
        let mut bytes: Vec<f32> = image.iter().map(|v| (v + 1.0) * 127.5).collect();
        if let Some(resize) = &self.resize {
            let mut resized = vec![0.0; self.to[0] * self.to[1] * c];
            resize.apply(&bytes, &mut resized);
            bytes = resized;
        }
        for (from, pixel) in bytes.chunks_exact(c).zip(to.chunks_exact_mut(3)) {
            for (i, value) in pixel.iter_mut().enumerate() {
                let byte = f64::from(from[if c == 1 { 0 } else { i }]);
                *value = ((byte - self.range.mean[i]) / self.range.deviation[i]) as f32;
            }
        }
    }
}

/// Images of a size as networks take them.
fn ty(images: usize, [h, w]: [usize; 2]) -> TensorType {
    TensorType::f32([images, h, w, 3])
}

/// The function that makes `features` and, of classifiers, `probabilities` of a batch of `samples` of that size in the
/// network's range; and the parameters it names.
///
/// # Errors
/// A layer does not fit the size.
pub fn features(
    network: &dyn Network,
    size: [usize; 2],
    batch: usize,
) -> Result<(Function, Params), GraphError> {
    let graph = Graph::new();
    let images = graph.feed("samples", ty(batch, size));
    let scope = Scope::root(&graph, "", Mode::eval());
    let built = network.build(&scope, &images);
    graph.output("features", &built.features);
    if let Some(logits) = built.logits {
        graph.output("probabilities", &logits.softmax());
    }
    Ok((graph.finish()?, scope.params()))
}

/// The function of distances, where the network has one.
fn distances(
    network: &dyn Network,
    size: [usize; 2],
    batch: usize,
) -> Result<Option<(Function, Params)>, GraphError> {
    let graph = Graph::new();
    let [a, b] = ["a", "b"].map(|name| graph.feed(name, ty(batch, size)));
    let scope = Scope::root(&graph, "", Mode::eval());
    let Some(distance) = network.distance(&scope, &a, &b) else { return Ok(None) };
    graph.output("distances", &distance);
    Ok(Some((graph.finish()?, scope.params())))
}

fn load(network: &dyn Network, tensors: &Tensors, params: &Params) -> Result<Weights, String> {
    let value = |name: &str, ty: &TensorType| network.parameter(tensors, name, &ty.shape);
    params.iter().map(|p| Ok((p.name.clone(), p.ty.clone(), value(&p.name, &p.ty)?))).collect()
}

/// The network of these tensors for the samples of a set, after a resizer.
///
/// # Errors
/// A tensor is missing or damaged, or the samples are no images that it can take.
pub fn open(
    network: &'static dyn Network,
    tensors: &Tensors,
    file: &str,
    form: Resizer,
    wanted: &mut Wanted<'_>,
) -> Result<Box<dyn Extractor>, Error> {
    wanted.watch.note(&format!("{file}: recognised as {} ({})", network.name(), network.paper()));
    let refused = |reason: String| Error::Refused(format!("{file}: {reason}"));
    let shape = wanted.train.shape().to_vec();
    let input = Input::new(network, &shape, form)
        .map_err(|reason| Error::Refused(format!("{file}: {reason} ({})", wanted.train.spec())))?;
    let batch = network.batch(input.to);
    let (function, params) = features(network, input.to, batch)?;
    let weights = load(network, tensors, &params).map_err(refused)?;
    let distance = match distances(network, input.to, batch)? {
        Some((function, params)) => Some((function, load(network, tensors, &params).map_err(refused)?)),
        None => None,
    };
    let what = format!("{} {VERSION}, {}, {:?}", network.name(), input.about, input.range);
    let hash = hash(&what, distance.as_ref().map_or(&weights, |(_, weights)| weights));
    let runner = Runner::batched(wanted.executor.clone(), &function, &weights, batch)?;
    let executor = wanted.executor.clone();
    Ok(Box::new(Pretrained { network, input, shape, hash, runner, distance, comparer: None, executor }))
}

/// A network with weights.
struct Pretrained {
    network: &'static dyn Network,
    input: Input,
    shape: Vec<usize>,
    hash: String,
    runner: Runner,
    /// Compiled once somebody asks for a distance.
    distance: Option<(Function, Weights)>,
    comparer: Option<Runner>,
    executor: Arc<Executor>,
}

impl Extractor for Pretrained {
    fn name(&self) -> &str {
        self.network.name()
    }

    fn hash(&self) -> &str {
        &self.hash
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dimensions(&self) -> usize {
        self.network.dimensions()
    }

    fn classes(&self) -> Option<usize> {
        self.network.classes()
    }

    fn resizer(&self) -> Option<&str> {
        Some(&self.input.about)
    }

    fn extract(&mut self, samples: &[f32]) -> Result<Extracted, Error> {
        let (input, size) = (&self.input, self.input.size());
        let count = whole(samples, size)?;
        let found =
            self.runner.each(count, &mut |_, image, to| input.fill(&samples[image * size..][..size], to))?;
        Ok(self.runner.extracted(found))
    }

    fn distance(&mut self) -> Option<&mut dyn Distance> {
        self.distance.is_some().then_some(self)
    }
}

impl Distance for Pretrained {
    fn distances(&mut self, a: &[f32], b: &[f32]) -> Result<Vec<f32>, Error> {
        let (input, size) = (&self.input, self.input.size());
        let count = whole(a, size)?;
        if a.len() != b.len() {
            return Err(Error::Refused(format!(
                "distances of pairs: {count} images on one side, {} on the other",
                b.len() / size
            )));
        }
        if self.comparer.is_none()
            && let Some((function, weights)) = &self.distance
        {
            let batch = self.network.batch(input.to);
            self.comparer = Some(Runner::batched(self.executor.clone(), function, weights, batch)?);
        }
        let Some(comparer) = &mut self.comparer else {
            return Err(Error::Refused(format!("{} has no distance of its own", self.network.name())));
        };
        let sides = [a, b];
        let found = comparer
            .each(count, &mut |side, image, to| input.fill(&sides[side][image * size..][..size], to))?;
        Ok(found.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_sound() {
        let mut names = std::collections::HashSet::new();
        for network in NETWORKS {
            let name = network.name();
            assert!(names.insert(name), "two networks are named {name}");
            assert!(network.about().len() > 40 && network.about().ends_with('.'), "{name}");
            assert!(network.paper().contains("20") && network.published().contains('('), "{name}");
            assert!(known().contains(name) && known().contains(network.expects()));
            // Each builds, for images of its own size or small ones.
            let side = network.side().unwrap_or(32);
            let (function, params) = features(*network, [side; 2], 1).unwrap();
            let width = function.ty(function.outputs[0].1).shape[1];
            assert_eq!((width, params.is_empty()), (network.dimensions(), false), "{name}");
            let logits = function.outputs.get(1).map(|(_, id)| function.ty(*id).shape[1]);
            assert_eq!(logits, network.classes(), "{name}");
        }
    }

    #[test]
    fn grey_is_repeated_and_nothing_is_rounded() {
        let network = NETWORKS[2];
        let input = Input::new(network, &[16, 16, 1], Resizer::Clean).unwrap();
        let image: Vec<f32> = (0..256).map(|i| i as f32 / 128.0 - 1.0).collect();
        let mut seen = vec![0.0; 256 * 3];
        input.fill(&image, &mut seen);
        // lpips: (x - shift) / scale of each channel.
        for (value, pixel) in image.iter().zip(seen.chunks_exact(3)) {
            let expected = [(value + 0.030) / 0.458, (value + 0.088) / 0.448, (value + 0.188) / 0.450];
            assert!(pixel.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{pixel:?} {expected:?}");
        }
        assert!(input.about.contains("none") && input.about.contains("grey"));
        for (shape, word) in [(&[2][..], "pixels"), (&[32, 32, 4], "4 channels"), (&[8, 32, 3], "16x16")] {
            let error = Input::new(network, shape, Resizer::Clean).err().unwrap();
            assert!(error.contains(word), "{error}");
        }
    }
}
