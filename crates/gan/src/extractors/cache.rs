//! Where trained classifiers are kept between commands: files named by what they depend on.

use super::layout::{Layout, Weights};
use crate::checkpoint::write_atomically;
use crate::error::Error;
use ganymede_graph::TensorType;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Environment variable that names the folder.
pub const VARIABLE: &str = "GANYMEDE_CACHE";

/// The folder: `$GANYMEDE_CACHE`, else `$XDG_CACHE_HOME/ganymede`, else `~/.cache/ganymede`; `None` where none is known.
pub fn folder() -> Option<PathBuf> {
    let named = |variable: &str| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
    named(VARIABLE)
        .or_else(|| named("XDG_CACHE_HOME").map(|path| path.join("ganymede")))
        .or_else(|| named("HOME").map(|path| path.join(".cache").join("ganymede")))
}

/// A trained classifier as it is kept.
pub struct Kept {
    pub layout: Layout,
    pub weights: Weights,
    pub accuracy: Option<f64>,
}

/// Metadata keys.
const LAYOUT: &str = "ganymede-classifier";
const ACCURACY: &str = "accuracy";
const SUM: &str = "blake3";

/// Writes a classifier, whole or not at all.
pub fn store(path: &Path, kept: &Kept) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "make the folder"))?;
    }
    let bytes: Vec<(&str, &TensorType, Vec<u8>)> = kept
        .weights
        .iter()
        .map(|(name, ty, values)| (name.as_str(), ty, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let refused = |e: safetensors::SafeTensorError| Error::Refused(format!("{}: {e}", path.display()));
    let mut views = Vec::with_capacity(bytes.len());
    for (name, ty, bytes) in &bytes {
        views.push((*name, TensorView::new(Dtype::F32, ty.shape.clone(), bytes).map_err(refused)?));
    }
    let mut metadata = HashMap::from([
        (LAYOUT.to_string(), kept.layout.text()),
        (SUM.to_string(), sum(&kept.layout, &kept.weights)),
    ]);
    if let Some(accuracy) = kept.accuracy {
        metadata.insert(ACCURACY.into(), accuracy.to_string());
    }
    let file = safetensors::serialize(views, Some(metadata)).map_err(refused)?;
    write_atomically(path, &file).map_err(Error::io(path, "write the classifier"))
}

fn sum(layout: &Layout, weights: &Weights) -> String {
    super::layout::hash(&layout.text(), weights)
}

/// What a file of [`store`] holds; `Ok(None)` of a safetensors file that something else wrote, and what is wrong with one
/// that is damaged.
pub fn read(bytes: &[u8]) -> Result<Option<Kept>, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let Some(layout) = metadata.get(LAYOUT) else { return Ok(None) };
    let layout: Layout = serde_json::from_str(layout).map_err(|e| format!("its layout: {e}"))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let mut weights = Weights::new();
    for spec in layout.params().map_err(|e| e.to_string())?.iter() {
        weights.push((spec.name.clone(), spec.ty.clone(), floats(&tensors, &spec.name, &spec.ty.shape)?));
    }
    if metadata.get(SUM) != Some(&sum(&layout, &weights)) {
        return Err("its checksum does not match".into());
    }
    let accuracy = metadata.get(ACCURACY).and_then(|a| a.parse().ok());
    Ok(Some(Kept { layout, weights, accuracy }))
}

/// The values of a f32 tensor of this shape.
fn floats(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
    let tensor = tensors.tensor(name).map_err(|_| format!("tensor `{name}` is missing"))?;
    if tensor.dtype() != Dtype::F32 {
        return Err(format!("tensor `{name}` has type {:?}, expected F32", tensor.dtype()));
    }
    if shape != tensor.shape() {
        return Err(format!("tensor `{name}` has shape {:?}, expected {shape:?}", tensor.shape()));
    }
    Ok(tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}
