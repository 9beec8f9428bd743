//! The latent tools of `sample`, through the binary: what they write, and what they refuse.

mod common;

use common::*;
use image::{GrayImage, RgbImage};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Side of a cell of a sheet of 8x8 images: enlarged eight times, with a gap.
const CELL: u32 = 66;

fn picture(folder: &Path, name: &str) -> RgbImage {
    image::open(folder.join(name)).unwrap().to_rgb8()
}

/// The image in a cell of a sheet.
fn cell(sheet: &RgbImage, row: u32, column: u32) -> Vec<u8> {
    (0..64).map(|i| sheet.get_pixel(2 + column * CELL + i % 8 * 8, 2 + row * CELL + i / 8 * 8)[0]).collect()
}

fn size(sheet: &RgbImage) -> (u32, u32) {
    ((sheet.width() - 2) / CELL, (sheet.height() - 2) / CELL)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn sheets_are_functions_of_the_seed_and_begin_with_plain_samples() {
    let folder = trained();
    let at = folder.path();
    let sample = |more: &[&str]| run(at, &[&["sample", "run", "--seed", "3"], more].concat()).fine();
    sample(&["--n", "4", "--out", "plain.png"]);
    let plain = picture(at, "plain.png");
    let drawn: Vec<Vec<u8>> = (0..4).map(|i| cell(&plain, i / 2, i % 2)).collect();

    let out = sample(&["--interpolate", "4", "--steps", "5", "--out", "ways.png"]);
    assert!(out.contains("4 samples (slerp), 5 pictures each in ways.png"), "{out}");
    let ways = picture(at, "ways.png");
    assert_eq!(size(&ways), (5, 3));
    for row in 0..3 {
        let ends = (cell(&ways, row, 0), cell(&ways, row, 4));
        assert_eq!(ends, (drawn[row as usize].clone(), drawn[row as usize + 1].clone()));
        assert_ne!(cell(&ways, row, 2), drawn[row as usize]);
    }
    let straight = ["--interpolate", "4", "--steps", "5", "--way", "lerp", "--out", "straight.png"];
    sample(&straight);
    assert_ne!(picture(at, "straight.png"), ways);

    // Any number of threads, the same bytes; another seed, another sheet.
    for (tool, name) in [
        (&["--interpolate", "4", "--steps", "5"][..], "ways.png"),
        (&["--truncation-sweep=0.5,1"], "sweep.png"),
        (&["--directions", "3"], "strips.png"),
        (&["--walk", "3", "--frames", "6"], "walk.gif"),
    ] {
        sample(&[tool, &["--out", name, "--threads", "2"]].concat());
        sample(&[tool, &["--out", &format!("1-{name}"), "--threads", "1"]].concat());
        let bytes = |name: &str| fs::read(at.join(name)).unwrap();
        assert_eq!(bytes(name), bytes(&format!("1-{name}")));
        run(at, &[&["sample", "run", "--seed", "4"], tool, &["--out", name]].concat()).fine();
        assert_ne!(bytes(name), bytes(&format!("1-{name}")));
    }
}

#[test]
fn truncation_sweeps_and_directions_are_laid_out_as_they_say() {
    let folder = trained();
    let at = folder.path();
    let sample = |more: &[&str]| run(at, &[&["sample", "run"], more].concat()).fine();
    let out = sample(&["--truncation-sweep=0.3,2", "--n", "3", "--out", "sweep.png", "--json"]);
    assert_eq!(
        (json(&out)["truncations"].clone(), json(&out)["rows"].clone()),
        (serde_json::json!([0.3, 2.0]), 3.into())
    );
    let sweep = picture(at, "sweep.png");
    assert_eq!(size(&sweep), (2, 3));
    sample(&["--truncation", "0.3", "--n", "4", "--out", "some.png"]);
    let some = picture(at, "some.png");
    for row in 0..3 {
        assert_eq!(cell(&sweep, row, 0), cell(&some, row / 2, row % 2));
    }
    sample(&["--truncation-sweep", "--n", "2", "--out", "usual.png"]);
    assert_eq!(size(&picture(at, "usual.png")), (6, 2));

    let out = sample(&["--directions", "2", "--steps", "5", "--index", "3", "--out", "strips.png", "--json"]);
    let told = json(&out);
    assert_eq!((told["index"].clone(), told["directions"].clone()), (3.into(), 2.into()));
    let shares: Vec<f64> = told["shares"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).collect();
    assert!(shares[0] >= shares[1] && shares[1] > 0.0 && shares.iter().sum::<f64>() < 1.0, "{shares:?}");
    let strips = picture(at, "strips.png");
    assert_eq!(size(&strips), (5, 2));
    sample(&["--index", "3", "--scale", "2", "--out", "three.png"]);
    let three = image::open(at.join("three.png")).unwrap();
    assert_eq!((three.width(), three.height(), three.color()), (16, 16, image::ColorType::L8));
    let three: GrayImage = three.to_luma8();
    let whole: Vec<u8> = (0..64).map(|i| three.get_pixel(i % 8 * 2, i / 8 * 2)[0]).collect();
    for row in 0..2 {
        assert_eq!(cell(&strips, row, 2), whole, "the middle is the sample itself");
        assert_ne!(cell(&strips, row, 0), cell(&strips, row, 4));
    }
    sample(&["--n", "4", "--out", "plain.png"]);
    assert_eq!(whole, cell(&picture(at, "plain.png"), 1, 1));
}

/// A pair with styles, small and for the same images.
const STYLED: &str = r#"
name = "styled"
data = { shape = [8, 8, 1], default = "glyphs" }
latent = { dim = 6 }
train = { batch = 8, images = 160 }
loss = { name = "non-saturating" }

[generator]
model = "stylegan2"
options = { channel_base = 64, channel_max = 8, style_width = 8, mapping_layers = 1 }
optimizer = { lr = 2e-3 }

[discriminator]
model = "stylegan2"
options = { channel_base = 64, channel_max = 8, mapping_layers = 1 }
optimizer = { lr = 2e-3 }
"#;

#[test]
fn styles_are_truncated_to_their_mean_and_beyond() {
    let folder = prepared();
    let at = folder.path();
    fs::write(at.join("styled.toml"), STYLED).unwrap();
    run(at, &["train", "./set", "--recipe", "styled.toml", "--steps", "20", "--out", "run"]).fine();
    let sample = |more: &[&str]| run(at, &[&["sample", "run", "--n", "4"], more].concat());
    let drawn = |psi: &str| {
        let name = format!("at{psi}.png");
        sample(&["--truncation", psi, "--out", &name]).fine();
        (0..4).map(|i| cell(&picture(at, &name), i / 2, i % 2)).collect::<Vec<_>>()
    };
    sample(&["--out", "plain.png"]).fine();
    let [whole, mean, beyond] = [drawn("1"), drawn("0"), drawn("-1")];
    assert_eq!(picture(at, "plain.png"), picture(at, "at1.png"), "a factor of 1 moves nothing");
    assert!(mean.iter().all(|image| *image == mean[0]), "0 is the mean, whatever the latent");
    assert!(whole[0] != whole[1] && beyond[0] != beyond[1] && beyond != whole);
    // The same factors as columns of a sweep.
    sample(&["--truncation-sweep=-1,0,1", "--out", "sweep.png"]).fine();
    let sweep = picture(at, "sweep.png");
    for row in 0..4 {
        let cells = [0, 1, 2].map(|column| cell(&sweep, row as u32, column));
        assert_eq!(cells, [beyond[row].clone(), mean[row].clone(), whole[row].clone()], "row {row}");
    }
    for out in ["a.png", "made"] {
        sample(&["--truncation", "-100.5", "--out", out])
            .fails(1, &["truncation -100.5: expected a factor on styles from -100 to 100"]);
    }
    run(at, &["sample", "run", "--interpolate", "3", "--truncation", "101", "--out", "a.png"])
        .fails(1, &["truncation 101", "from -100 to 100"]);
    assert!(!at.join("a.png").exists() && !at.join("made").exists());
}

#[test]
fn walks_are_animations_of_the_frames_asked_for() {
    let folder = trained();
    let at = folder.path();
    let walk = ["sample", "run", "--walk", "3", "--frames", "9", "--fps", "10"];
    let out = run(at, &[&walk[..], &["--out", "walk.gif"]].concat()).fine();
    assert!(out.contains("9 frames, 0.9 s in walk.gif"), "{out}");
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(fs::File::open(at.join("walk.gif")).unwrap()).unwrap();
    assert_eq!((decoder.width(), decoder.height()), (256, 256));
    let mut frames = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        assert_eq!(frame.delay, 10);
        frames.push((0..64).map(|i| frame.buffer[4 * (i / 8 * 32 * 256 + i % 8 * 32)]).collect::<Vec<u8>>());
    }
    assert_eq!(frames.len(), 9);
    run(at, &["sample", "run", "--n", "4", "--out", "plain.png"]).fine();
    let plain = picture(at, "plain.png");
    for (i, frame) in [0, 3, 6].into_iter().enumerate() {
        assert_eq!(frames[frame], cell(&plain, i as u32 / 2, i as u32 % 2), "frame {frame}");
    }
    run(at, &[&walk[..], &["--scale", "2", "--out", "walk.webp"]].concat()).fine();
    let file = std::io::BufReader::new(fs::File::open(at.join("walk.webp")).unwrap());
    let mut decoder = image_webp::WebPDecoder::new(file).unwrap();
    assert_eq!((decoder.dimensions(), decoder.num_frames()), ((16, 16), 9));
    let mut pixels = vec![0; decoder.output_buffer_size().unwrap()];
    let channels = pixels.len() / 256;
    for frame in &frames {
        assert_eq!(decoder.read_frame(&mut pixels).unwrap(), 100);
        let found: Vec<u8> = (0..64).map(|i| pixels[channels * (i / 8 * 2 * 16 + i % 8 * 2)]).collect();
        assert_eq!(found, *frame);
    }
}

