//! One or more cases for every op.

use super::{Builder, Case, Tolerance};
use ganymede_graph::ops::conv::ConvKind;
use ganymede_graph::ops::elementwise::{Binary, Compare, Unary};
use ganymede_graph::ops::reduce::Reduction;
use ganymede_graph::ops::window::WindowKind;
use ganymede_graph::{Array, ConvGeometry, ConvOptions, DType, Literal, Op, TensorType, WindowGeometry};

const TYPES: [DType; 5] = [DType::F32, DType::Bf16, DType::I32, DType::U32, DType::Bool];

/// Shapes on which elementwise ops are tried: a scalar, nothing, less and more than a vector, many blocks.
const SHAPES: [&[usize]; 5] = [&[], &[3, 0, 2], &[7], &[5, 33], &[3, 4, 517]];

/// Every case.
pub fn all() -> Vec<Case> {
    let mut list = Vec::new();
    elementwise(&mut list);
    movement(&mut list);
    reductions(&mut list);
    contractions(&mut list);
    windows(&mut list);
    indices(&mut list);
    sources(&mut list);
    limits(&mut list);
    list
}

fn tolerance(dtype: DType, usual: Tolerance) -> Tolerance {
    if dtype == DType::Bf16 { Tolerance::BF16 } else { usual }
}

fn elementwise(list: &mut Vec<Case>) {
    for unary in Unary::ALL {
        for dtype in TYPES.into_iter().filter(|&t| unary.accepts(t)) {
            for shape in SHAPES {
                let mut b = Builder::new(list.len() as u64);
                let mut x = match unary {
                    Unary::Log | Unary::Sqrt | Unary::Rsqrt => b.floats(shape, 0.01, 9.0),
                    Unary::Log1p => b.floats(shape, -0.9, 9.0),
                    Unary::Erfinv => b.floats(shape, -0.999, 0.999),
                    Unary::Exp | Unary::Expm1 | Unary::Softplus | Unary::Sigmoid => {
                        b.floats(shape, -20.0, 20.0)
                    }
                    _ => b.any(dtype, shape),
                };
                if dtype == DType::Bf16 {
                    x = x.convert(dtype);
                }
                let y = b.g.push(Op::Unary(unary), &[&x]);
                b.g.output("y", &y);
                let name = format!("{} {dtype}{shape:?}", unary.name());
                list.push(b.finish(name, tolerance(dtype, Tolerance::ELEMENT)));
            }
        }
    }
    special_values(list);
    for dtype in TYPES {
        for shape in SHAPES {
            for binary in Binary::ALL.into_iter().filter(|o| o.accepts(dtype)) {
                let mut b = Builder::new(list.len() as u64);
                let x = if binary == Binary::Pow {
                    b.floats(shape, 0.1, 3.0).convert(dtype)
                } else {
                    b.any(dtype, shape)
                };
                let y = b.any(dtype, shape);
                let z = b.g.push(Op::Binary(binary), &[&x, &y]);
                b.g.output("z", &z);
                let name = format!("{} {dtype}{shape:?}", binary.name());
                list.push(b.finish(name, tolerance(dtype, Tolerance::ELEMENT)));
            }
            if dtype != DType::Bool {
                for compare in Compare::ALL {
                    let mut b = Builder::new(list.len() as u64);
                    let x = b.any(dtype, shape);
                    // Some equal elements.
                    let choice = b.bools(shape);
                    let y = choice.select(&x, &b.any(dtype, shape));
                    let z = b.g.push(Op::Compare(compare), &[&x, &y]);
                    b.g.output("z", &z);
                    list.push(b.finish(format!("{} {dtype}{shape:?}", compare.name()), Tolerance::ELEMENT));
                }
            }
            let mut b = Builder::new(list.len() as u64);
            let c = b.bools(shape);
            let (x, y) = (b.any(dtype, shape), b.any(dtype, shape));
            b.g.output("z", &c.select(&x, &y));
            list.push(b.finish(format!("select {dtype}{shape:?}"), tolerance(dtype, Tolerance::ELEMENT)));
            for to in TYPES {
                let mut b = Builder::new(list.len() as u64);
                let x = b.any(dtype, shape);
                b.g.output("y", &x.convert(to));
                let loose = if dtype == DType::Bf16 { dtype } else { to };
                list.push(b.finish(
                    format!("convert {dtype}{shape:?} to {to}"),
                    tolerance(loose, Tolerance::ELEMENT),
                ));
            }
        }
    }
    let mut b = Builder::new(5);
    let x = b.normal(&[4, 4]);
    b.g.output("y", &x.stop_gradient());
    list.push(b.finish("stop_gradient", Tolerance::ELEMENT));
}

