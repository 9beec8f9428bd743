//! Ops that move elements without computing.

use super::{Op, operands};
use crate::array::{Array, for_each_index};
use crate::grad::Rule;
use crate::types::{TensorType, strides};

fn check_rank(what: &str, got: usize, rank: usize) -> Result<(), String> {
    if got == rank { Ok(()) } else { Err(format!("{what} lists {got} axes, the operand has {rank}")) }
}

pub(super) fn infer(op: &Op, inputs: &[&TensorType]) -> Result<TensorType, String> {
    let first = inputs.first().ok_or("takes at least one operand")?;
    let rank = first.rank();
    let shape = match op {
        Op::Reshape(shape) => {
            operands::<1>(inputs)?;
            if shape.iter().product::<usize>() != first.len() {
                return Err(format!("{first} has {} elements, shape {shape:?} does not", first.len()));
            }
            shape.clone()
        }
        Op::Broadcast { shape, axes } => {
            operands::<1>(inputs)?;
            check_rank("the axis map", axes.len(), rank)?;
            if axes.windows(2).any(|w| w[0] >= w[1]) || axes.iter().any(|&a| a >= shape.len()) {
                return Err(format!("axes {axes:?} must increase and lie inside shape {shape:?}"));
            }
            for (i, &axis) in axes.iter().enumerate() {
                if first.shape[i] != shape[axis] && first.shape[i] != 1 {
                    return Err(format!("{first} does not broadcast to {shape:?} along axes {axes:?}"));
                }
            }
            shape.clone()
        }
        Op::Transpose(perm) => {
            operands::<1>(inputs)?;
            check_rank("the permutation", perm.len(), rank)?;
            let mut seen = vec![false; rank];
            for &p in perm {
                if p >= rank || std::mem::replace(&mut seen[p], true) {
                    return Err(format!("{perm:?} is not a permutation of {rank} axes"));
                }
            }
            perm.iter().map(|&p| first.shape[p]).collect()
        }
        Op::Slice { start, stop, stride } => {
            operands::<1>(inputs)?;
            for (what, list) in [("start", start), ("stop", stop), ("stride", stride)] {
                check_rank(what, list.len(), rank)?;
            }
            let mut shape = Vec::with_capacity(rank);
            for i in 0..rank {
                if start[i] > stop[i] || stop[i] > first.shape[i] || stride[i] == 0 {
                    return Err(format!(
                        "axis {i} of {first} has no slice {}..{} step {}",
                        start[i], stop[i], stride[i]
                    ));
                }
                shape.push((stop[i] - start[i]).div_ceil(stride[i]));
            }
            shape
        }
        Op::Pad { low, high, interior } => {
            operands::<1>(inputs)?;
            for (what, list) in [("low", low), ("high", high), ("interior", interior)] {
                check_rank(what, list.len(), rank)?;
            }
            (0..rank)
                .map(|i| {
                    let n = first.shape[i];
                    low[i] + n + n.saturating_sub(1) * interior[i] + high[i]
                })
                .collect()
        }
        Op::Concat { axis } => {
            let mut shape = first.shape.clone();
            if *axis >= rank {
                return Err(format!("axis {axis} is outside {first}"));
            }
            for other in &inputs[1..] {
                let fits = other.dtype == first.dtype
                    && other.rank() == rank
                    && (0..rank).all(|i| i == *axis || other.shape[i] == first.shape[i]);
                if !fits {
                    return Err(format!("{other} cannot follow {first} along axis {axis}"));
                }
                shape[*axis] += other.shape[*axis];
            }
            shape
        }
        Op::Reverse(axes) => {
            operands::<1>(inputs)?;
            if axes.iter().any(|&a| a >= rank) || axes.windows(2).any(|w| w[0] >= w[1]) {
                return Err(format!("axes {axes:?} must increase and lie inside {first}"));
            }
            first.shape.clone()
        }
        _ => return Err(format!("`{}` moves no elements", op.name())),
    };
    Ok(TensorType::new(first.dtype, shape))
}

