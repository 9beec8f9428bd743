//! Comparing with goldens, and what it takes for a twin to be told apart.

use crate::common;
use ganymede_graph::{Array, Graph, Precision, Tensor, grad, interpret};
use std::collections::HashMap;

/// The named blocks of a golden file.
pub struct Goldens(Vec<(String, String, Array)>);

impl Goldens {
    pub fn parse(text: &str) -> Self {
        Self(common::golden_blocks(text))
    }
    pub fn of(&self, kind: &str, name: &str) -> &Array {
        let found = self.0.iter().find(|b| b.0 == kind && b.1 == name);
        &found.unwrap_or_else(|| panic!("no golden {kind} {name}")).2
    }
    /// Names and numbers of a kind.
    pub fn named<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Array)> {
        self.0.iter().filter(move |b| b.0 == kind).map(|b| (b.1.as_str(), &b.2))
    }
    pub fn inputs(&self) -> HashMap<String, Array> {
        self.named("input").map(|(name, array)| (name.to_string(), array.clone())).collect()
    }
    /// A value and its gradients by inputs, one after the other. A gradient of one zero stands for all of an input's.
    pub fn with_gradients(&self, kind: &str, name: &str, variables: &[&str]) -> Vec<f64> {
        let mut all = self.of(kind, name).floats().to_vec();
        for variable in variables {
            let length = self.of("input", variable).floats().len();
            let gradient = self.of(&format!("{kind}-gradient"), &format!("{name}/{variable}")).floats();
            match gradient {
                [zero] if length > 1 => all.extend(vec![*zero; length]),
                gradient => all.extend(gradient),
            }
        }
        all
    }
}

/// A value of a graph and its gradients by variables, in f64, one after the other.
pub fn with_gradients(
    graph: &Graph,
    value: &Tensor,
    variables: &[Tensor],
    inputs: &HashMap<String, Array>,
) -> Vec<f64> {
    graph.output("value", value);
    for (i, gradient) in grad(value, &variables.iter().collect::<Vec<_>>()).iter().enumerate() {
        graph.output(&format!("gradient {i}"), gradient);
    }
    let outputs = interpret(&graph.finish().unwrap(), inputs, Precision::F64).unwrap().outputs;
    let mut all = outputs["value"].floats().to_vec();
    for i in 0..variables.len() {
        all.extend(outputs[&format!("gradient {i}")].floats());
    }
    all
}

/// Largest deviation, relative to 1 and the expected number.
pub fn deviation(got: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let apart = |(g, e): (&f64, &f64)| {
        let apart = (g - e).abs() / (1.0 + e.abs());
        // What is no number is as far off as can be.
        if apart.is_nan() { f64::INFINITY } else { apart }
    };
    got.iter().zip(expected).map(apart).fold(0.0, f64::max)
}

/// What rounding in f64 may come to.
pub const TOLERANCE: f64 = 1e-9;
/// What a twin must be off by at least, so that no tolerance near the one in use would let it pass.
pub const CLEAR: f64 = 1e-4;

#[track_caller]
pub fn assert_same(got: &[f64], expected: &[f64], what: &str) {
    let apart = deviation(got, expected);
    assert!(apart <= TOLERANCE, "{what} is off by {apart}");
}

#[track_caller]
pub fn assert_told_apart(got: &[f64], expected: &[f64], what: &str) {
    let apart = deviation(got, expected);
    assert!(apart > CLEAR, "{what} passes for it: off by {apart} alone");
}

/// Those of `needed` that no twin is of.
pub fn without_twin<T: PartialEq>(needed: impl IntoIterator<Item = T>, twins: &[T]) -> Vec<T> {
    needed.into_iter().filter(|one| !twins.contains(one)).collect()
}

#[test]
fn a_new_member_without_a_twin_is_noticed() {
    assert_eq!(without_twin(["hinge", "new"], &["wasserstein", "hinge"]), ["new"]);
    assert!(without_twin(["hinge"], &["hinge"]).is_empty());
}
