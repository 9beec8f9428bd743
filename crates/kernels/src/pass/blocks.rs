//! One instruction over one block: the only part of a pass that is compiled per instruction set.

use super::ops::{BinaryOp, CompareOp, Lane, UnaryOp};
use crate::simd::{SimdMath, WithSimdMath, functions};

/// An operand of a block: `step` 1 walks along, `step` 0 repeats the first vector, whose lanes are all equal
/// (a buffer of 16 words).
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub ptr: *const f32,
    pub step: usize,
}

/// Runs `$body` over vectors of `$n` elements: `$v` are bound to the lanes of the sources `$src`, and what the
/// body gives goes to `$dst`.
macro_rules! lanes {
    ($s:ident, $dst:expr, $n:expr, [$($v:ident = $src:expr),*], $body:expr) => {{
        let (dst, n) = ($dst, $n);
        let mut i = 0;
        while i + S::LANES <= n {
            $(let $v = $s.load($src.ptr.add(i * $src.step));)*
            $s.store(dst.add(i), $body);
            i += S::LANES;
        }
        if i < n {
            $(let $v = $s.load_first($src.ptr.add(i * $src.step), n - i);)*
            $s.store_first(dst.add(i), $body, n - i);
        }
    }};
}

pub(super) use lanes;

/// As `lanes!`, for long bodies: one copy of the body serves whole and partial vectors.
macro_rules! heavy {
    ($s:ident, $dst:expr, $n:expr, $v:ident = $src:expr, $body:expr) => {{
        let (dst, n) = ($dst, $n);
        let mut i = 0;
        while i < n {
            let left = n - i;
            let p = $src.ptr.add(i * $src.step);
            let $v = if left >= S::LANES { $s.load(p) } else { $s.load_first(p, left) };
            let y = $body;
            if left >= S::LANES {
                $s.store(dst.add(i), y);
            } else {
                $s.store_first(dst.add(i), y, left);
            }
            i += S::LANES;
        }
    }};
}

/// Element by element through the scalar twin, for operations without vector instructions.
macro_rules! scalar {
    ($dst:expr, $n:expr, [$($src:expr),*], $eval:expr) => {{
        for i in 0..$n {
            let y: u32 = $eval($((*$src.ptr.add(i * $src.step)).to_bits()),*);
            *$dst.add(i) = f32::from_bits(y);
        }
    }};
}

/// `dst = op(a)` over `n` elements. `dst` may be `a`'s own memory, or disjoint from it.
///
/// Contract of [`WithSimdMath::call`]: the source has `n` words (16 if its step is 0), `dst` has `n`.
pub(super) struct Unary {
    pub op: UnaryOp,
    pub a: Source,
    pub dst: *mut f32,
    pub n: usize,
}

