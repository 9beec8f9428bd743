//! Mixed precision on every instruction set: near the exact results, the same bits for any number of threads, and f32
//! where the CPU has no bf16.

mod common;

use common::Cpu;
use ganymede_cpu::{Bf16, Executor, ExecutorOptions, Isa, Precision, Session, StateStore, fast_bf16, plan};
use ganymede_graph::cases::{Case, Tolerance, compare, networks};
use ganymede_graph::passes::{self, mixed::mixed_precision};
use ganymede_graph::{Array, ConvOptions, DType, Function, Graph, TensorType, grad, interpret};
use std::collections::HashMap;

fn session(isa: Isa, threads: usize, precision: Precision, bf16: Bf16) -> Session {
    let options = ExecutorOptions {
        threads: Some(threads),
        isa: Some(isa),
        bf16: Some(bf16),
        ..ExecutorOptions::default()
    };
    let mut session = Session::new(Executor::new(options).unwrap(), StateStore::new());
    session.set_precision(precision);
    session
}

fn run(
    mut session: Session,
    function: &Function,
    inputs: &HashMap<String, Array>,
) -> HashMap<String, Vec<f32>> {
    let phase = session.add_phase("mixed", function).unwrap();
    for (name, array) in inputs {
        session.feed_words_mut(phase, name).unwrap().copy_from_slice(&common::to_words(array));
    }
    session.poison_scratch();
    session.run(phase).unwrap();
    let output = |(name, _): &(String, _)| (name.clone(), session.output(phase, name).unwrap().to_vec());
    function.outputs.iter().map(output).collect()
}

fn array(like: &Array, values: &[f32]) -> Array {
    Array::from_f32(&like.ty.shape, values)
}

