//! The convolutional models: parameters as published, values against PyTorch, gradients to order two, some steps of
//! training, every size, and what they refuse.

mod common;

use common::{executor, golden_blocks};
use ganymede::losses::{self, Labels};
use ganymede::models::{self, Options};
use ganymede::networks::Side;
use ganymede_cpu::{Session, StateStore};
use ganymede_graph::{Array, DType, Graph, Precision, Tensor, TensorType, grad, interpret};
use ganymede_nn::optim::{FirstValue, Hyper, Plan, and_bounded, apply, configure, state_specs};
use ganymede_nn::{ClassLabels, Mode, Params, Scope, WeightRule};
use std::collections::HashMap;

/// As tools/goldens_models.py wrote them.
const GOLDENS: &str = include_str!("../goldens/models.txt");

const MODELS: [&str; 4] = ["dcgan", "resnet", "sagan", "biggan"];

/// One network of a model.
#[derive(Clone, Copy, Debug)]
struct Case {
    model: &'static str,
    options: &'static str,
    side: Side,
    sample: &'static [usize],
    latent: usize,
    batch: usize,
    classes: Option<usize>,
}

impl Case {
    const fn new(model: &'static str, side: Side, sample: &'static [usize]) -> Self {
        Self { model, options: "", side, sample, latent: 12, batch: 3, classes: None }
    }

    const fn told(self, classes: usize) -> Self {
        Self { classes: Some(classes), ..self }
    }

    const fn with(self, options: &'static str) -> Self {
        Self { options, ..self }
    }

    fn options(&self) -> Options {
        let model = models::find(self.model).unwrap();
        Options::resolve(model, &self.options.parse().unwrap()).unwrap()
    }

    /// The network on the feed `x` in a mode, told the feed `labels`.
    fn build(&self, graph: &Graph, mode: Mode) -> (Scope, Tensor) {
        let input = match self.side {
            Side::Generator => vec![self.batch, self.latent],
            Side::Discriminator => [&[self.batch], self.sample].concat(),
        };
        let x = graph.feed("x", TensorType::f32(input));
        let scope = Scope::root(graph, self.side.root(), mode).with_labels(self.labels(graph));
        let y = self.apply(&scope, &x);
        (scope, y)
    }

    fn labels(&self, graph: &Graph) -> Option<ClassLabels> {
        self.classes.map(|classes| ClassLabels {
            index: graph.feed("labels", TensorType::new(DType::I32, [self.batch])),
            classes,
        })
    }

    fn apply(&self, scope: &Scope, x: &Tensor) -> Tensor {
        let (model, options) = (models::find(self.model).unwrap(), self.options());
        match self.side {
            Side::Generator => model.generator(scope, x, self.sample, &options),
            Side::Discriminator => model.discriminator(scope, x, &options),
        }
    }

    fn params(&self) -> Params {
        let graph = Graph::new();
        let (scope, _) = self.build(&graph, Mode::eval());
        graph.finish().unwrap_or_else(|e| panic!("{self:?}: {e}"));
        scope.params()
    }

    fn refusal(&self) -> String {
        let graph = Graph::new();
        self.build(&graph, Mode::eval());
        graph.finish().expect_err("it should not fit").to_string()
    }
}

const G: Side = Side::Generator;
const D: Side = Side::Discriminator;

