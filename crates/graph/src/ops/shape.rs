//! Ops that move elements without computing.

use super::operands;
use crate::array::{Array, for_each_index};
use crate::grad::Rule;
use crate::tensor::Tensor;
use crate::types::{TensorType, strides};

fn check_rank(what: &str, got: usize, rank: usize) -> Result<(), String> {
    if got == rank { Ok(()) } else { Err(format!("{what} lists {got} axes, the operand has {rank}")) }
}

pub(super) fn infer_reshape(shape: &[usize], inputs: &[&TensorType]) -> Result<TensorType, String> {
    let [x] = operands(inputs)?;
    if shape.iter().product::<usize>() != x.len() {
        return Err(format!("{x} has {} elements, shape {shape:?} does not", x.len()));
    }
    Ok(TensorType::new(x.dtype, shape))
}

pub(super) fn infer_broadcast(
    shape: &[usize],
    axes: &[usize],
    inputs: &[&TensorType],
) -> Result<TensorType, String> {
    let [x] = operands(inputs)?;
    let rank = x.rank();
    check_rank("the axis map", axes.len(), rank)?;
    if axes.windows(2).any(|w| w[0] >= w[1]) || axes.iter().any(|&a| a >= shape.len()) {
        return Err(format!("axes {axes:?} must increase and lie inside shape {shape:?}"));
    }
    for (i, &axis) in axes.iter().enumerate() {
        if x.shape[i] != shape[axis] && x.shape[i] != 1 {
            return Err(format!("{x} does not broadcast to {shape:?} along axes {axes:?}"));
        }
    }
    Ok(TensorType::new(x.dtype, shape))
}

pub(super) fn infer_transpose(perm: &[usize], inputs: &[&TensorType]) -> Result<TensorType, String> {
    let [x] = operands(inputs)?;
    let rank = x.rank();
    check_rank("the permutation", perm.len(), rank)?;
    let mut seen = vec![false; rank];
    for &p in perm {
        if p >= rank || std::mem::replace(&mut seen[p], true) {
            return Err(format!("{perm:?} is not a permutation of {rank} axes"));
        }
    }
    let shape: Vec<usize> = perm.iter().map(|&p| x.shape[p]).collect();
    Ok(TensorType::new(x.dtype, shape))
}

pub(super) fn infer_slice(
    start: &[usize],
    stop: &[usize],
    stride: &[usize],
    inputs: &[&TensorType],
) -> Result<TensorType, String> {
    let [x] = operands(inputs)?;
    let rank = x.rank();
    for (what, list) in [("start", start), ("stop", stop), ("stride", stride)] {
        check_rank(what, list.len(), rank)?;
    }
    let mut shape = Vec::with_capacity(rank);
    for i in 0..rank {
        if start[i] > stop[i] || stop[i] > x.shape[i] || stride[i] == 0 {
            return Err(format!("axis {i} of {x} has no slice {}..{} step {}", start[i], stop[i], stride[i]));
        }
        shape.push((stop[i] - start[i]).div_ceil(stride[i]));
    }
    Ok(TensorType::new(x.dtype, shape))
}

pub(super) fn infer_pad(
    low: &[usize],
    high: &[usize],
    interior: &[usize],
    inputs: &[&TensorType],
) -> Result<TensorType, String> {
    let [x] = operands(inputs)?;
    let rank = x.rank();
    for (what, list) in [("low", low), ("high", high), ("interior", interior)] {
        check_rank(what, list.len(), rank)?;
    }
    let shape: Vec<usize> = (0..rank)
        .map(|i| {
            let n = x.shape[i];
            low[i] + n + n.saturating_sub(1) * interior[i] + high[i]
        })
        .collect();
    Ok(TensorType::new(x.dtype, shape))
}

