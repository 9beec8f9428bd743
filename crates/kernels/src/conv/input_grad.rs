//! The input gradient `dx` of `<conv(x, w), dy>`, which is the transposed convolution of `dy` by `w`.

use super::gather::Gather;
use super::shape::{ConvShape, ConvShapeError};
use crate::isa::Isa;
use crate::kernel::{Kernel, OperandSpec, Operands};

/// The input gradient `dx` of `<conv(x, w), dy>`, which is the transposed convolution of `dy` by `w`.
///
/// Operands: `dy [N, OH, OW, C_out]` read, `w [KH, KW, C_in / groups, C_out]` read, `dx [N, H, W, C_in]` written,
/// and, unless the convolution is depthwise, a workspace for packed weights.
#[derive(Clone, Debug)]
pub struct ConvInputGrad {
    flops: u64,
    gather: Gather,
}

impl ConvInputGrad {
    /// Plans the kernel for the instruction set that it will be run on.
    ///
    /// # Errors
    /// The shape is not valid.
    pub fn new(isa: Isa, shape: ConvShape) -> Result<Self, ConvShapeError> {
        shape.validate()?;
        Ok(Self { flops: shape.flops(), gather: Gather::input_grad(isa, &shape) })
    }
}

// SAFETY: operands, stages and tasks are those of the gather that runs: its inputs are only read, packed weights lie
// in a workspace that a stage of its own fills, and a task owns a share of the channels in its blocks of the output.
unsafe impl Kernel for ConvInputGrad {
    fn name(&self) -> &'static str {
        "conv.input_grad"
    }

    fn flops(&self) -> u64 {
        self.flops
    }

    fn operands(&self) -> Vec<OperandSpec> {
        self.gather.operands()
    }

    fn stages(&self) -> usize {
        self.gather.stages()
    }

    fn tasks(&self, stage: usize) -> usize {
        self.gather.tasks(stage)
    }

    fn local_words(&self) -> usize {
        self.gather.local_words()
    }

    unsafe fn run(&self, isa: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        assert_eq!(isa, self.gather.isa, "the weights' packing was planned for another instruction set");
        // SAFETY: forwarded from the caller.
        unsafe { self.gather.run(stage, task, operands, local) }
    }
}
