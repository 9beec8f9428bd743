//! One code over many flat segments: an optimizer's update of every parameter as a single kernel.

use super::code::{Instr, Load, PassError, Reduce, Store, check_code};
use super::combine::Parts;
use super::fold::{CELL, Cell, Row};
use super::plan::{BLOCK, Block, Domain, UNIFORM, View};
use super::tape::{Feed, Frame, Tape};
use crate::isa::Isa;
use crate::kernel::{Access, Element, Kernel, OperandSpec, Operands};
use crate::simd::run_math_on;

/// Most words that one task aims at.
const TASK: usize = 32 * 1024;

/// Tasks wanted where each still has a block.
const WANTED: usize = 32;

/// What a [`MultiPass`] computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MultiPassSpec {
    /// Words of each segment.
    pub segments: Vec<usize>,
    /// Operands that the code loads from every segment, numbered first in [`Instr::Load`].
    pub loads: usize,
    /// Operands of one word that all segments share, numbered after them.
    pub scalars: usize,
    /// Instruction `k` produces value `k`; there is no [`Instr::Iota`].
    pub code: Vec<Instr>,
    /// Outputs of every segment.
    pub stores: Vec<Store>,
    /// Outputs of one word, over all segments together (a gradient norm, whether everything is finite).
    pub reduces: Vec<Reduce>,
}

/// Words `start..end` of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    segment: usize,
    start: usize,
    end: usize,
}

/// The same elementwise code over independent segments. Operands: for each segment its loads, then its stores;
/// then the shared scalars; then the outputs of the reductions, and a workspace if there are any.
#[derive(Clone, Debug)]
pub struct MultiPass {
    spec: MultiPassSpec,
    domain: Domain,
    tape: Tape,
    pieces: Vec<Piece>,
    /// First piece of each task, then the number of pieces.
    first_piece: Vec<usize>,
    /// Whether each block is fetched from memory while the one before is computed.
    fetch_ahead: bool,
}

impl MultiPass {
    /// Checks and plans a pass over segments.
    ///
    /// # Errors
    /// See [`PassError`].
    pub fn new(spec: MultiPassSpec) -> Result<MultiPass, PassError> {
        check_code(&spec.code, spec.loads + spec.scalars, 0, &spec.stores, &spec.reduces)?;
        for (store, s) in spec.stores.iter().enumerate() {
            if s.element != Element::F32 {
                return Err(PassError::NotF32 { store });
            }
            if let Some(load) = s.alias.filter(|&load| load >= spec.loads) {
                return Err(PassError::Alias { store, load });
            }
        }
        // Blocks are what is left of a segment, so any length of the domain serves.
        let (domain, views) = Domain::new(&[BLOCK], &[Load::contiguous(&[BLOCK])], &[false], &[]);
        let flat = views[0].clone();
        let scalar = View { offset: 0, outer: vec![], inner: 0 };
        let view_of = |instr: Instr| match instr {
            Instr::Load(i) if i < spec.loads => Some((flat.clone(), Feed::Direct, Element::F32)),
            Instr::Load(_) => Some((scalar.clone(), Feed::Uniform, Element::F32)),
            Instr::Const(_)
            | Instr::Iota(_)
            | Instr::Unary(..)
            | Instr::Binary(..)
            | Instr::MulAdd(..)
            | Instr::Compare(..)
            | Instr::Select(..) => None,
        };
        let tape = Tape::new(&spec.code, &spec.stores, &spec.reduces, view_of, true);

        let all: usize = spec.segments.iter().sum();
        let size = (all / WANTED).next_multiple_of(BLOCK).clamp(BLOCK, TASK);
        let mut pieces = Vec::new();
        let mut first_piece = vec![0];
        let mut filled = 0;
        for (segment, &words) in spec.segments.iter().enumerate() {
            let mut start = 0;
            while start < words {
                let end = (start + size - filled).min(words);
                pieces.push(Piece { segment, start, end });
                filled += end - start;
                start = end;
                if filled == size {
                    first_piece.push(pieces.len());
                    filled = 0;
                }
            }
        }
        if filled > 0 {
            first_piece.push(pieces.len());
        }
        Ok(MultiPass { spec, domain, tape, pieces, first_piece, fetch_ahead: false })
    }

    /// What it computes.
    pub fn spec(&self) -> &MultiPassSpec {
        &self.spec
    }

    fn first_tasks(&self) -> usize {
        self.first_piece.len() - 1
    }

    fn scalars_at(&self) -> usize {
        self.spec.segments.len() * (self.spec.loads + self.spec.stores.len())
    }

    fn reduces_at(&self) -> usize {
        self.scalars_at() + self.spec.scalars
    }

    fn workspace_words(&self) -> usize {
        self.first_tasks() * CELL * self.spec.reduces.len()
    }

