//! The projection discriminator's last layer.

use super::labels;
use crate::init::{FanRule, Init};
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// Logits [N, 1] of features and classes (Miyato, Koyama 2018, cGANs with projection discriminator, equation 4 and
/// figure 1): x `weight` + `bias` + <x, the row of `classes` at the sample's class>. x is vectors [N, F], or images
/// [N, H, W, F] that are summed over their pixels first, as the paper does. `weight` [F, 1] and `classes` [classes, F]
/// are drawn from `init`.
#[track_caller]
pub fn projection(scope: &Scope, x: &Tensor, init: Init) -> Tensor {
    let _in = scope.enter();
    let graph = scope.graph();
    let labels = match labels(scope, "projection", x) {
        Ok(labels) => labels,
        Err(poisoned) => return poisoned,
    };
    let x = match x.shape().len() {
        2 => x.clone(),
        4 => x.sum(&[1, 2]),
        _ => {
            let message = format!("expected vectors [N, F] or images [N, H, W, F], got {}", x.ty());
            return graph.fail("projection", message);
        }
    };
    let features = x.shape()[1];
    let weight = scope.weight("weight", &[features, 1], init, FanRule::Forward);
    let table = scope.table("classes", [labels.classes, features], init);
    let of_class = (&x * table.gather(&labels.index, 0)).sum(&[1]).reshape(&[x.shape()[0], 1]);
    let y = x.matmul(&weight) + scope.param("bias", &[1], Init::Zeros) + of_class;
    scope.record_layer("projection", &y);
    y
}
