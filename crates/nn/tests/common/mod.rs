//! What the tests share: pseudo-random values and runs of the reference interpreter in f64.
#![allow(dead_code)]

use ganymede_graph::{Array, Graph, Outcome, Precision, interpret};
use std::collections::HashMap;

/// Values in (-1, 1) that depend on `seed` alone (a Weyl sequence, mixed).
pub fn values(seed: u64, count: usize) -> Vec<f64> {
    (1..=count as u64)
        .map(|i| {
            let mut x = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
                .wrapping_add(i.wrapping_mul(0xD1B5_4A32_D192_ED03));
            x ^= x >> 29;
            x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x ^= x >> 32;
            (x >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

/// An array of such values.
pub fn array(seed: u64, shape: &[usize]) -> Array {
    Array::f32(shape, values(seed, shape.iter().product()))
}

/// Runs the graph in f64.
pub fn run(graph: &Graph, inputs: &HashMap<String, Array>) -> Outcome {
    let function = graph.finish().unwrap_or_else(|e| panic!("{e}"));
    interpret(&function, inputs, Precision::F64).unwrap_or_else(|e| panic!("{e}"))
}

/// Equal to within `tolerance` of the larger of 1 and the value.
#[track_caller]
pub fn close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance * e.abs().max(1.0), "element {i}: got {g}, expected {e}");
    }
}
