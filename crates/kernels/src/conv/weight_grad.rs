//! The weight gradient `dw` of `<conv(x, w), dy>`.
//!
//! `dw[ky, kx, ci, co] = sum over output pixels of x[pixel under the tap, ci] * dy[pixel, co]`. Stage 0 sums
//! chunks of pixels, each task one chunk's filter row and output channels; stage 1 adds the chunks in order. The
//! cut depends on the shape only, so the bits do not depend on the number of threads. Where the shape without its batch
//! says that it pays, Winograd's algorithm takes its place ([`super::winograd`]).

use super::axis::Axis;
use super::choice::Algorithm;
use super::few_weights::FewWeights;
use super::gather::share;
use super::shape::{ConvShape, ConvShapeError};
use super::weight_lanes::InputLanes;
use super::weight_plan::{DW, Method, PARTIAL, WeightPlan};
use super::weight_tile::TiledRun;
use super::weight_vector::VectorRun;
use super::winograd::WinogradWeightGrad;
use crate::isa::Isa;
use crate::kernel::{Kernel, OperandSpec, Operands};
use crate::simd::{Simd, WithSimd, run_on};
use std::ops::Range;

/// The weight gradient `dw` of `<conv(x, w), dy>`.
///
/// Operands: `x [N, H, W, C_in]` read, `dy [N, OH, OW, C_out]` read, `dw [KH, KW, C_in / groups, C_out]` written,
/// and, where pixels are cut into chunks or transformed, a workspace.
#[derive(Clone, Debug)]
pub struct ConvWeightGrad {
    flops: u64,
    choice: Choice,
}

/// The algorithm chosen, planned.
#[derive(Clone, Debug)]
enum Choice {
    Direct(Box<WeightPlan>),
    Lanes(Box<InputLanes>),
    Few(Box<FewWeights>),
    Winograd(Box<WinogradWeightGrad>),
}

impl ConvWeightGrad {
    /// Plans the kernel for the instruction set that it will be run on.
    ///
    /// # Errors
    /// The shape is not valid.
    pub fn new(isa: Isa, shape: ConvShape, algorithm: Algorithm) -> Result<Self, ConvShapeError> {
        shape.validate()?;
        if let Some(plan) = FewWeights::new(isa, &shape) {
            return Ok(Self { flops: shape.flops(), choice: Choice::Few(Box::new(plan)) });
        }
        let choice = if let Some(plan) = winograd(isa, &shape, algorithm) {
            Choice::Winograd(Box::new(plan))
        } else if let Some(plan) = InputLanes::new(isa, &shape) {
            Choice::Lanes(Box::new(plan))
        } else {
            Choice::Direct(Box::new(WeightPlan::new(isa, shape)))
        };
        Ok(Self { flops: shape.flops(), choice })
    }
}

/// Winograd's algorithm, if it may be chosen and pays.
fn winograd(isa: Isa, shape: &ConvShape, algorithm: Algorithm) -> Option<WinogradWeightGrad> {
    let plan = match algorithm {
        Algorithm::Direct => None,
        Algorithm::Any => WinogradWeightGrad::new(isa, shape),
    };
    plan.filter(|plan| plan.cost() < direct_cost(shape))
}

/// Multiply-adds of the direct kernel for an image: those taps of the outputs that meet the image.
fn direct_cost(shape: &ConvShape) -> f64 {
    let met = |axis| Axis::forward(shape, axis).met();
    met(0) as f64 * met(1) as f64 * (shape.in_group() * shape.out_c) as f64
}

