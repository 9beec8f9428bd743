//! Opening sets by specification: files written here, embedded sets, and everything that can be wrong with either.

use flate2::{Compression, write::GzEncoder};
use ganymede_data::{DataError, Dataset, OpenOptions, SOURCES, Split, inspect, open};
use std::{env, fs, io::Write, path::Path};
use tempfile::TempDir;

fn images(count: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    [count, 4, 3].iter().for_each(|dim: &u32| bytes.extend(dim.to_be_bytes()));
    bytes.extend((0..count * 12).map(|i| (i % 256) as u8));
    bytes
}

fn labels(count: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend(count.to_be_bytes());
    bytes.extend((0..count).map(|i| (i % 3) as u8));
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn opened(path: &Path) -> Result<Dataset, DataError> {
    open(path.to_str().unwrap(), &OpenOptions::default())
}

fn said(spec: &str) -> String {
    open(spec, &OpenOptions::default()).unwrap_err().to_string()
}

#[test]
fn every_spelling_of_the_names_opens_the_same_set() {
    let mut hashes = Vec::new();
    for (images_name, labels_name) in [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"),
    ] {
        let pack = |name: &str, bytes| if name.ends_with(".gz") { gzip(bytes) } else { bytes.to_vec() };
        let dir = folder(&[
            (images_name, pack(images_name, &images(7))),
            (labels_name, pack(labels_name, &labels(7))),
        ]);
        for path in [dir.path().to_owned(), dir.path().join(images_name)] {
            let set = opened(&path).unwrap();
            assert_eq!((set.len(), set.shape(), set.scale()), (Some(7), &[4, 3, 1][..], 1.0));
            assert_eq!(set.classes().unwrap(), ["0", "1", "2"]);
            let (mut data, mut classes) = (vec![0.0; 24], vec![0; 2]);
            set.fill(&[5, 0], &mut data, Some(&mut classes)).unwrap();
            assert_eq!(classes, [2, 0]);
            assert_eq!(data[0], 60.0 / 127.5 - 1.0);
            assert_eq!(data[12..15], [-1.0, 1.0 / 127.5 - 1.0, 2.0 / 127.5 - 1.0]);
            hashes.push(set.hash());
        }
    }
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "the hash is of the content");
}

#[test]
fn byte_ends_map_to_the_ends_of_the_range() {
    let mut file = vec![0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2];
    file.extend([0, 255]);
    let dir = folder(&[("train-images-idx3-ubyte", file)]);
    let set = opened(dir.path()).unwrap();
    let mut data = [0.0; 2];
    set.fill(&[0], &mut data, None).unwrap();
    assert_eq!(data, [-1.0, 1.0]);
    assert!(set.classes().is_none());
    assert!(matches!(set.fill(&[0], &mut data, Some(&mut [0])), Err(DataError::Unlabelled { .. })));
    assert!(matches!(set.fill(&[1], &mut data, None), Err(DataError::Index { index: 1, items: 1, .. })));
    assert!(matches!(
        set.fill(&[0], &mut [0.0; 3], None),
        Err(DataError::Buffer { expected: 2, got: 3, .. })
    ));
}

#[test]
fn the_split_chooses_the_files() {
    let dir =
        folder(&[("train-images-idx3-ubyte", images(7)), ("t10k-images-idx3-ubyte.gz", gzip(&images(2)))]);
    let spec = dir.path().to_str().unwrap();
    let count = |split| open(spec, &OpenOptions { split, ..OpenOptions::default() }).unwrap().len();
    assert_eq!((count(Split::Train), count(Split::Test)), (Some(7), Some(2)));
}

#[test]
fn content_decides_the_hash() {
    let plain = folder(&[("train-images-idx3-ubyte", images(7))]);
    let labelled = folder(&[("train-images-idx3-ubyte", images(7)), ("train-labels-idx1-ubyte", labels(7))]);
    let mut changed = images(7);
    changed[50] ^= 1;
    let changed = folder(&[("train-images-idx3-ubyte", changed)]);
    let hash = |dir: &TempDir| opened(dir.path()).unwrap().hash();
    assert_ne!(hash(&plain), hash(&labelled));
    assert_ne!(hash(&plain), hash(&changed));
    assert_eq!(hash(&plain).to_string().len(), 64);
    let of = |spec: &str| open(spec, &OpenOptions::default()).unwrap().hash();
    assert_eq!(of("synthetic:ring8"), of("synthetic:ring8?sigma=.02&radius=2"));
    assert_ne!(of("synthetic:ring8"), of("synthetic:ring8?sigma=.03"));
}

