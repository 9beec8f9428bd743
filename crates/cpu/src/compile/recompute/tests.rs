use super::facts::{Fact, Recipe};
use super::*;
use crate::compile::lower;
use crate::executor::{MemoryMode, Target};
use ganymede_graph::{ConvOptions, Function, Graph, TensorType, grad};
use ganymede_kernels::isa::Isa;
use ganymede_kernels::pass::{BinaryOp, Instr, Load, PassSpec, Reduce, Store, UnaryOp};

/// A chain of `n` values of 100 words: call i makes value i of the one before, then n calls read them backwards.
fn chain(n: usize, work: u64) -> Facts {
    let mut calls: Vec<Fact> = (0..n)
        .map(|i| Fact { reads: (0..i).rev().take(1).collect(), writes: vec![i], work, ..Fact::default() })
        .collect();
    let recipes = calls.iter().enumerate().map(|(call, fact)| Some(Recipe { call, fact: fact.clone() }));
    let recipes = recipes.collect();
    calls.extend((0..n).rev().map(|i| Fact { reads: vec![i], work: 2 * work, ..Fact::default() }));
    Facts { commit: calls.len(), calls, gate: None, words: vec![100; n], recipes }
}

fn peak_of(facts: &Facts, drops: &[(usize, usize)]) -> (usize, u64, usize) {
    let drops: Vec<Drop> = drops.iter().map(|&(after, value)| Drop { after, value }).collect();
    let s = Schedule::of(facts, &drops);
    (s.peak(), s.work, s.steps.len())
}

#[test]
fn schedules_of_a_chain_are_those_counted_by_hand() {
    let facts = chain(4, 10);
    // All four are alive where the way back begins.
    assert_eq!(peak_of(&facts, &[]), (400, 0, 8));
    // Value 1 is forgotten once value 2 is made (call 2), and computed again for its own reader.
    assert_eq!(peak_of(&facts, &[(2, 1)]), (300, 10, 9));
    // Values 1 and 2 make a segment: at the reader of 2 (call 5), 0, 1 and 2 are there.
    assert_eq!(peak_of(&facts, &[(2, 1), (3, 2)]), (300, 20, 10));
    // Without keeping 1 for its reader it is computed twice.
    assert_eq!(peak_of(&facts, &[(2, 1), (3, 2), (5, 1)]), (300, 30, 11));
}

#[test]
fn a_longer_chain_comes_down_like_a_root_and_within_the_work() {
    for n in [16, 36, 64] {
        let facts = chain(n, 10);
        for share in [0.1, MOST_WORK] {
            let most = (share * facts.work() as f64) as u64;
            let found = search::search(&facts, most, 0);
            let schedule = Schedule::of(&facts, &found.drops);
            assert_eq!(found.peak, schedule.peak());
            assert!(schedule.work <= most, "{n}: {} of {most}", schedule.work);
            // Every second value, at the least, where work allows for it.
            let bound = if share < 0.2 { 100 * n * 3 / 4 + 200 } else { 100 * n / 2 + 200 };
            assert!(found.peak <= bound, "{n}, {share}: {} words", found.peak);
        }
        assert!(search::search(&facts, 0, 0).drops.is_empty(), "no work, no recomputation");
        let enough = search::search(&facts, facts.work() / 3, 100 * n - 150);
        assert!(enough.peak <= 100 * n - 150 && enough.drops.len() <= 2, "{n}: {enough:?}");
    }
}

#[test]
fn what_cannot_be_computed_again_is_kept() {
    let mut facts = chain(12, 10);
    facts.recipes.iter_mut().for_each(|recipe| *recipe = None);
    assert!(search::search(&facts, u64::MAX, 0).drops.is_empty());
    // Nor is anything computed behind the beginning of the commit.
    let mut facts = chain(6, 10);
    facts.commit = 6;
    let found = search::search(&facts, u64::MAX, 0);
    let schedule = Schedule::of(&facts, &found.drops);
    assert!(schedule.steps[schedule.commit..].iter().all(|step| step.again.is_none()), "{schedule:?}");
    assert_eq!(schedule.steps[schedule.commit].call, 6);
}

