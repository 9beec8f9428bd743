//! Runs graphs on the CPU: fuse, schedule, plan memory, execute.
//!
//! A [`Session`] owns named state in a [`StateStore`] and a list of compiled phases. A phase is a
//! [`Function`](ganymede_graph::Function) lowered once: elementwise chains become passes, contractions kernels,
//! intermediate values places in one arena that all phases share. Running it allocates nothing and looks nothing
//! up; its updates reach the state together, last, and only if its gate is open.

#![forbid(unsafe_code)]

mod compile;
mod error;
mod executor;
mod session;
mod stats;
mod store;

pub use error::CpuError;
pub use executor::{Bf16, Executor, ExecutorOptions, MemoryMode, Precision, Target};
pub use ganymede_kernels::conv::Algorithm;
pub use ganymede_kernels::isa::{Isa, fast_bf16, has_bf16, has_tiles};
pub use ganymede_kernels::machine::RunReport;
pub use session::{PhaseId, ProfileEntry, Session};
pub use stats::{PhaseStats, plan, plan_phases, plan_within};
pub use store::StateStore;