#[test]
fn missing_things_name_what_was_looked_for_and_what_is_near() {
    let dir = folder(&[("train-image-idx3-ubyte.gz", gzip(&images(2)))]);
    let root = dir.path().display().to_string();
    let text = said(&root);
    assert!(text.contains("looked for train-images-idx3-ubyte or train-images.idx3-ubyte"), "{text}");
    assert!(text.contains(&format!("nearest that exists is {root}/train-image-idx3-ubyte.gz")), "{text}");
    let text = said(&format!("{root}/trian-image-idx3-ubyte.gz"));
    assert!(text.contains(&format!("nearest that exists is {root}/train-image-idx3-ubyte.gz")), "{text}");
    let text = said(&format!("{root}/nothing/like/it"));
    assert!(text.contains(&format!("nearest that exists is {root}")), "{text}");

    let outer = tempfile::tempdir().unwrap();
    fs::create_dir(outer.path().join("raw")).unwrap();
    fs::write(outer.path().join("raw/train-images-idx3-ubyte"), images(2)).unwrap();
    let text = said(outer.path().to_str().unwrap());
    assert!(text.contains("raw/train-images-idx3-ubyte"), "{text}");
    assert!(said("glyhps").contains("did you mean `glyphs`?"));
    assert!(said("").contains("embedded sets: glyphs, synthetic:ring8, synthetic:grid25"));
}

#[test]
fn damaged_files_are_refused_with_figures() {
    let text = |files: &[(&str, Vec<u8>)]| opened(folder(files).path()).unwrap_err().to_string();
    let name = "train-images-idx3-ubyte";
    let cut = text(&[(name, images(7)[..60].to_vec())]);
    assert!(cut.contains("its header (7 x 4 x 3) asks for 100 bytes, it holds 60"), "{cut}");
    let written = text(&[(name, b"5,0,0,0,18,255\n".to_vec())]);
    assert!(written.contains("this is text, first bytes \"5,0,0,0,18,255"), "{written}");
    let mut packed = gzip(&images(7));
    packed.truncate(packed.len() - 9);
    let packed = text(&[("train-images-idx3-ubyte.gz", packed)]);
    assert!(packed.contains("damaged gzip"), "{packed}");
    let counts = text(&[(name, images(7)), ("train-labels-idx1-ubyte", labels(6))]);
    assert!(counts.starts_with("7 images in ") && counts.contains("but 6 labels in "), "{counts}");
    let none = text(&[(name, images(0))]);
    assert!(none.contains("is empty: its header says 0 x 4 x 3"), "{none}");
    let no_labels = text(&[(name, images(1)), ("train-labels-idx1-ubyte", labels(0))]);
    assert!(no_labels.starts_with("1 images in ") && no_labels.contains("but 0 labels"), "{no_labels}");
}

#[test]
fn parameters_are_checked() {
    for (spec, part) in [
        (
            "synthetic:ring8?spacng=1",
            "unknown parameter `spacng` in `synthetic:ring8?spacng=1` (did you mean `spacing`?)",
        ),
        ("synthetic:grid25?radius=1", "known: spacing, sigma, weights, limit, classes"),
        ("glyphs?sigma=1", "known: limit, classes"),
        ("synthetic:ring8?sigma=0", "`sigma=0` in `synthetic:ring8?sigma=0`: expected a number above 0"),
        ("synthetic:ring8?sigma=-1", "a number above 0"),
        ("synthetic:ring8?sigma=nan", "a number above 0"),
        ("synthetic:ring8?sigma=1e300", "a number above 0"),
        ("synthetic:ring8?sigma=inf", "a number above 0"),
        ("synthetic:ring8?sigma", "a number above 0"),
        ("synthetic:ring8?sigma=1&sigma=2", "the key once"),
        ("synthetic:ring8?radius=2&spacing=1", "gives both `radius` and `spacing`"),
        ("synthetic:ring8?weights=1,2,3", "8 numbers above 0 with commas between, one a mode, got 3"),
        ("synthetic:grid25?weights=lineal", "`linear` or 25 numbers"),
        ("synthetic:ring8?weights=1,1,1,1,1,1,1,0", "`linear` or 8 numbers above 0"),
    ] {
        let text = said(spec);
        assert!(text.contains(part), "{spec}: {text}");
    }
}

