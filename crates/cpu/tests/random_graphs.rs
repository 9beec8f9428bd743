//! Random graphs with gradients on every instruction set against the reference interpreter.

mod common;

use common::{Cpu, check, random};

const GRAPHS: u64 = 200;

#[test]
fn random_graphs_agree_with_the_reference() {
    let cpus = Cpu::all();
    let mut failures = Vec::new();
    for seed in 0..GRAPHS {
        let case = random::graph(seed);
        failures.extend(cpus.iter().filter_map(|cpu| check(&case, cpu).err()));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
