//! Regularizers against closed forms, on discriminators whose gradients are known; wrong twins must not pass.

use ganymede::regularizers::{Context, Regularizer, find};
use ganymede_graph::{Array, Graph, Precision, Tensor, TensorType, grad, interpret};
use std::collections::HashMap;

const REAL: [f64; 6] = [0.5, -1.0, 2.0, 1.5, 0.25, -0.75];
const FAKE: [f64; 6] = [-0.3, 0.8, 1.1, 0.9, -1.6, 0.2];
const WEIGHT: [f64; 3] = [0.6, -1.2, 0.4];
const STRENGTH: f64 = 3.0;
/// Where between generated (0) and real (1) samples the gradient penalty looks.
const BETWEEN: f64 = 0.25;

/// Penalty and its gradient by the weight.
type Values = (f64, Vec<f64>);

/// Evaluates a penalty in f64 for a discriminator given as a function of weight [3] and samples [2, 3].
fn evaluate(
    judge: fn(&Tensor, &Tensor) -> Tensor,
    penalty: &dyn Fn(&Context<'_>) -> Option<Tensor>,
) -> Values {
    let graph = Graph::new();
    let (real, fake) =
        (graph.feed("real", TensorType::f32([2, 3])), graph.feed("fake", TensorType::f32([2, 3])));
    let weight = graph.feed("weight", TensorType::f32([3]));
    let strength = graph.feed("strength", TensorType::f32([]));
    let uniform = |shape: &[usize]| graph.scalar(BETWEEN).broadcast_to(shape);
    let context = Context {
        real: &real,
        fake: &fake,
        real_logits: &judge(&weight, &real),
        fake_logits: &judge(&weight, &fake),
        discriminator: &|x| judge(&weight, x),
        strength: &strength,
        uniform: &uniform,
    };
    let value = penalty(&context).expect("a penalty");
    graph.output("value", &value);
    graph.output("gradient", &grad(&value, &[&weight])[0]);
    let inputs = HashMap::from([
        ("real".to_string(), Array::f32(&[2, 3], REAL)),
        ("fake".to_string(), Array::f32(&[2, 3], FAKE)),
        ("weight".to_string(), Array::f32(&[3], WEIGHT)),
        ("strength".to_string(), Array::f32(&[], [STRENGTH])),
    ]);
    let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
    (outcome.outputs["value"].floats()[0], outcome.outputs["gradient"].floats().to_vec())
}

/// D(x) = w . x: its gradient by x is w everywhere.
fn linear(weight: &Tensor, x: &Tensor) -> Tensor {
    (x * weight).sum(&[1])
}

/// D(x) = sum w x^2 / 2: its gradient by x is w x, another one for each sample.
fn quadratic(weight: &Tensor, x: &Tensor) -> Tensor {
    (x.square() * weight).sum(&[1]) * 0.5
}

fn close(got: &Values, expected: &Values) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
    near(got.0, expected.0) && got.1.iter().zip(&expected.1).all(|(a, b)| near(*a, *b))
}

fn penalty_of(name: &'static str) -> impl Fn(&Context<'_>) -> Option<Tensor> {
    let regularizer: &dyn Regularizer = find(name).unwrap();
    move |context| regularizer.penalty(context)
}

/// gamma/2 mean over samples of sum (w x)^2, and its gradient by w: gamma mean w x^2.
fn quadratic_norms(samples: &[f64; 6]) -> Values {
    let rows = || samples.chunks_exact(3);
    let norms = rows().map(|row| row.iter().zip(WEIGHT).map(|(x, w)| (w * x).powi(2)).sum::<f64>());
    let gradient = |k: usize| STRENGTH * rows().map(|row| WEIGHT[k] * row[k] * row[k]).sum::<f64>() / 2.0;
    (STRENGTH / 2.0 * norms.sum::<f64>() / 2.0, (0..3).map(gradient).collect())
}

fn norm() -> f64 {
    WEIGHT.iter().map(|w| w * w).sum::<f64>().sqrt()
}

#[test]
fn r1_and_r2_are_half_the_squared_norm() {
    let linear_form: Values =
        (STRENGTH / 2.0 * norm().powi(2), WEIGHT.iter().map(|w| STRENGTH * w).collect());
    for (name, samples) in [("r1", &REAL), ("r2", &FAKE)] {
        assert!(close(&evaluate(linear, &penalty_of(name)), &linear_form), "{name}");
        assert!(close(&evaluate(quadratic, &penalty_of(name)), &quadratic_norms(samples)), "{name}");
    }
}

