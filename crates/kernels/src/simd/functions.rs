//! Elementary functions on vectors, from range reductions and series that are derived beside each.
//!
//! Errors against f64, over dense sweeps of all finite inputs on every instruction set, stay within 4 units in
//! the last place of the f32 result; the tests state the bound of each function. None depends on fused
//! multiply-add for its accuracy.

use super::SimdMath;

/// ln 2 to 10 bits, so that its product with any exponent is exact, and what is left of it.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// `c[0] + c[1] x + c[2] x^2 + ...`, by Horner's rule.
#[inline(always)]
unsafe fn polynomial<S: SimdMath, const N: usize>(s: S, x: S::F, c: [f32; N]) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let mut y = s.splat(c[N - 1]);
        for i in (0..N - 1).rev() {
            y = s.mul_add(y, x, s.splat(c[i]));
        }
        y
    }
}

/// `v 2^n` for integral `n` in -250..=250, in two factors, so that neither overflows.
#[inline(always)]
unsafe fn scale<S: SimdMath>(s: S, v: S::F, n: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let n = s.to_int(n);
        let half = s.sar(n, s.int(1));
        s.mul(s.mul(v, power_of_two(s, half)), power_of_two(s, s.int_sub(n, half)))
    }
}

/// `2^n` for `n` in -126..=127.
#[inline(always)]
unsafe fn power_of_two<S: SimdMath>(s: S, n: S::I) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe { s.float(s.shl(s.int_add(n, s.int(127)), s.int(23))) }
}

/// `(n, r, (e^r - 1 - r) / r^2)` with `x = n ln 2 + r`, `|r| <= ln 2 / 2`; the Taylor series is cut below 6e-9.
#[inline(always)]
unsafe fn exp_parts<S: SimdMath>(s: S, x: S::F) -> (S::F, S::F, S::F) {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
        let r = s.mul_add(n, s.splat(-LN2_LOW), s.mul_add(n, s.splat(-LN2_HIGH), x));
        let q = polynomial(s, r, [0.5, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0, 1.0 / 5040.0]);
        (n, r, q)
    }
}

/// `e^x`.
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
pub unsafe fn exp<S: SimdMath>(s: S, x: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        // Outside these bounds the result is 0 or infinite in f32 as it is at them.
        let x = s.min(s.max(x, s.splat(-104.0)), s.splat(89.0));
        let (n, r, q) = exp_parts(s, x);
        let y = s.add(s.splat(1.0), s.mul_add(s.mul(r, r), q, r));
        scale(s, y, n)
    }
}

/// `e^x - 1`, as `2^n ((e^r - 1) + (1 - 2^-n))`: exact in the second term, and without it for `n = 0`.
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
pub unsafe fn expm1<S: SimdMath>(s: S, x: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let bounded = s.min(s.max(x, s.splat(-25.0)), s.splat(89.0));
        let (n, r, q) = exp_parts(s, bounded);
        let p = s.mul_add(s.mul(r, r), q, r);
        // From n = 30 on, 1 - 2^-n rounds to 1.
        let inverse = power_of_two(s, s.to_int(s.neg(s.min(n, s.splat(30.0)))));
        let t = s.add(p, s.sub(s.splat(1.0), inverse));
        s.copy_sign(scale(s, t, n), x)
    }
}

/// `(k, m)` with `u = 2^k m`, `m` in [sqrt(1/2), sqrt 2), for positive finite `u`, denormal or not (in a region of the pool
/// denormals are 0).
#[inline(always)]
unsafe fn log_parts<S: SimdMath>(s: S, u: S::F) -> (S::F, S::F) {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let tiny = s.lt(u, s.splat(f32::MIN_POSITIVE));
        let u = s.select(tiny, s.mul(u, s.splat(33_554_432.0)), u);
        let root = s.int(std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32);
        let above = s.int_sub(s.bits(u), root);
        let k = s.int_to_float(s.sar(above, s.int(23)));
        let m = s.float(s.int_add(s.and(above, s.int(0x7f_ffff)), root));
        (s.sub(k, s.select(tiny, s.splat(25.0), s.zero())), m)
    }
}

