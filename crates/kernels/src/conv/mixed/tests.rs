//! Mixed precision against the scalar twins on rounded operands, on every instruction set.

use super::{MixedConv, MixedWeightGrad};
use crate::conv::ConvShape;
use crate::conv::reference::{conv_forward, conv_input_grad, conv_weight_grad};
use crate::conv::tests::square;
use crate::isa::Isa;
use crate::kernel::{Element, Kernel, Mixed};
use crate::pairs::simd::PairIsa;
use crate::pairs::tests::{assert_close, assert_threads_agree, chop, noise, rounded, run, stored};

type Reference = fn(&ConvShape, &[f32], &[f32]) -> Vec<f64>;

/// A kernel of the triad: its twin, elements of its operands, products a sum.
struct Member {
    reference: Reference,
    elements: [usize; 3],
    terms: usize,
    build: fn(PairIsa, ConvShape, Mixed) -> Option<Box<dyn Kernel>>,
    outputs_as_bf16: bool,
}

fn triad(shape: &ConvShape) -> [Member; 3] {
    let (x, w, y) = (shape.input_words(), shape.weight_words(), shape.output_words());
    [
        Member {
            reference: conv_forward,
            elements: [x, w, y],
            terms: shape.taps() * shape.in_c,
            build: |isa, shape, mixed| Some(Box::new(MixedConv::on(isa, shape, mixed, true)?)),
            outputs_as_bf16: shape.out_c.is_multiple_of(2),
        },
        Member {
            reference: conv_input_grad,
            elements: [y, w, x],
            terms: shape.taps() * shape.out_c,
            build: |isa, shape, mixed| Some(Box::new(MixedConv::on(isa, shape, mixed, false)?)),
            outputs_as_bf16: shape.in_c.is_multiple_of(2),
        },
        Member {
            reference: conv_weight_grad,
            elements: [x, y, w],
            terms: shape.batch * shape.out_h() * shape.out_w(),
            build: |isa, shape, mixed| Some(Box::new(MixedWeightGrad::on(isa, shape, mixed)?)),
            outputs_as_bf16: false,
        },
    ]
}

fn bits(words: &[f32]) -> Vec<u32> {
    words.iter().map(|v| v.to_bits()).collect()
}

fn check(shape: &ConvShape) {
    use Element::{Bf16, F32};
    for member in triad(shape) {
        let (a, b) = (noise(member.elements[0], 1), noise(member.elements[1], 2));
        let magnitudes = |v: &[f32]| -> Vec<f32> { rounded(v).iter().map(|v| v.abs()).collect() };
        let sums = (member.reference)(shape, &rounded(&a), &rounded(&b));
        let sizes = (member.reference)(shape, &magnitudes(&a), &magnitudes(&b));
        let expected: Vec<(f64, f64)> = sums.into_iter().zip(sizes).collect();
        for isa in PairIsa::available() {
            for mixed in [
                Mixed::F32,
                Mixed { a: Bf16, b: F32, out: F32 },
                Mixed { a: F32, b: Bf16, out: Bf16 },
                Mixed { a: Bf16, b: Bf16, out: F32 },
                Mixed { a: Bf16, b: Bf16, out: Bf16 },
            ] {
                let Some(kernel) = (member.build)(isa, *shape, mixed) else {
                    assert!(
                        mixed.out == Bf16 && !member.outputs_as_bf16,
                        "{mixed:?} of {shape:?} is refused"
                    );
                    continue;
                };
                let what = format!("{} on {isa:?} of {mixed:?} {shape:?}", kernel.name());
                let inputs = [stored(&a, mixed.a), stored(&b, mixed.b)];
                let got = run(kernel.as_ref(), isa.isa, &inputs, false);
                assert_close(&got, mixed.out, member.elements[2], &expected, member.terms, &what);
                let reverse = run(kernel.as_ref(), isa.isa, &inputs, true);
                assert_eq!(bits(&got), bits(&reverse), "{what}: the order of tasks matters");
            }
        }
    }
}

#[test]
fn channel_counts_around_vectors_and_panels() {
    for in_c in [16, 17, 30, 33, 50] {
        for out_c in [16, 19, 32, 34, 47] {
            check(&square(2, 5, in_c, out_c, 3, 2, 1));
        }
    }
    check(&square(2, 4, 65, 70, 1, 1, 0));
}

