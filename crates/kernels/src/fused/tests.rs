//! Fused kernels against the contraction and the pass one after the other: elementwise results bit for bit, sums
//! within the rounding of another order.

use super::{Contraction, Fused};
use crate::conv::{Algorithm, ConvForward, ConvInputGrad, ConvShape};
use crate::gemm::{MatMul, MatMulShape};
use crate::isa::Isa;
use crate::kernel::Element;
use crate::pass::epilogue::Epilogue;
use crate::pass::harness::{Noise, outputs};
use crate::pass::{BinaryOp, Instr, Lane, Load, Pass, PassSpec, Reduce, ReduceOp, Store, UnaryOp};

/// A contraction and the shape of its result as a pass sees it: rows, columns.
type Made = (Box<dyn Contraction>, [usize; 2]);

fn matmul(isa: Isa, batch: usize, [m, n, k]: [usize; 3], [trans_a, trans_b]: [bool; 2]) -> Made {
    let shape = MatMulShape { batch, m, n, k, trans_a, trans_b, a_batched: true, b_batched: true };
    (Box::new(MatMul::new(isa, shape)), [batch * m, n])
}

fn conv(isa: Isa, shape: &ConvShape) -> Vec<Made> {
    let pixels = |h: usize, w: usize| shape.batch * h * w;
    let forward = ConvForward::new(isa, *shape, Algorithm::Any).expect("valid");
    let input_grad = ConvInputGrad::new(isa, *shape, Algorithm::Any).expect("valid");
    vec![
        (Box::new(forward), [pixels(shape.out_h(), shape.out_w()), shape.out_c]),
        (Box::new(input_grad), [pixels(shape.in_h, shape.in_w), shape.in_c]),
    ]
}

fn square(batch: usize, size: usize, [in_c, out_c]: [usize; 2], kernel: usize, stride: usize) -> ConvShape {
    let pad = (kernel - 1) / 2;
    ConvShape {
        batch,
        in_h: size,
        in_w: size + 1,
        in_c,
        out_c,
        kernel: [kernel; 2],
        stride: [stride; 2],
        pad_low: [pad; 2],
        pad_high: [pad; 2],
        dilation: [1; 2],
        groups: 1,
    }
}

/// Contractions of every path: blocked with one and several tasks and depths, split along k, vectors, columns, batches;
/// gathers with border classes, odd channels, groups, shared blocks, depthwise, dot; Winograd of both filter sizes.
fn contractions(isa: Isa) -> Vec<Made> {
    let plain = [false; 2];
    let mut list = vec![
        matmul(isa, 1, [37, 50, 70], plain),
        matmul(isa, 1, [300, 1100, 600], [true, false]),
        matmul(isa, 1, [20, 40, 9000], [false, true]),
        matmul(isa, 1, [1, 700, 90], [false, true]),
        matmul(isa, 1, [900, 1, 90], plain),
        matmul(isa, 1, [1, 40, 80_000], [false, true]),
        matmul(isa, 5, [9, 33, 12], plain),
        matmul(isa, 3, [64, 16, 30], [true, true]),
        matmul(isa, 1, [6, 30, 0], plain),
    ];
    let mut grouped = square(2, 6, [34, 34], 3, 1);
    grouped.groups = 2;
    let mut depthwise = square(2, 7, [37, 37], 3, 2);
    depthwise.groups = 37;
    for shape in [
        square(3, 9, [17, 19], 3, 2),
        square(1, 5, [80, 33], 4, 2),
        square(2, 12, [16, 32], 4, 2),
        square(2, 11, [32, 16], 5, 2),
        square(2, 9, [16, 16], 3, 1),
        square(9, 8, [64, 64], 4, 2),
        square(2, 8, [32, 2], 3, 1),
        grouped,
        depthwise,
    ] {
        list.extend(conv(isa, &shape));
    }
    list
}

/// Load 0 is the result, 1 a bias of the columns, 2 a tensor of the result's shape, 3 one word of three.
fn loads([rows, columns]: [usize; 2]) -> Vec<Load> {
    let dims = [rows, columns];
    vec![
        Load::contiguous(&dims),
        Load { offset: 2, strides: vec![0, 1], words: columns + 2, element: Element::F32 },
        Load::contiguous(&dims),
        Load { offset: 1, strides: vec![0, 0], words: 3, element: Element::F32 },
    ]
}

fn code() -> Vec<Instr> {
    vec![
        Instr::Load(0),
        Instr::Load(1),
        Instr::Binary(BinaryOp::Add, 0, 1),
        Instr::Load(3),
        Instr::Binary(BinaryOp::Mul, 2, 3),
        Instr::Binary(BinaryOp::Max, 2, 4),
        Instr::Load(2),
        Instr::MulAdd(5, 6, 5),
        Instr::Unary(UnaryOp::Tanh, 7),
        Instr::Binary(BinaryOp::Mul, 0, 0),
    ]
}

fn specs(shape: [usize; 2]) -> Vec<PassSpec> {
    let store = |value| Store::new(value);
    let reduce = |value, op| Reduce { value, op, lane: Lane::F32 };
    let base = PassSpec {
        dims: shape.to_vec(),
        loads: loads(shape),
        code: code(),
        stores: vec![store(7)],
        reduces: vec![],
        keep: vec![],
    };
    vec![
        base.clone(),
        PassSpec { stores: vec![store(2), store(8), store(1)], ..base.clone() },
        // The result itself is stored too: nothing can take its place but that store.
        PassSpec { stores: vec![store(5), store(0)], ..base.clone() },
        PassSpec {
            reduces: vec![reduce(7, ReduceOp::Sum), reduce(5, ReduceOp::Max), reduce(0, ReduceOp::Sum)],
            keep: vec![false, true],
            ..base.clone()
        },
        PassSpec {
            stores: vec![],
            reduces: vec![reduce(9, ReduceOp::Sum), reduce(8, ReduceOp::Min)],
            keep: vec![false, false],
            ..base.clone()
        },
    ]
}