impl WithSimdMath for Unary {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: SimdMath>(self, s: S) {
        let Unary { op, a, dst, n } = self;
        // SAFETY: only words that the contract names are touched; the CPU feature is the caller's promise.
        unsafe {
            match op {
                UnaryOp::Neg => lanes!(s, dst, n, [x = a], s.neg(x)),
                UnaryOp::Abs => lanes!(s, dst, n, [x = a], s.abs(x)),
                UnaryOp::Sign => lanes!(s, dst, n, [x = a], {
                    let one = s.copy_sign(s.splat(1.0), x);
                    s.select(s.lt(s.zero(), s.abs(x)), one, x)
                }),
                UnaryOp::Exp => heavy!(s, dst, n, x = a, functions::exp(s, x)),
                UnaryOp::Expm1 => heavy!(s, dst, n, x = a, functions::expm1(s, x)),
                UnaryOp::Log => heavy!(s, dst, n, x = a, functions::log(s, x)),
                UnaryOp::Log1p => heavy!(s, dst, n, x = a, functions::log1p(s, x)),
                UnaryOp::Sqrt => lanes!(s, dst, n, [x = a], s.sqrt(x)),
                UnaryOp::Rsqrt => lanes!(s, dst, n, [x = a], s.div(s.splat(1.0), s.sqrt(x))),
                UnaryOp::Recip => lanes!(s, dst, n, [x = a], s.div(s.splat(1.0), x)),
                UnaryOp::Square => lanes!(s, dst, n, [x = a], s.mul(x, x)),
                UnaryOp::Tanh => heavy!(s, dst, n, x = a, functions::tanh(s, x)),
                UnaryOp::Sigmoid => heavy!(s, dst, n, x = a, functions::sigmoid(s, x)),
                UnaryOp::Softplus => heavy!(s, dst, n, x = a, functions::softplus(s, x)),
                UnaryOp::Erf => heavy!(s, dst, n, x = a, functions::erf(s, x)),
                UnaryOp::Erfinv => heavy!(s, dst, n, x = a, functions::erfinv(s, x)),
                UnaryOp::Sin => heavy!(s, dst, n, x = a, functions::sin(s, x)),
                UnaryOp::Cos => heavy!(s, dst, n, x = a, functions::cos(s, x)),
                UnaryOp::Floor => lanes!(s, dst, n, [x = a], s.floor(x)),
                UnaryOp::RoundBf16 => lanes!(s, dst, n, [x = a], s.round_bf16(x)),
                UnaryOp::IsFinite => lanes!(s, dst, n, [x = a], s.float(s.is_finite(x))),
                UnaryOp::IntNeg => {
                    lanes!(s, dst, n, [x = a], s.float(s.int_sub(s.int(0), s.bits(x))))
                }
                UnaryOp::IntAbs => lanes!(s, dst, n, [x = a], {
                    let sign = s.sar(s.bits(x), s.int(31));
                    s.float(s.int_sub(s.xor(s.bits(x), sign), sign))
                }),
                UnaryOp::IntSign => lanes!(s, dst, n, [x = a], {
                    let positive = s.truth(s.int_lt(s.int(0), s.bits(x)));
                    s.float(s.or(s.sar(s.bits(x), s.int(31)), positive))
                }),
                UnaryOp::BitNot => lanes!(s, dst, n, [x = a], s.float(s.xor(s.bits(x), s.int(-1)))),
                UnaryOp::Not => {
                    lanes!(s, dst, n, [x = a], s.float(s.truth(s.int_eq(s.bits(x), s.int(0)))))
                }
                UnaryOp::FloatToInt => lanes!(s, dst, n, [x = a], s.float(s.to_int_saturating(x))),
                UnaryOp::FloatToUint => lanes!(s, dst, n, [x = a], s.float(s.to_uint_saturating(x))),
                UnaryOp::IntToFloat => lanes!(s, dst, n, [x = a], s.int_to_float(s.bits(x))),
                UnaryOp::UintToFloat => lanes!(s, dst, n, [x = a], s.uint_to_float(s.bits(x))),
                UnaryOp::FloatToBool => {
                    lanes!(s, dst, n, [x = a], s.float(s.truth(s.not(s.eq(x, s.zero())))))
                }
                UnaryOp::IntToBool => {
                    lanes!(s, dst, n, [x = a], s.float(s.truth(s.not(s.int_eq(s.bits(x), s.int(0))))))
                }
            }
        }
    }
}

/// `dst = op(a, b)`; contract as for [`Unary`].
pub(super) struct Binary {
    pub op: BinaryOp,
    pub a: Source,
    pub b: Source,
    pub dst: *mut f32,
    pub n: usize,
}

impl WithSimdMath for Binary {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: SimdMath>(self, s: S) {
        let Binary { op, a, b, dst, n } = self;
        // SAFETY: only words that the contract names are touched; the CPU feature is the caller's promise.
        unsafe {
            // Integer operations on the bit patterns.
            macro_rules! ints {
                ($x:ident, $y:ident, $e:expr) => {
                    lanes!(s, dst, n, [x = a, y = b], {
                        let ($x, $y) = (s.bits(x), s.bits(y));
                        s.float($e)
                    })
                };
            }
            match op {
                BinaryOp::Add => lanes!(s, dst, n, [x = a, y = b], s.add(x, y)),
                BinaryOp::Sub => lanes!(s, dst, n, [x = a, y = b], s.sub(x, y)),
                BinaryOp::Mul => lanes!(s, dst, n, [x = a, y = b], s.mul(x, y)),
                BinaryOp::Div => lanes!(s, dst, n, [x = a, y = b], s.div(x, y)),
                BinaryOp::Max => lanes!(s, dst, n, [x = a, y = b], s.max(x, y)),
                BinaryOp::Min => lanes!(s, dst, n, [x = a, y = b], s.min(x, y)),
                BinaryOp::IntAdd => ints!(x, y, s.int_add(x, y)),
                BinaryOp::IntSub => ints!(x, y, s.int_sub(x, y)),
                BinaryOp::IntMul => ints!(x, y, s.int_mul(x, y)),
                BinaryOp::IntMin => ints!(x, y, s.int_select(s.int_lt(x, y), x, y)),
                BinaryOp::IntMax => ints!(x, y, s.int_select(s.int_lt(y, x), x, y)),
                BinaryOp::UintMin => ints!(x, y, s.int_select(s.uint_lt(x, y), x, y)),
                BinaryOp::UintMax => ints!(x, y, s.int_select(s.uint_lt(y, x), x, y)),
                BinaryOp::And => ints!(x, y, s.and(x, y)),
                BinaryOp::Or => ints!(x, y, s.or(x, y)),
                BinaryOp::Xor => ints!(x, y, s.xor(x, y)),
                BinaryOp::Shl => ints!(x, y, s.shl(x, y)),
                BinaryOp::IntShr => ints!(x, y, s.sar(x, y)),
                BinaryOp::UintShr => ints!(x, y, s.shr(x, y)),
                BinaryOp::Pow
                | BinaryOp::Rem
                | BinaryOp::IntDiv
                | BinaryOp::IntRem
                | BinaryOp::UintDiv
                | BinaryOp::UintRem => scalar!(dst, n, [a, b], |x, y| op.eval(x, y)),
            }
        }
    }
}

