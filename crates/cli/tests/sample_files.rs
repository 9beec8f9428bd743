//! Samples that are written one by one: which file each goes to, and what is in it.

mod common;

use common::*;
use image::GrayImage;
use serde_json::Value;
use std::fs;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn samples_of_classes_go_to_folders_of_their_names_and_are_scored_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (class, name) in ["cat", "dog 2"].into_iter().enumerate() {
        fs::create_dir_all(at.join("set").join(name)).unwrap();
        for i in 0..8u8 {
            let shade = |x: u32, y: u32| image::Luma([(x * 9 + y * 5) as u8 + i + 90 * class as u8]);
            GrayImage::from_fn(8, 8, shade).save(at.join(format!("set/{name}/{i}.png"))).unwrap();
        }
    }
    conditional_recipe(at, 2);
    run(at, &["train", "./set", "--recipe", "cond.toml", "--steps", "3", "--out", "run"]).fine();
    run(at, &["sample", "run", "--n", "5", "--out", "made"]).fine();
    for (file, there) in [
        ("cat/00000.png", true),
        ("dog 2/00001.png", true),
        ("cat/00004.png", true),
        ("cat/00001.png", false),
    ] {
        assert_eq!(at.join("made").join(file).is_file(), there, "{file}");
    }
    let told = run(
        at,
        &["eval", "made", "--data", "./set", "--extractor", "pixels", "--n", "5", "--metrics", "accuracy"],
    );
    // Its labels are known, and so the next thing that is missing is told.
    told.fails(1, &["metric accuracy", "held out"]);
}

#[test]
fn samples_are_not_mixed_with_images_that_are_there() {
    let folder = trained();
    let at = folder.path();
    let sample = |n: &str, seed: &str| run(at, &["sample", "run", "--n", n, "--seed", seed, "--out", "made"]);
    sample("6", "0").fine();
    sample("2", "1")
        .fails(1, &["made", "4 images that are none of these 2 samples", "made/00002.png", "--out"]);
    assert_eq!(fs::read_dir(at.join("made")).unwrap().count(), 6, "nothing was written");
    // The same names are the same command again; what is no image is not in the way.
    fs::write(at.join("made/report.json"), "{}").unwrap();
    sample("6", "1").fine();
    sample("7", "1").fine();
    fs::create_dir(at.join("made/more")).unwrap();
    fs::copy(at.join("made/00000.png"), at.join("made/more/00001.JPG")).unwrap();
    sample("7", "1").fails(1, &["1 images", "more/00001.JPG"]);
}

#[test]
fn samples_keep_their_alpha_and_score_from_a_folder_as_from_their_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("set")).unwrap();
    for i in 0..16u32 {
        let at_pixel =
            |x: u32, y: u32| image::Rgba([(x * 30 + i) as u8, (y * 30) as u8, 9, 128 + (x * y) as u8]);
        image::RgbaImage::from_fn(8, 8, at_pixel).save(at.join(format!("set/{i}.png"))).unwrap();
    }
    let text = TINY
        .replace("[8, 8, 1]", "[8, 8, 4]")
        .replace("dense 64 tanh\", \"reshape 8 8 1", "dense 256 tanh\", \"reshape 8 8 4");
    fs::write(at.join("rgba.toml"), text).unwrap();
    run(at, &["train", "./set?channels=4", "--recipe", "rgba.toml", "--steps", "5", "--out", "run"]).fine();
    run(at, &["sample", "run", "--n", "16", "--out", "made"]).fine();
    let color = |name: &str| image::open(at.join(name)).unwrap().color();
    assert_eq!(color("made/00000.png"), image::ColorType::Rgba8);
    run(at, &["sample", "run", "--index", "0", "--scale", "2", "--out", "one.png"]).fine();
    assert_eq!(color("one.png"), image::ColorType::Rgba8);
    let scores = |what: &str| {
        let told = run(
            at,
            &[
                "eval",
                what,
                "--data",
                "./set?channels=4",
                "--extractor",
                "pixels",
                "--n",
                "16",
                "--metrics",
                "frechet,precision-recall",
                "--json",
            ],
        );
        let told = json(&told.fine());
        let all = told["scores"].as_array().unwrap().iter().map(|s| s["value"].as_f64().unwrap());
        all.collect::<Vec<_>>()
    };
    let (own, read) = (scores("run"), scores("made"));
    assert!(own[0] > 0.0 && own.len() > 2, "{own:?}");
    for (own, read) in own.iter().zip(&read) {
        assert!((own - read).abs() <= 1e-9 * own.abs(), "{own} {read}");
    }
}
