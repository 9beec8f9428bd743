//! Networks with weights of the user's against the packages that publish them, from a file to features, resizing included
//! (`tools/goldens_pretrained.py`). Weights are a formula of their names, so that no fixture holds them.

#[path = "common/formula.rs"]
mod formula;

use formula::{Golden, Images, note_free, opened, write};
use ganymede::extractors::Extracted;
use ganymede::extractors::pretrained::resample::{Resize, Resizer};
use ganymede::extractors::pretrained::tensors::Tensors;
use std::path::{Path, PathBuf};

const INCEPTION_FID: &str = include_str!("../goldens/pretrained/inception-v3-fid.txt");
const INCEPTION_TORCHVISION: &str = include_str!("../goldens/pretrained/inception-v3-torchvision.txt");
const VGG16_LPIPS: &str = include_str!("../goldens/pretrained/vgg16-lpips.txt");
const DINOV2: &str = include_str!("../goldens/pretrained/dinov2-vit-s14.txt");
const RESIZERS: &str = include_str!("../goldens/pretrained/resizers.txt");

/// What features may differ by, relative to the root of the mean of their squares.
const CLOSE: f64 = 1e-4;

/// The largest difference over the root mean square, and the root mean square difference over it.
fn apart(found: &[f32], expected: &[f64]) -> (f64, f64) {
    assert_eq!(found.len(), expected.len());
    let n = expected.len() as f64;
    let scale = (expected.iter().map(|v| v * v).sum::<f64>() / n).sqrt();
    let each = || found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs());
    (each().fold(0.0, f64::max) / scale, (each().map(|d| d * d).sum::<f64>() / n).sqrt() / scale)
}

fn same(what: &str, found: &[f32], expected: &[f64], images: usize) {
    let (most, mean) = apart(found, expected);
    println!("{what}: largest difference {most:.1e}, root mean square {mean:.1e}");
    assert!(most < CLOSE, "{what}: {most:e} from the package's");
    // Random networks tell images apart by little, but by far more than the tolerance.
    let (first, rest) = found.split_at(found.len() / images);
    for (i, other) in rest.chunks(first.len()).enumerate() {
        let expected = &expected[(i + 1) * first.len()..][..first.len()];
        let between = apart(first, expected).1;
        assert!(other.len() == first.len() && between > 20.0 * CLOSE, "{what}: images are {between:e} apart");
    }
}

/// Logarithms of probabilities against logits less their log-sum-exp.
fn same_logits(what: &str, found: &Extracted, logits: &[f64], classes: usize) {
    let probabilities = found.probabilities.as_ref().unwrap();
    assert_eq!(probabilities.len(), logits.len());
    for (p, logits) in probabilities.chunks(classes).zip(logits.chunks(classes)) {
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let top = logits.iter().copied().fold(f64::MIN, f64::max);
        let total = top + logits.iter().map(|l| (l - top).exp()).sum::<f64>().ln();
        let scale = logits.iter().map(|l| l.abs()).fold(0.0, f64::max);
        for (p, logit) in p.iter().zip(logits).filter(|(p, _)| **p > 1e-30) {
            let off = (f64::from(*p).ln() - (logit - total)).abs() / scale;
            assert!(off < CLOSE, "{what}: a logit is {off:e} off");
        }
    }
}

fn file(folder: &Path, golden: &Golden) -> PathBuf {
    let path = folder.join("weights.safetensors");
    write(&path, golden.tensors.iter().map(|(name, shape)| (name.clone(), name.clone(), shape.clone())));
    path
}

fn choice(path: &Path, resizer: &str) -> String {
    format!("{}?resizer={resizer}", path.display())
}

#[test]
fn inception_of_the_tensorflow_graph_is_pytorch_fids_and_torch_fidelitys() {
    let (folder, golden) = (tempfile::tempdir().unwrap(), Golden::read(INCEPTION_FID));
    let path = file(folder.path(), &golden);
    let images = Images { height: 37, width: 53, channels: 3 };
    let (mut clean, notes) = opened(path.to_str().unwrap(), &images).unwrap();
    assert!(notes[0].contains("recognised as inception-v3-fid"), "{notes:?}");
    assert_eq!(
        (clean.name(), clean.dimensions(), clean.classes(), clean.shape()),
        ("inception-v3-fid", 2048, Some(1008), &[37, 53, 3][..])
    );
    let resizer = clean.resizer().unwrap();
    assert!(resizer.contains("clean") && resizer.contains("37x53 to 299x299"), "{resizer}");
    let found = clean.extract(&images.first(2)).unwrap();
    same("inception-v3-fid, clean", &found.features, golden.of("features", "clean"), 2);

    let mut legacy = note_free(&choice(&path, "legacy-tensorflow"), &images);
    let found = legacy.extract(&images.first(2)).unwrap();
    same("inception-v3-fid, torch-fidelity", &found.features, golden.of("features", "legacy-tensorflow"), 2);
    same_logits("torch-fidelity", &found, golden.of("logits", "legacy-tensorflow"), 1008);
    assert_ne!(legacy.hash(), clean.hash());

    let mut pytorch = note_free(&choice(&path, "legacy-pytorch"), &images);
    let found = pytorch.extract(&images.first(1)).unwrap();
    same("inception-v3-fid, pytorch-fid", &found.features, golden.of("features", "legacy-pytorch"), 1);
    // The resizer alone is seen: the clean form's features are not these.
    let other = &golden.of("features", "clean")[..2048];
    assert!(apart(&found.features, other).0 > 10.0 * CLOSE);
}

