//! Elementwise ops as tables: name, scalar definition and derivative of each stand together.

use super::{operands, scalar};
use crate::array::{Array, Data};
use crate::grad::Rule;
use crate::tensor::Tensor;
use crate::types::{DType, TensorType};

/// Ops on one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Unary {
    Neg,
    Abs,
    Sign,
    Exp,
    Expm1,
    Log,
    Log1p,
    Sqrt,
    Rsqrt,
    Tanh,
    Sigmoid,
    Softplus,
    Erf,
    Erfinv,
    Sin,
    Cos,
    Floor,
    IsFinite,
    Not,
}

impl Unary {
    /// Every unary op.
    pub const ALL: [Unary; 19] = [
        Unary::Neg,
        Unary::Abs,
        Unary::Sign,
        Unary::Exp,
        Unary::Expm1,
        Unary::Log,
        Unary::Log1p,
        Unary::Sqrt,
        Unary::Rsqrt,
        Unary::Tanh,
        Unary::Sigmoid,
        Unary::Softplus,
        Unary::Erf,
        Unary::Erfinv,
        Unary::Sin,
        Unary::Cos,
        Unary::Floor,
        Unary::IsFinite,
        Unary::Not,
    ];

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Unary::Neg => "neg",
            Unary::Abs => "abs",
            Unary::Sign => "sign",
            Unary::Exp => "exp",
            Unary::Expm1 => "expm1",
            Unary::Log => "log",
            Unary::Log1p => "log1p",
            Unary::Sqrt => "sqrt",
            Unary::Rsqrt => "rsqrt",
            Unary::Tanh => "tanh",
            Unary::Sigmoid => "sigmoid",
            Unary::Softplus => "softplus",
            Unary::Erf => "erf",
            Unary::Erfinv => "erfinv",
            Unary::Sin => "sin",
            Unary::Cos => "cos",
            Unary::Floor => "floor",
            Unary::IsFinite => "is_finite",
            Unary::Not => "not",
        }
    }

    /// Whether it takes operands of this type.
    pub fn accepts(self, dtype: DType) -> bool {
        match self {
            Unary::Neg | Unary::Abs | Unary::Sign => dtype.is_float() || dtype == DType::I32,
            Unary::Not => dtype == DType::Bool,
            Unary::Exp
            | Unary::Expm1
            | Unary::Log
            | Unary::Log1p
            | Unary::Sqrt
            | Unary::Rsqrt
            | Unary::Tanh
            | Unary::Sigmoid
            | Unary::Softplus
            | Unary::Erf
            | Unary::Erfinv
            | Unary::Sin
            | Unary::Cos
            | Unary::Floor
            | Unary::IsFinite => dtype.is_float(),
        }
    }

    /// The real function; `is_finite` and `not` are defined on their own types instead.
    pub fn real(self, x: f64) -> f64 {
        match self {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Sign => scalar::sign(x),
            Unary::Exp => x.exp(),
            Unary::Expm1 => x.exp_m1(),
            Unary::Log => x.ln(),
            Unary::Log1p => x.ln_1p(),
            Unary::Sqrt => x.sqrt(),
            Unary::Rsqrt => 1.0 / x.sqrt(),
            Unary::Tanh => x.tanh(),
            Unary::Sigmoid => scalar::sigmoid(x),
            Unary::Softplus => scalar::softplus(x),
            Unary::Erf => libm::erf(x),
            Unary::Erfinv => scalar::erfinv(x),
            Unary::Sin => x.sin(),
            Unary::Cos => x.cos(),
            Unary::Floor => x.floor(),
            Unary::IsFinite | Unary::Not => f64::from(u8::from(x.is_finite())),
        }
    }

    /// Integers wrap.
    fn i32(self, x: i32) -> i32 {
        match self {
            Unary::Neg => x.wrapping_neg(),
            Unary::Abs => x.wrapping_abs(),
            Unary::Sign => x.signum(),
            Unary::Exp
            | Unary::Expm1
            | Unary::Log
            | Unary::Log1p
            | Unary::Sqrt
            | Unary::Rsqrt
            | Unary::Tanh
            | Unary::Sigmoid
            | Unary::Softplus
            | Unary::Erf
            | Unary::Erfinv
            | Unary::Sin
            | Unary::Cos
            | Unary::Floor
            | Unary::IsFinite
            | Unary::Not => unreachable!("`{}` takes no i32", self.name()),
        }
    }
}

