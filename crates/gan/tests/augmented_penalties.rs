//! R1 and R2 of a discriminator that sees augmented samples: by the samples themselves, as the published programs do.

mod common;

use common::{executor, feed, objective, put};
use ganymede::augment::{AUGMENTATIONS, Augmentation, Draw};
use ganymede::regularizers::{Common, Context, Memory, find};
use ganymede_cpu::Session;
use ganymede_graph::{Array, Graph, Precision, Tensor, TensorType, grad, interpret};
use std::cell::Cell;
use std::collections::HashMap;

/// Linear networks for images.
const IMAGES: &str = r#"
name = "images"
data = { shape = [8, 8, 1], default = "glyphs" }
latent = { dim = 1 }
train = { batch = 4, images = 400 }
loss = { name = "non-saturating" }

[generator]
layers = ["dense 64", "reshape 8 8 1"]
optimizer = { kind = "sgd", lr = 1e-2, beta1 = 0.0 }

[discriminator]
layers = ["flatten", "dense 1"]
optimizer = { kind = "sgd", lr = 1e-2, beta1 = 0.0 }
"#;

/// D adds up its pixels, and every pixel of either kind of sample is 1: what cutout leaves of an image is both its logit and
/// the squared norm of the logit's gradient by the whole image. By the cut image that norm is 64, whatever was cut.
#[test]
fn what_an_augmentation_takes_away_costs_nothing() {
    for (name, logit) in [("r1", "d_real"), ("r2", "d_fake")] {
        let text = common::with(IMAGES, name, 1.0, 1);
        let objective = objective(&text, &["augment={policy=[\"cutout\"]}"]);
        let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
        let phase = session.add_phase("d", &objective.discriminator_phase(&[true]).unwrap()).unwrap();
        put(session.store_mut(), "D/dense1/weight", &[1.0; 64]);
        put(session.store_mut(), "D/dense1/bias", &[0.0]);
        put(session.store_mut(), "G/dense1/weight", &[0.0; 64]);
        put(session.store_mut(), "G/dense1/bias", &[1.0; 64]);
        feed(&mut session, phase, 0.0);
        session.feed_mut(phase, "real").unwrap().fill(1.0);
        assert!(session.run(phase).unwrap().committed);
        let output = |name: &str| session.output(phase, name).unwrap()[0];
        let (penalty, left) = (output("d_penalty"), output(logit));
        assert!(left < 60.0, "cutout takes something away: {left}");
        assert!((penalty - 0.5 * left).abs() < 1e-4 * left, "{name}: {penalty} against {left} / 2");
    }
}

/// The members of a pack share a logit, whose squared gradient is that by all of them.
#[test]
fn a_pack_is_differentiated_whole() {
    let objective = objective(&common::with(IMAGES, "r1", 1.0, 1), &["train.pack=2"]);
    let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
    let phase = session.add_phase("d", &objective.discriminator_phase(&[true]).unwrap()).unwrap();
    let weight: Vec<f32> = (0..128).map(|i| (i as f32 * 0.3).sin()).collect();
    put(session.store_mut(), "D/dense1/weight", &weight);
    feed(&mut session, phase, 0.0);
    assert!(session.run(phase).unwrap().committed);
    let expected = weight.iter().map(|w| w * w).sum::<f32>() / 2.0;
    let got = session.output(phase, "d_penalty").unwrap()[0];
    assert!((got - expected).abs() < 1e-4 * expected, "{got} against {expected}");
}

const SHAPE: [usize; 4] = [1, 4, 4, 3];
const PIXELS: usize = 48;

/// R1 with a discriminator sum tanh(w o T(x)), its gradient by w, and the logit, at the given pixels and weights; `twin`
/// differentiates by T(x).
fn values(
    augmentation: &dyn Augmentation,
    pixels: &[f64],
    weight: &[f64],
    twin: bool,
) -> HashMap<String, Array> {
    let graph = Graph::new();
    let x = graph.feed("x", TensorType::f32(SHAPE));
    let w = graph.feed("w", TensorType::f32(SHAPE));
    let count = Cell::new(0);
    let constant = |shape: &[usize]| {
        count.set(count.get() + 1);
        graph.full(shape, 0.25 + 0.5 * f64::from(count.get()).sin().abs())
    };
    let draw = Draw { uniform: &constant, normal: &constant, probability: None };
    let seen = augmentation.apply(&x, &draw);
    let judge = |seen: &Tensor| (seen * &w).tanh().sum(&[1, 2, 3]);
    let logit = judge(&seen);
    let sources = if twin { [&seen, &seen] } else { [&x, &x] };
    let penalty = find("r1").unwrap().penalty(&Context {
        real: &seen,
        fake: &seen,
        sources,
        real_logits: &logit,
        fake_logits: &logit,
        reconstruction: None,
        class_logits: None,
        discriminator: &judge,
        common: Common {
            strength: &graph.scalar(1.0),
            uniform: &constant,
            normal: &constant,
            augment: &|x| x.clone(),
            labels: None,
            weights: &[],
            memory: Memory { graph: &graph, prefix: "memory", parts: 1 },
        },
    });
    let penalty = penalty.unwrap();
    graph.output("logit", &logit);
    graph.output("penalty", &penalty);
    graph.output("slope", &grad(&penalty, &[&w])[0]);
    let inputs = HashMap::from([
        ("x".to_string(), Array::f32(&SHAPE, pixels)),
        ("w".to_string(), Array::f32(&SHAPE, weight)),
    ]);
    interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap().outputs
}

#[test]
fn the_penalty_is_that_of_the_whole_function_to_order_two() {
    let pixels: Vec<f64> = (0..PIXELS).map(|i| 0.8 * (i as f64 * 0.7).sin()).collect();
    let weight: Vec<f64> = (0..PIXELS).map(|i| 0.5 + (i as f64 * 1.1).cos()).collect();
    let moved = |values: &[f64], k: usize, by: f64| {
        let mut values = values.to_vec();
        values[k] += by;
        values
    };
    let step = 1e-5;
    for augmentation in AUGMENTATIONS {
        let name = augmentation.name();
        let at = |pixels: &[f64], weight: &[f64], output: &str| {
            values(*augmentation, pixels, weight, false)[output].floats()[0]
        };
        let here = values(*augmentation, &pixels, &weight, false);
        let slope = |k: usize| {
            let logit = |by: f64| at(&moved(&pixels, k, by), &weight, "logit");
            (logit(step) - logit(-step)) / (2.0 * step)
        };
        let expected = (0..PIXELS).map(|k| slope(k).powi(2)).sum::<f64>() / 2.0;
        let got = here["penalty"].floats()[0];
        assert!((got - expected).abs() < 1e-6 * (1.0 + expected), "{name}: {got} against {expected}");
        for k in (0..PIXELS).step_by(5) {
            let penalty = |by: f64| at(&pixels, &moved(&weight, k, by), "penalty");
            let difference = (penalty(step) - penalty(-step)) / (2.0 * step);
            let got = here["slope"].floats()[k];
            assert!(
                (got - difference).abs() < 2e-6 * (1.0 + difference.abs()),
                "{name}, weight {k}: {got} against {difference}"
            );
        }
        // What moves pixels and changes none gives the same either way.
        if ["color", "jitter", "cutout", "geometry"].contains(&name) {
            let twin = values(*augmentation, &pixels, &weight, true)["penalty"].floats()[0];
            assert!((twin - expected).abs() > 1e-3 * expected, "{name}: by what is seen {twin}");
        }
    }
}
