//! What fused passes need beyond contractions: integer lanes, masks, comparisons and conversions.

#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512};
use super::{Portable, Simd};
use crate::isa::Isa;

/// Side of a tile of [`SimdMath::transpose`]: one cache line.
pub const TILE: usize = 16;

/// 32-bit integer lanes, masks, comparisons and conversions beside the f32 lanes of [`Simd`].
///
/// # Safety
/// As for [`Simd`]: all methods require that the CPU supports the instruction set.
#[allow(clippy::missing_safety_doc)]
pub unsafe trait SimdMath: Simd {
    /// A vector of 32-bit integers; methods say whether they take them as signed.
    type I: Copy;
    /// One truth value a lane.
    type M: Copy;

    /// `a / b`.
    unsafe fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// Square root.
    unsafe fn sqrt(self, a: Self::F) -> Self::F;
    /// Largest integer not above.
    unsafe fn floor(self, a: Self::F) -> Self::F;
    /// Nearest integer, ties to even.
    unsafe fn round(self, a: Self::F) -> Self::F;
    /// `a < b`; false if either is NaN.
    unsafe fn lt(self, a: Self::F, b: Self::F) -> Self::M;
    /// `a <= b`; false if either is NaN.
    unsafe fn le(self, a: Self::F, b: Self::F) -> Self::M;
    /// `a == b`; false if either is NaN.
    unsafe fn eq(self, a: Self::F, b: Self::F) -> Self::M;
    /// `a` where `m` holds, else `b`.
    unsafe fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;
    /// The bit pattern.
    unsafe fn bits(self, a: Self::F) -> Self::I;
    /// The f32 with this bit pattern.
    unsafe fn float(self, a: Self::I) -> Self::F;
    /// Truncation to i32 where the value fits; unspecified elsewhere.
    unsafe fn to_int(self, a: Self::F) -> Self::I;
    /// Nearest f32 of an i32.
    unsafe fn int_to_float(self, a: Self::I) -> Self::F;
    /// `(r, q)` with `x = r + pi/2 (q + 4k)`, `|r| <= pi/4`, `q` in 0..4, computed in f64; exact to f32 rounding
    /// for `|x| < 1.6e6`. Beyond, r keeps its bound but means less and less. NaN for infinities.
    unsafe fn half_pi(self, x: Self::F) -> (Self::F, Self::F);

