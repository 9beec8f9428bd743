//! Data that cannot be trained on: one clear message each, exit code 1, and no run folder left behind.

mod common;

use common::*;
use std::path::Path;

/// Trains on `data` in `folder` and expects a refusal; nothing may have been made.
#[track_caller]
fn refused(folder: &Path, data: &str, words: &[&str]) {
    let before = hashes(folder);
    let ended = run(folder, &["train", data, "--recipe", "tiny.toml", "--steps", "2", "--out", "run"]);
    ended.fails(1, words);
    assert!(!folder.join("run").exists(), "a refused run leaves no folder");
    assert_eq!(hashes(folder), before);
}

/// Puts an image file (and labels) into `folder/NAME`.
fn set(folder: &Path, name: &str, images: &[u8], labels: Option<&[u8]>, end: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join(format!("train-images-idx3-ubyte{end}")), images).unwrap();
    if let Some(labels) = labels {
        std::fs::write(path.join("train-labels-idx1-ubyte"), labels).unwrap();
    }
}

#[test]
fn missing_paths_name_what_was_looked_for_and_what_is_near() {
    let folder = prepared();
    refused(folder.path(), "./sett", &["no data at ./sett", "IDX image file", "./set"]);
    refused(folder.path(), "sett", &["unknown data `sett`", "glyphs, synthetic:ring8"]);
    refused(folder.path(), "glyph", &["unknown data `glyph`", "did you mean `glyphs`?"]);
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    refused(folder.path(), "./empty", &["no data at ./empty", "train-images-idx3-ubyte", "plain or .gz"]);
}

#[test]
fn truncated_and_overlong_files_say_how_many_bytes_are_due() {
    let folder = prepared();
    let whole = idx_images(64, 8);
    set(folder.path(), "short", &whole[..1000], None, "");
    refused(
        folder.path(),
        "./short",
        &["truncated", "64 x 8 x 8", "4112 bytes", "holds 1000", "fetch it again"],
    );
    set(folder.path(), "header", &whole[..9], None, "");
    refused(folder.path(), "./header", &["truncated", "holds 9"]);
    let longer: Vec<u8> = whole.iter().copied().chain([0; 5]).collect();
    set(folder.path(), "longer", &longer, None, "");
    refused(folder.path(), "./longer", &["left over", "4112 bytes", "4117"]);
}

#[test]
fn damaged_gzip_files_are_told_from_short_ones() {
    let folder = prepared();
    let packed = gzip(&idx_images(64, 8));
    set(folder.path(), "cut", &packed[..packed.len() / 2], None, ".gz");
    refused(folder.path(), "./cut", &["train-images-idx3-ubyte.gz", "damaged gzip", "fetch it again"]);
    let mut altered = packed.clone();
    let middle = altered.len() / 2;
    altered[middle..middle + 8].fill(0xff);
    set(folder.path(), "altered", &altered, None, ".gz");
    refused(folder.path(), "./altered", &["train-images-idx3-ubyte.gz", "fetch it again"]);
}

#[test]
fn labels_must_match_images() {
    let folder = prepared();
    set(folder.path(), "pair", &idx_images(64, 8), Some(&idx_labels(63)), "");
    refused(folder.path(), "./pair", &["64 images", "63 labels", "matching files, or remove the labels"]);
    refused(
        folder.path(),
        "./set/train-labels-idx1-ubyte",
        &["train-labels-idx1-ubyte has 1 axes", "images need 3", "label file"],
    );
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let folder = prepared();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("text.gz", b"sepal length, sepal width\n5.1, 3.5\n");
    refused(folder.path(), "./text.gz", &["text.gz is not an IDX file", "text", "00 00 08 03"]);
    write("floats", &[0, 0, 0x0d, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
    refused(folder.path(), "./floats", &["32-bit floats", "unsigned bytes"]);
    write("nothing", b"");
    refused(folder.path(), "./nothing", &["nothing is truncated", "holds 0"]);
}

#[test]
fn sets_without_images_or_pixels_are_empty() {
    let folder = prepared();
    set(folder.path(), "none", &idx_images(0, 8), None, "");
    refused(folder.path(), "./none", &["is empty", "0 x 8 x 8", "at least one image"]);
    set(folder.path(), "flat", &[0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 8], None, "");
    refused(folder.path(), "./flat", &["is empty", "at least one pixel"]);
}

#[test]
fn a_batch_larger_than_the_set_is_refused_with_the_largest_possible() {
    let folder = prepared();
    let arguments =
        ["train", "./set", "--recipe", "tiny.toml", "--set", "batch=65", "--steps", "1", "--out", "run"];
    run(folder.path(), &arguments).fails(1, &["./set", "batch of 65", "has 64", "batch=64"]);
    assert!(!folder.path().join("run").exists());
}

#[test]
fn one_sample_is_not_trained_on() {
    let folder = prepared();
    set(folder.path(), "one", &idx_images(1, 8), None, "");
    for more in [&["--recipe", "tiny.toml"][..], &["--recipe", "tiny.toml", "--set", "batch=1"], &[]] {
        let arguments = [&["train", "./one", "--steps", "1", "--out", "run"], more].concat();
        run(folder.path(), &arguments).fails(1, &["./one: it has 1 sample,", "at least 2"]);
        assert!(!folder.path().join("run").exists());
    }
    // Two are enough to begin.
    set(folder.path(), "two", &idx_images(2, 8), None, "");
    run(folder.path(), &["train", "./two", "--recipe", "tiny.toml", "--set", "batch=2", "--steps", "1"])
        .fine();
}

#[test]
fn samples_of_another_shape_are_refused() {
    let folder = prepared();
    refused(folder.path(), "glyphs", &["glyphs", "[28, 28, 1]", "recipe `tiny` expects [8, 8, 1]"]);
    set(folder.path(), "odd", &idx_images(64, 7), None, "");
    run(folder.path(), &["train", "./odd", "--steps", "1"])
        .fails(1, &["./odd: no recipe was named", "grey 7x7 images", "halved", "?size=8`"]);
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn mixture_parameters_are_checked() {
    let folder = prepared();
    refused(
        folder.path(),
        "synthetic:ring8?radus=3",
        &["unknown parameter `radus`", "did you mean `radius`?"],
    );
    refused(folder.path(), "synthetic:ring8?sigma=-1", &["sigma=-1", "a number above 0"]);
    run(folder.path(), &["data", "inspect", "synthetic:ring9"])
        .fails(1, &["did you mean `synthetic:ring8`?"]);
}

#[test]
fn epochs_of_an_endless_set_mean_nothing() {
    let folder = prepared();
    let arguments = ["train", "synthetic:ring8", "--epochs", "2", "--out", "run"];
    run(folder.path(), &arguments)
        .fails(1, &["synthetic:ring8 has no end", "--images, --steps or --minutes"]);
    assert!(!folder.path().join("run").exists());
}