#[test]
fn a_projection_is_told_drawn_and_read_back() {
    let folder = trained();
    let at = folder.path();
    run(at, &["sample", "run", "--n", "2", "--seed", "9", "--out", "made"]).fine();
    let project = ["sample", "run", "--project", "made/00000.png", "made/00001.png", "--steps", "60"];
    let out = run(at, &[&project[..], &["--out", "found.png", "--json"]].concat()).fine();
    let told = json(&out);
    assert_eq!(told["latents"], "found.safetensors");
    let projections = told["projections"].as_array().unwrap();
    assert_eq!(projections.len(), 2);
    for projection in projections {
        assert!(
            projection["distance"].as_f64().unwrap() < projection["start"].as_f64().unwrap(),
            "{projection}"
        );
        assert_eq!(projection["ends"].as_array().unwrap().len(), 4);
    }
    let sheet = picture(at, "found.png");
    assert_eq!(size(&sheet), (2, 2));
    for row in 0..2u32 {
        let target = image::open(at.join(format!("made/0000{row}.png"))).unwrap().to_luma8();
        assert_eq!(cell(&sheet, row, 0), *target.as_raw());
    }
    let text = run(at, &[&project[..], &["--out", "found.png"]].concat()).fine();
    let words = [
        "made/00000.png: distance 0.",
        "(began at ",
        "square error",
        "in found.png, the latents in found.safetensors",
    ];
    assert!(words.iter().all(|word| text.contains(word)), "{text}");

    // The file holds what was found: drawn again, at the ends of a way, alone, and in a walk.
    run(at, &["sample", "run", "--latent", "found.safetensors", "--out", "again.png"]).fine();
    let again = picture(at, "again.png");
    assert_eq!(size(&again), (2, 1));
    let more = ["--latent", "found.safetensors", "--interpolate", "3", "--steps", "4", "--out", "ways.png"];
    run(at, &[&["sample", "run"], &more[..]].concat()).fine();
    let ways = picture(at, "ways.png");
    for row in 0..2 {
        assert_eq!(cell(&again, 0, row), cell(&sheet, row, 1));
        assert_eq!(cell(&ways, row, 0), cell(&sheet, row, 1));
    }
    // Nothing that is read is written over, nor a file in the latents' place that holds something else.
    let before = hashes(at);
    let newest = checkpoints(&at.join("run"))[0].with_extension("png").display().to_string();
    std::fs::write(at.join("mine.safetensors"), b"weights of another program").unwrap();
    let [one, mine] = [&["made/00000.png"][..], &["made/00001.png", "--latent", "again.safetensors"]];
    std::fs::copy(at.join("found.safetensors"), at.join("again.safetensors")).unwrap();
    for (images, to, words) in [
        (one, "made/00000.png", "made/00000.png: is read"),
        (one, &newest, ".safetensors: is read"),
        (one, "mine.png", "mine.safetensors: the latents would be written over this file"),
        (mine, "again.png", "again.safetensors: is read"),
    ] {
        run(at, &[&["sample", "run", "--steps", "1", "--project"], images, &["--out", to]].concat())
            .fails(1, &[words, "change --out"]);
    }
    assert!(before.iter().all(|(file, hash)| hashes(at)[file] == *hash));
    // A few steps of the optimizer never end farther away than they began.
    let short = ["sample", "run", "--project", "set/x.png", "--steps", "1", "--restarts", "1", "--json"];
    std::fs::copy(at.join("made/00001.png"), at.join("set/x.png")).unwrap();
    let told = json(&run(at, &[&short[..], &["--out", "short.png"]].concat()).fine());
    let [end, start] = ["distance", "start"].map(|key| told["projections"][0][key].as_f64().unwrap());
    assert!(end <= start, "{told}");
    // Behind the file's latents come those of the seed.
    run(at, &["sample", "run", "--index", "2", "--out", "two.png"]).fine();
    let two = image::open(at.join("two.png")).unwrap().to_luma8();
    assert_eq!(cell(&ways, 1, 3), *two.as_raw());
}

