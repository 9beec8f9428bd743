//! Elementwise functions and operators.

use super::Tensor;
use crate::ops::elementwise::{Binary, Unary};

impl Tensor {
    /// Absolute value; gradient 0 at 0.
    #[track_caller]
    pub fn abs(&self) -> Tensor {
        self.unary(Unary::Abs)
    }
    /// -1, 0 or 1.
    #[track_caller]
    pub fn sign(&self) -> Tensor {
        self.unary(Unary::Sign)
    }
    /// e^x.
    #[track_caller]
    pub fn exp(&self) -> Tensor {
        self.unary(Unary::Exp)
    }
    /// e^x - 1, accurate near 0.
    #[track_caller]
    pub fn expm1(&self) -> Tensor {
        self.unary(Unary::Expm1)
    }
    /// Natural logarithm.
    #[track_caller]
    pub fn log(&self) -> Tensor {
        self.unary(Unary::Log)
    }
    /// log(1 + x), accurate near 0.
    #[track_caller]
    pub fn log1p(&self) -> Tensor {
        self.unary(Unary::Log1p)
    }
    /// Square root; by convention its gradient at 0 is 0.
    #[track_caller]
    pub fn sqrt(&self) -> Tensor {
        self.unary(Unary::Sqrt)
    }
    /// 1 / sqrt(x).
    #[track_caller]
    pub fn rsqrt(&self) -> Tensor {
        self.unary(Unary::Rsqrt)
    }
    /// Hyperbolic tangent.
    #[track_caller]
    pub fn tanh(&self) -> Tensor {
        self.unary(Unary::Tanh)
    }
    /// 1 / (1 + e^-x).
    #[track_caller]
    pub fn sigmoid(&self) -> Tensor {
        self.unary(Unary::Sigmoid)
    }
    /// log(1 + e^x), without overflow.
    #[track_caller]
    pub fn softplus(&self) -> Tensor {
        self.unary(Unary::Softplus)
    }
    /// Error function.
    #[track_caller]
    pub fn erf(&self) -> Tensor {
        self.unary(Unary::Erf)
    }
    /// Inverse error function.
    #[track_caller]
    pub fn erfinv(&self) -> Tensor {
        self.unary(Unary::Erfinv)
    }
    /// Sine of radians.
    #[track_caller]
    pub fn sin(&self) -> Tensor {
        self.unary(Unary::Sin)
    }
    /// Cosine of radians.
    #[track_caller]
    pub fn cos(&self) -> Tensor {
        self.unary(Unary::Cos)
    }
    /// Largest integer not above.
    #[track_caller]
    pub fn floor(&self) -> Tensor {
        self.unary(Unary::Floor)
    }
    /// Whether neither infinite nor NaN; bool.
    #[track_caller]
    pub fn is_finite(&self) -> Tensor {
        self.unary(Unary::IsFinite)
    }
    /// Logical not of a bool tensor.
    #[track_caller]
    pub fn not(&self) -> Tensor {
        self.unary(Unary::Not)
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $op:expr) => {
        impl std::ops::$trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                self.binary($op, other)
            }
        }
        impl std::ops::$trait<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                self.binary($op, &other)
            }
        }
        impl std::ops::$trait<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                self.binary($op, other)
            }
        }
        impl std::ops::$trait<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                self.binary($op, &other)
            }
        }
        impl std::ops::$trait<f64> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: f64) -> Tensor {
                self.binary($op, &self.full_like(other))
            }
        }
        impl std::ops::$trait<f64> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: f64) -> Tensor {
                self.binary($op, &self.full_like(other))
            }
        }
        impl std::ops::$trait<&Tensor> for f64 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                other.full_like(self).binary($op, other)
            }
        }
        impl std::ops::$trait<Tensor> for f64 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                other.full_like(self).binary($op, &other)
            }
        }
    };
}

operator!(Add, add, Binary::Add);
operator!(Sub, sub, Binary::Sub);
operator!(Mul, mul, Binary::Mul);
operator!(Div, div, Binary::Div);

impl std::ops::Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        self.unary(Unary::Neg)
    }
}

impl std::ops::Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        self.unary(Unary::Neg)
    }
}
