//! Reshaping.

use super::element_count;
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// [N, ..] to [N, F].
#[track_caller]
pub fn flatten(scope: &Scope, x: &Tensor) -> Tensor {
    let _in = scope.enter();
    if x.is_poisoned() {
        return x.clone();
    }
    let shape = x.shape();
    let Some((&n, rest)) = shape.split_first() else {
        return scope.graph().fail("flatten", "expected a batch [N, ..], got a scalar");
    };
    let y = x.reshape(&[n, rest.iter().product()]);
    scope.record_layer("flatten", &y);
    y
}

/// [N, ..] to [N, shape..], with the elements of each sample in the same order.
#[track_caller]
pub fn reshape(scope: &Scope, x: &Tensor, shape: &[usize]) -> Tensor {
    let _in = scope.enter();
    if x.is_poisoned() {
        return x.clone();
    }
    let own = x.shape();
    let Some((&n, rest)) = own.split_first() else {
        return scope.graph().fail("reshape", "expected a batch [N, ..], got a scalar");
    };
    let features: usize = rest.iter().product();
    if element_count(shape) != Some(features) {
        let to = element_count(shape).map_or("more than 2^31".to_string(), |n| n.to_string());
        let message = format!("each sample has {features} values ({rest:?}); {shape:?} would need {to}");
        return scope.graph().fail("reshape", message);
    }
    let mut whole = vec![n];
    whole.extend(shape);
    let y = x.reshape(&whole);
    let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
    scope.record_layer(&format!("reshape {}", extents.join(" ")), &y);
    y
}
