//! Passes keep meaning, each by itself and all together; verification catches what a broken pass would leave.

use ganymede_graph::cases::{self, Case, Tolerance, compare, random};
use ganymede_graph::ops::elementwise::{Binary, Unary};
use ganymede_graph::passes::{self, PASSES, cse, dce, fold, simplify};
use ganymede_graph::{
    Array, DType, Function, Graph, Input, Literal, Node, NodeId, Op, Precision, Role, Tensor, TensorType,
    dump, grad, interpret,
};
use std::collections::HashMap;
use std::time::{Duration, Instant};

fn run(function: &Function, feeds: &HashMap<String, Array>) -> HashMap<String, Array> {
    interpret(function, feeds, Precision::F64).unwrap().outputs
}

fn count(function: &Function, which: impl Fn(&Op) -> bool) -> usize {
    function.nodes.iter().filter(|n| which(&n.op)).count()
}

fn constant_elements(function: &Function) -> usize {
    let len = |op: &Op| match op {
        Op::Constant { literal, .. } => literal.len(),
        _ => 0,
    };
    function.nodes.iter().map(|n| len(&n.op)).sum()
}

/// A function of `x` [4].
fn of_x(build: impl FnOnce(&Graph, &Tensor) -> Tensor) -> Function {
    let graph = Graph::new();
    let x = graph.feed("x", TensorType::f32([4]));
    graph.output("y", &build(&graph, &x));
    graph.finish().unwrap()
}

fn at(x: [f64; 4]) -> HashMap<String, Array> {
    HashMap::from([("x".to_string(), Array::f32(&[4], x.to_vec()))])
}

#[test]
fn each_pass_keeps_the_meaning_of_random_graphs() {
    for seed in 0..100 {
        let case = random::graph(seed, 30);
        let (before, feeds) = (case.function(), case.feeds());
        let expected = run(&before, &feeds);
        for pass in PASSES {
            let after = (pass.run)(before.clone());
            after.verify().map_err(|e| e.after(pass.name)).unwrap();
            let got = run(&after, &feeds);
            assert_eq!(got.len(), expected.len());
            for (name, array) in &expected {
                compare(array, &got[name], Tolerance::Norm(1e-13))
                    .unwrap_or_else(|e| panic!("{} after {}: {name}: {e}", case.name, pass.name));
            }
        }
    }
}

#[test]
fn optimizing_twice_changes_nothing_more() {
    for seed in 0..20 {
        let once = passes::optimize(&random::graph(seed, 30).function()).unwrap();
        let twice = passes::optimize(&once).unwrap();
        assert_eq!(dump::dump(&once), dump::dump(&twice), "seed {seed}");
    }
}

#[test]
fn passes_keep_updates_gate_and_inputs() {
    let graph = Graph::new();
    let w = graph.state("w", TensorType::f32([2]));
    let unused = graph.feed("unused", TensorType::f32([3]));
    let _ = unused.tanh();
    let next = &w * 1.0 + 0.0;
    graph.update("w", &(next * 2.0));
    graph.commit_when(&w.all_finite());
    graph.commit_when(&w.sum_all().lt(&graph.scalar(10.0)));
    let f = passes::optimize(&graph.finish().unwrap()).unwrap();
    assert_eq!(f.inputs.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["w", "unused"]);
    assert_eq!(count(&f, |op| matches!(op, Op::Unary(Unary::Tanh))), 0);
    for (value, committed) in [(3.0, true), (30.0, false), (f64::NAN, false)] {
        let feeds = HashMap::from([
            ("w".to_string(), Array::f32(&[2], vec![1.0, value])),
            ("unused".to_string(), Array::f32(&[3], vec![0.0; 3])),
        ]);
        let out = interpret(&f, &feeds, Precision::F32).unwrap();
        assert_eq!(out.committed, committed);
        let expected = committed.then(|| vec![2.0, 2.0 * value]);
        assert_eq!(out.updates.get("w").map(|a| a.floats().to_vec()), expected);
    }
}

#[test]
fn dead_code_is_dropped_and_only_that() {
    let f = of_x(|g, x| {
        let dead = x.exp() + 1.0;
        let _ = dead.sum_all();
        g.output("alive", &x.tanh());
        x.sin()
    });
    let after = dce::eliminate(f.clone());
    assert_eq!(after.nodes.iter().map(|n| n.op.name()).collect::<Vec<_>>(), ["input", "tanh", "sin"]);
}

