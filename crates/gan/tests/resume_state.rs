//! What a stopped, rolled back or failed run keeps on disk.

use ganymede::run::{Length, Observer, Run, RunFolder, lengthened_images, planned_images};
use ganymede::{Error, Recipe, checkpoint};
use ganymede_cpu::{Executor, ExecutorOptions};
use ganymede_data::{ContentHash, Dataset, Items, OpenOptions, open};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn data(spec: &str) -> Arc<Dataset> {
    Arc::new(open(spec, &OpenOptions::default()).unwrap())
}

fn executor() -> Arc<Executor> {
    Executor::new(ExecutorOptions { threads: Some(1), ..ExecutorOptions::default() }).unwrap()
}

fn recipe(set: &[&str]) -> Recipe {
    let set: Vec<String> = set.iter().chain(&["batch=8"]).map(|s| s.to_string()).collect();
    Recipe::load("mlp2d", &set).unwrap()
}

/// What makes every step's values overflow: penalties beyond f32, at every step.
const DIVERGING: &[&str] = &["gamma=1e38", "every=1"];

fn begin(root: &Path, set: &[&str], images: u64) -> Result<Run, Error> {
    let folder = RunFolder::create(root)?;
    Run::begin(folder, recipe(set), data("synthetic:ring8"), executor(), 1, Length::Images(images))
}

fn resume(root: &Path, set: &[&str], dataset: Arc<Dataset>, images: Option<u64>) -> Result<Run, Error> {
    let (checkpoint, _) = checkpoint::open(root)?;
    let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
    let recipe = Recipe::parse("run", &checkpoint.progress.recipe, &set)?;
    Run::resume(RunFolder { root: root.into() }, recipe, checkpoint, dataset, executor(), 1, images)
}

#[derive(Default)]
struct Notes(Vec<String>);
impl Observer for Notes {
    fn note(&mut self, message: &str) {
        self.0.push(message.into());
    }
}

fn train(run: &mut Run) -> (Result<ganymede::run::Finished, Error>, Vec<String>) {
    let mut notes = Notes::default();
    let ended = run.train(&AtomicBool::new(false), &mut notes);
    (ended, notes.0)
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    (dir, root)
}

#[test]
fn a_rollback_is_on_disk_and_keeps_the_length_and_the_keys_of_the_resumed_run() {
    let (_dir, root) = folder();
    let mut run = begin(&root, &[], 80).unwrap();
    train(&mut run).0.unwrap();
    drop(run);
    let mut run = resume(&root, DIVERGING, data("synthetic:ring8"), Some(4000)).unwrap();
    let (ended, notes) = train(&mut run);
    assert!(matches!(ended, Err(Error::Diverged { rollbacks: 3, .. })), "{ended:?}");
    assert_eq!(notes.iter().filter(|n| n.contains("rolled back")).count(), 3, "{notes:?}");
    drop(run);
    let kept = checkpoint::open(&root).unwrap().0.progress;
    assert_eq!((kept.rollbacks, kept.lr_scale), (3, 0.125));
    assert_eq!(kept.norm_bounds, kept.usual_norms.map(|norm| norm / 2.0), "halved at the third");
    assert_eq!(kept.total_images, 4000);
    let recipe = Recipe::parse("kept", &kept.recipe, &[]).unwrap();
    assert_eq!(recipe.regularizers[0].strength.as_ref().unwrap().scheduled().unwrap().range().1, 1e38);
    assert!(kept.skipped >= 15);

    // The same again gives up at once; with sane penalties the count begins anew.
    let mut run = resume(&root, &[], data("synthetic:ring8"), None).unwrap();
    assert!(matches!(train(&mut run).0, Err(Error::Diverged { .. })));
    drop(run);
    let mut run = resume(&root, &["gamma=0.02"], data("synthetic:ring8"), None).unwrap();
    assert_eq!((run.trainer().progress().rollbacks, run.trainer().progress().lr_scale), (0, 1.0));
    let (ended, notes) = train(&mut run);
    assert_eq!(ended.unwrap().images, 4000);
    assert!(notes.iter().any(|n| n.contains("counted anew")), "{notes:?}");
}

#[test]
fn skips_in_a_row_are_counted_over_a_stop() {
    let (_dir, root) = folder();
    let mut run = begin(&root, DIVERGING, 24).unwrap();
    // Too few steps for a rollback: the run ends first.
    train(&mut run).0.unwrap();
    let before = run.trainer().progress().clone();
    drop(run);
    let kept = checkpoint::open(&root).unwrap().0.progress;
    assert_eq!(kept, before);
    assert!(kept.skipped_in_a_row > 0 && kept.rollbacks == 0, "{kept:?}");
}

#[test]
fn a_picture_that_cannot_be_drawn_loses_no_step() {
    for remaining in [1u64, 40] {
        let (_dir, root) = folder();
        let mut run = begin(&root, &[], 8 * remaining).unwrap();
        std::fs::remove_dir(root.join("samples")).unwrap();
        std::fs::write(root.join("samples"), "in the way").unwrap();
        let error = train(&mut run).0.unwrap_err();
        assert!(error.to_string().contains("samples"), "{error}");
        let step = run.trainer().progress().step;
        assert!(step > 0);
        assert_eq!(checkpoint::open(&root).unwrap().0.progress.step, step);
    }
}

