//! Augmentations from the command line: a preview, and a run that adapts their probability.

mod common;

use common::run;
use std::fs;

/// Options that make a run of `dcgan28` short.
const POLICY: &str = "augment.policy=[\"translation\",\"cutout\"]";

#[test]
fn a_preview_shows_samples_and_what_becomes_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let preview =
        ["train", "glyphs", "--recipe", "dcgan28", "--set", POLICY, "--preview-augment", "grid.png"];
    let ended = run(folder.path(), &preview);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.contains("grid.png") && ended.out.contains("probability of 1"), "{}", ended.out);
    let picture = image::open(folder.path().join("grid.png")).unwrap().to_luma8();
    // 28 pixels twice enlarged, eight in a row, 2 pixels apart.
    let step = 2 * 28 + 2;
    assert_eq!(picture.dimensions(), (8 * step + 2, 8 * step + 2));
    let cell = |row: u32, column: u32| -> Vec<u8> {
        let at = |i: u32| (2 + column * step + i % 56, 2 + row * step + i / 56);
        (0..56 * 56).map(|i| picture.get_pixel(at(i).0, at(i).1).0[0]).collect()
    };
    // The digits are 0 (black) on the left; half of a hole's picture is the middle grey.
    for row in 0..8 {
        let grey = |cell: &[u8]| cell.iter().filter(|&&v| v.abs_diff(128) <= 1).count();
        assert!(grey(&cell(row, 0)) < 100, "the sample itself comes first");
        for column in 1..8 {
            assert!(grey(&cell(row, column)) > 56 * 56 / 20, "row {row}, column {column}");
        }
    }
    assert!(fs::read_dir(folder.path()).unwrap().count() == 1, "no run is begun");
    let plain =
        run(folder.path(), &["train", "glyphs", "--recipe", "dcgan28", "--preview-augment", "no.png"]);
    assert_ne!(plain.code, Some(0));
    assert!(plain.err.contains("no augmentations to show"), "{}", plain.err);
    run(
        folder.path(),
        &["train", "glyphs", "--recipe", "dcgan28", "--set", POLICY, "--preview-augment", "a.jpg"],
    )
    .fails(1, &["a.jpg", "ends in .png"]);
}

#[test]
fn a_run_with_an_adapted_probability_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let train = |out: &str, images: &str| {
        let sets = ["train.batch=4", "augment={policy=[\"blit\",\"jitter\"],target=0.6,ramp=200}"];
        let arguments = ["train", "glyphs", "--recipe", "dcgan28", "--set", sets[0], "--set", sets[1]];
        run(folder.path(), &[&arguments[..], &["--images", images, "--out", out]].concat())
    };
    let whole = train("whole", "32");
    assert_eq!(whole.code, Some(0), "{}", whole.err);
    // The same run, cut in two by its length and told the whole length afterwards.
    let half = train("half", "16");
    assert_eq!(half.code, Some(0), "{}", half.err);
    let rest = run(folder.path(), &["train", "--resume", "half", "--images", "32"]);
    assert_eq!(rest.code, Some(0), "{}", rest.err);
    let state = |run: &str| {
        let checkpoints = common::checkpoints(&folder.path().join(run));
        common::tensors(&checkpoints[0])
    };
    let (whole, half) = (state("whole"), state("half"));
    assert_eq!(whole.len(), half.len());
    for name in ["augment/probability", "augment/sign"] {
        assert_eq!(whole[name], half[name], "{name}");
    }
    assert!(whole["augment/probability"] != whole["augment/sign"]);
}
