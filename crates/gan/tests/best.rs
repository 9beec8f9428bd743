//! The best checkpoint of a run: which one is kept, what of it survives, and which metrics can tell.

mod common;

use common::slots;
use ganymede::best::Best;
use ganymede::run::{Length, Observer, Run, RunFolder, Tick};
use ganymede::{Error, Recipe, checkpoint};
use ganymede_cpu::{Executor, ExecutorOptions};
use ganymede_data::{Dataset, OpenOptions, open};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn data(spec: &str) -> Arc<Dataset> {
    Arc::new(open(spec, &OpenOptions::default()).unwrap())
}

fn executor() -> Arc<Executor> {
    Executor::new(ExecutorOptions { threads: Some(1), ..ExecutorOptions::default() }).unwrap()
}

fn recipe(set: &[&str]) -> Recipe {
    let usual = ["batch=32", "lr=2e-3", "half_life=300"];
    let set: Vec<String> = usual.iter().chain(set).map(|s| s.to_string()).collect();
    Recipe::load("mlp2d", &set).unwrap()
}

fn begin(root: &Path, set: &[&str], spec: &str, steps: u64) -> Result<Run, Error> {
    Run::begin(RunFolder::create(root)?, recipe(set), data(spec), executor(), 1, Length::Steps(steps))
}

/// Listens, and stops after a number of ticks.
#[derive(Default)]
struct Ticks {
    seen: Vec<(u64, Option<f64>, bool)>,
    stop: Arc<AtomicBool>,
    stop_after: Option<usize>,
    /// Stops after this step.
    stop_at: Option<u64>,
}

