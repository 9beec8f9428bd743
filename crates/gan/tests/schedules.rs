//! What reaches the phases: every scheduled key by the images shown, as R3GAN's and StyleGAN2's programs have it.

mod common;

use common::*;
use ganymede::Trainer;
use ganymede::recipe::Strength;
use ganymede::{Objective, Recipe};

/// Images to 8x8 with everything that R3GAN schedules, over 60 images of a run of 120.
const SCHEDULED: &str = r#"
name = "scheduled"
data = { shape = [8, 8, 1], default = "glyphs" }
latent = { dim = 3 }
train = { batch = 4, images = 120 }
loss = { name = "relativistic-pairing", instance_noise = "linear 0.5 -> 0 over 60" }
augment = { policy = ["translation"], probability = "cosine 0 -> 0.3 over 60" }
ema = { half_life = "cosine 0 -> 80 over 60" }

[[regularizers]]
name = "r1"
strength = "cosine 2 -> 0.2 over 60"

[[regularizers]]
name = "r2"
strength = "cosine 2 -> 0.2 over 60"

[generator]
layers = ["dense 64 tanh", "reshape 8 8 1"]
optimizer = { lr = "cosine 2e-4 -> 5e-5 over 60 warmup 16", beta1 = 0.0, beta2 = "cosine 0.9 -> 0.99 over 60" }

[discriminator]
layers = ["flatten", "dense 6 leaky_relu=0.2", "dense 1"]
optimizer = { lr = "cosine 2e-4 -> 5e-5 over 60", beta1 = 0.0, beta2 = "cosine 0.9 -> 0.99 over 60" }
"#;

/// As R3GAN's program has it: half a cosine from `base` to `end`, and `end` from there on.
fn cosine(images: u64, base: f64, end: f64) -> f64 {
    if images > 60 {
        return end;
    }
    let decay = 0.5 * (1.0 + (std::f64::consts::PI * images as f64 / 60.0).cos());
    base + (1.0 - decay) * (end - base)
}

struct Blank;
impl ganymede_data::Items for Blank {
    fn count(&self) -> Option<u64> {
        None
    }
    fn held_bytes(&self) -> u64 {
        0
    }
    fn fill(&self, indices: &[u64], out: &mut [f32], _: Option<&mut [i32]>) {
        for (index, item) in indices.iter().zip(out.chunks_exact_mut(64)) {
            item.fill((*index as f32 * 0.3).sin());
        }
    }
}

fn images(text: &str, sets: &[&str]) -> Trainer {
    let hash = ganymede_data::ContentHash([0; 32]);
    let set = ganymede_data::Dataset::new("blank", &[8, 8, 1], hash, Box::new(Blank));
    Trainer::new(objective(text, sets), std::sync::Arc::new(set), executor(), 3, 120).unwrap()
}

fn fed(trainer: &mut Trainer, phase: &str, name: &str) -> f64 {
    let (_, session) = trainer.parts_mut();
    let id = session.phase(phase).unwrap_or_else(|| panic!("no phase {phase}"));
    f64::from(session.feed_mut(id, name).unwrap()[0])
}

#[test]
fn every_scheduled_key_follows_the_images_and_ends_where_it_says() {
    for parts in ["accumulate=1", "accumulate=2"] {
        let mut trainer = images(SCHEDULED, &[parts]);
        let whole = parts.ends_with('1');
        let [d, d_step, g, g_step] = match whole {
            true => ["discriminator+r1+r2", "discriminator+r1+r2", "generator", "generator"],
            false => {
                ["discriminator+r1+r2, part", "discriminator, apply", "generator, part", "generator, apply"]
            }
        };
        let mut seen_end = false;
        for step in 0..25u64 {
            trainer.step().unwrap();
            // The discriminator's step begins before its batch is counted, the generator's after.
            let (before, after) = (4 * step, 4 * step + 4);
            let warm = (after as f64 / 16.0).min(1.0);
            let straight = |n: u64| 0.5 * (1.0 - (n as f64 / 60.0).min(1.0));
            for (phase, name, expected) in [
                (d_step, "lr", cosine(before, 2e-4, 5e-5)),
                (d_step, "beta2", cosine(before, 0.9, 0.99)),
                (d, "strength/0", cosine(before, 2.0, 0.2)),
                (d, "strength/1", cosine(before, 2.0, 0.2)),
                (d, "augment", cosine(before, 0.0, 0.3)),
                (d, "instance_noise", straight(before)),
                (g_step, "lr", warm * cosine(after, 2e-4, 5e-5)),
                (g_step, "beta2", cosine(after, 0.9, 0.99)),
                (g, "augment", cosine(after, 0.0, 0.3)),
                (g, "instance_noise", straight(after)),
                (g_step, "ema_decay", 0.5f64.powf(4.0 / cosine(after, 0.0, 80.0))),
            ] {
                let got = fed(&mut trainer, phase, name);
                let near = (got - expected).abs() <= 1e-6 * (1e-3 + expected.abs());
                assert!(near, "{name} of {phase} at step {step}: {got} against {expected}");
            }
            seen_end |= before > 60;
        }
        assert!(seen_end, "the run goes on beyond the schedules' end");
    }
}

