//! Unary, binary, comparisons, select and stop_gradient.

use super::{Case, Values};
use crate::array::Array;
use crate::ops::Op;
use crate::ops::elementwise::{Binary, Compare, Unary};
use crate::types::DType;

const INF: f64 = f64::INFINITY;
const NAN: f64 = f64::NAN;

pub(super) fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for op in Unary::ALL {
        unary(op, &mut out);
    }
    for op in Binary::ALL {
        binary(op, &mut out);
    }
    for op in Compare::ALL {
        compare(op, &mut out);
    }
    select(&mut out);
    composite(&mut out);
    out
}

fn apply_unary(op: Unary, name: &str, input: Array) -> Case {
    Case::new(format!("{} {name}", op.name()), [input], move |g, x| vec![g.push(Op::Unary(op), &[&x[0]])])
}

fn unary(op: Unary, out: &mut Vec<Case>) {
    let mut values = Values::new(0x0100 + op as u32);
    // Where the function is smooth (for the checks of its derivatives), operands at which it is special, and the
    // error relative to the result that an approximation in f32 may have.
    let (smooth, special, bound): (Option<(f64, f64)>, &[f64], f64) = match op {
        Unary::Neg | Unary::Abs => (Some((0.1, 3.0)), &[0.0, -0.0, 1e30, INF, -INF, NAN], 0.0),
        Unary::Sign => (Some((0.1, 3.0)), &[0.0, -0.0, -1e-30, 1e30, INF, -INF, NAN], 0.0),
        Unary::Exp => (Some((-4.0, 4.0)), &[0.0, -0.0, 1.0, 88.0, 100.0, -80.0, -1e30, INF, -INF, NAN], 1e-6),
        Unary::Expm1 => (Some((-4.0, 4.0)), &[0.0, 1e-6, -1e-20, 88.0, 100.0, -50.0, INF, -INF, NAN], 2e-6),
        Unary::Log => (Some((0.2, 5.0)), &[0.0, 1.0, 1e-30, 1e30, -1.0, INF, -INF, NAN], 1e-6),
        Unary::Log1p => (Some((-0.6, 5.0)), &[0.0, 1e-6, -1e-20, -1.0, -1.5, 1e30, INF, NAN], 2e-6),
        Unary::Sqrt => (Some((0.2, 5.0)), &[0.0, 1.0, 4.0, 1e-30, 1e30, -1.0, INF, NAN], 1.2e-7),
        Unary::Rsqrt => (Some((0.2, 5.0)), &[0.0, 1.0, 4.0, 1e-30, 1e30, -1.0, INF, NAN], 1e-6),
        Unary::Tanh => (Some((-2.5, 2.5)), &[0.0, 1e-6, -1e-20, 20.0, -20.0, INF, -INF, NAN], 2e-6),
        Unary::Sigmoid => (Some((-4.0, 4.0)), &[0.0, 20.0, -20.0, -80.0, 1e30, INF, -INF, NAN], 2e-6),
        Unary::Softplus => (Some((-4.0, 4.0)), &[0.0, 20.0, 90.0, -20.0, -80.0, 1e30, INF, -INF, NAN], 2e-6),
        Unary::Erf => (Some((-2.0, 2.0)), &[0.0, 1e-6, -1e-20, 5.0, -5.0, INF, -INF, NAN], 2e-6),
        Unary::Erfinv => (Some((-0.9, 0.9)), &[0.0, 1e-6, 0.999999, -0.9999999, 1.0, -1.0, 1.5, NAN], 4e-6),
        Unary::Sin | Unary::Cos => (Some((-6.0, 6.0)), &[0.0, 1e-6, 30.0, -100.0, INF, -INF, NAN], 2e-6),
        Unary::Floor => (Some((0.1, 0.9)), &[0.0, 1.0, -1.0, 2.5, -0.5, 1e30, -1e30, INF, NAN], 0.0),
        Unary::IsFinite => (None, &[0.0, -1.0, 1e30, INF, -INF, NAN], 0.0),
        Unary::Not => {
            out.push(apply_unary(op, "bool", values.bools(&[37])));
            return;
        }
    };
    let absolute = if matches!(op, Unary::Sin | Unary::Cos) { 4e-7 } else { 0.0 };
    let within = |case: Case| if bound == 0.0 { case } else { case.close_absolute(bound, absolute) };
    if let Some((low, high)) = smooth {
        // 67 elements: whole vectors and a tail on every instruction set.
        let mut input = values.uniform(&[67], low, high);
        if let (Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor, crate::array::Data::Float(v)) =
            (op, &mut input.data)
        {
            for (i, x) in v.iter_mut().enumerate() {
                *x = if i % 2 == 0 { *x } else { -*x };
            }
        }
        out.push(within(apply_unary(op, "on its domain", input)).smooth());
    }
    // Special operands land at every position of a vector, and in the tail.
    let repeated: Vec<f64> = (0..67).map(|i| f64::from(special[i % special.len()] as f32)).collect();
    out.push(within(apply_unary(op, "at special values", Array::f32(&[67], repeated))));
    if op.accepts(DType::I32) {
        let mut edge = values.integers(&[30], -1000, 1000).i32s().to_vec();
        edge.extend([0, 1, -1, i32::MAX, i32::MIN]);
        out.push(apply_unary(op, "i32", Array::i32(&[35], edge)));
    }
}

