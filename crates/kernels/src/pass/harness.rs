//! Runs kernels in tests without a machine: stages in order, tasks forwards or backwards.

use crate::isa::Isa;
use crate::kernel::{Access, Kernel, Operands};

/// A 64-byte line, so that scratch has the promised alignment.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; 16]);

fn run(kernel: &dyn Kernel, isa: Isa, inputs: &[Vec<u32>], alias: bool, backwards: bool) -> Vec<Vec<u32>> {
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
        (0..specs.len()).map(|i| specs[i].may_alias.filter(|_| alias).unwrap_or(i)).collect();
    let parts: Vec<(*mut f32, usize)> =
        home.iter().map(|&i| (memory[i].as_mut_ptr().cast::<f32>(), memory[i].len())).collect();
    let operands = Operands::new(&parts);
    let words = kernel.local_words();
    let mut local = vec![Line([f32::NAN; 16]); words.div_ceil(16)];
    for stage in 0..kernel.stages() {
        let tasks = kernel.tasks(stage);
        for t in 0..tasks {
            let task = if backwards { tasks - 1 - t } else { t };
            local.fill(Line([f32::NAN; 16]));
            // SAFETY: the lines hold at least the words asked for.
            let local = unsafe { std::slice::from_raw_parts_mut(local.as_mut_ptr().cast(), words) };
            // SAFETY: operands have the lengths the kernel asked for; tasks run one at a time, once each.
            unsafe { kernel.run(isa, stage, task, &operands, local) };
        }
    }
    (0..specs.len()).filter(|&i| specs[i].access == Access::Write).map(|i| memory[home[i]].clone()).collect()
}

/// The written operands, having checked that the order of tasks and sharing of memory change nothing.
pub(crate) fn outputs(kernel: &dyn Kernel, isa: Isa, inputs: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let plain = run(kernel, isa, inputs, false, false);
    assert_eq!(plain, run(kernel, isa, inputs, false, true), "{kernel:?}: order of tasks matters");
    if kernel.operands().iter().any(|o| o.may_alias.is_some()) {
        assert_eq!(plain, run(kernel, isa, inputs, true, false), "{kernel:?}: in place differs");
    }
    plain
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
