//! `--precision` through the binary: what it changes, that it is remembered, and what is said where there is no bf16.

mod common;

use common::*;
use std::path::Path;

/// bf16 in plain arithmetic, so that the mode is tested on every CPU.
const EVERYWHERE: (&str, &str) = ("GANYMEDE_BF16", "everywhere");

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

#[test]
fn a_run_in_bf16_differs_from_f32_and_has_the_same_bits_for_any_number_of_threads() {
    let folder = prepared();
    let run_into = |out: &str, precision: &str, threads: &str| {
        let arguments = train("6", out, &["--precision", precision, "--threads", threads]);
        run_with(folder.path(), EVERYWHERE, &arguments).fine();
        weights(&folder.path().join(out))
    };
    let wide = run_into("wide", "f32", "2");
    let narrow = run_into("narrow", "bf16", "2");
    assert_ne!(wide, narrow);
    assert_eq!(wide.keys().collect::<Vec<_>>(), narrow.keys().collect::<Vec<_>>());
    for threads in ["1", "3"] {
        assert_eq!(run_into(&format!("narrow{threads}"), "bf16", threads), narrow, "{threads} threads");
    }
}

#[test]
fn the_recipe_remembers_and_a_resumed_run_is_the_same_bit_for_bit() {
    let folder = prepared();
    let at = |name: &str| folder.path().join(name);
    let bf16 = ["--precision", "bf16"];
    run_with(folder.path(), EVERYWHERE, &train("8", "straight", &bf16)).fine();
    run_with(folder.path(), EVERYWHERE, &train("4", "parts", &bf16)).fine();
    let recipe = std::fs::read_to_string(at("parts").join("recipe.toml")).unwrap();
    assert!(recipe.contains("precision = \"bf16\""), "{recipe}");
    // Without naming the precision again.
    run_with(folder.path(), EVERYWHERE, &["train", "--resume", "parts", "--steps", "8"]).fine();
    assert_eq!(weights(&at("parts")), weights(&at("straight")));
    // `--set` says the same.
    let set = ["--set", "precision=bf16"];
    run_with(folder.path(), EVERYWHERE, &train("8", "again", &set)).fine();
    assert_eq!(weights(&at("again")), weights(&at("straight")));
}

#[test]
fn going_on_in_another_precision_is_said() {
    let folder = prepared();
    run_with(folder.path(), EVERYWHERE, &train("4", "out", &["--precision", "bf16"])).fine();
    let more = ["train", "--resume", "out", "--steps", "8", "--precision", "f32"];
    let ended = run_with(folder.path(), EVERYWHERE, &more);
    let said = format!("{}{}", ended.out, ended.err);
    assert!(said.contains("the precision has changed from bf16 to f32"), "{said}");
    let recipe = std::fs::read_to_string(folder.path().join("out/recipe.toml")).unwrap();
    assert!(recipe.contains("precision = \"f32\""), "{recipe}");
    let again = ["train", "--resume", "out", "--precision", "bf16"];
    run(folder.path(), &again).fails(1, &["the run is finished", "--precision would change nothing"]);
}

#[test]
fn a_cpu_without_bf16_computes_in_f32_and_says_so() {
    let folder = prepared();
    let portable = ("GANYMEDE_ISA", "portable");
    run_with(folder.path(), portable, &train("3", "wide", &["--precision", "f32"])).fine();
    let ended = run_with(folder.path(), portable, &train("3", "narrow", &["--precision", "bf16"]));
    assert!(ended.err.contains("has no bf16 that is faster than f32"), "{}", ended.err);
    assert!(ended.err.contains("computing in f32"), "{}", ended.err);
    ended.fine();
    let at = |name: &str| folder.path().join(name);
    assert_eq!(weights(&at("wide")), weights(&at("narrow")));
    let sampled = ["sample", "narrow", "--n", "4", "--out", "made.png"];
    let ended = run_with(folder.path(), portable, &sampled);
    assert!(ended.err.contains("computing in f32"), "{}", ended.err);
    let doctor = run_with(folder.path(), portable, &["doctor", "--json"]).fine();
    let report: serde_json::Value = serde_json::from_str(&doctor).unwrap();
    assert_eq!((&report["bf16"], &report["bf16_fast"]), (&false.into(), &false.into()));
    // Its tests cover every instruction set of the CPU, in bf16 too where that is computed.
    let tests = report["self_test"].as_array().unwrap();
    let wide = tests.iter().filter(|test| test["bf16"] == false).count();
    assert_eq!(wide, ganymede_cpu::Isa::available().len());
    for test in tests.iter().filter(|test| test["bf16"] == true) {
        // Rounded operands leave a trace: f32 kernels would be a thousand times closer.
        let error = test["relative_error"].as_f64().unwrap();
        assert!(test["ok"] == true && error > 1e-4, "{test}");
    }
}

#[test]
fn samples_come_in_the_precision_of_the_run_or_the_one_asked_for() {
    let folder = prepared();
    run_with(folder.path(), EVERYWHERE, &train("4", "out", &["--precision", "bf16"])).fine();
    let drawn = |file: &str, more: &[&str]| {
        let mut arguments = vec!["sample", "out", "--n", "16", "--out", file];
        arguments.extend(more);
        run_with(folder.path(), EVERYWHERE, &arguments).fine();
        std::fs::read(folder.path().join(file)).unwrap()
    };
    let own = drawn("own.png", &[]);
    assert_eq!(drawn("narrow.png", &["--precision", "bf16"]), own);
    assert_ne!(drawn("wide.png", &["--precision", "f32"]), own);
}

#[test]
fn other_words_are_refused_with_the_choice() {
    let folder = prepared();
    for verb in [&["train"][..], &["bench"], &["sample", "x", "--out", "y"], &["judge", "x", "y.png"]] {
        let arguments = [verb, &["--precision", "fp16"]].concat();
        run(folder.path(), &arguments).fails(2, &["--precision", "expected f32, or bf16"]);
    }
    let set = ["train", "./set", "--recipe", "tiny.toml", "--set", "train.precision=fp16"];
    run(folder.path(), &set).fails(1, &["--set train.precision=fp16", "`f32`", "`bf16`"]);
    let elsewhere = ("GANYMEDE_BF16", "somewhere");
    run_with(folder.path(), elsewhere, &train("1", "out", &[]))
        .fails(1, &["environment variable GANYMEDE_BF16", "`somewhere`", "`everywhere`"]);
}
