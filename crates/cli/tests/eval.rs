//! `ganymede eval` through the binary.

mod common;

use common::{idx_labels, prepared, run, run_with, trained};
use serde_json::Value;
use std::path::Path;

const CACHE: (&str, &str) = ("GANYMEDE_CACHE", "cache");

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The scores of a report without what differs from one time to the next.
fn scores(report: &Value) -> Value {
    report["scores"].clone()
}

#[test]
fn a_run_is_scored_on_its_own_data_and_the_report_kept() {
    let folder = trained();
    let at = folder.path();
    let text = run_with(at, CACHE, &["eval", "run", "--n", "64"]).fine();
    for words in
        ["Frechet distance (classifier)", "precision, k = 3, <=", "coverage, k = 5, <", "not computed: kid"]
    {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    assert!(text.contains("report in run/report.json") && !text.contains("FID"), "{text}");
    let kept = json(&std::fs::read_to_string(at.join("run/report.json")).unwrap());
    let names = |report: &Value| -> Vec<String> {
        let scores = report["scores"].as_array().unwrap();
        scores.iter().map(|s| s["metric"].as_str().unwrap().to_string()).collect()
    };
    assert!(names(&kept).contains(&"classes".to_string()), "{kept}");
    for key in ["program", "source", "data_hash", "split", "quantization", "resizer", "seconds", "time_unix"]
    {
        assert!(!kept[key].is_null(), "no {key} in {kept}");
    }
    let extractor = &kept["extractor"];
    assert_eq!(
        (extractor["name"].as_str(), extractor["hash"].as_str().map(str::len)),
        (Some("classifier"), Some(64))
    );
    assert!(extractor["accuracy"].is_f64());
    assert_eq!((kept["generated"].as_u64(), kept["real"].as_u64()), (Some(64), Some(64)));

    // From the checkpoint, on another number of threads, through the classifier that was kept: the same figures.
    let checkpoint = common::checkpoints(&at.join("run"))[0].clone();
    let checkpoint = checkpoint.strip_prefix(at).unwrap().to_str().unwrap().to_string();
    let ended = run_with(at, CACHE, &["eval", &checkpoint, "--n", "64", "--threads", "1", "--json"]);
    assert!(!ended.err.contains("training a classifier"), "{}", ended.err);
    let again = json(&ended.fine());
    assert_eq!((scores(&again), &again["extractor"]), (scores(&kept), extractor));
    // Another seed gives other samples; named metrics alone are computed.
    let other =
        run_with(at, CACHE, &["eval", "run", "--n", "64", "--seed", "1", "--metrics", "frechet", "--json"]);
    let other = json(&other.fine());
    assert_eq!(names(&other), ["frechet"]);
    assert_ne!(other["scores"][0]["value"], kept["scores"][0]["value"]);
}

#[test]
fn folders_of_images_are_scored_whoever_made_them() {
    let folder = trained();
    let at = folder.path();
    run(at, &["sample", "run", "--n", "80", "--out", "made"]).fine();
    let eval = |more: &[&str]| {
        let all = [&["eval", "made", "--data", "./set", "--extractor", "pixels", "--json"], more].concat();
        json(&run_with(at, CACHE, &all).fine())
    };
    let report = eval(&[]);
    assert_eq!((report["generated"].as_u64(), report["real"].as_u64()), (Some(80), Some(64)));
    assert!(at.join("made/report.json").is_file());
    // The images of a run in a folder are those that the run is scored by: quantizing again changes nothing.
    let own = run_with(at, CACHE, &["eval", "run", "--n", "64", "--extractor", "random-conv", "--json"]);
    assert_eq!(json(&own.fine())["extractor"]["name"], "random-conv");
    assert!(report["scores"][0]["value"].as_f64().unwrap() > 0.0);
    // The wrong size is told with the file.
    let small = image::GrayImage::new(7, 8);
    small.save(at.join("made/small.png")).unwrap();
    run_with(at, CACHE, &["eval", "made", "--data", "./set", "--extractor", "pixels"])
        .fails(1, &["small.png", "7x8"]);
}

#[test]
fn points_are_scored_against_their_mixture() {
    let folder = prepared();
    let at = folder.path();
    run(at, &["train", "synthetic:ring8", "--steps", "3", "--out", "points"]).fine();
    let report = json(&run_with(at, CACHE, &["eval", "points", "--n", "500", "--json"]).fine());
    assert_eq!(report["scores"][0]["metric"], "mixture");
    assert!(report["extractor"].is_null());
}

#[test]
fn the_list_names_every_metric_and_extractor() {
    let folder = tempfile::tempdir().unwrap();
    let text = run(folder.path(), &["eval", "--list"]).fine();
    let parsed = json(&run(folder.path(), &["eval", "--list", "--json"]).fine());
    for (key, name) in [("metrics", "metric"), ("extractors", "extractor"), ("networks", "network")] {
        let all = parsed[key].as_array().unwrap();
        assert!(all.len() >= 3);
        assert!(all.iter().all(|one| text.contains(one[name].as_str().unwrap())), "{text}");
    }
}

fn labels(at: &Path, bytes: &[u8]) {
    std::fs::write(at.join("set/train-labels-idx1-ubyte"), bytes).unwrap();
}

#[test]
fn what_cannot_be_scored_is_refused_with_what_to_do() {
    let folder = trained();
    let at = folder.path();
    let fails = |arguments: &[&str], words: &[&str]| {
        let all = [&["eval"], arguments].concat();
        run_with(at, CACHE, &all).fails(1, words);
    };
    fails(&["run", "--metrics", "freshet"], &["freshet", "frechet"]);
    fails(&["run", "--extractor", "clasifier", "--n", "50"], &["clasifier", "classifier", ".safetensors"]);
    fails(&["run", "--extractor", "none.safetensors", "--n", "50"], &["none.safetensors", "cannot read"]);
    // Weights that are none known here, and files that are no weights.
    let header = br#"{"a.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
    std::fs::write(at.join("other.safetensors"), file).unwrap();
    std::fs::write(at.join("page.pth"), "<html>404</html>").unwrap();
    let other = [
        "other.safetensors",
        "a.weight [1]",
        "inception-v3-fid: ",
        "fc.weight [1008, 2048]",
        "vgg16-lpips: ",
    ];
    fails(&["run", "--extractor", "other.safetensors", "--n", "50"], &other);
    fails(&["run", "--extractor", "page.pth", "--n", "50"], &["page.pth", "torch.save"]);
    // What a network is told by, under images that it cannot take.
    let values = 4 * 512 * (512 * 9 + 1);
    let header = format!(
        r#"{{"features.28.weight":{{"dtype":"F32","shape":[512,512,3,3],"data_offsets":[0,{0}]}},"lin4.model.1.weight":{{"dtype":"F32","shape":[1,512,1,1],"data_offsets":[{0},{values}]}}}}"#,
        4 * 512 * 512 * 9
    );
    let begin = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    std::fs::write(at.join("vgg.safetensors"), &begin).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(at.join("vgg.safetensors")).unwrap();
    file.set_len(begin.len() as u64 + values).unwrap();
    let words = ["vgg.safetensors", "recognised as vgg16-lpips", "16x16 pixels at least", "8x8"];
    fails(&["run", "--extractor", "vgg.safetensors", "--n", "50"], &words);
    fails(
        &["run", "--extractor", "other.safetensors?resizer=best", "--n", "50"],
        &["best", "legacy-tensorflow"],
    );
    fails(&["run", "--metrics", "kid", "--extractor", "pixels"], &["metric kid", "1000 samples", "got 64"]);
    fails(&["run", "--metrics", "accuracy"], &["metric accuracy", "not known", "conditional"]);
    fails(&["run", "--metrics", "modes"], &["metric modes", "stacked:"]);
    fails(&["run", "--split", "test"], &["set"]);
    fails(&["run", "--data", "glyphs", "--n", "50"], &["[8, 8, 1]", "[28, 28, 1]"]);
    fails(&["set", "--data", "./set"], &["neither a run", ".png"]);
    fails(&["set"], &["--data"]);
    std::fs::create_dir(at.join("few")).unwrap();
    run(at, &["sample", "run", "--n", "4", "--out", "few"]).fine();
    fails(&["few", "--data", "./set", "--n", "9", "--extractor", "pixels"], &["9 samples", "4 are there"]);
    // Without labels there are no classes; labels of one class alone cannot be told apart.
    labels(
        at,
        &idx_labels(64).iter().enumerate().map(|(i, &b)| if i < 8 { b } else { 0 }).collect::<Vec<_>>(),
    );
    fails(&["run", "--n", "50"], &["1 class", "random-conv"]);
    std::fs::remove_file(at.join("set/train-labels-idx1-ubyte")).unwrap();
    fails(&["run", "--metrics", "classes", "--n", "50"], &["no labelled images"]);
    // Nothing was written by what failed.
    assert!(!at.join("run/report.json").exists());
    let usage = run(at, &["eval", "run", "--split", "valid"]);
    assert_eq!(usage.code, Some(2));
}
