//! How long a deep network takes to compile.

use crate::args::Bench;
use crate::commands::executor;
use crate::say::say;
use ganymede::workloads::{Compilation, compile_deep};
use ganymede_cpu::Target;
use std::process::ExitCode;

pub fn run(options: &Bench, nodes: usize) -> anyhow::Result<ExitCode> {
    let executor = executor(options.computing.threads)?;
    let Compilation { blocks, phases } =
        compile_deep(nodes, Target { memory: options.memory(), ..executor.target() })?;
    if options.computing.json {
        say!("{}", serde_json::json!({"blocks": blocks, "phases": phases}))?;
        return Ok(ExitCode::SUCCESS);
    }
    say!("A residual pair of {blocks} blocks a stage with R1 and R2:")?;
    say!(
        "{:<14} {:>8} {:>10} {:>10} {:>8} {:>9}",
        "phase",
        "nodes",
        "build ms",
        "compile ms",
        "calls",
        "of nodes"
    )?;
    for p in &phases {
        say!(
            "{:<14} {:>8} {:>10.1} {:>10.1} {:>8} {:>9}",
            p.phase,
            p.nodes,
            p.build_ms,
            p.compile_ms,
            p.calls,
            p.optimized_nodes
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