#[test]
fn inception_of_torchvision_is_torchvisions() {
    let (folder, golden) = (tempfile::tempdir().unwrap(), Golden::read(INCEPTION_TORCHVISION));
    let path = file(folder.path(), &golden);
    let images = Images { height: 37, width: 53, channels: 3 };
    let (mut extractor, notes) = opened(path.to_str().unwrap(), &images).unwrap();
    assert!(notes[0].contains("recognised as inception-v3-torchvision"), "{notes:?}");
    let found = extractor.extract(&images.first(2)).unwrap();
    same("inception-v3-torchvision", &found.features, golden.of("features", "clean"), 2);
    same_logits("torchvision", &found, golden.of("logits", "clean"), 1000);

    // The wrong twin: the same weights pooled as the TensorFlow graph does. Only `fc` tells the two networks apart, so
    // that tensors of the one under the other's number of classes are taken for it.
    let mut tensors: Vec<(String, String, Vec<usize>)> =
        golden.tensors.iter().map(|(name, shape)| (name.clone(), name.clone(), shape.clone())).collect();
    for (name, _, shape) in &mut tensors {
        if name == "fc.weight" || name == "fc.bias" {
            shape[0] = 1008;
        }
    }
    write(&path, tensors);
    let twin = note_free(path.to_str().unwrap(), &images).extract(&images.first(2)).unwrap();
    let (most, mean) = apart(&twin.features, golden.of("features", "clean"));
    assert!(mean > 100.0 * CLOSE, "pooling changes features by {most:e} and {mean:e} alone");
}

#[test]
fn lpips_is_that_of_its_package() {
    let (folder, golden) = (tempfile::tempdir().unwrap(), Golden::read(VGG16_LPIPS));
    let path = file(folder.path(), &golden);
    let images = Images { height: 43, width: 38, channels: 3 };
    let (mut extractor, notes) = opened(path.to_str().unwrap(), &images).unwrap();
    assert!(notes[0].contains("recognised as vgg16-lpips"), "{notes:?}");
    assert_eq!((extractor.dimensions(), extractor.classes()), (1472, None));
    assert!(extractor.resizer().unwrap().contains("none"));
    let all = images.first(3);
    let found = extractor.extract(&all).unwrap();
    same("vgg16-lpips", &found.features, golden.of("features", "own"), 3);

    let size = 43 * 38 * 3;
    let (first, second, third) = (&all[..size], &all[size..2 * size], &all[2 * size..]);
    let near: Vec<f32> = first.iter().zip(second).map(|(a, b)| a + 1e-3 * (b - a)).collect();
    let (a, b) = ([first, second, first].concat(), [second, third, &near].concat());
    let distance = extractor.distance().unwrap();
    let found = distance.distances(&a, &b).unwrap();
    let expected = golden.of("distances", "own");
    for (found, expected) in found.iter().zip(expected) {
        println!("distance {found:e}, expected {expected:e}");
    }
    for pair in 0..2 {
        assert!((f64::from(found[pair]) / expected[pair] - 1.0).abs() < CLOSE, "{found:?} {expected:?}");
    }
    // Of images nearer than a tenth of a byte the f32 of features is seen, here as in PyTorch: 1e-6 of a feature against a
    // difference of 1e-3 of it. Bytes would have made it 0.
    assert!((f64::from(found[2]) / expected[2] - 1.0).abs() < 5e-3, "{found:?} {expected:?}");
    assert_eq!(distance.distances(first, first).unwrap(), [0.0]);
    assert!(distance.distances(first, &all).unwrap_err().to_string().contains("pairs"));

    // torchvision's file and the package's small one, together, are the same network.
    let parts = ["vgg16.safetensors", "vgg.safetensors"].map(|name| folder.path().join(name));
    let heads = |name: &str| name.starts_with("lin");
    let renamed = |name: &str| format!("features.{}", name.splitn(3, '.').nth(2).unwrap());
    let of = |head: bool| {
        let chosen = golden.tensors.iter().filter(move |(name, _)| heads(name) == head);
        chosen.map(move |(name, shape)| {
            (if head { name.clone() } else { renamed(name) }, name.clone(), shape.clone())
        })
    };
    write(&parts[0], of(false));
    write(&parts[1], of(true));
    let both = format!("{},{}", parts[0].display(), parts[1].display());
    assert_eq!(note_free(&both, &images).hash(), extractor.hash());
    let error = opened(parts[0].to_str().unwrap(), &images).err().unwrap();
    assert!(error.contains("lin4.model.1.weight"), "{error}");
    let twice = format!("{},{}", parts[1].display(), parts[1].display());
    assert!(opened(&twice, &images).err().unwrap().contains("two of the files"));
}

