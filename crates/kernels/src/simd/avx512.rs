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
            let mask = first(cols);
            let mut v = [_mm512_setzero_ps(); 16];
            for (r, v) in v.iter_mut().enumerate() {
                if r < rows {
                    *v = _mm512_maskz_loadu_ps(mask, src.add(r * src_stride));
                }
            }
            // Pairs, then quads of rows: u[4q + j] holds in its 128-bit lane l column 4l + j of rows 4q..4q+4.
            let mut u = v;
            for q in 0..4 {
                let (lo0, hi0) =
                    (_mm512_unpacklo_ps(v[4 * q], v[4 * q + 1]), _mm512_unpackhi_ps(v[4 * q], v[4 * q + 1]));
                let (lo1, hi1) = (
                    _mm512_unpacklo_ps(v[4 * q + 2], v[4 * q + 3]),
                    _mm512_unpackhi_ps(v[4 * q + 2], v[4 * q + 3]),
                );
                let pd = |x| _mm512_castps_pd(x);
                u[4 * q] = _mm512_castpd_ps(_mm512_unpacklo_pd(pd(lo0), pd(lo1)));
                u[4 * q + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(pd(lo0), pd(lo1)));
                u[4 * q + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(pd(hi0), pd(hi1)));
                u[4 * q + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(pd(hi0), pd(hi1)));
            }
            // What is left is, for each j, a 4x4 transpose whose elements are 128-bit lanes.
            let mut columns = u;
            for j in 0..4 {
                let even01 = _mm512_shuffle_f32x4::<0x88>(u[j], u[4 + j]);
                let odd01 = _mm512_shuffle_f32x4::<0xdd>(u[j], u[4 + j]);
                let even23 = _mm512_shuffle_f32x4::<0x88>(u[8 + j], u[12 + j]);
                let odd23 = _mm512_shuffle_f32x4::<0xdd>(u[8 + j], u[12 + j]);
                columns[j] = _mm512_shuffle_f32x4::<0x88>(even01, even23);
                columns[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd01, odd23);
                columns[8 + j] = _mm512_shuffle_f32x4::<0xdd>(even01, even23);
                columns[12 + j] = _mm512_shuffle_f32x4::<0xdd>(odd01, odd23);
            }
            for (c, column) in columns.iter().enumerate() {
                if c < cols {
                    _mm512_storeu_ps(dst.add(c * dst_stride), *column);
                }
            }
        }
    }
}
