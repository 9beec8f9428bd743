//! What an evaluation found, and how.

use super::checks::Finding;
use super::source::SourceInfo;
use crate::checkpoint::write_atomically;
use crate::error::Error;
use crate::extractors::{AskedOf, Extractor};
use ganymede_metrics::stats::Interval;
use serde::Serialize;
use std::path::Path;

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// The lower, the better.
    Lower,
    /// The higher, the better.
    Higher,
    /// Neither: it is read beside others.
    Neither,
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub struct Score {
    /// The metric that it belongs to.
    pub metric: &'static str,
    /// What it is, with the extractor where there is one.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Which way it is better.
    pub better: Better,
    /// 95 % interval, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// What it is to be compared with, or how it was made: a few words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Further figures.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

impl Score {
    /// A figure alone.
    pub fn new(metric: &'static str, name: impl Into<String>, value: f64, better: Better) -> Self {
        let (name, note) = (name.into(), String::new());
        Self { metric, name, value, better, interval: None, note, detail: serde_json::Value::Null }
    }

    /// With the interval that holds it.
    pub fn within(self, interval: Interval) -> Self {
        Self { interval: Some([interval.low, interval.high]), ..self }
    }

    /// With a few words.
    pub fn noting(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// A metric that was not computed.
#[derive(Clone, Debug, Serialize)]
pub struct Skipped {
    /// Which.
    pub metric: &'static str,
    /// Why.
    pub reason: String,
}

/// A check that was not made, or not wholly.
#[derive(Clone, Debug, Serialize)]
pub struct Unchecked {
    /// Which.
    pub check: &'static str,
    /// Why.
    pub reason: String,
}

/// What the samples were seen through.
#[derive(Clone, Debug, Serialize)]
pub struct ExtractorInfo {
    /// Its name.
    pub name: String,
    /// BLAKE3 sum of everything that its features depend on.
    pub hash: String,
    /// Length of a feature vector.
    pub dimensions: usize,
    /// The share of real samples that it classifies rightly.
    pub accuracy: Option<f64>,
    /// Of which samples that is.
    pub accuracy_of: Option<AskedOf>,
}

impl ExtractorInfo {
    pub(super) fn of(extractor: &dyn Extractor) -> Self {
        Self {
            name: extractor.name().into(),
            hash: extractor.hash().into(),
            dimensions: extractor.dimensions(),
            accuracy: extractor.accuracy(),
            accuracy_of: extractor.asked_of(),
        }
    }
}

/// A figure with as many digits as mean something.
pub fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 1e5 || (v < 1e-3 && v > 0.0) => format!("{value:.3e}"),
        v if v >= 100.0 => format!("{value:.1}").trim_end_matches(".0").to_string(),
        _ => format!("{value:.4}"),
    }
}

/// Every score with what it depends on.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The program and its version.
    pub program: &'static str,
    /// Where the samples come from.
    pub source: SourceInfo,
    /// Samples of either side asked for; without, what each metric takes by custom.
    pub n: Option<usize>,
    /// Generated samples compared.
    pub generated: Option<usize>,
    /// The data as given.
    pub data: String,
    /// BLAKE3 sum of the part compared with.
    pub data_hash: String,
    /// Which part: train or test.
    pub split: &'static str,
    /// Real samples compared with.
    pub real: Option<usize>,
    /// What both were seen through.
    pub extractor: Option<ExtractorInfo>,
    /// How values were rounded before.
    pub quantization: &'static str,
    /// How sizes were changed before.
    pub resizer: String,
    /// Seed of latents and of the choice of samples.
    pub seed: u64,
    /// The figures.
    pub scores: Vec<Score>,
    /// Metrics that do not suit the samples.
    pub skipped: Vec<Skipped>,
    /// What the checks found, where they were made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Checks that do not suit the samples.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<Unchecked>,
    /// Seconds that it took.
    pub seconds: f64,
    /// When it was made, in seconds since 1970.
    pub time_unix: u64,
}

impl Report {
    /// Writes it as JSON, whole or not at all.
    ///
    /// # Errors
    /// The file system's own.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::Refused(format!("{}: the report cannot be written: {e}", path.display())))?;
        write_atomically(path, format!("{text}\n").as_bytes()).map_err(Error::io(path, "write the report"))
    }

    /// The first figure of a metric.
    pub fn value(&self, metric: &str) -> Option<f64> {
        self.scores.iter().find(|score| score.metric == metric).map(|score| score.value)
    }
}
