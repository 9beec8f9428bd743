//! Distances between feature sets against NumPy, SciPy and prdc (`tools/goldens_metrics.py`), closed forms, and twins that
//! are wrong on purpose.

mod common;

use common::{Set, close, drawn};
use ganymede_metrics::frechet::{Gaussian, GaussianFit, frechet_distance};
use ganymede_metrics::influence::influence;
use ganymede_metrics::kernel::{KernelOptions, discrepancy, kernel_distance};
use ganymede_metrics::neighbours::{Ball, PrecisionRecall, density_coverage, precision_recall, radii};
use ganymede_metrics::pairs::{PairOptions, compare};
use ganymede_metrics::stats::Random;
use ganymede_metrics::{Features, MetricError};
use nalgebra::DMatrix;

const GOLDENS: &str = include_str!("../goldens/distances.txt");

fn golden(case: &str, figure: &str) -> f64 {
    common::golden(GOLDENS, case, figure)
}

const CASES: [(&str, Set, Set); 8] = [
    ("full", (1, 500, 64, 1.0, 0.0, ""), (2, 400, 64, 1.1, 0.05, "")),
    ("wide", (3, 40, 96, 1.0, 0.0, ""), (4, 60, 96, 0.9, 0.1, "")),
    ("mixed", (5, 30, 48, 1.0, 0.0, ""), (6, 300, 48, 1.2, 0.0, "")),
    ("far", (7, 300, 32, 1.0, 0.0, ""), (8, 300, 32, 1.0, 300.0, "")),
    ("flat", (9, 400, 40, 1.0, 0.0, "flat"), (10, 300, 40, 1.0, 0.1, "flat")),
    ("half-flat", (9, 400, 40, 1.0, 0.0, "flat"), (11, 300, 40, 1.0, 0.1, "")),
    ("dead", (12, 200, 32, 1.0, 0.0, "dead"), (13, 200, 32, 1.5, 0.0, "dead")),
    ("whole", (14, 200, 6, 1.0, 0.0, "whole"), (15, 150, 6, 1.0, 0.0, "whole")),
];

#[test]
fn frechet_is_the_exact_trace_at_every_rank() {
    for (name, a, b) in CASES {
        let (a, b) = (drawn(a), drawn(b));
        close(name, frechet_distance(&a, &b).unwrap(), golden(name, "frechet"), 1e-9);
        close(name, frechet_distance(&b, &a).unwrap(), golden(name, "frechet"), 1e-9);
    }
    // Where both sets have full rank the libraries' root is as good; elsewhere it is off by more than our tolerance.
    for name in ["full", "far"] {
        close(name, golden(name, "frechet_sqrtm"), golden(name, "frechet"), 1e-9);
    }
    let off = |name| (golden(name, "frechet_sqrtm") / golden(name, "frechet") - 1.0).abs();
    assert!(off("flat") > 1e-9 || off("wide") > 1e-9);
}

fn covariance(set: &Features) -> DMatrix<f64> {
    let d = set.dimensions();
    DMatrix::from_vec(d, d, Gaussian::of(set).unwrap().covariance())
}

#[test]
fn wrong_roots_are_told_apart() {
    let traces = |a: &Features, b: &Features| {
        let (fa, fb) = (Gaussian::of(a).unwrap(), Gaussian::of(b).unwrap());
        let mean: f64 = fa.mean().iter().zip(fb.mean()).map(|(x, y)| (x - y).powi(2)).sum();
        mean + covariance(a).trace() + covariance(b).trace()
    };
    // The real parts of the eigenvalues of a product that is not symmetric: zeros come out as pairs of small numbers,
    // whose roots are large.
    let (_, a, b) = CASES[1];
    let (a, b) = (drawn(a), drawn(b));
    let eigenvalues = (covariance(&a) * covariance(&b)).complex_eigenvalues();
    let real: f64 = eigenvalues.iter().map(|v| v.re.max(0.0).sqrt()).sum();
    let twin = traces(&a, &b) - 2.0 * real;
    let error = (twin / golden("wide", "frechet") - 1.0).abs();
    assert!(error > 1e-9, "the real-valued root is only {error:e} off");
    // The product of the roots in place of the root of the product: right only where the two commute.
    let (_, a, b) = CASES[0];
    let (a, b) = (drawn(a), drawn(b));
    let root = |s: DMatrix<f64>| {
        let e = s.symmetric_eigen();
        let roots = e.eigenvalues.map(|v| v.max(0.0).sqrt());
        &e.eigenvectors * DMatrix::from_diagonal(&roots) * e.eigenvectors.transpose()
    };
    let twin = traces(&a, &b) - 2.0 * (root(covariance(&a)) * root(covariance(&b))).trace();
    assert!((twin / golden("full", "frechet") - 1.0).abs() > 1e-4);
}