#[test]
fn dinov2_is_that_of_its_authors() {
    let (folder, golden) = (tempfile::tempdir().unwrap(), Golden::read(DINOV2));
    let path = file(folder.path(), &golden);
    let images = Images { height: 37, width: 53, channels: 3 };
    let (mut extractor, notes) = opened(path.to_str().unwrap(), &images).unwrap();
    assert!(notes[0].contains("recognised as dinov2-vit-s14"), "{notes:?}");
    let found = extractor.extract(&images.first(2)).unwrap();
    same("dinov2-vit-s14, clean", &found.features, golden.of("features", "clean"), 2);
    let mut legacy = note_free(&choice(&path, "legacy-tensorflow"), &images);
    let found = legacy.extract(&images.first(2)).unwrap();
    same("dinov2-vit-s14, torch-fidelity", &found.features, golden.of("features", "legacy-tensorflow"), 2);
    assert!(extractor.distance().is_none());
}

/// A tensor under another name or shape, or none.
type Change<'a> = &'a dyn Fn(&str, Vec<usize>) -> Option<(String, Vec<usize>)>;

#[test]
fn grey_images_are_seen_as_rgb_and_files_are_told_by_their_tensors() {
    let (folder, golden) = (tempfile::tempdir().unwrap(), Golden::read(VGG16_LPIPS));
    let path = file(folder.path(), &golden);
    let grey = Images { height: 20, width: 18, channels: 1 };
    let colour = Images { channels: 3, ..grey };
    let mut of_grey = note_free(path.to_str().unwrap(), &grey);
    assert!(of_grey.resizer().unwrap().contains("grey repeated"));
    let one = grey.first(1);
    let three: Vec<f32> = one.iter().flat_map(|&v| [v; 3]).collect();
    let (a, b) =
        (of_grey.extract(&one).unwrap(), note_free(path.to_str().unwrap(), &colour).extract(&three).unwrap());
    assert_eq!(a, b);

    let fails = |choice: &str, images: &Images, words: &[&str]| {
        let error = opened(choice, images).err().unwrap();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?} not in: {error}");
    };
    let named = path.to_str().unwrap();
    fails(named, &Images { channels: 4, ..grey }, &["4 channels", "random-conv"]);
    fails(named, &Images { height: 9, ..grey }, &["16x16", "9x18"]);
    fails(&format!("{named}?resizer=cleen"), &colour, &["cleen", "legacy-pytorch"]);
    fails(&format!("{named}?size=3"), &colour, &["size=3", "resizer="]);
    // A tensor of another shape, one missing, one that is not finite.
    let with = |change: Change<'_>| {
        let tensors = golden.tensors.iter().filter_map(|(name, shape)| {
            change(name, shape.clone()).map(|(own, shape)| (own, name.clone(), shape))
        });
        write(&path, tensors.collect::<Vec<_>>());
    };
    let first = "net.slice1.0.bias";
    with(&|name, shape| Some((name.into(), if name == first { vec![63] } else { shape })));
    fails(named, &colour, &[first, "[63]", "[64]"]);
    with(&|name, shape| (name != first).then(|| (name.into(), shape)));
    fails(named, &colour, &[first, "missing"]);
    with(&|name, shape| Some((name.replace("net.", "nut."), shape)));
    fails(
        named,
        &colour,
        &["nut.slice1.0", "inception-v3-fid: ", "fc.weight [1008, 2048]", "dinov2-vit-s14: "],
    );
}

