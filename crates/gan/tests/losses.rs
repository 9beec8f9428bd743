//! Every loss against numbers worked out by hand from its formula.

use ganymede::losses::{LOSSES, Labels, Loss, find};
use ganymede_graph::{Array, Graph, Precision, TensorType, grad, interpret};
use std::collections::HashMap;

const REAL: [f64; 4] = [2.0, -1.0, 0.5, 3.0];
const FAKE: [f64; 4] = [-0.5, 1.5, 0.0, -2.0];

/// Discriminator's and generator's loss, and their gradients by the generated logits, in f64.
fn evaluate(name: &str, real: &[f64], fake: &[f64]) -> [Vec<f64>; 4] {
    evaluate_with(find(name).unwrap(), Labels::default(), real, fake)
}

fn evaluate_with(loss: &dyn Loss, labels: Labels, real: &[f64], fake: &[f64]) -> [Vec<f64>; 4] {
    let graph = Graph::new();
    let r = graph.feed("real", TensorType::f32([real.len()]));
    let f = graph.feed("fake", TensorType::f32([fake.len()]));
    let d = loss.discriminator(&r, &f, labels);
    let g = loss.generator(loss.pairs().then_some(&r), &f);
    graph.output("d", &d);
    graph.output("g", &g);
    graph.output("d/fake", &grad(&d, &[&f])[0]);
    graph.output("g/fake", &grad(&g, &[&f])[0]);
    let inputs = HashMap::from([
        ("real".to_string(), Array::f32(&[real.len()], real)),
        ("fake".to_string(), Array::f32(&[fake.len()], fake)),
    ]);
    let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
    ["d", "g", "d/fake", "g/fake"].map(|name| outcome.outputs[name].floats().to_vec())
}

/// For logits 2, -1, .5, 3 (real) and -.5, 1.5, 0, -2 (generated); softplus(x) = ln(1 + e^x).
///
/// minimax D: mean softplus(-real) + mean softplus(fake); G: -mean softplus(fake).
/// non-saturating G: mean softplus(-fake).
/// least squares D: (mean (real - 1)^2 + mean fake^2) / 2 = (2.3125 + 1.625) / 2; G: mean (fake - 1)^2 / 2 = 3.125 / 2.
/// Wasserstein D: mean fake - mean real = -.25 - 1.125; G: .25.
/// hinge D: mean(0, 2, .5, 0) + mean(.5, 2.5, 1, 0) = .625 + 1.
/// relativistic D: mean softplus(-2.5, 2.5, -.5, -5); G: mean softplus(2.5, -2.5, .5, 5).
/// relativistic average, with means 1.125 and -.25: D: mean softplus(-(2.25, -.75, .75, 3.25)) + mean
/// softplus(-1.625, .375, -1.125, -3.125); G: mean softplus(1.625, -.375, 1.125, 3.125) + mean
/// softplus(2.25, -.75, .75, 3.25).
const EXPECTED: &[(&str, f64, f64)] = &[
    ("minimax", 1.239_604_872_020_205_4, -0.748_891_363_441_444_4),
    ("non-saturating", 1.239_604_872_020_205_4, 0.998_891_363_441_444_2),
    ("least-squares", 1.968_75, 1.562_5),
    ("wasserstein", -1.375, 0.25),
    ("hinge", 1.625, 0.25),
    ("relativistic-pairing", 0.784_642_950_313_581, 2.159_642_950_313_581),
    ("relativistic-average", 0.766_001_764_459_308, 3.516_001_764_459_307_6),
];

#[test]
fn values_are_those_of_the_papers() {
    assert_eq!(EXPECTED.len(), LOSSES.len(), "a loss lacks its numbers");
    for (name, d, g) in EXPECTED {
        let [got_d, got_g, ..] = evaluate(name, &REAL, &FAKE);
        assert!((got_d[0] - d).abs() < 1e-12, "{name} D: {} against {d}", got_d[0]);
        assert!((got_g[0] - g).abs() < 1e-12, "{name} G: {} against {g}", got_g[0]);
    }
}