pub(super) fn infer_concat(axis: usize, inputs: &[&TensorType]) -> Result<TensorType, String> {
    let first = inputs.first().ok_or("takes at least one operand")?;
    let rank = first.rank();
    let mut shape = first.shape.clone();
    if axis >= rank {
        return Err(format!("axis {axis} is outside {first}"));
    }
    for other in &inputs[1..] {
        let fits = other.dtype == first.dtype
            && other.rank() == rank
            && (0..rank).all(|i| i == axis || other.shape[i] == first.shape[i]);
        if !fits {
            return Err(format!("{other} cannot follow {first} along axis {axis}"));
        }
        shape[axis] += other.shape[axis];
    }
    Ok(TensorType::new(first.dtype, shape))
}

pub(super) fn infer_reverse(axes: &[usize], inputs: &[&TensorType]) -> Result<TensorType, String> {
    let [x] = operands(inputs)?;
    let rank = x.rank();
    if axes.iter().any(|&a| a >= rank) || axes.windows(2).any(|w| w[0] >= w[1]) {
        return Err(format!("axes {axes:?} must increase and lie inside {x}"));
    }
    Ok(x.clone())
}

/// A linear op: its rule is its transpose, given as a function of the cotangent and the operand's shape.
fn transposed(rule: &mut Rule, transpose: impl FnOnce(&Tensor, &[usize]) -> Tensor) {
    let c = rule.cotangent();
    if !c.dtype().is_float() {
        return rule.no_gradient("discrete operand");
    }
    let shape = rule.input(0).shape();
    rule.give(0, transpose(&c, &shape));
}

pub(super) fn differentiate_reshape(rule: &mut Rule) {
    transposed(rule, |c, shape| c.reshape(shape));
}

pub(super) fn differentiate_broadcast(out: &[usize], axes: &[usize], rule: &mut Rule) {
    transposed(rule, |c, shape| {
        // What was repeated is summed: the axes that the operand lacks, and those where its extent is 1.
        let repeated: Vec<usize> = (0..out.len())
            .filter(|a| axes.iter().position(|x| x == a).is_none_or(|i| shape[i] == 1 && out[*a] != 1))
            .collect();
        c.sum(&repeated).reshape(shape)
    });
}

pub(super) fn differentiate_transpose(perm: &[usize], rule: &mut Rule) {
    let mut inverse = vec![0; perm.len()];
    for (i, &p) in perm.iter().enumerate() {
        inverse[p] = i;
    }
    transposed(rule, |c, _| c.transpose(&inverse));
}

pub(super) fn differentiate_slice(start: &[usize], stride: &[usize], rule: &mut Rule) {
    transposed(rule, |c, shape| {
        let taken = c.shape();
        let interior: Vec<usize> = stride.iter().map(|s| s - 1).collect();
        let high: Vec<usize> = (0..shape.len())
            .map(|i| match taken[i] {
                0 => shape[i] - start[i],
                n => shape[i] - (start[i] + (n - 1) * stride[i] + 1),
            })
            .collect();
        c.pad(start, &high, &interior)
    });
}

pub(super) fn differentiate_pad(low: &[usize], interior: &[usize], rule: &mut Rule) {
    transposed(rule, |c, shape| {
        let stride: Vec<usize> = interior.iter().map(|s| s + 1).collect();
        let stop: Vec<usize> = (0..shape.len())
            .map(|i| match shape[i] {
                0 => low[i],
                n => low[i] + (n - 1) * stride[i] + 1,
            })
            .collect();
        c.slice_strided(low, &stop, &stride)
    });
}

/// Each operand gets its part of the cotangent.
pub(super) fn differentiate_concat(axis: usize, rule: &mut Rule) {
    let c = rule.cotangent();
    if !c.dtype().is_float() {
        return rule.no_gradient("discrete operand");
    }
    let mut offset = 0;
    for i in 0..rule.arity() {
        let extent = rule.input(i).shape()[axis];
        if rule.needs(i) {
            rule.give(i, c.slice(axis, offset, offset + extent));
        }
        offset += extent;
    }
}

pub(super) fn differentiate_reverse(axes: &[usize], rule: &mut Rule) {
    transposed(rule, |c, _| c.reverse(axes));
}

