//! `train --resume`.

use super::super::fit::check_fit;
use super::super::{executor, tell_precision};
use super::{announce, finish, hold_out, length, target};
use crate::args::Train;
use crate::opening::open_data;
use crate::say::{complain, tell};
use anyhow::bail;
use ganymede::checkpoint;
use ganymede::recipe::reaches;
use ganymede::run::{Length, Run, RunFolder, lengthened_images};
use ganymede::{Objective, Recipe};
use ganymede_data::OpenOptions;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

pub(super) fn resume(options: &Train, path: &Path) -> anyhow::Result<ExitCode> {
    let (checkpoint, warnings) = checkpoint::open(path)?;
    for warning in &warnings {
        complain!("warning: {warning}");
    }
    let stored =
        Recipe::parse(&format!("recipe in {}", checkpoint.path.display()), &checkpoint.progress.recipe, &[])?;
    let Some(begun) = stored.run.clone() else {
        bail!("{}: the checkpoint names no run to go on with", checkpoint.path.display());
    };
    let changes = options.changes();
    let mut recipe = match (&options.recipe, changes.is_empty()) {
        (None, true) => stored,
        (None, false) => Recipe::parse("recipe of the run", &checkpoint.progress.recipe, &changes)?,
        (Some(name), _) => {
            let given = Recipe::load(name, &changes)?;
            refuse_another(&checkpoint.path, &stored, &given)?;
            given
        }
    };
    let spec = match &options.data {
        Some(data) => options.selection.of(data),
        None if options.selection.is_given() => bail!(
            "{}: the run goes on with its own part of the data, {}: leave --limit, --classes and --skip-bad out, or name \
             the data too where they have moved",
            checkpoint.path.display(),
            begun.data
        ),
        None => begun.data.clone(),
    };
    let asked = OpenOptions { seed: begun.seed, ..OpenOptions::default() };
    let dataset = Arc::new(open_data(&spec, asked.for_shape(&recipe.data.shape))?);
    // Beside --resume the recipe's own length means what it means when a run begins.
    let set = options.set.iter().any(|entry| reaches(entry, "train.images"));
    let asked = length(options).or(set.then_some(Length::Images(recipe.train.images)));
    let longer = match asked {
        None => None,
        Some(Length::Minutes(_)) => {
            bail!("--minutes cannot lengthen a run: give --images, --steps or --epochs")
        }
        Some(length) => lengthened_images(length, &recipe, &dataset, &checkpoint.progress)?,
    };
    recipe.run = Some(ganymede::recipe::RunSpec {
        data: spec,
        images: longer.unwrap_or(begun.images),
        ..begun.clone()
    });
    let root = match checkpoint.path.parent() {
        // From inside the run folder the path to it is empty.
        Some(folder) if folder.ends_with("checkpoints") => match folder.parent() {
            Some(root) if !root.as_os_str().is_empty() => root.to_path_buf(),
            Some(_) | None => std::path::PathBuf::from("."),
        },
        _ => bail!(
            "{}: this checkpoint lies outside a run folder, so there is nowhere to go on: resume the folder",
            checkpoint.path.display()
        ),
    };
    let folder = RunFolder { root: root.clone() };
    if finished_already(options, &folder, &checkpoint.progress, longer)? {
        return Ok(ExitCode::SUCCESS);
    }
    let executor = executor(options.computing.threads)?;
    let objective = Objective::new(recipe.clone())?;
    tell_precision(&executor, recipe.train.precision);
    check_fit(&objective, &dataset)?;
    let step = checkpoint.progress.step;
    let cost = ganymede::cost::of_run(&objective, target(&objective, &executor))?;
    announce(options, &objective, &cost, &dataset, &executor, &root, begun.seed);
    let set = dataset.clone();
    let mut run = Run::resume(folder, recipe, checkpoint, dataset, executor, begun.seed, longer)?;
    hold_out(&mut run, &set)?;
    if options.computing.json {
        let images = run.trainer().progress().images;
        tell!(
            "{}",
            serde_json::json!({
                "event": "resume", "run": root, "step": step, "images": images,
                "precision": run.trainer().session().precision().name(),
                "memory": run.trainer().session().memory().name(),
            })
        );
    } else {
        tell!("Resumed at step {step}.");
    }
    finish(options, &root, run)
}

/// Whether nothing is left to train, which is then said; nothing is written. Options that would have no effect are
/// refused.
fn finished_already(
    options: &Train,
    folder: &RunFolder,
    progress: &checkpoint::Progress,
    longer: Option<u64>,
) -> anyhow::Result<bool> {
    let (root, done) = (folder.root.display(), progress.images);
    if longer.is_some_and(|total| total <= done) {
        bail!("{root}: the run has seen {done} images already: to train longer, ask for more than that");
    }
    // A run stopped between its last checkpoint and its last picture still has that to make.
    if longer.is_some() || done < progress.total_images || !folder.sample(progress.step).exists() {
        return Ok(false);
    }
    if !options.changes().is_empty() {
        let option = match (options.set.is_empty(), options.computing.precision) {
            (false, _) => "--set",
            (true, Some(_)) => "--precision",
            (true, None) => "--memory",
        };
        bail!(
            "{root}: the run is finished, after {done} images, so {option} would change nothing: add --images N to go on"
        );
    }
    if options.computing.json {
        let line = serde_json::json!({
            "event": "finished", "run": folder.root, "step": progress.step, "images": done,
        });
        tell!("{line}");
    } else {
        let more = done.saturating_mul(2);
        tell!(
            "The run is finished: {done} images. To train longer: ganymede train --resume {root} --images {more}"
        );
    }
    Ok(true)
}

/// A recipe named beside --resume can only confirm the run's own.
fn refuse_another(checkpoint: &Path, stored: &Recipe, given: &Recipe) -> anyhow::Result<()> {
    const SHOWN: usize = 12;
    let lines = stored.differences(given);
    if lines.is_empty() {
        return Ok(());
    }
    let more =
        if lines.len() > SHOWN { format!("\n  and {} more", lines.len() - SHOWN) } else { String::new() };
    bail!(
        "{}: the checkpoint was made by another recipe: `{}` (the run's) against `{}` (--recipe):\n  {}{more}\nLeave \
         --recipe out to go on with the run's own; single keys of it can be changed with --set",
        checkpoint.display(),
        stored.name,
        given.name,
        lines[..lines.len().min(SHOWN)].join("\n  ")
    )
}