#[test]
fn common_subexpressions_merge() {
    let f = of_x(|_, x| {
        let y = x.tanh();
        (x * &y) + (x.tanh() * x) + (x - &y) * (&y - x)
    });
    let after = cse::merge(f.clone());
    assert_eq!(count(&after, |op| *op == Op::Unary(Unary::Tanh)), 1);
    // x y and y x are one product; x - y and y - x are two differences.
    assert_eq!(count(&after, |op| *op == Op::Binary(Binary::Mul)), 2);
    assert_eq!(count(&after, |op| *op == Op::Binary(Binary::Sub)), 2);
}

#[test]
fn constants_merge_by_bits() {
    let f = of_x(|g, x| {
        let c = |v: f64| g.scalar(v);
        let sum =
            [0.0, 0.0, -0.0, f64::NAN, f64::NAN, 1.0].into_iter().map(|v| x * c(v)).reduce(|a, b| a + b);
        sum.unwrap()
    });
    // 0, -0, NaN and 1.
    assert_eq!(count(&cse::merge(f.clone()), |op| matches!(op, Op::Constant { .. })), 4);
}

#[test]
fn random_words_merge_by_stream() {
    let graph = Graph::new();
    let pair = TensorType::new(DType::U32, [2]);
    let (key, first) = (graph.feed("key", pair.clone()), graph.feed("first", pair));
    for (i, stream) in [1, 1, 2].into_iter().enumerate() {
        graph.output(&i.to_string(), &graph.random_bits(&key, &first, stream, &[3, 2]));
    }
    let after = cse::merge(graph.finish().unwrap());
    assert_eq!(count(&after, |op| matches!(op, Op::PhiloxBits { .. })), 2);
}

#[test]
fn products_with_zero_are_not_folded() {
    let f = of_x(|g, x| {
        g.output("left", &(0.0 * x));
        g.output("difference", &(x - x));
        g.output("quotient", &(0.0 / x));
        x * 0.0
    });
    let after = passes::optimize(&f).unwrap();
    let out = run(&after, &at([f64::NAN, f64::INFINITY, 1.0, f64::NEG_INFINITY]));
    for name in ["y", "left", "difference"] {
        let v = out[name].floats();
        assert!(v[0].is_nan() && v[1].is_nan() && v[2] == 0.0 && v[3].is_nan(), "{name}: {v:?}");
    }
    assert!(out["quotient"].floats()[0].is_nan());
    assert_eq!(out["quotient"].floats()[1..], [0.0; 3]);
}

#[test]
fn neutral_elements_go() {
    let f = of_x(|_, x| -(-((((x + 0.0) * 1.0 - 0.0) / 1.0) * -1.0)));
    let after = passes::optimize(&f).unwrap();
    assert_eq!(after.nodes.iter().map(|n| n.op.name()).collect::<Vec<_>>(), ["input", "neg"]);
    // Shape ops that undo each other.
    let f = of_x(|_, x| {
        let y = x
            .reshape(&[2, 2])
            .transpose(&[1, 0])
            .transpose(&[1, 0])
            .reverse(&[0])
            .reverse(&[0])
            .reshape(&[4]);
        y.slice(0, 0, 4).pad(&[0], &[0], &[0])
    });
    let after = passes::optimize(&f).unwrap();
    assert_eq!(after.nodes.len(), 1, "{}", dump::dump(&after));
}

#[test]
fn folding_never_enlarges_constants() {
    // A repeated scalar stays a scalar however large the tensor and whatever is computed with it.
    let graph = Graph::new();
    let big = graph.full(&[1000, 1000], 2.0);
    graph.output("big", &((big.sqrt() + 1.0) * &big).tanh());
    let row = graph.constant_f32(&[3], &[1.0, 2.0, 3.0]);
    graph.output("outer", &row.reshape(&[3, 1]).matmul(&row.reshape(&[1, 3])));
    graph.output("wide", &row.broadcast_to(&[50, 3]));
    graph.output("padded", &row.pad(&[100], &[100], &[0]));
    graph.output("dot", &(&row * &row).sum_all());
    let before = graph.finish().unwrap();
    let after = fold::fold(before.clone());
    let largest =
        after.nodes.iter().filter(|n| matches!(n.op, Op::Constant { .. })).map(|n| n.ty.len()).max();
    assert_eq!(largest, Some(3));
    assert_eq!(count(&dce::eliminate(after.clone()), |op| matches!(op, Op::Unary(_) | Op::Binary(_))), 0);
    // And over the whole suite: no constant is larger than the largest there was.
    for case in
        cases::all().iter().map(Case::function).chain((0..50).map(|s| random::graph(s, 30).function()))
    {
        let largest = |f: &Function| {
            let constants = f.nodes.iter().filter(|n| matches!(n.op, Op::Constant { .. }));
            constants.map(|n| n.ty.len()).max().unwrap_or(0)
        };
        let after = passes::optimize(&case).unwrap();
        assert!(largest(&after) <= largest(&case).max(1));
        assert!(constant_elements(&after) <= constant_elements(&case).max(1) + after.nodes.len());
    }
}

