//! Equalized learning rates, and resampling with a low-pass filter.

mod common;

use common::{array, close, run, values};
use ganymede_graph::{Array, Graph, TensorType, grad};
use ganymede_nn::layers::{fir_blur, fir_downsample, fir_upsample};
use ganymede_nn::{FanRule, Init, Mode, Scope, WeightRule};
use std::collections::HashMap;

#[test]
fn equalized_weights_are_their_parameters_over_the_root_of_the_fan_in() {
    // [3, 3, 4, 2]: 9 taps of 4 channels in a convolution, 9 of 2 where it is transposed.
    for (fans, fan_in) in [(FanRule::Forward, 36.0f64), (FanRule::Transposed, 18.0)] {
        for rate in [1.0, 0.01] {
            let graph = Graph::new();
            let rule = WeightRule::Equalized { rate };
            let scope = Scope::root(&graph, "G", Mode::train()).with_rule(rule);
            assert_eq!(scope.rule(), rule);
            let init = WeightRule::equalized_init(rate);
            assert_eq!(init, Init::Normal { mean: 0.0, std: 1.0 / rate });
            let used = scope.weight("weight", &[3, 3, 4, 2], init, fans);
            let parameter = scope.trainable()[0].1.clone();
            graph.output("used", &used);
            graph.output("gradient", &grad(&used.sum_all(), &[&parameter])[0]);
            let weight = array(1, &[3, 3, 4, 2]);
            let scale = rate / fan_in.sqrt();
            let expected: Vec<f64> = weight.floats().iter().map(|w| w * scale).collect();
            let outcome = run(&graph, &HashMap::from([("G/weight".to_string(), weight)]));
            close(outcome.outputs["used"].floats(), &expected, 1e-12);
            // An optimizer that divides by the size of gradients moves the parameter by its rate, and so the weight by
            // this much of it.
            close(outcome.outputs["gradient"].floats(), &[scale; 72], 1e-12);
        }
    }
}

/// `x` filtered along one axis by [1, 3, 3, 1] / 8 `gain`, `pad` zeros on both sides.
fn filtered(x: &[f64], pad: usize, gain: f64) -> Vec<f64> {
    let mut padded = vec![0.0; pad];
    padded.extend(x);
    padded.extend(vec![0.0; pad]);
    padded.windows(4).map(|w| gain * (w[0] + 3.0 * w[1] + 3.0 * w[2] + w[3]) / 8.0).collect()
}

fn doubled(x: &[f64]) -> Vec<f64> {
    let at = |i: isize| usize::try_from(i).ok().and_then(|i| x.get(i).copied()).unwrap_or(0.0);
    let pair = |i: isize| [0.75 * at(i) + 0.25 * at(i - 1), 0.75 * at(i) + 0.25 * at(i + 1)];
    (0..x.len() as isize).flat_map(pair).collect()
}

fn outer(u: &[f64], v: &[f64]) -> Vec<f64> {
    u.iter().flat_map(|a| v.iter().flat_map(move |b| [a * b, -2.0 * a * b])).collect()
}

#[test]
fn filtered_resampling_is_separable_and_zero_beyond_the_border() {
    let (u, v) = (values(3, 4), values(4, 6));
    let graph = Graph::new();
    let scope = Scope::root(&graph, "G", Mode::eval());
    let x = graph.feed("x", TensorType::f32([1, 4, 6, 2]));
    let up = fir_upsample(&scope, &x);
    graph.output("up", &up);
    graph.output("down", &fir_downsample(&scope, &x));
    graph.output("blur", &fir_blur(&scope, &x, 2, 4.0));
    graph.output("edges repeated", &x.upsample_bilinear2());
    assert_eq!(up.shape(), [1, 8, 12, 2]);
    let outcome = run(&graph, &HashMap::from([("x".into(), Array::f32(&[1, 4, 6, 2], outer(&u, &v)))]));
    let got = |name: &str| outcome.outputs[name].floats().to_vec();
    let every_second = |x: &[f64]| filtered(x, 1, 1.0).into_iter().step_by(2).collect::<Vec<_>>();
    let expected = outer(&doubled(&u), &doubled(&v));
    close(&got("up"), &expected, 1e-6);
    close(&got("down"), &outer(&every_second(&u), &every_second(&v)), 1e-6);
    close(&got("blur"), &outer(&filtered(&u, 2, 2.0), &filtered(&v, 2, 2.0)), 1e-6);
    let repeated = got("edges repeated");
    assert!(repeated.iter().zip(&expected).any(|(a, b)| (a - b).abs() > 1e-2), "borders must differ");
}

#[test]
fn odd_sides_are_not_halved() {
    let graph = Graph::new();
    let scope = Scope::root(&graph, "D", Mode::eval());
    fir_downsample(&scope.child("stage1"), &graph.feed("x", TensorType::f32([1, 4, 5, 2])));
    let error = graph.finish().unwrap_err().to_string();
    assert!(error.contains("D/stage1") && error.contains("even height and width, got 4x5"), "{error}");
}
