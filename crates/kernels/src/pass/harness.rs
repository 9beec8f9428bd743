//! Runs kernels in tests without a machine: stages in order, tasks forwards or backwards.

use crate::isa::Isa;
use crate::kernel::{Access, Kernel, Operands};

/// A 64-byte line, so that scratch has the promised alignment.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; 16]);

#[derive(Clone, Copy, Default)]
struct Way {
    /// Stores lie on the loads whose memory they may take.
    alias: bool,
    /// The last task of a stage runs first.
    backwards: bool,
    /// Each task sees noise outside of what it says to reach.
    fenced: bool,
}

/// Runs one task and checks that it keeps to its reach: words outside are noise when it reads, and as they were
/// afterwards.
fn fenced(kernel: &dyn Kernel, stage: usize, task: usize, memory: &mut [Vec<u32>], run: impl FnOnce()) {
    let reach: Vec<Option<std::ops::Range<usize>>> =
        (0..memory.len()).map(|operand| kernel.reach(stage, task, operand)).collect();
    if reach.iter().all(Option::is_none) {
        return run();
    }
    let before = memory.to_vec();
    let outside = |memory: &mut Vec<u32>, operand: usize, change: &mut dyn FnMut(usize, &mut u32)| {
        if let Some(reach) = &reach[operand] {
            let words = memory.iter_mut().enumerate().filter(|(i, _)| !reach.contains(i));
            words.for_each(|(i, word)| change(i, word));
        }
    };
    for (operand, words) in memory.iter_mut().enumerate() {
        outside(words, operand, &mut |i, word| *word ^= 0x2a5_5a5a ^ i as u32);
    }
    run();
    for (operand, words) in memory.iter_mut().enumerate() {
        outside(words, operand, &mut |i, word| {
            *word ^= 0x2a5_5a5a ^ i as u32;
            assert_eq!(
                *word, before[operand][i],
                "{kernel:?}: task {task} wrote word {i} of operand {operand}"
            );
        });
    }
}

fn run(kernel: &dyn Kernel, isa: Isa, inputs: &[Vec<u32>], way: Way) -> Vec<Vec<u32>> {
    let specs = kernel.operands();
    let mut next = inputs.iter();
    // What nobody wrote shows up as NaN.
    let mut memory: Vec<Vec<u32>> = specs
        .iter()
        .map(|spec| match spec.access {
            Access::Read => {
                let words = next.next().expect("an input for every read operand");
                assert_eq!(words.len(), spec.words, "length of an input");
                words.clone()
            }
            Access::Write | Access::ReadWrite => vec![f32::NAN.to_bits() ^ 0x1234; spec.words],
        })
        .collect();
    assert!(next.next().is_none(), "too many inputs");
    let home: Vec<usize> =
        (0..specs.len()).map(|i| specs[i].may_alias.filter(|_| way.alias).unwrap_or(i)).collect();
    let parts: Vec<(*mut f32, usize)> =
        home.iter().map(|&i| (memory[i].as_mut_ptr().cast::<f32>(), memory[i].len())).collect();
    let operands = Operands::new(&parts);
    let words = kernel.local_words();
    let mut local = vec![Line([f32::NAN; 16]); words.div_ceil(16)];
    for stage in 0..kernel.stages() {
        let tasks = kernel.tasks(stage);
        for t in 0..tasks {
            let task = if way.backwards { tasks - 1 - t } else { t };
            local.fill(Line([f32::NAN; 16]));
            // SAFETY: the lines hold at least the words asked for.
            let local = unsafe { std::slice::from_raw_parts_mut(local.as_mut_ptr().cast(), words) };
            // SAFETY: operands have the lengths the kernel asked for; tasks run one at a time, once each.
            let mut run = || unsafe { kernel.run(isa, stage, task, &operands, local) };
            if way.fenced { fenced(kernel, stage, task, &mut memory, run) } else { run() }
        }
    }
    (0..specs.len()).filter(|&i| specs[i].access == Access::Write).map(|i| memory[home[i]].clone()).collect()
}

/// The written operands, having checked that the order of tasks and sharing of memory change nothing and that tasks keep
/// to what they say to reach.
pub(crate) fn outputs(kernel: &dyn Kernel, isa: Isa, inputs: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let plain = run(kernel, isa, inputs, Way::default());
    let way = |way: Way| run(kernel, isa, inputs, way);
    assert_eq!(plain, way(Way { backwards: true, ..Way::default() }), "{kernel:?}: order of tasks matters");
    assert_eq!(
        plain,
        way(Way { fenced: true, ..Way::default() }),
        "{kernel:?}: tasks read beyond their reach"
    );
    if kernel.operands().iter().any(|o| o.may_alias.is_some()) {
        assert_eq!(plain, way(Way { alias: true, ..Way::default() }), "{kernel:?}: in place differs");
    }
    plain
}

/// The written operands of one run: for operands too large to be fenced task by task.
pub(crate) fn once(kernel: &dyn Kernel, isa: Isa, inputs: &[Vec<u32>]) -> Vec<Vec<u32>> {
    run(kernel, isa, inputs, Way::default())
}

/// A small generator of test data (splitmix64).
pub(crate) struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u32
    }
    pub fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }
    /// Words of f32 in (-2, 2).
    pub fn floats(&mut self, n: usize) -> Vec<u32> {
        (0..n).map(|_| ((self.next() as i32 as f32) / 1_073_741_824.0).to_bits()).collect()
    }
}
