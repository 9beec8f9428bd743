//! `doctor`.

use super::computing::threads;
use clap::Args;

/// Options of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede doctor                  all checks
  ganymede doctor --threads 2      with two threads
  ganymede doctor --json           one object, for a bug report")]
pub struct Doctor {
    /// Threads [default: all cores].
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// One JSON object on standard output instead of text.
    #[arg(long)]
    pub json: bool,
}
