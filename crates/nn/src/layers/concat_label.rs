//! Telling a network the class of a sample beside the sample.

use super::labels;
use crate::init::Init;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// Appends the class of each sample to vectors [N, C] or, as planes of one value each, to images [N, H, W, C] (Mirza,
/// Osindero 2014, conditional GAN, section 3.2): 1 for its class and 0 for the others, or with `embedding` a learned
/// vector of that width, from a table `weight` [classes, width] of first values drawn from the given initializer.
#[track_caller]
pub fn concat_label(scope: &Scope, x: &Tensor, embedding: Option<(usize, Init)>) -> Tensor {
    let _in = scope.enter();
    let graph = scope.graph();
    let labels = match labels(scope, "concat_label", x) {
        Ok(labels) => labels,
        Err(poisoned) => return poisoned,
    };
    let shape = x.shape();
    if !(shape.len() == 2 || shape.len() == 4) || !x.dtype().is_float() {
        let message = format!("expected vectors [N, C] or images [N, H, W, C], got {}", x.ty());
        return graph.fail("concat_label", message);
    }
    let (words, vectors) = match embedding {
        None => ("concat_label".to_string(), labels.one_hot()),
        Some((width, init)) => {
            let table = scope.table("weight", [labels.classes, width], init);
            (format!("concat_label {width}"), table.gather(&labels.index, 0))
        }
    };
    if vectors.is_poisoned() {
        return vectors;
    }
    let width = vectors.shape()[1];
    let last = shape.len() - 1;
    let mut planes = shape;
    planes[last] = width;
    let y = Tensor::concat(&[x, &vectors.broadcast_axes(&planes, &[0, last])], last);
    scope.record_layer(&words, &y);
    y
}