#[test]
fn frechet_closed_forms() {
    let a = drawn((21, 300, 24, 1.0, 0.0, ""));
    let scale = covariance(&a).trace();
    assert!(frechet_distance(&a, &a).unwrap() < 1e-12 * scale);
    let map = |f: &dyn Fn(usize, f64) -> f64| {
        let values = a.values().iter().enumerate().map(|(i, &v)| f(i % 24, v)).collect();
        Features::new(values, 24).unwrap()
    };
    // Equal covariances leave the squared distance of the means: a shift by j / 10 in dimension j.
    let shifted = map(&|j, v| v + j as f64 / 10.0);
    let expected: f64 = (0..24).map(|j| (f64::from(j) / 10.0).powi(2)).sum();
    close("shift", frechet_distance(&a, &shifted).unwrap(), expected, 1e-10);
    // c x has covariance c^2 S, which commutes with S: sum (1 - c)^2 lambda, beside the means.
    let mean_square: f64 = Gaussian::of(&a).unwrap().mean().iter().map(|m| m * m).sum();
    let scaled = map(&|_, v| 3.0 * v);
    close("scale", frechet_distance(&a, &scaled).unwrap(), 4.0 * (scale + mean_square), 1e-10);
    // Diagonal covariances of other spectra commute too: sum (sqrt l1 - sqrt l2)^2. Corners of a box, scaled by dimension.
    let box_of = |scale: &dyn Fn(usize) -> f64| {
        let corner = |i: usize| (0..4).map(move |j| if i >> j & 1 == 0 { 1.0 } else { -1.0 });
        let values =
            (0..16).flat_map(|i| corner(i).enumerate().map(|(j, x)| x * scale(j)).collect::<Vec<f64>>());
        Features::new(values.collect(), 4).unwrap()
    };
    let (one_way, other) = (box_of(&|j| 1.0 + j as f64), box_of(&|j| 5.0 - 1.5 * j as f64));
    let expected: f64 =
        (0..4).map(f64::from).map(|j| (1.0 + j - (5.0 - 1.5 * j).abs()).powi(2)).sum::<f64>() * 16.0 / 15.0;
    close("spectra", frechet_distance(&one_way, &other).unwrap(), expected, 1e-12);
    // One dimension: (m1 - m2)^2 + (s1 - s2)^2.
    let one = |x: &[f64]| Features::new(x.to_vec(), 1).unwrap();
    close("line", frechet_distance(&one(&[0.0, 2.0]), &one(&[5.0, 5.0, 5.0])).unwrap(), 16.0 + 2.0, 1e-14);
    // A rotation of both leaves it.
    let b = drawn((22, 200, 24, 1.2, 0.1, ""));
    let turn = DMatrix::from_fn(24, 24, |i, j| ((3 * i + 7 * j) % 11) as f64 - 5.0).qr().q();
    let turned = |set: &Features| {
        let x = DMatrix::from_vec(24, set.rows(), set.values().to_vec());
        Features::new((&turn * x).as_slice().to_vec(), 24).unwrap()
    };
    let whole = frechet_distance(&a, &b).unwrap();
    close("turn", frechet_distance(&turned(&a), &turned(&b)).unwrap(), whole, 1e-10);
}

