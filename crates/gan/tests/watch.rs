//! Runs that go wrong, named in their logs while they do, and runs that do not.

use ganymede::run::{Length, Observer, Run, RunFolder, Tick, Trouble};
use ganymede::{Error, Recipe};
use ganymede_cpu::{Executor, ExecutorOptions};
use ganymede_data::{ContentHash, Dataset, Items, OpenOptions, open};
use ganymede_metrics::stats::Random;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[derive(Default)]
struct Listener {
    ticks: Vec<Tick>,
    notes: Vec<String>,
}

impl Observer for Listener {
    fn tick(&mut self, tick: &Tick, _: &Path) {
        self.ticks.push(tick.clone());
    }

    fn note(&mut self, message: &str) {
        self.notes.push(message.into());
    }
}

impl Listener {
    /// Ticks with a fault.
    fn with(&self, trouble: Trouble) -> usize {
        self.ticks.iter().filter(|tick| tick.trouble.contains(&trouble)).count()
    }
}

fn train(
    recipe: Recipe,
    dataset: Arc<Dataset>,
    held_out: Option<&Dataset>,
    steps: u64,
) -> Result<(Listener, String), Error> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let executor = Executor::new(ExecutorOptions { threads: Some(2), ..ExecutorOptions::default() })?;
    let mut run = Run::begin(RunFolder::create(&root)?, recipe, dataset, executor, 1, Length::Steps(steps))?;
    if let Some(held_out) = held_out {
        run.watch_held_out(held_out)?;
    }
    let mut listener = Listener::default();
    run.train(&AtomicBool::new(false), &mut listener)?;
    Ok((listener, std::fs::read_to_string(root.join("log.jsonl")).unwrap()))
}

fn points(spec: &str) -> Arc<Dataset> {
    Arc::new(open(spec, &OpenOptions::default()).unwrap())
}

fn mlp(set: &[&str]) -> Recipe {
    let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
    Recipe::load("mlp2d", &set).unwrap()
}

#[test]
fn a_run_that_learns_is_not_accused() {
    for spec in ["synthetic:ring8", "synthetic:grid25"] {
        let (seen, log) = train(mlp(&["batch=128", "half_life=2000"]), points(spec), None, 2400).unwrap();
        assert!(seen.ticks.len() >= 40);
        assert!(seen.ticks.iter().all(|tick| tick.trouble.is_empty()), "{spec}: {:?}", seen.notes);
        assert!(seen.ticks.iter().all(|tick| tick.variety.is_some()) && !log.contains("trouble"));
        // Once it has learnt, it is about as varied as the data.
        let last = seen.ticks.last().unwrap().variety.unwrap();
        assert!((0.3..4.0).contains(&last[0]), "{spec}: {last:?}");
    }
}

#[test]
fn a_generator_that_stands_still_or_follows_one_direction_is_named() {
    // A generator without a rate stays what it was: one blob.
    let (seen, log) = train(
        mlp(&["batch=32", "generator.optimizer.lr=0", "half_life=0"]),
        points("synthetic:ring8"),
        None,
        900,
    )
    .unwrap();
    assert!(seen.with(Trouble::DeadGenerator) >= 10, "{:?}", seen.ticks.last());
    assert!(log.contains("\"trouble\":[\"dead-generator\"]"));
    assert_eq!(
        seen.notes.iter().filter(|note| note.starts_with("dead generator")).count(),
        1,
        "{:?}",
        seen.notes
    );
    // Nothing is named before it has lasted, nor of a young generator.
    assert!(seen.ticks.iter().all(|tick| tick.step >= 500 || tick.trouble.is_empty()));
    // A discriminator without a rate draws all samples to one place, if its waves are too long to have many tops.
    let (seen, log) = train(
        mlp(&[
            "batch=32",
            "loss.name=non-saturating",
            LONG_WAVES,
            "discriminator.optimizer.lr=0",
            "generator.optimizer.lr=2e-4",
            "half_life=0",
        ]),
        points("synthetic:ring8"),
        None,
        900,
    )
    .unwrap();
    assert!(seen.with(Trouble::Collapse) >= 10, "{:?}", seen.ticks.last());
    assert!(log.contains("\"trouble\":[\"collapse\"]"));
}

