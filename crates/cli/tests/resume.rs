//! Runs that are stopped, killed or diverge lose nothing: what goes on is bit for bit what would have been.

mod common;

use common::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Arguments of a run of `steps` tiny steps into `out`.
fn train<'a>(steps: &'a str, out: &'a str, threads: &'a str) -> Vec<&'a str> {
    vec![
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
        "--seed",
        "11",
    ]
}

/// Tensors of the newest checkpoint, with its name.
fn newest(run: &Path) -> (String, BTreeMap<String, String>) {
    let path = &checkpoints(run)[0];
    (path.file_name().unwrap().to_str().unwrap().to_string(), tensors(path))
}

#[test]
fn forty_steps_equal_twenty_and_twenty_after_a_kill_for_any_threads() {
    let folder = prepared();
    run(folder.path(), &train("40", "straight", "2")).fine();
    let (name, expected) = newest(&folder.path().join("straight"));
    assert_eq!(name, "step-40.safetensors");
    assert!(expected.len() > 20);
    for threads in ["1", "2", "7"] {
        let root = folder.path().join(format!("killed{threads}"));
        let out = root.file_name().unwrap().to_str().unwrap();
        // Stopped by Ctrl-C somewhere in the middle, which leaves a checkpoint there; then killed beyond it.
        let mut child = start(folder.path(), &train("40", out, threads));
        wait_for("the first ticks", || lines(&root.join("log.jsonl")) >= 12);
        signal(&child, "INT");
        assert!(child.wait().unwrap().success());
        let before = newest(&root).0;
        let resume = ["train", "--resume", out, "--threads", threads];
        let ticks = lines(&root.join("log.jsonl"));
        let mut child = start(folder.path(), &resume);
        wait_for("more ticks", || lines(&root.join("log.jsonl")) > ticks + 4 || newest(&root).0 == name);
        signal(&child, "KILL");
        child.wait().unwrap();
        run(folder.path(), &resume).fine();
        assert_eq!(newest(&root), (name.clone(), expected.clone()), "{threads} threads, by way of {before}");
    }
}

#[test]
fn twenty_steps_lengthened_to_forty_equal_forty_where_nothing_is_scheduled() {
    let folder = prepared();
    let plain = TINY.replace("\"cosine 1e-3 -> 1e-4\"", "1e-3").replace("\"cosine 1 -> 0.1\"", "0.5");
    fs::write(folder.path().join("tiny.toml"), plain).unwrap();
    run(folder.path(), &train("40", "straight", "2")).fine();
    run(folder.path(), &train("20", "halves", "1")).fine();
    run(folder.path(), &["train", "--resume", "halves", "--steps", "40", "--threads", "3"]).fine();
    assert_eq!(newest(&folder.path().join("halves")), newest(&folder.path().join("straight")));
    // Samples and judgements agree as well, and going on from a finished run changes nothing.
    for (out, name) in [("straight", "a.png"), ("halves", "b.png")] {
        run(folder.path(), &["sample", out, "--out", name]).fine();
    }
    assert_eq!(
        fs::read(folder.path().join("a.png")).unwrap(),
        fs::read(folder.path().join("b.png")).unwrap()
    );
    let before = newest(&folder.path().join("halves"));
    run(folder.path(), &["train", "--resume", "halves"]).fine();
    assert_eq!(newest(&folder.path().join("halves")), before);
}

#[test]
fn keys_of_the_recipe_are_set_on_resuming_and_those_of_the_run_are_refused() {
    let folder = prepared();
    run(folder.path(), &train("10", "run", "2")).fine();
    let before = hashes(&folder.path().join("run"));
    for (set, words) in [
        ("seed=3", ["--set seed=3", "no key of a recipe", "--seed"]),
        ("data=./other", ["--set data=./other", "no key of a recipe", "after `train`"]),
        ("run.images=400", ["--set run.images=400", "no key of a recipe", "--images"]),
        ("run={images=400}", ["--set run=", "unknown key `run`", "known:"]),
        ("version=2", ["--set version=2", "unknown key `version`", "known:"]),
    ] {
        run(folder.path(), &["train", "--resume", "run", "--set", set]).fails(1, &words);
        assert_eq!(hashes(&folder.path().join("run")), before, "{set}");
    }
    // The same when a run begins.
    run(folder.path(), &["train", "./set", "--recipe", "tiny.toml", "--set", "seed=3", "--out", "other"])
        .fails(1, &["--set seed=3", "no key of a recipe", "--seed"]);
    assert!(!folder.path().join("other").exists());

    for (set, images) in [("images=160", 160), ("train.images=240", 240)] {
        let out = run(folder.path(), &["train", "--resume", "run", "--set", set]).fine();
        assert!(out.contains(&format!("Done after {images} images")), "{out}");
        let text = fs::read_to_string(folder.path().join("run/recipe.toml")).unwrap();
        let recipe: toml::Table = text.parse().unwrap();
        assert_eq!(recipe["run"]["images"].as_integer(), Some(images), "{text}");
        assert_eq!(recipe["run"]["seed"].as_integer(), Some(11), "{text}");
    }
    // Another key leaves the length alone, and a length of its own comes first.
    run(folder.path(), &["train", "--resume", "run", "--set", "lr=1e-4"])
        .fails(1, &["finished, after 240 images"]);
    let both = ["train", "--resume", "run", "--set", "lr=1e-4", "--images", "256"];
    assert!(run(folder.path(), &both).fine().contains("Done after 256 images"));
    let both = ["train", "--resume", "run", "--set", "images=800", "--images", "320"];
    assert!(run(folder.path(), &both).fine().contains("Done after 320 images"));
}

