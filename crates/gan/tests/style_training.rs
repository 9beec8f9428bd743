//! R3GAN, StyleGAN2 and FastGAN: losses to order two, training steps, and what the styles of StyleGAN2 do.

mod common;

use common::networks::{dot, labels, model, parameters, uniform};
use ganymede::networks::Side;
use ganymede::regularizers::{self, Common, GeneratorContext, Memory};
use ganymede::{Objective, Recipe};
use ganymede_data::{ContentHash, Dataset, Items};
use ganymede_graph::{Array, Graph, Precision, Tensor, TensorType, grad, interpret};
use ganymede_nn::{Mode, RandomSource, Scope};
use std::collections::HashMap;
use std::sync::Arc;

/// Options of networks so small that the interpreter differentiates them twice in seconds.
const TINY: [(&str, &str, [usize; 3]); 3] = [
    ("r3gan", "widths = [4, 3]\nblocks = [1, 1]\ngroup_size = 2", [4, 6, 2]),
    (
        "stylegan2",
        "channel_base = 16\nchannel_max = 4\nstyle_width = 3\nmapping_layers = 1\nstddev_group = 2",
        [8, 8, 1],
    ),
    ("fastgan", "width = 4", [28, 28, 1]),
];

const BATCH: usize = 2;
const CLASSES: Option<usize> = Some(3);

/// A loss and what it is a function of.
struct Whole {
    graph: Graph,
    loss: Tensor,
    params: Vec<(String, Tensor)>,
    inputs: HashMap<String, Array>,
}

/// The loss of one side: non-saturating, with R1 for a discriminator without batch norm, with path lengths for a generator
/// that has styles. `severed` cuts the penalty's own gradient out, as an implementation of first order would.
fn whole(name: &str, options: &str, sample: [usize; 3], side: Side, severed: bool) -> Whole {
    let (network, options) = model(name, options);
    let graph = Graph::new();
    let labels = labels(&graph, BATCH, CLASSES);
    let scope = |root| Scope::root(&graph, root, Mode::train_frozen_statistics()).with_labels(labels.clone());
    let [g, d] = ["G", "D"].map(scope);
    let z = graph.feed("z", TensorType::f32([BATCH, 2]));
    let x = graph.feed("x", TensorType::f32([&[BATCH], &sample[..]].concat()));
    let fake = network.generator(&g, &z, &sample, &options);
    let cut = |gradient: &Tensor| if severed { gradient.stop_gradient() } else { gradient.clone() };
    let (loss, params) = match side {
        Side::Discriminator => {
            let [real, fake] = [&x, &fake.stop_gradient()].map(|x| network.discriminator(&d, x, &options));
            let mut loss = (-&real).softplus().mean_all() + fake.softplus().mean_all();
            if !network.normalizes_batch(side, &options) {
                let slope = &grad(&real.sum_all(), &[&x])[0];
                loss = loss + cut(slope).square().sum_all() * 0.1;
            } else if let Some(distances) = d.reconstruction() {
                loss = loss + distances.mean_all();
            }
            (loss, d.trainable())
        }
        Side::Generator => {
            let logits = network.discriminator(&d, &fake, &options);
            let mut loss = (-logits).softplus().mean_all();
            if let Some(styles) = g.styles() {
                let y = |shape: &[usize]| graph.constant_f32(shape, &uniform("y", shape.iter().product()));
                let one = graph.scalar(1.0);
                let penalty = regularizers::find("path-length").unwrap();
                let styles = if severed { styles.stop_gradient() } else { styles };
                let common = Common {
                    strength: &one,
                    uniform: &y,
                    normal: &y,
                    augment: &Tensor::clone,
                    labels: labels.as_ref(),
                    weights: &[],
                    memory: Memory { graph: &graph, prefix: "memory", parts: 1 },
                };
                let context = GeneratorContext {
                    styles: &styles,
                    fake: &fake,
                    features: None,
                    class_logits: None,
                    common,
                };
                loss = loss + penalty.generator_penalty(&context).unwrap();
            }
            (loss, g.trainable())
        }
    };
    // No gradient passes power iterations, by definition (SNGAN, equation 11), but differences would: what is checked of
    // normalized networks are scales, biases and strengths.
    let params: Vec<_> =
        params.into_iter().filter(|(_, t)| name != "fastgan" || t.shape().len() == 1).collect();
    let golden = format!("{name}/tiny");
    let mut inputs: HashMap<String, Array> =
        [&g, &d].into_iter().flat_map(|s| parameters(&golden, &s.params())).collect();
    let values = |name: &str, shape: &[usize]| Array::f32(shape, uniform(name, shape.iter().product()));
    inputs.insert("z".into(), values("z", &z.shape()));
    inputs.insert("x".into(), values("x", &x.shape()));
    inputs.insert("labels".into(), Array::i32(&[BATCH], [0, 2]));
    // A past so long that the step does not move the mean, which is a constant to gradients but not to differences.
    for (name, value) in [("mean", 1e9), ("mean_share", 1e9)] {
        inputs.insert(format!("memory/{name}"), Array::f32(&[], [value]));
    }
    Whole { graph, loss, params, inputs }
}

