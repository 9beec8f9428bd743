//! Where reports are kept: the latest under the name that is given, those of other settings beside it.

use super::report::Report;
use crate::checkpoint::write_atomically;
use crate::error::Error;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What scores depend on, as places in a report; beside these the metrics, and which checkpoint it was.
const SETTINGS: [&str; 14] = [
    "/program",
    "/source/step",
    "/source/images",
    "/n",
    "/generated",
    "/data_hash",
    "/split",
    "/real",
    "/extractor/hash",
    "/quantization",
    "/resizer",
    "/seed",
    "/source/precision",
    "/source/standing_statistics",
];
/// Digits of a hash in a file's name.
const DIGITS: usize = 10;

/// What became of the report that was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// There was none of these settings.
    Nothing,
    /// It had the same settings, and the new one is in its place.
    Replaced,
    /// It had others, and is in this file now.
    Moved(PathBuf),
}

fn shortened(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..DIGITS].to_string()
}

/// The end of a file's name that stands for all that the scores of a report depend on; `None` of what is no report.
fn settings(report: &Value) -> Option<String> {
    let text =
        |at: &str| report.pointer(at).map(|value| value.as_str().map_or(value.to_string(), String::from));
    text("/data_hash")?;
    let named =
        |list: &str| report[list].as_array().into_iter().flatten().map(|one| one["metric"].to_string());
    let mut metrics: Vec<String> = named("scores").chain(named("skipped")).collect();
    metrics.sort();
    metrics.dedup();
    // A folder's path says nothing, since the report lies in it; checkpoints lie side by side.
    let checkpoint = text("/source/step").and_then(|_| {
        let path = PathBuf::from(text("/source/path")?);
        Some(path.file_name()?.to_string_lossy().into_owned())
    });
    let all: Vec<&Value> = SETTINGS.iter().map(|at| report.pointer(at).unwrap_or(&Value::Null)).collect();
    let hash = shortened(json!([all, metrics, checkpoint]).to_string().as_bytes());
    let step = text("/source/step").map_or(String::new(), |step| format!("step{step}-"));
    let count = ["/n", "/generated"].iter().find_map(|at| text(at).filter(|n| n != "null"));
    let count = count.map_or(String::new(), |n| format!("n{n}-"));
    let split =
        text("/split").filter(|split| ["train", "test"].contains(&split.as_str())).unwrap_or_default();
    Some(format!("{step}{count}{split}-{hash}"))
}

/// The file beside `path` whose name has this end.
fn beside(path: &Path, end: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{end}.json"))
}

impl Report {
    /// Writes it to `path`. A report there that has other settings, or a file that is none, goes on as
    /// `STEM-SETTINGS.json` beside it, so that each configuration has one report and the latest lies at `path`.
    ///
    /// # Errors
    /// The file system's own; what was there is then still there.
    pub fn keep(&self, path: &Path) -> Result<Before, Error> {
        let value = serde_json::to_value(self)
            .map_err(|e| Error::Refused(format!("{}: the report cannot be written: {e}", path.display())))?;
        let own = settings(&value).map(|end| beside(path, &end));
        let mut before = Before::Nothing;
        match std::fs::read(path) {
            Ok(bytes) => {
                let there = serde_json::from_slice(&bytes).ok().and_then(|there| settings(&there));
                let other = beside(path, &there.unwrap_or_else(|| shortened(&bytes)));
                if own.as_ref() == Some(&other) {
                    before = Before::Replaced;
                } else {
                    write_atomically(&other, &bytes)
                        .map_err(Error::io(&other, "write the earlier report"))?;
                    before = Before::Moved(other);
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(path, "read the earlier report")(error)),
        }
        self.write(path)?;
        // One of these settings that others had sent there is no longer the latest of its configuration.
        if let Some(own) = own.filter(|own| own.exists()) {
            std::fs::remove_file(&own).map_err(Error::io(&own, "remove the earlier report"))?;
        }
        Ok(before)
    }
}
