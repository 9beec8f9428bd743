//! Winograd's algorithm against the definition, on every instruction set, with its own stated bound.

use super::super::reference::{conv_forward, conv_input_grad};
use super::super::tests::{noise, run};
use super::super::{ConvShape, ConvWeightGrad};
use super::Winograd;
use crate::isa::Isa;
use crate::kernel::{Kernel, OperandSpec, Operands};

/// The stated bound on the relative error in the L2 norm.
const BOUND: f64 = 1e-5;

/// The plan as a kernel, whether or not it pays.
#[derive(Debug)]
struct Forced(Winograd);

// SAFETY: as for `ConvForward` and `ConvInputGrad`, which run the same plans.
unsafe impl Kernel for Forced {
    fn name(&self) -> &'static str {
        "winograd"
    }
    fn flops(&self) -> u64 {
        0
    }
    fn operands(&self) -> Vec<OperandSpec> {
        self.0.operands()
    }
    fn stages(&self) -> usize {
        self.0.stages()
    }
    fn tasks(&self, stage: usize) -> usize {
        self.0.tasks(stage)
    }
    fn local_words(&self) -> usize {
        self.0.local_words()
    }
    unsafe fn run(&self, _: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        // SAFETY: forwarded from the caller.
        unsafe { self.0.run(stage, task, operands, local, None) }
    }
}

fn shape(
    batch: usize,
    size: [usize; 2],
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    pad: usize,
) -> ConvShape {
    ConvShape {
        batch,
        in_h: size[0],
        in_w: size[1],
        in_c: channels[0],
        out_c: channels[1],
        kernel: [kernel; 2],
        stride: [stride; 2],
        pad_low: [pad; 2],
        pad_high: [pad; 2],
        dilation: [1, 1],
        groups: 1,
    }
}

fn relative_error(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let square = |x: f64| x * x;
    let error: f64 = got.iter().zip(expected).map(|(&g, &e)| square(f64::from(g) - e)).sum();
    (error / expected.iter().copied().map(square).sum::<f64>()).sqrt()
}

fn check(shape: &ConvShape) {
    let (x, w) = (noise(shape.input_words(), 1), noise(shape.weight_words(), 2));
    let g = noise(shape.output_words(), 3);
    let (y, dx) = (conv_forward(shape, &x, &w), conv_input_grad(shape, &g, &w));
    for isa in Isa::available() {
        let forward = Winograd::forward(isa, shape).expect("a transform fits");
        let input_grad = Winograd::input_grad(isa, shape).expect("a transform fits");
        for (plan, inputs, expected) in [(forward, [&x[..], &w], &y), (input_grad, [&g[..], &w], &dx)] {
            let kernel = Forced(plan);
            let got = run(&kernel, isa, inputs, false);
            let error = relative_error(&got, expected);
            assert!(error < BOUND, "{isa:?}, {shape:?}: relative error {error:e}");
            assert_eq!(
                got,
                run(&kernel, isa, inputs, true),
                "{isa:?}, {shape:?}: the order of tasks matters"
            );
        }
    }
}

#[test]
fn strided_filters_of_four_and_five_taps() {
    check(&shape(2, [8, 8], [16, 32], 4, 2, 1));
    check(&shape(3, [14, 14], [32, 48], 5, 2, 2));
    // Tiles that reach past the outputs, sides that differ, padding wider than the filter needs.
    check(&shape(1, [11, 16], [16, 16], 4, 2, 2));
    check(&shape(1, [9, 13], [48, 16], 5, 2, 0));
}

#[test]
fn filters_of_two_and_three_taps() {
    check(&shape(2, [7, 9], [16, 32], 3, 1, 1));
    check(&shape(1, [12, 5], [16, 16], 2, 1, 0));
    check(&shape(1, [16, 16], [16, 16], 6, 2, 2));
}

#[test]
fn more_tiles_than_a_block_give_each_image_the_same_bits() {
    let (one, many) = (shape(1, [14, 14], [64, 32], 5, 2, 2), shape(37, [14, 14], [64, 32], 5, 2, 2));
    let (x, w) = (noise(many.input_words(), 5), noise(many.weight_words(), 6));
    for isa in Isa::available() {
        let all = run(&Forced(Winograd::forward(isa, &many).expect("fits")), isa, [&x, &w], false);
        let alone = Forced(Winograd::forward(isa, &one).expect("fits"));
        for image in [0, 17, 36] {
            let from = &x[image * one.input_words()..][..one.input_words()];
            let expected = &all[image * one.output_words()..][..one.output_words()];
            assert_eq!(run(&alone, isa, [from, &w], false), expected, "{isa:?}: image {image}");
        }
    }
}

#[test]
fn shapes_without_a_transform_are_left_to_the_direct_kernel() {
    let plain = shape(1, [12, 12], [16, 16], 4, 2, 1);
    let misfits = [
        ConvShape { in_c: 24, ..plain },
        ConvShape { out_c: 1, ..plain },
        ConvShape { groups: 2, ..plain },
        ConvShape { dilation: [2, 2], ..plain },
        ConvShape { kernel: [7, 7], ..plain },
        ConvShape { kernel: [1, 1], stride: [1, 1], ..plain },
        ConvShape { kernel: [5, 5], stride: [1, 1], ..plain },
    ];
    for misfit in misfits {
        assert!(Winograd::forward(Isa::Portable, &misfit).is_none(), "{misfit:?}");
        assert!(Winograd::input_grad(Isa::Portable, &misfit).is_none(), "{misfit:?}");
        // They are valid shapes all the same.
        ConvWeightGrad::new(Isa::Portable, misfit).expect("valid");
    }
}