// SAFETY: operands, stages and tasks are those of the plan that runs: images and gradients are only read. Directly, a
// summing task owns its taps and channels in its chunk's partial sums, a combining task its rows of the result; by
// Winograd's algorithm, a transforming task owns its tiles of the workspace, a multiplying task its channels of the
// result.
unsafe impl Kernel for ConvWeightGrad {
    fn name(&self) -> &'static str {
        match self.choice {
            Choice::Direct(_) | Choice::Lanes(_) | Choice::Few(_) => "conv.weight_grad",
            Choice::Winograd(_) => "winograd.weight_grad",
        }
    }

    fn flops(&self) -> u64 {
        self.flops
    }

    fn operands(&self) -> Vec<OperandSpec> {
        match &self.choice {
            Choice::Direct(plan) => plan.operands(),
            Choice::Lanes(plan) => plan.operands(),
            Choice::Few(plan) => plan.operands(),
            Choice::Winograd(plan) => plan.operands(),
        }
    }

    fn stages(&self) -> usize {
        match &self.choice {
            Choice::Direct(plan) => 1 + usize::from(plan.combines()),
            Choice::Lanes(plan) => plan.stages(),
            Choice::Few(plan) => plan.stages(),
            Choice::Winograd(plan) => plan.stages(),
        }
    }

    fn tasks(&self, stage: usize) -> usize {
        match &self.choice {
            Choice::Direct(plan) if stage == 0 => plan.sum_tasks(),
            Choice::Direct(plan) => plan.combine_tasks(),
            Choice::Lanes(plan) => plan.tasks(stage),
            Choice::Few(plan) => plan.tasks(stage),
            Choice::Winograd(plan) => plan.tasks(stage),
        }
    }

    fn local_words(&self) -> usize {
        match &self.choice {
            Choice::Direct(plan) => plan.local_words(),
            Choice::Lanes(plan) => plan.local_words(),
            Choice::Few(plan) => plan.local_words(),
            Choice::Winograd(plan) => plan.local_words(),
        }
    }

    unsafe fn run(&self, isa: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        let plan = match &self.choice {
            Choice::Direct(plan) => plan,
            Choice::Lanes(plan) => {
                assert_eq!(isa, plan.isa, "planned for another instruction set");
                // SAFETY: forwarded from the caller.
                return unsafe { plan.run(stage, task, operands, local) };
            }
            Choice::Few(plan) => {
                assert_eq!(isa, plan.isa, "planned for another instruction set");
                // SAFETY: forwarded from the caller.
                return unsafe { plan.run(stage, task, operands, local) };
            }
            Choice::Winograd(plan) => {
                assert_eq!(isa, plan.isa, "planned for another instruction set");
                // SAFETY: forwarded from the caller.
                return unsafe { plan.run(stage, task, operands, local) };
            }
        };
        assert_eq!(isa, plan.isa, "planned for another instruction set");
        assert!(local.len() >= plan.local_words(), "too little local scratch");
        let local = local.as_mut_ptr();
        // SAFETY: the caller's promises, which are the bodies' contracts.
        unsafe {
            if stage == 1 {
                let rows = share(plan.shape.taps() * plan.shape.in_group(), task, plan.combine_tasks());
                return match plan.method {
                    Method::Few => combine_transposed(plan, rows, operands),
                    Method::Dense | Method::Joined | Method::Depthwise => {
                        run_on(isa, Combine { plan, rows, operands })
                    }
                };
            }
            let task = plan.sum_task(task);
            match plan.method {
                Method::Dense | Method::Joined => run_on(isa, TiledRun { plan, task, operands, local }),
                Method::Few | Method::Depthwise => run_on(isa, VectorRun { plan, task, operands, local }),
            }
        }
    }
}

/// Adds the chunks' partial sums of `rows` (tap, input channel).
struct Combine<'a> {
    plan: &'a WeightPlan,
    rows: Range<usize>,
    operands: &'a Operands<'a>,
}

impl WithSimd for Combine<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, simd: S) {
        let Combine { plan, rows, operands } = self;
        let (out_c, words) = (plan.shape.out_c, plan.shape.weight_words());
        let end = rows.end * out_c;
        for i in (rows.start * out_c..end).step_by(S::LANES) {
            let lanes = S::LANES.min(end - i);
            // SAFETY: `i .. i + lanes` lies in every chunk and in the result, and in no other task's rows.
            unsafe {
                let partial = operands.ptr(PARTIAL).cast_const().add(i);
                let out = operands.ptr(DW).add(i);
                if lanes == S::LANES {
                    let mut sum = simd.load(partial);
                    for chunk in 1..plan.cut.chunks {
                        sum = simd.add(sum, simd.load(partial.add(chunk * words)));
                    }
                    simd.store(out, sum);
                } else {
                    let mut sum = simd.load_first(partial, lanes);
                    for chunk in 1..plan.cut.chunks {
                        sum = simd.add(sum, simd.load_first(partial.add(chunk * words), lanes));
                    }
                    simd.store_first(out, sum, lanes);
                }
            }
        }
    }
}

/// Adds the chunks' partial sums, from `[output channel][row]` to `[row][output channel]`.
///
/// # Safety
/// As [`Kernel::run`]; the rows are this task's.
unsafe fn combine_transposed(plan: &WeightPlan, rows: Range<usize>, operands: &Operands<'_>) {
    let (out_c, words) = (plan.shape.out_c, plan.shape.weight_words());
    let height = plan.shape.taps() * plan.shape.in_group();
    // SAFETY: the partial sums are complete; the rows of the result are this task's alone.
    let (partial, out) =
        unsafe { (operands.read(PARTIAL), operands.write(DW, rows.start * out_c..rows.end * out_c)) };
    for (row, out) in rows.zip(out.chunks_exact_mut(out_c)) {
        for (channel, out) in out.iter_mut().enumerate() {
            *out = (0..plan.cut.chunks).map(|c| partial[c * words + channel * height + row]).sum();
        }
    }
}
