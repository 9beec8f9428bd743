//! Extractors: a classifier trained here, kept and read again; weights from PyTorch; stacked digits channel by channel.

use ganymede::extractors::channels::{PerChannel, Stack};
use ganymede::extractors::{self, AskedOf, Extracted, Extractor, Wanted, Watch, accuracy, held_out};
use ganymede_cpu::{Executor, ExecutorOptions};
use ganymede_data::{ContentHash, Dataset, Items, OpenOptions, open};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;
use std::sync::Arc;

/// Images of `side` pixels in `channels`, each with a bright bar at the row of its channel's digit: made by code.
struct Bars {
    side: usize,
    channels: usize,
    classes: usize,
    count: u64,
}

impl Items for Bars {
    fn count(&self) -> Option<u64> {
        Some(self.count)
    }

    fn held_bytes(&self) -> u64 {
        0
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        let all = self.classes.pow(self.channels as u32) as u64;
        let label = |index: u64| (index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % all;
        let size = self.side * self.side * self.channels;
        for (&index, item) in indices.iter().zip(out.chunks_exact_mut(size)) {
            for (i, value) in item.iter_mut().enumerate() {
                let (row, channel) = (i / (self.side * self.channels), i % self.channels);
                let place = self.classes.pow((self.channels - 1 - channel) as u32) as u64;
                let digit = (label(index) / place) as usize % self.classes;
                let noise = ((index as usize * 31 + i * 7) % 13) as f32 / 13.0;
                *value = if row == digit * self.side / self.classes {
                    1.0 - 0.3 * noise
                } else {
                    -1.0 + 0.3 * noise
                };
            }
        }
        if let Some(labels) = labels {
            labels.iter_mut().zip(indices).for_each(|(to, &index)| *to = label(index) as i32);
        }
    }
}

fn bars(spec: &str, channels: usize, classes: usize, count: u64) -> Arc<Dataset> {
    let items = Bars { side: 8, channels, classes, count };
    let hash = blake3::hash(format!("{spec} {channels} {classes} {count}").as_bytes());
    let names = (0..classes.pow(channels as u32)).map(|class| class.to_string()).collect();
    let set =
        Dataset::new(spec, &[8, 8, channels], ContentHash(hash.into()), Box::new(items)).with_classes(names);
    Arc::new(if spec.starts_with("stacked:") { set.with_channel_classes(classes) } else { set })
}

fn executor() -> Arc<Executor> {
    Executor::new(ExecutorOptions::default()).unwrap()
}

#[derive(Default)]
struct Notes(Vec<String>);

impl Watch for Notes {
    fn note(&mut self, message: &str) {
        self.0.push(message.into());
    }
}

type Opened = Result<Box<dyn Extractor>, String>;

fn opened(choice: Option<&str>, set: &Arc<Dataset>, notes: &mut Notes) -> Opened {
    kept_in(None, choice, set, notes)
}

fn kept_in(cache: Option<&Path>, choice: Option<&str>, set: &Arc<Dataset>, notes: &mut Notes) -> Opened {
    let (train, cache) = (set.clone(), cache.map(Path::to_path_buf));
    let mut wanted = Wanted { train, test: None, executor: executor(), cache, watch: notes };
    extractors::open(choice, &mut wanted).map_err(|e| e.to_string())
}

fn items(set: &Dataset, count: u64) -> Vec<f32> {
    let mut out = vec![0.0; count as usize * set.elements()];
    set.fill(&(0..count).collect::<Vec<_>>(), &mut out, None).unwrap();
    out
}

#[test]
fn a_classifier_is_trained_once_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let open = |choice: Option<&str>, set: &Arc<Dataset>, notes: &mut Notes| {
        kept_in(Some(folder.path()), choice, set, notes)
    };
    let (set, mut notes) = (bars("bars", 1, 4, 600), Notes::default());
    let mut first = open(None, &set, &mut notes).unwrap();
    assert!(notes.0.iter().any(|n| n.contains("training a classifier on bars")), "{:?}", notes.0);
    assert_eq!((first.name(), first.classes(), first.heads()), ("classifier", Some(4), 1));
    // A tenth was held out and asked, since no part is held out by itself.
    assert!(first.accuracy().unwrap() > 0.99, "{:?}", first.accuracy());
    assert_eq!(first.asked_of(), Some(AskedOf::HeldOut));
    let samples = items(&set, 300);
    let seen = first.extract(&samples).unwrap();
    assert_eq!(seen.features.len(), 300 * first.dimensions());
    let probabilities = seen.probabilities.clone().unwrap();
    assert!(probabilities.chunks_exact(4).all(|p| (p.iter().sum::<f32>() - 1.0).abs() < 1e-5));
    // The same for any batch: the last one of the first call was padded.
    let again = first.extract(&samples[..17 * 64]).unwrap();
    assert_eq!(again.features, seen.features[..17 * first.dimensions()]);
    assert!(first.extract(&samples[..63]).is_err());

