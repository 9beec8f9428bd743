//! Folders of pictures: what is read, what is made of it, and everything that can be wrong.

#[path = "common/pictures.rs"]
mod made;

use ganymede_data::{DataError, Dataset, OpenOptions, Split, inspect, open, read_picture};
use image::ImageFormat;
use made::{encoded, jpeg, picture, png, png_file, with_orientation};
use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};
use tempfile::TempDir;

/// A folder with these files; names may hold sub-folders.
fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn spec(folder: &TempDir, parameters: &str) -> String {
    format!("{}{parameters}", folder.path().display())
}

fn opened(folder: &TempDir, parameters: &str) -> Dataset {
    open(&spec(folder, parameters), &OpenOptions::default()).unwrap()
}

#[track_caller]
fn refused(folder: &TempDir, parameters: &str, words: &[&str]) {
    let error = open(&spec(folder, parameters), &OpenOptions::default()).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

/// Item `index` as bytes, and its label if there are labels.
fn item(set: &Dataset, index: u64) -> (Vec<u8>, Option<i32>) {
    let (mut data, mut label) = (vec![0.0; set.elements()], [0]);
    let labelled = set.classes().is_some();
    set.fill(&[index], &mut data, labelled.then_some(&mut label[..])).unwrap();
    let byte = |v: &f32| ((v + 1.0) * 127.5).round() as u8;
    (data.iter().map(byte).collect(), labelled.then_some(label[0]))
}

fn count(set: &Dataset, what: &str) -> u64 {
    set.reading().counts.iter().find(|(words, _)| words.contains(what)).map_or(0, |(_, count)| *count)
}

#[test]
fn a_flat_folder_is_unlabelled_and_in_the_order_of_names() {
    let dir = folder(&[
        ("b.png", png(6, 4, 2)),
        ("a.PNG", png(6, 4, 1)),
        ("c.png", png(6, 4, 3)),
        (".d.png", vec![1]),
    ]);
    let set = opened(&dir, "");
    assert_eq!((set.len(), set.shape()), (Some(3), &[4, 6, 3][..]));
    assert!(set.classes().is_none());
    for number in 1..=3 {
        assert_eq!(item(&set, u64::from(number) - 1).0, picture(6, 4, number).to_rgb8().into_raw());
    }
    assert_eq!(set.reading().counts, [("PNG files".to_owned(), 3)]);
    assert_eq!(set.held_bytes(), 3 * 72);
}

#[test]
fn sub_folders_are_classes_in_the_order_of_their_names() {
    let dir = folder(&[
        ("zebra/1.png", png(4, 4, 1)),
        ("ape/2.png", png(4, 4, 2)),
        ("ape/1.png", png(4, 4, 3)),
        ("ape/notes.txt", b"two apes".to_vec()),
        (".git/x.png", vec![0]),
        ("__MACOSX/x.png", vec![0]),
    ]);
    let set = opened(&dir, "");
    assert_eq!(set.classes().unwrap(), ["ape", "zebra"]);
    let items: Vec<_> = (0..3).map(|index| item(&set, index)).collect();
    let expected =
        [(3, 0), (2, 0), (1, 1)].map(|(n, label)| (picture(4, 4, n).to_rgb8().into_raw(), Some(label)));
    assert_eq!(items, expected);
    assert_eq!(count(&set, "ignored"), 1);
    let report = inspect(&set).unwrap();
    assert_eq!(report.classes.unwrap(), [("ape".to_owned(), 2), ("zebra".to_owned(), 1)]);
}

#[test]
fn the_reader_s_shape_and_the_parameters_choose_the_size() {
    let dir = folder(&[("1.png", png(40, 30, 1)), ("2.jpg", jpeg(10, 50, 2))]);
    let shape = |parameters: &str, shape: &[usize]| {
        let options = OpenOptions::default().for_shape(shape);
        open(&spec(&dir, parameters), &options).unwrap().shape().to_vec()
    };
    assert_eq!(shape("", &[16, 16, 3]), [16, 16, 3]);
    assert_eq!(shape("", &[8, 20, 1]), [8, 20, 1]);
    assert_eq!(shape("?size=12", &[16, 16, 1]), [12, 12, 1]);
    assert_eq!(shape("?size=20x10", &[16, 16, 3]), [10, 20, 3], "width before height, as pictures are named");
    assert_eq!(shape("?channels=4", &[16, 16, 3]), [16, 16, 4]);
    // Points ask for nothing; mixed sizes then become 64 x 64.
    assert_eq!(shape("", &[2]), [64, 64, 3]);
    let set = opened(&dir, "");
    assert_eq!((set.shape(), count(&set, "cropped")), (&[64, 64, 3][..], 2));
    assert_eq!((count(&set, "enlarged to 64 x 64"), count(&set, "reduced")), (2, 0));
    let set = opened(&dir, "?size=9&fit=stretch");
    assert_eq!((count(&set, "stretched"), count(&set, "reduced to 9 x 9")), (2, 2));
    let set = opened(&dir, "?size=8&fit=pad");
    assert_eq!(count(&set, "bars"), 2);
    assert_eq!(item(&set, 1).0[..3], [0, 0, 0]);
}

#[test]
fn kinds_are_converted_by_the_stated_policy_and_counted() {
    let grey16: image::DynamicImage = image::ImageBuffer::from_pixel(4, 4, image::Luma([0x8000u16])).into();
    let alpha: image::DynamicImage =
        image::ImageBuffer::from_pixel(4, 4, image::Rgba([0u8, 0, 0, 51])).into();
    let palette = png_file(
        (4, 4),
        8,
        3,
        &[(b"PLTE", vec![10, 20, 30])],
        &[vec![0; 4], vec![0; 4], vec![0; 4], vec![0; 4]],
    );
    let dir = folder(&[
        ("1.png", encoded(&grey16, ImageFormat::Png)),
        ("2.png", encoded(&alpha, ImageFormat::Png)),
        ("3.png", palette),
        ("4.jpg", with_orientation(&jpeg(4, 4, 1), 3)),
    ]);
    let set = opened(&dir, "");
    assert_eq!(set.shape(), [4, 4, 3]);
    // 0x8000 of 0xffff is 127.5 of 255 and a hair more.
    assert!(item(&set, 0).0.iter().all(|&b| b == 128));
    // A fifth of black on white.
    assert!(item(&set, 1).0.iter().all(|&b| b == 204));
    assert_eq!(item(&set, 2).0[..3], [10, 20, 30]);
    for (what, n) in [
        ("16 bits", 1),
        ("laid on white", 1),
        ("palette", 1),
        ("upright", 1),
        ("grey, repeated", 1),
        ("JPEG", 1),
    ] {
        assert_eq!(count(&set, what), n, "{what}: {:?}", set.reading());
    }
    let set = opened(&dir, "?channels=4");
    assert_eq!((&item(&set, 1).0[..4], &item(&set, 2).0[..4]), (&[0, 0, 0, 51][..], &[10, 20, 30, 255][..]));
    assert_eq!((count(&set, "kept"), count(&set, "made opaque")), (1, 3));
    let set = opened(&dir, "?channels=1");
    assert_eq!(
        (set.shape(), item(&set, 2).0[0]),
        (&[4, 4, 1][..], 18),
        ".299 * 10 + .587 * 20 + .114 * 30 = 18.15"
    );
    assert_eq!(count(&set, "made grey"), 3);
    // Grey pictures alone make a grey set.
    let grey = folder(&[("1.png", encoded(&picture(5, 5, 1).to_luma8().into(), ImageFormat::Png))]);
    assert_eq!(opened(&grey, "").shape(), [5, 5, 1]);
}

#[test]
fn content_and_size_decide_the_hash_and_threads_do_not() {
    let files: Vec<(String, Vec<u8>)> =
        (0..40).map(|i| (format!("{}/{i:02}.png", i % 3), png(9 + i % 5, 9, i))).collect();
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let (dir, twin) = (folder(&files), folder(&files));
    let hash = |dir: &TempDir, parameters: &str| opened(dir, parameters).hash();
    let first = hash(&dir, "?size=8");
    for _ in 0..5 {
        assert_eq!(hash(&twin, "?size=8"), first);
    }
    assert_ne!(hash(&dir, "?size=9"), first);
    assert_ne!(hash(&dir, "?size=8&fit=stretch"), first);
    fs::write(twin.path().join("1/01.png"), png(9, 9, 200)).unwrap();
    assert_ne!(hash(&twin, "?size=8"), first);
}

#[test]
fn bad_files_are_refused_together_or_skipped_and_listed() {
    let mut changed = png(8, 8, 3);
    let middle = changed.len() / 2;
    changed[middle] ^= 0x10;
    let dir = folder(&[
        ("a/1.png", png(8, 8, 1)),
        ("a/2.jpg", jpeg(8, 8, 2)[..300].to_vec()),
        ("a/3.png", changed),
        ("b/4.gif", b"GIF89a\x01\0\x01\0\0\0\0".to_vec()),
        ("b/5.jpg", png(8, 8, 5)),
        ("b/6.png", png_file((30_000, 30_000), 16, 6, &[], &[vec![0; 9]])),
    ]);
    refused(&dir, "?size=8", &["a/2.jpg", "truncated", "and 3 more pictures", "--skip-bad"]);
    let set = opened(&dir, "?size=8&skip-bad");
    assert_eq!(set.len(), Some(2));
    let skipped = &set.reading().skipped;
    let names: Vec<_> = skipped.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["2.jpg", "3.png", "4.gif", "6.png"]);
    assert!(skipped[2].1.contains("Gif image"), "{skipped:?}");
    assert!(skipped[3].1.contains("30000 x 30000"), "{skipped:?}");
    // A PNG named .jpg is a PNG; what follows a skipped file moves up with its own label.
    assert_eq!(item(&set, 1), (picture(8, 8, 5).to_rgb8().into_raw(), Some(1)));
    let report = inspect(&set).unwrap().to_string();
    assert!(
        report.contains("4  that cannot be read") && report.contains("4.gif: is a Gif image"),
        "{report}"
    );
    // The same without a size, where headers are read first.
    refused(&dir, "", &["a/2.jpg", "truncated"]);
    assert_eq!(opened(&dir, "?skip-bad").shape(), [8, 8, 3]);

    let all_bad = folder(&[("a/1.png", png(8, 8, 1)), ("b/2.png", b"no picture".to_vec())]);
    refused(&all_bad, "?skip-bad&size=8", &["/b", "none of its pictures can be read"]);
    let bad = folder(&[("1.png", b"no picture".to_vec())]);
    refused(&bad, "?skip-bad&size=8", &["none of its 1 pictures", "neither PNG nor JPEG"]);
}

