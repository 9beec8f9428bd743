//! Regularizers against closed forms, on discriminators whose gradients are known; wrong twins must not pass.

use ganymede::regularizers::{Common, Context, GeneratorContext, Memory, Regularizer, find};
use ganymede_graph::{Array, DType, Graph, Precision, Tensor, TensorType, grad, interpret};
use ganymede_nn::ClassLabels;
use std::collections::HashMap;

const REAL: [f64; 6] = [0.5, -1.0, 2.0, 1.5, 0.25, -0.75];
const FAKE: [f64; 6] = [-0.3, 0.8, 1.1, 0.9, -1.6, 0.2];
const WEIGHT: [f64; 3] = [0.6, -1.2, 0.4];
const STRENGTH: f64 = 3.0;
/// Classes of the two samples, of three.
const LABELS: [i32; 2] = [2, 0];
/// Where between generated (0) and real (1) samples the gradient penalty looks.
const BETWEEN: f64 = 0.25;

/// Numbers that a regularizer kept at an earlier step.
const MEMORY: [(&str, f64); 4] = [("real", 0.3), ("real_share", 0.2), ("fake", -0.1), ("fake_share", 0.4)];

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
    let constant = |shape: &[usize]| graph.scalar(BETWEEN).broadcast_to(shape);
    let context = Context {
        real: &real,
        fake: &fake,
        sources: [&real, &fake],
        real_logits: &judge(&weight, &real),
        fake_logits: &judge(&weight, &fake),
        reconstruction: None,
        class_logits: Some([&guess(&weight, &real), &guess(&weight, &fake)]),
        discriminator: &|x| judge(&weight, x),
        common: Common {
            strength: &strength,
            uniform: &constant,
            normal: &constant,
            augment: &|x| x.reverse(&[1]),
            labels: Some(&ClassLabels {
                index: graph.constant_f32(&[2], &LABELS.map(f64::from)).convert(DType::I32),
                classes: 3,
            }),
            weights: &[],
            memory: Memory { graph: &graph, prefix: "memory", parts: 1 },
        },
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
    let kept = MEMORY.map(|(name, value)| (format!("memory/{name}"), Array::f32(&[], [value])));
    let inputs = inputs.into_iter().chain(kept).collect();
    let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
    (outcome.outputs["value"].floats()[0], outcome.outputs["gradient"].floats().to_vec())
}

/// Three classes whose logits are w x, one a coordinate.
fn guess(weight: &Tensor, x: &Tensor) -> Tensor {
    x * weight
}

/// -log softmax(row)[class], and its gradient by the row.
fn entropy_of(row: [f64; 3], class: usize) -> (f64, [f64; 3]) {
    let sum: f64 = row.iter().map(|l| l.exp()).sum();
    (sum.ln() - row[class], [0, 1, 2].map(|k| row[k].exp() / sum - f64::from(u8::from(k == class))))
}

