//! One register tile for kernels that bring their operands packed.

pub use super::ahead::Ahead;
pub use super::tile::STRETCH;
use super::tile::{self, CHUNKED, Geometry, Tile};
use crate::isa::Isa;

/// Columns of a chunk of the left operand of [`run`].
pub const CHUNK: usize = tile::CHUNK;

/// The left operand of [`run`], in chunks of [`CHUNK`] columns, in which rows follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    pub start: *const f32,
    /// Words from one chunk to the next.
    pub stride: usize,
}

/// The left operand of [`run_transposed`]: a row for each term of the sums.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    pub start: *const f32,
    /// Words from one row to the next.
    pub stride: usize,
}

/// Rows of the result.
#[derive(Clone, Copy, Debug)]
pub struct Results {
    pub start: *mut f32,
    pub stride: usize,
}

/// Most rows of a tile.
pub fn tallest(isa: Isa) -> usize {
    Geometry::of(isa).rows
}

/// What a product does beside its sums.
#[derive(Clone, Copy, Debug)]
pub struct Also {
    /// Whether to add to the results rather than overwrite them.
    pub accumulate: bool,
    /// What to fetch meanwhile, and how many lines in each [`STRETCH`] of the sums.
    pub ahead: Ahead,
    pub fetches: usize,
}

/// `c = a * b`, or `c += a * b`, for `rows` rows, sums of `depth` terms and a panel of `columns`, whose rows follow each
/// other. Returns what is still to be fetched.
///
/// # Safety
/// The CPU supports `isa`; `rows` is at most [`tallest`], `depth` a number of whole chunks; `columns` is a number of
/// whole vectors and at most a panel's width; all three operands are live and of these sizes; sums that are added to
/// exist.
#[allow(clippy::too_many_arguments)]
pub unsafe fn run(
    isa: Isa,
    rows: usize,
    depth: usize,
    a: Chunks,
    b: *const f32,
    columns: usize,
    c: Results,
    also: Also,
) -> Ahead {
    let left = Left { start: a.start, row: CHUNKED, k: a.stride };
    // SAFETY: forwarded from the caller.
    unsafe { panel(isa, rows, depth, left, b, columns, c, also) }
}

/// `c = a' * b`, or `c += a' * b`, where `a` has a row for each of the `depth` terms. Returns what is still to be fetched.
///
/// # Safety
/// As for [`run`], with `rows` neighbouring words in each of `depth` rows of `a`, any number; sums that are added to
/// exist.
#[allow(clippy::too_many_arguments)]
pub unsafe fn run_transposed(
    isa: Isa,
    rows: usize,
    depth: usize,
    a: Rows,
    b: *const f32,
    columns: usize,
    c: Results,
    also: Also,
) -> Ahead {
    let left = Left { start: a.start, row: 1, k: a.stride };
    // SAFETY: forwarded from the caller.
    unsafe { panel(isa, rows, depth, left, b, columns, c, also) }
}

/// The left operand, with its strides as a tile takes them.
#[derive(Clone, Copy)]
struct Left {
    start: *const f32,
    row: usize,
    k: usize,
}

/// # Safety
/// As for [`run`], whichever way the left operand lies.
#[allow(clippy::too_many_arguments)]
unsafe fn panel(
    isa: Isa,
    rows: usize,
    depth: usize,
    a: Left,
    b: *const f32,
    columns: usize,
    c: Results,
    also: Also,
) -> Ahead {
    let mut ahead = also.ahead;
    let geometry = Geometry::of(isa);
    let mut first = 0;
    while first < columns {
        // Where a panel is wider than the tile, as on machines with few registers, it is taken in parts.
        let part = geometry.columns().min(columns - first);
        let tile = Tile {
            k: depth,
            a: a.start,
            a_row: a.row,
            a_k: a.k,
            // SAFETY: within the panel.
            b: unsafe { b.add(first) },
            b_k: columns,
            // SAFETY: within the results' rows.
            c: unsafe { c.start.add(first) },
            c_row: c.stride,
            columns: part,
            accumulate: also.accumulate,
            fetch_c: false,
            ahead,
            fetches: also.fetches,
        };
        // SAFETY: forwarded from the caller.
        ahead = unsafe { tile::run(isa, rows, geometry.vectors_for(part), tile) };
        first += part;
    }
    ahead
}
