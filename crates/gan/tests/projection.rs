//! Projection: its distance and gradient against PyTorch and central differences, and images that it finds again.

mod common;
#[path = "common/styled.rs"]
mod styled;

use common::*;
use ganymede::latent::{Codes, Space, Synthesizer};
use ganymede::projection::{Effort, Features, project};
use ganymede::sampler::{Asked, Sampler};
use ganymede::{Error, Objective};
use ganymede_cpu::Session;
use ganymede_graph::{Array, Data, Graph, Precision, Role, grad, interpret};
use std::collections::HashMap;
use styled::with_styles;

/// The plain pair, with weights that make images of full contrast.
fn plain() -> Objective {
    objective(&images(r#""dense 32 init=he_normal", "leaky_relu 0.2""#, " init=he_normal"), &[])
}

const SHAPE: [usize; 3] = [8, 8, 1];

/// As tools/goldens_latent.py wrote it.
const GOLDEN: &str = include_str!("../goldens/distance.txt");

#[test]
fn distance_and_gradient_are_those_of_pytorch() {
    let blocks = golden_blocks(GOLDEN);
    let inputs: HashMap<String, Array> =
        blocks.iter().filter(|b| b.0 == "input").map(|b| (b.1.clone(), b.2.clone())).collect();
    let expected = |name: &str| blocks.iter().find(|b| b.1 == name).unwrap().2.floats().to_vec();
    let graph = Graph::new();
    let [samples, target] = ["samples", "target"].map(|name| graph.feed(name, inputs[name].ty.clone()));
    let distance = Features::new(&[9, 8, 1]).distance(&graph, &samples, &target);
    graph.output("distance", &distance);
    graph.output("gradient", &grad(&distance.sum_all(), &[&samples])[0]);
    let function = graph.finish().unwrap();
    let outcome = interpret(&function, &inputs, Precision::F64).unwrap();
    let off = |name: &str, expected: &[f64]| {
        let got = outcome.outputs[name].floats();
        assert_eq!(got.len(), expected.len());
        let gap = got.iter().zip(expected).map(|(g, e)| (g - e).abs()).fold(0.0, f64::max);
        gap / expected.iter().fold(0.0, |m: f64, e| m.max(e.abs()))
    };
    for name in ["distance", "gradient"] {
        assert!(off(name, &expected(name)) < 1e-12, "{name}: {}", off(name, &expected(name)));
    }
    // The mean over values alone is another distance.
    let both = [inputs["samples"].floats(), inputs["target"].floats()];
    let values = both[0]
        .chunks(72)
        .map(|s| s.iter().zip(both[1].iter()).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 72.0);
    assert!(off("distance", &values.collect::<Vec<_>>()) > 0.1);
}

#[test]
fn a_step_follows_the_gradient_of_each_code_by_itself() {
    for (objective, space) in [(plain(), Space::Latent), (with_styles(plain(), None), Space::Styles)] {
        let (count, width) = (2, objective.code_shape(space).unwrap().iter().product::<usize>());
        let features = Features::new(&SHAPE);
        let function = objective.projection_phase(space, count, &features).unwrap();
        let store = objective.initial_state(3).unwrap();
        let wave =
            |n: usize, speed: f64| (0..n).map(|i| (speed * (i as f64 + 1.0)).sin()).collect::<Vec<f64>>();
        let mut inputs = HashMap::new();
        for input in &function.inputs {
            let n = input.ty.len();
            let values = match (input.role, input.name.as_str()) {
                (Role::State, name) => store.f32s(name).unwrap().iter().map(|v| f64::from(*v)).collect(),
                (_, "m" | "v") => vec![0.0; n],
                (_, "beta1_power" | "beta2_power") => vec![1.0],
                (_, "lr") => vec![0.25],
                (_, "reach") => vec![0.4],
                (_, "deviation") => wave(n, 0.9).iter().map(|v| 1.0 + 0.3 * v).collect(),
                (_, "mean") => wave(n, 0.3).iter().map(|v| 0.2 * v).collect(),
                (_, "u") => wave(n, 1.7),
                (_, name) if name.starts_with("features/") => wave(n, 1.1).iter().map(|v| 0.3 * v).collect(),
                (_, _) => wave(n, 2.3),
            };
            inputs.insert(input.name.clone(), Array::new(input.ty.clone(), Data::Float(values)));
        }
        let run = |u: &[f64]| {
            let mut inputs = inputs.clone();
            let ty = inputs["u"].ty.clone();
            inputs.insert("u".into(), Array::new(ty, Data::Float(u.to_vec())));
            interpret(&function, &inputs, Precision::F64).unwrap().outputs
        };
        let u = inputs["u"].floats().to_vec();
        // What is minimised, of each code: the distance and what holds it beyond its reach.
        let loss = |u: &[f64]| -> Vec<f64> {
            let distance = run(u)["distance"].floats().to_vec();
            let beyond =
                u.chunks(width).map(|u| (u.iter().map(|v| v * v).sum::<f64>() / width as f64 - 0.4).max(0.0));
            distance.iter().zip(beyond).map(|(d, b)| d + 0.1 * b * b).collect()
        };
        let out = run(&u);
        let gradient: Vec<f64> = out["m"].floats().iter().map(|m| m / 0.1).collect();
        let h = 1e-5;
        let scale = gradient.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
        assert!(scale > 1e-3, "{scale}");
        for i in 0..u.len() {
            let moved = |by: f64| {
                let mut u = u.clone();
                u[i] += by;
                loss(&u)
            };
            let (up, down) = (moved(h), moved(-h));
            let slope = (up[i / width] - down[i / width]) / (2.0 * h);
            assert!(
                (slope - gradient[i]).abs() < 1e-6 * scale.max(1.0),
                "{space:?} {i}: {slope}, {}",
                gradient[i]
            );
            assert_eq!(up[1 - i / width], down[1 - i / width], "the other code's loss is its own");
            // Adam's first step is the rate along the sign.
            let step = out["u"].floats()[i] - u[i];
            assert!((step + 0.25 * gradient[i].signum()).abs() < 1e-4, "{step}");
        }
    }
}

#[test]
fn a_generated_image_is_found_again() {
    let (plain, styled) = (plain(), with_styles(plain(), None));
    for (objective, space) in [(&plain, Space::Latent), (&styled, Space::Styles)] {
        let mut session = session_of(objective, 3);
        // From a seed whose latents the projection does not begin with.
        let target = Sampler::new(99).draw(objective, &mut session, 7, 1).unwrap();
        let before: Vec<String> = session.store().names().map(str::to_string).collect();
        let mut steps = 0;
        let mut synthesizer = Synthesizer::new(objective, &mut session, 5);
        let effort = Effort { steps: 400, restarts: 4 };
        let found = project(&mut synthesizer, &target, effort, &mut || steps += 1).unwrap();
        assert_eq!((steps, found.codes.space(), found.codes.len(), found.ends.len()), (400, space, 1, 4));
        eprintln!(
            "{space:?}: {} from {}, {} a value; {:?}",
            found.distance, found.start, found.pixel_error, found.ends
        );
        assert!(found.pixel_error < 0.02, "{space:?}: {}", found.pixel_error);
        assert!(found.distance < 0.02 * found.start, "{} from {}", found.distance, found.start);
        assert!(found.ends.iter().all(|end| *end >= found.distance));
        assert_eq!(synthesizer.samples(&found.codes, &mut |_| {}).unwrap(), found.reconstruction);
        let error = found.reconstruction.iter().zip(&target).map(|(a, b)| f64::from(a - b).powi(2));
        assert!(((error.sum::<f64>() / 64.0).sqrt() - found.pixel_error).abs() < 1e-6);

        // The same again, and without a trace in the session's state.
        let again =
            project(&mut Synthesizer::new(objective, &mut session, 5), &target, effort, &mut || {}).unwrap();
        assert_eq!(again, found);
        assert_eq!(session.store().names().map(str::to_string).collect::<Vec<_>>(), before);

        // What no latent makes stays far: noise of the same size.
        let noise: Vec<f32> = (0..64).map(|i| if i * 37 % 64 < 32 { 0.5 } else { -0.5 }).collect();
        let mut synthesizer = Synthesizer::new(objective, &mut session, 5);
        let far = project(&mut synthesizer, &noise, effort, &mut || {}).unwrap();
        assert!(far.pixel_error > 0.1 && far.distance < far.start, "{} {}", far.pixel_error, far.distance);
    }
}

#[test]
fn a_projection_keeps_to_the_class_that_fits() {
    let told = images(r#""concat_label 6", "dense 32 init=he_normal", "leaky_relu 0.2""#, " init=he_normal")
        .replace("default = \"glyphs\"", "default = \"glyphs\", classes = 3")
        .replace("\"flatten\", \"dense 1\"", "\"flatten\", \"projection\"");
    let objective = objective(&told, &[]);
    let mut session = session_of(&objective, 3);
    let effort = Effort { steps: 200, restarts: 3 };
    for class in 0..3 {
        let target =
            Sampler::new(99).of_classes(Asked::Only(class)).draw(&objective, &mut session, 7, 1).unwrap();
        let mut of = |asked| {
            let mut synthesizer = Synthesizer::new(&objective, &mut session, 5).of_classes(asked).unwrap();
            project(&mut synthesizer, &target, effort, &mut || {}).unwrap()
        };
        // Candidates are of all classes in turn.
        let found = of(Asked::Each);
        assert_eq!(found.codes.classes().unwrap(), [class]);
        let other = of(Asked::Only((class + 1) % 3));
        assert_eq!(other.codes.classes().unwrap(), [(class + 1) % 3], "the class that is asked for stays");
        assert!(other.distance > 2.0 * found.distance, "{} {}", other.distance, found.distance);
    }
}

#[test]
fn what_cannot_be_projected_is_refused() {
    let objective = plain();
    let mut session = session_of(&objective, 3);
    let refused = |session: &mut Session, target: &[f32], effort: Effort| {
        let mut synthesizer = Synthesizer::new(&objective, session, 5);
        match project(&mut synthesizer, target, effort, &mut || {}) {
            Err(Error::Refused(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let one = Effort { steps: 1, restarts: 1 };
    assert!(refused(&mut session, &[0.0; 63], one).contains("63 values, a sample 64"));
    assert!(refused(&mut session, &[0.0; 64], Effort { steps: 0, ..one }).contains("0 steps"));
    assert!(refused(&mut session, &[0.0; 64], Effort { restarts: 513, ..one }).contains("513 restarts"));
    assert!(refused(&mut session, &[f32::NAN; 64], one).contains("not finite"));
    let bad = Codes::new(Space::Latent, &[6], vec![f32::INFINITY; 6], None).unwrap_err();
    assert!(bad.to_string().contains("not finite"));
}
