//! `eval`.

use super::{Computing, Trained};
use clap::Args;
use ganymede::eval::RealSamples;
use ganymede_data::Split;
use std::path::PathBuf;

/// Options of `eval`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede eval runs/dcgan28-1 --data mnist/                         every score that suits
  ganymede eval runs/dcgan28-1 --metrics frechet,kid --n 5000        some of them, on the run's own data
  ganymede eval runs/cdcgan28-1 --metrics accuracy --split test      a classifier trained on its samples
  ganymede eval made/ --data mnist/                                  images of another program
  ganymede eval runs/r3-28-1 --best                                  its best checkpoint, where it keeps one
  ganymede eval runs/r3-28-1 --against runs/dcgan28-1                two, side by side, with intervals
  ganymede eval runs/r3-28-1 --against runs/dcgan28-1 --metrics frechet,accuracy
  ganymede eval runs/r3-28-1 --metrics ppl,ms-ssim,frechet-infinity   long ones, when named
  ganymede eval runs/r3-28-1 --extractor judge.safetensors --json    seen through your own classifier
  ganymede eval made/ --data photos/ --extractor pt_inception-2015-12-05-6726825d.pth    what others call FID
  ganymede eval made/ --data photos/ --n 50000 --real all --extractor pt_inception-2015-12-05-6726825d.pth
  ganymede eval --list                                               metrics and extractors

Scores name what they were seen through, and compare only with others of the same extractor, counts and split.
Without --metrics, checks say in a sentence each whether samples are copies, repeat, lack a part of the data, and whether
the discriminator knows its data by heart. The report goes to report.json and report.html (one file for a browser) beside
the run or in the folder, where the one before stays as report-SETTINGS.json if it had other settings; docs/scores.md says
how each is made.")]
pub struct Eval {
    /// A run folder, a checkpoint file, or a folder of images (sub-folders named like classes label them).
    #[arg(required_unless_present = "list")]
    pub samples: Option<PathBuf>,
    /// The real samples to compare with [default: the run's own data].
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Another run, checkpoint or folder of images to compare with: a table of differences with intervals that says which is
    /// better and where it cannot tell (comparison.json and comparison.html).
    #[arg(long, value_name = "RUN|FOLDER")]
    pub against: Option<PathBuf>,
    /// Metrics by name, separated by commas, and no checks [default: all that suit and take no more than moments, and every
    /// check]; --list names them.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub metrics: Option<Vec<String>>,
    /// Samples of either side [default: 10000, and what a metric takes by custom].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    pub n: Option<u64>,
    /// Real samples that features are compared with, where these shall be other than --n: `all`, as many as published FIDs are of, or a
    /// number [default: as --n].
    #[arg(long, value_name = "N|all", value_parser = real)]
    pub real: Option<RealSamples>,
    /// Seed of the latents and of the choice of samples.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// What samples are seen through: an extractor by name, or files of weights, .safetensors or PyTorch's, joined by commas:
    /// a classifier's, or a network's of those that --list names. `?resizer=` clean (unless given), legacy-tensorflow or
    /// legacy-pytorch behind the file says how images come to the network's size [default: classifier for labelled images,
    /// random-conv for others].
    #[arg(long, value_name = "NAME|FILE")]
    pub extractor: Option<String>,
    /// The part of the data to compare with.
    #[arg(long, value_name = "train|test", value_parser = split, default_value = "train")]
    pub split: Split,
    /// Samples drawn and looked at together, in steps of 256: less memory or more speed, the same figures [default: 1024].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub batch: Option<u64>,
    /// List metrics, checks, extractors and networks, and stop.
    #[arg(long)]
    pub list: bool,
    /// What of the runs is used.
    #[command(flatten)]
    pub trained: Trained,
    /// How it is computed and told.
    #[command(flatten)]
    pub computing: Computing,
}

fn real(text: &str) -> Result<RealSamples, String> {
    match (text, text.parse()) {
        ("all", _) => Ok(RealSamples::All),
        (_, Ok(n @ 2..=1_000_000)) => Ok(RealSamples::Count(n)),
        _ => Err("expected a number from 2 to 1000000, or all there are (all)".into()),
    }
}

fn split(text: &str) -> Result<Split, String> {
    match text {
        "train" => Ok(Split::Train),
        "test" => Ok(Split::Test),
        _ => Err("expected train, or test for the part that is held out".into()),
    }
}
