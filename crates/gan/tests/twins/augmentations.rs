//! Augmentations with given draws. A twin is the right one with its draws or its images changed, or another program.

use crate::compare::*;
use ganymede::augment::{AUGMENTATIONS, Augmentation, Draw, find};
use ganymede_graph::{Graph, Precision, Tensor, TensorType, interpret};
use std::cell::Cell;
use std::f64::consts::LN_2;

/// As tools/goldens_torch.py wrote them.
const GOLDENS: &str = include_str!("../../goldens/augmentations.txt");
/// What constants of 32 bits make of turns and powers.
const ROUNDING: f64 = 1e-5;
/// What a twin must be off by at least.
const CLEARLY: f64 = 1e-2;

/// An augmentation about to be applied to images [3, 12, 12, 3], with its draws in order.
struct Case {
    right: &'static dyn Augmentation,
    images: Tensor,
    uniform: [Tensor; 4],
    normal: [Tensor; 4],
}

impl Case {
    fn new(graph: &Graph, right: &'static dyn Augmentation, goldens: &Goldens) -> Self {
        let rows = |name: &str| {
            let values = goldens.of("input", name).floats();
            [0, 1, 2, 3].map(|at| graph.constant_f32(&[3, 1, 1, 1], &values[3 * at..3 * at + 3]))
        };
        let images = graph.feed("images", TensorType::f32([3, 12, 12, 3]));
        Self { right, images, uniform: rows("uniform"), normal: rows("normal") }
    }

    fn apply(&self, images: &Tensor, uniform: [Tensor; 4], normal: [Tensor; 4]) -> Tensor {
        let counts = [Cell::new(0), Cell::new(0)];
        let next = |draws: &[Tensor; 4], count: &Cell<usize>| draws[count.replace(count.get() + 1)].clone();
        let draw = Draw {
            uniform: &|_| next(&uniform, &counts[0]),
            normal: &|_| next(&normal, &counts[1]),
            probability: None,
        };
        self.right.apply(images, &draw)
    }
    fn on(&self, images: &Tensor) -> Tensor {
        self.apply(images, self.uniform.clone(), self.normal.clone())
    }
    fn with_uniform(&self, change: impl Fn(&[Tensor; 4]) -> [Tensor; 4]) -> Tensor {
        self.apply(&self.images, change(&self.uniform), self.normal.clone())
    }
    fn with_normal(&self, change: impl Fn(&[Tensor; 4]) -> [Tensor; 4]) -> Tensor {
        self.apply(&self.images, self.uniform.clone(), change(&self.normal))
    }
}

/// Draws of which those at `at` are changed.
fn changed(draws: &[Tensor; 4], at: &[usize], f: fn(&Tensor) -> Tensor) -> [Tensor; 4] {
    [0, 1, 2, 3].map(|i| if at.contains(&i) { f(&draws[i]) } else { draws[i].clone() })
}

fn exchanged(draws: &[Tensor; 4], i: usize, j: usize) -> [Tensor; 4] {
    let mut draws = draws.clone();
    draws.swap(i, j);
    draws
}

fn mirrored(u: &Tensor) -> Tensor {
    1.0 - u
}

/// Rows in place of columns.
fn across(images: &Tensor) -> Tensor {
    images.transpose(&[0, 2, 1, 3])
}

/// The colours that DiffAugment makes, up to the contrast.
fn saturated(c: &Case) -> Tensor {
    let [b, s, ..] = &c.uniform;
    let x = &c.images + (b - 0.5);
    let grey = x.mean(&[3]).reshape(&[3, 12, 12, 1]).broadcast_to(&x.shape());
    (x - &grey) * (s * 2.0) + grey
}

type Twin = (&'static str, &'static str, fn(&Case) -> Tensor);

