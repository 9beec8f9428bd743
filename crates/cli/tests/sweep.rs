//! Sweeps: every setting over the same seeds, a table at the end, and nothing made twice.

mod common;

use common::*;
use std::fs;
use std::path::Path;

const CACHE: (&str, &str) = ("GANYMEDE_CACHE", "cache");

const SWEEP: [&str; 11] = [
    "sweep",
    "mlp2d",
    "--data",
    "synthetic:ring8?radius=.5&sigma=.4",
    "--set",
    "lr=1e-3,2e-3",
    "--set",
    "train.batch=64",
    "--images",
    "1280",
    "--seeds=2",
];

#[test]
fn every_setting_is_trained_once_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let out = run(folder.path(), &SWEEP).fine();
    let root = folder.path().join("sweeps/mlp2d");
    let table = fs::read_to_string(root.join("table.md")).unwrap();
    assert!(out.contains(&table), "{out}");
    for part in ["| lr=1e-3 train.batch=64 | 1280 |", "| lr=2e-3 train.batch=64 |", "modes of 8", "±", "**"]
    {
        assert!(table.contains(part), "`{part}` is not in:\n{table}");
    }
    let record = fs::read_to_string(root.join("sweep.jsonl")).unwrap();
    let outcomes: Vec<serde_json::Value> =
        record.lines().filter(|l| !l.is_empty()).map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(outcomes.len(), 4);
    let scores = |o: &serde_json::Value| o["scores"].to_string();
    assert_ne!(scores(&outcomes[0]), scores(&outcomes[1]), "two seeds");
    assert_ne!(scores(&outcomes[0]), scores(&outcomes[2]), "two rates");

    // A stopped sweep: one outcome is missing, another's line is cut short.
    let lines: Vec<&str> = record.lines().filter(|l| !l.is_empty()).collect();
    fs::write(root.join("sweep.jsonl"), format!("\n{}\n\n{}\n\n{}", lines[0], lines[2], &lines[3][..40]))
        .unwrap();
    let run_of = |setting: &str, seed: usize| root.join(setting).join(format!("seed-{seed}/log.jsonl"));
    let (first, second) = ("01-lr-1e-3-train.batch-64", "02-lr-2e-3-train.batch-64");
    let written = |path| fs::metadata(path).unwrap().modified().unwrap();
    let before = [(first, 0), (first, 1), (second, 0), (second, 1)].map(|(s, seed)| written(run_of(s, seed)));
    let again = run(folder.path(), &SWEEP).fine();
    let after = [(first, 0), (first, 1), (second, 0), (second, 1)].map(|(s, seed)| written(run_of(s, seed)));
    let kept: Vec<bool> = before.iter().zip(&after).map(|(b, a)| b == a).collect();
    assert_eq!(kept, [true, false, true, false]);
    assert!(again.contains(&table), "the same runs give the same table:\n{again}");

    let json = run(folder.path(), &[&SWEEP[..], &["--json"]].concat()).fine();
    assert_eq!(json.lines().count(), 4);
}

#[test]
fn what_cannot_be_swept_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |arguments: &[&str], words: &[&str]| {
        run(folder.path(), arguments).fails(1, words);
        assert!(!folder.path().join("sweeps").exists(), "{arguments:?} left a folder");
    };
    refuse(&["sweep", "mlp2d", "--set", "lr=1e-3,", "--images", "640"], &["lr=1e-3,", "empty value"]);
    refuse(&["sweep", "mlp2d", "--set", "larning=1", "--images", "640"], &["larning"]);
    refuse(&["sweep", "mlp2d", "--set", "lr=1e-3", "--set", "lr=1e-4"], &["lr", "twice"]);
    refuse(&["sweep", "mlp2d", "--set", "latent.dim=2,0"], &["latent.dim=0"]);
    refuse(&["sweep", "mlp2d", "--data", "glyphs", "--images", "640"], &["shape", "glyphs"]);
    refuse(&["sweep", "mlp2d", "--set", "lr=1e-3,2e-3,1.0e-3"], &["lr=1.0e-3", "same recipe as lr=1e-3"]);
    refuse(
        &["sweep", "mlp2d", "--set", "train.images=640,1280"],
        &["train.images=1280", "no difference between runs"],
    );
    for scoring in [&["--metrics", "frechet"][..], &["--n", "100"]] {
        refuse(
            &[&["sweep", "mlp2d", "--images", "640"], scoring].concat(),
            &["known mixture", "leave --metrics"],
        );
    }
    // What the first run's samples would be told after its training.
    image_set(folder.path(), "set");
    tiny_recipe(folder.path());
    let images = ["sweep", "tiny.toml", "--data", "./set", "--images", "80", "--seeds", "1", "--metrics"];
    let refuse = |metrics: &str, words: &[&str]| {
        run_with(folder.path(), CACHE, &[&images[..], &[metrics]].concat()).fails(1, words);
        assert!(!folder.path().join("sweeps").exists(), "{metrics} left a folder");
    };
    refuse("freshet", &["freshet", "frechet"]);
    refuse("modes", &["metric modes", "stacked:"]);
    refuse("accuracy", &["metric accuracy", "conditional"]);
    refuse("frechet,kid", &["metric kid", "1000 samples", "got 64"]);
}