#[test]
fn a_fit_does_not_depend_on_how_rows_arrive() {
    // Rows are folded in by blocks of 2048, and of none of them before there are more than dimensions.
    for (count, rows) in [(1500, vec![1, 7, 512, 600]), (5000, vec![1, 1999, 2047, 2048, 2049, 4500])] {
        let set = drawn((31, count, 20, 1.0, 0.0, ""));
        let whole = Gaussian::of(&set).unwrap();
        for rows in rows {
            let mut fit = GaussianFit::new(20).unwrap();
            set.values().chunks(rows * 20).for_each(|chunk| fit.push(chunk).unwrap());
            assert_eq!(fit.samples(), count);
            let fitted = fit.finish().unwrap();
            assert_eq!((fitted.mean(), fitted.covariance()), (whole.mean(), whole.covariance()), "{rows}");
        }
    }
    let set = drawn((31, 1500, 20, 1.0, 0.0, ""));
    let whole = Gaussian::of(&set).unwrap();
    // Divisor N - 1, by the definition.
    let mean = |j: usize| (0..1500).map(|i| set.row(i)[j]).sum::<f64>() / 1500.0;
    let (m, n) = (mean(3), mean(8));
    let expected = (0..1500).map(|i| (set.row(i)[3] - m) * (set.row(i)[8] - n)).sum::<f64>() / 1499.0;
    close("covariance", whole.covariance()[3 * 20 + 8], expected, 1e-9);
    // The short formula E[x x'] - m m' fails far from the origin; this does not.
    let far = Features::new(set.values().iter().map(|v| v + 1e7).collect(), 20).unwrap();
    let far = Gaussian::of(&far).unwrap().covariance();
    close("far", far[3 * 20 + 3], whole.covariance()[3 * 20 + 3], 1e-7);
}

#[test]
fn covariances_of_more_dimensions_than_a_tile_are_those_of_the_definition() {
    let d = 530;
    // One block of rows, and two of them with means far apart, which the sum over both has a term of its own for.
    for rows in [700, 2500] {
        let drifting = |(at, value): (usize, &f64)| value + (at / d) as f64 * 1e-3 * ((at % d) % 5) as f64;
        let set = drawn((41, rows, d, 1.0, 0.2, ""));
        let set = Features::new(set.values().iter().enumerate().map(drifting).collect(), d).unwrap();
        covariances_are_those_of_the_definition(&set);
    }
    assert!(Gaussian::from_factor(1, vec![0.0; 3], vec![0.0; 9]).is_err());
    assert!(Gaussian::from_factor(9, vec![0.0; 3], vec![0.0; 8]).is_err());
}

fn covariances_are_those_of_the_definition(set: &Features) {
    let (rows, d) = (set.rows(), set.dimensions());
    let fitted = Gaussian::of(set).unwrap();
    let covariance = fitted.covariance();
    let mean = |j: usize| (0..rows).map(|i| set.row(i)[j]).sum::<f64>() / rows as f64;
    // In each of the four tiles, on and beside the diagonal.
    for (j, k) in [(0, 0), (7, 300), (300, 7), (3, 525), (525, 3), (520, 520), (529, 513)] {
        let (m, n) = (mean(j), mean(k));
        let sum: f64 = (0..rows).map(|i| (set.row(i)[j] - m) * (set.row(i)[k] - n)).sum();
        close(&format!("{j} {k}"), covariance[j * d + k], sum / (rows - 1) as f64, 1e-9);
    }
    close("distance to itself", 1.0 + fitted.distance(&fitted).unwrap(), 1.0, 1e-9);
    let kept = Gaussian::from_factor(rows, fitted.mean().to_vec(), fitted.factor().to_vec()).unwrap();
    assert_eq!((kept.mean(), kept.covariance()), (fitted.mean(), covariance));
}

