//! [`SimdMath`] on arrays.

use super::{Portable, SimdMath};
use std::array::from_fn;
use std::f64::consts::FRAC_2_PI;

const N: usize = 8;
type F = [f32; N];
type I = [i32; N];
type M = [bool; N];

/// pi/2 to 33 bits, so that its product with an integer below 2^20 is exact in f64, and what is left of it.
const HALF_PI_HIGH: f64 = 1.570_796_326_734_125_6;
const HALF_PI_LOW: f64 = 6.077_100_506_506_192e-11;

/// Methods applied lane by lane.
macro_rules! lanes {
    ($($name:ident($($a:ident: $t:ty),*) -> $r:ty = $i:ident: $e:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $name(self, $($a: $t),*) -> $r {
            from_fn(|$i| $e)
        }
    )*};
}

// SAFETY: needs no CPU feature and touches no memory.
unsafe impl SimdMath for Portable {
    type I = I;
    type M = M;

    lanes! {
        div(a: F, b: F) -> F = i: a[i] / b[i];
        sqrt(a: F) -> F = i: a[i].sqrt();
        floor(a: F) -> F = i: a[i].floor();
        round(a: F) -> F = i: a[i].round_ties_even();
        lt(a: F, b: F) -> M = i: a[i] < b[i];
        le(a: F, b: F) -> M = i: a[i] <= b[i];
        eq(a: F, b: F) -> M = i: a[i] == b[i];
        select(m: M, a: F, b: F) -> F = i: if m[i] { a[i] } else { b[i] };
        bits(a: F) -> I = i: a[i].to_bits() as i32;
        float(a: I) -> F = i: f32::from_bits(a[i] as u32);
        to_int(a: F) -> I = i: a[i] as i32;
        int_to_float(a: I) -> F = i: a[i] as f32;
        int_add(a: I, b: I) -> I = i: a[i].wrapping_add(b[i]);
        int_sub(a: I, b: I) -> I = i: a[i].wrapping_sub(b[i]);
        int_mul(a: I, b: I) -> I = i: a[i].wrapping_mul(b[i]);
        and(a: I, b: I) -> I = i: a[i] & b[i];
        or(a: I, b: I) -> I = i: a[i] | b[i];
        xor(a: I, b: I) -> I = i: a[i] ^ b[i];
        shl(a: I, b: I) -> I = i: a[i].checked_shl(b[i] as u32).unwrap_or(0);
        shr(a: I, b: I) -> I = i: (a[i] as u32).checked_shr(b[i] as u32).unwrap_or(0) as i32;
        sar(a: I, b: I) -> I = i: a[i] >> (b[i] as u32).min(31);
        int_eq(a: I, b: I) -> M = i: a[i] == b[i];
        int_lt(a: I, b: I) -> M = i: a[i] < b[i];
        both(a: M, b: M) -> M = i: a[i] & b[i];
        either(a: M, b: M) -> M = i: a[i] | b[i];
        not(a: M) -> M = i: !a[i];
        truth(a: M) -> I = i: i32::from(a[i]);
    }

    #[inline(always)]
    unsafe fn int(self, x: i32) -> I {
        [x; N]
    }
    #[inline(always)]
    unsafe fn mul_wide(self, a: I, b: I) -> (I, I) {
        let product: [u64; N] = from_fn(|i| u64::from(a[i] as u32) * u64::from(b[i] as u32));
        (from_fn(|i| product[i] as i32), from_fn(|i| (product[i] >> 32) as i32))
    }
    #[inline(always)]
    unsafe fn half_pi(self, x: F) -> (F, F) {
        let n: [f64; N] = from_fn(|i| (f64::from(x[i]) * FRAC_2_PI).round_ties_even());
        let r = from_fn(|i| ((f64::from(x[i]) - n[i] * HALF_PI_HIGH) - n[i] * HALF_PI_LOW) as f32);
        (r, from_fn(|i| (n[i] - 4.0 * (n[i] * 0.25).floor()) as f32))
    }
}
