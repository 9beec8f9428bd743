//! Spectral normalization against PyTorch's, and its state.

mod common;

use common::{close, run, values};
use ganymede_graph::{Array, Graph, Tensor, TensorType, grad};
use ganymede_nn::layers::*;
use ganymede_nn::{FanRule, Init, Mode, Scope, WeightRule};
use std::collections::HashMap;

/// As tools/goldens_torch.py wrote them.
const GOLDENS: &str = include_str!("../goldens/spectral_norm.txt");

/// Shape and numbers of the block of that kind and name.
fn golden(kind: &str, name: &str) -> (Vec<usize>, Vec<f64>) {
    let mut lines = GOLDENS.lines().filter(|l| !l.starts_with('#'));
    while let (Some(header), Some(numbers)) = (lines.next(), lines.next()) {
        let mut words = header.split(' ');
        if (words.next(), words.next()) == (Some(kind), Some(name)) {
            let shape = words.map(|w| w.parse().unwrap()).collect();
            return (shape, numbers.split(' ').map(|w| w.parse().unwrap()).collect());
        }
    }
    panic!("no {kind} {name}");
}

fn spectral(iterations: usize) -> WeightRule {
    WeightRule::Spectral { iterations }
}

#[test]
fn weights_gradients_and_vectors_are_those_of_pytorch() {
    for (name, fans) in
        [("dense", FanRule::Forward), ("conv", FanRule::Forward), ("conv_transpose", FanRule::Transposed)]
    {
        let (shape, weight) = golden("weight", name);
        let (u_shape, u) = golden("u", name);
        let graph = Graph::new();
        let scope = Scope::root(&graph, "D", Mode::train()).with_rule(spectral(2));
        let used = scope.weight("weight", &shape, Init::Zeros, fans);
        let again =
            scope.with_mode(Mode::train_frozen_statistics()).weight("weight", &shape, Init::Zeros, fans);
        assert_eq!(used.id(), again.id(), "the rule is applied once a phase");
        let factor = graph.constant_f32(&shape, &golden("factor", name).1);
        let parameter = scope.trainable()[0].1.clone();
        graph.output("used", &used);
        graph.output("gradient", &grad(&(&used * factor).sum_all(), &[&parameter])[0]);
        let inputs = HashMap::from([
            ("D/weight".to_string(), Array::f32(&shape, weight)),
            ("D/weight_u".to_string(), Array::f32(&u_shape, u)),
        ]);
        let outcome = run(&graph, &inputs);
        close(outcome.outputs["used"].floats(), &golden("normalized", name).1, 1e-12);
        close(outcome.outputs["gradient"].floats(), &golden("gradient", name).1, 1e-11);
        close(outcome.updates["D/weight_u"].floats(), &golden("next-u", name).1, 1e-12);
        // Without the gradient of the singular value, or read as a layer that it is not, it would be another.
        assert!(golden("gradient", name).1[0] != 0.0);
    }
}

/// Filters of lengths 3 and 1 at right angles: the largest singular value is 3.
const MATRIX: [f64; 6] = [3.0, 0.0, 0.0, 0.6, 0.0, 0.8];

fn normalized(mode: Mode, rule: WeightRule, weight: &[f64], u: &[f64]) -> (Vec<f64>, bool) {
    let graph = Graph::new();
    let scope = Scope::root(&graph, "D", mode).with_rule(rule);
    let used = scope.child("a").weight("weight", &[3, 2], Init::Zeros, FanRule::Forward);
    graph.output("used", &used);
    let inputs = HashMap::from([
        ("D/a/weight".to_string(), Array::f32(&[3, 2], weight.to_vec())),
        ("D/a/weight_u".to_string(), Array::f32(&[2], u.to_vec())),
    ]);
    let outcome = run(&graph, &inputs);
    (outcome.outputs["used"].floats().to_vec(), outcome.updates.contains_key("D/a/weight_u"))
}

#[test]
fn enough_iterations_find_the_largest_singular_value() {
    let (used, _) = normalized(Mode::train(), spectral(40), &MATRIX, &[0.3, -0.7]);
    close(&used, &MATRIX.map(|w| w / 3.0), 1e-12);
    // A vector at right angles to the first finds the second.
    let (used, _) = normalized(Mode::train(), spectral(1), &MATRIX, &[0.0, 1.0]);
    close(&used, &MATRIX, 1e-12);
}