#[test]
fn tools_exclude_each_other_and_options_know_their_tool() {
    let folder = trained();
    let at = folder.path();
    let refused = |more: &[&str], words: &[&str]| {
        run(at, &[&["sample", "run", "--out", "a.png"], more].concat()).fails(2, words)
    };
    refused(&["--interpolate", "3", "--walk", "3"], &["--interpolate and --walk", "give one of them"]);
    refused(&["--index", "3", "--by-class"], &["--by-class and --index", "give one of them"]);
    refused(&["--mix", "2x2", "--project", "x.png"], &["--mix and --project"]);
    refused(
        &["--steps", "3"],
        &["--steps goes with --interpolate, --directions, --project, not with plain samples"],
    );
    refused(&["--frames", "3", "--interpolate", "3"], &["--frames goes with --walk, not with --interpolate"]);
    refused(
        &["--n", "3", "--directions", "3"],
        &["--n goes with plain samples, --truncation-sweep, --by-class"],
    );
    refused(&["--crossover", "1"], &["--crossover goes with --mix"]);
    refused(
        &["--truncation", "1", "--truncation-sweep"],
        &["--truncation does not go with --truncation-sweep"],
    );
    refused(&["--truncation", "1", "--project", "x.png"], &["--truncation", "cannot be used with"]);
    refused(&["--interpolate", "3", "--steps", "1"], &["--steps 1", "at least 2"]);
    refused(&["--interpolate", "1"], &["--interpolate", "1"]);
    refused(&["--mix", "4"], &["--mix", "ROWSxCOLUMNS"]);
    refused(&["--way", "round"], &["--way", "slerp"]);
    refused(&["--truncation-sweep=1,x"], &["--truncation-sweep", "`x` is no number"]);
    refused(&["--walk", "3", "--fps", "99"], &["--fps", "0.1 to 50"]);
    refused(&["--walk", "9", "--frames", "8"], &["--frames 8", "9 samples", "Usage: ganymede sample"]);
    refused(&["--index", "-1"], &["--index", "whole number from 0"]);
    assert!(!at.join("a.png").exists());
}

