//! What the verbs do when all is well, on runs of a few dozen steps.

mod common;

use common::*;
use serde_json::Value;
use std::fs;

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
}

#[test]
fn train_makes_the_run_folder() {
    let folder = trained();
    let root = folder.path().join("run");
    let recipe: toml::Table = fs::read_to_string(root.join("recipe.toml")).unwrap().parse().unwrap();
    assert_eq!(recipe["run"]["data"].as_str(), Some("./set"));
    assert_eq!(recipe["run"]["images"].as_integer(), Some(160));
    assert_eq!(recipe["train"]["critic_steps"].as_integer(), Some(1), "defaults are written out");

    let log = fs::read_to_string(root.join("log.jsonl")).unwrap();
    let ticks: Vec<Value> = log.lines().map(json).collect();
    assert_eq!(ticks.len(), 20, "a tick every 4 of 160 images, and a step is 8");
    for (i, tick) in ticks.iter().enumerate() {
        assert_eq!(tick["step"], i + 1);
        assert_eq!(tick["images"], 8 * (i + 1));
        assert_eq!(tick["total_images"], 160);
        for key in ["seconds", "images_per_second", "d_loss", "d_penalty", "d_real", "d_fake", "g_loss"] {
            assert!(tick[key].is_f64(), "{key} in {tick}");
        }
        assert_eq!((&tick["skipped"], &tick["rollbacks"]), (&Value::from(0), &Value::from(0)));
        assert_eq!(tick["lr_scale"], 1.0);
        let picture = image::open(root.join(tick["samples"].as_str().unwrap())).unwrap();
        // 64 images of 8x8, eight times enlarged, eight in a row, 2 pixels apart.
        assert_eq!((picture.width(), picture.height()), (8 * 66 + 2, 8 * 66 + 2));
    }
    // A batch of eight small images takes a hundredth of the time of a step, and is prepared meanwhile. Half of the ticks
    // may be disturbed by what else the machine does.
    let mut waits: Vec<f64> = ticks.iter().map(|t| t["data_wait"].as_f64().unwrap()).collect();
    waits.sort_by(f64::total_cmp);
    assert!(waits[0] > 0.0 && waits[10] < 0.1, "shares of the time spent waiting for data: {waits:?}");
    let names: Vec<_> =
        checkpoints(&root).iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_string()).collect();
    assert_eq!(names, ["step-20.safetensors", "step-0.safetensors"]);
    let state = tensors(&checkpoints(&root)[0]);
    for name in [
        "G/dense1/weight",
        "D/dense1/bias",
        "ema/G/dense1/weight",
        "opt/G/dense1/weight/m",
        "opt/D/beta2_power",
    ] {
        assert!(state.contains_key(name), "{name} in {:?}", state.keys());
    }
}

#[test]
fn json_output_is_one_object_a_line() {
    let folder = prepared();
    let arguments = ["train", "./set", "--recipe", "tiny.toml", "--steps", "10", "--out", "run", "--json"];
    let out = run(folder.path(), &arguments).fine();
    let lines: Vec<Value> = out.lines().map(json).collect();
    assert_eq!(lines.len(), 11, "{out}");
    assert_eq!(lines[0]["images"], 8);
    let last = &lines[10];
    assert_eq!((&last["event"], &last["run"]), (&"finished".into(), &"run".into()));
    assert_eq!((&last["step"], &last["images"]), (&10.into(), &80.into()));
    assert!(folder.path().join(last["samples"].as_str().unwrap()).exists());
    assert!(folder.path().join(last["checkpoint"].as_str().unwrap()).exists());

    let out = run(folder.path(), &["sample", "run", "--n", "3", "--out", "a.png", "--json"]).fine();
    assert_eq!((json(&out)["samples"].clone(), json(&out)["step"].clone()), (3.into(), 10.into()));
    let out = run(folder.path(), &["recipes", "--json"]).fine();
    assert!(
        out.lines().map(json).any(|r| r["name"] == "dcgan28" && r["shape"] == serde_json::json!([28, 28, 1]))
    );
    let out = run(folder.path(), &["recipes", "r3-28", "--json"]).fine();
    assert_eq!(json(&out)["loss"]["name"], "relativistic-pairing");
    let out = run(folder.path(), &["data", "inspect", "./set", "--json"]).fine();
    assert_eq!(
        (json(&out)["items"].clone(), json(&out)["shape"].clone()),
        (64.into(), serde_json::json!([8, 8, 1]))
    );
    let out = run(folder.path(), &["train", "./set", "--recipe", "tiny.toml", "--dry-run", "--json"]).fine();
    let plan = json(&out);
    assert_eq!(plan["images"], 320);
    assert!(
        plan["gflop_per_step"].as_f64().unwrap() > 0.0
            && plan["peak_bytes"].as_u64() > plan["state_bytes"].as_u64()
    );
    let out = run(folder.path(), &["doctor", "--json"]).fine();
    assert_eq!(json(&out)["ok"], true);
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let folder = prepared();
    let before = hashes(folder.path());
    let arguments =
        ["train", "./set", "--recipe", "tiny.toml", "--set", "batch=16", "--epochs", "3", "--dry-run"];
    let out = run(folder.path(), &arguments).fine();
    for words in [
        "batch = 16",
        "G/dense1",
        "D/dropout1",
        "[N, 8, 8, 1]",
        // Three passes over 64 images, half of which go to the generator's step of a pairing loss.
        "96 images, 6 steps",
        "GFLOP a step of 16 samples",
        "at the peak",
        "checkpoint",
    ] {
        assert!(out.contains(words), "`{words}` is not in:\n{out}");
    }
    // Dense layers 6-24 and 24-64 with batch norm, 64-24 and 24-1: weights, biases, scale and shift.
    assert!(out.contains("1,816 trainable") && out.contains("1,585 trainable"), "{out}");
    assert_eq!(hashes(folder.path()), before);
}

