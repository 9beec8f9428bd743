//! Phases over state: commits, gates, hazards, thread counts, errors.

mod common;

use common::{Cpu, random, to_words};
use ganymede_cpu::{CpuError, Executor, ExecutorOptions, Isa, PhaseId, Session, StateStore, plan};
use ganymede_graph::{Array, DType, Function, Graph, Tensor, TensorType, grad};
use std::collections::HashMap;
use std::sync::Arc;

fn executor() -> Arc<Executor> {
    Executor::new(ExecutorOptions { threads: Some(2), ..ExecutorOptions::default() }).unwrap()
}

/// A store of f32 slots.
fn store(slots: &[(&str, &[usize], Vec<f32>)]) -> StateStore {
    let mut store = StateStore::new();
    for (name, shape, values) in slots {
        store.insert(name, TensorType::f32(*shape), values).unwrap();
    }
    store
}

fn one_phase(store: StateStore, g: &Graph) -> (Session, PhaseId) {
    let mut session = Session::new(executor(), store);
    let phase = session.add_phase("phase", &g.finish().unwrap()).unwrap();
    session.poison_scratch();
    (session, phase)
}

fn ramp(n: usize, from: f32) -> Vec<f32> {
    (0..n).map(|i| from + i as f32 * 0.25).collect()
}

fn vector(g: &Graph, name: &str, n: usize) -> Tensor {
    g.state(name, TensorType::f32([n]))
}

#[test]
fn slots_are_added_in_place() {
    let mut store = StateStore::new();
    store.reserve([3, 1 << 20, 3]).unwrap();
    store.insert_zeros("a", TensorType::f32([3])).unwrap().copy_from_slice(&[1.0, 2.0, 3.0]);
    assert!(store.insert_zeros("large", TensorType::f32([1 << 20])).unwrap().iter().all(|v| *v == 0.0));
    store.insert_copy("b", TensorType::f32([3, 1]), "a").unwrap();
    // Beyond what was reserved all of it moves.
    store.insert_zeros("more", TensorType::f32([1 << 20])).unwrap().fill(4.0);
    assert_eq!((store.f32s("a"), store.f32s("b")), (Some(&[1.0, 2.0, 3.0][..]), Some(&[1.0, 2.0, 3.0][..])));
    assert!(store.insert_copy("c", TensorType::f32([3]), "lost").is_err());
    assert!(store.insert_copy("c", TensorType::f32([4]), "a").is_err());
    assert!(store.insert_zeros("a", TensorType::f32([3])).is_err());
    assert!(store.insert_zeros("i", TensorType::new(DType::I32, [3])).is_err());
    assert_eq!(store.len(), 4);
}

#[test]
fn two_slots_can_be_exchanged() {
    let n = 1000;
    let g = Graph::new();
    let (a, b) = (vector(&g, "a", n), vector(&g, "b", n));
    g.update("a", &b);
    g.update("b", &a);
    let (mut session, phase) = one_phase(store(&[("a", &[n], ramp(n, 0.0)), ("b", &[n], ramp(n, 5.0))]), &g);
    assert!(session.run(phase).unwrap().committed);
    assert_eq!(session.store().f32s("a").unwrap(), ramp(n, 5.0));
    assert_eq!(session.store().f32s("b").unwrap(), ramp(n, 0.0));
}

#[test]
fn updates_read_old_values_whatever_the_order() {
    let n = 700;
    for order in [["w", "m"], ["m", "w"]] {
        let g = Graph::new();
        let (w, m) = (vector(&g, "w", n), vector(&g, "m", n));
        let new = |name: &str| if name == "w" { &w - &m } else { &m * 0.5 + &w };
        for name in order {
            g.update(name, &new(name));
        }
        let slots = [("w", &[n][..], ramp(n, 0.0)), ("m", &[n][..], ramp(n, 8.0))];
        let (mut session, phase) = one_phase(store(&slots), &g);
        session.run(phase).unwrap();
        for i in 0..n {
            let (w, m) = (ramp(n, 0.0)[i], ramp(n, 8.0)[i]);
            assert_eq!(session.store().f32s("w").unwrap()[i], w - m);
            assert_eq!(session.store().f32s("m").unwrap()[i], m * 0.5 + w);
        }
    }
}