/// `dst = a op b` as truth values; contract as for [`Unary`].
pub(super) struct Compare {
    pub op: CompareOp,
    pub lane: Lane,
    pub a: Source,
    pub b: Source,
    pub dst: *mut f32,
    pub n: usize,
}

impl WithSimdMath for Compare {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: SimdMath>(self, s: S) {
        let Compare { op, lane, a, b, dst, n } = self;
        // `Gt` and `Ge` are `Lt` and `Le` with exchanged operands; `Ne`, and the integers' `Le`, are negations.
        let (a, b) = if matches!(op, CompareOp::Gt | CompareOp::Ge) { (b, a) } else { (a, b) };
        // SAFETY: only words that the contract names are touched; the CPU feature is the caller's promise.
        unsafe {
            macro_rules! truths {
                ($x:ident, $y:ident, $e:expr) => {
                    lanes!(s, dst, n, [$x = a, $y = b], s.float(s.truth($e)))
                };
            }
            match (lane, op) {
                (Lane::F32, CompareOp::Eq) => truths!(x, y, s.eq(x, y)),
                (Lane::F32, CompareOp::Ne) => truths!(x, y, s.not(s.eq(x, y))),
                (Lane::F32, CompareOp::Lt | CompareOp::Gt) => truths!(x, y, s.lt(x, y)),
                (Lane::F32, CompareOp::Le | CompareOp::Ge) => truths!(x, y, s.le(x, y)),
                (Lane::I32 | Lane::U32, CompareOp::Eq) => truths!(x, y, s.int_eq(s.bits(x), s.bits(y))),
                (Lane::I32 | Lane::U32, CompareOp::Ne) => {
                    truths!(x, y, s.not(s.int_eq(s.bits(x), s.bits(y))))
                }
                (Lane::I32, CompareOp::Lt | CompareOp::Gt) => truths!(x, y, s.int_lt(s.bits(x), s.bits(y))),
                (Lane::I32, CompareOp::Le | CompareOp::Ge) => {
                    truths!(x, y, s.not(s.int_lt(s.bits(y), s.bits(x))))
                }
                (Lane::U32, CompareOp::Lt | CompareOp::Gt) => truths!(x, y, s.uint_lt(s.bits(x), s.bits(y))),
                (Lane::U32, CompareOp::Le | CompareOp::Ge) => {
                    truths!(x, y, s.not(s.uint_lt(s.bits(y), s.bits(x))))
                }
            }
        }
    }
}

/// `dst = c != 0 ? a : b`; contract as for [`Unary`].
pub(super) struct Select {
    pub c: Source,
    pub a: Source,
    pub b: Source,
    pub dst: *mut f32,
    pub n: usize,
}

impl WithSimdMath for Select {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: SimdMath>(self, s: S) {
        let Select { c, a, b, dst, n } = self;
        // SAFETY: only words that the contract names are touched; the CPU feature is the caller's promise.
        unsafe {
            lanes!(s, dst, n, [m = c, x = a, y = b], s.select(s.int_eq(s.bits(m), s.int(0)), y, x));
        }
    }
}

/// `dst = a * b + c`; contract as for [`Unary`].
pub(super) struct MulAdd {
    pub a: Source,
    pub b: Source,
    pub c: Source,
    pub dst: *mut f32,
    pub n: usize,
}

impl WithSimdMath for MulAdd {
    type Output = ();

    #[inline(always)]
    unsafe fn call<S: SimdMath>(self, s: S) {
        let MulAdd { a, b, c, dst, n } = self;
        // SAFETY: only words that the contract names are touched; the CPU feature is the caller's promise.
        unsafe {
            lanes!(s, dst, n, [x = a, y = b, z = c], s.mul_add(x, y, z));
        }
    }
}
