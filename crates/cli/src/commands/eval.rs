use super::{executor, load};
use crate::args::Eval;
use crate::progress::counter;
use crate::say::{complain, say};
use anyhow::{anyhow, bail};
use ganymede::checkpoint;
use ganymede::eval::metrics::METRICS;
use ganymede::eval::{Better, Drawn, Evaluator, Images, Options, Report, SourceInfo};
use ganymede::extractors::pretrained::NETWORKS;
use ganymede::extractors::{EXTRACTORS, Watch};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Shows how far a piece of work is, one after the other.
#[derive(Default)]
struct Follow {
    bar: Option<(&'static str, ProgressBar)>,
}

impl Follow {
    fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Watch for Follow {
    fn note(&mut self, message: &str) {
        self.clear();
        complain!("{message}");
    }

    fn moved(&mut self, what: &'static str, done: u64, total: u64) {
        if self.bar.as_ref().is_none_or(|(of, _)| *of != what) {
            self.clear();
            self.bar = counter(total, what).map(|bar| (what, bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done);
        }
        if done >= total {
            self.clear();
        }
    }
}

/// Whether a path is a trained run, or a part of one.
fn is_run(path: &Path) -> bool {
    path.is_file() || path.join("checkpoints").is_dir() || !checkpoint::list(path).is_empty()
}

/// Where the report of a run or folder goes: into the run's folder, or the folder itself.
fn report_path(path: &Path) -> PathBuf {
    let folder = if path.is_file() { path.parent().unwrap_or(Path::new("")) } else { path };
    let inside = folder.file_name().is_some_and(|name| name == "checkpoints");
    let folder = if inside { folder.parent().unwrap_or(folder) } else { folder };
    folder.join("report.json")
}

pub fn run(options: &Eval) -> anyhow::Result<ExitCode> {
    if options.list {
        return list(options.json);
    }
    let Some(path) = &options.samples else { bail!("name a run or a folder of images") };
    let chosen = Options {
        metrics: options.metrics.clone(),
        n: options.n.map(|n| n as usize),
        seed: options.seed,
        extractor: options.extractor.clone(),
        split: options.split,
    };
    let mut follow = Follow::default();
    let report = if is_run(path) {
        let mut loaded = load(path, options.threads, options.precision)?;
        let recipe = &loaded.objective.recipe;
        let own = || recipe.run.as_ref().map_or_else(|| recipe.data.default.clone(), |run| run.data.clone());
        let data = options.data.clone().unwrap_or_else(own);
        let executor = loaded.session.executor().clone();
        let mut evaluator = Evaluator::open(&data, Some(&recipe.data.shape), chosen, executor)?;
        let info = SourceInfo {
            path: loaded.checkpoint.display().to_string(),
            step: Some(loaded.step),
            images: Some(loaded.images),
        };
        let mut drawn = Drawn::new(&loaded.objective, &mut loaded.session, options.seed, info);
        evaluator.evaluate(&mut drawn, &mut follow)
    } else {
        let data = options.data.as_deref().ok_or_else(|| {
            anyhow!(
                "{}: not a run, so what its images are compared with must be named: --data DATA",
                path.display()
            )
        })?;
        let mut evaluator = Evaluator::open(data, None, chosen, executor(options.threads)?)?;
        let mut images = Images::open(path, evaluator.data(), options.seed)?;
        evaluator.evaluate(&mut images, &mut follow)
    };
    follow.clear();
    let report = report?;
    let to = report_path(path);
    report.write(&to)?;
    if options.json {
        say!("{}", serde_json::to_string(&report)?)?;
    } else {
        table(&report)?;
        say!("report in {}", to.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A figure with as many digits as mean something.
fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 1e5 || (v < 1e-3 && v > 0.0) => format!("{value:.3e}"),
        v if v >= 100.0 => format!("{value:.1}").trim_end_matches(".0").to_string(),
        _ => format!("{value:.4}"),
    }
}

fn table(report: &Report) -> anyhow::Result<()> {
    say!(
        "samples    {}{}",
        report.source.path,
        report.source.step.map_or(String::new(), |s| format!(", step {s}"))
    )?;
    say!("data       {}, {} split, BLAKE3 {:.12}", report.data, report.split, report.data_hash)?;
    if let Some(extractor) = &report.extractor {
        let accuracy = extractor
            .accuracy
            .map_or(String::new(), |a| format!(", {:.2} % of held-out real samples right", 100.0 * a));
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
            .map(|m| serde_json::json!({"metric": m.name(), "about": m.about(), "paper": m.paper(), "better": m.better()}))
            .collect();
        let extractors: Vec<_> = EXTRACTORS
            .iter()
            .map(|k| serde_json::json!({"extractor": k.name(), "about": k.about()}))
            .collect();
        let networks: Vec<_> = NETWORKS
            .iter()
            .map(|n| serde_json::json!({"network": n.name(), "about": n.about(), "paper": n.paper(), "weights": n.published()}))
            .collect();
        say!("{}", serde_json::json!({"metrics": metrics, "extractors": extractors, "networks": networks}))?;
        return Ok(ExitCode::SUCCESS);
    }
    say!("Metrics")?;
    for metric in METRICS {
        say!("  {:17} {} {}.", metric.name(), metric.about(), metric.paper())?;
    }
    say!("Extractors, or a file of a classifier's weights (.safetensors or PyTorch's)")?;
    for kind in EXTRACTORS {
        say!("  {:17} {}", kind.name(), kind.about())?;
    }
    say!("Networks, whose weights you give as a file: --extractor FILE[?resizer=NAME]")?;
    for network in NETWORKS {
        say!("  {} ({})", network.name(), network.paper())?;
        say!("  {:17} {}", "", network.about())?;
        say!("  {:17} Weights: {}.", "", network.published())?;
    }
    Ok(ExitCode::SUCCESS)
}