/// Trainable scalars as published, by the source of each.
#[test]
fn published_widths_have_the_published_parameters() {
    let (p32, p64, p128): (&[usize], &[usize], &[usize]) = (&[32, 32, 3], &[64, 64, 3], &[128, 128, 3]);
    let counts = [
        // github.com/pytorch/examples, dcgan/main.py.
        (Case { latent: 100, ..Case::new("dcgan", G, p64) }, 3_576_704),
        (Case::new("dcgan", D, p64), 2_765_568),
        // torch-mimicry 0.1.16: SNGAN (its WGAN-GP has the same), cGAN with projection, SAGAN.
        (Case { latent: 128, ..Case::new("resnet", G, p32) }, 4_276_739),
        (Case::new("resnet", D, p32), 1_053_825),
        (Case { latent: 128, ..Case::new("resnet", G, p64) }, 12_220_675),
        (Case::new("resnet", D, p64), 10_141_441),
        (Case { latent: 128, ..Case::new("resnet", G, p128) }, 32_150_787),
        (Case::new("resnet", D, p128), 29_017_857),
        (Case { latent: 128, ..Case::new("resnet", G, p32).told(10) }, 4_304_387),
        (Case::new("resnet", D, p32).told(10), 1_055_105),
        (Case { latent: 128, ..Case::new("sagan", G, p32).told(10) }, 4_386_308),
        (Case::new("sagan", D, p32).told(10).with("wide = 0"), 1_075_586),
        (Case { latent: 128, ..Case::new("sagan", G, p128).told(1000) }, 42_078_852),
        (Case::new("sagan", D, p128).told(1000).with("wide = 0"), 30_062_338),
        // google/compare_gan, architectures/resnet_biggan_test.py.
        (Case { latent: 120, ..Case::new("biggan", G, p128).told(1000).with("channels = 96") }, 70_433_988),
        (Case::new("biggan", D, p128).told(1000).with("channels = 96"), 87_982_370),
    ];
    for (case, expected) in counts {
        assert_eq!(case.params().count_trainable(), expected, "{case:?}");
    }
}

/// What docs/models.md suggests for CPUs has the sizes that it says.
#[test]
fn suggested_widths_have_the_documented_parameters() {
    let sample: &[usize] = &[32, 32, 3];
    let of = |model, side, options| Case { latent: 64, ..Case::new(model, side, sample).with(options) };
    let counts = [
        (of("dcgan", G, "channels = 32"), 296_896),
        (of("dcgan", D, "channels = 32"), 167_808),
        (of("resnet", G, "channels = 16"), 303_235),
        (of("resnet", D, "channels = 16"), 66_849),
        (of("resnet", G, "channels = 8\nmultipliers = [8, 8, 6, 3]"), 214_275),
        (of("resnet", D, "channels = 8\nmultipliers = [8, 8, 8, 4]"), 187_905),
        (of("sagan", G, "channels = 16").told(10), 315_268),
        (of("sagan", D, "channels = 16").told(10), 68_450),
        (of("biggan", G, "channels = 16\nshared = 64").told(10), 320_516),
        (of("biggan", D, "channels = 8").told(10), 68_450),
    ];
    for (case, expected) in counts {
        assert_eq!(case.params().count_trainable(), expected, "{case:?}");
    }
}

