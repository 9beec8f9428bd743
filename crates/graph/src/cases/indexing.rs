//! Pooling windows, gather and scatter, sorting, random words.

use super::{Case, Values};
use crate::array::Array;
use crate::ops::window::{WindowGeometry, WindowKind};

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

pub(super) fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    windows(&mut out);
    gather_scatter(&mut out);
    sorting(&mut out);
    random(&mut out);
    out
}

fn windows(out: &mut Vec<Case>) {
    let mut v = Values::new(0x0c00);
    let square = |input: [usize; 2], window: usize, stride: usize, low: usize, high: usize| WindowGeometry {
        input,
        window: [window; 2],
        stride: [stride; 2],
        pad_low: [low; 2],
        pad_high: [high; 2],
    };
    let geometries = [
        ("tiles", square([4, 6], 2, 2, 0, 0)),
        ("overlapping", square([5, 6], 3, 1, 0, 0)),
        ("overlapping and padded", square([5, 5], 3, 2, 1, 1)),
        ("asymmetric pad", square([6, 6], 3, 2, 0, 1)),
        ("leftover rows", square([7, 8], 2, 3, 0, 0)),
        ("one window", square([3, 3], 3, 1, 0, 0)),
        (
            "each axis its own",
            WindowGeometry {
                input: [4, 7],
                window: [2, 3],
                stride: [1, 2],
                pad_low: [1, 0],
                pad_high: [0, 2],
            },
        ),
    ];
    for (name, geometry) in geometries {
        let image = [2, geometry.input[0], geometry.input[1], 3];
        let [oh, ow] = geometry.output().unwrap_or_else(|e| panic!("case `{name}`: {e}"));
        out.push(
            Case::new(format!("window_argmax {name}"), [v.spaced(&image, 0.01)], move |_, x| {
                let index = x[0].window(WindowKind::ArgMax, geometry, None);
                vec![x[0].window(WindowKind::Gather, geometry, Some(&index)), index]
            })
            .smooth(),
        );
        out.push(
            Case::new(
                format!("window_scatter {name}"),
                [v.spaced(&image, 0.01), v.normal(&[2, oh, ow, 3])],
                move |_, x| {
                    let index = x[0].stop_gradient().window(WindowKind::ArgMax, geometry, None);
                    vec![x[1].window(WindowKind::Scatter, geometry, Some(&index))]
                },
            )
            .close_absolute(1e-6, 1e-6)
            .smooth(),
        );
    }
    let geometry = square([3, 4], 2, 1, 1, 0);
    #[rustfmt::skip]
    let tied = vec![
        1.0, 1.0, 2.0, NAN,
        1.0, 1.0, NAN, 2.0,
        -INF, -INF, -INF, INF,
    ];
    out.push(Case::new("window_argmax at ties and NaN", [Array::f32(&[1, 3, 4, 1], tied)], move |_, x| {
        vec![x[0].window(WindowKind::ArgMax, geometry, None)]
    }));
    // Padding is no element: it loses even against -infinity.
    let low = Array::f32(&[1, 2, 2, 1], vec![-INF; 4]);
    out.push(Case::new("window_argmax of -infinity beside padding", [low], |_, x| {
        vec![x[0].max_pool2d(2, 2, 1)]
    }));
    let (x, index) = (v.normal(&[1, 2, 2, 1]), Array::i32(&[1, 2, 2, 1], [-5, 3, 4, 1000]));
    let geometry = square([2, 2], 2, 1, 1, 0);
    out.push(
        Case::new("window gather and scatter clamp their index", [x, index], move |_, x| {
            [WindowKind::Gather, WindowKind::Scatter].map(|k| x[0].window(k, geometry, Some(&x[1]))).to_vec()
        })
        .close_absolute(1e-6, 1e-6)
        .smooth(),
    );
    out.push(
        Case::new("max_pool2d", [v.spaced(&[2, 7, 6, 5], 0.01)], |_, x| vec![x[0].max_pool2d(3, 2, 1)])
            .smooth(),
    );
}

