//! Element types, tensor types and literals.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The type of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE 754 single precision; evaluated as f64 by the reference interpreter when asked.
    F32,
    /// The upper half of an f32 (8 exponent bits, 8 significant bits).
    Bf16,
    /// 32-bit two's complement.
    I32,
    /// 32-bit unsigned.
    U32,
    /// True or false.
    Bool,
}

impl DType {
    /// Whether values are real numbers, which have gradients.
    pub fn is_float(self) -> bool {
        match self {
            DType::F32 | DType::Bf16 => true,
            DType::I32 | DType::U32 | DType::Bool => false,
        }
    }

    /// Whether values are i32 or u32.
    pub fn is_integer(self) -> bool {
        match self {
            DType::I32 | DType::U32 => true,
            DType::F32 | DType::Bf16 | DType::Bool => false,
        }
    }

    /// Lower-case name, as in dumps.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::Bf16 => "bf16",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::Bool => "bool",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Element type and static shape, row-major.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Type of each element.
    pub dtype: DType,
    /// Extent of each axis, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
}

impl TensorType {
    /// A type from its parts.
    pub fn new(dtype: DType, shape: impl Into<Vec<usize>>) -> Self {
        Self { dtype, shape: shape.into() }
    }

    /// An f32 tensor.
    pub fn f32(shape: impl Into<Vec<usize>>) -> Self {
        Self::new(DType::F32, shape)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Row-major strides in elements.
    pub fn strides(&self) -> Vec<usize> {
        strides(&self.shape)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)
    }
}

/// Row-major strides of `shape`, in elements.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut out = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        out[i - 1] = out[i] * shape[i];
    }
    out
}

/// The elements of a constant. Floats are kept as f64, so that a graph evaluated in f64 sees them unrounded.
#[derive(Clone, Debug)]
pub enum Literal {
    /// Floating-point elements (of f32 or bf16 tensors).
    Float(Arc<[f64]>),
    /// i32 elements.
    I32(Arc<[i32]>),
    /// u32 elements.
    U32(Arc<[u32]>),
    /// Truth values.
    Bool(Arc<[bool]>),
}

impl Literal {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Literal::Float(v) => v.len(),
            Literal::I32(v) => v.len(),
            Literal::U32(v) => v.len(),
            Literal::Bool(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the elements can be of type `dtype`.
    pub fn fits(&self, dtype: DType) -> bool {
        match self {
            Literal::Float(_) => dtype.is_float(),
            Literal::I32(_) => dtype == DType::I32,
            Literal::U32(_) => dtype == DType::U32,
            Literal::Bool(_) => dtype == DType::Bool,
        }
    }
}

// Equality and hash go by bits, so that NaN equals itself and 0 differs from -0: common-subexpression elimination
// may then merge equal constants without changing a result.
impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Literal::Float(a), Literal::Float(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(x, y)| x.to_bits() == y.to_bits())
            }
            (Literal::I32(a), Literal::I32(b)) => a == b,
            (Literal::U32(a), Literal::U32(b)) => a == b,
            (Literal::Bool(a), Literal::Bool(b)) => a == b,
            (Literal::Float(_) | Literal::I32(_) | Literal::U32(_) | Literal::Bool(_), _) => false,
        }
    }
}

impl Eq for Literal {}

impl Hash for Literal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Literal::Float(v) => v.iter().for_each(|x| x.to_bits().hash(state)),
            Literal::I32(v) => v.hash(state),
            Literal::U32(v) => v.hash(state),
            Literal::Bool(v) => v.hash(state),
        }
    }
}