#[test]
fn a_slot_read_in_another_order_is_read_before_it_is_written() {
    let g = Graph::new();
    let w = g.state("w", TensorType::f32([30, 30]));
    g.state("t", TensorType::f32([30, 30]));
    let step = g.state("step", TensorType::f32([]));
    g.update("w", &(w.transpose(&[1, 0]) + &w));
    g.update("t", &w.reverse(&[0]));
    // A scalar that others read is written too.
    g.update("step", &(&step + 1.0));
    let u = g.state("u", TensorType::f32([900]));
    g.update("u", &(u * step.broadcast_to(&[900]) + w.reshape(&[900])));
    let values = ramp(900, -3.0);
    let slots = [
        ("w", &[30, 30][..], values.clone()),
        ("t", &[30, 30][..], vec![0.0; 900]),
        ("step", &[][..], vec![4.0]),
        ("u", &[900][..], ramp(900, 1.0)),
    ];
    let (mut session, phase) = one_phase(store(&slots), &g);
    session.run(phase).unwrap();
    let get = |name: &str| session.store().f32s(name).unwrap();
    assert_eq!(get("step"), [5.0]);
    for r in 0..30 {
        for c in 0..30 {
            assert_eq!(get("w")[r * 30 + c], values[c * 30 + r] + values[r * 30 + c]);
            assert_eq!(get("t")[r * 30 + c], values[(29 - r) * 30 + c]);
            let i = r * 30 + c;
            assert_eq!(get("u")[i], ramp(900, 1.0)[i] * 4.0 + values[i]);
        }
    }
}

/// Adam with an average of the weights on several parameters, gated by a feed.
fn adam() -> (Function, StateStore) {
    let g = Graph::new();
    let x = g.feed("x", TensorType::f32([4, 6]));
    let mut list = StateStore::new();
    let shapes: [(&str, &[usize]); 3] = [("w0", &[6, 40]), ("w1", &[40, 40]), ("w2", &[40, 1])];
    let mut y = x;
    let mut weights = Vec::new();
    for (k, (name, shape)) in shapes.iter().enumerate() {
        let ty = TensorType::f32(*shape);
        for (s, suffix) in ["", "/m", "/v", "/ema"].iter().enumerate() {
            let values: Vec<f32> = (0..ty.len()).map(|i| ((i * 7 + k + s) % 13) as f32 * 0.01).collect();
            list.insert(&format!("{name}{suffix}"), ty.clone(), &values).unwrap();
        }
        let w = g.state(name, ty);
        y = y.matmul(&w).leaky_relu(0.2);
        weights.push(w);
    }
    let loss = y.softplus().mean_all();
    // Products of the betas, kept as scalar state that the commit writes too.
    let product = |list: &mut StateStore, name: &str, beta: f64| {
        list.insert(name, TensorType::f32([]), &[1.0]).unwrap();
        let new = g.state(name, TensorType::f32([])) * beta;
        g.update(name, &new);
        1.0 - new
    };
    let size = product(&mut list, "b2", 0.99).sqrt() / product(&mut list, "b1", 0.9) * 0.01;
    let gradients = grad(&loss, &weights.iter().collect::<Vec<_>>());
    for (((name, _), w), dw) in shapes.iter().zip(&weights).zip(&gradients) {
        let slot = |suffix: &str| g.state(&format!("{name}{suffix}"), w.ty());
        let m = slot("/m") * 0.9 + dw * 0.1;
        let v = slot("/v") * 0.99 + dw.square() * 0.01;
        let new = w - &m / (v.sqrt() + 1e-8) * &size;
        g.update(&format!("{name}/ema"), &(slot("/ema") * 0.95 + &new * 0.05));
        g.update(name, &new);
        g.update(&format!("{name}/m"), &m);
        g.update(&format!("{name}/v"), &v);
        g.commit_when(&dw.all_finite());
    }
    g.output("loss", &loss);
    (g.finish().unwrap(), list)
}

