//! The process in which one workload is measured.

use crate::args::Bench;
use crate::commands::{executor, tell_precision};
use crate::say::say;
use anyhow::{Context, anyhow, bail};
use ganymede::Objective;
use ganymede::workloads::{Measurement, Measuring, Point, Workload, measure};
use ganymede_kernels::peak::Peak;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Measures what `arguments` name in a process of its own; `None` if that ended with an error that it has told.
pub fn start(options: &Bench, arguments: &[&str], peak: &Peak) -> anyhow::Result<Option<Measurement>> {
    let program = std::env::current_exe().context("cannot find this program to start it again")?;
    let mut child = Command::new(&program);
    child.arg("bench").args(arguments).args(["--here", "--peak", &written(peak)]);
    child.args(["--precision", options.precision().name(), "--memory", options.memory().name()]);
    for (flag, given) in [("--profile", options.profile), ("--quick", options.quick)] {
        if given {
            child.arg(flag);
        }
    }
    if let Some(threads) = options.computing.threads {
        child.args(["--threads", &threads.to_string()]);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    child.args(["--began", &now.as_nanos().to_string()]);
    let ended = child
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let what = arguments.join(" ");
    if ended.status.code().is_some() && !ended.status.success() {
        return Ok(None);
    }
    if !ended.status.success() {
        bail!("workload `{what}` failed ({})", ended.status);
    }
    serde_json::from_slice(&ended.stdout).map(Some).map_err(|e| anyhow!("workload `{what}`: {e}"))
}

/// The child's side: one JSON object.
pub fn run(options: &Bench) -> anyhow::Result<ExitCode> {
    let mut recipe = match (&options.point, &options.workloads[..]) {
        (Some(point), []) => {
            Point::parse(point).ok_or_else(|| anyhow!("no such point: {point}"))?.recipe()?
        }
        (None, [name]) => Workload::find(name)?.recipe()?,
        _ => bail!("--here measures one workload"),
    };
    recipe.train.precision = options.precision();
    recipe.train.memory = options.memory();
    let began = options.began.map_or_else(SystemTime::now, |ns| UNIX_EPOCH + Duration::from_nanos(ns));
    let settings = Measuring {
        profile: options.profile,
        brief: options.quick,
        began,
        peak: options.peak.as_deref().map(read).transpose()?,
    };
    let executor = executor(options.computing.threads)?;
    tell_precision(&executor, options.precision());
    let measured = measure(Objective::new(recipe)?, executor, settings)?;
    say!("{}", serde_json::to_string(&measured)?)?;
    Ok(ExitCode::SUCCESS)
}

fn written(peak: &Peak) -> String {
    format!("{},{},{}", peak.f32_gflops, peak.bf16_gflops.unwrap_or(0.0), peak.memory_gbs)
}

fn read(text: &str) -> anyhow::Result<Peak> {
    let parts: Vec<f64> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let [f32_gflops, bf16, memory_gbs] = parts[..] else { bail!("three rates expected, got `{text}`") };
    Ok(Peak { f32_gflops, bf16_gflops: Some(bf16).filter(|rate| *rate > 0.0), memory_gbs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_survives_the_command_line() {
        for bf16_gflops in [None, Some(446.25)] {
            let peak = Peak { f32_gflops: 223.1234567, bf16_gflops, memory_gbs: 1.0 / 3.0 };
            assert_eq!(read(&written(&peak)).unwrap(), peak);
        }
        assert!(read("1,2").is_err() && read("1,x,2").is_err());
    }
}
