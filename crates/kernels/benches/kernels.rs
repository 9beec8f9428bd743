//! Kernels alone, on all cores: `cargo bench -p ganymede-kernels`, or with a filter: `-- conv/forward`.
//!
//! Every kernel runs in the machine, as in training. Contractions report operations (elements are flops), passes and
//! streams the bytes of their operands. `GANYMEDE_ISA` chooses the instruction set.

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use ganymede_kernels::buffer::Buffer;
use ganymede_kernels::conv::{Algorithm, ConvForward, ConvInputGrad, ConvShape, ConvWeightGrad};
use ganymede_kernels::gemm::{MatMul, MatMulShape};
use ganymede_kernels::isa::Isa;
use ganymede_kernels::kernel::{Access, Element, Kernel, WORD};
use ganymede_kernels::machine::{Lent, Machine, Space, SpaceId, Step, View};
use ganymede_kernels::pass::{
    BinaryOp, Instr, Lane, Load, Pass, PassSpec, Reduce, ReduceOp, Store, UnaryOp, Variance,
};
use ganymede_kernels::pool::Pool;
use ganymede_kernels::random::PhiloxBits;
use std::sync::Arc;
use std::time::Duration;

/// What a rate counts.
enum Rate {
    Flops,
    Bytes,
}

struct Bench<'a> {
    criterion: &'a mut Criterion,
    pool: Pool,
    isa: Isa,
}

impl Bench<'_> {
    fn run(&mut self, group: &str, name: &str, rate: Rate, kernel: impl Kernel + 'static) {
        let specs = kernel.operands();
        let bytes: usize = specs.iter().map(|s| s.words * WORD).sum();
        let throughput = match rate {
            Rate::Flops => Throughput::Elements(kernel.flops()),
            Rate::Bytes => Throughput::Bytes(bytes as u64),
        };
        let mut memories: Vec<Buffer> = specs
            .iter()
            .map(|spec| {
                let mut memory = Buffer::try_zeroed(spec.words).expect("memory");
                for (i, word) in memory.as_f32_mut().iter_mut().enumerate() {
                    *word = (i % 17) as f32 * 0.1 - 0.8;
                }
                memory
            })
            .collect();
        let spaces =
            specs.iter().map(|s| Space { words: s.words, writable: s.access != Access::Read }).collect();
        let views =
            (0..).zip(&specs).map(|(i, s)| View { space: SpaceId(i), offset: 0, words: s.words }).collect();
        let step = Step { kernel: Arc::new(kernel), views, label: name.to_string() };
        let mut machine = Machine::new(self.isa, spaces, vec![step], None).expect("a plan");
        let mut lent: Vec<Lent<'_>> = memories.iter_mut().map(|m| Lent::Write(m.as_f32_mut())).collect();
        let mut group = self.criterion.benchmark_group(group);
        // Of runs that all do the same, a slope over growing counts tells no more than their mean.
        group.throughput(throughput).sampling_mode(SamplingMode::Flat);
        group.bench_function(name, |b| b.iter(|| machine.run(&self.pool, &mut lent).expect("a run")));
        group.finish();
    }
}

/// Name; batch, side, input channels, output channels, filter, stride, padding.
const CONVOLUTIONS: [(&str, [usize; 7]); 5] = [
    ("28x28x1 to 64, 5x5 stride 2", [128, 28, 1, 64, 5, 2, 2]),
    ("14x14x64 to 128, 5x5 stride 2", [128, 14, 64, 128, 5, 2, 2]),
    ("28x28x32 to 64, 4x4 stride 2", [128, 28, 32, 64, 4, 2, 1]),
    ("16x16x128 to 256, 4x4 stride 2", [64, 16, 128, 256, 4, 2, 1]),
    ("14x14x96 to 192, 1x1", [128, 14, 96, 192, 1, 1, 0]),
];