/// Of the loss, and of <gradient, c> for a fixed c: what the derivative along a direction u is by gradients and by
/// central differences.
fn derivatives(whole: Whole) -> [[f64; 2]; 2] {
    let Whole { graph, loss, params, inputs } = whole;
    let handles: Vec<&Tensor> = params.iter().map(|(_, t)| t).collect();
    let fixed = |kind: &str, name: &str, like: &Tensor| {
        graph.constant_f32(&like.shape(), &uniform(&format!("{kind}/{name}"), like.ty().len()))
    };
    let along = |kind: &str, gradients: &[Tensor]| {
        dot(params.iter().zip(gradients).map(|((name, t), g)| (g.clone(), fixed(kind, name, t))))
    };
    let first = grad(&loss, &handles);
    let product = along("c", &first);
    let second = grad(&product, &handles);
    for (name, value) in
        [("0", loss), ("1", product), ("slope 0", along("u", &first)), ("slope 1", along("u", &second))]
    {
        graph.output(name, &value);
    }
    let function = graph.finish().unwrap();
    let at = |step: f64| {
        let mut inputs = inputs.clone();
        for (name, _) in &params {
            let u = uniform(&format!("u/{name}"), inputs[name].floats().len());
            let moved = inputs[name].floats().iter().zip(u).map(|(v, u)| v + step * u).collect::<Vec<_>>();
            inputs.insert(name.clone(), Array::f32(&inputs[name].ty.shape.clone(), moved));
        }
        let outcome = interpret(&function, &inputs, Precision::F64).unwrap();
        move |name: &str| outcome.outputs[name].floats()[0]
    };
    let step = 1e-6;
    let (centre, up, down) = (at(0.0), at(step), at(-step));
    ["0", "1"].map(|name| [centre(&format!("slope {name}")), (up(name) - down(name)) / (2.0 * step)])
}

fn near([got, expected]: [f64; 2]) -> bool {
    assert!(got.is_finite() && expected.is_finite());
    (got - expected).abs() <= 1e-5 * (1.0 + expected.abs())
}

#[test]
fn whole_losses_are_differentiable_twice() {
    for (name, options, sample) in TINY {
        for side in [Side::Generator, Side::Discriminator] {
            for (order, pair) in
                derivatives(whole(name, options, sample, side, false)).into_iter().enumerate()
            {
                assert!(near(pair), "{name}, {side:?}, order {order}: {pair:?}");
            }
        }
    }
}

#[test]
fn a_penalty_without_its_own_gradient_is_told_apart() {
    for (name, options, sample) in [TINY[0], TINY[1]] {
        let severed = derivatives(whole(name, options, sample, Side::Discriminator, true));
        assert!(!near(severed[0]), "{name}: {severed:?}");
    }
    // Path lengths by styles that nothing depends on are all 0.
    let (name, options, sample) = TINY[1];
    let right = derivatives(whole(name, options, sample, Side::Generator, false));
    let severed = derivatives(whole(name, options, sample, Side::Generator, true));
    assert!((right[0][0] - severed[0][0]).abs() > 1e-3, "{right:?} {severed:?}");
}

/// Smooth grey images, labelled by where they are bright.
struct Blobs([usize; 3]);

impl Items for Blobs {
    fn count(&self) -> Option<u64> {
        None
    }
    fn held_bytes(&self) -> u64 {
        0
    }
    fn fill(&self, indices: &[u64], out: &mut [f32], labels: Option<&mut [i32]>) {
        let [height, width, channels] = self.0;
        for (index, image) in indices.iter().zip(out.chunks_exact_mut(height * width * channels)) {
            for (i, value) in image.iter_mut().enumerate() {
                let (row, column) = (i / (width * channels), i / channels % width);
                let phase = *index as f32 * 0.7 + row as f32 * 0.3;
                *value = phase.sin() * (column as f32 * 0.2 + (index % 3) as f32).cos();
            }
        }
        for (index, label) in indices.iter().zip(labels.into_iter().flatten()) {
            *label = (index % 3) as i32;
        }
    }
}

