//! Low memory in training steps: exactly the same losses, weights and samples, for every workload and recipe.

mod common;

use common::hashes;
use ganymede::cost::{of_run, of_step};
use ganymede::recipe::BUILTIN;
use ganymede::sampler::Sampler;
use ganymede::trainer::StepReport;
use ganymede::workloads::WORKLOADS;
use ganymede::{Objective, Recipe, Trainer};
use ganymede_cpu::{Bf16, Executor, ExecutorOptions, Isa, MemoryMode, Target};
use ganymede_data::{ContentHash, Dataset, Items};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Values in [-1, 1] by index.
struct Noise(usize);

impl Items for Noise {
    fn count(&self) -> Option<u64> {
        None
    }
    fn held_bytes(&self) -> u64 {
        0
    }
    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        if let Some(labels) = labels {
            labels.iter_mut().zip(indices).for_each(|(label, index)| *label = (index % 10) as i32);
        }
        for (index, item) in indices.iter().zip(out.chunks_exact_mut(self.0)) {
            for (k, value) in item.iter_mut().enumerate() {
                let mixed = (index * 31 + k as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
                *value = mixed as f32 / (1u32 << 23) as f32 - 1.0;
            }
        }
    }
}

/// Of ten classes.
fn data(shape: &[usize]) -> Arc<Dataset> {
    let items = Noise(shape.iter().product());
    let set = Dataset::new("noise", shape, ContentHash([0; 32]), Box::new(items));
    Arc::new(set.with_classes((0..10).map(|class| class.to_string()).collect()))
}

fn executor(threads: usize) -> Arc<Executor> {
    let options = ExecutorOptions {
        threads: Some(threads),
        bf16: Some(Bf16::Everywhere),
        ..ExecutorOptions::default()
    };
    Executor::new(options).unwrap()
}

/// Every workload and every built-in recipe of small samples, of a small batch: what the larger recipes have beside these
/// is more of the same.
fn recipes(set: &[&str]) -> Vec<Recipe> {
    let set: Vec<String> = set.iter().map(|s| s.to_string()).chain(["batch=4".to_string()]).collect();
    let workloads = WORKLOADS.iter().map(|w| w.recipe().unwrap().to_toml());
    let small = |recipe: &Recipe| recipe.data.shape.iter().product::<usize>() <= 28 * 28 * 3;
    let builtin = BUILTIN.iter().map(|b| Recipe::builtin(b.name).unwrap()).filter(small).map(|r| r.to_toml());
    let texts: Vec<String> = workloads.chain(builtin).collect();
    texts.iter().map(|text| Recipe::parse("small", text, &set).unwrap()).collect()
}

fn in_memory(mut recipe: Recipe, memory: MemoryMode) -> Objective {
    recipe.train.memory = memory;
    Objective::new(recipe).unwrap()
}

/// What three steps report and leave behind, with samples.
#[derive(Debug, PartialEq)]
struct Course {
    reports: Vec<[u32; 5]>,
    state: BTreeMap<String, blake3::Hash>,
    samples: Vec<u32>,
}

fn bits(report: &StepReport) -> [u32; 5] {
    [report.d_loss, report.d_penalty, report.d_real, report.d_fake, report.g_loss].map(f32::to_bits)
}

fn course(recipe: Recipe, memory: MemoryMode, threads: usize) -> (Course, usize) {
    let objective = in_memory(recipe, memory);
    let dataset = data(&objective.recipe.data.shape);
    let mut trainer = Trainer::new(objective, dataset, executor(threads), 3, 4000).unwrap();
    let reports = (0..3).map(|_| bits(&trainer.step().unwrap())).collect();
    assert_eq!(trainer.progress().skipped, 0, "{}", trainer.objective().recipe.name);
    let (objective, session) = trainer.parts_mut();
    let samples = Sampler::new(9).draw(objective, session, 0, 3).unwrap();
    let samples = samples.iter().map(|x| x.to_bits()).collect();
    let memory = trainer.session().memory_bytes();
    (Course { reports, state: hashes(trainer.store()), samples }, memory)
}