#[test]
fn frechet_intervals_hold_the_distance_as_often_as_they_say() {
    // Uniform laws on the plane shifted by 1: the distance of the laws is 1, and its estimate's bias far below its error.
    let draw = |seed: u64, shift: f64| {
        let mut random = Random::new(seed);
        Features::new((0..400).map(|i| random.unit() + if i % 2 == 0 { shift } else { 0.0 }).collect(), 2)
            .unwrap()
    };
    let rounds = 200;
    let holds = |round: u64| {
        let (a, b) = (draw(1000 + round, 0.0), draw(5000 + round, 1.0));
        let interval = influence(&a, &b).unwrap().interval(frechet_distance(&a, &b).unwrap(), 0.9).unwrap();
        (interval.low..=interval.high).contains(&1.0)
    };
    let held = (0..rounds).filter(|&round| holds(round)).count();
    // 180 expected, standard deviation 4.2.
    assert!((163..=196).contains(&held), "{held}");
    let (a, b) = (draw(1, 0.0), draw(2, 1.0));
    let found = influence(&a, &b).unwrap();
    assert_eq!(found, influence(&a, &b).unwrap());
    assert!(found.interval(1.0, 1.0).is_err());
}

#[test]
fn the_kernel_distance_is_numpys_and_unbiased() {
    for (name, a, b) in CASES {
        close(name, discrepancy(&drawn(a), &drawn(b)).unwrap(), golden(name, "kid"), 1e-9);
    }
    let (a, b) = (drawn((41, 3000, 16, 1.0, 0.0, "")), drawn((42, 3000, 16, 1.0, 0.0, "")));
    let options = KernelOptions { subsets: 50, size: 200, seed: 3 };
    let score = kernel_distance(&a, &b, options).unwrap();
    assert_eq!(score, kernel_distance(&a, &b, options).unwrap());
    assert_ne!(score, kernel_distance(&a, &b, KernelOptions { seed: 4, ..options }).unwrap());
    // Equal laws: 0 on average. The biased twin, with k(x, x) counted, is above 0 by E k(x, x) / size on each side.
    let spread = 4.0 * score.deviation / 50f64.sqrt();
    assert!(score.mean.abs() < spread, "{score:?}");
    let own = |set: &Features| {
        let k = |x: &[f64]| (x.iter().map(|v| v * v).sum::<f64>() / 16.0 + 1.0).powi(3);
        (0..set.rows()).map(|i| k(set.row(i))).sum::<f64>() / (set.rows() * 200) as f64
    };
    assert!(own(&a) + own(&b) > 4.0 * spread, "the twin would pass");
    // Nothing is cut at 0: of equal laws about every second distance lies below.
    let below = (0..40).filter(|i| {
        let [a, b] = [0, 1000].map(|of| drawn((100 + of + i, 60, 8, 1.0, 0.0, "")));
        discrepancy(&a, &b).unwrap() < 0.0
    });
    let below = below.count();
    assert!((10..=36).contains(&below), "{below}");
    // Few samples are refused, not clamped.
    let few = a.select(0..199);
    let error = kernel_distance(&few, &b, options).unwrap_err().to_string();
    assert!(error.contains("200 samples") && error.contains("got 199"), "{error}");
}

#[test]
fn neighbours_are_those_of_prdc_and_of_the_closed_convention() {
    for (name, a, b) in CASES {
        let (a, b) = (drawn(a), drawn(b));
        for k in [3, 5] {
            for (ball, word) in [(Ball::Open, "open"), (Ball::Closed, "closed")] {
                let pr = precision_recall(&a, &b, k, ball).unwrap();
                let dc = density_coverage(&a, &b, k, ball).unwrap();
                let got = [pr.precision, pr.recall, dc.density, dc.coverage];
                for (figure, got) in ["precision", "recall", "density", "coverage"].into_iter().zip(got) {
                    let expected = golden(name, &format!("{word}_{figure}_{k}"));
                    assert!((got - expected).abs() < 1e-12, "{name} {word} {figure} {k}: {got}, {expected}");
                }
            }
        }
    }
    // On whole numbers the conventions differ, so `<=` for `<` would not pass.
    assert!(golden("whole", "closed_density_5") > golden("whole", "open_density_5") + 0.01);
}

