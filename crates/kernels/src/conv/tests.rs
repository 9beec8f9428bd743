//! The triad against its scalar twins on every instruction set, and against itself through the adjoint identities.

use super::reference::{conv_forward, conv_input_grad, conv_weight_grad};
use super::weight_lanes::InputLanes;
use super::{Algorithm, ConvForward, ConvInputGrad, ConvShape, ConvShapeError, ConvWeightGrad};
use crate::isa::Isa;
use crate::kernel::{Access, Kernel, Operands};
pub(super) use crate::pairs::tests::noise;

/// Words before and after every operand that no kernel may use.
const GUARD: usize = 40;

/// Runs all tasks, in order or in reverse. Scratch, results and the words around operands are NaN at first.
pub(super) fn run(kernel: &dyn Kernel, isa: Isa, inputs: [&[f32]; 2], reverse: bool) -> Vec<f32> {
    let specs = kernel.operands();
    let mut inputs = inputs.into_iter();
    let mut memory: Vec<Vec<f32>> = (specs.iter())
        .map(|s| match s.access {
            Access::Read => {
                let input = inputs.next().expect("two inputs");
                assert_eq!(input.len(), s.words);
                [&[f32::NAN; GUARD], input, &[f32::NAN; GUARD]].concat()
            }
            Access::Write | Access::ReadWrite => vec![f32::NAN; s.words + 2 * GUARD],
        })
        .collect();
    let parts: Vec<(*mut f32, usize)> =
        memory.iter_mut().map(|m| (m[GUARD..].as_mut_ptr(), m.len() - 2 * GUARD)).collect();
    let operands = Operands::new(&parts);
    // 64-byte alignment, as the contract has it.
    let mut scratch = vec![f32::NAN; kernel.local_words() + 16];
    let shift = scratch.as_ptr().align_offset(64);
    let local = &mut scratch[shift..shift + kernel.local_words()];
    for stage in 0..kernel.stages() {
        let tasks = kernel.tasks(stage);
        assert!(tasks > 0);
        for i in 0..tasks {
            local.fill(f32::NAN);
            let task = if reverse { tasks - 1 - i } else { i };
            // SAFETY: the instruction set is available, operands are as declared and distinct, stages and tasks
            // run one after another, each once.
            unsafe { kernel.run(isa, stage, task, &operands, local) };
        }
    }
    for m in &memory {
        assert!(m[..GUARD].iter().chain(&m[m.len() - GUARD..]).all(|v| v.is_nan()), "wrote past an operand");
    }
    memory[2][GUARD..][..specs[2].words].to_vec()
}

/// Checks `got` against f64 sums of `terms(i)` products each.
///
/// A sum of n products in any order, each product and addition rounded once or (fused) never, errs by at most
/// `gamma(n) * sum |a * b|` with `gamma(n) = n u / (1 - n u)`, u = 2^-24 (Higham, Accuracy and Stability of
/// Numerical Algorithms, section 3.1). `magnitude` holds the sums of the absolute products.
fn assert_close(got: &[f32], expected: &[f64], magnitude: &[f64], terms: usize, what: &str) {
    let u = f64::from(f32::EPSILON) / 2.0;
    let n = (terms + 1) as f64;
    let gamma = n * u / (1.0 - n * u);
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, ((&g, &e), &m)) in got.iter().zip(expected).zip(magnitude).enumerate() {
        let error = (f64::from(g) - e).abs();
        // Not `error > bound`, which a NaN would pass.
        assert!(
            error <= gamma * m,
            "{what}: word {i} is {g}, expected {e}, error {error:e} of {:e}",
            gamma * m
        );
    }
}

fn kernels(isa: Isa, shape: &ConvShape) -> (ConvForward, ConvInputGrad, ConvWeightGrad) {
    (
        ConvForward::new(isa, *shape, Algorithm::Direct).expect("valid"),
        ConvInputGrad::new(isa, *shape, Algorithm::Direct).expect("valid"),
        ConvWeightGrad::new(isa, *shape, Algorithm::Direct).expect("valid"),
    )
}

