//! What `--dry-run` and `bench` predict of memory, against what processes then take.

#![cfg(target_os = "linux")]

mod common;

use common::*;
use serde_json::Value;

fn json(text: &str) -> Value {
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[track_caller]
fn within_a_tenth(what: &str, predicted: f64, measured: f64) {
    let error = predicted / measured - 1.0;
    assert!(error.abs() < 0.1, "{what}: predicted {predicted}, measured {measured}, {:+.1} %", 100.0 * error);
}

#[test]
fn a_dry_run_predicts_the_peak_of_a_run_within_a_tenth() {
    let folder = tempfile::tempdir().unwrap();
    // 60,000 images as bytes weigh more than the networks.
    let set = folder.path().join("large");
    std::fs::create_dir_all(&set).unwrap();
    std::fs::write(set.join("train-images-idx3-ubyte"), idx_images(60_000, 28)).unwrap();
    let cases: [(&str, &[&str]); 9] = [
        ("convolutions", &["--recipe", "dcgan28"]),
        ("a small batch", &["--recipe", "dcgan28", "--set", "batch=8"]),
        ("one thread", &["--recipe", "r3-28", "--threads", "1"]),
        ("many kernels", &["--recipe", "residual28", "--set", "batch=16"]),
        ("next to nothing", &["--recipe", "mlp2d"]),
        ("low memory", &["--recipe", "dcgan28", "--memory", "low"]),
        ("low memory, a small batch", &["--recipe", "residual28", "--set", "batch=16", "--memory", "low"]),
        ("low memory, penalties", &["--recipe", "r3-28", "--memory", "low", "--threads", "1"]),
        ("a data set in memory", &["./large", "--recipe", "r3-28", "--set", "batch=16"]),
    ];
    for (what, arguments) in cases {
        let with = |more: &[&str]| {
            let all = [&["train"], arguments, &["--json"], more].concat();
            json(&run(folder.path(), &all).fine())
        };
        let plan = with(&["--dry-run"]);
        let ended = with(&["--steps", "2", "--out", what]);
        let predicted = plan["peak_bytes"].as_f64().unwrap();
        within_a_tenth(what, predicted, ended["peak_rss_bytes"].as_f64().unwrap());
        let parts = plan["memory"].as_object().unwrap();
        assert_eq!(parts.values().map(|v| v.as_f64().unwrap()).sum::<f64>(), predicted, "{what}: {parts:?}");
    }
}

#[test]
fn bench_predicts_the_peak_of_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let out = run(folder.path(), &["bench", "guide-deconv", "--quick", "--json"]).fine();
    let measured = json(&out);
    let of = |key: &str| measured[key].as_f64().unwrap();
    // Whole MB on both sides.
    within_a_tenth("guide-deconv", of("predicted_mb"), of("rss_mb"));
}
