//! The graph's own suite on every instruction set: ops, gradients to order two, networks, goldens, random graphs.

mod common;

use common::{Cpu, Runner};
use ganymede_graph::cases::{self, Case, goldens, networks, random};
use ganymede_graph::{Array, Function};
use std::collections::HashMap;

fn on(cpu: &Cpu) -> impl Fn(&Function, &HashMap<String, Array>) -> Result<HashMap<String, Array>, String> {
    move |function, inputs| Ok(cpu.run(function, inputs).outputs)
}

fn report(cases: &[Case]) {
    let mut failures = Vec::new();
    for cpu in Cpu::all() {
        for program in cases.iter().flat_map(Case::programs) {
            if let Err(e) = program.check(on(&cpu)) {
                failures.push(format!("{}: {e}", cpu.name()));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_op_and_its_gradients() {
    report(&cases::all());
}

#[test]
fn networks_and_whole_losses() {
    report(&networks::cases());
}

#[test]
fn random_graphs() {
    report(&(0..100).map(|seed| random::graph(seed, 24)).collect::<Vec<_>>());
}

#[test]
fn goldens_within_1e_5() {
    for cpu in Cpu::all() {
        for golden in goldens::all() {
            golden.check(1e-5, on(&cpu)).unwrap_or_else(|e| panic!("{}: {e}", cpu.name()));
        }
    }
}

/// One gradient of many, alone: what is left of a pass when its other results are dead.
#[test]
fn gradients_one_at_a_time() {
    let mut failures = Vec::new();
    let cpu = &Cpu::all()[0];
    for seed in 0..60 {
        let case = random::graph(seed, 24);
        let derivatives = cases::gradcheck::derivatives(&case);
        let function = ganymede_graph::passes::optimize(&derivatives.function).unwrap();
        for k in 0..function.outputs.len() {
            let mut one = function.clone();
            one.outputs = vec![function.outputs[k].clone()];
            if one.outputs[0].0 == "L" || one.outputs[0].0 == "S" {
                continue;
            }
            let program = cases::Program {
                name: format!("random graph {seed}, {} alone", one.outputs[0].0),
                function: ganymede_graph::passes::dce::eliminate(one),
                inputs: derivatives.feeds.clone(),
                tolerance: cases::Tolerance::Norm(1e-4),
            };
            failures.extend(program.check(on(cpu)).err());
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