fn check(shape: &ConvShape) {
    let x = noise(shape.input_words(), 1);
    let w = noise(shape.weight_words(), 2);
    let g = noise(shape.output_words(), 3);
    let abs = |v: &[f32]| -> Vec<f32> { v.iter().map(|v| v.abs()).collect() };
    let (xa, wa, ga) = (abs(&x), abs(&w), abs(&g));
    let per_output = shape.taps() * shape.in_group();
    let per_input = shape.taps() * shape.out_group();
    let per_weight = shape.batch * shape.out_h() * shape.out_w();
    let expected =
        [conv_forward(shape, &x, &w), conv_input_grad(shape, &g, &w), conv_weight_grad(shape, &x, &g)];
    let magnitude =
        [conv_forward(shape, &xa, &wa), conv_input_grad(shape, &ga, &wa), conv_weight_grad(shape, &xa, &ga)];
    for isa in Isa::available() {
        let (forward, input_grad, weight_grad) = kernels(isa, shape);
        let cases: [(&dyn Kernel, [&[f32]; 2], usize); 3] = [
            (&forward, [&x, &w], per_output),
            (&input_grad, [&g, &w], per_input),
            (&weight_grad, [&x, &g], per_weight),
        ];
        for (i, (kernel, inputs, terms)) in cases.into_iter().enumerate() {
            let what = format!("{} on {} of {shape:?}", kernel.name(), isa.name());
            let got = run(kernel, isa, inputs, false);
            assert_close(&got, &expected[i], &magnitude[i], terms, &what);
            assert_eq!(got, run(kernel, isa, inputs, true), "{what}: the order of tasks matters");
        }
    }
}

pub(super) fn square(
    batch: usize,
    size: usize,
    in_c: usize,
    out_c: usize,
    k: usize,
    stride: usize,
    pad: usize,
) -> ConvShape {
    ConvShape {
        batch,
        in_h: size,
        in_w: size,
        in_c,
        out_c,
        kernel: [k, k],
        stride: [stride, stride],
        pad_low: [pad, pad],
        pad_high: [pad, pad],
        dilation: [1, 1],
        groups: 1,
    }
}

#[test]
fn channel_counts_from_1_to_40() {
    for c in 1..=40 {
        check(&square(2, 5, c, 41 - c, 3, 2, 1));
        check(&square(1, 4, c, c, 2, 1, 0));
        check(&square(2, 6, 7, c, 3, 1, 1));
        check(&square(2, 6, c, 33, 1, 1, 0));
    }
}

#[test]
fn strides_dilations_and_padding() {
    let mut cases = 0;
    for stride in 1..=3 {
        for dilation in 1..=2 {
            for (k, low, high) in
                [(1, 0, 0), (2, 0, 1), (3, 1, 1), (4, 1, 2), (5, 2, 2), (5, 4, 0), (3, 7, 5)]
            {
                for (in_c, out_c) in [(1, 18), (3, 5), (18, 1), (17, 3), (19, 35)] {
                    let mut shape = square(2, 9, in_c, out_c, k, stride, low);
                    shape.in_w = 7;
                    shape.pad_high = [high, high];
                    shape.dilation = [dilation, dilation];
                    if shape.validate().is_ok() {
                        check(&shape);
                        cases += 1;
                    }
                }
            }
        }
    }
    assert!(cases > 180, "only {cases} cases are valid");
}

#[test]
fn each_axis_has_its_own_geometry() {
    for (in_c, out_c, groups) in [(1, 33, 1), (5, 6, 1), (34, 2, 1), (20, 20, 20), (8, 12, 4)] {
        check(&ConvShape {
            batch: 3,
            in_h: 11,
            in_w: 8,
            in_c,
            out_c,
            kernel: [2, 5],
            stride: [3, 1],
            pad_low: [1, 0],
            pad_high: [0, 3],
            dilation: [2, 1],
            groups,
        });
        check(&ConvShape {
            batch: 2,
            in_h: 6,
            in_w: 13,
            in_c,
            out_c,
            kernel: [4, 3],
            stride: [1, 4],
            pad_low: [3, 2],
            pad_high: [2, 5],
            dilation: [1, 6],
            groups,
        });
    }
}