#[test]
fn runs_are_numbered_where_no_folder_is_named() {
    let folder = prepared();
    for n in 1..3 {
        let out = run(folder.path(), &["train", "./set", "--recipe", "tiny.toml", "--steps", "1"]).fine();
        assert!(out.contains(&format!("Run folder: runs/tiny-{n}")), "{out}");
    }
}

#[test]
fn samples_depend_on_seed_and_index_alone() {
    let folder = trained();
    let sample = |more: &[&str]| run(folder.path(), &[&["sample", "run"], more].concat()).fine();
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    sample(&["--n", "9", "--out", "one.png", "--threads", "1"]);
    for threads in ["1", "2", "3", "7"] {
        sample(&["--n", "9", "--out", "again.png", "--threads", threads]);
        assert_eq!(bytes("one.png"), bytes("again.png"), "{threads} threads");
    }
    sample(&["--n", "9", "--out", "other.png", "--seed", "1"]);
    assert_ne!(bytes("one.png"), bytes("other.png"));
    let picture = image::open(folder.path().join("one.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (3 * 66 + 2, 3 * 66 + 2));

    // A few or many at once: the programs differ, the samples do not.
    sample(&["--n", "5", "--out", "few"]);
    sample(&["--n", "70", "--out", "many"]);
    assert_eq!(fs::read_dir(folder.path().join("many")).unwrap().count(), 70);
    for i in 0..5 {
        assert_eq!(bytes(&format!("few/{i:05}.png")), bytes(&format!("many/{i:05}.png")));
    }
    let one = image::open(folder.path().join("few/00000.png")).unwrap();
    assert_eq!((one.width(), one.height(), one.color()), (8, 8, image::ColorType::L8));
}

#[test]
fn points_are_scored_and_sampled_as_picture_or_table() {
    let folder = tempfile::tempdir().unwrap();
    let mlp = ["--set", "batch=32", "--steps", "12", "--out", "run"];
    let out = run(folder.path(), &[&["train", "synthetic:ring8?radius=3"], &mlp[..]].concat()).fine();
    assert!(out.contains("Training mlp2d on synthetic:ring8?radius=3"), "{out}");
    assert!(out.contains("10000 samples: "), "{out}");
    run(folder.path(), &["sample", "run", "--n", "300", "--out", "points.csv"]).fine();
    let table = fs::read_to_string(folder.path().join("points.csv")).unwrap();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("x,y"));
    let points: Vec<Vec<f64>> = lines.map(|l| l.split(',').map(|v| v.parse().unwrap()).collect()).collect();
    assert!(points.len() == 300 && points.iter().all(|p| p.len() == 2 && p.iter().all(|v| v.is_finite())));
    run(folder.path(), &["sample", "run", "--n", "300", "--out", "points.png"]).fine();
    image::open(folder.path().join("points.png")).unwrap();
    run(folder.path(), &["sample", "run", "--out", "points"])
        .fails(1, &["points", ".png or .csv", "a folder"]);
    image::GrayImage::new(2, 1).save(folder.path().join("a.png")).unwrap();
    run(folder.path(), &["judge", "run", "a.png"]).fails(1, &["[2]", "not images"]);
}

#[test]
fn the_discriminator_says_what_it_makes_of_images() {
    let folder = trained();
    run(folder.path(), &["sample", "run", "--n", "2", "--out", "made"]).fine();
    let images = ["judge", "run", "made/00000.png", "made/00001.png"];
    let out = run(folder.path(), &images).fine();
    for words in
        ["real samples", "(64 of ./set)", "generated samples", "(1024 drawn)", "made/00001.png  logit"]
    {
        assert!(out.contains(words), "`{words}` is not in:\n{out}");
    }
    let out = run(folder.path(), &[&images[..], &["--json", "--threads", "2"]].concat()).fine();
    let lines: Vec<Value> = out.lines().map(json).collect();
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert!(line["logit"].as_f64().unwrap().is_finite());
        for key in ["above_real_percent", "above_generated_percent"] {
            assert!((0.0..=100.0).contains(&line[key].as_f64().unwrap()), "{line}");
        }
    }
    // Without its data a run still judges, and says what is missing.
    fs::remove_dir_all(folder.path().join("set")).unwrap();
    let ended = run(folder.path(), &images);
    assert!(ended.err.contains("warning: no real samples to compare with"), "{}", ended.err);
    assert!(ended.fine().contains("logit"));
}

