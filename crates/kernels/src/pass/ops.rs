//! The closed set of elementwise operations: names and scalar evaluation.
//!
//! Words are untyped; each operation says how it reads them. Truth values are the words 0 and 1.

use super::special;

/// Defines an enum of operations on words with its table of names and scalar evaluations.
macro_rules! operations {
    ($(#[$doc:meta])* $enum:ident: $function:ty { $($(#[$op_doc:meta])* $op:ident $name:literal => $eval:expr;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $enum {
            $($(#[$op_doc])* $op,)*
        }

        impl $enum {
            /// Every operation.
            pub const ALL: &[$enum] = &[$($enum::$op),*];

            /// A unique name for dumps.
            pub fn name(self) -> &'static str {
                match self {
                    $($enum::$op => $name,)*
                }
            }

            /// The scalar twin.
            fn function(self) -> $function {
                match self {
                    $($enum::$op => $eval,)*
                }
            }
        }
    };
}

fn f(word: u32) -> f32 {
    f32::from_bits(word)
}

/// A function of one f32 in f64, rounded once.
fn wide(x: u32, function: impl Fn(f64) -> f64) -> u32 {
    (function(f64::from(f(x))) as f32).to_bits()
}

fn float(x: f32) -> u32 {
    x.to_bits()
}

operations! {
    /// Operations on one value.
    UnaryOp: fn(u32) -> u32 {
        /// f32 `-x`.
        Neg "neg" => |x| float(-f(x));
        /// f32 `|x|`.
        Abs "abs" => |x| float(f(x).abs());
        /// f32 sign: -1, 1, or `x` itself where it is a zero or NaN.
        Sign "sign" => |x| if f(x) > 0.0 { float(1.0) } else if f(x) < 0.0 { float(-1.0) } else { x };
        /// f32 `e^x`.
        Exp "exp" => |x| wide(x, f64::exp);
        /// f32 `e^x - 1`.
        Expm1 "expm1" => |x| wide(x, f64::exp_m1);
        /// f32 natural logarithm.
        Log "log" => |x| wide(x, f64::ln);
        /// f32 `log(1 + x)`.
        Log1p "log1p" => |x| wide(x, f64::ln_1p);
        /// f32 square root.
        Sqrt "sqrt" => |x| float(f(x).sqrt());
        /// f32 `1 / sqrt(x)`.
        Rsqrt "rsqrt" => |x| wide(x, |v| 1.0 / v.sqrt());
        /// f32 `1 / x`.
        Recip "recip" => |x| float(1.0 / f(x));
        /// f32 `x * x`.
        Square "square" => |x| float(f(x) * f(x));
        /// f32 hyperbolic tangent.
        Tanh "tanh" => |x| wide(x, f64::tanh);
        /// f32 `1 / (1 + e^-x)`.
        Sigmoid "sigmoid" => |x| wide(x, special::sigmoid);
        /// f32 `log(1 + e^x)`.
        Softplus "softplus" => |x| wide(x, special::softplus);
        /// f32 error function.
        Erf "erf" => |x| wide(x, special::erf);
        /// f32 inverse error function.
        Erfinv "erfinv" => |x| wide(x, special::erfinv);
        /// f32 sine of radians; accurate for `|x| < 1.6e6`.
        Sin "sin" => |x| wide(x, f64::sin);
        /// f32 cosine of radians; accurate for `|x| < 1.6e6`.
        Cos "cos" => |x| wide(x, f64::cos);
        /// f32 largest integer not above.
        Floor "floor" => |x| float(f(x).floor());
        /// f32 to the nearest bfloat16, kept as f32: ties to even, NaN stays NaN.
        RoundBf16 "round_bf16" => |x: u32| {
            let rounded = if f(x).is_nan() { x | 0x0040_0000 } else { x.wrapping_add(0x7fff + (x >> 16 & 1)) };
            rounded & 0xffff_0000
        };
        /// f32 to truth value: neither infinite nor NaN.
        IsFinite "is_finite" => |x| u32::from(f(x).is_finite());
        /// Integer `-x`, wrapping.
        IntNeg "int_neg" => |x: u32| x.wrapping_neg();
        /// i32 `|x|`, wrapping at the least value.
        IntAbs "int_abs" => |x| (x as i32).wrapping_abs() as u32;
        /// i32 sign.
        IntSign "int_sign" => |x| (x as i32).signum() as u32;
        /// Every bit flipped.
        BitNot "bit_not" => |x: u32| !x;
        /// Truth value: 1 for the word 0, else 0.
        Not "not" => |x| u32::from(x == 0);
        /// f32 to i32: truncating, saturating, NaN gives 0.
        FloatToInt "f32_to_i32" => |x| f(x) as i32 as u32;
        /// f32 to u32: truncating, saturating, NaN gives 0.
        FloatToUint "f32_to_u32" => |x| f(x) as u32;
        /// i32 to the nearest f32.
        IntToFloat "i32_to_f32" => |x| float(x as i32 as f32);
        /// u32 (or truth value) to the nearest f32.
        UintToFloat "u32_to_f32" => |x| float(x as f32);
        /// Number to truth value: f32 other than zero (NaN is true).
        FloatToBool "f32_to_bool" => |x| u32::from(f(x) != 0.0);
        /// Integer to truth value: other than zero.
        IntToBool "int_to_bool" => |x| u32::from(x != 0);
    }
}

operations! {
    /// Operations on two values.
    BinaryOp: fn(u32, u32) -> u32 {
        /// f32 `a + b`.
        Add "add" => |a, b| float(f(a) + f(b));
        /// f32 `a - b`.
        Sub "sub" => |a, b| float(f(a) - f(b));
        /// f32 `a * b`.
        Mul "mul" => |a, b| float(f(a) * f(b));
        /// f32 `a / b`.
        Div "div" => |a, b| float(f(a) / f(b));
        /// f32: the larger; NaN if either is NaN; `b` if they are equal (zeros of either sign are).
        Max "max" => |a, b| if f(a).is_nan() || f(a) > f(b) { a } else { b };
        /// f32: the smaller; NaN if either is NaN; `b` if they are equal.
        Min "min" => |a, b| if f(a).is_nan() || f(a) < f(b) { a } else { b };
        /// f32 `a` to the power `b`, element by element through `std`.
        Pow "pow" => |a, b| float(f64::from(f(a)).powf(f64::from(f(b))) as f32);
        /// f32 remainder of truncating division, with the sign of `a`; element by element.
        Rem "rem" => |a, b| float(f(a) % f(b));
        /// Integer `a + b`, wrapping.
        IntAdd "int_add" => |a: u32, b| a.wrapping_add(b);
        /// Integer `a - b`, wrapping.
        IntSub "int_sub" => |a: u32, b| a.wrapping_sub(b);
        /// Integer `a * b`, wrapping.
        IntMul "int_mul" => |a: u32, b| a.wrapping_mul(b);
        /// i32 quotient, truncating; 0 where `b` is 0, wrapping where it overflows.
        IntDiv "i32_div" => |a, b| if b == 0 { 0 } else { (a as i32).wrapping_div(b as i32) as u32 };
        /// i32 remainder, with the sign of `a`; 0 where `b` is 0.
        IntRem "i32_rem" => |a, b| if b == 0 { 0 } else { (a as i32).wrapping_rem(b as i32) as u32 };
        /// u32 quotient; 0 where `b` is 0.
        UintDiv "u32_div" => |a: u32, b| a.checked_div(b).unwrap_or(0);
        /// u32 remainder; 0 where `b` is 0.
        UintRem "u32_rem" => |a: u32, b| a.checked_rem(b).unwrap_or(0);
        /// i32: the smaller.
        IntMin "i32_min" => |a, b| (a as i32).min(b as i32) as u32;
        /// i32: the larger.
        IntMax "i32_max" => |a, b| (a as i32).max(b as i32) as u32;
        /// u32: the smaller.
        UintMin "u32_min" => |a: u32, b| a.min(b);
        /// u32: the larger.
        UintMax "u32_max" => |a: u32, b| a.max(b);
        /// Bitwise (or of truth values) and.
        And "and" => |a: u32, b| a & b;
        /// Bitwise (or of truth values) or.
        Or "or" => |a: u32, b| a | b;
        /// Bitwise (or of truth values) exclusive or.
        Xor "xor" => |a: u32, b| a ^ b;
        /// `a << b`; 0 where `b >= 32` as u32.
        Shl "shl" => |a: u32, b| a.checked_shl(b).unwrap_or(0);
        /// i32 `a >> b`, filling with the sign; all sign where `b >= 32` as u32.
        IntShr "i32_shr" => |a, b: u32| ((a as i32) >> b.min(31)) as u32;
        /// u32 `a >> b`; 0 where `b >= 32`.
        UintShr "u32_shr" => |a: u32, b| a.checked_shr(b).unwrap_or(0);
    }
}

impl UnaryOp {
    /// The scalar twin: one element, as words.
    pub fn eval(self, x: u32) -> u32 {
        self.function()(x)
    }
}

impl BinaryOp {
    /// The scalar twin: one element, as words.
    pub fn eval(self, a: u32, b: u32) -> u32 {
        self.function()(a, b)
    }
}

/// How words are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// f32.
    F32,
    /// i32.
    I32,
    /// u32, and truth values.
    U32,
}

