//! Deep networks with second-order penalties, to time how long graphs take to build and to compile.

use crate::error::Error;
use crate::recipe::Recipe;
use crate::step::Objective;
use ganymede_cpu::{Target, plan};
use ganymede_graph::{Function, passes};
use serde::Serialize;
use std::time::Instant;

/// What it took to compile one phase.
#[derive(Clone, Debug, Serialize)]
pub struct CompiledPhase {
    /// `discriminator` or `generator`.
    pub phase: &'static str,
    /// Nodes of its graph as built.
    pub nodes: usize,
    /// Nodes after the graph passes.
    pub optimized_nodes: usize,
    /// Milliseconds to build it, gradients included.
    pub build_ms: f64,
    /// Milliseconds from the graph to a program: passes, lowering and layout of memory.
    pub compile_ms: f64,
    /// Kernel calls of the program.
    pub calls: usize,
}

/// A pair of networks whose larger phase has the number of nodes asked for, and what compiling took.
#[derive(Clone, Debug, Serialize)]
pub struct Compilation {
    /// Residual blocks in each of three stages of both networks.
    pub blocks: usize,
    /// Both phases.
    pub phases: Vec<CompiledPhase>,
}

fn objective(blocks: usize) -> Result<Objective, Error> {
    let side = |net: &str| {
        format!(
            "[{net}]\nmodel = \"r3gan\"\noptions = {{ widths = [32, 16, 16], blocks = [{blocks}, {blocks}, \
             {blocks}] }}\noptimizer = {{ kind = \"adam\", lr = 2e-4, beta1 = 0.0, beta2 = 0.99 }}\n"
        )
    };
    let penalty = |name: &str| format!("[[regularizers]]\nname = \"{name}\"\nstrength = 1.0\n");
    let text = format!(
        "name = \"deep\"\nabout = \"a deep residual pair, to be compiled\"\n[data]\nshape = [28, 28, 1]\ndefault = \
         \"noise\"\n[latent]\ndim = 32\n[train]\nbatch = 8\nimages = 1\n[loss]\nname = \"relativistic-pairing\"\n\
         {}{}[ema]\nhalf_life = 1000\n{}{}",
        penalty("r1"),
        penalty("r2"),
        side("generator"),
        side("discriminator")
    );
    Ok(Objective::new(Recipe::parse("a deep pair", &text, &[])?)?)
}

/// Compiles both phases of a residual pair with R1 and R2 whose discriminator's phase has about `nodes` nodes.
///
/// # Errors
/// The graph is refused, which is a bug.
pub fn compile_deep(nodes: usize, target: Target) -> Result<Compilation, Error> {
    // Nodes grow linearly with blocks.
    let of = |blocks| Ok::<usize, Error>(objective(blocks)?.discriminator_phase(&[true, true])?.nodes.len());
    let (two, four) = (of(2)?, of(4)?);
    let each = ((four - two) / 2).max(1);
    let blocks = 1 + nodes.saturating_sub(two.saturating_sub(each)).div_ceil(each);
    let objective = objective(blocks)?;
    let mut phases = Vec::new();
    let mut time = |phase, build: &dyn Fn() -> Result<Function, Error>| -> Result<(), Error> {
        let began = Instant::now();
        let function = build()?;
        let build_ms = began.elapsed().as_secs_f64() * 1e3;
        let began = Instant::now();
        let stats = plan(&function, target)?;
        let compile_ms = began.elapsed().as_secs_f64() * 1e3;
        let optimized_nodes = passes::optimize(&function)?.nodes.len();
        let (nodes, calls) = (function.nodes.len(), stats.steps);
        phases.push(CompiledPhase { phase, nodes, optimized_nodes, build_ms, compile_ms, calls });
        Ok(())
    };
    time("discriminator", &|| Ok(objective.discriminator_phase(&[true, true])?))?;
    time("generator", &|| Ok(objective.generator_phase(&[])?))?;
    Ok(Compilation { blocks, phases })
}
