//! Rows of tables by index.

use super::TASK;
use crate::isa::Isa;
use crate::kernel::{Kernel, OperandSpec, Operands};
use crate::simd::{Simd, WithSimd, run_on};

/// Rows picked by index: table `[L, R, D]`, indices i32 `[L, K]`, output `[L, K, D]`. Indices outside `0..R` are
/// clamped to it; where the table has no rows, the output is 0.
#[derive(Clone, Debug)]
pub struct Gather {
    /// Number of tables L.
    pub tables: usize,
    /// Rows R of a table.
    pub rows: usize,
    /// Words D of a row.
    pub row_words: usize,
    /// Indices K into each table.
    pub picks: usize,
}

fn clamp(index: u32, rows: usize) -> usize {
    let index = index as i32;
    if index < 0 { 0 } else { (index as usize).min(rows - 1) }
}

impl Gather {
    fn picks_per_task(&self) -> usize {
        (TASK / self.row_words.max(1)).max(1)
    }
}

// SAFETY: inputs are only read, as slices; a task writes the rows that are its own, through a checked range.
unsafe impl Kernel for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn flops(&self) -> u64 {
        0
    }

    fn operands(&self) -> Vec<OperandSpec> {
        vec![
            OperandSpec::read(self.tables * self.rows * self.row_words),
            OperandSpec::read(self.tables * self.picks),
            OperandSpec::write(self.tables * self.picks * self.row_words),
        ]
    }

    fn tasks(&self, _stage: usize) -> usize {
        (self.tables * self.picks).div_ceil(self.picks_per_task())
    }

    unsafe fn run(&self, _isa: Isa, _stage: usize, task: usize, operands: &Operands<'_>, _local: &mut [f32]) {
        let d = self.row_words;
        let first = task * self.picks_per_task();
        let last = (first + self.picks_per_task()).min(self.tables * self.picks);
        // SAFETY: inputs are only read; this task alone writes its rows.
        let (table, indices, out) =
            unsafe { (operands.read(0), operands.read_u32(1), operands.write(2, first * d..last * d)) };
        if self.rows == 0 || d == 0 {
            out.fill(0.0);
            return;
        }
        for (pick, out) in (first..last).zip(out.chunks_exact_mut(d)) {
            let row = pick / self.picks * self.rows + clamp(indices[pick], self.rows);
            let from = &table[row * d..(row + 1) * d];
            // Short rows are not worth a call.
            if d < 16 {
                out.iter_mut().zip(from).for_each(|(out, from)| *out = *from);
            } else {
                out.copy_from_slice(from);
            }
        }
    }
}

/// The adjoint of [`Gather`] in its table: values `[L, K, D]` are added to the rows that indices i32 `[L, K]`
/// name, in the order of K, starting from 0: output `[L, R, D]`. Operands: values, indices, output.
#[derive(Clone, Debug)]
pub struct ScatterAdd {
    /// Number of tables L.
    pub tables: usize,
    /// Rows R of a table.
    pub rows: usize,
    /// Words D of a row.
    pub row_words: usize,
    /// Indices K into each table.
    pub picks: usize,
}

impl ScatterAdd {
    /// Rows of the part of a table that one task owns, and parts of a table. Every part scans all indices, so a
    /// table is cut into no more than 16 parts, each worth the scan.
    fn parts(&self) -> (usize, usize) {
        let words = self.picks * self.row_words + self.rows * self.row_words;
        let worth = if self.row_words < 4 { 1 } else { 16 };
        let parts = (words / TASK).clamp(1, worth).min(self.rows.max(1));
        let rows = self.rows.div_ceil(parts).max(1);
        (rows, self.rows.div_ceil(rows))
    }
}

