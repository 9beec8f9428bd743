//! What a phase costs, known before it runs.

use crate::compile::{Lowered, Program, lower};
use crate::error::CpuError;
use crate::executor::Target;
use ganymede_graph::Function;
use ganymede_kernels::kernel::WORD;
use ganymede_kernels::machine::thread_words;
use std::collections::BTreeMap;

/// Cost of one run of a phase. Bytes are of memory held, not of traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhaseStats {
    /// Floating-point operations of matrix products and convolutions; a multiply-add is two.
    pub contraction_flops: u64,
    /// Number of calls of each kernel, by name.
    pub kernels: Vec<(String, usize)>,
    /// Arena for intermediate values; phases of a session share the largest.
    pub scratch_bytes: usize,
    /// Constants.
    pub constant_bytes: usize,
    /// Feeds.
    pub feed_bytes: usize,
    /// Named results.
    pub output_bytes: usize,
    /// Scratch that each thread has for itself.
    pub thread_bytes: usize,
    /// State slots that the phase reads or writes.
    pub state_bytes_bound: usize,
    /// Kernel calls.
    pub steps: usize,
}

impl PhaseStats {
    pub(crate) fn of(program: &Program) -> PhaseStats {
        let mut kernels: BTreeMap<&str, usize> = BTreeMap::new();
        for call in &program.calls {
            *kernels.entry(call.kernel.name()).or_default() += 1;
        }
        PhaseStats {
            contraction_flops: program.contraction_flops,
            kernels: kernels.into_iter().map(|(name, n)| (name.to_string(), n)).collect(),
            scratch_bytes: program.scratch_words * WORD,
            constant_bytes: program.constants.len() * WORD,
            feed_bytes: program.feed_words * WORD,
            output_bytes: program.output_words * WORD,
            thread_bytes: thread_words(program.calls.iter().map(|call| call.kernel.local_words())) * WORD,
            state_bytes_bound: program.slots.iter().map(|s| s.ty.len() * WORD).sum(),
            steps: program.calls.len(),
        }
    }
}

/// Compiles a function without allocating its memory, to learn what it costs.
///
/// # Errors
/// As for [`Session::add_phase`](crate::Session::add_phase), state aside.
pub fn plan(function: &Function, target: Target) -> Result<PhaseStats, CpuError> {
    plan_within(function, target, 0)
}

/// As [`plan`], beside phases whose arena takes `arena` bytes: where the target's memory is low, no time is spent to need
/// less than that, as [`Session::add_phase`](crate::Session::add_phase) spends none.
///
/// # Errors
/// As for [`plan`].
pub fn plan_within(function: &Function, target: Target, arena: usize) -> Result<PhaseStats, CpuError> {
    Ok(PhaseStats::of(&lower(function, target)?.finish(arena / WORD)?))
}

/// As [`plan`], of all phases of a session: see [`Session::add_phases`](crate::Session::add_phases).
///
/// # Errors
/// As for [`plan`].
pub fn plan_phases(functions: &[Function], target: Target) -> Result<Vec<PhaseStats>, CpuError> {
    let mut lowered = functions.iter().map(|f| lower(f, target)).collect::<Result<Vec<_>, _>>()?;
    let mut arena = lowered.iter_mut().map(Lowered::least_words).max().unwrap_or(0);
    let finish = |lowered: Lowered| {
        let program = lowered.finish(arena)?;
        arena = arena.max(program.scratch_words);
        Ok(PhaseStats::of(&program))
    };
    lowered.into_iter().map(finish).collect()
}
