//! `recipes`.

use clap::Args;

/// Options of `recipes`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ganymede recipes                    names, and what they are
  ganymede recipes dcgan28            one as TOML: save it as mine.toml and edit it
  ganymede recipes --words            what recipes can be made of
  ganymede recipes --words --json     the same, one object a line")]
pub struct Recipes {
    /// The recipe to print.
    pub name: Option<String>,
    /// List the words that recipes are made of: layers, activations, initializers, losses, regularizers, models,
    /// optimizers, schedules.
    #[arg(long, conflicts_with = "name")]
    pub words: bool,
    /// One JSON object on standard output instead of text.
    #[arg(long)]
    pub json: bool,
}