fn apply_binary(op: Binary, name: &str, a: Array, b: Array) -> Case {
    Case::new(format!("{} {name}", op.name()), [a, b], move |_, x| vec![x[0].binary(op, &x[1])])
}

/// All pairs of the listed values, as two arrays.
fn pairs(values: &[f64]) -> (Array, Array) {
    let n = values.len();
    let rounded: Vec<f64> = values.iter().map(|&v| f64::from(v as f32)).collect();
    let a: Vec<f64> = (0..n * n).map(|i| rounded[i / n]).collect();
    let b: Vec<f64> = (0..n * n).map(|i| rounded[i % n]).collect();
    (Array::f32(&[n * n], a), Array::f32(&[n * n], b))
}

fn binary(op: Binary, out: &mut Vec<Case>) {
    let mut values = Values::new(0x0200 + op as u32);
    if op.accepts(DType::F32) {
        // Powers go through a logarithm and an exponential, whose errors multiply with the exponent.
        let bound = match op {
            Binary::Pow => 1e-5,
            Binary::Div => 1.2e-7,
            Binary::Add
            | Binary::Sub
            | Binary::Mul
            | Binary::Max
            | Binary::Min
            | Binary::Rem
            | Binary::And
            | Binary::Or
            | Binary::Xor
            | Binary::Shl
            | Binary::Shr => 0.0,
        };
        let within = |case: Case| if bound == 0.0 { case } else { case.close(bound) };
        let (a, b) = match op {
            Binary::Max | Binary::Min => (values.spaced(&[5, 13], 0.1), values.spaced(&[5, 13], 0.07)),
            Binary::Pow => (values.uniform(&[5, 13], 0.3, 3.0), values.uniform(&[5, 13], -2.0, 2.0)),
            _ => (values.uniform(&[5, 13], -3.0, 3.0), values.uniform(&[5, 13], 0.5, 3.0)),
        };
        out.push(within(apply_binary(op, "elements", a, b)).smooth());
        let (a, b) = match op {
            Binary::Pow => pairs(&[0.0, 1.0, 2.0, 0.5, 3.0, 10.0, INF]),
            _ => pairs(&[0.0, -0.0, 1.0, -1.0, 1e30, INF, -INF, NAN]),
        };
        out.push(within(apply_binary(op, "at special values", a, b)));
        let column = values.uniform(&[7, 1], 0.5, 2.0);
        let row = values.uniform(&[3, 1, 9], 0.6, 2.1);
        out.push(within(apply_binary(op, "broadcast both ways", column, row)).smooth());
        out.push(within(apply_binary(
            op,
            "with a scalar",
            values.uniform(&[3, 11], 0.5, 2.0),
            values.uniform(&[], 0.5, 2.0),
        )));
        out.push(
            within(Case::new(
                format!("{} with a constant", op.name()),
                [values.uniform(&[3, 11], 0.5, 2.0)],
                move |_, x| {
                    vec![x[0].binary(op, &x[0].full_like(1.5)), x[0].full_like(0.75).binary(op, &x[0])]
                },
            ))
            .smooth(),
        );
        out.push(
            within(Case::new(
                format!("{} with itself", op.name()),
                [values.uniform(&[21], 0.5, 2.0)],
                move |_, x| vec![x[0].binary(op, &x[0])],
            ))
            .smooth(),
        );
    }
    if op == Binary::Pow {
        // Integer exponents are defined on negative bases.
        let base = Array::f32(&[6], vec![-2.0, -1.5, -0.5, 0.5, 1.0, 2.5]);
        out.push(
            Case::new("pow of negative bases", [base], |_, x| {
                [2.0, 3.0, -1.0, 0.0, 1.0].iter().map(|&e| x[0].pow(&x[0].full_like(e))).collect()
            })
            .close(1e-5)
            .smooth(),
        );
    }
    if op.accepts(DType::I32) {
        let edge = [0, 1, -1, 2, 7, -7, 31, 33, 1_000_003, i32::MAX, i32::MIN];
        let n = edge.len();
        let a: Vec<i32> = (0..n * n).map(|i| edge[i / n]).collect();
        let b: Vec<i32> = (0..n * n).map(|i| edge[i % n]).collect();
        out.push(apply_binary(op, "i32", Array::i32(&[n * n], a), Array::i32(&[n * n], b)));
    }
    if op.accepts(DType::U32) {
        let edge = [0, 1, 2, 7, 31, 32, 33, 1_000_003, 1 << 31, u32::MAX];
        let n = edge.len();
        let a: Vec<u32> = (0..n * n).map(|i| edge[i / n]).collect();
        let b: Vec<u32> = (0..n * n).map(|i| edge[i % n]).collect();
        out.push(apply_binary(op, "u32", Array::u32(&[n * n], a), Array::u32(&[n * n], b)));
    }
    if op.accepts(DType::Bool) {
        let a = Array::bool(&[4], [false, false, true, true]);
        let b = Array::bool(&[4], [false, true, false, true]);
        out.push(apply_binary(op, "bool", a, b));
    }
}