/// NaN, infinities, zeros and extremes through every op on floats and integers.
fn special_values(list: &mut Vec<Case>) {
    let odd = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        3e38,
        -3e38,
        1e-30,
        2147483648.0,
        4294967296.0,
    ];
    let n = odd.len();
    for unary in Unary::ALL.into_iter().filter(|u| u.accepts(DType::F32)) {
        // Rounded away from where f32 and f64 differ by kind: trigonometry of numbers beyond its stated range.
        if matches!(unary, Unary::Sin | Unary::Cos) {
            continue;
        }
        let mut b = Builder::new(1);
        let x = b.feed(Array::f32(&[n], odd.map(|v| f64::from(v as f32)).to_vec()));
        b.g.output("y", &b.g.push(Op::Unary(unary), &[&x]));
        list.push(b.finish(format!("{} of odd values", unary.name()), Tolerance::ELEMENT));
    }
    let pairs: Vec<(f64, f64)> = odd.iter().flat_map(|&x| odd.iter().map(move |&y| (x, y))).collect();
    let side = |f: fn(&(f64, f64)) -> f64| pairs.iter().map(|p| f64::from(f(p) as f32)).collect::<Vec<_>>();
    let (left, right) = (side(|p| p.0), side(|p| p.1));
    for binary in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min] {
        let mut b = Builder::new(1);
        let x = b.feed(Array::f32(&[n * n], left.clone()));
        let y = b.feed(Array::f32(&[n * n], right.clone()));
        b.g.output("z", &b.g.push(Op::Binary(binary), &[&x, &y]));
        list.push(b.finish(format!("{} of odd values", binary.name()), Tolerance::ELEMENT));
    }
    for compare in Compare::ALL {
        let mut b = Builder::new(1);
        let x = b.feed(Array::f32(&[n * n], left.clone()));
        let y = b.feed(Array::f32(&[n * n], right.clone()));
        b.g.output("z", &b.g.push(Op::Compare(compare), &[&x, &y]));
        list.push(b.finish(format!("{} of odd values", compare.name()), Tolerance::ELEMENT));
    }
    for to in [DType::I32, DType::U32, DType::Bool] {
        let mut b = Builder::new(1);
        let x = b.feed(Array::f32(&[n], odd.map(|v| f64::from(v as f32)).to_vec()));
        b.g.output("y", &x.convert(to));
        list.push(b.finish(format!("convert odd values to {to}"), Tolerance::ELEMENT));
    }
    let odd = [i32::MIN, i32::MAX, -1, 0, 1, 31, 32, 33, -7];
    let n = odd.len();
    let pairs: Vec<(i32, i32)> = odd.iter().flat_map(|&x| odd.iter().map(move |&y| (x, y))).collect();
    for binary in Binary::ALL.into_iter().filter(|b| b.accepts(DType::I32)) {
        let mut b = Builder::new(1);
        let x = b.feed(Array::i32(&[n * n], pairs.iter().map(|p| p.0).collect::<Vec<_>>()));
        let y = b.feed(Array::i32(&[n * n], pairs.iter().map(|p| p.1).collect::<Vec<_>>()));
        b.g.output("i", &b.g.push(Op::Binary(binary), &[&x, &y]));
        let (x, y) = (x.convert(DType::U32), y.convert(DType::U32));
        b.g.output("u", &b.g.push(Op::Binary(binary), &[&x, &y]));
        list.push(b.finish(format!("{} of odd integers", binary.name()), Tolerance::ELEMENT));
    }
}

