//! Where kernels over a batch of rows cut it: at the same places, so that they follow each other band by band without
//! a barrier, and what one leaves in the cache the next finds there.

use std::ops::Range;

/// Rows of a band: two or three register tiles high, and with rows of 128 to 256 words half an L1 cache.
pub const BAND: usize = 32;

/// Most words of an operand that is cut into bands. Larger ones do not stay in the caches between two kernels and are
/// cut as suits each kernel best.
const MOST_WORDS: usize = 1 << 19;

/// The number of bands of `rows` rows, if operands of at most `words` words with as many rows are cut into bands.
pub fn bands(rows: usize, words: usize) -> Option<usize> {
    // Fewer than two bands leave nothing to share; more than 64 tasks cost more than they balance.
    ((2 * BAND..=64 * BAND).contains(&rows) && words <= MOST_WORDS).then(|| rows.div_ceil(BAND))
}

/// The rows of band `i`.
pub fn band(rows: usize, i: usize) -> Range<usize> {
    i * BAND..rows.min((i + 1) * BAND)
}
