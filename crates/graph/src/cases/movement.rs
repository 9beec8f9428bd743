//! Ops that move elements.

use super::{Case, Values};
use crate::array::Array;
use crate::ops::Op;
use crate::tensor::Tensor;

fn case(name: &str, input: Array, f: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static) -> Case {
    Case::new(name, [input], move |_, x| vec![f(&x[0])]).smooth()
}

pub(super) fn cases() -> Vec<Case> {
    let mut v = Values::new(0x0700);
    let mut out = vec![
        case("reshape", v.normal(&[4, 6]), |x| x.reshape(&[3, 2, 4])),
        case("reshape from a scalar", v.normal(&[]), |x| x.reshape(&[1, 1])),
        case("reshape to a scalar", v.normal(&[1, 1, 1]), |x| x.reshape(&[])),
        case("broadcast of a scalar", v.normal(&[]), |x| x.broadcast_to(&[3, 5])),
        case("broadcast of rows", v.normal(&[5]), |x| x.broadcast_to(&[2, 3, 5])),
        case("broadcast of columns", v.normal(&[4]), |x| x.broadcast_axes(&[3, 4, 5], &[1])),
        case("broadcast of size 1", v.normal(&[3, 1, 5]), |x| x.broadcast_to(&[2, 3, 4, 5])),
        case("broadcast of size 1 to size 1", v.normal(&[1, 4]), |x| x.broadcast_to(&[3, 1, 4])),
        case("broadcast of outer axes", v.normal(&[2, 3]), |x| x.broadcast_axes(&[2, 3, 4, 2], &[0, 1])),
        case("broadcast to nothing", v.normal(&[1, 3]), |x| x.broadcast_to(&[0, 3])),
        case("transpose 2", v.normal(&[5, 7]), |x| x.transpose(&[1, 0])),
        case("transpose 3", v.normal(&[3, 4, 5]), |x| x.transpose(&[2, 0, 1])),
        case("transpose NHWC to NCHW", v.normal(&[2, 3, 4, 5]), |x| x.transpose(&[0, 3, 1, 2])),
        case("transpose of inner axes", v.normal(&[2, 3, 4, 5]), |x| x.transpose(&[0, 2, 1, 3])),
        case("transpose by identity", v.normal(&[2, 3]), |x| x.transpose(&[0, 1])),
        case("slice of one axis", v.normal(&[4, 9, 3]), |x| x.slice(1, 2, 7)),
        case("slice strided", v.normal(&[7, 10]), |x| x.slice_strided(&[1, 0], &[7, 10], &[2, 3])),
        case("slice strided short of the end", v.normal(&[9]), |x| x.slice_strided(&[1], &[6], &[4])),
        case("slice of one element by a long stride", v.normal(&[5]), |x| x.slice_strided(&[2], &[3], &[9])),
        case("slice of nothing", v.normal(&[5, 2]), |x| x.slice(0, 3, 3)),
        case("slice of everything", v.normal(&[5, 2]), |x| x.slice(0, 0, 5)),
        case("pad", v.normal(&[3, 4]), |x| x.pad(&[1, 0], &[2, 3], &[0, 0])),
        case("pad interior", v.normal(&[3, 4]), |x| x.pad(&[0, 1], &[0, 2], &[2, 1])),
        case("pad interior of one element", v.normal(&[1, 2]), |x| x.pad(&[1, 1], &[1, 0], &[3, 3])),
        case("pad of nothing", v.normal(&[0, 2]), |x| x.pad(&[2, 0], &[1, 0], &[4, 1])),
        case("reverse", v.normal(&[4, 5]), |x| x.reverse(&[0])),
        case("reverse of several", v.normal(&[3, 4, 5]), |x| x.reverse(&[0, 2])),
        case("upsample_nearest", v.normal(&[2, 3, 2, 3]), |x| x.upsample_nearest(2)),
    ];
    // The weights 3/4 and 1/4 round only in their sum.
    out.push(
        Case::new("upsample_bilinear2", [v.normal(&[2, 3, 4, 3])], |_, x| vec![x[0].upsample_bilinear2()])
            .close_absolute(4e-7, 4e-7)
            .smooth(),
    );
    let three = || [[2, 3, 4], [2, 1, 4], [2, 5, 4]];
    let [a, b, c] = three().map(|s| v.normal(&s));
    out.push(
        Case::new("concat of the middle axis", [a, b, c], |_, x| {
            vec![Tensor::concat(&[&x[0], &x[1], &x[2]], 1)]
        })
        .smooth(),
    );
    let (a, b) = (v.normal(&[2, 3]), v.normal(&[2, 2]));
    out.push(
        Case::new("concat of the last axis with repetition", [a, b], |_, x| {
            vec![Tensor::concat(&[&x[0], &x[1], &x[0]], 1)]
        })
        .smooth(),
    );
    let (a, b) = (v.normal(&[0, 3]), v.normal(&[2, 3]));
    out.push(
        Case::new("concat with an empty operand", [a, b], |_, x| {
            vec![Tensor::concat(&[&x[0], &x[1]], 0), Tensor::concat(&[&x[1], &x[0]], 0)]
        })
        .smooth(),
    );
    // Every element type moves alike.
    let all = [v.normal(&[2, 3]), v.integers(&[2, 3], -9, 9), v.words(&[2, 3]), v.bools(&[2, 3])];
    for array in all {
        out.push(Case::new(format!("movement of {}", array.ty.dtype), [array], |_, x| {
            let x = &x[0];
            vec![
                x.reshape(&[6]),
                x.broadcast_to(&[2, 2, 3]),
                x.transpose(&[1, 0]),
                x.slice(1, 1, 3),
                x.pad(&[1, 0], &[0, 2], &[1, 1]),
                Tensor::concat(&[x, x], 0),
                x.reverse(&[0, 1]),
            ]
        }));
    }
    for (axis, name) in ["iota of rows", "iota of columns", "iota of depth"].into_iter().enumerate() {
        out.push(Case::new(name, [], move |g, _| vec![g.iota(&[3, 4, 5], axis)]));
    }
    // Moves of moves, as layout changes of weights make them.
    out.push(case("movement chain", v.normal(&[4, 6, 2]), |x| {
        x.transpose(&[1, 2, 0])
            .reverse(&[1])
            .pad(&[0, 1, 0], &[1, 0, 0], &[0, 0, 1])
            .slice(2, 1, 6)
            .reshape(&[7, 15])
    }));
    out.push(
        Case::new("reshape of a broadcast scalar", [v.normal(&[])], |g, x| {
            let twice = g.push(Op::Broadcast { shape: vec![2, 6], axes: vec![] }, &[&x[0]]);
            vec![twice.reshape(&[3, 4])]
        })
        .smooth(),
    );
    out
}
