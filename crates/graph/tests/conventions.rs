//! Derivatives where a function has none, or more than one: each against its documented convention.

use ganymede_graph::cases::gradcheck::{derivatives_at, gradients_at};
use ganymede_graph::{Array, Graph, Tensor, TensorType, grad};

fn vector(values: &[f64]) -> Array {
    Array::f32(&[values.len()], values)
}

/// First and second derivatives of a function of one vector.
fn orders(values: &[f64], f: impl Fn(&Tensor) -> Tensor + Copy) -> (Vec<f64>, Vec<f64>) {
    let x = [vector(values)];
    (derivatives_at(&x, 1, |_, x| f(&x[0]))[0].clone(), derivatives_at(&x, 2, |_, x| f(&x[0]))[0].clone())
}

#[test]
fn abs_has_gradient_0_at_0() {
    assert_eq!(orders(&[-2.0, 0.0, -0.0, 3.0], Tensor::abs), (vec![-1.0, 0.0, 0.0, 1.0], vec![0.0; 4]));
}

#[test]
fn step_functions_have_gradient_0() {
    for f in [Tensor::sign, Tensor::floor] {
        assert_eq!(orders(&[-2.0, 0.0, 0.5, 3.0], f), (vec![0.0; 4], vec![0.0; 4]));
    }
}

#[test]
fn sqrt_has_gradient_0_at_0_and_finite_derivatives_of_higher_order() {
    let (first, second) = orders(&[0.0, -0.0, 4.0], Tensor::sqrt);
    assert_eq!(first, [0.0, 0.0, 0.25]);
    assert_eq!(second, [0.0, 0.0, -0.25 / 8.0]);
    let third = derivatives_at(&[vector(&[0.0, 1.0])], 3, |_, x| x[0].sqrt());
    assert_eq!(third[0], [0.0, 0.375]);
}

/// The norm of a zero vector has the subgradient 0, as a gradient penalty meets it on a flat discriminator.
#[test]
fn the_norm_of_zero_has_gradient_zero_to_order_two() {
    let zero = [Array::f32(&[2, 2], vec![0.0, 0.0, 3.0, 4.0])];
    let norm = |_: &Graph, x: &[Tensor]| x[0].square().sum(&[1]).sqrt();
    let first = &gradients_at(&zero, norm)[0];
    assert_eq!(first[..2], [0.0, 0.0]);
    assert!((first[2] - 0.6).abs() < 1e-15 && (first[3] - 0.8).abs() < 1e-15, "{first:?}");
    let second = &derivatives_at(&zero, 2, norm)[0];
    assert!(second.iter().all(|v| v.is_finite()), "{second:?}");
    assert_eq!(second[..2], [0.0, 0.0]);
}

#[test]
fn relu_and_leaky_relu_have_the_slope_of_the_left_at_0() {
    assert_eq!(orders(&[-1.0, 0.0, 2.0], Tensor::relu).0, [0.0, 0.0, 1.0]);
    assert_eq!(orders(&[-1.0, 0.0, 2.0], |x| x.leaky_relu(0.25)), (vec![0.25, 0.25, 1.0], vec![0.0; 3]));
}

