//! Classifiers from a file of the user's: one that `ganymede` has kept, or a PyTorch state dict (safetensors or torch.save's) with
//! `conv1`, `conv2`, `conv3` (strides 2, 1, 2, as many zeros around as half the kernel, ReLU), `fc1` (ReLU; its outputs are
//! the features) and `fc2`, weights and biases.

use super::cache::{self, Kept};
use super::classifier::{ASKED, Trained};
use super::layout::{Convolution, Layout, ROOT, Weights};
use super::pretrained::{known, tensors::Tensors};
use super::{AskedOf, Extractor, Wanted, accuracy};
use crate::error::Error;
use ganymede_graph::TensorType;
use std::path::Path;

/// Steps of the convolutions of such a state dict, which weights do not show.
const STRIDES: [usize; 3] = [2, 1, 2];

/// Reads a classifier and, where the data are labelled with as many classes, asks how many of the held-out samples, or of
/// the others where none are held out, it tells rightly.
///
/// # Errors
/// The file cannot be read, is of another kind, or does not fit the shape of the samples.
pub fn open(path: &Path, tensors: &Tensors, wanted: &mut Wanted<'_>) -> Result<Box<dyn Extractor>, Error> {
    let refused = |reason: String| {
        Error::Refused(format!(
            "{}: not a classifier for samples of shape {:?}: {reason}",
            path.display(),
            wanted.train.shape()
        ))
    };
    let own = match path.extension().is_some_and(|end| end.eq_ignore_ascii_case("safetensors")) {
        true => {
            let bytes = std::fs::read(path).map_err(Error::io(path, "read the classifier"))?;
            cache::read(&bytes).map_err(&refused)?
        }
        false => None,
    };
    let kept = match own {
        Some(kept) => kept,
        None => state_dict(tensors, wanted.train.shape())
            .map_err(|reason| refused(format!("{reason}. Networks known here are{}", known())))?,
    };
    let known = kept.accuracy;
    let name =
        path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    let mut trained = Trained::new(name, kept, &wanted.executor)?;
    let (test, asked) = match &wanted.test {
        Some(test) => (test, AskedOf::HeldOut),
        None => (&wanted.train, AskedOf::Training),
    };
    let fits = trained.shape() == test.shape() && trained.classes() == test.classes().map(<[String]>::len);
    let (found, asked) = match fits {
        true => (Some(accuracy(&mut trained, test, ASKED)?), asked),
        false => (known, AskedOf::Before),
    };
    Ok(Box::new(trained.with_accuracy(found, asked)))
}

fn state_dict(tensors: &Tensors, shape: &[usize]) -> Result<Kept, String> {
    let [height, width, channels] = *shape else { return Err("it takes images".into()) };
    let dims = |name: &str| {
        let shape = tensors.shape(name).map(<[usize]>::to_vec);
        shape.ok_or_else(|| format!("tensor `{name}` is missing (it has {})", tensors.sample()))
    };
    let (mut convolutions, mut weights) = (Vec::new(), Weights::new());
    let (mut h, mut w, mut before) = (height, width, channels);
    let mut add = |name: &str, end: &str, shape: Vec<usize>, values: Vec<f32>| {
        weights.push((format!("{ROOT}/{name}/{end}"), TensorType::f32(shape), values));
    };
    for (i, stride) in STRIDES.into_iter().enumerate() {
        let name = format!("conv{}", i + 1);
        let [out, inputs, kernel, across] = dims(&format!("{name}.weight"))?[..] else {
            return Err(format!("`{name}.weight` is no convolution of images"));
        };
        if inputs != before || kernel != across || kernel == 0 {
            return Err(format!(
                "`{name}.weight` is {kernel}x{across} on {inputs} channels, expected a square one on {before}"
            ));
        }
        let values = tensors.floats(&format!("{name}.weight"), &[out, inputs, kernel, kernel])?;
        // [out, in, row, column] there, [row, column, in, out] here.
        let at = |i: usize| {
            let (o, rest) = (i % out, i / out);
            let (c, place) = (rest % inputs, rest / inputs);
            values[(o * inputs + c) * kernel * kernel + place]
        };
        let moved = (0..values.len()).map(at).collect();
        add(&name, "weight", vec![kernel, kernel, inputs, out], moved);
        add(&name, "bias", vec![out], tensors.floats(&format!("{name}.bias"), &[out])?);
        convolutions.push(Convolution { channels: out, kernel, stride });
        let pixels = |side: usize| ((side + 2 * (kernel / 2)).saturating_sub(kernel)) / stride + 1;
        (h, w, before) = (pixels(h), pixels(w), out);
    }
    let [features, inputs] = dims("fc1.weight")?[..] else { return Err("`fc1.weight` is no matrix".into()) };
    if inputs != h * w * before {
        return Err(format!(
            "`fc1.weight` has {inputs} inputs, images of {height}x{width} give {h}x{w} pixels of {before} channels there"
        ));
    }
    let values = tensors.floats("fc1.weight", &[features, inputs])?;
    // Columns go by channel, row, column there, and by row, column, channel here; and the matrix is transposed.
    let moved = (0..values.len()).map(|i| {
        let (o, from) = (i % features, i / features);
        let (c, place) = (from % before, from / before);
        values[o * inputs + c * h * w + place]
    });
    add("fc1", "weight", vec![inputs, features], moved.collect());
    add("fc1", "bias", vec![features], tensors.floats("fc1.bias", &[features])?);
    let [classes, inputs] = dims("fc2.weight")?[..] else { return Err("`fc2.weight` is no matrix".into()) };
    if inputs != features {
        return Err(format!("`fc2.weight` has {inputs} inputs, `fc1` makes {features}"));
    }
    let values = tensors.floats("fc2.weight", &[classes, inputs])?;
    let moved = (0..values.len()).map(|i| values[i % classes * features + i / classes]);
    add("fc2", "weight", vec![features, classes], moved.collect());
    add("fc2", "bias", vec![classes], tensors.floats("fc2.bias", &[classes])?);
    let layout = Layout { shape: [height, width, channels], convolutions, features, classes };
    Ok(Kept { layout, weights, accuracy: None })
}