#[test]
fn neighbours_closed_forms() {
    // A line of whole numbers: the third neighbour is 2 away inside, 3 at the ends. A self-match would make it 1.
    let line = Features::new((0..10).map(f64::from).collect(), 1).unwrap();
    assert_eq!(radii(&line, 3).unwrap(), [9.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 9.0]);
    assert_eq!(radii(&line, 1).unwrap(), [1.0; 10]);
    // A set against itself: everything is inside; each sample lies in its own ball and in those of the k nearest where
    // the surface counts, which is what density counts.
    let set = drawn((51, 400, 8, 1.0, 0.0, ""));
    let own = density_coverage(&set, &set, 5, Ball::Closed).unwrap();
    assert_eq!((own.density, own.coverage), (6.0 / 5.0, 1.0));
    let own = density_coverage(&set, &set, 5, Ball::Open).unwrap();
    assert_eq!((own.density, own.coverage), (1.0, 1.0));
    // Copies have radius 0: inside where the surface counts, and only there.
    let copies = Features::new([0.3, 0.7, 1e9].repeat(10), 3).unwrap();
    let of = |ball| precision_recall(&copies, &copies, 3, ball).unwrap();
    assert_eq!((of(Ball::Closed).precision, of(Ball::Open).precision), (1.0, 0.0));
    // A tight cluster inside the real set is precise and recalls little.
    let real = drawn((52, 1000, 2, 1.0, 0.0, ""));
    let centre = Gaussian::of(&real).unwrap().mean().to_vec();
    let tight = drawn((53, 1000, 2, 0.02, 0.0, ""));
    let tight: Vec<f64> = tight.values().iter().enumerate().map(|(i, v)| v - 0.017 + centre[i % 2]).collect();
    let cluster = precision_recall(&real, &Features::new(tight, 2).unwrap(), 3, Ball::Open).unwrap();
    assert!(cluster.precision > 0.8 && cluster.recall < 0.3, "{cluster:?}");
    // Equal laws: coverage 1 - 2^-5 in the limit (Naeem et al. 2020, lemma 2).
    let (a, b) = (drawn((54, 3000, 4, 1.0, 0.0, "")), drawn((55, 3000, 4, 1.0, 0.0, "")));
    let alike = density_coverage(&a, &b, 5, Ball::Open).unwrap();
    // Each real sample is covered or not: a deviation of .0032, somewhat more as neighbours share samples.
    assert!((alike.coverage - 0.96875).abs() < 0.012, "{alike:?}");
    assert!((alike.density - 1.0).abs() < 0.05, "{alike:?}");
}

#[test]
fn one_pass_finds_what_each_score_finds_alone() {
    // Several tiles, the last ones ragged.
    let (a, b) = (drawn((71, 1300, 12, 1.0, 0.0, "")), drawn((72, 1100, 12, 1.1, 0.1, "")));
    let kernel = KernelOptions { subsets: 80, size: 300, seed: 5 };
    let both = compare(&a, &b, &PairOptions { neighbours: vec![3, 5], kernel: Some(kernel) }).unwrap();
    for (k, ball) in [(3, Ball::Open), (3, Ball::Closed), (5, Ball::Open), (5, Ball::Closed)] {
        assert_eq!(both.precision_recall(k, ball), precision_recall(&a, &b, k, ball));
        assert_eq!(both.density_coverage(k, ball), density_coverage(&a, &b, k, ball));
    }
    assert_eq!(both.kernel(), Some(kernel_distance(&a, &b, kernel).unwrap()));
    assert!(
        both.answers(&PairOptions { neighbours: vec![5], kernel: None })
            && both.precision_recall(4, Ball::Open).is_err()
    );
    // By differences alone, row by row.
    let square = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum::<f64>();
    let plain = |set: &Features, k: usize| -> Vec<f64> {
        let of = |i: usize| {
            let others = (0..set.rows()).filter(|&j| j != i);
            let mut all: Vec<f64> = others.map(|j| square(set.row(i), set.row(j))).collect();
            all.sort_by(f64::total_cmp);
            all[k - 1]
        };
        (0..set.rows()).map(of).collect()
    };
    assert_eq!(radii(&a, 5).unwrap(), plain(&a, 5));
    let (of_a, of_b) = (plain(&a, 3), plain(&b, 3));
    let share = |balls: &Features, radii: &[f64], points: &Features| {
        let holds = |p: usize| (0..balls.rows()).any(|c| square(balls.row(c), points.row(p)) < radii[c]);
        (0..points.rows()).filter(|&p| holds(p)).count() as f64 / points.rows() as f64
    };
    let found = both.precision_recall(3, Ball::Open).unwrap();
    assert_eq!((found.precision, found.recall), (share(&a, &of_a, &b), share(&b, &of_b, &a)));
    // Subset by subset, where a pass over all pairs would take more, the distance is the same but for rounding.
    let few = KernelOptions { subsets: 3, size: 300, seed: 5 };
    let alone = kernel_distance(&a, &b, few).unwrap();
    let mean = |options: KernelOptions| kernel_distance(&a, &b, options).unwrap();
    assert!((alone.mean - mean(kernel).mean).abs() < 5.0 * mean(kernel).deviation);
}

