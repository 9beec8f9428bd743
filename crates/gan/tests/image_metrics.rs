//! Metrics that are computed when named: of patches and pairs of images, of paths between codes, by class, at infinite N.

mod common;
#[path = "common/styled.rs"]
mod styled;

use common::{circle, executor, objective, points};
use ganymede::eval::{Drawn, Evaluator, Options, Path, Report, SampleSource, SourceInfo};
use ganymede::latent::{Codes, Space, Synthesizer};
use ganymede::{Error, Objective};
use ganymede_cpu::Session;
use ganymede_data::{ContentHash, Dataset, Items};
use ganymede_metrics::path_length::path_length;
use ganymede_metrics::stats::Random;
use std::sync::Arc;

const SIDE: usize = 16;
const CLASSES: u64 = 3;

/// Stripes whose period is the class's, at a place that depends on the image, with noise of so much.
fn draw(index: u64, class: u64, noise: f32, out: &mut [f32]) {
    let mut random = Random::new(index.wrapping_mul(0x9E37_79B9) ^ 0x7761_7665);
    let (period, shift) = (3 + class as usize, random.below(6));
    for (at, value) in out.iter_mut().enumerate() {
        let stripe = if (at % SIDE + shift).is_multiple_of(period) { 0.6 } else { -0.6 };
        *value = stripe + noise * (random.unit() as f32 - 0.5);
    }
}

struct Stripes;

impl Items for Stripes {
    fn count(&self) -> Option<u64> {
        Some(1200)
    }
    fn held_bytes(&self) -> u64 {
        0
    }
    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        for (&i, item) in indices.iter().zip(out.chunks_exact_mut(SIDE * SIDE)) {
            draw(i, i % CLASSES, 0.5, item);
        }
        if let Some(labels) = labels {
            labels.iter_mut().zip(indices).for_each(|(to, &i)| *to = (i % CLASSES) as i32);
        }
    }
}

fn stripes() -> Arc<Dataset> {
    let names = (0..CLASSES).map(|c| c.to_string()).collect();
    let hash = ContentHash(blake3::hash(b"stripes").into());
    Arc::new(Dataset::new("stripes", &[SIDE, SIDE, 1], hash, Box::new(Stripes)).with_classes(names))
}

/// Generated stripes: image i is drawn as number `of(i)`, of class `class(i)`, with so much noise.
struct Made {
    of: fn(u64) -> u64,
    class: fn(u64) -> u64,
    noise: f32,
}

impl SampleSource for Made {
    fn info(&self) -> SourceInfo {
        SourceInfo::named("made")
    }
    fn shape(&self) -> &[usize] {
        &[SIDE, SIDE, 1]
    }
    fn classes(&self) -> Option<usize> {
        Some(CLASSES as usize)
    }
    fn take(&mut self, first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
        let mut out = vec![0.0; count * SIDE * SIDE];
        for (i, item) in (first..).zip(out.chunks_exact_mut(SIDE * SIDE)) {
            draw((self.of)(i) + 1_000_000, (self.class)(i), self.noise, item);
        }
        // Asked for one class after the other, whatever is drawn.
        Ok((out, Some((first..first + count as u64).map(|i| (i % CLASSES) as i32).collect())))
    }
}

const GOOD: Made = Made { of: |i| i, class: |i| i % CLASSES, noise: 0.5 };

fn report(metric: &str, n: usize, mut made: Made) -> Report {
    let options = Options {
        metrics: Some(vec![metric.into()]),
        n: Some(n),
        extractor: Some("pixels".into()),
        ..Options::default()
    };
    let mut evaluator = Evaluator::new(stripes(), None, options, executor(), None).unwrap();
    evaluator.evaluate(&mut made, &mut ()).unwrap()
}

fn first(report: &Report) -> f64 {
    report.scores[0].value
}