/// Numbers in (-1, 1) from a name, as `uniform` of tools/goldens_models.py.
fn uniform(name: &str, count: usize) -> Vec<f64> {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
    let mix = |i: u64| {
        let mut x = seed.wrapping_add(i.wrapping_mul(0xD1B5_4A32_D192_ED03));
        x ^= x >> 29;
        x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x ^= x >> 32;
        (x >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (1..=count as u64).map(mix).collect()
}

/// The value of a parameter, as `formula` of tools/goldens_models.py.
fn formula(name: &str, shape: &[usize]) -> Vec<f32> {
    let u = uniform(name, shape.iter().product());
    let of = |scale: f64, shift: f64| u.iter().map(|v| (shift + scale * v) as f32).collect();
    match name.rsplit('/').next().unwrap() {
        "bias" | "running_mean" => of(0.1, 0.0),
        "running_var" => of(0.5, 1.0),
        "gain" | "gamma" => of(0.3, 1.0),
        _ if shape.len() == 1 => of(0.3, 1.0),
        _ => of((6.0 / shape[..shape.len() - 1].iter().product::<usize>() as f64).sqrt(), 0.0),
    }
}

/// What the golden's networks are given.
fn input(case: &Case) -> Vec<f32> {
    match case.side {
        Side::Generator => {
            uniform("latents", case.batch * case.latent).iter().map(|v| (1.7 * v) as f32).collect()
        }
        Side::Discriminator => {
            let count = case.batch * case.sample.iter().product::<usize>();
            uniform("images", count).iter().map(|v| *v as f32).collect()
        }
    }
}

const LABELS: [i32; 3] = [3, 0, 4];

/// Every so many-th number of what a network makes, 48 at most, by the executor in f32.
fn sampled_by_executor(case: &Case, labels: &[i32]) -> Vec<f64> {
    let graph = Graph::new();
    let (scope, y) = case.build(&graph, Mode::train_frozen_statistics());
    graph.output("y", &y);
    let mut store = StateStore::new();
    for spec in scope.params().iter() {
        store.insert(&spec.name, spec.ty.clone(), &formula(&spec.name, &spec.ty.shape)).unwrap();
    }
    let mut session = Session::new(executor(), store);
    let phase = session.add_phase("case", &graph.finish().unwrap()).unwrap();
    session.feed_mut(phase, "x").unwrap().copy_from_slice(&input(case));
    if case.classes.is_some() {
        let words: Vec<u32> = labels.iter().map(|l| *l as u32).collect();
        session.feed_words_mut(phase, "labels").unwrap().copy_from_slice(&words);
    }
    session.run(phase).unwrap();
    let y: Vec<f64> = session.output(phase, "y").unwrap().iter().map(|v| f64::from(*v)).collect();
    sampled(&y)
}

/// The same by the interpreter in f64.
fn sampled_by_interpreter(case: &Case) -> Vec<f64> {
    let graph = Graph::new();
    let (scope, y) = case.build(&graph, Mode::train_frozen_statistics());
    graph.output("y", &y);
    let outcome = interpret(&graph.finish().unwrap(), &inputs(case, &scope), Precision::F64).unwrap();
    sampled(outcome.outputs["y"].floats())
}

fn sampled(y: &[f64]) -> Vec<f64> {
    y.iter().copied().step_by((y.len() / 47).max(1)).collect()
}

fn inputs(case: &Case, scope: &Scope) -> HashMap<String, Array> {
    let shape = match case.side {
        Side::Generator => vec![case.batch, case.latent],
        Side::Discriminator => [&[case.batch], case.sample].concat(),
    };
    let mut inputs: HashMap<String, Array> = HashMap::new();
    inputs.insert("x".into(), Array::from_f32(&shape, &input(case)));
    inputs.insert("labels".into(), Array::i32(&[case.batch], LABELS[..case.batch].to_vec()));
    for spec in scope.params().iter() {
        let values = formula(&spec.name, &spec.ty.shape);
        inputs.insert(spec.name.clone(), Array::from_f32(&spec.ty.shape, &values));
    }
    inputs
}

/// Largest difference from the golden, of its largest value and 1.
fn golden_error(name: &str, got: &[f64]) -> f64 {
    let blocks = golden_blocks(GOLDENS);
    let found = blocks.iter().find(|b| b.0 == name && b.1 == "values").unwrap_or_else(|| panic!("no {name}"));
    let expected = found.2.floats();
    assert_eq!(got.len(), expected.len(), "{name}");
    let scale = expected.iter().fold(1.0f64, |a, b| a.max(b.abs()));
    got.iter().zip(expected).map(|(g, e)| (g - e).abs() / scale).fold(0.0, f64::max)
}

/// Networks of the goldens at reduced width.
fn small() -> Vec<(&'static str, Case)> {
    let (grey, rgb): (&[usize], &[usize]) = (&[16, 16, 1], &[16, 16, 3]);
    let of = |model, side, sample| Case { latent: 10, ..Case::new(model, side, sample) };
    let resnet = "channels = 4";
    vec![
        ("dcgan-classes-generator", of("dcgan", G, grey).told(5).with("channels = 4")),
        ("dcgan-classes-discriminator", of("dcgan", D, grey).told(5).with("channels = 4")),
        ("resnet-classes-generator", of("resnet", G, rgb).told(5).with(resnet)),
        ("resnet-classes-discriminator", of("resnet", D, rgb).told(5).with(resnet)),
        ("wgan-gp-discriminator", of("resnet", D, rgb).with("channels = 4\nlayer_norm = 1\nmean_pool = 1")),
        ("sagan-generator", of("sagan", G, rgb).told(5).with(resnet)),
        ("sagan-discriminator", of("sagan", D, rgb).told(5).with(resnet)),
        (
            "biggan-generator",
            Case { latent: 12, ..of("biggan", G, rgb).told(5).with("channels = 4\nshared = 6") },
        ),
        ("biggan-plain-generator", Case { latent: 12, ..of("biggan", G, rgb).with(resnet) }),
        ("biggan-discriminator", of("biggan", D, rgb).told(5).with(resnet)),
    ]
}

#[test]
fn networks_at_reduced_width_are_those_of_pytorch() {
    for (name, case) in small() {
        let error = golden_error(name, &sampled_by_interpreter(&case));
        assert!(error < 1e-10, "{name}: {error:e}");
        let error = golden_error(name, &sampled_by_executor(&case, &LABELS));
        assert!(error < 1e-4, "{name}, executed: {error:e}");
    }
}

#[test]
fn networks_at_published_width_are_those_of_pytorch() {
    let (p32, p64): (&[usize], &[usize]) = (&[32, 32, 3], &[64, 64, 3]);
    let two = |model, side, sample, latent| Case { latent, batch: 2, ..Case::new(model, side, sample) };
    for (name, case) in [
        ("dcgan-64-generator", two("dcgan", G, p64, 100)),
        ("dcgan-64-discriminator", two("dcgan", D, p64, 100)),
        ("sngan-32-generator", two("resnet", G, p32, 128)),
        ("sngan-32-discriminator", two("resnet", D, p32, 128)),
    ] {
        let error = golden_error(name, &sampled_by_executor(&case, &LABELS));
        // In the L2 norm a convolution errs by less than 1e-5 (docs of the kernels); there are ten at most in a row.
        assert!(error < 1e-4, "{name}: {error:e}");
    }
}

/// Networks with one thing wrong differ from the golden by far more than rounding.
#[test]
fn wrong_networks_are_told_apart() {
    let named = |name: &str| small().into_iter().find(|(n, _)| *n == name).unwrap().1;
    let twins = [
        // Another class for each sample.
        ("dcgan-classes-generator", named("dcgan-classes-generator"), [0, 4, 3]),
        ("resnet-classes-discriminator", named("resnet-classes-discriminator"), [0, 4, 3]),
        ("biggan-generator", named("biggan-generator"), [0, 4, 3]),
        // No attention; narrow blocks; sums where means belong; no normalisation.
        ("sagan-generator", named("sagan-generator").with("channels = 4\nattention = [0]"), LABELS),
        ("sagan-discriminator", named("sagan-discriminator").with("channels = 4\nattention = [4]"), LABELS),
        ("sagan-discriminator", named("sagan-discriminator").with("channels = 4\nwide = 0"), LABELS),
        (
            "wgan-gp-discriminator",
            named("wgan-gp-discriminator").with("channels = 4\nlayer_norm = 1"),
            LABELS,
        ),
        ("wgan-gp-discriminator", named("wgan-gp-discriminator").with("channels = 4\nmean_pool = 1"), LABELS),
        ("resnet-classes-generator", named("sagan-generator"), LABELS),
        (
            "dcgan-classes-discriminator",
            named("dcgan-classes-discriminator").with("channels = 4\nbatch_norm = 0"),
            LABELS,
        ),
    ];
    for (name, case, labels) in twins {
        let error = golden_error(name, &sampled_by_executor(&case, &labels));
        assert!(error > 1e-2, "the wrong `{name}` passes: {error:e}");
    }
}

/// Largest error of the derivatives of L = sum(c tanh(y / root mean square of y)) along one direction of each variable
/// and of all, and of those of s = <d, gradient of L>, against central differences.
fn order_two_error(case: &Case, twin: bool) -> f64 {
    let graph = Graph::new();
    let (scope, mut y) = case.build(&graph, Mode::train_frozen_statistics());
    let x = graph.feed("x", inputs(case, &scope)["x"].ty.clone());
    if twin {
        // 0, and so is its gradient, but not the gradient of that.
        y = y + (&x - x.stop_gradient()).square().sum_all() * 0.5;
    }
    let constant = |name: &str, ty: &TensorType| graph.constant_f32(&ty.shape, &uniform(name, ty.len()));
    // At its own scale, so that no logit lies where tanh is flat.
    let made = sampled_by_interpreter(case);
    let scale = (made.iter().map(|v| v * v).sum::<f64>() / made.len() as f64).sqrt().recip();
    let loss = ((&y * scale).tanh() * constant("c", &y.ty())).sum_all();
    let mut variables = vec![("x".to_string(), x)];
    variables.extend(scope.trainable());
    let handles: Vec<&Tensor> = variables.iter().map(|v| &v.1).collect();
    let first = grad(&loss, &handles);
    let products = variables.iter().zip(&first);
    let products = products.map(|((name, _), g)| (g * constant(&format!("d/{name}"), &g.ty())).sum_all());
    let product = products.reduce(|sum, more| sum + more).unwrap();
    let second = grad(&product, &handles);
    graph.output("0", &loss);
    graph.output("1", &product);
    for (order, gradients) in [&first, &second].into_iter().enumerate() {
        for ((name, _), g) in variables.iter().zip(gradients) {
            let along = (g * constant(&format!("v/{name}"), &g.ty())).sum_all();
            graph.output(&format!("{order}/{name}"), &along);
        }
    }
    let function = graph.finish().unwrap();
    let inputs = inputs(case, &scope);
    let outputs = |inputs: &HashMap<String, Array>| {
        let outcome = interpret(&function, inputs, Precision::F64).unwrap();
        outcome.outputs.iter().map(|(n, a)| (n.clone(), a.floats()[0])).collect::<HashMap<String, f64>>()
    };
    let at = outputs(&inputs);
    // Small, so that no ReLU changes its mind between the two points.
    let step = 1e-7;
    let mut worst: f64 = 0.0;
    let names: Vec<&String> = variables.iter().map(|v| &v.0).collect();
    for moving in names.iter().map(|n| vec![*n]).chain([names.clone()]) {
        let moved = |by: f64| {
            let mut inputs = inputs.clone();
            for name in &moving {
                let centre = &inputs[*name];
                let along = uniform(&format!("v/{name}"), centre.floats().len());
                let there: Vec<f64> = centre.floats().iter().zip(along).map(|(x, v)| x + by * v).collect();
                let there = Array::f32(&centre.ty.shape.clone(), there);
                inputs.insert((*name).clone(), there);
            }
            outputs(&inputs)
        };
        let (up, down) = (moved(step), moved(-step));
        for order in ["0", "1"] {
            let difference = (up[order] - down[order]) / (2.0 * step);
            let got: f64 = moving.iter().map(|n| at[&format!("{order}/{n}")]).sum();
            let error = (got - difference).abs() / difference.abs().max(1.0);
            worst = worst.max(error);
        }
    }
    worst
}

/// Networks as small as they can be, for 8x8 pixels.
fn tiny(model: &'static str, side: Side) -> Case {
    let options = match (model, side) {
        ("dcgan", _) => "channels = 2",
        ("resnet", Side::Generator) => "channels = 1",
        ("resnet", Side::Discriminator) => "channels = 1\nlayer_norm = 1",
        ("sagan" | "biggan", Side::Generator) => "channels = 2\nattention = [8]",
        ("sagan", Side::Discriminator) => "channels = 4\nmultipliers = [2, 2]",
        _ => "channels = 2\nmultipliers = [4, 4]",
    };
    Case { latent: 4, batch: 2, ..Case::new(model, side, &[8, 8, 1]).with(options) }
}

#[test]
fn gradients_hold_to_order_two() {
    for model in MODELS {
        for side in [G, D] {
            for case in [tiny(model, side), tiny(model, side).told(5)] {
                let error = order_two_error(&case, false);
                // Rounding of sums near 1e-14 over the step, and the step times the next derivative.
                assert!(error < 1e-5, "{case:?}: {error:e}");
            }
        }
        let error = order_two_error(&tiny(model, D), true);
        assert!(error > 1e-3, "the wrong {model} passes: {error:e}");
    }
}

/// Twenty steps of a tiny pair under the non-saturating loss and Adam.
fn train(model: &'static str, classes: Option<usize>, rule: WeightRule) {
    let [g, d] = [G, D].map(|side| Case { batch: 4, classes, ..tiny(model, side) });
    let loss = losses::find("non-saturating").unwrap();
    let adam = configure("adam", [("beta1", 0.0), ("beta2", 0.9)]).unwrap();
    let mut store = StateStore::new();
    let phase = |side: Side| {
        let graph = Graph::new();
        let z = graph.feed("z", TensorType::f32([4, g.latent]));
        let labels = g.labels(&graph);
        let root = |case: &Case| {
            let mode = if case.side == side { Mode::train() } else { Mode::train_frozen_statistics() };
            Scope::root(&graph, case.side.root(), mode).with_rule(rule).with_labels(labels.clone())
        };
        let (maker, critic) = (root(&g), root(&d));
        let fake = g.apply(&maker, &z);
        let again = critic.with_mode(Mode::train_frozen_statistics().advancing_rules(side == D));
        let judged = d.apply(&again, &fake).reshape(&[4]);
        let (value, trained) = match side {
            Side::Generator => (loss.generator(None, &judged), maker),
            Side::Discriminator => {
                let real = graph.feed("real", TensorType::f32([4, 8, 8, 1]));
                let judged_real = d.apply(&critic, &real).reshape(&[4]);
                (loss.discriminator(&judged_real, &judged, Labels::default()), critic)
            }
        };
        graph.output("loss", &value);
        let params = trained.trainable();
        let gradients = grad(&value, &params.iter().map(|p| &p.1).collect::<Vec<_>>());
        let prefix = format!("opt/{}", side.root());
        let plan = Plan::new(adam.as_ref(), &prefix);
        let sound = apply(&graph, &plan, &params, &gradients, &Hyper::feed(&graph, "lr"));
        graph.commit_when(&and_bounded(sound.and(&value.is_finite()), &trained.buffers()));
        let slots = state_specs(adam.as_ref(), &prefix, &trained.params(), None);
        (graph.finish().unwrap_or_else(|e| panic!("{model}: {e}")), trained.params(), slots)
    };
    let mut functions = Vec::new();
    for side in [D, G] {
        let (function, params, slots) = phase(side);
        for spec in params.iter() {
            store.insert(&spec.name, spec.ty.clone(), &spec.initialize([7, 8])).unwrap();
        }
        for slot in slots {
            let FirstValue::Fill(value) = slot.first else { panic!("no averages here") };
            store.insert(&slot.name, slot.ty.clone(), &vec![value as f32; slot.ty.len()]).unwrap();
        }
        functions.push((side.name().to_string(), function));
    }
    let before = common::slots(&store);
    let mut session = Session::new(executor(), store);
    let phases = session.add_phases(&functions).unwrap();
    for step in 0..20 {
        for phase in &phases {
            let names: Vec<String> = session.feeds(*phase).map(|(name, _)| name.to_string()).collect();
            for name in names {
                match name.as_str() {
                    "lr" => session.feed_mut(*phase, "lr").unwrap()[0] = 1e-3,
                    "labels" => {
                        let words = session.feed_words_mut(*phase, "labels").unwrap();
                        words.iter_mut().enumerate().for_each(|(i, w)| *w = ((i + step) % 5) as u32);
                    }
                    _ => {
                        let feed = session.feed_mut(*phase, &name).unwrap();
                        let values = uniform(&format!("{name}{step}"), feed.len());
                        feed.iter_mut().zip(values).for_each(|(f, v)| *f = v as f32);
                    }
                }
            }
            let report = session.run(*phase).unwrap();
            let value = session.output(*phase, "loss").unwrap()[0];
            assert!(report.committed && value.is_finite(), "{model}, step {step}: {value}");
        }
    }
    let after = common::slots(session.store());
    for (name, words) in &before {
        assert!(after[name].iter().all(|w| f32::from_bits(*w).is_finite()), "{model}: {name}");
        assert_ne!(*words, after[name], "{model}: {name} is as it was");
    }
}

#[test]
fn twenty_steps_stay_finite() {
    for model in MODELS {
        train(model, None, WeightRule::Plain);
        train(model, Some(5), WeightRule::Spectral { iterations: 1 });
    }
}

#[test]
fn models_make_and_judge_every_size_that_can_be_halved() {
    let samples: [&[usize]; 9] = [
        &[8, 8, 1],
        &[16, 16, 2],
        &[28, 28, 1],
        &[32, 32, 4],
        &[24, 40, 3],
        &[64, 48, 3],
        &[96, 128, 3],
        &[128, 128, 3],
        &[256, 256, 3],
    ];
    for model in MODELS {
        for sample in samples {
            for classes in [None, Some(3)] {
                // 840 divides into two to eight parts.
                let case = Case { latent: 840, classes, ..Case::new(model, G, sample).with("channels = 8") };
                let graph = Graph::new();
                let (_, made) = case.build(&graph, Mode::train());
                graph.finish().unwrap_or_else(|e| panic!("{case:?}: {e}"));
                assert_eq!(made.shape()[1..], *sample, "{case:?}");
                let graph = Graph::new();
                let (scope, judged) = Case { side: D, ..case }.build(&graph, Mode::train());
                graph.finish().unwrap_or_else(|e| panic!("{case:?}: {e}"));
                assert_eq!(judged.shape(), [3, 1], "{case:?}");
                assert!(scope.features().is_some() && !scope.layers().is_empty(), "{case:?}");
            }
        }
    }
}

/// A discriminator on two batches at once, each by its own statistics, gives what it gives one by one.
#[test]
fn discriminators_take_segments() {
    for model in MODELS {
        let case = tiny(model, D).told(5);
        let graph = Graph::new();
        let told = case.labels(&graph).unwrap();
        let x = ["x0", "x1"].map(|name| graph.feed(name, TensorType::f32([2, 8, 8, 1])));
        let scope = |mode, index: &Tensor| {
            let labels = ClassLabels { index: index.clone(), classes: told.classes };
            Scope::root(&graph, "D", mode).with_labels(Some(labels))
        };
        let mode = Mode::train_frozen_statistics();
        let params = scope(mode.clone(), &told.index);
        let apart = x.each_ref().map(|x| case.apply(&params, x));
        let twice = scope(mode.with_segments(2, 0), &Tensor::concat(&[&told.index, &told.index], 0));
        graph.output("together", &case.apply(&twice, &Tensor::concat(&[&x[0], &x[1]], 0)));
        graph.output("apart", &Tensor::concat(&[&apart[0], &apart[1]], 0));
        let mut inputs = inputs(&case, &params);
        for name in ["x0", "x1"] {
            inputs.insert(name.into(), Array::f32(&[2, 8, 8, 1], uniform(name, 128)));
        }
        let outcome = interpret(&graph.finish().unwrap(), &inputs, Precision::F64).unwrap();
        let [a, b] = ["together", "apart"].map(|name| outcome.outputs[name].floats().to_vec());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-12 * b.abs().max(1.0)), "{model}");
        assert!(models::find(model).unwrap().takes_segments());
    }
}