#[test]
fn folding_leaves_the_rounding_of_bf16_to_run_time() {
    let graph = Graph::new();
    let ty = TensorType::new(DType::Bf16, []);
    let c = graph.constant(ty, Literal::Float([1.001].into()));
    graph.output("y", &c.convert(DType::F32));
    graph.output("z", &graph.scalar(1.001).convert(DType::Bf16).convert(DType::F32));
    let f = passes::optimize(&graph.finish().unwrap()).unwrap();
    let out = interpret(&f, &HashMap::new(), Precision::F32).unwrap().outputs;
    assert_eq!((out["y"].floats()[0], out["z"].floats()[0]), (1.0, 1.0));
}

/// Over 150,000 nodes, so that anything quadratic would take minutes rather than a second.
#[test]
fn passes_are_near_linear() {
    let graph = Graph::new();
    let x = graph.feed("x", TensorType::f32([2, 3]));
    let mut y = x.clone();
    while graph.node_count() < 90_000 {
        y = (&y * 0.5 + y.tanh().reshape(&[6]).reshape(&[2, 3])).transpose(&[1, 0]).transpose(&[1, 0]);
        y = -(-(y.broadcast_to(&[4, 2, 3]).mean(&[0]) + graph.full(&[2, 3], 0.25).exp()));
    }
    let g = &grad(&y.sum_all(), &[&x])[0];
    graph.output("y", &y);
    graph.output("g", g);
    // Chains of what simplification looks through.
    let mut z = x;
    for _ in 0..20_000 {
        z = graph.push(Op::Broadcast { shape: vec![2, 3], axes: vec![0, 1] }, &[&z]);
    }
    graph.output("z", &(z + 1.0));
    let f = graph.finish().unwrap();
    assert!(f.nodes.len() > 150_000, "{}", f.nodes.len());
    let start = Instant::now();
    let after = passes::optimize(&f).unwrap();
    let took = start.elapsed();
    println!("{} nodes to {} in {took:?}", f.nodes.len(), after.nodes.len());
    assert!(took < Duration::from_secs(15), "{} nodes took {took:?}", f.nodes.len());
    assert!(after.nodes.len() < f.nodes.len());
}

/// A small sound function to be broken: x and w, y = x w, an update, an output, a gate.
fn sound() -> Function {
    let graph = Graph::new();
    let _d = graph.scope("D");
    let (x, w) = (graph.feed("x", TensorType::f32([2])), graph.state("w", TensorType::f32([2])));
    let y = &x * &w;
    graph.output("y", &y);
    graph.update("w", &y);
    graph.commit_when(&y.all_finite());
    graph.finish().unwrap()
}

