//! What the examples that time kernels share.

use ganymede_kernels::buffer::{AllocError, Buffer};
use ganymede_kernels::isa::Isa;
use ganymede_kernels::kernel::{Access, Kernel, Operands};
use std::time::Instant;

/// Words of a cache line, on which operands and scratch begin.
const ALIGN: usize = 16;

/// One memory for all operands of a kernel, on huge pages where a program's arena would have them.
pub struct Memory {
    // Pointed into.
    _words: Buffer,
    pub parts: Vec<(*mut f32, usize)>,
}

impl Memory {
    pub fn of(kernel: &dyn Kernel) -> Result<Memory, AllocError> {
        let specs = kernel.operands();
        let sizes = specs.iter().map(|spec| spec.words.next_multiple_of(ALIGN));
        let mut words = Buffer::try_zeroed(sizes.clone().sum())?;
        let mut rest = words.as_f32_mut();
        let mut parts = Vec::new();
        for (spec, size) in specs.iter().zip(sizes) {
            let (part, behind) = rest.split_at_mut(size);
            rest = behind;
            if spec.access == Access::Read {
                part.iter_mut().enumerate().for_each(|(i, word)| *word = (i % 7) as f32 * 0.25 - 0.5);
            } else {
                part.fill(0.0);
            }
            parts.push((part.as_mut_ptr(), spec.words));
        }
        Ok(Memory { _words: words, parts })
    }
}

/// Scratch of a thread: the words and where in them a kernel's begin.
pub fn scratch(kernel: &dyn Kernel) -> (Vec<f32>, usize) {
    let scratch = vec![0.0f32; kernel.local_words() + ALIGN];
    let shift = scratch.as_ptr().align_offset(64);
    (scratch, shift)
}

/// Seconds of a run on one thread as the sum over tasks of each one's least time in `repeats` runs. Tasks are shorter than the
/// time that a scheduler gives at once, so that other programs disturb this less than they do whole runs.
pub fn by_task(kernel: &dyn Kernel, isa: Isa, repeats: usize) -> Result<f64, AllocError> {
    let memory = Memory::of(kernel)?;
    let operands = Operands::new(&memory.parts);
    let (mut scratch, shift) = scratch(kernel);
    let local = &mut scratch[shift..shift + kernel.local_words()];
    let tasks =
        (0..kernel.stages()).flat_map(|stage| (0..kernel.tasks(stage)).map(move |task| (stage, task)));
    let mut least: Vec<_> = tasks.map(|task| (task, f64::INFINITY)).collect();
    for _ in 0..repeats {
        for ((stage, task), least) in &mut least {
            let start = Instant::now();
            // SAFETY: the instruction set is available, operands are as declared and distinct, stages and tasks run one
            // after another, each once.
            unsafe { kernel.run(isa, *stage, *task, &operands, local) };
            *least = least.min(start.elapsed().as_secs_f64());
        }
    }
    Ok(least.iter().map(|(_, seconds)| seconds).sum())
}