fn movement(list: &mut Vec<Case>) {
    type Move = fn(&ganymede_graph::Tensor) -> ganymede_graph::Tensor;
    let moves: Vec<(&str, &[usize], Move)> = vec![
        ("reshape", &[4, 6], |x| x.reshape(&[2, 12])),
        ("reshape across", &[6, 4], |x| x.reshape(&[4, 6])),
        ("reshape scalar", &[1, 1], |x| x.reshape(&[])),
        ("reshape nothing", &[0, 3], |x| x.reshape(&[3, 0])),
        ("broadcast scalar", &[], |x| x.broadcast_to(&[3, 5])),
        ("broadcast rows", &[5], |x| x.broadcast_to(&[40, 5])),
        ("broadcast columns", &[40], |x| x.broadcast_axes(&[40, 70], &[0])),
        ("broadcast middle", &[3, 1, 4], |x| x.broadcast_to(&[2, 3, 6, 4])),
        ("transpose", &[37, 70], |x| x.transpose(&[1, 0])),
        ("transpose outer", &[3, 5, 17], |x| x.transpose(&[1, 0, 2])),
        ("transpose four", &[3, 4, 5, 6], |x| x.transpose(&[3, 1, 0, 2])),
        ("transpose large", &[130, 90], |x| x.transpose(&[1, 0])),
        ("slice", &[9, 8], |x| x.slice_strided(&[1, 2], &[8, 7], &[2, 3])),
        ("slice rows", &[9, 8], |x| x.slice(0, 2, 5)),
        ("slice nothing", &[9, 8], |x| x.slice(0, 2, 2)),
        ("slice view inside", &[1, 9, 8], |x| x.slice(1, 3, 7)),
        ("pad", &[3, 4], |x| x.pad(&[1, 0], &[2, 3], &[0, 2])),
        ("pad nothing", &[0, 4], |x| x.pad(&[1, 0], &[2, 0], &[0, 0])),
        ("pad scalar", &[], |x| x.pad(&[], &[], &[])),
        ("reverse", &[5, 7], |x| x.reverse(&[0, 1])),
        ("reverse last", &[2, 40], |x| x.reverse(&[1])),
        ("view of a slice", &[6, 10], |x| x.slice(0, 1, 4).reshape(&[5, 6]).transpose(&[1, 0])),
    ];
    for (name, shape, apply) in &moves {
        for dtype in [DType::F32, DType::I32, DType::Bool] {
            // From memory; from arithmetic; in the middle of arithmetic with two users.
            for form in 0..3 {
                let mut b = Builder::new(list.len() as u64);
                let x = b.any(dtype, shape);
                let before = |x: &ganymede_graph::Tensor| match dtype {
                    DType::Bool => x.not(),
                    _ => x * &x.full_like(3.0),
                };
                let y = match form {
                    0 => apply(&x),
                    1 => apply(&before(&x)),
                    _ => {
                        let inner = before(&x);
                        b.g.output("inner", &before(&inner));
                        before(&apply(&inner))
                    }
                };
                b.g.output("y", &y);
                list.push(b.finish(format!("{name} {dtype} form {form}"), Tolerance::ELEMENT));
            }
        }
    }
    for shapes in [vec![[3, 4], [3, 5], [3, 1]], vec![[2, 3], [2, 0], [2, 3]], vec![[1, 64], [1, 64], [1, 2]]]
    {
        let mut b = Builder::new(list.len() as u64);
        let parts: Vec<_> = shapes.iter().map(|s| b.normal(s)).collect();
        let doubled: Vec<_> = parts.iter().map(|p| p * 2.0).collect();
        b.g.output("y", &ganymede_graph::Tensor::concat(&parts.iter().collect::<Vec<_>>(), 1));
        b.g.output("z", &ganymede_graph::Tensor::concat(&doubled.iter().collect::<Vec<_>>(), 1));
        list.push(b.finish(format!("concat {shapes:?}"), Tolerance::ELEMENT));
    }
    let mut b = Builder::new(3);
    let (x, y) = (b.normal(&[3, 4]), b.normal(&[2, 4]));
    b.g.output("y", &ganymede_graph::Tensor::concat(&[&x, &y, &x], 0));
    list.push(b.finish("concat rows, one twice", Tolerance::ELEMENT));
}