#[test]
fn verification_catches_every_kind_of_damage() {
    let broken = |damage: &dyn Fn(&mut Function)| {
        let mut f = sound();
        damage(&mut f);
        let error = f.verify().expect_err("the damage should be found");
        // Damage is named with the pass that did it.
        assert!(
            error
                .clone()
                .after("simplification")
                .to_string()
                .ends_with("(found after pass `simplification`)")
        );
        error.to_string()
    };
    const PRODUCT: usize = 2;
    assert_eq!(sound().nodes[PRODUCT].op, Op::Binary(Binary::Mul));
    sound().verify().unwrap();
    assert_eq!(
        broken(&|f| f.nodes[PRODUCT].inputs[0] = NodeId(2)),
        "mul at D: node %2 reads %2 which does not precede it"
    );
    assert_eq!(
        broken(&|f| f.nodes[PRODUCT].inputs[1] = NodeId(999)),
        "mul at D: node %2 reads %999 which does not precede it"
    );
    assert_eq!(
        broken(&|f| f.nodes[PRODUCT].ty = TensorType::f32([3])),
        "mul at D: node %2 is recorded as f32[3] but computes f32[2]"
    );
    assert_eq!(broken(&|f| f.nodes[PRODUCT].inputs.truncate(1)), "mul at D: takes 2 operands, got 1");
    assert_eq!(broken(&|f| f.nodes[PRODUCT].op = Op::Binary(Binary::And)), "and at D: is not defined on f32");
    assert_eq!(broken(&|f| f.inputs[1].name = "x".into()), "function: two inputs are named `x`");
    assert_eq!(broken(&|f| f.inputs[0].node = NodeId(1)), "function: input `x` does not name its own node");
    assert_eq!(broken(&|f| f.inputs[0].node = NodeId(999)), "function: input `x` does not name its own node");
    assert_eq!(
        broken(&|f| f.inputs[0].ty = TensorType::f32([7])),
        "function: input `x` does not name its own node"
    );
    assert_eq!(
        broken(&|f| {
            let ty = TensorType::f32([2]);
            let op = Op::Input { index: 5, ty: ty.clone() };
            f.nodes.push(Node { op, inputs: vec![], ty, path: "D".into() });
        }),
        "input at D: node %9 is no declared input"
    );
    assert_eq!(
        broken(&|f| {
            let ty = TensorType::f32([2]);
            f.inputs.push(Input { name: "ghost".into(), ty, role: Role::Feed, node: NodeId(2) });
        }),
        "function: input `ghost` does not name its own node"
    );
    assert_eq!(broken(&|f| f.outputs.push(("y".into(), NodeId(0)))), "function: two outputs are named `y`");
    assert_eq!(
        broken(&|f| f.outputs.push(("z".into(), NodeId(999)))),
        "function: output `z` names a node that does not exist"
    );
    assert_eq!(
        broken(&|f| f.updates.push((9, NodeId(0)))),
        "function: an update names input 9, which does not exist"
    );
    assert_eq!(
        broken(&|f| f.updates.push((0, NodeId(0)))),
        "function: `x` is a feed: only state can be updated"
    );
    assert_eq!(broken(&|f| f.updates.push((1, NodeId(0)))), "function: `w` is updated twice");
    let gate = |f: &Function| f.gate.unwrap();
    assert_eq!(
        broken(&|f| f.updates[0].1 = gate(f)),
        "function: the update of `w` has another type than the slot"
    );
    assert_eq!(
        broken(&|f| f.updates[0].1 = NodeId(999)),
        "function: the update of `w` has another type than the slot"
    );
    assert_eq!(broken(&|f| f.gate = Some(NodeId(0))), "function: the gate must be bool[], got f32[2]");
    assert_eq!(
        broken(&|f| f.gate = Some(NodeId(999))),
        "function: the gate names a node that does not exist"
    );
}

#[test]
fn an_optimized_function_that_arrives_broken_names_the_pass() {
    let mut f = sound();
    f.nodes[2].ty = TensorType::f32([3]);
    let error = passes::optimize(&f).unwrap_err().to_string();
    assert!(error.ends_with("(found after pass `dead-code elimination`)"), "{error}");
}

#[test]
fn each_rule_of_simplification_alone_keeps_types() {
    // Reductions and reshapes over axes of size 1, and repeated scalars under other shapes.
    let graph = Graph::new();
    let x = graph.feed("x", TensorType::f32([2, 1, 3]));
    graph.output("sum", &x.sum(&[1]));
    graph.output("max", &x.max(&[1]));
    graph.output("chain", &x.reshape(&[6]).reshape(&[3, 2]).reshape(&[2, 1, 3]));
    graph.output("repeated", &graph.full(&[2, 3], 4.0).reshape(&[6]));
    graph.output(
        "twice",
        &x.reshape(&[2, 3]).broadcast_axes(&[2, 3, 4], &[0, 1]).broadcast_axes(&[5, 2, 3, 4], &[1, 2, 3]),
    );
    let f = graph.finish().unwrap();
    let after = simplify::simplify(f.clone());
    after.verify().unwrap();
    let feeds =
        HashMap::from([("x".to_string(), Array::f32(&[2, 1, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))]);
    assert_eq!(run(&f, &feeds), run(&after, &feeds));
    assert_eq!(count(&dce::eliminate(after.clone()), |op| matches!(op, Op::Reduce { .. })), 0);
}

#[test]
fn the_dump_is_stable() {
    let graph = Graph::new();
    let x = graph.feed("x", TensorType::f32([2, 4, 4, 3]));
    let w = graph.state("D/conv1/weight", TensorType::f32([4, 4, 3, 5]));
    let loss = {
        let _d = graph.scope("D");
        let _conv = graph.scope("conv1");
        let options = ganymede_graph::ConvOptions::default().stride(2).pad(1);
        x.conv2d(&w, options).leaky_relu(0.2).max_pool2d(2, 2, 0).mean_all()
    };
    let g = &grad(&loss, &[&w])[0];
    graph.update("D/conv1/weight", &(&w - g * 0.1));
    graph.output("loss", &loss);
    graph.commit_when(&loss.is_finite());
    let before = graph.finish().unwrap();
    let after = passes::optimize(&before).unwrap();
    let got = format!("{}\noptimized\n\n{}", dump::dump(&before), dump::dump(&after));
    assert_eq!(got, include_str!("snapshots/dump.txt"), "the dump is now\n{got}");
}