/// Each of these ops is linear; its rule is its transpose.
pub(super) fn differentiate(op: &Op, rule: &mut Rule) {
    let c = rule.cotangent();
    if !c.dtype().is_float() {
        return rule.no_gradient("discrete operand");
    }
    let shape = rule.input(0).shape();
    let given = match op {
        Op::Reshape(_) => c.reshape(&shape),
        Op::Broadcast { shape: out, axes } => {
            // What was repeated is summed: the axes that the operand lacks, and those where its extent is 1.
            let repeated: Vec<usize> = (0..out.len())
                .filter(|a| axes.iter().position(|x| x == a).is_none_or(|i| shape[i] == 1 && out[*a] != 1))
                .collect();
            c.sum(&repeated).reshape(&shape)
        }
        Op::Transpose(perm) => {
            let mut inverse = vec![0; perm.len()];
            for (i, &p) in perm.iter().enumerate() {
                inverse[p] = i;
            }
            c.transpose(&inverse)
        }
        Op::Slice { start, stop: _, stride } => {
            let taken = c.shape();
            let interior: Vec<usize> = stride.iter().map(|s| s - 1).collect();
            let high: Vec<usize> = (0..shape.len())
                .map(|i| match taken[i] {
                    0 => shape[i] - start[i],
                    n => shape[i] - (start[i] + (n - 1) * stride[i] + 1),
                })
                .collect();
            c.pad(start, &high, &interior)
        }
        Op::Pad { low, high: _, interior } => {
            let stride: Vec<usize> = interior.iter().map(|s| s + 1).collect();
            let stop: Vec<usize> = (0..shape.len())
                .map(|i| match shape[i] {
                    0 => low[i],
                    n => low[i] + (n - 1) * stride[i] + 1,
                })
                .collect();
            c.slice_strided(low, &stop, &stride)
        }
        Op::Concat { axis } => {
            let mut offset = 0;
            for i in 0..rule.arity() {
                let extent = rule.input(i).shape()[*axis];
                if rule.needs(i) {
                    rule.give(i, c.slice(*axis, offset, offset + extent));
                }
                offset += extent;
            }
            return;
        }
        Op::Reverse(axes) => c.reverse(axes),
        _ => unreachable!("`{}` moves no elements", op.name()),
    };
    rule.give(0, given);
}

pub(super) fn evaluate(op: &Op, inputs: &[&Array], ty: &TensorType) -> Array {
    let x = inputs[0];
    let from = strides(&x.ty.shape);
    let mut source: Vec<Option<usize>> = Vec::with_capacity(ty.len());
    match op {
        Op::Reshape(_) => return Array::new(ty.clone(), x.data.clone()),
        Op::Broadcast { axes, .. } => for_each_index(&ty.shape, |index| {
            let at = axes.iter().enumerate().filter(|(i, _)| x.ty.shape[*i] != 1);
            source.push(Some(at.map(|(i, &a)| index[a] * from[i]).sum()));
        }),
        Op::Transpose(perm) => for_each_index(&ty.shape, |index| {
            source.push(Some(perm.iter().enumerate().map(|(i, &p)| index[i] * from[p]).sum()));
        }),
        Op::Slice { start, stride, .. } => for_each_index(&ty.shape, |index| {
            source.push(Some((0..index.len()).map(|i| (start[i] + index[i] * stride[i]) * from[i]).sum()));
        }),
        Op::Pad { low, interior, .. } => for_each_index(&ty.shape, |index| {
            let mut at = Some(0);
            for i in 0..index.len() {
                let step = interior[i] + 1;
                at = match index[i].checked_sub(low[i]) {
                    Some(d) if d % step == 0 && d / step < x.ty.shape[i] => {
                        at.map(|a| a + d / step * from[i])
                    }
                    _ => None,
                };
            }
            source.push(at);
        }),
        Op::Reverse(axes) => for_each_index(&ty.shape, |index| {
            let flip = |i: usize| if axes.contains(&i) { ty.shape[i] - 1 - index[i] } else { index[i] };
            source.push(Some((0..index.len()).map(|i| flip(i) * from[i]).sum()));
        }),
        Op::Concat { axis } => return concat(inputs, *axis, ty),
        _ => unreachable!("`{}` moves no elements", op.name()),
    }
    Array::new(ty.clone(), x.data.gather_or_zero(source.into_iter()))
}

fn concat(inputs: &[&Array], axis: usize, ty: &TensorType) -> Array {
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
