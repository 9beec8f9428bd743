//! Named models as graphs, with parameters that are functions of their names.

use ganymede::models::{self, Model, Options};
use ganymede_graph::{Array, DType, Graph, Tensor, TensorType};
use ganymede_nn::{ClassLabels, ParamSpec};
use std::collections::HashMap;

/// A named model whose options are given as TOML.
pub fn model(name: &str, options: &str) -> (&'static dyn Model, Options) {
    let model = models::find(name).unwrap();
    let options =
        Options::resolve(model, &options.parse().unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
    (model, options)
}

/// The feed of a batch's classes.
pub fn labels(graph: &Graph, batch: usize, classes: Option<usize>) -> Option<ClassLabels> {
    let index = |_| graph.feed("labels", TensorType::new(DType::I32, [batch]));
    classes.map(|classes| ClassLabels { index: index(classes), classes })
}

/// Values in (-1, 1) that depend on the name and on their index alone: `uniform` of tools/goldens_style.py.
pub fn uniform(name: &str, count: usize) -> Vec<f64> {
    let hash = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3);
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    (1..=count as u64)
        .map(|i| {
            let mut x = i.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(seed);
            x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            x ^= x >> 31;
            (x >> 40) as f64 / f64::from(1u32 << 23) - 1.0 + 0.5f64.powi(24)
        })
        .collect()
}

/// The value of a parameter of `golden`: `values` of tools/goldens_style.py.
pub fn parameter(golden: &str, spec: &ParamSpec) -> Vec<f64> {
    let (name, shape) = (format!("{golden}/{}", spec.name), &spec.ty.shape);
    let last = spec.name.rsplit('/').next().unwrap();
    let fan_in = shape.iter().rev().skip(1).product::<usize>() as f64;
    let (scale, shift) = match (last, shape.len()) {
        ("running_var", _) => (0.5, 1.0),
        (_, 1) if last == "weight" || name.ends_with("style/bias") => (0.25, 1.0),
        (_, 1) => (0.25, 0.0),
        _ if golden.contains("stylegan2") && name.contains("mapping/dense") => (170.0, 0.0),
        ("weight", _) if !golden.contains("stylegan2") => (1.7 / fan_in.sqrt(), 0.0),
        _ => (1.7, 0.0),
    };
    uniform(&name, spec.ty.len()).into_iter().map(|u| shift + scale * u).collect()
}

/// Every parameter and buffer under its name.
pub fn parameters<'a>(
    golden: &str,
    specs: impl IntoIterator<Item = &'a ParamSpec>,
) -> HashMap<String, Array> {
    let array = |spec: &ParamSpec| Array::f32(&spec.ty.shape, parameter(golden, spec));
    specs.into_iter().map(|spec| (spec.name.clone(), array(spec))).collect()
}

/// <a, b> over whole tensors.
pub fn dot(pairs: impl Iterator<Item = (Tensor, Tensor)>) -> Tensor {
    pairs.map(|(a, b)| (a * b).sum_all()).reduce(|sum, more| sum + more).unwrap()
}
