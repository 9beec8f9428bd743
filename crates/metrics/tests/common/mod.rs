//! Sets by formula and goldens by name.

#![allow(dead_code)]

use ganymede_metrics::Features;
use ganymede_metrics::stats::Random;

/// Seed, samples, dimensions, scale, shift, kind.
pub type Set = (u64, usize, usize, f64, f64, &'static str);

/// A set as `tools/goldens_metrics.py` and `tools/goldens_libraries.py` draw it.
pub fn drawn((seed, n, d, scale, shift, kind): Set) -> Features {
    let mut random = Random::new(seed);
    let z: Vec<f64> = (0..n * d).map(|_| random.unit()).collect();
    let mut values = Vec::with_capacity(n * d);
    for z in z.chunks_exact(d) {
        let plain = |j: usize| scale * (z[j] + 0.7 * z[(7 * j + 1) % d]) + shift * (j % 3) as f64;
        let half = d / 2;
        values.extend((0..d).map(|j| match kind {
            "whole" => (4.0 * z[j]).floor(),
            "flat" if j >= half => plain(j % half) + plain((3 * j + 1) % half),
            "dead" if j % 4 == 0 => 0.0,
            "decay" => plain(j) * 0.5f64.powi((13 * j / d) as i32),
            _ => plain(j),
        }));
    }
    Features::new(values, d).unwrap()
}

/// A figure of a file of goldens, a line each: case, figure, value.
pub fn golden(goldens: &str, case: &str, figure: &str) -> f64 {
    let mut lines = goldens.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let line = lines.find(|words| words.len() == 3 && words[..2] == [case, figure]);
    line.unwrap_or_else(|| panic!("no golden {case} {figure}"))[2].parse().unwrap()
}

/// How far a figure is off, relative to what is expected.
pub fn off(got: f64, expected: f64) -> f64 {
    (got - expected).abs() / expected.abs().max(1e-300)
}

/// Refuses figures that are too far off.
#[track_caller]
pub fn close(what: &str, got: f64, expected: f64, tolerance: f64) {
    let error = off(got, expected);
    assert!(error <= tolerance, "{what}: {got} against {expected}, {error:e} off");
}
