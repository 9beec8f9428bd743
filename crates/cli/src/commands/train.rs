//! `train`: begins a run, or hands over to what else is asked for.

mod dry_run;
mod ending;
mod resume;

use super::auto::{AUTO, USUAL_DATA, chosen};
use super::fit::{check_fit, enough, for_classes};
use super::{executor, tell_precision};
use crate::args::Train;
use crate::human;
use crate::opening::open_data;
use crate::say::{complain, say, tell};
use anyhow::bail;
use dry_run::dry_run;
use ending::finish;
use ganymede::checkpoint;
use ganymede::cost::Cost;
use ganymede::eval::held_out_part;
use ganymede::memory::Memory;
use ganymede::networks::Side;
use ganymede::run::{Length, Run, RunFolder, planned_images};
use ganymede::transfer::Origin;
use ganymede::{Objective, Recipe};
use ganymede_cpu::{Executor, Target};
use ganymede_data::{Dataset, OpenOptions};
use ganymede_nn::summary::bytes;
use resume::resume;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Recipe where neither data nor command names one.
const DEFAULT_RECIPE: &str = "r3-28";

pub fn run(options: &Train) -> anyhow::Result<ExitCode> {
    if let Some(path) = &options.resume {
        return resume(options, path);
    }
    options.preview_augment.as_deref().map_or(Ok(()), super::named_png)?;
    let origin = origin(options)?;
    let asked = OpenOptions { seed: options.seed, ..OpenOptions::default() };
    let dataset_for = |recipe: &Recipe, data: &str| {
        open_data(&options.selection.of(data), asked.for_shape(&recipe.data.shape))
    };
    let changes = options.changes();
    let auto = options.recipe.as_deref() == Some(AUTO);
    let named = options.recipe.as_deref().filter(|_| !auto);
    let (recipe, dataset) = match (named, &options.data) {
        (None, _) if auto && origin.is_some() => bail!(
            "--recipe {AUTO} chooses networks for the data, and weights of --from fit those of their own run: leave --recipe \
             out to train by the recipe of that run, or name one"
        ),
        (None, data) if origin.is_none() && (auto || data.is_some()) => {
            let data = data.as_deref().unwrap_or(USUAL_DATA);
            let dataset = open_data(&options.selection.of(data), asked)?;
            (chosen(&dataset, options.minutes, &changes)?, dataset)
        }
        (named, data) => {
            // Of a run that is gone on from: its recipe, where none is named, and its data, where none are.
            let own = |changes: &[String]| origin.as_ref().map(|o| recipe_of(o, changes)).transpose();
            let own = own(if named.is_none() { &changes } else { &[] })?;
            let begun = own.as_ref().and_then(|own| Some(own.run.as_ref()?.data.clone()));
            let recipe = match (named, own) {
                (None, Some(own)) => own,
                (named, _) => Recipe::load(named.unwrap_or(DEFAULT_RECIPE), &changes)?,
            };
            let data = data.clone().or(begun).unwrap_or_else(|| recipe.data.default.clone());
            let dataset = dataset_for(&recipe, &data)?;
            (recipe, dataset)
        }
    };
    enough(&dataset)?;
    let recipe = for_classes(recipe, &dataset);
    let dataset = Arc::new(dataset);
    let length = length(options).unwrap_or(Length::Images(recipe.train.images));
    let executor = executor(options.computing.threads)?;
    let objective = Objective::new(recipe.clone())?;
    tell_precision(&executor, recipe.train.precision);
    if options.dry_run {
        return dry_run(options, &objective, &dataset, length, &executor);
    }
    if let Some(path) = &options.preview_augment {
        check_fit(&objective, &dataset)?;
        ganymede::preview::write(&objective, &dataset, executor, options.seed, path)?;
        let p = ganymede::preview::probability(&objective);
        say!(
            "{}: real samples, and what augmentations with a probability of {p} make of them",
            path.display()
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    // Refuses what cannot train before it makes a folder.
    planned_images(length, &recipe, &dataset)?;
    check_fit(&objective, &dataset)?;
    let cost = ganymede::cost::of_run(&objective, target(&objective, &executor))?;
    let folder = match &options.out {
        Some(root) => RunFolder::create(root)?,
        None => RunFolder::create_unused(&recipe.name)?,
    };
    let root = folder.root.clone();
    announce(options, &objective, &cost, &dataset, &executor, &root, options.seed);
    let set = dataset.clone();
    let mut run = Run::begin_from(folder, recipe, dataset, executor, options.seed, length, origin.as_ref())?;
    hold_out(&mut run, &set)?;
    if options.computing.json {
        tell!(
            "{}",
            serde_json::json!({
                "event": "begin", "run": root, "step": 0, "images": 0,
                "from": origin.as_ref().map(|origin| &origin.checkpoint.path),
                "precision": run.trainer().session().precision().name(),
                "memory": run.trainer().session().memory().name(),
            })
        );
    }
    finish(options, &root, run)
}

/// The checkpoint whose weights a new run is to begin with.
fn origin(options: &Train) -> anyhow::Result<Option<Origin>> {
    let Some(path) = &options.from else { return Ok(None) };
    let (checkpoint, warnings) = checkpoint::open(path)?;
    for warning in &warnings {
        complain!("warning: {warning}");
    }
    Ok(Some(Origin { checkpoint, partial: options.from_partial }))
}

/// The recipe that an origin was made by, changed.
fn recipe_of(origin: &Origin, changes: &[String]) -> anyhow::Result<Recipe> {
    let checkpoint = &origin.checkpoint;
    let at = format!("recipe in {}", checkpoint.path.display());
    Ok(Recipe::parse(&at, &checkpoint.progress.recipe, changes)?)
}

/// What the phases of a run are compiled for.
fn target(objective: &Objective, executor: &Executor) -> Target {
    let train = &objective.recipe.train;
    Target { memory: train.memory, ..executor.target_at(train.precision) }
}

fn length(options: &Train) -> Option<Length> {
    options
        .images
        .map(Length::Images)
        .or(options.steps.map(Length::Steps))
        .or(options.epochs.map(Length::Epochs))
        .or(options.minutes.map(Length::Minutes))
}

fn announce(
    options: &Train,
    objective: &Objective,
    cost: &Cost,
    dataset: &Dataset,
    executor: &Executor,
    root: &Path,
    seed: u64,
) {
    if options.computing.json {
        return;
    }
    let parameters = |side| objective.params(side).count_trainable() as u64;
    let (g, d) = (parameters(Side::Generator), parameters(Side::Discriminator));
    tell!(
        "Training {} on {} with seed {}, {} threads, {}, {}.",
        objective.recipe.name,
        dataset.spec(),
        seed,
        executor.threads(),
        executor.isa().name(),
        target(objective, executor).precision
    );
    tell!("The generator has {} parameters, the discriminator {}.", human::count(g), human::count(d));
    tell!(
        "Training takes {} of memory at the peak; each checkpoint {} on disk (two are kept).",
        bytes(Memory::of_run(cost, objective, dataset, executor.threads()).total()),
        bytes(cost.state_bytes)
    );
    tell!(
        "The losses of a GAN need not fall, since its networks compete. Look at the samples: {}",
        root.join("samples").display()
    );
}

/// Lets a run watch for overfitting where a part of its data is held out.
fn hold_out(run: &mut Run, dataset: &Dataset) -> anyhow::Result<()> {
    if dataset.len().is_none() {
        return Ok(());
    }
    match held_out_part(dataset) {
        Ok(Some(held_out)) => run.watch_held_out(&held_out)?,
        Ok(None) => {}
        // Data train without such a part, but that it is there and cannot be used shall be known.
        Err(error) => complain!("note: the discriminator is not watched for overfitting: {error}"),
    }
    Ok(())
}