#[test]
fn groups_and_depthwise() {
    for (groups, in_group, out_group) in
        [(2, 16, 16), (3, 16, 16), (2, 5, 9), (3, 1, 2), (2, 2, 1), (2, 9, 1), (2, 33, 40), (4, 8, 4)]
    {
        let mut shape = square(2, 7, groups * in_group, groups * out_group, 3, 1, 1);
        shape.groups = groups;
        check(&shape);
        shape.stride = [2, 2];
        shape.kernel = [4, 4];
        check(&shape);
    }
    for channels in [2, 7, 16, 24, 40, 96] {
        for (k, stride, pad, dilation) in
            [(3, 1, 1, 1), (3, 2, 1, 1), (7, 1, 0, 1), (7, 1, 5, 1), (2, 3, 0, 2)]
        {
            let mut shape = square(2, 7, channels, channels, k, stride, pad);
            shape.groups = channels;
            shape.dilation = [dilation, dilation];
            check(&shape);
        }
    }
    let mut wide = square(1, 12, 17, 17, 11, 1, 3);
    wide.groups = 17;
    check(&wide);
}

#[test]
fn leftover_pixels_get_zero_gradient() {
    // 10 pixels, windows of 3 every 4: pixels 3 and 7 lie between windows, pixel 9 past the last one... of width 2.
    let shape = square(1, 10, 16, 16, 3, 4, 0);
    check(&shape);
    let (g, w) = (noise(shape.output_words(), 1), noise(shape.weight_words(), 2));
    for isa in Isa::available() {
        let dx = run(&kernels(isa, &shape).1, isa, [&g, &w], false);
        for (i, v) in dx.iter().enumerate() {
            let (y, x) = (i / 160, i / 16 % 10);
            let met = |p: usize| p % 4 < 3 && p < 7;
            assert_eq!(*v != 0.0, met(y) && met(x), "pixel ({y}, {x}) on {}", isa.name());
        }
    }
}

#[test]
fn enough_pixels_for_full_blocks_and_several_chunks() {
    check(&square(9, 14, 12, 40, 5, 2, 2));
    check(&square(5, 28, 1, 20, 5, 2, 2));
    check(&square(3, 16, 20, 1, 5, 1, 2));
    check(&square(3, 16, 17, 3, 4, 2, 1));
    check(&square(40, 1, 37, 21, 1, 1, 0));
    check(&square(3, 4, 70, 1, 4, 1, 0));
    let mut grouped = square(6, 14, 48, 48, 3, 1, 1);
    grouped.groups = 3;
    check(&grouped);
    grouped.groups = 48;
    check(&grouped);
}

/// Weight gradients with input channels in lanes: half a panel and lanes without a channel, strips of one and of two
/// heights, blocks of which a tap meets all, some and nothing, one chunk and several.
#[test]
fn weight_gradients_with_input_channels_in_lanes() {
    let mut far = square(2, 4, 32, 24, 3, 1, 20);
    far.dilation = [2, 3];
    let mut uneven = square(7, 13, 48, 50, 4, 2, 1);
    uneven.kernel = [2, 5];
    uneven.in_w = 9;
    uneven.pad_high = [0, 3];
    let shapes = [
        square(33, 16, 256, 16, 1, 1, 0),
        square(9, 14, 23, 35, 5, 2, 2),
        square(40, 4, 40, 66, 4, 2, 1),
        square(3, 8, 16, 300, 4, 2, 1),
        far,
        uneven,
    ];
    for shape in shapes {
        assert!(InputLanes::new(Isa::Avx2, &shape).is_some(), "{shape:?}");
        check(&shape);
    }
    assert!(
        InputLanes::new(Isa::Avx2, &square(33, 16, 20, 136, 3, 1, 1)).is_none(),
        "four lanes of 24 empty"
    );
    let chunks = |shape| InputLanes::new(Isa::Avx2, &shape).map(|plan| plan.chunks());
    assert!(shapes.map(chunks).contains(&Some(1)), "{:?}", shapes.map(chunks));
    assert!(shapes.map(chunks).iter().any(|&chunks| chunks > Some(1)), "{:?}", shapes.map(chunks));
}

