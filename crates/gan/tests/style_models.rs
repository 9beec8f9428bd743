//! The networks of R3GAN, StyleGAN2 and FastGAN against the published counts of parameters and against PyTorch.

mod common;

use common::networks::{labels, model, parameters, uniform};
use ganymede::models::Model;
use ganymede_graph::{Array, Function, Graph, Precision, Tensor, TensorType, interpret};
use ganymede_nn::{Mode, Params, Scope};
use std::collections::HashMap;

/// As tools/goldens_style.py wrote them.
const GOLDENS: &str = include_str!("../goldens/style.txt");

fn golden(kind: &str, name: &str) -> Option<Array> {
    common::golden_blocks(GOLDENS).into_iter().find(|b| b.0 == kind && b.1 == name).map(|b| b.2)
}

/// A pair of networks to compare.
struct Pair {
    golden: &'static str,
    options: [&'static str; 2],
    classes: Option<usize>,
    latent: usize,
    sample: [usize; 3],
    batch: usize,
    /// Of the pixels along an axis each `every`-th is compared.
    every: usize,
    truncation: f64,
}

const PLAIN: Pair = Pair {
    golden: "",
    options: [""; 2],
    classes: None,
    latent: 8,
    sample: [16, 16, 3],
    batch: 2,
    every: 1,
    truncation: 1.0,
};

impl Pair {
    fn scope(&self, graph: &Graph, root: &str) -> Scope {
        let mode = Mode::eval().with_truncation(self.truncation);
        Scope::root(graph, root, mode).with_labels(labels(graph, self.batch, self.classes))
    }

    /// Both networks, with their parameters.
    fn build(&self) -> (Graph, [Scope; 2]) {
        let name = self.golden.split('/').next().unwrap();
        let graph = Graph::new();
        let [g, d] = [self.scope(&graph, "G"), self.scope(&graph, "D")];
        let z = graph.feed("z", TensorType::f32([self.batch, self.latent]));
        let (network, options) = model(name, self.options[0]);
        let made = network.generator(&g, &z, &self.sample, &options);
        assert_eq!(made.shape()[1..], self.sample, "{}: {:?}", self.golden, graph.error());
        graph.output("image", &every(&made, self.every));
        let x = graph.feed("x", TensorType::f32([&[self.batch], &self.sample[..]].concat()));
        let (network, options) = model(name, self.options[1]);
        graph.output("logits", &network.discriminator(&d, &x, &options).reshape(&[self.batch]));
        if let Some(distances) = d.reconstruction() {
            graph.output("distances", &distances);
        }
        (graph, [g, d])
    }

