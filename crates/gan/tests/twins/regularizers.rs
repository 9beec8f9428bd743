//! Regularizers on images and styles of several layers.

use crate::compare::*;
use crate::networks::*;
use ganymede::networks::Side;
use ganymede::regularizers::{Common, Context, GeneratorContext, REGULARIZERS, Regularizer, find};
use ganymede_graph::{Array, Graph, Precision, Tensor, TensorType, grad, interpret};

/// What a regularizer does to a network.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// A term of the discriminator's loss.
    Penalty,
    /// A term of the generator's loss.
    GeneratorPenalty,
    /// A bound on weights.
    Constraint,
}

impl Kind {
    fn golden(self) -> &'static str {
        match self {
            Kind::Penalty => "penalty",
            Kind::GeneratorPenalty => "generator-penalty",
            Kind::Constraint => "constraint",
        }
    }
    fn variables(self) -> &'static [&'static str] {
        match self {
            Kind::Penalty => &D,
            Kind::GeneratorPenalty => &G,
            Kind::Constraint => &[],
        }
    }
}

/// Everything that a regularizer does.
fn kinds(regularizer: &dyn Regularizer, goldens: &Goldens) -> Vec<Kind> {
    let penalty = |side: &Side| match side {
        Side::Discriminator => {
            let term = Networks::new(goldens).in_discriminator(|c| regularizer.penalty(c).is_some());
            term.then_some(Kind::Penalty)
        }
        Side::Generator => {
            let term = Networks::new(goldens).in_generator(|c| regularizer.generator_penalty(c).is_some());
            term.then_some(Kind::GeneratorPenalty)
        }
    };
    let constraint = regularizer.constrains().then_some(Kind::Constraint);
    let kinds: Vec<Kind> = regularizer.sides().iter().filter_map(penalty).chain(constraint).collect();
    assert!(!kinds.is_empty(), "{} does nothing", regularizer.name());
    kinds
}

fn golden(goldens: &Goldens, kind: Kind, name: &str) -> Vec<f64> {
    goldens.with_gradients(kind.golden(), name, kind.variables())
}