#[test]
fn the_vector_moves_only_with_the_network_that_is_trained() {
    let updates = |mode| normalized(mode, spectral(1), &MATRIX, &[0.3, -0.7]).1;
    assert!(updates(Mode::train()));
    assert!(updates(Mode::train_frozen_statistics().advancing_rules(true)));
    assert!(!updates(Mode::train_frozen_statistics()));
    assert!(!updates(Mode::eval()));
}

#[test]
fn a_weight_of_zeros_stays_finite() {
    let (used, _) = normalized(Mode::train(), spectral(1), &[0.0; 6], &[0.3, -0.7]);
    assert_eq!(used, [0.0; 6]);
}

#[test]
fn layers_follow_the_rule_and_their_biases_do_not() {
    let graph = Graph::new();
    let scope = Scope::root(&graph, "D", Mode::train()).with_rule(spectral(1));
    let x = graph.feed("x", TensorType::f32([2, 4, 4, 3]));
    let y = conv(&scope.child("conv"), &x, ConvLayer::new(5, 3).pad(1));
    let y = conv_transpose(&scope.child("up"), &y, ConvTransposeLayer::new(2, 4).stride(2).pad(1));
    let y = dense(&scope.child("dense"), &flatten(&scope.child("flat"), &y), DenseLayer::new(1));
    assert_eq!(y.shape(), [2, 1]);
    let params = scope.params();
    let buffers: Vec<(&str, &[usize])> =
        params.buffers().map(|p| (p.name.as_str(), p.ty.shape.as_slice())).collect();
    assert_eq!(
        buffers,
        [("D/conv/weight_u", &[5][..]), ("D/up/weight_u", &[2][..]), ("D/dense/weight_u", &[1][..])]
    );
}

/// The appended channels of a batch, by hand: sample i is compared with every (N / group)-th.
fn deviations(x: &[f64], [n, pixels, c]: [usize; 3], group: usize, channels: usize) -> Vec<f64> {
    let groups = n / group;
    let share = c / channels;
    let of = |i: usize, channel: usize| {
        let mut sum = 0.0;
        for pixel in 0..pixels {
            for k in channel * share..(channel + 1) * share {
                let members: Vec<f64> =
                    (0..group).map(|m| x[((m * groups + i % groups) * pixels + pixel) * c + k]).collect();
                let mean = members.iter().sum::<f64>() / group as f64;
                let variance = members.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / group as f64;
                sum += (variance + 1e-8).sqrt();
            }
        }
        sum / (pixels * share) as f64
    };
    (0..n).flat_map(|i| (0..channels).map(move |channel| of(i, channel)).collect::<Vec<_>>()).collect()
}

#[test]
fn minibatch_deviations_are_those_of_the_definition() {
    for (group, channels) in [(2, 1), (3, 2), (6, 4)] {
        let graph = Graph::new();
        let scope = Scope::root(&graph, "D", Mode::train());
        let x = graph.feed("x", TensorType::f32([6, 2, 3, 4]));
        let y = minibatch_stddev(&scope, &x, MinibatchStddev { group, channels });
        assert_eq!(y.shape(), [6, 2, 3, 4 + channels]);
        let tail: Tensor = y.slice(3, 4, 4 + channels);
        graph.output("kept", &y.slice(3, 0, 4));
        graph.output("added", &tail);
        let values = values(3, 6 * 6 * 4);
        let inputs = HashMap::from([("x".to_string(), Array::f32(&[6, 2, 3, 4], values.clone()))]);
        let outcome = run(&graph, &inputs);
        assert_eq!(outcome.outputs["kept"].floats(), values);
        let each = deviations(&values, [6, 6, 4], group, channels);
        let expected: Vec<f64> = each.chunks(channels).flat_map(|one| one.repeat(6)).collect();
        close(outcome.outputs["added"].floats(), &expected, 1e-12);
    }
}

#[test]
fn minibatch_deviations_refuse_what_does_not_divide() {
    for (batch, group, channels, word) in [(6, 4, 1, "groups of 4"), (4, 4, 3, "3 shares")] {
        let graph = Graph::new();
        let scope = Scope::root(&graph, "D", Mode::train());
        let x = graph.feed("x", TensorType::f32([batch, 2, 3, 4]));
        graph.output("y", &minibatch_stddev(&scope, &x, MinibatchStddev { group, channels }));
        let error = graph.finish().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