    // The second time it is read, not trained, and is the same.
    let mut notes = Notes::default();
    let mut second = open(None, &set, &mut notes).unwrap();
    assert!(notes.0.is_empty(), "{:?}", notes.0);
    assert_eq!((second.hash(), second.accuracy()), (first.hash(), first.accuracy()));
    assert_eq!(second.extract(&samples).unwrap(), seen);
    let kept: Vec<_> = std::fs::read_dir(folder.path().join("classifiers")).unwrap().collect();
    let path = kept.into_iter().next().unwrap().unwrap().path();

    // Trained anew it has the same bits, and a damaged file is said and replaced.
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut notes = Notes::default();
    let third = open(None, &set, &mut notes).unwrap();
    assert!(notes.0[0].contains("checksum") && notes.0[0].contains("trained again"), "{:?}", notes.0);
    assert_eq!(third.hash(), first.hash());

    // Other data are another classifier, and the kept file is an extractor by itself.
    let mut notes = Notes::default();
    let file = open(Some(path.to_str().unwrap()), &set, &mut notes).unwrap();
    assert_eq!((file.hash(), notes.0.len()), (first.hash(), 0));
    assert!(file.accuracy().unwrap() > 0.99);
    // A file's classifier may have learnt what it is asked of where nothing is held out; that is not called held out.
    assert_eq!(file.asked_of(), Some(AskedOf::Training));
    let (train, test) = (set.clone(), Some(bars("bars, held out", 1, 4, 100)));
    let mut wanted = Wanted { train, test, executor: executor(), cache: None, watch: &mut notes };
    let file = extractors::open(path.to_str(), &mut wanted).unwrap();
    assert_eq!(file.asked_of(), Some(AskedOf::HeldOut));
    // Of data with other classes it cannot be asked; what it was found to be worth is that of its own.
    let file = open(path.to_str(), &bars("five", 1, 5, 50), &mut notes).unwrap();
    assert_eq!((file.accuracy(), file.asked_of()), (first.accuracy(), Some(AskedOf::Before)));
    let error = open(Some(path.to_str().unwrap()), &bars("other", 3, 2, 50), &mut notes).err().unwrap();
    assert!(error.contains("[8, 8, 1]") && error.contains("[8, 8, 3]"), "{error}");
    let other = open(None, &bars("other", 1, 3, 300), &mut notes).unwrap();
    assert_ne!(other.hash(), first.hash());

    // Stacked: the classifier learns single channels and looks at each.
    let stacked = bars("stacked:bars", 3, 4, 500);
    let mut apart = open(None, &stacked, &mut notes).unwrap();
    assert_eq!((apart.classes(), apart.heads(), apart.shape()), (Some(4), 3, &[8, 8, 3][..]));
    assert!(
        apart.name().contains("each channel") && apart.accuracy().unwrap() > 0.99,
        "{:?}",
        apart.accuracy()
    );
    assert_eq!(apart.asked_of(), Some(AskedOf::HeldOut));
    let seen = apart.extract(&items(&stacked, 100)).unwrap();
    assert_eq!(seen.features.len(), 100 * apart.dimensions());
    let mut labels = vec![0; 100];
    let mut images = vec![0.0; 100 * 192];
    stacked.fill(&(0..100).collect::<Vec<_>>(), &mut images, Some(&mut labels)).unwrap();
    let found = seen.probabilities.unwrap();
    let triple = |p: &[f32]| p.chunks_exact(4).fold(0, |all, p| all * 4 + extractors::best(p));
    let right = found.chunks_exact(12).zip(&labels).filter(|(p, l)| triple(p) == **l as usize).count();
    assert!(right >= 98, "{right} of 100 triples");
}