fn reductions(list: &mut Vec<Case>) {
    let shapes: [(&[usize], &[usize]); 12] = [
        (&[9], &[0]),
        (&[40, 33], &[0]),
        (&[40, 33], &[1]),
        (&[40, 33], &[0, 1]),
        (&[6, 5, 7, 16], &[0, 1, 2]),
        (&[6, 5, 7, 16], &[1, 3]),
        (&[600, 3], &[0]),
        (&[3, 5000], &[1]),
        (&[20000], &[0]),
        (&[0, 3], &[0]),
        (&[3, 0], &[0]),
        (&[2, 3], &[]),
    ];
    for (shape, axes) in shapes {
        for dtype in [DType::F32, DType::Bf16, DType::I32, DType::U32] {
            for kind in [Reduction::Sum, Reduction::Max, Reduction::Min] {
                let mut b = Builder::new(list.len() as u64);
                let x = b.any(dtype, shape);
                let op = Op::Reduce { kind, axes: axes.to_vec() };
                b.g.output("y", &b.g.push(op.clone(), &[&x]));
                // With a prologue, and beside a store over the same domain.
                let z = &x + &x;
                b.g.output("z", &z);
                b.g.output("of z", &b.g.push(op, &[&z]));
                let name = format!("reduce_{} {dtype}{shape:?} over {axes:?}", kind.name());
                list.push(b.finish(name, tolerance(dtype, Tolerance::SUM)));
            }
        }
        if shape.contains(&0) {
            continue;
        }
        for with_mean in [false, true] {
            let mut b = Builder::new(list.len() as u64);
            let x = b.floats(shape, 99.0, 101.0);
            b.g.output("variance", &x.variance(axes));
            if with_mean {
                b.g.output("mean", &x.mean(axes));
            }
            let name = format!("variance {shape:?} over {axes:?}, mean: {with_mean}");
            list.push(b.finish(name, Tolerance::SUM));
        }
        for &axis in axes {
            for dtype in [DType::F32, DType::I32, DType::U32] {
                let mut b = Builder::new(list.len() as u64);
                let x = b.any(dtype, shape);
                b.g.output("y", &x.argmax(axis));
                list.push(b.finish(format!("argmax {dtype}{shape:?} along {axis}"), Tolerance::ELEMENT));
            }
        }
    }
    let mut b = Builder::new(1);
    let x = b.feed(Array::f32(&[2, 3], vec![1.0, f64::NAN, 3.0, -1.0, f64::INFINITY, 2.0]));
    b.g.output("max", &x.max(&[1]));
    b.g.output("min", &x.min(&[1]));
    b.g.output("sum", &x.sum(&[1]));
    b.g.output("argmax", &x.argmax(1));
    list.push(b.finish("reductions of NaN", Tolerance::SUM));
}

