//! Augmentations against an independent NumPy program with the same draws, their gradients, and what holds of all.

mod common;

use ganymede::augment::{AUGMENTATIONS, Augmentation, Draw, find};
use ganymede::recipe::Recipe;
use ganymede::{Objective, step};
use ganymede_graph::{Array, Graph, Precision, Tensor, TensorType, grad, interpret};
use std::cell::Cell;
use std::collections::HashMap;

/// As tools/goldens_torch.py wrote them.
const GOLDENS: &str = include_str!("../goldens/augmentations.txt");

fn golden(kind: &str, name: &str) -> Array {
    let found = common::golden_blocks(GOLDENS).into_iter().find(|b| b.0 == kind && b.1 == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}")).2
}

/// Applies an augmentation to images of that shape, with the draws of the golden in order, again from the first after the
/// last.
fn apply(
    graph: &Graph,
    augmentation: &dyn Augmentation,
    shape: &[usize],
    probability: Option<f64>,
) -> (Tensor, Tensor) {
    let images = graph.feed("images", TensorType::f32(shape));
    let [uniform, normal] = ["uniform", "normal"].map(|name| golden("input", name).floats().to_vec());
    let counts = [Cell::new(0), Cell::new(0)];
    let draw = |values: &[f64], count: &Cell<usize>, wanted: &[usize]| {
        assert_eq!(wanted, [shape[0], 1, 1, 1], "one for each sample");
        let at = count.replace(count.get() + 1) % 4;
        let row: Vec<f64> = (0..shape[0]).map(|i| values[3 * at + i % 3]).collect();
        graph.constant_f32(wanted, &row)
    };
    let p = probability.map(|p| graph.scalar(p));
    let result = augmentation.apply(
        &images,
        &Draw {
            uniform: &|wanted| draw(&uniform, &counts[0], wanted),
            normal: &|wanted| draw(&normal, &counts[1], wanted),
            probability: p.as_ref(),
        },
    );
    (images, result)
}

fn run(graph: &Graph, images: &Array) -> HashMap<String, Array> {
    let inputs = HashMap::from([("images".to_string(), images.clone())]);
    interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap().outputs
}

