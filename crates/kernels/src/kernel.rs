//! The contract between a kernel and the [`Machine`](crate::machine::Machine) that runs it.
//!
//! A kernel is a plain description of one operation at fixed shapes. It says which operands it takes and how
//! its work is cut into stages and tasks: tasks of a stage may run at the same time, in any order, on any thread, and
//! see what tasks of earlier stages left in the words that both touch. The cut depends on shapes only, never on the number of threads, so results are
//! bit-identical for any thread count.

use crate::isa::Isa;
use std::ops::Range;

/// Everything is stored in 4-byte words: f32 as such, i32 and u32 bit for bit, bool as the u32 words 0 and 1.
pub const WORD: usize = 4;

/// How the elements of an operand are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// One f32 a word.
    F32,
    /// Two bf16 (the upper half of an f32) a word, in memory order: on little-endian machines element `2 i` is the
    /// low half of word `i`. The last word of an odd number of elements has an unused half.
    Bf16,
}

impl Element {
    /// Words that hold `elements` elements.
    pub fn words(self, elements: usize) -> usize {
        match self {
            Element::F32 => elements,
            Element::Bf16 => elements.div_ceil(2),
        }
    }
}

/// How the operands of a kernel in mixed precision are stored, in the kernel's order. Whatever the storage, products
/// are those of operands rounded to bf16, and sums are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mixed {
    /// The first operand.
    pub a: Element,
    /// The second operand.
    pub b: Element,
    /// The result; as [`Element::Bf16`] the f32 sums rounded to nearest even.
    pub out: Element,
}

impl Mixed {
    /// All operands stored as f32.
    pub const F32: Mixed = Mixed { a: Element::F32, b: Element::F32, out: Element::F32 };
}

/// How a kernel touches an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Only read.
    Read,
    /// Every word is written; what it held before does not matter.
    Write,
    /// Read and written: an accumulator, or scratch that only this kernel uses.
    ReadWrite,
}

/// What a kernel expects of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OperandSpec {
    /// Length in words.
    pub words: usize,
    /// How it is touched.
    pub access: Access,
    /// Index of a `Read` operand of the same length whose memory this written operand may share exactly
    /// (same space, offset and length), because task `t` reads a word of it before writing that word and no
    /// other task touches that word.
    pub may_alias: Option<usize>,
}

impl OperandSpec {
    /// An operand that is only read.
    pub fn read(words: usize) -> Self {
        Self { words, access: Access::Read, may_alias: None }
    }
    /// An operand whose every word is written.
    pub fn write(words: usize) -> Self {
        Self { words, access: Access::Write, may_alias: None }
    }
    /// Scratch of this kernel alone: contents are undefined before and after.
    pub fn workspace(words: usize) -> Self {
        Self { words, access: Access::ReadWrite, may_alias: None }
    }
}

/// One operation at fixed shapes.
///
/// # Safety
/// A [`Machine`](crate::machine::Machine) allots memory and runs tasks at the same time by what the description says,
/// so the description must be true of [`Kernel::run`]. [`Kernel::operands`], [`Kernel::stages`], [`Kernel::tasks`] and
/// [`Kernel::local_words`] give the same answer whenever they are asked, and so does [`Kernel::reach`], outside of which
/// a task neither touches a word of the operand nor makes a reference to one. For each stage and each task that they count,
/// `run` touches no word outside the operands and `local`, writes to no operand of [`Access::Read`], and neither reads
/// nor writes a word that another task of the same stage writes. A kernel that sets [`OperandSpec::may_alias`] keeps
/// that even where the two operands share their memory.
pub unsafe trait Kernel: Send + Sync + std::fmt::Debug {
    /// A short name for profiles and dumps, e.g. `conv.forward`.
    fn name(&self) -> &'static str;

    /// Floating-point operations necessary by the operation's definition (a multiply-add counts two). Padding
    /// taps are counted like any other, as peers and papers do. Passes count one per arithmetic instruction
    /// and element.
    fn flops(&self) -> u64;

