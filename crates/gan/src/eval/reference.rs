//! What an extractor made of real samples, kept between commands under a hash of all that it depends on.

use super::collect::{Collected, fitted};
use crate::checkpoint::write_atomically;
use crate::error::Error;
use crate::extractors::hash_of;
use ganymede_metrics::Features;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Raised when the same samples get other figures.
const VERSION: &str = "ganymede reference 1";
/// Most bytes of features that are kept.
const MOST: usize = 512 << 20;
/// Metadata key of the sum over all values.
const SUM: &str = "blake3";

/// What features of real samples depend on.
pub struct Key<'a> {
    /// Sum of the extractor.
    pub extractor: &'a str,
    /// Sum of the set that the samples are of.
    pub data: [u8; 32],
    /// How many.
    pub count: usize,
    /// Seed of their choice.
    pub seed: u64,
}

impl Key<'_> {
    /// The file in a cache folder.
    pub fn path(&self, cache: &Path) -> PathBuf {
        let (count, seed) = ((self.count as u64).to_le_bytes(), self.seed.to_le_bytes());
        let parts = [VERSION.as_bytes(), self.extractor.as_bytes(), &self.data, &count, &seed];
        cache.join("references").join(format!("{}.safetensors", hash_of(parts)))
    }
}

fn bytes(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(f32::to_le_bytes).collect()
}

fn sum(parts: [&[u8]; 3]) -> String {
    hash_of(parts)
}

/// Writes what was seen, whole or not at all; sets too large are left out.
///
/// # Errors
/// The file system's own.
pub fn store(path: &Path, seen: &Collected) -> Result<(), Error> {
    // Features are f32 as extractors make them, and so are probabilities: nothing is lost.
    let features = bytes(seen.features.values().iter().map(|&v| v as f32));
    if features.len() > MOST {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "make the folder"))?;
    }
    let refused = |e: safetensors::SafeTensorError| Error::Refused(format!("{}: {e}", path.display()));
    let probabilities = bytes(seen.probabilities.iter().flatten().map(|&v| v as f32));
    let labels: Vec<u8> = seen.labels.iter().flatten().flat_map(|l| l.to_le_bytes()).collect();
    let shape = |bytes: &[u8]| vec![seen.count, bytes.len() / 4 / seen.count.max(1)];
    let mut views =
        vec![("features", TensorView::new(Dtype::F32, shape(&features), &features).map_err(refused)?)];
    if seen.probabilities.is_some() {
        let view = TensorView::new(Dtype::F32, shape(&probabilities), &probabilities).map_err(refused)?;
        views.push(("probabilities", view));
    }
    if seen.labels.is_some() {
        views.push(("labels", TensorView::new(Dtype::I32, vec![seen.count], &labels).map_err(refused)?));
    }
    let metadata = HashMap::from([(SUM.to_string(), sum([&features, &probabilities, &labels]))]);
    let file = safetensors::serialize(views, Some(metadata)).map_err(refused)?;
    write_atomically(path, &file).map_err(Error::io(path, "write the features"))
}

/// What was kept; what is wrong with a file that is damaged.
pub fn load(path: &Path, key: &Key<'_>) -> Result<Collected, String> {
    let file = std::fs::read(path).map_err(|e| e.to_string())?;
    let (_, header) = SafeTensors::read_metadata(&file).map_err(|e| e.to_string())?;
    let told = header.metadata().as_ref().and_then(|m| m.get(SUM).cloned());
    let tensors = SafeTensors::deserialize(&file).map_err(|e| e.to_string())?;
    let raw = |name: &str| tensors.tensor(name).map(|t| t.data().to_vec()).ok();
    let (features, probabilities, labels) =
        (raw("features").unwrap_or_default(), raw("probabilities"), raw("labels"));
    let none: Vec<u8> = Vec::new();
    let parts = [&features, probabilities.as_ref().unwrap_or(&none), labels.as_ref().unwrap_or(&none)];
    if told != Some(sum(parts.map(Vec::as_slice))) {
        return Err("its checksum does not match".into());
    }
    let words =
        |bytes: &[u8]| -> Vec<[u8; 4]> { bytes.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]).collect() };
    let values = |bytes: &[u8]| {
        words(bytes).into_iter().map(|b| f64::from(f32::from_le_bytes(b))).collect::<Vec<f64>>()
    };
    let values_of_features = values(&features);
    let dimensions = values_of_features.len() / key.count.max(1);
    let features = Features::new(values_of_features, dimensions).map_err(|e| e.to_string())?;
    if features.rows() != key.count {
        return Err(format!("it holds {} samples, not {}", features.rows(), key.count));
    }
    Ok(Collected {
        count: key.count,
        gaussian: fitted(&features).map_err(|e| e.to_string())?,
        features,
        probabilities: probabilities.map(|p| values(&p)),
        labels: labels.map(|l| words(&l).into_iter().map(i32::from_le_bytes).collect()),
        kept: Vec::new(),
    })
}