#[test]
fn folders_that_make_no_set_say_why() {
    refused(
        &folder(&[("a/1.png", png(4, 4, 1)), ("b/notes.txt", vec![])]),
        "",
        &["/b", "class without pictures"],
    );
    refused(
        &folder(&[("a/1.png", png(4, 4, 1)), ("0.png", png(4, 4, 1))]),
        "",
        &["both pictures (0.png) and sub-folders (a)"],
    );
    refused(
        &folder(&[("a/b/1.png", png(4, 4, 1)), ("a/2.png", png(4, 4, 1))]),
        "",
        &["a/b", "two levels below"],
    );
    refused(&folder(&[("notes.txt", vec![1])]), "?size=8", &["holds no pictures", "among 1 other files"]);
    refused(&folder(&[]), "?size=8", &["holds no pictures (.png, .jpg, .jpeg)"]);
    // Without any sign of pictures the answer names all that was looked for.
    refused(&folder(&[]), "", &["no data at", "train-images-idx3-ubyte", "no pictures", "CIFAR"]);
    let missing = folder(&[("pictures/1.png", png(4, 4, 1))]);
    refused(&missing, "/pictrues?size=8", &["no data at", "a folder of pictures", "/pictures"]);
    let test = open(&spec(&missing, ""), &OpenOptions { split: Split::Test, ..OpenOptions::default() });
    let error = test.unwrap_err();
    assert!(matches!(error, DataError::Missing { .. }), "{error:?}");
    assert!(error.to_string().contains("a held-out part, which would be a sub-folder"), "{error}");
}