#[test]
fn what_a_run_cannot_show_is_refused_with_the_reason() {
    let folder = trained();
    let at = folder.path();
    let refused = |more: &[&str], words: &[&str]| {
        run(at, &[&["sample", "run"], more].concat()).fails(1, words);
    };
    refused(&["--mix", "2x2", "--out", "a.png"], &["recipe `tiny` has no styles", "the latent itself"]);
    refused(&["--interpolate", "3", "--way", "styles", "--out", "a.png"], &["no styles"]);
    refused(&["--by-class", "--out", "a.png"], &["recipe `tiny` has no classes", "conditional"]);
    refused(&["--truncation-sweep=-1", "--out", "a.png"], &["truncation -1", "above 0"]);
    refused(&["--directions", "7", "--out", "a.png"], &["7 directions", "6 dimensions"]);
    refused(&["--walk", "3", "--out", "a.png"], &["a.png", ".gif or .webp"]);
    refused(&["--interpolate", "3", "--out", "a.gif"], &["a.gif", ".png"]);
    refused(&["--walk", "3", "--scale", "1024", "--out", "a.gif"], &["a.gif", "8192 pixels a side", "4096"]);
    refused(&["--interpolate", "300", "--out", "a.png"], &["a.png", "pixels", "fewer"]);
    refused(&["--index", "0", "--out", "set/x/a.png"], &["set/x/a.png"]);
    refused(&["--project", "absent.png", "--out", "a.png"], &["absent.png: cannot be read"]);
    refused(&["--latent", "tiny.toml", "--out", "a.png"], &["tiny.toml: not a file of latents", "--project"]);
    refused(&["--latent", "absent", "--out", "a.png"], &["absent: cannot read the latents"]);
    let checkpoint = checkpoints(&at.join("run"))[0].display().to_string();
    refused(&["--latent", &checkpoint, "--out", "a.png"], &["not a file of latents"]);
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1, 5], &[0; 20]).unwrap();
    fs::write(at.join("five.safetensors"), safetensors::serialize([("latent", view)], None).unwrap())
        .unwrap();
    refused(&["--latent", "five.safetensors", "--out", "a.png"], &["five.safetensors", "[5]", "[6]"]);
    assert!(!at.join("a.png").exists() && !at.join("a.gif").exists());

    let points = "name = \"points\"\ndata = { shape = [2], default = \"synthetic:ring8\" }\nlatent = { dim = 2 }\n\
                  train = { batch = 8, images = 80 }\nloss = { name = \"non-saturating\" }\n\
                  generator = { layers = [\"dense 2\"], optimizer = { lr = 1e-3 } }\n\
                  discriminator = { layers = [\"dense 1\"], optimizer = { lr = 1e-3 } }\n";
    fs::write(at.join("points.toml"), points).unwrap();
    run(at, &["train", "--recipe", "points.toml", "--steps", "2", "--out", "flat"]).fine();
    run(at, &["sample", "flat", "--walk", "3", "--out", "a.gif"])
        .fails(1, &["shape [2], not images", "plain samples"]);
}