#[test]
fn another_seed_is_another_run_and_the_same_seed_the_same() {
    let folder = prepared();
    for (out, seed) in [("a", "1"), ("b", "1"), ("c", "2")] {
        let arguments =
            ["train", "./set", "--recipe", "tiny.toml", "--steps", "5", "--out", out, "--seed", seed];
        run(folder.path(), &arguments).fine();
    }
    let [a, b, c] = ["a", "b", "c"].map(|name| newest(&folder.path().join(name)).1);
    assert_eq!(a, b);
    assert_ne!(a["G/dense1/weight"], c["G/dense1/weight"]);
}

#[test]
fn ctrl_c_leaves_a_checkpoint_and_exit_code_0() {
    let folder = prepared();
    let root = folder.path().join("run");
    for name in ["INT", "TERM"] {
        let _ = fs::remove_dir_all(&root);
        let mut child = start(folder.path(), &train("100000", "run", "2"));
        wait_for("the run to begin", || root.join("checkpoints/step-0.safetensors").exists());
        // The first tick is 2,500 steps away: the checkpoint can only come from the signal.
        std::thread::sleep(std::time::Duration::from_millis(150));
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{name}");
        assert_ne!(newest(&root).0, "step-0.safetensors", "{name}");
        let log = fs::read_to_string(root.join("log.jsonl")).unwrap();
        assert_eq!(log.lines().count(), 1, "what was done since the beginning is logged:\n{log}");
    }
    let (name, _) = newest(&root);
    let step = name.trim_start_matches("step-").trim_end_matches(".safetensors");
    let more = (step.parse::<u64>().unwrap() + 5).to_string();
    let out = run(folder.path(), &["train", "--resume", "run", "--steps", &more]).fine();
    assert!(out.contains(&format!("Resumed at step {step}.")), "{out}");
}

#[test]
fn a_kill_at_any_moment_leaves_a_run_that_can_go_on() {
    let folder = prepared();
    run(folder.path(), &train("300", "straight", "1")).fine();
    let expected = newest(&folder.path().join("straight"));
    let root = folder.path().join("run");
    let mut child = start(folder.path(), &train("300", "run", "1"));
    wait_for("the run to begin", || root.join("checkpoints/step-0.safetensors").exists());
    // Delays spread over the run by the golden ratio; every other session is stopped softly, so that there is progress.
    for i in 0..12u32 {
        let delay = (f64::from(i) * 0.618_034).fract() * 60.0;
        std::thread::sleep(std::time::Duration::from_secs_f64(delay / 1e3));
        if i % 2 == 0 {
            signal(&child, "KILL");
        } else if child.try_wait().unwrap().is_none() {
            signal(&child, "TERM");
        }
        child.wait().unwrap();
        run(folder.path(), &["sample", "run", "--n", "1", "--out", "a.png"]).fine();
        child = start(folder.path(), &["train", "--resume", "run", "--threads", "1"]);
    }
    child.wait().unwrap();
    let ended = run(folder.path(), &["train", "--resume", "run", "--threads", "2"]);
    assert_eq!(ended.err, "", "no checkpoint was damaged");
    ended.fine();
    assert_eq!(newest(&root), expected);
    let left: Vec<_> = hashes(&root.join("checkpoints")).into_keys().collect();
    assert_eq!(left.len(), 2, "two checkpoints and no leftovers: {left:?}");
    for line in fs::read_to_string(root.join("log.jsonl")).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }
}

