//! A classifier that shares a discriminator's layers.

use super::labels;
use crate::init::{FanRule, Init};
use crate::scope::Scope;
use ganymede_graph::Tensor;

/// Guesses the class of each sample from what the discriminator has made of it so far (Odena, Olah, Shlens 2017,
/// AC-GAN, section 3): the logits are x, flattened, times `weight` [F, classes] + `bias`, and
/// [`Scope::expose_class_logits`] hands them on. Returns x as it was.
#[track_caller]
pub fn classifier(scope: &Scope, x: &Tensor, init: Init) -> Tensor {
    let _in = scope.enter();
    let labels = match labels(scope, "classify", x) {
        Ok(labels) => labels,
        Err(poisoned) => return poisoned,
    };
    if x.shape().len() < 2 || !x.dtype().is_float() {
        return scope.graph().fail("classify", format!("expected features [N, ..], got {}", x.ty()));
    }
    let (samples, features) = (x.shape()[0], x.shape()[1..].iter().product());
    let weight = scope.weight("weight", &[features, labels.classes], init, FanRule::Forward);
    let logits = x.reshape(&[samples, features]).matmul(&weight);
    scope.expose_class_logits(&(logits + scope.param("bias", &[labels.classes], Init::Zeros)));
    scope.record_layer(&format!("classify {}", labels.classes), x);
    x.clone()
}