fn all_agree(set: &[&str], threads: &[usize]) {
    for recipe in recipes(set) {
        let (normal, most) = course(recipe.clone(), MemoryMode::Normal, 2);
        // The state of `guide-dense` is half a GB: that once is enough.
        let dense = recipe.name == "guide-dense";
        for &threads in threads.iter().filter(|threads| !dense || **threads == 2) {
            let (low, least) = course(recipe.clone(), MemoryMode::Low, threads);
            assert_eq!(low, normal, "{} on {threads} threads", recipe.name);
            // A thread's own scratch is counted too.
            assert!(threads > 2 || least <= most, "{}: {least} of {most} bytes", recipe.name);
        }
    }
}

#[test]
fn every_recipe_keeps_its_bits_in_f32() {
    all_agree(&[], &[1, 2, 7]);
}

#[test]
fn every_recipe_keeps_its_bits_in_bf16() {
    all_agree(&["train.precision=bf16"], &[2]);
}

#[test]
fn a_run_may_change_its_mode_on_the_way() {
    let recipe = Recipe::builtin("r3-28").unwrap().to_toml();
    let recipe = Recipe::parse("small", &recipe, &["batch=4".to_string()]).unwrap();
    let dataset = data(&recipe.data.shape);
    let run = |modes: &[MemoryMode]| {
        let mut checkpoint = None;
        let mut reports = Vec::new();
        for &memory in modes {
            let objective = in_memory(recipe.clone(), memory);
            let mut trainer = match checkpoint.take() {
                None => Trainer::new(objective, dataset.clone(), executor(2), 3, 4000).unwrap(),
                Some(checkpoint) => {
                    Trainer::resume(objective, dataset.clone(), executor(2), 3, checkpoint).unwrap()
                }
            };
            reports.extend((0..2).map(|_| bits(&trainer.step().unwrap())));
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("step.safetensors");
            ganymede::checkpoint::save(&path, trainer.store(), trainer.progress()).unwrap();
            checkpoint = Some(ganymede::checkpoint::load(&path).unwrap());
        }
        (reports, hashes(&checkpoint.unwrap().store))
    };
    use MemoryMode::{Low, Normal};
    let normal = run(&[Normal, Normal, Normal]);
    assert_eq!(run(&[Normal, Low, Normal]), normal);
    assert_eq!(run(&[Low, Normal, Low]), normal);
}

/// The arena of a step, in bytes.
fn arena(recipe: &Recipe, memory: MemoryMode) -> usize {
    let target = Target { memory, ..Isa::Portable.into() };
    let cost = of_step(&in_memory(recipe.clone(), memory), target).unwrap();
    cost.phases.iter().map(|p| p.1.scratch_bytes).max().unwrap()
}

#[test]
fn convolutional_workloads_take_much_less() {
    for name in ["dcgan28", "wgangp28", "r1-28", "dcgan64"] {
        let recipe = WORKLOADS.iter().find(|w| w.name == name).unwrap().recipe().unwrap();
        let (normal, low) = (arena(&recipe, MemoryMode::Normal), arena(&recipe, MemoryMode::Low));
        assert!(low * 4 <= normal * 3, "{name}: {low} of {normal} bytes");
    }
}

#[test]
fn the_plan_is_what_a_trainer_then_holds() {
    let recipe = WORKLOADS.iter().find(|w| w.name == "r1-28").unwrap().recipe().unwrap();
    for memory in MemoryMode::ALL {
        let objective = in_memory(recipe.clone(), memory);
        let executor = executor(1);
        let target = Target { memory, ..executor.target() };
        let cost = of_run(&objective, target).unwrap();
        let arena = cost.phases.iter().map(|p| p.1.scratch_bytes).max().unwrap();
        let dataset = data(&objective.recipe.data.shape);
        let trainer = Trainer::new(objective, dataset, executor, 3, 4000).unwrap();
        let other: usize =
            cost.phases.iter().map(|p| p.1.constant_bytes + p.1.feed_bytes + p.1.output_bytes).sum();
        let held = trainer.session().memory_bytes();
        let state = trainer.store().total_bytes();
        assert!(held >= state + arena, "{memory}: {held}, {state}, {arena}");
        let scratch: usize = cost.phases.iter().map(|p| p.1.thread_bytes).sum();
        assert!(held <= state + arena + other + scratch + (1 << 16), "{memory}: {held}");
    }
}
