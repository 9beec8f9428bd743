use super::fit::{check_fit, for_classes};
use super::{executor, interrupts, tell_precision};
use crate::args::Sweep;
use crate::human;
use crate::opening::open_data;
use crate::say::{complain, say, tell};
use anyhow::Context;
use ganymede::checkpoint::write_atomically;
use ganymede::eval::{Better, Drawn, Evaluator, Options, SourceInfo};
use ganymede::run::{Finished, Length, Observer, Run, RunFolder, planned_images};
use ganymede::sweep::{Axis, Outcome, Score, Setting, Table, fingerprint, settings};
use ganymede::{Error, Objective, Recipe};
use ganymede_cpu::Executor;
use ganymede_data::{Dataset, OpenOptions};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says nothing of a run but what is worth a sentence.
struct Quiet;

impl Observer for Quiet {
    fn note(&mut self, message: &str) {
        complain!("  {message}");
    }
}

/// What all runs share.
struct Plan<'a> {
    options: &'a Sweep,
    spec: &'a str,
    metrics: Vec<String>,
    length: Length,
    budget: String,
    root: PathBuf,
    executor: Arc<Executor>,
    stop: Arc<AtomicBool>,
}

pub fn run(options: &Sweep) -> anyhow::Result<ExitCode> {
    let axes = options.set.iter().map(|text| Axis::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let with_options = options.training.changes(&options.computing);
    let load = |changes: &[String]| {
        let changes: Vec<String> = changes.iter().chain(&with_options).cloned().collect();
        Recipe::load(&options.recipe, &changes)
    };
    let first = load(&[])?;
    let length = match (options.minutes, options.images) {
        (Some(minutes), _) => Length::Minutes(minutes),
        (None, Some(images)) => Length::Images(images),
        (None, None) => Length::Images(first.train.images),
    };
    let budget = match length {
        Length::Minutes(minutes) => format!("{minutes} minutes"),
        Length::Images(images) => format!("{images} images"),
        Length::Steps(n) => format!("{n} steps"),
        Length::Epochs(n) => format!("{n} epochs"),
    };
    let settings = settings(&axes, options.seeds as usize, load)?;
    let spec = options.data.clone().unwrap_or_else(|| first.data.default.clone());
    // What does not fit the data shall not be found out after hours.
    let asked = OpenOptions::default().for_shape(&first.data.shape);
    let first_set = Arc::new(open_data(&spec, asked)?);
    for setting in &settings {
        let recipe = for_classes(load(&setting.changes)?, &first_set);
        planned_images(length, &recipe, &first_set)?;
        check_fit(&Objective::new(recipe)?, &first_set)?;
    }
    let metrics = options.metrics.clone().unwrap_or_else(|| vec!["frechet".to_string()]);
    let plan = Plan {
        options,
        spec: &spec,
        metrics,
        length,
        budget,
        root: options.out.clone().unwrap_or_else(|| Path::new("sweeps").join(&first.name)),
        executor: executor(options.computing.threads)?,
        stop: interrupts()?,
    };
    tell_precision(&plan.executor, first.train.precision);
    std::fs::create_dir_all(&plan.root)
        .with_context(|| format!("{}: cannot make the folder", plan.root.display()))?;
    let record = plan.root.join("sweep.jsonl");
    let mut outcomes = recorded(&record)?;
    let runs = settings.len() * options.seeds as usize;
    if !options.computing.json {
        tell!(
            "{runs} runs of {} on {spec}: {} settings, {} seeds, {} each. Folder: {}",
            plan.budget,
            settings.len(),
            options.seeds,
            plan.budget,
            plan.root.display()
        );
    }
    // The real side of the scores of images, once for all runs.
    let mut evaluator = None;
    let mut found = Vec::new();
    for (number, setting) in settings.iter().enumerate() {
        for seed in 0..options.seeds {
            // What is drawn without end depends on the seed; files are read once for all runs.
            let dataset = match first_set.len() {
                Some(_) => first_set.clone(),
                None => Arc::new(open_data(&spec, OpenOptions { seed, ..asked })?),
            };
            let recipe = for_classes(load(&setting.changes)?, &dataset);
            let hash = fingerprint(&spec, &dataset.hash().to_string(), &recipe);
            let same = |o: &Outcome| {
                o.setting == *setting && o.seed == seed && o.budget == plan.budget && o.recipe == hash
            };
            let outcome = match outcomes.iter().position(same) {
                Some(at) => outcomes.swap_remove(at),
                None => {
                    let folder = plan.root.join(setting.folder(number)).join(format!("seed-{seed}"));
                    let Some(outcome) =
                        plan.train(setting, seed, hash, (recipe, dataset), &folder, &mut evaluator)?
                    else {
                        complain!("stopped; the same command goes on with what is missing");
                        return Ok(ExitCode::from(130));
                    };
                    append(&record, &outcome)?;
                    outcome
                }
            };
            if options.computing.json {
                say!("{}", serde_json::to_string(&outcome)?)?;
            } else {
                let scores = outcome.scores.iter().map(|s| format!("{} {:.4}", s.name, s.value));
                let scores =
                    outcome.diverged.clone().unwrap_or_else(|| scores.collect::<Vec<_>>().join(", "));
                tell!(
                    "  {} seed {seed}: {} images in {}: {scores}",
                    setting.label(),
                    outcome.images,
                    human::duration(outcome.seconds)
                );
            }
            found.push(outcome);
        }
    }
    let table = Table::new(&settings, &found)?;
    let intervals = if options.seeds > 1 {
        format!("Mean ± half of the 95 % interval (Student's t) over {} seeds", options.seeds)
    } else {
        "One seed, so no interval".to_string()
    };
    let text = format!(
        "{intervals}; {} on {spec}, {} a run, {} threads, {}.\n\n{}",
        first.name,
        plan.budget,
        plan.executor.threads(),
        plan.executor.isa().name(),
        table.markdown()
    );
    let path = plan.root.join("table.md");
    write_atomically(&path, text.as_bytes()).with_context(|| format!("{}: cannot write", path.display()))?;
    if !options.computing.json {
        say!("\n{text}\nTable: {}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Plan<'_> {
    /// One run and its scores; `None` where it was stopped.
    fn train(
        &self,
        setting: &Setting,
        seed: u64,
        hash: String,
        (recipe, dataset): (Recipe, Arc<Dataset>),
        root: &Path,
        evaluator: &mut Option<Evaluator>,
    ) -> anyhow::Result<Option<Outcome>> {
        // What a stopped sweep left unfinished is made again: a run of some minutes cannot go on fairly.
        if root.exists() {
            std::fs::remove_dir_all(root).with_context(|| format!("{}: cannot remove", root.display()))?;
        }
        let folder = RunFolder::create(root)?;
        let mut run = Run::begin(folder, recipe, dataset, self.executor.clone(), seed, self.length)?;
        let ended = run.train(&self.stop, &mut Quiet);
        let progress = run.trainer().progress();
        let (images, seconds) = (progress.images, progress.seconds);
        let outcome = |scores, diverged| Outcome {
            setting: setting.clone(),
            seed,
            budget: self.budget.clone(),
            recipe: hash.clone(),
            images,
            seconds,
            scores,
            diverged,
        };
        match ended {
            Err(error @ Error::Diverged { .. }) => Ok(Some(outcome(Vec::new(), Some(error.to_string())))),
            Err(error) => Err(error.into()),
            Ok(finished) if finished.interrupted && self.stop.load(Ordering::Relaxed) => Ok(None),
            Ok(finished) => Ok(Some(outcome(self.scores(&mut run, &finished, evaluator)?, None))),
        }
    }

    /// Of a known mixture its own scores, of images those of the metrics that were asked for.
    fn scores(
        &self,
        run: &mut Run,
        finished: &Finished,
        evaluator: &mut Option<Evaluator>,
    ) -> anyhow::Result<Vec<Score>> {
        let Some(m) = &finished.mixture else {
            let shape = run.trainer().objective().recipe.data.shape.clone();
            let evaluator = match evaluator {
                Some(evaluator) => evaluator,
                None => {
                    let chosen = Options {
                        metrics: Some(self.metrics.clone()),
                        n: self.options.n.map(|n| n as usize),
                        ..Options::default()
                    };
                    let executor = self.executor.clone();
                    evaluator.insert(Evaluator::open(self.spec, Some(&shape), chosen, executor)?)
                }
            };
            let info = SourceInfo {
                path: finished.checkpoint.display().to_string(),
                step: Some(finished.step),
                images: Some(finished.images),
            };
            let (objective, session) = run.parts_mut();
            let report = evaluator.evaluate(&mut Drawn::new(objective, session, 0, info), &mut ())?;
            return Ok(report
                .scores
                .into_iter()
                .map(|score| match score.better {
                    Better::Lower => Score::new(score.name, score.value, true),
                    Better::Higher => Score::new(score.name, score.value, false),
                    Better::Neither => Score::note(score.name, score.value),
                })
                .collect());
        };
        let mut scores = vec![
            Score::new(format!("modes of {}", m.total_modes), m.modes as f64, false),
            Score::new("within 3 sigma", m.high_quality, false),
        ];
        scores.extend(m.reverse_kl.map(|kl| Score::new("reverse KL", kl, true)));
        if let Some((low, high)) = m.spread_range() {
            scores.extend([Score::note("least spread", low), Score::note("largest spread", high)]);
        }
        Ok(scores)
    }
}

/// The outcomes of earlier calls. A line that a kill cut short is passed over, and its run made again.
fn recorded(path: &Path) -> anyhow::Result<Vec<Outcome>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("{}: cannot read", path.display())),
    }
}

fn append(path: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    let line = serde_json::to_string(outcome)?;
    let write = || {
        let mut file = File::options().create(true).append(true).open(path)?;
        // A line of its own even behind one that was cut short.
        file.write_all(format!("\n{line}\n").as_bytes())?;
        file.sync_data()
    };
    write().with_context(|| format!("{}: cannot write", path.display()))
}
