//! Scores of given features beside those of torch-fidelity, clean-fid, pytorch-fid and prdc (`tools/goldens_libraries.py`).

// The example runs quick and long cases alike.
#![allow(dead_code)]

use super::common::{Set, close, drawn, golden};
use ganymede_metrics::frechet::frechet_distance;
use ganymede_metrics::kernel::KernelOptions;
use ganymede_metrics::neighbours::Ball;
use ganymede_metrics::pairs::{PairOptions, compare};

pub const GOLDENS: &str = include_str!("../../goldens/libraries.txt");
pub const LIBRARIES: [&str; 3] = ["torch_fidelity", "clean_fid", "pytorch_fid"];

/// Two sets, and how they are compared.
pub struct Case {
    pub name: &'static str,
    pub real: Set,
    pub generated: Set,
    /// Subsets of the kernel distance, and their size.
    pub subsets: (usize, usize),
    /// Whether both covariances have full rank.
    pub full_rank: bool,
    /// Whether the tests check it: it takes a second at most, on either side.
    pub quick: bool,
}

const fn case(
    name: &'static str,
    real: Set,
    generated: Set,
    subsets: (usize, usize),
    [full_rank, quick]: [bool; 2],
) -> Case {
    Case { name, real, generated, subsets, full_rank, quick }
}

#[rustfmt::skip]
pub const CASES: [Case; 15] = [
    case("n500-d64", (101, 500, 64, 1.0, 0.0, ""), (102, 500, 64, 1.1, 0.05, ""), (20, 200), [true, true]),
    case("n2000-d256", (103, 2000, 256, 1.0, 0.0, ""), (104, 1500, 256, 1.05, 0.02, ""), (10, 500), [true, true]),
    case("n5000-d128", (105, 5000, 128, 1.0, 0.0, ""), (106, 5000, 128, 1.0, 0.0, ""), (5, 1000), [true, false]),
    case("n1500-d1024", (107, 1500, 1024, 1.0, 0.0, ""), (108, 1200, 1024, 1.1, 0.05, ""), (5, 500), [true, false]),
    case("n5000-d2048", (109, 5000, 2048, 1.0, 0.0, ""), (110, 5000, 2048, 1.05, 0.02, ""), (5, 1000), [true, false]),
    case("far-n500-d64", (111, 500, 64, 1.0, 0.0, ""), (112, 500, 64, 1.0, 300.0, ""), (20, 200), [true, true]),
    case("far-n1500-d512", (113, 1500, 512, 1.0, 0.0, ""), (114, 1500, 512, 3.0, 40.0, ""), (5, 500), [true, false]),
    case("decay-n2000-d256", (115, 2000, 256, 1.0, 0.0, "decay"), (116, 2000, 256, 1.1, 0.05, "decay"), (10, 500), [true, true]),
    case("few-n500-d2048", (117, 500, 2048, 1.0, 0.0, ""), (118, 500, 2048, 1.1, 0.05, ""), (10, 200), [false, false]),
    case("few-far-n500-d1024", (119, 500, 1024, 1.0, 0.0, ""), (120, 600, 1024, 1.0, 10.0, ""), (10, 200), [false, false]),
    case("one-few-n300-d512", (121, 300, 512, 1.0, 0.0, ""), (122, 1500, 512, 1.1, 0.0, ""), (10, 200), [false, true]),
    case("flat-n1000-d128", (123, 1000, 128, 1.0, 0.0, "flat"), (124, 1000, 128, 1.1, 0.05, "flat"), (10, 200), [false, true]),
    case("half-flat-n1000-d128", (123, 1000, 128, 1.0, 0.0, "flat"), (125, 1000, 128, 1.1, 0.05, ""), (10, 200), [false, true]),
    case("dead-n1000-d256", (126, 1000, 256, 1.0, 0.0, "dead"), (127, 1000, 256, 1.1, 0.05, "dead"), (10, 200), [false, true]),
    case("whole-n1000-d64", (128, 1000, 64, 1.0, 0.0, "whole"), (129, 800, 64, 1.0, 0.0, "whole"), (10, 200), [true, true]),
];

/// Compares every score of a case, and returns the Frechet distance.
pub fn check(case: &Case) -> f64 {
    let (real, generated) = (drawn(case.real), drawn(case.generated));
    let of = |figure: &str| golden(GOLDENS, case.name, figure);
    let what = |figure: &str| format!("{} {figure}", case.name);
    let frechet = frechet_distance(&real, &generated).unwrap();
    close(&what("frechet"), frechet, of("frechet"), 1e-9);
    if case.full_rank {
        for library in LIBRARIES {
            close(&what(library), of(library), frechet, 1e-4);
        }
    }
    let (subsets, size) = case.subsets;
    let kernel = Some(KernelOptions { subsets, size, seed: 0 });
    let found = compare(&real, &generated, &PairOptions { neighbours: vec![3, 5], kernel }).unwrap();
    let kernel = found.kernel().unwrap();
    close(&what("kid"), kernel.mean, of("kid_torch_fidelity"), 1e-9);
    close(&what("kid"), kernel.mean, of("kid_clean_fid"), 1e-9);
    // torch-fidelity divides by the number of subsets, which of subsets that differ is the smaller deviation.
    let deviation = kernel.deviation * ((subsets - 1) as f64 / subsets as f64).sqrt();
    close(&what("kid deviation"), deviation, of("kid_torch_fidelity_std"), 1e-6);
    for k in [3, 5] {
        // Means of at most 5000 shares; torch-fidelity takes them in f32.
        let same = |figure: String, got: f64, tolerance: f64| {
            let expected = of(&figure);
            assert!((got - expected).abs() <= tolerance, "{} {figure}: {got}, {expected}", case.name);
        };
        let closed = found.precision_recall(k, Ball::Closed).unwrap();
        same(format!("torch_fidelity_precision_{k}"), closed.precision, 1e-7);
        same(format!("torch_fidelity_recall_{k}"), closed.recall, 1e-7);
        let open = found.precision_recall(k, Ball::Open).unwrap();
        let counts = found.density_coverage(k, Ball::Open).unwrap();
        same(format!("prdc_precision_{k}"), open.precision, 1e-12);
        same(format!("prdc_recall_{k}"), open.recall, 1e-12);
        same(format!("prdc_density_{k}"), counts.density, 1e-12);
        same(format!("prdc_coverage_{k}"), counts.coverage, 1e-12);
    }
    frechet
}
