//! The suite run on the reference interpreter itself: every case builds, verifies, keeps its meaning under the passes
//! and has the gradients that differences show.

use ganymede_graph::cases::{self, Case, Smoothness, gradcheck};
use ganymede_graph::{Array, Function, Precision, interpret, passes};
use std::collections::{BTreeSet, HashMap};

fn optimized(function: &Function, inputs: &HashMap<String, Array>) -> Result<HashMap<String, Array>, String> {
    let function = passes::optimize(function).map_err(|e| e.to_string())?;
    interpret(&function, inputs, Precision::F32).map(|o| o.outputs).map_err(|e| e.to_string())
}

fn report(failures: Vec<String>) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn names_are_unique() {
    let mut seen = BTreeSet::new();
    for case in cases::all() {
        assert!(seen.insert(case.name.clone()), "two cases are named `{}`", case.name);
    }
}

#[test]
fn passes_keep_every_case() {
    let failures: Vec<String> = cases::all()
        .iter()
        .flat_map(Case::programs)
        .filter_map(|program| program.check(optimized).err())
        .collect();
    report(failures);
}

#[test]
fn gradients_of_every_op_to_order_two() {
    let cases = cases::all();
    let checked = cases.iter().filter(|c| c.smoothness != Smoothness::Unchecked);
    report(checked.filter_map(|case| gradcheck::check(case, 3, 1e-7).err()).collect());
}
