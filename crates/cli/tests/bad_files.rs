//! Output folders, disks and checkpoints that are not as they should be: a clear message, and nothing lost.

mod common;

use common::*;
use std::fs;

/// Arguments that train two steps of the tiny recipe into `out`.
fn train_to(out: &str) -> Vec<&str> {
    vec!["train", "./set", "--recipe", "tiny.toml", "--steps", "2", "--out", out]
}

#[test]
fn output_folders_that_cannot_be_made_are_named() {
    let folder = prepared();
    fs::write(folder.path().join("file"), "kept").unwrap();
    let before = hashes(folder.path());
    // Below a regular file no folder can be made, whoever runs the test.
    run(folder.path(), &train_to("file/run")).fails(1, &["file/run", "cannot make the folder"]);
    run(folder.path(), &train_to("file")).fails(1, &["file", "cannot read the output folder"]);
    assert_eq!(hashes(folder.path()), before);
}

#[test]
fn a_folder_that_holds_anything_is_not_written_to() {
    let folder = trained();
    let before = hashes(folder.path());
    let words = ["run: the output folder is not empty", "--out", "--resume run"];
    run(folder.path(), &train_to("run")).fails(1, &words);
    run(folder.path(), &train_to("set")).fails(1, &["set: the output folder is not empty"]);
    assert_eq!(hashes(folder.path()), before);
}

#[test]
fn a_full_disk_is_an_error_and_the_last_checkpoint_survives() {
    let folder = trained();
    let size = fs::metadata(&checkpoints(&folder.path().join("run"))[0]).unwrap().len();
    // Files may reach two thirds of a checkpoint; the kernel then refuses with EFBIG as it would with ENOSPC.
    let blocks = size * 2 / 3 / 512;
    let limited = |command: &str| format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$G\" {command}");
    let before = hashes(&folder.path().join("run/checkpoints"));
    let words =
        ["step-40.safetensors", "cannot write the checkpoint", "last checkpoint is kept", "--resume run"];
    shell(folder.path(), &limited("train --resume run --steps 40")).fails(1, &words);
    assert_eq!(hashes(&folder.path().join("run/checkpoints")), before, "and no half-written file stays");
    run(folder.path(), &["train", "--resume", "run", "--steps", "40"]).fine();

    // Where not even the first checkpoint fits, nothing begins, and the same command can be given again.
    let words = ["step-0.safetensors", "cannot write the checkpoint"];
    shell(folder.path(), &limited(&train_to("new").join(" "))).fails(1, &words);
    assert!(!folder.path().join("new").exists());
    run(folder.path(), &train_to("new")).fine();

    let words = ["big.png", "cannot write the picture"];
    let tiny = "trap '' XFSZ; ulimit -f 1; exec \"$G\" sample run --out big.png";
    shell(folder.path(), tiny).fails(1, &words);
    assert!(!folder.path().join("big.png").exists());
}

#[test]
fn standard_output_that_cannot_be_written_is_an_error_or_none_at_all() {
    let folder = trained();
    if std::path::Path::new("/dev/full").exists() {
        shell(folder.path(), "\"$G\" recipes > /dev/full").fails(1, &["standard output"]);
        // A run goes on to its checkpoint though nobody can read its progress.
        shell(folder.path(), "\"$G\" train --resume run --steps 30 > /dev/full").fine();
        assert!(checkpoints(&folder.path().join("run"))[0].ends_with("step-30.safetensors"));
    }
    // The reader has gone before the first line.
    let quiet =
        shell(folder.path(), "\"$G\" recipes r3-28 | true; \"$G\" train --resume run --steps 40 | true");
    assert_eq!(quiet.err, "");
    assert!(checkpoints(&folder.path().join("run"))[0].ends_with("step-40.safetensors"));
}

#[test]
fn a_damaged_newest_checkpoint_is_passed_over_and_said_so() {
    let folder = trained();
    let root = folder.path().join("run");
    run(folder.path(), &["train", "--resume", "run", "--steps", "30"]).fine();
    let kept = checkpoints(&root);
    assert!(kept[0].ends_with("step-30.safetensors") && kept[1].ends_with("step-20.safetensors"));
    let at_twenty =
        shell(folder.path(), "\"$G\" sample run/checkpoints/step-20.safetensors --n 4 --out a.png");
    at_twenty.fine();
    for part in [0.0001, 0.01, 0.5, 1.0] {
        damage(&kept[0], part);
        let ended = run(folder.path(), &["sample", "run", "--n", "4", "--out", "b.png"]);
        for word in ["warning: ", "step-30.safetensors: the checkpoint is damaged", "fell back to", "step-20"]
        {
            assert!(ended.err.contains(word), "`{word}` is not in:\n{}", ended.err);
        }
        ended.fine();
        let pictures = ["a.png", "b.png"].map(|name| fs::read(folder.path().join(name)).unwrap());
        assert_eq!(pictures[0], pictures[1], "samples of the checkpoint before");
        damage(&kept[0], part);
    }
    run(folder.path(), &["sample", "run", "--n", "4", "--out", "c.png"]).fine();

    // A run that goes on from the one before keeps the damaged file apart and ends as if it had not been there.
    let whole = tensors(&kept[0]);
    damage(&kept[0], 0.5);
    let ended = run(folder.path(), &["train", "--resume", "run", "--steps", "30"]);
    assert!(ended.err.contains("fell back to"), "{}", ended.err);
    assert!(ended.fine().contains("Resumed at step 20"));
    assert_eq!(tensors(&checkpoints(&root)[0]), whole);
    assert!(root.join("checkpoints/step-30.safetensors.set-aside").exists());
}

