//! One source of a copy, normalised and cut into tasks.

use super::{CopyError, CopySource, TASK};
use crate::isa::Isa;
use crate::simd::{SimdMath, TILE, WithSimdMath, run_math_on};

/// Most words of a contiguous run in one unit of work.
const RUN: usize = 8 * 1024;

/// Longest side of the part of a plane that makes one unit of work.
const PLANE: usize = 512;

/// How the innermost loops go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Contiguous on both sides.
    Rows,
    /// The last dimension is contiguous in the destination, the one before it in the source.
    Transpose,
    /// Anything else.
    Strided,
}

/// A dimension with its strides in source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    size: usize,
    src: isize,
    dst: isize,
}

/// A source of a copy: outer dimensions, then the one or two of the innermost loops, cut into units that are
/// numbered row-major over `[outer...][chunks of the plane's height][chunks of the row]`.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub shape: Shape,
    src: isize,
    dst: isize,
    outer: Vec<Axis>,
    /// The dimension of the loop around the innermost one.
    high: Axis,
    wide: Axis,
    /// Chunk lengths along `high` and `wide`.
    high_chunk: usize,
    wide_chunk: usize,
    units: usize,
    units_per_task: usize,
}

fn reach(offset: usize, axes: impl Iterator<Item = (usize, isize)>) -> (i128, i128) {
    let (mut low, mut high) = (offset as i128, offset as i128);
    for (size, stride) in axes {
        let way = (size as i128 - 1) * stride as i128;
        low += way.min(0);
        high += way.max(0);
    }
    (low, high)
}

impl Piece {
    pub fn new(source: usize, dst_words: usize, copy: &CopySource) -> Result<Piece, CopyError> {
        let rank = copy.dims.len();
        if copy.src_strides.len() != rank || copy.dst_strides.len() != rank {
            return Err(CopyError::Rank { source });
        }
        let empty = copy.dims.contains(&0);
        if !empty {
            for (operand, words, offset, strides) in [
                ("source", copy.src_words, copy.src_offset, &copy.src_strides),
                ("destination", dst_words, copy.dst_offset, &copy.dst_strides),
            ] {
                let axes = copy.dims.iter().copied().zip(strides.iter().copied());
                let (low, high) = reach(offset, axes);
                if low < 0 || high >= words as i128 {
                    return Err(CopyError::Outside { source, operand });
                }
            }
        }
        let (mut src, mut dst) = (copy.src_offset as isize, copy.dst_offset as isize);
        let mut axes: Vec<Axis> = Vec::new();
        for d in 0..rank {
            let mut axis = Axis { size: copy.dims[d], src: copy.src_strides[d], dst: copy.dst_strides[d] };
            if axis.size == 1 || empty {
                continue;
            }
            // Walked forwards in the destination.
            if axis.dst < 0 {
                src += (axis.size as isize - 1) * axis.src;
                dst += (axis.size as isize - 1) * axis.dst;
                (axis.src, axis.dst) = (-axis.src, -axis.dst);
            }
            axes.push(axis);
        }
        axes.sort_by_key(|a| std::cmp::Reverse(a.dst));
        // Sorted strides that each step over all the inner elements reach never meet; this is more than
        // needed in general, and all that strided views of a tensor have.
        let mut inside = 0;
        for axis in axes.iter().rev() {
            if axis.dst <= inside {
                return Err(CopyError::Overlap { source });
            }
            inside += (axis.size as isize - 1) * axis.dst;
        }
        let mut joined: Vec<Axis> = Vec::new();
        for axis in axes {
            match joined.last_mut() {
                Some(last)
                    if last.src == axis.src * axis.size as isize
                        && last.dst == axis.dst * axis.size as isize =>
                {
                    *last = Axis { size: last.size * axis.size, ..axis };
                }
                _ => joined.push(axis),
            }
        }
        let single = Axis { size: 1, src: 0, dst: 0 };
        let wide = joined.pop().unwrap_or(Axis { size: usize::from(!empty), src: 1, dst: 1 });
        let contiguous_source = joined.iter().position(|a| a.src.abs() == 1);
        let (shape, high) = if wide.src == 1 && wide.dst == 1 {
            (Shape::Rows, single)
        } else if let Some(d) = contiguous_source.filter(|_| wide.src.abs() > 1) {
            (Shape::Transpose, joined.remove(d))
        } else {
            (Shape::Strided, single)
        };
        let (high, high_chunk, wide_chunk) = match shape {
            Shape::Transpose => (high, 2 * TILE, PLANE),
            // Short rows go many to a unit.
            Shape::Rows | Shape::Strided if wide.size < RUN => {
                (joined.pop().unwrap_or(single), (RUN / wide.size.max(1)).max(1), RUN)
            }
            Shape::Rows | Shape::Strided => (single, 1, RUN),
        };
        let words = high_chunk.min(high.size) * wide_chunk.min(wide.size.max(1));
        let outer: usize = joined.iter().map(|a| a.size).product();
        let units = outer * high.size.div_ceil(high_chunk) * wide.size.div_ceil(wide_chunk);
        let units_per_task = (TASK / words).max(1);
        Ok(Piece {
            shape,
            src,
            dst,
            outer: joined,
            high,
            wide,
            high_chunk,
            wide_chunk,
            units,
            units_per_task,
        })
    }

