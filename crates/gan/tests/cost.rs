//! What the frozen workloads cost, without a clock: work, kernels and memory against `cost.snapshot`.

use ganymede::cost::{of_run, of_step};
use ganymede::networks::Side;
use ganymede::workloads::{WORKLOADS, Workload};
use ganymede::{Objective, Recipe};
use ganymede_graph::{Function, Op, ops::conv::ConvKind};
use ganymede_kernels::isa::Isa;
use std::fmt::Write;
use std::path::Path;

fn objective(name: &str) -> Objective {
    Objective::new(Workload::find(name).unwrap().recipe().unwrap()).unwrap()
}

/// One workload as text. The portable instruction set is planned for, so that every machine gets the same figures.
fn describe(name: &str) -> String {
    let objective = objective(name);
    let cost = of_step(&objective, Isa::Portable.into()).unwrap();
    let mut text = String::new();
    let _ = writeln!(text, "{name}");
    let _ = writeln!(text, "  batch         {}", objective.recipe.train.batch);
    let _ = writeln!(text, "  work          {:.3} GFLOP a step", cost.flops as f64 / 1e9);
    let _ = writeln!(text, "  peak          {} bytes", cost.peak_bytes);
    let _ = writeln!(text, "  state         {} bytes", cost.state_bytes);
    for (phase, stats) in &cost.phases {
        let _ = writeln!(
            text,
            "  {phase}: {:.3} GFLOP, scratch {} bytes, {} calls",
            stats.contraction_flops as f64 / 1e9,
            stats.scratch_bytes,
            stats.steps
        );
        for (kernel, count) in &stats.kernels {
            let _ = writeln!(text, "    {count:>4} {kernel}");
        }
    }
    text
}

#[test]
fn costs_are_those_of_the_snapshot() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cost.snapshot");
    let now: String = WORKLOADS.iter().map(|w| describe(w.name)).collect();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    let changes: Vec<String> = recorded
        .lines()
        .map(|l| (l, '-'))
        .filter(|(l, _)| !now.lines().any(|n| n == *l))
        .chain(now.lines().map(|l| (l, '+')).filter(|(l, _)| !recorded.lines().any(|r| r == *l)))
        .map(|(l, sign)| format!("{sign} {l}"))
        .collect();
    assert!(
        recorded == now,
        "the cost of a workload changed; lines gone (-) and new (+):\n{}\nIf that is intended, record it with\n    \
         UPDATE_SNAPSHOTS=1 cargo test -p ganymede --test cost\nand commit crates/gan/tests/cost.snapshot",
        changes.join("\n")
    );
}

/// Weight gradients of convolutions that the phase computes for one network.
fn weight_gradients(function: &Function, side: Side) -> usize {
    let root = format!("{}/", side.root());
    let is = |op: &Op| matches!(op, Op::Conv(ConvKind::WeightGrad, _));
    function.nodes.iter().filter(|n| is(&n.op) && n.path.starts_with(&root)).count()
}

#[test]
fn no_phase_computes_gradients_that_nobody_uses() {
    // The generator has three convolutions and one pass. The discriminator has two, and one pass over real and generated
    // samples; with R1 a pass over each of them, of which that over real samples is differentiated once more. The
    // gradient penalty's own pass stands under the regularizer's name.
    for (name, g, d) in [("dcgan28", 3, 2), ("wgangp28", 3, 2), ("r1-28", 3, 6), ("guide-deconv", 3, 2)] {
        let objective = objective(name);
        let generator = objective.generator_phase(&[]).unwrap();
        assert_eq!(
            weight_gradients(&generator, Side::Discriminator),
            0,
            "{name}: D in the generator's phase"
        );
        let all = vec![true; objective.regularizers.len()];
        let discriminator = objective.discriminator_phase(&all).unwrap();
        assert_eq!(
            weight_gradients(&discriminator, Side::Generator),
            0,
            "{name}: G in the discriminator's phase"
        );
        // The count itself sees gradients where they belong, and no more of them.
        assert_eq!(weight_gradients(&generator, Side::Generator), g, "{name}");
        assert_eq!(weight_gradients(&discriminator, Side::Discriminator), d, "{name}");
    }
}

#[test]
fn dcgan28_is_the_work_that_was_counted_by_hand() {
    let cost = of_step(&objective("dcgan28"), Isa::Portable.into()).unwrap();
    let gflop = cost.flops as f64 / 1e9;
    assert!((gflop - 35.3).abs() < 0.25, "{gflop} GFLOP a step");
}

#[test]
fn lazy_regularizers_are_averaged_over_the_steps() {
    let text = Workload::find("r1-28").unwrap().recipe().unwrap().to_toml();
    let flops = |every: &str| {
        let recipe = ganymede::Recipe::parse("test", &text, &[format!("every={every}")]).unwrap();
        of_step(&Objective::new(recipe).unwrap(), Isa::Portable.into()).unwrap().flops as f64
    };
    let (always, fourth, never) = (flops("1"), flops("4"), flops("65536"));
    // A penalty at step 0 of the 64 that are averaged over remains even at the longest interval.
    let penalty = (always - never) * 64.0 / 63.0;
    let expected = always - 0.75 * penalty;
    assert!(penalty > 0.0 && (fourth - expected).abs() < 1e-6 * always, "{fourth} against {expected}");
}

#[test]
fn the_samples_of_a_tick_are_part_of_a_runs_peak() {
    let with_batch = |batch: usize| {
        let mut recipe = Recipe::builtin("dcgan28").unwrap();
        recipe.train.batch = batch;
        Objective::new(recipe).unwrap()
    };
    // Samples are drawn in no larger batches than a step's, so a step's arena serves them too.
    for (batch, drawn) in [(64, 64), (48, 16), (2, 1)] {
        let objective = with_batch(batch);
        assert_eq!(ganymede::sampler::batch_for(&objective, 64), drawn);
        let (step, run) = (
            of_step(&objective, Isa::Portable.into()).unwrap(),
            of_run(&objective, Isa::Portable.into()).unwrap(),
        );
        assert_eq!(run.flops, step.flops);
        let samples = (64 * 28 * 28 * 5) as u64;
        assert!(run.peak_bytes >= step.peak_bytes + samples, "{} and {}", run.peak_bytes, step.peak_bytes);
        assert!(run.peak_bytes < step.peak_bytes + (4 << 20), "{} and {}", run.peak_bytes, step.peak_bytes);
    }
    assert_eq!(
        [28, 256, 512, 1024, 8192].map(|side| ganymede::run::samples_drawn(&[side, side, 3], None).0),
        [64, 64, 64, 16, 1]
    );
}