#[test]
fn no_parameters_make_it_panic() {
    let words =
        ["sigma", "weights", "radius", "=", "&", "?", ",", "1", ".5", "-", "e9", "linear", "nan", "ü", "/"];
    let mut state = 1_u64;
    for _ in 0..5000 {
        let mut spec = "synthetic:ring8?".to_owned();
        for _ in 0..6 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            spec += words[(state >> 33) as usize % words.len()];
        }
        if let Ok(set) = open(&spec, &OpenOptions::default()) {
            let mut point = [f32::NAN; 2];
            set.fill(&[7], &mut point, None).unwrap();
            assert!(point.iter().all(|x| x.is_finite()), "{spec}");
        }
    }
}

/// Mean and covariance per mode, in original units, and the counts.
fn per_mode(spec: &str, count: u64) -> (Vec<u64>, Vec<[f64; 5]>, Dataset) {
    let set = open(spec, &OpenOptions { seed: 11, ..OpenOptions::default() }).unwrap();
    let modes = set.mixture().unwrap().centres.len();
    let (mut data, mut labels) = (vec![0.0; 2 * count as usize], vec![0; count as usize]);
    set.fill(&(0..count).collect::<Vec<_>>(), &mut data, Some(&mut labels)).unwrap();
    let (mut counts, mut sums) = (vec![0; modes], vec![[0.0; 5]; modes]);
    for (point, &label) in data.chunks_exact(2).zip(&labels) {
        let centre = set.mixture().unwrap().centres[label as usize];
        let [x, y] = [0, 1].map(|axis| f64::from(point[axis]) * set.scale() - centre[axis]);
        counts[label as usize] += 1;
        for (sum, term) in sums[label as usize].iter_mut().zip([x, y, x * x, y * y, x * y]) {
            *sum += term;
        }
    }
    for (sum, &count) in sums.iter_mut().zip(&counts) {
        sum.iter_mut().for_each(|s| *s /= count as f64);
    }
    (counts, sums, set)
}

#[test]
fn mixtures_follow_their_law() {
    for (spec, sigma) in [("synthetic:ring8", 0.02), ("synthetic:grid25?spacing=1.5&sigma=.08", 0.08)] {
        let (counts, moments, set) = per_mode(spec, 50_000);
        let modes = counts.len() as f64;
        for (count, m) in counts.iter().zip(&moments) {
            let expected = 50_000.0 / modes;
            assert!((*count as f64 - expected).abs() < 4.5 * expected.sqrt(), "{spec}: {counts:?}");
            let error = sigma / (*count as f64).sqrt();
            assert!(m[0].abs().max(m[1].abs()) < 4.5 * error, "{spec}: mean {m:?}");
            // The variance of n normals has the standard error sigma^2 sqrt(2 / n), their covariance sigma^2 / sqrt n.
            let error = sigma * error;
            assert!(
                (m[2] - sigma * sigma).abs().max((m[3] - sigma * sigma).abs()) < 6.5 * error,
                "{spec}: {m:?}"
            );
            assert!(m[4].abs() < 4.5 * error, "{spec}: {m:?}");
        }
        let mixture = set.mixture().unwrap();
        assert_eq!(mixture.sigma, sigma);
        let report = inspect(&set).unwrap();
        assert!((report.deviation - 1.0).abs() < 0.02, "{spec}: network units, {}", report.deviation);
    }
}

#[test]
fn linear_weights_grow_with_the_mode() {
    let (counts, _, set) = per_mode("synthetic:ring8?weights=linear", 36_000);
    let weights = &set.mixture().unwrap().weights;
    for (mode, (&count, weight)) in counts.iter().zip(weights).enumerate() {
        assert!((weight - (mode + 1) as f64 / 36.0).abs() < 1e-15);
        let expected = 1000.0 * (mode + 1) as f64;
        assert!((count as f64 - expected).abs() < 4.5 * expected.sqrt(), "{counts:?}");
    }
}

#[test]
fn spacing_of_the_ring_is_the_distance_of_neighbours() {
    let centres = |spec| open(spec, &OpenOptions::default()).unwrap().mixture().unwrap().centres.clone();
    let distance = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let ring = centres("synthetic:ring8?spacing=3");
    for mode in 0..8 {
        assert!((distance(ring[mode], ring[(mode + 1) % 8]) - 3.0).abs() < 1e-12);
    }
    assert!((distance(centres("synthetic:ring8")[3], [0.0; 2]) - 2.0).abs() < 1e-12);
    let grid = centres("synthetic:grid25");
    assert_eq!((grid[0], grid[1], grid[24]), ([-4.0, -4.0], [-4.0, -2.0], [4.0, 4.0]));
}