    pub fn tasks(&self) -> usize {
        self.units.div_ceil(self.units_per_task)
    }

    /// Runs one task.
    ///
    /// # Safety
    /// `src` and `dst` are the operands that the copy was checked against; the CPU supports `isa`; no other task runs with this index.
    pub unsafe fn run(&self, isa: Isa, task: usize, src: *const u32, dst: *mut u32) {
        let wide_chunks = self.wide.size.div_ceil(self.wide_chunk);
        let high_chunks = self.high.size.div_ceil(self.high_chunk);
        let first = task * self.units_per_task;
        for unit in first..(first + self.units_per_task).min(self.units) {
            let wide = unit % wide_chunks * self.wide_chunk;
            let high = unit / wide_chunks % high_chunks * self.high_chunk;
            let mut rest = unit / wide_chunks / high_chunks;
            let mut from = self.src + wide as isize * self.wide.src + high as isize * self.high.src;
            let mut to = self.dst + wide as isize * self.wide.dst + high as isize * self.high.dst;
            for axis in self.outer.iter().rev() {
                let i = (rest % axis.size) as isize;
                rest /= axis.size;
                from += i * axis.src;
                to += i * axis.dst;
            }
            let n = self.wide_chunk.min(self.wide.size - wide);
            let m = self.high_chunk.min(self.high.size - high);
            // SAFETY: the unit's elements lie inside both operands, as checked when the copy was built.
            unsafe {
                let (src, dst) = (src.offset(from), dst.offset(to));
                match self.shape {
                    Shape::Rows => {
                        for j in 0..m as isize {
                            row(src.offset(j * self.high.src), dst.offset(j * self.high.dst), n);
                        }
                    }
                    Shape::Transpose => self.transpose(isa, src, dst, m, n),
                    Shape::Strided => {
                        for j in 0..m as isize {
                            self.strided(src.offset(j * self.high.src), dst.offset(j * self.high.dst), n);
                        }
                    }
                }
            }
        }
    }

    /// A plane of `m` (contiguous in the source) by `n` (contiguous in the destination): whole tiles, then the
    /// edges word by word.
    unsafe fn transpose(&self, isa: Isa, src: *const u32, dst: *mut u32, m: usize, n: usize) {
        let tiled = self.high.src == 1 && self.wide.dst == 1;
        let (across, down) = if tiled { (m / TILE, n / TILE) } else { (0, 0) };
        let (src_stride, dst_stride) = (self.wide.src, self.high.dst);
        // SAFETY: the tiles lie inside the plane; the caller promises the CPU feature.
        unsafe {
            run_math_on(
                isa,
                Tiles { src: src.cast(), src_stride, dst: dst.cast(), dst_stride, across, down },
            );
        }
        for j in 0..m {
            let done = if j < across * TILE { down * TILE } else { 0 };
            for i in done..n {
                let (i, j) = (i as isize, j as isize);
                // SAFETY: as promised by the caller.
                unsafe {
                    *dst.offset(j * self.high.dst + i * self.wide.dst) =
                        *src.offset(j * self.high.src + i * self.wide.src);
                }
            }
        }
    }

    unsafe fn strided(&self, src: *const u32, dst: *mut u32, n: usize) {
        // SAFETY: as promised by the caller.
        unsafe {
            if self.wide.src == 0 && self.wide.dst == 1 {
                std::slice::from_raw_parts_mut(dst, n).fill(*src);
                return;
            }
            for i in 0..n as isize {
                *dst.offset(i * self.wide.dst) = *src.offset(i * self.wide.src);
            }
        }
    }
}

/// `across` by `down` whole tiles. Every line of either side is touched once, in one go, so that lines whose
/// addresses compete for the same places in the cache do no harm.
struct Tiles {
    src: *const f32,
    src_stride: isize,
    dst: *mut f32,
    dst_stride: isize,
    /// Tiles along the source's contiguous dimension, and along the destination's.
    across: usize,
    down: usize,
}

impl WithSimdMath for Tiles {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: SimdMath>(self, s: S) {
        for i in 0..self.down {
            for j in 0..self.across {
                let (i, j) = ((i * TILE) as isize, (j * TILE) as isize);
                // SAFETY: the tiles lie inside the unit, and the CPU has the feature.
                unsafe {
                    let src = self.src.offset(i * self.src_stride + j);
                    let dst = self.dst.offset(j * self.dst_stride + i);
                    SimdMath::transpose(s, src, self.src_stride, dst, self.dst_stride);
                }
            }
        }
    }
}

/// A contiguous row; short ones are not worth a call.
#[inline(always)]
unsafe fn row(src: *const u32, dst: *mut u32, n: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        if n >= 16 {
            std::ptr::copy_nonoverlapping(src, dst, n);
        } else {
            for i in 0..n {
                *dst.add(i) = *src.add(i);
            }
        }
    }
}