#[test]
fn similar_pairs_are_a_collapse() {
    let good = report("ms-ssim", 600, GOOD);
    let collapsed = report("ms-ssim", 600, Made { of: |i| i % 3, ..GOOD });
    let real = good.scores[0].detail["real"].as_f64().unwrap();
    // Equal laws: within four deviations of a mean of 300 pairs, which the interval of 95 % is two of.
    let [low, high] = good.scores[0].interval.unwrap();
    assert!((first(&good) - real).abs() < 2.0 * (high - low), "{good:?}");
    // One image a class: pairs of a class are copies.
    assert!((first(&collapsed) - 1.0).abs() < 1e-9 && collapsed.scores[0].detail["within_classes"] == true);
    assert!(first(&good) < 0.8 && good.scores[0].name.contains("5 scales"), "{good:?}");
    assert_eq!(first(&good).to_bits(), first(&report("ms-ssim", 600, GOOD)).to_bits());
}

#[test]
fn other_texture_is_seen_in_patches() {
    let good = report("sliced-wasserstein", 200, GOOD);
    let noisy = report("sliced-wasserstein", 200, Made { noise: 3.0, ..GOOD });
    assert!(first(&noisy) > 2.0 * first(&good), "{} {}", first(&noisy), first(&good));
    assert_eq!(good.scores.len(), 2);
    assert!(good.scores[1].name.contains("16x16") && good.extractor.is_none());
    assert_eq!(good.scores[0].detail["images"], 200);
}

#[test]
fn exchanged_classes_are_seen_class_by_class() {
    let whole = |made| first(&report("frechet", 600, made));
    let by_class = |made| report("class-frechet", 600, made);
    let exchanged = || Made { class: |i| (i + 1) % CLASSES, ..GOOD };
    assert!(whole(exchanged()) < 1.2 * whole(GOOD), "the whole set is blind to it");
    let (good, wrong) = (by_class(GOOD), by_class(exchanged()));
    assert!(first(&wrong) > 1.5 * first(&good), "{wrong:?} {good:?}");
    assert_eq!(wrong.scores[0].detail["distances"].as_array().unwrap().len(), 3);
    let [of_good, of_wrong] = [&good, &wrong].map(|report| report.scores[0].interval.unwrap());
    assert!(of_good[1] < of_wrong[0] && of_good[0] < first(&good), "{of_good:?} {of_wrong:?}");
    assert!(good.scores[0].note.contains("no more than features"), "200 samples of 256 values: {good:?}");
}

/// Points whose distance at infinite N is that of the laws.
#[test]
fn the_distance_at_infinite_n_is_below_that_of_n() {
    struct Square(u64);
    impl SampleSource for Square {
        fn info(&self) -> SourceInfo {
            SourceInfo::named("square")
        }
        fn shape(&self) -> &[usize] {
            &[2]
        }
        fn take(&mut self, first: u64, count: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
            let mut random = Random::new(self.0 + first);
            Ok(((0..2 * count).map(|_| (2.0 * random.unit() - 1.0) as f32).collect(), None))
        }
    }
    let options =
        |n| Options { metrics: Some(vec!["frechet-infinity".into()]), n: Some(n), ..Options::default() };
    let mut evaluator = Evaluator::new(points(circle), None, options(1000), executor(), None).unwrap();
    let found = evaluator.evaluate(&mut Square(5), &mut ()).unwrap();
    let points = found.scores[0].detail["points"].as_array().unwrap();
    assert_eq!((points.len(), points[0][0].as_u64(), points[14][0].as_u64()), (15, Some(100), Some(1000)));
    // Variances 1/2 on a circle and 1/3 in the square: 2 (sqrt 1/2 - sqrt 1/3)^2.
    let law = 2.0 * (0.5f64.sqrt() - (1.0f64 / 3.0).sqrt()).powi(2);
    assert!((first(&found) - law).abs() < 0.01, "{} {law}", first(&found));
    let mut few = Evaluator::new(common::points(circle), None, options(30), executor(), None).unwrap();
    let error = few.evaluate(&mut Square(5), &mut ()).unwrap_err().to_string();
    assert!(error.contains("frechet-infinity") && error.contains("got 30"), "{error}");
}

