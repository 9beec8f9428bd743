//! `bench`.

use super::{Computing, Training};
use clap::Args;
use ganymede_cpu::{MemoryMode, Precision};
use std::path::PathBuf;

/// Options of `bench`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede bench                           all workloads
  ganymede bench dcgan28 --threads 1       one of them, on one thread
  ganymede bench dcgan28 --profile         with the time of each kernel and its share of the machine's peak
  ganymede bench --precision bf16          in mixed precision
  ganymede bench dcgan64 --memory low      with activations computed again instead of kept
  ganymede bench --json                    for comparing with another day
  ganymede bench --growth growth           time over batch, resolution and width, as tables and pictures
  ganymede bench --graph 20000             how long a deep network takes to compile

With --json each workload is a line: workload, batch, ms_min, ms_med, first_step_ms, gflops, peak_gflops, peak_share,
rss_mb, predicted_mb, arena_mb and more.")]
pub struct Bench {
    /// Workloads; all of them if none is named.
    pub workloads: Vec<String>,
    /// Print the time of each kernel, with its share of the machine's peak in arithmetic and in memory traffic.
    #[arg(long)]
    pub profile: bool,
    /// Shorter measurements, for a look.
    #[arg(long)]
    pub quick: bool,
    /// Measure convolutional pairs of growing batch (16 to 512), resolution (16 to 128) and width (16 to 256) instead of
    /// the workloads; a folder gets the three curves as PNG and the figures as growth.jsonl.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["workloads", "profile", "graph"])]
    pub growth: Option<PathBuf>,
    /// Time how long a residual pair with second-order penalties takes to compile, deep enough for a graph of so many
    /// nodes, instead of the workloads.
    #[arg(long, value_name = "NODES", conflicts_with_all = ["workloads", "profile"],
        value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub graph: Option<u64>,
    /// How networks are trained.
    #[command(flatten)]
    pub training: Training,
    /// How it is computed and told.
    #[command(flatten)]
    pub computing: Computing,
    /// Run the one named workload in this process (used by `bench` itself).
    #[arg(long, hide = true)]
    pub here: bool,
    /// What to measure instead of a workload, as BATCHxSIDExWIDTH (used by `bench` itself).
    #[arg(long, hide = true)]
    pub point: Option<String>,
    /// When this process was started, in nanoseconds since 1970 (used by `bench` itself).
    #[arg(long, hide = true)]
    pub began: Option<u64>,
    /// The machine's peak as measured: f32 and bf16 GFLOP/s, GB/s (used by `bench` itself).
    #[arg(long, hide = true)]
    pub peak: Option<String>,
}

impl Bench {
    /// Arithmetic of what is timed.
    pub fn precision(&self) -> Precision {
        self.computing.precision.unwrap_or_default()
    }

    /// Memory of what is timed.
    pub fn memory(&self) -> MemoryMode {
        self.training.memory.unwrap_or_default()
    }
}
