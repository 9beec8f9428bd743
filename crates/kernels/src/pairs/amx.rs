//! The tile of Intel's matrix extensions (AMX): two by two of its registers, of 16 rows of 16 sums each.
//!
//! `tdpbf16ps` multiplies 16 rows of 16 pairs with 16 lines of 16 pairs (Intel 64 and IA-32 Architectures Software
//! Developer's Manual, volume 2, TDPBF16PS): the lines are those of a packed panel, the rows lie where the sum runs
//! along memory. Operands and sums that are denormal count as 0 and sums are rounded to nearest even, as those of
//! `vdpbf16ps`, in an order of its own; the bound that [`super`] states holds for any order.
//!
//! A sum runs over whole steps of [`DEPTH`] pairs: rows and panels are filled up with zeros.

use super::simd::{PairIsa, Pairs, WithPairs, run_pairs_on};
use super::tile::{Store, VECTORS, finish};
use std::marker::PhantomData;

/// Pairs of one step along the sum.
pub(crate) const DEPTH: usize = 16;
/// Rows of a register.
const ROWS: usize = 16;
/// Columns of a register.
const LANES: usize = 16;
/// Rows of the tallest tile.
pub(crate) const TALLEST: usize = 2 * ROWS;

/// A block of the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile<'a> {
    /// Where the first row's pairs begin. Rows follow each other up to a whole register; those that have no result may
    /// hold anything.
    pub rows: *const u32,
    /// Words from one row to the next.
    pub stride: usize,
    /// The line of the panel that the first pair meets; lines are whole vectors.
    pub panel: *const u32,
    /// Stretches of lines that follow each other, at least one.
    pub stretches: usize,
    /// Steps of [`DEPTH`] lines in a stretch, at least one.
    pub steps: usize,
    /// Lines left out after each stretch.
    pub gap: usize,
    /// Where each row's results begin: at most [`TALLEST`] of them.
    pub results: &'a [*mut f32],
    /// Columns that exist, at most two vectors.
    pub columns: usize,
    pub store: Store,
}

/// The registers of this thread, configured as tiles while it lives. Between, a thread that is interrupted has none to
/// be saved.
#[derive(Debug)]
pub(crate) struct Registers(PhantomData<*const ()>);

/// What `ldtilecfg` reads: palette 1, and of each register its bytes a row and its rows.
#[cfg(target_arch = "x86_64")]
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

#[cfg(target_arch = "x86_64")]
static CONFIGURATION: Configuration = {
    let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
    let mut register = 0;
    while register < 8 {
        row_bytes[register] = (LANES * size_of::<f32>()) as u16;
        rows[register] = ROWS as u8;
        register += 1;
    }
    Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
};

impl Registers {
    /// # Safety
    /// The CPU and the system have AMX ([`has_tiles`](crate::isa::has_tiles)), and no other registers live on this thread:
    /// the first to be dropped would release both.
    pub(crate) unsafe fn configure() -> Self {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: reads 64 bytes and changes nothing that compiled code uses.
        unsafe {
            std::arch::asm!(
                "ldtilecfg [{}]",
                in(reg) &raw const CONFIGURATION,
                options(nostack, readonly, preserves_flags)
            );
        }
        Self(PhantomData)
    }

    /// Computes a tile.
    ///
    /// # Safety
    /// `isa` is that of a CPU with AMX; as many rows as whole registers hold and as many lines as the stretches have
    /// are readable, and `columns` elements of each result are this task's alone.
    pub(crate) unsafe fn run(&self, isa: PairIsa, tile: &Tile<'_>) {
        debug_assert!(tile.steps > 0 && tile.stretches > 0 && !tile.results.is_empty(), "{tile:?}");
        // SAFETY: forwarded from the caller; the block holds two by two registers.
        unsafe {
            // Rows of the result that are whole and equally far from each other are read and written in place.
            let step = tile.results.get(1).map_or(0, |row| row.offset_from(tile.results[0]));
            let regular = tile.results.len() == TALLEST
                && tile.columns == VECTORS * LANES
                && tile.store != Store::Round
                && step > 0
                && tile.results.windows(2).all(|rows| rows[1].offset_from(rows[0]) == step);
            if regular {
                return multiply(tile, tile.results[0], step.unsigned_abs(), tile.store == Store::Add);
            }
            let mut block = Block([[0.0; VECTORS * LANES]; TALLEST]);
            multiply(tile, block.0.as_mut_ptr().cast(), VECTORS * LANES, false);
            run_pairs_on(isa, Finish { tile, block: &block });
        }
    }

