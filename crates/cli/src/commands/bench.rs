use super::{executor, tell_precision};
use crate::args::Bench;
use crate::say::say;
use anyhow::{Context, bail};
use ganymede::Objective;
use ganymede::workloads::{WORKLOADS, Workload, measure};
use std::process::{Command, ExitCode};

pub fn run(options: &Bench) -> anyhow::Result<ExitCode> {
    for name in &options.workloads {
        Workload::find(name)?;
    }
    let names: Vec<&str> = if options.workloads.is_empty() {
        WORKLOADS.iter().map(|w| w.name).collect()
    } else {
        options.workloads.iter().map(String::as_str).collect()
    };
    if options.here {
        for name in names {
            one(options, name)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    // Each workload gets a process of its own, so that the memory reported is its own.
    let program = std::env::current_exe().context("cannot find this program to start it again")?;
    if !options.json {
        say!(
            "{:<13} {:>6} {:>10} {:>10} {:>9} {:>8} {:>8}",
            "workload",
            "batch",
            "ms min",
            "ms median",
            "GFLOP/s",
            "RSS MB",
            "plan MB"
        )?;
    }
    for name in names {
        let mut child = Command::new(&program);
        child.args(["bench", name, "--here"]);
        if options.json {
            child.arg("--json");
        }
        if options.profile {
            child.arg("--profile");
        }
        child.args(["--precision", options.precision.name()]);
        if let Some(threads) = options.threads {
            child.args(["--threads", &threads.to_string()]);
        }
        let status = child.status().with_context(|| format!("cannot start {}", program.display()))?;
        if status.code().is_some() && !status.success() {
            // It has said itself what is wrong.
            return Ok(ExitCode::from(1));
        }
        if !status.success() {
            bail!("workload `{name}` failed ({status})");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn one(options: &Bench, name: &str) -> anyhow::Result<()> {
    let mut recipe = Workload::find(name)?.recipe()?;
    recipe.train.precision = options.precision.into();
    let executor = executor(options.threads)?;
    tell_precision(&executor, options.precision);
    let m = measure(Objective::new(recipe)?, executor, options.profile)?;
    if options.json {
        say!("{}", serde_json::to_string(&m)?)?;
        return Ok(());
    }
    say!(
        "{:<13} {:>6} {:>10.3} {:>10.3} {:>9.1} {:>8} {:>8}",
        m.workload,
        m.batch,
        m.ms_min,
        m.ms_med,
        m.gflops,
        m.rss_mb,
        m.planned_mb
    )?;
    for k in &m.kernels {
        say!("    {:>9.3} ms {:>8.1} GFLOP/s  {}", k.ms, k.gflops, k.label)?;
    }
    Ok(())
}