/// Name, what is wrong, the wrong result.
const TWINS: &[Twin] = &[
    ("flip", "upside down", |c| across(&c.on(&across(&c.images)))),
    ("flip", "the other half of the samples", |c| c.with_uniform(|u| changed(u, &[0], mirrored))),
    ("flip", "every sample", |c| c.images.reverse(&[2])),
    ("translation", "the other way", |c| c.with_uniform(|u| changed(u, &[0, 1], mirrored))),
    ("translation", "rows by the draw of columns", |c| c.with_uniform(|u| exchanged(u, 0, 1))),
    ("translation", "as far along both axes", |c| {
        c.with_uniform(|u| [u[0].clone(), u[0].clone(), u[2].clone(), u[3].clone()])
    }),
    ("translation", "black moving in", |c| c.on(&(&c.images + 1.0)) - 1.0),
    ("cutout", "what is outside the hole", |c| &c.images - c.on(&c.images)),
    ("cutout", "rows by the draw of columns", |c| c.with_uniform(|u| exchanged(u, 0, 1))),
    ("cutout", "a white hole", |c| c.on(&(&c.images - 1.0)) + 1.0),
    ("color", "saturation and contrast exchanged", |c| c.with_uniform(|u| exchanged(u, 1, 2))),
    ("color", "contrast about 0", |c| saturated(c) * (&c.uniform[2] + 0.5)),
    ("color", "contrast about each channel's mean", |c| {
        let x = saturated(c);
        let mean = x.mean(&[1, 2]).reshape(&[3, 1, 1, 3]).broadcast_to(&x.shape());
        (x - &mean) * (&c.uniform[2] + 0.5) + mean
    }),
    ("color", "saturation of half to one and a half", |c| {
        c.with_uniform(|u| changed(u, &[1], |s| s * 0.5 + 0.25))
    }),
    ("blit", "turned the other way", |c| {
        c.with_uniform(|u| {
            changed(u, &[1], |turns| {
                let left = 4.0 - (turns * 4.0).floor();
                (&left - (&left * 0.25).floor() * 4.0 + 0.5) * 0.25
            })
        })
    }),
    ("blit", "shifted the other way", |c| c.with_uniform(|u| changed(u, &[2, 3], mirrored))),
    ("blit", "rows by the draw of columns", |c| c.with_uniform(|u| exchanged(u, 2, 3))),
    ("blit", "not mirrored", |c| c.with_uniform(|u| changed(u, &[0], |m| m * 0.5))),
    ("blit", "upside down", |c| across(&c.on(&across(&c.images)))),
    ("geometry", "turned the other way", |c| c.with_uniform(|u| changed(u, &[0, 1], mirrored))),
    ("geometry", "its turns exchanged", |c| c.with_uniform(|u| exchanged(u, 0, 1))),
    ("geometry", "scales as powers of e", |c| c.with_normal(|n| changed(n, &[0, 1], |x| x * (1.0 / LN_2)))),
    ("geometry", "stretched along the other axis", |c| c.with_normal(|n| changed(n, &[1], |x| -x))),
    ("geometry", "shifted the other way", |c| c.with_normal(|n| changed(n, &[2, 3], |x| -x))),
    ("geometry", "rows by the draw of columns", |c| c.with_normal(|n| exchanged(n, 2, 3))),
    ("jitter", "hue turned the other way", |c| c.with_uniform(|u| changed(u, &[1], mirrored))),
    ("jitter", "luma left as it is", |c| c.with_uniform(|u| changed(u, &[0], |x| x * 0.5))),
    ("jitter", "contrast and saturation as powers of e", |c| {
        c.with_normal(|n| changed(n, &[1, 2], |x| x * (1.0 / LN_2)))
    }),
    ("jitter", "contrast of twice the deviation", |c| c.with_normal(|n| changed(n, &[1], |x| x * 2.0))),
    ("jitter", "saturation the other way", |c| c.with_normal(|n| changed(n, &[2], |x| -x))),
    ("jitter", "brightness after contrast", |c| {
        // (x + b) c with b / c in place of b is c x + b.
        c.with_normal(|n| {
            let contrast = (&n[1] * (0.5 * LN_2)).exp();
            [&n[0] / contrast, n[1].clone(), n[2].clone(), n[3].clone()]
        })
    }),
];

fn evaluate(name: &str, goldens: &Goldens, result: impl FnOnce(&Case) -> Tensor) -> Vec<f64> {
    let graph = Graph::new();
    let right = find(name).unwrap_or_else(|| panic!("a twin of `{name}`, which no augmentation is called"));
    let case = Case::new(&graph, right, goldens);
    graph.output("images", &result(&case));
    let outcome = interpret(&graph.finish().unwrap(), &goldens.inputs(), Precision::F64).unwrap();
    outcome.outputs["images"].floats().to_vec()
}

#[test]
fn augmentations_are_those_of_numpy_and_their_twins_are_not() {
    let goldens = Goldens::parse(GOLDENS);
    let golden = |name: &str| goldens.of("result", &format!("images/{name}")).floats();
    for augmentation in AUGMENTATIONS {
        let name = augmentation.name();
        let got = evaluate(name, &goldens, |c| c.on(&c.images));
        let apart = deviation(&got, golden(name));
        assert!(apart < ROUNDING, "{name} is off by {apart}");
    }
    for (name, what, twin) in TWINS {
        let apart = deviation(&evaluate(name, &goldens, twin), golden(name));
        assert!(apart > CLEARLY, "{name}, wrong: {what}, passes for it: off by {apart} alone");
    }
    let twins: Vec<&str> = TWINS.iter().map(|t| t.0).collect();
    let lacking = without_twin(AUGMENTATIONS.iter().map(|a| a.name()), &twins);
    assert!(lacking.is_empty(), "without a wrong twin: {lacking:?}");
}
