use super::auto::{AUTO, USUAL_DATA, changed, chosen};
use super::fit::{check_fit, for_classes};
use super::{Loaded, Use, executor, interrupts, load, tell_precision};
use crate::args::Sweep;
use crate::human;
use crate::opening::open_data;
use crate::progress::Follow;
use crate::say::{complain, say, tell};
use anyhow::{Context, bail};
use ganymede::checkpoint::write_atomically;
use ganymede::eval::{Better, Drawn, Evaluator, Options, SampleSource, SourceInfo};
use ganymede::run::{Length, MixtureScore, Observer, Run, RunFolder, planned_images};
use ganymede::sweep::{
    Axis, Found, Outcome, Score, Scoring, Setting, Table, Wanted, check_distinct, find, fingerprint, settings,
};
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
    spec: &'a str,
    length: Length,
    budget: String,
    root: PathBuf,
    executor: Arc<Executor>,
    stop: Arc<AtomicBool>,
    /// How samples are scored, where the data are no mixture, which has scores of its own.
    judge: Option<Judge>,
}

/// What scores the samples of runs, and how.
struct Judge {
    evaluator: Evaluator,
    scoring: Scoring,
}

pub fn run(options: &Sweep) -> anyhow::Result<ExitCode> {
    let axes = options.set.iter().map(|text| Axis::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let with_options = options.training.changes(&options.computing);
    let chosen = match options.recipe == AUTO {
        true => {
            let set = open_data(options.data.as_deref().unwrap_or(USUAL_DATA), OpenOptions::default())?;
            Some(chosen(&set, options.minutes, &[])?)
        }
        false => None,
    };
    let load = |changes: &[String]| {
        let changes: Vec<String> = changes.iter().chain(&with_options).cloned().collect();
        match &chosen {
            Some(recipe) => changed(recipe, &changes),
            None => Recipe::load(&options.recipe, &changes),
        }
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
    let usual = if chosen.is_some() { USUAL_DATA } else { first.data.default.as_str() };
    let spec = options.data.clone().unwrap_or_else(|| usual.to_string());
    // What does not fit the data shall not be found out after hours.
    let asked = OpenOptions::default().for_shape(&first.data.shape);
    let first_set = Arc::new(open_data(&spec, asked)?);
    let settings: Vec<(Setting, Recipe)> =
        settings.into_iter().map(|(setting, recipe)| (setting, for_classes(recipe, &first_set))).collect();
    check_distinct(&settings)?;
    for (_, recipe) in &settings {
        planned_images(length, recipe, &first_set)?;
        check_fit(&Objective::new(recipe.clone())?, &first_set)?;
    }
    let root = options.out.clone().unwrap_or_else(|| Path::new("sweeps").join(&first.name));
    let executor = executor(options.computing.threads)?;
    tell_precision(&executor, first.train.precision);
    if !options.computing.json {
        tell!(
            "{} runs on {spec}: {} settings, {} seeds, {} each. Folder: {}",
            settings.len() * options.seeds as usize,
            settings.len(),
            options.seeds,
            budget,
            root.display()
        );
    }
    let judge = judge(options, &spec, &settings, &first_set, &executor)?;
    std::fs::create_dir_all(&root).with_context(|| format!("{}: cannot make the folder", root.display()))?;
    // Held to the end: another sweep here would train, and remove, the same runs.
    let _lock = RunFolder { root: root.clone() }.lock()?;
    let stop = interrupts()?;
    let mut plan = Plan { spec: &spec, length, budget, root, executor, stop, judge };
    let record = plan.root.join("sweep.jsonl");
    let outcomes = recorded(&record)?;
    let mut found = Vec::new();
    for (number, (setting, recipe)) in settings.iter().enumerate() {
        let mut own = Vec::new();
        for seed in 0..options.seeds {
            // What is drawn without end depends on the seed; files are read once for all runs.
            let dataset = match first_set.len() {
                Some(_) => first_set.clone(),
                None => Arc::new(open_data(&spec, OpenOptions { seed, ..asked })?),
            };
            let run = One {
                setting,
                seed,
                hash: fingerprint(&spec, &dataset.hash().to_string(), recipe),
                recipe,
                dataset,
                folder: format!("{}/seed-{seed}", setting.folder(number)),
            };
            let Some(outcome) = plan.outcome(&run, &outcomes, &record)? else {
                complain!("stopped; the same command goes on with what is missing");
                return Ok(ExitCode::from(130));
            };
            report(options, &outcome)?;
            own.push(outcome);
        }
        found.push((setting.clone(), own));
    }
    let text = format!(
        "{}; {} on {spec}, {} a run, {} threads, {}.\n\n{}{}",
        intervals(options.seeds),
        first.name,
        plan.budget,
        plan.executor.threads(),
        plan.executor.isa().name(),
        Table::new(&found)?.markdown(),
        failures(&found)
    );
    let path = plan.root.join("table.md");
    write_atomically(&path, text.as_bytes()).with_context(|| format!("{}: cannot write", path.display()))?;
    if !options.computing.json {
        say!("\n{text}\nTable: {}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the figures of the table are.
fn intervals(seeds: u64) -> String {
    match seeds {
        1 => "One seed, so no interval".to_string(),
        _ => format!(
            "Mean ± half of the 95 % interval (Student's t) over {seeds} seeds; where not every run has the \
             score, over those in brackets"
        ),
    }
}

/// The runs without scores, a line each, with the reason.
fn failures(found: &[(Setting, Vec<Outcome>)]) -> String {
    let all = found.iter().flat_map(|(_, outcomes)| outcomes);
    let lines = all.filter_map(|o| {
        Some(format!("- {} seed {}: {}\n", o.setting.label(), o.seed, o.failure()?.replace('\n', " ")))
    });
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("\nFailed:\n\n{lines}") }
}

fn report(options: &Sweep, outcome: &Outcome) -> anyhow::Result<()> {
    if options.computing.json {
        say!("{}", serde_json::to_string(outcome)?)?;
        return Ok(());
    }
    let scores = outcome.scores.iter().map(|s| format!("{} {:.4}", s.name, s.value));
    let scores = outcome.failure().map_or_else(|| scores.collect::<Vec<_>>().join(", "), str::to_string);
    tell!(
        "  {} seed {}: {} images in {}: {scores}",
        outcome.setting.label(),
        outcome.seed,
        outcome.images,
        human::duration(outcome.seconds)
    );
    Ok(())
}

/// Makes the judge ready and has it score real samples as if they were generated, before anything is trained: what it would
/// say of every run's (unknown metrics, too few samples, labels that are missing) is found out in seconds and not after hours.
fn judge(
    options: &Sweep,
    spec: &str,
    settings: &[(Setting, Recipe)],
    data: &Arc<Dataset>,
    executor: &Arc<Executor>,
) -> anyhow::Result<Option<Judge>> {
    if data.mixture().is_some() {
        if options.metrics.is_some() || options.n.is_some() {
            bail!(
                "{spec} is a known mixture, which is scored by its modes on {} samples: leave --metrics and --n out",
                ganymede::run::SCORED
            );
        }
        return Ok(None);
    }
    let metrics = options.metrics.clone().unwrap_or_else(|| vec!["frechet".to_string()]);
    let chosen =
        Options { metrics: Some(metrics.clone()), n: options.n.map(|n| n as usize), ..Options::default() };
    let mut evaluator = Evaluator::open(spec, Some(data.shape()), chosen, executor.clone())?;
    let mut extractor = None;
    let mut told: Vec<Option<usize>> = settings.iter().map(|(_, recipe)| recipe.data.classes).collect();
    told.sort_unstable();
    told.dedup();
    let mut follow = Follow::default();
    for classes in told {
        let mut real = AsIfDrawn { data: data.clone(), classes };
        let rehearsal = evaluator.evaluate(&mut real, &mut follow);
        follow.clear();
        let rehearsal = rehearsal?;
        extractor = rehearsal.extractor.map(|extractor| extractor.hash);
    }
    Ok(Some(Judge { evaluator, scoring: Scoring { metrics, n: options.n, extractor } }))
}

/// Real samples in the place of a generator's.
struct AsIfDrawn {
    data: Arc<Dataset>,
    classes: Option<usize>,
}

impl SampleSource for AsIfDrawn {
    fn info(&self) -> SourceInfo {
        SourceInfo::named(self.data.spec())
    }

    fn shape(&self) -> &[usize] {
        self.data.shape()
    }

    fn classes(&self) -> Option<usize> {
        self.classes
    }

    fn take(&mut self, first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
        // As often as it takes: a generator has no end.
        let items = self.data.len().unwrap_or(u64::MAX).max(1);
        let places: Vec<u64> = (first..first + count as u64).map(|i| i % items).collect();
        let mut samples = vec![0.0; count * self.data.elements()];
        let mut labels = self.classes.map(|_| vec![0; count]);
        self.data.fill(&places, &mut samples, labels.as_deref_mut())?;
        Ok((samples, labels))
    }
}

/// One run of a sweep.
struct One<'a> {
    setting: &'a Setting,
    seed: u64,
    recipe: &'a Recipe,
    dataset: Arc<Dataset>,
    /// Fingerprint of recipe and data.
    hash: String,
    /// From the sweep's folder on.
    folder: String,
}

impl Plan<'_> {
    /// What came of a run: as recorded, where it was made and scored alike; else it is scored anew, or trained. `None` where it
    /// was stopped.
    fn outcome(&mut self, run: &One<'_>, record: &[Outcome], to: &Path) -> anyhow::Result<Option<Outcome>> {
        let precision = self.executor.precision(run.recipe.train.precision).to_string();
        let wanted = Wanted {
            seed: run.seed,
            budget: &self.budget,
            recipe: &run.hash,
            precision: &precision,
            scoring: self.judge.as_ref().map(|judge| &judge.scoring),
        };
        let found = match find(record, &wanted) {
            Found::Scored(outcome) => {
                return Ok(Some(Outcome { setting: run.setting.clone(), ..outcome.clone() }));
            }
            Found::Trained(outcome) => self.trained(run, outcome),
            Found::Missing => None,
        };
        let outcome = match found {
            Some((outcome, loaded)) => self.score(outcome, loaded)?,
            None => match self.train(run, precision)? {
                None => return Ok(None),
                Some(outcome) if outcome.scoring.is_none() || outcome.failure().is_some() => outcome,
                Some(outcome) => {
                    let folder = self.root.join(&outcome.run);
                    self.score(outcome, load(&folder, Use::default(), self.executor.clone())?)?
                }
            },
        };
        append(to, &outcome)?;
        Ok(Some(outcome))
    }

    /// A recorded run, without its scores, and its last checkpoint; `None` where that is no longer there.
    fn trained(&self, run: &One<'_>, recorded: &Outcome) -> Option<(Outcome, Loaded)> {
        let loaded = load(&self.root.join(&recorded.run), Use::default(), self.executor.clone()).ok()?;
        let recipe = &loaded.objective.recipe;
        let begun = recipe.run.as_ref()?;
        let same = fingerprint(self.spec, &begun.data_hash, recipe) == run.hash
            && begun.seed == run.seed
            && loaded.images == recorded.images;
        let scoring = self.judge.as_ref().map(|judge| judge.scoring.clone());
        let setting = run.setting.clone();
        let outcome = Outcome { setting, scoring, scores: Vec::new(), unscored: None, ..recorded.clone() };
        same.then_some((outcome, loaded))
    }

    /// Trains a run. One of a mixture has its scores then.
    fn train(&self, run: &One<'_>, precision: String) -> anyhow::Result<Option<Outcome>> {
        let root = self.root.join(&run.folder);
        // What a stopped sweep left unfinished is made again: a run of some minutes cannot go on fairly.
        if root.exists() {
            let held = RunFolder { root: root.clone() }.lock()?;
            std::fs::remove_dir_all(&root).with_context(|| format!("{}: cannot remove", root.display()))?;
            drop(held);
        }
        let (recipe, dataset) = (run.recipe.clone(), run.dataset.clone());
        let folder = RunFolder::create(&root)?;
        let mut training = Run::begin(folder, recipe, dataset, self.executor.clone(), run.seed, self.length)?;
        let ended = training.train(&self.stop, &mut Quiet);
        let progress = training.trainer().progress();
        let outcome = Outcome {
            setting: run.setting.clone(),
            seed: run.seed,
            budget: self.budget.clone(),
            recipe: run.hash.clone(),
            precision,
            run: run.folder.clone(),
            images: progress.images,
            seconds: progress.seconds,
            scoring: self.judge.as_ref().map(|judge| judge.scoring.clone()),
            scores: Vec::new(),
            diverged: None,
            unscored: None,
        };
        Ok(match ended {
            Err(error @ Error::Diverged { .. }) => {
                Some(Outcome { diverged: Some(error.to_string()), ..outcome })
            }
            // Points that no mixture can be compared with: all else has been saved by then.
            Err(error @ Error::Metric(_)) => Some(Outcome { unscored: Some(error.to_string()), ..outcome }),
            Err(error) => return Err(error.into()),
            Ok(finished) if finished.interrupted && self.stop.load(Ordering::Relaxed) => None,
            Ok(finished) => Some(match &finished.mixture {
                Some(mixture) => outcome.scored(of_mixture(mixture)),
                None => outcome,
            }),
        })
    }

    /// Scores the samples of a trained run. What only they can be to blame for, such as values that are not finite, is
    /// its result, and the sweep goes on.
    fn score(&mut self, outcome: Outcome, mut loaded: Loaded) -> anyhow::Result<Outcome> {
        let Some(judge) = &mut self.judge else { return Ok(outcome) };
        let info = loaded.info();
        let mut drawn = Drawn::new(&loaded.objective, &mut loaded.session, 0, info);
        match judge.evaluator.evaluate(&mut drawn, &mut ()) {
            Ok(report) => Ok(outcome.scored(report.scores.into_iter().map(of_metric).collect())),
            Err(error @ (Error::Refused(_) | Error::Unsuited(_) | Error::Metric(_))) => {
                Ok(Outcome { unscored: Some(error.to_string()), ..outcome })
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn of_metric(score: ganymede::eval::Score) -> Score {
    match score.better {
        Better::Lower => Score::new(score.name, score.value, true),
        Better::Higher => Score::new(score.name, score.value, false),
        Better::Neither => Score::note(score.name, score.value),
    }
}

fn of_mixture(m: &MixtureScore) -> Vec<Score> {
    let mut scores = vec![
        Score::new(format!("modes of {}", m.total_modes), m.modes as f64, false),
        Score::new("within 3 sigma", m.high_quality, false),
    ];
    scores.extend(m.reverse_kl.map(|kl| Score::new("reverse KL", kl, true)));
    if let Some((low, high)) = m.spread_range() {
        scores.extend([Score::note("least spread", low), Score::note("largest spread", high)]);
    }
    scores
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
