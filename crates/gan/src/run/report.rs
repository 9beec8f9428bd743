//! What a run tells: to its log, to whoever follows it, and at its end.

use super::Trouble;
use crate::best::Best;
use crate::trainer::{StepReport, Trainer};
use ganymede_metrics::mixture::MixtureScore;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A line of `log.jsonl`.
#[derive(Clone, Debug, Serialize)]
pub struct Tick {
    /// Generator steps done.
    pub step: u64,
    /// Real samples shown to the discriminator.
    pub images: u64,
    /// Length of the run.
    pub total_images: u64,
    /// Seconds of training, over all sessions of the run.
    pub seconds: f64,
    /// Real samples a second since the last tick.
    pub images_per_second: f64,
    /// Means since the last tick.
    pub d_loss: f64,
    /// Mean of the penalties.
    pub d_penalty: f64,
    /// Mean logit of real samples.
    pub d_real: f64,
    /// Mean logit of generated samples.
    pub d_fake: f64,
    /// Mean generator loss, without penalties.
    pub g_loss: f64,
    /// Mean of the generator's penalties.
    pub g_penalty: f64,
    /// Factor on the learning rates.
    pub lr_scale: f64,
    /// Phases skipped since the beginning because a value was not finite.
    pub skipped: u64,
    /// Rollbacks since the beginning.
    pub rollbacks: u32,
    /// Share of the time spent waiting for data.
    pub data_wait: f64,
    /// The sample picture of this tick, relative to the run folder.
    pub samples: String,
    /// Score of this tick's samples, where the recipe names a metric and it is defined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Whether it is the best so far, which is then kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub best: bool,
    /// How many times as often two samples are of the same kind, and nearly the same, as two real ones; around 1 where they
    /// are as varied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variety: Option<[f64; 2]>,
    /// Where samples are held out: how far they lie on the way from training to generated ones, by the discriminator's
    /// logits (r_v of Karras et al. 2020).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overfitting: Option<f64>,
    /// What has been wrong for some ticks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trouble: Vec<Trouble>,
}

/// Follows a run: the command line shows progress with it.
pub trait Observer {
    /// After every step.
    fn step(&mut self, _trainer: &Trainer, _report: &StepReport, _rate: f64) {}
    /// After every tick.
    fn tick(&mut self, _tick: &Tick, _samples: &Path) {}
    /// Something worth a sentence.
    fn note(&mut self, _message: &str) {}
    /// `done` of `total` of `what` is done, beside the steps.
    fn moved(&mut self, _what: &'static str, _done: u64, _total: u64) {}
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The run folder.
    pub root: PathBuf,
    /// The last sample picture.
    pub samples: PathBuf,
    /// The last checkpoint.
    pub checkpoint: PathBuf,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
    /// Generator steps done.
    pub step: u64,
    /// Real samples shown.
    pub images: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// For points of a known mixture: how [`SCORED`](super::SCORED) samples compare with it.
    pub mixture: Option<MixtureScore>,
    /// Phases whose updates were dropped since the beginning because a value was not finite.
    pub skipped: u64,
    /// Those that were still failing at the end, with how many of their steps in a row.
    pub failing: Vec<(String, u32)>,
    /// The best checkpoint of the run and its score, where the recipe names a metric.
    pub best: Option<(PathBuf, Best)>,
}
