//! Derivatives of first and second order against differences.

use crate::case::{Case, D, G, MODELS, inputs, tiny, uniform};
use crate::goldens::sampled_by_interpreter;
use ganymede_graph::{Array, Graph, Precision, Tensor, TensorType, grad, interpret};
use ganymede_nn::Mode;
use std::collections::HashMap;

/// Largest error of the derivatives of L = sum(c tanh(y / root mean square of y)) along one direction of each variable
/// and of all, and of those of s = <d, gradient of L>, against central differences.
fn order_two_error(case: &Case, twin: bool) -> f64 {
    let graph = Graph::new();
    let (scope, mut y) = case.build(&graph, Mode::train_frozen_statistics());
    let x = graph.feed("x", inputs(case, &scope)["x"].ty.clone());
    if twin {
        // 0, and so is its gradient, but not the gradient of that.
        y = y + (&x - x.stop_gradient()).square().sum_all() * 0.5;
    }
    let constant = |name: &str, ty: &TensorType| graph.constant_f32(&ty.shape, &uniform(name, ty.len()));
    // At its own scale, so that no logit lies where tanh is flat.
    let made = sampled_by_interpreter(case);
    let scale = (made.iter().map(|v| v * v).sum::<f64>() / made.len() as f64).sqrt().recip();
    let loss = ((&y * scale).tanh() * constant("c", &y.ty())).sum_all();
    let mut variables = vec![("x".to_string(), x)];
    variables.extend(scope.trainable());
    let handles: Vec<&Tensor> = variables.iter().map(|v| &v.1).collect();
    let first = grad(&loss, &handles);
    let products = variables.iter().zip(&first);
    let products = products.map(|((name, _), g)| (g * constant(&format!("d/{name}"), &g.ty())).sum_all());
    let product = products.reduce(|sum, more| sum + more).unwrap();
    let second = grad(&product, &handles);
    graph.output("0", &loss);
    graph.output("1", &product);
    for (order, gradients) in [&first, &second].into_iter().enumerate() {
        for ((name, _), g) in variables.iter().zip(gradients) {
            let along = (g * constant(&format!("v/{name}"), &g.ty())).sum_all();
            graph.output(&format!("{order}/{name}"), &along);
        }
    }
    let function = graph.finish().unwrap();
    let inputs = inputs(case, &scope);
    let outputs = |inputs: &HashMap<String, Array>| {
        let outcome = interpret(&function, inputs, Precision::F64).unwrap();
        outcome.outputs.iter().map(|(n, a)| (n.clone(), a.floats()[0])).collect::<HashMap<String, f64>>()
    };
    let at = outputs(&inputs);
    // Small, so that no ReLU changes its mind between the two points.
    let step = 1e-7;
    let mut worst: f64 = 0.0;
    let names: Vec<&String> = variables.iter().map(|v| &v.0).collect();
    for moving in names.iter().map(|n| vec![*n]).chain([names.clone()]) {
        let moved = |by: f64| {
            let mut inputs = inputs.clone();
            for name in &moving {
                let centre = &inputs[*name];
                let along = uniform(&format!("v/{name}"), centre.floats().len());
                let there: Vec<f64> = centre.floats().iter().zip(along).map(|(x, v)| x + by * v).collect();
                let there = Array::f32(&centre.ty.shape.clone(), there);
                inputs.insert((*name).clone(), there);
            }
            outputs(&inputs)
        };
        let (up, down) = (moved(step), moved(-step));
        for order in ["0", "1"] {
            let difference = (up[order] - down[order]) / (2.0 * step);
            let got: f64 = moving.iter().map(|n| at[&format!("{order}/{n}")]).sum();
            let error = (got - difference).abs() / difference.abs().max(1.0);
            worst = worst.max(error);
        }
    }
    worst
}

#[test]
fn gradients_hold_to_order_two() {
    for model in MODELS {
        for side in [G, D] {
            for case in [tiny(model, side), tiny(model, side).told(5)] {
                let error = order_two_error(&case, false);
                // Rounding of sums near 1e-14 over the step, and the step times the next derivative.
                assert!(error < 1e-5, "{case:?}: {error:e}");
            }
        }
        let error = order_two_error(&tiny(model, D), true);
        assert!(error > 1e-3, "the wrong {model} passes: {error:e}");
    }
}
