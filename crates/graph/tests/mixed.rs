//! Mixed precision: contractions read bf16, nothing else changes its type, and results stay near those in f64.

use ganymede_graph::cases::{Case, Program, Tolerance, Values, compare, gradcheck, networks, random};
use ganymede_graph::ops::conv::ConvKind;
use ganymede_graph::passes::mixed::mixed_precision;
use ganymede_graph::{
    Array, ConvOptions, DType, Function, Graph, Node, NodeId, Op, Precision, TensorType, dump, grad,
    interpret, passes,
};
use std::collections::HashMap;

fn mixed(function: &Function) -> Function {
    let narrow = mixed_precision(&passes::optimize(function).unwrap());
    narrow.verify().unwrap();
    passes::optimize(&narrow).unwrap()
}

fn is_contraction(node: &Node) -> bool {
    matches!(node.op, Op::MatMul { .. } | Op::Conv(..))
}

/// A discriminator's step in small: two convolutions and logits, a penalty on the slope, Adam-like updates.
fn step() -> Function {
    let g = Graph::new();
    let x = g.feed("x", TensorType::f32([3, 8, 8, 2]));
    let (w1, b1) = (g.state("w1", TensorType::f32([4, 4, 2, 6])), g.state("b1", TensorType::f32([6])));
    let w2 = g.state("w2", TensorType::f32([4, 4, 6, 5]));
    let w3 = g.state("w3", TensorType::f32([20, 1]));
    let halving = || ConvOptions::default().stride(2).pad(1);
    let h = (x.conv2d(&w1, halving()) + &b1).leaky_relu(0.2);
    let h = h.conv2d(&w2, halving()).leaky_relu(0.2);
    let logits = h.reshape(&[3, 20]).matmul(&w3);
    let slope = &grad(&logits.sum_all(), &[&x])[0];
    let penalty = slope.square().sum(&[1, 2, 3]).mean_all();
    let loss = (-&logits).softplus().mean_all() + &penalty * 0.5;
    for ((name, w), d) in
        [("w1", &w1), ("b1", &b1), ("w2", &w2), ("w3", &w3)].iter().zip(grad(&loss, &[&w1, &b1, &w2, &w3]))
    {
        let moment = g.state(&format!("{name}/m"), w.ty());
        let m = &moment * 0.5 + &d * 0.5;
        g.update(name, &(*w - &m * 0.01));
        g.update(&format!("{name}/m"), &m);
    }
    g.output("loss", &loss);
    g.output("penalty", &penalty);
    g.commit_when(&loss.is_finite());
    g.finish().unwrap()
}

#[test]
fn contractions_read_bf16_and_nothing_else_is_kept_in_it() {
    let f = mixed(&step());
    assert!(f.nodes.iter().filter(|n| is_contraction(n)).count() >= 8);
    for node in &f.nodes {
        if is_contraction(node) {
            let logits = node.ty.shape.last() == Some(&1);
            let wanted = if logits { DType::F32 } else { DType::Bf16 };
            assert!(node.inputs.iter().all(|&x| f.ty(x).dtype == wanted), "{}", dump::dump(&f));
            assert_eq!(node.ty.dtype, DType::F32);
        } else if node.ty.dtype == DType::Bf16 {
            assert!(matches!(node.op, Op::Convert(_) | Op::Reshape(_)), "{} gives bf16", node.op.name());
        }
    }
    for (name, id) in &f.outputs {
        assert_eq!(f.ty(*id).dtype, DType::F32, "{name}");
    }
    for (slot, id) in &f.updates {
        assert_eq!(f.ty(*id).dtype, DType::F32, "{}", f.inputs[*slot].name);
    }
}

/// The nodes that are a contraction's result rounded to bf16.
fn rounded(f: &Function) -> Vec<&Node> {
    let of = |n: &&Node| n.op == Op::Convert(DType::Bf16) && is_contraction(f.node(n.inputs[0]));
    f.nodes.iter().filter(of).map(|n| f.node(n.inputs[0])).collect()
}

#[test]
fn activations_and_cotangents_are_rounded_but_weight_gradients_and_the_slope_are_not() {
    let f = mixed(&step());
    let results = rounded(&f);
    assert!(results.iter().any(|n| matches!(n.op, Op::Conv(ConvKind::Forward, _))));
    assert!(results.iter().any(|n| matches!(n.op, Op::Conv(ConvKind::InputGrad, _))));
    for node in results {
        assert!(!matches!(node.op, Op::Conv(ConvKind::WeightGrad, _)), "{}", dump::dump(&f));
        assert_ne!(node.ty.shape, [3, 8, 8, 2], "the slope decides the penalty");
    }
}

#[test]
fn a_second_run_changes_nothing() {
    let functions = networks::cases()
        .into_iter()
        .map(|case| gradcheck::derivatives(&case).function)
        .chain([step()])
        .chain((0..40).map(|seed| random::graph(seed, 30).function()));
    for function in functions {
        let once = mixed(&function);
        assert_eq!(dump::dump(&once), dump::dump(&passes::dce::eliminate(mixed_precision(&once))));
    }
}

fn programs() -> Vec<Program> {
    networks::cases()
        .iter()
        .flat_map(Case::programs)
        .chain((0..60).flat_map(|seed| random::graph(seed, 24).programs()))
        .collect()
}