#[test]
fn where_every_checkpoint_is_damaged_each_is_named_and_kept() {
    let folder = trained();
    let root = folder.path().join("run");
    let kept = checkpoints(&root);
    assert_eq!(kept.len(), 2);
    damage(&kept[0], 0.5);
    fs::write(&kept[1], b"short").unwrap();
    let before = hashes(folder.path());
    let words =
        ["none of its checkpoints", "step-20.safetensors", "checksum", "step-0.safetensors", "cut short"];
    run(folder.path(), &["sample", "run", "--out", "a.png"]).fails(1, &words);
    run(folder.path(), &["train", "--resume", "run"]).fails(1, &words);
    let one = kept[0].to_str().unwrap();
    run(folder.path(), &["train", "--resume", one]).fails(1, &["step-20", "damaged", "checksum"]);
    assert_eq!(hashes(folder.path()), before);
}

#[test]
fn what_is_no_run_is_told_so() {
    let folder = prepared();
    fs::create_dir(folder.path().join("empty")).unwrap();
    for path in ["empty", "absent", "set"] {
        let words = [path, "no checkpoint here", "checkpoints/step-N.safetensors"];
        run(folder.path(), &["train", "--resume", path]).fails(1, &words);
        run(folder.path(), &["sample", path, "--out", "a.png"]).fails(1, &words);
        run(folder.path(), &["judge", path, "a.png"]).fails(1, &words);
    }
    run(folder.path(), &["sample", "absent", "--out", "a.png"])
        .fails(1, &["there is no such file or folder"]);
    fs::create_dir_all(folder.path().join("runs/first/checkpoints")).unwrap();
    run(folder.path(), &["sample", "runs", "--out", "a.png"]).fails(1, &["no checkpoint here", "runs/first"]);
    let words = ["tiny.toml", "the checkpoint is damaged", "no checkpoint"];
    run(folder.path(), &["sample", "tiny.toml", "--out", "a.png"]).fails(1, &words);
}

#[test]
fn a_safetensors_file_of_another_program_is_refused() {
    let folder = prepared();
    let data = 1.0f32.to_le_bytes();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &data).unwrap();
    let bytes = safetensors::serialize([("model.weight", view)], None).unwrap();
    fs::write(folder.path().join("foreign.safetensors"), bytes).unwrap();
    let words = ["foreign.safetensors", "no checksum", "not written by ganymede train"];
    for arguments in [
        &["sample", "foreign.safetensors", "--out", "a.png"][..],
        &["train", "--resume", "foreign.safetensors"],
    ] {
        run(folder.path(), arguments).fails(1, &words);
    }
}

#[test]
fn a_checkpoint_of_another_recipe_is_refused_with_what_differs() {
    let folder = trained();
    let before = hashes(&folder.path().join("run"));
    let wider = TINY.replace("dense 24\", \"batch", "dense 32\", \"batch").replace("batch = 8", "batch = 4");
    fs::write(folder.path().join("wider.toml"), wider.replace("\"tiny\"", "\"wider\"")).unwrap();
    let resume = |more: &[&str]| run(folder.path(), &[&["train", "--resume", "run"], more].concat());
    resume(&["--recipe", "wider.toml"]).fails(
        1,
        &[
            "step-20.safetensors",
            "another recipe: `tiny`",
            "`wider`",
            "name: \"tiny\" against \"wider\"",
            "train.batch: 8 against 4",
            "generator.layers, entry 1: \"dense 24\" against \"dense 32\"",
            "--set",
        ],
    );
    // Changed key by key, it is the tensors that no longer fit.
    let layers = "discriminator.layers=[\"flatten\", \"dense 32 leaky_relu=0.2\", \"dense 1\"]";
    resume(&["--set", layers, "--steps", "25"]).fails(
        1,
        &[
            "step-20.safetensors: the checkpoint does not fit",
            "tensors differ",
            "D/dense1/weight: expected f32[64, 32], got f32[64, 24]",
        ],
    );
    resume(&["--set", "discriminator.optimizer.kind=sgd", "--steps", "25"])
        .fails(1, &["tensors differ", "opt/D", "unexpected"]);
    assert_eq!(hashes(&folder.path().join("run")), before, "the run is as it was");
    // The run's own recipe beside --resume is no contradiction, and a rate may be changed.
    resume(&["--recipe", "tiny.toml", "--steps", "25"]).fine();
    resume(&["--set", "lr=1e-5", "--steps", "30"]).fine();
}

