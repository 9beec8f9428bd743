//! What phases run on: an instruction set and a pool of threads.

use crate::error::CpuError;
use ganymede_kernels::isa::{Isa, IsaError};
use ganymede_kernels::pool::Pool;
use std::sync::Arc;

/// How an [`Executor`] is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExecutorOptions {
    /// Number of threads; the available parallelism if `None`.
    pub threads: Option<usize>,
    /// Instruction set; [`Isa::from_env`] if `None`.
    pub isa: Option<Isa>,
}

/// An instruction set and a persistent pool of threads, shared by sessions.
#[derive(Debug)]
pub struct Executor {
    isa: Isa,
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
        Ok(Arc::new(Executor { isa, pool: Pool::new(threads)? }))
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }
}