    fn inputs(&self, scopes: &[Scope; 2]) -> HashMap<String, Array> {
        let mut inputs: HashMap<String, Array> =
            scopes.iter().flat_map(|s| parameters(self.golden, &s.params())).collect();
        let z = uniform(&format!("{}/z", self.golden), self.batch * self.latent);
        let z: Vec<f64> = z.into_iter().map(|u| 1.7 * u).collect();
        inputs.insert("z".into(), Array::f32(&[self.batch, self.latent], z));
        let shape = [&[self.batch], &self.sample[..]].concat();
        let x = uniform(&format!("{}/x", self.golden), shape.iter().product());
        inputs.insert("x".into(), Array::f32(&shape, x));
        if let Some(classes) = self.classes {
            let index: Vec<i32> = (0..self.batch).map(|i| ((3 * i + 1) % classes) as i32).collect();
            inputs.insert("labels".into(), Array::i32(&[self.batch], index));
        }
        inputs
    }
}

/// Each `step`-th pixel along both axes.
fn every(x: &Tensor, step: usize) -> Tensor {
    let shape = x.shape();
    x.slice_strided(&[0; 4], &shape, &[1, step, step, 1])
}

/// Largest difference, relative to the root mean square of what is expected.
fn distance(got: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let size = (expected.iter().map(|e| e * e).sum::<f64>() / expected.len() as f64).sqrt();
    got.iter().zip(expected).map(|(g, e)| (g - e).abs()).fold(0.0, f64::max) / size
}

const PAIRS: &[Pair] = &[
    Pair {
        golden: "r3gan/rectangle",
        options: ["widths = [48, 24, 16]\nblocks = [1, 2, 0]"; 2],
        sample: [12, 20, 4],
        ..PLAIN
    },
    Pair {
        golden: "stylegan2/plain",
        options: ["channel_base = 128\nchannel_max = 16\nstyle_width = 12\nmapping_layers = 2"; 2],
        batch: 4,
        every: 2,
        ..PLAIN
    },
    Pair {
        golden: "stylegan2/classes",
        options: ["channel_base = 128\nchannel_max = 16\nstyle_width = 12\nmapping_layers = 3\nstddev_group = 2";
            2],
        classes: Some(5),
        batch: 4,
        every: 2,
        truncation: 0.7,
        ..PLAIN
    },
    Pair {
        golden: "stylegan2/other",
        options: ["channel_base = 128\nchannel_max = 16\nstyle_width = 12\nmapping_layers = 1\nresidual = 0\n\
                   residual_generator = 1\nstddev_group = 2\nstddev_channels = 2"; 2],
        sample: [12, 20, 4],
        batch: 4,
        every: 2,
        ..PLAIN
    },
    Pair {
        golden: "fastgan/64",
        options: ["width = 4"; 2],
        latent: 10,
        sample: [64, 64, 3],
        every: 4,
        ..PLAIN
    },
    Pair {
        golden: "fastgan/rectangle",
        options: ["width = 4"; 2],
        classes: Some(3),
        latent: 10,
        sample: [28, 56, 1],
        every: 4,
        ..PLAIN
    },
];

#[test]
fn networks_make_and_judge_what_pytorch_does() {
    for pair in PAIRS {
        let (graph, scopes) = pair.build();
        let outcome = interpret(&graph.finish().unwrap(), &pair.inputs(&scopes), Precision::F64).unwrap();
        let mut compared = 0;
        for kind in ["image", "logits", "distances"] {
            let Some(expected) = golden(kind, pair.golden) else {
                assert!(!outcome.outputs.contains_key(kind), "{}: no golden {kind}", pair.golden);
                continue;
            };
            // Goldens have 12 digits.
            let got = distance(outcome.outputs[kind].floats(), expected.floats());
            assert!(got < 1e-9, "{}, {kind}: {got:e}", pair.golden);
            compared += 1;
        }
        assert!(compared >= 2);
    }
}

/// Changed parameters change what is made or judged, so that the comparison with PyTorch sees them.
#[test]
fn every_parameter_counts() {
    for pair in PAIRS.iter().filter(|pair| pair.golden != "fastgan/64") {
        let (graph, scopes) = pair.build();
        let function = graph.finish().unwrap();
        let inputs = pair.inputs(&scopes);
        let outputs = |inputs: &HashMap<String, Array>| {
            let outcome = interpret(&function, inputs, Precision::F64).unwrap();
            outcome.outputs.values().flat_map(|a| a.floats().to_vec()).collect::<Vec<f64>>()
        };
        let right = outputs(&inputs);
        // Noise of a strength needs random words here, and the scale of a normalized weight does not count: a few of the
        // others, the last among them.
        let names: Vec<String> = scopes.iter().flat_map(|s| s.trainable()).map(|(name, _)| name).collect();
        let counted = |name: &&String| !(name.ends_with("/strength") || name.ends_with("patches/weight"));
        let names: Vec<&String> = names.iter().filter(counted).collect();
        for name in names.iter().step_by(names.len() / 6).chain(names.last()) {
            let mut changed = inputs.clone();
            let array = &inputs[*name];
            let moved = array.floats().iter().enumerate().map(|(i, v)| v + 0.01 * (i as f64).cos());
            changed.insert((*name).clone(), Array::f32(&array.ty.shape, moved.collect::<Vec<_>>()));
            assert!(distance(&outputs(&changed), &right) > 1e-6, "{}: {name} changes nothing", pair.golden);
        }
    }
}

/// R3GAN for CIFAR-10 at its published width, by the kernels in f32.
#[test]
fn r3gan_for_cifar_at_full_width_is_that_of_pytorch() {
    let options = ["widths = [768, 768, 768, 768]\nblocks = [2, 2, 2, 2]"; 2];
    let pair = Pair {
        golden: "r3gan/cifar",
        options,
        classes: Some(10),
        latent: 64,
        sample: [32, 32, 3],
        every: 2,
        ..PLAIN
    };
    let (graph, scopes) = pair.build();
    let outputs = run(&graph.finish().unwrap(), &pair.inputs(&scopes));
    for kind in ["image", "logits"] {
        let got = distance(&outputs[kind], golden(kind, pair.golden).unwrap().floats());
        assert!(got < 1e-4, "{kind}: {got:e}");
    }
}

/// Outputs of the function, computed by the executor.
fn run(function: &Function, inputs: &HashMap<String, Array>) -> HashMap<String, Vec<f64>> {
    let mut store = ganymede_cpu::StateStore::new();
    let single = |array: &Array| array.floats().iter().map(|v| *v as f32).collect::<Vec<f32>>();
    for (name, array) in inputs.iter().filter(|(name, _)| name.starts_with("G/") || name.starts_with("D/")) {
        store.insert(name, array.ty.clone(), &single(array)).unwrap();
    }
    let mut session = ganymede_cpu::Session::new(common::executor(), store);
    let phase = session.add_phase("forward", function).unwrap();
    for name in ["z", "x"] {
        session.feed_mut(phase, name).unwrap().copy_from_slice(&single(&inputs[name]));
    }
    let index: Vec<u32> = inputs["labels"].i32s().iter().map(|v| *v as u32).collect();
    session.feed_words_mut(phase, "labels").unwrap().copy_from_slice(&index);
    session.run(phase).unwrap();
    let of = |name: &str| session.output(phase, name).unwrap().iter().map(|v| f64::from(*v)).collect();
    ["image", "logits"].iter().map(|name| (name.to_string(), of(name))).collect()
}

fn counts(
    name: &str,
    options: [&str; 2],
    latent: usize,
    sample: [usize; 3],
    classes: Option<usize>,
) -> [usize; 2] {
    let pair = Pair { latent, sample, classes, ..PLAIN };
    let graph = Graph::new();
    let [g, d] = [pair.scope(&graph, "G"), pair.scope(&graph, "D")];
    let build = |options, network: &dyn Fn(&dyn Model, &ganymede::models::Options)| {
        let (model, options) = model(name, options);
        network(model, &options);
    };
    let z = graph.feed("z", TensorType::f32([pair.batch, latent]));
    let x = graph.feed("x", TensorType::f32([&[pair.batch], &sample[..]].concat()));
    build(options[0], &|model, options| {
        model.generator(&g, &z, &sample, options);
    });
    build(options[1], &|model, options| {
        model.discriminator(&d, &x, options);
    });
    graph.finish().unwrap();
    let listed = |params: Params, scope: &Scope| {
        let rows = scope.layers().iter().map(|row| row.parameters).sum::<usize>();
        (params.count_trainable(), rows)
    };
    [&g, &d].map(|scope| {
        let (count, rows) = listed(scope.params(), scope);
        // The first image of a generator belongs to no layer.
        assert!(rows <= count && rows * 100 > count * 90, "{name}: {rows} of {count} in the layer table");
        count
    })
}

#[test]
fn published_widths_have_the_published_counts() {
    let r3 = |widths, blocks| format!("widths = {widths}\nblocks = {blocks}");
    let cifar = r3("[768, 768, 768, 768]", "[2, 2, 2, 2]");
    let ffhq64 = r3("[768, 768, 768, 768, 384]", "[2, 2, 2, 2, 2]");
    let ffhq256 = r3("[768, 768, 768, 768, 384, 192, 96]", "[2, 2, 2, 2, 2, 2, 2]");
    let sg_cifar =
        ["channel_base = 32768\nmapping_layers = 2", "channel_base = 32768\nresidual = 0\nstddev_group = 2"];
    let (rgb, fast) = ([32, 32, 3], ["width = 64"; 2]);
    for (name, got, published) in [
        ("r3gan/cifar", counts("r3gan", [&cifar; 2], 64, rgb, Some(10)), Some([20_781_952, 21_280_512])),
        (
            "r3gan/ffhq64",
            counts("r3gan", [&ffhq64; 2], 64, [64, 64, 3], None),
            Some([22_429_824, 22_381_440]),
        ),
        (
            "r3gan/ffhq256",
            counts("r3gan", [&ffhq256; 2], 64, [256, 256, 3], None),
            Some([23_057_952, 23_009_568]),
        ),
        ("stylegan2/cifar", counts("stylegan2", sg_cifar, 512, rgb, Some(10)), None),
        ("stylegan2/ffhq256", counts("stylegan2", [""; 2], 512, [256, 256, 3], None), None),
        (
            "stylegan2/ffhq1024",
            counts("stylegan2", ["channel_base = 32768"; 2], 512, [1024, 1024, 3], None),
            None,
        ),
        ("fastgan/256", counts("fastgan", fast, 256, [256, 256, 3], None), None),
    ] {
        let expected = golden("counts", name).unwrap();
        assert_eq!(got.map(|n| n as f64), expected.floats(), "{name}");
        assert!(published.is_none_or(|published| published == got), "{name}: {got:?}");
    }
}