fn contractions(list: &mut Vec<Case>) {
    for (batch, m, k, n) in [
        (&[][..], 5, 7, 3),
        (&[][..], 1, 300, 40),
        (&[][..], 70, 33, 1),
        (&[2, 3][..], 9, 17, 20),
        (&[][..], 3, 0, 2),
        (&[2][..], 9, 1, 20),
        (&[0][..], 2, 3, 4),
    ] {
        for (trans_a, trans_b) in [(false, false), (true, false), (false, true), (true, true)] {
            for dtype in [DType::F32, DType::Bf16] {
                let mut b = Builder::new(list.len() as u64);
                let shape = |r: usize, c: usize, t: bool| [batch, &if t { [c, r] } else { [r, c] }].concat();
                let x = b.any(dtype, &shape(m, k, trans_a));
                let y = b.any(dtype, &shape(k, n, trans_b));
                b.g.output("z", &x.matmul_with(&y, trans_a, trans_b));
                let name = format!("matmul {dtype} {batch:?} {m}x{k}x{n} {trans_a} {trans_b}");
                let bf16 = dtype == DType::Bf16;
                list.push(b.finish(name, if bf16 { Tolerance::BF16_SUM } else { Tolerance::SUM }));
            }
        }
    }
    let o = ConvOptions::default;
    let geometries = [
        (3, [6, 7], 4, 5, [3, 3], o().pad(1)),
        (2, [9, 8], 1, 16, [5, 5], o().stride(2).pad(2)),
        (2, [8, 8], 16, 33, [4, 4], o().stride(2).pad(1)),
        (1, [7, 7], 3, 4, [3, 2], o().pad_asymmetric(0, 1).dilation(2)),
        (2, [6, 6], 8, 12, [3, 3], o().groups(4).pad(1)),
        (2, [6, 5], 6, 6, [3, 3], o().groups(6).pad(1).stride(2)),
        (2, [1, 20], 3, 7, [1, 5], o().stride(3)),
        (2, [5, 5], 32, 1, [5, 5], o().pad(2)),
        (0, [5, 5], 2, 3, [3, 3], o()),
    ];
    for (n, input, c_in, c_out, kernel, options) in geometries {
        let geometry = ConvGeometry { input, kernel, options };
        let [oh, ow] = geometry.output().unwrap();
        for kind in [ConvKind::Forward, ConvKind::InputGrad, ConvKind::WeightGrad] {
            for dtype in [DType::F32, DType::Bf16] {
                let mut b = Builder::new(list.len() as u64);
                let x = b.any(dtype, &[n, input[0], input[1], c_in]);
                let w = b.any(dtype, &[kernel[0], kernel[1], c_in / options.groups, c_out]);
                let y = b.any(dtype, &[n, oh, ow, c_out]);
                let result = match kind {
                    ConvKind::Forward => x.conv_triad(kind, geometry, &w),
                    ConvKind::InputGrad => y.conv_triad(kind, geometry, &w),
                    ConvKind::WeightGrad => x.conv_triad(kind, geometry, &y),
                };
                b.g.output("z", &result);
                let name = format!("{} {dtype} {n}x{input:?} {c_in} to {c_out}, {options:?}", kind.name());
                let bf16 = dtype == DType::Bf16;
                list.push(b.finish(name, if bf16 { Tolerance::BF16_SUM } else { Tolerance::SUM }));
            }
        }
    }
}

fn windows(list: &mut Vec<Case>) {
    for (window, stride, pad) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)] {
        let geometry = WindowGeometry {
            input: [7, 8],
            window: [window; 2],
            stride: [stride; 2],
            pad_low: [pad; 2],
            pad_high: [pad; 2],
        };
        let [oh, ow] = geometry.output().unwrap();
        let mut b = Builder::new(list.len() as u64);
        let x = b.normal(&[2, 7, 8, 19]);
        let g = b.normal(&[2, oh, ow, 19]);
        let index = x.window(WindowKind::ArgMax, geometry, None);
        b.g.output("index", &index);
        b.g.output("pooled", &x.window(WindowKind::Gather, geometry, Some(&index)));
        b.g.output("scattered", &g.window(WindowKind::Scatter, geometry, Some(&index)));
        list.push(b.finish(format!("windows {window} {stride} {pad}"), Tolerance::SUM));
    }
}

fn indices(list: &mut Vec<Case>) {
    for (leading, rows, picks, width) in
        [(&[][..], 6, 9, &[5][..]), (&[3], 4, 7, &[2, 3]), (&[2, 2], 3, 2, &[]), (&[], 5, 0, &[4])]
    {
        let batch = leading.len();
        let mut b = Builder::new(list.len() as u64);
        let table = b.normal(&[leading, &[rows], width].concat());
        let values = b.normal(&[leading, &[picks], width].concat());
        // Some out of range, some repeated.
        let index = b.ints(&[leading, &[picks]].concat(), -2, rows as i32 + 2);
        b.g.output("gathered", &table.gather(&index, batch));
        b.g.output("added", &values.scatter_add(&index, batch, rows));
        list.push(
            b.finish(format!("gather and scatter_add {leading:?} {rows} {picks} {width:?}"), Tolerance::SUM),
        );
    }
    for dtype in [DType::F32, DType::I32, DType::U32] {
        for shape in [&[40][..], &[3, 17], &[2, 0], &[1, 1]] {
            let mut b = Builder::new(list.len() as u64);
            let x = b.any(dtype, shape);
            b.g.output("order", &x.argsort());
            list.push(b.finish(format!("argsort {dtype}{shape:?}"), Tolerance::ELEMENT));
        }
    }
}

