//! Matrix products and the convolution triad.

use super::{Case, Values};
use crate::ops::conv::{ConvGeometry, ConvKind, ConvOptions};

/// Bound of the relative error in norm: f32 accumulation against exact sums.
const BOUND: f64 = 2e-6;

pub(super) fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    matmul(&mut out);
    let mut v = Values::new(0x0b00);
    for (name, geometry, n, c_in, c_out) in geometries() {
        convolution(name, geometry, [n, c_in, c_out], &mut v, &mut out);
    }
    out.push(
        Case::new("avg_pool2d of tiles", [v.normal(&[2, 4, 6, 3])], |_, x| vec![x[0].avg_pool2d(2, 2, 0)])
            .norm(BOUND)
            .smooth(),
    );
    out.push(
        Case::new("avg_pool2d overlapping and padded", [v.normal(&[2, 5, 5, 3])], |_, x| {
            vec![x[0].avg_pool2d(3, 2, 1)]
        })
        .norm(BOUND)
        .smooth(),
    );
    out
}

fn matmul(out: &mut Vec<Case>) {
    let mut v = Values::new(0x0a00);
    for (batch, [m, k, n]) in [
        (&[][..], [1, 1, 1]),
        (&[], [5, 7, 3]),
        (&[], [13, 1, 33]),
        (&[], [1, 40, 35]),
        (&[], [4, 0, 3]),
        (&[], [0, 4, 3]),
        (&[3], [6, 5, 17]),
        (&[2, 2], [3, 4, 5]),
    ] {
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let shape = |rows: usize, columns: usize| [batch, &[rows, columns]].concat();
            let a = if ta { shape(k, m) } else { shape(m, k) };
            let b = if tb { shape(n, k) } else { shape(k, n) };
            let name = format!(
                "matmul {batch:?} {m}x{k}x{n}{}{}",
                if ta { " A^T" } else { "" },
                if tb { " B^T" } else { "" }
            );
            out.push(
                Case::new(name, [v.normal(&a), v.normal(&b)], move |_, x| {
                    vec![x[0].matmul_with(&x[1], ta, tb)]
                })
                .norm(BOUND)
                .smooth(),
            );
        }
    }
    out.push(
        Case::new("matmul with itself", [v.normal(&[6, 6])], |_, x| {
            vec![x[0].matmul(&x[0]), x[0].matmul_with(&x[0], true, false)]
        })
        .norm(BOUND)
        .smooth(),
    );
    out.push(
        Case::new("matmul large", [v.normal(&[67, 130]), v.normal(&[130, 101])], |_, x| {
            vec![x[0].matmul(&x[1])]
        })
        .norm(BOUND),
    );
}

type Named = (&'static str, ConvGeometry, usize, usize, usize);

/// Name, geometry, images, input and output channels.
fn geometries() -> Vec<Named> {
    let o = ConvOptions::default;
    let at =
        |input: [usize; 2], kernel: [usize; 2], options: ConvOptions| ConvGeometry { input, kernel, options };
    vec![
        ("1x1", at([3, 4], [1, 1], o()), 2, 3, 5),
        ("3x3", at([5, 6], [3, 3], o()), 2, 3, 4),
        ("3x3 padded", at([4, 5], [3, 3], o().pad(1)), 2, 2, 3),
        ("4x4 stride 2", at([8, 8], [4, 4], o().stride(2).pad(1)), 2, 3, 4),
        ("5x5 stride 2 asymmetric pad", at([7, 7], [5, 5], o().stride(2).pad_asymmetric(1, 2)), 1, 2, 3),
        ("leftover rows", at([8, 9], [3, 3], o().stride(3)), 2, 2, 2),
        ("stride beyond the kernel", at([9, 9], [2, 2], o().stride(4)), 1, 2, 2),
        ("dilation 2", at([7, 8], [3, 3], o().dilation(2).pad(1)), 1, 2, 3),
        ("dilation 3 stride 2", at([11, 10], [3, 2], o().dilation(3).stride(2).pad(2)), 1, 2, 2),
        ("groups 2", at([4, 4], [3, 3], o().pad(1).groups(2)), 2, 4, 6),
        ("groups of 16 channels", at([3, 3], [3, 3], o().pad(1).groups(2)), 1, 32, 32),
        ("depthwise", at([5, 4], [3, 3], o().pad(1).groups(5)), 2, 5, 5),
        (
            "depthwise with multiplier 2, stride 2",
            at([6, 6], [3, 3], o().stride(2).pad(1).groups(3)),
            1,
            3,
            6,
        ),
        ("one row", at([1, 9], [1, 3], o()), 2, 3, 2),
        ("kernel covers the image", at([4, 4], [4, 4], o()), 3, 5, 1),
        ("padding beyond the kernel", at([2, 2], [2, 2], o().pad(3)), 1, 2, 2),
        (
            "each axis its own",
            at(
                [6, 9],
                [2, 3],
                ConvOptions {
                    stride: [1, 2],
                    pad_low: [0, 2],
                    pad_high: [1, 0],
                    dilation: [2, 1],
                    groups: 1,
                },
            ),
            2,
            2,
            3,
        ),
        ("one input channel", at([6, 6], [4, 4], o().stride(2).pad(1)), 2, 1, 20),
        ("one output channel", at([6, 6], [3, 3], o().pad(1)), 2, 20, 1),
        ("three channels", at([6, 6], [3, 3], o().pad(1)), 1, 3, 33),
        ("full tiles and rests", at([5, 5], [3, 3], o().pad(1)), 1, 13, 35),
    ]
}

fn convolution(
    name: &str,
    geometry: ConvGeometry,
    [n, c_in, c_out]: [usize; 3],
    v: &mut Values,
    out: &mut Vec<Case>,
) {
    let [h, w] = geometry.input;
    let [oh, ow] = geometry.output().unwrap_or_else(|e| panic!("case `{name}`: {e}"));
    let image = [n, h, w, c_in];
    let weight = [geometry.kernel[0], geometry.kernel[1], c_in / geometry.options.groups, c_out];
    let result = [n, oh, ow, c_out];
    for (kind, a, b) in [
        (ConvKind::Forward, image, weight),
        (ConvKind::InputGrad, result, weight),
        (ConvKind::WeightGrad, image, result),
    ] {
        out.push(
            Case::new(format!("{} {name}", kind.name()), [v.normal(&a), v.normal(&b)], move |_, x| {
                vec![x[0].conv_triad(kind, geometry, &x[1])]
            })
            .norm(BOUND)
            .smooth(),
        );
    }
}