#[test]
fn models_say_what_normalizes_over_the_batch() {
    for model in MODELS {
        let found = models::find(model).unwrap();
        let options = Case::new(model, D, &[8, 8, 1]).options();
        assert!(found.normalizes_batch(G, &options), "{model}");
        assert_eq!(found.normalizes_batch(D, &options), model == "dcgan");
        assert!(!found.compares_samples(&options));
    }
    let bare = Case::new("dcgan", D, &[8, 8, 1]).with("batch_norm = 0");
    assert!(!models::find("dcgan").unwrap().normalizes_batch(D, &bare.options()));
}

#[test]
fn sizes_and_options_that_do_not_fit_are_named() {
    for (case, parts) in [
        (Case::new("dcgan", G, &[7, 7, 1]), ["7x7 images", "multiples of 2, 8 and above"]),
        (Case::new("dcgan", D, &[7, 8, 1]), ["7x8 images", "multiples of 2, 8 and above"]),
        (Case::new("dcgan", G, &[64]), ["[height, width, channels]", "[64]"]),
        (Case::new("resnet", D, &[64]), ["[height, width, channels]", "[64]"]),
        (Case::new("resnet", G, &[7, 7, 1]), ["7x7 images", "multiples of 2, 8 and above"]),
        (
            Case::new("resnet", G, &[28, 28, 1]).with("multipliers = [2, 2, 1, 1]"),
            ["`multipliers` lists 4 stages", "multiples of 8, got 28x28"],
        ),
        (
            Case::new("resnet", D, &[28, 28, 1]).with("halvings = [3]"),
            ["3 blocks halve", "multiples of 8, got 28x28: set `halvings`"],
        ),
        (Case::new("resnet", D, &[32, 32, 1]).with("halvings = [6]"), ["`halvings` is 6", "4 blocks"]),
        (
            Case::new("sagan", G, &[32, 32, 1]).with("attention = [10]"),
            ["`attention` names 10 pixels", "[8, 16, 32]"],
        ),
        (Case::new("sagan", D, &[28, 28, 1]).with("attention = [7]"), ["even height and width", "7x7"]),
        (Case::new("biggan", G, &[32, 32, 1]).with("channels = 1"), ["attention", "a multiple of it, got 4"]),
        (
            Case { latent: 10, ..Case::new("biggan", G, &[32, 32, 1]) },
            ["`hierarchical`", "latent.dim must be a multiple of 4, got f32[3, 10]"],
        ),
    ] {
        let error = case.refusal();
        assert!(parts.iter().all(|part| error.contains(part)), "{case:?}: {error}");
    }
    for (model, options, part) in [
        ("dcgan", "channels = 0", "at least 1"),
        ("dcgan", "batch_norm = 2", "`batch_norm` is 0 (off) or 1 (on), got [2]"),
        ("dcgan", "max_channels = [1, 2]", "`max_channels` is one number, got 2"),
        ("resnet", "multipliers = [4]", "2 to 11 stages, got 1"),
        ("resnet", "multipliers = [4, 0]", "at least 1"),
        ("resnet", "halvings = [1, 2]", "`halvings` is one number"),
        ("resnet", "layer_norm = []", "`layer_norm` is 0 (off) or 1 (on), got []"),
        ("sagan", "wide = 3", "`wide` is 0 (off) or 1 (on), got [3]"),
        ("biggan", "shared = 0", "`shared` must be at least 1"),
        ("biggan", "hierarchical = [0, 1]", "`hierarchical` is 0 (off) or 1 (on)"),
    ] {
        let table = options.parse().unwrap();
        let error = Options::resolve(models::find(model).unwrap(), &table).unwrap_err();
        assert!(error.contains(part), "{model}, {options}: {error}");
    }
}