/// `k ln 2 + log(1 + f) + c`, where `1 + f` is in [sqrt(1/2), sqrt 2) and `c` is a small correction.
///
/// With `s = f / (2 + f)`, `log(1 + f) = 2 atanh s = 2 s + s R`, `R = 2 s^2/3 + 2 s^4/5 + ...` (cut below 2e-9),
/// and `2 s = f - f^2/2 + s f^2/2`, whose first term is exact.
#[inline(always)]
unsafe fn log_sum<S: SimdMath>(s: S, k: S::F, f: S::F, c: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let ratio = s.div(f, s.add(s.splat(2.0), f));
        let z = s.mul(ratio, ratio);
        let series = s.mul(z, polynomial(s, z, [2.0 / 3.0, 2.0 / 5.0, 2.0 / 7.0, 2.0 / 9.0, 2.0 / 11.0]));
        let half = s.mul(s.mul(f, f), s.splat(0.5));
        let small = s.add(s.mul_add(k, s.splat(LN2_LOW), c), s.mul(ratio, s.add(half, series)));
        s.add(s.mul(k, s.splat(LN2_HIGH)), s.sub(f, s.sub(half, small)))
    }
}

/// Replaces the logarithm of `u` where `u` is not a positive finite number.
#[inline(always)]
unsafe fn log_special<S: SimdMath>(s: S, u: S::F, y: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let infinite = s.splat(f32::INFINITY);
        let at_zero = s.select(s.eq(u, s.zero()), s.neg(infinite), s.splat(f32::NAN));
        let positive = s.select(s.lt(s.zero(), u), y, at_zero);
        s.select(s.eq(u, infinite), infinite, positive)
    }
}

/// Natural logarithm; -inf at 0, NaN below.
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
pub unsafe fn log<S: SimdMath>(s: S, x: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let (k, m) = log_parts(s, x);
        log_special(s, x, log_sum(s, k, s.sub(m, s.splat(1.0)), s.zero()))
    }
}

/// `log(1 + x)`; -inf at -1, NaN below.
///
/// Where `u = 1 + x` needs no exponent, `x` itself is the exact argument; elsewhere `log u` is corrected by
/// `c / u`, `c` the rounding error of `u`.
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
pub unsafe fn log1p<S: SimdMath>(s: S, x: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let one = s.splat(1.0);
        let u = s.add(one, x);
        let (k, m) = log_parts(s, u);
        let plain = s.eq(k, s.zero());
        let large = s.le(one, x);
        let lost = s.select(large, s.sub(one, s.sub(u, x)), s.sub(x, s.sub(u, one)));
        let f = s.select(plain, x, s.sub(m, one));
        let c = s.select(plain, s.zero(), s.div(lost, u));
        log_special(s, u, s.copy_sign(log_sum(s, k, f, c), x))
    }
}

/// Hyperbolic tangent, `t / (t + 2)` with `t = e^(2|x|) - 1`.
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
pub unsafe fn tanh<S: SimdMath>(s: S, x: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let magnitude = s.abs(x);
        // At 10 the result already rounds to 1.
        let t = expm1(s, s.min(s.add(magnitude, magnitude), s.splat(20.0)));
        s.copy_sign(s.div(t, s.add(t, s.splat(2.0))), x)
    }
}

/// Logistic function `1 / (1 + e^-x)`, from `e^-|x|`, which cannot overflow.
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
pub unsafe fn sigmoid<S: SimdMath>(s: S, x: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let one = s.splat(1.0);
        let z = exp(s, s.neg(s.abs(x)));
        s.div(s.select(s.lt(x, s.zero()), z, one), s.add(one, z))
    }
}

/// `log(1 + e^x)` as `max(x, 0) + log1p(e^-|x|)`.
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
pub unsafe fn softplus<S: SimdMath>(s: S, x: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe { s.add(s.max(x, s.zero()), log1p(s, exp(s, s.neg(s.abs(x))))) }
}

/// Error function: `x + x P(x^2)` below 1, `1 - e^Q(|x|)` above, where `Q` fits `log erfc` on [1, 3.95]
/// (interpolation at Chebyshev nodes; errors 1.7e-9 of `P` and 1.9e-7 of `Q`).
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
pub unsafe fn erf<S: SimdMath>(s: S, x: S::F) -> S::F {
    const P: [f32; 8] = [
        0.128_379_17,
        -0.376_126_38,
        0.112_837_82,
        -0.026_865_43,
        0.005_221_031_6,
        -0.000_848_408_03,
        0.000_112_659_59,
        -9.667_045e-6,
    ];
    const Q: [f32; 9] = [
        -5.364_941,
        -4.418_160_4,
        -0.923_750_9,
        -0.016_464_757,
        0.003_570_838,
        -0.000_733_231_25,
        0.000_135_348_44,
        -1.992_679_6e-5,
        1.658_320_6e-6,
    ];
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let magnitude = s.abs(x);
        let small = s.mul_add(x, polynomial(s, s.mul(x, x), P), x);
        // From 3.92 on the result rounds to 1.
        let from_two = s.sub(s.min(magnitude, s.splat(4.0)), s.splat(2.0));
        let large = s.sub(s.splat(1.0), exp(s, polynomial(s, from_two, Q)));
        s.select(s.lt(magnitude, s.splat(1.0)), small, s.copy_sign(large, x))
    }
}

