//! Scores of samples whose faults are known.

use ganymede::Error;
use ganymede::eval::metrics::METRICS;
use ganymede::eval::{Evaluator, Images, Options, Report, SampleSource, SourceInfo, held_out_part};
use ganymede::picture::write_image;
use ganymede_cpu::{Executor, ExecutorOptions};
use ganymede_data::{ContentHash, Dataset, Items, OpenOptions, Split, open};
use std::sync::Arc;

/// Images with a bright bar in each channel at the row of its digit, and some noise.
struct Bars {
    channels: usize,
    count: u64,
}

const SIDE: usize = 8;
const DIGITS: u64 = 4;

fn label(index: u64, channels: usize) -> u64 {
    (index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % DIGITS.pow(channels as u32)
}

fn draw(index: u64, label: u64, channels: usize, out: &mut [f32]) {
    for (i, value) in out.iter_mut().enumerate() {
        let (row, channel) = (i / (SIDE * channels), i % channels);
        let digit = label / DIGITS.pow((channels - 1 - channel) as u32) % DIGITS;
        let noise = ((index * 2_654_435_761 + i as u64 * 40_503) >> 7) % 97;
        let noise = 0.4 * noise as f32 / 97.0;
        *value = if row as u64 == 2 * digit { 1.0 - noise } else { noise - 1.0 };
    }
}

impl Items for Bars {
    fn count(&self) -> Option<u64> {
        Some(self.count)
    }

    fn held_bytes(&self) -> u64 {
        0
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        for (&i, item) in indices.iter().zip(out.chunks_exact_mut(SIDE * SIDE * self.channels)) {
            draw(i, label(i, self.channels), self.channels, item);
        }
        if let Some(labels) = labels {
            labels.iter_mut().zip(indices).for_each(|(to, &i)| *to = label(i, self.channels) as i32);
        }
    }
}

fn bars(spec: &str, channels: usize, count: u64) -> Arc<Dataset> {
    let hash = blake3::hash(format!("{spec} {channels} {count}").as_bytes());
    let names = (0..DIGITS.pow(channels as u32)).map(|c| c.to_string()).collect();
    let items = Box::new(Bars { channels, count });
    let set =
        Dataset::new(spec, &[SIDE, SIDE, channels], ContentHash(hash.into()), items).with_classes(names);
    Arc::new(if spec.starts_with("stacked:") { set.with_channel_classes(DIGITS as usize) } else { set })
}

/// Samples by a formula: the bars of `class(index)`.
struct Made<F> {
    shape: [usize; 3],
    class: F,
    told: bool,
    spoilt: Option<u64>,
}

impl<F: Fn(u64) -> u64> Made<F> {
    fn new(channels: usize, class: F) -> Self {
        Self { shape: [SIDE, SIDE, channels], class, told: false, spoilt: None }
    }
}

impl<F: Fn(u64) -> u64> SampleSource for Made<F> {
    fn info(&self) -> SourceInfo {
        SourceInfo::named("made")
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn classes(&self) -> Option<usize> {
        self.told.then_some(DIGITS as usize)
    }

    fn take(&mut self, first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
        let size: usize = self.shape.iter().product();
        let mut out = vec![0.0; count * size];
        for (i, item) in (first..).zip(out.chunks_exact_mut(size)) {
            draw(i + 1_000_000, (self.class)(i), self.shape[2], item);
            if self.spoilt == Some(i) {
                item[3] = f32::NAN;
            }
        }
        let labels =
            self.told.then(|| (first..first + count as u64).map(|i| (self.class)(i) as i32).collect());
        Ok((out, labels))
    }
}

fn executor(threads: usize) -> Arc<Executor> {
    Executor::new(ExecutorOptions { threads: Some(threads), ..ExecutorOptions::default() }).unwrap()
}

fn evaluator(train: &Arc<Dataset>, options: Options, cache: &std::path::Path, threads: usize) -> Evaluator {
    let test = Some(bars("bars, held out", train.shape()[2], 400));
    Evaluator::new(train.clone(), test, options, executor(threads), Some(cache.to_path_buf())).unwrap()
}

fn value(report: &Report, name: &str) -> f64 {
    let found = report.scores.iter().find(|score| score.name.starts_with(name));
    found.unwrap_or_else(|| panic!("no {name} in {:?}", report.scores)).value
}

#[test]
fn faults_are_seen_and_a_perfect_sampler_has_none() {
    let cache = tempfile::tempdir().unwrap();
    let set = bars("bars", 1, 3000);
    let options = Options { n: Some(1200), ..Options::default() };
    let mut of = evaluator(&set, options.clone(), cache.path(), 2);
    let perfect = of.evaluate(&mut Made::new(1, |i| label(i, 1)), &mut ()).unwrap();
    let lost = of.evaluate(&mut Made::new(1, |i| label(i, 1) % 3), &mut ()).unwrap();
    let one = of.evaluate(&mut Made::new(1, |_| 2), &mut ()).unwrap();
    // Frechet, kernel and the law of classes order the three; the rest says what is missing.
    for name in
        ["Frechet distance (classifier)", "kernel distance (classifier)", "KL of classes to the data's"]
    {
        let [a, b, c] = [&perfect, &lost, &one].map(|report| value(report, name));
        assert!(a < b && b < c, "{name}: {a} {b} {c}");
    }
    assert!(value(&perfect, "recall, k = 3, <=") > value(&one, "recall, k = 3, <=") + 0.3);
    assert!((value(&perfect, "share recognised") - 1.0).abs() < 0.01);
    // ln 4 in f64, all samples of one class; a lost class leaves ln(4/3) and what unequal shares add.
    assert!((value(&one, "KL of classes to uniform") - 4f64.ln()).abs() < 1e-9);
    assert!(
        lost.scores.iter().any(|score| score.note.contains("1 of 4 classes missing")),
        "{:?}",
        lost.scores
    );
    // Told surely, it is exp of the entropy of classes: of four, of shares 1/2, 1/4 and 1/4, of one.
    for (report, classes) in [(&perfect, 4.0), (&lost, 2f64.powf(1.5)), (&one, 1.0)] {
        let found = value(report, "exp KL of classes, all samples (classifier)");
        assert!((found / classes - 1.0).abs() < 0.06, "{found} of {classes}");
    }
    let score = &perfect.scores[0];
    let [low, high] = score.interval.unwrap();
    assert!(low <= score.value && score.value <= high);
    let ends = |report: &Report, name: &str| {
        let found = report.scores.iter().find(|score| score.name.starts_with(name)).unwrap();
        found.interval.unwrap_or_else(|| panic!("{name} has no interval"))
    };
    for name in ["KL of classes to the data's", "KL of classes to uniform"] {
        assert!(ends(&perfect, name)[1] < ends(&lost, name)[0], "{name}");
    }
    let [low, high] = ends(&perfect, "share recognised");
    assert!(low > 0.98 && low <= value(&perfect, "share recognised") && high <= 1.0, "{low} {high}");
    // Everything that a score depends on is in the report.
    let extractor = perfect.extractor.as_ref().unwrap();
    assert_eq!((extractor.name.as_str(), extractor.hash.len(), extractor.dimensions), ("classifier", 64, 96));
    assert!(extractor.accuracy.unwrap() > 0.99);
    assert_eq!((perfect.generated, perfect.real, perfect.split), (Some(1200), Some(1200), "train"));
    assert!(perfect.quantization.contains("uint8"));
    let skipped: Vec<&str> = perfect.skipped.iter().map(|skipped| skipped.metric).collect();
    assert_eq!(
        skipped,
        [
            "frechet-infinity",
            "class-frechet",
            "modes",
            "mixture",
            "accuracy",
            "sliced-wasserstein",
            "ms-ssim",
            "ppl"
        ]
    );

    // The same figures on one thread, and of one metric alone: what a training run would choose its best by.
    let mut alone = evaluator(&set, options, cache.path(), 1);
    let again = alone.evaluate(&mut Made::new(1, |i| label(i, 1)), &mut ()).unwrap();
    for (a, b) in perfect.scores.iter().zip(&again.scores) {
        assert_eq!((&a.name, a.value.to_bits(), a.interval), (&b.name, b.value.to_bits(), b.interval));
    }
    let frechet = alone.score("frechet", &mut Made::new(1, |i| label(i, 1)), &mut ()).unwrap();
    assert_eq!(frechet.to_bits(), perfect.value("frechet").unwrap().to_bits());
}

#[test]
fn a_classifier_of_generated_samples_is_as_good_as_they_are() {
    let cache = tempfile::tempdir().unwrap();
    let set = bars("bars", 1, 1000);
    let options = Options { n: Some(600), metrics: Some(vec!["accuracy".into()]), ..Options::default() };
    let mut of = evaluator(&set, options, cache.path(), 2);
    let mut good = Made::new(1, |i| i % DIGITS);
    good.told = true;
    assert!(of.evaluate(&mut good, &mut ()).unwrap().value("accuracy").unwrap() > 0.99);
    // Two classes drawn as each other: half of what is real is then told wrongly. The samples are the wrong twin.
    struct Swapped<S>(S);
    impl<S: SampleSource> SampleSource for Swapped<S> {
        fn info(&self) -> SourceInfo {
            self.0.info()
        }
        fn shape(&self) -> &[usize] {
            self.0.shape()
        }
        fn classes(&self) -> Option<usize> {
            self.0.classes()
        }
        fn take(&mut self, first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
            let (samples, labels) = self.0.take(first, count)?;
            Ok((samples, labels.map(|l| l.into_iter().map(|l| if l < 2 { 1 - l } else { l }).collect())))
        }
    }
    let swapped = of.evaluate(&mut Swapped(good), &mut ()).unwrap().value("accuracy").unwrap();
    assert!((0.4..0.6).contains(&swapped), "{swapped}");
    // Without known classes it is refused.
    let error = of.evaluate(&mut Made::new(1, |i| i % DIGITS), &mut ()).unwrap_err().to_string();
    assert!(error.contains("accuracy") && error.contains("not known"), "{error}");
}

/// Bars of some of the digits alone, numbered from 0 as a part of a set numbers what it has.
struct SomeBars {
    digits: Vec<u64>,
}

impl Items for SomeBars {
    fn count(&self) -> Option<u64> {
        Some(300)
    }

    fn held_bytes(&self) -> u64 {
        0
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        let class = |i: u64| i as usize % self.digits.len();
        for (&i, item) in indices.iter().zip(out.chunks_exact_mut(SIDE * SIDE)) {
            draw(i, self.digits[class(i)], 1, item);
        }
        if let Some(labels) = labels {
            labels.iter_mut().zip(indices).for_each(|(to, &i)| *to = class(i) as i32);
        }
    }
}

#[test]
fn classes_of_the_held_out_part_are_known_by_their_names() {
    let cache = tempfile::tempdir().unwrap();
    let set = bars("bars", 1, 1000);
    let with = |digits: &[u64], names: &[&str], metrics: &[&str], split: Split| {
        let items = Box::new(SomeBars { digits: digits.to_vec() });
        let names = names.iter().map(|name| name.to_string()).collect();
        let test = Dataset::new("bars", &[SIDE, SIDE, 1], ContentHash([9; 32]), items).with_classes(names);
        let metrics = Some(metrics.iter().map(|name| name.to_string()).collect());
        let options = Options { n: Some(300), metrics, split, ..Options::default() };
        Evaluator::new(
            set.clone(),
            Some(Arc::new(test)),
            options,
            executor(2),
            Some(cache.path().to_path_buf()),
        )
    };
    // Digit 2 is class 1 of the held-out part and class 2 of the other: by number, half of all would be wrong.
    let mut made = Made::new(1, |i| i % DIGITS);
    made.told = true;
    let mut of = with(&[0, 2], &["0", "2"], &["classes", "accuracy"], Split::Train).unwrap();
    let report = of.evaluate(&mut made, &mut ()).unwrap();
    assert!(report.extractor.unwrap().accuracy.unwrap() > 0.99);
    assert!(report.scores.iter().any(|s| s.metric == "accuracy" && s.value > 0.99), "{:?}", report.scores);
    // Samples in the place of each other are seen: names that are exchanged are wrong ones.
    let mut of = with(&[0, 2], &["2", "0"], &["accuracy"], Split::Train).unwrap();
    assert!(of.evaluate(&mut made, &mut ()).unwrap().value("accuracy").unwrap() < 0.01);
    // What is compared with is named by its own sum, whatever its classes are called.
    let mut of = with(&[0, 2], &["0", "2"], &["frechet"], Split::Test).unwrap();
    let report = of.evaluate(&mut made, &mut ()).unwrap();
    assert_eq!((report.split, report.data_hash), ("test", "09".repeat(32)));
    // Classes that nothing was learnt of are refused, with both lists.
    let error = with(&[0, 2], &["0", "two"], &["frechet"], Split::Train).err().unwrap().to_string();
    for words in ["lacks: two.", "It has 0, two;", "there are 0, 1, 2, 3."] {
        assert!(error.contains(words), "{error}");
    }
    // So are samples of another shape.
    let test = Some(bars("bars", 3, 40));
    let error = Evaluator::new(set, test, Options::default(), executor(1), None).err().unwrap().to_string();
    assert!(error.contains("[8, 8, 3]") && error.contains("[8, 8, 1]"), "{error}");
}

#[test]
fn modes_of_stacked_digits_are_counted_channel_by_channel() {
    let cache = tempfile::tempdir().unwrap();
    let set = bars("stacked:bars", 3, 1000);
    let options = Options { n: Some(2000), metrics: Some(vec!["modes".into()]), ..Options::default() };
    let mut of = evaluator(&set, options, cache.path(), 2);
    let all = of.evaluate(&mut Made::new(3, |i| label(i, 3)), &mut ()).unwrap();
    assert_eq!(value(&all, "modes"), 64.0);
    // The floor is 63 / 4000 = .016; a deviation is sqrt(2 * 63) / 4000 = .003.
    assert!(value(&all, "KL of modes to uniform") < 0.03, "{:?}", all.scores);
    assert!(value(&all, "share of digits recognised") > 0.99);
    // The middle digit never a 3: 16 triples fewer, and KL at least ln(64 / 48).
    let lost = |i: u64| {
        let triple = label(i, 3);
        if triple / 4 % 4 == 3 { triple - 4 } else { triple }
    };
    let fewer = of.evaluate(&mut Made::new(3, lost), &mut ()).unwrap();
    assert_eq!(value(&fewer, "modes"), 48.0);
    assert!(value(&fewer, "KL of modes to uniform") > (64.0f64 / 48.0).ln());
    assert!(fewer.extractor.unwrap().name.contains("each channel"));
}

#[test]
fn folders_of_images_are_samples_and_their_folders_classes() {
    let (cache, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let set = bars("bars", 1, 1000);
    let mut image = vec![0.0; SIDE * SIDE];
    for i in 0..200u64 {
        let below = folder.path().join((i % DIGITS).to_string());
        std::fs::create_dir_all(&below).unwrap();
        draw(i, i % DIGITS, 1, &mut image);
        write_image(&below.join(format!("{i}.png")), &image, &[SIDE, SIDE, 1]).unwrap();
    }
    let options = Options { metrics: Some(vec!["classes".into(), "accuracy".into()]), ..Options::default() };
    let mut of = evaluator(&set, options.clone(), cache.path(), 2);
    let mut images = Images::open(folder.path(), &set, 0).unwrap();
    assert_eq!((images.available(), images.classes()), (Some(200), Some(4)));
    let (samples, labels) = images.take(0, 200).unwrap();
    for (sample, label) in samples.chunks_exact(SIDE * SIDE).zip(labels.unwrap()) {
        assert!(sample[2 * label as usize * SIDE] > 0.0, "the label is the folder's");
    }
    let report = of.evaluate(&mut images, &mut ()).unwrap();
    assert_eq!(report.generated, Some(200));
    assert!(
        value(&report, "classification accuracy score") > 0.9 && value(&report, "share recognised") > 0.9
    );
    // Another seed, another order; the same one, the same.
    let first = |seed| Images::open(folder.path(), &set, seed).unwrap().take(0, 5).unwrap();
    assert_eq!(first(3), first(3));
    assert_ne!(first(3), first(4));
    // More than there are is refused, and so are folders of which some are classes.
    let mut more = evaluator(&set, Options { n: Some(201), ..options }, cache.path(), 2);
    let error = more.evaluate(&mut images, &mut ()).unwrap_err().to_string();
    assert!(error.contains("201 samples are wanted and 200 are there"), "{error}");
    write_image(&folder.path().join("stray.png"), &image, &[SIDE, SIDE, 1]).unwrap();
    let error = Images::open(folder.path(), &set, 0).err().unwrap().to_string();
    assert!(error.contains("stray.png") && error.contains("in none of them"), "{error}");
    let error = Images::open(cache.path().join("none").as_path(), &set, 0).err().unwrap().to_string();
    assert!(error.contains("none"), "{error}");
}

/// A classifier of 8x8 grey images whose features overflow.
fn broken_judge(path: &std::path::Path) {
    use safetensors::tensor::{Dtype, TensorView};
    let shapes = [
        ("conv1.weight", vec![2, 1, 3, 3]),
        ("conv1.bias", vec![2]),
        ("conv2.weight", vec![2, 2, 3, 3]),
        ("conv2.bias", vec![2]),
        ("conv3.weight", vec![2, 2, 3, 3]),
        ("conv3.bias", vec![2]),
        ("fc1.weight", vec![5, 8]),
        ("fc1.bias", vec![5]),
        ("fc2.weight", vec![4, 5]),
        ("fc2.bias", vec![4]),
    ];
    let value = |name: &str| if name.ends_with("bias") { 1.0f32 } else { 1e30 };
    let bytes: Vec<Vec<u8>> =
        shapes.iter().map(|(name, shape)| value(name).to_le_bytes().repeat(shape.iter().product())).collect();
    let views = shapes.iter().zip(&bytes);
    let views =
        views.map(|((name, shape), b)| (*name, TensorView::new(Dtype::F32, shape.clone(), b).unwrap()));
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn no_image_of_a_folder_is_passed_over_in_silence() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let set = bars("bars", 1, 100);
    let mut image = vec![0.0; SIDE * SIDE];
    let mut write = |path: &std::path::Path| {
        draw(1, 1, 1, &mut image);
        write_image(path, &image, &[SIDE, SIDE, 1]).unwrap();
    };
    for name in ["a.png", "b.png", ".hidden.png"] {
        write(&folder.path().join(name));
    }
    write(&elsewhere.path().join("c.png"));
    let open = || Images::open(folder.path(), &set, 0).map(|images| images.available());
    let error = || open().err().unwrap().to_string();
    assert_eq!(open().unwrap(), Some(2));
    // Formats that are not read.
    for name in ["d.webp", "e.BMP"] {
        std::fs::write(folder.path().join(name), b"picture").unwrap();
    }
    assert!(error().contains("d.webp and 1 more: PNG and JPEG alone are read"), "{}", error());
    std::fs::remove_file(folder.path().join("d.webp")).unwrap();
    assert!(error().contains("e.BMP: PNG") && error().contains("convert it"), "{}", error());
    std::fs::remove_file(folder.path().join("e.BMP")).unwrap();
    std::fs::write(folder.path().join("report.json"), b"{}").unwrap();
    assert_eq!(open().unwrap(), Some(2));
    // Links to folders are followed, and none of them in a circle, twice, or into nothing.
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        let link = |to: &std::path::Path, name: &str| symlink(to, folder.path().join(name)).unwrap();
        let gone = |name: &str| std::fs::remove_file(folder.path().join(name)).unwrap();
        link(elsewhere.path(), "linked");
        assert_eq!(open().unwrap(), Some(3));
        link(elsewhere.path(), "twice");
        assert!(error().contains("is the same folder as") && error().contains("twice"), "{}", error());
        gone("twice");
        symlink(folder.path(), elsewhere.path().join("round")).unwrap();
        assert!(error().contains("linked/round is the same folder as"), "{}", error());
        std::fs::remove_file(elsewhere.path().join("round")).unwrap();
        link(&elsewhere.path().join("nothing"), "broken.png");
        assert!(error().contains("broken.png: cannot look at"), "{}", error());
        gone("broken.png");
        assert_eq!(open().unwrap(), Some(3));
    }
}

#[test]
fn what_cannot_be_scored_is_refused_or_left_out_with_a_reason() {
    let cache = tempfile::tempdir().unwrap();
    let set = bars("bars", 1, 1000);
    let good = || Made::new(1, |i| label(i, 1));
    let of = |options: Options| evaluator(&set, options, cache.path(), 2);
    let named = |name: &str, n: usize| Options {
        metrics: Some(vec![name.into()]),
        n: Some(n),
        extractor: Some("pixels".into()),
        ..Options::default()
    };
    // Too few for the metric: an error if it was named, a reason if not.
    let error = of(named("kid", 500)).evaluate(&mut good(), &mut ()).unwrap_err().to_string();
    assert!(
        error.contains("metric kid") && error.contains("1000 samples") && error.contains("got 500"),
        "{error}"
    );
    let all = Options { metrics: None, ..named("", 500) };
    let report = of(all).evaluate(&mut good(), &mut ()).unwrap();
    let why = |metric: &str| report.skipped.iter().find(|s| s.metric == metric).map(|s| s.reason.clone());
    assert!(why("kid").unwrap().contains("got 500"));
    assert!(why("classes").unwrap().contains("no classifier"));
    // Values that are not finite, samples of another shape, unknown names, no samples.
    let mut spoilt = good();
    spoilt.spoilt = Some(321);
    let error = of(named("frechet", 500)).evaluate(&mut spoilt, &mut ()).unwrap_err().to_string();
    assert!(error.contains("sample 321") && error.contains("NaN"), "{error}");
    let error =
        of(named("frechet", 500)).evaluate(&mut Made::new(3, |_| 0), &mut ()).unwrap_err().to_string();
    assert!(error.contains("[8, 8, 3]") && error.contains("[8, 8, 1]"), "{error}");
    let new = |options: Options| Evaluator::new(set.clone(), None, options, executor(1), None);
    let error = new(named("freshet", 10)).err().unwrap().to_string();
    assert!(error.contains("freshet") && error.contains("frechet"), "{error}");
    assert!(new(Options { n: Some(0), ..Options::default() }).is_err());
    for metric in ["mixture", "modes"] {
        let error = of(named(metric, 100)).evaluate(&mut good(), &mut ()).unwrap_err().to_string();
        assert!(error.contains(&format!("metric {metric}")), "{error}");
    }
    // A class of which nothing was generated teaches a classifier nothing, and one without real samples has no share.
    let mut lacking = Made::new(1, |i| i % (DIGITS - 1));
    lacking.told = true;
    let error = of(named("accuracy", 400)).evaluate(&mut lacking, &mut ()).unwrap_err().to_string();
    assert!(error.contains("class 3 has no generated sample among 400"), "{error}");
    let few =
        Options { n: Some(3), extractor: None, metrics: Some(vec!["classes".into()]), ..Options::default() };
    let error = of(few).evaluate(&mut Made::new(1, |i| i % DIGITS), &mut ()).unwrap_err().to_string();
    assert!(error.contains("has no sample among the 3 real ones"), "{error}");
    // Features that are not finite, with the extractor that made them.
    let weights = cache.path().join("broken.safetensors");
    broken_judge(&weights);
    let through = |extractor: &std::path::Path| Options {
        extractor: Some(extractor.display().to_string()),
        ..named("frechet", 100)
    };
    let error = of(through(&weights)).evaluate(&mut good(), &mut ()).unwrap_err().to_string();
    assert!(error.contains("broken.safetensors") && error.contains("finite"), "{error}");
    // An extractor of other channels.
    let error = evaluator(&bars("bars", 3, 1000), through(&weights), cache.path(), 2)
        .evaluate(&mut Made::new(3, |_| 0), &mut ())
        .unwrap_err()
        .to_string();
    assert!(error.contains("broken.safetensors") && error.contains("channel"), "{error}");
    // A held-out part that does not exist cannot be compared with.
    let options = Options { split: Split::Test, ..Options::default() };
    assert!(Evaluator::open("nowhere/", None, options, executor(1)).is_err());
    assert!(METRICS.len() >= 8);
}

/// Points of a law that is known, half of whose modes are missing.
#[test]
fn points_are_scored_against_their_mixture() {
    struct Points(Arc<Dataset>);
    impl SampleSource for Points {
        fn info(&self) -> SourceInfo {
            SourceInfo::named("points")
        }
        fn shape(&self) -> &[usize] {
            self.0.shape()
        }
        fn take(&mut self, first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
            let mut out = vec![0.0; 2 * count];
            self.0.fill(&(first..first + count as u64).collect::<Vec<_>>(), &mut out, None)?;
            // The right half of the plane alone.
            out.chunks_exact_mut(2).for_each(|p| p[0] = p[0].abs());
            Ok((out, None))
        }
    }
    let of = |spec: &str| Arc::new(open(spec, &OpenOptions::default()).unwrap());
    let (ring, other) = (of("synthetic:ring8"), of("synthetic:ring8"));
    let mut evaluator = Evaluator::new(ring, None, Options::default(), executor(1), None).unwrap();
    let report = evaluator.evaluate(&mut Points(other), &mut ()).unwrap();
    // Of eight on a circle, two lie on the axis of the reflection and three to its right.
    assert_eq!(value(&report, "modes"), 5.0);
    assert!(value(&report, "share within 3 sigma") > 0.95 && report.extractor.is_none());
    assert!(value(&report, "reverse KL of modes") > 0.2);
    assert!(report.skipped.iter().any(|s| s.metric == "frechet" && s.reason.contains("known mixture")));
}

#[test]
fn a_file_that_is_both_parts_holds_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digits-idx3-ubyte");
    let header = [0u8, 0, 8, 3, 0, 0, 0, 40, 0, 0, 0, 8, 0, 0, 0, 8];
    let pixels = (0..40 * 64u32).map(|i| (i * 97 % 251) as u8);
    std::fs::write(&path, header.into_iter().chain(pixels).collect::<Vec<u8>>()).unwrap();
    let spec = path.to_str().unwrap();
    let set = open(spec, &OpenOptions::default()).unwrap();
    assert!(held_out_part(&set).unwrap().is_none());
    let options = Options { split: Split::Test, extractor: Some("pixels".into()), ..Options::default() };
    let executor = Executor::new(ExecutorOptions::default()).unwrap();
    let error = Evaluator::open(spec, None, options, executor).err().unwrap().to_string();
    assert!(error.contains("--split test") && error.contains("the same samples"), "{error}");
}
