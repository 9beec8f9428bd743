//! Ops without real operands: inputs, constants, indices and random words.

use super::operands;
use crate::array::{Array, Data, for_each_index};
use crate::types::{DType, Literal, TensorType};
use ganymede_kernels::random::philox4x32;

pub(super) fn infer_input(ty: &TensorType, inputs: &[&TensorType]) -> Result<TensorType, String> {
    operands::<0>(inputs)?;
    Ok(ty.clone())
}

pub(super) fn infer_constant(
    ty: &TensorType,
    literal: &Literal,
    inputs: &[&TensorType],
) -> Result<TensorType, String> {
    operands::<0>(inputs)?;
    if !literal.fits(ty.dtype) {
        return Err(format!("the elements do not fit {ty}"));
    }
    if literal.len() != ty.len() {
        return Err(format!("{ty} has {} elements, got {}", ty.len(), literal.len()));
    }
    Ok(ty.clone())
}

pub(super) fn infer_iota(shape: &[usize], axis: usize, inputs: &[&TensorType]) -> Result<TensorType, String> {
    operands::<0>(inputs)?;
    if axis >= shape.len() {
        return Err(format!("axis {axis} is outside shape {shape:?}"));
    }
    Ok(TensorType::new(DType::I32, shape))
}

pub(super) fn infer_philox_bits(
    rows: usize,
    words: usize,
    inputs: &[&TensorType],
) -> Result<TensorType, String> {
    let [key, first] = operands(inputs)?;
    let pair = TensorType::new(DType::U32, [2]);
    if *key != pair || *first != pair {
        return Err(format!("key and first index must be u32[2], got {key} and {first}"));
    }
    Ok(TensorType::new(DType::U32, [rows, words]))
}

pub(super) fn evaluate_iota(axis: usize, ty: &TensorType) -> Array {
    let mut out = Vec::with_capacity(ty.len());
    for_each_index(&ty.shape, |index| out.push(index[axis] as i32));
    Array::new(ty.clone(), Data::I32(out))
}

pub(super) fn evaluate_philox_bits(
    stream: u32,
    rows: usize,
    words: usize,
    inputs: &[&Array],
    ty: &TensorType,
) -> Array {
    let key = inputs[0].u32s();
    let first = u64::from(inputs[1].u32s()[0]) | u64::from(inputs[1].u32s()[1]) << 32;
    let mut out = Vec::with_capacity(ty.len());
    for row in 0..rows {
        let index = first.wrapping_add(row as u64);
        for word in 0..words {
            let counter = [(word / 4) as u32, index as u32, (index >> 32) as u32, stream];
            out.push(philox4x32(counter, [key[0], key[1]])[word % 4]);
        }
    }
    Array::new(ty.clone(), Data::U32(out))
}
