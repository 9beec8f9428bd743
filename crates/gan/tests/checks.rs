//! Faults planted in samples, each named, and samples without faults, none accused.

use ganymede::Error;
use ganymede::eval::{Evaluator, Examined, Options, SampleSource, SourceInfo, TrainedOn};
use ganymede::extractors::Watch;
use ganymede_cpu::{Executor, ExecutorOptions};
use ganymede_data::{ContentHash, Dataset, Items};
use ganymede_metrics::stats::Random;
use std::sync::{Arc, OnceLock};

const SIDE: usize = 12;
const SIZE: usize = SIDE * SIDE;
const CLASSES: u64 = 6;

/// A large blob at the place of the class, and four small ones anywhere: `poor` of 0 as the data have them, of 1 all at the
/// average strength, blurred and with noise.
fn draw(index: u64, class: u64, poor: f64, out: &mut [f32]) {
    let mut random = Random::new(index.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x626c_6f62);
    let angle = class as f64 / CLASSES as f64 * std::f64::consts::TAU;
    let mut jitter = |size: f64| size * (random.unit() - 0.5);
    let mut blobs = vec![(
        5.5 + 3.2 * angle.cos() + jitter(0.9),
        5.5 + 3.2 * angle.sin() + jitter(0.9),
        1.6 + jitter(0.5) + 0.2 * poor,
        1.8 + jitter(0.4),
    )];
    for _ in 0..4 {
        let strength = 0.7 + jitter(1.0) * (1.0 - 0.4 * poor);
        blobs.push((5.5 + jitter(11.0), 5.5 + jitter(11.0), 0.9 + 0.2 * poor + jitter(0.3), strength));
    }
    for (i, value) in out.iter_mut().enumerate() {
        let (y, x) = ((i / SIDE) as f64, (i % SIDE) as f64);
        let light: f64 = blobs
            .iter()
            .map(|(bx, by, r, a)| a * (-((x - bx).powi(2) + (y - by).powi(2)) / (r * r)).exp())
            .sum();
        *value = (light.min(2.0) - 1.0 + 0.06 * poor * jitter(1.0)) as f32;
    }
}

fn class(index: u64) -> u64 {
    Random::new(index ^ 0x636c_6173).below(CLASSES as usize) as u64
}

/// Items from number `first` on, as a file of bytes holds them.
struct Blobs {
    first: u64,
    images: Vec<f32>,
}

impl Blobs {
    fn new(first: u64, count: u64) -> Self {
        let mut images = vec![0.0; count as usize * SIZE];
        for (i, item) in (first..).zip(images.chunks_exact_mut(SIZE)) {
            draw(i, class(i), 0.0, item);
            item.iter_mut().for_each(|v| *v = ((*v + 1.0) * 127.5).round().clamp(0.0, 255.0) / 127.5 - 1.0);
        }
        Self { first, images }
    }
}

impl Items for Blobs {
    fn count(&self) -> Option<u64> {
        Some((self.images.len() / SIZE) as u64)
    }

    fn held_bytes(&self) -> u64 {
        0
    }

    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        for (&i, item) in indices.iter().zip(out.chunks_exact_mut(SIZE)) {
            item.copy_from_slice(&self.images[i as usize * SIZE..][..SIZE]);
        }
        if let Some(labels) = labels {
            labels.iter_mut().zip(indices).for_each(|(to, &i)| *to = class(self.first + i) as i32);
        }
    }
}

fn blobs(first: u64, count: u64) -> Arc<Dataset> {
    let hash = blake3::hash(format!("blobs {first} {count}").as_bytes());
    let names = (0..CLASSES).map(|c| format!("blob {c}")).collect();
    let items = Box::new(Blobs::new(first, count));
    let set = Dataset::new("blobs", &[SIDE, SIDE, 1], ContentHash(hash.into()), items);
    Arc::new(set.with_classes(names))
}

const TRAINING: u64 = 3000;

/// The training image of a number.
fn training(i: u64) -> Vec<f32> {
    let mut image = vec![0.0; SIZE];
    let index = Random::new(i ^ 0x636f_7079).below(TRAINING as usize) as u64;
    draw(index, class(index), 0.0, &mut image);
    image
}