#[test]
fn recipes_are_listed_and_printed_as_they_can_be_used() {
    let folder = prepared();
    let list = run(folder.path(), &["recipes"]).fine();
    for name in ["guide-dense", "guide-deconv", "dcgan28", "mlp2d", "wgangp28", "r3-28"] {
        assert!(list.contains(name), "{name} in:\n{list}");
        let text = run(folder.path(), &["recipes", name]).fine();
        fs::write(folder.path().join("mine.toml"), text).unwrap();
        run(folder.path(), &["train", "--recipe", "mine.toml", "--dry-run"]).fine();
    }
}

#[test]
fn data_is_inspected() {
    let folder = prepared();
    let out = run(folder.path(), &["data", "inspect", "./set"]).fine();
    for words in ["64 of 8 x 8 x 1", "10 classes", "values", "hash"] {
        assert!(out.contains(words), "`{words}` is not in:\n{out}");
    }
    let packed = folder.path().join("packed");
    fs::create_dir(&packed).unwrap();
    fs::write(packed.join("train-images-idx3-ubyte.gz"), gzip(&idx_images(64, 8))).unwrap();
    fs::write(packed.join("train-labels-idx1-ubyte.gz"), gzip(&idx_labels(64))).unwrap();
    let zipped = run(folder.path(), &["data", "inspect", "./packed"]).fine();
    let hash = |text: &str| text.lines().find(|l| l.contains("hash")).unwrap().to_string();
    assert_eq!(hash(&out), hash(&zipped), "plain and gzip are the same set");
}

#[test]
fn every_verb_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    let top = run(folder.path(), &["--help"]).fine();
    for verb in ["train", "sample", "judge", "recipes", "data", "bench", "doctor"] {
        assert!(top.contains(verb));
        let help = run(folder.path(), &[verb, "--help"]).fine();
        assert!(help.contains("Usage: ganymede") && help.len() > 200, "{help}");
    }
    assert!(run(folder.path(), &["train", "--help"]).fine().contains("need not fall"));
    assert!(run(folder.path(), &["--version"]).fine().starts_with("ganymede "));
}

#[test]
fn bench_measures_a_workload_and_its_kernels() {
    let folder = tempfile::tempdir().unwrap();
    let plain = run(folder.path(), &["bench", "mlp2d", "--json", "--profile", "--threads", "1"]).fine();
    assert_eq!(plain.lines().count(), 1, "one object a workload: {plain}");
    let measured = json(plain.trim());
    assert_eq!((&measured["workload"], &measured["threads"]), (&"mlp2d".into(), &1.into()));
    assert!(measured["batch"].as_u64() > Some(0) && measured["planned_mb"].is_u64(), "{measured}");
    let positive = |value: &Value| value.as_f64().filter(|v| v.is_finite() && *v > 0.0);
    for key in ["ms_min", "ms_med", "gflops", "rss_mb"] {
        assert!(positive(&measured[key]).is_some(), "{key} in {measured}");
    }
    assert!(measured["ms_min"].as_f64() <= measured["ms_med"].as_f64(), "{measured}");
    let kernels = measured["kernels"].as_array().unwrap();
    let label = |kernel: &Value| kernel["label"].as_str().unwrap().to_string();
    for words in ["matmul", "pass", "D/dense1", "G/dense1"] {
        assert!(kernels.iter().any(|k| label(k).contains(words)), "`{words}` is in no label of {kernels:?}");
    }
    // The slowest first, none twice, contractions with a rate.
    let times: Vec<f64> = kernels.iter().map(|k| k["ms"].as_f64().unwrap()).collect();
    assert!(times.iter().all(|t| t.is_finite() && *t >= 0.0) && times[0] > 0.0, "{times:?}");
    assert!(times.windows(2).all(|t| t[0] >= t[1]), "{times:?}");
    let labels: std::collections::HashSet<String> = kernels.iter().map(label).collect();
    assert_eq!(labels.len(), kernels.len());
    let products: Vec<&Value> = kernels.iter().filter(|k| label(k).starts_with("matmul")).collect();
    assert!(products.iter().all(|k| positive(&k["gflops"]).is_some()), "{products:?}");
}