const AFFINE: &str = r#"
name = "affine"
data = { shape = [4], default = "synthetic:ring8" }
latent = { dim = 8 }
train = { batch = 64, images = 400 }
loss = { name = "non-saturating" }

[generator]
layers = ["dense 4"]
optimizer = { kind = "sgd", lr = 1e-2, beta1 = 0.0 }

[discriminator]
layers = ["dense 1"]
optimizer = { kind = "sgd", lr = 1e-2, beta1 = 0.0 }
"#;

fn lengths(objective: &Objective, data: Arc<Dataset>, n: usize, seed: u64) -> Result<Report, Error> {
    let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
    let info = SourceInfo { step: Some(0), ..SourceInfo::named("run") };
    let mut drawn = Drawn::new(objective, &mut session, seed, info);
    let options = Options {
        metrics: Some(vec!["ppl".into()]),
        n: Some(n),
        seed,
        extractor: Some("pixels".into()),
        ..Options::default()
    };
    Evaluator::new(data, None, options, executor(), None)?.evaluate(&mut drawn, &mut ())
}

struct Zeros;

impl Items for Zeros {
    fn count(&self) -> Option<u64> {
        Some(64)
    }
    fn held_bytes(&self) -> u64 {
        0
    }
    fn fill(&self, _: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        out.fill(0.0);
        labels.into_iter().flatten().for_each(|label| *label = 0);
    }
}

fn zeros(shape: &[usize]) -> Arc<Dataset> {
    Arc::new(Dataset::new("zeros", shape, ContentHash([1; 32]), Box::new(Zeros)))
}

#[test]
fn paths_of_an_affine_generator_have_their_length_in_closed_form() {
    let objective = objective(AFFINE, &[]);
    let found = lengths(&objective, zeros(&[4]), 4000, 3).unwrap();
    assert_eq!(found.scores.len(), 1, "it has no styles");
    // A from samples of unit latents; at t the sphere's path has the velocity n' u + n u', u the unit vector that turns by
    // the angle w, n the norm.
    let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
    let mut synthesizer = Synthesizer::new(&objective, &mut session, 0);
    let mut units = vec![0.0; 9 * 8];
    (0..8).for_each(|i| units[(i + 1) * 8 + i] = 1.0);
    let codes = Codes::new(Space::Latent, &[8], units, None).unwrap();
    let images = synthesizer.samples(&codes, &mut |_| {}).unwrap();
    let column = |i: usize, row: usize| f64::from(images[(i + 1) * 4 + row]) - f64::from(images[row]);
    let square = |v: &[f64]| -> f64 {
        (0..4).map(|row| (0..8).map(|i| column(i, row) * v[i]).sum::<f64>().powi(2)).sum()
    };
    let mut random = Random::new(77);
    let (mut sphere, mut straight) = (Vec::new(), Vec::new());
    for _ in 0..20_000 {
        let [a, b] = [0, 1].map(|_| (0..8).map(|_| random.normal()).collect::<Vec<f64>>());
        let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let (na, nb, t) = (norm(&a), norm(&b), random.unit());
        let w = (a.iter().zip(&b).map(|(x, y)| x * y).sum::<f64>() / (na * nb)).acos();
        let n = (1.0 - t) * na + t * nb;
        let velocity = |i: usize| {
            let (u, v) = (a[i] / na, b[i] / nb);
            let place = ((1.0 - t) * w).sin() * u + (t * w).sin() * v;
            let turn = w * (-((1.0 - t) * w).cos() * u + (t * w).cos() * v);
            ((nb - na) * place + n * turn) / w.sin()
        };
        sphere.push(square(&(0..8).map(velocity).collect::<Vec<f64>>()));
        straight.push(square(&(0..8).map(|i| b[i] - a[i]).collect::<Vec<f64>>()));
    }
    let [sphere, straight] = [sphere, straight].map(|all| path_length(&all, 1.0).unwrap().mean.estimate);
    // The deviation of a length is about as large as its mean: 1.6 % of 4000.
    assert!((first(&found) / sphere - 1.0).abs() < 0.06, "{} {sphere}", first(&found));
    assert!((straight / sphere - 1.0).abs() > 0.12, "the straight path would pass: {straight}");
    let again = lengths(&objective, zeros(&[4]), 4000, 3).unwrap();
    assert_eq!(first(&found).to_bits(), first(&again).to_bits());
    assert_ne!(first(&found), first(&lengths(&objective, zeros(&[4]), 4000, 4).unwrap()));
}