/// A recipe whose generator has batch norm and keeps its best checkpoint.
fn with_best(folder: &Path) {
    let text = TINY.replace("[ema]", "[best]\nmetric = \"frechet\"\n\n[ema]");
    fs::write(folder.join("best.toml"), text).unwrap();
}

#[test]
fn every_tool_draws_from_the_weights_that_plain_samples_come_from() {
    let folder = prepared();
    let at = folder.path();
    with_best(at);
    let cache = ("GANYMEDE_CACHE", "cache");
    let train = ["train", "./set", "--recipe", "best.toml", "--steps", "20", "--out", "run"];
    run_with(at, cache, &train).fine();
    // The best is another checkpoint than the newest, here one that another run ended with.
    let other = ["train", "./set", "--recipe", "best.toml", "--steps", "9", "--seed", "5", "--out", "other"];
    run_with(at, cache, &other).fine();
    fs::copy(&checkpoints(&at.join("other"))[0], at.join("run/checkpoints/best.safetensors")).unwrap();
    let mut seen = Vec::new();
    for (how, batches) in [
        (&[] as &[&str], 0),
        (&["--best"], 0),
        (&["--standing-statistics", "3"], 3),
        (&["--best", "--standing-statistics", "3"], 3),
    ] {
        let sample = |more: &[&str]| run(at, &[&["sample", "run"], more, how].concat()).fine();
        sample(&["--n", "4", "--out", "plain.png"]);
        let drawn = cell(&picture(at, "plain.png"), 1, 1);
        let told = json(&sample(&["--index", "3", "--out", "three.png", "--json"]));
        assert_eq!(told["standing_statistics"], batches);
        let three = image::open(at.join("three.png")).unwrap().to_luma8();
        assert_eq!(*three.as_raw(), drawn, "{how:?}");
        sample(&["--interpolate", "4", "--steps", "2", "--out", "ways.png"]);
        assert_eq!(cell(&picture(at, "ways.png"), 2, 1), drawn, "{how:?}");
        assert!(!seen.contains(&drawn), "{how:?} changes nothing");
        seen.push(drawn);
    }
    let scored = |more: &[&str]| {
        let words = ["eval", "run", "--extractor", "pixels", "--metrics", "frechet", "--n", "64", "--json"];
        json(&run(at, &[&words, more].concat()).fine())["source"].clone()
    };
    assert_eq!((&scored(&[])["step"], &scored(&["--best"])["step"]), (&20.into(), &9.into()));
    run(at, &["sample", "run/checkpoints/best.safetensors", "--best", "--index", "3", "--out", "a.png"])
        .fails(1, &["no best checkpoint"]);
    fs::remove_file(at.join("run/checkpoints/best.safetensors")).unwrap();
    run(at, &["sample", "run", "--best", "--index", "3", "--out", "a.png"]).fails(1, &["no best checkpoint"]);
}

