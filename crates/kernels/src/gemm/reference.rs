//! The scalar twin.

use super::MatMulShape;

/// The product in f64, by definition: three plain loops. Returns, for each word of C, the sum of the products
/// and the sum of their magnitudes, which scales the error bound of any order of summation.
///
/// # Panics
/// If the operands' lengths are not those of [`MatMulShape::words`].
pub fn reference(shape: &MatMulShape, a: &[f32], b: &[f32]) -> Vec<(f64, f64)> {
    let [a_words, b_words, c_words] = shape.words();
    assert_eq!((a.len(), b.len()), (a_words, b_words), "operand lengths");
    let MatMulShape { batch, m, n, k, trans_a, trans_b, a_batched, b_batched } = *shape;
    let mut c = Vec::with_capacity(c_words);
    for z in 0..batch {
        let a = &a[if a_batched { z * m * k } else { 0 }..];
        let b = &b[if b_batched { z * k * n } else { 0 }..];
        for i in 0..m {
            for j in 0..n {
                let (mut sum, mut magnitude) = (0.0f64, 0.0f64);
                for p in 0..k {
                    let x = a[if trans_a { p * m + i } else { i * k + p }];
                    let y = b[if trans_b { j * k + p } else { p * n + j }];
                    let product = f64::from(x) * f64::from(y);
                    sum += product;
                    magnitude += product.abs();
                }
                c.push((sum, magnitude));
            }
        }
    }
    c
}
