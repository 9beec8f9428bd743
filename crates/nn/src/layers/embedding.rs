//! Class embeddings.

use crate::init::Init;
use crate::scope::Scope;
use ganymede_graph::{DType, Tensor};

/// Rows of a learned table `weight` [count, width] at `index` `[N]` (i32): [N, width]. An index outside the table is
/// clamped into it; check labels where they are read.
#[track_caller]
pub fn embedding(scope: &Scope, index: &Tensor, count: usize, width: usize, init: Init) -> Tensor {
    let _in = scope.enter();
    if index.is_poisoned() {
        return index.clone();
    }
    if index.dtype() != DType::I32 || index.shape().len() != 1 {
        return scope.graph().fail("embedding", format!("expected class numbers i32[N], got {}", index.ty()));
    }
    let table = scope.table("weight", [count, width], init);
    let y = table.gather(index, 0);
    scope.record_layer(&format!("embedding {count} x {width}"), &y);
    y
}
