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
    assert_eq!(lines.len(), 12, "{out}");
    assert_eq!((&lines[0]["event"], &lines[0]["run"]), (&"begin".into(), &"run".into()));
    assert_eq!(lines[1]["images"], 8);
    let last = &lines[11];
    assert_eq!((&last["event"], &last["run"]), (&"finished".into(), &"run".into()));
    assert_eq!((&last["step"], &last["images"]), (&10.into(), &80.into()));
    assert!(folder.path().join(last["samples"].as_str().unwrap()).exists());
    assert!(folder.path().join(last["checkpoint"].as_str().unwrap()).exists());

    let out = run(folder.path(), &["train", "--resume", "run", "--steps", "12", "--json"]).fine();
    let first = json(out.lines().next().unwrap());
    assert_eq!(
        (&first["event"], &first["run"], &first["step"]),
        (&"resume".into(), &"run".into(), &10.into())
    );

    let out = run(folder.path(), &["sample", "run", "--n", "3", "--out", "a.png", "--json"]).fine();
    assert_eq!((json(&out)["samples"].clone(), json(&out)["step"].clone()), (3.into(), 12.into()));
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
    let table = |key: &str| plan[key].as_array().unwrap().clone();
    let first = serde_json::json!({"name": "G/dense1", "layer": table("generator_layers")[0]["layer"], "output": [24],
        "parameters": 168});
    assert_eq!(table("generator_layers")[0], first);
    assert!(first["layer"].as_str().unwrap().contains("dense"), "{first}");
    assert_eq!(table("generator_layers").last().unwrap()["output"], serde_json::json!([8, 8, 1]));
    assert_eq!(table("discriminator_layers").last().unwrap()["output"], serde_json::json!([1]));
    for side in ["generator", "discriminator"] {
        let rows = table(&format!("{side}_layers"));
        let sum: u64 = rows.iter().map(|row| row["parameters"].as_u64().unwrap()).sum();
        assert_eq!(Some(sum), plan[format!("{side}_parameters")].as_u64(), "{side}: {rows:?}");
    }
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
fn networks_are_switched_between_layers_and_models_on_the_command_line() {
    let folder = prepared();
    let dry = |recipe: &str, sets: &[&str]| {
        let mut arguments = vec!["train", "--recipe", recipe, "--dry-run", "--json"];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        json(&run(folder.path(), &arguments).fine())["recipe"].clone()
    };
    let residual = dry("dcgan28", &["generator.model=r3gan"]);
    assert_eq!(residual["generator"]["model"], "r3gan");
    assert!(residual["generator"].get("layers").is_none() && residual["discriminator"]["layers"].is_array());
    // Options in either order, by path, by ending, and as a whole.
    for sets in [
        &["generator.model=r3gan", "generator.options.widths=[64,32,16]"][..],
        &["generator.options.widths=[64,32,16]", "generator.model=r3gan"],
        &["generator.model=r3gan", "widths=[64,32,16]"],
        &["generator.model=r3gan", "generator.options={widths=[64,32,16]}"],
    ] {
        let recipe = dry("dcgan28", sets);
        assert_eq!(recipe["generator"]["options"]["widths"], serde_json::json!([64, 32, 16]), "{sets:?}");
        assert!(recipe["discriminator"].get("options").is_none(), "{sets:?}");
    }
    let layers = r#"generator.layers=["dense 784 tanh", "reshape 28 28 1"]"#;
    let listed = dry("residual28", &[layers]);
    assert_eq!(listed["generator"]["layers"], serde_json::json!(["dense 784 tanh", "reshape 28 28 1"]));
    assert!(listed["generator"].get("model").is_none() && listed["generator"].get("options").is_none());
    assert_eq!(listed["discriminator"]["model"], "r3gan");
    // Another model has none of the options of the one before, but those that are asked for.
    let own = [
        "discriminator.options={channels=24, batch_norm=0}",
        "discriminator.model=dcgan",
        "generator.model=resnet",
    ];
    let other = dry("residual28", &own);
    assert!(other["generator"].get("options").is_none_or(|o| *o == serde_json::json!({})), "{other}");
    assert_eq!(other["discriminator"]["options"], serde_json::json!({"channels": 24, "batch_norm": 0}));
    // There and back again, and both at once by the ending.
    let back = dry("residual28", &[layers, "generator.model=r3gan", "blocks=[0,0,0]"]);
    assert_eq!(back["generator"]["options"], serde_json::json!({"blocks": [0, 0, 0]}));
    assert_eq!(dry("dcgan28", &["model=r3gan"])["discriminator"]["model"], "r3gan");
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
    let ended = run(folder.path(), &["sample", "run", "--n", "70", "--out", "many"]);
    assert_eq!(ended.err, "", "no live line where nobody sees it");
    ended.fine();
    assert_eq!(fs::read_dir(folder.path().join("many")).unwrap().count(), 70);
    for i in 0..5 {
        assert_eq!(bytes(&format!("few/{i:05}.png")), bytes(&format!("many/{i:05}.png")));
    }
    let one = image::open(folder.path().join("few/00000.png")).unwrap();
    assert_eq!((one.width(), one.height(), one.color()), (8, 8, image::ColorType::L8));
}

