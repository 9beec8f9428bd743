use super::harness::{Noise, outputs};
use super::*;
use crate::isa::Isa;
use crate::kernel::Kernel;

fn float(x: f32) -> u32 {
    x.to_bits()
}

/// Adam without bias correction, with the learning rate as a shared scalar, and the squared gradient norm.
fn adam(segments: Vec<usize>) -> MultiPassSpec {
    use BinaryOp::{Add, Div, Mul, Sub};
    let code = vec![
        Instr::Load(0),                     // 0: parameter
        Instr::Load(1),                     // 1: first moment
        Instr::Load(2),                     // 2: second moment
        Instr::Load(3),                     // 3: gradient
        Instr::Load(4),                     // 4: learning rate
        Instr::Const(float(0.5)),           // 5
        Instr::Const(float(0.25)),          // 6
        Instr::Const(float(1e-3)),          // 7
        Instr::Binary(Sub, 3, 1),           // 8
        Instr::Binary(Mul, 8, 5),           // 9
        Instr::Binary(Add, 1, 9),           // 10: new first moment
        Instr::Unary(UnaryOp::Square, 3),   // 11
        Instr::Binary(Sub, 11, 2),          // 12
        Instr::Binary(Mul, 12, 6),          // 13
        Instr::Binary(Add, 2, 13),          // 14: new second moment
        Instr::Unary(UnaryOp::Sqrt, 14),    // 15
        Instr::Binary(Add, 15, 7),          // 16
        Instr::Binary(Div, 10, 16),         // 17
        Instr::Binary(Mul, 17, 4),          // 18
        Instr::Binary(Sub, 0, 18),          // 19: new parameter
        Instr::Unary(UnaryOp::IsFinite, 3), // 20
    ];
    MultiPassSpec {
        segments,
        loads: 4,
        scalars: 1,
        code,
        stores: vec![
            Store { alias: Some(0), ..Store::new(19) },
            Store { alias: Some(1), ..Store::new(10) },
            Store { alias: Some(2), ..Store::new(14) },
        ],
        reduces: vec![
            Reduce { value: 11, op: ReduceOp::Sum, lane: Lane::F32 },
            Reduce { value: 20, op: ReduceOp::Min, lane: Lane::U32 },
        ],
    }
}

#[test]
fn updates_every_segment_in_place() {
    let segments = vec![1, 700, 0, 70_001, 3, 512, 40_000];
    let spec = adam(segments.clone());
    let kernel = MultiPass::new(spec.clone()).expect("a valid pass");
    assert_eq!(kernel.tasks(0), 28);
    assert_eq!(kernel.operands()[4].may_alias, Some(0));
    assert_eq!(kernel.operands()[7 + 6].may_alias, Some(7 + 2));
    let mut noise = Noise(4);
    let mut inputs = Vec::new();
    let (mut want, mut norm) = (Vec::new(), 0.0);
    for &words in &segments {
        let mut loads: Vec<Vec<u32>> = (0..4).map(|_| noise.floats(words)).collect();
        for v in &mut loads[2] {
            *v = float(f32::from_bits(*v).abs());
        }
        let elements: Vec<Vec<u32>> = (0..words)
            .map(|i| reference::eval(&spec.code, &[], |l| if l == 4 { float(0.125) } else { loads[l][i] }))
            .collect();
        for store in &spec.stores {
            want.push(elements.iter().map(|v| v[store.value]).collect::<Vec<u32>>());
        }
        norm += elements.iter().map(|v| f64::from(f32::from_bits(v[11]))).sum::<f64>();
        inputs.extend(loads);
    }
    inputs.push(vec![float(0.125)]);
    for isa in Isa::available() {
        let got = outputs(&kernel, isa, &inputs);
        assert_eq!(got[..want.len()], want[..], "{isa:?}");
        let sum = f64::from(f32::from_bits(got[want.len()][0]));
        assert!((sum / norm - 1.0).abs() < 1e-7, "{isa:?}: {sum} for {norm}");
        assert_eq!(got[want.len() + 1], [1], "all gradients are finite");
    }
    inputs[4 + 3][17] = float(f32::INFINITY);
    assert_eq!(outputs(&kernel, Isa::best(), &inputs)[want.len() + 1], [0], "one gradient is not");
}

