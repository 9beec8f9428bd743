//! `ganymede eval` through the binary.

mod common;

use common::{conditional_recipe, idx_images, idx_labels, prepared, run, run_with, trained};
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
    assert!(
        text.contains("report in run/report.json and run/report.html") && !text.contains("FID"),
        "{text}"
    );
    // What cannot be told of so few samples without a held-out part.
    for check in ["not checked: memorization", "not checked: mode-collapse"] {
        assert!(text.contains(check), "{text}");
    }
    let page = std::fs::read_to_string(at.join("run/report.html")).unwrap();
    assert!(page.contains("data:image/png;base64,") && page.contains("Frechet distance (classifier)"));
    assert!(!page.contains("<script") && !page.contains("href="));
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

    // Fewer samples against all real ones.
    let ended = run_with(at, CACHE, &["eval", "run", "--n", "40", "--real", "all", "--json"]);
    let all = json(&ended.fine());
    assert_eq!((all["generated"].as_u64(), all["real"].as_u64()), (Some(40), Some(64)));
    run_with(at, CACHE, &["eval", "run", "--n", "40", "--real", "few"])
        .fails(2, &["--real", "from 2 to 1000000"]);
    run_with(at, CACHE, &["eval", "run", "--data", "glyphs", "--real", "all"])
        .fails(1, &["--real all", "no end"]);

    // From the checkpoint, on another number of threads, through the classifier that was kept: the same figures.
    let checkpoint = common::checkpoints(&at.join("run"))[0].clone();
    let checkpoint = checkpoint.strip_prefix(at).unwrap().to_str().unwrap().to_string();
    let ended = run_with(at, CACHE, &["eval", &checkpoint, "--n", "64", "--threads", "1", "--json"]);
    assert!(!ended.err.contains("training a classifier"), "{}", ended.err);
    let again = json(&ended.fine());
    assert_eq!((scores(&again), &again["extractor"]), (scores(&kept), extractor));
    // What a file's classifier is asked of without a held-out part is not called held out.
    assert!(
        text.contains("of held-out real samples right") && extractor["accuracy_of"] == "held-out",
        "{text}"
    );
    let file = std::fs::read_dir(at.join("cache/classifiers")).unwrap().next().unwrap().unwrap().path();
    let metrics = ["--metrics", "frechet", "--extractor", file.to_str().unwrap()];
    let text = run_with(at, CACHE, &[&["eval", "run", "--n", "64"], &metrics[..]].concat()).fine();
    assert!(
        text.contains("of training samples, which it may have learnt") && !text.contains("held-out"),
        "{text}"
    );
    // Another seed gives other samples; named metrics alone are computed.
    let other =
        run_with(at, CACHE, &["eval", "run", "--n", "64", "--seed", "1", "--metrics", "frechet", "--json"]);
    let other = json(&other.fine());
    assert_eq!(names(&other), ["frechet"]);
    assert_ne!(other["scores"][0]["value"], kept["scores"][0]["value"]);
}

#[test]
fn metrics_that_take_long_are_computed_when_named() {
    let folder = trained();
    let at = folder.path();
    let text = run_with(at, CACHE, &["eval", "run", "--n", "64", "--extractor", "random-conv"]).fine();
    for metric in ["ppl", "ms-ssim", "frechet-infinity"] {
        assert!(text.contains(&format!("not computed: {metric}: ")), "{metric}: {text}");
        assert!(text.contains(&format!("name it, --metrics {metric}")), "{metric}: {text}");
    }
    let arguments =
        ["eval", "run", "--n", "64", "--extractor", "random-conv", "--metrics", "ppl,ms-ssim", "--json"];
    let named = || json(&run_with(at, CACHE, &arguments).fine());
    let found = named();
    let of = |i: usize| found["scores"][i]["name"].as_str().unwrap().to_string();
    assert_eq!(
        (of(0).as_str(), of(1).as_str()),
        ("path length, latents, full (random-conv)", "MS-SSIM of pairs, 4 scales")
    );
    assert_eq!(found["scores"][0]["interval"].as_array().map(Vec::len), Some(2));
    assert_eq!(scores(&named()), scores(&found));
    run(at, &["sample", "run", "--n", "40", "--out", "made"]).fine();
    let all = ["eval", "made", "--data", "./set", "--metrics", "ppl"];
    run_with(at, CACHE, &all).fails(1, &["metric ppl", "a run or a checkpoint"]);
    let all = ["eval", "run", "--n", "64", "--metrics", "sliced-wasserstein"];
    run_with(at, CACHE, &all).fails(1, &["metric sliced-wasserstein", "8x8", "16x16"]);
}

