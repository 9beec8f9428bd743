//! Folders of pictures, CIFAR's files, stacks and parts of sets through the binary: trained on, resumed, looked at, refused.

mod common;

use common::*;
use std::fs;
use std::path::Path;

/// `TINY` without schedules, so that a lengthened run equals a long one.
fn plain_recipe(folder: &Path) {
    let plain = TINY.replace("\"cosine 1e-3 -> 1e-4\"", "1e-3").replace("\"cosine 1 -> 0.1\"", "0.5");
    fs::write(folder.join("tiny.toml"), plain).unwrap();
}

/// Writes pictures of 12x10 as PNG: `counts[k]` of them in `folder/NAME/CLASS k`, brighter with the class.
fn photos(folder: &Path, name: &str, classes: &[(&str, u8)]) {
    for (k, (class, count)) in classes.iter().enumerate() {
        let path = folder.join(name).join(class);
        fs::create_dir_all(&path).unwrap();
        for i in 0..*count {
            let picture = image::RgbImage::from_fn(12, 10, |x, y| {
                image::Rgb([60 * k as u8 + x as u8, 60 * k as u8 + y as u8, i * 7])
            });
            picture.save(path.join(format!("{i:02}.png"))).unwrap();
        }
    }
}

const THREE: [(&str, u8); 3] = [("ant", 20), ("bee", 10), ("cat & dog", 6)];

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

fn newest(run: &Path) -> std::collections::BTreeMap<String, String> {
    tensors(&checkpoints(run)[0])
}

#[test]
fn a_balanced_part_of_a_folder_is_trained_on_and_resumed_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    plain_recipe(folder.path());
    photos(folder.path(), "photos", &THREE);
    let train = |out: &str, steps: &str, more: &[&str]| {
        let arguments =
            ["train", "./photos", "--recipe", "tiny.toml", "--limit", "18", "--steps", steps, "--out", out];
        run(folder.path(), &[&arguments, more].concat()).fine()
    };
    let balanced = ["--set", "class_balanced=true"];
    train("straight", "40", &balanced);
    train("halves", "20", &balanced);
    let recipe = fs::read_to_string(folder.path().join("halves/recipe.toml")).unwrap();
    assert!(
        recipe.contains("data = \"./photos?limit=18\"") && recipe.contains("class_balanced = true"),
        "{recipe}"
    );
    run(folder.path(), &["train", "--resume", "halves", "--steps", "40", "--threads", "1"]).fine();
    let straight = newest(&folder.path().join("straight"));
    assert_eq!(newest(&folder.path().join("halves")), straight);
    train("shuffled", "40", &[]);
    assert_ne!(newest(&folder.path().join("shuffled")), straight, "sampling by class is another stream");

    // The run knows its part: other data, or another part, are refused, the same one from elsewhere is not.
    fs::rename(folder.path().join("photos"), folder.path().join("moved")).unwrap();
    let resume = |more: &[&str]| {
        run(folder.path(), &[&["train", "--resume", "halves", "--steps", "44"], more].concat())
    };
    resume(&[]).fails(1, &["./photos"]);
    resume(&["./moved"]).fails(1, &["begun on other data", "./photos?limit=18"]);
    resume(&["./moved", "--limit", "17"]).fails(1, &["begun on other data"]);
    resume(&["--limit", "18"]).fails(1, &["goes on with its own part of the data", "./photos?limit=18"]);
    resume(&["./moved", "--limit", "18"]).fine();
}

