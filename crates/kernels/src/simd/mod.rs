//! One kernel source for every instruction set: kernels are generic over [`Simd`] and enter through [`run_on`].
//!
//! Every method is `#[inline(always)]`, so that a kernel body is compiled once per instruction set inside a
//! function that carries the matching `#[target_feature]`; a method called outside [`run_on`] would be correct
//! only where the CPU has the feature, hence `unsafe`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod functions;
#[cfg(test)]
mod functions_tests;
mod math;
mod math_portable;
#[cfg(target_arch = "x86_64")]
mod math_x86;
mod portable;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
pub use math::{SimdMath, TILE, WithSimdMath, run_math_on};
pub use portable::Portable;

use crate::isa::Isa;

/// The vector operations that contractions need, on f32 lanes.
///
/// # Safety
/// All methods require that the CPU supports the instruction set; loads and stores require that the named
/// words are valid for reading or writing.
#[allow(clippy::missing_safety_doc)]
pub unsafe trait Simd: Copy + Send + Sync + 'static {
    /// Lanes of a vector.
    const LANES: usize;
    /// The instruction set.
    const ISA: Isa;
    /// A vector of f32.
    type F: Copy;

    /// All lanes `x`.
    unsafe fn splat(self, x: f32) -> Self::F;
    /// `LANES` words from `p`, which need not be aligned.
    unsafe fn load(self, p: *const f32) -> Self::F;
    /// `LANES` words to `p`, which need not be aligned.
    unsafe fn store(self, p: *mut f32, v: Self::F);
    /// The first `n <= LANES` words from `p`; other lanes 0. No other word is touched.
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::F;
    /// The first `n <= LANES` lanes to `p`. No other word is touched.
    unsafe fn store_first(self, p: *mut f32, v: Self::F, n: usize);
    /// `a + b`.
    unsafe fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    unsafe fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    unsafe fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`; one rounding where the hardware has it (not on [`Portable`]).
    unsafe fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;

    /// Transposes a block of `rows <= LANES` times `cols <= LANES` words: for each column `c` writes the vector
    /// of `src[r * src_stride + c]` over `r`, zero in the lanes from `rows` on, to `dst + c * dst_stride`.
    ///
    /// Columns are written in ascending order, `LANES` words each, so with `dst_stride = rows` each one
    /// overwrites the zeros behind the one before, and only the last reaches past `rows * cols`.
    #[inline(always)]
    unsafe fn transpose(
        self,
        src: *const f32,
        src_stride: usize,
        rows: usize,
        cols: usize,
        dst: *mut f32,
        dst_stride: usize,
    ) {
        for c in 0..cols {
            for r in 0..Self::LANES {
                // SAFETY: the caller promises readable blocks in `src` and whole vectors in `dst`.
                unsafe {
                    let x = if r < rows { *src.add(r * src_stride + c) } else { 0.0 };
                    *dst.add(c * dst_stride + r) = x;
                }
            }
        }
    }

    /// All lanes 0.
    #[inline(always)]
    unsafe fn zero(self) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { self.splat(0.0) }
    }
}

/// A piece of code generic over the instruction set.
pub trait WithSimd {
    /// What it returns.
    type Output;
    /// The body; mark it `#[inline(always)]`.
    ///
    /// # Safety
    /// The CPU supports `S::ISA`, and whatever the implementor asks of its fields holds.
    unsafe fn call<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs `body` compiled for `isa`.
///
/// # Safety
/// The CPU supports `isa`, and the contract of `body` holds.
pub unsafe fn run_on<W: WithSimd>(isa: Isa, body: W) -> W::Output {
    match isa {
        // SAFETY: forwarded from the caller.
        Isa::Portable => unsafe { body.call(Portable) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller promises that the CPU has these features.
        Isa::Avx2 => unsafe { enter_avx2(body) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512 => unsafe { enter_avx512(body) },
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 | Isa::Avx512 => unreachable!("the caller promises that the CPU supports it"),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn enter_avx2<W: WithSimd>(body: W) -> W::Output {
    // SAFETY: forwarded from `run_on`.
    unsafe { body.call(Avx2) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn enter_avx512<W: WithSimd>(body: W) -> W::Output {
    // SAFETY: forwarded from `run_on`.
    unsafe { body.call(Avx512) }
}

/// Fetches the line of `at` into L1. A hint: the address need not be valid.
#[inline(always)]
pub(crate) fn prefetch_near(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that never faults, part of the x86-64 baseline.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Fetches the line of `at` into L2. A hint: the address need not be valid.
#[inline(always)]
pub(crate) fn prefetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint that never faults, part of the x86-64 baseline.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Transpose<'a>(&'a [f32], usize, usize, usize, &'a mut [f32]);

    impl WithSimd for Transpose<'_> {
        type Output = usize;
        #[inline(always)]
        unsafe fn call<S: Simd>(self, simd: S) -> usize {
            let Transpose(src, stride, rows, cols, dst) = self;
            let (rows, cols) = (rows.min(S::LANES), cols.min(S::LANES));
            assert!(src.len() >= (rows - 1) * stride + cols && dst.len() >= cols * rows + S::LANES);
            // SAFETY: the caller promises the CPU feature; the lengths are asserted.
            unsafe { simd.transpose(src.as_ptr(), stride, rows, cols, dst.as_mut_ptr(), rows) };
            S::LANES
        }
    }

    #[test]
    fn transposes_every_block_size() {
        let src: Vec<f32> = (0..16 * 19).map(|i| i as f32 + 1.0).collect();
        for isa in Isa::available() {
            for (rows, cols) in (1..=16).flat_map(|r| (1..=16).map(move |c| (r, c))) {
                let mut dst = vec![-1.0; 16 * 17];
                // Ends with the block, so that reading a row past its end is seen by address sanitizers.
                let last = 19 * (rows - 1) + cols;
                // SAFETY: the instruction set is available.
                let lanes = unsafe { run_on(isa, Transpose(&src[..last], 19, rows, cols, &mut dst)) };
                let (rows, cols) = (rows.min(lanes), cols.min(lanes));
                for c in 0..cols {
                    for r in 0..rows {
                        assert_eq!(dst[c * rows + r], src[r * 19 + c], "{isa:?} {rows}x{cols} at {r},{c}");
                    }
                }
                let end = (cols - 1) * rows + lanes;
                assert!(dst[cols * rows..end].iter().all(|&x| x == 0.0), "{isa:?} {rows}x{cols}");
                assert!(dst[end..].iter().all(|&x| x == -1.0), "{isa:?} {rows}x{cols}");
            }
        }
    }
}
