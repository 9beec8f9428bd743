//! Training machinery through the binary: parts of batches, transfer, the best checkpoint, standing statistics.

mod common;

use common::*;
use std::fs;
use std::path::Path;

fn newest(run: &Path) -> std::collections::BTreeMap<String, String> {
    tensors(&checkpoints(run)[0])
}

#[test]
fn a_run_in_parts_is_stopped_and_goes_on_bit_for_bit_for_any_threads() {
    let folder = prepared();
    let train = |steps: &str, out: &str, threads: &str| {
        let arguments = [
            "train",
            "./set",
            "--recipe",
            "tiny.toml",
            "--steps",
            steps,
            "--out",
            out,
            "--threads",
            threads,
            "--set",
            "accumulate=2",
        ];
        run(folder.path(), &arguments).fine()
    };
    let out = train("30", "straight", "1");
    assert!(out.contains("parts of 4 samples") && out.contains("batch norm"), "{out}");
    let expected = newest(&folder.path().join("straight"));
    assert!(expected.keys().all(|name| !name.starts_with("accumulated/")));
    for threads in ["1", "2"] {
        let name = format!("stopped{threads}");
        let root = folder.path().join(&name);
        let arguments = [
            "train",
            "./set",
            "--recipe",
            "tiny.toml",
            "--steps",
            "30",
            "--out",
            &name,
            "--threads",
            threads,
            "--set",
            "accumulate=2",
        ];
        let mut child = start(folder.path(), &arguments);
        wait_for("the first ticks", || lines(&root.join("log.jsonl")) >= 10);
        signal(&child, "INT");
        assert!(child.wait().unwrap().success());
        run(folder.path(), &["train", "--resume", &name, "--threads", "3"]).fine();
        assert_eq!(newest(&root), expected, "{threads} threads");
    }
    run(folder.path(), &["train", "./set", "--recipe", "tiny.toml", "--set", "accumulate=3", "--out", "x"])
        .fails(1, &["train.accumulate", "8 does not divide into 3 equal parts"]);
    let dry = run(
        folder.path(),
        &["train", "./set", "--recipe", "tiny.toml", "--set", "accumulate=2", "--dry-run"],
    );
    let dry = dry.fine();
    assert!(
        dry.contains("accumulate = 2") && dry.contains("note             gradients are added up"),
        "{dry}"
    );
}

#[test]
fn a_new_run_begins_with_the_weights_of_another() {
    let folder = trained();
    let at = |name: &str| folder.path().join(name);
    let out =
        run(folder.path(), &["train", "./set", "--from", "run", "--steps", "4", "--out", "next"]).fine();
    assert!(out.contains("began with") && out.contains("step-20.safetensors"), "{out}");
    // Step 0 has the old weights and new moments; two are kept, the last and the first.
    let first = checkpoints(&at("next")).pop().unwrap();
    assert!(first.ends_with("step-0.safetensors"));
    let (old, new) = (newest(&at("run")), tensors(&first));
    for (name, hash) in &new {
        let weight = ["G/", "D/", "ema/"].iter().any(|root| name.starts_with(root));
        if weight {
            assert_eq!(hash, &old[name], "{name}");
        }
    }
    assert_ne!(new["opt/G/dense1/weight/m"], old["opt/G/dense1/weight/m"]);
    let recipe: toml::Table = fs::read_to_string(at("next").join("recipe.toml")).unwrap().parse().unwrap();
    assert!(recipe["run"]["from"].as_str().unwrap().ends_with("step-20.safetensors"));
    // Also where its recipe is named, and a choice of networks would be none.
    let named = ["train", "--from", "run", "--recipe", "tiny.toml", "--steps", "2", "--out", "named"];
    let out = run(folder.path(), &named).fine();
    assert!(out.contains("Training tiny on ./set"), "{out}");
    run(folder.path(), &["train", "./set", "--from", "run", "--recipe", "auto"])
        .fails(1, &["--recipe auto", "leave --recipe"]);
    // Without data it trains on the run's own; a checkpoint can be named too; lower layers can stay.
    let checkpoint = checkpoints(&at("run"))[0].display().to_string();
    let arguments = ["train", "--from", &checkpoint, "--steps", "3", "--out", "frozen", "--set", "freeze=1"];
    let out = run(folder.path(), &arguments).fine();
    assert!(out.contains("does not learn in D/dense1"), "{out}");
    let frozen = newest(&at("frozen"));
    assert_eq!(frozen["D/dense1/weight"], old["D/dense1/weight"]);
    assert_ne!(frozen["D/dense2/weight"], old["D/dense2/weight"]);
    assert!(!frozen.contains_key("opt/D/dense1/weight/m"));
    run(folder.path(), &["train", "--resume", "frozen", "--steps", "5"]).fine();
    assert_eq!(newest(&at("frozen"))["D/dense1/weight"], old["D/dense1/weight"]);
}

