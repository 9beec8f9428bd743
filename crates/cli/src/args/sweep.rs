//! `sweep`.

use super::numbers::positive;
use super::{Computing, Training};
use clap::Args;
use std::path::PathBuf;

/// Options of `sweep`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede sweep dcgan28 --data mnist/ --set lr=1e-4,2e-4,4e-4 --minutes 5 --seeds 3     three rates, 45 minutes
  ganymede sweep mlp2d --data synthetic:grid25 --set latent.dim=2,10 --images 2000000    points, by images
  ganymede sweep r3-28 --set train.batch=32,64 --set regularizers.0.strength=.1,1 --images 60000 --out sweeps/r3

With --json each run is a line. Stopped, the same command goes on with the runs that are missing.")]
pub struct Sweep {
    /// A recipe by name, or a file ending in .toml; `auto` chooses one that fits the data.
    pub recipe: String,
    /// What to train on [default: the recipe's own].
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// A key of the recipe with the values to try, commas between; repeated, every combination is trained.
    #[arg(long = "set", value_name = "KEY=VALUE,..")]
    pub set: Vec<String>,
    /// Minutes a run [default: the recipe's usual length, in images].
    #[arg(long, value_name = "M", allow_negative_numbers = true, value_parser = positive, group = "length")]
    pub minutes: Option<f64>,
    /// Real images a run.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), group = "length")]
    pub images: Option<u64>,
    /// Seeds 0 to N - 1, the same for each setting.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Metrics of images by name, separated by commas, as for `eval` [default: frechet]. Mixtures have their own scores.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub metrics: Option<Vec<String>>,
    /// Samples that images are scored by [default: 10000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    pub n: Option<u64>,
    /// The folder of the runs and of the table [default: sweeps/RECIPE].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How networks are trained.
    #[command(flatten)]
    pub training: Training,
    /// How it is computed and told.
    #[command(flatten)]
    pub computing: Computing,
}