/// Inverse error function; infinite at -1 and 1, NaN outside. As in Giles (2010), "Approximating the erfinv
/// function", `x P(w)` with `w = -log(1 - x^2)`: in `w` up to 5, in `sqrt w` above (interpolation at Chebyshev
/// nodes of our own, relative errors 6e-8 and 4e-8).
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
pub unsafe fn erfinv<S: SimdMath>(s: S, x: S::F) -> S::F {
    const CENTRE: [f32; 10] = [
        1.501_409_4,
        0.246_640_28,
        -0.004_177_393,
        -0.001_252_726_4,
        0.000_218_349_39,
        -4.972_42e-6,
        -3.463_985_2e-6,
        4.681_313_6e-7,
        2.333_596_8e-8,
        -8.931_926e-9,
    ];
    const TAIL: [f32; 10] = [
        2.832_976_8,
        1.001_674_9,
        0.009_445_196,
        -0.007_636_985,
        0.005_687_524,
        -0.003_598_467,
        0.001_484_08,
        -5.534_941_7e-5,
        -0.000_309_030_64,
        0.000_115_068_37,
    ];
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let one = s.splat(1.0);
        let w = s.neg(log(s, s.mul(s.sub(one, x), s.add(one, x))));
        let centre = polynomial(s, s.sub(w, s.splat(2.5)), CENTRE);
        let tail = polynomial(s, s.sub(s.sqrt(w), s.splat(3.0)), TAIL);
        let y = s.mul(x, s.select(s.lt(w, s.splat(5.0)), centre, tail));
        let end = s.eq(s.abs(x), one);
        s.select(end, s.copy_sign(s.splat(f32::INFINITY), x), y)
    }
}

/// `(sin r, cos r)` for `|r| <= pi/4` by Taylor series, cut below 2e-9, and the quadrant of `x`.
#[inline(always)]
unsafe fn quadrant<S: SimdMath>(s: S, x: S::F) -> (S::F, S::F, S::F) {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let (r, q) = s.half_pi(x);
        let r = s.min(s.max(r, s.splat(-0.79)), s.splat(0.79));
        let z = s.mul(r, r);
        let sine = polynomial(s, z, [-1.0 / 6.0, 1.0 / 120.0, -1.0 / 5040.0, 1.0 / 362_880.0]);
        let cosine = polynomial(s, z, [-0.5, 1.0 / 24.0, -1.0 / 720.0, 1.0 / 40320.0, -1.0 / 3_628_800.0]);
        (s.mul_add(s.mul(r, z), sine, r), s.mul_add(z, cosine, s.splat(1.0)), q)
    }
}

/// Sine of radians, accurate for `|x| < 1.6e6`; beyond, within [-1, 1] but without meaning. NaN at infinity.
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
pub unsafe fn sin<S: SimdMath>(s: S, x: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let (sine, cosine, q) = quadrant(s, x);
        let odd = s.either(s.eq(q, s.splat(1.0)), s.eq(q, s.splat(3.0)));
        let y = s.select(odd, cosine, sine);
        let y = s.select(s.le(s.splat(2.0), q), s.neg(y), y);
        s.select(s.eq(x, s.zero()), x, y)
    }
}

/// Cosine of radians, accurate for `|x| < 1.6e6`; beyond, within [-1, 1] but without meaning. NaN at infinity.
///
/// # Safety
/// The CPU supports `S::ISA`.
#[inline(always)]
pub unsafe fn cos<S: SimdMath>(s: S, x: S::F) -> S::F {
    // SAFETY: the caller promises the CPU feature.
    unsafe {
        let (sine, cosine, q) = quadrant(s, x);
        let one = s.eq(q, s.splat(1.0));
        let y = s.select(s.either(one, s.eq(q, s.splat(3.0))), sine, cosine);
        s.select(s.either(one, s.eq(q, s.splat(2.0))), s.neg(y), y)
    }
}
