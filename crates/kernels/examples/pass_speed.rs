//! Memory throughput of fused passes: `cargo run --release -p ganymede-kernels --example pass_speed [threads]`.
//!
//! Bytes count every word read and written once. Operands lie in ordinary memory, tasks are dealt to scoped
//! threads by a counter.

use ganymede_kernels::isa::Isa;
use ganymede_kernels::kernel::{Element, Kernel, Operands};
use ganymede_kernels::movement::StridedCopy;
use ganymede_kernels::pass::{
    BinaryOp, CompareOp, Instr, Lane, Load, MultiPass, MultiPassSpec, Pass, PassSpec, Reduce, ReduceOp,
    Store, UnaryOp, Variance, row_major,
};
use ganymede_kernels::random::PhiloxBits;
use ganymede_kernels::select::{WindowArgMax, WindowGather, WindowGeometry, WindowScatter};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// A cache line, so that operands and scratch are aligned.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; 16]);

fn measure(name: &str, kernel: &dyn Kernel, isa: Isa, threads: usize) {
    let specs = kernel.operands();
    let mut memory: Vec<Vec<Line>> =
        specs.iter().map(|s| vec![Line([0.5; 16]); s.words.div_ceil(16)]).collect();
    let parts: Vec<(*mut f32, usize)> = specs
        .iter()
        .enumerate()
        .map(|(i, s)| (memory[s.may_alias.unwrap_or(i)].as_mut_ptr().cast(), s.words))
        .collect();
    let operands = Operands::new(&parts);
    let bytes: usize = specs.iter().map(|s| 4 * s.words).sum();
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let start = Instant::now();
        for stage in 0..kernel.stages() {
            let next = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        let words = kernel.local_words();
                        let mut local = vec![Line([0.0; 16]); words.div_ceil(16)];
                        loop {
                            let task = next.fetch_add(1, Ordering::Relaxed);
                            if task >= kernel.tasks(stage) {
                                break;
                            }
                            // SAFETY: the lines hold at least these words.
                            let local =
                                unsafe { std::slice::from_raw_parts_mut(local.as_mut_ptr().cast(), words) };
                            // SAFETY: operands are as the kernel asked; the counter deals each task once.
                            unsafe { kernel.run(isa, stage, task, &operands, local) };
                        }
                    });
                }
            });
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!(
        "{name:<44} {:<8} {threads} threads {:8.3} ms {:7.2} GB/s",
        isa.name(),
        best * 1e3,
        bytes as f64 / best / 1e9
    );
}

fn float(x: f32) -> Instr {
    Instr::Const(x.to_bits())
}