#[test]
fn divergence_skips_rolls_back_lowers_the_rate_and_gives_up() {
    let folder = prepared();
    let arguments = [&train("200", "run", "2")[..], &["--set", "gamma=1e38", "--set", "every=1"]].concat();
    let ended = run(folder.path(), &arguments);
    let out = ended.out.clone();
    ended.fails(
        1,
        &[
            "training diverged",
            "3 rollbacks",
            "last good checkpoint is run/checkpoints/step-0.safetensors",
            "the discriminator's penalty (r1): try a smaller strength",
            "train --resume run --set regularizers.0.strength=1",
        ],
    );
    for n in 1..=3 {
        assert!(out.contains(&format!("(rollback {n} of 3)")), "{out}");
    }
    assert!(out.contains("lowered the learning rates to 0.125"), "{out}");
    let log = fs::read_to_string(folder.path().join("run/log.jsonl")).unwrap();
    assert_eq!(log.matches("\"event\":\"rollback\"").count(), 3, "{log}");
    // Nothing of it reached the checkpoint: it is that of a run with a sane penalty.
    run(folder.path(), &train("200", "sane", "2")).fine();
    let first = |name: &str| checkpoints(&folder.path().join(name)).pop().unwrap();
    assert_eq!(tensors(&first("run")), tensors(&first("sane")));
    run(folder.path(), &["sample", "run", "--n", "4", "--out", "a.png"]).fine();
    run(folder.path(), &["train", "--resume", "run", "--set", "gamma=1", "--steps", "10"]).fine();
}

#[test]
fn a_run_tells_at_its_end_what_it_dropped() {
    let folder = prepared();
    let arguments = [&train("3", "run", "2")[..], &["--set", "gamma=1e38", "--set", "every=1"]].concat();
    let out = run(folder.path(), &arguments).fine();
    let told = "Updates dropped because a value was not finite: 3; the last 3 of discriminator+r1";
    assert!(out.contains(told), "{out}");
    let arguments = [&train("3", "sound", "2")[..], &["--json"]].concat();
    let out = run(folder.path(), &arguments).fine();
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(last["skipped"], 0, "{last}");
}

#[test]
fn steps_of_a_resumed_run_are_steps_whatever_its_batch() {
    let folder = prepared();
    run(folder.path(), &train("4", "run", "2")).fine();
    let resume = ["train", "--resume", "run", "--set", "batch=4", "--steps"];
    run(folder.path(), &[&resume[..], &["4"]].concat()).fails(1, &["has taken 4 steps already"]);
    let out = run(folder.path(), &[&resume[..], &["8"]].concat()).fine();
    assert!(out.contains("Done after 48 images (8 steps)"), "{out}");
}

#[test]
fn minutes_become_images_once_the_speed_is_known() {
    let folder = prepared();
    let arguments =
        ["train", "./set", "--recipe", "tiny.toml", "--minutes", "0.02", "--out", "run", "--json"];
    let began = std::time::Instant::now();
    let ended = run(folder.path(), &arguments);
    assert!(ended.err.contains("at this speed 0.0 minutes are"), "{}", ended.err);
    let out = ended.fine();
    // 1.2 seconds were asked for; how many steps fit in depends on what else the machine does.
    assert!(began.elapsed().as_secs_f64() < 30.0);
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert!(last["seconds"].as_f64() < Some(20.0) && last["step"].as_u64() > Some(1), "{last}");
    let recipe: toml::Table =
        fs::read_to_string(folder.path().join("run/recipe.toml")).unwrap().parse().unwrap();
    assert!(recipe["run"]["images"].as_integer() > Some(8), "the length is settled for a resumed run");
    assert_eq!(recipe["run"]["seed"].as_integer(), Some(0));
    run(folder.path(), &["train", "--resume", "run"]).fine();
}

#[test]
fn a_finished_run_says_so_and_stays_as_it_is() {
    let folder = prepared();
    run(folder.path(), &train("20", "run", "1")).fine();
    let root = folder.path().join("run");
    let before = (hashes(&root), fs::read_to_string(root.join("log.jsonl")).unwrap());
    let resume = |extra: &[&str]| run(folder.path(), &[&["train", "--resume", "run"], extra].concat());
    let out = resume(&[]).fine();
    assert!(out.contains("The run is finished: 160 images.") && out.contains("--images 320"), "{out}");
    assert!(!out.contains("Training "), "{out}");
    let line: serde_json::Value = serde_json::from_str(resume(&["--json"]).fine().trim()).unwrap();
    assert_eq!((&line["event"], &line["images"]), (&"finished".into(), &160.into()), "{line}");
    resume(&["--images", "100"]).fails(1, &["160 images already", "more than that"]);
    resume(&["--set", "lr=1e-5"]).fails(1, &["finished", "--set would change nothing", "--images"]);
    assert_eq!((hashes(&root), fs::read_to_string(root.join("log.jsonl")).unwrap()), before);
    let last = newest(&root);
    // Without its last checkpoint there is work to do again, which is said.
    fs::remove_file(&checkpoints(&root)[0]).unwrap();
    let ended = resume(&[]);
    let told = format!("{}{}", ended.out, ended.err);
    ended.fine();
    assert!(told.contains("the log reaches step 20") && told.contains("20 steps are made again"), "{told}");
    assert_eq!(newest(&root), last);
}