fn compare(op: Compare, out: &mut Vec<Case>) {
    let mut values = Values::new(0x0300 + op as u32);
    let case = |name: &str, a: Array, b: Array| {
        Case::new(format!("{} {name}", op.name()), [a, b], move |g, x| {
            vec![g.push(Op::Compare(op), &[&x[0], &x[1]])]
        })
    };
    let (a, b) = pairs(&[0.0, -0.0, 1.0, -1.0, 1e30, INF, -INF, NAN]);
    out.push(case("f32", a, b));
    out.push(case("i32", values.integers(&[67], -3, 3), values.integers(&[67], -3, 3)));
    let wide = [0, 1, 1 << 31, u32::MAX];
    let a: Vec<u32> = (0..16).map(|i| wide[i / 4]).collect();
    let b: Vec<u32> = (0..16).map(|i| wide[i % 4]).collect();
    out.push(case("u32", Array::u32(&[16], a), Array::u32(&[16], b)));
    out.push(
        Case::new(
            format!("{} steers a product", op.name()),
            [values.spaced(&[23], 0.1), values.spaced(&[23], 0.07)],
            move |g, x| {
                let mask = g.push(Op::Compare(op), &[&x[0], &x[1]]).convert(DType::F32);
                vec![mask * &x[0] * &x[1]]
            },
        )
        .smooth(),
    );
}

fn select(out: &mut Vec<Case>) {
    let mut values = Values::new(0x0400);
    out.push(
        Case::new("select f32", [values.bools(&[67]), values.normal(&[67]), values.normal(&[67])], |_, x| {
            vec![x[0].select(&x[1], &x[2])]
        })
        .smooth(),
    );
    out.push(
        Case::new(
            "select broadcast",
            [values.bools(&[5, 1]), values.normal(&[1, 7]), values.normal(&[5, 7])],
            |_, x| vec![x[0].select(&x[1], &x[2]), x[0].select(&x[2], &x[2].zeros_like())],
        )
        .smooth(),
    );
    out.push(Case::new(
        "select keeps the branch not taken out",
        [Array::bool(&[4], [true, false, true, false]), Array::f32(&[4], vec![1.0, NAN, 2.0, INF])],
        |_, x| vec![x[0].select(&x[1], &x[1].zeros_like())],
    ));
    out.push(Case::new(
        "select i32, u32 and bool",
        [
            values.bools(&[19]),
            values.integers(&[19], -9, 9),
            values.integers(&[19], -9, 9),
            values.words(&[19]),
            values.words(&[19]),
            values.bools(&[19]),
            values.bools(&[19]),
        ],
        |_, x| {
            let c = &x[0];
            vec![c.select(&x[1], &x[2]), c.select(&x[3], &x[4]), c.select(&x[5], &x[6])]
        },
    ));
    out.push(Case::new("stop_gradient", [values.normal(&[9])], |_, x| vec![x[0].stop_gradient()]));
}

/// The activations written with primitives.
fn composite(out: &mut Vec<Case>) {
    let mut values = Values::new(0x0500);
    let special = Array::f32(&[6], vec![0.0, -0.0, 1e30, INF, NAN, -3.0]);
    for (name, f) in ACTIVATIONS {
        let input = values.spaced(&[67], 0.07);
        out.push(
            Case::new(format!("{name} elements"), [input], move |_, x| vec![f(&x[0])]).close(4e-6).smooth(),
        );
        let at = special.clone();
        out.push(
            Case::new(format!("{name} at special values"), [at], move |_, x| vec![f(&x[0])]).close(4e-6),
        );
    }
    out.push(
        Case::new("softmax", [values.normal(&[4, 11])], |_, x| vec![x[0].softmax()]).close(4e-6).smooth(),
    );
    let far = Array::f32(&[2, 3], vec![1e4, 1e4, -1e4, -INF, 0.0, 1.0]);
    out.push(Case::new("softmax far out", [far], |_, x| vec![x[0].softmax()]).close(4e-6));
    let mixed = Array::f32(&[3], vec![1.0, INF, 2.0]);
    out.push(Case::new("all_finite", [mixed, values.normal(&[3])], |_, x| {
        vec![x[0].all_finite(), x[1].all_finite()]
    }));
}

type Activation = (&'static str, fn(&crate::Tensor) -> crate::Tensor);

const ACTIVATIONS: &[Activation] = &[
    ("relu", |x| x.relu()),
    ("leaky_relu", |x| x.leaky_relu(0.2)),
    ("silu", |x| x.silu()),
    ("gelu", |x| x.gelu()),
    ("elu", |x| x.elu()),
    ("square", |x| x.square()),
];
