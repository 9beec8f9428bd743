//! `data`.

use super::Selection;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Options of `data`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede data inspect mnist/                              count, shape, labels, range
  ganymede data inspect photos/ --preview photos.png        what is in it, as a picture too
  ganymede data inspect photos/?size=64 --skip-bad          pictures at a size, without bad files
  ganymede data inspect mnist/ --classes 1,7 --limit 500    a part of a set
  ganymede data inspect synthetic:grid25 --json             one object
  ganymede data sources                                     what can be named as data, with parameters")]
pub struct Data {
    /// What to do with it.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// Verbs of `data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Print count, shape, labels and range of values, and what reading the files met with.
    Inspect(Inspect),
    /// List what can be named as data, with the parameters of each.
    Sources {
        /// One JSON object a line on standard output instead of text.
        #[arg(long)]
        json: bool,
    },
}

/// Options of `data inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A folder of pictures, or IDX or CIFAR files; `stacked:DATA`, `glyphs`, or `synthetic:..`; parameters after `?`.
    pub data: String,
    /// What part of it.
    #[command(flatten)]
    pub selection: Selection,
    /// The part that is held out (`t10k` files, test_batch.bin, a sub-folder `test` or `val`) instead of the training part.
    #[arg(long)]
    pub test: bool,
    /// Seed of embedded sets.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Write a picture too: eight items of each class, a row a class; 64 items where there are no classes.
    #[arg(long, value_name = "PNG")]
    pub preview: Option<PathBuf>,
    /// One JSON object on standard output instead of text.
    #[arg(long)]
    pub json: bool,
}
