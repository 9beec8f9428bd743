//! Batches taken in parts: their gradients add up to those of the whole, a part that is not finite drops the whole step, and
//! a step takes less memory.

mod common;

use common::*;
use ganymede::cost::of_step;
use ganymede::step::ACCUMULATED;
use ganymede::{Objective, Recipe, Trainer, checkpoint};
use ganymede_kernels::isa::Isa;
use std::collections::BTreeMap;

/// Dense networks in which no sample meets another, with plain descent: no rounding is divided by its own size.
const APART: &str = r#"
name = "apart"
data = { shape = [2], default = "synthetic:ring8" }
latent = { dim = 3 }
train = { batch = 12, images = 4000 }
loss = { name = "non-saturating" }
ema = { half_life = 40 }

[generator]
layers = ["dense 5", "tanh", "dense 2"]
optimizer = { kind = "sgd", lr = 0.1, beta1 = 0.5 }

[discriminator]
layers = ["dense 6", "tanh", "dropout 0.3", "dense 1"]
optimizer = { kind = "sgd", lr = 0.1, beta1 = 0.5 }
"#;

/// State between steps after `steps` of them.
fn trained(text: &str, sets: &[&str], steps: usize) -> BTreeMap<String, Vec<f32>> {
    let mut trainer = trainer(objective(text, sets));
    for _ in 0..steps {
        assert_eq!(trainer.step().unwrap().skipped, 0, "{sets:?}");
    }
    kept(&trainer)
}

/// The slots that a checkpoint keeps.
fn kept(trainer: &Trainer) -> BTreeMap<String, Vec<f32>> {
    let names = trainer.store().names().filter(|name| !name.starts_with(ACCUMULATED));
    names.map(|name| (name.to_string(), trainer.store().f32s(name).unwrap().to_vec())).collect()
}

/// Largest difference of two states.
fn distance(a: &BTreeMap<String, Vec<f32>>, b: &BTreeMap<String, Vec<f32>>) -> f32 {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let between = |(name, values): (&String, &Vec<f32>)| {
        values.iter().zip(&b[name]).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
    };
    a.iter().map(between).fold(0.0, f32::max)
}

#[test]
fn parts_add_up_to_the_whole() {
    let lazy = |name: &str, strength: f64, every: usize| with(APART, name, strength, every);
    let texts = [
        APART.to_string(),
        APART.replace("non-saturating", "hinge"),
        with(&lazy("r1", 0.3, 2).replace("non-saturating", "relativistic-pairing"), "r2", 0.3, 1),
        lazy("gradient-penalty", 1.0, 1).replace("non-saturating", "wasserstein"),
        lazy("gradient-penalty-one-sided", 1.0, 1).replace("non-saturating", "wasserstein"),
        lazy("weight-clipping", 0.2, 2).replace("non-saturating", "wasserstein"),
        lazy("orthogonal", 0.01, 1),
    ];
    for text in &texts {
        let steps = 6;
        let sets = ["loss.instance_noise=0.1", "critic_steps=2"];
        let whole = trained(text, &sets, steps);
        for parts in ["2", "3", "6"] {
            let accumulate = format!("accumulate={parts}");
            let got = trained(text, &[&sets[..], &[&accumulate]].concat(), steps);
            let apart = distance(&whole, &got);
            assert!(apart < 2e-6, "{parts} parts are {apart} apart:\n{text}");
        }
        // A batch that is a part alone is another one.
        let smaller = trained(text, &[&sets[..], &["batch=6"]].concat(), steps);
        assert!(distance(&whole, &smaller) > 1e-3, "half a batch passes for the whole");
    }
    // Where samples of a batch meet, parts are not the whole: that is said.
    let mixed = APART.replace("\"dense 5\",", "\"dense 5\", \"batch_norm\",");
    assert!(distance(&trained(&mixed, &[], 6), &trained(&mixed, &["accumulate=2"], 6)) > 1e-3);
}

#[test]
fn adam_takes_the_step_of_the_whole() {
    // With an eps that bounds how far rounding of a small gradient can carry.
    let adam = APART.replace("kind = \"sgd\", lr = 0.1, beta1 = 0.5", "lr = 1e-2, beta1 = 0.5, eps = 1e-3");
    let (whole, parts) = (trained(&adam, &[], 8), trained(&adam, &["accumulate=3"], 8));
    assert!(distance(&whole, &parts) < 1e-5, "{}", distance(&whole, &parts));
}

#[test]
fn going_on_from_a_checkpoint_is_going_on_and_no_sums_are_kept() {
    let text = with(&with(&POINTS.replace("batch = 4", "batch = 8"), "lecam", 0.3, 1), "orthogonal", 0.1, 2);
    let sets = ["accumulate=2"];
    let folder = tempfile::tempdir().unwrap();
    let mut straight = trainer(objective(&text, &sets));
    for _ in 0..3 {
        straight.step().unwrap();
    }
    let path = folder.path().join("step-3.safetensors");
    checkpoint::save(&path, straight.store(), straight.progress()).unwrap();
    let loaded = checkpoint::load(&path).unwrap();
    assert!(straight.store().names().any(|name| name.starts_with(ACCUMULATED)));
    assert!(loaded.store.names().all(|name| !name.starts_with(ACCUMULATED)));
    assert_eq!(&loaded.progress, straight.progress());
    let mut resumed =
        Trainer::resume(objective(&text, &sets), points(circle), executor(), 3, loaded).unwrap();
    for _ in 0..4 {
        assert_eq!(straight.step().unwrap(), resumed.step().unwrap());
    }
    assert_eq!(slots(straight.store()), slots(resumed.store()));
    // The number of parts is no state: a run may go on with another.
    let loaded = checkpoint::load(&path).unwrap();
    Trainer::resume(objective(&text, &[]), points(circle), executor(), 3, loaded).unwrap();
}

