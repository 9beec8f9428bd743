//! Rewrites of a finished function. Each is near linear, and [`optimize`] verifies after every one and names the
//! pass that broke something.

pub mod cse;
pub mod dce;
pub mod fold;
pub mod mixed;
pub mod rewrite;
pub mod simplify;

use crate::error::GraphError;
use crate::function::Function;

/// A rewrite of a function that keeps its meaning.
pub struct Pass {
    /// Name, for errors and tests.
    pub name: &'static str,
    /// The rewrite.
    pub run: fn(Function) -> Function,
}

/// The passes of [`optimize`], in order.
pub const PASSES: &[Pass] = &[
    Pass { name: "dead-code elimination", run: dce::eliminate },
    Pass { name: "constant folding", run: fold::fold },
    Pass { name: "simplification", run: simplify::simplify },
    Pass { name: "common-subexpression elimination", run: cse::merge },
    Pass { name: "constant folding", run: fold::fold },
    Pass { name: "simplification", run: simplify::simplify },
    Pass { name: "common-subexpression elimination", run: cse::merge },
    Pass { name: "dead-code elimination", run: dce::eliminate },
];

/// Runs all passes.
pub fn optimize(function: &Function) -> Result<Function, GraphError> {
    let mut current = function.clone();
    for pass in PASSES {
        current = (pass.run)(current);
        current.verify().map_err(|e| e.after(pass.name))?;
    }
    Ok(current)
}
