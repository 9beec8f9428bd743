//! Losses and gradients of the [`networks`](super::networks) as `tools/goldens.py` computed them with JAX in f64.
//!
//! A file holds, after a comment, blocks of a header line and a line of numbers: `input NAME SHAPE..`, `loss`,
//! `gradient NAME SHAPE..`.

use super::networks::NETWORKS;
use super::relative_norm;
use crate::array::Array;
use crate::function::Function;
use crate::grad::grad;
use crate::graph::Graph;
use crate::tensor::Tensor;
use std::collections::HashMap;

const FILES: &[(&str, &str)] = &[
    ("network", include_str!("../../goldens/network.txt")),
    ("r1", include_str!("../../goldens/r1.txt")),
    ("wgan_gp", include_str!("../../goldens/wgan_gp.txt")),
    ("path_length", include_str!("../../goldens/path_length.txt")),
];

/// A loss and its gradients with known results.
pub struct Golden {
    /// Name of the network.
    pub name: String,
    /// Outputs `loss` and `gradient NAME` for every operand.
    pub function: Function,
    /// Operands by name; exact in f32.
    pub inputs: HashMap<String, Array>,
    /// Outputs by name, to f64 accuracy.
    pub expected: Vec<(String, Array)>,
}

impl Golden {
    /// Runs the function and compares each output: ||got - expected|| <= bound ||expected||.
    pub fn check(
        &self,
        bound: f64,
        mut run: impl FnMut(&Function, &HashMap<String, Array>) -> Result<HashMap<String, Array>, String>,
    ) -> Result<(), String> {
        let got = run(&self.function, &self.inputs).map_err(|e| format!("{}: {e}", self.name))?;
        for (name, expected) in &self.expected {
            let got = got.get(name).ok_or_else(|| format!("{}: no output `{name}`", self.name))?;
            if got.ty != expected.ty {
                return Err(format!("{}: `{name}` is {}, expected {}", self.name, got.ty, expected.ty));
            }
            let difference = relative_norm(expected.floats(), got.floats());
            let near = difference <= bound;
            if !near {
                return Err(format!("{}: `{name}` differs by {difference:e} in relative norm", self.name));
            }
        }
        Ok(())
    }
}

/// Every golden.
///
/// # Panics
/// If a file is not as `tools/goldens.py` writes it.
pub fn all() -> Vec<Golden> {
    FILES.iter().map(|(name, text)| read(name, text)).collect()
}

fn read(name: &str, text: &str) -> Golden {
    let network = NETWORKS
        .iter()
        .find(|n| n.name == name)
        .unwrap_or_else(|| panic!("golden `{name}` belongs to no network"));
    let mut inputs = HashMap::new();
    let mut expected = Vec::new();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    while let (Some(header), Some(numbers)) = (lines.next(), lines.next()) {
        let mut words = header.split_whitespace();
        let kind = words.next().unwrap_or_default();
        let tensor = words.next().unwrap_or_default();
        let number = |word: &str| -> f64 {
            word.parse().unwrap_or_else(|_| panic!("golden `{name}`: `{word}` in `{header}` is no number"))
        };
        let shape: Vec<usize> = words.map(|w| number(w) as usize).collect();
        let array = Array::f32(&shape, numbers.split_whitespace().map(number).collect::<Vec<_>>());
        match kind {
            "input" => drop(inputs.insert(tensor.to_string(), array)),
            "loss" => expected.push(("loss".to_string(), array)),
            "gradient" => expected.push((format!("gradient {tensor}"), array)),
            other => panic!("golden `{name}`: unknown block `{other}`"),
        }
    }
    let graph = Graph::new();
    let operands: Vec<Tensor> =
        network.inputs.iter().map(|(name, shape)| graph.feed(name, crate::TensorType::f32(*shape))).collect();
    let loss = (network.loss)(&graph, &operands);
    graph.output("loss", &loss);
    let by: Vec<&Tensor> = operands.iter().collect();
    for ((name, _), gradient) in network.inputs.iter().zip(grad(&loss, &by)) {
        graph.output(&format!("gradient {name}"), &gradient);
    }
    let function = graph.finish().unwrap_or_else(|e| panic!("golden `{name}` does not build: {e}"));
    Golden { name: name.to_string(), function, inputs, expected }
}