fn recipe(name: &str, options: &str, shape: [usize; 3], classes: bool) -> Recipe {
    let options = options.replace('\n', ", ");
    let (loss, regularizers) = match name {
        "r3gan" => ("relativistic-pairing", &[("r1", 1), ("r2", 1)][..]),
        "stylegan2" => ("non-saturating", &[("r1", 4), ("path-length", 2)][..]),
        _ => ("hinge", &[("reconstruction", 1)][..]),
    };
    let regularizers: String = regularizers
        .iter()
        .map(|(name, every)| format!("[[regularizers]]\nname = \"{name}\"\nevery = {every}\n"))
        .collect();
    let classes = if classes { "classes = 3\n" } else { "" };
    let side = |side: &str| {
        format!(
            "[{side}]\nmodel = \"{name}\"\noptions = {{ {options} }}\noptimizer = {{ lr = 1e-3, beta1 = 0.0 }}\n"
        )
    };
    let text = format!(
        "name = \"tiny\"\n[data]\nshape = {shape:?}\ndefault = \"glyphs\"\n{classes}[latent]\ndim = 6\n[train]\nbatch = 4\n\
         images = 400\n[loss]\nname = \"{loss}\"\n[ema]\nhalf_life = 20\n{regularizers}{}{}",
        side("generator"),
        side("discriminator")
    );
    Recipe::parse("tiny", &text, &[]).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn twenty_steps_stay_finite_with_and_without_classes() {
    for (name, options, shape) in [
        ("r3gan", "widths = [32, 16, 16]\nblocks = [1, 1, 0]", [16, 24, 3]),
        (
            "stylegan2",
            "channel_base = 128\nchannel_max = 16\nstyle_width = 16\nmapping_layers = 2",
            [16, 16, 4],
        ),
        ("fastgan", "width = 4", [28, 28, 1]),
    ] {
        for classes in [false, true] {
            let objective = Objective::new(recipe(name, options, shape, classes)).unwrap();
            let blobs = Dataset::new("blobs", &shape, ContentHash([0; 32]), Box::new(Blobs(shape)));
            let blobs = if classes {
                blobs.with_classes(vec!["left".into(), "middle".into(), "right".into()])
            } else {
                blobs
            };
            let mut trainer =
                ganymede::Trainer::new(objective, Arc::new(blobs), common::executor(), 1, 400).unwrap();
            let before = common::hashes(trainer.store());
            let mut penalties = 0;
            for step in 0..20 {
                let report = trainer.step().unwrap();
                assert_eq!(report.skipped, 0, "{name}, step {step}: {report:?}");
                assert!(report.d_loss.is_finite() && report.g_loss.is_finite(), "{name}: {report:?}");
                penalties += usize::from(report.d_penalty > 0.0);
            }
            assert!(penalties >= 5, "{name}");
            let after = common::hashes(trainer.store());
            // Whatever is trained has moved, and what is kept from step to step.
            let still: Vec<&String> = before
                .iter()
                .filter(|(slot, hash)| !slot.ends_with("/noise") && after[*slot] == **hash)
                .map(|(slot, _)| slot)
                // One number on the unit sphere has no direction to move in; a first noise strength of 0 may stay.
                .filter(|slot| !slot.ends_with("patches/weight_u"))
                .collect();
            assert!(still.is_empty(), "{name} (classes: {classes}): {still:?} never moved");
        }
    }
}

/// Styles `[batch, layers, width]` of StyleGAN2 in a mode, and what its running mean becomes.
fn styles(mode: Mode, mixing: usize, seed: u32) -> (Vec<f64>, Option<Vec<f64>>) {
    let graph = Graph::new();
    let (network, options) = model(
        "stylegan2",
        &format!("channel_base = 64\nstyle_width = 5\nmapping_layers = 2\nmixing = {mixing}"),
    );
    let pair = |name| graph.feed(name, TensorType::new(ganymede_graph::DType::U32, [2]));
    let mode =
        if mode.training { mode.with_random(RandomSource::new(&pair("key"), &pair("first"))) } else { mode };
    let scope = Scope::root(&graph, "G", mode);
    let z = graph.feed("z", TensorType::f32([64, 3]));
    graph.output("styles", &network.mapping(&scope, &z, &[16, 16, 1], &options));
    let mut inputs = parameters("stylegan2/styles", &scope.params());
    inputs.insert("z".into(), Array::f32(&[64, 3], uniform("z", 64 * 3)));
    for (name, value) in [("key", [seed, 2]), ("first", [0, 0])] {
        inputs.insert(name.into(), Array::u32(&[2], value));
    }
    let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
    let mean = outcome.updates.get("G/mapping/w_mean").map(|a| a.floats().to_vec());
    (outcome.outputs["styles"].floats().to_vec(), mean)
}

#[test]
fn styles_are_mixed_in_training_averaged_and_drawn_to_their_mean() {
    // 16 px: two convolutions at 8 and 16, one at 4, and the last image.
    let (layers, width) = (6, 5);
    let (plain, none) = styles(Mode::eval(), 90, 1);
    assert!(none.is_none() && plain.len() == 64 * layers * width);
    let (unmixed, mean) = styles(Mode::train(), 0, 1);
    assert_eq!(unmixed, plain);
    // The mean moves by .005 of the way to the batch's.
    let old = parameters(
        "stylegan2/styles",
        &[ganymede_nn::ParamSpec::new("G/mapping/w_mean", &[width], ganymede_nn::Init::Zeros, false)],
    );
    let old = old["G/mapping/w_mean"].floats();
    for (k, moved) in mean.unwrap().iter().enumerate() {
        let batch = (0..64).map(|n| plain[n * layers * width + k]).sum::<f64>() / 64.0;
        assert!((moved - (0.995 * old[k] + 0.005 * batch)).abs() < 1e-12);
    }
    // In about 90 of 100 samples the last layers have another style, from one layer on.
    let (mixed, _) = styles(Mode::train(), 90, 1);
    let mut starts = Vec::new();
    for n in 0..64 {
        let style = |all: &[f64], layer: usize| all[(n * layers + layer) * width..][..width].to_vec();
        let first = (0..layers).find(|l| style(&mixed, *l) != style(&plain, *l));
        starts.extend(first);
        for layer in first.unwrap_or(layers)..layers {
            assert_eq!(style(&mixed, layer), style(&mixed, layers - 1), "one second style");
        }
    }
    assert!((48..64).contains(&starts.len()) && !starts.contains(&0), "{starts:?}");
    assert!((1..layers).all(|layer| starts.contains(&layer)), "{starts:?}");
    assert_ne!(styles(Mode::train(), 90, 2).0, mixed);
    let (drawn, _) = styles(Mode::eval().with_truncation(0.25), 90, 1);
    for (i, (drawn, plain)) in drawn.iter().zip(&plain).enumerate() {
        assert!((drawn - (old[i % width] + 0.25 * (plain - old[i % width]))).abs() < 1e-12);
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let error = |name: &str, options: &str, shape: [usize; 3], spectral: usize| {
        let mut text = recipe("r3gan", "widths = [8]\nblocks = [0]", [16, 16, 1], false);
        text.data.shape = shape.to_vec();
        let options: toml::Table = options.parse().unwrap();
        for network in [&mut text.generator, &mut text.discriminator] {
            (network.model, network.options) = (Some(name.to_string()), options.clone());
            network.spectral_norm = spectral;
        }
        if name == "fastgan" {
            text.regularizers = recipe(name, "width = 4", [28, 28, 1], false).regularizers;
        }
        Objective::new(text).err().map_or_else(String::new, |e| e.to_string())
    };
    for (name, options, shape, spectral, words) in [
        (
            "r3gan",
            "widths = [8, 8, 8]\nblocks = [1, 0, 0]",
            [16, 18, 1],
            0,
            &["`widths` lists 3", "of 4, got 16x18"][..],
        ),
        ("r3gan", "widths = [8, 8]\nblocks = [1]", [16, 16, 1], 0, &["`widths` lists 2 stages, `blocks` 1"]),
        ("r3gan", "widths = [20]\nblocks = [1]", [16, 16, 1], 0, &["`expansion` 2", "`group_size`"]),
        ("stylegan2", "", [50, 50, 3], 0, &["`data.shape`", "50x50", "4 to 7"]),
        ("stylegan2", "", [6, 6, 3], 0, &["`data.shape`", "too small"]),
        ("stylegan2", "mixing = 101", [16, 16, 3], 0, &["`mixing` must be at most 100, got 101"]),
        ("stylegan2", "style_width = 0", [16, 16, 3], 0, &["`style_width` must be at least 1"]),
        ("stylegan2", "noise = [1, 0]", [16, 16, 3], 0, &["`noise` takes one number, got 2"]),
        ("stylegan2", "channel_max = 8", [16, 16, 3], 1, &["`spectral_norm`", "leave it out"]),
        ("stylegan2", "channel_max = 8\nstddev_group = 3", [16, 16, 3], 0, &["groups of 3"]),
        ("fastgan", "", [512, 512, 3], 0, &["`data.shape`", "512x512", "256x256"]),
        ("fastgan", "width = 0", [64, 64, 3], 0, &["`width` must be one number from 4 to 1024"]),
        ("fastgan", "", [12, 12, 3], 0, &["`data.shape`", "12x12", "14x14 is the least"]),
        ("fastgan", "decoders = 0", [64, 64, 3], 0, &["`reconstruction` compares", "this one has none"]),
        // Halved once: no smaller network, and no decoders.
        ("fastgan", "", [14, 14, 3], 0, &["`reconstruction` compares", "halved twice to 7 pixels or more"]),
        ("fastgan", "decoders = 2", [64, 64, 3], 0, &["`decoders` must be one number from 0 to 1"]),
    ] {
        let message = error(name, options, shape, spectral);
        assert!(words.iter().all(|word| message.contains(word)), "{name} {options} {shape:?}: {message}");
    }
}
