//! Errors of the elementary functions against f64, in units in the last place of the f32 result.

use super::functions::*;
use super::{SimdMath, WithSimdMath, run_math_on};
use crate::isa::Isa;
use crate::pass::UnaryOp;
use crate::pass::special;

/// Applies a function to 16 words.
struct Apply {
    op: UnaryOp,
    x: [f32; 16],
}

impl WithSimdMath for Apply {
    type Output = [f32; 16];

    #[inline(always)]
    unsafe fn call<S: SimdMath>(self, s: S) -> [f32; 16] {
        let mut y = [0.0; 16];
        for i in (0..16).step_by(S::LANES) {
            // SAFETY: the CPU feature is promised; vectors lie inside the arrays.
            unsafe {
                let x = s.load(self.x.as_ptr().add(i));
                let v = match self.op {
                    UnaryOp::Exp => exp(s, x),
                    UnaryOp::Expm1 => expm1(s, x),
                    UnaryOp::Log => log(s, x),
                    UnaryOp::Log1p => log1p(s, x),
                    UnaryOp::Tanh => tanh(s, x),
                    UnaryOp::Sigmoid => sigmoid(s, x),
                    UnaryOp::Softplus => softplus(s, x),
                    UnaryOp::Erf => erf(s, x),
                    UnaryOp::Erfinv => erfinv(s, x),
                    UnaryOp::Sin => sin(s, x),
                    UnaryOp::Cos => cos(s, x),
                    other => panic!("{} has no function of its own", other.name()),
                };
                s.store(y.as_mut_ptr().add(i), v);
            }
        }
        y
    }
}

/// Units in the last place of `want` rounded to f32, the least denormal at least.
fn ulps(got: f32, want: f64) -> f64 {
    let nearest = want as f32;
    if got == nearest || got.is_nan() && nearest.is_nan() {
        return 0.0;
    }
    let exponent = ((nearest.to_bits() >> 23 & 255) as i32 - 150).max(-149);
    (f64::from(got) - want).abs() / 2f64.powi(exponent)
}

/// The largest error over every `step`-th f32 of magnitude in `low..=high`, of both signs, and where.
fn worst(isa: Isa, op: UnaryOp, exact: fn(f64) -> f64, (low, high): (f32, f32), step: usize) -> (f64, f32) {
    let mut worst = (0.0, 0.0);
    let magnitudes: Vec<u32> = (low.to_bits()..=high.to_bits()).step_by(step).collect();
    for chunk in magnitudes.chunks(8) {
        let mut x = [0.0f32; 16];
        for (i, &bits) in chunk.iter().enumerate() {
            x[2 * i] = f32::from_bits(bits);
            x[2 * i + 1] = -x[2 * i];
        }
        // SAFETY: only available instruction sets are asked for.
        let y = unsafe { run_math_on(isa, Apply { op, x }) };
        for (x, y) in x.into_iter().zip(y) {
            let error = ulps(y, exact(f64::from(x)));
            if error.is_nan() || error > worst.0 {
                worst = (error, x);
            }
        }
    }
    worst
}

type Case = (UnaryOp, fn(f64) -> f64, (f32, f32), f64);

#[test]
fn errors_stay_within_their_bounds() {
    // Function, its f64 twin, magnitudes, bound in units in the last place on every instruction set.
    let all = (0.0, f32::INFINITY);
    let cases: [Case; 11] = [
        (UnaryOp::Exp, f64::exp, all, 1.5),
        (UnaryOp::Expm1, f64::exp_m1, all, 2.0),
        (UnaryOp::Log, f64::ln, all, 1.5),
        (UnaryOp::Log1p, f64::ln_1p, all, 2.0),
        (UnaryOp::Tanh, f64::tanh, all, 3.0),
        (UnaryOp::Sigmoid, special::sigmoid, all, 2.5),
        (UnaryOp::Softplus, special::softplus, all, 2.5),
        (UnaryOp::Erf, special::erf, all, 2.0),
        (UnaryOp::Erfinv, special::erfinv, (0.0, 2.0), 4.0),
        (UnaryOp::Sin, f64::sin, (0.0, 1.6e6), 1.5),
        (UnaryOp::Cos, f64::cos, (0.0, 1.6e6), 1.5),
    ];
    for isa in Isa::available() {
        for (op, exact, range, bound) in cases {
            let expensive = matches!(op, UnaryOp::Erf | UnaryOp::Erfinv);
            let step = if expensive { 40_009 } else { 8_009 };
            let (error, at) = worst(isa, op, exact, range, step);
            assert!(error <= bound, "{isa:?} {}: {error} units in the last place at {at:e}", op.name());
        }
        // Where most values lie.
        for (op, exact, _, bound) in cases {
            let expensive = matches!(op, UnaryOp::Erf | UnaryOp::Erfinv);
            let high = if op == UnaryOp::Erfinv { 1.0 } else { 8.0 };
            let (error, at) = worst(isa, op, exact, (0.01, high), if expensive { 5_003 } else { 503 });
            assert!(error <= bound, "{isa:?} {}: {error} units in the last place at {at:e}", op.name());
        }
    }
}

#[test]
fn signs_of_zero_and_ends_are_kept() {
    for isa in Isa::available() {
        let at = |op, x: f32| {
            // SAFETY: only available instruction sets are asked for.
            let y = unsafe { run_math_on(isa, Apply { op, x: [x; 16] }) };
            y[0]
        };
        for op in [UnaryOp::Expm1, UnaryOp::Log1p, UnaryOp::Tanh, UnaryOp::Erf, UnaryOp::Erfinv, UnaryOp::Sin]
        {
            assert_eq!(at(op, -0.0).to_bits(), (-0.0f32).to_bits(), "{isa:?} {}", op.name());
            assert_eq!(at(op, 0.0).to_bits(), 0, "{isa:?} {}", op.name());
        }
        assert!(at(UnaryOp::Sin, f32::INFINITY).is_nan() && at(UnaryOp::Cos, f32::NEG_INFINITY).is_nan());
        assert!(at(UnaryOp::Log, -1.0).is_nan() && at(UnaryOp::Log1p, -1.5).is_nan());
        assert_eq!(at(UnaryOp::Log, 0.0), f32::NEG_INFINITY);
        assert_eq!(at(UnaryOp::Erfinv, -1.0), f32::NEG_INFINITY);
        // Beyond the exact reduction results are bounded still.
        for x in [1e7, 3e12, 1e20, f32::MAX] {
            assert!(at(UnaryOp::Sin, x).abs() <= 1.0 && at(UnaryOp::Cos, -x).abs() <= 1.0, "{isa:?} {x:e}");
        }
    }
}