fn sources(list: &mut Vec<Case>) {
    for axis in 0..3 {
        let b = Builder::new(1);
        let i = b.g.iota(&[3, 4, 5], axis);
        b.g.output("iota", &i);
        b.g.output("moved", &i.transpose(&[2, 0, 1]).reverse(&[1]).slice(0, 1, 4).convert(DType::F32));
        list.push(b.finish(format!("iota along {axis}"), Tolerance::ELEMENT));
    }
    let mut b = Builder::new(1);
    let key = b.feed(Array::u32(&[2], vec![12, 3456]));
    let first = b.feed(Array::u32(&[2], vec![u32::MAX - 1, 7]));
    b.g.output("bits", &b.g.random_bits(&key, &first, 9, &[4, 3, 5]));
    b.g.output("uniform", &b.g.random_uniform(&key, &first, 9, &[40]));
    list.push(b.finish("philox", Tolerance::ELEMENT));
    let mut b = Builder::new(1);
    let key = b.feed(Array::u32(&[2], vec![12, 3456]));
    let first = b.feed(Array::u32(&[2], vec![0, 7]));
    // The inverse error function magnifies the rounding of its argument in the tails.
    b.g.output("normal", &b.g.random_normal(&key, &first, 10, &[5, 70]));
    list.push(b.finish("random_normal", Tolerance::GRAPH));
    let mut b = Builder::new(1);
    let table = b.g.constant_f32(&[2, 3], &[0.1, -2.0, 3.0, 4.5, 0.0, 6.0]);
    let flags = b.g.constant(TensorType::new(DType::Bool, [3]), Literal::Bool([true, false, true].into()));
    b.g.output("itself", &table);
    b.g.output("again", &table);
    b.g.output("scalar", &b.g.scalar(2.5));
    b.g.output("full", &b.g.full(&[3, 2], 7.0));
    b.g.output("flags", &flags);
    let x = b.normal(&[2, 3]);
    b.g.output("chosen", &flags.broadcast_to(&[2, 3]).select(&x, &table));
    b.g.output("product", &x.matmul(&b.g.full(&[3, 2], 0.5)));
    list.push(b.finish("constants", Tolerance::SUM));
}

/// What does not fit into one pass.
fn limits(list: &mut Vec<Case>) {
    let mut b = Builder::new(1);
    let x = b.normal(&[3, 700]);
    let mut y = x.clone();
    for k in 0..400 {
        y = (&y * 0.9 + &x * 0.01 * f64::from(k % 7)).maximum(&(&y * 0.5));
    }
    b.g.output("y", &y);
    b.g.output("sum", &y.sum(&[1]));
    list.push(b.finish("a long chain", Tolerance::GRAPH));

    let mut b = Builder::new(2);
    let parts: Vec<_> = (0..60).map(|_| b.normal(&[2000])).collect();
    let sum = parts.iter().skip(1).fold(parts[0].tanh(), |sum, x| &sum * 0.9 + x.tanh());
    b.g.output("y", &sum);
    b.g.output("total", &sum.sum_all());
    list.push(b.finish("many operands", Tolerance::GRAPH));

    // Shapes without common factors in one expression.
    let mut b = Builder::new(3);
    let x = b.normal(&[6, 35]);
    let y = (&x * 2.0).reshape(&[10, 21]) + b.normal(&[21]);
    let z = (&y * 3.0).reshape(&[15, 14]) * b.normal(&[14]);
    b.g.output("z", &z);
    b.g.output("columns", &(&z - 1.0).reshape(&[6, 35]).sum(&[0]));
    list.push(b.finish("reshapes without common factors", Tolerance::GRAPH));

    // One value under several maps.
    let mut b = Builder::new(4);
    let x = b.normal(&[40, 40]);
    let y = (&x * 2.0).exp();
    let turned = y.transpose(&[1, 0]) - y.reverse(&[0]) * y.slice(0, 3, 4).reshape(&[40]);
    b.g.output("z", &(turned + y));
    list.push(b.finish("one value under several maps", Tolerance::GRAPH));
}