/// Ops on two operands of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Max,
    Min,
    Pow,
    And,
    Or,
    Xor,
    Shl,
    Shr,
}

impl Binary {
    /// Every binary op.
    pub const ALL: [Binary; 13] = [
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::Rem,
        Binary::Max,
        Binary::Min,
        Binary::Pow,
        Binary::And,
        Binary::Or,
        Binary::Xor,
        Binary::Shl,
        Binary::Shr,
    ];

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Rem => "rem",
            Binary::Max => "max",
            Binary::Min => "min",
            Binary::Pow => "pow",
            Binary::And => "and",
            Binary::Or => "or",
            Binary::Xor => "xor",
            Binary::Shl => "shl",
            Binary::Shr => "shr",
        }
    }

    /// Whether it takes operands of this type.
    pub fn accepts(self, dtype: DType) -> bool {
        match self {
            Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Max | Binary::Min => {
                dtype != DType::Bool
            }
            Binary::Pow => dtype.is_float(),
            Binary::Rem | Binary::Shl | Binary::Shr => dtype.is_integer(),
            Binary::And | Binary::Or | Binary::Xor => !dtype.is_float(),
        }
    }

    fn real(self, a: f64, b: f64) -> f64 {
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Max => scalar::maximum(a, b),
            Binary::Min => scalar::minimum(a, b),
            Binary::Pow => a.powf(b),
            Binary::Rem | Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => {
                unreachable!("`{}` takes no floats", self.name())
            }
        }
    }

    /// Integers wrap; division by zero gives 0; shifts use the low five bits of the count.
    fn i32(self, a: i32, b: i32) -> i32 {
        match self {
            Binary::Add => a.wrapping_add(b),
            Binary::Sub => a.wrapping_sub(b),
            Binary::Mul => a.wrapping_mul(b),
            Binary::Div => a.checked_div(b).unwrap_or(if b == 0 { 0 } else { i32::MIN }),
            Binary::Rem => a.checked_rem(b).unwrap_or(0),
            Binary::Max => a.max(b),
            Binary::Min => a.min(b),
            Binary::And => a & b,
            Binary::Or => a | b,
            Binary::Xor => a ^ b,
            Binary::Shl => a.wrapping_shl(b as u32),
            Binary::Shr => a.wrapping_shr(b as u32),
            Binary::Pow => unreachable!("`pow` takes floats"),
        }
    }

    /// As [`Binary::i32`], unsigned.
    fn u32(self, a: u32, b: u32) -> u32 {
        match self {
            Binary::Add => a.wrapping_add(b),
            Binary::Sub => a.wrapping_sub(b),
            Binary::Mul => a.wrapping_mul(b),
            Binary::Div => a.checked_div(b).unwrap_or(0),
            Binary::Rem => a.checked_rem(b).unwrap_or(0),
            Binary::Max => a.max(b),
            Binary::Min => a.min(b),
            Binary::And => a & b,
            Binary::Or => a | b,
            Binary::Xor => a ^ b,
            Binary::Shl => a.wrapping_shl(b),
            Binary::Shr => a.wrapping_shr(b),
            Binary::Pow => unreachable!("`pow` takes floats"),
        }
    }

    fn bool(self, a: bool, b: bool) -> bool {
        match self {
            Binary::And => a & b,
            Binary::Or => a | b,
            Binary::Xor => a ^ b,
            Binary::Add
            | Binary::Sub
            | Binary::Mul
            | Binary::Div
            | Binary::Rem
            | Binary::Max
            | Binary::Min
            | Binary::Pow
            | Binary::Shl
            | Binary::Shr => unreachable!("`{}` takes no bools", self.name()),
        }
    }
}

/// Comparisons; every one with NaN is false but `ne`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Compare {
    /// Every comparison.
    pub const ALL: [Compare; 6] =
        [Compare::Eq, Compare::Ne, Compare::Lt, Compare::Le, Compare::Gt, Compare::Ge];

    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Compare::Eq => "eq",
            Compare::Ne => "ne",
            Compare::Lt => "lt",
            Compare::Le => "le",
            Compare::Gt => "gt",
            Compare::Ge => "ge",
        }
    }

    fn holds<T: PartialOrd>(self, a: &T, b: &T) -> bool {
        match self {
            Compare::Eq => a == b,
            Compare::Ne => a != b,
            Compare::Lt => a < b,
            Compare::Le => a <= b,
            Compare::Gt => a > b,
            Compare::Ge => a >= b,
        }
    }
}

