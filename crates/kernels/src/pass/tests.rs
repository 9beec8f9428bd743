use super::harness::{Noise, once, outputs};
use super::*;
use crate::isa::Isa;
use crate::kernel::Element;
use crate::kernel::Kernel;
use crate::kernel::Operands;

pub(super) fn pass(spec: PassSpec) -> Pass {
    Pass::new(spec).expect("a valid pass")
}

/// A pass of one instruction over flat operands.
fn single(words: usize, operands: usize, instr: Instr) -> Pass {
    let mut code: Vec<Instr> = (0..operands).map(Instr::Load).collect();
    code.push(instr);
    let dims = vec![words];
    pass(PassSpec {
        loads: vec![Load::contiguous(&dims); operands],
        dims,
        code,
        stores: vec![Store { alias: Some(0), ..Store::new(operands) }],
        reduces: vec![],
        keep: vec![],
    })
}

/// Words that are hard in some reading, then noise in every magnitude.
pub(super) fn words(n: usize, seed: u64) -> Vec<u32> {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        f32::MIN_POSITIVE,
        1e-40,
        -1e-45,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        2147483648.0,
        4294967040.0,
        -2147483648.0,
        2.5,
        -3.5,
        88.8,
        -104.5,
        1.0 - 6e-8,
    ];
    let integers =
        [0, 1, 31, 32, 33, u32::MAX, 0x8000_0000, 0x7fff_ffff, 0x7fc0_1234, 0x3f80_8000, 0x3f81_8000];
    let mut list: Vec<u32> = special.iter().map(|x| f32::to_bits(*x)).chain(integers).collect();
    let mut noise = Noise(seed);
    while list.len() < n {
        let word = noise.next();
        list.push(if word & 1 == 0 { word } else { ((word as i32 as f32) / 4e7).to_bits() });
    }
    list.truncate(n);
    list
}

pub(super) fn same(a: u32, b: u32) -> bool {
    a == b || f32::from_bits(a).is_nan() && f32::from_bits(b).is_nan()
}

/// Distance in units of the last place of `b`, where both are numbers.
fn ulps(a: u32, b: u32) -> f64 {
    let (x, y) = (f64::from(f32::from_bits(a)), f64::from(f32::from_bits(b)));
    let exponent = ((b >> 23 & 255) as i32 - 150).max(-149);
    if x == y { 0.0 } else { (x - y).abs() / 2f64.powi(exponent) }
}

#[test]
fn unary_instructions_match_their_scalar_twins() {
    for isa in Isa::available() {
        for &op in UnaryOp::ALL {
            let x = words(4099, op as u64);
            let got = outputs(&single(x.len(), 1, Instr::Unary(op, 0)), isa, std::slice::from_ref(&x));
            let periodic = matches!(op, UnaryOp::Sin | UnaryOp::Cos);
            for (&x, &y) in x.iter().zip(&got[0]) {
                let want = op.eval(x);
                if periodic && f32::from_bits(x).abs() > 1e5 {
                    continue;
                }
                let close = ulps(y, want) <= 4.0 && !f32::from_bits(want).is_nan();
                let approximate = matches!(
                    op,
                    UnaryOp::Exp
                        | UnaryOp::Expm1
                        | UnaryOp::Log
                        | UnaryOp::Log1p
                        | UnaryOp::Rsqrt
                        | UnaryOp::Tanh
                        | UnaryOp::Sigmoid
                        | UnaryOp::Softplus
                        | UnaryOp::Erf
                        | UnaryOp::Erfinv
                        | UnaryOp::Sin
                        | UnaryOp::Cos
                );
                assert!(
                    same(y, want) || approximate && close,
                    "{isa:?} {} of {:e} ({x:#x}): {:e}, expected {:e}",
                    op.name(),
                    f32::from_bits(x),
                    f32::from_bits(y),
                    f32::from_bits(want)
                );
            }
        }
    }
}

