//! What networks make, against PyTorch.

use crate::case::{Case, D, G, LABELS, formula, input, inputs};
use crate::common::{executor, golden_blocks};
use ganymede_cpu::{Session, StateStore};
use ganymede_graph::{Graph, Precision, interpret};
use ganymede_nn::Mode;

/// As tools/goldens_models.py wrote them.
const GOLDENS: &str = include_str!("../../goldens/models.txt");

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
pub fn sampled_by_interpreter(case: &Case) -> Vec<f64> {
    let graph = Graph::new();
    let (scope, y) = case.build(&graph, Mode::train_frozen_statistics());
    graph.output("y", &y);
    let outcome = interpret(&graph.finish().unwrap(), &inputs(case, &scope), Precision::F64).unwrap();
    sampled(outcome.outputs["y"].floats())
}

fn sampled(y: &[f64]) -> Vec<f64> {
    y.iter().copied().step_by((y.len() / 47).max(1)).collect()
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
        // No attention, or at another size; normalisation, and means where sums belong; another model; no normalisation.
        ("sagan-generator", named("sagan-generator").with("channels = 4\nattention = [0]"), LABELS),
        ("sagan-discriminator", named("sagan-discriminator").with("channels = 4\nattention = [4]"), LABELS),
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