/// The operands are rounded alike, so what is left is the rounding of sums in f32.
#[test]
fn single_contractions_agree_with_the_reference() {
    let cases = ganymede_graph::cases::all();
    let contraction = |c: &&Case| c.name.contains("matmul") || c.name.contains("conv2d");
    let mut checked = 0;
    for case in cases.iter().filter(contraction) {
        let (function, inputs) = (case.function(), case.feeds());
        let narrow = mixed_precision(&passes::optimize(&function).unwrap());
        let expected = interpret(&narrow, &inputs, ganymede_graph::Precision::F32).unwrap().outputs;
        for isa in Isa::available() {
            let got = run(session(isa, 2, Precision::Bf16, Bf16::Everywhere), &function, &inputs);
            for (name, reference) in &expected {
                // Products over one term are elementwise on the executor, and stay in f32.
                let exact = interpret(&function, &inputs, ganymede_graph::Precision::F32).unwrap().outputs;
                let got = array(reference, &got[name]);
                let near = compare(reference, &got, Tolerance::Norm(2e-6))
                    .or_else(|e| compare(&exact[name], &got, Tolerance::Norm(2e-6)).map_err(|_| e));
                near.unwrap_or_else(|e| panic!("{} on {}, {name}: {e}", case.name, isa.name()));
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "{checked} results were compared");
}

/// Bounds as in the graph's own test of the pass: 2^-8 for each operand of each contraction passed through.
#[test]
fn networks_and_their_derivatives_stay_within_the_rounding_of_operands() {
    let u = 2f64.powi(-8);
    let bounded = networks::cases().into_iter().filter(|case| case.name != "path_length");
    for program in bounded.flat_map(|case| case.programs()) {
        let exact = interpret(&program.function, &program.inputs, ganymede_graph::Precision::F64).unwrap();
        let bound = if program.name.ends_with("gradients") { 16.0 * u } else { 8.0 * u };
        for isa in Isa::available() {
            let mixed = session(isa, 2, Precision::Bf16, Bf16::Everywhere);
            let got = run(mixed, &program.function, &program.inputs);
            let mut changed = false;
            for (name, reference) in &exact.outputs {
                let got = array(reference, &got[name]);
                compare(reference, &got, Tolerance::Norm(bound))
                    .unwrap_or_else(|e| panic!("{} on {}, {name}: {e}", program.name, isa.name()));
                changed |= compare(reference, &got, Tolerance::Norm(1e-5)).is_err();
            }
            assert!(changed, "{} on {}: nothing was rounded", program.name, isa.name());
        }
    }
}

#[test]
fn results_have_the_same_bits_for_any_number_of_threads() {
    for program in networks::cases().iter().flat_map(Case::programs) {
        for isa in Isa::available() {
            let with = |threads| {
                let mixed = session(isa, threads, Precision::Bf16, Bf16::Everywhere);
                run(mixed, &program.function, &program.inputs)
            };
            let bits = |results: HashMap<String, Vec<f32>>| -> Vec<(String, Vec<u32>)> {
                let words = |(name, v): (String, Vec<f32>)| (name, v.iter().map(|x| x.to_bits()).collect());
                let mut list: Vec<(String, Vec<u32>)> = results.into_iter().map(words).collect();
                list.sort();
                list
            };
            let one = bits(with(1));
            for threads in [2, 3] {
                assert_eq!(bits(with(threads)), one, "{} on {}", program.name, isa.name());
            }
        }
    }
}

#[test]
fn without_bf16_on_the_cpu_programs_are_those_in_f32() {
    for program in networks::cases().iter().flat_map(Case::programs) {
        let native = session(Isa::Portable, 1, Precision::Bf16, Bf16::Native);
        assert_eq!(native.precision(), Precision::F32);
        let plain = session(Isa::Portable, 1, Precision::F32, Bf16::Native);
        let f = &program.function;
        assert_eq!(run(native, f, &program.inputs), run(plain, f, &program.inputs), "{}", program.name);
    }
    for isa in Isa::available() {
        let native = session(isa, 1, Precision::Bf16, Bf16::Native).precision();
        assert_eq!(native == Precision::Bf16, fast_bf16(isa), "{}", isa.name());
        assert_eq!(session(isa, 1, Precision::Bf16, Bf16::Everywhere).precision(), Precision::Bf16);
        assert_eq!(Cpu::new(isa, 1).executor.precision(Precision::F32), Precision::F32);
    }
}

/// Half of a network's activations in two bytes an element, the rest of the arena (weight gradients, which are results,
/// packed weights) as in f32.
#[test]
fn activations_take_two_bytes_an_element() {
    let function = network(8, 32);
    for isa in Isa::available() {
        let bytes = |precision| {
            let target = ganymede_cpu::Target { precision, ..isa.into() };
            plan(&function, target).unwrap().scratch_bytes as f64
        };
        let (wide, narrow) = (bytes(Precision::F32), bytes(Precision::Bf16));
        assert!(narrow < 0.75 * wide, "{}: {narrow} bytes of {wide}", isa.name());
    }
}

/// Bf16 at an odd element, with rows of odd length, through a transposition and as a result.
#[test]
fn bf16_is_read_in_every_place_and_order() {
    let bf16 = DType::Bf16;
    let g = Graph::new();
    let x = g.feed("x", TensorType::f32([3, 5, 5, 16])).convert(bf16);
    let w = g.feed("w", TensorType::f32([3, 3, 16, 17])).convert(bf16);
    let v = g.feed("v", TensorType::f32([3, 3, 16, 18])).convert(bf16);
    // Pixels of 17 channels begin in the middle of words.
    let odd = x.conv2d(&w, ConvOptions::default()).convert(bf16);
    let even = x.conv2d(&v, ConvOptions::default()).convert(bf16);
    let product = even.reshape(&[27, 18]).matmul_with(&odd.reshape(&[27, 17]), true, false);
    g.output("product", &product);
    g.output("variance", &odd.convert(DType::F32).variance(&[0, 1, 2]));
    g.output("mean", &even.convert(DType::F32).mean(&[0, 1, 2]));
    let image = even.convert(DType::F32).slice(0, 1, 2);
    g.output("image", &(&image + &image));
    let late = odd.reshape(&[459]).convert(DType::F32).slice(0, 153, 306);
    g.output("late", &(&late + &late));
    let turned = even.convert(DType::F32).transpose(&[3, 0, 1, 2]);
    g.output("turned", &(&turned + &turned));
    g.output("rounded", &even.convert(DType::F32));
    let function = g.finish().unwrap();
    let fill = |seed: usize, shape: &[usize]| {
        let words: Vec<f32> = (0..shape.iter().product::<usize>())
            .map(|i| ((i * 7919 + seed) % 257) as f32 / 128.0 - 1.0)
            .collect();
        Array::from_f32(shape, &words)
    };
    let inputs = HashMap::from([
        ("x".to_string(), fill(1, &[3, 5, 5, 16])),
        ("w".to_string(), fill(2, &[3, 3, 16, 17])),
        ("v".to_string(), fill(3, &[3, 3, 16, 18])),
    ]);
    let expected = interpret(&function, &inputs, ganymede_graph::Precision::F32).unwrap();
    for isa in Isa::available() {
        let got = run(session(isa, 2, Precision::F32, Bf16::Everywhere), &function, &inputs);
        for (name, want) in &expected.outputs {
            let largest = want.floats().iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            for (i, (&got, want)) in got[name].iter().zip(want.floats()).enumerate() {
                // A sum that falls to the other side of a tie rounds to the neighbour, 2^-7 of it apart at most, and so
                // do the terms of what is summed from such.
                let whole = if ["product", "mean"].contains(&name.as_str()) { largest } else { want.abs() };
                let bound = whole * 0.5f64.powi(7) + 1e-6;
                assert!((f64::from(got) - want).abs() <= bound, "{}: {name} {i}: {got} {want}", isa.name());
            }
        }
    }
}

/// Gradients of a small convolutional network by its weights.
fn network(batch: usize, width: usize) -> Function {
    let g = Graph::new();
    let x = g.feed("x", TensorType::f32([batch, 16, 16, 16]));
    let weights: Vec<_> =
        (0..4).map(|i| g.feed(&format!("w{i}"), TensorType::f32([3, 3, 16, width]))).collect();
    let narrow = (0..4).map(|i| g.feed(&format!("v{i}"), TensorType::f32([1, 1, width, 16])));
    let mut h = x;
    for (w, v) in weights.iter().zip(narrow) {
        h = h.conv2d(w, ConvOptions::default().pad(1)).leaky_relu(0.2);
        h = h.conv2d(&v, ConvOptions::default()).leaky_relu(0.2);
    }
    let loss = h.square().mean_all();
    let variables: Vec<_> = weights.iter().collect();
    for (i, d) in grad(&loss, &variables).iter().enumerate() {
        g.output(&format!("d{i}"), d);
    }
    g.finish().unwrap()
}

#[test]
fn the_work_is_the_same_in_both_precisions() {
    let function = network(2, 32);
    for isa in Isa::available() {
        let target = |precision| ganymede_cpu::Target { precision, ..isa.into() };
        let (wide, narrow) = (
            plan(&function, target(Precision::F32)).unwrap(),
            plan(&function, target(Precision::Bf16)).unwrap(),
        );
        assert_eq!(wide.contraction_flops, narrow.contraction_flops);
    }
}
