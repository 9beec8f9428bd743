//! What phases run on: a target to compile for and a pool of threads.

use crate::error::CpuError;
use ganymede_kernels::conv::Algorithm;
use ganymede_kernels::isa::{Isa, IsaError};
use ganymede_kernels::peak::{self, Peak, PeakError};
use ganymede_kernels::pool::Pool;
use std::sync::Arc;

/// What programs are compiled for: everything beside the function that their kernels and bits depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Instruction set.
    pub isa: Isa,
    /// Algorithms for convolutions.
    pub convolutions: Algorithm,
    /// Whether passes over the result of a contraction run with it where they can. Elementwise results are the same
    /// bits either way; sums over them are added in another order.
    pub fuse: bool,
}

impl From<Isa> for Target {
    fn from(isa: Isa) -> Target {
        Target { isa, convolutions: Algorithm::Any, fuse: true }
    }
}

/// How an [`Executor`] is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExecutorOptions {
    /// Number of threads; the available parallelism if `None`.
    pub threads: Option<usize>,
    /// Instruction set; [`Isa::from_env`] if `None`.
    pub isa: Option<Isa>,
    /// Algorithms for convolutions; [`Algorithm::from_env`] if `None`.
    pub convolutions: Option<Algorithm>,
    /// Runs every pass apart from contractions, for comparison: see [`Target::fuse`].
    pub unfused: bool,
}

/// A target and a persistent pool of threads, shared by sessions.
#[derive(Debug)]
pub struct Executor {
    target: Target,
    pub(crate) pool: Pool,
}

impl Executor {
    /// Starts the threads.
    ///
    /// # Errors
    /// No threads are asked for, the system refuses them, or the instruction set is unknown or not supported.
    pub fn new(options: ExecutorOptions) -> Result<Arc<Executor>, CpuError> {
        let isa = match options.isa {
            Some(isa) if !isa.supported() => return Err(IsaError::Unsupported(isa).into()),
            Some(isa) => isa,
            None => Isa::from_env()?,
        };
        let threads = options
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        let convolutions = options.convolutions.map_or_else(Algorithm::from_env, Ok)?;
        Ok(Arc::new(Executor {
            target: Target { isa, convolutions, fuse: !options.unfused },
            pool: Pool::new(threads)?,
        }))
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.target.isa
    }

    /// What programs are compiled for.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// What the threads can do at best with this instruction set, measured in about half a second.
    ///
    /// # Errors
    /// As for [`peak::measure`].
    pub fn peak(&self) -> Result<Peak, PeakError> {
        peak::measure(self.target.isa, &self.pool)
    }
}
