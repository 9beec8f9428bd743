//! `judge`.

use super::Computing;
use clap::Args;
use std::path::PathBuf;

/// Options of `judge`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede judge runs/r3-28-1 seven.png                   beside the run's own data
  ganymede judge runs/r3-28-1 a.png b.png --data mnist/   beside other real samples (mnist/?classes=7: of one class)
  ganymede judge runs/r3-28-1 a.png --json                one object an image")]
pub struct Judge {
    /// A run folder, or a checkpoint file.
    pub run: PathBuf,
    /// Image files of the run's size.
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// The class that the images shall be, by number or by its name in the data, for conditional runs.
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// Real samples to compare with [default: the run's own data].
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// How it is computed and told.
    #[command(flatten)]
    pub computing: Computing,
}
