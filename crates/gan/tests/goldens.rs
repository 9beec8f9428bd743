//! Losses and regularizers on small networks against PyTorch's in f64, and whole losses to order two against central
//! differences.

mod common;

use ganymede::losses::{LOSSES, Labels};
use ganymede::networks::Side;
use ganymede::regularizers::{Common, Context, GeneratorContext, Memory, REGULARIZERS, Regularizer};
use ganymede_graph::{Array, DType, Graph, Precision, Tensor, TensorType, grad, interpret};
use ganymede_nn::ClassLabels;
use std::collections::HashMap;

/// As tools/goldens_torch.py wrote them.
const GOLDENS: &str = include_str!("../goldens/objectives.txt");

fn blocks() -> Vec<(String, String, Array)> {
    common::golden_blocks(GOLDENS)
}

fn inputs() -> HashMap<String, Array> {
    let inputs = blocks().into_iter().filter(|b| b.0 == "input");
    let mut inputs: HashMap<String, Array> = inputs.map(|(_, name, array)| (name, array)).collect();
    // What the regularizers keep goes by their own names.
    for (own, name) in [("real", "real_mean"), ("fake", "fake_mean"), ("mean", "mean")] {
        inputs.insert(format!("memory/{own}"), inputs[name].clone());
    }
    for name in ["real_share", "fake_share", "mean_share"] {
        inputs.insert(format!("memory/{name}"), inputs[name].clone());
    }
    inputs
}

/// The networks of tools/goldens_torch.py.
struct Networks {
    graph: Graph,
    inputs: HashMap<String, Array>,
}

impl Networks {
    fn new() -> Self {
        Self { graph: Graph::new(), inputs: inputs() }
    }
    fn feed(&self, name: &str) -> Tensor {
        self.graph.feed(name, TensorType::f32(self.inputs[name].ty.shape.clone()))
    }
    fn judge(&self, x: &Tensor) -> Tensor {
        let hidden = (x.matmul(&self.feed("w1")) + self.feed("b1")).tanh();
        hidden.matmul(&self.feed("w2")).reshape(&[4])
    }
    /// Mean squares between samples and what the first layer's transpose makes of its features.
    fn distances(&self, x: &Tensor) -> Tensor {
        let hidden = (x.matmul(&self.feed("w1")) + self.feed("b1")).tanh();
        (hidden.matmul_with(&self.feed("w1"), false, true) - x).square().mean(&[1])
    }
    /// Logits of three classes.
    fn guess(&self, x: &Tensor) -> Tensor {
        (x.matmul(&self.feed("w1")) + self.feed("b1")).tanh().matmul(&self.feed("head"))
    }
    fn labels(&self) -> ClassLabels {
        ClassLabels { index: self.feed("classes").convert(DType::I32), classes: 3 }
    }
    fn generate(&self, styles: &Tensor) -> Tensor {
        styles.matmul(&self.feed("g1")).tanh().matmul(&self.feed("g2"))
    }
    fn weights(&self, names: &[&str]) -> Vec<(String, Tensor)> {
        names.iter().map(|name| (name.to_string(), self.feed(name))).collect()
    }
    /// `f` with what both sides of a regularizer have. One draw for each sample is `t`; the others are `noise` and `y`.
    fn with_common<T>(&self, weights: &[(String, Tensor)], f: impl FnOnce(Common<'_>) -> T) -> T {
        let strength = self.graph.scalar(1.0);
        f(Common {
            strength: &strength,
            uniform: &|shape| self.feed(if shape == [4, 1] { "t" } else { "noise" }),
            normal: &|_| self.feed("y"),
            augment: &|x| x.reverse(&[1]),
            labels: Some(&self.labels()),
            weights,
            memory: Memory { graph: &self.graph, prefix: "memory", parts: 1 },
        })
    }
    fn penalty(&self, regularizer: &dyn Regularizer) -> Option<Tensor> {
        let (real, fake) = (self.feed("real"), self.feed("fake"));
        self.with_common(&self.weights(&["w1", "b1", "w2"]), |common| {
            regularizer.penalty(&Context {
                real: &real,
                fake: &fake,
                sources: [&real, &fake],
                real_logits: &self.judge(&real),
                fake_logits: &self.judge(&fake),
                reconstruction: Some(&self.distances(&real)),
                class_logits: Some([&self.guess(&real), &self.guess(&fake)]),
                discriminator: &|x| self.judge(x),
                common,
            })
        })
    }
    fn generator_penalty(&self, regularizer: &dyn Regularizer) -> Option<Tensor> {
        let styles = self.feed("styles");
        let fake = self.generate(&styles);
        let real = self.feed("real");
        self.with_common(&self.weights(&["g1", "g2"]), |common| {
            let features = Some([&real, &fake]);
            regularizer.generator_penalty(&GeneratorContext {
                styles: &styles,
                fake: &fake,
                features,
                class_logits: Some(&self.guess(&fake)),
                common,
            })
        })
    }
    fn outputs(&self, inputs: &HashMap<String, Array>) -> HashMap<String, Vec<f64>> {
        let outcome = interpret(&self.graph.finish().unwrap(), inputs, Precision::F64).unwrap();
        outcome.outputs.iter().map(|(name, array)| (name.clone(), array.floats().to_vec())).collect()
    }
}

const D: [&str; 3] = ["w1", "b1", "w2"];
const G: [&str; 2] = ["g1", "g2"];

/// The kind of a golden, its name, and the parameters that it has gradients of.
type Term = (&'static str, &'static str, &'static [&'static str]);