#[test]
fn parameters_are_checked() {
    let dir = folder(&[("1.png", png(4, 4, 1))]);
    for (parameters, words) in [
        ("?size=0", "a side such as 64, or WIDTHxHEIGHT"),
        ("?size=4097", "up to 4096"),
        ("?size=8x", "WIDTHxHEIGHT"),
        ("?size=8x8x8", "WIDTHxHEIGHT"),
        ("?channels=2", "1 (grey), 3 (RGB) or 4 (RGBA)"),
        ("?fit=fill", "`crop`, `stretch` or `pad`"),
        ("?skip-bad=yes", "the key alone"),
        ("?sice=8", "did you mean `size`?"),
        ("?size=8&size=9", "the key once"),
    ] {
        refused(&dir, parameters, &[words]);
    }
    let options = OpenOptions::default().for_shape(&[8, 8, 7]);
    let error = open(&spec(&dir, ""), &options).unwrap_err().to_string();
    assert!(error.contains("1, 3 or 4 channels, and 7 are asked for"), "{error}");
}

#[test]
fn a_set_larger_than_memory_is_given_to_is_refused_before_it_is_decoded() {
    let dir = folder(&[("1.png", png(4, 4, 1))]);
    for i in 2..300 {
        // Files that would be errors if they were decoded first.
        fs::write(dir.path().join(format!("{i}.png")), b"").unwrap();
    }
    refused(
        &dir,
        "?size=4096&channels=3",
        &["299 images of 4096 x 4096 x 3", "15.0 GB", "8.6 GB is the most", "?size=64"],
    );
}