#[test]
fn classes_are_chosen_on_the_command_line_by_any_name() {
    let folder = prepared();
    photos(folder.path(), "photos", &THREE);
    let inspect =
        |more: &[&str]| json(&run(folder.path(), &[&["data", "inspect", "--json"], more].concat()).fine());
    let got = inspect(&["./photos", "--classes", "cat & dog,ant", "--limit", "13"]);
    assert_eq!(got["classes"], serde_json::json!([["ant", 10], ["cat & dog", 3]]));
    assert_eq!(got["data"], "./photos?limit=13&classes=cat %26 dog,ant");
    assert_eq!(inspect(&[got["data"].as_str().unwrap()]), got, "what is printed opens the same");
    assert_eq!((&got["shape"], &got["bytes"]), (&serde_json::json!([10, 12, 3]), &(13 * 362).into()));
    let inspected = |more: &[&str]| run(folder.path(), &[&["data", "inspect"], more].concat());
    inspected(&["./photos", "--classes", "cat"]).fails(1, &["there is no `cat`", "ant, bee, cat & dog"]);
    inspected(&["./photos", "--limit", "37"]).fails(1, &["limit=37", "36 items"]);
    inspected(&["./photos?limit=5", "--limit", "7"]).fails(1, &["the key once"]);
    inspected(&["./photos", "--limit", "0"]).fails(2, &["--limit"]);
    // The embedded set and IDX files have parts too, in training as well.
    run(
        folder.path(),
        &[
            "train",
            "--recipe",
            "tiny.toml",
            "./set",
            "--classes",
            "3,5",
            "--limit",
            "8",
            "--steps",
            "2",
            "--out",
            "few",
        ],
    )
    .fine();
    // Where names are numbers only names are classes: the first of 3 and 5 is no 0.
    conditional_recipe(folder.path(), 2);
    let told =
        ["train", "./set", "--recipe", "cond.toml", "--classes", "3,5", "--steps", "1", "--out", "told"];
    run(folder.path(), &told).fine();
    let class = |class: &str| {
        let end = ["sample", "told", "--n", "2", "--out", "drawn", "--class", class];
        run(folder.path(), &end)
    };
    class("1").fails(1, &["--class 1", "named 3, 5"]);
    class("-1").fails(1, &["--class -1", "named 3, 5"]);
    class("5").fine();
    assert!(folder.path().join("drawn/5/00000.png").exists());
    run(folder.path(), &["train", "--recipe", "dcgan28", "--limit", "64", "--classes", "1", "--dry-run"])
        .fine();
    let arguments =
        ["train", "./set", "--recipe", "tiny.toml", "--limit", "7", "--steps", "2", "--out", "less"];
    run(folder.path(), &arguments).fails(1, &["./set?limit=7", "batch of 8", "has 7"]);
    assert!(!folder.path().join("less").exists());
}

#[test]
fn bad_pictures_are_refused_or_skipped_aloud() {
    let folder = prepared();
    photos(folder.path(), "photos", &THREE);
    let cut = fs::read(folder.path().join("photos/bee/03.png")).unwrap();
    fs::write(folder.path().join("photos/bee/03.png"), &cut[..cut.len() / 2]).unwrap();
    let train = ["train", "./photos", "--recipe", "tiny.toml", "--steps", "2", "--out", "run"];
    run(folder.path(), &train).fails(1, &["./photos/bee/03.png", "it is truncated", "--skip-bad"]);
    assert!(!folder.path().join("run").exists());
    let ended = run(folder.path(), &[&train[..], &["--skip-bad"]].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("1 of the pictures") && ended.err.contains("bee/03.png"), "{}", ended.err);
    let recipe = fs::read_to_string(folder.path().join("run/recipe.toml")).unwrap();
    assert!(recipe.contains("data = \"./photos?skip-bad\""), "{recipe}");
    let out = run(folder.path(), &["data", "inspect", "./photos", "--skip-bad", "--json"]).fine();
    let out = json(&out);
    assert_eq!(out["items"], 35);
    assert!(out["skipped"][0]["path"].as_str().unwrap().ends_with("bee/03.png"), "{out}");
    assert_eq!(out["read"][0], serde_json::json!({"what": "PNG files", "files": 35}));
    run(folder.path(), &["data", "inspect", "./set", "--skip-bad"])
        .fails(1, &["unknown parameter `skip-bad`"]);
}

#[test]
fn folders_without_sense_are_refused_and_leave_nothing() {
    let folder = prepared();
    photos(folder.path(), "photos", &[("ant", 3), ("bee", 0)]);
    let train = |data: &str, words: &[&str]| {
        let more = ["--set", "class_balanced=true"];
        let arguments = ["train", data, "--recipe", "tiny.toml", "--steps", "2", "--out", "run"];
        run(folder.path(), &[&arguments[..], &more].concat()).fails(1, words);
        assert!(!folder.path().join("run").exists());
    };
    train("./photos", &["./photos/bee", "class without pictures"]);
    photos(folder.path(), "flat", &[("", 20)]);
    train("./flat", &["./flat", "class-balanced sampling needs labels"]);
    train("glyphs", &["[28, 28, 1]", "[8, 8, 1]"]);
    // What the recipe needs wins over nothing, and what is asked for over the recipe.
    train("./flat?size=16", &["[16, 16, 1]", "[8, 8, 1]"]);
    let endless = ["train", "glyphs", "--recipe", "dcgan28", "--set", "class_balanced=true", "--out", "run"];
    run(folder.path(), &endless).fails(1, &["glyphs", "class-balanced sampling needs a set with an end"]);
    assert!(!folder.path().join("run").exists());
}