    /// The operands in the order in which [`Operands`] hands them over. Workspaces come last.
    fn operands(&self) -> Vec<OperandSpec>;

    /// Number of stages. A task begins after all tasks of earlier stages that touch a word which it touches too, by
    /// [`Kernel::reach`], where one of them writes it; nothing else is handed from one stage to the next.
    fn stages(&self) -> usize {
        1
    }

    /// Number of tasks of a stage; a function of shapes only.
    fn tasks(&self, stage: usize) -> usize;

    /// The words of an operand that a task of a stage may touch; `None` where that is all of them or not known. A
    /// [`Machine`](crate::machine::Machine) runs kernels that follow each other without a barrier between them where
    /// their tasks do not meet.
    fn reach(&self, stage: usize, task: usize, operand: usize) -> Option<Range<usize>> {
        let _ = (stage, task, operand);
        None
    }

    /// Says that operands lie outside the caches when the kernel runs, so that fetching them ahead pays. Changes no
    /// result.
    fn operands_are_far(&mut self) {}

    /// Words of thread-private scratch that [`Kernel::run`] is handed in `local` (64-byte aligned, undefined).
    fn local_words(&self) -> usize {
        0
    }

    /// Runs one task.
    ///
    /// # Safety
    /// `isa` is supported by this CPU; `operands` matches [`Kernel::operands`] in number and length, and obeys
    /// the aliasing rule of [`OperandSpec`]; all tasks of earlier stages, of this kernel and of others, that touch a
    /// word in common have ended; no task runs twice.
    unsafe fn run(&self, isa: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]);
}

/// The operands of one kernel call, as raw parts: tasks of one stage write disjoint words of the same operand,
/// which references could not express.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a> {
    parts: &'a [(*mut f32, usize)],
}

// SAFETY: the pointers are dereferenced only through the unsafe methods below, whose contracts forbid data races.
unsafe impl Send for Operands<'_> {}
// SAFETY: as above.
unsafe impl Sync for Operands<'_> {}

impl<'a> Operands<'a> {
    /// Wraps `(start, words)` pairs, in the order of [`Kernel::operands`].
    pub fn new(parts: &'a [(*mut f32, usize)]) -> Self {
        Self { parts }
    }

    /// Number of operands.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Words in operand `i`.
    pub fn words(&self, i: usize) -> usize {
        self.parts[i].1
    }

    /// Start of operand `i`.
    pub fn ptr(&self, i: usize) -> *mut f32 {
        self.parts[i].0
    }

    /// Operand `i` as f32 values.
    ///
    /// # Safety
    /// No word of it is written while the slice lives.
    pub unsafe fn read(&self, i: usize) -> &'a [f32] {
        let (ptr, len) = self.parts[i];
        // SAFETY: the pair describes live, aligned memory (contract of `Kernel::run`), not written meanwhile.
        unsafe { std::slice::from_raw_parts(ptr, len) }
    }

    /// Operand `i` as u32 words.
    ///
    /// # Safety
    /// No word of it is written while the slice lives.
    pub unsafe fn read_u32(&self, i: usize) -> &'a [u32] {
        let (ptr, len) = self.parts[i];
        // SAFETY: as in `read`; f32 and u32 have the same size and alignment and no invalid bit patterns.
        unsafe { std::slice::from_raw_parts(ptr.cast(), len) }
    }

    /// Words `range` of operand `i`, to be written.
    ///
    /// # Safety
    /// No other reference to these words lives, in this or any other task.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn write(&self, i: usize, range: std::ops::Range<usize>) -> &'a mut [f32] {
        let (ptr, len) = self.parts[i];
        assert!(range.start <= range.end && range.end <= len, "range outside the operand");
        // SAFETY: in bounds by the assertion, unshared by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(ptr.add(range.start), range.end - range.start) }
    }
}
