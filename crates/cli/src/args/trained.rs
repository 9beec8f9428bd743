//! What of a trained run is used.

use clap::Args;

/// Options of every verb that draws from a generator.
#[derive(Debug, Args)]
pub struct Trained {
    /// Take the best checkpoint of a run, which it keeps where its recipe names a metric (best.metric), and not the newest.
    #[arg(long)]
    pub best: bool,
    /// Take batch norm's statistics anew over N batches of latents before drawing (Brock, Donahue, Simonyan 2019); 0 draws
    /// with the running ones [default: the recipe's train.standing_statistics].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=1_048_576))]
    pub standing_statistics: Option<u64>,
}