pub(super) fn same_type(name: &str, a: &TensorType, b: &TensorType) -> Result<(), String> {
    if a == b {
        Ok(())
    } else {
        Err(format!("both operands of `{name}` must have one type, got {a} and {b}"))
    }
}

pub(super) fn infer_unary(op: Unary, inputs: &[&TensorType]) -> Result<TensorType, String> {
    let [x] = operands(inputs)?;
    if !op.accepts(x.dtype) {
        return Err(format!("is not defined on {}", x.dtype));
    }
    let dtype = if op == Unary::IsFinite { DType::Bool } else { x.dtype };
    Ok(TensorType::new(dtype, x.shape.clone()))
}

pub(super) fn infer_binary(op: Binary, inputs: &[&TensorType]) -> Result<TensorType, String> {
    let [x, y] = operands(inputs)?;
    same_type(op.name(), x, y)?;
    if !op.accepts(x.dtype) {
        return Err(format!("is not defined on {}", x.dtype));
    }
    Ok(x.clone())
}

pub(super) fn infer_compare(op: Compare, inputs: &[&TensorType]) -> Result<TensorType, String> {
    let [x, y] = operands(inputs)?;
    same_type(op.name(), x, y)?;
    if x.dtype == DType::Bool {
        return Err("is not defined on bool".into());
    }
    Ok(TensorType::new(DType::Bool, x.shape.clone()))
}

/// Rules are written with the output y where that saves work: tanh' = 1 - y^2.
pub(super) fn differentiate_unary(op: Unary, rule: &mut Rule) {
    let x = rule.input(0);
    let y = rule.output();
    let c = rule.cotangent();
    let given = match op {
        Unary::Neg => -&c,
        // The subgradient 0 at 0, from sign(0) = 0.
        Unary::Abs => &c * x.sign(),
        Unary::Sign | Unary::Floor => {
            return rule.no_gradient("a step function is constant wherever it is differentiable");
        }
        Unary::IsFinite | Unary::Not => return rule.no_gradient("boolean output"),
        Unary::Exp => &c * &y,
        // e^x, which is y + 1 without a second exponential.
        Unary::Expm1 => &c * (&y + 1.0),
        Unary::Log => &c / &x,
        Unary::Log1p => &c / (&x + 1.0),
        Unary::Sqrt => {
            // 1 / (2 sqrt x). At 0 it is infinite; by convention the gradient there is 0, so that the norm of a zero
            // vector has the subgradient 0. The denominator is replaced before it divides, so that derivatives of
            // this rule are finite there as well.
            let at_zero = x.eq(&x.zeros_like());
            let safe = at_zero.select(&y.ones_like(), &y);
            at_zero.select(&c.zeros_like(), &(&c * 0.5 / safe))
        }
        // d x^(-1/2) = -1/2 x^(-3/2).
        Unary::Rsqrt => &c * (&y * &y * &y) * -0.5,
        Unary::Tanh => &c * (1.0 - &y * &y),
        Unary::Sigmoid => &c * (&y * (1.0 - &y)),
        Unary::Softplus => &c * x.sigmoid(),
        Unary::Erf => &c * ((-(&x * &x)).exp() * std::f64::consts::FRAC_2_SQRT_PI),
        // erf(y) = x, so y' = 1 / erf'(y).
        Unary::Erfinv => &c * ((&y * &y).exp() * (1.0 / std::f64::consts::FRAC_2_SQRT_PI)),
        Unary::Sin => &c * x.cos(),
        Unary::Cos => -(&c * x.sin()),
    };
    rule.give(0, given);
}

