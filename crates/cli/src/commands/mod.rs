//! One file a verb.

mod auto;
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

use crate::args::{Arguments, Command, Computing, Trained};
use crate::progress::Follow;
use crate::say::complain;
use anyhow::{Context, bail};
use clap::CommandFactory;
use clap::error::ErrorKind;
use ganymede::checkpoint::{self, Checkpoint, Progress};
use ganymede::eval::SourceInfo;
use ganymede::run::RunFolder;
use ganymede::standing::Standing;
use ganymede::{Objective, Recipe};
use ganymede_cpu::{CpuError, Executor, ExecutorOptions, Precision, Session};
use std::path::{Path, PathBuf};
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

/// Refuses a name for a preview that promises another kind of file than it would hold.
fn named_png(path: &Path) -> anyhow::Result<()> {
    if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("png")) {
        bail!("{}: the preview is a PNG picture: give it a name that ends in .png", path.display());
    }
    Ok(())
}

/// Ends the program as a command line does that cannot be understood, with the usage of a verb.
fn usage(verb: &str, message: &str) -> ! {
    let mut all = Arguments::command();
    all.build();
    let of_verb =
        all.find_subcommand_mut(verb).map(|command| command.error(ErrorKind::ArgumentConflict, message));
    of_verb.unwrap_or_else(|| all.error(ErrorKind::ArgumentConflict, message)).exit()
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
            "note: this CPU, or the instruction set in use ({}), has no {wanted} that is faster than {given}: computing in \
             {given}, which is as exact or more (GANYMEDE_BF16=everywhere insists)",
            executor.isa().name()
        );
    }
}

/// What of a run is used; what is left out is as the run itself has it.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// The best checkpoint, not the newest.
    best: bool,
    /// Batches over which batch norm's statistics are taken anew.
    standing: Option<u64>,
    /// Arithmetic of the contractions.
    precision: Option<Precision>,
}

impl Use {
    /// As options say.
    fn of(trained: &Trained, computing: &Computing) -> Self {
        Self { best: trained.best, standing: trained.standing_statistics, precision: computing.precision }
    }
}

/// A trained run, loaded for use.
struct Loaded {
    objective: Objective,
    session: Session,
    checkpoint: PathBuf,
    step: u64,
    images: u64,
    /// Batches over which batch norm's statistics were taken anew.
    standing: usize,
}

impl Loaded {
    /// Where its samples come from, for scores.
    fn info(&self) -> SourceInfo {
        SourceInfo {
            step: Some(self.step),
            images: Some(self.images),
            standing_statistics: Some(self.standing).filter(|batches| *batches > 0),
            ..SourceInfo::named(self.checkpoint.display().to_string())
        }
    }
}

/// Loads a run folder or checkpoint for whatever is made of its samples, so that sample i of a seed is the same in all of it;
/// what had to be passed over is said on standard error.
fn load(path: &Path, how: Use, executor: Arc<Executor>) -> anyhow::Result<Loaded> {
    let best = RunFolder { root: path.to_path_buf() }.best();
    if how.best && !best.is_file() {
        bail!(
            "{}: there is no best checkpoint ({}): a run keeps one where its recipe names a metric, e.g. --set \
             best.metric=reverse-kl (`ganymede recipes --words` lists them), once its samples have that score",
            path.display(),
            best.display()
        );
    }
    let (checkpoint, warnings) = checkpoint::open(if how.best { &best } else { path })?;
    for warning in warnings {
        complain!("warning: {warning}");
    }
    let Checkpoint { path, progress, store } = checkpoint;
    let recipe = Recipe::parse(&format!("recipe in {}", path.display()), &progress.recipe, &[])?;
    let objective = Objective::new(recipe)?;
    let precision = how.precision.unwrap_or(objective.recipe.train.precision);
    tell_precision(&executor, precision);
    let mut session = Session::new(executor, store);
    session.set_precision(precision);
    let standing =
        Standing::ready(&objective, &mut session, how.standing.map(|n| n as usize), &mut Follow::default())?;
    let Progress { step, images, .. } = progress;
    Ok(Loaded { objective, session, checkpoint: path, step, images, standing })
}
