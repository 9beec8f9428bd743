//! Every loss with every regularizer for some steps, on real samples: which pairs train, and why the others are refused.
//!
//!     cargo run --release -p ganymede --example matrix -- [RECIPE] [DATA] [STEPS]
//!
//! By default `dcgan28` on `glyphs`, 20 steps. Each pair is a line: the last losses, or the reason of the refusal. The exit code is 1
//! where a value was not finite or a phase was skipped.

use ganymede::losses::LOSSES;
use ganymede::regularizers::REGULARIZERS;
use ganymede::{Objective, Recipe, Trainer};
use ganymede_cpu::{Executor, ExecutorOptions};
use ganymede_data::{Dataset, OpenOptions, open};
use std::process::ExitCode;
use std::sync::Arc;

/// What came of a pair.
enum Outcome {
    /// Discriminator loss, its penalties, generator loss and its penalties at the last step.
    Trained([f32; 4]),
    /// Why the recipe was refused.
    Refused(String),
    /// What went wrong.
    Broken(String),
}

fn pair(
    recipe: &str,
    sets: &[String],
    dataset: &Arc<Dataset>,
    executor: &Arc<Executor>,
    steps: u64,
) -> Outcome {
    let made = Recipe::load(recipe, sets).and_then(Objective::new);
    let objective = match made {
        Ok(objective) => objective,
        Err(error) => return Outcome::Refused(error.message),
    };
    let images = steps * objective.recipe.train.batch as u64;
    let mut trainer = match Trainer::new(objective, dataset.clone(), executor.clone(), 1, images) {
        Ok(trainer) => trainer,
        Err(error) => return Outcome::Broken(error.to_string()),
    };
    let mut last = [0.0; 4];
    for step in 1..=steps {
        match trainer.step() {
            Ok(report) => {
                last = [report.d_loss, report.d_penalty, report.g_loss, report.g_penalty];
                if report.skipped > 0 || last.iter().any(|v| !v.is_finite()) {
                    return Outcome::Broken(format!("step {step}: {report:?}"));
                }
            }
            Err(error) => return Outcome::Broken(error.to_string()),
        }
    }
    Outcome::Trained(last)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |i: usize, usual: &str| arguments.get(i).cloned().unwrap_or_else(|| usual.to_string());
    let (recipe, data) = (argument(0, "dcgan28"), argument(1, "glyphs"));
    let Ok(steps) = argument(2, "20").parse::<u64>() else {
        eprintln!("usage: matrix [RECIPE] [DATA] [STEPS]");
        return ExitCode::from(2);
    };
    let dataset = match open(&data, &OpenOptions::default()) {
        Ok(dataset) => Arc::new(dataset),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let executor = match Executor::new(ExecutorOptions::default()) {
        Ok(executor) => executor,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut trained, mut refused, mut broken) = (0, 0, 0);
    println!("| loss | regularizer | network | D loss | D penalty | G loss | G penalty |");
    println!("|---|---|---|---|---|---|---|");
    for loss in LOSSES {
        let none = [(None, "none", "-")];
        let all = REGULARIZERS
            .iter()
            .flat_map(|r| r.sides().iter().map(move |side| (Some(*r), r.name(), side.name())));
        for (regularizer, name, network) in none.into_iter().chain(all) {
            let table = regularizer.map_or("regularizers=[]".to_string(), |r| {
                format!("regularizers=[{{ name = \"{}\", network = \"{network}\" }}]", r.name())
            });
            let sets = [format!("loss.name={}", loss.name()), table];
            let line = format!("| {} | {name} | {network} |", loss.name());
            match pair(&recipe, &sets, &dataset, &executor, steps) {
                Outcome::Trained([d, dp, g, gp]) => {
                    println!("{line} {d:.3} | {dp:.3} | {g:.3} | {gp:.3} |");
                    trained += 1;
                }
                Outcome::Refused(reason) => {
                    println!("{line} refused: {reason} | | | |");
                    refused += 1;
                }
                Outcome::Broken(what) => {
                    println!("{line} BROKEN: {what} | | | |");
                    broken += 1;
                }
            }
        }
    }
    println!(
        "\n{trained} trained {steps} steps with finite values, {refused} refused with a reason, {broken} broke"
    );
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
