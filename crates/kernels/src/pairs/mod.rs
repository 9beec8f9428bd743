//! Bf16 and products of bf16 pairs.
//!
//! Bf16 is the upper half of an f32: its exponent and 7 of its 23 fraction bits (Kalamkar et al., "A Study of BFLOAT16
//! for Deep Learning Training", 2019). The kernels of mixed precision round operands to it, to nearest even, and sum
//! products of neighbouring pairs in f32, as the instructions `vdpbf16ps` and `tdpbf16ps` do: a word holds two elements that follow
//! each other along the sum, the tile (`tile`) multiplies word by word.
//!
//! # Error
//! A product of two bf16 has at most 16 significant bits and so is exact in f32. A sum of n of them therefore errs, in
//! any order, by at most `gamma(n) * sum |a b|` with `gamma(n) = n u / (1 - n u)`, u = 2^-24 (Higham, Accuracy and
//! Stability of Numerical Algorithms, section 3.1), `a` and `b` the rounded operands. Pairs of zeros add nothing. Beyond that both instructions take
//! denormal operands for 0 and flush denormal sums (Intel SDM, VDPBF16PS, TDPBF16PS), whatever MXCSR says: at most
//! `2^-126 * (|a| + |b|)` a product and 2^-126 an addition. Rounding an operand errs by at most 2^-8 of it, so against
//! the operands as given a product errs by little more than 2^-7 of itself.

pub(crate) mod amx;
pub(crate) mod pack;
pub(crate) mod simd;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod tile;

/// `x` rounded to bf16, to nearest, ties to even. Infinities stay, NaNs become quiet, finite numbers of at least
/// `(2 - 2^-8) * 2^127` become infinite.
#[inline(always)]
pub fn round(x: f32) -> u16 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    (if x.is_nan() { bits >> 16 | 0x40 } else { nearest }) as u16
}

/// The f32 that bf16 `x` is.
#[inline(always)]
pub fn widen(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

/// The word that holds `first` and then `second` in memory order.
#[inline(always)]
pub fn pair(first: u16, second: u16) -> u32 {
    if cfg!(target_endian = "little") {
        u32::from(first) | u32::from(second) << 16
    } else {
        u32::from(second) | u32::from(first) << 16
    }
}
