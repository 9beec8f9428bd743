//! Losses by their logits.

use crate::compare::*;
use ganymede::losses::{LOSSES, Labels, Loss, find};
use ganymede_graph::{Graph, Tensor, TensorType};

/// As tools/goldens_images.py wrote them.
const GOLDENS: &str = include_str!("../../goldens/logits.txt");
/// The targets of the goldens of kind `smoothed`.
const SMOOTHED: Labels = Labels { real: 0.9, fake: 0.2 };

/// Value and gradients of a function of the logits of real and generated samples.
fn evaluate(goldens: &Goldens, value: impl FnOnce(&Tensor, &Tensor) -> Tensor) -> Vec<f64> {
    let graph = Graph::new();
    let [real, fake] = ["real", "fake"].map(|name| graph.feed(name, TensorType::f32([5])));
    let value = value(&real, &fake);
    with_gradients(&graph, &value, &[real, fake], &goldens.inputs())
}

/// The terms of a loss that goldens have: their kinds, and what makes them.
fn term(loss: &dyn Loss, kind: &str, real: &Tensor, fake: &Tensor) -> Tensor {
    match kind {
        "discriminator" => loss.discriminator(real, fake, Labels::default()),
        "smoothed" => loss.discriminator(real, fake, SMOOTHED),
        _ => loss.generator(Some(real), fake),
    }
}

fn kinds(loss: &dyn Loss) -> Vec<&'static str> {
    ["discriminator", "generator", "smoothed"]
        .into_iter()
        .filter(|k| *k != "smoothed" || loss.takes_labels())
        .collect()
}

/// -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), on average.
fn entropy(logits: &Tensor, t: f64) -> Tensor {
    ((-logits).softplus() * t + logits.softplus() * (1.0 - t)).mean_all()
}

/// Mean squared distance from a target.
fn squares(logits: &Tensor, t: f64) -> Tensor {
    (logits - t).square().mean_all()
}

/// x - E y, pair by pair.
fn over(x: &Tensor, y: &Tensor) -> Tensor {
    x - y.mean_all().broadcast_to(&x.shape())
}

