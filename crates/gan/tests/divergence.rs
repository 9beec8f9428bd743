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
        Err(Error::Diverged { rollbacks: 3, step: at, checkpoint: path, .. }) => {
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
    // The checkpoint is of step 0, before any norm was known: those of the first attempt are taken.
    assert!(
        !notes[0].contains("clipped") && notes[1].contains("clipped gradients at a norm of"),
        "{notes:?}"
    );
    assert!(run.trainer().progress().norm_bounds.iter().all(|bound| *bound > 0.0));
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

/// From the sixteenth batch of four on, nothing is a number.
fn poisoned_later() -> Arc<Dataset> {
    points(|i| if i >= 60 { [f32::NAN; 2] } else { circle(i) })
}

#[test]
fn each_rollback_changes_more_and_says_what() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    let at = RunFolder::create(&root).unwrap();
    let mut run =
        Run::begin(at.clone(), recipe(), poisoned_later(), executor(), 1, Length::Steps(100)).unwrap();
    train(&mut run, 10).0.unwrap();
    drop(run);
    let (found, _) = checkpoint::open(&root).unwrap();
    let usual = found.progress.usual_norms;
    assert!(usual.iter().all(|n| *n > 0.0) && found.progress.norm_bounds == [0.0; 2], "{usual:?}");
    let stored = Recipe::parse("test", &found.progress.recipe, &[]).unwrap();
    let mut run = Run::resume(at.clone(), stored, found, poisoned_later(), executor(), 1, None).unwrap();
    // Five good steps and five skipped ones; stopped after the second rollback, when the third attempt has begun.
    let stop = AtomicBool::new(false);
    struct AfterTwo<'a>(&'a AtomicBool, Vec<String>);
    impl Observer for AfterTwo<'_> {
        fn note(&mut self, message: &str) {
            self.1.push(message.to_string());
            if self.1.len() == 2 {
                self.0.store(true, Ordering::Relaxed);
            }
        }
    }
    let mut notes = AfterTwo(&stop, Vec::new());
    run.train(&stop, &mut notes).unwrap();
    let [first, second] = &notes.1[..] else { panic!("{:?}", notes.1) };
    assert!(first.contains("lowered the learning rates to 0.5 of") && !first.contains("clipped"), "{first}");
    assert!(second.contains("lowered the learning rates to 0.25 of"), "{second}");
    let bound = format!(
        "clipped gradients at a norm of {:.3e} (discriminator) and {:.3e} (generator)",
        usual[0], usual[1]
    );
    assert!(second.contains(&bound), "{second} lacks {bound}");
    drop(run);

    // What was decided is in the checkpoint; who goes on from it goes on with it, and to the same bits.
    let (found, _) = checkpoint::open(&root).unwrap();
    assert_eq!((found.progress.step, found.progress.rollbacks, found.progress.norm_bounds), (10, 2, usual));
    let objective = || objective(POINTS, &[]);
    let mut straight = Trainer::resume(objective(), points(circle), executor(), 1, found).unwrap();
    let (found, _) = checkpoint::open(&root).unwrap();
    let mut free = Trainer::resume(objective(), points(circle), executor(), 1, found).unwrap();
    free.progress_mut().norm_bounds = [0.0; 2];
    // Tighter than the guard sets them, so that a few steps meet them.
    straight.progress_mut().norm_bounds = usual.map(|n| n / 8.0);
    for _ in 0..3 {
        straight.step().unwrap();
        free.step().unwrap();
    }
    let half = folder.path().join("half.safetensors");
    checkpoint::save(&half, straight.store(), straight.progress()).unwrap();
    let half = checkpoint::load(&half).unwrap();
    let mut resumed = Trainer::resume(objective(), points(circle), executor(), 1, half).unwrap();
    for _ in 0..4 {
        assert_eq!(straight.step().unwrap(), resumed.step().unwrap());
        free.step().unwrap();
    }
    assert_eq!(slots(straight.store()), slots(resumed.store()));
    assert_eq!(straight.progress(), resumed.progress());
    assert_ne!(slots(straight.store()), slots(free.store()), "the bounds are met at some step");

    // The last attempt halves both, and then the run gives up.
    let (found, _) = checkpoint::open(&root).unwrap();
    let stored = Recipe::parse("test", &found.progress.recipe, &[]).unwrap();
    let mut run = Run::resume(at, stored, found, poisoned_later(), executor(), 1, None).unwrap();
    let (ended, notes) = train(&mut run, u64::MAX);
    assert!(matches!(ended, Err(Error::Diverged { rollbacks: 3, .. })), "{ended:?}");
    assert_eq!(run.trainer().progress().norm_bounds, usual.map(|n| n / 2.0));
    assert!(notes.last().is_some_and(|note| note.contains("to 0.125 of")), "{notes:?}");
    let log = std::fs::read_to_string(root.join("log.jsonl")).unwrap();
    assert_eq!(log.matches("\"norm_bounds\":[").count(), 3, "{log}");
}