/// Every term of a loss on the networks.
fn terms() -> Vec<Term> {
    let mut terms = Vec::new();
    for loss in LOSSES {
        terms.extend([("discriminator", loss.name(), &D[..]), ("generator", loss.name(), &D[..])]);
    }
    for r in REGULARIZERS.iter().filter(|r| r.name() != "weight-clipping") {
        let of = |side| match side {
            Side::Discriminator => Networks::new().penalty(*r).map(|_| ("penalty", r.name(), &D[..])),
            Side::Generator => {
                Networks::new().generator_penalty(*r).map(|_| ("generator-penalty", r.name(), &G[..]))
            }
        };
        let found: Vec<Term> = r.sides().iter().filter_map(|side| of(*side)).collect();
        assert!(!found.is_empty(), "{}", r.name());
        terms.extend(found);
    }
    terms
}

fn build(networks: &Networks, kind: &str, name: &str) -> Tensor {
    let logits = || (networks.judge(&networks.feed("real")), networks.judge(&networks.feed("fake")));
    let loss = || ganymede::losses::find(name).unwrap();
    let regularizer = || ganymede::regularizers::find(name).unwrap();
    match kind {
        "discriminator" => {
            let (real, fake) = logits();
            loss().discriminator(&real, &fake, Labels::default())
        }
        "generator" => {
            let (real, fake) = logits();
            loss().generator(Some(&real), &fake)
        }
        "penalty" => networks.penalty(regularizer()).unwrap(),
        _ => networks.generator_penalty(regularizer()).unwrap(),
    }
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let blocks = blocks();
    for (kind, name, variables) in terms() {
        let networks = Networks::new();
        let value = build(&networks, kind, name);
        let handles: Vec<Tensor> = variables.iter().map(|v| networks.feed(v)).collect();
        networks.graph.output("value", &value);
        for (variable, gradient) in variables.iter().zip(grad(&value, &handles.iter().collect::<Vec<_>>())) {
            networks.graph.output(variable, &gradient);
        }
        let got = networks.outputs(&networks.inputs);
        let golden = |kind: &str, name: &str| {
            let found = blocks.iter().find(|b| b.0 == kind && b.1 == name);
            found.unwrap_or_else(|| panic!("no golden {kind} {name}")).2.floats().to_vec()
        };
        let near = |got: &[f64], expected: &[f64]| {
            // A parameter that a term does not reach has a gradient of one zero there.
            let at = |i: usize| if expected.len() == 1 { expected[0] } else { expected[i] };
            got.iter().enumerate().all(|(i, g)| (g - at(i)).abs() <= 1e-9 * (1.0 + at(i).abs()))
        };
        let expected = golden(kind, name);
        assert!(near(&got["value"], &expected), "{kind} {name}: {:?} against {expected:?}", got["value"]);
        for variable in variables {
            let expected = golden(&format!("{kind}-gradient"), &format!("{name}/{variable}"));
            assert!(near(&got[*variable], &expected), "{kind} {name}, gradient of {variable}");
        }
    }
}

