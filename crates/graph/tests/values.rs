//! The interpreter itself against values known otherwise: by hand, from tables, from published test vectors.

use ganymede_graph::ops::elementwise::Unary;
use ganymede_graph::{Array, DType, Graph, Precision, Tensor, TensorType, interpret};
use ganymede_kernels::random::philox4x32;
use std::collections::HashMap;

/// One result of arrays, in f32.
fn value(inputs: &[Array], f: impl Fn(&Graph, &[Tensor]) -> Tensor) -> Array {
    let graph = Graph::new();
    let operands: Vec<Tensor> =
        inputs.iter().enumerate().map(|(i, a)| graph.feed(&i.to_string(), a.ty.clone())).collect();
    graph.output("y", &f(&graph, &operands));
    let feeds = inputs.iter().enumerate().map(|(i, a)| (i.to_string(), a.clone())).collect();
    interpret(&graph.finish().unwrap(), &feeds, Precision::F32).unwrap().outputs["y"].clone()
}

fn counting(shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    Array::f32(shape, (0..n).map(|i| i as f64).collect::<Vec<_>>())
}

#[test]
fn functions_at_tabulated_points() {
    // Abramowitz and Stegun, tables 4 and 7, and exact identities.
    let known = [
        (Unary::Exp, 1.0, std::f64::consts::E),
        (Unary::Expm1, 1e-10, 1.000_000_000_05e-10),
        (Unary::Log, 10.0, std::f64::consts::LN_10),
        (Unary::Log1p, 1e-10, 9.999_999_999_5e-11),
        (Unary::Sqrt, 2.0, std::f64::consts::SQRT_2),
        (Unary::Rsqrt, 2.0, std::f64::consts::FRAC_1_SQRT_2),
        (Unary::Tanh, 0.5, 0.462_117_157_260_009_8),
        (Unary::Sigmoid, 3f64.ln(), 0.75),
        (Unary::Sigmoid, -(3f64.ln()), 0.25),
        (Unary::Softplus, 0.0, std::f64::consts::LN_2),
        (Unary::Softplus, 800.0, 800.0),
        (Unary::Erf, 0.5, 0.520_499_877_813_046_5),
        (Unary::Erf, 1.0, 0.842_700_792_949_714_9),
        (Unary::Erfinv, 0.520_499_877_813_046_5, 0.5),
        (Unary::Sin, std::f64::consts::FRAC_PI_6, 0.5),
        (Unary::Cos, std::f64::consts::FRAC_PI_3, 0.5),
        (Unary::Floor, -1.5, -2.0),
        (Unary::Neg, 2.0, -2.0),
        (Unary::Abs, -2.0, 2.0),
        (Unary::Sign, -3.0, -1.0),
    ];
    for (op, x, y) in known {
        assert!((op.real(x) - y).abs() <= 2e-15 * y.abs(), "{}({x}) = {}, not {y}", op.name(), op.real(x));
    }
}

#[test]
fn integers_wrap_and_divide_by_zero_to_zero() {
    let a = Array::i32(&[6], [i32::MAX, i32::MIN, i32::MIN, 7, -7, 5]);
    let b = Array::i32(&[6], [1, -1, 0, -2, 2, 0]);
    let pair = [a, b];
    assert_eq!(value(&pair, |_, x| &x[0] + &x[1]).i32s(), [i32::MIN, i32::MAX, i32::MIN, 5, -5, 5]);
    assert_eq!(value(&pair, |_, x| &x[0] / &x[1]).i32s(), [i32::MAX, i32::MIN, 0, -3, -3, 0]);
    assert_eq!(value(&pair, |_, x| x[0].rem(&x[1])).i32s(), [0, 0, 0, 1, -1, 0]);
}

#[test]
fn conversions_truncate_and_saturate() {
    let x = Array::f32(&[7], vec![1.9, -1.9, 3e9, -3e9, 5e9, f64::NAN, -0.0]);
    let x = std::slice::from_ref(&x);
    assert_eq!(value(x, |_, x| x[0].convert(DType::I32)).i32s(), [1, -1, i32::MAX, i32::MIN, i32::MAX, 0, 0]);
    assert_eq!(value(x, |_, x| x[0].convert(DType::U32)).u32s(), [1, 0, 3_000_000_000, 0, u32::MAX, 0, 0]);
    assert_eq!(
        value(x, |_, x| x[0].convert(DType::Bool)).bools(),
        [true, true, true, true, true, true, false]
    );
    let n = Array::i32(&[2], [-1, 16_777_217]);
    assert_eq!(
        value(std::slice::from_ref(&n), |_, x| x[0].convert(DType::U32)).u32s(),
        [u32::MAX, 16_777_217]
    );
    assert_eq!(value(&[n], |_, x| x[0].convert(DType::F32)).floats(), [-1.0, 16_777_216.0]);
}