#[test]
fn truncated_samples_are_others_and_more_alike() {
    let folder = trained();
    let sample = |more: &[&str]| run(folder.path(), &[&["sample", "run", "--n", "64"], more].concat());
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    sample(&["--out", "whole.png"]).fine();
    for (psi, name) in [("0.5", "half.png"), ("0.01", "least.png")] {
        sample(&["--out", name, "--truncation", psi]).fine();
        assert_ne!(bytes(name), bytes("whole.png"), "{psi}");
        sample(&["--out", "again.png", "--truncation", psi, "--threads", "1"]).fine();
        assert_eq!(bytes(name), bytes("again.png"), "{psi}");
    }
    // No latent of 64 samples lies outside [-6, 6], so nothing is cut off.
    sample(&["--out", "again.png", "--truncation", "6"]).fine();
    assert_eq!(bytes("again.png"), bytes("whole.png"));
    // Between the least and the largest value of a pixel over the 64 samples, on the average.
    let spread = |folder_name: &str, more: &[&str]| {
        sample(&[&["--out", folder_name], more].concat()).fine();
        let images: Vec<Vec<u8>> = (0..64)
            .map(|i| {
                image::open(folder.path().join(format!("{folder_name}/{i:05}.png"))).unwrap().into_bytes()
            })
            .collect();
        let of = |pixel: usize| images.iter().map(move |image| i32::from(image[pixel]));
        let range = |pixel: usize| of(pixel).max().unwrap() - of(pixel).min().unwrap();
        f64::from((0..64).map(range).sum::<i32>()) / 64.0
    };
    let (whole, half, least) =
        (spread("a", &[]), spread("b", &["--truncation", "0.5"]), spread("c", &["--truncation", "0.01"]));
    assert!(whole > 1.5 * half && half > 5.0 * least, "{whole}, {half}, {least}");

    let out = sample(&["--out", "a.png", "--truncation", "0.5", "--json"]).fine();
    assert_eq!(json(&out)["truncation"], 0.5);
    for psi in ["0", "-1", "1e-60"] {
        // A generator without styles has latents alone, and these leave none.
        sample(&["--out", "refused.png", "--truncation", psi])
            .fails(1, &["truncation", "expected a number above 0", "without styles"]);
        sample(&["--out", "refused", "--truncation", psi]).fails(1, &["expected a number above 0"]);
    }
    for psi in ["nan", "inf", "half"] {
        sample(&["--out", "refused.png", "--truncation", psi])
            .fails(2, &["--truncation", &format!("`{psi}` is no number")]);
    }
    assert!(!folder.path().join("refused").exists());
    assert!(!folder.path().join("refused.png").exists());
}

#[test]
fn a_generator_that_stands_still_is_named_on_the_progress_line() {
    let folder = tempfile::tempdir().unwrap();
    let still =
        ["--set", "batch=32", "--set", "generator.optimizer.lr=0", "--set", "half_life=0", "--steps", "800"];
    let out =
        run(folder.path(), &[&["train", "synthetic:ring8", "--out", "run"], &still[..]].concat()).fine();
    let lines: Vec<&str> = out.lines().filter(|line| line.contains("! DEAD GENERATOR")).collect();
    assert!(lines.len() >= 5 && lines.iter().all(|line| line.contains("G loss")), "{out}");
    // A young one is not accused.
    let first = out.lines().find(|line| line.contains("G loss")).unwrap();
    assert!(!first.contains('!'), "{first}");
    assert!(fs::read_to_string(folder.path().join("run/log.jsonl")).unwrap().contains("dead-generator"));
}

