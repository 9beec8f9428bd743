use super::{Common, Context, GeneratorContext, Regularizer};
use crate::networks::Side;
use ganymede_graph::Tensor;

/// Keeps the filters of every layer apart from each other, but not to unit length.
pub struct Orthogonal;

/// beta sum over weights |W^T W o (1 - I)|^2, with the columns of W along the last axis of a weight: the filters of a layer,
/// and of a transposed convolution those of the convolution it transposes. A single one has nothing to be kept apart from.
///
/// The diagonal of W^T W holds the squared lengths l_j^2 of the filters, so that the term is |W^T W|^2 - sum l_j^4. And
/// |W^T W|^2 = tr(W^T W W^T W) = tr(W W^T W W^T) = |W W^T|^2: the smaller of the two products will do. Of a dense layer from
/// 64 latents to 6,272 values that is one of 64 x 64 in place of 6,272 x 6,272.
fn off_diagonal(common: &Common<'_>) -> Option<Tensor> {
    let mut sum: Option<Tensor> = None;
    for (_, weight) in common.weights {
        let shape = weight.shape();
        let (Some(&filters), true) = (shape.last(), shape.len() >= 2) else { continue };
        if filters < 2 {
            continue;
        }
        let rows = shape.iter().product::<usize>() / filters;
        let matrix = weight.reshape(&[rows, filters]);
        let products = if rows < filters {
            matrix.matmul_with(&matrix, false, true)
        } else {
            matrix.matmul_with(&matrix, true, false)
        };
        let lengths = matrix.square().sum(&[0]);
        let term = products.square().sum_all() - lengths.square().sum_all();
        sum = Some(match sum {
            Some(sum) => sum + term,
            None => term,
        });
    }
    sum.map(|sum| sum * common.strength)
}

impl Regularizer for Orthogonal {
    fn name(&self) -> &'static str {
        "orthogonal"
    }
    fn about(&self) -> &'static str {
        "strength times the squared products of different columns of a weight; for the generator, unless network says else"
    }
    fn paper(&self) -> &'static str {
        "Brock, Donahue, Simonyan 2019 (BigGAN), equation 3"
    }
    fn default_strength(&self) -> f64 {
        1e-4
    }
    fn sides(&self) -> &'static [Side] {
        &[Side::Generator, Side::Discriminator]
    }
    fn penalty(&self, context: &Context<'_>) -> Option<Tensor> {
        off_diagonal(&context.common)
    }
    fn generator_penalty(&self, context: &GeneratorContext<'_>) -> Option<Tensor> {
        off_diagonal(&context.common)
    }
}
