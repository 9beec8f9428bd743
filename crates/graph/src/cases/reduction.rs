//! Reductions, variance and argmax.

use super::{Case, Values};
use crate::array::Array;
use crate::ops::Op;
use crate::ops::reduce::Reduction;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;
const AXES: [&[usize]; 7] = [&[0], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]];

pub(super) fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for (k, kind) in [Reduction::Sum, Reduction::Max, Reduction::Min].into_iter().enumerate() {
        reduction(kind, &mut Values::new(0x0800 + k as u32), &mut out);
    }
    let mut v = Values::new(0x0900);
    out.push(
        Case::new("mean", [v.normal(&[4, 5, 6])], |_, x| vec![x[0].mean(&[0, 2]), x[0].mean_all()])
            .close_absolute(2e-6, 2e-7)
            .smooth(),
    );
    for axes in AXES {
        out.push(
            Case::new(format!("variance over {axes:?}"), [v.normal(&[4, 5, 37])], move |_, x| {
                vec![x[0].variance(axes)]
            })
            .close(1e-5)
            .smooth(),
        );
    }
    // E[x^2] - mean^2 would cancel: the mean is a thousand deviations away.
    let far: Vec<f64> = v.normal(&[128]).floats().iter().map(|x| f64::from((1000.0 + x) as f32)).collect();
    out.push(
        Case::new("variance far from 0", [Array::f32(&[2, 64], far)], |_, x| vec![x[0].variance(&[1])])
            .close(1e-4),
    );
    out.push(
        Case::new("variance of one element and of equal ones", [v.normal(&[3, 1])], |_, x| {
            vec![x[0].variance(&[1]), x[0].broadcast_to(&[3, 8]).variance(&[1])]
        })
        .close_absolute(0.0, 1e-12),
    );
    for axis in 0..3 {
        out.push(Case::new(
            format!("argmax along {axis}"),
            [v.normal(&[4, 5, 37]), v.integers(&[4, 5, 37], 0, 6), v.words(&[4, 5, 37])],
            move |_, x| x.iter().map(|x| x.argmax(axis)).collect(),
        ));
    }
    let special = Array::f32(
        &[6, 5],
        vec![
            1.0, 3.0, 3.0, 2.0, 3.0, //
            NAN, 1.0, NAN, INF, 0.0, //
            0.0, 1.0, NAN, INF, NAN, //
            -INF, -INF, -INF, -INF, -INF, //
            0.0, -0.0, 0.0, -0.0, 0.0, //
            -0.0, 0.0, -1.0, INF, INF,
        ],
    );
    out.push(Case::new("argmax at ties and NaN", [special.clone()], |_, x| {
        vec![x[0].argmax(1), x[0].argmax(0)]
    }));
    out.push(Case::new("max and min at ties and NaN", [special], |_, x| {
        vec![x[0].max(&[1]), x[0].min(&[1]), x[0].max(&[0]), x[0].min(&[0])]
    }));
    let tied = Array::f32(&[3, 4], vec![1.0, 3.0, 3.0, 2.0, 5.0, 5.0, 5.0, 5.0, 0.0, 1.0, 0.0, 1.0]);
    out.push(
        Case::new("max and min sharing gradients at ties", [tied], |_, x| {
            let (max, min) = (x[0].max(&[1]).sum_all(), x[0].min(&[1]).sum_all());
            [crate::grad(&max, &[&x[0]]), crate::grad(&min, &[&x[0]])].concat()
        })
        .close(1e-6),
    );
    out.push(Case::new(
        "sum and mean of NaN and infinities",
        [Array::f32(&[3, 2], vec![NAN, 1.0, INF, 1.0, INF, -INF])],
        |_, x| vec![x[0].sum(&[1]), x[0].mean(&[1])],
    ));
    out
}

fn reduction(kind: Reduction, v: &mut Values, out: &mut Vec<Case>) {
    let build = move |axes: &'static [usize]| {
        move |g: &crate::Graph, x: &[crate::Tensor]| {
            x.iter().map(|x| g.push(Op::Reduce { kind, axes: axes.to_vec() }, &[x])).collect()
        }
    };
    let name = kind.name();
    for axes in AXES {
        out.push(
            Case::new(format!("{name} over {axes:?}"), [v.spaced(&[4, 5, 37], 0.01)], build(axes))
                .close_absolute(2e-6, 2e-5)
                .smooth_within(1e-3 / 2.0),
        );
        let integers = [v.integers(&[4, 5, 37], i32::MIN, -5), v.words(&[4, 5, 37])];
        out.push(Case::new(format!("{name} of integers over {axes:?}"), integers, build(axes)));
    }
    out.push(Case::new(
        format!("{name} over no elements"),
        [v.normal(&[0, 3]), v.integers(&[0, 3], 0, 2), v.words(&[0, 3])],
        build(&[0]),
    ));
    out.push(Case::new(format!("{name} to no elements"), [v.normal(&[0, 3])], build(&[1])));
    out.push(Case::new(format!("{name} over size 1"), [v.normal(&[3, 1, 4])], build(&[1])).smooth());
    out.push(
        Case::new(format!("{name} of long rows"), [v.spaced(&[3, 1031], 0.001)], build(&[1]))
            .close_absolute(1e-5, 1e-4),
    );
    out.push(
        Case::new(format!("{name} of long columns"), [v.spaced(&[1031, 3], 0.001)], build(&[0]))
            .close_absolute(1e-5, 1e-4),
    );
}