#[test]
fn an_optimizer_is_one_pass_in_place() {
    let (function, _) = adam();
    let stats = plan(&function, Isa::best().into()).unwrap();
    let count = |name: &str| stats.kernels.iter().find(|k| k.0 == name).map_or(0, |k| k.1);
    assert_eq!(count("pass.multi"), 1, "{stats:?}");
    // Scratch holds activations and gradients, no new weights or moments: those would be 4 x 1880 words more.
    assert!(stats.scratch_bytes < 4 * 1880 * 4, "{stats:?}");
}

#[test]
fn a_non_finite_step_changes_no_slot() {
    let (function, list) = adam();
    let mut session = Session::new(executor(), list);
    let phase = session.add_phase("step", &function).unwrap();
    let all = |session: &Session| -> Vec<Vec<u32>> {
        session.store().names().map(|n| session.store().words(n).unwrap().to_vec()).collect()
    };
    let before = all(&session);
    session.feed_mut(phase, "x").unwrap().fill(0.5);
    session.feed_mut(phase, "x").unwrap()[7] = f32::NAN;
    assert!(!session.run(phase).unwrap().committed);
    assert!(session.output(phase, "loss").unwrap()[0].is_nan());
    assert_eq!(all(&session), before);
    session.feed_mut(phase, "x").unwrap()[7] = 0.5;
    assert!(session.run(phase).unwrap().committed);
    let after = all(&session);
    assert!(after.iter().zip(&before).all(|(a, b)| a != b), "every slot moves");
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for isa in Isa::available() {
        for seed in 0..25 {
            let case = random::graph(seed);
            let mut reference: Option<HashMap<String, Vec<u32>>> = None;
            for threads in [1, 2, 3, 7] {
                let cpu = Cpu::new(isa, threads);
                let got = common::Runner::run(&cpu, &case.function, &case.inputs);
                let words = got.outputs.iter().chain(&got.updates);
                let words: HashMap<String, Vec<u32>> =
                    words.map(|(name, array)| (name.clone(), to_words(array))).collect();
                match &reference {
                    Some(first) => assert_eq!(*first, words, "{} on {threads} threads", case.name),
                    None => reference = Some(words),
                }
            }
        }
    }
}

#[test]
fn outputs_may_be_inputs_views_and_shared() {
    let g = Graph::new();
    let w = g.state("w", TensorType::f32([4, 6]));
    let x = g.feed("x", TensorType::new(DType::I32, [3]));
    let y = (&w * 2.0).tanh();
    g.output("slot", &w);
    g.output("feed", &x);
    g.output("y", &y);
    g.output("y again", &y);
    g.output("y flat", &y.reshape(&[24]));
    g.output("y rows", &y.slice(0, 1, 3));
    g.output("y turned", &y.transpose(&[1, 0]));
    g.output("nothing", &y.slice(0, 2, 2));
    g.update("w", &(&w + 1.0));
    let values = ramp(24, -2.0);
    let (mut session, phase) = one_phase(store(&[("w", &[4, 6], values.clone())]), &g);
    session.feed_words_mut(phase, "x").unwrap().copy_from_slice(&[3, u32::MAX, 5]);
    session.run(phase).unwrap();
    let get = |name: &str| session.output(phase, name).unwrap();
    assert_eq!(get("slot"), values, "an output is the value before the commit");
    assert_eq!(session.store().f32s("w").unwrap(), ramp(24, -1.0));
    assert_eq!(session.output_words(phase, "feed").unwrap(), [3, u32::MAX, 5]);
    assert!(session.output(phase, "feed").is_none(), "integers are no floats");
    for (i, &v) in values.iter().enumerate() {
        assert!((get("y")[i] - (v * 2.0).tanh()).abs() < 1e-6);
    }
    assert_eq!(get("y"), get("y again"));
    assert_eq!(get("y"), get("y flat"));
    assert_eq!(get("y")[6..18], *get("y rows"));
    assert_eq!(get("y")[9], get("y turned")[3 * 4 + 1]);
    assert!(get("nothing").is_empty());
}

