//! Elementwise ops that compute nothing: a choice, a conversion, and the end of differentiation.

use super::elementwise::same_type;
use super::operands;
use crate::array::{Array, Data};
use crate::grad::Rule;
use crate::types::{DType, TensorType};

pub(super) fn infer_select(inputs: &[&TensorType]) -> Result<TensorType, String> {
    let [condition, a, b] = operands(inputs)?;
    same_type("select", a, b)?;
    if condition.dtype != DType::Bool || condition.shape != a.shape {
        return Err(format!("the condition must be bool{:?}, got {condition}", a.shape));
    }
    Ok(a.clone())
}

pub(super) fn infer_convert(dtype: DType, inputs: &[&TensorType]) -> Result<TensorType, String> {
    let [x] = operands(inputs)?;
    Ok(TensorType::new(dtype, x.shape.clone()))
}

pub(super) fn infer_stop_gradient(inputs: &[&TensorType]) -> Result<TensorType, String> {
    let [x] = operands(inputs)?;
    Ok(x.clone())
}

pub(super) fn differentiate_select(rule: &mut Rule) {
    let condition = rule.input(0);
    let c = rule.cotangent();
    let zero = c.zeros_like();
    if rule.needs(1) {
        rule.give(1, condition.select(&c, &zero));
    }
    if rule.needs(2) {
        rule.give(2, condition.select(&zero, &c));
    }
}

pub(super) fn differentiate_convert(rule: &mut Rule) {
    let from = rule.input(0).dtype();
    if from.is_float() && rule.cotangent().dtype().is_float() {
        rule.give(0, rule.cotangent().convert(from));
    } else {
        rule.no_gradient("a conversion from or to a discrete type is constant almost everywhere");
    }
}

pub(super) fn evaluate_select(condition: &Array, a: &Array, b: &Array, ty: &TensorType) -> Array {
    let condition = condition.bools();
    let data = match (&a.data, &b.data) {
        (Data::Float(a), Data::Float(b)) => Data::Float(pick(condition, a, b)),
        (Data::I32(a), Data::I32(b)) => Data::I32(pick(condition, a, b)),
        (Data::U32(a), Data::U32(b)) => Data::U32(pick(condition, a, b)),
        (Data::Bool(a), Data::Bool(b)) => Data::Bool(pick(condition, a, b)),
        (Data::Float(_) | Data::I32(_) | Data::U32(_) | Data::Bool(_), _) => {
            unreachable!("operands have one type")
        }
    };
    Array::new(ty.clone(), data)
}

pub(super) fn evaluate_stop_gradient(x: &Array, ty: &TensorType) -> Array {
    Array::new(ty.clone(), x.data.clone())
}

fn pick<T: Copy>(condition: &[bool], a: &[T], b: &[T]) -> Vec<T> {
    condition.iter().zip(a.iter().zip(b)).map(|(&c, (&a, &b))| if c { a } else { b }).collect()
}

/// Floats become integers by truncation, saturating, NaN to 0; i32 and u32 keep their bits; bool is 0 or 1, and
/// anything but 0 is true.
pub(super) fn evaluate_convert(to: DType, x: &Array, ty: &TensorType) -> Array {
    let data = match (&x.data, to) {
        (Data::Float(v), DType::F32 | DType::Bf16) => Data::Float(v.clone()),
        (Data::Float(v), DType::I32) => Data::I32(v.iter().map(|&x| x as i32).collect()),
        (Data::Float(v), DType::U32) => Data::U32(v.iter().map(|&x| x as u32).collect()),
        (Data::Float(v), DType::Bool) => Data::Bool(v.iter().map(|&x| x != 0.0).collect()),
        (Data::I32(v), DType::F32 | DType::Bf16) => Data::Float(v.iter().map(|&x| f64::from(x)).collect()),
        (Data::I32(v), DType::I32) => Data::I32(v.clone()),
        (Data::I32(v), DType::U32) => Data::U32(v.iter().map(|&x| x as u32).collect()),
        (Data::I32(v), DType::Bool) => Data::Bool(v.iter().map(|&x| x != 0).collect()),
        (Data::U32(v), DType::F32 | DType::Bf16) => Data::Float(v.iter().map(|&x| f64::from(x)).collect()),
        (Data::U32(v), DType::I32) => Data::I32(v.iter().map(|&x| x as i32).collect()),
        (Data::U32(v), DType::U32) => Data::U32(v.clone()),
        (Data::U32(v), DType::Bool) => Data::Bool(v.iter().map(|&x| x != 0).collect()),
        (Data::Bool(v), DType::F32 | DType::Bf16) => {
            Data::Float(v.iter().map(|&x| f64::from(u8::from(x))).collect())
        }
        (Data::Bool(v), DType::I32) => Data::I32(v.iter().map(|&x| i32::from(x)).collect()),
        (Data::Bool(v), DType::U32) => Data::U32(v.iter().map(|&x| u32::from(x)).collect()),
        (Data::Bool(v), DType::Bool) => Data::Bool(v.clone()),
    };
    Array::new(ty.clone(), data)
}
