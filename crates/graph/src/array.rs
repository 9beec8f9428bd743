//! Arrays of the reference interpreter.

use crate::types::{DType, Literal, TensorType};

/// The elements of an [`Array`]. Floats of any precision are kept as f64 and rounded after each op.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// f32 or bf16 values.
    Float(Vec<f64>),
    /// i32 values.
    I32(Vec<i32>),
    /// u32 values.
    U32(Vec<u32>),
    /// Truth values.
    Bool(Vec<bool>),
}

impl Data {
    /// Elements of type `dtype` by their index in `index`.
    pub fn gather(&self, index: impl Iterator<Item = usize>) -> Data {
        match self {
            Data::Float(v) => Data::Float(index.map(|i| v[i]).collect()),
            Data::I32(v) => Data::I32(index.map(|i| v[i]).collect()),
            Data::U32(v) => Data::U32(index.map(|i| v[i]).collect()),
            Data::Bool(v) => Data::Bool(index.map(|i| v[i]).collect()),
        }
    }

    /// As [`Data::gather`], with zero (false) where the index is `None`.
    pub fn gather_or_zero(&self, index: impl Iterator<Item = Option<usize>>) -> Data {
        match self {
            Data::Float(v) => Data::Float(index.map(|i| i.map_or(0.0, |i| v[i])).collect()),
            Data::I32(v) => Data::I32(index.map(|i| i.map_or(0, |i| v[i])).collect()),
            Data::U32(v) => Data::U32(index.map(|i| i.map_or(0, |i| v[i])).collect()),
            Data::Bool(v) => Data::Bool(index.map(|i| i.is_some_and(|i| v[i])).collect()),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::Float(v) => v.len(),
            Data::I32(v) => v.len(),
            Data::U32(v) => v.len(),
            Data::Bool(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A tensor value of the reference interpreter.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Type.
    pub ty: TensorType,
    /// Elements, row-major.
    pub data: Data,
}

impl Array {
    /// An array from its parts; `data` must have the type's length and kind.
    pub fn new(ty: TensorType, data: Data) -> Self {
        assert_eq!(ty.len(), data.len(), "an array of {ty} needs {} elements", ty.len());
        let fits = match data {
            Data::Float(_) => ty.dtype.is_float(),
            Data::I32(_) => ty.dtype == DType::I32,
            Data::U32(_) => ty.dtype == DType::U32,
            Data::Bool(_) => ty.dtype == DType::Bool,
        };
        assert!(fits, "elements of another kind than {ty}");
        Self { ty, data }
    }

    /// An f32 array.
    pub fn f32(shape: &[usize], values: impl Into<Vec<f64>>) -> Self {
        Self::new(TensorType::f32(shape), Data::Float(values.into()))
    }

    /// An f32 array from f32 values.
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Self {
        Self::f32(shape, values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>())
    }

    /// An i32 array.
    pub fn i32(shape: &[usize], values: impl Into<Vec<i32>>) -> Self {
        Self::new(TensorType::new(DType::I32, shape), Data::I32(values.into()))
    }

    /// A u32 array.
    pub fn u32(shape: &[usize], values: impl Into<Vec<u32>>) -> Self {
        Self::new(TensorType::new(DType::U32, shape), Data::U32(values.into()))
    }

    /// A bool array.
    pub fn bool(shape: &[usize], values: impl Into<Vec<bool>>) -> Self {
        Self::new(TensorType::new(DType::Bool, shape), Data::Bool(values.into()))
    }

    /// The elements of a literal.
    pub fn literal(ty: &TensorType, literal: &Literal) -> Self {
        let data = match literal {
            Literal::Float(v) => Data::Float(v.to_vec()),
            Literal::I32(v) => Data::I32(v.to_vec()),
            Literal::U32(v) => Data::U32(v.to_vec()),
            Literal::Bool(v) => Data::Bool(v.to_vec()),
        };
        Self::new(ty.clone(), data)
    }

    /// Float elements.
    ///
    /// # Panics
    /// If the array holds no floats.
    pub fn floats(&self) -> &[f64] {
        match &self.data {
            Data::Float(v) => v,
            Data::I32(_) | Data::U32(_) | Data::Bool(_) => panic!("{} holds no floats", self.ty),
        }
    }

    /// i32 elements.
    ///
    /// # Panics
    /// If the array holds no i32.
    pub fn i32s(&self) -> &[i32] {
        match &self.data {
            Data::I32(v) => v,
            Data::Float(_) | Data::U32(_) | Data::Bool(_) => panic!("{} holds no i32", self.ty),
        }
    }

    /// u32 elements.
    ///
    /// # Panics
    /// If the array holds no u32.
    pub fn u32s(&self) -> &[u32] {
        match &self.data {
            Data::U32(v) => v,
            Data::Float(_) | Data::I32(_) | Data::Bool(_) => panic!("{} holds no u32", self.ty),
        }
    }

    /// Bool elements.
    ///
    /// # Panics
    /// If the array holds no bool.
    pub fn bools(&self) -> &[bool] {
        match &self.data {
            Data::Bool(v) => v,
            Data::Float(_) | Data::I32(_) | Data::U32(_) => panic!("{} holds no bool", self.ty),
        }
    }
}

/// Calls `f` with every index of `shape`, in row-major order.
pub fn for_each_index(shape: &[usize], mut f: impl FnMut(&[usize])) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0; shape.len()];
    loop {
        f(&index);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}
