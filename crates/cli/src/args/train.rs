//! `train`.

use super::numbers::{positive, whole};
use super::{Computing, Selection, Training};
use clap::Args;
use std::path::PathBuf;

/// Options of `train`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede train                                        embedded digits, default recipe
  ganymede train mnist/ --recipe dcgan28 --minutes 5    IDX files, as MNIST and Fashion-MNIST come
  ganymede train photos/ --recipe mine.toml             a folder of pictures, brought to the recipe's size
  ganymede train mnist/ --limit 1000 --classes 3,5,8    a part of a set
  ganymede train synthetic:ring8                        a mixture of eight Gaussians
  ganymede train mnist/ --set lr=1e-4 --set batch=32    change a recipe without a file
  ganymede train mnist/ --precision bf16                contractions in bf16, where that is faster
  ganymede train mnist/ --set batch=256 --memory low    activations computed again instead of kept
  ganymede train mnist/ --recipe r3-28 --dry-run        networks, memory and work, without training
  ganymede train --resume runs/r3-28-1                  go on where a run stopped
  ganymede train other/ --from runs/r3-28-1             a new run with the weights of another

With --json the first line names the run folder, and the last says how the run ended.
The losses of a GAN need not fall, since its networks compete. Look at the pictures in the run folder.")]
pub struct Train {
    /// A folder of pictures, or IDX or CIFAR files; `stacked:DATA`, `glyphs`, `synthetic:ring8` or `synthetic:grid25`;
    /// parameters after `?` (`ganymede data sources` lists them). Without it, the recipe's own default.
    pub data: Option<String>,
    /// What part of it.
    #[command(flatten)]
    pub selection: Selection,
    /// A recipe by name, or a file ending in .toml. Without it, one that fits the data.
    #[arg(long, value_name = "NAME|FILE")]
    pub recipe: Option<String>,
    /// The run folder to make [default: runs/RECIPE-N].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Length in passes over the data; a loss that compares real and generated samples in the generator's step too
    /// (relativistic pairing) uses them up there as well.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = positive, group = "length")]
    pub epochs: Option<f64>,
    /// Length in real images shown to the discriminator.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..), group = "length")]
    pub images: Option<u64>,
    /// Length in generator steps.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..), group = "length")]
    pub steps: Option<u64>,
    /// Length in minutes; the speed is measured first and the number of images fixed from it.
    #[arg(long, value_name = "M", allow_negative_numbers = true, value_parser = positive, group = "length")]
    pub minutes: Option<f64>,
    /// Seed of weights, latents and the order of samples: the same seed gives the same run.
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 0, value_parser = whole)]
    pub seed: u64,
    /// Change a key of the recipe; an ending such as `lr` changes every key with it. Repeatable. Beside --resume,
    /// `images=N` lengthens the run as --images does.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Go on with a run (its folder, or one of its checkpoints), bit for bit as if it had not stopped.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "seed", "dry_run"])]
    pub resume: Option<PathBuf>,
    /// Begin a new run with the weights of a run (its newest checkpoint) or a checkpoint: those of both networks and of the
    /// averaged generator; moments, counters and schedules begin anew. Without --recipe it is trained by the recipe of that
    /// run. See discriminator.freeze for keeping the discriminator's first layers as they are.
    #[arg(long, value_name = "RUN|CHECKPOINT", conflicts_with = "resume")]
    pub from: Option<PathBuf>,
    /// With --from: take the weights that fit in name and shape, and draw the others as for a new run; without it,
    /// differences are refused.
    #[arg(long, requires = "from")]
    pub from_partial: bool,
    /// Write a picture of what the recipe's augmentations make of real samples, and stop: each row begins with a sample as
    /// it is.
    #[arg(long, value_name = "PNG", conflicts_with_all = ["resume", "dry_run"])]
    pub preview_augment: Option<PathBuf>,
    /// Print the resolved recipe, the networks, memory and work of a step, and stop.
    #[arg(long)]
    pub dry_run: bool,
    /// How networks are trained.
    #[command(flatten)]
    pub training: Training,
    /// How it is computed and told.
    #[command(flatten)]
    pub computing: Computing,
}

impl Train {
    /// The changes of the recipe that are asked for, those with an option of their own among them.
    pub fn changes(&self) -> Vec<String> {
        self.set.iter().cloned().chain(self.training.changes(&self.computing)).collect()
    }
}
