use super::{Loaded, Use, executor, load};
use crate::args::Eval;
use crate::progress::Follow;
use crate::say::{complain, say};
use anyhow::{Context, anyhow, bail};
use ganymede::eval::checks::CHECKS;
use ganymede::eval::compare::{Comparison, Verdict};
use ganymede::eval::metrics::METRICS;
use ganymede::eval::{Before, Better, Drawn, Evaluator, Images, Options, Report, SampleSource, figure};
use ganymede::extractors::EXTRACTORS;
use ganymede::extractors::pretrained::NETWORKS;
use ganymede::{Error, checkpoint};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Whether a path is a trained run, or a part of one.
fn is_run(path: &Path) -> bool {
    path.is_file() || path.join("checkpoints").is_dir() || !checkpoint::list(path).is_empty()
}

/// Where what is found of a run or folder goes: into the run's folder, or the folder itself.
fn beside(path: &Path, name: &str) -> PathBuf {
    let folder = if path.is_file() { path.parent().unwrap_or(Path::new("")) } else { path };
    let inside = folder.file_name().is_some_and(|name| name == "checkpoints");
    let folder = if inside { folder.parent().unwrap_or(folder) } else { folder };
    folder.join(name)
}

/// What is scored, opened.
enum Opened {
    Run(Box<Loaded>),
    Folder(PathBuf),
}

impl Opened {
    fn new(path: &Path, options: &Eval) -> anyhow::Result<Self> {
        let how = Use::of(&options.trained, &options.computing);
        if is_run(path) {
            return Ok(Self::Run(Box::new(load(path, how, executor(options.computing.threads)?)?)));
        }
        if !path.is_dir() {
            bail!("{}: there is no such run, checkpoint or folder of images", path.display());
        }
        Ok(Self::Folder(path.to_path_buf()))
    }

    /// The data that it was trained on, and their shape.
    fn data(&self) -> Option<(String, Vec<usize>)> {
        let Self::Run(loaded) = self else { return None };
        let recipe = &loaded.objective.recipe;
        let own = || recipe.run.as_ref().map_or_else(|| recipe.data.default.clone(), |run| run.data.clone());
        Some((own(), recipe.data.shape.clone()))
    }

    /// Hands its samples over.
    fn with<T>(
        &mut self,
        evaluator: &mut Evaluator,
        seed: u64,
        work: impl FnOnce(&mut Evaluator, &mut dyn SampleSource) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self {
            Self::Run(loaded) => {
                let info = loaded.info();
                let drawn = Drawn::new(&loaded.objective, &mut loaded.session, seed, info);
                let (mut drawn, unnamed) = drawn.numbered_as(evaluator.data());
                if let Some(reason) = unnamed {
                    complain!("warning: {reason}");
                }
                work(evaluator, &mut drawn)
            }
            Self::Folder(path) => {
                let mut images = Images::open(path, evaluator.data(), seed)?;
                work(evaluator, &mut images)
            }
        }
    }
}

pub fn run(options: &Eval) -> anyhow::Result<ExitCode> {
    if options.list {
        return list(options.computing.json);
    }
    let Some(path) = &options.samples else { bail!("name a run or a folder of images") };
    let chosen = Options {
        metrics: options.metrics.clone(),
        n: options.n.map(|n| n as usize),
        real: options.real,
        seed: options.seed,
        extractor: options.extractor.clone(),
        split: options.split,
        batch: options.batch.map(|n| n as usize),
    };
    let mut opened = Opened::new(path, options)?;
    let mut against = options.against.as_deref().map(|path| Opened::new(path, options)).transpose()?;
    let runs = |opened: &Opened| matches!(opened, Opened::Run(_));
    let asked = options.trained.best || options.trained.standing_statistics.is_some();
    if asked && !runs(&opened) && !against.as_ref().is_some_and(runs) {
        bail!(
            "{}: not a run, and --best and --standing-statistics are of runs: leave them out",
            path.display()
        );
    }
    let own = opened.data().or_else(|| against.as_ref().and_then(Opened::data));
    let data =
        options.data.clone().or_else(|| own.as_ref().map(|(data, _)| data.clone())).ok_or_else(|| {
            anyhow!(
                "{}: not a run, so what its images are compared with must be named: --data DATA",
                path.display()
            )
        })?;
    let shape = own.map(|(_, shape)| shape);
    let executor = match &opened {
        Opened::Run(loaded) => loaded.session.executor().clone(),
        Opened::Folder(_) => executor(options.computing.threads)?,
    };
    let mut evaluator = Evaluator::open(&data, shape.as_deref(), chosen, executor)?;
    let mut follow = Follow::default();
    let ended = match &mut against {
        Some(other) => {
            let other_path = options.against.as_deref().unwrap_or(path);
            compare(options, [path, other_path], &mut opened, other, &mut evaluator, &mut follow)
        }
        None => score(options, path, &mut opened, &mut evaluator, &mut follow),
    };
    follow.clear();
    ended
}