#[test]
fn weights_that_do_not_fit_are_listed_and_taken_in_part_only_where_asked() {
    let folder = trained();
    let wider = TINY.replace("\"dense 24 leaky_relu=0.2\"", "\"dense 20 leaky_relu=0.2\"");
    fs::write(folder.path().join("wider.toml"), wider).unwrap();
    let arguments = |more: &[&'static str]| {
        let usual =
            ["train", "./set", "--recipe", "wider.toml", "--from", "run", "--steps", "2", "--out", "next"];
        [&usual[..], more].concat()
    };
    run(folder.path(), &arguments(&[])).fails(
        1,
        &["D/dense1/weight: expected f32[64, 20], got f32[64, 24]", "D/dense2/weight", "--from-partial"],
    );
    assert!(!folder.path().join("next").exists());
    let out = run(folder.path(), &arguments(&["--from-partial"])).fine();
    assert!(out.contains("drawn anew") && out.contains("D/dense1/weight"), "{out}");
    run(folder.path(), &["train", "./set", "--from-partial"]).fails(2, &["--from"]);
    run(folder.path(), &["train", "--resume", "run", "--from", "run"]).fails(2, &["--resume"]);
    run(folder.path(), &["train", "./set", "--from", "nowhere"]).fails(1, &["nowhere", "no checkpoint here"]);
}

#[test]
fn the_best_checkpoint_is_kept_and_sampled_from() {
    let folder = tempfile::tempdir().unwrap();
    let train = [
        "train",
        "synthetic:ring8?radius=1&sigma=.3",
        "--steps",
        "12",
        "--set",
        "batch=32",
        "--set",
        "best.metric=quality",
        "--out",
        "run",
        "--json",
    ];
    let out = run(folder.path(), &train).fine();
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(last["best"]["metric"], "quality", "{last}");
    assert!(last["best"]["score"].as_f64().is_some() && last["best"]["step"].as_u64().is_some(), "{last}");
    let best = folder.path().join("run/checkpoints/best.safetensors");
    assert!(best.is_file());
    let out = run(folder.path(), &["sample", "run", "--best", "--n", "8", "--out", "a.csv", "--json"]).fine();
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["step"], last["best"]["step"]);
    assert!(told["checkpoint"].as_str().unwrap().ends_with("best.safetensors"), "{told}");
    // Going on prunes checkpoints, and not this one.
    run(folder.path(), &["train", "--resume", "run", "--steps", "14"]).fine();
    assert!(best.is_file());
    let plain = trained();
    run(plain.path(), &["sample", "run", "--best", "--out", "a.png"])
        .fails(1, &["no best checkpoint", "best.metric"]);
    run(
        plain.path(),
        &["train", "./set", "--recipe", "tiny.toml", "--set", "best.metric=quality", "--out", "x"],
    )
    .fails(1, &["`quality`", "known mixture"]);
    assert!(!plain.path().join("x").exists());
}

#[test]
fn samples_are_drawn_with_standing_statistics_where_asked() {
    let folder = trained();
    let sample = |out: &str, more: &[&str]| {
        run(folder.path(), &[&["sample", "run", "--n", "16", "--out", out], more].concat()).fine();
        fs::read(folder.path().join(out)).unwrap()
    };
    let running = sample("a.png", &[]);
    let standing = sample("b.png", &["--standing-statistics", "20"]);
    assert_ne!(running, standing);
    assert_eq!(sample("c.png", &["--standing-statistics", "20", "--threads", "1"]), standing);
    assert_eq!(sample("d.png", &["--standing-statistics", "0"]), running);
    // The recipe's own number is the default.
    let arguments = [
        "train",
        "./set",
        "--recipe",
        "tiny.toml",
        "--steps",
        "20",
        "--out",
        "own",
        "--set",
        "standing_statistics=20",
    ];
    run(folder.path(), &arguments).fine();
    run(folder.path(), &["sample", "own", "--n", "16", "--out", "e.png"]).fine();
    assert_eq!(fs::read(folder.path().join("e.png")).unwrap(), standing);
    run(folder.path(), &["sample", "run", "--standing-statistics", "-1", "--out", "f.png"]).fails(2, &["-1"]);
    let plain = TINY.replace("\"batch_norm\", ", "");
    fs::write(folder.path().join("plain.toml"), plain).unwrap();
    let arguments = ["train", "./set", "--recipe", "plain.toml", "--steps", "2", "--out", "plain"];
    run(folder.path(), &arguments).fine();
    run(folder.path(), &["sample", "plain", "--standing-statistics", "5", "--out", "g.png"])
        .fails(1, &["no batch norm"]);
}

#[test]
fn an_automatic_gamma_is_said_aloud_and_written_as_a_number() {
    let folder = prepared();
    let arguments =
        ["train", "./set", "--recipe", "tiny.toml", "--steps", "2", "--out", "run", "--set", "gamma=auto"];
    let out = run(folder.path(), &arguments).fine();
    // .0002 x 8 x 8 / 8.
    assert!(
        out.contains("note: the strength of `r1` is 0.0016: .0002 x 8 x 8 pixels / a batch of 8"),
        "{out}"
    );
    let text = fs::read_to_string(folder.path().join("run/recipe.toml")).unwrap();
    assert!(text.contains("strength = 0.0016"), "{text}");
}