    /// All lanes `x`.
    unsafe fn int(self, x: i32) -> Self::I;
    /// `a + b`, wrapping.
    unsafe fn int_add(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`, wrapping.
    unsafe fn int_sub(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a * b`, wrapping.
    unsafe fn int_mul(self, a: Self::I, b: Self::I) -> Self::I;
    /// Low and high words of the unsigned 64-bit product.
    unsafe fn mul_wide(self, a: Self::I, b: Self::I) -> (Self::I, Self::I);
    /// Bitwise and.
    unsafe fn and(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise or.
    unsafe fn or(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise exclusive or.
    unsafe fn xor(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a << b`; 0 where `b`, taken as unsigned, is 32 or more.
    unsafe fn shl(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a >> b`, filling with zeros; 0 where `b`, taken as unsigned, is 32 or more.
    unsafe fn shr(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a >> b`, filling with the sign; all sign where `b`, taken as unsigned, is 32 or more.
    unsafe fn sar(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a == b`.
    unsafe fn int_eq(self, a: Self::I, b: Self::I) -> Self::M;
    /// `a < b`, signed.
    unsafe fn int_lt(self, a: Self::I, b: Self::I) -> Self::M;

    /// Both hold.
    unsafe fn both(self, a: Self::M, b: Self::M) -> Self::M;
    /// At least one holds.
    unsafe fn either(self, a: Self::M, b: Self::M) -> Self::M;
    /// Does not hold.
    unsafe fn not(self, a: Self::M) -> Self::M;
    /// 1 where the mask holds, else 0.
    unsafe fn truth(self, a: Self::M) -> Self::I;

    /// Transposes a tile of [`TILE`] rows of [`TILE`] words; rows follow each other at the strides given.
    #[inline(always)]
    unsafe fn transpose(self, src: *const f32, src_stride: isize, dst: *mut f32, dst_stride: isize) {
        for i in 0..TILE as isize {
            for j in 0..TILE as isize {
                // SAFETY: the caller promises the words of either tile.
                unsafe { *dst.offset(j * dst_stride + i) = *src.offset(i * src_stride + j) };
            }
        }
    }
    /// `a` where `m` holds, else `b`.
    #[inline(always)]
    unsafe fn int_select(self, m: Self::M, a: Self::I, b: Self::I) -> Self::I {
        // SAFETY: the caller's promise.
        unsafe { self.bits(self.select(m, self.float(a), self.float(b))) }
    }
    /// `a < b`, unsigned: flipping the top bits turns unsigned order into signed order.
    #[inline(always)]
    unsafe fn uint_lt(self, a: Self::I, b: Self::I) -> Self::M {
        // SAFETY: the caller's promise.
        unsafe {
            let top = self.int(i32::MIN);
            self.int_lt(self.xor(a, top), self.xor(b, top))
        }
    }
    /// Whether a lane is not NaN.
    #[inline(always)]
    unsafe fn ordered(self, a: Self::F) -> Self::M {
        // SAFETY: the caller's promise.
        unsafe { self.eq(a, a) }
    }
    /// `|a|`.
    #[inline(always)]
    unsafe fn abs(self, a: Self::F) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { self.float(self.and(self.bits(a), self.int(i32::MAX))) }
    }
    /// `-a`.
    #[inline(always)]
    unsafe fn neg(self, a: Self::F) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { self.float(self.xor(self.bits(a), self.int(i32::MIN))) }
    }
    /// `|a|` with the sign of `sign`.
    #[inline(always)]
    unsafe fn copy_sign(self, a: Self::F, sign: Self::F) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe {
            let top = self.int(i32::MIN);
            let magnitude = self.and(self.bits(a), self.int(i32::MAX));
            self.float(self.or(magnitude, self.and(self.bits(sign), top)))
        }
    }
    /// The larger; NaN if either is NaN; `b` if they are equal.
    #[inline(always)]
    unsafe fn max(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { self.select(self.either(self.lt(b, a), self.not(self.ordered(a))), a, b) }
    }
    /// The smaller; NaN if either is NaN; `b` if they are equal.
    #[inline(always)]
    unsafe fn min(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { self.select(self.either(self.lt(a, b), self.not(self.ordered(a))), a, b) }
    }
    /// Nearest f32 of a u32: both halves and the upper product are exact, so only the sum rounds.
    #[inline(always)]
    unsafe fn uint_to_float(self, a: Self::I) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe {
            let high = self.int_to_float(self.shr(a, self.int(16)));
            let low = self.int_to_float(self.and(a, self.int(0xffff)));
            self.add(self.mul(high, self.splat(65536.0)), low)
        }
    }
    /// Truncation to i32 as Rust's `as`: saturating, NaN gives 0.
    #[inline(always)]
    unsafe fn to_int_saturating(self, a: Self::F) -> Self::I {
        // SAFETY: the caller's promise.
        unsafe {
            let limit = self.splat(2147483648.0);
            let inside = self.both(self.lt(a, limit), self.le(self.neg(limit), a));
            let cut = self.to_int(self.select(inside, a, self.zero()));
            let above = self.int_select(self.le(limit, a), self.int(i32::MAX), cut);
            self.int_select(self.lt(a, self.neg(limit)), self.int(i32::MIN), above)
        }
    }
    /// Truncation to u32 as Rust's `as`: saturating, NaN gives 0.
    #[inline(always)]
    unsafe fn to_uint_saturating(self, a: Self::F) -> Self::I {
        // SAFETY: the caller's promise.
        unsafe {
            let half = self.splat(2147483648.0);
            let upper = self.le(half, a);
            // 2^31 is subtracted exactly from values of at least 2^31 and put back as the top bit.
            let low = self.select(upper, self.sub(a, half), a);
            let inside = self.both(self.lt(low, half), self.le(self.zero(), low));
            let cut = self.to_int(self.select(inside, low, self.zero()));
            let whole = self.int_select(upper, self.xor(cut, self.int(i32::MIN)), cut);
            self.int_select(self.le(self.splat(4294967296.0), a), self.int(-1), whole)
        }
    }
    /// The nearest value with 8 significant bits (bfloat16), ties to even; NaN stays NaN.
    #[inline(always)]
    unsafe fn round_bf16(self, a: Self::F) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe {
            let bits = self.bits(a);
            let odd = self.and(self.shr(bits, self.int(16)), self.int(1));
            let up = self.int_add(bits, self.int_add(self.int(0x7fff), odd));
            let quiet = self.or(bits, self.int(0x0040_0000));
            let whole = self.int_select(self.ordered(a), up, quiet);
            self.float(self.and(whole, self.int(0xffff_0000_u32 as i32)))
        }
    }
    /// 1 where the lane is neither infinite nor NaN, else 0.
    #[inline(always)]
    unsafe fn is_finite(self, a: Self::F) -> Self::I {
        // SAFETY: the caller's promise.
        unsafe { self.truth(self.lt(self.abs(a), self.splat(f32::INFINITY))) }
    }
}

/// A piece of code generic over the instruction set, with the operations of [`SimdMath`].
pub trait WithSimdMath {
    /// What it returns.
    type Output;
    /// The body; mark it `#[inline(always)]`.
    ///
    /// # Safety
    /// The CPU supports `S::ISA`, and whatever the implementor asks of its fields holds.
    unsafe fn call<S: SimdMath>(self, simd: S) -> Self::Output;
}

/// Runs `body` compiled for `isa`.
///
/// # Safety
/// The CPU supports `isa`, and the contract of `body` holds.
#[inline]
pub unsafe fn run_math_on<W: WithSimdMath>(isa: Isa, body: W) -> W::Output {
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
unsafe fn enter_avx2<W: WithSimdMath>(body: W) -> W::Output {
    // SAFETY: forwarded from `run_math_on`.
    unsafe { body.call(Avx2) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn enter_avx512<W: WithSimdMath>(body: W) -> W::Output {
    // SAFETY: forwarded from `run_math_on`.
    unsafe { body.call(Avx512) }
}
