//! Row gather and scatter-add, and sorting.

use super::operands;
use crate::array::{Array, Data};
use crate::grad::Rule;
use crate::types::{DType, TensorType};

fn check_index(batch: usize, index: &TensorType, leading: &[usize]) -> Result<usize, String> {
    if index.dtype != DType::I32 || index.rank() != batch + 1 || index.shape[..batch] != *leading {
        return Err(format!("the index must be i32 with shape {leading:?} and one axis more, got {index}"));
    }
    Ok(index.shape[batch])
}

pub(super) fn infer_gather(batch: usize, inputs: &[&TensorType]) -> Result<TensorType, String> {
    let [table, index] = operands(inputs)?;
    if table.rank() <= batch {
        return Err(format!("the table needs a row axis after {batch} batch axes, got {table}"));
    }
    let k = check_index(batch, index, &table.shape[..batch])?;
    if table.shape[batch] == 0 {
        return Err("the table has no rows".into());
    }
    let mut shape = table.shape.clone();
    shape[batch] = k;
    Ok(TensorType::new(table.dtype, shape))
}

pub(super) fn infer_scatter_add(
    batch: usize,
    rows: usize,
    inputs: &[&TensorType],
) -> Result<TensorType, String> {
    let [source, index] = operands(inputs)?;
    if source.rank() <= batch {
        return Err(format!("the rows need an axis after {batch} batch axes, got {source}"));
    }
    let k = check_index(batch, index, &source.shape[..batch])?;
    if source.shape[batch] != k {
        return Err(format!("{source} has {} rows, the index {k}", source.shape[batch]));
    }
    if !source.dtype.is_float() {
        return Err(format!("is not defined on {}", source.dtype));
    }
    if rows == 0 {
        return Err("the result has no rows".into());
    }
    let mut shape = source.shape.clone();
    shape[batch] = rows;
    Ok(TensorType::new(source.dtype, shape))
}

pub(super) fn infer_arg_sort(inputs: &[&TensorType]) -> Result<TensorType, String> {
    let [x] = operands(inputs)?;
    if x.rank() == 0 || x.dtype == DType::Bool {
        return Err(format!("needs an axis of numbers to sort along, got {x}"));
    }
    Ok(TensorType::new(DType::I32, x.shape.clone()))
}

/// Gather and scatter-add by the same index are transposes of each other.
pub(super) fn differentiate_gather(batch: usize, rule: &mut Rule) {
    if !rule.cotangent().dtype().is_float() {
        return rule.no_gradient("discrete operand");
    }
    let rows = rule.input(0).shape()[batch];
    let index = rule.input(1);
    rule.give(0, rule.cotangent().scatter_add(&index, batch, rows));
}

/// See [`differentiate_gather`].
pub(super) fn differentiate_scatter_add(batch: usize, rule: &mut Rule) {
    let index = rule.input(1);
    rule.give(0, rule.cotangent().gather(&index, batch));
}

pub(super) fn evaluate_gather(batch: usize, inputs: &[&Array], ty: &TensorType) -> Array {
    let table = &inputs[0].ty.shape;
    let (rows, k) = (table[batch], ty.shape[batch]);
    let width: usize = table[batch + 1..].iter().product();
    let index = inputs[1].i32s();
    let from = |at: usize| {
        let row = at / width;
        let chosen = (index[row].max(0) as usize).min(rows - 1);
        (row / k * rows + chosen) * width + at % width
    };
    Array::new(ty.clone(), inputs[0].data.gather((0..ty.len()).map(from)))
}

pub(super) fn evaluate_scatter_add(batch: usize, rows: usize, inputs: &[&Array], ty: &TensorType) -> Array {
    let source = &inputs[0].ty.shape;
    let k = source[batch];
    let width: usize = source[batch + 1..].iter().product();
    let (values, index) = (inputs[0].floats(), inputs[1].i32s());
    let mut out = vec![0.0; ty.len()];
    for (at, &value) in values.iter().enumerate() {
        let row = at / width;
        let chosen = (index[row].max(0) as usize).min(rows - 1);
        out[(row / k * rows + chosen) * width + at % width] += value;
    }
    Array::new(ty.clone(), Data::Float(out))
}

pub(super) fn evaluate_arg_sort(x: &Array, ty: &TensorType) -> Array {
    let n = ty.shape[ty.rank() - 1];
    let mut out = Vec::with_capacity(ty.len());
    for row in 0..ty.len().checked_div(n).unwrap_or(0) {
        let mut order: Vec<usize> = (0..n).collect();
        match &x.data {
            Data::Float(v) => order.sort_by(|&i, &j| {
                let (a, b) = (v[row * n + i], v[row * n + j]);
                a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
            }),
            Data::I32(v) => order.sort_by_key(|&i| v[row * n + i]),
            Data::U32(v) => order.sort_by_key(|&i| v[row * n + i]),
            Data::Bool(_) => unreachable!("argsort takes no bools"),
        }
        out.extend(order.iter().map(|&i| i as i32));
    }
    Array::new(ty.clone(), Data::I32(out))
}