/// Few channels on either side: copies of several bands, images smaller and larger than vectors and tiles, padding on one
/// side only, strides with phases of different taps.
#[test]
fn few_channels_on_either_side() {
    for few in 1..=7 {
        check(&square(3, 17, few, 32, 5, 2, 2));
        check(&square(2, 19, 48, few, 5, 1, 2));
    }
    for few in 1..=4 {
        check(&square(2, 30, 16, few, 3, 1, 1));
        check(&square(2, 40, few, 24, 4, 2, 1));
        check(&square(1, 33, few, 40, 5, 2, 2));
        check(&square(1, 31, few, 64, 5, 3, 1));
        let mut uneven = square(2, 21, few, 80, 4, 2, 1);
        uneven.in_w = 37;
        uneven.pad_high = [3, 0];
        check(&uneven);
        let mut wide = square(1, 9, 32, few, 5, 1, 4);
        wide.in_w = 50;
        wide.pad_low = [4, 0];
        check(&wide);
    }
    // Filters that reach further to the left than a vector is long.
    for (width, pad) in [(19, 9), (35, 17), (18, 0)] {
        let mut long = square(1, 40, 16, 2, 3, 1, 1);
        long.kernel[1] = width;
        (long.pad_low[1], long.pad_high[1]) = (pad, pad);
        check(&long);
        check(&ConvShape { in_c: 2, out_c: 16, ..long });
    }
}

#[test]
fn an_image_does_not_depend_on_its_batch() {
    for one in [
        square(1, 14, 12, 40, 5, 2, 2),
        square(1, 9, 32, 1, 5, 1, 2),
        square(1, 9, 3, 20, 4, 2, 1),
        square(1, 28, 3, 32, 4, 2, 1),
        square(1, 20, 32, 2, 3, 1, 1),
    ] {
        let many = ConvShape { batch: 13, ..one };
        let (x, w) = (noise(many.input_words(), 1), noise(many.weight_words(), 2));
        let g = noise(many.output_words(), 3);
        let last = |v: &[f32]| v[v.len() / 13 * 12..].to_vec();
        for isa in Isa::available() {
            let (forward, input_grad, _) = kernels(isa, &many);
            let (forward_one, input_grad_one, _) = kernels(isa, &one);
            let y = run(&forward, isa, [&x, &w], false);
            assert_eq!(last(&y), run(&forward_one, isa, [&last(&x), &w], false), "{one:?} on {}", isa.name());
            let dx = run(&input_grad, isa, [&g, &w], false);
            assert_eq!(
                last(&dx),
                run(&input_grad_one, isa, [&last(&g), &w], false),
                "{one:?} on {}",
                isa.name()
            );
        }
    }
}

#[test]
fn workspaces_stay_bounded() {
    for shape in [
        square(512, 64, 64, 128, 4, 2, 1),
        square(64, 8, 256, 512, 4, 2, 1),
        square(100, 28, 1, 64, 5, 1, 0),
        square(100, 64, 3, 1000, 7, 1, 3),
    ] {
        let (forward, input_grad, weight_grad) = kernels(Isa::Portable, &shape);
        for kernel in [&forward as &dyn Kernel, &input_grad, &weight_grad] {
            let workspace: usize = kernel.operands().iter().skip(3).map(|s| s.words).sum();
            assert!(workspace <= 8 << 20, "{} of {shape:?} asks for {workspace} words", kernel.name());
            assert!(kernel.local_words() <= 1 << 17, "{} of {shape:?}", kernel.name());
            for stage in 0..kernel.stages() {
                assert!((1..=256).contains(&kernel.tasks(stage)), "{} of {shape:?}", kernel.name());
            }
        }
    }
}