#[test]
fn intervals_of_shares_and_of_the_kernel_distance_hold_them_as_often_as_they_say() {
    let draw = |seed: u64| drawn((seed, 400, 3, 1.0, 0.0, ""));
    let wide = |seed: u64| drawn((seed, 400, 3, 1.3, 0.0, ""));
    // What the laws' own distance is, from sets far larger than those of the intervals.
    let options = KernelOptions { subsets: 60, size: 100, seed: 1 };
    let long = |seed, scale| drawn((seed, 6000, 3, scale, 0.0, ""));
    let truth = discrepancy(&long(700, 1.0), &long(701, 1.3)).unwrap();
    let holds = |round: u64| {
        let found = kernel_distance(&draw(2000 + round), &wide(4000 + round), options).unwrap();
        let [low, high] = found.interval.unwrap();
        assert!(low < high);
        (low..=high).contains(&truth)
    };
    let held = (0..200).filter(|&round| holds(round)).count();
    // 190 expected, standard deviation 3.1; a little less, since subsets of one set are not independent.
    assert!((176..=199).contains(&held), "{held}");
    // All samples in each subset: nothing to tell the sampling by.
    let whole = KernelOptions { subsets: 4, size: 400, seed: 1 };
    assert_eq!(kernel_distance(&draw(1), &wide(2), whole).unwrap().interval, None);
    // Given the balls, a share is a mean of independent samples: its interval is about +- 1.96 binomial deviations.
    let asked = PairOptions { neighbours: vec![3], kernel: None };
    let found = compare(&draw(1), &wide(2), &asked).unwrap();
    for interval in found.precision_recall_intervals(3, Ball::Closed, 0.95).unwrap() {
        let p = interval.estimate;
        let width = 2.0 * 1.96 * (p * (1.0 - p) / 400.0).sqrt();
        assert!(
            interval.low < p
                && p < interval.high
                && ((interval.high - interval.low) / width - 1.0).abs() < 0.15
        );
    }
    for interval in found.density_coverage_intervals(3, Ball::Open, 0.95).unwrap() {
        assert!(interval.low < interval.estimate && interval.estimate < interval.high);
    }
}