#[test]
fn resized_pixels_are_the_packages() {
    let mut seen = 0;
    let lines: Vec<&str> = RESIZERS.lines().filter(|line| !line.starts_with('#')).collect();
    for (i, block) in lines.chunks_exact(3).enumerate() {
        let words: Vec<&str> = block[0].split(' ').collect();
        let form = Resizer::find(words[1]).unwrap();
        let [height, width, side] = [2, 3, 4].map(|at| words[at].parse::<usize>().unwrap());
        let images = Images { height, width, channels: 3 };
        let bytes: Vec<f32> = images.bytes(i / 3).into_iter().map(f32::from).collect();
        let mut out = vec![0.0; side * side * 3];
        Resize::new(form, [height, width], [side, side], 3).apply(&bytes, &mut out);
        let expected: Vec<f64> = block[2].split(' ').map(|v| v.parse().unwrap()).collect();
        let found: Vec<f32> = out.iter().step_by(397).copied().collect();
        assert_eq!(found.len(), expected.len());
        let most = found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        println!("{} {height}x{width} to {side}: {most:.1e} of a byte", form.name());
        // A 255th of the range is a byte; f32 of values to 255 leaves a thousandth of that.
        assert!(most < 2e-3, "{}: {height}x{width} to {side} is {most} bytes off", form.name());
        // And each form is told from the others.
        for other in Resizer::ALL.into_iter().filter(|other| *other != form) {
            Resize::new(other, [height, width], [side, side], 3).apply(&bytes, &mut out);
            let found = out.iter().step_by(397).zip(&expected);
            assert!(found.map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) > 1.0);
        }
        seen += 1;
    }
    assert_eq!(seen, 15);
}

#[test]
fn no_file_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/pretrained");
    let fails = |path: &Path, words: &[&str]| {
        let error = Tensors::open(&[path.to_path_buf()]).err().unwrap().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?} not in: {error}");
    };
    // Code in a pickle is not run: its place in the dictionary is no tensor.
    let evil = Tensors::open(&[goldens.join("evil.pth")]);
    assert!(evil.is_err() || evil.unwrap().names().count() == 0);
    assert!(!Path::new("executed").exists());
    fails(&goldens.join("bomb.pth"), &["200000000"]);
    fails(&folder.path().join("none.pth"), &["none.pth", "cannot read"]);
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    fails(&write("empty.pth", &[]), &["empty.pth", "neither"]);
    fails(&write("text.pth", b"no weights, but a page that says 404"), &["neither"]);
    // An opcode that no state dict has, in the first pickle behind the header: EXT1 of copyreg's registry.
    let mut legacy = std::fs::read(goldens.join("legacy.pth")).unwrap();
    let dictionary = legacy.windows(2).position(|two| two == b"}q").unwrap();
    legacy[dictionary] = 0x82;
    fails(&write("opcode.pth", &legacy), &["opcode.pth"]);
    // Cut anywhere, either kind is refused and neither panics.
    for name in ["zip.pth", "legacy.pth"] {
        let whole = std::fs::read(goldens.join(name)).unwrap();
        for end in (0..whole.len()).step_by(whole.len() / 40) {
            let path = write(name, &whole[..end]);
            let opened = Tensors::open(&[path]);
            let read = opened.and_then(|tensors| {
                let shapes: Vec<(String, Vec<usize>)> = tensors
                    .names()
                    .map(|name| (name.to_string(), tensors.shape(name).unwrap().to_vec()))
                    .collect();
                shapes
                    .iter()
                    .try_for_each(|(name, shape)| tensors.floats(name, shape).map(|_| ()))
                    .map_err(ganymede::Error::Refused)
            });
            assert!(read.is_err(), "{name} cut at {end} of {} is taken for whole", whole.len());
        }
    }
    // A header that says more than the file holds.
    let mut long = 1u64.to_le_bytes().to_vec();
    long[..8].copy_from_slice(&99_999_999u64.to_le_bytes());
    long.push(b'{');
    fails(&write("long.safetensors", &long), &["99999999", "damaged"]);
    let header = br#"{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}"#;
    let mut short = (header.len() as u64).to_le_bytes().to_vec();
    short.extend_from_slice(header);
    short.extend_from_slice(&[0; 12]);
    fails(&write("short.safetensors", &short), &["cut off"]);
    short.extend_from_slice(&f32::NAN.to_le_bytes());
    let tensors = Tensors::open(&[write("nan.safetensors", &short)]).unwrap();
    assert!(tensors.floats("a", &[4]).unwrap_err().contains("NaN"));
    assert!(tensors.floats("a", &[2, 2]).unwrap_err().contains("[2, 2]"));
    assert!(tensors.floats("b", &[4]).unwrap_err().contains("missing"));
}