/// The gradient g of each term, and with s = <c, g> the gradient of s, against central differences of the term and of s.
#[test]
fn whole_losses_are_differentiable_twice() {
    for (kind, name, variables) in terms() {
        let mut networks = Networks::new();
        // A running mean takes in the step as a constant, which differences would see move: with a past a billion times
        // as long, they do not.
        for (name, array) in networks.inputs.iter_mut().filter(|(name, _)| name.starts_with("memory/")) {
            assert!(array.ty.shape.is_empty(), "{name}");
            *array = Array::f32(&[], [array.floats()[0] * 1e9]);
        }
        // Added to the loss that a regularizer comes with, so that the whole is checked.
        let mut whole = build(&networks, kind, name);
        match kind {
            "penalty" => whole = whole + build(&networks, "discriminator", "non-saturating"),
            "generator-penalty" => {
                let fake = networks.judge(&networks.generate(&networks.feed("styles")));
                whole = whole + (-fake).softplus().mean_all();
            }
            _ => {}
        }
        let handles: Vec<Tensor> = variables.iter().map(|v| networks.feed(v)).collect();
        let handles: Vec<&Tensor> = handles.iter().collect();
        let first = grad(&whole, &handles);
        let factor = |i: usize, g: &Tensor| {
            let values: Vec<f64> = (0..g.ty().len()).map(|k| ((7 * k + 3 * i) as f64).sin()).collect();
            networks.graph.constant_f32(&g.shape(), &values)
        };
        let product = first.iter().enumerate().map(|(i, g)| (g * factor(i, g)).sum_all());
        let product = product.reduce(|sum, more| sum + more).unwrap();
        let second = grad(&product, &handles);
        networks.graph.output("0", &whole);
        networks.graph.output("1", &product);
        for (i, (g, h)) in first.iter().zip(&second).enumerate() {
            networks.graph.output(&format!("g0/{}", variables[i]), g);
            networks.graph.output(&format!("g1/{}", variables[i]), h);
        }
        let at = networks.outputs(&networks.inputs);
        let step = 1e-5;
        let mut compared = 0;
        for variable in variables {
            let centre = networks.inputs[*variable].clone();
            for k in 0..centre.floats().len() {
                let moved = |by: f64| {
                    let mut elements = centre.floats().to_vec();
                    elements[k] += by;
                    let mut inputs = networks.inputs.clone();
                    inputs.insert(variable.to_string(), Array::f32(&centre.ty.shape, elements));
                    networks.outputs(&inputs)
                };
                let (up, down) = (moved(step), moved(-step));
                for order in ["0", "1"] {
                    let difference = (up[order][0] - down[order][0]) / (2.0 * step);
                    let got = at[&format!("g{order}/{variable}")][k];
                    let near = (got - difference).abs() <= 2e-6 * (1.0 + difference.abs());
                    assert!(
                        near,
                        "{kind} {name}, order {order}, {variable}[{k}]: {got} against {difference}"
                    );
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 2 * first.iter().map(|g| g.ty().len()).sum::<usize>(), "{kind} {name}");
    }
}
