//! Sweeps: every setting over the same seeds, a table at the end, and nothing made twice.

mod common;

use common::*;
use std::fs;

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
}
