//! AVX2 with fused multiply-add.

use super::Simd;
use crate::isa::Isa;
use std::arch::x86_64::*;

/// Eight lanes of `avx2,fma`.
#[derive(Clone, Copy, Debug)]
pub struct Avx2;

/// A mask whose first `n` lanes are set.
#[inline(always)]
unsafe fn first(n: usize) -> __m256i {
    debug_assert!(n <= 8);
    static ONES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: n <= 8, so eight words from 8 - n lie inside the table.
    unsafe { _mm256_loadu_si256(ONES.as_ptr().add(8 - n).cast()) }
}

// SAFETY: every method is one or two intrinsics of the documented features, which the trait's contract demands.
unsafe impl Simd for Avx2 {
    const LANES: usize = 8;
    const ISA: Isa = Isa::Avx2;
    type F = __m256;

    #[inline(always)]
    unsafe fn splat(self, x: f32) -> __m256 {
        // SAFETY: the caller promises the CPU feature.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        // SAFETY: the caller promises the CPU feature and readable words.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m256) {
        // SAFETY: the caller promises the CPU feature and writable words.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> __m256 {
        // SAFETY: masked lanes are not touched; the caller promises the first n.
        unsafe { _mm256_maskload_ps(p, first(n)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: __m256, n: usize) {
        // SAFETY: masked lanes are not touched; the caller promises the first n.
        unsafe { _mm256_maskstore_ps(p, first(n), v) }
    }
    #[inline(always)]
    unsafe fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller promises the CPU feature.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller promises the CPU feature.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the caller promises the CPU feature.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the caller promises the CPU feature.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
}