fn convolutions(bench: &mut Bench<'_>) {
    for (name, [batch, side, in_c, out_c, k, stride, pad]) in CONVOLUTIONS {
        let shape = ConvShape {
            batch,
            in_h: side,
            in_w: side,
            in_c,
            out_c,
            kernel: [k; 2],
            stride: [stride; 2],
            pad_low: [pad; 2],
            pad_high: [pad; 2],
            dilation: [1; 2],
            groups: 1,
        };
        let isa = bench.isa;
        let forward = ConvForward::new(isa, shape, Algorithm::Any).expect("a shape");
        bench.run("conv/forward", name, Rate::Flops, forward);
        let input = ConvInputGrad::new(isa, shape, Algorithm::Any).expect("a shape");
        bench.run("conv/input_grad", name, Rate::Flops, input);
        let weight = ConvWeightGrad::new(isa, shape, Algorithm::Any).expect("a shape");
        bench.run("conv/weight_grad", name, Rate::Flops, weight);
    }
}

/// m, n, k, whether A and B are stored transposed.
const PRODUCTS: [(usize, usize, usize, bool, bool); 5] = [
    (100, 1024, 36_864, false, false),
    (128, 6272, 100, false, false),
    (100, 6272, 128, true, false),
    (256, 128, 128, false, true),
    (1024, 1024, 1024, false, false),
];

fn products(bench: &mut Bench<'_>) {
    for (m, n, k, trans_a, trans_b) in PRODUCTS {
        let shape = MatMulShape { batch: 1, m, n, k, trans_a, trans_b, a_batched: false, b_batched: false };
        let stored = |transposed| if transposed { "^T" } else { "" };
        let name = format!("{m}x{k}{} by {k}x{n}{}", stored(trans_a), stored(trans_b));
        bench.run("gemm", &name, Rate::Flops, MatMul::new(bench.isa, shape));
    }
}

/// Images of a generator's last layer, batch 128.
const IMAGE: [usize; 4] = [128, 28, 28, 32];

fn passes(bench: &mut Bench<'_>) {
    let dims = IMAGE.to_vec();
    let pass = |code: Vec<Instr>, loads: Vec<Load>, sums: bool| {
        let value = code.len() - 1;
        let store = Store::new(value);
        let reduce = Reduce { value, op: ReduceOp::Sum, lane: Lane::F32 };
        let (stores, reduces) = if sums { (vec![], vec![reduce]) } else { (vec![store], vec![]) };
        let keep = if sums { vec![false, false, false, true] } else { vec![] };
        Pass::new(PassSpec { dims: dims.clone(), loads, code, stores, reduces, keep }).expect("a pass")
    };
    let whole = || Load::contiguous(&IMAGE);
    let channel = Load { offset: 0, strides: vec![0, 0, 0, 1], words: IMAGE[3], element: Element::F32 };
    let leaky = vec![
        Instr::Load(0),
        Instr::Load(1),
        Instr::Binary(BinaryOp::Add, 0, 1),
        Instr::Const(0.2f32.to_bits()),
        Instr::Binary(BinaryOp::Mul, 2, 3),
        Instr::Binary(BinaryOp::Max, 2, 4),
    ];
    bench.run("pass", "bias and leaky ReLU", Rate::Bytes, pass(leaky, vec![whole(), channel], false));
    bench.run("pass", "channel sums", Rate::Bytes, pass(vec![Instr::Load(0)], vec![whole()], true));
    let keep = [false, false, false, true];
    bench.run("pass", "channel variances", Rate::Bytes, Variance::new(&IMAGE, &keep).expect("a shape"));
    for function in
        [UnaryOp::Exp, UnaryOp::Log1p, UnaryOp::Tanh, UnaryOp::Sigmoid, UnaryOp::Softplus, UnaryOp::Erfinv]
    {
        let code = vec![Instr::Load(0), Instr::Unary(function, 0)];
        bench.run("function", function.name(), Rate::Bytes, pass(code, vec![whole()], false));
    }
}

fn all(criterion: &mut Criterion) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let isa = Isa::from_env().expect("GANYMEDE_ISA names an instruction set of this CPU");
    let pool = Pool::new(threads).expect("threads");
    let mut bench = Bench { criterion, pool, isa };
    convolutions(&mut bench);
    products(&mut bench);
    passes(&mut bench);
    let bits = PhiloxBits::new(4096, 784, 0).expect("a stream");
    bench.run("random", "philox4x32-10", Rate::Bytes, bits);
}

fn brief() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = kernels; config = brief(); targets = all }
criterion_main!(kernels);