// SAFETY: inputs are only read, as slices; a task writes the rows of the table that it owns, through a checked range.
unsafe impl Kernel for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn flops(&self) -> u64 {
        (self.tables * self.picks * self.row_words) as u64
    }

    fn operands(&self) -> Vec<OperandSpec> {
        vec![
            OperandSpec::read(self.tables * self.picks * self.row_words),
            OperandSpec::read(self.tables * self.picks),
            OperandSpec::write(self.tables * self.rows * self.row_words),
        ]
    }

    fn tasks(&self, _stage: usize) -> usize {
        self.tables * self.parts().1
    }

    unsafe fn run(&self, isa: Isa, _stage: usize, task: usize, operands: &Operands<'_>, _local: &mut [f32]) {
        let d = self.row_words;
        let (rows, parts) = self.parts();
        let (table, part) = (task / parts, task % parts);
        let owned = part * rows..((part + 1) * rows).min(self.rows);
        let at = table * self.rows * d;
        // SAFETY: inputs are only read; this task alone writes its rows.
        let (values, indices, out) = unsafe {
            let out = operands.write(2, at + owned.start * d..at + owned.end * d);
            (operands.read(0), operands.read_u32(1), out)
        };
        out.fill(0.0);
        for k in table * self.picks..(table + 1) * self.picks {
            let row = clamp(indices[k], self.rows);
            if owned.contains(&row) {
                let start = (row - owned.start) * d;
                let to = &mut out[start..start + d];
                let from = &values[k * d..(k + 1) * d];
                if d < 16 {
                    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                } else {
                    // SAFETY: the CPU supports `isa`.
                    unsafe { run_on(isa, AddTo { to, from }) };
                }
            }
        }
    }
}

/// `to += from`.
struct AddTo<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
}

impl WithSimd for AddTo<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: Simd>(self, s: S) {
        let n = self.to.len().min(self.from.len());
        let (to, from) = (self.to.as_mut_ptr(), self.from.as_ptr());
        let mut i = 0;
        // SAFETY: both slices have n words; the CPU feature is promised.
        unsafe {
            while i + S::LANES <= n {
                s.store(to.add(i), s.add(s.load(to.add(i)), s.load(from.add(i))));
                i += S::LANES;
            }
            if i < n {
                let sum = s.add(s.load_first(to.add(i), n - i), s.load_first(from.add(i), n - i));
                s.store_first(to.add(i), sum, n - i);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::harness::{Noise, outputs};

    #[test]
    fn gathers_and_scatters_match_their_definitions() {
        let mut noise = Noise(2);
        for (tables, rows, row_words, picks) in [
            (1, 10, 33, 7),
            (3, 5, 1, 100),
            (2, 700, 64, 900),
            (4, 1, 16, 3),
            (1, 3, 5, 0),
            (1, 40_000, 2, 50),
        ] {
            let indices: Vec<u32> =
                (0..tables * picks).map(|_| (noise.below(rows + 4) as i32 - 2) as u32).collect();
            let row = |k: usize| (indices[k] as i32).clamp(0, rows as i32 - 1) as usize;
            let table = noise.floats(tables * rows * row_words);
            let values = noise.floats(tables * picks * row_words);
            let mut picked = Vec::new();
            let mut sums = vec![0.0f32; tables * rows * row_words];
            for k in 0..tables * picks {
                for d in 0..row_words {
                    let at = (k / picks * rows + row(k)) * row_words + d;
                    picked.push(table[at]);
                    sums[at] += f32::from_bits(values[k * row_words + d]);
                }
            }
            let sums: Vec<Vec<u32>> = vec![sums.into_iter().map(f32::to_bits).collect()];
            let picked = vec![picked];
            let gather = Gather { tables, rows, row_words, picks };
            let scatter = ScatterAdd { tables, rows, row_words, picks };
            for isa in Isa::available() {
                assert_eq!(outputs(&gather, isa, &[table.clone(), indices.clone()]), picked);
                assert_eq!(outputs(&scatter, isa, &[values.clone(), indices.clone()]), sums);
            }
        }
    }

    #[test]
    fn an_empty_table_gives_zeros() {
        let gather = Gather { tables: 1, rows: 0, row_words: 2, picks: 2 };
        assert_eq!(outputs(&gather, Isa::best(), &[vec![], vec![0, 1]]), [vec![0; 4]]);
        let scatter = ScatterAdd { tables: 1, rows: 0, row_words: 2, picks: 2 };
        assert_eq!(outputs(&scatter, Isa::best(), &[vec![0; 4], vec![0, 1]]), [Vec::<u32>::new()]);
    }
}
