//! AVX-512.

use super::Simd;
use crate::isa::Isa;
use std::arch::x86_64::*;

/// Sixteen lanes of `avx512f`.
#[derive(Clone, Copy, Debug)]
pub struct Avx512;

/// A mask whose first `n` lanes are set.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    debug_assert!(n <= 16);
    ((1u32 << n) - 1) as __mmask16
}

// SAFETY: every method is one or two intrinsics of the documented features, which the trait's contract demands.
unsafe impl Simd for Avx512 {
    const LANES: usize = 16;
    const ISA: Isa = Isa::Avx512;
    type F = __m512;

    #[inline(always)]
    unsafe fn splat(self, x: f32) -> __m512 {
        // SAFETY: the caller promises the CPU feature.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        // SAFETY: the caller promises the CPU feature and readable words.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m512) {
        // SAFETY: the caller promises the CPU feature and writable words.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> __m512 {
        // SAFETY: masked lanes are not touched; the caller promises the first n.
        unsafe { _mm512_maskz_loadu_ps(first(n), p) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: __m512, n: usize) {
        // SAFETY: masked lanes are not touched; the caller promises the first n.
        unsafe { _mm512_mask_storeu_ps(p, first(n), v) }
    }
    #[inline(always)]
    unsafe fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller promises the CPU feature.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller promises the CPU feature.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the caller promises the CPU feature.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the caller promises the CPU feature.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
}