#[test]
fn the_classifier_is_scored_by_cross_entropy_on_both_kinds_of_samples() {
    let of = |samples: &[f64; 6]| -> Values {
        let mut total = (0.0, vec![0.0; 3]);
        for (row, class) in samples.chunks(3).zip(LABELS) {
            let (value, slope) = entropy_of([0, 1, 2].map(|k| WEIGHT[k] * row[k]), class as usize);
            total.0 += STRENGTH * value / 2.0;
            (0..3).for_each(|k| total.1[k] += STRENGTH * slope[k] * row[k] / 2.0);
        }
        total
    };
    let (real, fake) = (of(&REAL), of(&FAKE));
    let both = (real.0 + fake.0, real.1.iter().zip(&fake.1).map(|(a, b)| a + b).collect());
    let got = evaluate(linear, &penalty_of("auxiliary-classifier"));
    assert!(close(&got, &both), "{got:?} against {both:?}");
    assert!(!close(&real, &both), "a twin that looks at real samples alone");
    let generator = evaluate_generator(&generator_penalty_of("auxiliary-classifier"));
    let expected = by_differences(&|matrix| {
        let rows = samples_of(matrix);
        let value = |(row, class): (&Vec<f64>, i32)| entropy_of([row[0], row[1], row[2]], class as usize).0;
        rows.iter().zip(LABELS).map(value).sum::<f64>() / 2.0 * STRENGTH
    });
    assert!(near(&generator, &expected), "{generator:?} against {expected:?}");
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
        ("r1", "without the half", |c| Some(norms(c.real_logits, c.real).mean_all() * c.common.strength)),
        ("r1", "on generated samples", |c| {
            Some(norms(c.fake_logits, c.fake).mean_all() * 0.5 * c.common.strength)
        }),
        ("r1", "summed over the batch", |c| {
            Some(norms(c.real_logits, c.real).sum_all() * 0.5 * c.common.strength)
        }),
        ("r1", "of the mean logit", |c| {
            Some(norms(&(c.real_logits * 0.5), c.real).mean_all() * 0.5 * c.common.strength)
        }),
        ("r1", "of the norm, not its square", |c| {
            Some(norms(c.real_logits, c.real).sqrt().mean_all() * 0.5 * c.common.strength)
        }),
        ("r1", "without second derivatives", |c| {
            Some(norms(c.real_logits, c.real).stop_gradient().mean_all() * 0.5 * c.common.strength)
        }),
        ("r1", "on probabilities", |c| {
            Some(norms(&c.real_logits.sigmoid(), c.real).mean_all() * 0.5 * c.common.strength)
        }),
        ("gradient-penalty", "at real samples", |c| {
            let n = norms(c.real_logits, c.real).sqrt();
            Some((n - 1.0).square().mean_all() * c.common.strength)
        }),
        ("gradient-penalty", "towards zero", |c| {
            let t = (c.common.uniform)(&[2, 1]).broadcast_to(&[2, 3]);
            let x = &t * c.real + (1.0 - &t) * c.fake;
            Some(norms(&(c.discriminator)(&x), &x).mean_all() * c.common.strength)
        }),
        ("gradient-penalty", "one-sided", |c| {
            let t = (c.common.uniform)(&[2, 1]).broadcast_to(&[2, 3]);
            let x = &t * c.real + (1.0 - &t) * c.fake;
            let n = norms(&(c.discriminator)(&x), &x).sqrt();
            Some((n - 1.0).relu().square().mean_all() * c.common.strength)
        }),
        ("gradient-penalty", "with the ends exchanged", |c| {
            let t = (c.common.uniform)(&[2, 1]).broadcast_to(&[2, 3]);
            let x = &t * c.fake + (1.0 - &t) * c.real;
            let n = norms(&(c.discriminator)(&x), &x).sqrt();
            Some((n - 1.0).square().mean_all() * c.common.strength)
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

/// |w . x|, the gradient norm of the quadratic at a point.
fn slope_at(x: &[f64]) -> f64 {
    x.iter().zip(WEIGHT).map(|(x, w)| (w * x).powi(2)).sum::<f64>().sqrt()
}

/// lambda mean over points of f(n - 1)^2 with n the gradient norm of the quadratic there, and its gradient by w.
fn squared_excess(points: &[Vec<f64>], f: fn(f64) -> f64) -> Values {
    let count = points.len() as f64;
    let value = points.iter().map(|x| f(slope_at(x) - 1.0).powi(2)).sum::<f64>() * STRENGTH / count;
    let slope = |k: usize| {
        let of = |x: &Vec<f64>| {
            let n = slope_at(x);
            2.0 * STRENGTH / count * f(n - 1.0) * WEIGHT[k] * x[k] * x[k] / n
        };
        points.iter().map(of).sum::<f64>()
    };
    (value, (0..3).map(slope).collect())
}

#[test]
fn one_side_of_the_gradient_penalty_leaves_small_gradients_alone() {
    let between = |i: usize| {
        (0..3).map(|k| BETWEEN * REAL[3 * i + k] + (1.0 - BETWEEN) * FAKE[3 * i + k]).collect::<Vec<f64>>()
    };
    let points = [between(0), between(1)];
    // One of the two points is on either side, so that this tells the forms apart.
    assert!(slope_at(&points[0]).max(slope_at(&points[1])) > 1.0, "{points:?}");
    assert!(slope_at(&points[0]).min(slope_at(&points[1])) < 1.0, "{points:?}");
    let expected = squared_excess(&points, |excess| excess.max(0.0));
    assert!(close(&evaluate(quadratic, &penalty_of("gradient-penalty-one-sided")), &expected));
    let both = squared_excess(&points, |excess| excess);
    assert!(close(&evaluate(quadratic, &penalty_of("gradient-penalty")), &both));
    assert!(!close(&both, &expected));
}

#[test]
fn dragan_looks_around_real_samples() {
    let mean = REAL.iter().sum::<f64>() / 6.0;
    let deviation = (REAL.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 6.0).sqrt();
    // Both draws are BETWEEN here: how far, and in each direction how much.
    let moved = |x: &f64| x + BETWEEN * (BETWEEN * 0.5 * deviation);
    let points: Vec<Vec<f64>> = REAL.chunks(3).map(|row| row.iter().map(moved).collect()).collect();
    assert!(close(&evaluate(quadratic, &penalty_of("dragan")), &squared_excess(&points, |e| e)));
}

#[test]
fn consistency_is_the_squared_difference_that_an_augmentation_makes() {
    // The augmentation turns the order of the coordinates round; the quadratic's logit is sum w x^2 / 2.
    let logit = |w: &[f64; 3], x: &[f64]| x.iter().zip(w).map(|(x, w)| w * x * x).sum::<f64>() / 2.0;
    let turned = |x: &[f64]| x.iter().rev().copied().collect::<Vec<f64>>();
    let of = |samples: &[f64; 6], w: &[f64; 3]| {
        let apart = |x: &[f64]| (logit(w, x) - logit(w, &turned(x))).powi(2);
        samples.chunks(3).map(apart).sum::<f64>() / 2.0 * STRENGTH
    };
    let values = |value: &dyn Fn(&[f64; 3]) -> f64| -> Values {
        let slope = |k: usize| {
            let at = |by: f64| {
                let mut w = WEIGHT;
                w[k] += by;
                value(&w)
            };
            (at(1e-5) - at(-1e-5)) / 2e-5
        };
        (value(&WEIGHT), (0..3).map(slope).collect())
    };
    let real = values(&|w| of(&REAL, w));
    let both = values(&|w| of(&REAL, w) + of(&FAKE, w));
    assert!(near(&evaluate(quadratic, &penalty_of("consistency")), &real));
    assert!(near(&evaluate(quadratic, &penalty_of("balanced-consistency")), &both));
    type Twin = (&'static str, fn(&Context<'_>) -> Option<Tensor>);
    let twins: [Twin; 5] = [
        ("of generated samples", |c| {
            let changed = (c.discriminator)(&(c.common.augment)(c.fake));
            Some((c.fake_logits - changed).square().mean_all() * c.common.strength)
        }),
        ("summed over the batch", |c| {
            let changed = (c.discriminator)(&(c.common.augment)(c.real));
            Some((c.real_logits - changed).square().sum_all() * c.common.strength)
        }),
        ("of the mean logits", |c| {
            let changed = (c.discriminator)(&(c.common.augment)(c.real));
            Some((c.real_logits - changed).mean_all().square() * c.common.strength)
        }),
        ("towards a constant", |c| {
            let changed = (c.discriminator)(&(c.common.augment)(c.real));
            Some((c.real_logits.stop_gradient() - changed).square().mean_all() * c.common.strength)
        }),
        ("without the augmentation", |c| {
            Some((c.real_logits - (c.discriminator)(c.real)).square().mean_all() * c.common.strength)
        }),
    ];
    for (what, twin) in twins {
        assert!(!near(&evaluate(quadratic, &twin), &real), "{what}");
    }
    assert!(!near(&real, &both));
}

#[test]
fn lecam_measures_from_the_other_kinds_running_mean() {
    let judge = |x: &[f64]| x.iter().zip(WEIGHT).map(|(x, w)| x * w).sum::<f64>();
    let logits = |samples: &[f64; 6]| samples.chunks(3).map(judge).collect::<Vec<f64>>();
    let (real, fake) = (logits(&REAL), logits(&FAKE));
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let anchor =
        |kept: f64, share: f64, logits: &[f64]| (0.99 * kept + 0.01 * mean(logits)) / (0.99 * share + 0.01);
    let (real_anchor, fake_anchor) = (anchor(0.3, 0.2, &real), anchor(-0.1, 0.4, &fake));
    let apart = |v: &[f64], from: f64| mean(&v.iter().map(|x| (x - from).powi(2)).collect::<Vec<_>>());
    let value = STRENGTH * (apart(&real, fake_anchor) + apart(&fake, real_anchor));
    // The means are constants of the step.
    let slope = |k: usize| {
        let of =
            |v: &[f64], x: &[f64; 6], from: f64| (0..2).map(|i| (v[i] - from) * x[3 * i + k]).sum::<f64>();
        STRENGTH * (of(&real, &REAL, fake_anchor) + of(&fake, &FAKE, real_anchor))
    };
    let expected = (value, (0..3).map(slope).collect());
    assert!(close(&evaluate(linear, &penalty_of("lecam")), &expected));
}

/// Evaluates a generator's penalty in f64. The generator maps styles `[2, 2]` by a matrix `[2, 3]` and squares; features
/// are the samples themselves, and `real` stands for real ones.
fn evaluate_generator(penalty: &dyn Fn(&GeneratorContext<'_>) -> Option<Tensor>) -> Values {
    let graph = Graph::new();
    let styles = graph.feed("styles", TensorType::f32([2, 2]));
    let matrix = graph.feed("matrix", TensorType::f32([2, 3]));
    let real = graph.feed("real", TensorType::f32([2, 3]));
    let strength = graph.feed("strength", TensorType::f32([]));
    let fake = styles.matmul(&matrix).square();
    let constant = |shape: &[usize]| graph.scalar(BETWEEN).broadcast_to(shape);
    let weights = [("matrix".to_string(), matrix.clone())];
    let context = GeneratorContext {
        styles: &styles,
        fake: &fake,
        features: Some([&real, &fake]),
        class_logits: Some(&fake),
        common: Common {
            strength: &strength,
            uniform: &constant,
            normal: &constant,
            augment: &|x| x.reverse(&[1]),
            labels: Some(&ClassLabels {
                index: graph.constant_f32(&[2], &LABELS.map(f64::from)).convert(DType::I32),
                classes: 3,
            }),
            weights: &weights,
            memory: Memory { graph: &graph, prefix: "memory", parts: 1 },
        },
    };
    let value = penalty(&context).expect("a penalty");
    graph.output("value", &value);
    graph.output("gradient", &grad(&value, &[&matrix])[0]);
    let kept = [("mean", 0.7), ("mean_share", 0.5)];
    let inputs = HashMap::from([
        ("styles".to_string(), Array::f32(&[2, 2], STYLES)),
        ("matrix".to_string(), Array::f32(&[2, 3], MATRIX)),
        ("real".to_string(), Array::f32(&[2, 3], REAL)),
        ("strength".to_string(), Array::f32(&[], [STRENGTH])),
    ]);
    let kept = kept.map(|(name, value)| (format!("memory/{name}"), Array::f32(&[], [value])));
    let inputs = inputs.into_iter().chain(kept).collect();
    let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
    (outcome.outputs["value"].floats()[0], outcome.outputs["gradient"].floats().to_vec())
}

const STYLES: [f64; 4] = [0.7, -0.4, -1.1, 0.9];
const MATRIX: [f64; 6] = [0.5, -0.8, 1.2, 0.3, 0.6, -0.2];

fn generator_penalty_of(name: &'static str) -> impl Fn(&GeneratorContext<'_>) -> Option<Tensor> {
    let regularizer: &dyn Regularizer = find(name).unwrap();
    move |context| regularizer.generator_penalty(context)
}

/// The penalty as a plain function of the matrix, and its gradient by central differences.
fn by_differences(value: &dyn Fn(&[f64; 6]) -> f64) -> Values {
    let step = 1e-5;
    let slope = |k: usize| {
        let at = |moved: f64| {
            let mut matrix = MATRIX;
            matrix[k] += moved;
            value(&matrix)
        };
        (at(step) - at(-step)) / (2.0 * step)
    };
    (value(&MATRIX), (0..6).map(slope).collect())
}

fn near(got: &Values, expected: &Values) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-7 * (1.0 + b.abs());
    near(got.0, expected.0) && got.1.iter().zip(&expected.1).all(|(a, b)| near(*a, *b))
}

fn samples_of(matrix: &[f64; 6]) -> Vec<Vec<f64>> {
    let row = |s: &[f64]| (0..3).map(|j| (s[0] * matrix[j] + s[1] * matrix[3 + j]).powi(2)).collect();
    STYLES.chunks(2).map(row).collect()
}

#[test]
fn path_lengths_are_norms_of_the_jacobians_product_with_noise() {
    // y is BETWEEN everywhere, and J^T y = sum over j of 2 (s . m_j) m_j y.
    let lengths = |matrix: &[f64; 6]| -> Vec<f64> {
        let of = |s: &[f64]| {
            let product = |k: usize| {
                let column = |j: usize| 2.0 * (s[0] * matrix[j] + s[1] * matrix[3 + j]) * matrix[3 * k + j];
                (0..3).map(column).sum::<f64>() * BETWEEN
            };
            (product(0).powi(2) + product(1).powi(2)).sqrt()
        };
        STYLES.chunks(2).map(of).collect()
    };
    let now = lengths(&MATRIX).iter().sum::<f64>() / 2.0;
    // A constant of the step, as its gradient shows.
    let mean = (0.99 * 0.7 + 0.01 * now) / (0.99 * 0.5 + 0.01);
    let expected =
        by_differences(&|m| lengths(m).iter().map(|l| (l - mean).powi(2)).sum::<f64>() / 2.0 * STRENGTH);
    assert!(near(&evaluate_generator(&generator_penalty_of("path-length")), &expected));
    type Term = fn(f64, f64) -> f64;
    let twins: [(&str, Term); 2] =
        [("towards 0", |l, _| l.powi(2)), ("of squared lengths", |l, mean| (l * l - mean).powi(2))];
    for (what, term) in twins {
        let twin =
            by_differences(&|m| lengths(m).iter().map(|&l| term(l, mean)).sum::<f64>() / 2.0 * STRENGTH);
        assert!(!near(&twin, &expected), "{what}");
    }
}

#[test]
fn features_are_matched_in_the_mean() {
    let distance = |matrix: &[f64; 6]| {
        let fake = samples_of(matrix);
        let of = |k: usize| (REAL[k] + REAL[3 + k]) / 2.0 - (fake[0][k] + fake[1][k]) / 2.0;
        (0..3).map(|k| of(k).powi(2)).sum::<f64>() * STRENGTH
    };
    let expected = by_differences(&distance);
    assert!(near(&evaluate_generator(&generator_penalty_of("feature-matching")), &expected));
    let sample_by_sample = by_differences(&|m| {
        let fake = samples_of(m).concat();
        REAL.iter().zip(&fake).map(|(r, f)| (r - f).powi(2)).sum::<f64>() / 2.0 * STRENGTH
    });
    assert!(!near(&sample_by_sample, &expected));
}

#[test]
fn orthogonality_counts_products_of_different_filters() {
    let products = |matrix: &[f64; 6], diagonal: bool| {
        let dot = |i: usize, j: usize| matrix[i] * matrix[j] + matrix[3 + i] * matrix[3 + j];
        let of = |i: usize| (0..3).filter(|j| diagonal || *j != i).map(|j| dot(i, j).powi(2)).sum::<f64>();
        (0..3).map(of).sum::<f64>() * STRENGTH
    };
    let expected = by_differences(&|m| products(m, false));
    assert!(near(&evaluate_generator(&generator_penalty_of("orthogonal")), &expected));
    assert!(!near(&by_differences(&|m| products(m, true)), &expected), "with the filters' own lengths");
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