#[test]
fn summaries_count_and_print() {
    let dir = folder(&[("train-images-idx3-ubyte", images(600)), ("train-labels-idx1-ubyte", labels(600))]);
    let report = inspect(&opened(dir.path()).unwrap()).unwrap();
    assert_eq!((report.count, report.examined, report.non_finite), (Some(600), 600, 0));
    let named = |k: &str| (k.to_owned(), 200);
    assert_eq!(report.classes, Some(vec![named("0"), named("1"), named("2")]));
    assert_eq!(report.range, (-1.0, 1.0));
    // Pixels i mod 256 for i < 7200: 28 full cycles (mean 127.5, variance (256^2 - 1)/12) and the values 0 to 31.
    let sum = 28.0 * 256.0 * 127.5 + 31.0 * 16.0;
    let mean = sum / 7200.0;
    assert!((report.mean - (mean / 127.5 - 1.0)).abs() < 1e-6);
    let square = (28.0 * (255.0 * 256.0 * 511.0 / 6.0) + 31.0 * 32.0 * 63.0 / 6.0) / 7200.0 - mean * mean;
    assert!((report.deviation - square.sqrt() / 127.5).abs() < 1e-6);
    let text = report.to_string();
    for part in ["600 of 4 x 3 x 1", "3 classes", "1       200  ####", "values    -1.0000 to 1.0000"] {
        assert!(text.contains(part), "{text}");
    }
    let text = inspect(&open("synthetic:ring8", &OpenOptions::default()).unwrap()).unwrap().to_string();
    assert!(
        text.contains("endless, of 2; figures from the first 10000") && text.contains("1.414214 original"),
        "{text}"
    );
}

/// What is known of a set of 28 x 28 images with ten classes.
struct Published {
    count: u64,
    /// Mean of the pixels as fractions of white.
    mean: f64,
    first_label: i32,
    /// Images of class 0.
    zeros: u64,
}

fn assert_published(path: &Path, published: &Published) {
    let set = opened(path).unwrap();
    let report = inspect(&set).unwrap();
    assert_eq!((report.count, set.shape()), (Some(published.count), &[28, 28, 1][..]));
    let mean = (report.mean + 1.0) / 2.0;
    assert!((mean - published.mean).abs() < 1e-5, "{}: {mean}", path.display());
    let (mut data, mut label) = (vec![0.0; 784], [0]);
    set.fill(&[0], &mut data, Some(&mut label)).unwrap();
    assert_eq!(label[0], published.first_label);
    let sizes: Vec<u64> = report.classes.unwrap().iter().map(|(_, count)| *count).collect();
    assert_eq!((sizes.len(), sizes.iter().sum::<u64>()), (10, published.count));
    assert_eq!(sizes[0], published.zeros);
}

/// A made set in the published format always, and the published files where GANYMEDE_DATA names the folder that holds
/// `mnist` and `fashion-mnist`.
#[test]
fn files_of_the_published_format_open_with_their_figures() {
    let count = 70_u32;
    let mut pictures = vec![0, 0, 8, 3];
    [count, 28, 28].iter().for_each(|dim: &u32| pictures.extend(dim.to_be_bytes()));
    // Image i is grey level i throughout, so the mean is (0 + ... + 69) / 70 / 255.
    pictures.extend((0..count).flat_map(|i| [i as u8; 784]));
    let mut classes = vec![0, 0, 8, 1];
    classes.extend(count.to_be_bytes());
    // 5, 6, .., 9, 0, .., 4 again and again: seven of each.
    classes.extend((0..count).map(|i| ((i + 5) % 10) as u8));
    let dir = folder(&[
        ("train-images-idx3-ubyte.gz", gzip(&pictures)),
        ("train-labels-idx1-ubyte.gz", gzip(&classes)),
    ]);
    let made = Published { count: 70, mean: 34.5 / 255.0, first_label: 5, zeros: 7 };
    assert_published(dir.path(), &made);

    let Some(root) = env::var_os("GANYMEDE_DATA") else {
        println!("GANYMEDE_DATA is not set: only the made set was checked");
        return;
    };
    for (name, mean, first_label, zeros) in
        [("mnist", 0.130_66, 5, 5923), ("fashion-mnist", 0.286_04, 9, 6000)]
    {
        assert_published(
            &Path::new(&root).join(name),
            &Published { count: 60_000, mean, first_label, zeros },
        );
    }
}

#[test]
fn registry_is_reachable_from_outside() {
    assert!(SOURCES.iter().any(|source| source.name() == "idx"));
}
