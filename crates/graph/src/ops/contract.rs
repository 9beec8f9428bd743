//! Batched matrix product.

use super::operands;
use crate::array::{Array, Data};
use crate::grad::Rule;
use crate::tensor::Tensor;
use crate::types::{DType, TensorType};

/// Rows, contraction length and columns of a product.
pub(crate) fn extents(a: &[usize], b: &[usize], trans_a: bool, trans_b: bool) -> Result<[usize; 3], String> {
    let (a, b) = (&a[a.len() - 2..], &b[b.len() - 2..]);
    let (m, k) = if trans_a { (a[1], a[0]) } else { (a[0], a[1]) };
    let (k2, n) = if trans_b { (b[1], b[0]) } else { (b[0], b[1]) };
    if k != k2 {
        return Err(format!("the first operand has {k} columns, the second {k2} rows"));
    }
    Ok([m, k, n])
}

pub(super) fn infer(trans_a: bool, trans_b: bool, inputs: &[&TensorType]) -> Result<TensorType, String> {
    let [a, b] = operands(inputs)?;
    if a.rank() < 2 || b.rank() != a.rank() || a.shape[..a.rank() - 2] != b.shape[..b.rank() - 2] {
        return Err(format!("operands need two matrix axes and the same leading axes, got {a} and {b}"));
    }
    if a.dtype != b.dtype || !a.dtype.is_float() {
        return Err(format!("operands must be floats of one type, got {a} and {b}"));
    }
    let [m, _, n] = extents(&a.shape, &b.shape, trans_a, trans_b)?;
    let mut shape = a.shape[..a.rank() - 2].to_vec();
    shape.extend([m, n]);
    Ok(TensorType::new(ACCUMULATOR, shape))
}

/// Type of every contraction's result: products of bf16 operands, which f32 holds exactly, are summed in f32. Who
/// wants the sum in bf16 converts it.
pub(super) const ACCUMULATOR: DType = DType::F32;

/// The cotangent of a contraction, an f32, as an operand beside those of `dtype`.
pub(super) fn cotangent(rule: &Rule, dtype: DType) -> Tensor {
    let c = rule.cotangent();
    if c.dtype() == dtype { c } else { c.convert(dtype) }
}

/// Gives operand `i` its gradient, the result of a contraction, in its own type.
pub(super) fn give(rule: &mut Rule, i: usize, gradient: Tensor) {
    let dtype = rule.input(i).dtype();
    rule.give(i, if gradient.dtype() == dtype { gradient } else { gradient.convert(dtype) });
}

/// C = AB gives dA = dC B^T and dB = A^T dC. With a transposed operand the same product is written in the order
/// that yields the transpose, so that no gradient ever copies a matrix.
pub(super) fn differentiate(trans_a: bool, trans_b: bool, rule: &mut Rule) {
    let (a, b) = (rule.input(0), rule.input(1));
    let c = cotangent(rule, a.dtype());
    let product = |x: &Tensor, tx: bool, y: &Tensor, ty: bool| x.matmul_with(y, tx, ty);
    if rule.needs(0) {
        // A stored as is: dC B^T, else its transpose B dC^T.
        let given = if trans_a { product(&b, trans_b, &c, true) } else { product(&c, false, &b, !trans_b) };
        give(rule, 0, given);
    }
    if rule.needs(1) {
        let given = if trans_b { product(&c, true, &a, trans_a) } else { product(&a, !trans_a, &c, false) };
        give(rule, 1, given);
    }
}

pub(super) fn evaluate(trans_a: bool, trans_b: bool, inputs: &[&Array], ty: &TensorType) -> Array {
    let (a, b) = (inputs[0], inputs[1]);
    let [m, k, n] =
        extents(&a.ty.shape, &b.ty.shape, trans_a, trans_b).unwrap_or_else(|e| unreachable!("{e}"));
    let batch: usize = ty.shape[..ty.rank() - 2].iter().product();
    let (a, b) = (a.floats(), b.floats());
    let mut out = vec![0.0; ty.len()];
    for g in 0..batch {
        let (a, b) = (&a[g * m * k..][..m * k], &b[g * k * n..][..k * n]);
        for i in 0..m {
            for j in 0..n {
                out[(g * m + i) * n + j] = (0..k)
                    .map(|p| {
                        let x = if trans_a { a[p * m + i] } else { a[i * k + p] };
                        let y = if trans_b { b[j * k + p] } else { b[p * n + j] };
                        x * y
                    })
                    .fold(0.0, |a, b| a + b);
            }
        }
    }
    Array::new(ty.clone(), Data::Float(out))
}
