//! No op escapes the suite, and no gradient is silently zero.

use ganymede_graph::cases::{self, Case, Values};
use ganymede_graph::ops::conv::ConvKind;
use ganymede_graph::ops::elementwise::{Binary, Compare, Unary};
use ganymede_graph::ops::window::WindowKind;
use ganymede_graph::{Array, DType, Function, Graph, Op, Precision, Tensor, grad, interpret};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Every name that [`Op::name`] gives. A new variant fails to compile here until the list below has it too.
fn every_name() -> BTreeSet<String> {
    let listed = |op: &Op| match op {
        Op::Input { .. }
        | Op::Constant { .. }
        | Op::Iota { .. }
        | Op::PhiloxBits { .. }
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Convert(_)
        | Op::Reshape(_)
        | Op::Broadcast { .. }
        | Op::Transpose(_)
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concat { .. }
        | Op::Reverse(_)
        | Op::Reduce { .. }
        | Op::Variance { .. }
        | Op::ArgMax { .. }
        | Op::MatMul { .. }
        | Op::Conv(ConvKind::Forward | ConvKind::InputGrad | ConvKind::WeightGrad, _)
        | Op::Window(WindowKind::ArgMax | WindowKind::Gather | WindowKind::Scatter, _)
        | Op::Gather { .. }
        | Op::ScatterAdd { .. }
        | Op::ArgSort
        | Op::StopGradient => (),
    };
    listed(&Op::ArgSort);
    let others = [
        "input",
        "constant",
        "iota",
        "philox_bits",
        "select",
        "convert",
        "reshape",
        "broadcast",
        "transpose",
        "slice",
        "pad",
        "concat",
        "reverse",
        "reduce_sum",
        "reduce_max",
        "reduce_min",
        "variance",
        "argmax",
        "matmul",
        "conv2d",
        "conv2d_input_grad",
        "conv2d_weight_grad",
        "window_argmax",
        "window_gather",
        "window_scatter",
        "gather",
        "scatter_add",
        "argsort",
        "stop_gradient",
    ];
    let mut names: BTreeSet<String> = others.into_iter().map(String::from).collect();
    names.extend(Unary::ALL.map(|u| u.name().to_string()));
    names.extend(Binary::ALL.map(|b| b.name().to_string()));
    names.extend(Compare::ALL.map(|c| c.name().to_string()));
    names
}

fn names(functions: impl IntoIterator<Item = Function>) -> BTreeSet<String> {
    functions.into_iter().flat_map(|f| f.nodes).map(|node| node.op.name()).collect()
}

#[test]
fn cases_cover_every_op() {
    assert_eq!(names(cases::all().iter().map(Case::function)), every_name());
}

#[test]
fn cases_cover_every_conversion_and_element_type() {
    let mut conversions = BTreeSet::new();
    for case in cases::all() {
        let f = case.function();
        for node in &f.nodes {
            if let Op::Convert(to) = node.op {
                conversions.insert((f.ty(node.inputs[0]).dtype, to));
            }
        }
    }
    let all = [DType::F32, DType::Bf16, DType::I32, DType::U32, DType::Bool];
    // A conversion to the same type builds no node.
    assert_eq!(conversions.len(), all.len() * (all.len() - 1), "{conversions:?}");
}

#[test]
fn random_graphs_mix_every_family() {
    let seen = names((0..100).map(|seed| cases::random::graph(seed, 24).function()));
    for name in every_name() {
        let discrete = ["rem", "or", "xor", "shl", "shr"].contains(&name.as_str());
        let random = name == "philox_bits";
        // Rounding flips a floor near an integer, and f32 would not agree with f64.
        let rough = name == "floor";
        assert!(seen.contains(&name) || discrete || random || rough, "no random graph holds `{name}`");
    }
}

/// Every op that takes and gives floats gives each of its float operands a gradient, or is one of the three that say
/// that they have none. Zero in every element of every case is a rule that forgot.
#[test]
fn no_gradient_is_silently_zero() {
    let mut zero: BTreeMap<(String, usize), bool> = BTreeMap::new();
    for case in cases::all() {
        let function = case.function();
        for node in &function.nodes {
            let floats = node.inputs.iter().any(|&i| function.ty(i).dtype == DType::F32);
            if !floats || node.ty.dtype != DType::F32 || node.ty.is_empty() {
                continue;
            }
            let graph = Graph::new();
            let mut feeds = HashMap::new();
            let mut values = Values::new(7);
            let mut operands = Vec::new();
            for (i, input) in node.inputs.iter().enumerate() {
                let ty = function.ty(*input);
                let array = match ty.dtype {
                    DType::F32 => values.uniform(&ty.shape, 0.2, 0.8),
                    DType::I32 => values.integers(&ty.shape, 0, 4),
                    DType::U32 => values.words(&ty.shape),
                    DType::Bool => {
                        Array::bool(&ty.shape, (0..ty.len()).map(|i| i % 2 == 0).collect::<Vec<_>>())
                    }
                    DType::Bf16 => continue,
                };
                operands.push(graph.feed(&i.to_string(), ty.clone()));
                feeds.insert(i.to_string(), array);
            }
            if operands.len() != node.inputs.len() {
                continue;
            }
            let result = graph.push(node.op.clone(), &operands.iter().collect::<Vec<_>>());
            let by: Vec<usize> = (0..operands.len()).filter(|&i| operands[i].dtype().is_float()).collect();
            // Weighted, because the sum of a softmax, say, would be constant.
            let weights = graph.constant_f32(&result.shape(), values.normal(&result.shape()).floats());
            let variables: Vec<&Tensor> = by.iter().map(|&i| &operands[i]).collect();
            for (i, g) in by.iter().zip(grad(&(&result * weights).sum_all(), &variables)) {
                graph.output(&i.to_string(), &g);
            }
            let name = node.op.name();
            let derivative = graph.finish().unwrap_or_else(|e| panic!("{}: {name}: {e}", case.name));
            let out = interpret(&derivative, &feeds, Precision::F64).unwrap().outputs;
            for i in by {
                let all_zero = out[&i.to_string()].floats().iter().all(|&v| v == 0.0);
                // Operands of a concat are alike, and there may be any number of them.
                let operand = if name == "concat" { 0 } else { i };
                *zero.entry((name.clone(), operand)).or_insert(true) &= all_zero;
            }
        }
    }
    for ((name, operand), zero) in &zero {
        let constant = ["sign", "floor", "stop_gradient"].contains(&name.as_str());
        assert_eq!(*zero, constant, "gradient of `{name}` by operand {operand}");
    }
    assert!(zero.len() > 40, "only {} operands differentiated: {zero:?}", zero.len());
}