#[test]
fn nothing_to_update_reduces_to_identities() {
    let kernel = MultiPass::new(adam(vec![0, 0])).expect("a valid pass");
    let inputs: Vec<Vec<u32>> = (0..8).map(|_| vec![]).chain([vec![0]]).collect();
    let got = outputs(&kernel, Isa::best(), &inputs);
    assert_eq!(got[6..], [vec![0], vec![u32::MAX]]);
}

#[test]
fn mistakes_are_named() {
    let with = |change: &dyn Fn(&mut MultiPassSpec)| {
        let mut spec = adam(vec![5]);
        change(&mut spec);
        MultiPass::new(spec).expect_err("refused")
    };
    assert_eq!(with(&|s| s.code[0] = Instr::Load(5)), PassError::NoSuch { what: "load", index: 5, count: 5 });
    assert_eq!(
        with(&|s| s.code[0] = Instr::Iota(0)),
        PassError::NoSuch { what: "dimension", index: 0, count: 0 }
    );
    assert_eq!(with(&|s| s.stores[0].alias = Some(4)), PassError::Alias { store: 0, load: 4 });
    assert_eq!(with(&|s| s.stores[0].alias = Some(1)), PassError::Alias { store: 1, load: 1 });
}

#[test]
fn variances_are_accurate_for_every_mask() {
    let mut noise = Noise(8);
    for dims in [vec![37, 5, 3, 33], vec![3, 700, 40], vec![130, 2500], vec![50_001], vec![6, 4, 1030]] {
        for mask in 0..1 << dims.len() {
            let keep: Vec<bool> = (0..dims.len()).map(|d| mask >> d & 1 == 1).collect();
            // A mean a thousand spreads away from 0.
            let input: Vec<u32> = noise
                .floats(dims.iter().product())
                .iter()
                .map(|&w| float(f32::from_bits(w) + 1000.0))
                .collect();
            let kept: usize = (0..dims.len()).filter(|&d| keep[d]).map(|d| dims[d]).product();
            let mut lists = vec![Vec::new(); kept];
            for (element, &word) in input.iter().enumerate() {
                let (mut rest, mut at, mut scale) = (element, 0, 1);
                for d in (0..dims.len()).rev() {
                    if keep[d] {
                        at += rest % dims[d] * scale;
                        scale *= dims[d];
                    }
                    rest /= dims[d];
                }
                lists[at].push(f64::from(f32::from_bits(word)));
            }
            let kernel = Variance::new(&dims, &keep).expect("a valid variance");
            for isa in Isa::available() {
                let got = outputs(&kernel, isa, std::slice::from_ref(&input));
                for (at, list) in lists.iter().enumerate() {
                    let n = list.len() as f64;
                    let mean = list.iter().sum::<f64>() / n;
                    let variance = list.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
                    let [v, m] = [0, 1].map(|i| f64::from(f32::from_bits(got[i][at])));
                    assert!(
                        (v - variance).abs() <= 3e-6 * variance,
                        "{isa:?} {kernel:?}: {v} for {variance}"
                    );
                    assert!((m / mean - 1.0).abs() < 1e-7, "{isa:?} {kernel:?}: {m} for {mean}");
                }
            }
        }
    }
}

#[test]
fn variance_over_nothing_is_nan_and_of_one_value_is_zero() {
    let kernel = Variance::new(&[0, 3], &[false, true]).expect("a valid variance");
    let got = outputs(&kernel, Isa::best(), &[vec![]]);
    assert!(got.iter().flatten().all(|&w| f32::from_bits(w).is_nan()) && got[0].len() == 3);
    let kernel = Variance::new(&[1, 3], &[false, true]).expect("a valid variance");
    let input = vec![float(5.0), float(-2.0), float(f32::INFINITY)];
    let got = outputs(&kernel, Isa::best(), std::slice::from_ref(&input));
    assert_eq!(got[0][..2], [0, 0]);
    assert_eq!(got[1][..2], input[..2]);
    assert!(f32::from_bits(got[0][2]).is_nan(), "the variance of an infinity");
    assert_eq!(
        Variance::new(&[1], &[]).expect_err("refused"),
        PassError::Rank { what: "keep".into(), expected: 1, got: 0 }
    );
}
