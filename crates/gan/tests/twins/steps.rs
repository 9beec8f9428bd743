//! Whole steps with smoothed labels, top-k, instance noise and packs against PyTorch, whose program draws the same latents
//! and noise by the definition of the generator of random numbers.

use crate::common;
use crate::compare::*;
use ganymede::Objective;
use ganymede::step::feed;
use ganymede_graph::{Array, Function, Precision, interpret};
use std::collections::HashMap;

/// As tools/goldens_images.py wrote them.
const GOLDENS: &str = include_str!("../../goldens/steps.txt");

/// The networks of the goldens. Plain descent, which at the rate 1 moves weights by their gradients.
const RECIPE: &str = r#"
name = "steps"
data = { shape = [2, 3, 2], default = "glyphs" }
latent = { dim = 3 }
train = { batch = 4, images = 400 }
loss = { name = "non-saturating" }

[generator]
layers = ["dense 12 tanh", "reshape 2 3 2"]
optimizer = { kind = "sgd", lr = 1e-2, beta1 = 0.0 }

[discriminator]
layers = ["flatten", "dense 5 tanh", "dense 1"]
optimizer = { kind = "sgd", lr = 1e-2, beta1 = 0.0 }
"#;

const D: [&str; 4] = ["dense1/weight", "dense1/bias", "dense2/weight", "dense2/bias"];
const G: [&str; 2] = ["dense1/weight", "dense1/bias"];

/// An option's name in the goldens, how a recipe asks for it, samples that count and deviation of the noise.
const STEPS: &[(&str, &[&str], f64, f64)] = &[
    ("plain", &[], 4.0, 0.0),
    ("smoothed", &["loss.real_label=0.9", "loss.fake_label=0.2"], 4.0, 0.0),
    ("top-k", &["loss.top_k=0.5"], 2.0, 0.0),
    ("noise", &["loss.instance_noise=0.375"], 4.0, 0.375),
    ("packed", &["train.pack=2"], 2.0, 0.0),
    (
        "all",
        &[
            "loss.real_label=0.9",
            "loss.fake_label=0.2",
            "loss.top_k=0.5",
            "loss.instance_noise=0.375",
            "train.pack=2",
        ],
        1.0,
        0.375,
    ),
];

/// A phase's loss and the gradients that it moves weights by.
fn run(function: &Function, inputs: &HashMap<String, Array>, loss: &str, weights: &[String]) -> Vec<f64> {
    let of = |name: &str, shape: &[usize]| match inputs.get(name) {
        Some(array) => array.clone(),
        None => panic!("the step reads `{name}` {shape:?}, which the test does not know"),
    };
    let given = function.inputs.iter().map(|i| (i.name.clone(), of(&i.name, &i.ty.shape))).collect();
    let outcome = interpret(function, &given, Precision::F64).unwrap();
    assert!(outcome.committed);
    let mut all = outcome.outputs[loss].floats().to_vec();
    for weight in weights {
        let (before, after) = (inputs[weight].floats(), outcome.updates[weight].floats());
        all.extend(before.iter().zip(after).map(|(before, after)| before - after));
    }
    all
}

/// Both networks' steps, one after the other.
fn steps(goldens: &Goldens, sets: &[&str], top_k: f64, noise: f64) -> Vec<f64> {
    let objective: Objective = common::objective(RECIPE, sets);
    let mut inputs = goldens.inputs();
    for name in D {
        let own = inputs[&format!("D{}/{name}", objective.recipe.train.pack)].clone();
        inputs.insert(format!("D/{name}"), own);
    }
    let scalars =
        [(feed::LR, 1.0), (feed::INVERSE_BOUND, 0.0), (feed::TOP_K, top_k), (feed::INSTANCE_NOISE, noise)];
    inputs.extend(scalars.map(|(name, value)| (name.to_string(), Array::f32(&[], [value]))));
    inputs.insert(feed::KEY.into(), Array::u32(&[2], [5, 6]));
    inputs.insert(feed::FIRST.into(), Array::u32(&[2], [7, 0]));
    let d: Vec<String> = D.map(|name| format!("D/{name}")).to_vec();
    let g: Vec<String> = G.map(|name| format!("G/{name}")).to_vec();
    let mut all = run(&objective.discriminator_phase(&[]).unwrap(), &inputs, "d_loss", &d);
    all.extend(run(&objective.generator_phase(&[]).unwrap(), &inputs, "g_loss", &g));
    all
}

#[test]
fn steps_with_options_are_those_of_pytorch_and_their_twins_are_not() {
    let goldens = Goldens::parse(GOLDENS);
    for (name, sets, top_k, noise) in STEPS {
        let got = steps(&goldens, sets, *top_k, *noise);
        assert_same(&got, goldens.of("step", name).floats(), name);
        let twins: Vec<_> = goldens.named("twin").filter(|t| t.0.split('/').next() == Some(*name)).collect();
        assert!(!twins.is_empty(), "no wrong twin of {name}");
        for (what, twin) in twins {
            assert_told_apart(twin.floats(), &got, what);
        }
    }
    assert_eq!(goldens.named("step").count(), STEPS.len(), "a golden that no step is compared with");
}
