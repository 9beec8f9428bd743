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
        // SAFETY: the caller promises the CPU feature, `rows` rows of `cols` words and `cols` whole vectors.
        unsafe {
            let mut v = [_mm256_setzero_ps(); 8];
            if cols == 8 {
                for (r, v) in v.iter_mut().enumerate() {
                    if r < rows {
                        *v = _mm256_loadu_ps(src.add(r * src_stride));
                    }
                }
            } else {
                let mask = first(cols);
                for (r, v) in v.iter_mut().enumerate() {
                    if r < rows {
                        *v = _mm256_maskload_ps(src.add(r * src_stride), mask);
                    }
                }
            }
            // u[4q + j] holds in its 128-bit lane l column 4l + j of rows 4q..4q+4.
            let mut u = v;
            for q in 0..2 {
                let (lo0, hi0) =
                    (_mm256_unpacklo_ps(v[4 * q], v[4 * q + 1]), _mm256_unpackhi_ps(v[4 * q], v[4 * q + 1]));
                let (lo1, hi1) = (
                    _mm256_unpacklo_ps(v[4 * q + 2], v[4 * q + 3]),
                    _mm256_unpackhi_ps(v[4 * q + 2], v[4 * q + 3]),
                );
                u[4 * q] = _mm256_shuffle_ps::<0x44>(lo0, lo1);
                u[4 * q + 1] = _mm256_shuffle_ps::<0xee>(lo0, lo1);
                u[4 * q + 2] = _mm256_shuffle_ps::<0x44>(hi0, hi1);
                u[4 * q + 3] = _mm256_shuffle_ps::<0xee>(hi0, hi1);
            }
            let mut columns = u;
            for j in 0..4 {
                columns[j] = _mm256_permute2f128_ps::<0x20>(u[j], u[4 + j]);
                columns[4 + j] = _mm256_permute2f128_ps::<0x31>(u[j], u[4 + j]);
            }
            if cols == 8 {
                // Nearly every block, so that its eight stores need no branch each.
                for (c, column) in columns.iter().enumerate() {
                    _mm256_storeu_ps(dst.add(c * dst_stride), *column);
                }
            } else {
                for (c, column) in columns.iter().enumerate() {
                    if c < cols {
                        _mm256_storeu_ps(dst.add(c * dst_stride), *column);
                    }
                }
            }
        }
    }
}
