//! Reductions over axes.

use super::operands;
use crate::array::{Array, Data, for_each_index};
use crate::grad::Rule;
use crate::ops::scalar;
use crate::types::{DType, TensorType, strides};

/// How elements are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Sum; 0 over nothing.
    Sum,
    /// Maximum; NaN wins; -infinity (or the smallest integer) over nothing.
    Max,
    /// Minimum; NaN wins; +infinity (or the largest integer) over nothing.
    Min,
}

impl Reduction {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Reduction::Sum => "sum",
            Reduction::Max => "max",
            Reduction::Min => "min",
        }
    }
}

/// The shape left when `axes` are reduced away.
pub fn reduced_shape(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    (0..shape.len()).filter(|i| !axes.contains(i)).map(|i| shape[i]).collect()
}

/// The axes that stay.
fn kept(rank: usize, axes: &[usize]) -> Vec<usize> {
    (0..rank).filter(|i| !axes.contains(i)).collect()
}

/// The operand, whose axes are checked.
fn reducible<'a>(axes: &[usize], inputs: &[&'a TensorType]) -> Result<&'a TensorType, String> {
    let [x] = operands(inputs)?;
    if axes.iter().any(|&a| a >= x.rank()) || axes.windows(2).any(|w| w[0] >= w[1]) {
        return Err(format!("axes {axes:?} must increase and lie inside {x}"));
    }
    Ok(x)
}

pub(super) fn infer_reduce(axes: &[usize], inputs: &[&TensorType]) -> Result<TensorType, String> {
    let x = reducible(axes, inputs)?;
    if x.dtype == DType::Bool {
        return Err("is not defined on bool: convert first".into());
    }
    Ok(TensorType::new(x.dtype, reduced_shape(&x.shape, axes)))
}

pub(super) fn infer_variance(axes: &[usize], inputs: &[&TensorType]) -> Result<TensorType, String> {
    let x = reducible(axes, inputs)?;
    if !x.dtype.is_float() {
        return Err(format!("is not defined on {}", x.dtype));
    }
    if axes.iter().map(|&a| x.shape[a]).product::<usize>() == 0 {
        return Err(format!("{x} has no elements along axes {axes:?}"));
    }
    Ok(TensorType::new(x.dtype, reduced_shape(&x.shape, axes)))
}

pub(super) fn infer_arg_max(axis: usize, inputs: &[&TensorType]) -> Result<TensorType, String> {
    let x = reducible(&[axis], inputs)?;
    if x.shape[axis] == 0 {
        return Err(format!("{x} has no elements along axis {axis}"));
    }
    if x.dtype == DType::Bool {
        return Err("is not defined on bool: convert first".into());
    }
    Ok(TensorType::new(DType::I32, reduced_shape(&x.shape, &[axis])))
}

pub(super) fn differentiate_reduce(kind: Reduction, axes: &[usize], rule: &mut Rule) {
    let x = rule.input(0);
    if !x.dtype().is_float() {
        return rule.no_gradient("discrete operand");
    }
    let shape = x.shape();
    let kept = kept(shape.len(), axes);
    match kind {
        Reduction::Sum => rule.give(0, rule.cotangent().broadcast_axes(&shape, &kept)),
        Reduction::Max | Reduction::Min => {
            // Ties share the cotangent evenly, so that a permutation of equal elements changes nothing.
            let hit = x.eq(&rule.output().broadcast_axes(&shape, &kept)).convert(x.dtype());
            let share = rule.cotangent() / hit.sum(axes);
            rule.give(0, hit * share.broadcast_axes(&shape, &kept));
        }
    }
}

pub(super) fn differentiate_variance(axes: &[usize], rule: &mut Rule) {
    // d mean((x - m)^2) / dx = 2 (x - m) / n: the path through the mean vanishes, as sum(x - m) = 0.
    let x = rule.input(0);
    let shape = x.shape();
    let n: usize = axes.iter().map(|&a| shape[a]).product();
    let kept = kept(shape.len(), axes);
    let centred = &x - x.mean(axes).broadcast_axes(&shape, &kept);
    let c = rule.cotangent() * (2.0 / n as f64);
    rule.give(0, centred * c.broadcast_axes(&shape, &kept));
}