#[test]
fn smooth_activations_are_smooth_at_0() {
    // f, f'(0), f''(0).
    type Known = (&'static str, fn(&Tensor) -> Tensor, f64, f64);
    let known: [Known; 6] = [
        ("softplus", Tensor::softplus, 0.5, 0.25),
        ("sigmoid", Tensor::sigmoid, 0.25, 0.0),
        ("tanh", Tensor::tanh, 1.0, 0.0),
        ("silu", Tensor::silu, 0.5, 0.5),
        ("gelu", Tensor::gelu, 0.5, 2.0 / (2.0 * std::f64::consts::PI).sqrt()),
        ("expm1", Tensor::expm1, 1.0, 1.0),
    ];
    for (name, f, first, second) in known {
        let (got_first, got_second) = orders(&[0.0], f);
        assert!((got_first[0] - first).abs() < 1e-15, "{name}' = {}", got_first[0]);
        assert!((got_second[0] - second).abs() < 1e-15, "{name}'' = {}", got_second[0]);
    }
    // elu is e^x - 1 up to 0 and x above: slope 1 from both sides.
    assert_eq!(orders(&[-0.0, 0.0, 1.0], Tensor::elu).0, [1.0, 1.0, 1.0]);
}

#[test]
fn derivatives_of_saturated_activations_do_not_overflow() {
    for f in [Tensor::softplus, Tensor::sigmoid, Tensor::tanh, Tensor::elu, Tensor::silu] {
        let (first, second) = orders(&[-1e4, -800.0, 800.0, 1e4], f);
        assert!(first.iter().chain(&second).all(|v| v.is_finite()), "{first:?} {second:?}");
    }
}

#[test]
fn ties_of_max_and_min_share_in_halves() {
    let (a, b) = (vector(&[1.0, 2.0, 3.0]), vector(&[1.0, 3.0, 2.0]));
    let g = gradients_at(&[a.clone(), b.clone()], |_, x| x[0].maximum(&x[1]));
    assert_eq!(g, [vec![0.5, 0.0, 1.0], vec![0.5, 1.0, 0.0]]);
    let g = gradients_at(&[a.clone(), b], |_, x| x[0].minimum(&x[1]));
    assert_eq!(g, [vec![0.5, 1.0, 0.0], vec![0.5, 0.0, 1.0]]);
    // So max(a, a) = a has derivative 1.
    assert_eq!(gradients_at(&[a], |_, x| x[0].maximum(&x[0]))[0], [1.0; 3]);
}

#[test]
fn ties_of_a_reduction_share_evenly() {
    let x = Array::f32(&[2, 4], vec![5.0, 1.0, 5.0, 5.0, 2.0, 2.0, 0.0, 1.0]);
    let third = 1.0 / 3.0;
    let max = gradients_at(std::slice::from_ref(&x), |_, x| x[0].max(&[1]));
    assert_eq!(max[0], [third, 0.0, third, third, 0.5, 0.5, 0.0, 0.0]);
    let min = gradients_at(&[x], |_, x| x[0].min(&[1]));
    assert_eq!(min[0], [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn the_first_maximum_of_a_pool_takes_the_whole_gradient() {
    let x = Array::f32(&[1, 2, 4, 1], vec![1.0, 7.0, 4.0, 4.0, 7.0, 7.0, 4.0, 4.0]);
    let g = gradients_at(&[x], |_, x| x[0].max_pool2d(2, 2, 0));
    assert_eq!(g[0], [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn powers_at_zero_bases_and_exponents() {
    let base = [0.0, 0.0, 0.0, 0.0, 2.0, -3.0];
    let exponent = [0.0, 1.0, 2.0, 3.0, 0.0, 2.0];
    let (a, b) = (vector(&base), vector(&exponent));
    let power = |_: &Graph, x: &[Tensor]| x[0].pow(&x[1]);
    let first = gradients_at(&[a.clone(), b.clone()], power);
    assert_eq!(first[0], [0.0, 1.0, 0.0, 0.0, 0.0, -6.0]);
    // a^b log a: 0 at a = 0, log 2 at 2^0, undefined for a negative base.
    assert_eq!(first[1][..4], [0.0; 4]);
    assert!((first[1][4] - 2f64.ln()).abs() < 1e-15);
    assert!(first[1][5].is_nan());
    // With constant exponents, by the base alone: b (b - 1) a^(b - 2).
    let second = derivatives_at(&[a], 2, |g, x| x[0].pow(&g.constant_f32(&[6], &exponent)));
    assert_eq!(second[0], [0.0, 0.0, 2.0, 0.0, 0.0, 2.0]);
}

/// d/db d/da a^b = 1/a at b = 0, in whichever order the two are taken.
#[test]
fn the_mixed_derivative_of_a_power_at_exponent_0() {
    for order in [[0, 1], [1, 0]] {
        let graph = Graph::new();
        let x = [graph.feed("a", TensorType::f32([1])), graph.feed("b", TensorType::f32([1]))];
        let first = &grad(&x[0].pow(&x[1]).sum_all(), &[&x[order[0]]])[0];
        graph.output("mixed", &grad(&first.sum_all(), &[&x[order[1]]])[0]);
        let feeds = [("a".to_string(), vector(&[4.0])), ("b".to_string(), vector(&[0.0]))].into();
        let out = ganymede_graph::interpret(&graph.finish().unwrap(), &feeds, ganymede_graph::Precision::F64)
            .unwrap();
        assert_eq!(out.outputs["mixed"].floats(), [0.25], "{order:?}");
    }
}

#[test]
fn what_is_not_selected_leaves_no_trace() {
    // The logarithm of the branch not taken is NaN or infinite; its gradient must not leak through a product with 0.
    let x = vector(&[-1.0, 0.0, 2.0]);
    let g = gradients_at(&[x], |_, x| {
        let positive = x[0].gt(&x[0].zeros_like());
        let safe = positive.select(&x[0], &x[0].ones_like());
        positive.select(&safe.log(), &x[0])
    });
    assert_eq!(g[0], [1.0, 1.0, 0.5]);
}

#[test]
fn stop_gradient_stops_every_order() {
    let (first, second) = orders(&[3.0], |x| x * x.stop_gradient());
    assert_eq!((first[0], second[0]), (3.0, 0.0));
}

#[test]
fn variables_without_influence_have_gradient_zero() {
    let graph = Graph::new();
    let (x, unused) = (graph.feed("x", TensorType::f32([2])), graph.feed("unused", TensorType::f32([3])));
    let g = grad(&x.sum_all(), &[&x, &unused, &x]);
    assert_eq!(g.iter().map(Tensor::shape).collect::<Vec<_>>(), [vec![2], vec![3], vec![2]]);
    for (i, g) in g.iter().enumerate() {
        graph.output(&i.to_string(), g);
    }
    let feeds = [("x".to_string(), vector(&[1.0, 2.0])), ("unused".to_string(), vector(&[1.0; 3]))].into();
    let out =
        ganymede_graph::interpret(&graph.finish().unwrap(), &feeds, ganymede_graph::Precision::F64).unwrap();
    assert_eq!(out.outputs["0"].floats(), [1.0, 1.0]);
    assert_eq!(out.outputs["1"].floats(), [0.0; 3]);
    assert_eq!(out.outputs["2"].floats(), [1.0, 1.0]);
}

/// A variable may be a value within the graph: its own operands then count as constants.
#[test]
fn gradients_by_intermediate_values() {
    let g = gradients_at(&[vector(&[2.0])], |_, x| {
        let y = x[0].square();
        let z = y.square();
        grad(&z.sum_all(), &[&y])[0].clone() * x[0].stop_gradient()
    });
    // d/dx [2 y] with y = x^2 is 4 x, times the constant x.
    assert_eq!(g[0], [16.0]);
}
