//! Dropout.

use crate::scope::Scope;
use ganymede_graph::Tensor;

/// Dropout (Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014): in training each element is zero with
/// probability `rate` and else scaled by 1 / (1 - rate), so that the mean stays; elsewhere the identity. Draws from
/// the mode's random source, each sample by its global index.
#[track_caller]
pub fn dropout(scope: &Scope, x: &Tensor, rate: f64) -> Tensor {
    let _in = scope.enter();
    let graph = scope.graph();
    if x.is_poisoned() {
        return x.clone();
    }
    if !(0.0..1.0).contains(&rate) {
        return graph.fail("dropout", format!("the rate must be at least 0 and below 1, got {rate}"));
    }
    if !x.dtype().is_float() || x.shape().is_empty() {
        return graph.fail("dropout", format!("expected a float tensor with a batch axis, got {}", x.ty()));
    }
    let y = if scope.mode().training && rate > 0.0 {
        let Some(random) = &scope.mode().random else {
            return graph.fail("dropout", "needs a random source in training: build with Mode::with_random");
        };
        let u = random.uniform(graph, scope.path(), &x.shape());
        let kept = u.ge(&u.full_like(rate));
        x * kept.select(&x.full_like(1.0 / (1.0 - rate)), &x.zeros_like())
    } else {
        x.clone()
    };
    scope.record_layer(&format!("dropout {rate}"), &y);
    y
}