/// Comparisons, giving a truth value. With NaN all but `Ne` are false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `a == b`.
    Eq,
    /// `a != b`.
    Ne,
    /// `a < b`.
    Lt,
    /// `a <= b`.
    Le,
    /// `a > b`.
    Gt,
    /// `a >= b`.
    Ge,
}

impl CompareOp {
    /// Every comparison.
    pub const ALL: &[CompareOp] =
        &[CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge];

    /// A unique name for dumps.
    pub fn name(self) -> &'static str {
        match self {
            CompareOp::Eq => "eq",
            CompareOp::Ne => "ne",
            CompareOp::Lt => "lt",
            CompareOp::Le => "le",
            CompareOp::Gt => "gt",
            CompareOp::Ge => "ge",
        }
    }

    /// The scalar twin: one element, as words.
    pub fn eval(self, lane: Lane, a: u32, b: u32) -> u32 {
        let order = match lane {
            Lane::F32 => f(a).partial_cmp(&f(b)),
            Lane::I32 => Some((a as i32).cmp(&(b as i32))),
            Lane::U32 => Some(a.cmp(&b)),
        };
        u32::from(match self {
            CompareOp::Eq => order.is_some_and(|o| o.is_eq()),
            CompareOp::Ne => order.is_none_or(|o| o.is_ne()),
            CompareOp::Lt => order.is_some_and(|o| o.is_lt()),
            CompareOp::Le => order.is_some_and(|o| o.is_le()),
            CompareOp::Gt => order.is_some_and(|o| o.is_gt()),
            CompareOp::Ge => order.is_some_and(|o| o.is_ge()),
        })
    }
}