#[test]
fn a_bound_shortens_the_step_and_one_that_is_not_met_changes_no_bit() {
    let stepped = |bounds: [f64; 2]| {
        let mut trainer = trainer(objective(LINEAR, &["lr=0.5"]));
        trainer.progress_mut().norm_bounds = bounds;
        let before = trainer.store().f32s("D/dense1/weight").unwrap().to_vec();
        assert_eq!(trainer.step().unwrap().skipped, 0);
        let after = trainer.store().f32s("D/dense1/weight").unwrap().to_vec();
        let moved: Vec<f32> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
        let bias = trainer.store().f32s("D/dense1/bias").unwrap()[0];
        let length = moved.iter().chain([&bias]).map(|x| x * x).sum::<f32>().sqrt();
        (slots(trainer.store()), length, trainer.progress().usual_norms)
    };
    let (free, length, norms) = stepped([0.0; 2]);
    // Plain descent moves by the rate times the gradient, whose norm is kept; the bias began at 0.
    assert!((f64::from(length) / (0.5 * norms[0]) - 1.0).abs() < 1e-5, "{length} {norms:?}");
    assert_eq!(stepped([1e3; 2]).0, free);
    let bound = norms[0] / 8.0;
    let (_, length, unclipped) = stepped([bound, 0.0]);
    assert!((f64::from(length) / (0.5 * bound) - 1.0).abs() < 1e-4, "{length} under {bound}");
    assert_eq!(unclipped[0], norms[0], "what is kept is the norm before the bound");
    // Together with the recipe's own bound the smaller one holds.
    let mut trainer = trainer(objective(LINEAR, &["lr=0.5", &format!("clip_norm={}", bound / 2.0)]));
    trainer.progress_mut().norm_bounds = [bound; 2];
    let before = trainer.store().f32s("D/dense1/weight").unwrap().to_vec();
    trainer.step().unwrap();
    let after = trainer.store().f32s("D/dense1/weight").unwrap();
    let bias = trainer.store().f32s("D/dense1/bias").unwrap()[0];
    let squares: f32 = after.iter().zip(&before).map(|(a, b)| (a - b).powi(2)).sum();
    let length = (squares + bias * bias).sqrt();
    assert!((f64::from(length) / (0.25 * bound) - 1.0).abs() < 1e-3, "{length} under {bound}");
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
fn a_rollback_to_the_beginning_bounds_by_the_calm_of_the_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    let at = RunFolder::create(&root).unwrap();
    // Twice as large at every batch of four, and nothing from the eleventh on.
    let data =
        points(|i| if i >= 40 { [f32::NAN; 2] } else { circle(i).map(|x| x * 2f32.powi(i as i32 / 4)) });
    let recipe = Recipe::parse("test", LINEAR, &["lr=0".into()]).unwrap();
    let mut first = Trainer::new(objective(LINEAR, &["lr=0"]), data.clone(), executor(), 1, 400).unwrap();
    let mut calm = f64::INFINITY;
    for _ in 0..10 {
        assert_eq!(first.step().unwrap().skipped, 0);
        calm = calm.min(first.progress().usual_norms[0]);
    }
    assert!(first.progress().usual_norms[0] > 1.1 * calm, "norms grow: {:?} from {calm}", first.progress());
    let mut run = Run::begin(at, recipe, data, executor(), 1, Length::Steps(100)).unwrap();
    let (_, notes) = train(&mut run, u64::MAX);
    assert!(
        notes[1].contains(&format!("at a norm of {calm:.3e} (discriminator)")),
        "{notes:?} lacks {calm:.3e}"
    );
}

/// Linear networks with a penalty that no step can hold, at every so many steps.
fn overflowing(every: usize) -> Recipe {
    Recipe::parse("test", &with(LINEAR, "r1", 1e38, every), &[]).unwrap()
}