#[test]
fn a_classifier_is_kept_before_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let set = bars("bars", 1, 4, 300);
    let part = |labelled: bool| {
        let items = Bars { side: 8, channels: 1, classes: 4, count: 50 };
        let test = Dataset::new("held out", &[8, 8, 1], ContentHash([5; 32]), Box::new(items));
        let names = || (0..4).map(|class| class.to_string()).collect();
        Arc::new(if labelled { test.with_classes(names()) } else { test })
    };
    let open = |test: Arc<Dataset>, notes: &mut Notes| {
        let (train, cache) = (set.clone(), Some(folder.path().to_path_buf()));
        let mut wanted = Wanted { train, test: Some(test), executor: executor(), cache, watch: notes };
        extractors::open(None, &mut wanted).map_err(|error| error.to_string())
    };
    let mut notes = Notes::default();
    let error = open(part(false), &mut notes).err().unwrap();
    assert!(error.contains("held out has no labels") && notes.0.len() == 1, "{error} {:?}", notes.0);
    // The training was not lost; what it could not be asked then it is asked now, and that is kept as well.
    let (mut notes, mut found) = (Notes::default(), Vec::new());
    found.push(open(part(true), &mut notes).unwrap().accuracy().unwrap());
    let path = std::fs::read_dir(folder.path().join("classifiers")).unwrap().next().unwrap().unwrap().path();
    let written = std::fs::read(&path).unwrap();
    found.push(open(part(true), &mut notes).unwrap().accuracy().unwrap());
    assert!(notes.0.is_empty() && found[0] > 0.99 && found[0] == found[1], "{:?} {found:?}", notes.0);
    assert_eq!(std::fs::read(&path).unwrap(), written, "what was found is not asked again");
    // Samples of another size are not asked of.
    let mut judge = opened(None, &set, &mut notes).unwrap();
    let error = accuracy(judge.as_mut(), &bars("other", 3, 2, 50), 50).unwrap_err().to_string();
    assert!(error.contains("[8, 8, 1]") && error.contains("[8, 8, 3]"), "{error}");
}

#[test]
fn what_does_not_suit_is_refused_with_what_to_do() {
    let mut notes = Notes::default();
    let plain = |shape: &[usize]| {
        struct Flat(usize);
        impl Items for Flat {
            fn count(&self) -> Option<u64> {
                Some(64)
            }
            fn held_bytes(&self) -> u64 {
                0
            }
            fn fill(&self, indices: &[u64], out: &mut [f32], _: Option<&mut [i32]>) {
                for (i, item) in indices.iter().zip(out.chunks_exact_mut(self.0)) {
                    item.iter_mut()
                        .enumerate()
                        .for_each(|(j, v)| *v = ((i * 7 + j as u64) % 5) as f32 / 2.5 - 1.0);
                }
            }
        }
        let items = Flat(shape.iter().product());
        Arc::new(Dataset::new("plain", shape, ContentHash([7; 32]), Box::new(items)))
    };
    let images = plain(&[12, 10, 3]);
    let error = opened(Some("classifier"), &images, &mut notes).err().unwrap();
    assert!(error.contains("no labelled images") && error.contains("random-conv"), "{error}");
    let error = opened(Some("pixels"), &plain(&[64, 64, 3]), &mut notes).err().unwrap();
    assert!(error.contains("4096") && error.contains("12288"), "{error}");
    let error = opened(Some("random-conv"), &plain(&[2]), &mut notes).err().unwrap();
    assert!(error.contains("use pixels"), "{error}");
    let error = opened(Some("nowhere.safetensors"), &images, &mut notes).err().unwrap();
    assert!(error.contains("nowhere.safetensors"), "{error}");

    // Without labels random convolutions look, the same for everybody; what they see tells images apart.
    let mut random = opened(None, &images, &mut notes).unwrap();
    assert_eq!((random.name(), random.classes(), random.accuracy()), ("random-conv", None, None));
    assert_eq!(random.asked_of(), None);
    let seen = random.extract(&items(&images, 5)).unwrap();
    assert_eq!(seen.features.len(), 5 * random.dimensions());
    assert!(seen.features.iter().all(|v| v.is_finite()) && seen.probabilities.is_none());
    let rows: Vec<&[f32]> = seen.features.chunks_exact(random.dimensions()).collect();
    assert_eq!(rows[0].len(), random.dimensions());
    assert_ne!(rows[0], rows[1]);
    assert_eq!(random.hash(), opened(Some("random-conv"), &images, &mut notes).unwrap().hash());
    // Where something is, is seen: the same spot in another quarter of an empty image.
    let spot = |at: usize| {
        let mut image = vec![-1.0; 360];
        image[at..at + 6].fill(1.0);
        image
    };
    let both = random.extract(&[spot(0), spot(330)].concat()).unwrap().features;
    assert_ne!(both[..random.dimensions()], both[random.dimensions()..]);
    let mut pixels = opened(Some("pixels"), &images, &mut notes).unwrap();
    let samples = items(&images, 3);
    assert_eq!(pixels.extract(&samples).unwrap(), Extracted { features: samples, probabilities: None });
}

