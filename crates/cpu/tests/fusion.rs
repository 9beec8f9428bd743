//! Passes that run with the contraction whose result they read, against the same program with all passes apart.

mod common;

use common::{Builder, Case, Cpu, Tolerance, to_words};
use ganymede_cpu::{Executor, ExecutorOptions, Isa, Target, plan};

/// A product large enough to be fused: bias, activation, a residual, and its squares' sum; the backward pass has a
/// mask of the activation on a product.
fn case() -> Case {
    let mut b = Builder::new(3);
    let x = b.normal(&[1030, 16]);
    let w = b.normal(&[16, 1040]);
    let bias = b.normal(&[1040]);
    let residual = b.normal(&[1030, 1040]);
    let product = x.matmul(&w);
    let y = &(&product + &bias.broadcast_to(&[1030, 1040])).leaky_relu(0.2) + &residual;
    b.g.output("y", &y);
    let plain = x.matmul(&(&w * &w));
    b.g.output("squares", &(&plain * &plain).sum(&[0, 1]));
    b.finish("products and passes over them", Tolerance::GRAPH)
}

/// Words of each output.
fn outputs(case: &Case, options: ExecutorOptions) -> Vec<Vec<u32>> {
    let cpu = Cpu { executor: Executor::new(options).unwrap() };
    let mut session = cpu.session(&case.function, &case.inputs);
    let phase = session.add_phase("case", &case.function).unwrap();
    for (name, array) in &case.inputs {
        session.feed_words_mut(phase, name).unwrap().copy_from_slice(&to_words(array));
    }
    session.poison_scratch();
    session.run(phase).unwrap();
    let names = case.function.outputs.iter();
    names.map(|(name, _)| session.output_words(phase, name).unwrap().to_vec()).collect()
}

#[test]
fn fused_programs_give_the_bits_of_those_with_passes_apart() {
    let case = case();
    for isa in Isa::available() {
        let run = |threads, unfused| {
            let options = ExecutorOptions {
                threads: Some(threads),
                isa: Some(isa),
                unfused,
                ..ExecutorOptions::default()
            };
            outputs(&case, options)
        };
        let fused = |fuse| {
            let kernels = plan(&case.function, Target { fuse, ..isa.into() }).unwrap().kernels;
            kernels.iter().filter(|k| k.0 == "matmul.fused").map(|k| k.1).sum::<usize>()
        };
        assert_eq!((fused(true), fused(false)), (2, 0), "{isa:?}");
        let (together, apart) = (run(2, false), run(2, true));
        assert!(together[0] == apart[0], "{isa:?}: an elementwise result differs");
        let [a, b] = [&together[1], &apart[1]].map(|words| f32::from_bits(words[0]));
        assert!((a - b).abs() <= 1e-6 * b, "{isa:?}: sums {a} and {b}");
        assert!(together == run(3, false), "{isa:?}: the number of threads matters");
    }
}