#[test]
fn folders_of_images_are_scored_whoever_made_them() {
    let folder = trained();
    let at = folder.path();
    run(at, &["sample", "run", "--n", "80", "--out", "made"]).fine();
    let eval =
        |arguments: &[&str]| json(&run_with(at, CACHE, &[&["eval", "--json"], arguments].concat()).fine());
    let folder_of = |made: &str| eval(&[made, "--data", "./set", "--extractor", "random-conv"]);
    let report = eval(&["made", "--data", "./set", "--extractor", "pixels"]);
    assert_eq!((report["generated"].as_u64(), report["real"].as_u64()), (Some(80), Some(64)));
    assert!(at.join("made/report.json").is_file());
    // The images of a run in a folder are those that the run is scored by: quantizing again changes nothing. Only their
    // order is another, and so the rounding of sums in f64, as well as the choices of the bootstrap.
    run(at, &["sample", "run", "--n", "64", "--out", "same"]).fine();
    run(at, &["sample", "run", "--n", "64", "--seed", "1", "--out", "others"]).fine();
    let own = eval(&["run", "--n", "64", "--extractor", "random-conv"]);
    let far = |of: &Value, figure: &str| {
        let value = |report: &Value| {
            let found = report["scores"]
                .as_array()
                .unwrap()
                .iter()
                .find(|s| s["name"].as_str().unwrap().contains(figure));
            found.unwrap_or_else(|| panic!("no {figure} in {report}"))["value"].as_f64().unwrap()
        };
        (value(of) - value(&own)).abs() / value(&own).abs().max(1e-3)
    };
    let (same, others) = (folder_of("same"), folder_of("others"));
    assert_eq!(same["generated"], own["generated"]);
    for figure in [
        "Frechet distance",
        "precision, k = 3, <=",
        "recall, k = 3, <=",
        "density, k = 5, <",
        "coverage, k = 5, <",
    ] {
        assert!(far(&same, figure) < 1e-9, "{figure}: {} from {own}", far(&same, figure));
    }
    assert!(far(&others, "Frechet distance") > 1e-6, "samples of another seed are others");
    // The wrong size is told with the file.
    let small = image::GrayImage::new(7, 8);
    small.save(at.join("made/small.png")).unwrap();
    run_with(at, CACHE, &["eval", "made", "--data", "./set", "--extractor", "pixels"])
        .fails(1, &["small.png", "7x8"]);
}

