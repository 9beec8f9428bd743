//! A first look at the whole path: build, differentiate twice, optimize, interpret.

use ganymede_graph::{Array, Graph, Precision, TensorType, grad, interpret, passes};
use std::collections::HashMap;

#[test]
fn second_derivative_of_a_cubic() {
    let g = Graph::new();
    let x = g.feed("x", TensorType::f32([3]));
    let y = (&x * &x * &x).sum_all();
    let dx = &grad(&y, &[&x])[0];
    let ddx = &grad(&dx.sum_all(), &[&x])[0];
    g.output("dx", dx);
    g.output("ddx", ddx);
    let f = passes::optimize(&g.finish().unwrap()).unwrap();
    let inputs = HashMap::from([("x".to_string(), Array::f32(&[3], vec![1.0, 2.0, -3.0]))]);
    let out = interpret(&f, &inputs, Precision::F64).unwrap();
    assert_eq!(out.outputs["dx"].floats(), [3.0, 12.0, 27.0]);
    assert_eq!(out.outputs["ddx"].floats(), [6.0, 12.0, -18.0]);
}
