//! Winograd's algorithm against the definition, on every instruction set, with its own stated bound.

use super::super::reference::{conv_forward, conv_input_grad, conv_weight_grad};
use super::super::tests::{noise, run};
use super::super::{Algorithm, ConvShape, ConvWeightGrad};
use super::by_panels::ByPanels;
use super::by_tiles::ByTiles;
use super::{Problem, Winograd, WinogradWeightGrad};
use crate::isa::Isa;
use crate::kernel::{Kernel, OperandSpec, Operands};

/// The stated bound on the relative error in the L2 norm.
const BOUND: f64 = 1e-5;

/// A plan as a kernel, whether or not it pays.
#[derive(Debug)]
struct Forced<P>(P);

macro_rules! forced {
    ($plan:ty $(, $sink:expr)?) => {
        // SAFETY: as for the kernels that run the same plans.
        unsafe impl Kernel for Forced<$plan> {
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
            unsafe fn run(
                &self,
                _: Isa,
                stage: usize,
                task: usize,
                operands: &Operands<'_>,
                local: &mut [f32],
            ) {
                // SAFETY: forwarded from the caller.
                unsafe { self.0.run(stage, task, operands, local $(, $sink)?) }
            }
        }
    };
}
forced!(Winograd, None);
forced!(WinogradWeightGrad);

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

/// The problem cut by tiles, by panels, and by panels with some blocks of tiles, or a single one, at a time.
fn cuts(problem: Option<Problem>) -> [Winograd; 4] {
    let problem = problem.expect("a transform fits");
    let all = ByPanels::new(problem.clone());
    let most = all.operands()[3].words - 1;
    [
        Winograd::ByTiles(ByTiles::new(problem.clone())),
        Winograd::ByPanels(all),
        Winograd::ByPanels(ByPanels::bounded(problem.clone(), most)),
        Winograd::ByPanels(ByPanels::bounded(problem, 1)),
    ]
}

/// A kernel, its inputs and what it should compute.
type Case<'a> = (Box<dyn Kernel>, [&'a [f32]; 2], &'a [f64]);

