//! The input gradient `dx` of `<conv(x, w), dy>`, which is the transposed convolution of `dy` by `w`.

use super::choice::{Algorithm, Choice, Direction};
use super::shape::{ConvShape, ConvShapeError};
use crate::fused::{Contraction, Sink};
use crate::isa::Isa;
use crate::kernel::{Kernel, OperandSpec, Operands};

/// The input gradient `dx` of `<conv(x, w), dy>`, which is the transposed convolution of `dy` by `w`.
///
/// Operands: `dy [N, OH, OW, C_out]` read, `w [KH, KW, C_in / groups, C_out]` read, `dx [N, H, W, C_in]` written,
/// and, unless the convolution is depthwise, a workspace for packed weights.
#[derive(Clone, Debug)]
pub struct ConvInputGrad {
    flops: u64,
    choice: Choice,
}

impl ConvInputGrad {
    /// Plans the kernel for the instruction set that it will be run on.
    ///
    /// # Errors
    /// The shape is not valid.
    pub fn new(isa: Isa, shape: ConvShape, algorithm: Algorithm) -> Result<Self, ConvShapeError> {
        let choice = Choice::new(isa, &shape, Direction::InputGrad, algorithm)?;
        Ok(Self { flops: shape.flops(), choice })
    }
}

// SAFETY: operands, stages and tasks are those of the algorithm that runs: its inputs are only read, packed weights or
// transformed tiles lie in a workspace that stages of their own fill, and a task owns its blocks of the output or a share of
// their channels.
unsafe impl Kernel for ConvInputGrad {
    fn name(&self) -> &'static str {
        match self.choice {
            Choice::Direct(_) | Choice::FewSources(_) | Choice::FewOutputs(_) => "conv.input_grad",
            Choice::Winograd(_) => "winograd.input_grad",
        }
    }

    fn flops(&self) -> u64 {
        self.flops
    }

    fn operands(&self) -> Vec<OperandSpec> {
        self.choice.operands()
    }

    fn stages(&self) -> usize {
        self.choice.stages()
    }

    fn tasks(&self, stage: usize) -> usize {
        self.choice.tasks(stage)
    }

    fn local_words(&self) -> usize {
        self.choice.local_words()
    }

    unsafe fn run(&self, isa: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        // SAFETY: forwarded from the caller.
        unsafe { self.choice.run(isa, stage, task, operands, local, None) }
    }
}

// SAFETY: the last stage computes the result, whose words a task announces block by block or tile by tile; where several
// stages do, `run_words` is 0 and nothing is announced.
unsafe impl Contraction for ConvInputGrad {
    fn run_words(&self) -> usize {
        self.choice.run_words()
    }

    unsafe fn run_into(
        &self,
        isa: Isa,
        stage: usize,
        task: usize,
        operands: &Operands<'_>,
        local: &mut [f32],
        sink: Option<&dyn Sink>,
    ) {
        // SAFETY: forwarded from the caller.
        unsafe { self.choice.run(isa, stage, task, operands, local, sink) }
    }
}