    /// Products of registers alone, `rounds` times four that do not wait for each other; returns the operations.
    pub(crate) fn chains(&self, rounds: usize) -> u64 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: whoever made `self` has the instructions; the registers are zero, and all are named.
        unsafe {
            std::arch::asm!(
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                "tilezero tmm4", "tilezero tmm5", "tilezero tmm6", "tilezero tmm7",
                "2:",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "dec {n}",
                "jnz 2b",
                n = inout(reg) rounds.max(1) => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, nomem)
            );
        }
        // Each a product and a sum.
        4 * (2 * ROWS * LANES * 2 * DEPTH * rounds.max(1)) as u64
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: whoever made it has the instruction.
        unsafe {
            std::arch::asm!("tilerelease", options(nostack, nomem, preserves_flags));
        }
    }
}

#[repr(C, align(64))]
struct Block([[f32; VECTORS * LANES]; TALLEST]);

/// Writes or, with `add`, adds to two by two registers of sums, whose rows are `step` words apart.
///
/// # Safety
/// The registers are configured; rows and lines are those of the tile, and the sums are this task's alone.
#[cfg(target_arch = "x86_64")]
unsafe fn multiply(tile: &Tile<'_>, sums: *mut f32, step: usize, add: bool) {
    const WORD: usize = size_of::<f32>();
    let wide = tile.columns > LANES;
    let line = if wide { VECTORS * LANES } else { LANES };
    // One register of rows or columns alone is multiplied twice.
    let second_rows = if tile.results.len() > ROWS { ROWS * tile.stride } else { 0 };
    let second_columns = if wide { LANES } else { 0 };
    macro_rules! product {
        ($($begin:literal)*) => {
            // SAFETY: the caller's promise; labels are local, the registers are named.
            unsafe {
                std::arch::asm!(
                    $($begin,)*
                    "2:",
                    "mov {n}, {steps}",
                    "3:",
                    "tileloadd tmm6, [{b0} + {line}]",
                    "tileloadd tmm4, [{a0} + {stride}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{b1} + {line}]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{a1} + {stride}]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "add {a0}, 64",
                    "add {a1}, 64",
                    // Sixteen lines.
                    "lea {b0}, [{b0} + 8 * {line}]",
                    "lea {b1}, [{b1} + 8 * {line}]",
                    "lea {b0}, [{b0} + 8 * {line}]",
                    "lea {b1}, [{b1} + 8 * {line}]",
                    "dec {n}",
                    "jnz 3b",
                    "add {b0}, {gap}",
                    "add {b1}, {gap}",
                    "dec {stretches}",
                    "jnz 2b",
                    "mov {n}, {step}",
                    "shl {n}, 4",
                    "add {n}, {c}",
                    "tilestored [{c} + {step}], tmm0",
                    "tilestored [{c} + {step} + 64], tmm1",
                    "tilestored [{n} + {step}], tmm2",
                    "tilestored [{n} + {step} + 64], tmm3",
                    a0 = inout(reg) tile.rows => _,
                    a1 = inout(reg) tile.rows.add(second_rows) => _,
                    stride = in(reg) tile.stride * WORD,
                    b0 = inout(reg) tile.panel => _,
                    b1 = inout(reg) tile.panel.add(second_columns) => _,
                    line = in(reg) line * WORD,
                    gap = in(reg) tile.gap * line * WORD,
                    steps = in(reg) tile.steps,
                    stretches = inout(reg) tile.stretches => _,
                    c = in(reg) sums,
                    step = in(reg) step * WORD,
                    n = out(reg) _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack)
                );
            }
        };
    }
    if add {
        product!(
            "mov {n}, {step}"
            "shl {n}, 4"
            "add {n}, {c}"
            "tileloadd tmm0, [{c} + {step}]"
            "tileloadd tmm1, [{c} + {step} + 64]"
            "tileloadd tmm2, [{n} + {step}]"
            "tileloadd tmm3, [{n} + {step} + 64]"
        );
    } else {
        product!("tilezero tmm0" "tilezero tmm1" "tilezero tmm2" "tilezero tmm3");
    }
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn multiply(_: &Tile<'_>, _: *mut f32, _: usize, _: bool) {
    unreachable!("the caller promises AMX")
}

/// Takes the sums of a block to their results.
struct Finish<'a> {
    tile: &'a Tile<'a>,
    block: &'a Block,
}

impl WithPairs for Finish<'_> {
    #[inline(always)]
    unsafe fn call<P: Pairs>(self, pairs: P) {
        let Finish { tile, block } = self;
        // SAFETY: the caller of `run` promises the results.
        unsafe { finish(pairs, tile.results, &block.0, tile.columns, tile.store) };
    }
}
