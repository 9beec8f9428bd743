//! Gradients of the normalisations, to order two, against central differences in f64.

mod common;

use common::{run, values};
use ganymede_graph::{Array, Graph, Tensor, TensorType, grad};
use ganymede_nn::layers::{BatchNorm, Norm, batch_norm, group_norm, instance_norm, layer_norm};
use ganymede_nn::{Mode, Scope};
use std::collections::HashMap;

/// With L = sum(c tanh(layer(x))), its gradient g by x, weight and bias, and s = <d, g>: every element of g against
/// differences of L, and of the gradient of s against differences of s.
fn check(shape: &[usize], build: impl Fn(&Scope, &Tensor) -> Tensor) {
    let graph = Graph::new();
    let constant = |seed: u64, ty: &TensorType| graph.constant_f32(&ty.shape, &values(seed, ty.len()));
    let x = graph.feed("x", TensorType::f32(shape));
    let scope = Scope::root(&graph, "D", Mode::train_frozen_statistics());
    let y = build(&scope, &x);
    let loss = (y.tanh() * constant(1, &y.ty())).sum_all();
    let mut variables = vec![("x".to_string(), x)];
    variables.extend(scope.trainable());
    let handles: Vec<&Tensor> = variables.iter().map(|v| &v.1).collect();
    let first = grad(&loss, &handles);
    let products: Vec<Tensor> =
        first.iter().enumerate().map(|(i, g)| (g * constant(2 + i as u64, &g.ty())).sum_all()).collect();
    let product = products.iter().skip(1).fold(products[0].clone(), |sum, p| sum + p);
    let second = grad(&product, &handles);
    graph.output("loss", &loss);
    graph.output("product", &product);
    for (i, (g, h)) in first.iter().zip(&second).enumerate() {
        graph.output(&format!("g{i}"), g);
        graph.output(&format!("h{i}"), h);
    }

    let mut inputs: HashMap<String, Array> = HashMap::new();
    for (i, (name, tensor)) in variables.iter().enumerate() {
        inputs.insert(name.clone(), Array::f32(&tensor.shape(), values(10 + i as u64, tensor.ty().len())));
    }
    // Buffers are declared but, in training, not read.
    for (name, tensor) in scope.buffers() {
        inputs.insert(name, Array::f32(&tensor.shape(), vec![1.0; tensor.ty().len()]));
    }
    let at = run(&graph, &inputs);
    let step = 1e-5;
    for (i, (name, _)) in variables.iter().enumerate() {
        let centre = inputs[name].clone();
        for k in 0..centre.floats().len() {
            let moved = |by: f64| {
                let mut elements = centre.floats().to_vec();
                elements[k] += by;
                let mut inputs = inputs.clone();
                inputs.insert(name.clone(), Array::f32(&centre.ty.shape, elements));
                let out = run(&graph, &inputs);
                [out.outputs["loss"].floats()[0], out.outputs["product"].floats()[0]]
            };
            let (up, down) = (moved(step), moved(-step));
            for (order, key) in [(0, "g"), (1, "h")] {
                let difference = (up[order] - down[order]) / (2.0 * step);
                let got = at.outputs[&format!("{key}{i}")].floats()[k];
                let error = (got - difference).abs();
                // Central differences err by step^2 times the third derivative and by rounding / step: about 1e-9.
                assert!(
                    error <= 2e-7 * difference.abs().max(1.0),
                    "{key} of {name}[{k}]: {got}, {difference}"
                );
            }
        }
    }
}

#[test]
fn batch_norm_of_vectors() {
    check(&[5, 3], |s, x| batch_norm(s, x, BatchNorm::default()));
}

#[test]
fn batch_norm_of_images() {
    check(&[2, 2, 3, 2], |s, x| batch_norm(s, x, BatchNorm::default()));
}

#[test]
fn layer_norm_of_vectors_and_images() {
    check(&[3, 5], |s, x| layer_norm(s, x, Norm::default()));
    check(&[2, 2, 2, 3], |s, x| layer_norm(s, x, Norm::default()));
}

#[test]
fn instance_norm_of_images() {
    check(&[2, 2, 3, 2], |s, x| instance_norm(s, x, Norm::default()));
}

#[test]
fn group_norm_of_images() {
    check(&[2, 2, 2, 4], |s, x| group_norm(s, x, 2, Norm::default()));
    check(&[2, 2, 2, 4], |s, x| group_norm(s, x, 2, Norm { scale: None, ..Norm::default() }));
}