/// Name, shapes of table and index, batch axes, and the range of the indices.
type Variant = (&'static str, &'static [usize], &'static [usize], usize, i32, i32);

fn gather_scatter(out: &mut Vec<Case>) {
    let mut v = Values::new(0x0d00);
    let variants: [Variant; 7] = [
        ("rows", &[5, 3], &[4], 0, 0, 5),
        ("scalars with duplicates", &[3], &[20], 0, 0, 3),
        ("matrices", &[4, 2, 3], &[6], 0, 0, 4),
        ("one batch axis", &[3, 5, 2], &[3, 7], 1, 0, 5),
        ("two batch axes", &[2, 3, 4], &[2, 3, 5], 2, 0, 4),
        ("out of range", &[4, 3], &[12], 0, -9, 12),
        ("nothing", &[4, 3], &[0], 0, 0, 4),
    ];
    for (name, table, index, batch, low, high) in variants {
        let rows = table[batch];
        out.push(
            Case::new(
                format!("gather {name}"),
                [v.normal(table), v.integers(index, low, high)],
                move |_, x| vec![x[0].gather(&x[1], batch)],
            )
            .smooth(),
        );
        let source = [index, &table[batch + 1..]].concat();
        out.push(
            Case::new(
                format!("scatter_add {name}"),
                [v.normal(&source), v.integers(index, low, high)],
                move |_, x| vec![x[0].scatter_add(&x[1], batch, rows)],
            )
            .close_absolute(2e-6, 2e-6)
            .smooth(),
        );
    }
    out.push(Case::new(
        "gather of integers and bools",
        [v.integers(&[4, 2], -9, 9), v.words(&[4, 2]), v.bools(&[4, 2]), Array::i32(&[3], [3, 0, 3])],
        |_, x| x[..3].iter().map(|t| t.gather(&x[3], 0)).collect(),
    ));
    let edge = Array::i32(&[4], [i32::MIN, i32::MAX, -1, 3]);
    out.push(Case::new("gather at the ends of i32", [v.normal(&[3, 2]), edge], |_, x| {
        vec![x[0].gather(&x[1], 0)]
    }));
}

fn sorting(out: &mut Vec<Case>) {
    let mut v = Values::new(0x0e00);
    out.push(Case::new(
        "argsort",
        [v.normal(&[4, 37]), v.integers(&[4, 37], -1000, 1000), v.words(&[4, 37])],
        |_, x| x.iter().map(|x| x.argsort()).collect(),
    ));
    out.push(Case::new("argsort is stable", [v.integers(&[2, 50], 0, 4)], |_, x| {
        vec![x[0].argsort(), x[0].convert(crate::DType::F32).argsort()]
    }));
    let special = vec![NAN, 1.0, -INF, NAN, 0.0, -0.0, INF, 0.0, -1.0];
    out.push(Case::new("argsort of NaN and signed zeros", [Array::f32(&[9], special)], |_, x| {
        vec![x[0].argsort()]
    }));
    out.push(Case::new("argsort of nothing", [v.normal(&[3, 0])], |_, x| vec![x[0].argsort()]));
    out.push(
        Case::new("sorting carries gradients", [v.spaced(&[3, 9], 0.1)], |_, x| {
            let order = x[0].argsort();
            vec![x[0].gather(&order, 1).square()]
        })
        .close(1e-6)
        .smooth(),
    );
}

fn random(out: &mut Vec<Case>) {
    let seed = || [Array::u32(&[2], [0xdead_beef, 7]), Array::u32(&[2], [u32::MAX - 1, 3])];
    out.push(Case::new("philox_bits", seed(), |g, x| {
        vec![
            g.random_bits(&x[0], &x[1], 0, &[5, 3]),
            g.random_bits(&x[0], &x[1], 9, &[4, 2, 6]),
            g.random_bits(&x[0], &x[1], 9, &[3]),
            g.random_bits(&x[0], &x[1], 9, &[]),
            g.random_bits(&x[0], &x[1], 1, &[2, 0]),
        ]
    }));
    // The counter and key of all ones wrap.
    let ones = || [Array::u32(&[2], [u32::MAX; 2]), Array::u32(&[2], [u32::MAX; 2])];
    out.push(Case::new("philox_bits around the end of the index", ones(), |g, x| {
        vec![g.random_bits(&x[0], &x[1], u32::MAX - 1, &[3, 5])]
    }));
    out.push(Case::new("random_uniform", seed(), |g, x| vec![g.random_uniform(&x[0], &x[1], 2, &[6, 50])]));
    out.push(
        Case::new("random_normal", seed(), |g, x| vec![g.random_normal(&x[0], &x[1], 2, &[6, 50])])
            .close(4e-6),
    );
}