/// Scores one, with checks unless metrics are named.
fn score(
    options: &Eval,
    path: &Path,
    opened: &mut Opened,
    evaluator: &mut Evaluator,
    follow: &mut Follow,
) -> anyhow::Result<ExitCode> {
    let to = beside(path, "report.json");
    if options.metrics.is_some() {
        let report =
            opened.with(evaluator, options.seed, |evaluator, source| evaluator.evaluate(source, follow));
        follow.clear();
        let report = report?;
        let before = keep(&report, &to)?;
        if options.computing.json {
            say!("{}", serde_json::to_string(&report)?)?;
        } else {
            table(&report)?;
            say!("report in {}{}", to.display(), told(&before))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let examined =
        opened.with(evaluator, options.seed, |evaluator, source| evaluator.examine(source, follow));
    follow.clear();
    let examined = examined?;
    let page = beside(path, "report.html");
    let before = keep(&examined.report, &to)?;
    examined.write_html(&page)?;
    if options.computing.json {
        say!("{}", serde_json::to_string(&examined.report)?)?;
    } else {
        table(&examined.report)?;
        findings(&examined.report)?;
        say!("report in {} and {}{}", to.display(), page.display(), told(&before))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Keeps a report, and the page of one that makes room for it beside that.
fn keep(report: &Report, to: &Path) -> anyhow::Result<Before> {
    let before = report.keep(to)?;
    let page = to.with_extension("html");
    if let (Before::Moved(other), true) = (&before, page.exists()) {
        let other = other.with_extension("html");
        std::fs::rename(&page, &other)
            .with_context(|| format!("{}: cannot be moved to {}", page.display(), other.display()))?;
    }
    Ok(before)
}

/// What became of the report that was there.
fn told(before: &Before) -> String {
    match before {
        Before::Nothing => String::new(),
        Before::Replaced => ", in place of one with the same settings".into(),
        Before::Moved(other) => format!("; the one before, of other settings, is {} now", other.display()),
    }
}

/// Scores two and says what differs.
fn compare(
    options: &Eval,
    paths: [&Path; 2],
    first: &mut Opened,
    second: &mut Opened,
    evaluator: &mut Evaluator,
    follow: &mut Follow,
) -> anyhow::Result<ExitCode> {
    let mut examine = |opened: &mut Opened| {
        opened.with(evaluator, options.seed, |evaluator, source| match options.metrics {
            Some(_) => evaluator.look(source, follow),
            None => evaluator.examine(source, follow),
        })
    };
    let (one, two) = (examine(first)?, examine(second)?);
    let comparison = evaluator.compare(&one, &two, follow)?;
    follow.clear();
    let (to, page) = (beside(paths[0], "comparison.json"), beside(paths[0], "comparison.html"));
    comparison.write(&to)?;
    comparison.write_html(&page, &one.looks, &two.looks)?;
    if options.computing.json {
        say!("{}", serde_json::to_string(&comparison)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Comparison { first, second, differences, sentence } = &comparison;
    say!("first      {}", first.source.path)?;
    say!("second     {}", second.source.path)?;
    let width = differences.iter().map(|d| d.name.chars().count()).max().unwrap_or(0);
    say!("\n{:width$}  {:>10}  {:>10}  {:>10}  95 % interval; better", "", "first", "second", "difference")?;
    for d in differences {
        let interval = d
            .interval
            .map_or("no interval".into(), |[low, high]| format!("{} to {}", figure(low), figure(high)));
        let better = match d.verdict {
            Verdict::First => "first",
            Verdict::Second => "second",
            Verdict::Unclear => "cannot tell",
            Verdict::Neither => "-",
        };
        say!(
            "{:width$}  {:>10}  {:>10}  {:>10}  {interval}; {better}",
            d.name,
            figure(d.first),
            figure(d.second),
            figure(d.difference)
        )?;
    }
    for (name, report) in [("first", first), ("second", second)] {
        for fault in report.findings.iter().filter(|finding| finding.flagged) {
            say!("{name}: {}", fault.sentence)?;
        }
    }
    say!("\n{sentence}")?;
    say!("comparison in {} and {}", to.display(), page.display())?;
    Ok(ExitCode::SUCCESS)
}

/// What the checks found.
fn findings(report: &Report) -> anyhow::Result<()> {
    let width = report.findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or(0);
    say!()?;
    for finding in &report.findings {
        let mark = if finding.flagged { "!" } else { " " };
        say!("{mark} {:width$}  {:>10}  {}", finding.name, figure(finding.value), finding.sentence)?;
    }
    for unchecked in &report.unchecked {
        say!("not checked: {}: {}", unchecked.check, unchecked.reason)?;
    }
    let faults = report.findings.iter().filter(|finding| finding.flagged).count();
    match (faults, report.findings.len()) {
        (0, n) => say!("{n} checks found nothing wrong")?,
        (1, _) => say!("one check found something wrong (!)")?,
        (n, _) => say!("{n} checks found something wrong (!)")?,
    }
    Ok(())
}

fn table(report: &Report) -> anyhow::Result<()> {
    say!(
        "samples    {}{}",
        report.source.path,
        report.source.step.map_or(String::new(), |s| format!(", step {s}"))
    )?;
    say!("data       {}, {} split, BLAKE3 {:.12}", report.data, report.split, report.data_hash)?;
    if let Some(extractor) = &report.extractor {
        let accuracy = (extractor.accuracy.zip(extractor.accuracy_of))
            .map_or(String::new(), |(a, of)| format!(", {:.2} % of {} right", 100.0 * a, of.words()));
        say!(
            "seen by    {}, {} features, BLAKE3 {:.12}{accuracy}",
            extractor.name,
            extractor.dimensions,
            extractor.hash
        )?;
    }
    if report.extractor.is_some() {
        say!("resizer    {}", report.resizer)?;
    }
    if let (Some(generated), Some(real)) = (report.generated, report.real) {
        say!("compared   {generated} samples with {real} real ones")?;
    }
    let width = report.scores.iter().map(|score| score.name.chars().count()).max().unwrap_or(0);
    say!()?;
    for score in &report.scores {
        let better = match score.better {
            Better::Lower => "lower is better",
            Better::Higher => "higher is better",
            Better::Neither => "",
        };
        let interval =
            score.interval.map(|[low, high]| format!("95 % interval {} to {}", figure(low), figure(high)));
        let words: Vec<&str> = [better, interval.as_deref().unwrap_or(""), &score.note]
            .into_iter()
            .filter(|w| !w.is_empty())
            .collect();
        say!("{:width$}  {:>10}  {}", score.name, figure(score.value), words.join("; "))?;
    }
    for skipped in &report.skipped {
        say!("not computed: {}: {}", skipped.metric, skipped.reason)?;
    }
    Ok(())
}

fn list(json: bool) -> anyhow::Result<ExitCode> {
    if json {
        let metrics: Vec<_> = METRICS
            .iter()
            .map(|m| serde_json::json!({"metric": m.name(), "about": m.about(), "paper": m.paper(), "better": m.better(), "when_named": m.on_request().is_some()}))
            .collect();
        let extractors: Vec<_> = EXTRACTORS
            .iter()
            .map(|k| serde_json::json!({"extractor": k.name(), "about": k.about()}))
            .collect();
        let checks: Vec<_> = CHECKS
            .iter()
            .map(|c| serde_json::json!({"check": c.name(), "about": c.about(), "paper": c.paper()}))
            .collect();
        let networks: Vec<_> = NETWORKS
            .iter()
            .map(|n| serde_json::json!({"network": n.name(), "about": n.about(), "paper": n.paper(), "weights": n.published()}))
            .collect();
        let all = serde_json::json!({"metrics": metrics, "checks": checks, "extractors": extractors, "networks": networks});
        say!("{all}")?;
        return Ok(ExitCode::SUCCESS);
    }
    say!("Metrics")?;
    for metric in METRICS {
        let named = if metric.on_request().is_some() { " Computed when named." } else { "" };
        say!("  {:18} {} {}.{named}", metric.name(), metric.about(), metric.paper())?;
    }
    say!("Checks, made unless metrics are named")?;
    for check in CHECKS {
        say!("  {:18} {} {}.", check.name(), check.about(), check.paper())?;
    }
    say!("Extractors, or a file of a classifier's weights (.safetensors or PyTorch's)")?;
    for kind in EXTRACTORS {
        say!("  {:18} {}", kind.name(), kind.about())?;
    }
    say!("Networks, whose weights you give as a file: --extractor FILE[?resizer=NAME]")?;
    for network in NETWORKS {
        say!("  {} ({})", network.name(), network.paper())?;
        say!("  {:18} {}", "", network.about())?;
        say!("  {:18} Weights: {}.", "", network.published())?;
    }
    Ok(ExitCode::SUCCESS)
}