#[test]
fn nine_of_ten_and_every_tenth_are_the_whole() {
    let whole = bars("bars", 1, 4, 57);
    let (most, tenth) = held_out(&whole);
    let tenth = tenth.unwrap();
    assert_eq!((most.len(), tenth.len()), (Some(52), Some(5)));
    let rows = |set: &Dataset| -> Vec<Vec<u32>> {
        let values = items(set, set.len().unwrap());
        values.chunks_exact(64).map(|row| row.iter().map(|v| v.to_bits()).collect()).collect()
    };
    let mut both = [rows(&most), rows(&tenth)].concat();
    let mut all = rows(&whole);
    both.sort();
    all.sort();
    assert_eq!(both, all);
    assert_ne!(most.hash(), whole.hash());
    // Of an endless set nothing is held out.
    let endless = Arc::new(open("glyphs", &OpenOptions::default()).unwrap());
    assert!(held_out(&endless).1.is_none());
}

#[test]
fn stacks_come_apart_into_their_channels() {
    let whole = bars("stacked:bars", 3, 4, 20);
    let stack = Stack::of(&whole).unwrap();
    assert_eq!(stack.classes, 4);
    let apart = stack.apart(&whole);
    assert_eq!((apart.shape(), apart.len(), apart.classes().unwrap().len()), (&[8, 8, 1][..], Some(60), 4));
    let (mut images, mut triples) = (vec![0.0; 20 * 192], vec![0; 20]);
    whole.fill(&(0..20).collect::<Vec<_>>(), &mut images, Some(&mut triples)).unwrap();
    let (mut channels, mut digits) = (vec![0.0; 60 * 64], vec![0; 60]);
    apart.fill(&(0..60).collect::<Vec<_>>(), &mut channels, Some(&mut digits)).unwrap();
    for (i, triple) in triples.iter().enumerate() {
        assert_eq!(digits[3 * i..3 * i + 3], [triple / 16, triple / 4 % 4, triple % 4]);
        for channel in 0..3 {
            let of_image: Vec<f32> =
                images[i * 192..][..192].iter().skip(channel).step_by(3).copied().collect();
            assert_eq!(channels[(3 * i + channel) * 64..][..64], of_image);
        }
    }
    // Neither colour images with as many classes nor stacks of another count are taken for one.
    assert!(Stack::of(&bars("colours", 3, 4, 20)).is_none());
    assert!(Stack::of(&bars("stacked:bars", 1, 4, 20)).is_none());
    // Neither is a stack of which 8 triples, 000 to 007, are left, though 8 is a third power: labels are 0 to 7 then.
    let of = |spec: &str| Stack::of(&open(spec, &OpenOptions::default()).unwrap()).map(|stack| stack.classes);
    assert_eq!(of("stacked:glyphs?length=3000&classes=000,001,002,003,004,005,006,007"), None);
    assert_eq!(of("stacked:(glyphs?classes=0,1&limit=90)?length=300"), Some(2));
    assert_eq!(of("stacked:glyphs?length=300&limit=50"), Some(10));
    // What looks at whole images stays as it is.
    let mut notes = Notes::default();
    let pixels = opened(Some("pixels"), &whole, &mut notes).unwrap();
    assert_eq!(PerChannel::boxed(pixels, &stack).heads(), 1);
}

