//! Which algorithm computes a forward pass or an input gradient ([`super::weight_grad`] chooses its own).

use super::few_outputs::FewOutputs;
use super::few_sources::FewSources;
use super::gather::Gather;
use super::shape::{ConvShape, ConvShapeError};
use super::winograd::Winograd;
use crate::fused::Sink;
use crate::isa::Isa;
use crate::kernel::{OperandSpec, Operands};
use std::fmt;

/// Which algorithms may be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Only sums of products as the definition has them.
    Direct,
    /// Winograd's too, where the shape without its batch says that it pays. Its relative error is larger, by up to
    /// ten times: see [`crate::conv`].
    #[default]
    Any,
}

/// The name given for an [`Algorithm`] is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAlgorithm(String);

impl fmt::Display for UnknownAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown convolution algorithm `{}`: GANYMEDE_CONV takes `direct` or `any`", self.0)
    }
}

impl std::error::Error for UnknownAlgorithm {}

impl Algorithm {
    /// Every choice.
    pub const ALL: [Algorithm; 2] = [Algorithm::Direct, Algorithm::Any];

    /// The name used by `GANYMEDE_CONV`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Direct => "direct",
            Algorithm::Any => "any",
        }
    }

    /// What the environment variable `GANYMEDE_CONV` says, else any.
    ///
    /// # Errors
    /// It says something else than a name.
    pub fn from_env() -> Result<Algorithm, UnknownAlgorithm> {
        match std::env::var("GANYMEDE_CONV") {
            Ok(name) if !name.trim().is_empty() => {
                let known = Self::ALL.into_iter().find(|a| a.name() == name.trim().to_ascii_lowercase());
                known.ok_or(UnknownAlgorithm(name))
            }
            _ => Ok(Algorithm::Any),
        }
    }
}

/// The algorithm chosen, planned.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    Direct(Box<Gather>),
    FewSources(Box<FewSources>),
    FewOutputs(Box<FewOutputs>),
    Winograd(Box<Winograd>),
}

/// Which of the two kernels whose result is an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    InputGrad,
}

/// `$plan.$method(..)` of whichever algorithm it is.
macro_rules! of {
    ($choice:expr, $method:ident $(, $argument:expr)*) => {
        match $choice {
            Choice::Direct(plan) => plan.$method($($argument),*),
            Choice::FewSources(plan) => plan.$method($($argument),*),
            Choice::FewOutputs(plan) => plan.$method($($argument),*),
            Choice::Winograd(plan) => plan.$method($($argument),*),
        }
    };
}

impl Choice {
    pub fn new(
        isa: Isa,
        shape: &ConvShape,
        direction: Direction,
        algorithm: Algorithm,
    ) -> Result<Choice, ConvShapeError> {
        shape.validate()?;
        let (few_sources, few_outputs) = match direction {
            Direction::Forward => (FewSources::forward(isa, shape), FewOutputs::forward(isa, shape)),
            Direction::InputGrad => (FewSources::input_grad(isa, shape), FewOutputs::input_grad(isa, shape)),
        };
        if let Some(plan) = few_sources {
            return Ok(Choice::FewSources(Box::new(plan)));
        }
        if let Some(plan) = few_outputs {
            return Ok(Choice::FewOutputs(Box::new(plan)));
        }
        let direct = match direction {
            Direction::Forward => Gather::forward(isa, shape),
            Direction::InputGrad => Gather::input_grad(isa, shape),
        };
        if algorithm == Algorithm::Any {
            let winograd = match direction {
                Direction::Forward => Winograd::forward(isa, shape),
                Direction::InputGrad => Winograd::input_grad(isa, shape),
            };
            if let Some(winograd) = winograd.filter(|plan| plan.cost() < direct.cost()) {
                return Ok(Choice::Winograd(Box::new(winograd)));
            }
        }
        Ok(Choice::Direct(Box::new(direct)))
    }

    pub fn operands(&self) -> Vec<OperandSpec> {
        of!(self, operands)
    }

    pub fn stages(&self) -> usize {
        of!(self, stages)
    }

    pub fn tasks(&self, stage: usize) -> usize {
        of!(self, tasks, stage)
    }

    pub fn local_words(&self) -> usize {
        of!(self, local_words)
    }

    /// Words of the result that are finished together, 0 if they are not announced.
    pub fn run_words(&self) -> usize {
        of!(self, run_words)
    }

    /// Runs one task, announcing finished words of the result to `sink`.
    ///
    /// # Safety
    /// As [`Kernel::run`](crate::kernel::Kernel::run).
    pub unsafe fn run(
        &self,
        isa: Isa,
        stage: usize,
        task: usize,
        operands: &Operands<'_>,
        local: &mut [f32],
        sink: Option<&dyn Sink>,
    ) {
        let planned = match self {
            Choice::Direct(plan) => plan.isa,
            Choice::FewSources(plan) => plan.isa,
            Choice::FewOutputs(plan) => plan.isa,
            Choice::Winograd(plan) => plan.isa(),
        };
        assert_eq!(isa, planned, "the weights' packing was planned for another instruction set");
        // SAFETY: forwarded from the caller.
        unsafe { of!(self, run, stage, task, operands, local, sink) }
    }
}
