//! Checkpoint files: whole, damaged, and written where they cannot be.

mod common;

use common::*;
use ganymede::Trainer;
use ganymede::checkpoint::{self, CheckpointError};
use std::fs;
use std::path::Path;

/// Saves a trainer's state as a checkpoint of `folder`.
fn save(trainer: &Trainer, folder: &Path) -> std::path::PathBuf {
    let path = folder.join(format!("step-{}.safetensors", trainer.progress().step));
    checkpoint::save(&path, trainer.store(), trainer.progress()).unwrap();
    path
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_checkpoint_holds_everything_and_comes_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer(objective(POINTS, &[]));
    for _ in 0..3 {
        trainer.step().unwrap();
    }
    trainer.progress_mut().lr_scale = 0.1 + 0.2;
    trainer.progress_mut().rollbacks = 2;
    trainer.progress_mut().seconds = 1.5;
    let path = save(&trainer, folder.path());
    let loaded = checkpoint::load(&path).unwrap();
    assert_eq!(&loaded.progress, trainer.progress());
    assert_eq!(slots(&loaded.store), slots(trainer.store()));
    for name in trainer.store().names() {
        assert_eq!(loaded.store.ty(name), trainer.store().ty(name), "{name}");
    }
    assert!(checkpoint::differences(trainer.store(), &loaded.store).is_none());

    // Going on from it is going on.
    let mut resumed = Trainer::resume(objective(POINTS, &[]), points(circle), executor(), 3, loaded).unwrap();
    for _ in 0..4 {
        assert_eq!(trainer.step().unwrap(), resumed.step().unwrap());
    }
    assert_eq!(slots(trainer.store()), slots(resumed.store()));
}

#[test]
fn any_flipped_byte_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = save(&trainer(objective(POINTS, &[])), folder.path());
    let whole = fs::read(&path).unwrap();
    let mut tried = 0;
    for at in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        match checkpoint::load(&path) {
            Err(CheckpointError::Damaged { .. } | CheckpointError::Mismatch { .. }) => tried += 1,
            other => panic!("byte {at} of {}: {other:?}", whole.len()),
        }
    }
    assert!(tried > 50, "{tried} of {} bytes", whole.len());
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(checkpoint::load(&path), Err(CheckpointError::Damaged { .. })), "{length} bytes");
    }
    let longer: Vec<u8> = whole.iter().copied().chain([0]).collect();
    fs::write(&path, longer).unwrap();
    assert!(matches!(checkpoint::load(&path), Err(CheckpointError::Damaged { .. })));
    fs::write(&path, &whole).unwrap();
    checkpoint::load(&path).unwrap();
}

#[test]
fn the_newest_sound_one_is_opened_and_what_was_passed_over_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    fs::create_dir(&checkpoints).unwrap();
    let mut trainer = trainer(objective(POINTS, &[]));
    let mut paths = Vec::new();
    for _ in 0..12 {
        trainer.step().unwrap();
        if trainer.progress().step >= 9 {
            paths.push(save(&trainer, &checkpoints));
        }
    }
    let (found, warnings) = checkpoint::open(folder.path()).unwrap();
    assert_eq!(
        (found.progress.step, warnings.len()),
        (12, 0),
        "12 is newer than 9 though its name sorts before"
    );
    for path in &paths[2..] {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(path, bytes).unwrap();
    }
    let (found, warnings) = checkpoint::open(folder.path()).unwrap();
    assert_eq!(found.progress.step, 10);
    assert_eq!(warnings.len(), 3);
    assert!(warnings[0].contains("step-12") && warnings[1].contains("step-11"), "{warnings:?}");
    assert!(warnings[2].contains("fell back to") && warnings[2].contains("step-10"), "{warnings:?}");
    assert_eq!(checkpoint::open_before(&checkpoints, 10).unwrap().0.progress.step, 9);
    assert!(checkpoint::open_before(&checkpoints, 9).is_none());
}

#[test]
fn only_the_newest_are_kept_and_leftovers_of_killed_writers_go() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "step-5.safetensors",
        "step-40.safetensors",
        "step-300.safetensors",
        "step-40.safetensors.tmp-77",
        "step-9.safetensors.set-aside",
        "notes.txt",
        "best.safetensors",
    ] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    checkpoint::prune(folder.path(), 2).unwrap();
    assert_eq!(
        names(folder.path()),
        [
            "best.safetensors",
            "notes.txt",
            "step-300.safetensors",
            "step-40.safetensors",
            "step-9.safetensors.set-aside"
        ]
    );
    let moved = checkpoint::set_aside(folder.path(), 40).unwrap();
    assert_eq!(moved, [folder.path().join("step-300.safetensors.set-aside")]);
    assert_eq!(checkpoint::list(folder.path()), [folder.path().join("step-40.safetensors")]);
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = trainer(objective(POINTS, &[]));
    let path = save(&trainer, folder.path());
    let whole = fs::read(&path).unwrap();
    // A folder sits where the temporary file would go, so that not even root can write it.
    let blocker = folder.path().join(format!("step-0.safetensors.tmp-{}", std::process::id()));
    fs::create_dir(&blocker).unwrap();
    let error = checkpoint::save(&path, trainer.store(), trainer.progress()).unwrap_err();
    assert!(error.to_string().contains("step-0.safetensors: cannot write the checkpoint"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), whole);
    fs::remove_dir(&blocker).unwrap();
    // The target itself cannot be replaced: the temporary file goes.
    let target = folder.path().join("step-1.safetensors");
    fs::create_dir(&target).unwrap();
    assert!(checkpoint::save(&target, trainer.store(), trainer.progress()).is_err());
    assert_eq!(names(folder.path()), ["step-0.safetensors", "step-1.safetensors"]);
    let absent = folder.path().join("absent/step-1.safetensors");
    assert!(matches!(
        checkpoint::save(&absent, trainer.store(), trainer.progress()),
        Err(CheckpointError::Io { action: "write", .. })
    ));
}

#[test]
fn state_of_another_recipe_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = save(&trainer(objective(POINTS, &[])), folder.path());
    let wider = POINTS.replace("\"dense 6\"", "\"dense 7\"").replace("ema = { half_life = 8 }", "");
    let loaded = checkpoint::load(&path).unwrap();
    let error = Trainer::resume(objective(&wider, &[]), points(circle), executor(), 3, loaded).err().unwrap();
    let text = error.to_string();
    for words in
        ["step-0.safetensors", "another recipe", "D/dense1/weight: expected f32[2, 7], got f32[2, 6]"]
    {
        assert!(text.contains(words), "`{words}` is not in {text}");
    }
    assert!(text.contains("tensors differ") && text.contains(" more"), "{text}");
}
