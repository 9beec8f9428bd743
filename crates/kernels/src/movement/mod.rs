//! Copies between strided layouts: transpose, slice, reverse, pad, broadcast, concatenate.

mod plan;

#[cfg(test)]
mod tests;

use crate::isa::Isa;
use crate::kernel::{Kernel, OperandSpec, Operands};
use plan::{Piece, Shape};
use std::fmt;

/// Words that one task aims at.
const TASK: usize = 16 * 1024;

/// One source of a [`StridedCopy`] and where it goes: element `i` of `dims` is read at word
/// `src_offset + sum_d i_d src_strides_d` of its operand and written at `dst_offset + sum_d i_d dst_strides_d`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CopySource {
    /// What is copied.
    pub dims: Vec<usize>,
    /// Length of the source operand in words.
    pub src_words: usize,
    /// Word of the first element in the source.
    pub src_offset: usize,
    /// In words, 0 to broadcast, negative to reverse.
    pub src_strides: Vec<isize>,
    /// Word of the first element in the destination.
    pub dst_offset: usize,
    /// In words; no two elements may meet.
    pub dst_strides: Vec<isize>,
}

/// Why a copy cannot be built. Each is a mistake of the program that builds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyError {
    /// Strides of a source are not as many as its dimensions.
    Rank {
        /// The source.
        source: usize,
    },
    /// A source reaches outside its operand, or outside the destination.
    Outside {
        /// The source.
        source: usize,
        /// `source` or `destination`.
        operand: &'static str,
    },
    /// Two elements of a source would be written to one word.
    Overlap {
        /// The source.
        source: usize,
    },
    /// Without a fill, sources must write exactly as many words as the destination has.
    Incomplete {
        /// Words of the destination.
        expected: usize,
        /// Words written.
        got: usize,
    },
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CopyError::Rank { source } => {
                write!(f, "copy: source {source}: strides and dimensions differ in number")
            }
            CopyError::Outside { source, operand } => {
                write!(f, "copy: source {source} reaches outside its {operand}")
            }
            CopyError::Overlap { source } => write!(f, "copy: source {source} writes a word twice"),
            CopyError::Incomplete { expected, got } => write!(
                f,
                "copy: the sources write {got} of the destination's {expected} words and there is no fill"
            ),
        }
    }
}

impl std::error::Error for CopyError {}

/// Writes a whole destination from any number of sources. Operands: the sources, then the destination.
///
/// Sources must not write each other's words. Words that no source writes take `fill`, which is written to the
/// whole destination first.
#[derive(Clone, Debug)]
pub struct StridedCopy {
    dst_words: usize,
    fill: Option<u32>,
    sources: Vec<usize>,
    pieces: Vec<Piece>,
    /// First task of each piece, then the number of tasks.
    first_task: Vec<usize>,
}

impl StridedCopy {
    /// Checks and plans a copy.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub fn new(
        dst_words: usize,
        fill: Option<u32>,
        sources: &[CopySource],
    ) -> Result<StridedCopy, CopyError> {
        let mut pieces = Vec::new();
        let mut first_task = vec![0];
        let mut written = 0;
        for (source, copy) in sources.iter().enumerate() {
            let piece = Piece::new(source, dst_words, copy)?;
            written += copy.dims.iter().product::<usize>();
            first_task.push(first_task[source] + piece.tasks());
            pieces.push(piece);
        }
        if fill.is_none() && written != dst_words {
            return Err(CopyError::Incomplete { expected: dst_words, got: written });
        }
        let sources = sources.iter().map(|s| s.src_words).collect();
        Ok(StridedCopy { dst_words, fill, sources, pieces, first_task })
    }

    /// A copy of one source into a row-major destination of shape `dims`.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub fn gather(
        dims: &[usize],
        src_words: usize,
        src_offset: usize,
        src_strides: Vec<isize>,
    ) -> Result<StridedCopy, CopyError> {
        let source = CopySource {
            dims: dims.to_vec(),
            src_words,
            src_offset,
            src_strides,
            dst_offset: 0,
            dst_strides: crate::pass::row_major(dims),
        };
        StridedCopy::new(dims.iter().product(), None, &[source])
    }
}

// SAFETY: sources are only read. The ranges of the fill's tasks are disjoint; `new` checks that every piece lies inside
// its operands and that pieces write disjoint words.
unsafe impl Kernel for StridedCopy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn flops(&self) -> u64 {
        0
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let mut list: Vec<OperandSpec> = self.sources.iter().map(|&words| OperandSpec::read(words)).collect();
        list.push(OperandSpec::write(self.dst_words));
        list
    }

    fn stages(&self) -> usize {
        1 + usize::from(self.fill.is_some())
    }

    fn tasks(&self, stage: usize) -> usize {
        if self.fill.is_some() && stage == 0 {
            self.dst_words.div_ceil(TASK)
        } else {
            self.first_task[self.pieces.len()]
        }
    }

    unsafe fn run(&self, isa: Isa, stage: usize, task: usize, operands: &Operands<'_>, _local: &mut [f32]) {
        let dst = self.pieces.len();
        match self.fill {
            Some(word) if stage == 0 => {
                let range = task * TASK..((task + 1) * TASK).min(self.dst_words);
                // SAFETY: tasks of this stage fill disjoint ranges.
                unsafe { operands.write(dst, range) }.fill(f32::from_bits(word));
            }
            Some(_) | None => {
                let piece = self.first_task.partition_point(|&first| first <= task) - 1;
                // SAFETY: pieces lie inside their operands, and tasks write disjoint words.
                unsafe {
                    self.pieces[piece].run(
                        isa,
                        task - self.first_task[piece],
                        operands.ptr(piece).cast_const().cast(),
                        operands.ptr(dst).cast(),
                    );
                }
            }
        }
    }
}

/// What the innermost loops of a piece look like, for dumps and tests.
impl StridedCopy {
    /// Whether source `i` is copied in contiguous rows.
    pub fn copies_rows(&self, i: usize) -> bool {
        matches!(self.pieces[i].shape, Shape::Rows)
    }
}