/// A set of so many grey images of `side`, with labels 0 to 9 in turn or none.
fn grey(folder: &Path, name: &str, count: u32, side: u32, labelled: bool) -> String {
    let path = folder.join(name);
    fs::create_dir(&path).unwrap();
    fs::write(path.join("train-images-idx3-ubyte"), idx_images(count, side)).unwrap();
    if labelled {
        fs::write(path.join("train-labels-idx1-ubyte"), idx_labels(count)).unwrap();
    }
    format!("./{name}")
}

#[test]
fn a_recipe_is_chosen_by_size_count_and_labels_and_can_be_trained() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let planned = |data: &str, more: &[&str]| {
        let ended = run(at, &[&["train", data, "--dry-run"], more].concat());
        let said = ended.err.clone();
        (said, ended.fine())
    };
    let many = grey(at, "many", 5_000, 64, true);
    let (said, plan) = planned(&many, &["--minutes", "90"]);
    for words in ["recipe r3-64 (5000 grey 64x64 images", "10 classes with labels"] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    assert!(plan.contains("shape = [64, 64, 1]") && plan.contains("classes = 10"), "{plan}");
    for minutes in [&[][..], &["--minutes", "5"]] {
        let (said, _) = planned(&many, minutes);
        assert!(said.contains("recipe dcgan64 (") && said.contains("cheap a step"), "{said}");
    }

    let classes = grey(at, "classes", 1_000, 32, true);
    let (said, plan) = planned(&classes, &["--minutes", "60"]);
    assert!(said.contains("recipe r3-32-cond (") && said.contains("10 classes with labels"), "{said}");
    assert!(plan.contains("classes = 10"), "{plan}");
    let (said, _) = planned(&format!("{classes}?limit=999"), &["--minutes", "60"]);
    assert!(said.contains("recipe r3-32 (") && said.contains("the smallest has 99 samples"), "{said}");
    let digits = grey(at, "digits", 1_000, 28, true);
    let (said, _) = planned(&digits, &[]);
    assert!(said.contains("recipe cdcgan28 ("), "{said}");

    // By name, and for the digits of the program where there are no data; the run keeps the reasons.
    for words in [&["--recipe", "auto"][..], &["glyphs", "--recipe", "auto"], &["glyphs"]] {
        let ended = run(at, &[&["train", "--dry-run", "--json"], words].concat());
        assert!(ended.err.contains("recipe cdcgan28 ("), "{words:?}: {}", ended.err);
        let plan: serde_json::Value = serde_json::from_str(&ended.fine()).unwrap();
        let about = plan["recipe"]["about"].as_str().unwrap();
        assert!(about.contains("chosen for glyphs: ") && about.contains("10 classes with labels"), "{about}");
    }
    let swept = ["sweep", "auto", "--data", "synthetic:ring8", "--images", "512", "--seeds", "1"];
    let ended = run(at, &swept);
    assert!(ended.err.contains("recipe mlp2d ("), "{}", ended.err);
    assert!(ended.fine().contains("mlp2d on synthetic:ring8"));

    // Few: trained for a step, as chosen.
    let few = grey(at, "few", 5, 64, false);
    let ended = run(at, &["train", &few, "--steps", "1", "--out", "run"]);
    for words in
        ["recipe fewshot-64 (5 grey 64x64 images", "a batch of 4 instead of 8: the largest power of two"]
    {
        assert!(ended.err.contains(words), "`{words}` is not in: {}", ended.err);
    }
    ended.fine();
    assert!(!checkpoints(&at.join("run")).is_empty());
}