fn shifted(image: &[f32], down: usize, right: usize) -> Vec<f32> {
    let at =
        |y: usize, x: usize| if y < down || x < right { -1.0 } else { image[(y - down) * SIDE + x - right] };
    (0..SIZE).map(|i| at(i / SIDE, i % SIDE)).collect()
}

/// A number in [0, 1) for a sample.
fn chance(i: u64, salt: u64) -> f64 {
    Random::new(i ^ (salt << 40)).unit()
}

/// Samples by a formula, with what a discriminator makes of samples.
struct Made<F, L> {
    sample: F,
    logit: Option<L>,
    trained_on: Option<TrainedOn>,
}

impl<F: Fn(u64, &mut [f32]), L: FnMut(&[f32]) -> f32> SampleSource for Made<F, L> {
    fn info(&self) -> SourceInfo {
        SourceInfo { trained_on: self.trained_on.clone(), ..SourceInfo::named("made") }
    }

    fn shape(&self) -> &[usize] {
        &[SIDE, SIDE, 1]
    }

    fn take(&mut self, first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
        let mut out = vec![0.0; count * SIZE];
        for (i, item) in (first..).zip(out.chunks_exact_mut(SIZE)) {
            (self.sample)(i, item);
        }
        Ok((out, None))
    }

    fn logits(&mut self, samples: &[f32], _: &[i32]) -> Result<Option<Vec<f32>>, Error> {
        Ok(self.logit.as_mut().map(|logit| samples.chunks_exact(SIZE).map(logit).collect()))
    }
}

type NoLogit = fn(&[f32]) -> f32;

fn made<F: Fn(u64, &mut [f32])>(sample: F) -> Made<F, NoLogit> {
    Made { sample, logit: None, trained_on: None }
}

/// A sampler without faults: of another seed, more or less poor, with classes that are not quite even.
fn healthy(seed: u64) -> impl Fn(u64, &mut [f32]) {
    move |i, out| {
        let index = 1_000_000_007 * (seed + 1) + i;
        let mut of = class(index);
        if of == seed % CLASSES && chance(i, seed + 100) < 0.35 {
            of = (of + 1) % CLASSES;
        }
        draw(index, of, 0.2 * (seed % 5) as f64, out);
    }
}

fn executor() -> Arc<Executor> {
    Executor::new(ExecutorOptions { threads: Some(2), ..ExecutorOptions::default() }).unwrap()
}

fn evaluator(cache: &std::path::Path, options: Options) -> Evaluator {
    let test = Some(blobs(10_000_000, 1000));
    Evaluator::new(blobs(0, TRAINING), test, options, executor(), Some(cache.to_path_buf())).unwrap()
}

fn options() -> Options {
    Options { n: Some(1500), metrics: Some(vec!["frechet".into()]), ..Options::default() }
}

fn flagged(examined: &Examined) -> Vec<&'static str> {
    examined.report.findings.iter().filter(|f| f.flagged).map(|f| f.name).collect()
}

fn described(examined: &Examined) -> String {
    let findings = &examined.report.findings;
    findings.iter().map(|f| format!("{} {} {} {:?}\n", f.flagged, f.name, f.value, f.p)).collect()
}

/// An evaluator with a classifier that is trained once for all tests: training takes longer than a question.
fn shared() -> Evaluator {
    shared_with(options())
}

/// The same classifier under other options.
fn shared_with(options: Options) -> Evaluator {
    static CACHE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let cache = CACHE.get_or_init(|| {
        let cache = tempfile::tempdir().unwrap();
        evaluator(cache.path(), self::options()).prepare(&mut ()).unwrap();
        cache
    });
    evaluator(cache.path(), options)
}

/// Plants, and those of them that were not named.
#[derive(Default)]
struct Tally {
    plants: usize,
    missed: Vec<String>,
}

impl Tally {
    fn check(&self) {
        let Self { plants, missed } = self;
        assert!(
            *plants > 0 && missed.len() * 10 <= *plants,
            "{} of {plants} plants missed:\n{}",
            missed.len(),
            missed.join("\n")
        );
    }
}

#[test]
fn healthy_samplers_are_not_accused() {
    let mut of = shared();
    let mut examine = |sample: &dyn Fn(u64, &mut [f32])| of.examine(&mut made(sample), &mut ()).unwrap();
    let mut accused = Vec::new();
    for seed in 0..20 {
        let examined = examine(&healthy(seed));
        if !flagged(&examined).is_empty() {
            accused.push((seed, described(&examined)));
        }
    }
    assert!(accused.len() <= 1, "{} of 20 healthy samplers accused: {accused:?}", accused.len());
}