pub(super) fn differentiate_binary(op: Binary, rule: &mut Rule) {
    let (a, b) = (rule.input(0), rule.input(1));
    if !a.dtype().is_float() {
        return rule.no_gradient("discrete operands");
    }
    let c = rule.cotangent();
    let (need_a, need_b) = (rule.needs(0), rule.needs(1));
    let mut give = |i: usize, needed: bool, value: &dyn Fn() -> Tensor| {
        if needed {
            rule.give(i, value());
        }
    };
    match op {
        Binary::Add => {
            give(0, need_a, &|| c.clone());
            give(1, need_b, &|| c.clone());
        }
        Binary::Sub => {
            give(0, need_a, &|| c.clone());
            give(1, need_b, &|| -&c);
        }
        Binary::Mul => {
            give(0, need_a, &|| &c * &b);
            give(1, need_b, &|| &c * &a);
        }
        Binary::Div => {
            give(0, need_a, &|| &c / &b);
            give(1, need_b, &|| -(&c * &a / (&b * &b)));
        }
        // Ties split the cotangent in halves, which keeps max(a, a) = a differentiable with derivative 1.
        Binary::Max | Binary::Min => {
            let first = if op == Binary::Max { a.gt(&b) } else { a.lt(&b) };
            let tie = a.eq(&b);
            let half = &c * 0.5;
            let zero = c.zeros_like();
            give(0, need_a, &|| first.select(&c, &tie.select(&half, &zero)));
            give(1, need_b, &|| first.select(&zero, &tie.select(&half, &c)));
        }
        Binary::Pow => {
            // d/da = b a^(b-1), and 0 for b = 0 even at a = 0; d/db = a^b log a, and 0 at a = 0, its limit for
            // b > 0. Bases and exponents are replaced before the power or logarithm, so that no derivative of the
            // rule meets 0 * inf. For b = 0 at another a nothing is replaced: the product is 0 by itself, and its
            // derivative by b, 1/a, is not.
            give(0, need_a, &|| {
                let flat = b.eq(&b.zeros_like()).and(&a.eq(&a.zeros_like()));
                let safe = flat.select(&b.ones_like(), &b);
                flat.select(&c.zeros_like(), &(&c * &safe * a.pow(&(&safe - 1.0))))
            });
            give(1, need_b, &|| {
                let at_zero = a.eq(&a.zeros_like());
                let safe = at_zero.select(&a.ones_like(), &a);
                at_zero.select(&c.zeros_like(), &(&c * safe.pow(&b) * safe.log()))
            });
        }
        Binary::Rem | Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => {
            unreachable!("`{}` takes no floats", op.name())
        }
    }
}

pub(super) fn evaluate_unary(op: Unary, x: &Array, ty: &TensorType) -> Array {
    let data = match &x.data {
        Data::Float(v) if op == Unary::IsFinite => Data::Bool(v.iter().map(|x| x.is_finite()).collect()),
        Data::Float(v) => Data::Float(v.iter().map(|&x| op.real(x)).collect()),
        Data::I32(v) => Data::I32(v.iter().map(|&x| op.i32(x)).collect()),
        Data::Bool(v) => Data::Bool(v.iter().map(|x| !x).collect()),
        Data::U32(_) => unreachable!("no unary op takes u32"),
    };
    Array::new(ty.clone(), data)
}

pub(super) fn evaluate_binary(op: Binary, a: &Array, b: &Array, ty: &TensorType) -> Array {
    let data = match (&a.data, &b.data) {
        (Data::Float(a), Data::Float(b)) => Data::Float(zip(a, b, |a, b| op.real(a, b))),
        (Data::I32(a), Data::I32(b)) => Data::I32(zip(a, b, |a, b| op.i32(a, b))),
        (Data::U32(a), Data::U32(b)) => Data::U32(zip(a, b, |a, b| op.u32(a, b))),
        (Data::Bool(a), Data::Bool(b)) => Data::Bool(zip(a, b, |a, b| op.bool(a, b))),
        (Data::Float(_) | Data::I32(_) | Data::U32(_) | Data::Bool(_), _) => {
            unreachable!("operands have one type")
        }
    };
    Array::new(ty.clone(), data)
}

pub(super) fn evaluate_compare(op: Compare, a: &Array, b: &Array, ty: &TensorType) -> Array {
    let holds = match (&a.data, &b.data) {
        (Data::Float(a), Data::Float(b)) => zip(a, b, |a, b| op.holds(&a, &b)),
        (Data::I32(a), Data::I32(b)) => zip(a, b, |a, b| op.holds(&a, &b)),
        (Data::U32(a), Data::U32(b)) => zip(a, b, |a, b| op.holds(&a, &b)),
        (Data::Float(_) | Data::I32(_) | Data::U32(_) | Data::Bool(_), _) => {
            unreachable!("operands have one type, which is not bool")
        }
    };
    Array::new(ty.clone(), Data::Bool(holds))
}

fn zip<T: Copy, R>(a: &[T], b: &[T], f: impl Fn(T, T) -> R) -> Vec<R> {
    a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()
}