#[test]
fn the_three_are_adjoint() {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    for mut shape in
        [square(4, 14, 24, 40, 5, 2, 2), square(4, 12, 3, 64, 4, 2, 1), square(4, 9, 32, 1, 5, 1, 2)]
    {
        shape.pad_high[1] += 1;
        let (x, w, g) =
            (noise(shape.input_words(), 4), noise(shape.weight_words(), 5), noise(shape.output_words(), 6));
        for isa in Isa::available() {
            let (forward, input_grad, weight_grad) = kernels(isa, &shape);
            let y = run(&forward, isa, [&x, &w], false);
            let dx = run(&input_grad, isa, [&g, &w], false);
            let dw = run(&weight_grad, isa, [&x, &g], false);
            // Every product passes at most `terms` roundings, so each side errs by at most terms * u times the sum
            // of all absolute products; the f64 dot products add nothing of that size.
            let terms =
                (shape.batch * shape.out_h() * shape.out_w()).max(shape.taps() * shape.in_c.max(shape.out_c));
            let abs = |v: &[f32]| -> Vec<f32> { v.iter().map(|v| v.abs()).collect() };
            let magnitude: f64 = conv_forward(&shape, &abs(&x), &abs(&w))
                .iter()
                .zip(&g)
                .map(|(m, g)| m * f64::from(g.abs()))
                .sum();
            let bound = 2.0 * terms as f64 * f64::from(f32::EPSILON) / 2.0 * magnitude;
            for (name, other) in [("input", dot(&x, &dx)), ("weight", dot(&w, &dw))] {
                let error = (dot(&y, &g) - other).abs();
                assert!(error <= bound, "{name} on {}: {error:e} of {bound:e}", isa.name());
            }
        }
    }
}

#[test]
fn invalid_shapes_are_refused_with_a_reason() {
    let good = square(1, 8, 6, 4, 3, 1, 0);
    assert_eq!(good.validate(), Ok(()));
    assert_eq!(good.flops(), 2 * 6 * 6 * 4 * 9 * 6);
    let refuse = |change: &dyn Fn(&mut ConvShape)| {
        let mut shape = good;
        change(&mut shape);
        let error = shape.validate().expect_err("invalid");
        assert_eq!(ConvForward::new(Isa::Portable, shape, Algorithm::Any).map(|_| ()), Err(error.clone()));
        assert_eq!(ConvInputGrad::new(Isa::Portable, shape, Algorithm::Any).map(|_| ()), Err(error.clone()));
        assert_eq!(ConvWeightGrad::new(Isa::Portable, shape, Algorithm::Any).map(|_| ()), Err(error.clone()));
        error
    };
    assert_eq!(refuse(&|s| s.batch = 0), ConvShapeError::Zero("batch"));
    assert_eq!(refuse(&|s| s.stride[1] = 0), ConvShapeError::Zero("horizontal stride"));
    assert_eq!(refuse(&|s| s.groups = 4), ConvShapeError::Groups { name: "in_c", channels: 6, groups: 4 });
    assert_eq!(refuse(&|s| s.groups = 3), ConvShapeError::Groups { name: "out_c", channels: 4, groups: 3 });
    assert_eq!(
        refuse(&|s| s.dilation[0] = 4),
        ConvShapeError::Window { name: "height", window: 9, image: 8 }
    );
    assert_eq!(refuse(&|s| s.pad_low[0] = usize::MAX), ConvShapeError::TooLarge);
    assert_eq!(
        refuse(&|s| (s.in_h, s.in_w, s.batch) = (1 << 28, 1 << 28, 1 << 28)),
        ConvShapeError::TooLarge
    );
}