#[test]
fn parts_are_told_from_classes() {
    let dir = folder(&[
        ("train/cat/1.png", png(4, 4, 1)),
        ("train/dog/2.png", png(4, 4, 2)),
        ("val/cat/3.png", png(4, 4, 3)),
        ("val/dog/4.png", png(4, 4, 4)),
        ("val/dog/5.png", png(4, 4, 5)),
    ]);
    let part = |split| open(&spec(&dir, ""), &OpenOptions { split, ..OpenOptions::default() }).unwrap();
    let (train, test) = (part(Split::Train), part(Split::Test));
    assert_eq!((train.len(), test.len()), (Some(2), Some(3)));
    for set in [&train, &test] {
        assert_eq!(set.classes().unwrap(), ["cat", "dog"]);
    }
    assert_eq!(item(&test, 2), (picture(4, 4, 5).to_rgb8().into_raw(), Some(1)));
    let only = folder(&[("train/1.png", png(4, 4, 1))]);
    let error = open(&spec(&only, ""), &OpenOptions { split: Split::Test, ..OpenOptions::default() });
    assert!(error.unwrap_err().to_string().contains("a sub-folder test, val, valid, validation"));
    // Beside other classes `train` is one of them: the vehicle.
    let vehicles = folder(&[("train/1.png", png(4, 4, 1)), ("car/1.png", png(4, 4, 1))]);
    assert_eq!(opened(&vehicles, "").classes().unwrap(), ["car", "train"]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles() {
    use std::os::unix::fs::symlink;
    let real = folder(&[("x/1.png", png(4, 4, 1)), ("y/2.png", png(4, 4, 2))]);
    let dir = folder(&[("a/1.png", png(4, 4, 3))]);
    symlink(real.path().join("y"), dir.path().join("b")).unwrap();
    symlink(real.path().join("x/1.png"), dir.path().join("a/2.png")).unwrap();
    let set = opened(&dir, "");
    assert_eq!((set.len(), set.classes().unwrap()), (Some(3), &["a".to_owned(), "b".to_owned()][..]));

    let up = folder(&[("a/1.png", png(4, 4, 3))]);
    symlink(up.path(), up.path().join("b")).unwrap();
    refused(&up, "", &["/b", "a link back up"]);
    let twice = folder(&[("a/1.png", png(4, 4, 3))]);
    symlink(twice.path().join("a"), twice.path().join("b")).unwrap();
    refused(&twice, "", &["/b", "the same folder as", "/a"]);
    let own = folder(&[("1.png", png(4, 4, 3))]);
    symlink(own.path().join("2.png"), own.path().join("2.png")).unwrap();
    refused(&own, "", &["2.png", "cannot read"]);
    let nowhere = folder(&[("1.png", png(4, 4, 3))]);
    symlink("/nonexistent/place.png", nowhere.path().join("2.png")).unwrap();
    refused(&nowhere, "?skip-bad", &["2.png", "cannot read"]);
}

#[test]
fn progress_is_told_to_the_last_file() {
    static LAST: AtomicU64 = AtomicU64::new(0);
    static CALLS: AtomicU64 = AtomicU64::new(0);
    fn told(done: u64, total: u64) {
        assert!(done <= total && total == 30);
        LAST.fetch_max(done, Ordering::SeqCst);
        CALLS.fetch_add(1, Ordering::SeqCst);
    }
    let dir = folder(&[]);
    (0..30).for_each(|i| fs::write(dir.path().join(format!("{i}.png")), png(4, 4, i)).unwrap());
    open(&spec(&dir, "?size=4"), &OpenOptions { progress: Some(told), ..OpenOptions::default() }).unwrap();
    assert_eq!((LAST.load(Ordering::SeqCst), CALLS.load(Ordering::SeqCst)), (30, 30));
}

#[test]
fn a_part_of_a_folder_is_a_part_of_its_files() {
    let files: Vec<(String, Vec<u8>)> =
        (0..30).map(|i| (format!("{}/{i:02}.png", i % 3), png(4, 4, i))).collect();
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let dir = folder(&files);
    let set = opened(&dir, "?limit=6&classes=1,2");
    assert_eq!((set.len(), set.held_bytes()), (Some(6), 6 * (48 + 2)), "what is left out takes no memory");
    assert_eq!(set.labels_of_all().unwrap(), [0, 0, 0, 1, 1, 1]);
    assert_eq!(set.reading().counts, [("PNG files".to_owned(), 30)]);
}

/// The folder named by GANYMEDE_DATA, where it is set.
fn shared(name: &str) -> Option<PathBuf> {
    let root = env::var_os("GANYMEDE_DATA")?;
    Some(Path::new(&root).join(name))
}

/// Odd files of other projects, where GANYMEDE_DATA names the folder that holds `odd-images`, `photos` and `facades`.
#[test]
fn odd_files_are_read_or_refused_as_they_should_be() {
    let (Some(odd), Some(photos), Some(facades)) =
        (shared("odd-images"), shared("photos"), shared("facades"))
    else {
        println!("GANYMEDE_DATA is not set: odd files were not checked");
        return;
    };
    let open_at = |path: &Path, parameters: &str| {
        open(&format!("{}{parameters}", path.display()), &OpenOptions::default())
    };
    // PngSuite: its invalid files have names in x.
    let set = open_at(&odd.join("pngsuite"), "?size=32&skip-bad").unwrap();
    let bad = |set: &Dataset| {
        let names = set.reading().skipped.iter();
        names.map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let names = bad(&set);
    assert!(
        names.len() == 8 && names.iter().all(|name| name.starts_with('x')),
        "{:?}",
        set.reading().skipped
    );
    assert!(matches!(open_at(&odd.join("pngsuite"), ""), Err(DataError::Picture { more: 7, .. })));
    // Pillow's: cut and damaged files, formats that are not read, files whose Exif block is broken but whose pixels are not.
    let set = open_at(&odd.join("pillow"), "?size=32&skip-bad").unwrap();
    let names = bad(&set);
    for name in [
        "broken.png",
        "broken_data_stream.png",
        "truncated_image.png",
        "hopper.gif",
        "hopper.tif",
        "hopper.bmp",
    ] {
        assert!(names.iter().any(|bad| bad == name), "{name}: {names:?}");
    }
    for name in
        ["hopper.png", "hopper_gray.jpg", "invalid-exif.jpg", "hopper_orientation_6.jpg", "1_trns.png"]
    {
        assert!(!names.iter().any(|bad| bad == name), "{name}: {:?}", set.reading().skipped);
    }
    assert_eq!(count(&set, "upright"), 5);
    let set = open_at(&odd.join("made"), "?size=32&skip-bad").unwrap();
    assert_eq!(bad(&set), ["bad-crc.png", "truncated-header.jpg"]);
    // Landscapes and portraits, five times over: upright they look alike.
    let set = open_at(&odd.join("exif-orientation"), "?size=24x16&fit=pad").unwrap();
    let (first, third) = (item(&set, 0).0, item(&set, 1).0);
    let apart: f64 =
        first.iter().zip(&third).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / first.len() as f64;
    assert!(apart < 8.0, "orientations 1 and 3 of one scene differ by {apart} levels");
    let set = open_at(&photos, "?size=32").unwrap();
    assert_eq!(set.len(), Some(55));
    assert_eq!(set.classes().unwrap(), ["Japanese_Cherry", "fork", "misc", "scissors"]);
    assert_eq!((count(&set, "JPEG"), count(&set, "PNG"), count(&set, "laid on white")), (54, 1, 1));
    let test = OpenOptions { split: Split::Test, ..OpenOptions::default() };
    let spec = facades.display().to_string();
    assert_eq!(open(&spec, &OpenOptions::default()).unwrap().shape(), [256, 512, 3]);
    assert_eq!(open(&spec, &test).unwrap().len(), Some(10));
}

#[test]
fn one_picture_is_read_as_those_of_a_set_are() {
    let rows = vec![vec![200, 10, 30, 128, 9, 9, 9, 0], vec![1, 2, 3, 255, 250, 250, 0, 77]];
    let files = [
        ("1.png", png_file((2, 2), 8, 6, &[], &rows)),
        ("2.png", png(2, 2, 3)),
        ("3.jpg", with_orientation(&jpeg(2, 2, 5), 6)),
    ];
    let dir = folder(&files);
    for channels in [1, 3, 4] {
        let set = opened(&dir, &format!("?channels={channels}"));
        for (index, (name, _)) in (0..).zip(&files) {
            let mut expected = vec![0.0; 4 * channels];
            set.fill(&[index], &mut expected, None).unwrap();
            let read = read_picture(&dir.path().join(name), [2, 2, channels]).unwrap();
            assert_eq!(read, expected, "{name} {channels}");
        }
    }
    // Turned by its Exif block: wide in the file, tall as it is meant.
    let tall = folder(&[("a.jpg", with_orientation(&jpeg(6, 2, 1), 6)), ("b.png", png(6, 2, 1))]);
    assert!(read_picture(&tall.path().join("a.jpg"), [6, 2, 3]).is_ok());
    for (name, shape, words) in [
        ("a.jpg", [2, 6, 3], "is 2x6 pixels, the samples are 6x2"),
        ("b.png", [6, 2, 3], "is 6x2 pixels, the samples are 2x6"),
        ("b.png", [2, 6, 5], "5 are wanted"),
        ("none.png", [2, 6, 3], "cannot be read"),
    ] {
        let error = read_picture(&tall.path().join(name), shape).unwrap_err();
        assert!(error.contains(words) && !error.contains("--skip-bad"), "{error}");
    }
    let cut = folder(&[("a.jpg", jpeg(16, 16, 1)[..300].to_vec())]);
    let error = read_picture(&cut.path().join("a.jpg"), [16, 16, 3]).unwrap_err();
    assert!(error.contains("truncated"), "{error}");
}
