//! Scalar definitions of the elementwise ops, in f64.

/// 1 / (1 + e^-x), without overflow.
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// log(1 + e^x), without overflow.
pub fn softplus(x: f64) -> f64 {
    if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }
}

/// The inverse of erf, to f64 accuracy; infinite at +-1, NaN outside.
///
/// A closed-form start (Winitzki 2008) is refined by Halley steps on erf(y) - x, or on erfc near |x| = 1 where
/// erf has lost its digits.
pub fn erfinv(x: f64) -> f64 {
    if x.is_nan() || x.abs() > 1.0 {
        return f64::NAN;
    }
    if x.abs() == 1.0 {
        return x * f64::INFINITY;
    }
    if x == 0.0 {
        return x;
    }
    let target = x.abs();
    let a = 0.147;
    let log = (-target * target).ln_1p();
    let half = 2.0 / (std::f64::consts::PI * a) + log / 2.0;
    let mut y = ((half * half - log / a).sqrt() - half).sqrt();
    for _ in 0..4 {
        let error = if target < 0.5 { libm::erf(y) - target } else { (1.0 - target) - libm::erfc(y) };
        let slope = std::f64::consts::FRAC_2_SQRT_PI * (-y * y).exp();
        let step = error / slope;
        // Halley: the second derivative of erf is -2y times the first.
        y -= step / (1.0 + y * step);
    }
    y.copysign(x)
}

/// Larger of the two; NaN if either is.
pub fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// Smaller of the two; NaN if either is.
pub fn minimum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// -1, 0 or 1; NaN stays NaN.
pub fn sign(x: f64) -> f64 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        x
    }
}

/// Nearest bfloat16, ties to even.
pub fn round_bf16(x: f64) -> f64 {
    let bits = (x as f32).to_bits();
    if x.is_nan() {
        return f64::NAN;
    }
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000;
    f64::from(f32::from_bits(rounded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erfinv_inverts_erf() {
        for i in 1..2000 {
            let x = f64::from(i) / 1000.0 - 1.0;
            let back = libm::erf(erfinv(x));
            assert!((back - x).abs() <= 4e-16, "erf(erfinv({x})) = {back}");
        }
        for tail in [1e-8, 1e-12, 1e-15] {
            let y = erfinv(1.0 - tail);
            assert!((libm::erfc(y) / (1.0 - (1.0 - tail)) - 1.0).abs() < 1e-9, "tail {tail}");
        }
        assert_eq!(erfinv(1.0), f64::INFINITY);
        assert!(erfinv(1.5).is_nan());
    }

    #[test]
    fn bf16_rounds_ties_to_even() {
        assert_eq!(round_bf16(1.0 + 1.0 / 256.0), 1.0);
        assert_eq!(round_bf16(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0);
        assert_eq!(round_bf16(-1.0 - 1.1 / 256.0), -1.0 - 2.0 / 256.0);
        assert!(round_bf16(f64::NAN).is_nan());
    }
}
