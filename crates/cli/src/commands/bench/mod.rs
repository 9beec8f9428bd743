//! Times workloads, each in a process of its own, so that the memory and the start that are reported are its own.

mod child;
mod graph;
mod growth;

use super::executor;
use crate::args::Bench;
use crate::human;
use crate::say::say;
use ganymede::workloads::{KernelTime, Measurement, WORKLOADS, Workload};
use ganymede_cpu::{Isa, has_tiles};
use ganymede_kernels::peak::Peak;
use std::process::ExitCode;

pub fn run(options: &Bench) -> anyhow::Result<ExitCode> {
    if options.here {
        return child::run(options);
    }
    if let Some(nodes) = options.graph {
        return graph::run(options, nodes as usize);
    }
    for name in &options.workloads {
        Workload::find(name)?;
    }
    // Of this process, whose threads end before the first workload begins.
    let peak = {
        let executor = executor(options.computing.threads)?;
        let peak = executor.peak()?;
        if !options.computing.json {
            say!("{}", machine(&peak, executor.threads(), &instructions(executor.isa())))?;
        }
        peak
    };
    if let Some(folder) = &options.growth {
        return growth::run(options, folder, &peak);
    }
    let names: Vec<&str> = if options.workloads.is_empty() {
        WORKLOADS.iter().map(|w| w.name).collect()
    } else {
        options.workloads.iter().map(String::as_str).collect()
    };
    if !options.computing.json {
        header()?;
    }
    for name in names {
        let Some(measured) = child::start(options, &[name], &peak)? else {
            // It has said itself what is wrong.
            return Ok(ExitCode::from(1));
        };
        if options.computing.json { say!("{}", serde_json::to_string(&measured)?)? } else { row(&measured)? }
    }
    Ok(ExitCode::SUCCESS)
}

/// The instruction set's name, with the matrix unit where there is one.
fn instructions(isa: Isa) -> String {
    format!("{}{}", isa.name(), if has_tiles(isa) { " with AMX" } else { "" })
}

/// What the machine can do, as a line.
fn machine(peak: &Peak, threads: usize, isa: &str) -> String {
    let bf16 = peak.bf16_gflops.map(|rate| format!(", {rate:.0} in bf16")).unwrap_or_default();
    format!(
        "{}, {threads} threads, {isa}: at best {:.0} GFLOP/s{bf16}, {:.1} GB/s through memory",
        human::processor(),
        peak.f32_gflops,
        peak.memory_gbs
    )
}

fn header() -> std::io::Result<()> {
    say!(
        "{:<13} {:>6} {:>10} {:>10} {:>9} {:>8} {:>9} {:>8} {:>10}",
        "workload",
        "batch",
        "ms min",
        "ms median",
        "GFLOP/s",
        "of peak",
        "first ms",
        "peak MB",
        "predicted"
    )
}

fn row(m: &Measurement) -> std::io::Result<()> {
    say!(
        "{:<13} {:>6} {:>10.3} {:>10.3} {:>9.1} {:>6.0} % {:>9.1} {:>8} {:>10}",
        m.workload,
        m.batch,
        m.ms_min,
        m.ms_med,
        m.gflops,
        100.0 * m.peak_share,
        m.first_step_ms,
        m.rss_mb,
        m.predicted_mb
    )?;
    if m.kernels.is_empty() {
        return Ok(());
    }
    say!(
        "    {:>9} {:>6} {:>9} {:>8} {:>7} {:>9}",
        "ms",
        "share",
        "GFLOP/s",
        "of peak",
        "GB/s",
        "of memory"
    )?;
    for k in &m.kernels {
        say!(
            "    {:>9.3} {:>4.1} % {:>9.1} {:>6.0} % {:>7.1} {:>7.0} %  {}",
            k.ms,
            100.0 * k.share,
            k.gflops,
            100.0 * k.peak_share,
            k.gbs,
            100.0 * k.memory_share,
            k.label
        )?;
    }
    let kernels: f64 = m.kernels.iter().map(|k| k.ms).sum();
    let (contractions, others): (Vec<&KernelTime>, Vec<&KernelTime>) =
        m.kernels.iter().partition(|k| is_contraction(&k.label));
    let sum = |part: &[&KernelTime]| part.iter().map(|k| k.ms).sum::<f64>();
    // GB/s times ms are MB.
    let traffic: f64 = others.iter().map(|k| k.gbs * k.ms).sum();
    say!(
        "    {kernels:.2} ms in kernels a step: {:.2} in contractions, whose {:.2} GFLOP take {:.2} ms at the peak, and \
         {:.2} in others, whose {traffic:.1} MB of operands take {:.2} ms at the rate of memory",
        sum(&contractions),
        m.gflop,
        m.gflop / m.peak_gflops * 1e3,
        sum(&others),
        traffic / m.memory_gbs
    )
}

/// Whether the kernel of a label does the work that a step is counted by.
fn is_contraction(label: &str) -> bool {
    ["matmul", "conv.", "winograd."].iter().any(|family| label.starts_with(family))
}