/// Evaluated without any rounding, conversions change nothing.
#[test]
fn the_pass_keeps_the_meaning() {
    for program in programs() {
        let run = |f: &Function| interpret(f, &program.inputs, Precision::F64).unwrap().outputs;
        let (expected, got) = (run(&program.function), run(&mixed(&program.function)));
        for (name, array) in &expected {
            compare(array, &got[name], Tolerance::Norm(1e-12))
                .unwrap_or_else(|e| panic!("{}, {name}: {e}", program.name));
        }
    }
}

/// Rounding to bf16 moves a value by at most u = 2^-8 of itself, so each of a contraction's two operands moves the
/// result by at most u of the norm of its terms. A loss passes through up to four contractions: 8u if all errors added
/// up; a derivative through each once more: 16u. The path-length loss is left out: it is the square of a difference,
/// which bounds no relative error.
#[test]
fn networks_stay_within_the_rounding_of_their_operands() {
    let u = 2f64.powi(-8);
    let bounded = networks::cases().into_iter().filter(|case| case.name != "path_length");
    for program in bounded.flat_map(|case| case.programs()) {
        let exact = interpret(&program.function, &program.inputs, Precision::F64).unwrap().outputs;
        let narrow = mixed(&program.function);
        let got = interpret(&narrow, &program.inputs, Precision::F32).unwrap().outputs;
        let mut changed = false;
        let bound = if program.name.ends_with("gradients") { 16.0 * u } else { 8.0 * u };
        for (name, array) in &exact {
            compare(array, &got[name], Tolerance::Norm(bound))
                .unwrap_or_else(|e| panic!("{}, {name}: {e}", program.name));
            changed |= compare(array, &got[name], Tolerance::Norm(1e-5)).is_err();
        }
        assert!(changed, "{}: nothing was rounded", program.name);
    }
}

#[test]
fn a_contraction_of_bf16_operands_sums_in_f32() {
    let g = Graph::new();
    let (a, b) = (g.feed("a", TensorType::f32([1, 3])), g.feed("b", TensorType::f32([3, 2])));
    g.output("y", &a.convert(DType::Bf16).matmul(&b.convert(DType::Bf16)));
    let f = g.finish().unwrap();
    let inputs = HashMap::from([
        ("a".to_string(), Array::f32(&[1, 3], vec![256.0, 1.0, 1.0 + 1.0 / 512.0])),
        ("b".to_string(), Array::f32(&[3, 2], vec![1.0, 1.0, 1.0, 0.0, 1.0, 1.0])),
    ]);
    let y = &interpret(&f, &inputs, Precision::F32).unwrap().outputs["y"];
    assert_eq!(y.ty, TensorType::f32([1, 2]));
    // The third operand rounds to 1; 258 and 257 need nine digits.
    assert_eq!(y.floats(), [258.0, 257.0]);
}

/// The gradient rules of contractions hold for bf16 operands too: to order two, against differences in f64.
#[test]
fn contractions_of_bf16_operands_have_gradients() {
    let mut v = Values::new(5);
    let narrow = |t: &ganymede_graph::Tensor| t.convert(DType::Bf16);
    let product = Case::new("bf16 matmul", [v.normal(&[4, 3]), v.normal(&[4, 5])], move |_, x| {
        vec![narrow(&x[0]).matmul_with(&narrow(&x[1]), true, false)]
    });
    let convolution =
        Case::new("bf16 conv", [v.normal(&[2, 5, 5, 3]), v.normal(&[3, 3, 3, 4])], move |_, x| {
            vec![narrow(&x[0]).conv2d(&narrow(&x[1]), ConvOptions::default().stride(2).pad(1))]
        });
    for case in [product.smooth(), convolution.smooth()] {
        gradcheck::check(&case, 2, 1e-6).unwrap();
    }
}

#[test]
fn a_dump_shows_the_conversions() {
    let g = Graph::new();
    let x = g.feed("x", TensorType::f32([2, 3]));
    let (w, v) = (g.state("w", TensorType::f32([3, 4])), g.state("v", TensorType::f32([4, 5])));
    g.output("y", &x.matmul(&w).tanh().matmul(&v));
    let expected = "\
%0 = input(feed `x`) f32[2, 3]
%1 = input(state `w`) f32[3, 4]
%2 = input(state `v`) f32[4, 5]
%3 = convert(%0) bf16[2, 3]
%4 = convert(%1) bf16[3, 4]
%5 = matmul(%3, %4) f32[2, 4]
%6 = convert(%5) bf16[2, 4]
%7 = convert(%6) f32[2, 4]
%8 = tanh(%7) f32[2, 4]
%9 = convert(%8) bf16[2, 4]
%10 = convert(%2) bf16[4, 5]
%11 = matmul(%9, %10) f32[2, 5]
output `y` = %11
";
    assert_eq!(dump::dump(&mixed(&g.finish().unwrap())), expected);
}

#[test]
fn a_value_read_twice_is_converted_once_whatever_its_shape() {
    let g = Graph::new();
    let x = g.feed("x", TensorType::f32([4, 6]));
    let (w, v) = (g.state("w", TensorType::f32([6, 3])), g.state("v", TensorType::f32([3, 3])));
    g.output("a", &x.matmul(&w));
    g.output("b", &x.reshape(&[8, 3]).matmul(&v));
    let f = mixed(&g.finish().unwrap());
    let of_x = |n: &&Node| n.op == Op::Convert(DType::Bf16) && n.inputs == [NodeId(0)];
    assert_eq!(f.nodes.iter().filter(of_x).count(), 1, "{}", dump::dump(&f));
}
