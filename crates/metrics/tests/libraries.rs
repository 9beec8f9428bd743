//! Scores of given features against torch-fidelity, clean-fid, pytorch-fid and prdc. The larger cases take longer, and run by
//! `cargo run --release -p ganymede-metrics --example agreement`.

#[path = "common/agreement.rs"]
mod agreement;
mod common;

use agreement::{CASES, GOLDENS, LIBRARIES, check};
use common::{golden, off};
use ganymede_metrics::inception::{Order, inception_score};
use ganymede_metrics::stats::Random;

#[test]
fn scores_are_those_of_the_libraries() {
    let quick: Vec<_> = CASES.iter().filter(|case| case.quick).collect();
    assert!(quick.len() >= 9);
    quick.into_iter().for_each(|case| {
        check(case);
    });
}

/// Figures that the documentation states: where a set has not full rank, every program is farther off the exact trace than
/// this one, and nowhere else.
#[test]
fn libraries_are_off_where_sets_lack_rank() {
    for case in CASES.iter().filter(|case| case.quick) {
        let exact = golden(GOLDENS, case.name, "frechet");
        let worst = LIBRARIES
            .map(|library| off(golden(GOLDENS, case.name, library), exact))
            .into_iter()
            .fold(0.0, f64::max);
        if case.full_rank {
            assert!(worst < 1e-9, "{}: {worst:e}", case.name);
        } else if !case.name.starts_with("dead") {
            assert!(worst > 1e-9 || worst.is_nan(), "{}: {worst:e}", case.name);
        }
    }
}

#[test]
fn the_inception_score_is_torch_fidelitys_in_both_orders() {
    let mut random = Random::new(201);
    let logits: Vec<f64> = (0..1000 * 10).map(|_| 12.0 * random.unit()).collect();
    let mut probabilities = Vec::with_capacity(logits.len());
    for row in logits.chunks_exact(10) {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
        probabilities.extend(row.iter().map(|x| (x - largest).exp() / sum));
    }
    for (word, order) in [("given", Order::Given), ("shuffled", Order::Shuffled(3))] {
        for splits in [1, 10] {
            let found = inception_score(&probabilities, 10, splits, order).unwrap();
            let of = |figure: String| golden(GOLDENS, "inception", &figure);
            common::close(word, found.mean, of(format!("{word}_{splits}")), 1e-12);
            let deviation = of(format!("{word}_{splits}_std"));
            assert!(
                (found.deviation - deviation).abs() < 1e-12,
                "{word} {splits}: {} {deviation}",
                found.deviation
            );
        }
    }
    // The orders are told apart: with ten splits they differ.
    let of = |figure| golden(GOLDENS, "inception", figure);
    assert!((of("given_10") - of("shuffled_10")).abs() > 1e-4);
}