#[test]
fn points_are_scored_and_sampled_as_picture_or_table() {
    let folder = tempfile::tempdir().unwrap();
    let mlp = ["--set", "batch=32", "--steps", "12", "--out", "run"];
    let out = run(folder.path(), &[&["train", "synthetic:ring8?radius=3"], &mlp[..]].concat()).fine();
    assert!(out.contains("Training mlp2d on synthetic:ring8?radius=3"), "{out}");
    assert!(out.contains("10000 samples: "), "{out}");
    // A table that is there already is replaced whole: whoever holds the old one keeps it.
    fs::write(folder.path().join("points.csv"), "old").unwrap();
    fs::hard_link(folder.path().join("points.csv"), folder.path().join("held.csv")).unwrap();
    let ended = run(folder.path(), &["sample", "run", "--n", "300", "--out", "points.csv"]);
    assert_eq!(ended.err, "", "no live line where nobody sees it");
    ended.fine();
    let beside: Vec<_> =
        hashes(folder.path()).into_keys().filter(|p| p.to_string_lossy().contains(".tmp-")).collect();
    assert!(beside.is_empty(), "{beside:?}");
    assert_eq!(fs::read_to_string(folder.path().join("held.csv")).unwrap(), "old");
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
fn the_words_of_recipes_are_listed_with_examples() {
    let folder = prepared();
    let text = run(folder.path(), &["recipes", "--words"]).fine();
    let listed = run(folder.path(), &["recipes", "--words", "--json"]).fine();
    let words: Vec<Value> = listed.lines().map(json).collect();
    for (kind, name, shown) in [
        ("layer", "conv_transpose", "conv_transpose"),
        ("activation", "leaky_relu", "leaky_relu[=SLOPE]"),
        ("initializer", "orthogonal", "orthogonal[:GAIN]    e.g. orthogonal:"),
        ("loss", "relativistic-pairing", "relativistic-pairing"),
        ("regularizer", "r1", "r1 strength="),
        ("model", "r3gan", "r3gan"),
        ("optimizer", "rmsprop", "rmsprop beta2=0.99"),
        ("optimizer key", "clip_value", "clip_value = 0"),
        ("ema key", "buffers", "\"average\""),
        ("schedule", "cosine", "cosine FROM -> TO    e.g. cosine 5e-4 -> 1e-4"),
    ] {
        assert!(words.iter().any(|w| w["kind"] == kind && w["name"] == name), "{kind} {name} in:\n{listed}");
        assert!(text.contains(shown), "`{shown}` is not in:\n{text}");
    }
    // What the list shows as an example can be trained with.
    let example = |kind: &str, name: &str| {
        let word = words.iter().find(|w| w["kind"] == kind && w["name"] == name).unwrap();
        word["example"].as_str().unwrap().to_string()
    };
    let init = example("initializer", "normal");
    let layers = format!("discriminator.layers=[\"flatten\", \"dense 1 init={init}\"]");
    let lr = format!("lr={}", example("schedule", "warmup"));
    let sets = ["--set", &layers, "--set", &lr, "--set", "clip_value=0.1", "--set", "ema.buffers=average"];
    let arguments = ["train", "./set", "--recipe", "tiny.toml", "--steps", "3", "--out", "run"];
    run(folder.path(), &[&arguments[..], &sets[..]].concat()).fine();
    let recipe = fs::read_to_string(folder.path().join("run/recipe.toml")).unwrap();
    assert!(recipe.contains("buffers = \"average\"") && recipe.contains("clip_value = 0.1"), "{recipe}");
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
        assert!(help.contains(&format!("Examples:\n  ganymede {verb}")), "{help}");
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
    assert!(measured["batch"].as_u64() > Some(0) && measured["predicted_mb"].is_u64(), "{measured}");
    let positive = |value: &Value| value.as_f64().filter(|v| v.is_finite() && *v > 0.0);
    for key in [
        "ms_min",
        "ms_med",
        "first_step_ms",
        "gflop",
        "gflops",
        "peak_gflops",
        "peak_share",
        "memory_gbs",
        "rss_mb",
    ] {
        assert!(positive(&measured[key]).is_some(), "{key} in {measured}");
    }
    let of = |key: &str| measured[key].as_f64().unwrap();
    assert!(of("ms_min") <= of("ms_med"), "{measured}");
    // Starting, compiling and a step take longer than a step.
    assert!(of("first_step_ms") > of("ms_min"), "{measured}");
    assert!((of("peak_share") * of("peak_gflops") / of("gflops") - 1.0).abs() < 1e-9, "{measured}");
    // Weights and biases over 2, 128, 128 and 2 or 1 units.
    assert_eq!(measured["parameters"], serde_json::json!([17_154, 17_025]));
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
    // Packing an operand takes no operation.
    let product = |k: &&Value| label(k).starts_with("matmul") && !label(k).starts_with("matmul.pack");
    let products: Vec<&Value> = kernels.iter().filter(product).collect();
    for key in ["gflops", "peak_share", "gbs", "memory_share"] {
        assert!(products.iter().all(|k| positive(&k[key]).is_some()), "{key} in {products:?}");
    }
    let shares: f64 = kernels.iter().map(|k| k["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    let shown = run(folder.path(), &["bench", "mlp2d", "--quick", "--profile", "--threads", "1"]).fine();
    for words in ["of peak", "first ms", "predicted", "GB/s through memory", "ms in kernels a step"] {
        assert!(shown.contains(words), "`{words}` is not in:\n{shown}");
    }
}

#[test]
fn bench_times_the_compilation_of_deep_graphs() {
    let folder = tempfile::tempdir().unwrap();
    for nodes in [1_000, 4_000] {
        let told = run(folder.path(), &["bench", "--graph", &nodes.to_string(), "--json"]).fine();
        let told = json(told.trim());
        let phase = &told["phases"][0];
        let built = phase["nodes"].as_u64().unwrap();
        assert!((nodes..2 * nodes + 1_000).contains(&built), "{nodes} asked for: {told}");
        assert!(
            phase["optimized_nodes"].as_u64() < Some(built) && phase["calls"].as_u64() > Some(0),
            "{told}"
        );
        assert!(phase["compile_ms"].as_f64() > Some(0.0), "{told}");
    }
    assert!(run(folder.path(), &["bench", "--graph", "1000"]).fine().contains("compile ms"));
}