#[test]
fn a_young_average_follows_at_the_pace_of_its_ramp() {
    let mut trainer = trainer(objective(POINTS, &["ema.half_life=16", "ema.ramp=0.5", "critic_steps=2"]));
    for step in 0..8u64 {
        trainer.step().unwrap();
        // Eight images a step; as StyleGAN2's program has it, those of this step are not counted yet.
        let half_life = (8.0 * step as f64 * 0.5).min(16.0);
        let expected = if half_life == 0.0 { 0.0 } else { 0.5f64.powf(8.0 / half_life) };
        let got = fed(&mut trainer, "generator", "ema_decay");
        assert!((got - expected).abs() < 1e-6, "step {step}: {got} against {expected}");
    }
    let refused = Recipe::parse("test", POINTS, &["ema.ramp=0".into()]).unwrap_err().to_string();
    assert!(refused.contains("ema.ramp") && refused.contains("above 0"), "{refused}");
    // The key is set by its whole path: its ending is that of the augmentations' ramp too.
    let set = ["augment={policy=[\"flip\"],target=0.6,ramp=9}", "ramp=1000"].map(String::from);
    let recipe = Recipe::load("dcgan28", &set).unwrap();
    let own = Recipe::load("dcgan28", &[]).unwrap().ema.and_then(|e| e.ramp);
    assert_eq!((recipe.augment.unwrap().ramp, recipe.ema.and_then(|e| e.ramp)), (Some(1000), own));
}

#[test]
fn an_automatic_gamma_is_derived_printed_and_said() {
    let load = |name: &str, sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
        Recipe::load(name, &sets)
    };
    for (batch, expected) in [(64, 2.45e-3), (32, 4.9e-3)] {
        // .0002 x 28 x 28 / batch.
        let recipe = load("r3-28", &["gamma=auto", &format!("batch={batch}")]).unwrap();
        for spec in &recipe.regularizers {
            let strength = spec.strength.as_ref().and_then(Strength::scheduled).unwrap();
            assert_eq!(strength.range(), (expected, expected), "{}", spec.name);
        }
        assert_eq!(recipe.remarks.len(), 2, "{:?}", recipe.remarks);
        for (remark, name) in recipe.remarks.iter().zip(["`r1`", "`r2`"]) {
            let words = [name, &expected.to_string(), "28 x 28", &format!("batch of {batch}")];
            assert!(words.iter().all(|w| remark.contains(w)), "{remark}");
        }
        let text = recipe.to_toml();
        assert!(text.contains(&format!("strength = {expected}")) && !text.contains("auto"), "{text}");
        let objective = Objective::new(recipe).unwrap();
        assert_eq!(objective.regularizers[0].strength.at(0, 1), expected);
        assert_eq!(objective.remarks().len(), 2);
    }
    // From a file too, beside strengths that are given.
    let text =
        POINTS.replace("\"batch_norm\", ", "") + "\n[[regularizers]]\nname = \"r1\"\nstrength = \"auto\"\n";
    let refused = Recipe::parse("test", &text, &[]).unwrap_err().to_string();
    assert!(refused.contains("regularizers.strength") && refused.contains("[2]"), "{refused}");
    let refused = load("wgangp28", &["gamma=auto"]).unwrap_err().to_string();
    assert!(refused.contains("no rule") && refused.contains("r1, r2"), "{refused}");
    let refused = load("r3-28", &["gamma=automatic"]).unwrap_err().to_string();
    assert!(refused.contains("automatic"), "{refused}");
}