#[test]
fn gradients_have_the_sign_and_size_of_the_game() {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    for loss in LOSSES {
        let [_, _, d, g] = evaluate(loss.name(), &REAL, &FAKE);
        for i in 0..4 {
            // The discriminator pushes generated logits down; the generator pulls them up (least squares: towards
            // 0 and 1, whichever side they are on).
            let (down, up) = match loss.name() {
                "least-squares" => (FAKE[i] / 4.0, (FAKE[i] - 1.0) / 4.0),
                "minimax" => (sigmoid(FAKE[i]) / 4.0, -sigmoid(FAKE[i]) / 4.0),
                "non-saturating" => (sigmoid(FAKE[i]) / 4.0, -sigmoid(-FAKE[i]) / 4.0),
                "wasserstein" => (0.25, -0.25),
                "hinge" => (if FAKE[i] > -1.0 { 0.25 } else { 0.0 }, -0.25),
                // A generated logit moves its own difference and, through the mean, those of all real ones.
                "relativistic-average" => {
                    let mean = |logits: &[f64]| logits.iter().sum::<f64>() / 4.0;
                    let over = REAL.map(|r| r - mean(&FAKE));
                    let own = FAKE[i] - mean(&REAL);
                    let up = |sign: f64| over.iter().map(|o| sigmoid(sign * o) / 16.0).sum::<f64>();
                    (up(-1.0) + sigmoid(own) / 4.0, -sigmoid(-own) / 4.0 - up(1.0))
                }
                _ => (sigmoid(FAKE[i] - REAL[i]) / 4.0, -sigmoid(REAL[i] - FAKE[i]) / 4.0),
            };
            assert!((d[i] - down).abs() < 1e-12, "{} D at {i}: {} against {down}", loss.name(), d[i]);
            assert!((g[i] - up).abs() < 1e-12, "{} G at {i}: {} against {up}", loss.name(), g[i]);
        }
    }
}

#[test]
fn extreme_logits_stay_finite() {
    for loss in LOSSES {
        for results in
            [evaluate(loss.name(), &[-1e4; 2], &[1e4; 2]), evaluate(loss.name(), &[1e4; 2], &[-1e4; 2])]
        {
            assert!(results.iter().flatten().all(|v| v.is_finite()), "{}: {results:?}", loss.name());
        }
    }
}

#[test]
fn a_pairing_loss_without_real_logits_says_so() {
    for loss in LOSSES {
        let graph = Graph::new();
        let fake = graph.feed("fake", TensorType::f32([4]));
        graph.output("g", &loss.generator(None, &fake));
        match graph.finish() {
            Ok(_) => assert!(!loss.pairs(), "{}", loss.name()),
            Err(error) => {
                assert!(loss.pairs(), "{}", loss.name());
                assert!(error.to_string().contains("logits of real samples"), "{error}");
            }
        }
    }
}

#[test]
fn labels_move_the_targets() {
    let labels = Labels { real: 0.9, fake: 0.1 };
    let softplus = |x: f64| (1.0 + x.exp()).ln();
    let mean = |f: &dyn Fn(f64) -> f64, logits: &[f64]| logits.iter().map(|&x| f(x)).sum::<f64>() / 4.0;
    // -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), from the definition.
    let entropy = |t: f64| move |x: f64| t * softplus(-x) + (1.0 - t) * softplus(x);
    let entropies = mean(&entropy(0.9), &REAL) + mean(&entropy(0.1), &FAKE);
    let squares = (mean(&|x| (x - 0.9).powi(2), &REAL) + mean(&|x| (x - 0.1).powi(2), &FAKE)) / 2.0;
    for loss in LOSSES {
        let [plain, ..] = evaluate(loss.name(), &REAL, &FAKE);
        let [got, generator, ..] = evaluate_with(*loss, labels, &REAL, &FAKE);
        assert_eq!(generator, evaluate(loss.name(), &REAL, &FAKE)[1], "labels are the discriminator's alone");
        let expected = match loss.name() {
            "minimax" | "non-saturating" => entropies,
            "least-squares" => squares,
            _ => plain[0],
        };
        assert_eq!(loss.takes_labels(), got != plain, "{}", loss.name());
        assert!((got[0] - expected).abs() < 1e-12, "{}: {} against {expected}", loss.name(), got[0]);
    }
}