fn main() {
    let threads = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(2);
    let isas = Isa::available();
    let isa = Isa::best();

    let flat = vec![3_200_000];
    let leaky = vec![
        Instr::Load(0),
        Instr::Load(1),
        Instr::Binary(BinaryOp::Add, 0, 1),
        float(0.2),
        Instr::Binary(BinaryOp::Mul, 2, 3),
        Instr::Binary(BinaryOp::Max, 2, 4),
    ];
    let pass = |spec| Pass::new(spec).expect("a valid pass");
    let add = pass(PassSpec {
        dims: flat.clone(),
        loads: vec![Load::contiguous(&flat); 2],
        code: leaky.clone(),
        stores: vec![Store { alias: Some(0), ..Store::new(5) }],
        reduces: vec![],
        keep: vec![],
    });
    let image = vec![128, 28, 28, 32];
    let bias = pass(PassSpec {
        dims: image.clone(),
        loads: vec![
            Load::contiguous(&image),
            Load { offset: 0, strides: vec![0, 0, 0, 1], words: 32, element: Element::F32 },
        ],
        code: leaky,
        stores: vec![Store { alias: Some(0), ..Store::new(5) }],
        reduces: vec![],
        keep: vec![],
    });
    let keep = vec![false, false, false, true];
    let sums = |keep: &[bool]| {
        pass(PassSpec {
            dims: image.clone(),
            loads: vec![Load::contiguous(&image)],
            code: vec![Instr::Load(0)],
            stores: vec![],
            reduces: vec![Reduce { value: 0, op: ReduceOp::Sum, lane: Lane::F32 }],
            keep: keep.to_vec(),
        })
    };
    for isa in isas {
        measure("add + leaky ReLU, 3.2M words", &add, isa, threads);
        measure("bias + leaky ReLU, [128,28,28,32]", &bias, isa, threads);
        measure("channel sums, [128,28,28,32]", &sums(&keep), isa, threads);
    }
    measure("sum, [128,28,28,32]", &sums(&[false; 4]), isa, threads);
    measure("sums of samples, [128,28,28,32]", &sums(&[true, false, false, false]), isa, threads);
    measure("sums of samples' channels", &sums(&[true, false, false, true]), isa, threads);
    measure("sums of pixels", &sums(&[true, true, true, false]), isa, threads);
    let variance = Variance::new(&image, &keep).expect("a valid variance");
    measure("batch statistics, [128,28,28,32]", &variance, isa, threads);
    let wide = pass(PassSpec {
        dims: vec![128, 36_864],
        loads: vec![Load::contiguous(&[128, 36_864])],
        code: vec![Instr::Load(0)],
        stores: vec![],
        reduces: vec![Reduce { value: 0, op: ReduceOp::Sum, lane: Lane::F32 }],
        keep: vec![false, true],
    });
    measure("bias gradient, [128,36864]", &wide, isa, threads);

    for (name, op) in [("tanh", UnaryOp::Tanh), ("exp", UnaryOp::Exp), ("softplus", UnaryOp::Softplus)] {
        let map = pass(PassSpec {
            dims: flat.clone(),
            loads: vec![Load::contiguous(&flat)],
            code: vec![Instr::Load(0), Instr::Unary(op, 0)],
            stores: vec![Store { alias: Some(0), ..Store::new(1) }],
            reduces: vec![],
            keep: vec![],
        });
        measure(&format!("{name}, 3.2M words"), &map, isa, threads);
    }
    let select = pass(PassSpec {
        dims: flat.clone(),
        loads: vec![Load::contiguous(&flat); 2],
        code: vec![
            Instr::Load(0),
            Instr::Load(1),
            float(0.0),
            Instr::Compare(CompareOp::Gt, Lane::F32, 0, 2),
            float(0.2),
            Instr::Binary(BinaryOp::Mul, 1, 4),
            Instr::Select(3, 1, 5),
        ],
        stores: vec![Store { alias: Some(1), ..Store::new(6) }],
        reduces: vec![],
        keep: vec![],
    });
    measure("leaky ReLU gradient, 3.2M words", &select, isa, threads);

    // p, m, v, g and learning rate; the usual decays.
    let adam = vec![
        Instr::Load(0),
        Instr::Load(1),
        Instr::Load(2),
        Instr::Load(3),
        Instr::Load(4),
        float(0.5),
        float(0.001),
        float(1e-8),
        Instr::Binary(BinaryOp::Sub, 3, 1),
        Instr::MulAdd(8, 5, 1),
        Instr::Unary(UnaryOp::Square, 3),
        Instr::Binary(BinaryOp::Sub, 10, 2),
        Instr::MulAdd(11, 6, 2),
        Instr::Unary(UnaryOp::Sqrt, 12),
        Instr::Binary(BinaryOp::Add, 13, 7),
        Instr::Binary(BinaryOp::Div, 9, 14),
        Instr::Binary(BinaryOp::Mul, 15, 4),
        Instr::Binary(BinaryOp::Sub, 0, 16),
    ];
    let update = MultiPass::new(MultiPassSpec {
        segments: vec![36_864 * 1024, 1024, 64, 1_600, 64, 102_400, 128, 1],
        loads: 4,
        scalars: 1,
        code: adam,
        stores: vec![
            Store { alias: Some(0), ..Store::new(17) },
            Store { alias: Some(1), ..Store::new(9) },
            Store { alias: Some(2), ..Store::new(12) },
        ],
        reduces: vec![],
    })
    .expect("a valid pass");
    measure("Adam, 38M words", &update, isa, threads);

    let finite = MultiPass::new(MultiPassSpec {
        segments: vec![3_200_000],
        loads: 1,
        scalars: 0,
        code: vec![Instr::Load(0), Instr::Unary(UnaryOp::IsFinite, 0)],
        stores: vec![],
        reduces: vec![Reduce { value: 1, op: ReduceOp::Min, lane: Lane::U32 }],
    })
    .expect("a valid pass");
    measure("all finite, 3.2M words", &finite, isa, threads);
    let bits = PhiloxBits::new(128, 25_000, 0).expect("a valid stream");
    measure("Philox, 3.2M words", &bits, isa, threads);
    let windows = WindowGeometry {
        n: 128,
        size: [28, 28],
        channels: 32,
        kernel: [2, 2],
        stride: [2, 2],
        pad_low: [0, 0],
        pad_high: [0, 0],
    };
    let argmax = WindowArgMax::new(windows).expect("windows");
    measure("2x2 window maxima, [128,28,28,32]", &argmax, isa, threads);
    let (n, pixels, channels, picks) = (128, 784, 32, 196);
    measure("window gather", &WindowGather { n, pixels, channels, picks }, isa, threads);
    measure("window scatter", &WindowScatter { n, pixels, channels, picks }, isa, threads);

    let strides = row_major(&image);
    let transpose = StridedCopy::gather(
        &[128, 32, 28, 28],
        image.iter().product(),
        0,
        vec![strides[0], strides[3], strides[1], strides[2]],
    )
    .expect("a valid copy");
    measure("NHWC to NCHW, [128,28,28,32]", &transpose, isa, threads);
    let matrix = StridedCopy::gather(&[1536, 2048], 1536 * 2048, 0, vec![1, 1536]).expect("a valid copy");
    measure("transpose, [2048,1536]", &matrix, isa, threads);
}