impl Observer for Ticks {
    fn step(&mut self, trainer: &ganymede::Trainer, _: &ganymede::trainer::StepReport, _: f64) {
        if self.stop_at == Some(trainer.progress().step) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
    fn tick(&mut self, tick: &Tick, _: &Path) {
        self.seen.push((tick.step, tick.score, tick.best));
        if self.stop_after.is_some_and(|n| self.seen.len() >= n) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

fn train(run: &mut Run, stop_after: Option<usize>) -> (ganymede::run::Finished, Ticks) {
    let mut ticks = Ticks { stop_after, ..Ticks::default() };
    let stop = ticks.stop.clone();
    (run.train(&stop, &mut ticks).unwrap(), ticks)
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    (dir, root)
}

/// Modes so wide that a young generator meets some.
const RING: &str = "synthetic:ring8?radius=1&sigma=.3";

/// Every step a tick.
const STEPS: u64 = 12;

#[test]
fn the_best_of_all_ticks_is_kept_and_told() {
    for (metric, sign) in [("reverse-kl", -1.0), ("quality", 1.0)] {
        let (_dir, root) = folder();
        let set = format!("best.metric={metric}");
        let mut run = begin(&root, &[&set], RING, STEPS).unwrap();
        let (finished, ticks) = train(&mut run, None);
        let scores: Vec<f64> = ticks.seen.iter().filter_map(|t| t.1).collect();
        assert!(scores.len() >= 6 && scores.windows(2).any(|w| w[0] != w[1]), "{:?}", ticks.seen);
        // A tick is the best exactly where it beats all before it.
        let mut best: Option<Best> = None;
        for (step, score, told) in &ticks.seen {
            let Some(score) = *score else {
                assert!(!told);
                continue;
            };
            let beats = best.is_none_or(|b| sign * score > sign * b.score);
            assert_eq!(*told, beats, "{metric} at step {step}: {:?}", ticks.seen);
            if beats {
                best = Some(Best { step: *step, score });
            }
        }
        assert_eq!(finished.best, best.map(|b| (root.join("checkpoints/best.safetensors"), b)));
        let kept = checkpoint::load(&root.join("checkpoints/best.safetensors")).unwrap().progress;
        assert_eq!((kept.step, kept.best), (best.unwrap().step, best));
        assert_eq!(checkpoint::open(&root).unwrap().0.progress.best, best, "the newest knows of it");
        let log = std::fs::read_to_string(root.join("log.jsonl")).unwrap();
        let told = ticks.seen.iter().filter(|t| t.2).count();
        assert_eq!(log.matches("\"best\":true").count(), told, "{log}");
        assert_eq!(log.matches("\"score\":").count(), scores.len());
    }
}

#[test]
fn the_best_is_the_same_after_a_stop_and_scoring_changes_no_training() {
    let set = ["best.metric=quality"];
    let (_a, straight) = folder();
    let mut run = begin(&straight, &set, RING, STEPS).unwrap();
    let expected = train(&mut run, None).1;
    let state = slots(run.trainer().store());
    drop(run);
    let (_b, plain) = folder();
    let mut run = begin(&plain, &[], RING, STEPS).unwrap();
    let (finished, ticks) = train(&mut run, None);
    assert!(finished.best.is_none() && ticks.seen.iter().all(|t| t.1.is_none() && !t.2));
    assert_eq!(slots(run.trainer().store()), state);
    assert!(!plain.join("checkpoints/best.safetensors").exists());

    let resume = |root: &Path, path: &Path| {
        let (found, _) = checkpoint::open(path).unwrap();
        let recipe = Recipe::parse("run", &found.progress.recipe, &[]).unwrap();
        let at = RunFolder { root: root.into() };
        Run::resume(at, recipe, found, data(RING), executor(), 1, None).unwrap()
    };
    let whole = |root: &Path| {
        let best = checkpoint::load(&root.join("checkpoints/best.safetensors")).unwrap();
        (best.progress.step, best.progress.best, slots(&best.store))
    };
    // Between two ticks: of 400 steps every tenth is one. The scores and the best are those of the ticks alone.
    let long = |root: &Path, stops: &[u64]| {
        let mut seen = Vec::new();
        let mut run = begin(root, &set, RING, 400).unwrap();
        for stop in stops.iter().map(Some).chain([None]) {
            let mut ticks = Ticks { stop_at: stop.copied(), ..Ticks::default() };
            run.train(&ticks.stop.clone(), &mut ticks).unwrap();
            seen.extend(ticks.seen);
            if stop.is_some() {
                drop(run);
                run = resume(root, root);
            }
        }
        (seen, whole(root))
    };
    let (_d, left_alone) = folder();
    let (expected_long, best) = long(&left_alone, &[]);
    // Just before and after the tick whose state is kept, and elsewhere.
    let at = best.0;
    let mut stops = vec![at - 3, at + 4, 387];
    stops.retain(|stop| (1..400).contains(stop) && !stop.is_multiple_of(10));
    stops.sort_unstable();
    stops.dedup();
    let (_e, stopped) = folder();
    let (seen, kept) = long(&stopped, &stops);
    let (ticks, between): (Vec<_>, Vec<_>) = seen.into_iter().partition(|tick| tick.0.is_multiple_of(10));
    assert_eq!(ticks, expected_long);
    assert_eq!(between, stops.iter().map(|stop| (*stop, None, false)).collect::<Vec<_>>());
    assert_eq!(kept, best);

    for stop_after in [1, 5, 9] {
        let (_c, root) = folder();
        let mut run = begin(&root, &set, RING, STEPS).unwrap();
        let first = train(&mut run, Some(stop_after)).1;
        drop(run);
        let mut run = resume(&root, &root);
        let second = train(&mut run, None).1;
        // The tick at which it was stopped may be told again.
        let mut told: Vec<_> = first.seen.iter().chain(&second.seen).copied().collect();
        told.dedup_by_key(|t| t.0);
        assert_eq!(told, expected.seen, "stopped after {stop_after}");
        assert_eq!(whole(&root), whole(&straight));
        drop(run);
        // As if killed before any later checkpoint: what was kept is of a step yet to come, and is not lost.
        for newer in checkpoint::list(&root.join("checkpoints")).into_iter().take(1) {
            std::fs::remove_file(newer).unwrap();
        }
        let mut run = resume(&root, &root);
        train(&mut run, None);
        assert_eq!(whole(&root), whole(&straight));
    }
}

#[test]
fn the_best_of_a_course_that_is_left_is_set_aside() {
    let (_dir, root) = folder();
    let mut run = begin(&root, &["best.metric=quality"], RING, STEPS).unwrap();
    let left = train(&mut run, None).0.best.unwrap();
    drop(run);
    assert!(left.1.step > 6, "a best that the shorter course does not reach: {left:?}");
    let file = root.join("checkpoints/best.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    let go_on = |from: &str, set: &[&str], steps: u64| {
        let found = checkpoint::load(&root.join("checkpoints").join(from)).unwrap();
        let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
        let recipe = Recipe::parse("run", &found.progress.recipe, &set).unwrap();
        let at = RunFolder { root: root.clone() };
        let mut run = Run::resume(at, recipe, found, data(RING), executor(), 1, Some(steps * 32)).unwrap();
        train(&mut run, None).0.best
    };
    // Another recipe from before the best: what it kept is the best of its own steps.
    let own = go_on("step-0.safetensors", &["lr=1e-12"], 6);
    assert!(own.as_ref().is_none_or(|(_, best)| best.step <= 6), "{own:?} after {left:?}");
    let aside = root.join("checkpoints/best.safetensors.set-aside");
    assert_eq!(std::fs::read(&aside).unwrap(), bytes, "nothing is thrown away");
    // Beyond its best, whatever changes, a run is still on the course that led there.
    std::fs::rename(&aside, &file).unwrap();
    let newest = format!("step-{STEPS}.safetensors.set-aside");
    let plain = root.join("checkpoints").join(format!("step-{STEPS}.safetensors"));
    std::fs::rename(root.join("checkpoints").join(newest), &plain).unwrap();
    let (_, best) = go_on(&format!("step-{STEPS}.safetensors"), &["lr=1e-12"], STEPS + 1).unwrap();
    assert!(best.score >= left.1.score && best.step >= left.1.step, "{best:?} after {left:?}");
    assert!(!aside.exists());
}

#[test]
fn a_damaged_best_is_made_again_and_another_metric_begins_anew() {
    let (_dir, root) = folder();
    let mut run = begin(&root, &["best.metric=quality"], RING, STEPS).unwrap();
    train(&mut run, None);
    drop(run);
    let path = root.join("checkpoints/best.safetensors");
    let go_on = |set: &[&str], steps: u64| {
        let (found, _) = checkpoint::open(&root).unwrap();
        let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
        let recipe = Recipe::parse("run", &found.progress.recipe, &set).unwrap();
        let at = RunFolder { root: root.clone() };
        let images = Some(steps * 32);
        let mut run = Run::resume(at, recipe, found, data(RING), executor(), 1, images).unwrap();
        train(&mut run, None).1
    };
    std::fs::write(&path, "no checkpoint").unwrap();
    let ticks = go_on(&[], STEPS + 4);
    assert!(ticks.seen[0].2, "the first tick is the best there is: {:?}", ticks.seen);
    checkpoint::load(&path).unwrap();
    let ticks = go_on(&["best.metric=reverse-kl"], STEPS + 8);
    assert!(ticks.seen.iter().find(|t| t.1.is_some()).unwrap().2, "{:?}", ticks.seen);
}

#[test]
fn metrics_that_cannot_judge_are_refused_by_name() {
    let wrong = ["best.metric=revrse-kl".to_string()];
    let error = Recipe::load("mlp2d", &wrong).unwrap_err().to_string();
    assert!(error.contains("best.metric") && error.contains("did you mean `reverse-kl`?"), "{error}");
    let (_dir, root) = folder();
    let recipe = Recipe::load("r3-28", &["best.metric=quality".into()]).unwrap();
    let at = RunFolder::create(&root).unwrap();
    let begun = Run::begin(at, recipe, data("glyphs"), executor(), 1, Length::Steps(1));
    let error = begun.err().unwrap().to_string();
    assert!(error.contains("`quality`") && error.contains("glyphs"), "{error}");
    assert!(!root.exists());
}

/// Hears of work beside the steps.
#[derive(Default)]
struct Hears {
    notes: Vec<String>,
    works: Vec<&'static str>,
    stop: Arc<AtomicBool>,
    stop_at: Option<&'static str>,
    scores: Vec<Option<f64>>,
}

impl Observer for Hears {
    fn note(&mut self, message: &str) {
        self.notes.push(message.into());
    }
    fn moved(&mut self, what: &'static str, done: u64, _: u64) {
        assert!(self.stop_at != Some(what) || done < 2_000, "{what} does not hold a stop up");
        if self.works.last() != Some(&what) {
            self.works.push(what);
        }
        if self.stop_at == Some(what) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
    fn tick(&mut self, tick: &Tick, _: &Path) {
        self.scores.push(tick.score);
    }
}

/// Grey squares of 8x8 without labels, whose place depends on the index.
fn squares(count: u64) -> Arc<Dataset> {
    struct Squares(u64);
    impl ganymede_data::Items for Squares {
        fn count(&self) -> Option<u64> {
            Some(self.0)
        }
        fn held_bytes(&self) -> u64 {
            0
        }
        fn fill(&self, indices: &[u64], out: &mut [f32], _: Option<&mut [i32]>) {
            for (index, image) in indices.iter().zip(out.chunks_exact_mut(64)) {
                for (i, pixel) in image.iter_mut().enumerate() {
                    let (x, y) = ((i as u64 + index) % 8, (i as u64 / 8 + 3 * index) % 8);
                    *pixel = if x < 4 && y < 4 { 0.9 } else { -0.9 };
                }
            }
        }
    }
    let hash = ganymede_data::ContentHash([0; 32]);
    Arc::new(Dataset::new("squares", &[8, 8, 1], hash, Box::new(Squares(count))))
}

const IMAGES: &str = r#"
name = "images"
data = { shape = [8, 8, 1], default = "glyphs" }
latent = { dim = 4 }
train = { batch = 4, images = 400 }
loss = { name = "non-saturating" }
best = { metric = "frechet" }

[generator]
layers = ["dense 64 tanh", "reshape 8 8 1"]
optimizer = { lr = 1e-3 }

[discriminator]
layers = ["flatten", "dense 8 relu", "dense 1"]
optimizer = { lr = 1e-3 }
"#;

#[test]
fn frechet_prepares_aloud_scores_all_its_samples_and_warns_of_few() {
    let (_dir, root) = folder();
    let recipe = Recipe::parse("test", IMAGES, &[]).unwrap();
    // Five real samples, as many features as random convolutions give, and 2,000 generated ones.
    let at = RunFolder::create(&root).unwrap();
    let mut run = Run::begin(at, recipe.clone(), squares(5), executor(), 1, Length::Steps(2)).unwrap();
    let mut hears = Hears::default();
    run.train(&hears.stop.clone(), &mut hears).unwrap();
    // What was made of real samples is kept between commands, and of tests too.
    let works: Vec<_> = hears.works.iter().filter(|work| **work != "looking at real samples").collect();
    assert!(!works.is_empty() && works.iter().all(|work| **work == "looking at generated samples"));
    assert!(hears.notes.iter().any(|n| n.contains("with 5 real samples, too few")), "{:?}", hears.notes);
    assert!(hears.scores.len() == 2 && hears.scores.iter().all(|s| s.is_some_and(f64::is_finite)));
    let log = std::fs::read_to_string(root.join("log.jsonl")).unwrap();
    assert_eq!(log.matches("\"score\":").count(), 2, "{log}");
    // A stop while it prepares is heeded; nothing is lost.
    drop(run);
    let (_dir, root) = folder();
    let at = RunFolder::create(&root).unwrap();
    let mut run = Run::begin(at, recipe, squares(50_000), executor(), 1, Length::Steps(2)).unwrap();
    let mut hears = Hears { stop_at: Some("looking at real samples"), ..Hears::default() };
    let finished = run.train(&hears.stop.clone(), &mut hears).unwrap();
    assert!(finished.interrupted && finished.step == 0 && hears.scores.is_empty());
}

#[test]
fn what_scores_is_part_of_the_memory_that_is_foretold() {
    let foretold = |set: &str| {
        let recipe =
            Recipe::parse("test", &IMAGES.replace("best = { metric = \"frechet\" }", set), &[]).unwrap();
        let objective = ganymede::Objective::new(recipe).unwrap();
        let cost = ganymede::cost::of_run(&objective, executor().target()).unwrap();
        ganymede::memory::Memory::of_run(&cost, &objective, &squares(50_000), 1).total()
    };
    let more = foretold("best = { metric = \"frechet\" }") - foretold("");
    // The features alone: two sides of 2,000 rows of f64.
    let needs = ganymede::extractors::needs(&squares(5), 1).unwrap();
    assert!(
        needs.dimensions > 100 && more > (2 * 2_000 * needs.dimensions * 8) as u64 + needs.bytes,
        "{more} {needs:?}"
    );
}