/// Runs both ways; whether it was fused at all.
fn check(isa: Isa, (contraction, shape): Made, spec: &PassSpec, in_place: bool, what: &str) -> bool {
    let mut noise = Noise(7);
    let inputs: Vec<Vec<u32>> = contraction.operands()[..2].iter().map(|o| noise.floats(o.words)).collect();
    let result = outputs(contraction.as_ref(), isa, &inputs).swap_remove(0);
    let words: usize = shape.iter().product();
    assert_eq!(result.len(), words, "{what}");
    let others: Vec<Vec<u32>> = spec.loads[1..].iter().map(|l| noise.floats(l.words)).collect();
    let pass = Pass::new(spec.clone()).expect("a valid pass");
    let expected = outputs(&pass, isa, &[std::slice::from_ref(&result), others.as_slice()].concat());

    // Whether it pays or not.
    let epilogue = Epilogue::new(spec.clone(), 0, in_place).expect("a valid pass");
    let Some(epilogue) = epilogue else { return false };
    let fused = Fused::of(contraction, epilogue).expect("the result's own pass");
    let mut got = outputs(&fused, isa, &[inputs, others.clone()].concat());
    let first = got.remove(0);
    match fused.taken() {
        Some(store) => {
            assert!(in_place, "{what}");
            got.insert(store, first);
        }
        None => assert!(first == result, "{what}: the result differs"),
    }
    let stores = spec.stores.len();
    assert_eq!(got.len(), expected.len(), "{what}");
    assert!(got[..stores] == expected[..stores], "{what}: a store differs");
    // What the terms of each sum have in absolute value.
    let mut absolute = spec.clone();
    for reduce in &mut absolute.reduces {
        absolute.code.push(Instr::Unary(UnaryOp::Abs, reduce.value));
        reduce.value = absolute.code.len() - 1;
    }
    let absolute = Pass::new(absolute).expect("a valid pass");
    let sizes = outputs(&absolute, isa, &[std::slice::from_ref(&result), others.as_slice()].concat());
    for (k, reduce) in spec.reduces.iter().enumerate() {
        for ((&g, &e), &size) in got[stores + k].iter().zip(&expected[stores + k]).zip(&sizes[stores + k]) {
            let [g, e, size] = [g, e, size].map(f32::from_bits);
            // Both sum at most 32 terms a lane in f32, the rest in f64, and round once: 33 roundings each.
            let bound = if reduce.op == ReduceOp::Sum { 2.0 * 33.0 * 2.0f32.powi(-24) * size } else { 0.0 };
            assert!((g - e).abs() <= bound, "{what}: reduction {k} is {g}, expected {e}");
        }
    }
    true
}

#[test]
fn fused_passes_give_the_bits_of_passes_apart() {
    for isa in Isa::available() {
        let count = contractions(isa).len();
        let mut fused = 0;
        for c in 0..count {
            for s in 0..specs([1, 1]).len() {
                for in_place in [false, true] {
                    let made = contractions(isa).swap_remove(c);
                    let what = format!("{:?} {:?} pass {s} {in_place}", isa, made);
                    let spec = specs(made.1).swap_remove(s);
                    fused += usize::from(check(isa, made, &spec, in_place, &what));
                }
            }
        }
        // In a single column or row the bias is one word or a tensor, and sums of columns are none.
        let all = count * specs([1, 1]).len() * 2;
        assert!(fused * 10 >= all * 9, "{fused} of {all} on {isa:?}");
    }
}

#[test]
fn passes_that_need_more_than_the_part_at_hand_are_refused() {
    let dims = [40, 64];
    let with = |change: &dyn Fn(&mut PassSpec)| {
        let mut spec = specs(dims).swap_remove(0);
        change(&mut spec);
        Epilogue::new(spec, 0, true).expect("a valid pass").is_some()
    };
    assert!(with(&|_| ()));
    // Transposed, along rows, by position, periods that differ, reduced along rows.
    assert!(!with(
        &|s| s.loads[2] = Load { offset: 0, strides: vec![1, 40], words: 40 * 64, element: Element::F32 }
    ));
    assert!(!with(&|s| s.loads[0].strides = vec![1, 40]));
    assert!(!with(
        &|s| s.loads[1] = Load { offset: 0, strides: vec![1, 0], words: 40, element: Element::F32 }
    ));
    assert!(!with(&|s| s.code[1] = Instr::Iota(1)));
    assert!(!with(&|s| {
        s.dims = vec![10, 4, 64];
        s.loads = vec![
            Load::contiguous(&[10, 4, 64]),
            Load { offset: 0, strides: vec![0, 0, 1], words: 64, element: Element::F32 },
            Load { offset: 0, strides: vec![0, 64, 1], words: 256, element: Element::F32 },
            Load { offset: 0, strides: vec![0, 0, 0], words: 1, element: Element::F32 },
        ];
    }));
    assert!(!with(&|s| {
        s.keep = vec![true, false];
        s.reduces = vec![Reduce { value: 0, op: ReduceOp::Sum, lane: Lane::F32 }];
    }));
}
