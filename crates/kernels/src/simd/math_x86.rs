//! [`SimdMath`] for AVX2 and AVX-512.

use super::{Avx2, Avx512, SimdMath, TILE};
use std::arch::x86_64::*;
use std::f64::consts::FRAC_2_PI;

/// pi/2 to 33 bits, so that its product with an integer below 2^20 is exact in f64, and what is left of it.
const HALF_PI_HIGH: f64 = 1.570_796_326_734_125_6;
const HALF_PI_LOW: f64 = 6.077_100_506_506_192e-11;

/// Methods that are one intrinsic or a short expression of them.
macro_rules! methods {
    ($($name:ident($($a:ident: $t:ty),*) -> $r:ty = $e:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $name(self, $($a: $t),*) -> $r {
            // SAFETY: the caller promises the CPU feature; no memory is touched.
            unsafe { $e }
        }
    )*};
}

/// One vector of f32 arguments of [`SimdMath::half_pi`], widened, and what comes of it. Not a closure: the compiler may leave one
/// outside of the function with the CPU's features, and each intrinsic in it becomes a call.
macro_rules! half_pi {
    ($x:expr, $wide:ident, $narrow:ident, $set:ident, $mul:ident, $sub:ident, $floor:expr, $round:expr) => {{
        let x = $wide($x);
        let n = $round($mul(x, $set(FRAC_2_PI)));
        let r = $sub($sub(x, $mul(n, $set(HALF_PI_HIGH))), $mul(n, $set(HALF_PI_LOW)));
        let q = $sub(n, $mul($set(4.0), $floor($mul(n, $set(0.25)))));
        ($narrow(r), $narrow(q))
    }};
}

// SAFETY: every method is a few intrinsics of the features that the trait's contract demands.
unsafe impl SimdMath for Avx2 {
    type I = __m256i;
    type M = __m256i;

    methods! {
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
        floor(a: __m256) -> __m256 = _mm256_floor_ps(a);
        round(a: __m256) -> __m256 = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        lt(a: __m256, b: __m256) -> __m256i = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b));
        le(a: __m256, b: __m256) -> __m256i = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LE_OQ>(a, b));
        eq(a: __m256, b: __m256) -> __m256i = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b));
        select(m: __m256i, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, _mm256_castsi256_ps(m));
        bits(a: __m256) -> __m256i = _mm256_castps_si256(a);
        float(a: __m256i) -> __m256 = _mm256_castsi256_ps(a);
        to_int(a: __m256) -> __m256i = _mm256_cvttps_epi32(a);
        int_to_float(a: __m256i) -> __m256 = _mm256_cvtepi32_ps(a);
        int(x: i32) -> __m256i = _mm256_set1_epi32(x);
        int_add(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        int_sub(a: __m256i, b: __m256i) -> __m256i = _mm256_sub_epi32(a, b);
        int_mul(a: __m256i, b: __m256i) -> __m256i = _mm256_mullo_epi32(a, b);
        and(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        or(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        xor(a: __m256i, b: __m256i) -> __m256i = _mm256_xor_si256(a, b);
        shl(a: __m256i, b: __m256i) -> __m256i = _mm256_sllv_epi32(a, b);
        shr(a: __m256i, b: __m256i) -> __m256i = _mm256_srlv_epi32(a, b);
        sar(a: __m256i, b: __m256i) -> __m256i = _mm256_srav_epi32(a, b);
        int_eq(a: __m256i, b: __m256i) -> __m256i = _mm256_cmpeq_epi32(a, b);
        int_lt(a: __m256i, b: __m256i) -> __m256i = _mm256_cmpgt_epi32(b, a);
        both(a: __m256i, b: __m256i) -> __m256i = _mm256_and_si256(a, b);
        either(a: __m256i, b: __m256i) -> __m256i = _mm256_or_si256(a, b);
        not(a: __m256i) -> __m256i = _mm256_xor_si256(a, _mm256_set1_epi32(-1));
        truth(a: __m256i) -> __m256i = _mm256_srli_epi32::<31>(a);
    }

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: isize, dst: *mut f32, dst_stride: isize) {
        // SAFETY: the caller promises the CPU feature (AVX-512 comes with AVX2) and the tiles.
        unsafe { transpose(src, src_stride, dst, dst_stride) }
    }
    #[inline(always)]
    unsafe fn mul_wide(self, a: __m256i, b: __m256i) -> (__m256i, __m256i) {
        // SAFETY: the caller promises the CPU feature.
        unsafe {
            let even = _mm256_mul_epu32(a, b);
            let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
            let low = _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd));
            let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
            (low, high)
        }
    }
    #[inline(always)]
    unsafe fn half_pi(self, x: __m256) -> (__m256, __m256) {
        // SAFETY: the caller promises the CPU feature.
        unsafe {
            macro_rules! part {
                ($x:expr) => {
                    half_pi!(
                        $x,
                        _mm256_cvtps_pd,
                        _mm256_cvtpd_ps,
                        _mm256_set1_pd,
                        _mm256_mul_pd,
                        _mm256_sub_pd,
                        _mm256_floor_pd,
                        _mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>
                    )
                };
            }
            let (r0, q0) = part!(_mm256_castps256_ps128(x));
            let (r1, q1) = part!(_mm256_extractf128_ps::<1>(x));
            (_mm256_set_m128(r1, r0), _mm256_set_m128(q1, q0))
        }
    }
}

