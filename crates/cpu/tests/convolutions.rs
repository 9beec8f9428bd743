//! Both ways to compute a convolution, as the executor chooses them: the same network direct and by Winograd's algorithm
//! against the interpreter, on every instruction set.

use ganymede_cpu::{Algorithm, Executor, ExecutorOptions, Isa, Session, StateStore, plan};
use ganymede_graph::{
    Array, ConvOptions, Function, Graph, TensorType, grad,
    interpret::{Precision, interpret},
};
use std::collections::HashMap;

/// A transposed convolution and a convolution of stride 2, with all their gradients: both directions, both filter sizes.
fn network() -> (Function, HashMap<String, Array>) {
    let g = Graph::new();
    let mut inputs = HashMap::new();
    let mut feed = |name: &str, shape: &[usize], seed: u64| {
        let mut state = seed;
        let values = (0..shape.iter().product::<usize>()).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        });
        inputs.insert(name.to_string(), Array::f32(shape, values.map(f64::from).collect::<Vec<_>>()));
        g.feed(name, TensorType::f32(shape))
    };
    let x = feed("x", &[2, 8, 8, 64], 1);
    let up = feed("up", &[4, 4, 32, 64], 2);
    let down = feed("down", &[5, 5, 32, 64], 3);
    let up_options = ConvOptions::default().stride(2).pad(1);
    let wide = x.conv2d_transposed(&up, up_options, [16, 16]).leaky_relu(0.2);
    let y = wide.conv2d(&down, ConvOptions::default().stride(2).pad(2));
    let loss = y.square().sum_all();
    g.output("y", &y);
    for (name, gradient) in ["dx", "dup", "ddown"].into_iter().zip(grad(&loss, &[&x, &up, &down])) {
        g.output(name, &gradient);
    }
    (g.finish().unwrap(), inputs)
}

fn outputs(function: &Function, inputs: &HashMap<String, Array>, options: ExecutorOptions) -> Vec<Vec<f32>> {
    let mut session = Session::new(Executor::new(options).unwrap(), StateStore::new());
    let phase = session.add_phase("network", function).unwrap();
    for (name, array) in inputs {
        let values: Vec<f32> = array.floats().iter().map(|&v| v as f32).collect();
        session.feed_mut(phase, name).unwrap().copy_from_slice(&values);
    }
    session.run(phase).unwrap();
    function.outputs.iter().map(|(name, _)| session.output(phase, name).unwrap().to_vec()).collect()
}

fn relative_error(got: &[f32], expected: &[f64]) -> f64 {
    let error: f64 = got.iter().zip(expected).map(|(&g, e)| (f64::from(g) - e).powi(2)).sum();
    (error / expected.iter().map(|e| e * e).sum::<f64>()).sqrt()
}

#[test]
fn direct_and_winograd_convolutions_keep_their_bounds() {
    let (function, inputs) = network();
    let expected = interpret(&function, &inputs, Precision::F64).unwrap();
    for isa in Isa::available() {
        for (algorithm, bound) in [(Algorithm::Direct, 2e-6), (Algorithm::Any, 1e-5)] {
            let run = |threads| {
                let options = ExecutorOptions {
                    threads: Some(threads),
                    isa: Some(isa),
                    convolutions: Some(algorithm),
                    ..ExecutorOptions::default()
                };
                outputs(&function, &inputs, options)
            };
            let got = run(2);
            for ((name, _), got) in function.outputs.iter().zip(&got) {
                let error = relative_error(got, expected.outputs[name].floats());
                assert!(error < bound, "{isa:?}, {algorithm:?}, {name}: relative error {error:e}");
            }
            assert_eq!(got, run(3), "{isa:?}, {algorithm:?}: the number of threads matters");
            let target = ganymede_cpu::Target { convolutions: algorithm, ..isa.into() };
            let kernels = plan(&function, target).unwrap().kernels;
            let winograd: usize = kernels.iter().filter(|k| k.0.starts_with("winograd")).map(|k| k.1).sum();
            // Forward pass, input gradient and weight gradient of each of the two.
            assert_eq!(winograd, if algorithm == Algorithm::Any { 6 } else { 0 }, "{isa:?}: {kernels:?}");
        }
    }
}
