//! The command line: one file a verb, and what verbs share.

mod bench;
mod computing;
mod data;
mod doctor;
mod eval;
mod judge;
mod numbers;
mod recipes;
mod sample;
mod selection;
mod sweep;
mod tools;
mod train;
mod trained;

pub use bench::Bench;
pub use computing::{Computing, Training};
pub use data::{Data, DataCommand, Inspect};
pub use doctor::Doctor;
pub use eval::Eval;
pub use judge::Judge;
pub use recipes::Recipes;
pub use sample::Sample;
pub use selection::Selection;
pub use sweep::Sweep;
pub use tools::Tool;
pub use train::Train;
pub use trained::Trained;

use clap::{Parser, Subcommand};

/// Train, judge and sample generative adversarial networks.
///
/// Without any data: `ganymede train` trains on an embedded set of drawn digits and shows what it made. With your own:
/// `ganymede train FOLDER --recipe r3-28`. A recipe is a TOML file; `ganymede recipes` lists those that come with the
/// program.
#[derive(Debug, Parser)]
#[command(name = "ganymede", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a pair of networks and write samples, a log and checkpoints to a run folder.
    Train(Box<Train>),
    /// Train every combination of some settings with equal budgets, and compare them in a table with intervals.
    Sweep(Box<Sweep>),
    /// Draw samples from a trained run.
    Sample(Box<Sample>),
    /// Score samples of a run, or a folder of images, against real ones: distances, classes, coverage.
    Eval(Eval),
    /// Ask a run's discriminator about images: its logit for each, beside those of real and generated samples.
    Judge(Judge),
    /// List the recipes that come with the program, or print one as TOML.
    Recipes(Recipes),
    /// Look at a data set: count, shape, labels, range of values, a picture; list what can be named as data.
    Data(Data),
    /// Time whole training steps of fixed workloads.
    Bench(Bench),
    /// Report CPU features, threads and memory, and check the kernels against their definitions.
    Doctor(Doctor),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_verb_has_examples_that_parse() {
        for verb in Arguments::command().get_subcommands() {
            let name = verb.get_name();
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let (_, examples) =
                help.split_once("Examples:\n").unwrap_or_else(|| panic!("{name} has no examples"));
            let lines: Vec<&str> = examples.lines().take_while(|l| l.starts_with("  ganymede ")).collect();
            assert!(lines.len() >= 3, "{name}: {lines:?}");
            for line in lines {
                // What stands behind three spaces explains the line.
                let command = line.trim_start().split("   ").next().unwrap_or_default();
                let words: Vec<&str> = command.split_whitespace().collect();
                assert_eq!(words.get(1), Some(&name), "{line}");
                Arguments::try_parse_from(&words).unwrap_or_else(|e| panic!("{line}: {e}"));
            }
        }
    }
}