#[test]
fn the_gradient_penalty_is_the_squared_distance_from_one() {
    let n = norm();
    let slope: Vec<f64> = WEIGHT.iter().map(|w| 2.0 * STRENGTH * (n - 1.0) * w / n).collect();
    assert!(close(
        &evaluate(linear, &penalty_of("gradient-penalty")),
        &(STRENGTH * (n - 1.0).powi(2), slope)
    ));
    // Between the samples each gradient is w x^, with x^ = t real + (1 - t) fake.
    let mut value = 0.0;
    let mut slope = vec![0.0; 3];
    for i in 0..2 {
        let x: Vec<f64> =
            (0..3).map(|k| BETWEEN * REAL[3 * i + k] + (1.0 - BETWEEN) * FAKE[3 * i + k]).collect();
        let n = x.iter().zip(WEIGHT).map(|(x, w)| (w * x).powi(2)).sum::<f64>().sqrt();
        value += STRENGTH * (n - 1.0).powi(2) / 2.0;
        for k in 0..3 {
            slope[k] += STRENGTH * (n - 1.0) * WEIGHT[k] * x[k] * x[k] / n;
        }
    }
    assert!(close(&evaluate(quadratic, &penalty_of("gradient-penalty")), &(value, slope)));
}

/// Squared norm of each sample's gradient, as the regularizers take it.
fn norms(logits: &Tensor, samples: &Tensor) -> Tensor {
    grad(&logits.sum_all(), &[samples])[0].square().sum(&[1])
}

#[test]
fn wrong_twins_are_told_apart() {
    type Twin = (&'static str, &'static str, fn(&Context<'_>) -> Option<Tensor>);
    let twins: &[Twin] = &[
        ("r1", "without the half", |c| Some(norms(c.real_logits, c.real).mean_all() * c.strength)),
        ("r1", "on generated samples", |c| Some(norms(c.fake_logits, c.fake).mean_all() * 0.5 * c.strength)),
        ("r1", "summed over the batch", |c| Some(norms(c.real_logits, c.real).sum_all() * 0.5 * c.strength)),
        ("r1", "of the mean logit", |c| {
            Some(norms(&(c.real_logits * 0.5), c.real).mean_all() * 0.5 * c.strength)
        }),
        ("r1", "of the norm, not its square", |c| {
            Some(norms(c.real_logits, c.real).sqrt().mean_all() * 0.5 * c.strength)
        }),
        ("r1", "without second derivatives", |c| {
            Some(norms(c.real_logits, c.real).stop_gradient().mean_all() * 0.5 * c.strength)
        }),
        ("r1", "on probabilities", |c| {
            Some(norms(&c.real_logits.sigmoid(), c.real).mean_all() * 0.5 * c.strength)
        }),
        ("gradient-penalty", "at real samples", |c| {
            let n = norms(c.real_logits, c.real).sqrt();
            Some((n - 1.0).square().mean_all() * c.strength)
        }),
        ("gradient-penalty", "towards zero", |c| {
            let t = (c.uniform)(&[2, 1]).broadcast_to(&[2, 3]);
            let x = &t * c.real + (1.0 - &t) * c.fake;
            Some(norms(&(c.discriminator)(&x), &x).mean_all() * c.strength)
        }),
        ("gradient-penalty", "one-sided", |c| {
            let t = (c.uniform)(&[2, 1]).broadcast_to(&[2, 3]);
            let x = &t * c.real + (1.0 - &t) * c.fake;
            let n = norms(&(c.discriminator)(&x), &x).sqrt();
            Some((n - 1.0).relu().square().mean_all() * c.strength)
        }),
        ("gradient-penalty", "with the ends exchanged", |c| {
            let t = (c.uniform)(&[2, 1]).broadcast_to(&[2, 3]);
            let x = &t * c.fake + (1.0 - &t) * c.real;
            let n = norms(&(c.discriminator)(&x), &x).sqrt();
            Some((n - 1.0).square().mean_all() * c.strength)
        }),
    ];
    for (name, what, twin) in twins {
        let right = evaluate(quadratic, &penalty_of(name));
        assert!(!close(&evaluate(quadratic, twin), &right), "{name} {what} passes for it");
    }
}

#[test]
fn the_gradient_penalty_is_differentiable_where_the_gradient_vanishes() {
    let flat: fn(&Tensor, &Tensor) -> Tensor = |w, x| (x * w * 0.0).sum(&[1]);
    let (value, slope) = evaluate(flat, &penalty_of("gradient-penalty"));
    assert!((value - STRENGTH).abs() < 1e-4 && slope.iter().all(|v| v.is_finite()), "{value} {slope:?}");
}

#[test]
fn clipping_bounds_weights_and_leaves_small_ones() {
    let graph = Graph::new();
    let weight = graph.feed("weight", TensorType::f32([5]));
    let bound = graph.feed("bound", TensorType::f32([]));
    let clipped = find("weight-clipping").unwrap().constrain(&weight, &bound).unwrap();
    graph.output("clipped", &clipped);
    let inputs = HashMap::from([
        ("weight".to_string(), Array::f32(&[5], [-2.0, -0.01, 0.003, 0.01, 7.0])),
        ("bound".to_string(), Array::f32(&[], [0.01])),
    ]);
    let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
    assert_eq!(outcome.outputs["clipped"].floats(), [-0.01, -0.01, 0.003, 0.01, 0.01]);
}