pub(super) fn evaluate_reduce(kind: Reduction, axes: &[usize], x: &Array, ty: &TensorType) -> Array {
    let groups = groups(&x.ty.shape, axes, ty);
    let data = match &x.data {
        Data::Float(v) => Data::Float(
            groups
                .iter()
                .map(|g| {
                    let values = g.iter().map(|&i| v[i]);
                    match kind {
                        // Folded from +0: the iterator's own sum of nothing is -0.
                        Reduction::Sum => values.fold(0.0, |a, b| a + b),
                        Reduction::Max => values.fold(f64::NEG_INFINITY, scalar::maximum),
                        Reduction::Min => values.fold(f64::INFINITY, scalar::minimum),
                    }
                })
                .collect(),
        ),
        Data::I32(v) => Data::I32(
            groups
                .iter()
                .map(|g| {
                    let values = g.iter().map(|&i| v[i]);
                    match kind {
                        Reduction::Sum => values.fold(0, i32::wrapping_add),
                        Reduction::Max => values.max().unwrap_or(i32::MIN),
                        Reduction::Min => values.min().unwrap_or(i32::MAX),
                    }
                })
                .collect(),
        ),
        Data::U32(v) => Data::U32(
            groups
                .iter()
                .map(|g| {
                    let values = g.iter().map(|&i| v[i]);
                    match kind {
                        Reduction::Sum => values.fold(0, u32::wrapping_add),
                        Reduction::Max => values.max().unwrap_or(u32::MIN),
                        Reduction::Min => values.min().unwrap_or(u32::MAX),
                    }
                })
                .collect(),
        ),
        Data::Bool(_) => unreachable!("reductions take no bools"),
    };
    Array::new(ty.clone(), data)
}

pub(super) fn evaluate_variance(axes: &[usize], x: &Array, ty: &TensorType) -> Array {
    let v = x.floats();
    let out: Vec<f64> = groups(&x.ty.shape, axes, ty)
        .iter()
        .map(|g| {
            let n = g.len() as f64;
            let mean = g.iter().map(|&i| v[i]).sum::<f64>() / n;
            g.iter().map(|&i| (v[i] - mean).powi(2)).sum::<f64>() / n
        })
        .collect();
    Array::new(ty.clone(), Data::Float(out))
}

pub(super) fn evaluate_arg_max(axis: usize, x: &Array, ty: &TensorType) -> Array {
    let groups = groups(&x.ty.shape, &[axis], ty);
    let first_best = |beats: &dyn Fn(usize, usize) -> bool| -> Vec<i32> {
        let best = |g: &Vec<usize>| (1..g.len()).fold(0, |b, i| if beats(g[i], g[b]) { i } else { b });
        groups.iter().map(|g| best(g) as i32).collect()
    };
    let out = match &x.data {
        Data::Float(v) => first_best(&|i, b| v[i] > v[b] || (v[i].is_nan() && !v[b].is_nan())),
        Data::I32(v) => first_best(&|i, b| v[i] > v[b]),
        Data::U32(v) => first_best(&|i, b| v[i] > v[b]),
        Data::Bool(_) => unreachable!("reductions take no bools"),
    };
    Array::new(ty.clone(), Data::I32(out))
}

/// For each element of the result, the operand elements that it combines, in row-major order.
fn groups(shape: &[usize], axes: &[usize], ty: &TensorType) -> Vec<Vec<usize>> {
    let mut out = vec![Vec::new(); ty.len()];
    let kept = kept(shape.len(), axes);
    let to = strides(&ty.shape);
    let from = strides(shape);
    for_each_index(shape, |index| {
        let group: usize = kept.iter().enumerate().map(|(k, &axis)| index[axis] * to[k]).sum();
        out[group].push((0..index.len()).map(|i| index[i] * from[i]).sum());
    });
    out
}