#[test]
fn previews_show_a_row_a_class() {
    let folder = prepared();
    photos(folder.path(), "photos", &[("a", 2), ("bc", 9)]);
    let look = |data: &str, more: &[&str]| {
        run(folder.path(), &[&["data", "inspect", data, "--preview", "look.png"], more].concat()).fine();
        image::open(folder.path().join("look.png")).unwrap().to_rgb8()
    };
    let picture = look("./photos?size=8", &[]);
    // Three letters of margin; images of 8 pixels eight times enlarged, 2 apart; eight columns, two rows.
    let left = 3 * 8 + 2;
    assert_eq!(picture.dimensions(), (left + 8 * 66, 2 * 66 + 2));
    let cell = |row: u32, column: u32| *picture.get_pixel(left + column * 66 + 32, 2 + row * 66 + 32);
    let paper = *picture.get_pixel(left + 7 * 66 + 32, 34);
    assert_eq!(paper.0, [40, 40, 48], "two items of class a leave six places empty");
    assert!(cell(0, 1) != paper && cell(0, 2) == paper && cell(1, 7) != paper);
    assert!(cell(1, 0)[0] > cell(0, 0)[0] + 40, "the second class is the brighter one");
    let margin = (0..24)
        .flat_map(|x| (0..66).map(move |y| (x, y)))
        .filter(|&(x, y)| *picture.get_pixel(x, y) != paper);
    assert!(margin.count() > 5, "the name stands in front");
    assert_eq!(look("glyphs", &["--limit", "30"]).dimensions(), (2 * 8 + 2 + 8 * 58, 10 * 58 + 2));
    assert_eq!(look("synthetic:ring8", &[]).dimensions(), (640, 640));
    assert_eq!(look("stacked:glyphs?length=4000", &[]).height(), 40 * 58 + 2);
    fs::remove_file(folder.path().join("set/train-labels-idx1-ubyte")).unwrap();
    assert_eq!(look("./set", &[]).dimensions(), (8 * 66 + 2, 8 * 66 + 2));
    run(folder.path(), &["data", "inspect", "glyphs", "--preview", "no/folder/look.png"])
        .fails(1, &["no/folder/look.png", "there is no folder no/folder"]);
    run(folder.path(), &["data", "inspect", "glyphs", "--preview", "look.jpg"])
        .fails(1, &["look.jpg", "ends in .png"]);
    assert!(!folder.path().join("look.jpg").exists());
}

#[test]
fn stacks_and_cifar_files_open_by_name() {
    let folder = prepared();
    let out = run(folder.path(), &["data", "inspect", "stacked:./set?length=300"]).fine();
    assert!(out.contains("300 of 8 x 8 x 3") && out.contains("1000 classes, 000 to 999"), "{out}");
    let cifar = folder.path().join("cifar");
    fs::create_dir(&cifar).unwrap();
    let record = |label: u8| [label].into_iter().chain((0..3072).map(move |i| (i % 200) as u8 + label));
    fs::write(cifar.join("data_batch_1.bin"), (0..10).flat_map(record).collect::<Vec<u8>>()).unwrap();
    fs::write(cifar.join("test_batch.bin"), (0..3).flat_map(record).collect::<Vec<u8>>()).unwrap();
    let items = |more: &[&str]| {
        let out = run(folder.path(), &[&["data", "inspect", "./cifar", "--json"], more].concat()).fine();
        (json(&out)["items"].clone(), json(&out)["shape"].clone())
    };
    assert_eq!(items(&[]), (10.into(), serde_json::json!([32, 32, 3])));
    assert_eq!(items(&["--test"]).0, 3);
    fs::write(cifar.join("data_batch_1.bin"), vec![0; 5000]).unwrap();
    run(folder.path(), &["data", "inspect", "./cifar"])
        .fails(1, &["data_batch_1.bin", "its 5000 bytes are 1 of them and 1927"]);
}

#[test]
fn sources_are_listed_with_their_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let out = run(folder.path(), &["data", "sources"]).fine();
    for word in
        ["glyphs", "synthetic:grid25", "stacked", "cifar", "pictures", "idx", "skip-bad", "limit", "classes"]
    {
        assert!(out.contains(word), "{word}: {out}");
    }
    let out = run(folder.path(), &["data", "sources", "--json"]).fine();
    let pictures = out.lines().map(json).find(|line| line["name"] == "pictures").unwrap();
    assert!(pictures["parameters"]["fit"].as_str().unwrap().contains("crop"), "{pictures}");
    assert!(pictures["parameters"]["limit"].is_string());
}