#[test]
fn a_report_stays_when_another_is_made() {
    let folder = trained();
    let at = folder.path();
    let seen = |extractor: &str, n: &str, more: &[&str]| {
        let all = [&["eval", "run", "--extractor", extractor, "--n", n], more].concat();
        run_with(at, CACHE, &all).fine()
    };
    let eval = |n: &str, more: &[&str]| seen("pixels", n, more);
    // The reports of the run: the latest, and the others by name.
    let reports = || {
        let names = std::fs::read_dir(at.join("run")).unwrap().map(|e| e.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name.starts_with("report-") && name.ends_with(".json"));
        names.sort();
        (std::fs::read_to_string(at.join("run/report.json")).unwrap(), names)
    };
    let first = eval("64", &[]);
    assert!(first.trim_end().ends_with("report in run/report.json and run/report.html"), "{first}");
    let page = std::fs::read(at.join("run/report.html")).unwrap();
    let (of_64, names) = reports();
    assert_eq!((json(&of_64)["n"].as_u64(), names.len()), (Some(64), 0));
    assert_eq!(json(&of_64)["source"]["precision"], "f32");
    // Other counts: the report before lies beside under a name of its settings, byte for byte.
    let second = eval("40", &[]);
    let (of_40, names) = reports();
    let [name] = &names[..] else { panic!("{names:?}") };
    assert!(name.starts_with("report-step20-n64-train-") && name.ends_with(".json"), "{name}");
    assert!(second.contains(&format!("the one before, of other settings, is run/{name} now")), "{second}");
    assert_eq!(std::fs::read_to_string(at.join("run").join(name)).unwrap(), of_64);
    // Its page goes with it.
    assert_eq!(std::fs::read(at.join("run").join(name).with_extension("html")).unwrap(), page);
    // So do other metrics, seeds, parts and extractors keep what was there.
    eval("40", &["--metrics", "frechet"]);
    eval("40", &["--seed", "1"]);
    seen("random-conv", "40", &[]);
    let (of_random, names) = reports();
    assert_eq!((json(&of_random)["extractor"]["name"].as_str(), names.len()), (Some("random-conv"), 4));
    let kept = names.iter().map(|name| std::fs::read_to_string(at.join("run").join(name)).unwrap());
    assert!(kept.collect::<Vec<_>>().contains(&of_40));
    // The same settings again are the same report: it is the latest, and no second one stays.
    eval("64", &[]);
    let (again, names) = reports();
    assert_eq!(json(&again)["scores"], json(&of_64)["scores"]);
    assert!(names.len() == 4 && !names.contains(name), "{names:?}");
    let replaced = eval("64", &[]);
    assert!(replaced.contains("in place of one with the same settings"), "{replaced}");
    assert_eq!(reports().1, names);
    // A file of that name that is no report of this program stays too.
    std::fs::write(at.join("run/report.json"), "my notes").unwrap();
    eval("64", &[]);
    let (_, more) = reports();
    let new: Vec<&String> = more.iter().filter(|name| !names.contains(name)).collect();
    assert_eq!(new.len(), 1, "{more:?}");
    assert_eq!(std::fs::read_to_string(at.join("run").join(new[0])).unwrap(), "my notes");
}

