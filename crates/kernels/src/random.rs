//! Philox4x32-10 (Salmon, Moraes, Dror and Shaw, 2011, "Parallel random numbers: as easy as 1, 2, 3"): a keyed
//! function from 128-bit counters to 128 random bits, so that every random word has an address.

use crate::isa::Isa;
use crate::kernel::{Kernel, OperandSpec, Operands};
use crate::simd::{SimdMath, WithSimdMath, run_math_on};

/// Multipliers and key increments of the paper.
const MULTIPLY: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
const ROUNDS: usize = 10;

/// Words that one task aims at.
const TASK: usize = 16 * 1024;

/// The stream that [`fold_in`] draws from; [`PhiloxBits`] refuses it.
pub const FOLD_STREAM: u32 = u32::MAX;

/// The four random words of a counter.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (mut c, mut k) = (counter, key);
    for _ in 0..ROUNDS {
        let a = u64::from(MULTIPLY[0]) * u64::from(c[0]);
        let b = u64::from(MULTIPLY[1]) * u64::from(c[2]);
        c = [(b >> 32) as u32 ^ c[1] ^ k[0], b as u32, (a >> 32) as u32 ^ c[3] ^ k[1], a as u32];
        k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
    }
    c
}

/// A key derived from `key` and `data`, independent of every word of [`PhiloxBits`] under `key`: the first two
/// words of the counter `[low data, high data, 0, FOLD_STREAM]`.
pub fn fold_in(key: [u32; 2], data: u64) -> [u32; 2] {
    let [a, b, _, _] = philox4x32([data as u32, (data >> 32) as u32, 0, FOLD_STREAM], key);
    [a, b]
}

/// Word `e` of row `r`: the scalar twin of [`PhiloxBits`].
pub fn philox_word(key: [u32; 2], first: u64, stream: u32, row: u64, e: u32) -> u32 {
    let row = first.wrapping_add(row);
    philox4x32([e / 4, row as u32, (row >> 32) as u32, stream], key)[e as usize % 4]
}

/// Random words `[rows, row_words]`: word `e` of row `r` is word `e % 4` of Philox at the counter
/// `[e / 4, low(first + r), high(first + r), stream]`, the same bits on every instruction set.
///
/// Operands: key (2 words), first (2 words: the 64-bit index of row 0, low word first), output.
#[derive(Clone, Debug)]
pub struct PhiloxBits {
    rows: usize,
    row_words: usize,
    stream: u32,
    /// Words of a chunk of a row, a multiple of 64, and chunks in a row.
    chunk: usize,
    chunks: usize,
    rows_per_task: usize,
}

impl PhiloxBits {
    /// None for the reserved stream [`FOLD_STREAM`] and for rows of 2^34 words or more, whose counter would wrap.
    pub fn new(rows: usize, row_words: usize, stream: u32) -> Option<PhiloxBits> {
        if stream == FOLD_STREAM || row_words >= 1 << 34 {
            return None;
        }
        let chunks = row_words.div_ceil(TASK).max(1);
        let chunk = row_words.div_ceil(chunks).next_multiple_of(64).max(64);
        let chunks = row_words.div_ceil(chunk).max(1);
        let rows_per_task = (TASK / row_words.max(1)).max(1);
        Some(PhiloxBits { rows, row_words, stream, chunk, chunks, rows_per_task })
    }
}