/// How a reduction combines values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceOp {
    /// Sum; 0 over nothing. Integers wrap.
    Sum,
    /// Largest; NaN if any is NaN; -inf (the least integer) over nothing.
    Max,
    /// Smallest; NaN if any is NaN; inf (the greatest integer) over nothing.
    Min,
}

impl ReduceOp {
    /// Every reduction.
    pub const ALL: &[ReduceOp] = &[ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min];

    /// A unique name for dumps.
    pub fn name(self) -> &'static str {
        match self {
            ReduceOp::Sum => "sum",
            ReduceOp::Max => "max",
            ReduceOp::Min => "min",
        }
    }

    /// What it gives over nothing, as a word.
    pub fn identity(self, lane: Lane) -> u32 {
        match (self, lane) {
            (ReduceOp::Sum, Lane::F32 | Lane::I32 | Lane::U32) => 0,
            (ReduceOp::Max, Lane::F32) => f32::NEG_INFINITY.to_bits(),
            (ReduceOp::Min, Lane::F32) => f32::INFINITY.to_bits(),
            (ReduceOp::Max, Lane::I32) => i32::MIN as u32,
            (ReduceOp::Min, Lane::I32) => i32::MAX as u32,
            (ReduceOp::Max, Lane::U32) => 0,
            (ReduceOp::Min, Lane::U32) => u32::MAX,
        }
    }
}