fn result(augmentation: &dyn Augmentation, images: &Array, probability: Option<f64>) -> Vec<f64> {
    let graph = Graph::new();
    let (_, y) = apply(&graph, augmentation, &images.ty.shape, probability);
    assert_eq!(y.shape(), images.ty.shape, "{}", augmentation.name());
    graph.output("y", &y);
    run(&graph, images)["y"].floats().to_vec()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn images_are_those_of_the_independent_program() {
    // In colour, square; grey and in colour, with sides that are odd and even.
    for set in ["images", "grey", "wide"] {
        let images = golden("input", set);
        let expected = |name: &str| golden("result", &format!("{set}/{name}")).floats().to_vec();
        for augmentation in AUGMENTATIONS {
            let name = augmentation.name();
            let got = result(*augmentation, &images, None);
            let error = distance(&got, &expected(name));
            // Draws are constants of 32 bits here, which turns and powers pass on.
            assert!(error < 1e-5, "{name}, {set}: {error}");
            assert!(distance(&got, images.floats()) > 0.1, "{name} leaves {set} as they are");
            // The other augmentations' results are not taken for this one's.
            for other in AUGMENTATIONS.iter().filter(|a| a.name() != name) {
                assert!(distance(&got, &expected(other.name())) > 0.1, "{name} {} {set}", other.name());
            }
        }
    }
}

#[test]
fn a_probability_of_zero_changes_nothing() {
    let images = golden("input", "images");
    for augmentation in AUGMENTATIONS {
        let error = distance(&result(*augmentation, &images, Some(0.0)), images.floats());
        // The filters of a wavelet undo each other but for the rounding of their taps to 32 bits.
        assert!(error < 1e-6, "{}: {error}", augmentation.name());
    }
}

#[test]
fn grey_images_and_rectangles_are_changed_too() {
    for shape in [[2, 9, 14, 1], [2, 14, 6, 3], [3, 8, 8, 4]] {
        let count = shape.iter().product::<usize>();
        let images = Array::f32(&shape, (0..count).map(|i| (i as f64 * 0.7).sin()).collect::<Vec<_>>());
        for augmentation in AUGMENTATIONS {
            let got = result(*augmentation, &images, None);
            assert!(got.iter().all(|v| v.is_finite()), "{} {shape:?}", augmentation.name());
        }
    }
}

/// Of pictures with an alpha channel the colors change as those of pictures without, and what is see-through stays so.
#[test]
fn colors_change_beside_an_alpha_channel_and_leave_it_alone() {
    let pixel = |sample: usize, place: usize, channel: usize| {
        ((sample * 64 + place) as f64 * 0.7 + channel as f64).sin()
    };
    let images = |channels: usize| {
        let values: Vec<f64> = (0..2 * 64 * channels)
            .map(|i| pixel(i / (64 * channels), i / channels % 64, i % channels))
            .collect();
        Array::f32(&[2, 8, 8, channels], values)
    };
    for name in ["color", "jitter"] {
        let of = |channels: usize| result(find(name).unwrap(), &images(channels), None);
        let (without, with) = (of(3), of(4));
        let colors: Vec<f64> = with.chunks(4).flat_map(|p| p[..3].to_vec()).collect();
        assert!(distance(&colors, &without) < 1e-12, "{name}");
        let alpha = |v: &[f64]| v.chunks(4).map(|p| p[3]).collect::<Vec<f64>>();
        assert_eq!(alpha(&with), alpha(images(4).floats()), "{name}");
    }
}

/// Every element of the gradient of sum(c tanh(augmented)) and of the gradient of its product with constants, against
/// central differences, at a sample of the pixels.
#[test]
fn gradients_pass_through_to_order_two() {
    let images = golden("input", "images");
    for augmentation in AUGMENTATIONS {
        let graph = Graph::new();
        let (x, y) = apply(&graph, *augmentation, &images.ty.shape, None);
        let count = images.floats().len();
        let constant = |seed: f64| {
            let values: Vec<f64> = (0..count).map(|i| (i as f64 * seed).sin()).collect();
            graph.constant_f32(&images.ty.shape, &values)
        };
        let loss = (y.tanh() * constant(1.3)).sum_all();
        let first = &grad(&loss, &[&x])[0];
        let product = (first * constant(2.1)).sum_all();
        let second = &grad(&product, &[&x])[0];
        for (name, tensor) in [("0", &loss), ("1", &product), ("g0", first), ("g1", second)] {
            graph.output(name, tensor);
        }
        let at = run(&graph, &images);
        let step = 1e-5;
        for k in (0..count).step_by(61) {
            let moved = |by: f64| {
                let mut elements = images.floats().to_vec();
                elements[k] += by;
                run(&graph, &Array::f32(&images.ty.shape, elements))
            };
            let (up, down) = (moved(step), moved(-step));
            for order in ["0", "1"] {
                let difference = (up[order].floats()[0] - down[order].floats()[0]) / (2.0 * step);
                let got = at[&format!("g{order}")].floats()[k];
                let near = (got - difference).abs() <= 1e-6 * (1.0 + difference.abs());
                assert!(
                    near,
                    "{}, order {order}, pixel {k}: {got} against {difference}",
                    augmentation.name()
                );
            }
        }
    }
}

fn recipe(sets: &[&str]) -> Result<Objective, String> {
    let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
    let recipe = Recipe::load("dcgan28", &sets).map_err(|e| e.to_string())?;
    Objective::new(recipe).map_err(|e| e.to_string())
}

#[test]
fn recipes_name_augmentations_and_refuse_what_means_nothing() {
    assert_eq!(recipe(&["augment.policy=[\"color\",\"translation\"]"]).unwrap().augmentations.len(), 2);
    for (sets, words) in [
        (&["augment.policy=[\"colour\"]"][..], "did you mean `color`?"),
        (&["augment.policy=[\"flip\"]", "augment.probability=1.5"][..], "from 0 to 1"),
        (&["augment.policy=[\"flip\"]", "augment.target=-0.1"][..], "from 0 to 1"),
        (&["augment.policy=[\"flip\"]", "augment.ramp=100"][..], "follows a target"),
        (
            &["augment.policy=[\"flip\"]", "augment.target=0.6", "loss.name=relativistic-average"][..],
            "`relativistic-average` leaves the logits without a zero",
        ),
    ] {
        let message = recipe(sets).err().unwrap();
        assert!(message.contains(words), "{sets:?}: {message}");
    }
    let large =
        recipe(&["augment.policy=[\"flip\"]", "data.shape=[2048,2048,1]", "train.batch=1"]).err().unwrap();
    assert!(large.contains("too large"), "{large}");
    let points = Recipe::parse("test", common::LINEAR, &["augment={policy=[\"flip\"]}".into()]);
    assert!(points.unwrap_err().to_string().contains("changes images"));
}

#[test]
fn an_adapted_probability_follows_the_sign_of_real_logits() {
    use ganymede_cpu::Session;
    let sets =
        ["augment.policy=[\"flip\",\"jitter\"]", "augment.target=0.6", "augment.ramp=800", "train.batch=8"];
    let objective = recipe(&sets).unwrap();
    let mut session = Session::new(common::executor(), objective.initial_state(1).unwrap());
    let phase = session.add_phase("d", &objective.discriminator_phase(&[]).unwrap()).unwrap();
    common::feed(&mut session, phase, 0.0);
    session.feed_mut(phase, step::feed::REAL).unwrap().fill(0.3);
    let bias = session.store().names().filter(|n| n.starts_with("D/dense") && n.ends_with("bias")).last();
    let bias = bias.unwrap().to_string();
    let mut follow = |logit: f32, steps: usize| {
        common::put(session.store_mut(), &bias, &[logit]);
        for _ in 0..steps {
            assert!(session.run(phase).unwrap().committed);
        }
        session.store().f32s(step::PROBABILITY).unwrap()[0]
    };
    // A hundredth a step: 8 of 800 images.
    let up = follow(1e3, 5);
    assert!((up - 0.05).abs() < 1e-6, "{up}");
    // The mean of the last signs turns a step or two after the sign itself.
    let down = follow(-1e3, 4);
    assert!(down < up && down >= 0.0, "{down} after {up}");
    assert_eq!(follow(-1e3, 20), 0.0, "it stays a probability");
    assert_eq!(follow(1e3, 200), 1.0, "it stays a probability");
}

#[test]
fn find_knows_every_name() {
    assert!(AUGMENTATIONS.iter().all(|a| find(a.name()).is_some()) && find("none").is_none());
}