// SAFETY: key and first index are only read; a task writes the chunks of rows that are its own, through checked ranges.
unsafe impl Kernel for PhiloxBits {
    fn name(&self) -> &'static str {
        "philox"
    }

    fn flops(&self) -> u64 {
        0
    }

    fn operands(&self) -> Vec<OperandSpec> {
        let words = self.rows * self.row_words;
        vec![OperandSpec::read(2), OperandSpec::read(2), OperandSpec::write(words)]
    }

    fn tasks(&self, _stage: usize) -> usize {
        if self.row_words == 0 { 0 } else { self.rows.div_ceil(self.rows_per_task) * self.chunks }
    }

    unsafe fn run(&self, isa: Isa, _stage: usize, task: usize, operands: &Operands<'_>, _local: &mut [f32]) {
        // SAFETY: key and first are only read.
        let (key, first) = unsafe { (operands.read_u32(0), operands.read_u32(1)) };
        let first = u64::from(first[0]) | u64::from(first[1]) << 32;
        let start = task % self.chunks * self.chunk;
        let end = (start + self.chunk).min(self.row_words);
        let row = task / self.chunks * self.rows_per_task;
        for r in row..(row + self.rows_per_task).min(self.rows) {
            let index = first.wrapping_add(r as u64);
            let at = r * self.row_words;
            let body = Row {
                counter: [(start / 4) as u32, index as u32, (index >> 32) as u32, self.stream],
                key: [key[0], key[1]],
                // SAFETY: this task alone writes these words.
                out: unsafe { operands.write(2, at + start..at + end) },
            };
            // SAFETY: the CPU supports `isa`.
            unsafe { run_math_on(isa, body) };
        }
    }
}

/// Words of consecutive counters from `counter` on.
struct Row<'a> {
    counter: [u32; 4],
    key: [u32; 2],
    out: &'a mut [f32],
}

impl WithSimdMath for Row<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: SimdMath>(self, s: S) {
        const STEPS: [i32; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let [mut block, row_low, row_high, stream] = self.counter;
        // SAFETY: loads and stores stay in arrays of 16 words, the widest vector; the CPU feature is promised.
        unsafe {
            let steps = s.bits(s.load(STEPS.as_ptr().cast()));
            for out in self.out.chunks_mut(4 * S::LANES) {
                let mut c = [
                    s.int_add(s.int(block as i32), steps),
                    s.int(row_low as i32),
                    s.int(row_high as i32),
                    s.int(stream as i32),
                ];
                let mut k = self.key;
                for _ in 0..ROUNDS {
                    let (a_low, a_high) = s.mul_wide(s.int(MULTIPLY[0] as i32), c[0]);
                    let (b_low, b_high) = s.mul_wide(s.int(MULTIPLY[1] as i32), c[2]);
                    c = [
                        s.xor(s.xor(b_high, c[1]), s.int(k[0] as i32)),
                        b_low,
                        s.xor(s.xor(a_high, c[3]), s.int(k[1] as i32)),
                        a_low,
                    ];
                    k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
                }
                let mut words = [[0.0f32; 16]; 4];
                for (word, c) in words.iter_mut().zip(c) {
                    s.store(word.as_mut_ptr(), s.float(c));
                }
                for (i, four) in out.chunks_mut(4).enumerate() {
                    for (word, out) in words.iter().zip(four) {
                        *out = word[i];
                    }
                }
                block = block.wrapping_add(S::LANES as u32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::harness::outputs;

    #[test]
    fn known_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        for (rows, row_words, first) in
            [(5, 7, 0u64), (3, 70_001, 5), (130, 100, 0xffff_fff0), (2, 64, u64::MAX), (1, 1, 9), (4, 0, 0)]
        {
            let kernel = PhiloxBits::new(rows, row_words, 77).expect("a valid stream");
            let key = [0x1234_5678, 0x9abc_def0];
            let inputs = [key.to_vec(), vec![first as u32, (first >> 32) as u32]];
            let want: Vec<u32> = (0..rows as u64)
                .flat_map(|r| (0..row_words as u32).map(move |e| philox_word(key, first, 77, r, e)))
                .collect();
            let want = vec![want];
            for isa in Isa::available() {
                assert_eq!(outputs(&kernel, isa, &inputs), want, "{isa:?} {rows} {row_words}");
            }
        }
    }

    #[test]
    fn folding_separates_keys() {
        let key = [1, 2];
        let mut keys: Vec<[u32; 2]> = (0..1000).map(|data| fold_in(key, data)).collect();
        keys.push(fold_in(key, 1 << 32));
        keys.push(fold_in([2, 1], 0));
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 1002);
        assert!(PhiloxBits::new(1, 1, FOLD_STREAM).is_none());
    }
}