/// Element by element of the result, the operand's element at the flat index that `source` gives, or 0.
fn moved(x: &Array, ty: &TensorType, source: impl Fn(&[usize]) -> Option<usize>) -> Array {
    let mut from = Vec::with_capacity(ty.len());
    for_each_index(&ty.shape, |index| from.push(source(index)));
    Array::new(ty.clone(), x.data.gather_or_zero(from.into_iter()))
}

pub(super) fn evaluate_reshape(x: &Array, ty: &TensorType) -> Array {
    Array::new(ty.clone(), x.data.clone())
}

pub(super) fn evaluate_broadcast(axes: &[usize], x: &Array, ty: &TensorType) -> Array {
    let from = strides(&x.ty.shape);
    moved(x, ty, |index| {
        let at = axes.iter().enumerate().filter(|(i, _)| x.ty.shape[*i] != 1);
        Some(at.map(|(i, &a)| index[a] * from[i]).sum())
    })
}

pub(super) fn evaluate_transpose(perm: &[usize], x: &Array, ty: &TensorType) -> Array {
    let from = strides(&x.ty.shape);
    moved(x, ty, |index| Some(perm.iter().enumerate().map(|(i, &p)| index[i] * from[p]).sum()))
}

pub(super) fn evaluate_slice(start: &[usize], stride: &[usize], x: &Array, ty: &TensorType) -> Array {
    let from = strides(&x.ty.shape);
    moved(x, ty, |index| Some((0..index.len()).map(|i| (start[i] + index[i] * stride[i]) * from[i]).sum()))
}

pub(super) fn evaluate_pad(low: &[usize], interior: &[usize], x: &Array, ty: &TensorType) -> Array {
    let from = strides(&x.ty.shape);
    moved(x, ty, |index| {
        let mut at = 0;
        for i in 0..index.len() {
            let step = interior[i] + 1;
            let d = index[i].checked_sub(low[i])?;
            if d % step != 0 || d / step >= x.ty.shape[i] {
                return None;
            }
            at += d / step * from[i];
        }
        Some(at)
    })
}

pub(super) fn evaluate_reverse(axes: &[usize], x: &Array, ty: &TensorType) -> Array {
    let from = strides(&x.ty.shape);
    moved(x, ty, |index| {
        let flip = |i: usize| if axes.contains(&i) { ty.shape[i] - 1 - index[i] } else { index[i] };
        Some((0..index.len()).map(|i| flip(i) * from[i]).sum())
    })
}

pub(super) fn evaluate_concat(axis: usize, inputs: &[&Array], ty: &TensorType) -> Array {
    let mut parts: Vec<(usize, usize)> = Vec::with_capacity(ty.len());
    for_each_index(&ty.shape, |index| {
        let mut along = index[axis];
        let mut part = 0;
        while along >= inputs[part].ty.shape[axis] {
            along -= inputs[part].ty.shape[axis];
            part += 1;
        }
        let from = strides(&inputs[part].ty.shape);
        let at = (0..index.len()).map(|i| if i == axis { along * from[i] } else { index[i] * from[i] }).sum();
        parts.push((part, at));
    });
    // Elements are fetched part by part through one joined buffer, whatever their type.
    let mut base = Vec::with_capacity(inputs.len());
    let mut total = 0;
    for input in inputs {
        base.push(total);
        total += input.ty.len();
    }
    let joined = join(inputs);
    Array::new(ty.clone(), joined.gather(parts.into_iter().map(|(part, at)| base[part] + at)))
}

fn join(inputs: &[&Array]) -> crate::array::Data {
    use crate::array::Data;
    match &inputs[0].data {
        Data::Float(_) => Data::Float(inputs.iter().flat_map(|a| a.floats().to_vec()).collect()),
        Data::I32(_) => Data::I32(inputs.iter().flat_map(|a| a.i32s().to_vec()).collect()),
        Data::U32(_) => Data::U32(inputs.iter().flat_map(|a| a.u32s().to_vec()).collect()),
        Data::Bool(_) => Data::Bool(inputs.iter().flat_map(|a| a.bools().to_vec()).collect()),
    }
}