#[test]
fn copies_of_training_samples_are_named() {
    let mut of = shared();
    let mut examine = |sample: &dyn Fn(u64, &mut [f32])| of.examine(&mut made(sample), &mut ()).unwrap();
    // Of copies that a share of the samples are, and what was done to each.
    type Change = fn(u64, Vec<f32>) -> Vec<f32>;
    let noisy: Change = |i, image| {
        let mut random = Random::new(i);
        image.iter().map(|v| v + 0.08 * (random.unit() as f32 - 0.5)).collect()
    };
    let changes: [(&str, Change); 5] = [
        ("exact", |_, image| image),
        ("shifted", |i, image| shifted(&image, (i % 2) as usize, 1 - (i % 2) as usize)),
        ("brighter", |_, image| image.iter().map(|v| 0.8 * v + 0.1).collect()),
        ("mirrored", |_, image| (0..SIZE).map(|i| image[i / SIDE * SIDE + SIDE - 1 - i % SIDE]).collect()),
        ("noisy", noisy),
    ];
    let mut tally = Tally::default();
    for (what, change) in changes {
        for share in [0.1, 0.3, 1.0] {
            let examined = examine(&|i, out| match chance(i, 7) < share {
                true => out.copy_from_slice(&change(i, training(i))),
                false => healthy(2)(i, out),
            });
            tally.plants += 1;
            let found = examined.report.findings.iter().find(|f| f.name == "copied samples").unwrap();
            if !found.flagged {
                tally.missed.push(format!("{what} {share}: {}", described(&examined)));
            } else {
                // Of shifted ones, what the border cuts off hides about half from the rough view; chance adds a little.
                assert!((0.4 * share..1.3 * share).contains(&found.value), "{what} {share}: {}", found.value);
                assert!(found.sentence.contains("copies of training samples"), "{}", found.sentence);
            }
            let exact = examined.report.findings.iter().find(|f| f.name == "exact copies").unwrap();
            assert_eq!(exact.flagged, what == "exact", "{what} {share}: {}", exact.value);
            let closest = &examined.looks.pairs[0];
            assert!(closest.ratio < 0.5 && closest.images[0].len() == SIZE, "{what}: {}", closest.ratio);
        }
    }
    tally.check();
}

