//! How much memory a process takes, known before it does.
//!
//! All that grows with networks, batch and data is counted. What does not is one constant, and what a kernel call takes
//! for its tables another; both were fitted to peaks of the resident set as Linux counts it (docs/benchmarks.md).

use crate::cost::Cost;
use crate::step::Objective;
use crate::{best, picture, run};
use ganymede_data::{Dataset, Loader};
use ganymede_kernels::buffer::held_bytes;
use ganymede_kernels::kernel::WORD;

/// Bytes of a process before it has built anything: the parts of the program that run, its libraries, stacks and what
/// the allocator keeps.
const PROCESS: u64 = 22 << 19;
/// Bytes that the score of a known mixture takes at the end, as measured: its samples, their distances from the modes, and the
/// programs that draw them.
const MIXTURE: u64 = 5 << 19;
/// Bytes of the heap for each kernel call of all phases: its tables, operands and label, and what building its graph
/// left behind.
const CALL: u64 = 6 << 10;

/// Largest resident set of this process so far in bytes, as the operating system counts it; 0 where it does not say.
pub fn peak_of_this_process() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kb| kb << 10)
}

/// Largest resident set of a process, by what takes it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The program itself.
    pub process: u64,
    /// Tables of the kernel calls.
    pub calls: u64,
    /// Parameters, moments, averages, statistics, and gradients that are added up over parts of a batch.
    pub state: u64,
    /// Activations and gradients: the arena that all phases share.
    pub scratch: u64,
    /// Constants, feeds and results of all phases.
    pub feeds: u64,
    /// What each thread has for itself.
    pub threads: u64,
    /// The data set and the batches prepared ahead.
    pub data: u64,
    /// The samples of a tick as numbers and as a picture, what watches and what scores them.
    pub samples: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        let Memory { process, calls, state, scratch, feeds, threads, data, samples } = *self;
        process + calls + state + scratch + feeds + threads + data + samples
    }

    /// Of a process that runs the phases of `cost` on `threads` threads and nothing else.
    pub fn of_steps(cost: &Cost, threads: usize) -> Memory {
        let phases = || cost.phases.iter().map(|p| &p.1);
        let large = |bytes: usize| held_bytes(bytes.div_ceil(WORD)) as u64;
        let scratch = phases().map(|p| p.scratch_bytes).max().unwrap_or(0);
        Memory {
            process: PROCESS,
            calls: CALL * phases().map(|p| p.steps as u64).sum::<u64>(),
            state: large((cost.state_bytes + cost.accumulated_bytes) as usize),
            scratch: large(scratch),
            feeds: phases()
                .map(|p| large(p.constant_bytes) + large(p.feed_bytes) + large(p.output_bytes))
                .sum(),
            threads: phases().map(|p| large(p.thread_bytes * threads)).sum(),
            data: 0,
            samples: 0,
        }
    }

    /// Of a training run with the phases of [`cost::of_run`](crate::cost::of_run).
    pub fn of_run(cost: &Cost, objective: &Objective, dataset: &Dataset, threads: usize) -> Memory {
        let metric = objective.recipe.best.as_ref().and_then(|best| best::find(&best.metric));
        // Data that it cannot judge are refused elsewhere.
        let scoring = metric.map_or(0, |metric| metric.memory(dataset, threads).unwrap_or(0));
        let shape = &objective.recipe.data.shape;
        let (drawn, columns) = run::samples_drawn(shape, objective.recipe.data.classes);
        let numbers = drawn * shape.iter().product::<usize>() * WORD + run::watching_bytes(shape);
        // As pixels of three bytes. Of images the encoder's output may be as large; points on paper take next to none.
        let (width, height, copies) = match shape.len() {
            3 => {
                let (width, height) = picture::grid_size(shape, drawn, columns);
                (width, height, 2)
            }
            _ => (picture::SCATTER.0, picture::SCATTER.1, 1),
        };
        let picture = 3 * copies * width * height;
        Memory {
            data: dataset.held_bytes() + Loader::held_bytes(dataset, objective.recipe.train.batch),
            samples: (numbers + picture) as u64 + scoring + dataset.mixture().map_or(0, |_| MIXTURE),
            ..Memory::of_steps(cost, threads)
        }
    }
}
