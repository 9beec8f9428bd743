//! Attention and the layers that are told classes: values and gradients against PyTorch, gradients to order two against
//! central differences, and what they refuse.

mod common;

use common::{close, run, values};
use ganymede_graph::{Array, DType, Graph, Tensor, TensorType, grad};
use ganymede_nn::layers::*;
use ganymede_nn::{ClassLabels, Init, Mode, Network, Scope, WeightRule};
use std::collections::HashMap;

/// As tools/goldens_models.py wrote them.
const GOLDENS: &str = include_str!("../goldens/conditional.txt");

/// The arrays of one case by name: inputs by their slots, `y`, and gradients as `gradient/SLOT`.
fn case(name: &str) -> HashMap<String, Array> {
    let lines: Vec<&str> = GOLDENS.lines().filter(|l| !l.starts_with('#')).collect();
    let blocks = lines.chunks(2).filter_map(|block| {
        let words: Vec<&str> = block[0].split(' ').collect();
        let shape: Vec<usize> = words[2..].iter().map(|w| w.parse().unwrap()).collect();
        let numbers: Vec<f64> = block[1].split(' ').map(|w| w.parse().unwrap()).collect();
        (words[0] == name).then(|| (words[1].to_string(), Array::f32(&shape, numbers)))
    });
    let found: HashMap<String, Array> = blocks.collect();
    assert!(found.contains_key("y"), "no golden {name}");
    found
}

const INIT: Init = Init::GlorotUniform;
const CLASSES: usize = 3;
const GAIN: Condition<'static> = Condition::Classes { gain: Init::Ones };

fn labels(graph: &Graph, count: usize) -> ClassLabels {
    ClassLabels { index: graph.feed("labels", TensorType::new(DType::I32, [count])), classes: CLASSES }
}

type Build<'a> = &'a dyn Fn(&Scope, &Tensor) -> Tensor;

fn norm_by_classes(scope: &Scope, x: &Tensor) -> Tensor {
    conditional_batch_norm(scope, x, GAIN, ConditionalBatchNorm::default())
}

fn norm_by_vectors(scope: &Scope, x: &Tensor) -> Tensor {
    let vectors = scope.graph().feed("vectors", TensorType::f32([x.shape()[0], 2]));
    let condition = Condition::Vectors { vectors: &vectors, init: INIT };
    conditional_batch_norm(scope, x, condition, ConditionalBatchNorm::default())
}

fn class_logits(scope: &Scope, x: &Tensor) -> Tensor {
    let same = classifier(scope, x, INIT);
    assert_eq!(same.id(), x.id(), "the features go on as they are");
    scope.class_logits().unwrap()
}