#[test]
fn phases_share_state_and_scratch() {
    let mut session = Session::new(executor(), store(&[("w", &[500], ramp(500, 0.0))]));
    let phase = |factor: f64, rows: usize| {
        let g = Graph::new();
        let w = vector(&g, "w", 500);
        let big = w.broadcast_to(&[rows, 500]).exp();
        g.output("sum", &(big.sum(&[0]) * 0.5).log1p());
        g.update("w", &(&w * factor));
        g.finish().unwrap()
    };
    let first = session.add_phase("first", &phase(2.0, 3)).unwrap();
    let second = session.add_phase("second", &phase(-1.0, 300)).unwrap();
    // A slot added later must not disturb the phases.
    session.store_mut().insert("late", TensorType::f32([3000]), &ramp(3000, 0.0)).unwrap();
    session.poison_scratch();
    session.run(first).unwrap();
    session.run(second).unwrap();
    session.run(first).unwrap();
    let expected: Vec<f32> = ramp(500, 0.0).iter().map(|w| w * -4.0).collect();
    assert_eq!(session.store().f32s("w").unwrap(), expected);
    assert_eq!(session.store().f32s("late").unwrap(), ramp(3000, 0.0));
    assert_eq!(session.compile_count(), 2);
    assert_eq!(session.phase("second"), Some(second));
    let scratch = session.stats(first).scratch_bytes.max(session.stats(second).scratch_bytes);
    assert!(session.memory_bytes() >= session.store().total_bytes() + scratch);
}

#[test]
fn of_several_phases_all_are_added_or_none() {
    let n = 100;
    let step = |slot: &str, outer: usize| {
        let g = Graph::new();
        let w = vector(&g, slot, n);
        // Squares summed over an outer product: the arena grows with `outer`.
        let x = w.reshape(&[1, n]) * g.feed("x", TensorType::f32([outer, 1]));
        g.output("sum", &x.matmul(&w.reshape(&[n, 1])));
        g.finish().unwrap()
    };
    let mut session = Session::new(executor(), store(&[("w", &[n], ramp(n, 0.0))]));
    let first = session.add_phase("first", &step("w", 8)).unwrap();
    session.feed_mut(first, "x").unwrap().fill(2.0);
    session.run(first).unwrap();
    let (before, bytes) = (session.output(first, "sum").unwrap().to_vec(), session.memory_bytes());
    // The second of them lacks its state, which is found after the first was compiled and needs a larger arena.
    let pair = [("large".to_string(), step("w", 4096)), ("lost".to_string(), step("v", 8))];
    assert!(matches!(session.add_phases(&pair), Err(CpuError::State { phase, .. }) if phase == "lost"));
    assert_eq!((session.phase("large"), session.phase("lost")), (None, None));
    assert_eq!((session.compile_count(), session.memory_bytes()), (1, bytes));
    session.run(first).unwrap();
    assert_eq!(session.output(first, "sum").unwrap(), before);
    let [large, small] = session.add_phases(&[pair[0].clone(), ("small".into(), step("w", 8))]).unwrap()[..]
    else {
        panic!("two phases")
    };
    session.feed_mut(large, "x").unwrap().fill(2.0);
    assert!(session.run(large).unwrap().committed && session.run(small).unwrap().committed);
    assert_eq!(session.output(large, "sum").unwrap()[..8], before[..]);
    assert_eq!(session.compile_count(), 3);
}