#[test]
fn a_phase_that_fails_each_time_is_not_forgiven_for_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    let at = RunFolder::create(&root).unwrap();
    let begun = || Run::begin(at.clone(), overflowing(2), points(circle), executor(), 1, Length::Steps(100));
    let mut run = begun().unwrap();
    // Steps 1, 3, 5, 7 and 9 drop the discriminator's update; stopped after the fourth and gone on with.
    assert_eq!(train(&mut run, 8).0.unwrap(), 8);
    assert_eq!(run.trainer().progress().failing.get("discriminator+r1"), Some(&4));
    drop(run);
    let (found, _) = checkpoint::open(&root).unwrap();
    assert_eq!((found.progress.skipped, found.progress.skipped_in_a_row), (4, 0));
    let stored = Recipe::parse("test", &found.progress.recipe, &[]).unwrap();
    let mut run = Run::resume(at, stored, found, points(circle), executor(), 1, None).unwrap();
    let (ended, notes) = train(&mut run, u64::MAX);
    assert!(matches!(ended, Err(Error::Diverged { rollbacks: 3, .. })), "{ended:?}");
    let first = notes.iter().find(|note| note.contains("rolled back")).unwrap();
    assert!(
        first.contains("5 steps of discriminator+r1 in a row") && first.contains("from step 9"),
        "{first}"
    );
}

#[test]
fn what_to_try_keeps_schedules_and_rates_apart_and_names_a_penalty() {
    let folder = tempfile::tempdir().unwrap();
    let diverged = |name: &str, recipe: Recipe, data: Arc<Dataset>| {
        let at = RunFolder::create(&folder.path().join(name)).unwrap();
        let mut run = Run::begin(at, recipe, data, executor(), 1, Length::Steps(100)).unwrap();
        let error = train(&mut run, u64::MAX).0.unwrap_err().to_string();
        (error, run.remedies())
    };
    let rates = ["generator.optimizer.lr=cosine 0.01 -> 0.002", "discriminator.optimizer.lr=0.04"];
    let recipe = Recipe::parse("test", POINTS, &rates.map(String::from)).unwrap();
    let (error, remedies) = diverged("data", recipe, poisoned());
    assert!(error.ends_with("Try a lower lr, a stronger gamma or clip_norm"), "{error}");
    let expected = ["generator.optimizer.lr=cosine 0.0025 -> 0.0005", "discriminator.optimizer.lr=0.01"];
    assert_eq!(remedies, expected);
    let (error, remedies) = diverged("penalty", overflowing(1), points(circle));
    assert!(
        error.ends_with("What ran away is the discriminator's penalty (r1): try a smaller strength"),
        "{error}"
    );
    assert_eq!(remedies, ["regularizers.0.strength=1"]);
    // What is proposed can be set.
    for sets in [&expected[..], &["regularizers.0.strength=1"]] {
        let text = with(POINTS, "lecam", 1e30, 1);
        let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
        Recipe::parse("test", &text, &sets).unwrap();
    }
}

#[test]
fn what_was_dropped_in_a_short_run_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("run");
    let at = RunFolder::create(&root).unwrap();
    let mut run = Run::begin(at, overflowing(1), points(circle), executor(), 1, Length::Steps(3)).unwrap();
    let stop = AtomicBool::new(false);
    let finished =
        run.train(&stop, &mut Notes { stop: &stop, stop_after: u64::MAX, notes: Vec::new() }).unwrap();
    assert_eq!((finished.step, finished.skipped), (3, 3));
    assert_eq!(finished.failing, [("discriminator+r1".to_string(), 3)]);
    let log = std::fs::read_to_string(root.join("log.jsonl")).unwrap();
    assert_eq!(log.matches("\"event\":\"dropped\"").count(), 3, "{log}");
    // One that succeeds is forgiven all.
    let mut trainer = trainer(objective(&with(LINEAR, "r1", 1e38, 1), &[]));
    trainer.step().unwrap();
    assert_eq!(trainer.progress().failing.get("discriminator+r1"), Some(&1));
    for name in ["D/dense1/weight", "G/dense1/weight"] {
        put(trainer.parts_mut().1.store_mut(), name, &[0.0, 0.0]);
    }
    trainer.step().unwrap();
    assert!(trainer.progress().failing.is_empty(), "{:?}", trainer.progress());
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