fn check(shape: &ConvShape) {
    let (x, w) = (noise(shape.input_words(), 1), noise(shape.weight_words(), 2));
    let g = noise(shape.output_words(), 3);
    let (y, dx) = (conv_forward(shape, &x, &w), conv_input_grad(shape, &g, &w));
    let dw = conv_weight_grad(shape, &x, &g);
    for isa in Isa::available() {
        let forward = cuts(Problem::forward(isa, shape));
        let input_grad = cuts(Problem::input_grad(isa, shape));
        let weight_grad = WinogradWeightGrad::new(isa, shape).expect("a transform fits");
        // Room for a single tile asks for chunks of as few tiles as there may be.
        let chunked = WinogradWeightGrad::bounded(isa, shape, 1).expect("a transform fits");
        let mut cases: Vec<Case<'_>> =
            vec![(Box::new(Forced(weight_grad)), [&x, &g], &dw), (Box::new(Forced(chunked)), [&x, &g], &dw)];
        cases.extend(forward.map(|plan| -> Case<'_> { (Box::new(Forced(plan)), [&x, &w], &y) }));
        cases.extend(input_grad.map(|plan| -> Case<'_> { (Box::new(Forced(plan)), [&g, &w], &dx) }));
        for (kernel, inputs, expected) in cases {
            let got = run(&*kernel, isa, inputs, false);
            let error = relative_error(&got, expected);
            assert!(error < BOUND, "{isa:?}, {shape:?}: relative error {error:e}");
            assert_eq!(
                got,
                run(&*kernel, isa, inputs, true),
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
fn strides_of_three_and_more_channels_than_a_block() {
    check(&shape(2, [17, 13], [32, 80], 7, 3, 2));
    check(&shape(1, [15, 20], [16, 16], 9, 3, 0));
    check(&shape(2, [6, 6], [128, 144], 3, 1, 1));
}

/// Tiles of several chunks, the last not full, add up; and a chunk holds more tiles than one sum in the registers.
#[test]
fn chunks_of_tiles_add_up() {
    let shape = shape(19, [20, 20], [16, 48], 4, 2, 1);
    let (x, g) = (noise(shape.input_words(), 1), noise(shape.output_words(), 3));
    let dw = conv_weight_grad(&shape, &x, &g);
    for isa in Isa::available() {
        for words in [1, 1 << 19, usize::MAX] {
            let plan = WinogradWeightGrad::bounded(isa, &shape, words).expect("fits");
            let stages = plan.stages();
            assert_eq!(stages > 2, words < usize::MAX, "{words} words: {stages} stages");
            let kernel = Forced(plan);
            let got = run(&kernel, isa, [&x, &g], false);
            let error = relative_error(&got, &dw);
            assert!(error < BOUND, "{isa:?}, {words} words: relative error {error:e}");
            assert_eq!(got, run(&kernel, isa, [&x, &g], true), "{isa:?}: the order of tasks matters");
        }
    }
}

#[test]
fn workspaces_of_weight_gradients_stay_bounded() {
    for shape in [
        shape(512, [64, 64], [64, 128], 4, 2, 1),
        shape(64, [8, 8], [256, 512], 4, 2, 1),
        shape(256, [16, 16], [1024, 1024], 5, 2, 2),
        shape(100, [28, 28], [16, 1008], 3, 1, 1),
        shape(100, [28, 28], [96, 96], 7, 3, 0),
    ] {
        for isa in Isa::ALL {
            let plan = WinogradWeightGrad::new(isa, &shape).expect("fits");
            // What the points' regions are apart comes on top.
            let words = plan.operands()[3].words;
            assert!(words <= (8 << 20) + (1 << 18), "{isa:?}, {shape:?}: {words} words");
            let local = plan.local_words();
            assert!(local <= 192 << 10, "{isa:?}, {shape:?}: {local} words of scratch");
            for stage in 0..plan.stages() {
                assert!((1..=1024).contains(&plan.tasks(stage)), "{isa:?}, {shape:?}");
            }
        }
    }
}

#[test]
fn the_weight_gradient_is_the_adjoint_and_chosen_by_shape() {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    let norm = |a: &[f32]| dot(a, a).sqrt();
    let shape = shape(3, [14, 14], [64, 128], 5, 2, 2);
    let (x, w) = (noise(shape.input_words(), 1), noise(shape.weight_words(), 2));
    let g = noise(shape.output_words(), 3);
    for isa in Isa::available() {
        let kernel = ConvWeightGrad::new(isa, shape, Algorithm::Any).expect("valid");
        assert_eq!(kernel.name(), "winograd.weight_grad");
        let y = run(&Forced(Winograd::forward(isa, &shape).expect("fits")), isa, [&x, &w], false);
        let dw = run(&kernel, isa, [&x, &g], false);
        // Each side errs by its relative bound times the norms (Cauchy and Schwarz).
        let bound = BOUND * (norm(&y) * norm(&g) + norm(&w) * norm(&dw));
        let error = (dot(&y, &g) - dot(&w, &dw)).abs();
        assert!(error <= bound, "{isa:?}: {error:e} of {bound:e}");
        // The choice does not know the batch.
        let one = ConvWeightGrad::new(isa, ConvShape { batch: 1, ..shape }, Algorithm::Any).expect("valid");
        assert_eq!(one.name(), kernel.name());
        // Tiles would be mostly padding.
        let small = ConvShape { in_h: 5, in_w: 5, pad_low: [0; 2], pad_high: [0; 2], ..shape };
        let small = ConvWeightGrad::new(isa, small, Algorithm::Any).expect("valid");
        assert_eq!(small.name(), "conv.weight_grad");
        let direct = ConvWeightGrad::new(isa, shape, Algorithm::Direct).expect("valid");
        assert_eq!(direct.name(), "conv.weight_grad");
    }
}

/// Each image of `many` gets the bits that `one` gives it alone, however either is cut.
fn check_images(
    isa: Isa,
    [one, many]: [&ConvShape; 2],
    plan: impl Fn(Isa, &ConvShape) -> Option<Problem>,
    (images, weights): (&[f32], &[f32]),
) {
    let (alone, together) = (cuts(plan(isa, one)), cuts(plan(isa, many)));
    for (alone, together) in alone.map(Forced).iter().zip(&together.map(Forced)) {
        let all = run(together, isa, [images, weights], false);
        for image in [0, many.batch / 2, many.batch - 1] {
            let (from, to) = (images.len() / many.batch, all.len() / many.batch);
            let got = run(alone, isa, [&images[image * from..][..from], weights], false);
            assert_eq!(got, all[image * to..][..to], "{isa:?}, {many:?}: image {image}");
        }
    }
}

#[test]
fn more_tiles_than_a_block_give_each_image_the_same_bits() {
    let (one, many) = (shape(1, [14, 14], [64, 32], 5, 2, 2), shape(37, [14, 14], [64, 32], 5, 2, 2));
    let (x, w) = (noise(many.input_words(), 5), noise(many.weight_words(), 6));
    for isa in Isa::available() {
        check_images(isa, [&one, &many], Problem::forward, (&x, &w));
    }
}

/// Phases of an input gradient share a window where the one that begins later needs no tile more: not where the others
/// fill their tiles.
#[test]
fn phases_of_the_outputs_share_tiles_where_these_have_room() {
    for (size, kernel, pad, jobs) in
        [(14, 4, 1, 1), (28, 4, 1, 1), (16, 4, 1, 4), (14, 5, 2, 1), (32, 4, 1, 4)]
    {
        let one = shape(1, [size; 2], [32, 64], kernel, 2, pad);
        let many = ConvShape { batch: 23, ..one };
        check(&one);
        let (g, w) = (noise(many.output_words(), 5), noise(many.weight_words(), 6));
        for isa in Isa::available() {
            assert_eq!(Problem::input_grad(isa, &many).expect("fits").jobs.len(), jobs, "{many:?}");
            check_images(isa, [&one, &many], Problem::input_grad, (&g, &w));
        }
    }
}

/// Panels where their weights are many, tiles where these are.
#[test]
fn shapes_are_cut_the_cheaper_way() {
    for isa in Isa::ALL {
        for (size, channels, panels) in [(8, [256, 512], true), (64, [32, 64], false)] {
            let shape = shape(64, [size; 2], channels, 4, 2, 1);
            let forward = Winograd::forward(isa, &shape).expect("fits");
            assert_eq!(matches!(forward, Winograd::ByPanels(_)), panels, "{isa:?}, {shape:?}");
            // The choice does not know the batch.
            let one = Winograd::forward(isa, &ConvShape { batch: 1, ..shape }).expect("fits");
            assert_eq!(matches!(one, Winograd::ByPanels(_)), panels, "{isa:?}, {shape:?}");
        }
    }
}

#[test]
fn workspace_and_scratch_of_panels_stay_bounded() {
    for shape in [
        shape(512, [64, 64], [64, 128], 4, 2, 1),
        shape(64, [8, 8], [256, 512], 4, 2, 1),
        shape(256, [16, 16], [1024, 1024], 5, 2, 2),
        shape(100, [28, 28], [16, 1008], 3, 1, 1),
        shape(100, [28, 28], [96, 96], 7, 3, 0),
        shape(8, [128, 128], [64, 64], 16, 8, 4),
    ] {
        for isa in Isa::ALL {
            for problem in [Problem::forward(isa, &shape), Problem::input_grad(isa, &shape)] {
                let plan = ByPanels::new(problem.expect("fits"));
                // Where its scratch is too large for L2 it is never chosen.
                let local = plan.local_words();
                assert!(local <= 320 << 10 || plan.cost().is_infinite(), "{isa:?}, {shape:?}: {local} words");
                // A block of 64 tiles of 1024 channels of four phases at 36 points has more than 4 Mi words.
                let words = plan.operands()[3].words;
                assert!(words <= 10 << 20 || plan.cost().is_infinite(), "{isa:?}, {shape:?}: {words} words");
                for stage in 0..plan.stages() {
                    assert!((1..=2048).contains(&plan.tasks(stage)), "{isa:?}, {shape:?}");
                }
            }
        }
    }
    let finite = |shape: &ConvShape| {
        ByPanels::new(Problem::forward(Isa::Avx512, shape).expect("fits")).cost().is_finite()
    };
    assert!(finite(&shape(64, [8, 8], [256, 512], 4, 2, 1)));
    assert!(!finite(&shape(8, [128, 128], [64, 64], 16, 8, 4)));
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
        assert!(WinogradWeightGrad::new(Isa::Portable, &misfit).is_none(), "{misfit:?}");
        // They are valid shapes all the same.
        ConvWeightGrad::new(Isa::Portable, misfit, Algorithm::Any).expect("valid");
    }
}
