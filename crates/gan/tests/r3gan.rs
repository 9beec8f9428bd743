//! The networks of model `r3gan`, as recipe `residual28` builds them.

use ganymede::networks::Side;
use ganymede::{Objective, Recipe, cost, sampler::Sampler};
use ganymede_cpu::{Executor, ExecutorOptions, Session};
use ganymede_data::{OpenOptions, open};
use ganymede_kernels::isa::Isa;
use std::sync::Arc;

fn recipe(set: &[&str]) -> Recipe {
    let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
    Recipe::load("residual28", &set).unwrap()
}

#[test]
fn both_networks_build_and_begin_without_their_blocks() {
    let objective = Objective::new(recipe(&[])).unwrap();
    for side in [Side::Generator, Side::Discriminator] {
        let params = objective.params(side);
        assert!(params.count_trainable() > 10_000, "{side:?}");
        // A block begins as the identity: what leads back from it is 0.
        let projections: Vec<_> = params.iter().filter(|p| p.name.ends_with("project/weight")).collect();
        assert_eq!(projections.len(), 2, "{side:?}");
        assert!(projections.iter().all(|p| p.initialize([1, 2]).iter().all(|w| *w == 0.0)));
    }
    let executor = Executor::new(ExecutorOptions { threads: Some(1), ..ExecutorOptions::default() }).unwrap();
    let mut session = Session::new(executor, objective.initial_state(1).unwrap());
    let samples = Sampler::new(1).draw(&objective, &mut session, 0, 2).unwrap();
    assert_eq!(samples.len(), 2 * 28 * 28);
    assert!(samples.iter().all(|v| v.is_finite()) && samples.iter().any(|v| *v != samples[0]));
}

#[test]
fn gradients_of_order_two_compile_and_train() {
    // The penalties are gradients of logits by samples; the discriminator's step differentiates them once more.
    let small = ["batch=2", "widths=[8,8,8]"];
    let objective = Objective::new(recipe(&small)).unwrap();
    let with = cost::of_step(&objective, Isa::best().into()).unwrap();
    let plain = Objective::new(recipe(&["batch=2", "widths=[8,8,8]", "regularizers=[]"])).unwrap();
    let without = cost::of_step(&plain, Isa::best().into()).unwrap();
    let work = |c: &cost::Cost| c.phases.iter().map(|p| p.1.contraction_flops).collect::<Vec<_>>();
    let (with, without) = (work(&with), work(&without));
    assert!(with[0] > without[0], "the penalties add contractions: {with:?} against {without:?}");
    assert_eq!(with[1], without[1], "and none to the generator's step");

    let dataset = Arc::new(open("glyphs", &OpenOptions::default()).unwrap());
    let executor = Executor::new(ExecutorOptions { threads: Some(1), ..ExecutorOptions::default() }).unwrap();
    let mut trainer = ganymede::Trainer::new(objective, dataset, executor, 1, 100).unwrap();
    for _ in 0..3 {
        let report = trainer.step().unwrap();
        assert_eq!(report.skipped, 0);
        assert!(report.d_penalty > 0.0 && report.g_loss.is_finite(), "{report:?}");
    }
}