#[test]
fn profiles_name_every_call() {
    let (function, list) = adam();
    let mut session = Session::new(executor(), list);
    session.set_profiling(true);
    let phase = session.add_phase("step", &function).unwrap();
    session.run(phase).unwrap();
    let profile = session.profile(phase);
    assert_eq!(profile.len(), session.stats(phase).steps);
    assert!(profile.iter().all(|e| !e.label.is_empty()));
    let contractions: u64 = profile.iter().filter(|e| e.kernel.starts_with("matmul")).map(|e| e.flops).sum();
    // The product of the logits' cotangent [4, 1] and the last weights [1, 40] is elementwise.
    assert_eq!(contractions + 2 * 4 * 40, session.stats(phase).contraction_flops);
    session.set_profiling(false);
    assert!(session.profile(phase).is_empty());
}

#[test]
fn errors_say_what_is_wrong() {
    let none = Executor::new(ExecutorOptions { threads: Some(0), ..ExecutorOptions::default() }).unwrap_err();
    assert!(none.to_string().contains("at least 1 thread"), "{none}");

    let (function, _) = adam();
    let mut session = Session::new(executor(), store(&[("w0", &[6, 41], vec![0.0; 246])]));
    let missing = session.add_phase("step", &function).unwrap_err();
    let text = missing.to_string();
    assert!(matches!(missing, CpuError::State { .. }));
    assert!(text.contains("`w0`: expected f32[6, 40], the store has f32[6, 41]"), "{text}");
    assert!(text.contains("`w2/ema`: expected f32[40, 1], it is missing"), "{text}");

    let (function, list) = adam();
    let mut session = Session::new(executor(), list);
    let phase = session.add_phase("step", &function).unwrap();
    let unknown = session.feed_mut(phase, "y").unwrap_err().to_string();
    assert!(unknown.contains("feed `y` does not exist in phase `step`; there is x"), "{unknown}");
    assert!(session.output(phase, "nothing").is_none());

    let mut list = store(&[("w", &[2], vec![1.0, 2.0])]);
    let twice = list.insert("w", TensorType::f32([2]), &[0.0; 2]).unwrap_err().to_string();
    assert!(twice.contains("`w` exists already as f32[2]"), "{twice}");
    let short = list.insert("v", TensorType::f32([3]), &[0.0; 2]).unwrap_err().to_string();
    assert!(short.contains("expected 3 words of f32[3], got 2 words"), "{short}");
    let kind = list.insert("k", TensorType::new(DType::U32, [1]), &[0.0]).unwrap_err().to_string();
    assert!(kind.contains("expected a float type, got u32[1]"), "{kind}");
    assert!(list.set_words("nope", &[]).unwrap_err().to_string().contains("there is w"));
    assert!(list.set_words("w", &[1]).is_err());
    list.set_words("w", &[1.5f32.to_bits(), 0]).unwrap();
    assert_eq!(list.f32s("w").unwrap(), [1.5, 0.0]);
    assert_eq!((list.len(), list.total_bytes(), list.contains("v")), (1, 8, false));
}

#[test]
fn integer_state_is_updated() {
    let g = Graph::new();
    let ty = TensorType::new(DType::U32, [2]);
    let key = g.state("key", ty.clone());
    g.update("key", &(&key + key.full_like(1.0)));
    let mut list = StateStore::new();
    list.insert_words("key", ty, &[u32::MAX, 6]).unwrap();
    let (mut session, phase) = one_phase(list, &g);
    session.run(phase).unwrap();
    assert_eq!(session.store().words("key").unwrap(), [0, 7]);
    assert!(session.store().f32s("key").is_none());
}