    /// Start of the workspace of reduction `j`.
    fn workspace(&self, operands: &Operands<'_>, j: usize) -> *mut f32 {
        let at = operands.ptr(self.reduces_at() + self.spec.reduces.len());
        // SAFETY: the operand has a cell of each task for each reduction.
        unsafe { at.add(j * self.first_tasks() * CELL) }
    }
}

// SAFETY: as for a pass: loads and scalars are only read, a task owns pieces of segments and the workspace cells of its
// own number; the second stage has a task for each reduction, which writes that reduction's one word.
unsafe impl Kernel for MultiPass {
    fn name(&self) -> &'static str {
        "pass.multi"
    }

    fn flops(&self) -> u64 {
        let words: usize = self.spec.segments.iter().sum();
        let code: u64 = self.spec.code.iter().map(|i| i.flops()).sum();
        words as u64 * (code + self.spec.reduces.len() as u64)
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let mut list = Vec::new();
        for &words in &self.spec.segments {
            let first = list.len();
            list.extend((0..self.spec.loads).map(|_| OperandSpec::read(words)));
            for alias in &self.tape.aliases {
                let may_alias = alias.map(|load| first + load);
                list.push(OperandSpec { words, access: Access::Write, may_alias });
            }
        }
        list.extend((0..self.spec.scalars).map(|_| OperandSpec::read(1)));
        list.extend(self.spec.reduces.iter().map(|_| OperandSpec::write(1)));
        if !self.spec.reduces.is_empty() {
            list.push(OperandSpec::workspace(self.workspace_words()));
        }
        list
    }

    fn stages(&self) -> usize {
        1 + usize::from(!self.spec.reduces.is_empty())
    }

    fn tasks(&self, stage: usize) -> usize {
        if stage == 0 { self.first_tasks() } else { self.spec.reduces.len() }
    }

    fn operands_are_far(&mut self) {
        self.fetch_ahead = true;
    }

    fn local_words(&self) -> usize {
        self.tape.scratch.next_multiple_of(UNIFORM) + CELL * self.spec.reduces.len()
    }

    unsafe fn run(&self, isa: Isa, stage: usize, task: usize, operands: &Operands<'_>, local: &mut [f32]) {
        let reduces = &self.spec.reduces;
        if stage == 1 {
            let kind = (reduces[task].op, reduces[task].lane);
            let workspace = self.workspace(operands, task).cast_const();
            let parts = Parts { groups: 1, parts: self.first_tasks(), width: 1 };
            // SAFETY: the first stage has ended.
            unsafe { parts.combine(0, kind, operands, (self.reduces_at() + task, workspace)) };
            return;
        }
        let each = self.spec.loads + self.spec.stores.len();
        let base = |segment: usize, load: usize| {
            let operand = if load < self.spec.loads {
                segment * each + load
            } else {
                self.scalars_at() + load - self.spec.loads
            };
            operands.ptr(operand).cast_const()
        };
        // SAFETY: `local` has the words asked for: scratch, then the cells.
        let cells: *mut Cell =
            unsafe { local.as_mut_ptr().add(self.tape.scratch.next_multiple_of(UNIFORM)).cast() };
        for (j, reduce) in reduces.iter().enumerate() {
            // SAFETY: as above.
            unsafe { *cells.add(j) = Cell::identity(reduce.op, reduce.lane) };
        }
        let scratch = local.as_mut_ptr();
        // SAFETY: scratch and operands are as long as the plan says; scalars are the same for all segments.
        let mut frame =
            unsafe { Frame::new(&self.tape, &self.domain, isa, scratch, 1, |load| base(0, load)) };
        for piece in &self.pieces[self.first_piece[task]..self.first_piece[task + 1]] {
            for start in (piece.start..piece.end).step_by(BLOCK) {
                let words = BLOCK.min(piece.end - start);
                let block = Block { row: 0, rows: 1, column: start, words };
                // SAFETY: the block lies in the segment.
                let target =
                    |j: usize| unsafe { operands.ptr(piece.segment * each + self.spec.loads + j).add(start) };
                // SAFETY: blocks of different tasks are disjoint; values have the block's words.
                unsafe {
                    let next =
                        Block { column: start + words, words: BLOCK.min(piece.end - start - words), ..block };
                    let next = (self.fetch_ahead && next.words > 0).then_some((next, words as isize));
                    frame.run(block, next, |load| base(piece.segment, load), target);
                    for j in 0..self.spec.stores.len() {
                        frame.store(j, target(j), words);
                    }
                    for (j, reduce) in reduces.iter().enumerate() {
                        let Reduce { value, op, lane } = *reduce;
                        let (from, cell) = (frame.value(value), cells.add(j));
                        run_math_on(isa, Row { from, words, op, lane, cell });
                    }
                }
            }
        }
        for j in 0..reduces.len() {
            // SAFETY: this task's cell of the workspace, which need not be aligned to cells.
            unsafe {
                self.workspace(operands, j).add(task * CELL).cast::<Cell>().write_unaligned(*cells.add(j));
            }
        }
    }
}
