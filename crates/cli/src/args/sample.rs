//! `sample`; what it can make beside plain samples is in `tools`.

use super::numbers::{number, whole};
use super::{Computing, Trained, tools};
use clap::Args;
use std::path::PathBuf;

/// Options of `sample`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede sample runs/r3-28-1 --out samples.png                     64 images in one picture
  ganymede sample runs/r3-28-1 --n 10000 --seed 7 --out made/        a file each, for scores
  ganymede sample runs/r3-28-1 --truncation 0.7 --out typical.png    latents within a bound
  ganymede sample runs/cdcgan28-1 --class 7 --out sevens.png         one class of a conditional run
  ganymede sample runs/mlp2d-1 --n 5000 --out points.csv             points, as a table
  ganymede sample runs/mlp2d-1 --best --out best.png                 from the best checkpoint
  ganymede sample runs/dcgan28-1 --standing-statistics 100 --out a.png
  ganymede sample runs/r3-28-1 --interpolate 5 --steps 8 --out ways.png   from each of 5 samples to the next
  ganymede sample runs/r3-28-1 --walk 6 --frames 120 --out walk.gif       a closed walk through 6
  ganymede sample runs/r3-28-1 --truncation-sweep=0.5,1,2 --out sweep.png   6 samples at each truncation
  ganymede sample runs/sg2-1 --mix 4x6 --out mixed.png                    coarse styles of 4, fine ones of 6
  ganymede sample runs/cdcgan28-1 --by-class --out classes.png            the same latents as each class
  ganymede sample runs/r3-28-1 --directions 5 --out strips.png            what the generator varies most
  ganymede sample runs/r3-28-1 --project seven.png --out found.png        and found.safetensors, the latent
  ganymede sample runs/r3-28-1 --latent found.safetensors --walk 4 --out from-seven.gif
  ganymede sample runs/r3-28-1 --index 12 --scale 8 --out twelve.png      one sample alone")]
pub struct Sample {
    /// A run folder, or a checkpoint file.
    pub run: PathBuf,
    /// How many samples [default: 64]; rows of --truncation-sweep [default: 6] and columns of --by-class [default: 8].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub n: Option<u64>,
    /// Seed of the latents: sample i of a seed is always the same.
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 0, value_parser = whole)]
    pub seed: u64,
    /// The class to make, by its name in the data, or by number where names are no numbers, for conditional runs [default: one after the other].
    #[arg(long, value_name = "CLASS", allow_negative_numbers = true)]
    pub class: Option<String>,
    /// Draw latents from the normal restricted to [-PSI, PSI], the truncation trick (Brock, Donahue, Simonyan 2019): the
    /// smaller PSI is, the more typical and the more alike the samples are. Of models with styles: draw styles to PSI times
    /// their distance from the mean (Karras, Laine, Aila 2019): 0 makes the sample of the mean, PSI below 0 what lies beyond
    /// it, -100 to 100 are possible.
    #[arg(long, value_name = "PSI", allow_negative_numbers = true, value_parser = number)]
    pub truncation: Option<f64>,
    /// What of the run is used.
    #[command(flatten)]
    pub trained: Trained,
    /// A .png file for one picture of all, or a folder for one file each (points: a .png or .csv file).
    #[arg(long, value_name = "FILE|DIR")]
    pub out: PathBuf,
    /// How it is computed and told.
    #[command(flatten)]
    pub computing: Computing,
    /// Tools.
    #[command(flatten)]
    pub tools: tools::Tools,
}