/// A state dict as PyTorch writes it, of weights that are a formula, for images of 12x12.
fn state_dict(path: &Path, change: &str) {
    let shapes: [(&str, Vec<usize>); 10] = [
        ("conv1.weight", vec![3, 1, 5, 5]),
        ("conv1.bias", vec![3]),
        ("conv2.weight", vec![4, 3, 3, 3]),
        ("conv2.bias", vec![4]),
        ("conv3.weight", vec![5, 4, 3, 3]),
        ("conv3.bias", vec![5]),
        ("fc1.weight", vec![6, 45]),
        ("fc1.bias", vec![6]),
        ("fc2.weight", vec![3, 6]),
        ("fc2.bias", vec![3]),
    ];
    let value = |t: usize, i: usize| ((i * 37 + t * 11) % 101) as f32 / 101.0 - 0.45;
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .into_iter()
        .enumerate()
        .filter(|(_, (name, _))| *name != change)
        .map(|(t, (name, shape))| {
            let count: usize = shape.iter().product();
            (name.to_string(), shape, (0..count).flat_map(|i| value(t, i).to_le_bytes()).collect())
        })
        .collect();
    let views =
        bytes.iter().map(|(n, s, b)| (n.as_str(), TensorView::new(Dtype::F32, s.clone(), b).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Features and probabilities by the definition of the network, in f64, with PyTorch's axes: `tools/goldens_torch.py` has
/// no part in it.
fn by_definition(bytes: &[u8], image: &[f32], side: usize) -> (Vec<f64>, Vec<f64>) {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensor = |name: &str| -> Vec<f64> {
        let data = file.tensor(name).unwrap().data().to_vec();
        data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
    };
    let mut x: Vec<Vec<f64>> = vec![image.iter().map(|&v| f64::from(v)).collect()];
    let mut side = side as i64;
    for (name, stride) in [("conv1", 2), ("conv2", 1), ("conv3", 2)] {
        let (weight, bias) = (tensor(&format!("{name}.weight")), tensor(&format!("{name}.bias")));
        let shape = file.tensor(&format!("{name}.weight")).unwrap().shape().to_vec();
        let (k, inputs) = (shape[2] as i64, shape[1]);
        let out = (side + 2 * (k / 2) - k) / stride + 1;
        x = (0..shape[0])
            .map(|o| {
                let at = |y: i64, x0: i64| {
                    let mut sum = bias[o];
                    for c in 0..inputs {
                        for i in 0..k {
                            for j in 0..k {
                                let (v, u) = (y * stride + i - k / 2, x0 * stride + j - k / 2);
                                if (0..side).contains(&v) && (0..side).contains(&u) {
                                    let w = ((o * inputs + c) as i64 * k + i) * k + j;
                                    sum += weight[w as usize] * x[c][(v * side + u) as usize];
                                }
                            }
                        }
                    }
                    sum.max(0.0)
                };
                (0..out * out).map(|p| at(p / out, p % out)).collect()
            })
            .collect();
        side = out;
    }
    let linear = |name: &str, x: &[f64]| -> Vec<f64> {
        let (weight, bias) = (tensor(&format!("{name}.weight")), tensor(&format!("{name}.bias")));
        let row =
            |(o, b): (usize, &f64)| b + (0..x.len()).map(|i| weight[o * x.len() + i] * x[i]).sum::<f64>();
        bias.iter().enumerate().map(row).collect()
    };
    let features: Vec<f64> = linear("fc1", &x.concat()).into_iter().map(|v| v.max(0.0)).collect();
    let logits = linear("fc2", &features);
    let most = logits.iter().fold(f64::MIN, |m, &v| m.max(v));
    let sum: f64 = logits.iter().map(|v| (v - most).exp()).sum();
    (features, logits.iter().map(|v| (v - most).exp() / sum).collect())
}

#[test]
fn a_state_dict_of_pytorch_means_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.safetensors");
    state_dict(&path, "");
    let items = Bars { side: 12, channels: 1, classes: 3, count: 40 };
    let names = (0..3).map(|c| c.to_string()).collect();
    let set = Dataset::new("bars12", &[12, 12, 1], ContentHash([3; 32]), Box::new(items)).with_classes(names);
    let set = Arc::new(set);
    let mut notes = Notes::default();
    let mut judge = opened(Some(path.to_str().unwrap()), &set, &mut notes).unwrap();
    assert_eq!((judge.name(), judge.dimensions(), judge.classes()), ("judge.safetensors", 6, Some(3)));
    let images = crate::items(&set, 40);
    let seen = judge.extract(&images).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut largest = 0.0f64;
    for (i, image) in images.chunks_exact(144).enumerate() {
        let (features, probabilities) = by_definition(&bytes, image, 12);
        let p = &seen.probabilities.as_ref().unwrap()[i * 3..][..3];
        for (got, expected) in seen.features[i * 6..][..6].iter().zip(&features) {
            largest = largest.max(*expected);
            assert!((f64::from(*got) - expected).abs() < 1e-4 * expected.abs().max(1.0), "{got} {expected}");
        }
        assert!(p.iter().zip(&probabilities).all(|(g, e)| (f64::from(*g) - e).abs() < 1e-4), "{p:?}");
    }
    assert!(largest > 0.1, "features that are all 0 show nothing");
    assert!(judge.accuracy().is_some());
    // What does not fit is said.
    let error = |change: &str, set: &Arc<Dataset>| {
        state_dict(&path, change);
        opened(Some(path.to_str().unwrap()), set, &mut Notes::default()).err().unwrap()
    };
    assert!(error("fc1.bias", &set).contains("`fc1.bias` is missing"));
    assert!(error("conv2.weight", &set).contains("`conv2.weight` is missing"));
    let error = error("", &bars("small", 1, 3, 40));
    assert!(error.contains("45 inputs") && error.contains("8x8"), "{error}");
    std::fs::write(&path, b"no safetensors").unwrap();
    assert!(opened(Some(path.to_str().unwrap()), &set, &mut Notes::default()).is_err());
}

#[test]
fn a_file_of_torch_save_is_the_same_classifier_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("judge.safetensors");
    state_dict(&path, "");
    let items = Bars { side: 12, channels: 1, classes: 3, count: 20 };
    let set = Arc::new(Dataset::new("bars12", &[12, 12, 1], ContentHash([3; 32]), Box::new(items)));
    let mut judge = opened(Some(path.to_str().unwrap()), &set, &mut Notes::default()).unwrap();
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/pretrained");
    let of =
        |name: &str| opened(Some(goldens.join(name).to_str().unwrap()), &set, &mut Notes::default()).unwrap();
    // The archive, the stream of pickles, and a checkpoint with an optimizer, doubles and a transposed matrix: every value.
    for name in ["zip.pth", "legacy.pth", "nested.pth"] {
        let torch = of(name);
        assert_eq!((torch.name(), torch.hash()), (name, judge.hash()));
    }
    // Half precision is read, and seen: weights within 2^-9 of theirs, relatively, are others.
    let images = crate::items(&set, 20);
    let (mut half, whole) = (of("half.pth"), judge.extract(&images).unwrap().features);
    assert_ne!(half.hash(), judge.hash());
    let found = half.extract(&images).unwrap().features;
    let scale = whole.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(scale > 0.1 && found.iter().zip(&whole).all(|(a, b)| (a - b).abs() < 0.02 * scale));
}