#[test]
fn a_part_that_is_not_finite_drops_the_whole_step() {
    // Batches of eight in two parts: of the third batch the second part holds the NaN.
    for (bad, part) in [(20..21, "second"), (16..17, "first")] {
        let text = with(&POINTS.replace("batch = 4", "batch = 8"), "lecam", 0.3, 1);
        let nan: fn(u64) -> [f32; 2] = match part {
            "second" => |i| if i == 20 { [f32::NAN; 2] } else { circle(i) },
            _ => |i| if i == 16 { [f32::NAN; 2] } else { circle(i) },
        };
        assert_eq!(bad.end, bad.start + 1);
        let objective = objective(&text, &["accumulate=2"]);
        let mut trainer = Trainer::new(objective, points(nan), executor(), 3, 400).unwrap();
        for step in 1..=5u64 {
            let before = kept(&trainer);
            let report = trainer.step().unwrap();
            assert_eq!(report.skipped, u32::from(step == 3), "{part} part, step {step}");
            assert_eq!((trainer.progress().images, trainer.progress().cursor), (8 * step, 8 * step));
            let moved = |name: &str| kept(&trainer)[name] != before[name];
            // Weights, moments, running statistics and the regularizer's means: all or nothing.
            for name in [
                "D/dense2/weight",
                "opt/D/dense2/weight/m",
                "opt/D/beta1_power",
                "D/batch_norm1/running_mean",
                "regularizer/D/lecam/real",
                "regularizer/D/lecam/real_share",
            ] {
                assert_eq!(moved(name), step != 3, "{name}, {part} part, step {step}");
            }
            assert!(kept(&trainer).values().flatten().all(|v| v.is_finite()));
        }
    }
}

#[test]
fn the_arena_of_a_step_shrinks_with_its_parts_and_the_work_stays() {
    let cost = |accumulate: usize| {
        let sets = [format!("train.accumulate={accumulate}"), "train.batch=64".into()];
        let objective = Objective::new(Recipe::load("wgangp28", &sets).unwrap()).unwrap();
        of_step(&objective, Isa::Portable.into()).unwrap()
    };
    let scratch = |cost: &ganymede::cost::Cost| cost.phases.iter().map(|p| p.1.scratch_bytes).max().unwrap();
    let (whole, quarter) = (cost(1), cost(4));
    let share = scratch(&quarter) as f64 / scratch(&whole) as f64;
    assert!(share < 0.4, "four parts take {share} of the arena");
    assert_eq!((whole.accumulated_bytes > 0, quarter.accumulated_bytes > 0), (false, true));
    assert_eq!(whole.state_bytes, quarter.state_bytes, "a checkpoint is as large as before");
    assert!(quarter.peak_bytes < whole.peak_bytes);
    let work = quarter.flops as f64 / whole.flops as f64;
    assert!((work - 1.0).abs() < 0.01, "the work is {work} of the whole's");
}

#[test]
fn phases_are_compiled_once_each() {
    let text = with(&with(APART, "r1", 0.3, 2), "weight-clipping", 0.5, 3);
    let mut trainer = trainer(objective(&text, &["accumulate=2"]));
    // Parts of the discriminator: four sets that fall due together; steps: with clipping and without; and the generator's.
    assert_eq!(trainer.session().compile_count(), 4 + 2 + 2);
    for _ in 0..13 {
        trainer.step().unwrap();
    }
    assert_eq!(trainer.session().compile_count(), 4 + 2 + 2);
    assert!(trainer.session().phase("discriminator+weight-clipping, apply").is_some());
}

#[test]
fn what_parts_cannot_do_is_refused_and_what_they_change_is_said() {
    let error = |text: &str, sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
        let recipe = Recipe::parse("test", text, &sets).and_then(|r| Objective::new(r).map(|_| ()));
        recipe.unwrap_err().to_string()
    };
    for (sets, words) in [
        (&["accumulate=5"][..], "12 does not divide into 5 equal parts"),
        (&["accumulate=0"], "must be from 1 to"),
        (&["accumulate=2", "loss.top_k=0.5"], "cannot be told part by part"),
        (&["accumulate=4", "train.pack=2"], "a part of a batch of 3 does not divide into packs of 2"),
    ] {
        let message = error(APART, sets);
        assert!(message.contains(words), "{sets:?}: {message}");
    }
    let mixed = APART.replace("\"dense 5\",", "\"dense 5\", \"batch_norm\",");
    let alone = error(&mixed, &["accumulate=12"]);
    assert!(alone.contains("at least 2 values a channel"), "{alone}");

    let remarks = |text: &str, sets: &[&str]| objective(text, sets).remarks();
    assert!(remarks(&mixed, &[]).is_empty());
    assert!(remarks(APART, &["accumulate=2"]).is_empty(), "nothing in it compares samples");
    let text = with(&mixed.replace("non-saturating", "relativistic-average"), "lecam", 0.1, 1);
    let sets = ["accumulate=2", "train.pack=2", "discriminator.spectral_norm=1"];
    let said = remarks(&text, &sets).join("\n");
    for words in
        ["parts of 6 samples", "batch norm", "packs", "`relativistic-average`", "`lecam`", "power iteration"]
    {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
}