#[test]
fn movement_by_hand() {
    let x = counting(&[2, 3]);
    let x = std::slice::from_ref(&x);
    assert_eq!(value(x, |_, x| x[0].transpose(&[1, 0])).floats(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(value(x, |_, x| x[0].reverse(&[1])).floats(), [2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
    assert_eq!(value(x, |_, x| x[0].slice_strided(&[0, 0], &[2, 3], &[1, 2])).floats(), [0.0, 2.0, 3.0, 5.0]);
    let padded = value(x, |_, x| x[0].slice(0, 1, 2).pad(&[1, 1], &[0, 2], &[0, 1]));
    assert_eq!(padded.ty, TensorType::f32([2, 8]));
    assert_eq!(padded.floats()[8..], [0.0, 3.0, 0.0, 4.0, 0.0, 5.0, 0.0, 0.0]);
    assert_eq!(padded.floats()[..8], [0.0; 8]);
    assert_eq!(value(x, |_, x| x[0].slice(1, 0, 1).broadcast_to(&[2, 2])).floats(), [0.0, 0.0, 3.0, 3.0]);
    assert_eq!(
        value(x, |_, x| x[0].slice(0, 1, 2).reshape(&[3]).broadcast_axes(&[3, 2], &[0])).floats(),
        [3.0, 3.0, 4.0, 4.0, 5.0, 5.0]
    );
    assert_eq!(
        value(x, |_, x| Tensor::concat(&[&x[0], &x[0].slice(1, 0, 1)], 1)).floats(),
        [0.0, 1.0, 2.0, 0.0, 3.0, 4.0, 5.0, 3.0]
    );
    assert_eq!(value(&[], |g, _| g.iota(&[2, 3], 1)).i32s(), [0, 1, 2, 0, 1, 2]);
}

#[test]
fn reductions_by_hand() {
    let x = counting(&[2, 3]);
    let x = std::slice::from_ref(&x);
    assert_eq!(value(x, |_, x| x[0].sum(&[0])).floats(), [3.0, 5.0, 7.0]);
    assert_eq!(value(x, |_, x| x[0].max(&[1])).floats(), [2.0, 5.0]);
    assert_eq!(value(x, |_, x| x[0].mean_all()).floats(), [2.5]);
    assert_eq!(value(x, |_, x| x[0].variance(&[0])).floats(), [2.25; 3]);
    assert_eq!(value(x, |_, x| x[0].argmax(0)).i32s(), [1; 3]);
    let none = Array::f32(&[0, 2], vec![]);
    let none = std::slice::from_ref(&none);
    let sum = value(none, |_, x| x[0].sum(&[0]));
    // +0, not the -0 with which an empty sum may begin.
    assert!(sum.floats().iter().all(|v| v.to_bits() == 0));
    assert_eq!(value(none, |_, x| x[0].max(&[0])).floats(), [f64::NEG_INFINITY; 2]);
    assert_eq!(value(none, |_, x| x[0].min(&[0])).floats(), [f64::INFINITY; 2]);
}

#[test]
fn windows_sorting_and_gathering_by_hand() {
    let image = Array::f32(&[1, 3, 3, 1], vec![1.0, 5.0, 2.0, 5.0, 0.0, 9.0, 4.0, 9.0, f64::NAN]);
    let pooled = value(std::slice::from_ref(&image), |_, x| x[0].max_pool2d(2, 1, 0));
    assert_eq!(pooled.floats()[..3], [5.0, 9.0, 9.0]);
    assert!(pooled.floats()[3].is_nan());
    let x = Array::f32(&[1, 6], vec![3.0, f64::NAN, -1.0, 3.0, f64::NEG_INFINITY, f64::NAN]);
    assert_eq!(value(&[x], |_, x| x[0].argsort()).i32s(), [4, 2, 0, 3, 1, 5]);
    let (table, index) = (counting(&[3, 2]), Array::i32(&[4], [2, -7, 1, 99]));
    let pair = [table, index];
    assert_eq!(value(&pair, |_, x| x[0].gather(&x[1], 0)).floats(), [4.0, 5.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let (rows, index) = (counting(&[4]), Array::i32(&[4], [2, 0, 2, -1]));
    assert_eq!(value(&[rows, index], |_, x| x[0].scatter_add(&x[1], 0, 3)).floats(), [4.0, 0.0, 2.0]);
}

#[test]
fn bilinear_doubling_is_linear_between_pixel_centres() {
    let row = Array::f32(&[1, 1, 3, 1], vec![0.0, 4.0, 8.0]);
    let up = value(&[row], |_, x| x[0].upsample_bilinear2());
    assert_eq!(up.ty, TensorType::f32([1, 2, 6, 1]));
    assert_eq!(up.floats()[..6], [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]);
}

/// Known answers of the authors' library Random123 (kat_vectors, philox4x32 10).
#[test]
fn philox_known_answers() {
    let known = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for (counter, key, expected) in known {
        assert_eq!(philox4x32(counter, key), expected);
    }
    let zero = || Array::u32(&[2], [0, 0]);
    let words = value(&[zero(), zero()], |g, x| g.random_bits(&x[0], &x[1], 0, &[1, 4]));
    assert_eq!(words.u32s(), known[0].2);
}

#[test]
fn random_words_count_by_row_and_not_by_batch() {
    let key = || Array::u32(&[2], [3, 4]);
    let bits = |first: [u32; 2], rows: usize| {
        value(&[key(), Array::u32(&[2], first)], move |g, x| g.random_bits(&x[0], &x[1], 5, &[rows, 7]))
            .u32s()
            .to_vec()
    };
    let all = bits([u32::MAX - 1, 0], 4);
    assert_eq!(bits([u32::MAX, 0], 1), all[7..14]);
    // The index carries into its high word.
    assert_eq!(bits([0, 1], 2), all[14..]);
    // Element e of row i is word e % 4 of the counter (e / 4, i, stream).
    assert_eq!(all[5], philox4x32([1, u32::MAX - 1, 0, 5], [3, 4])[1]);
}

#[test]
fn uniforms_stay_inside_the_open_interval() {
    // The first word of sample FIRST has its 24 leading bits set: one bit more than an f32 can halve.
    let first = Array::u32(&[2], [FIRST, 0]);
    let seed = [Array::u32(&[2], [0, 0]), first];
    assert_eq!(value(&seed, |g, x| g.random_bits(&x[0], &x[1], 0, &[1])).u32s()[0] >> 8, 0x00ff_ffff);
    let u = value(&seed, |g, x| g.random_uniform(&x[0], &x[1], 0, &[1])).floats()[0];
    assert_eq!(u, 1.0 - 1.0 / 16_777_216.0);
    let normal = value(&seed, |g, x| g.random_normal(&x[0], &x[1], 0, &[1])).floats()[0];
    assert!((5.0..5.5).contains(&normal), "{normal}");
}

const FIRST: u32 = 5150801;

#[test]
fn uniforms_and_normals_have_their_moments() {
    let seed = [Array::u32(&[2], [1, 2]), Array::u32(&[2], [0, 0])];
    let moments = |v: &[f64]| {
        let n = v.len() as f64;
        let mean = v.iter().sum::<f64>() / n;
        (
            mean,
            v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n,
            v.iter().map(|x| x.powi(4)).sum::<f64>() / n,
        )
    };
    let uniform = value(&seed, |g, x| g.random_uniform(&x[0], &x[1], 0, &[400, 100]));
    let (mean, variance, _) = moments(uniform.floats());
    assert!((mean - 0.5).abs() < 0.006 && (variance - 1.0 / 12.0).abs() < 0.002, "{mean} {variance}");
    let normal = value(&seed, |g, x| g.random_normal(&x[0], &x[1], 0, &[400, 100]));
    let (mean, variance, fourth) = moments(normal.floats());
    assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03 && (fourth - 3.0).abs() < 0.2);
}

#[test]
fn inputs_must_be_there_and_of_their_type() {
    let graph = Graph::new();
    let x = graph.feed("x", TensorType::f32([2]));
    graph.output("y", &x);
    let f = graph.finish().unwrap();
    let error = interpret(&f, &HashMap::new(), Precision::F32).unwrap_err().to_string();
    assert_eq!(error, "interpret: no value for input `x`");
    let wrong = HashMap::from([("x".to_string(), counting(&[3]))]);
    let error = interpret(&f, &wrong, Precision::F32).unwrap_err().to_string();
    assert_eq!(error, "interpret: input `x` is f32[2], got f32[3]");
}