#[test]
fn binary_instructions_and_comparisons_match_their_scalar_twins() {
    let n = 2053;
    let (a, mut b) = (words(n, 1), words(n, 2));
    b.rotate_right(7);
    b[500..600].copy_from_slice(&a[500..600]);
    let inputs = [a, b];
    for isa in Isa::available() {
        for &op in BinaryOp::ALL {
            let got = outputs(&single(n, 2, Instr::Binary(op, 0, 1)), isa, &inputs);
            for i in 0..n {
                let want = op.eval(inputs[0][i], inputs[1][i]);
                assert!(
                    same(got[0][i], want),
                    "{isa:?} {} of {:#x} {:#x}: {:#x}, expected {want:#x}",
                    op.name(),
                    inputs[0][i],
                    inputs[1][i],
                    got[0][i]
                );
            }
        }
        for &op in CompareOp::ALL {
            for lane in [Lane::F32, Lane::I32, Lane::U32] {
                let got = outputs(&single(n, 2, Instr::Compare(op, lane, 0, 1)), isa, &inputs);
                for i in 0..n {
                    assert_eq!(
                        got[0][i],
                        op.eval(lane, inputs[0][i], inputs[1][i]),
                        "{isa:?} {} {lane:?}",
                        op.name()
                    );
                }
            }
        }
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = UnaryOp::ALL.iter().map(|o| o.name()).collect();
    names.extend(BinaryOp::ALL.iter().map(|o| o.name()));
    names.extend(CompareOp::ALL.iter().map(|o| o.name()));
    names.extend(ReduceOp::ALL.iter().map(|o| o.name()));
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    // `max` and `min` name both a binary operation and a reduction.
    assert_eq!(names.len(), all - 2);
}

/// A load over `dims` with every dimension contiguous, broadcast, reversed, strided or permuted.
fn random_load(dims: &[usize], noise: &mut Noise) -> Load {
    let mut order: Vec<usize> = (0..dims.len()).collect();
    if noise.below(3) == 0 {
        for i in (1..order.len()).rev() {
            order.swap(i, noise.below(i + 1));
        }
    }
    let plain = noise.below(3) == 0;
    let (mut strides, mut words, mut offset) = (vec![0; dims.len()], 1, 0);
    for &d in order.iter().rev() {
        match if plain { 3 } else { noise.below(6) } {
            0 | 1 => {}
            2 => {
                strides[d] = -(words as isize);
                offset += (dims[d] - 1) * words;
                words *= dims[d];
            }
            step => {
                let gap = if step == 5 { 2 } else { 1 };
                strides[d] = (gap * words) as isize;
                words *= dims[d] * gap;
            }
        }
    }
    Load { offset, strides, words, element: Element::F32 }
}

pub(super) fn random_spec(noise: &mut Noise, reduces: bool) -> PassSpec {
    let rank = noise.below(5);
    let sizes = [1, 2, 3, 5, 16, 17, 40, 70];
    let mut dims: Vec<usize> = (0..rank).map(|_| sizes[noise.below(sizes.len())]).collect();
    if rank > 0 && noise.below(3) == 0 {
        dims[rank - 1] = [600, 1030, 4099][noise.below(3)];
    }
    while dims.iter().product::<usize>() > 60_000 {
        let largest = dims.iter().position(|d| d == dims.iter().max().expect("not empty")).expect("there");
        dims[largest] = dims[largest].div_ceil(3);
    }
    let loads: Vec<Load> = (0..1 + noise.below(3)).map(|_| random_load(&dims, noise)).collect();
    let mut code: Vec<Instr> = (0..loads.len()).map(Instr::Load).collect();
    code.push(Instr::Const(noise.next()));
    if rank > 0 {
        code.push(Instr::Iota(noise.below(rank)));
    }
    for _ in 0..noise.below(9) {
        let n = code.len();
        let (a, b, c) = (noise.below(n), noise.below(n), noise.below(n));
        code.push(match noise.below(4) {
            0 => Instr::Unary(
                [UnaryOp::Neg, UnaryOp::IntToFloat, UnaryOp::BitNot, UnaryOp::Not][noise.below(4)],
                a,
            ),
            1 => Instr::Binary([BinaryOp::IntAdd, BinaryOp::Xor, BinaryOp::IntMul][noise.below(3)], a, b),
            2 => Instr::Compare(CompareOp::ALL[noise.below(6)], Lane::I32, a, b),
            _ => Instr::Select(a, b, c),
        });
    }
    let mut stores = Vec::new();
    for _ in 0..noise.below(3) + usize::from(!reduces) {
        let alias = noise.below(loads.len());
        let free = !stores.iter().any(|s: &Store| s.alias == Some(alias));
        let alias = Some(alias).filter(|&l| free && loads[l].is_contiguous(&dims));
        stores.push(Store { alias, ..Store::new(noise.below(code.len())) });
    }
    let list = (0..if reduces { 1 + noise.below(2) } else { 0 }).map(|_| Reduce {
        value: noise.below(code.len()),
        op: ReduceOp::ALL[noise.below(3)],
        lane: [Lane::I32, Lane::U32][noise.below(2)],
    });
    let reduces = list.collect();
    let keep = (0..rank).map(|_| noise.below(2) == 0).collect();
    PassSpec { dims, loads, code, stores, reduces, keep }
}

#[test]
fn random_passes_match_the_scalar_twin() {
    let mut noise = Noise(11);
    for round in 0..400 {
        let spec = random_spec(&mut noise, round % 2 == 0);
        let inputs: Vec<Vec<u32>> =
            spec.loads.iter().map(|l| (0..l.words).map(|_| noise.next() % 1000).collect()).collect();
        let want = reference::run(&spec, &inputs);
        let kernel = pass(spec.clone());
        for isa in Isa::available() {
            assert_eq!(outputs(&kernel, isa, &inputs), want, "round {round} {isa:?} {kernel:?}");
        }
    }
}

fn reduction(dims: &[usize], keep: &[bool], ops: &[ReduceOp]) -> PassSpec {
    PassSpec {
        dims: dims.to_vec(),
        loads: vec![Load::contiguous(dims)],
        code: vec![Instr::Load(0)],
        stores: vec![],
        reduces: ops.iter().map(|&op| Reduce { value: 0, op, lane: Lane::F32 }).collect(),
        keep: keep.to_vec(),
    }
}

#[test]
fn float_reductions_are_accurate_for_every_mask() {
    let mut noise = Noise(5);
    for dims in [vec![37, 5, 3, 33], vec![3, 700, 40], vec![130, 2500], vec![50_001], vec![9, 3, 1, 1030]] {
        for mask in 0..1 << dims.len() {
            let keep: Vec<bool> = (0..dims.len()).map(|d| mask >> d & 1 == 1).collect();
            let mut input = noise.floats(dims.iter().product());
            if mask == 0 {
                input[7] = f32::NAN.to_bits();
            }
            let spec = reduction(&dims, &keep, ReduceOp::ALL);
            let inputs = [input];
            let want = reference::run(&spec, &inputs);
            let kernel = pass(spec);
            for isa in Isa::available() {
                let got = outputs(&kernel, isa, &inputs);
                assert!(got[1].iter().zip(&want[1]).all(|(&a, &b)| same(a, b)), "max {isa:?} {kernel:?}");
                assert!(got[2].iter().zip(&want[2]).all(|(&a, &b)| same(a, b)), "min {isa:?} {kernel:?}");
                let terms = inputs[0].len() as f32 / want[0].len() as f32;
                for (&a, &b) in got[0].iter().zip(&want[0]) {
                    let error = (f32::from_bits(a) - f32::from_bits(b)).abs();
                    // Terms below 2: a part in 2^23 of their absolute sum, which cancellation does not shrink.
                    assert!(same(a, b) || error <= 2.4e-7 * 2.0 * terms, "sum {error} {isa:?} {kernel:?}");
                }
            }
        }
    }
}

#[test]
fn long_sums_are_accurate() {
    let n = 6_400_000;
    let mut noise = Noise(3);
    let input: Vec<u32> = (0..n).map(|_| (noise.next() as f32 / 4.0e9).to_bits()).collect();
    let exact: f64 = input.iter().map(|&w| f64::from(f32::from_bits(w))).sum();
    let inputs = [input];
    for isa in Isa::available() {
        let masks = [
            (vec![n], vec![false]),
            (vec![n / 32, 32], vec![false, true]),
            (vec![n / 2, 2], vec![false, true]),
            (vec![n / 5, 5], vec![true, false]),
        ];
        for (dims, keep) in masks {
            let got = once(&pass(reduction(&dims, &keep, &[ReduceOp::Sum])), isa, &inputs);
            let total: f64 = got[0].iter().map(|&w| f64::from(f32::from_bits(w))).sum();
            assert!((total / exact - 1.0).abs() < 1e-7, "{isa:?} {dims:?}: {total} for {exact}");
        }
    }
}

#[test]
fn reductions_over_nothing_give_their_identity() {
    let kernel = pass(reduction(&[0, 3], &[false, true], ReduceOp::ALL));
    let got = outputs(&kernel, Isa::best(), &[vec![]]);
    assert_eq!(got[0], [0; 3]);
    assert_eq!(got[1], [f32::NEG_INFINITY.to_bits(); 3]);
    assert_eq!(got[2], [f32::INFINITY.to_bits(); 3]);
    let kernel = pass(reduction(&[3, 0], &[false, true], ReduceOp::ALL));
    assert_eq!(outputs(&kernel, Isa::best(), &[vec![]]), vec![Vec::<u32>::new(); 3]);
}

#[test]
fn mistakes_are_named() {
    let good = reduction(&[4, 3], &[false, true], &[ReduceOp::Sum]);
    let with = |change: &dyn Fn(&mut PassSpec)| {
        let mut spec = good.clone();
        change(&mut spec);
        Pass::new(spec).expect_err("refused")
    };
    assert_eq!(with(&|s| s.loads[0].words = 11), PassError::Outside { load: 0 });
    assert_eq!(with(&|s| s.loads[0].strides = vec![-3, 1]), PassError::Outside { load: 0 });
    assert_eq!(
        with(&|s| s.code.push(Instr::Unary(UnaryOp::Neg, 1))),
        PassError::Undefined { user: "instruction 1".into(), value: 1 }
    );
    assert_eq!(with(&|s| s.code[0] = Instr::Load(1)), PassError::NoSuch { what: "load", index: 1, count: 1 });
    assert_eq!(
        with(&|s| s.code[0] = Instr::Iota(2)),
        PassError::NoSuch { what: "dimension", index: 2, count: 2 }
    );
    assert_eq!(with(&|s| s.code = vec![Instr::Const(0); 257]), PassError::TooLong(257));
    assert!(matches!(with(&|s| s.keep.clear()), PassError::Rank { .. }));
    let transposed = |s: &mut PassSpec| {
        s.loads[0].strides = vec![1, 4];
        s.stores.push(Store { alias: Some(0), ..Store::new(0) });
    };
    assert_eq!(with(&transposed), PassError::Alias { store: 0, load: 0 });
}

#[test]
fn swapped_stores_do_not_take_over_each_others_loads() {
    let dims = vec![700];
    let kernel = pass(PassSpec {
        loads: vec![Load::contiguous(&dims); 2],
        dims,
        code: vec![Instr::Load(0), Instr::Load(1)],
        stores: vec![Store { alias: Some(0), ..Store::new(1) }, Store { alias: Some(1), ..Store::new(0) }],
        reduces: vec![],
        keep: vec![],
    });
    assert!(kernel.operands().iter().all(|o| o.may_alias.is_none()));
    let mut noise = Noise(1);
    let inputs = [noise.floats(700), noise.floats(700)];
    assert_eq!(outputs(&kernel, Isa::best(), &inputs), vec![inputs[1].clone(), inputs[0].clone()]);
}

#[test]
fn mul_add_rounds_once_where_the_hardware_does() {
    let kernel = single(100, 3, Instr::MulAdd(0, 1, 2));
    let mut noise = Noise(9);
    let inputs: Vec<Vec<u32>> = (0..3).map(|_| noise.floats(100)).collect();
    for isa in Isa::available() {
        let got = outputs(&kernel, isa, &inputs);
        for i in 0..100 {
            let [a, b, c] = [0, 1, 2].map(|k| f32::from_bits(inputs[k][i]));
            let want = if isa == Isa::Portable { a * b + c } else { a.mul_add(b, c) };
            assert_eq!(f32::from_bits(got[0][i]), want, "{isa:?}");
        }
    }
}

/// Parts of one buffer may also be handed over with any alignment of a word.
#[test]
fn operands_need_only_word_alignment() {
    let kernel = pass(reduction(&[70_000], &[false], &[ReduceOp::Sum]));
    let specs = kernel.operands();
    let mut memory: Vec<Vec<f32>> = specs.iter().map(|s| vec![1.0; s.words + 1]).collect();
    let parts: Vec<(*mut f32, usize)> =
        // SAFETY: each buffer is one word longer than the operand.
        memory.iter_mut().map(|m| (unsafe { m.as_mut_ptr().add(1) }, m.len() - 1)).collect();
    let operands = Operands::new(&parts);
    let mut local = vec![0u64; kernel.local_words()];
    for stage in 0..kernel.stages() {
        for task in 0..kernel.tasks(stage) {
            // SAFETY: as many words as asked for, and more; aligned to the cells.
            let local =
                unsafe { std::slice::from_raw_parts_mut(local.as_mut_ptr().cast(), kernel.local_words()) };
            // SAFETY: operands as asked for, tasks once each.
            unsafe { kernel.run(Isa::best(), stage, task, &operands, local) };
        }
    }
    assert_eq!(memory[1][1], 70_000.0);
}