fn penalty(goldens: &Goldens, term: impl FnOnce(&Context<'_>) -> Tensor) -> Vec<f64> {
    let networks = Networks::new(goldens);
    let value = networks.in_discriminator(term);
    with_gradients(&networks.graph, &value, &networks.feeds(&D), &networks.inputs)
}

fn generator_penalty(goldens: &Goldens, term: impl FnOnce(&GeneratorContext<'_>) -> Tensor) -> Vec<f64> {
    let networks = Networks::new(goldens);
    let value = networks.in_generator(term);
    with_gradients(&networks.graph, &value, &networks.feeds(&G), &networks.inputs)
}

/// What becomes of a weight under the golden's bound, half of the strength.
fn constraint(goldens: &Goldens, bound: impl FnOnce(&Tensor, &Tensor) -> Tensor) -> Vec<f64> {
    let graph = Graph::new();
    let weight = graph.feed("w1", TensorType::f32([3, 3, 2, 3]));
    graph.output("value", &bound(&weight, &graph.scalar(STRENGTH / 2.0)));
    let outcome = interpret(&graph.finish().unwrap(), &goldens.inputs(), Precision::F64).unwrap();
    outcome.outputs["value"].floats().to_vec()
}

fn of(regularizer: &dyn Regularizer, kind: Kind, goldens: &Goldens) -> Vec<f64> {
    match kind {
        Kind::Penalty => penalty(goldens, |c| regularizer.penalty(c).unwrap()),
        Kind::GeneratorPenalty => generator_penalty(goldens, |c| regularizer.generator_penalty(c).unwrap()),
        Kind::Constraint => {
            constraint(goldens, |weight, bound| regularizer.constrain(weight, bound).unwrap())
        }
    }
}

/// Gradients of each sample's logit by its pixels.
fn slopes(logits: &Tensor, samples: &Tensor) -> Tensor {
    grad(&logits.sum_all(), &[samples])[0].clone()
}

/// Their squared norms, `[batch]`.
fn squares(logits: &Tensor, samples: &Tensor) -> Tensor {
    slopes(logits, samples).square().sum(&[1, 2, 3])
}

/// |gradient| - 1 at given samples, `[batch]`.
fn excess(c: &Context<'_>, at: &Tensor) -> Tensor {
    (squares(&(c.discriminator)(at), at) + 1e-12).sqrt() - 1.0
}

/// Places between real and generated samples.
fn between(c: &Context<'_>) -> Tensor {
    let t = (c.common.uniform)(&[4, 1, 1, 1]).broadcast_to(&[4, 4, 5, 2]);
    &t * c.real + (1.0 - &t) * c.fake
}

/// Real samples moved by so much of a deviation.
fn around(c: &Context<'_>, samples: &Tensor, reach: f64) -> Tensor {
    let shape = samples.shape();
    let deviation = samples.variance(&[0, 1, 2, 3]).sqrt().stop_gradient();
    let t = (c.common.uniform)(&[4, 1, 1, 1]).broadcast_to(&shape);
    samples + t * (c.common.uniform)(&shape) * deviation.broadcast_to(&shape) * reach
}

/// The squared difference that exchanging left and right makes.
fn apart(c: &Context<'_>, samples: &Tensor, logits: &Tensor) -> Tensor {
    (logits - (c.discriminator)(&samples.reverse(&[2]))).square()
}

/// (1 - share) new + share old, without correction for the start at 0.
fn fading(c: &Context<'_>, name: &str, logits: &Tensor) -> Tensor {
    c.common.memory.recall(name) * 0.99 + logits.mean_all().stop_gradient() * 0.01
}

fn means(c: &Context<'_>) -> [Tensor; 2] {
    let memory = &c.common.memory;
    [
        memory.average("real", "real_share", &c.real_logits.mean_all(), 0.99),
        memory.average("fake", "fake_share", &c.fake_logits.mean_all(), 0.99),
    ]
}

/// Sum over weights of a function of the matrix of filters.
fn of_filters(common: &Common<'_>, f: fn(&Tensor) -> Tensor) -> Tensor {
    let matrices = common.weights.iter().filter(|(_, w)| w.shape().len() >= 2).map(|(_, w)| {
        let filters = *w.shape().last().unwrap();
        w.reshape(&[w.shape().iter().product::<usize>() / filters, filters])
    });
    matrices.map(|m| f(&m)).reduce(|sum, more| sum + more).unwrap()
}

/// |W^T W|^2.
fn gram(m: &Tensor) -> Tensor {
    m.matmul_with(m, true, false).square().sum_all()
}

/// |W^T W - I|^2 = |W^T W|^2 - 2 |W|^2 + filters.
fn from_identity(m: &Tensor) -> Tensor {
    gram(m) - m.square().sum_all() * 2.0 + m.shape()[1] as f64
}

/// Products of different rows instead of columns.
fn of_rows(m: &Tensor) -> Tensor {
    let products = m.matmul_with(m, false, true).square().sum_all();
    products - m.square().sum(&[1]).square().sum_all()
}

/// -log softmax(logits), `[batch, classes]`.
fn surprise(logits: &Tensor) -> Tensor {
    let sum = logits.exp().sum(&[1]).log().reshape(&[4, 1]).broadcast_to(&[4, 3]);
    sum - logits
}

/// Mean cross-entropy.
fn crossed(logits: &Tensor, common: &Common<'_>) -> Tensor {
    (surprise(logits) * common.labels.unwrap().one_hot()).sum_all() * 0.25
}

type PenaltyTwin = (&'static str, &'static str, fn(&Context<'_>) -> Tensor);

/// Name, what is wrong, the wrong term without its strength.
const PENALTY_TWINS: &[PenaltyTwin] = &[
    ("r1", "without the half", |c| squares(c.real_logits, c.real).mean_all()),
    ("r1", "squares summed over channels alone", |c| {
        slopes(c.real_logits, c.real).square().sum(&[3]).mean_all() * 0.5
    }),
    ("r1", "summed over the batch", |c| squares(c.real_logits, c.real).sum_all() * 0.5),
    ("r1", "of generated samples", |c| squares(c.fake_logits, c.fake).mean_all() * 0.5),
    ("r1", "without second derivatives", |c| squares(c.real_logits, c.real).stop_gradient().mean_all() * 0.5),
    ("r2", "without the half", |c| squares(c.fake_logits, c.fake).mean_all()),
    ("r2", "of real samples", |c| squares(c.real_logits, c.real).mean_all() * 0.5),
    ("r2", "the mean over pixels", |c| slopes(c.fake_logits, c.fake).square().mean_all() * 0.5),
    ("r2", "of norms, not their squares", |c| squares(c.fake_logits, c.fake).sqrt().mean_all() * 0.5),
    ("r2", "without second derivatives", |c| squares(c.fake_logits, c.fake).stop_gradient().mean_all() * 0.5),
    ("gradient-penalty", "norms over channels alone", |c| {
        let x = between(c);
        let norms = (slopes(&(c.discriminator)(&x), &x).square().sum(&[3]) + 1e-12).sqrt();
        (norms - 1.0).square().mean_all()
    }),
    ("gradient-penalty", "another place for every pixel", |c| {
        let t = (c.common.uniform)(&[4, 4, 5, 2]);
        excess(c, &(&t * c.real + (1.0 - &t) * c.fake)).square().mean_all()
    }),
    ("gradient-penalty", "ends exchanged", |c| {
        let t = (c.common.uniform)(&[4, 1, 1, 1]).broadcast_to(&[4, 4, 5, 2]);
        excess(c, &(&t * c.fake + (1.0 - &t) * c.real)).square().mean_all()
    }),
    ("gradient-penalty", "at real samples", |c| excess(c, c.real).square().mean_all()),
    ("gradient-penalty", "of one side", |c| excess(c, &between(c)).relu().square().mean_all()),
    ("gradient-penalty", "without second derivatives", |c| {
        excess(c, &between(c)).stop_gradient().square().mean_all()
    }),
    ("gradient-penalty-one-sided", "of both sides", |c| excess(c, &between(c)).square().mean_all()),
    ("gradient-penalty-one-sided", "of the other side", |c| {
        (-excess(c, &between(c))).relu().square().mean_all()
    }),
    ("gradient-penalty-one-sided", "not squared", |c| excess(c, &between(c)).relu().mean_all()),
    ("gradient-penalty-one-sided", "at generated samples", |c| excess(c, c.fake).relu().square().mean_all()),
    ("dragan", "around generated samples", |c| excess(c, &around(c, c.fake, 0.5)).square().mean_all()),
    ("dragan", "within a whole deviation", |c| excess(c, &around(c, c.real, 1.0)).square().mean_all()),
    ("dragan", "as far in every sample", |c| {
        let t = (c.common.uniform)(&[4, 1, 1, 1]).broadcast_to(&[4, 4, 5, 2]);
        let near = c.real + (around(c, c.real, 0.5) - c.real) / t;
        excess(c, &near).square().mean_all()
    }),
    ("dragan", "deviations of each channel", |c| {
        let shape = c.real.shape();
        let deviation = c.real.variance(&[0, 1, 2]).sqrt().reshape(&[1, 1, 1, 2]).broadcast_to(&shape);
        let t = (c.common.uniform)(&[4, 1, 1, 1]).broadcast_to(&shape);
        let near = c.real + t * (c.common.uniform)(&shape) * deviation * 0.5;
        excess(c, &near).square().mean_all()
    }),
    ("dragan", "between real and generated samples", |c| excess(c, &between(c)).square().mean_all()),
    ("lecam", "from the own kind's mean", |c| {
        let [real, fake] = means(c);
        (c.real_logits - real).square().mean_all() + (c.fake_logits - fake).square().mean_all()
    }),
    ("lecam", "rectified, as the authors' program", |c| {
        let [real, fake] = means(c);
        (c.real_logits - fake).relu().square().mean_all() + (real - c.fake_logits).relu().square().mean_all()
    }),
    ("lecam", "means that fade in from 0", |c| {
        let [real, fake] = [fading(c, "real", c.real_logits), fading(c, "fake", c.fake_logits)];
        (c.real_logits - fake).square().mean_all() + (c.fake_logits - real).square().mean_all()
    }),
    ("lecam", "means of the batch", |c| {
        let [real, fake] = [c.real_logits, c.fake_logits].map(|l| l.mean_all().stop_gradient());
        (c.real_logits - fake).square().mean_all() + (c.fake_logits - real).square().mean_all()
    }),
    ("reconstruction", "summed over the batch", |c| c.reconstruction.unwrap().sum_all()),
    ("reconstruction", "roots of the distances", |c| c.reconstruction.unwrap().sqrt().mean_all()),
    ("reconstruction", "without gradients", |c| c.reconstruction.unwrap().stop_gradient().mean_all()),
    ("consistency", "of generated samples", |c| apart(c, c.fake, c.fake_logits).mean_all()),
    ("consistency", "towards a constant", |c| apart(c, c.real, &c.real_logits.stop_gradient()).mean_all()),
    ("consistency", "summed over the batch", |c| apart(c, c.real, c.real_logits).sum_all()),
    ("consistency", "of mean logits", |c| {
        (c.real_logits.mean_all() - (c.discriminator)(&c.real.reverse(&[2])).mean_all()).square()
    }),
    ("balanced-consistency", "of real samples alone", |c| apart(c, c.real, c.real_logits).mean_all()),
    ("balanced-consistency", "the mean of both kinds", |c| {
        (apart(c, c.real, c.real_logits).mean_all() + apart(c, c.fake, c.fake_logits).mean_all()) * 0.5
    }),
    ("balanced-consistency", "of real and generated samples crossed", |c| {
        apart(c, c.real, c.fake_logits).mean_all() + apart(c, c.fake, c.real_logits).mean_all()
    }),
    ("auxiliary-classifier", "of real samples alone", |c| crossed(c.class_logits.unwrap()[0], &c.common)),
    ("auxiliary-classifier", "rewarding wrong classes", |c| {
        let [real, fake] = c.class_logits.unwrap();
        crossed(real, &c.common) - crossed(fake, &c.common)
    }),
    ("auxiliary-classifier", "the mean over classes too", |c| {
        let [real, fake] = c.class_logits.unwrap();
        (crossed(real, &c.common) + crossed(fake, &c.common)) / 3.0
    }),
    ("auxiliary-classifier", "without the normalisation", |c| {
        let one_hot = c.common.labels.unwrap().one_hot();
        c.class_logits
            .unwrap()
            .map(|logits| -(logits * &one_hot).sum_all() * 0.25)
            .into_iter()
            .reduce(|a, b| a + b)
            .unwrap()
    }),
    ("orthogonal", "with the filters' own lengths", |c| of_filters(&c.common, gram)),
    ("orthogonal", "towards the identity", |c| of_filters(&c.common, from_identity)),
    ("orthogonal", "of rows", |c| of_filters(&c.common, of_rows)),
];

/// |J^T y|^2 of each layer, `[batch, layers, width]`, with y so much smaller than the noise.
fn path_squares(c: &GeneratorContext<'_>, scale: f64) -> Tensor {
    let y = (c.common.normal)(&c.fake.shape()) * scale;
    grad(&(c.fake * y).sum_all(), &[c.styles])[0].square()
}

/// One over the root of the pixels, 4 by 5.
fn pixels() -> f64 {
    1.0 / 20f64.sqrt()
}

/// Mean squared distance of lengths from their running mean.
fn from_mean(c: &GeneratorContext<'_>, squared: &Tensor) -> Tensor {
    let lengths = (squared + 1e-12).sqrt();
    let mean = c.common.memory.average("mean", "mean_share", &lengths.mean_all(), 0.99);
    (lengths - mean).square().mean_all()
}

type GeneratorTwin = (&'static str, &'static str, fn(&GeneratorContext<'_>) -> Tensor);

/// The same for terms of the generator's loss.
const GENERATOR_TWINS: &[GeneratorTwin] = &[
    ("path-length", "noise not over the pixels", |c| {
        from_mean(c, &path_squares(c, 1.0).sum(&[2]).mean(&[1]))
    }),
    ("path-length", "noise over pixels and channels", |c| {
        from_mean(c, &path_squares(c, 1.0 / 40f64.sqrt()).sum(&[2]).mean(&[1]))
    }),
    ("path-length", "summed over the layers", |c| from_mean(c, &path_squares(c, pixels()).sum(&[1, 2]))),
    ("path-length", "the mean over a style's numbers", |c| {
        from_mean(c, &path_squares(c, pixels()).mean(&[1, 2]))
    }),
    ("path-length", "each layer's length on its own", |c| from_mean(c, &path_squares(c, pixels()).sum(&[2]))),
    ("path-length", "of the first layer alone", |c| {
        from_mean(c, &path_squares(c, pixels()).slice(1, 0, 1).sum(&[1, 2]))
    }),
    ("path-length", "towards 0", |c| path_squares(c, pixels()).sum(&[2]).mean(&[1]).mean_all()),
    ("path-length", "without second derivatives", |c| {
        from_mean(c, &path_squares(c, pixels()).sum(&[2]).mean(&[1]).stop_gradient())
    }),
    ("path-length", "towards the batch's own mean", |c| {
        let lengths = (path_squares(c, pixels()).sum(&[2]).mean(&[1]) + 1e-12).sqrt();
        let mean = lengths.mean_all().stop_gradient();
        (lengths - mean).square().mean_all()
    }),
    ("feature-matching", "sample by sample", |c| {
        let [real, fake] = c.features.unwrap();
        (real - fake).square().sum_all() * 0.25
    }),
    ("feature-matching", "the mean over features", |c| {
        let [real, fake] = c.features.unwrap();
        (real.mean(&[0]) - fake.mean(&[0])).square().mean_all()
    }),
    ("feature-matching", "not squared", |c| {
        let [real, fake] = c.features.unwrap();
        (real.mean(&[0]) - fake.mean(&[0])).abs().sum_all()
    }),
    ("auxiliary-classifier", "its negative", |c| -crossed(c.class_logits.unwrap(), &c.common)),
    ("auxiliary-classifier", "summed over the batch", |c| crossed(c.class_logits.unwrap(), &c.common) * 4.0),
    ("orthogonal", "with the filters' own lengths", |c| of_filters(&c.common, gram)),
    ("orthogonal", "of rows", |c| of_filters(&c.common, of_rows)),
];

type ConstraintTwin = (&'static str, &'static str, fn(&Tensor, &Tensor) -> Tensor);

/// The same for bounds on weights.
const CONSTRAINT_TWINS: &[ConstraintTwin] = &[
    ("weight-clipping", "from above alone", |w, bound| w.minimum(bound)),
    ("weight-clipping", "not below 0", |w, bound| w.minimum(bound).relu()),
    ("weight-clipping", "half the bound", |w, bound| w.minimum(&(bound * 0.5)).maximum(&(bound * -0.5))),
    ("weight-clipping", "of the norm", |w, bound| {
        let norm = w.square().sum_all().sqrt();
        w * (bound / norm).minimum(&bound.ones_like())
    }),
    ("weight-clipping", "large weights dropped", |w, bound| {
        w.abs().le(&bound.broadcast_to(&w.shape())).select(w, &w.zeros_like())
    }),
];

#[test]
fn regularizers_are_those_of_pytorch_and_their_twins_are_not() {
    let goldens = Goldens::parse(GOLDENS);
    let mut needed = Vec::new();
    for regularizer in REGULARIZERS {
        for kind in kinds(*regularizer, &goldens) {
            let name = regularizer.name();
            let got = of(*regularizer, kind, &goldens);
            assert_same(&got, &golden(&goldens, kind, name), &format!("{name} {kind:?}"));
            needed.push((name, kind));
        }
    }
    let mut twins = Vec::new();
    let mut reject = |name: &'static str, kind: Kind, what: &str, results: Vec<f64>| {
        assert!(find(name).is_some(), "a twin of `{name}`, which no regularizer is called");
        let what = format!("{name} {kind:?}, wrong: {what},");
        assert_told_apart(&results, &golden(&goldens, kind, name), &what);
        twins.push((name, kind));
    };
    for (name, what, twin) in PENALTY_TWINS {
        reject(name, Kind::Penalty, what, penalty(&goldens, |c| twin(c) * c.common.strength));
    }
    for (name, what, twin) in GENERATOR_TWINS {
        let results = generator_penalty(&goldens, |c| twin(c) * c.common.strength);
        reject(name, Kind::GeneratorPenalty, what, results);
    }
    for (name, what, twin) in CONSTRAINT_TWINS {
        reject(name, Kind::Constraint, what, constraint(&goldens, twin));
    }
    let lacking = without_twin(needed, &twins);
    assert!(lacking.is_empty(), "without a wrong twin: {lacking:?}");
}

/// Every term on images with the loss that it comes with.
#[test]
fn whole_losses_on_images_are_differentiable_twice() {
    let goldens = Goldens::parse(GOLDENS);
    for regularizer in REGULARIZERS {
        let name = regularizer.name();
        for kind in kinds(*regularizer, &goldens).into_iter().filter(|k| *k != Kind::Constraint) {
            let mut networks = Networks::new(&goldens);
            // With a past a billion times as long, differences do not see a running mean move, which takes in the step as
            // a constant.
            for (_, array) in networks.inputs.iter_mut().filter(|(name, _)| name.starts_with("memory/")) {
                *array = Array::f32(&[], [array.floats()[0] * 1e9]);
            }
            let whole = match kind {
                Kind::Penalty => networks.in_discriminator(|c| {
                    let loss = (-c.real_logits).softplus().mean_all() + c.fake_logits.softplus().mean_all();
                    loss + regularizer.penalty(c).unwrap()
                }),
                Kind::GeneratorPenalty | Kind::Constraint => networks.in_generator(|c| {
                    let loss = (-networks.judge(c.fake)).softplus().mean_all();
                    loss + regularizer.generator_penalty(c).unwrap()
                }),
            };
            assert_differentiable_twice(
                &networks,
                &whole,
                kind.variables(),
                1e-5,
                &format!("{name} {kind:?}"),
            );
        }
    }
}
