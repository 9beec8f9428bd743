//! The networks of tools/goldens_images.py: a discriminator of a convolution and a dense layer on images [4, 4, 5, 2], and
//! a generator with three styles.

use crate::compare::Goldens;
use ganymede::regularizers::{Common, Context, GeneratorContext, Memory};
use ganymede_graph::{Array, ConvOptions, DType, Graph, Precision, Tensor, TensorType, grad, interpret};
use ganymede_nn::ClassLabels;
use std::collections::HashMap;

/// As tools/goldens_images.py wrote them.
pub const GOLDENS: &str = include_str!("../../goldens/images.txt");
/// What the goldens' penalties are multiplied by.
pub const STRENGTH: f64 = 0.75;
/// Parameters of the discriminator and of the generator.
pub const D: [&str; 3] = ["w1", "b1", "w2"];
pub const G: [&str; 5] = ["g0", "m1", "k1", "m2", "k2"];

pub struct Networks {
    pub graph: Graph,
    pub inputs: HashMap<String, Array>,
}

impl Networks {
    pub fn new(goldens: &Goldens) -> Self {
        let mut inputs = goldens.inputs();
        // What the regularizers keep goes by their own names.
        let kept = [
            ("real", "real_mean"),
            ("real_share", "real_share"),
            ("fake", "fake_mean"),
            ("fake_share", "fake_share"),
            ("mean", "mean"),
            ("mean_share", "mean_share"),
        ];
        for (own, name) in kept {
            inputs.insert(format!("memory/{own}"), inputs[name].clone());
        }
        Self { graph: Graph::new(), inputs }
    }
    pub fn feed(&self, name: &str) -> Tensor {
        self.graph.feed(name, TensorType::f32(self.inputs[name].ty.shape.clone()))
    }
    pub fn feeds(&self, names: &[&str]) -> Vec<Tensor> {
        names.iter().map(|name| self.feed(name)).collect()
    }
    fn conv(x: &Tensor, weight: &Tensor) -> Tensor {
        let pad = weight.shape()[0] / 2;
        let options = ConvOptions { pad_low: [pad; 2], pad_high: [pad; 2], ..ConvOptions::default() };
        x.conv2d(weight, options)
    }
    /// The first layer's features with these weights, `[4, 4, 5, 3]`.
    pub fn features(&self, x: &Tensor, weight: &Tensor) -> Tensor {
        let y = Self::conv(x, weight);
        let bias = self.feed("b1").reshape(&[1, 1, 1, 3]).broadcast_to(&y.shape());
        (y + bias).tanh()
    }
    pub fn hidden(&self, x: &Tensor) -> Tensor {
        self.features(x, &self.feed("w1"))
    }
    /// Logits of these features.
    pub fn logits(features: &Tensor, weight: &Tensor) -> Tensor {
        let (n, width) = (features.shape()[0], weight.shape()[0]);
        features.reshape(&[n, width]).matmul(weight).reshape(&[n])
    }
    pub fn judge(&self, x: &Tensor) -> Tensor {
        Self::logits(&self.hidden(x), &self.feed("w2"))
    }
    /// Logits of three classes.
    fn guess(&self, x: &Tensor) -> Tensor {
        self.hidden(x).reshape(&[4, 60]).matmul(&self.feed("head"))
    }
    fn distances(&self, x: &Tensor) -> Tensor {
        (Self::conv(&self.hidden(x), &self.feed("back")) - x).square().mean(&[1, 2, 3])
    }
    fn generate(&self, styles: &Tensor) -> Tensor {
        let style = |layer: usize| styles.slice(1, layer, layer + 1).reshape(&[4, 4]);
        let modulated = |x: &Tensor, layer: usize, weight: &str| {
            let factor = style(layer).matmul(&self.feed(weight)) + 1.0;
            x * factor.reshape(&[4, 1, 1, 3]).broadcast_to(&x.shape())
        };
        let x = style(0).matmul(&self.feed("g0")).tanh().reshape(&[4, 4, 5, 3]);
        let x = Self::conv(&modulated(&x, 1, "m1"), &self.feed("k1")).tanh();
        Self::conv(&modulated(&x, 2, "m2"), &self.feed("k2"))
    }
    /// `f` with what both sides of a regularizer have. One draw for each sample is `t`, others are `noise`.
    fn with_common<T>(&self, weights: &[&str], f: impl FnOnce(Common<'_>) -> T) -> T {
        let weights: Vec<_> = weights.iter().map(|name| (name.to_string(), self.feed(name))).collect();
        let labels = ClassLabels { index: self.feed("classes").convert(DType::I32), classes: 3 };
        f(Common {
            strength: &self.graph.scalar(STRENGTH),
            uniform: &|shape| self.feed(if shape == [4, 1, 1, 1] { "t" } else { "noise" }),
            normal: &|_| self.feed("y"),
            augment: &|x| x.reverse(&[2]),
            labels: Some(&labels),
            weights: &weights,
            memory: Memory { graph: &self.graph, prefix: "memory", parts: 1 },
        })
    }
    pub fn in_discriminator<T>(&self, f: impl FnOnce(&Context<'_>) -> T) -> T {
        let (real, fake) = (self.feed("real"), self.feed("fake"));
        self.with_common(&D, |common| {
            f(&Context {
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
    pub fn in_generator<T>(&self, f: impl FnOnce(&GeneratorContext<'_>) -> T) -> T {
        let styles = self.feed("styles");
        let fake = self.generate(&styles);
        let features = [&self.feed("real"), &fake].map(|x| self.hidden(x).reshape(&[4, 60]));
        self.with_common(&G, |common| {
            f(&GeneratorContext {
                styles: &styles,
                fake: &fake,
                features: Some([&features[0], &features[1]]),
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

/// Fixed numbers in (-1, 1).
fn waves(count: usize, phase: usize) -> Vec<f64> {
    (0..count).map(|k| ((7 * k + 3 * phase + 1) as f64).sin()).collect()
}

/// The value at the inputs, its gradients g, the product <c, g> with constants and its gradients, one after the other; and
/// the same as named outputs of the graph.
pub fn to_order_two(networks: &Networks, value: &Tensor, variables: &[Tensor]) -> Vec<f64> {
    let handles: Vec<&Tensor> = variables.iter().collect();
    let first = grad(value, &handles);
    let factor = |i: usize, g: &Tensor| networks.graph.constant_f32(&g.shape(), &waves(g.ty().len(), i));
    let product = first.iter().enumerate().map(|(i, g)| (g * factor(i, g)).sum_all());
    let product = product.reduce(|sum, more| sum + more).unwrap();
    networks.graph.output("0", value);
    networks.graph.output("1", &product);
    for (i, (g, h)) in first.iter().zip(&grad(&product, &handles)).enumerate() {
        networks.graph.output(&format!("g0/{i}"), g);
        networks.graph.output(&format!("g1/{i}"), h);
    }
    let at = networks.outputs(&networks.inputs);
    let orders = ["0", "1"].map(|order| {
        let gradients = (0..variables.len()).flat_map(|i| at[&format!("g{order}/{i}")].clone());
        at[order].iter().copied().chain(gradients).collect::<Vec<f64>>()
    });
    orders.concat()
}

/// Holds a value's gradients and those of a product with them against central differences, each along a direction that
/// moves every element of a variable by `step` at most.
pub fn assert_differentiable_twice(
    networks: &Networks,
    value: &Tensor,
    variables: &[&str],
    step: f64,
    what: &str,
) {
    to_order_two(networks, value, &networks.feeds(variables));
    let at = networks.outputs(&networks.inputs);
    for (i, variable) in variables.iter().enumerate() {
        let centre = &networks.inputs[*variable];
        let direction = waves(centre.floats().len(), i + 5);
        let moved = |by: f64| {
            let elements: Vec<f64> =
                centre.floats().iter().zip(&direction).map(|(x, d)| x + by * d).collect();
            let mut inputs = networks.inputs.clone();
            inputs.insert(variable.to_string(), Array::f32(&centre.ty.shape, elements));
            networks.outputs(&inputs)
        };
        let (up, down) = (moved(step), moved(-step));
        for order in ["0", "1"] {
            let difference = (up[order][0] - down[order][0]) / (2.0 * step);
            let gradient = &at[&format!("g{order}/{i}")];
            let got: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
            let near = (got - difference).abs() <= 2e-6 * (1.0 + difference.abs());
            assert!(near, "{what}, order {order}, {variable}: {got} against {difference}");
        }
    }
}
