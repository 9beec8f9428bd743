//! `--memory` through the binary: less memory, the same bits, and free to change between resumes.

mod common;

use common::*;
use serde_json::Value;
use std::path::Path;

fn train<'a>(steps: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["train", "./set", "--recipe", "tiny.toml", "--steps", steps, "--out", out];
    // Without schedules, so that a run does not depend on its length.
    all.extend(["--set", "lr=1e-3", "--set", "strength=1"]);
    all.extend(more);
    all
}

fn weights(root: &Path) -> std::collections::BTreeMap<String, String> {
    tensors(&checkpoints(root)[0])
}

fn last(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn low_memory_gives_the_same_run_and_may_change_at_each_resume() {
    let folder = prepared();
    let at = |name: &str| folder.path().join(name);
    run(folder.path(), &train("9", "normal", &["--memory", "normal"])).fine();
    for (threads, out) in [("1", "low1"), ("2", "low2"), ("7", "low7")] {
        run(folder.path(), &train("9", out, &["--memory", "low", "--threads", threads])).fine();
        assert_eq!(weights(&at(out)), weights(&at("normal")), "{threads} threads");
    }
    run(folder.path(), &train("3", "parts", &["--set", "memory=low"])).fine();
    let recipe = || std::fs::read_to_string(at("parts/recipe.toml")).unwrap();
    assert!(recipe().contains("memory = \"low\""), "{}", recipe());
    let resume = |steps: &str, more: &[&str]| {
        let all = [&["train", "--resume", "parts", "--steps", steps, "--json"], more].concat();
        let text = run(folder.path(), &all).fine();
        serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap()
    };
    let begun = resume("6", &["--memory", "normal"]);
    assert_eq!(begun["memory"], "normal");
    assert!(recipe().contains("memory = \"normal\""), "{}", recipe());
    assert_eq!(resume("9", &["--memory", "low"])["memory"], "low");
    assert_eq!(weights(&at("parts")), weights(&at("normal")));
    // A checkpoint made the other way is no other recipe.
    let confirmed =
        ["train", "--resume", "parts", "--recipe", "tiny.toml", "--set", "lr=1e-3", "--set", "strength=1"];
    run(folder.path(), &[&confirmed[..], &["--steps", "10"]].concat()).fine();
    let finished = ["train", "--resume", "parts", "--memory", "normal"];
    run(folder.path(), &finished).fails(1, &["the run is finished", "--memory would change nothing"]);
}

#[test]
fn samples_of_both_are_the_same_file() {
    let folder = prepared();
    for memory in ["normal", "low"] {
        run(folder.path(), &train("4", memory, &["--memory", memory])).fine();
        let picture = format!("{memory}.png");
        run(folder.path(), &["sample", memory, "--n", "16", "--out", &picture]).fine();
    }
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("low.png"), read("normal.png"));
    assert_eq!(read("low/samples/step-000004.png"), read("normal/samples/step-000004.png"));
}

#[test]
fn a_dry_run_and_the_bench_say_how_much_less_it_is() {
    let folder = prepared();
    let scratch = |memory: &str| {
        let plan = ["train", "--recipe", "dcgan28", "--dry-run", "--json", "--memory", memory];
        let plan = last(&run(folder.path(), &plan).fine());
        assert_eq!(plan["recipe"]["train"]["memory"], memory);
        plan["memory"]["scratch"].as_f64().unwrap()
    };
    let (normal, low) = (scratch("normal"), scratch("low"));
    assert!(low < 0.75 * normal, "{low} of {normal}");
    let bench = |memory: &str| {
        let arguments = ["bench", "guide-deconv", "--quick", "--json", "--memory", memory];
        let measured = last(&run(folder.path(), &arguments).fine());
        assert_eq!(measured["memory"], memory);
        let of = |key: &str| measured[key].as_f64().unwrap();
        let error = of("predicted_mb") / of("rss_mb") - 1.0;
        assert!(error.abs() < 0.1, "{memory}: {measured}");
        of("arena_mb")
    };
    let (normal, low) = (bench("normal"), bench("low"));
    assert!(low < 0.9 * normal, "{low} of {normal} MB");
}

#[test]
fn other_words_are_refused_with_the_choice() {
    let folder = prepared();
    for verb in [&["train"][..], &["bench"]] {
        let arguments = [verb, &["--memory", "tiny"]].concat();
        run(folder.path(), &arguments).fails(2, &["--memory", "expected normal, or low"]);
    }
    let set = ["train", "./set", "--recipe", "tiny.toml", "--set", "train.memory=tiny"];
    run(folder.path(), &set).fails(1, &["--set train.memory=tiny", "`normal`", "`low`"]);
}