type Twin = (&'static str, &'static str, &'static str, fn(&Tensor, &Tensor) -> Tensor);

/// Name, kind, what is wrong, the wrong term.
const TWINS: &[Twin] = &[
    ("minimax", "discriminator", "real and generated exchanged", |r, f| entropy(f, 1.0) + entropy(r, 0.0)),
    ("minimax", "discriminator", "half of it", |r, f| (entropy(r, 1.0) + entropy(f, 0.0)) * 0.5),
    ("minimax", "generator", "the non-saturating form", |_, f| entropy(f, 1.0)),
    ("minimax", "generator", "its negative", |_, f| entropy(f, 0.0)),
    ("minimax", "smoothed", "targets exchanged", |r, f| entropy(r, 0.2) + entropy(f, 0.9)),
    ("minimax", "smoothed", "one-sided", |r, f| entropy(r, 0.9) + entropy(f, 0.0)),
    ("non-saturating", "discriminator", "summed over the batch", |r, f| {
        (entropy(r, 1.0) + entropy(f, 0.0)) * 5.0
    }),
    ("non-saturating", "discriminator", "of one kind alone", |r, _| entropy(r, 1.0)),
    ("non-saturating", "generator", "the minimax form", |_, f| -entropy(f, 0.0)),
    ("non-saturating", "smoothed", "weights in place of targets", |r, f| {
        entropy(r, 1.0) * 0.9 + entropy(f, 0.0) * 0.8
    }),
    ("non-saturating", "smoothed", "real samples' alone for both", |r, f| entropy(r, 0.9) + entropy(f, 0.1)),
    ("least-squares", "discriminator", "without the half", |r, f| squares(r, 1.0) + squares(f, 0.0)),
    ("least-squares", "discriminator", "targets exchanged", |r, f| (squares(r, 0.0) + squares(f, 1.0)) * 0.5),
    ("least-squares", "discriminator", "of probabilities", |r, f| {
        (squares(&r.sigmoid(), 1.0) + squares(&f.sigmoid(), 0.0)) * 0.5
    }),
    ("least-squares", "generator", "away from the discriminator's", |_, f| squares(f, 0.0) * -0.5),
    ("least-squares", "generator", "towards the boundary", |_, f| squares(f, 0.5) * 0.5),
    ("least-squares", "smoothed", "the usual targets", |r, f| (squares(r, 1.0) + squares(f, 0.0)) * 0.5),
    ("wasserstein", "discriminator", "its negative", |r, f| r.mean_all() - f.mean_all()),
    ("wasserstein", "discriminator", "of probabilities", |r, f| {
        f.sigmoid().mean_all() - r.sigmoid().mean_all()
    }),
    ("wasserstein", "generator", "its negative", |_, f| f.mean_all()),
    ("wasserstein", "generator", "summed over the batch", |_, f| -f.sum_all()),
    ("hinge", "discriminator", "without a margin", |r, f| (-r).relu().mean_all() + f.relu().mean_all()),
    ("hinge", "discriminator", "margins on the wrong side", |r, f| {
        (r + 1.0).relu().mean_all() + (1.0 - f).relu().mean_all()
    }),
    ("hinge", "generator", "with a margin of its own", |_, f| (1.0 - f).relu().mean_all()),
    ("relativistic-pairing", "discriminator", "pairs exchanged", |r, f| (r - f).softplus().mean_all()),
    ("relativistic-pairing", "discriminator", "samples on their own", |r, f| {
        entropy(r, 1.0) + entropy(f, 0.0)
    }),
    ("relativistic-pairing", "discriminator", "every pair there is", |r, f| {
        let all = f.reshape(&[1, 5]).broadcast_to(&[5, 5]) - r.reshape(&[5, 1]).broadcast_to(&[5, 5]);
        all.softplus().mean_all()
    }),
    ("relativistic-pairing", "generator", "as the discriminator", |r, f| (f - r).softplus().mean_all()),
    ("relativistic-pairing", "generator", "real logits as constants", |r, f| {
        (r.stop_gradient() - f).softplus().mean_all()
    }),
    ("relativistic-average", "discriminator", "of pairs", |r, f| (f - r).softplus().mean_all()),
    ("relativistic-average", "discriminator", "means as constants", |r, f| {
        entropy(&over(r, &f.stop_gradient()), 1.0) + entropy(&over(f, &r.stop_gradient()), 0.0)
    }),
    ("relativistic-average", "discriminator", "half of it", |r, f| {
        (entropy(&over(r, f), 1.0) + entropy(&over(f, r), 0.0)) * 0.5
    }),
    ("relativistic-average", "generator", "of generated samples alone", |r, f| entropy(&over(f, r), 1.0)),
    ("relativistic-average", "generator", "as the discriminator", |r, f| {
        entropy(&over(r, f), 1.0) + entropy(&over(f, r), 0.0)
    }),
];

#[test]
fn losses_are_those_of_pytorch_and_their_twins_are_not() {
    let goldens = Goldens::parse(GOLDENS);
    let golden = |kind: &str, name: &str| goldens.with_gradients(kind, name, &["real", "fake"]);
    for loss in LOSSES {
        for kind in kinds(*loss) {
            let got = evaluate(&goldens, |real, fake| term(*loss, kind, real, fake));
            assert_same(&got, &golden(kind, loss.name()), &format!("{} {kind}", loss.name()));
        }
    }
    for (name, kind, what, twin) in TWINS {
        let loss = find(name).unwrap_or_else(|| panic!("a twin of `{name}`, which no loss is called"));
        assert!(kinds(loss).contains(kind), "{name} has no {kind}");
        assert_told_apart(
            &evaluate(&goldens, twin),
            &golden(kind, name),
            &format!("{name} {kind}, wrong: {what},"),
        );
    }
    let needed = LOSSES.iter().flat_map(|l| kinds(*l).into_iter().map(|kind| (l.name(), kind)));
    let twins: Vec<_> = TWINS.iter().map(|t| (t.0, t.1)).collect();
    let lacking = without_twin(needed, &twins);
    assert!(lacking.is_empty(), "without a wrong twin: {lacking:?}");
}