#[test]
fn resume_does_not_mix_with_options_of_a_new_run() {
    let folder = trained();
    let before = hashes(&folder.path().join("run"));
    for extra in [&["--seed", "3"][..], &["--dry-run"], &["--out", "other"]] {
        let arguments = [&["train", "--resume", "run"], extra].concat();
        run(folder.path(), &arguments).fails(2, &["--resume", extra[0], "cannot be used"]);
    }
    run(folder.path(), &["train", "--resume", "run", "--minutes", "1"]).fails(1, &["--minutes", "--images"]);
    fs::copy(
        folder.path().join("run/checkpoints/step-20.safetensors"),
        folder.path().join("lone.safetensors"),
    )
    .unwrap();
    run(folder.path(), &["train", "--resume", "lone.safetensors"])
        .fails(1, &["lone.safetensors", "outside a run folder", "resume the folder"]);
    assert_eq!(hashes(&folder.path().join("run")), before);
}

#[test]
fn judged_images_must_be_images_of_the_right_size() {
    let folder = trained();
    let at = |name: &str| folder.path().join(name);
    image::GrayImage::new(9, 8).save(at("wide.png")).unwrap();
    run(folder.path(), &["judge", "run", "wide.png"])
        .fails(1, &["wide.png: is 9x8 pixels", "samples are 8x8", "resize it"]);
    image::GrayImage::new(8, 8).save(at("whole.png")).unwrap();
    let bytes = fs::read(at("whole.png")).unwrap();
    fs::write(at("cut.png"), &bytes[..bytes.len() / 2]).unwrap();
    run(folder.path(), &["judge", "run", "cut.png"])
        .fails(1, &["cut.png: ends before its IEND chunk: it is truncated"]);
    fs::write(at("text.png"), "no image").unwrap();
    run(folder.path(), &["judge", "run", "whole.png", "text.png"])
        .fails(1, &["text.png: is neither PNG nor JPEG"]);
    run(folder.path(), &["judge", "run", "absent.png"]).fails(1, &["absent.png: cannot be read"]);
    run(folder.path(), &["judge", "run"]).fails(2, &["IMAGES"]);
    run(folder.path(), &["judge", "run", "whole.png", "--data", "glyphs"])
        .fails(1, &["glyphs", "[28, 28, 1]"]);
}

#[test]
fn samples_go_where_they_can() {
    let folder = trained();
    let sample = |more: &[&str]| run(folder.path(), &[&["sample", "run", "--n", "4"], more].concat());
    sample(&["--out", "a.jpg"]).fails(1, &["a.jpg", ".png file or to a folder", ".jpg"]);
    sample(&["--out", "tiny.toml/a.png"]).fails(1, &["tiny.toml/a.png", "cannot write the picture"]);
    sample(&["--out", "tiny.toml/dir"]).fails(1, &["tiny.toml/dir", "cannot make the folder"]);
    run(folder.path(), &["sample", "run", "--n", "1000000", "--out", "a.png"])
        .fails(1, &["a.png", "1000000 images", "pixels", "--n"]);
    run(folder.path(), &["sample", "run", "--n", "0", "--out", "a.png"]).fails(2, &["--n"]);
    run(folder.path(), &["sample", "run"]).fails(2, &["--out"]);
    assert!(!folder.path().join("a.png").exists() && !folder.path().join("a.jpg").exists());
}

#[test]
fn data_that_changed_under_a_run_are_noticed() {
    let folder = trained();
    let resume = ["train", "--resume", "run", "--steps", "22"];
    let images = folder.path().join("set/train-images-idx3-ubyte");
    damage(&images, 0.5);
    let before = hashes(&folder.path().join("run"));
    run(folder.path(), &resume).fails(1, &["run: the run was begun on other data", "./set", "put that back"]);
    assert_eq!(hashes(&folder.path().join("run")), before);
    damage(&images, 0.5);
    run(folder.path(), &resume).fine();
    fs::remove_file(folder.path().join("set/train-images-idx3-ubyte")).unwrap();
    run(folder.path(), &resume).fails(1, &["no data at ./set", "train-images-idx3-ubyte"]);
}