#[test]
fn twenty_thousand_nodes_compile_fast() {
    let g = Graph::new();
    let w = g.state("w", TensorType::f32([64, 64]));
    let mut x = g.feed("x", TensorType::f32([8, 64]));
    while g.node_count() < 12_000 {
        let y = x.matmul(&w).tanh();
        x = (&x * 0.9 + y * 0.1).leaky_relu(0.2) - x.mean(&[1]).reshape(&[8, 1]);
    }
    let loss = x.square().mean_all();
    let dw = &grad(&loss, &[&w])[0];
    g.update("w", &(&w - dw));
    let function = g.finish().unwrap();
    assert!(function.nodes.len() > 20_000, "{}", function.nodes.len());
    // Time of this thread's processor, which other tests take none of.
    let began = cpu_time::ThreadTime::now();
    let stats = plan(&function, Isa::best().into()).unwrap();
    let took = began.elapsed();
    assert!(stats.steps > 1000);
    // Half a second is the aim; the bound leaves room for caches and memory that others use.
    assert!(took.as_secs_f64() < 1.0, "{took:?}");
    println!("{} nodes, {} steps in {took:?}", function.nodes.len(), stats.steps);
}

#[test]
fn an_array_survives_the_way_through_a_session() {
    let array = Array::bool(&[3], vec![true, false, true]);
    let g = Graph::new();
    let flags = g.state("flags", array.ty.clone());
    g.update("flags", &flags.not());
    let mut list = StateStore::new();
    list.insert_words("flags", array.ty.clone(), &to_words(&array)).unwrap();
    assert!(list.set_words("flags", &[0, 1, 2]).is_err(), "a truth value is 0 or 1");
    let (mut session, phase) = one_phase(list, &g);
    session.run(phase).unwrap();
    assert_eq!(session.store().words("flags").unwrap(), [0, 1, 0]);
}

#[test]
fn gates_and_new_values_may_be_inputs_or_constants() {
    let g = Graph::new();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| g.state(name, TensorType::f32([2, 3])));
    let x = g.feed("x", TensorType::f32([6]));
    let open = g.feed("open", TensorType::new(DType::Bool, []));
    g.update("a", &a.zeros_like());
    g.update("b", &g.constant_f32(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    g.update("c", &x.reshape(&[2, 3]));
    g.update("d", &d);
    g.output("old", &(&a + &b + &c));
    g.commit_when(&open);
    let slots: Vec<(&str, &[usize], Vec<f32>)> =
        ["a", "b", "c", "d"].into_iter().map(|name| (name, &[2, 3][..], ramp(6, 1.0))).collect();
    let (mut session, phase) = one_phase(store(&slots), &g);
    session.feed_mut(phase, "x").unwrap().copy_from_slice(&ramp(6, -9.0));
    for open in [0, 1] {
        session.feed_words_mut(phase, "open").unwrap()[0] = open;
        assert_eq!(session.run(phase).unwrap().committed, open == 1);
        let expected = match open {
            0 => [ramp(6, 1.0), ramp(6, 1.0), ramp(6, 1.0)],
            _ => [vec![0.0; 6], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], ramp(6, -9.0)],
        };
        for (name, expected) in ["a", "b", "c"].iter().zip(expected) {
            assert_eq!(session.store().f32s(name).unwrap(), expected, "slot {name}, gate {open}");
        }
        assert_eq!(session.store().f32s("d").unwrap(), ramp(6, 1.0));
        let old: Vec<f32> = ramp(6, 1.0).iter().map(|v| v * 3.0).collect();
        assert_eq!(session.output(phase, "old").unwrap(), old);
    }

    let g = Graph::new();
    let w = vector(&g, "w", 5);
    g.update("w", &(&w + 1.0));
    g.commit_when(&g.scalar(2.0).gt(&g.scalar(1.0)));
    let (mut session, phase) = one_phase(store(&[("w", &[5], ramp(5, 0.0))]), &g);
    assert!(session.run(phase).unwrap().committed, "a gate that folds to true");
    assert_eq!(session.store().f32s("w").unwrap(), ramp(5, 1.0));
}