/// A sweep of images, and what is recorded of it.
fn images(folder: &Path, more: &[&str]) -> (String, Vec<serde_json::Value>) {
    let sweep = ["sweep", "tiny.toml", "--data", "./set", "--images", "80", "--seeds", "2"];
    let out = run_with(folder, CACHE, &[&sweep[..], more].concat()).fine();
    let record = fs::read_to_string(folder.join("sweeps/tiny/sweep.jsonl")).unwrap();
    let lines = record.lines().filter(|l| !l.is_empty()).map(|l| serde_json::from_str(l).unwrap());
    (out, lines.collect())
}

#[test]
fn other_scores_are_made_of_the_runs_that_are_there() {
    let folder = prepared();
    let at = folder.path();
    let log = |seed: u64| at.join(format!("sweeps/tiny/01-as-it-is/seed-{seed}/log.jsonl"));
    let written = |seed| fs::metadata(log(seed)).unwrap().modified().unwrap();
    let (first, record) = images(at, &["--metrics", "frechet", "--n", "48"]);
    assert!(first.contains("Frechet distance (classifier)"), "{first}");
    assert_eq!((record.len(), record[0]["scoring"]["n"].as_u64()), (2, Some(48)));
    assert_eq!(record[0]["scoring"]["extractor"].as_str().map(str::len), Some(64));
    let before = [written(0), written(1)];

    let (fewer, record) = images(at, &["--metrics", "frechet", "--n", "32"]);
    assert_eq!(record.len(), 4, "both were scored again");
    assert_ne!(record[2]["scores"], record[0]["scores"], "of fewer samples");
    assert_ne!(fewer, first);
    let (other, record) = images(at, &["--metrics", "frechet,classes", "--n", "48"]);
    assert_eq!(record.len(), 6);
    assert!(other.contains("classes") && !first.contains("classes"), "{other}");
    assert_eq!(record[4]["scores"][0], record[0]["scores"][0], "the same samples have the same score");
    assert_eq!([written(0), written(1)], before, "nothing was trained again");

    // What was asked first is still known; and what is scored the same is not scored again.
    let (again, record) = images(at, &["--metrics", "frechet", "--n", "48"]);
    assert_eq!((again, record.len()), (first, 6));

    // A run whose samples cannot be scored is a result, and the sweep goes on.
    let checkpoint = checkpoints(&at.join("sweeps/tiny/01-as-it-is/seed-0"))[0].clone();
    let loaded = ganymede::checkpoint::load(&checkpoint).unwrap();
    let mut store = loaded.store;
    let names: Vec<String> = store
        .names()
        .filter(|name| name.starts_with("ema/G") && name.ends_with("weight"))
        .map(str::to_string)
        .collect();
    for name in names {
        let words = vec![f32::NAN.to_bits(); store.words(&name).unwrap().len()];
        store.set_words(&name, &words).unwrap();
    }
    ganymede::checkpoint::save(&checkpoint, &store, &loaded.progress).unwrap();
    let (failed, record) = images(at, &["--metrics", "frechet", "--n", "40"]);
    assert_eq!(record.len(), 8);
    assert!(record[6]["unscored"].as_str().unwrap().contains("overflowed"), "{}", record[6]);
    assert!(record[7]["scores"][0]["value"].is_f64(), "{}", record[7]);
    for words in ["(1 of 2) | 1 |", "Failed:", "- as it is seed 0: ", "overflowed"] {
        assert!(failed.contains(words), "`{words}` is not in:\n{failed}");
    }
    let (same, record) = images(at, &["--metrics", "frechet", "--n", "40"]);
    assert_eq!((same, record.len()), (failed, 8));

    // Where the checkpoint is gone the run is made again.
    fs::remove_dir_all(at.join("sweeps/tiny/01-as-it-is/seed-1")).unwrap();
    let (_, record) = images(at, &["--metrics", "frechet", "--n", "64"]);
    assert_eq!(record.len(), 10);
    assert!(record[9]["scores"][0]["value"].is_f64() && log(1).is_file());
}

#[test]
fn folders_in_use_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let root = at.join("sweeps/mlp2d");
    let run_folder = root.join("01-lr-1e-3-train.batch-64/seed-0");
    for held in [&root, &run_folder] {
        fs::create_dir_all(&run_folder).unwrap();
        fs::write(run_folder.join("precious"), "work").unwrap();
        let lock = fs::File::create(held.join("lock")).unwrap();
        lock.lock().unwrap();
        run(at, &SWEEP)
            .fails(1, &[held.strip_prefix(at).unwrap().to_str().unwrap(), "is training in this folder"]);
        assert!(run_folder.join("precious").is_file() && !root.join("table.md").exists());
        drop(lock);
    }
    // Once nobody holds it, what a stopped sweep left is made again.
    run(at, &SWEEP).fine();
    assert!(!run_folder.join("precious").exists() && run_folder.join("log.jsonl").is_file());
}