#[test]
fn strides_dilations_and_padding() {
    let mut cases = 0;
    for stride in 1..=3 {
        for dilation in 1..=2 {
            for (k, low, high) in [(1, 0, 0), (2, 0, 1), (3, 1, 1), (4, 1, 2), (5, 4, 0), (3, 7, 5)] {
                let mut shape = square(2, 8, 18, 21, k, stride, low);
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
    assert!(cases > 30, "only {cases} cases are valid");
}

#[test]
fn each_axis_has_its_own_geometry() {
    check(&ConvShape {
        batch: 3,
        in_h: 11,
        in_w: 8,
        in_c: 20,
        out_c: 35,
        kernel: [2, 5],
        stride: [3, 1],
        pad_low: [1, 0],
        pad_high: [0, 3],
        dilation: [2, 1],
        groups: 1,
    });
}

#[test]
fn enough_pixels_for_full_blocks_and_several_chunks() {
    check(&square(9, 14, 17, 40, 5, 2, 2));
    check(&square(5, 16, 32, 48, 4, 2, 1));
    check(&square(40, 1, 37, 21, 1, 1, 0));
    // A row of 81 taps of 64 channels is so long that the matrix unit's copies hold a tile of rows, a block many.
    check(&square(1, 14, 64, 16, 9, 1, 4));
}

#[test]
fn tiles_are_stored_where_their_rows_are_regular() {
    check(&square(48, 8, 32, 32, 1, 1, 0));
}

#[test]
fn the_matrix_unit_adds_blocks_to_blocks() {
    // Whole registers, which are added to where they lie, and others.
    for (in_c, out_c) in [(32, 64), (17, 19)] {
        let shape = square(9, 14, in_c, out_c, 5, 2, 2);
        let (x, dy) = (noise(shape.input_words(), 1), noise(shape.output_words(), 2));
        let magnitudes = |v: &[f32]| -> Vec<f32> { rounded(v).iter().map(|v| v.abs()).collect() };
        let sums = conv_weight_grad(&shape, &rounded(&x), &rounded(&dy));
        let sizes = conv_weight_grad(&shape, &magnitudes(&x), &magnitudes(&dy));
        let expected: Vec<(f64, f64)> = sums.into_iter().zip(sizes).collect();
        for isa in PairIsa::available() {
            let kernel = MixedWeightGrad::on(isa, shape, Mixed::F32).expect("computed");
            // Two lines of eight places a block, of which the last of a chunk may be one.
            let Some(kernel) = kernel.in_blocks(16) else {
                assert!(!isa.tiles(), "the shape suits the unit");
                continue;
            };
            let got = run(&kernel, isa.isa, &[x.clone(), dy.clone()], false);
            let terms = shape.batch * shape.out_h() * shape.out_w();
            assert_close(&got, Element::F32, shape.weight_words(), &expected, terms, "in blocks");
        }
    }
}

#[test]
fn many_channels_are_taken_in_parts() {
    check(&square(2, 3, 530, 18, 1, 1, 0));
    check(&square(2, 3, 18, 600, 1, 1, 0));
}

#[test]
fn an_image_does_not_depend_on_its_batch() {
    let one = square(1, 14, 18, 40, 5, 2, 2);
    let many = ConvShape { batch: 13, ..one };
    let last = |v: &[f32]| v[v.len() / 13 * 12..].to_vec();
    for isa in PairIsa::available() {
        for forward in [true, false] {
            let kernel = |shape| MixedConv::on(isa, shape, Mixed::F32, forward).expect("computed");
            let a = noise(if forward { many.input_words() } else { many.output_words() }, 1);
            let w = noise(many.weight_words(), 2);
            let got = run(&kernel(many), isa.isa, &[a.clone(), w.clone()], false);
            let alone = run(&kernel(one), isa.isa, &[last(&a), w], false);
            assert_eq!(bits(&last(&got)), bits(&alone), "{isa:?}");
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let shape = square(9, 14, 17, 40, 5, 2, 2);
    for member in triad(&shape) {
        let inputs = [noise(member.elements[0], 1), noise(member.elements[1], 2)];
        for isa in PairIsa::available() {
            let kernel = || (member.build)(isa, shape, Mixed::F32).expect("computed");
            assert_threads_agree(kernel, isa.isa, &inputs);
        }
    }
}

#[test]
fn truncated_operands_are_told_from_rounded_ones() {
    let shape = square(2, 6, 16, 32, 3, 1, 1);
    for member in triad(&shape) {
        let (a, b) = (noise(member.elements[0], 1), noise(member.elements[1], 2));
        let sums = (member.reference)(&shape, &chop(&a), &chop(&b));
        let magnitudes = |v: &[f32]| -> Vec<f32> { v.iter().map(|v| v.abs()).collect() };
        let sizes = (member.reference)(&shape, &magnitudes(&a), &magnitudes(&b));
        let wrong: Vec<(f64, f64)> = sums.into_iter().zip(sizes).collect();
        for isa in PairIsa::available() {
            let kernel = (member.build)(isa, shape, Mixed::F32).expect("computed");
            let got = run(kernel.as_ref(), isa.isa, &[a.clone(), b.clone()], false);
            let caught = std::panic::catch_unwind(|| {
                assert_close(&got, Element::F32, member.elements[2], &wrong, member.terms, "truncated");
            });
            assert!(caught.is_err(), "{} on {isa:?} passes for truncation", kernel.name());
        }
    }
}

#[test]
fn other_shapes_are_refused() {
    let good = square(2, 6, 16, 32, 3, 1, 1);
    let computed = |shape| {
        let all = [
            MixedConv::forward(Isa::Portable, shape, Mixed::F32).is_some(),
            MixedConv::input_grad(Isa::Portable, shape, Mixed::F32).is_some(),
            MixedWeightGrad::new(Isa::Portable, shape, Mixed::F32).is_some(),
        ];
        assert!(all.iter().all(|&c| c == all[0]), "the triad agrees");
        all[0]
    };
    assert!(computed(good));
    assert!(!computed(ConvShape { groups: 2, ..good }));
    assert!(!computed(ConvShape { in_c: 15, ..good }));
    assert!(!computed(ConvShape { out_c: 15, ..good }));
    assert!(!computed(ConvShape { batch: 0, ..good }));
}