#[test]
fn lost_classes_and_few_images_are_named() {
    let mut of = shared();
    let mut examine = |sample: &dyn Fn(u64, &mut [f32])| of.examine(&mut made(sample), &mut ()).unwrap();
    let mut tally = Tally::default();
    // Kinds that are not made: one class, half of them, one left, a class whose samples are a tenth.
    let among = |kept: &'static [u64]| move |i: u64| kept[Random::new(i ^ 0x6b65_7074).below(kept.len())];
    let lost: [(&str, &'static [u64]); 4] = [
        ("one lost", &[0, 1, 2, 4, 5]),
        ("half lost", &[1, 3, 5]),
        ("two left", &[0, 3]),
        ("one left", &[4]),
    ];
    for (what, kept) in lost {
        let of_class = among(kept);
        let examined = examine(&|i, out| draw(3_000_000_000 + i, of_class(i), 0.3, out));
        tally.plants += 1;
        let found = examined.report.findings.iter().find(|f| f.name == "missing classes").unwrap();
        if found.value != (CLASSES - kept.len() as u64) as f64 {
            tally.missed.push(format!("{what}: {}", described(&examined)));
        }
        // Cells of feature space see it without a classifier's names.
        if !flagged(&examined).contains(&"lost part of the data") {
            tally.missed.push(format!("{what}, by cells: {}", described(&examined)));
        }
        tally.plants += 1;
    }
    // Few different images, one image, and images that are the same but for a little.
    for (what, images) in [("thirty images", 30), ("one image", 1)] {
        for noise in [0.0, 0.05] {
            let examined = examine(&|i, out| {
                healthy(4)(i % images, out);
                let mut random = Random::new(i);
                out.iter_mut().for_each(|v| *v += noise * (random.unit() as f32 - 0.5));
            });
            tally.plants += 1;
            if !flagged(&examined).contains(&"different samples") {
                tally.missed.push(format!("{what} {noise}: {}", described(&examined)));
            }
            let equal = examined.report.findings.iter().find(|f| f.name == "equal samples").unwrap();
            assert_eq!(equal.flagged, noise == 0.0, "{what} {noise}");
        }
    }
    tally.check();
}

/// Samples that are said to be of a class, and are drawn of another: any as often as `deaf`, and the first two exchanged.
struct Labelled {
    deaf: f64,
    exchanged: bool,
}

impl SampleSource for Labelled {
    fn info(&self) -> SourceInfo {
        SourceInfo::named("labelled")
    }

    fn shape(&self) -> &[usize] {
        &[SIDE, SIDE, 1]
    }

    fn classes(&self) -> Option<usize> {
        Some(CLASSES as usize)
    }

    fn take(&mut self, first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
        let mut out = vec![0.0; count * SIZE];
        for (i, item) in (first..).zip(out.chunks_exact_mut(SIZE)) {
            let of = match i % CLASSES {
                _ if chance(i, 7) < self.deaf => class(i),
                class @ 0..2 if self.exchanged => 1 - class,
                class => class,
            };
            draw(5_000_000_000 + i, of, 0.4, item);
        }
        Ok((out, Some((first..first + count as u64).map(|i| (i % CLASSES) as i32).collect())))
    }
}

#[test]
fn a_generator_that_does_not_listen_to_its_classes_is_named_and_pages_are_whole() {
    let mut of = shared();
    for (deaf, exchanged, expected) in [(0.3, false, 0), (0.95, false, 6), (0.0, true, 2)] {
        let examined = of.examine(&mut Labelled { deaf, exchanged }, &mut ()).unwrap();
        let found = examined.report.findings.iter().find(|f| f.check == "conditioning").unwrap();
        assert_eq!(found.value, f64::from(expected), "{deaf}: {} {}", found.sentence, found.detail);
        assert_eq!(found.flagged, expected > 0);
        assert_eq!(found.sentence.contains("blob 0, blob 1"), expected > 0, "{}", found.sentence);
        // A sixth of those that are drawn of any class are of their own.
        let right = 1.0 - deaf * 5.0 / 6.0 - if exchanged { 1.0 / 3.0 } else { 0.0 };
        let seen = found.detail["seen"].as_f64().unwrap();
        assert!((seen - right).abs() < 0.06, "{deaf}: {seen} {right}");
    }
    // Few samples say nothing.
    let mut few = shared_with(Options { n: Some(60), ..options() });
    let examined = few.examine(&mut Labelled { deaf: 1.0, exchanged: false }, &mut ()).unwrap();
    let why = examined.report.unchecked.iter().find(|u| u.check == "conditioning").unwrap();
    assert!(why.reason.contains("it takes 100"), "{}", why.reason);
    assert!(examined.report.findings.iter().all(|f| f.check != "conditioning"));
    let unlabelled = of.examine(&mut made(healthy(1)), &mut ()).unwrap();
    assert!(unlabelled.report.findings.iter().all(|f| f.check != "conditioning"));
    assert!(unlabelled.report.unchecked.iter().all(|u| u.check != "conditioning"));

    // Its page has everything: samples, pairs, two pictures of features and bars of the six classes.
    let page = unlabelled.html().unwrap();
    for part in [
        "Scores",
        "Checks",
        "Nearest to training samples",
        "Precision and recall",
        "Features in the plane",
        "Classes",
    ] {
        let section = page.split(&format!("<h2>{part}</h2>")).nth(1);
        let section = section.unwrap_or_else(|| panic!("no {part}")).split("</section>").next().unwrap();
        let expected = match part {
            "Scores" | "Checks" => "<table>",
            "Nearest to training samples" => "data:image/png;base64,",
            _ => "<svg",
        };
        assert!(section.contains(expected), "{part}: {section}");
    }
    assert_eq!(unlabelled.looks.bars.len(), CLASSES as usize);
    let curve = unlabelled.looks.curve.as_ref().unwrap();
    assert!(curve.points.iter().chain(&curve.of_real).flatten().all(|share| (0.0..=1.0).contains(share)));
}

#[test]
fn a_discriminator_is_asked_about_held_out_samples() {
    let cache = tempfile::tempdir().unwrap();
    let mut of = evaluator(cache.path(), Options { extractor: Some("random-conv".into()), ..options() });
    let known: std::collections::HashSet<Vec<u8>> =
        Blobs::new(0, TRAINING).images.chunks_exact(SIZE).map(bytes).collect();
    // By heart, training samples get a bonus; else a logit that is a function of the image alone. Generated samples are
    // dimmer.
    let logit = |bonus: f32| {
        let known = &known;
        move |image: &[f32]| {
            let light: f32 = image.iter().sum::<f32>() / SIZE as f32;
            let noise = image[7] + image[40] - image[90];
            4.0 * light + noise + if known.contains(&bytes(image)) { bonus } else { 0.0 }
        }
    };
    let dim = |i: u64, out: &mut [f32]| {
        healthy(1)(i, out);
        out.iter_mut().for_each(|v| *v -= 0.15);
    };
    for (bonus, expected) in [(0.0, false), (0.05, false), (1.0, true), (3.0, true)] {
        let examined = of
            .examine(&mut Made { sample: dim, logit: Some(logit(bonus)), trained_on: None }, &mut ())
            .unwrap();
        let found = examined.report.findings.iter().find(|f| f.check == "overfitting").unwrap();
        assert_eq!(found.flagged, expected, "{bonus}: {} {:?}", found.value, found.p);
    }
    // One that was trained on other samples knows those by heart, if any: its figure would say nothing.
    let hash = |set: &Dataset| set.hash().to_string();
    for (data_hash, asked) in [(hash(of.data()), true), (hash(&blobs(7, 9)), false)] {
        let trained_on = Some(TrainedOn { data: "blobs?limit=9".into(), data_hash, version: "0".into() });
        let source = &mut Made { sample: dim, logit: Some(logit(1.0)), trained_on };
        let examined = of.examine(source, &mut ()).unwrap();
        assert_eq!(examined.report.findings.iter().any(|f| f.check == "overfitting"), asked);
        let why = examined.report.unchecked.iter().find(|u| u.check == "overfitting");
        assert_eq!(why.is_some_and(|why| why.reason.contains("blobs?limit=9")), !asked);
        let copies = examined.report.unchecked.iter().find(|u| u.check == "memorization");
        assert_eq!(copies.is_some_and(|why| why.reason.contains("copies of blobs?limit=9")), !asked);
    }
    // A folder has no discriminator, and says so.
    let examined = of.examine(&mut made(healthy(1)), &mut ()).unwrap();
    let why = examined.report.unchecked.iter().find(|u| u.check == "overfitting").unwrap();
    assert!(why.reason.contains("no discriminator"), "{}", why.reason);
}

fn bytes(image: &[f32]) -> Vec<u8> {
    image.iter().map(|v| ((v + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8).collect()
}

#[test]
fn what_cannot_be_checked_says_why() {
    let options = || Options { n: Some(300), extractor: Some("random-conv".into()), ..options() };
    let reason = |test: Option<Arc<Dataset>>, check: &str| {
        let mut of = Evaluator::new(blobs(0, 600), test, options(), executor(), None).unwrap();
        let examined = of.examine(&mut made(healthy(0)), &mut ()).unwrap();
        let found = examined.report.unchecked.iter().find(|u| u.check == check).map(|u| u.reason.clone());
        found.unwrap_or_default()
    };
    assert!(reason(None, "memorization").contains("no part that is held out"));
    assert!(reason(None, "overfitting").contains("no part that is held out"));
    assert!(reason(Some(blobs(10_000_000, 20)), "overfitting").contains("20 held-out samples are too few"));
    // Held-out samples that are training samples.
    let leaked = reason(Some(blobs(0, 100)), "memorization");
    assert!(
        leaked.contains("100 of 100 held-out images") && leaked.contains("nothing is held out"),
        "{leaked}"
    );
    assert!(reason(Some(blobs(10_000_000, 100)), "memorization").is_empty());
    // So few samples that the test could not tell were all of them copies.
    let options = Options { n: Some(30), ..options() };
    let mut of =
        Evaluator::new(blobs(0, TRAINING), Some(blobs(10_000_000, 1000)), options, executor(), None).unwrap();
    let examined =
        of.examine(&mut made(|i, out| out.copy_from_slice(&shifted(&training(i), 1, 0))), &mut ()).unwrap();
    assert!(examined.report.findings.iter().all(|f| f.name != "copied samples"));
    let why = examined.report.unchecked.iter().find(|u| u.check == "memorization").unwrap();
    assert!(why.reason.contains("30 samples") && why.reason.contains("too few"), "{}", why.reason);
}

#[test]
fn exact_copies_are_named_where_nothing_is_held_out() {
    let options = Options { extractor: Some("random-conv".into()), ..options() };
    let mut of = Evaluator::new(blobs(0, TRAINING), None, options, executor(), None).unwrap();
    let mut examine = |sample: &dyn Fn(u64, &mut [f32])| of.examine(&mut made(sample), &mut ()).unwrap();
    let copies = examine(&|i, out| out.copy_from_slice(&training(i)));
    assert!(flagged(&copies).contains(&"exact copies"), "{}", described(&copies));
    assert!(copies.looks.pairs[0].distance < 1e-6, "{}", copies.looks.pairs[0].distance);
    let fresh = examine(&healthy(3));
    assert!(!flagged(&fresh).contains(&"exact copies"));
    // Half of the training samples are among those compared, and copies of these are not authentic.
    let authentic = |of: &Examined| {
        of.report.findings.iter().find(|f| f.name == "authenticity").map(|f| f.value).unwrap()
    };
    assert!(authentic(&copies) < authentic(&fresh) - 0.2, "{}, {}", authentic(&copies), authentic(&fresh));
}

#[test]
fn held_out_samples_that_are_training_samples_accuse_nobody() {
    let options = Options { extractor: Some("random-conv".into()), ..options() };
    // A third of the held-out samples are among those trained on.
    let test = Some(blobs(TRAINING - 300, 1000));
    let mut of = Evaluator::new(blobs(0, TRAINING), test, options, executor(), None).unwrap();
    for seed in [0, 3] {
        let examined = of.examine(&mut made(healthy(seed)), &mut ()).unwrap();
        let found = examined.report.findings.iter().find(|f| f.name == "copied samples").unwrap();
        assert!(!found.flagged, "{}", described(&examined));
        assert_eq!((&found.detail["held_out"], &found.detail["leaked"]), (&700.into(), &300.into()));
    }
    let mut copying = made(|i, out: &mut [f32]| match chance(i, 7) < 0.3 {
        true => out.copy_from_slice(&training(i)),
        false => healthy(2)(i, out),
    });
    let examined = of.examine(&mut copying, &mut ()).unwrap();
    assert!(flagged(&examined).contains(&"copied samples"), "{}", described(&examined));
}

#[test]
fn figures_depend_neither_on_the_batch_nor_on_threads_nor_on_what_was_kept() {
    let cache = tempfile::tempdir().unwrap();
    let of = |threads: usize, batch: Option<usize>, cache: Option<&std::path::Path>| {
        let executor =
            Executor::new(ExecutorOptions { threads: Some(threads), ..ExecutorOptions::default() }).unwrap();
        let options =
            Options { n: Some(700), batch, extractor: Some("random-conv".into()), ..Options::default() };
        let cache = cache.map(std::path::Path::to_path_buf);
        let test = Some(blobs(10_000_000, 300));
        let mut evaluator = Evaluator::new(blobs(0, 900), test, options, executor, cache).unwrap();
        let report = evaluator.examine(&mut made(healthy(3)), &mut ()).unwrap().report;
        let scores: Vec<(String, u64)> =
            report.scores.iter().map(|s| (s.name.clone(), s.value.to_bits())).collect();
        let findings: Vec<(&str, u64)> =
            report.findings.iter().map(|f| (f.name, f.value.to_bits())).collect();
        (scores, findings)
    };
    let first = of(1, None, Some(cache.path()));
    assert!(first.0.len() >= 5 && first.1.len() >= 6, "{first:?}");
    let kept: Vec<_> = std::fs::read_dir(cache.path().join("references")).unwrap().collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(of(2, Some(100), Some(cache.path())), first, "from what was kept, in batches of 256");
    assert_eq!(of(2, Some(300), None), first, "batches of 512");
    // What is damaged is made again, and told.
    let path = kept[0].as_ref().unwrap().path();
    let mut damaged = std::fs::read(&path).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    assert_eq!(of(1, Some(700), Some(cache.path())), first, "after damage");
    assert_ne!(std::fs::read(&path).unwrap(), damaged);
}

/// Fails where real samples are looked at, or something is worth a sentence.
struct Unlooked;

impl Watch for Unlooked {
    fn note(&mut self, message: &str) {
        panic!("{message}");
    }
    fn moved(&mut self, what: &'static str, _: u64, _: u64) {
        assert_ne!(what, "looking at real samples");
    }
}

#[test]
fn what_takes_a_gaussian_alone_keeps_no_features_and_finds_the_same() {
    let cache = tempfile::tempdir().unwrap();
    let kept = || std::fs::read_dir(cache.path().join("references")).unwrap().count();
    let open = || {
        let options = Options { n: Some(700), extractor: Some("random-conv".into()), ..Options::default() };
        let executor = Executor::new(ExecutorOptions::default()).unwrap();
        Evaluator::new(blobs(0, 900), None, options, executor, Some(cache.path().to_path_buf())).unwrap()
    };
    let mut samples = made(healthy(3));
    let first = open().frechet(&mut samples, &mut ()).unwrap();
    assert_eq!(kept(), 1);
    let mut evaluator = open();
    let again = evaluator.frechet(&mut samples, &mut Unlooked).unwrap();
    assert_eq!((first.to_bits(), kept()), (again.to_bits(), 1), "from the Gaussian that was kept");
    // One that is damaged is found anew.
    let path = std::fs::read_dir(cache.path().join("references")).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    assert_eq!(open().frechet(&mut samples, &mut ()).unwrap().to_bits(), first.to_bits());
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    // Metrics that need features look again, and find the same Gaussian on the way.
    let whole = evaluator.evaluate(&mut samples, &mut ()).unwrap();
    assert_eq!((whole.value("frechet").unwrap().to_bits(), kept()), (first.to_bits(), 2));
    assert!(whole.value("precision-recall").is_some(), "{:?}", whole.scores);
}

#[test]
fn two_sets_are_compared_with_intervals_that_hold_the_truth() {
    let options = || Options {
        n: Some(1200),
        metrics: None,
        extractor: Some("random-conv".into()),
        ..Options::default()
    };
    let mut of =
        Evaluator::new(blobs(0, TRAINING), Some(blobs(10_000_000, 500)), options(), executor(), None)
            .unwrap();
    let good = of
        .examine(&mut made(|i, out: &mut [f32]| draw(5_000_000_000 + i, class(i), 0.0, out)), &mut ())
        .unwrap();
    let again = of
        .examine(
            &mut made(|i, out: &mut [f32]| draw(6_000_000_000 + i, class(i + 9_000_000), 0.0, out)),
            &mut (),
        )
        .unwrap();
    let poor = of
        .examine(&mut made(|i, out: &mut [f32]| draw(7_000_000_000 + i, class(i) / 2, 1.0, out)), &mut ())
        .unwrap();
    use ganymede::eval::compare::Verdict;
    let told = of.compare(&good, &poor, &mut ()).unwrap();
    let frechet = told.differences.iter().find(|d| d.metric == "frechet").unwrap();
    assert_eq!(frechet.verdict, Verdict::First, "{frechet:?}");
    assert_eq!(frechet.difference, poor.report.scores[0].value - good.report.scores[0].value);
    assert!(told.sentence.contains("better"), "{}", told.sentence);
    // The other way round the verdict turns.
    let turned = of.compare(&poor, &good, &mut ()).unwrap();
    let turned = turned.differences.iter().find(|d| d.metric == "frechet").unwrap();
    assert_eq!((turned.verdict, turned.difference), (Verdict::Second, -frechet.difference));
    // Equal laws: nearly all scores cannot tell (each has 5 % to).
    let same = of.compare(&good, &again, &mut ()).unwrap();
    let decided =
        same.differences.iter().filter(|d| matches!(d.verdict, Verdict::First | Verdict::Second)).count();
    assert!(decided <= 1, "{:#?}", same.differences);
    assert!(same.differences.iter().filter(|d| d.interval.is_some()).count() >= 5);

    // Pages hold everything themselves.
    let page = poor.html().unwrap();
    assert!(page.contains("data:image/png;base64,") && page.contains("<svg") && page.ends_with("</html>\n"));
    for outside in ["src=\"http", "href=", "<script", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("comparison.html");
    told.write_html(&path, &good.looks, &poor.looks).unwrap();
    assert!(std::fs::read_to_string(&path).unwrap().contains("Score by score"));
}
