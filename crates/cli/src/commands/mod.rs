//! One file a verb.

mod bench;
mod data;
mod doctor;
mod eval;
mod fit;
mod judge;
mod recipes;
mod sample;
mod sweep;
mod train;

use crate::args::{Arguments, Command};
use crate::say::complain;
use anyhow::Context;
use clap::CommandFactory;
use clap::error::ErrorKind;
use ganymede::checkpoint::{self, Checkpoint};
use ganymede::{Objective, Recipe};
use ganymede_cpu::{CpuError, Executor, ExecutorOptions, Precision, Session};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs a verb.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Train(options) => train::run(&options),
        Command::Sweep(options) => sweep::run(&options),
        Command::Sample(options) => sample::run(&options),
        Command::Eval(options) => eval::run(&options),
        Command::Judge(options) => judge::run(&options),
        Command::Recipes(options) => recipes::run(&options),
        Command::Data(options) => data::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Doctor(options) => doctor::run(&options),
    }
}

/// Ends the program as a command line does that cannot be understood.
fn usage(message: &str) -> ! {
    Arguments::command().error(ErrorKind::ArgumentConflict, message).exit()
}

fn executor(threads: Option<usize>) -> anyhow::Result<Arc<Executor>> {
    match Executor::new(ExecutorOptions { threads, ..ExecutorOptions::default() }) {
        // The instruction set is not named on the command line, so an error about it says where it comes from.
        Err(error @ CpuError::Convolutions(_)) => Err(error).context("environment variable GANYMEDE_CONV"),
        Err(error @ CpuError::Isa(_)) => Err(error).context("environment variable GANYMEDE_ISA"),
        Err(error @ CpuError::Bf16(_)) => Err(error).context("environment variable GANYMEDE_BF16"),
        other => Ok(other?),
    }
}

/// Set by the first Ctrl-C; the second ends the program.
fn interrupts() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        complain!("\nstopping after this step; the run can be resumed (once more to quit at once)");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

/// Says on standard error where programs do not get the precision that is asked for.
fn tell_precision(executor: &Executor, wanted: Precision) {
    let given = executor.precision(wanted);
    if given != wanted {
        complain!(
            "note: this CPU, or the instruction set in use ({}), has no fast {wanted} (avx512_bf16): computing in \
             {given}, which is slower than {wanted} elsewhere, and as exact or more",
            executor.isa().name()
        );
    }
}

/// A trained run, loaded for use.
struct Loaded {
    objective: Objective,
    session: Session,
    checkpoint: std::path::PathBuf,
    step: u64,
    images: u64,
}

/// Loads a run folder or checkpoint, to be used in its own precision unless another is given; what had to be passed over is said on standard error.
fn load(path: &Path, threads: Option<usize>, precision: Option<Precision>) -> anyhow::Result<Loaded> {
    let (checkpoint, warnings) = checkpoint::open(path)?;
    for warning in warnings {
        complain!("warning: {warning}");
    }
    let Checkpoint { path, progress, store } = checkpoint;
    let recipe = Recipe::parse(&format!("recipe in {}", path.display()), &progress.recipe, &[])?;
    let objective = Objective::new(recipe)?;
    let executor = executor(threads)?;
    let precision = precision.unwrap_or(objective.recipe.train.precision);
    tell_precision(&executor, precision);
    let mut session = Session::new(executor, store);
    session.set_precision(precision);
    Ok(Loaded { objective, session, checkpoint: path, step: progress.step, images: progress.images })
}
