//! What an extractor made of real samples, features or their Gaussian alone, kept between commands under a hash of all that it
//! depends on.

use super::collect::Collected;
use crate::checkpoint::write_atomically;
use crate::error::Error;
use crate::extractors::hash_of;
use ganymede_metrics::{Features, Gaussian};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Raised when the same samples get other figures.
const VERSION: &str = "ganymede reference 2";
/// The same of a Gaussian alone.
const VERSION_OF_GAUSSIAN: &str = "ganymede reference Gaussian 3";
/// Most bytes of features, or of a Gaussian, that are kept.
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
    /// The file in a cache folder, of features or of their Gaussian.
    pub fn path(&self, cache: &Path, features: bool) -> PathBuf {
        let version = if features { VERSION } else { VERSION_OF_GAUSSIAN };
        let (count, seed) = ((self.count as u64).to_le_bytes(), self.seed.to_le_bytes());
        let parts = [version.as_bytes(), self.extractor.as_bytes(), &self.data, &count, &seed];
        cache.join("references").join(format!("{}.safetensors", hash_of(parts)))
    }
}

/// A tensor of a file by name.
type Part = (&'static str, Dtype, Vec<usize>, Vec<u8>);

fn bytes(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

fn double_bytes(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// What a file holds, in its order.
fn parts(seen: &Collected) -> Vec<Part> {
    let count = seen.count;
    let rows = |bytes: &[u8]| vec![count, bytes.len() / 4 / count.max(1)];
    let mut parts: Vec<Part> = if seen.whole() {
        // Features are f32 as extractors make them, and so are probabilities: nothing is lost.
        let features = bytes(seen.features.values().iter().map(|&v| v as f32));
        vec![("features", Dtype::F32, rows(&features), features)]
    } else {
        let [mean, factor] = [seen.gaussian.mean(), seen.gaussian.factor()].map(double_bytes);
        let dimensions = seen.gaussian.dimensions();
        let rank = seen.gaussian.factor().len() / dimensions;
        vec![
            ("mean", Dtype::F64, vec![dimensions], mean),
            ("factor", Dtype::F64, vec![rank, dimensions], factor),
        ]
    };
    if let Some(probabilities) = &seen.probabilities {
        let probabilities = bytes(probabilities.iter().map(|&v| v as f32));
        parts.push(("probabilities", Dtype::F32, rows(&probabilities), probabilities));
    }
    if let Some(labels) = &seen.labels {
        let labels = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        parts.push(("labels", Dtype::I32, vec![count], labels));
    }
    parts
}

/// Writes what was seen, whole or not at all; sets too large are left out.
///
/// # Errors
/// The file system's own.
pub fn store(path: &Path, seen: &Collected) -> Result<(), Error> {
    let parts = parts(seen);
    if parts.iter().map(|(_, _, _, bytes)| bytes.len()).sum::<usize>() > MOST {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "make the folder"))?;
    }
    let refused = |e: safetensors::SafeTensorError| Error::Refused(format!("{}: {e}", path.display()));
    let mut views = Vec::new();
    for (name, kind, shape, bytes) in &parts {
        views.push((*name, TensorView::new(*kind, shape.clone(), bytes).map_err(refused)?));
    }
    let sum = hash_of(parts.iter().map(|(_, _, _, bytes)| bytes.as_slice()));
    let metadata = HashMap::from([(SUM.to_string(), sum)]);
    let file = safetensors::serialize(views, Some(metadata)).map_err(refused)?;
    write_atomically(path, &file).map_err(Error::io(path, "write the features"))
}

/// What was kept, the features themselves where they are needed; what is wrong with a file that is damaged.
pub fn load(path: &Path, key: &Key<'_>, whole: bool) -> Result<Collected, String> {
    let file = std::fs::read(path).map_err(|e| e.to_string())?;
    let (_, header) = SafeTensors::read_metadata(&file).map_err(|e| e.to_string())?;
    let told = header.metadata().as_ref().and_then(|m| m.get(SUM).cloned());
    let tensors = SafeTensors::deserialize(&file).map_err(|e| e.to_string())?;
    let raw = |name: &str| tensors.tensor(name).map(|t| t.data().to_vec()).ok();
    let order = ["features", "mean", "factor", "probabilities", "labels"].map(raw);
    if told != Some(hash_of(order.iter().flatten().map(Vec::as_slice))) {
        return Err("its checksum does not match".into());
    }
    let [features, mean, factor, probabilities, labels] = order;
    let values = |bytes: &[u8]| -> Vec<f64> {
        bytes.as_chunks().0.iter().map(|&word| f64::from(f32::from_le_bytes(word))).collect()
    };
    let doubles = |bytes: &[u8]| -> Vec<f64> {
        bytes.as_chunks().0.iter().map(|&word| f64::from_le_bytes(word)).collect()
    };
    let (features, gaussian) = match (features, mean, factor) {
        (Some(features), _, _) => {
            let values = values(&features);
            let dimensions = values.len() / key.count.max(1);
            let features = Features::new(values, dimensions).map_err(|e| e.to_string())?;
            if features.rows() != key.count {
                return Err(format!("it holds {} samples, not {}", features.rows(), key.count));
            }
            let gaussian = Gaussian::of(&features).map_err(|e| e.to_string())?;
            (features, gaussian)
        }
        (None, Some(mean), Some(factor)) if !whole => {
            let gaussian = Gaussian::from_factor(key.count, doubles(&mean), doubles(&factor))
                .map_err(|e| e.to_string())?;
            (Features::empty(gaussian.dimensions()).map_err(|e| e.to_string())?, gaussian)
        }
        (None, _, _) => return Err("it does not hold what it should, features or their Gaussian".into()),
    };
    Ok(Collected {
        count: key.count,
        gaussian,
        features,
        probabilities: probabilities.map(|p| values(&p)),
        labels: labels.map(|l| l.as_chunks().0.iter().map(|&word| i32::from_le_bytes(word)).collect()),
        kept: Vec::new(),
    })
}