#[test]
fn collapsed_sets_are_scored() {
    // Copies of three rows, of which each pair is one that rounding could decide.
    let rows = drawn((81, 3, 256, 1.0, 0.0, ""));
    let collapsed = rows.select((0..4000).map(|i| i % 3));
    assert_eq!(radii(&collapsed, 5).unwrap(), vec![0.0; 4000]);
    let own = compare(&collapsed, &collapsed, &PairOptions { neighbours: vec![3], kernel: None }).unwrap();
    assert_eq!(own.precision_recall(3, Ball::Closed).unwrap().precision, 1.0);
    assert_eq!(own.precision_recall(3, Ball::Open).unwrap().precision, 0.0);
    let density = own.density_coverage(3, Ball::Closed).unwrap().density;
    assert!((density - 4000.0 / 9.0).abs() < 1.0, "{density}");
    // Two copies and no third: the third neighbour is another row.
    let pair = rows.select([0, 1, 0, 2]);
    let square = |i: usize, j: usize| -> f64 {
        rows.row(i).iter().zip(rows.row(j)).map(|(x, y)| (x - y).powi(2)).sum()
    };
    assert_eq!(radii(&pair, 1).unwrap()[0], 0.0);
    assert_eq!(radii(&pair, 2).unwrap()[0], square(0, 1).min(square(0, 2)));
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let set = drawn((61, 5, 3, 1.0, 0.0, ""));
    let other = drawn((61, 5, 4, 1.0, 0.0, ""));
    assert!(matches!(frechet_distance(&set, &other), Err(MetricError::Length { expected: 3, got: 4, .. })));
    assert!(discrepancy(&set, &other).is_err());
    assert!(frechet_distance(&set, &set.select([0])).is_err());
    assert!(precision_recall(&set, &set, 5, Ball::Open).unwrap_err().to_string().contains("at least 6"));
    assert!(density_coverage(&set, &set, 0, Ball::Open).is_err());
    assert!(density_coverage(&set, &Features::empty(3).unwrap(), 2, Ball::Open).is_err());
    let error = Features::new(vec![0.0, 1.0, f64::NAN, 0.0], 2).unwrap_err().to_string();
    assert!(error.contains("sample 1 is NaN"), "{error}");
    assert!(Features::new(vec![0.0; 5], 2).is_err() && Features::empty(0).is_err());
    assert!(GaussianFit::new(2).unwrap().push(&[f64::INFINITY, 0.0]).is_err());
}

/// A set of so many rows has larger tiles than a small one, and runs of tiles are cut by the number of threads.
#[test]
fn many_rows_have_the_scores_of_a_plain_search_on_any_number_of_threads() {
    let (real, generated) = (drawn((21, 8300, 3, 1.0, 0.0, "")), drawn((22, 900, 3, 1.2, 0.1, "")));
    let square = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let plain_radii = |set: &Features| -> Vec<f64> {
        let kth = |i: usize| {
            let mut all: Vec<f64> =
                (0..set.rows()).filter(|j| *j != i).map(|j| square(set.row(i), set.row(j))).collect();
            *all.select_nth_unstable_by(2, f64::total_cmp).1
        };
        (0..set.rows()).map(kth).collect()
    };
    let share = |of: &Features, balls: &Features, radii: &[f64]| {
        let inside = |row: &[f64]| (0..balls.rows()).any(|j| square(row, balls.row(j)) <= radii[j]);
        (0..of.rows()).filter(|i| inside(of.row(*i))).count() as f64 / of.rows() as f64
    };
    let expected =
        [share(&generated, &real, &plain_radii(&real)), share(&real, &generated, &plain_radii(&generated))];
    assert!(expected.iter().all(|share| (0.05..0.999).contains(share)), "{expected:?}");
    let kernel = KernelOptions { subsets: 20, size: 500, seed: 3 };
    let options = PairOptions { neighbours: vec![3], kernel: Some(kernel) };
    let mut kernels = Vec::new();
    for threads in [1, 2, 3, 16] {
        ganymede_metrics::limit_threads(threads);
        let found = compare(&real, &generated, &options).unwrap();
        let PrecisionRecall { precision, recall } = found.precision_recall(3, Ball::Closed).unwrap();
        assert_eq!([precision, recall], expected, "{threads} threads");
        kernels.push(found.kernel().unwrap().mean.to_bits());
    }
    ganymede_metrics::limit_threads(0);
    assert!(kernels.iter().all(|bits| *bits == kernels[0]), "{kernels:?}");
    let alone = kernel_distance(&real, &generated, kernel).unwrap();
    assert!((alone.mean - f64::from_bits(kernels[0])).abs() < 1e-12, "{alone:?}");
}
