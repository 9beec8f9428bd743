//! Every op on every instruction set against the reference interpreter.

mod common;

use common::{Cpu, cases, check};
use std::collections::HashSet;

#[test]
fn every_op_agrees_with_the_reference() {
    let cases = cases::all();
    let mut failures = Vec::new();
    for cpu in Cpu::all() {
        failures.extend(cases.iter().filter_map(|case| check(case, &cpu).err()));
    }
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn the_cases_name_every_op() {
    let mut seen: HashSet<String> = HashSet::new();
    for case in cases::all() {
        seen.extend(case.function.nodes.iter().map(|n| n.op.name()));
    }
    use ganymede_graph::ops::elementwise::{Binary, Compare, Unary};
    let mut wanted: Vec<String> = Vec::new();
    wanted.extend(Unary::ALL.iter().map(|o| o.name().to_string()));
    wanted.extend(Binary::ALL.iter().map(|o| o.name().to_string()));
    wanted.extend(Compare::ALL.iter().map(|o| o.name().to_string()));
    let others = "input constant iota philox_bits select convert reshape broadcast transpose slice pad concat \
                  reverse reduce_sum reduce_max reduce_min variance argmax matmul conv2d conv2d_input_grad \
                  conv2d_weight_grad window_argmax window_gather window_scatter gather scatter_add argsort \
                  stop_gradient";
    wanted.extend(others.split_whitespace().map(str::to_string));
    for name in wanted {
        assert!(seen.contains(&name), "no case for `{name}`");
    }
}
