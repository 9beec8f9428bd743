//! Low memory: exactly the same results, from less memory.

mod common;

use common::{Case, random};
use ganymede_cpu::{
    Bf16, Executor, ExecutorOptions, Isa, MemoryMode, Precision, Session, StateStore, Target, plan,
    plan_phases, plan_within,
};
use ganymede_graph::cases::networks;
use ganymede_graph::{Array, ConvOptions, Function, Graph, Role, TensorType, grad};
use std::collections::{BTreeMap, HashMap};

/// Outputs of two runs, the second on what the first committed, and the state then.
type Results = BTreeMap<String, Vec<u32>>;

struct Setting {
    isa: Isa,
    threads: usize,
    precision: Precision,
    memory: MemoryMode,
}

fn run(function: &Function, inputs: &HashMap<String, Array>, setting: &Setting) -> (Results, usize) {
    let options = ExecutorOptions {
        threads: Some(setting.threads),
        isa: Some(setting.isa),
        bf16: Some(Bf16::Everywhere),
        ..ExecutorOptions::default()
    };
    let mut store = StateStore::new();
    for input in function.inputs.iter().filter(|input| input.role == Role::State) {
        store.insert_words(&input.name, input.ty.clone(), &common::to_words(&inputs[&input.name])).unwrap();
    }
    let mut session = Session::new(Executor::new(options).unwrap(), store);
    session.set_precision(setting.precision);
    session.set_memory(setting.memory);
    assert_eq!(session.memory(), setting.memory);
    let phase = session.add_phase("phase", function).unwrap();
    for input in function.inputs.iter().filter(|input| input.role == Role::Feed) {
        let words = common::to_words(&inputs[&input.name]);
        session.feed_words_mut(phase, &input.name).unwrap().copy_from_slice(&words);
    }
    let mut results = Results::new();
    for turn in 0..2 {
        session.poison_scratch();
        let report = session.run(phase).unwrap();
        results.insert(format!("committed {turn}"), vec![u32::from(report.committed)]);
        for (name, _) in &function.outputs {
            results.insert(format!("{name} {turn}"), session.output_words(phase, name).unwrap().to_vec());
        }
    }
    let names: Vec<String> = session.store().names().map(str::to_string).collect();
    for name in names {
        let words = session.store().words(&name).unwrap().to_vec();
        results.insert(format!("slot {name}"), words);
    }
    (results, session.stats(phase).scratch_bytes)
}

/// Both modes on every instruction set, in both precisions and for 1, 2 and 7 threads; whether memory was saved.
fn same_bits(name: &str, function: &Function, inputs: &HashMap<String, Array>) -> bool {
    let mut saved = false;
    for isa in Isa::available() {
        for precision in Precision::ALL {
            let setting = |threads, memory| Setting { isa, threads, precision, memory };
            let (normal, most) = run(function, inputs, &setting(2, MemoryMode::Normal));
            for threads in [1, 2, 7] {
                let (low, least) = run(function, inputs, &setting(threads, MemoryMode::Low));
                assert_eq!(low, normal, "{name} on {}, {precision}, {threads} threads", isa.name());
                assert!(least <= most, "{name}: {least} of {most} bytes");
                saved |= least < most;
            }
        }
    }
    saved
}

#[test]
fn random_graphs_with_gradients_of_two_orders_keep_their_bits() {
    let mut saved = 0;
    for seed in 0..24 {
        let Case { name, function, inputs, .. } = random::graph(seed);
        saved += usize::from(same_bits(&name, &function, &inputs));
    }
    assert!(saved > 12, "memory was saved in {saved} of 24");
}

#[test]
fn networks_and_their_derivatives_keep_their_bits() {
    let programs: Vec<_> = networks::cases().iter().flat_map(|case| case.programs()).collect();
    let saved = programs.iter().filter(|p| same_bits(&p.name, &p.function, &p.inputs)).count();
    assert!(saved * 2 > programs.len(), "memory was saved in {saved} of {}", programs.len());
}

/// Gradients of `layers` convolutions of `batch` images, with an update for each.
fn network(batch: usize, layers: usize) -> Function {
    let g = Graph::new();
    let mut h = g.feed("x", TensorType::f32([batch, 14, 14, 16]));
    let weights: Vec<_> =
        (0..layers).map(|i| g.state(&format!("w{i}"), TensorType::f32([3, 3, 16, 16]))).collect();
    for w in &weights {
        h = h.conv2d(w, ConvOptions::default().pad(1)).tanh();
    }
    let loss = h.square().mean_all();
    g.output("loss", &loss);
    for (i, d) in grad(&loss, &weights.iter().collect::<Vec<_>>()).iter().enumerate() {
        g.update(&format!("w{i}"), &(&weights[i] - d * 0.1));
    }
    g.finish().unwrap()
}

fn low() -> Target {
    Target { memory: MemoryMode::Low, ..Isa::best().into() }
}

#[test]
fn a_deep_network_takes_less_memory_for_at_most_a_third_more_work() {
    let function = network(16, 12);
    let normal = plan(&function, Isa::best().into()).unwrap();
    let least = plan(&function, low()).unwrap();
    assert!(least.scratch_bytes * 2 < normal.scratch_bytes * 3 / 2, "{least:?}");
    // The work that a step is counted by is that of its graph.
    assert_eq!(least.contraction_flops, normal.contraction_flops);
    let convolutions = |stats: &ganymede_cpu::PhaseStats| -> usize {
        let is = |name: &str| name.starts_with("conv") || name.starts_with("winograd");
        stats.kernels.iter().filter(|k| is(&k.0)).map(|k| k.1).sum()
    };
    let (before, after) = (convolutions(&normal), convolutions(&least));
    assert!(before < after && after * 3 <= before * 4, "{before} and {after} convolutions");
    // Beside a phase that takes as much anyway nothing is repeated.
    assert_eq!(convolutions(&plan_within(&function, low(), normal.scratch_bytes).unwrap()), before);
}

#[test]
fn phases_of_a_session_are_planned_together() {
    let functions = [network(16, 10), network(48, 10)];
    let together = plan_phases(&functions, low()).unwrap();
    let alone: Vec<_> = functions.iter().map(|f| plan(f, low()).unwrap()).collect();
    let normal = plan(&functions[0], Isa::best().into()).unwrap();
    assert!(alone[1].scratch_bytes > normal.scratch_bytes);
    assert_eq!(together[0].steps, normal.steps, "the large phase leaves the small one room enough");
    assert_eq!(together[1].scratch_bytes, alone[1].scratch_bytes);
    let mut store = StateStore::new();
    for i in 0..10 {
        store.insert(&format!("w{i}"), TensorType::f32([3, 3, 16, 16]), &[0.1; 9 * 256]).unwrap();
    }
    let executor = Executor::new(ExecutorOptions {
        threads: Some(2),
        isa: Some(Isa::best()),
        ..ExecutorOptions::default()
    })
    .unwrap();
    let mut session = Session::new(executor, store);
    session.set_memory(MemoryMode::Low);
    let [small, large] = functions;
    let ids = session.add_phases(&[("small".into(), small), ("large".into(), large)]).unwrap();
    assert_eq!(session.compile_count(), 2);
    for (id, planned) in ids.iter().zip(&together) {
        assert_eq!(session.stats(*id), planned);
    }
}