/// Largest difference of values and gradients from those of the golden, of 1 and of the golden's largest value.
fn error_of(name: &str, mode: Mode, build: Build<'_>) -> f64 {
    let golden = case(name);
    let graph = Graph::new();
    let x = graph.feed("x", golden["x"].ty.clone());
    let scope = Scope::root(&graph, "D", mode).with_labels(Some(labels(&graph, x.shape()[0])));
    let y = build(&scope, &x);
    graph.output("y", &y);
    let factor = graph.constant_f32(&y.shape(), golden["factor"].floats());
    let mut variables = vec![("x".to_string(), x)];
    variables.extend(scope.trainable());
    if golden.contains_key("vectors") {
        variables.push(("vectors".to_string(), graph.feed("vectors", golden["vectors"].ty.clone())));
    }
    let handles: Vec<&Tensor> = variables.iter().map(|v| &v.1).collect();
    for ((name, _), gradient) in variables.iter().zip(grad(&(&y * factor).sum_all(), &handles)) {
        graph.output(&format!("gradient/{}", name.trim_start_matches("D/")), &gradient);
    }
    let mut inputs: HashMap<String, Array> = HashMap::new();
    for (slot, value) in &golden {
        let fed = slot == "x" || slot == "vectors";
        inputs.insert(if fed { slot.clone() } else { format!("D/{slot}") }, value.clone());
    }
    let classes: Vec<i32> = golden["labels"].floats().iter().map(|v| *v as i32).collect();
    inputs.insert("labels".into(), Array::i32(&[classes.len()], classes));
    let outcome = run(&graph, &inputs);
    let mut compared = 0;
    let mut worst: f64 = 0.0;
    for (slot, got) in &outcome.outputs {
        let expected = golden[slot].floats();
        let scale = expected.iter().fold(1.0f64, |a, b| a.max(b.abs()));
        assert_eq!(got.floats().len(), expected.len(), "{name} {slot}");
        for (g, e) in got.floats().iter().zip(expected) {
            worst = worst.max((g - e).abs() / scale);
        }
        compared += 1;
    }
    assert_eq!(compared, variables.len() + 1, "{name}");
    worst
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let cases: [(&str, Mode, Build<'_>); 8] = [
        ("attention", Mode::train(), &|s, x| attention(s, x, INIT)),
        ("norm-classes", Mode::train_frozen_statistics(), &norm_by_classes),
        ("norm-classes-running", Mode::eval(), &norm_by_classes),
        ("norm-vectors", Mode::train_frozen_statistics(), &norm_by_vectors),
        ("projection", Mode::train(), &|s, x| projection(s, x, INIT)),
        ("concat", Mode::train(), &|s, x| concat_label(s, x, None)),
        ("concat-embedded", Mode::train(), &|s, x| concat_label(s, x, Some((2, INIT)))),
        ("classify", Mode::train(), &class_logits),
    ];
    for (name, mode, build) in cases {
        let error = error_of(name, mode, build);
        assert!(error < 1e-12, "{name}: {error:e}");
    }
}

/// Layers that look right and are not: each differs from the golden by far more than rounding.
#[test]
fn wrong_layers_are_told_apart() {
    let shifted = |scope: &Scope, classes: usize| {
        let told = scope.labels().unwrap().clone();
        let index = (&told.index + &told.index.full_like(1.0)).rem(&told.index.full_like(classes as f64));
        scope.with_labels(Some(ClassLabels { index, ..told }))
    };
    let twins: [(&str, Mode, Build<'_>); 7] = [
        // The right values with another gradient.
        ("attention", Mode::train(), &|s, x| attention(s, x, INIT) + (x - x.stop_gradient()) * 0.01),
        // Two pixels exchanged where the keys are made.
        ("attention", Mode::train(), &|s, x| attention(s, &x.transpose(&[0, 2, 1, 3]), INIT)),
        // Running statistics in place of the batch's.
        ("norm-classes", Mode::eval(), &norm_by_classes),
        ("norm-classes", Mode::train_frozen_statistics(), &|s, x| norm_by_classes(&shifted(s, CLASSES), x)),
        ("projection", Mode::train(), &|s, x| projection(&shifted(s, CLASSES), x, INIT)),
        // The mean over pixels where the sum belongs.
        ("projection", Mode::train(), &|s, x| projection(s, &(x * 0.25), INIT)),
        ("concat", Mode::train(), &|s, x| concat_label(&shifted(s, CLASSES), x, None)),
    ];
    for (name, mode, build) in twins {
        let error = error_of(name, mode, build);
        assert!(error > 1e-3, "the wrong `{name}` passes: {error:e}");
    }
}

/// Largest error of the derivatives of L = sum(c tanh(layer(x))) along one direction of each variable and of all, and of
/// those of s = <d, gradient of L>, against central differences.
fn order_two_error(shape: &[usize], build: Build<'_>) -> f64 {
    let graph = Graph::new();
    let constant = |seed: u64, ty: &TensorType| graph.constant_f32(&ty.shape, &values(seed, ty.len()));
    let x = graph.feed("x", TensorType::f32(shape));
    let scope =
        Scope::root(&graph, "D", Mode::train_frozen_statistics()).with_labels(Some(labels(&graph, shape[0])));
    let y = build(&scope, &x);
    let loss = (y.tanh() * constant(1, &y.ty())).sum_all();
    let mut variables = vec![("x".to_string(), x)];
    variables.extend(scope.trainable());
    let handles: Vec<&Tensor> = variables.iter().map(|v| &v.1).collect();
    let dot = |gradients: &[Tensor], seed: u64| {
        let products = gradients.iter().enumerate();
        let products = products.map(|(i, g)| (g * constant(seed + i as u64, &g.ty())).sum_all());
        products.reduce(|sum, more| sum + more).unwrap()
    };
    let first = grad(&loss, &handles);
    let product = dot(&first, 20);
    let second = grad(&product, &handles);
    graph.output("0", &loss);
    graph.output("1", &product);
    for (order, gradients) in [&first, &second].into_iter().enumerate() {
        for (i, g) in gradients.iter().enumerate() {
            graph.output(&format!("g{order}/{i}"), &(g * constant(40 + i as u64, &g.ty())).sum_all());
        }
    }
    let mut inputs: HashMap<String, Array> = HashMap::new();
    for (i, (name, tensor)) in variables.iter().enumerate() {
        inputs.insert(name.clone(), Array::f32(&tensor.shape(), values(60 + i as u64, tensor.ty().len())));
    }
    for (name, tensor) in scope.buffers() {
        inputs.insert(name, Array::f32(&tensor.shape(), vec![1.0; tensor.ty().len()]));
    }
    let classes: Vec<i32> = (0..shape[0]).map(|i| (i % CLASSES) as i32).collect();
    inputs.insert("labels".into(), Array::i32(&[shape[0]], classes));
    inputs.insert("vectors".into(), common::array(80, &[shape[0], 2]));
    let at = run(&graph, &inputs);
    let value = |outcome: &ganymede_graph::Outcome, name: &str| outcome.outputs[name].floats()[0];
    let step = 1e-5;
    let mut worst: f64 = 0.0;
    for moving in (0..variables.len()).map(|i| vec![i]).chain([(0..variables.len()).collect()]) {
        let moved = |by: f64| {
            let mut inputs = inputs.clone();
            for &i in &moving {
                let centre = &inputs[&variables[i].0];
                let along = values(40 + i as u64, centre.floats().len());
                let there: Vec<f64> = centre.floats().iter().zip(along).map(|(x, d)| x + by * d).collect();
                let there = Array::f32(&centre.ty.shape.clone(), there);
                inputs.insert(variables[i].0.clone(), there);
            }
            run(&graph, &inputs)
        };
        let (up, down) = (moved(step), moved(-step));
        for order in ["0", "1"] {
            let difference = (value(&up, order) - value(&down, order)) / (2.0 * step);
            let got: f64 = moving.iter().map(|i| value(&at, &format!("g{order}/{i}"))).sum();
            worst = worst.max((got - difference).abs() / difference.abs().max(1.0));
        }
    }
    worst
}

#[test]
fn gradients_hold_to_order_two() {
    let cases: [(&str, &[usize], Build<'_>); 6] = [
        ("attention", &[2, 4, 2, 8], &|s, x| attention(s, x, INIT)),
        ("norm by classes", &[4, 2, 1, 3], &norm_by_classes),
        ("norm by vectors", &[4, 3], &norm_by_vectors),
        ("projection", &[3, 2, 2, 4], &|s, x| projection(s, x, INIT)),
        ("concat", &[3, 4], &|s, x| concat_label(s, x, Some((2, INIT)))),
        ("classify", &[3, 4], &class_logits),
    ];
    for (name, shape, build) in cases {
        let error = order_two_error(shape, build);
        // Differences err by step^2 times the third derivative and by rounding / step: about 1e-9.
        assert!(error < 2e-7, "{name}: {error:e}");
    }
    // Its first derivative is right; that of its derivative is not.
    let twin = order_two_error(&[2, 4, 2, 8], &|s, x| {
        attention(s, x, INIT) + (x - x.stop_gradient()).square() * 0.5
    });
    assert!(twin > 1e-3, "the wrong attention passes: {twin:e}");
}

/// The classes in the other order, with their tables, are the same layer.
#[test]
fn a_class_reads_its_own_rows() {
    let outputs = |classes: [i32; 4], gain: [f64; 6]| {
        let graph = Graph::new();
        let x = graph.feed("x", TensorType::f32([4, 2]));
        let told = ClassLabels { index: graph.feed("labels", TensorType::new(DType::I32, [4])), classes: 3 };
        let scope = Scope::root(&graph, "G", Mode::train_frozen_statistics()).with_labels(Some(told));
        graph.output("y", &norm_by_classes(&scope, &x));
        let inputs = HashMap::from([
            ("x".to_string(), common::array(1, &[4, 2])),
            ("labels".to_string(), Array::i32(&[4], classes.to_vec())),
            ("G/gain".to_string(), Array::f32(&[3, 2], gain.to_vec())),
            ("G/bias".to_string(), Array::f32(&[3, 2], gain.map(|g| -g).to_vec())),
            ("G/running_mean".to_string(), Array::f32(&[2], vec![0.0; 2])),
            ("G/running_var".to_string(), Array::f32(&[2], vec![1.0; 2])),
        ]);
        run(&graph, &inputs).outputs["y"].floats().to_vec()
    };
    let [a, b] = [
        outputs([0, 1, 2, 1], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        outputs([2, 1, 0, 1], [5.0, 6.0, 3.0, 4.0, 1.0, 2.0]),
    ];
    close(&a, &b, 1e-15);
    assert_ne!(a, outputs([0, 1, 2, 1], [5.0, 6.0, 3.0, 4.0, 1.0, 2.0]));
}

#[test]
fn weights_follow_the_rule_and_tables_of_scales_do_not() {
    let graph = Graph::new();
    let scope = Scope::root(&graph, "G", Mode::train())
        .with_rule(WeightRule::Spectral { iterations: 1 })
        .with_labels(Some(labels(&graph, 2)));
    let x = graph.feed("x", TensorType::f32([2, 4, 4, 8]));
    let y = norm_by_classes(&scope.child("a"), &attention(&scope.child("b"), &x, INIT));
    projection(&scope.child("c"), &norm_by_vectors(&scope.child("d"), &y), INIT);
    let mut buffers: Vec<String> = scope.buffers().into_iter().map(|(name, _)| name).collect();
    buffers.retain(|name| name.ends_with("_u"));
    let expected = [
        "b/theta_u",
        "b/phi_u",
        "b/g_u",
        "b/o_u",
        "d/gain_map_u",
        "d/bias_map_u",
        "c/weight_u",
        "c/classes_u",
    ];
    assert_eq!(buffers, expected.map(|name| format!("G/{name}")));
    assert!(graph.finish().is_ok());
}

#[test]
fn layers_that_need_classes_say_so() {
    for line in ["conditional_batch_norm", "concat_label", "concat_label 4", "projection", "classify"] {
        let error = Network::parse(&["dense 8", line]).unwrap().check(&[4], 4).unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.message.contains("`[data] classes = N`"), "{error}");
    }
    // As many classes as samples.
    let graph = Graph::new();
    let scope = Scope::root(&graph, "D", Mode::train()).with_labels(Some(labels(&graph, 3)));
    projection(&scope, &graph.feed("x", TensorType::f32([2, 4])), INIT);
    let error = graph.finish().unwrap_err().to_string();
    assert!(error.contains("for each sample of f32[2, 4], got i32[3]"), "{error}");
}

#[test]
fn attention_refuses_what_it_cannot_split() {
    for (shape, part) in [
        ([2, 4, 4, 12], "a multiple of it, got 12"),
        ([2, 7, 4, 8], "an even height and width, got 7x4"),
        ([2, 4, 5, 8], "an even height and width, got 4x5"),
    ] {
        let graph = Graph::new();
        let scope = Scope::root(&graph, "D", Mode::train());
        attention(&scope, &graph.feed("x", TensorType::f32(shape)), INIT);
        let error = graph.finish().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