#[test]
fn other_data_are_refused_by_name() {
    let (_dir, root) = folder();
    train(&mut begin(&root, &[], 16).unwrap()).0.unwrap();
    let error = resume(&root, &[], data("synthetic:grid25"), Some(32)).err().unwrap().to_string();
    assert!(error.contains("synthetic:ring8") && error.contains("synthetic:grid25"), "{error}");
    assert!(resume(&root, &[], data("synthetic:ring8"), Some(32)).is_ok());
}

#[test]
fn a_folder_is_trained_in_by_one_run_at_a_time() {
    let (_dir, root) = folder();
    let run = begin(&root, &[], 16).unwrap();
    let error = resume(&root, &[], data("synthetic:ring8"), None).err().unwrap().to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    let error = begin(&root, &[], 16).err().unwrap().to_string();
    assert!(error.contains("not empty"), "{error}");
    drop(run);
    assert!(resume(&root, &[], data("synthetic:ring8"), None).is_ok());
}

#[test]
fn a_resumed_run_writes_the_recipe_that_now_holds_and_says_what_it_set_aside() {
    let (_dir, root) = folder();
    train(&mut begin(&root, &[], 16).unwrap()).0.unwrap();
    let mut run = resume(&root, &["lr=3e-5"], data("synthetic:ring8"), Some(40)).unwrap();
    let written = std::fs::read_to_string(root.join("recipe.toml")).unwrap();
    assert!(written.contains("3e-5") || written.contains("0.00003"), "{written}");
    assert!(written.contains("images = 40"), "{written}");
    train(&mut run).0.unwrap();
    drop(run);

    let (earlier, _) = checkpoint::open(&root.join("checkpoints/step-2.safetensors")).unwrap();
    let recipe = Recipe::parse("run", &earlier.progress.recipe, &[]).unwrap();
    let folder = RunFolder { root: root.clone() };
    let mut run =
        Run::resume(folder, recipe, earlier, data("synthetic:ring8"), executor(), 1, Some(40)).unwrap();
    let notes = train(&mut run).1;
    assert!(notes.iter().any(|n| n.contains("step-5.safetensors.set-aside")), "{notes:?}");
}

/// A finite set of nothing but its size.
struct Blank(u64);
impl Items for Blank {
    fn count(&self) -> Option<u64> {
        Some(self.0)
    }
    fn held_bytes(&self) -> u64 {
        0
    }

    fn fill(&self, _: &[u64], out: &mut [f32], _: Option<&mut [i32]>) {
        out.fill(0.0);
    }
}

#[test]
fn epochs_are_passes_of_the_loader_whatever_the_loss() {
    let items = 1200;
    let blank = Dataset::new("blank", &[28, 28, 1], ContentHash([0; 32]), Box::new(Blank(items)));
    for (name, set, share) in [
        ("dcgan28", vec![], 1.0),
        ("r3-28", vec![], 0.5),
        ("r3-28", vec!["critic_steps=3".to_string()], 0.75),
    ] {
        let recipe = Recipe::load(name, &set).unwrap();
        let images = planned_images(Length::Epochs(2.0), &recipe, &blank).unwrap().unwrap();
        assert_eq!(images, (2.0 * items as f64 * share).round() as u64, "{name} {set:?}");
    }
}

#[test]
fn what_a_run_says_when_it_begins_it_says_when_it_goes_on() {
    let (_dir, root) = folder();
    let mut run = begin(&root, &[], 80).unwrap();
    assert!(train(&mut run).1.is_empty());
    drop(run);
    // A key that is set now means something for another.
    let mut run = resume(
        &root,
        &["train.accumulate=2", "loss.name=relativistic-average"],
        data("synthetic:ring8"),
        Some(160),
    )
    .unwrap();
    let notes = train(&mut run).1;
    assert!(notes.iter().any(|note| note.contains("parts of 4 samples")), "{notes:?}");
}

#[test]
fn another_batch_goes_on_with_latents_where_the_old_one_stopped_and_steps_are_steps() {
    let (_dir, root) = folder();
    let mut run = begin(&root, &[], 4 * 8).unwrap();
    train(&mut run).0.unwrap();
    assert_eq!((run.trainer().progress().step, run.trainer().progress().generated), (4, 32));
    drop(run);
    let done = checkpoint::open(&root).unwrap().0.progress;
    let smaller = Recipe::parse("run", &done.recipe, &["batch=2".into()]).unwrap();
    let length = |steps| lengthened_images(Length::Steps(steps), &smaller, &data("synthetic:ring8"), &done);
    // Four steps of eight, and three of two.
    assert_eq!(length(7).unwrap(), Some(32 + 6));
    assert!(length(4).unwrap_err().to_string().contains("has taken 4 steps already"));
    let mut run = resume(&root, &["batch=2"], data("synthetic:ring8"), length(7).unwrap()).unwrap();
    let finished = train(&mut run).0.unwrap();
    assert_eq!((finished.step, run.trainer().progress().generated), (7, 38));
    // The last step began behind all latents before it.
    let session = run.parts_mut().1;
    let phase = session.phase("generator").unwrap();
    assert_eq!(session.feed_words_mut(phase, "first").unwrap().to_vec(), [36, 0]);
}
