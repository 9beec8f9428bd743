use super::{executor, tell_precision};
use crate::args::Train;
use crate::human;
use crate::opening::open_data;
use crate::progress::Progress;
use crate::say::{complain, say, tell};
use anyhow::{Context, anyhow, bail};
use ganymede::checkpoint;
use ganymede::cost::Cost;
use ganymede::memory::{Memory, peak_of_this_process};
use ganymede::networks::Side;
use ganymede::recipe::{self, Choice, Facts, reaches};
use ganymede::run::{Finished, Length, Run, RunFolder, planned_images};
use ganymede::transfer::Origin;
use ganymede::{Error, Objective, Recipe};
use ganymede_cpu::{Executor, Target};
use ganymede_data::{Dataset, OpenOptions, Split};
use ganymede_nn::LayerRow;
use ganymede_nn::summary::bytes;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The name that leaves the choice of a recipe to the program, as no name does.
const AUTO: &str = "auto";

/// Recipe where neither data nor command names one.
const DEFAULT_RECIPE: &str = "r3-28";

pub fn run(options: &Train) -> anyhow::Result<ExitCode> {
    if let Some(path) = &options.resume {
        return resume(options, path);
    }
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
    let recipe = for_classes(recipe, &dataset);
    let dataset = Arc::new(dataset);
    let length = length(options).unwrap_or(Length::Images(recipe.train.images));
    let executor = executor(options.threads)?;
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
    if options.json {
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
    let facts = Facts {
        shape: dataset.shape(),
        count: dataset.len(),
        classes: dataset.classes().map(<[String]>::len),
        minutes: options.minutes,
    };
    let Choice { recipe, reasons } =
        recipe::choose(&facts).with_context(|| format!("{}: no recipe was named", dataset.spec()))?;
    if !options.json {
        complain!("recipe {} ({})", recipe.name, reasons.join("; "));
    }
    Ok(Recipe::parse(&format!("recipe `{}`", recipe.name), &recipe.to_toml(), &options.changes())?)
}

/// The recipe with as many classes as the data have, where it is conditional; a difference is said.
pub(super) fn for_classes(mut recipe: Recipe, dataset: &Dataset) -> Recipe {
    if let (Some(classes), Some(found)) = (recipe.data.classes, dataset.classes().map(<[String]>::len))
        && classes != found
        && found >= 2
    {
        complain!(
            "note: recipe `{}` is for {classes} classes, {} has {found}: using {found}",
            recipe.name,
            dataset.spec()
        );
        recipe.data.classes = Some(found);
    }
    recipe
}

pub(super) fn check_fit(objective: &Objective, dataset: &Dataset) -> anyhow::Result<()> {
    let recipe = &objective.recipe;
    if dataset.shape() != recipe.data.shape {
        bail!(
            "{}: its samples have shape {:?}, recipe `{}` expects {:?}: choose another recipe, or change data.shape \
             and the networks",
            dataset.spec(),
            dataset.shape(),
            recipe.name,
            recipe.data.shape
        );
    }
    if let Some(classes) = recipe.data.classes
        && dataset.classes().map(<[String]>::len) != Some(classes)
    {
        bail!(
            "{}: it has {}, and recipe `{}` is told the class of each sample: choose labelled data, or another recipe",
            dataset.spec(),
            dataset.classes().map_or("no labels".into(), |names| format!("{} classes", names.len())),
            recipe.name
        );
    }
    if let Some(items) = dataset.len()
        && (recipe.train.batch as u64) > items
    {
        bail!(
            "{}: a batch of {} needs that many samples, the set has {items}: use --set batch={items} or less",
            dataset.spec(),
            recipe.train.batch
        );
    }
    Ok(recipe.train.sampling().check(dataset)?)
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
    if options.json {
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

pub(super) fn interrupts() -> anyhow::Result<Arc<AtomicBool>> {
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

fn finish(options: &Train, root: &Path, mut run: Run) -> anyhow::Result<ExitCode> {
    let stop = interrupts()?;
    let mut progress = Progress::new(options.json);
    let ended = run.train(&stop, &mut progress);
    progress.finish();
    // A run stopped before its minutes became a number of images has no end of its own.
    let endless = run.trainer().progress().total_images == u64::MAX;
    let again =
        format!("ganymede train --resume {}{}", root.display(), if endless { " --images N" } else { "" });
    let ended = ended.map_err(|error| match error {
        Error::Diverged { .. } => {
            let lr = run.trainer().objective().recipe.generator.optimizer.lr.range().1;
            anyhow!("{error}: {again} --set lr={:e}", lr / 4.0)
        }
        // Whatever else stopped it, what was saved is still there.
        other => {
            anyhow!("{other}\nThe last checkpoint is kept; when the cause is mended, go on with: {again}")
        }
    });
    let metric = run.trainer().objective().recipe.best.as_ref().map_or(String::new(), |b| b.metric.clone());
    let Finished { root, samples, checkpoint, interrupted, step, images, seconds, mixture, best } = ended?;
    if options.json {
        let line = serde_json::json!({
            "event": if interrupted { "interrupted" } else { "finished" }, "run": root, "samples": samples,
            "checkpoint": checkpoint, "step": step, "images": images, "seconds": seconds,
            "peak_rss_bytes": peak_of_this_process(),
            "best": best.as_ref().map(|(path, best)| serde_json::json!({
                "metric": metric, "score": best.score, "step": best.step, "checkpoint": path,
            })),
            "mixture": mixture.as_ref().map(|m| serde_json::json!({
                "samples": m.samples, "modes": m.modes, "total_modes": m.total_modes,
                "high_quality": m.high_quality, "reverse_kl": m.reverse_kl,
                "reverse_kl_floor": m.reverse_kl_floor, "spread": m.spread,
            })),
        });
        tell!("{line}");
    } else {
        let what = if interrupted { "Stopped" } else { "Done" };
        tell!("{what} after {images} images ({step} steps) in {}.", human::duration(seconds));
        if let Some(m) = &mixture {
            let kl = m.reverse_kl.map_or("-".into(), |kl| format!("{kl:.4}"));
            let spread = m.spread_range().map_or("-".into(), |(low, high)| format!("{low:.2} to {high:.2}"));
            tell!(
                "{} samples: {} of {} modes, {:.1} % within 3 sigma (perfect 98.9), reverse KL {kl}, spread inside \
                 modes {spread} sigma (perfect 0.97).",
                m.samples,
                m.modes,
                m.total_modes,
                100.0 * m.high_quality
            );
        }
        if let Some((path, best)) = &best {
            tell!(
                "Best by {metric}: {:.6} at step {}, kept as {} (ganymede sample {} --best).",
                best.score,
                best.step,
                path.display(),
                root.display()
            );
        }
        tell!("Last samples: {}", samples.display());
        if interrupted {
            tell!("Go on with: {again}");
        } else {
            tell!("More samples: ganymede sample {} --n 100 --out samples.png", root.display());
        }
        tell!("Run folder: {}", root.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets a run watch for overfitting where a part of its data is held out.
fn hold_out(run: &mut Run, dataset: &Dataset) -> anyhow::Result<()> {
    if dataset.len().is_none() {
        return Ok(());
    }
    let options = OpenOptions { split: Split::Test, ..OpenOptions::default() }.for_shape(dataset.shape());
    // Data without such a part train as well.
    if let Ok(held_out) = ganymede_data::open(dataset.spec(), &options) {
        run.watch_held_out(&held_out)?;
    }
    Ok(())
}

fn resume(options: &Train, path: &Path) -> anyhow::Result<ExitCode> {
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
        Some(length) => planned_images(length, &recipe, &dataset)?,
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
    let executor = executor(options.threads)?;
    let objective = Objective::new(recipe.clone())?;
    tell_precision(&executor, recipe.train.precision);
    check_fit(&objective, &dataset)?;
    let step = checkpoint.progress.step;
    let cost = ganymede::cost::of_run(&objective, target(&objective, &executor))?;
    announce(options, &objective, &cost, &dataset, &executor, &root, begun.seed);
    let set = dataset.clone();
    let mut run = Run::resume(folder, recipe, checkpoint, dataset, executor, begun.seed, longer)?;
    hold_out(&mut run, &set)?;
    if options.json {
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
        let option = match (options.set.is_empty(), options.precision) {
            (false, _) => "--set",
            (true, Some(_)) => "--precision",
            (true, None) => "--memory",
        };
        bail!(
            "{root}: the run is finished, after {done} images, so {option} would change nothing: add --images N to go on"
        );
    }
    if options.json {
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

fn dry_run(
    options: &Train,
    objective: &Objective,
    dataset: &Dataset,
    length: Length,
    executor: &Executor,
) -> anyhow::Result<ExitCode> {
    check_fit(objective, dataset)?;
    let cost = ganymede::cost::of_run(objective, target(objective, executor))?;
    let memory = Memory::of_run(&cost, objective, dataset, executor.threads());
    let images = planned_images(length, &objective.recipe, dataset)?;
    if options.json {
        let layers = |side| {
            let (_, rows) = objective.describe(side);
            let row = |r: &LayerRow| {
                serde_json::json!({
                    "name": r.path, "layer": r.layer, "output": r.output[1..], "parameters": r.parameters,
                })
            };
            rows.iter().map(row).collect::<Vec<_>>()
        };
        let line = serde_json::json!({
            "recipe": objective.recipe, "data": dataset.spec(), "images": images,
            "generator_layers": layers(Side::Generator), "discriminator_layers": layers(Side::Discriminator),
            "generator_parameters": objective.params(Side::Generator).count_trainable(),
            "discriminator_parameters": objective.params(Side::Discriminator).count_trainable(),
            "gflop_per_step": cost.flops as f64 / 1e9, "peak_bytes": memory.total(), "state_bytes": cost.state_bytes,
            "memory": {
                "process": memory.process, "calls": memory.calls, "state": memory.state, "scratch": memory.scratch,
                "feeds": memory.feeds, "threads": memory.threads, "data": memory.data, "samples": memory.samples,
            },
            "precision": target(objective, executor).precision.name(), "notes": objective.remarks(),
        });
        say!("{line}")?;
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", objective.recipe.to_toml().trim_end())?;
    let batch = objective.recipe.train.batch;
    for side in [Side::Generator, Side::Discriminator] {
        let (params, layers) = objective.describe(side);
        let title = match side {
            Side::Generator => "Generator",
            Side::Discriminator => "Discriminator",
        };
        say!("\n{title}\n{}", ganymede_nn::summary::table(&layers, &params))?;
    }
    say!("data             {} of shape {:?}", dataset.spec(), dataset.shape())?;
    if let Some(images) = images {
        say!(
            "length           {images} images, {} steps",
            images.div_ceil((batch * objective.recipe.train.critic_steps) as u64)
        )?;
    }
    say!("work             {:.2} GFLOP a step of {batch} samples", cost.flops as f64 / 1e9)?;
    say!("memory           {} at the peak of the process:", bytes(memory.total()))?;
    for (what, amount) in [
        ("state: weights, moments, averages", memory.state),
        ("activations and gradients", memory.scratch),
        ("scratch of the threads", memory.threads),
        ("feeds, results, constants", memory.feeds),
        ("data set and batches ahead", memory.data),
        ("pictures of samples", memory.samples),
        ("kernel tables", memory.calls),
        ("the program itself", memory.process),
    ] {
        say!("                 {:>10}  {what}", bytes(amount))?;
    }
    say!("checkpoint       {}", bytes(cost.state_bytes))?;
    for remark in objective.remarks() {
        say!("note             {remark}")?;
    }
    Ok(ExitCode::SUCCESS)
}