#[test]
fn standing_statistics_of_the_recipe_hold_for_tools_and_scores() {
    let folder = trained();
    let at = folder.path();
    // The same weights, of a recipe that asks for standing statistics.
    let text = TINY.replace("batch = 8", "batch = 8\nstanding_statistics = 4");
    fs::write(at.join("standing.toml"), text).unwrap();
    run(at, &["train", "./set", "--recipe", "standing.toml", "--steps", "20", "--out", "standing"]).fine();
    let three = |from: &str, more: &[&str]| {
        run(at, &[&["sample", from, "--index", "3", "--out", "three.png"], more].concat()).fine();
        image::open(at.join("three.png")).unwrap().to_luma8().into_raw()
    };
    let running = three("run", &[]);
    assert_ne!(three("standing", &[]), running);
    assert_eq!(three("standing", &["--standing-statistics", "0"]), running);
    assert_eq!(three("standing", &[]), three("run", &["--standing-statistics", "4"]));
    let scored = |from: &str, more: &[&str]| {
        let words = ["eval", from, "--extractor", "pixels", "--metrics", "frechet", "--n", "64", "--json"];
        let told = json(&run(at, &[&words, more].concat()).fine());
        (told["scores"][0]["value"].as_f64().unwrap(), told["source"]["standing_statistics"].as_u64())
    };
    let (running, standing) = (scored("run", &[]), scored("standing", &[]));
    assert_eq!((running.1, standing.1), (None, Some(4)));
    assert_ne!(standing.0, running.0, "scores are of the samples that are drawn");
    assert_eq!(scored("run", &["--standing-statistics", "4"]), standing);
    assert_eq!(scored("standing", &["--standing-statistics", "0"]), running);
    fs::create_dir(at.join("made")).unwrap();
    run(at, &["eval", "made", "--data", "./set", "--best"]).fails(1, &["made: not a run", "--best"]);
}

#[test]
fn sheets_that_fit_no_picture_are_refused_before_anything_is_made() {
    let folder = prepared();
    let at = folder.path();
    conditional_recipe(at, 10);
    run(at, &["train", "./set", "--recipe", "cond.toml", "--steps", "2", "--out", "run"]).fine();
    run(at, &["sample", "run", "--by-class", "--n", "4", "--out", "a.png"]).fine();
    assert_eq!(size(&picture(at, "a.png")), (4, 10));
    // Ten million latents of six numbers, ten times: gigabytes, were they made.
    run(at, &["sample", "run", "--by-class", "--n", "10000000", "--out", "b.png"])
        .fails(1, &["b.png", "100000000 images", "fewer"]);
}

#[test]
fn images_are_projected_as_data_are_read() {
    let folder = trained();
    let at = folder.path();
    let red = RgbImage::from_pixel(8, 8, image::Rgb([255, 0, 0]));
    red.save(at.join("red.png")).unwrap();
    run(at, &["sample", "run", "--project", "red.png", "--steps", "2", "--out", "found.png"]).fine();
    assert_eq!(cell(&picture(at, "found.png"), 0, 0), [76; 64], "ITU-R BT.601");
    let mut bytes = std::io::Cursor::new(Vec::new());
    red.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
    let bytes = bytes.into_inner();
    fs::write(at.join("cut.jpg"), &bytes[..bytes.len() - 2]).unwrap();
    for verb in
        [&["sample", "run", "--out", "a.png", "--project", "cut.jpg"][..], &["judge", "run", "cut.jpg"]]
    {
        run(at, verb).fails(1, &["cut.jpg", "truncated"]);
    }
}