// SAFETY: every method is a few intrinsics of the features that the trait's contract demands.
unsafe impl SimdMath for Avx512 {
    type I = __m512i;
    type M = __mmask16;

    methods! {
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        floor(a: __m512) -> __m512 = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(a);
        round(a: __m512) -> __m512 =
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        lt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        le(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b);
        eq(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
        select(m: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_blend_ps(m, b, a);
        bits(a: __m512) -> __m512i = _mm512_castps_si512(a);
        float(a: __m512i) -> __m512 = _mm512_castsi512_ps(a);
        to_int(a: __m512) -> __m512i = _mm512_cvttps_epi32(a);
        int_to_float(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        int(x: i32) -> __m512i = _mm512_set1_epi32(x);
        int_add(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        int_sub(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        int_mul(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32(a, b);
        and(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        or(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        xor(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512(a, b);
        shl(a: __m512i, b: __m512i) -> __m512i = _mm512_sllv_epi32(a, b);
        shr(a: __m512i, b: __m512i) -> __m512i = _mm512_srlv_epi32(a, b);
        sar(a: __m512i, b: __m512i) -> __m512i = _mm512_srav_epi32(a, b);
        int_eq(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmpeq_epi32_mask(a, b);
        int_lt(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmplt_epi32_mask(a, b);
        truth(a: __mmask16) -> __m512i = _mm512_maskz_set1_epi32(a, 1);
    }

    #[inline(always)]
    unsafe fn both(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }
    #[inline(always)]
    unsafe fn either(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a | b
    }
    #[inline(always)]
    unsafe fn not(self, a: __mmask16) -> __mmask16 {
        !a
    }

    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: isize, dst: *mut f32, dst_stride: isize) {
        // SAFETY: the caller promises the CPU feature (AVX-512 comes with AVX2) and the tiles.
        unsafe { transpose(src, src_stride, dst, dst_stride) }
    }
    #[inline(always)]
    unsafe fn mul_wide(self, a: __m512i, b: __m512i) -> (__m512i, __m512i) {
        // SAFETY: the caller promises the CPU feature.
        unsafe {
            let even = _mm512_mul_epu32(a, b);
            let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(a), _mm512_srli_epi64::<32>(b));
            let low = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64::<32>(odd));
            let high = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64::<32>(even), odd);
            (low, high)
        }
    }
    #[inline(always)]
    unsafe fn half_pi(self, x: __m512) -> (__m512, __m512) {
        // SAFETY: the caller promises the CPU feature.
        unsafe {
            macro_rules! part {
                ($x:expr) => {
                    half_pi!(
                        $x,
                        _mm512_cvtps_pd,
                        _mm512_cvtpd_ps,
                        _mm512_set1_pd,
                        _mm512_mul_pd,
                        _mm512_sub_pd,
                        _mm512_roundscale_pd::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>,
                        _mm512_roundscale_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>
                    )
                };
            }
            let (r0, q0) = part!(_mm512_castps512_ps256(x));
            let (r1, q1) = part!(_mm512_extractf32x8_ps::<1>(x));
            let r = _mm512_insertf32x8::<1>(_mm512_castps256_ps512(r0), r1);
            let q = _mm512_insertf32x8::<1>(_mm512_castps256_ps512(q0), q1);
            (r, q)
        }
    }
}

/// Transposes a tile as four squares of eight by eight, in three rounds each: neighbouring rows interleaved by
/// words, by pairs, and by halves.
#[inline(always)]
unsafe fn transpose(src: *const f32, src_stride: isize, dst: *mut f32, dst_stride: isize) {
    // SAFETY: the caller promises the CPU feature and the tiles.
    unsafe {
        for i in (0..TILE as isize).step_by(8) {
            for j in (0..TILE as isize).step_by(8) {
                let row = |k: isize| _mm256_loadu_ps(src.offset((i + k) * src_stride + j));
                let r = [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)];
                let mut words = [_mm256_setzero_ps(); 8];
                for k in 0..4 {
                    words[2 * k] = _mm256_unpacklo_ps(r[2 * k], r[2 * k + 1]);
                    words[2 * k + 1] = _mm256_unpackhi_ps(r[2 * k], r[2 * k + 1]);
                }
                // Element k of `pairs` holds column k of rows 0-3 (4-7 for k >= 4) and column k + 4 of the same.
                let mut pairs = [_mm256_setzero_ps(); 8];
                for half in [0, 4] {
                    for k in 0..2 {
                        let (a, b) = (words[half + k], words[half + k + 2]);
                        pairs[half + 2 * k] = _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
                        pairs[half + 2 * k + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
                    }
                }
                for k in 0..4 {
                    let low = _mm256_permute2f128_ps::<0x20>(pairs[k], pairs[k + 4]);
                    let high = _mm256_permute2f128_ps::<0x31>(pairs[k], pairs[k + 4]);
                    let k = k as isize;
                    _mm256_storeu_ps(dst.offset((j + k) * dst_stride + i), low);
                    _mm256_storeu_ps(dst.offset((j + k + 4) * dst_stride + i), high);
                }
            }
        }
    }
}