#[test]
fn two_are_compared_and_data_are_not_scored_against_themselves() {
    let folder = trained();
    let at = folder.path();
    run(at, &["train", "./set", "--recipe", "tiny.toml", "--steps", "30", "--seed", "2", "--out", "other"])
        .fine();
    let words = ["eval", "run", "--against", "other", "--n", "64", "--extractor", "pixels"];
    let text = run_with(at, CACHE, &words).fine();
    for word in [
        "first      run/",
        "second     other/",
        "difference",
        "cannot tell",
        "comparison in run/comparison.json",
    ] {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
    let kept = json(&std::fs::read_to_string(at.join("run/comparison.json")).unwrap());
    let difference = &kept["differences"][0];
    let of = |side: &str| difference[side].as_f64().unwrap();
    assert_eq!(of("difference"), of("second") - of("first"));
    assert!(std::fs::read_to_string(at.join("run/comparison.html")).unwrap().contains("Score by score"));
    // The same run is as good as itself.
    let same = run_with(
        at,
        CACHE,
        &["eval", "run", "--against", "run", "--n", "64", "--extractor", "pixels", "--json"],
    );
    let same = json(&same.fine());
    assert!(
        same["differences"]
            .as_array()
            .unwrap()
            .iter()
            .all(|d| d["difference"] == 0.0 && d["verdict"] != "first")
    );
    // By named metrics alone, and without checks.
    let words = [
        "eval",
        "run",
        "--against",
        "other",
        "--metrics",
        "frechet",
        "--n",
        "64",
        "--extractor",
        "pixels",
        "--json",
    ];
    let named = json(&run_with(at, CACHE, &words).fine());
    let metrics: Vec<_> = named["differences"].as_array().unwrap().iter().map(|d| &d["metric"]).collect();
    assert_eq!(metrics, ["frechet"]);
    assert!(named["first"]["findings"].is_null() && kept["first"]["findings"].is_array());
    // A folder of pictures that is the data, or lies in them.
    run(at, &["sample", "run", "--n", "80", "--out", "made"]).fine();
    run_with(at, CACHE, &["eval", "made", "--data", "made"]).fails(1, &["made", "the data themselves"]);
    std::fs::create_dir(at.join("data")).unwrap();
    std::fs::rename(at.join("made"), at.join("data/made")).unwrap();
    run_with(at, CACHE, &["eval", "data/made", "--data", "data"]).fails(1, &["made", "the data themselves"]);
}

#[test]
fn classes_of_a_run_are_known_by_their_names() {
    let folder = prepared();
    let at = folder.path();
    conditional_recipe(at, 3);
    let classes = ["--classes", "3,5,8", "--images", "64", "--out", "run"];
    run(at, &[&["train", "./set", "--recipe", "cond.toml"], &classes[..]].concat()).fine();
    let words = ["eval", "run", "--n", "60", "--extractor", "pixels", "--metrics"];
    let eval = |rest: &[&str]| run_with(at, CACHE, &[&words[..], rest].concat());
    // Its first class is 3 of the whole set: by number, it would be 0, and 3 the first without samples.
    eval(&["class-frechet", "--data", "./set"]).fails(1, &["class-frechet", "class 0: 0 samples"]);
    let own = eval(&["class-frechet"]);
    own.fine();
    // Where no class has such a name none is told, and the others are scored.
    run(at, &["sample", "run", "--n", "72", "--out", "pictures"]).fine();
    for (of, name) in [("3", "one"), ("5", "two"), ("8", "three")] {
        std::fs::rename(at.join("pictures").join(of), at.join("pictures").join(name)).unwrap();
    }
    let other = eval(&["frechet", "--data", "pictures"]);
    assert!(
        other.err.contains("the run makes the class `3`") && other.err.contains("one, three, two"),
        "{}",
        other.err
    );
    other.fine();
    eval(&["class-frechet", "--data", "pictures"]).fails(1, &["class-frechet", "not known"]);
}

#[test]
fn points_are_scored_against_their_mixture() {
    let folder = prepared();
    let at = folder.path();
    run(at, &["train", "synthetic:ring8", "--steps", "3", "--out", "points"]).fine();
    let report = json(
        &run_with(at, CACHE, &["eval", "points", "--n", "500", "--metrics", "mixture", "--json"]).fine(),
    );
    assert_eq!(report["scores"][0]["metric"], "mixture");
    assert!(report["extractor"].is_null());
}

#[test]
fn the_list_names_every_metric_and_extractor() {
    let folder = tempfile::tempdir().unwrap();
    let text = run(folder.path(), &["eval", "--list"]).fine();
    let parsed = json(&run(folder.path(), &["eval", "--list", "--json"]).fine());
    let kinds =
        [("metrics", "metric"), ("checks", "check"), ("extractors", "extractor"), ("networks", "network")];
    for (key, name) in kinds {
        let all = parsed[key].as_array().unwrap();
        assert!(all.len() >= 3);
        assert!(all.iter().all(|one| text.contains(one[name].as_str().unwrap())), "{text}");
    }
}

#[test]
fn a_held_out_part_that_cannot_be_used_is_told_apart_from_none() {
    let folder = trained();
    let at = folder.path();
    let held_out = |name: &str, bytes: &[u8]| std::fs::write(at.join("set").join(name), bytes).unwrap();
    let eval = |more: &[&str]| run_with(at, CACHE, &[&["eval", "run", "--n", "20"], more].concat());
    // Cut short: an error, whichever part is compared with, and no silence about it.
    let images = idx_images(30, 8);
    held_out("t10k-images-idx3-ubyte", &images[..images.len() - 100]);
    for split in ["train", "test"] {
        eval(&["--split", split]).fails(1, &["the held-out part of ./set", "t10k-images", "truncated"]);
    }
    // Whole but without labels: said, and not asked of; samples can still be compared with it.
    held_out("t10k-images-idx3-ubyte", &images);
    let ended = eval(&["--metrics", "frechet", "--split", "test"]);
    assert_eq!(ended.err.matches("the held-out part of ./set has no labels").count(), 1, "{}", ended.err);
    assert!(ended.err.contains("training a classifier on ./set"), "{}", ended.err);
    assert!(ended.fine().contains("test split"));
    run(at, &["sample", "run", "--n", "30", "--out", "made/0"]).fine();
    run_with(at, CACHE, &["eval", "made", "--data", "./set", "--metrics", "accuracy"])
        .fails(1, &["metric accuracy: the held-out part of ./set has no labels"]);
    // With labels of another number of images it is damaged again, and with its own it is asked.
    held_out("t10k-labels-idx1-ubyte", &idx_labels(29));
    eval(&[]).fails(1, &["the held-out part of ./set", "30 images", "29 labels"]);
    held_out("t10k-labels-idx1-ubyte", &idx_labels(30));
    let ended = eval(&["--metrics", "frechet"]);
    assert!(!ended.err.contains("no labels"), "{}", ended.err);
    assert!(ended.fine().contains("of held-out real samples right"));
    // Parameters that leave nothing of it are said too.
    let ended = eval(&["--data", "./set?limit=40", "--metrics", "frechet", "--extractor", "pixels"]);
    assert!(ended.err.contains("nothing is left of the held-out part") && ended.err.contains("limit=40"));
    ended.fine();
    eval(&["--data", "./set?limit=40", "--split", "test"])
        .fails(1, &["--split test", "limit=40", "30 items"]);
}

fn labels(at: &Path, bytes: &[u8]) {
    std::fs::write(at.join("set/train-labels-idx1-ubyte"), bytes).unwrap();
}

/// The header of the labels stays, all of them are 0.
fn labels_of_one_class(at: &Path) {
    let mut bytes = idx_labels(64);
    bytes[8..].fill(0);
    labels(at, &bytes);
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
    fails(&["set", "--data", "./set"], &["the data themselves"]);
    std::fs::create_dir(at.join("nothing")).unwrap();
    fails(&["nothing", "--data", "./set"], &["neither a run", ".png"]);
    fails(&["set"], &["--data"]);
    std::fs::create_dir(at.join("few")).unwrap();
    run(at, &["sample", "run", "--n", "4", "--out", "few"]).fine();
    fails(&["few", "--data", "./set", "--n", "9", "--extractor", "pixels"], &["9 samples", "4 are there"]);
    // Without labels there are no classes; labels of one class alone cannot be told apart.
    labels_of_one_class(at);
    fails(&["run", "--n", "50", "--extractor", "classifier"], &["1 class", "random-conv"]);
    std::fs::remove_file(at.join("set/train-labels-idx1-ubyte")).unwrap();
    fails(&["run", "--metrics", "classes", "--n", "50"], &["no labelled images"]);
    // Nothing was written by what failed.
    assert!(!at.join("run/report.json").exists());
    let usage = run(at, &["eval", "run", "--split", "valid"]);
    assert_eq!(usage.code, Some(2));
}

#[test]
fn images_of_one_class_are_seen_as_those_without_labels() {
    let folder = trained();
    let at = folder.path();
    labels_of_one_class(at);
    let ended = run_with(at, CACHE, &["eval", "run", "--n", "50", "--metrics", "frechet"]);
    assert!(ended.fine().contains("seen by    random-conv"));
    // So are those of a run that keeps its best checkpoint.
    let train = ["train", "./set", "--images", "64", "--set", "best.metric=frechet", "--out", "best"];
    run_with(at, CACHE, &train).fine();
    assert!(at.join("best/checkpoints/best.safetensors").exists());
}
