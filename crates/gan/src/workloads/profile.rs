//! Where the time of a step goes.

use super::measure::Steps;
use crate::error::Error;
use ganymede_cpu::ProfileEntry;
use ganymede_kernels::peak::Peak;
use serde::{Deserialize, Serialize};

/// Steps that are profiled.
const STEPS: usize = 10;

/// Time spent in one kind of kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KernelTime {
    /// Kernel and the place in the networks it serves.
    pub label: String,
    /// Milliseconds a step.
    pub ms: f64,
    /// Share of the time of all kernels.
    pub share: f64,
    /// Its rate in GFLOP/s. Passes count an operation for each instruction and element.
    pub gflops: f64,
    /// That rate over the machine's peak.
    pub peak_share: f64,
    /// Bytes of its operands over its time, in GB/s. What stays in the caches may exceed the rate of memory.
    pub gbs: f64,
    /// That rate over the machine's rate of streams through memory.
    pub memory_share: f64,
}

struct Sum {
    label: String,
    nanoseconds: u64,
    flops: u64,
    bytes: u64,
}

/// Ten profiled steps after the timed ones, which the clock reads of a profile would slow down. The slowest kernels
/// come first.
pub(super) fn kernel_times(
    steps: &mut Steps,
    peak: &Peak,
    peak_gflops: f64,
) -> Result<Vec<KernelTime>, Error> {
    steps.session.set_profiling(true);
    let mut sums: Vec<Sum> = Vec::new();
    for _ in 0..STEPS {
        steps.step()?;
        for phase in steps.phases() {
            for ProfileEntry { label, kernel, nanoseconds, flops, bytes } in steps.session.profile(phase) {
                let label = format!("{kernel} {label}");
                match sums.iter_mut().find(|s| s.label == label) {
                    Some(sum) => {
                        sum.nanoseconds += nanoseconds;
                        sum.flops += flops;
                        sum.bytes += bytes;
                    }
                    None => sums.push(Sum { label, nanoseconds, flops, bytes }),
                }
            }
        }
    }
    steps.session.set_profiling(false);
    sums.sort_by_key(|s| std::cmp::Reverse(s.nanoseconds));
    let whole: u64 = sums.iter().map(|s| s.nanoseconds).sum();
    // Per nanosecond, that is in units of 1e9 a second; a kernel faster than the clock's tick has no rate.
    let rate = |amount: u64, ns: u64| if ns > 0 { amount as f64 / ns as f64 } else { 0.0 };
    let time = |s: Sum| {
        let (gflops, gbs) = (rate(s.flops, s.nanoseconds), rate(s.bytes, s.nanoseconds));
        KernelTime {
            label: s.label,
            ms: s.nanoseconds as f64 / 1e6 / STEPS as f64,
            share: rate(s.nanoseconds, whole),
            gflops,
            peak_share: gflops / peak_gflops,
            gbs,
            memory_share: gbs / peak.memory_gbs,
        }
    };
    Ok(sums.into_iter().map(time).collect())
}