#[test]
fn the_part_of_a_pass_has_what_its_store_needs_and_no_more() {
    let slice = |value| Slice { value, offset: 0, words: 8 };
    let load = Load::contiguous(&[8]);
    let spec = PassSpec {
        dims: vec![8],
        loads: vec![load.clone(), load.clone(), load.clone()],
        code: vec![
            Instr::Load(0),
            Instr::Load(1),
            Instr::Unary(UnaryOp::Neg, 0),
            Instr::Load(2),
            Instr::Binary(BinaryOp::Mul, 1, 3),
            Instr::MulAdd(4, 3, 1),
        ],
        stores: vec![Store::new(2), Store::new(5)],
        reduces: vec![],
        keep: vec![],
    };
    let operands: Vec<_> = [10, 11, 12, 20, 21].map(slice).to_vec();
    let (second, bound) = facts::part(&spec, &operands, 21);
    assert_eq!(bound.iter().map(|o| o.value).collect::<Vec<_>>(), [11, 12, 21]);
    let code = [Instr::Load(0), Instr::Load(1), Instr::Binary(BinaryOp::Mul, 0, 1), Instr::MulAdd(2, 1, 0)];
    assert_eq!(second.code, code);
    assert_eq!((second.loads.len(), &second.stores[..]), (2, &[Store::new(3)][..]));
    let (first, bound) = facts::part(&spec, &operands, 20);
    assert_eq!(bound.iter().map(|o| o.value).collect::<Vec<_>>(), [10, 20]);
    assert_eq!(first.code, [Instr::Load(0), Instr::Unary(UnaryOp::Neg, 0)]);
    let reduce: Option<&Reduce> = first.reduces.first();
    assert!(reduce.is_none());
}

/// A step of a convolutional network, its gradients squared and their updates gated.
fn network(layers: usize) -> Function {
    let g = Graph::new();
    let mut h = g.feed("x", TensorType::f32([8, 16, 16, 8]));
    let weights: Vec<_> =
        (0..layers).map(|i| g.state(&format!("w{i}"), TensorType::f32([3, 3, 8, 8]))).collect();
    for w in &weights {
        let x = h.conv2d(w, ConvOptions::default().pad(1));
        let mean = x.mean(&[0, 1, 2]);
        let inverse = (x.variance(&[0, 1, 2]) + 0.1).rsqrt();
        h = ((x - mean) * inverse).leaky_relu(0.2);
    }
    let loss = h.tanh().mean_all();
    g.output("loss", &loss);
    let gradients = grad(&loss, &weights.iter().collect::<Vec<_>>());
    for (i, (w, d)) in weights.iter().zip(&gradients).enumerate() {
        g.update(&format!("w{i}"), &(w - d * 0.1));
        g.commit_when(&d.all_finite());
    }
    g.finish().unwrap()
}

fn target(memory: MemoryMode) -> Target {
    Target { memory, ..Isa::best().into() }
}

#[test]
fn a_network_takes_less_and_enough_is_enough() {
    let function = network(8);
    let words = |memory, enough| lower(&function, target(memory)).unwrap().finish(enough).unwrap();
    let normal = words(MemoryMode::Normal, 0);
    let low = words(MemoryMode::Low, 0);
    assert!(
        low.scratch_words * 4 < normal.scratch_words * 3,
        "{} {}",
        low.scratch_words,
        normal.scratch_words
    );
    assert!(low.calls.iter().any(|call| call.label.ends_with(" again")));
    assert_eq!(low.contraction_flops, normal.contraction_flops);
    // What is enough already costs nothing.
    let same = words(MemoryMode::Low, normal.scratch_words);
    assert!(same.calls.iter().all(|call| !call.label.ends_with(" again")));
    let between = normal.scratch_words * 9 / 10;
    let some = words(MemoryMode::Low, between);
    let repeated =
        |p: &crate::compile::Program| p.calls.iter().filter(|call| call.label.ends_with(" again")).count();
    assert!(repeated(&some) < repeated(&low) && some.scratch_words < normal.scratch_words);
    // Nothing is repeated behind the gate.
    assert!(low.calls[low.commit..].iter().all(|call| !call.label.ends_with(" again")));
}

#[test]
fn room_first_keeps_what_depends_on_each_other_in_order() {
    let lowered = lower(&network(6), target(MemoryMode::Low)).unwrap();
    let (calls, commit) = (&lowered.calls, lowered.commit);
    let order = order::room_first(calls, commit, &lowered.values);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..calls.len()).collect::<Vec<_>>());
    assert_ne!(order, sorted, "gradients of weights come before those of inputs");
    assert_eq!(order[commit..], sorted[commit..]);
    let mut position = vec![0; calls.len()];
    order.iter().enumerate().for_each(|(at, &call)| position[call] = at);
    let access = |call: &Call| -> Vec<(ValueId, bool)> {
        let specs = facts::specs(&call.work);
        let touch = |(o, s): (&Slice<ValueId>, &ganymede_kernels::kernel::OperandSpec)| {
            (o.value, s.access != ganymede_kernels::kernel::Access::Read)
        };
        call.operands.iter().zip(&specs).map(touch).collect()
    };
    for i in 0..calls.len() {
        for j in i + 1..calls.len() {
            let depends = access(&calls[i])
                .iter()
                .any(|(a, writes)| access(&calls[j]).iter().any(|(b, also)| a == b && (*writes || *also)));
            assert!(!depends || position[i] < position[j], "{} before {}", calls[j].label, calls[i].label);
        }
    }
}
