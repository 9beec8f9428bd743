//! The guard against divergence: what is skipped, where a run goes back to, and when it gives up.

mod common;

use common::*;
use ganymede::run::{Length, Observer, Run, RunFolder};
use ganymede::trainer::{StepReport, Trainer};
use ganymede::{Error, Recipe, checkpoint};
use ganymede_data::Dataset;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Listens, and stops the run after a step if asked to.
struct Notes<'a> {
    stop: &'a AtomicBool,
    stop_after: u64,
    notes: Vec<String>,
}

impl Observer for Notes<'_> {
    fn step(&mut self, trainer: &Trainer, _: &StepReport, _: f64) {
        if trainer.progress().step == self.stop_after {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
    fn note(&mut self, message: &str) {
        self.notes.push(message.to_string());
    }
}

/// From the eleventh batch of four on, nothing is a number.
fn poisoned() -> Arc<Dataset> {
    points(|i| if i >= 40 { [f32::NAN; 2] } else { circle(i) })
}

fn recipe() -> Recipe {
    Recipe::parse("test", POINTS, &[]).unwrap()
}

fn train(run: &mut Run, stop_after: u64) -> (Result<u64, Error>, Vec<String>) {
    let stop = AtomicBool::new(false);
    let mut notes = Notes { stop: &stop, stop_after, notes: Vec::new() };
    let ended = run.train(&stop, &mut notes).map(|finished| finished.step);
    (ended, notes.notes)
}

#[track_caller]
fn assert_gave_up(ended: Result<u64, Error>, step: u64, newest: &Path) {
    match ended {
        Err(Error::Diverged { rollbacks: 3, step: at, checkpoint: path }) => {
            assert_eq!((at, Path::new(&path)), (step, newest));
            checkpoint::load(newest).unwrap();
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_rolls_back_with_lower_rates_and_then_gives_up() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    let at = RunFolder::create(&root).unwrap();
    let mut run = Run::begin(at, recipe(), poisoned(), executor(), 1, Length::Steps(100)).unwrap();
    let before = slots(&checkpoint::open(&root).unwrap().0.store);
    let (ended, notes) = train(&mut run, u64::MAX);
    // Ten good steps and five skipped ones, four times.
    assert_gave_up(ended, 15, &root.join("checkpoints/step-0.safetensors"));
    assert_eq!(notes.len(), 3, "{notes:?}");
    for (note, scale) in notes.iter().zip(["0.5", "0.25", "0.125"]) {
        assert!(note.contains("rolled back from step 15") && note.contains("step-0.safetensors"), "{note}");
        assert!(note.contains(&format!("lowered the learning rates to {scale} ")), "{note}");
    }
    assert_eq!(run.trainer().progress().skipped, 20);
    assert_eq!(slots(&checkpoint::open(&root).unwrap().0.store), before);
}

#[test]
fn a_checkpoint_from_which_no_step_succeeds_gives_way_to_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    let at = RunFolder::create(&root).unwrap();
    let mut run = Run::begin(at.clone(), recipe(), poisoned(), executor(), 1, Length::Steps(100)).unwrap();
    let (ended, _) = train(&mut run, 10);
    assert_eq!(ended.unwrap(), 10);
    let (found, _) = checkpoint::open(&root).unwrap();
    assert_eq!(found.progress.step, 10);
    let stored = Recipe::parse("test", &found.progress.recipe, &[]).unwrap();
    // The first process has ended: only one may hold the folder.
    drop(run);
    let mut run = Run::resume(at, stored, found, poisoned(), executor(), 1, None).unwrap();
    let (ended, notes) = train(&mut run, u64::MAX);
    assert_gave_up(ended, 15, &root.join("checkpoints/step-0.safetensors"));
    // First to where it was, then, as not one step went well from there, to the one before.
    let (rolled, others): (Vec<_>, Vec<_>) = notes.iter().partition(|n| n.contains("rolled back"));
    let places: Vec<bool> = rolled.iter().map(|n| n.contains("step-10.safetensors")).collect();
    assert_eq!(places, [true, false, false], "{notes:?}");
    assert_eq!(others.len(), 1, "{notes:?}");
    assert!(others[0].contains("set aside") && others[0].contains("step-10.safetensors"), "{notes:?}");
    assert!(root.join("checkpoints/step-10.safetensors.set-aside").exists(), "nothing is thrown away");
}

#[test]
fn a_few_skipped_steps_are_forgiven() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    // Four batches of sixteen values that are not numbers, then sound ones again.
    let data = points(|i| if (40..56).contains(&i) { [f32::NAN; 2] } else { circle(i) });
    let at = RunFolder::create(&root).unwrap();
    let mut run = Run::begin(at, recipe(), data, executor(), 1, Length::Steps(20)).unwrap();
    let (ended, notes) = train(&mut run, u64::MAX);
    assert_eq!(ended.unwrap(), 20);
    assert!(notes.is_empty(), "{notes:?}");
    let progress = run.trainer().progress();
    assert_eq!((progress.skipped, progress.rollbacks, progress.lr_scale), (4, 0, 1.0));
}

#[test]
fn a_run_that_cannot_begin_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    let images = ganymede_data::open("glyphs", &ganymede_data::OpenOptions::default()).unwrap();
    let at = RunFolder::create(&root).unwrap();
    let begun = Run::begin(at, recipe(), Arc::new(images), executor(), 1, Length::Steps(1));
    assert!(begun.err().unwrap().to_string().contains("[28, 28, 1]"));
    assert!(!root.exists());
    for length in [Length::Images(u64::MAX), Length::Steps(u64::MAX), Length::Epochs(1.0)] {
        let refused = ganymede::run::planned_images(length, &recipe(), &poisoned());
        assert!(matches!(refused, Err(Error::Refused(_))), "{length:?}");
    }
}