const LONG_WAVES: &str = r#"discriminator.layers=["fourier_features 3", "dense 128 leaky_relu=0.2", "dense 128 leaky_relu=0.2",
    "dense 128 leaky_relu=0.2", "dense 1"]"#;

/// Images of noise: nothing in them is common, so that a discriminator can know them by heart alone.
struct Noise {
    first: u64,
    count: u64,
    /// Whether they are all alike but for a little: then there is something to learn.
    common: bool,
}

impl Items for Noise {
    fn count(&self) -> Option<u64> {
        Some(self.count)
    }

    fn held_bytes(&self) -> u64 {
        0
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], _: Option<&mut [i32]>) {
        for (&i, item) in indices.iter().zip(out.chunks_exact_mut(64)) {
            let mut random = Random::new((self.first + i).wrapping_mul(0x9E37_79B9));
            let (x, y) = (random.below(6), random.below(6));
            for (at, value) in item.iter_mut().enumerate() {
                let inside = self.common && (x..x + 3).contains(&(at % 8)) && (y..y + 3).contains(&(at / 8));
                let noise = random.unit() as f32 * 2.0 - 1.0;
                *value = if self.common { 0.2 * noise + if inside { 0.7 } else { -0.7 } } else { noise };
            }
        }
    }
}

fn noise(first: u64, count: u64, common: bool) -> Dataset {
    let hash = blake3::hash(format!("{first} {count} {common}").as_bytes());
    Dataset::new("noise", &[8, 8, 1], ContentHash(hash.into()), Box::new(Noise { first, count, common }))
}

const IMAGES: &str = r#"
name = "images"
about = "dense networks for 8x8 images, for tests"
data = { shape = [8, 8, 1], default = "glyphs" }
latent = { dim = 16 }
train = { batch = 16, images = 400 }
loss = { name = "non-saturating" }

[generator]
layers = ["dense 64", "batch_norm", "relu", "dense 64 tanh", "reshape 8 8 1"]
optimizer = { lr = 5e-4, beta1 = 0.5 }

[discriminator]
layers = ["flatten", "dense 512 leaky_relu=0.2", "dense 1"]
optimizer = { lr = 1e-3, beta1 = 0.5 }
"#;

#[test]
fn a_discriminator_that_knows_its_samples_by_heart_is_named_and_another_is_not() {
    let recipe = || Recipe::parse("test", IMAGES, &[]).unwrap();
    // One that learns fast and has more weights than there are pixels.
    let by_heart = || {
        let changes = ["discriminator.optimizer.lr=3e-3", "generator.optimizer.lr=2e-4"].map(String::from);
        Recipe::parse("test", IMAGES, &changes).unwrap()
    };
    let (seen, log) =
        train(by_heart(), Arc::new(noise(0, 200, false)), Some(&noise(1_000_000, 250, false)), 1600).unwrap();
    let figures: Vec<f64> = seen.ticks.iter().filter_map(|tick| tick.overfitting).collect();
    assert!(seen.with(Trouble::Overfitting) >= 5, "{} {figures:?}", seen.with(Trouble::Overfitting));
    assert!(log.contains("overfitting") && seen.notes.iter().any(|note| note.starts_with("overfitting")));
    let (seen, _) =
        train(recipe(), Arc::new(noise(0, 20_000, true)), Some(&noise(1_000_000, 250, true)), 800).unwrap();
    let figures: Vec<f64> = seen.ticks.iter().filter_map(|tick| tick.overfitting).collect();
    assert!(figures.len() >= 30, "{figures:?}");
    assert_eq!(seen.with(Trouble::Overfitting), 0, "{figures:?}");
    // Without held-out samples nothing is said, and held-out samples that are the training samples are none.
    let same = Arc::new(noise(0, 250, false));
    let (seen, _) = train(recipe(), same.clone(), Some(&same), 40).unwrap();
    assert!(seen.ticks.iter().all(|tick| tick.overfitting.is_none()));
}
