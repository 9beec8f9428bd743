//! `train`: begins a run, or hands over to what else is asked for.

mod dry_run;
mod ending;
mod resume;

use super::fit::{check_fit, enough, for_classes};
use super::{executor, tell_precision};
use crate::args::Train;
use crate::human;
use crate::opening::open_data;
use crate::say::{complain, say, tell};
use anyhow::{Context, bail};
use dry_run::dry_run;
use ending::finish;
use ganymede::checkpoint;
use ganymede::cost::Cost;
use ganymede::eval::held_out_part;
use ganymede::memory::Memory;
use ganymede::networks::Side;
use ganymede::recipe::{self, Choice, Facts};
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

/// The name that leaves the choice of a recipe to the program, as no name does.
const AUTO: &str = "auto";

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
    let named = options.recipe.as_deref().filter(|name| *name != AUTO);
    let (recipe, dataset) = match (named, &options.data) {
        (Some(name), data) => {
            let recipe = Recipe::load(name, &options.changes())?;
            let dataset = dataset_for(&recipe, data.as_deref().unwrap_or(&recipe.data.default))?;
            (recipe, dataset)
        }
        (None, data) if origin.is_some() => {
            let recipe = recipe_of(origin.as_ref(), &options.changes())?;
            let begun = recipe.run.as_ref().map_or(recipe.data.default.as_str(), |run| run.data.as_str());
            let dataset = dataset_for(&recipe, data.as_deref().unwrap_or(begun))?;
            (recipe, dataset)
        }
        (None, Some(data)) => {
            let dataset = open_data(&options.selection.of(data), asked)?;
            (chosen(&dataset, options)?, dataset)
        }
        (None, None) => {
            let recipe = Recipe::load(DEFAULT_RECIPE, &options.changes())?;
            let dataset = dataset_for(&recipe, &recipe.data.default)?;
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
fn recipe_of(origin: Option<&Origin>, changes: &[String]) -> anyhow::Result<Recipe> {
    let Some(Origin { checkpoint, .. }) = origin else { bail!("there is no recipe to take over") };
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

/// A recipe for data that came without one; what was chosen, and why, is said on standard error.
fn chosen(dataset: &Dataset, options: &Train) -> anyhow::Result<Recipe> {
    let facts = Facts::of(dataset, options.minutes)?;
    let Choice { recipe, reasons } =
        recipe::choose(&facts).with_context(|| format!("{}: no recipe was named", dataset.spec()))?;
    if !options.computing.json {
        complain!("recipe {} ({})", recipe.name, reasons.join("; "));
    }
    Ok(Recipe::parse(&format!("recipe `{}`", recipe.name), &recipe.to_toml(), &options.changes())?)
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