const IMAGES: &str = r#"
name = "images"
data = { shape = [8, 8, 1], default = "glyphs" }
latent = { dim = 6 }
train = { batch = 16, images = 400 }
loss = { name = "non-saturating" }

[generator]
layers = ["dense 64 tanh", "reshape 8 8 1"]
optimizer = { lr = 1e-2 }

[discriminator]
layers = ["flatten", "dense 1"]
optimizer = { lr = 1e-2 }
"#;

#[test]
fn generators_with_styles_have_paths_of_styles_too() {
    let objective = styled::with_styles(objective(IMAGES, &[]), Some(2));
    let found = lengths(&objective, zeros(&[8, 8, 1]), 96, 1).unwrap();
    let names: Vec<&str> = found.scores.iter().map(|score| score.name.as_str()).collect();
    let expected = Path::ALL.map(|path| format!("path length, {} (pixels)", path.words()));
    assert_eq!(names, expected);
    assert!(found.scores.iter().all(|score| score.value > 0.0 && score.interval.is_some()));
    // Both ends of a step are of one class, and of one path: twice the step, twice as far.
    let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
    let info = SourceInfo::named("run");
    let mut drawn = Drawn::new(&objective, &mut session, 1, info);
    for path in Path::ALL {
        let mut moved = |epsilon: f64| {
            let mut sum = 0.0;
            let mut add = |from: &[f32], to: &[f32]| -> Result<(), Error> {
                sum += from.iter().zip(to).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
                Ok(())
            };
            drawn.along(path, 20, epsilon, &mut add).unwrap();
            sum
        };
        let (one, two) = (moved(1e-3), moved(2e-3));
        assert!((two / one / 4.0 - 1.0).abs() < 0.02, "{path:?}: {one} {two}");
        assert_eq!(moved(0.0), 0.0);
    }
}

#[test]
fn what_takes_long_is_left_out_unless_named_and_what_does_not_suit_is_refused() {
    let options = Options { n: Some(300), extractor: Some("pixels".into()), ..Options::default() };
    let mut evaluator = Evaluator::new(stripes(), None, options.clone(), executor(), None).unwrap();
    let all = evaluator.evaluate(&mut Made { ..GOOD }, &mut ()).unwrap();
    for metric in ["ms-ssim", "sliced-wasserstein", "frechet-infinity"] {
        let skipped = all.skipped.iter().find(|skipped| skipped.metric == metric).unwrap();
        assert!(skipped.reason.contains(&format!("--metrics {metric}")), "{skipped:?}");
    }
    assert!(all.skipped.iter().any(|s| s.metric == "ppl" && s.reason.contains("no generator")));
    assert!(all.skipped.iter().any(|s| s.metric == "inception-score" && s.reason.contains("no classifier")));
    assert!(all.value("class-frechet").is_some());
    let named = Options { metrics: Some(vec!["ppl".into()]), ..options };
    let error = Evaluator::new(stripes(), None, named, executor(), None)
        .unwrap()
        .evaluate(&mut Made { ..GOOD }, &mut ())
        .unwrap_err()
        .to_string();
    assert!(error.contains("metric ppl") && error.contains("checkpoint"), "{error}");
}
