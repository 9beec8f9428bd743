//! Prints GFLOP/s of matrix products that GANs meet, and of square ones, per form and instruction set, and their share
//! of the peak: f32 multiply-adds on registers, measured in turn with the kernel, the best of both counting, so that
//! what else the machine does decides less.
//!
//! `cargo run --release -p ganymede-kernels --example gemm_speed -- [--isa NAME] [--threads N]... [--bf16] [--by-task] [FILTER]`
//!
//! A layer of `k` inputs and `n` outputs on a batch of `m` has three products: `forward` is `A B`, `input grad` the
//! product of an [m, n] with B transposed, `weight grad` that of A transposed with an [m, n]. Behind a bar follow those
//! that programs compute band by band with the right operand packed before (`PackedRight`, which is not timed), where they
//! are of that kind. `--bf16` times mixed precision where it is computed. `--by-task`
//! sums the least time of each task on one thread, for machines that others use.

mod measure;

use ganymede_kernels::buffer::Buffer;
use ganymede_kernels::gemm::{BandMatMul, MatMul, MatMulShape, MixedMatMul};
use ganymede_kernels::isa::Isa;
use ganymede_kernels::kernel::{Access, Kernel, Mixed};
use ganymede_kernels::machine::{Lent, Machine, Space, SpaceId, Step, View};
use ganymede_kernels::peak::multiply_adds;
use ganymede_kernels::pool::Pool;
use measure::by_task;
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

/// Batch, rows, inputs and outputs of a layer.
const LAYERS: &[(&str, [usize; 4])] = &[
    ("mlp2d 2 to 128", [1, 256, 2, 128]),
    ("mlp2d 128 to 128", [1, 256, 128, 128]),
    ("mlp2d 128 to 2", [1, 256, 128, 2]),
    ("mlp2d 128 to 1", [1, 256, 128, 1]),
    ("ctgan 128 to 256", [1, 500, 128, 256]),
    ("ctgan 256 to 256", [1, 500, 256, 256]),
    ("ctgan 156 to 256", [1, 500, 156, 256]),
    ("ctgan 256 to 156", [1, 500, 256, 156]),
    ("ctgan 256 to 1", [1, 500, 256, 1]),
    ("dcgan28 100 to 6272", [1, 128, 100, 6272]),
    ("dcgan28 6272 to 1", [1, 128, 6272, 1]),
    ("guide-dense 36864 to 1024", [1, 100, 36864, 1024]),
    ("square 128", [1, 128, 128, 128]),
    ("square 256", [1, 256, 256, 256]),
    ("square 512", [1, 512, 512, 512]),
    ("square 1024", [1, 1024, 1024, 1024]),
    ("square 2048", [1, 2048, 2048, 2048]),
    ("square 4096", [1, 4096, 4096, 4096]),
    ("attention 49x64", [64, 49, 64, 49]),
];

/// Measurements of peak and kernel, in turn.
const ROUNDS: usize = 16;

/// Forward, input gradient and weight gradient of a layer.
fn products(&[batch, m, k, n]: &[usize; 4]) -> [MatMulShape; 3] {
    let batched = batch > 1;
    let of = |m, n, k, trans_a, trans_b| MatMulShape {
        batch,
        m,
        n,
        k,
        trans_a,
        trans_b,
        a_batched: batched,
        b_batched: batched,
    };
    [of(m, n, k, false, false), of(m, k, n, false, true), of(k, n, m, true, false)]
}

/// A program of one kernel, several times, with memory for it.
struct Measured {
    flops: f64,
    machine: Machine,
    memories: Vec<Buffer>,
    best: f64,
}

impl Measured {
    fn new(isa: Isa, kernel: Arc<dyn Kernel>) -> Result<Self, Box<dyn Error>> {
        let specs = kernel.operands();
        let mut memories = Vec::new();
        for spec in &specs {
            let mut memory = Buffer::try_zeroed(spec.words)?;
            for (i, word) in memory.as_f32_mut().iter_mut().enumerate() {
                *word = (i % 17) as f32 * 0.1 - 0.8;
            }
            memories.push(memory);
        }
        let spaces =
            specs.iter().map(|s| Space { words: s.words, writable: s.access != Access::Read }).collect();
        // About 4 milliseconds at 150 GFLOP/s, as long as the peak is measured each time.
        let repeats = (6e8 / kernel.flops() as f64).clamp(1.0, 200.0) as usize;
        let steps = (0..repeats).map(|_| Step {
            kernel: kernel.clone(),
            views: (0..)
                .zip(&specs)
                .map(|(i, s)| View { space: SpaceId(i), offset: 0, words: s.words })
                .collect(),
            label: "product".into(),
        });
        let machine = Machine::new(isa, spaces, steps.collect(), None)?;
        Ok(Self { flops: kernel.flops() as f64 * repeats as f64, machine, memories, best: f64::INFINITY })
    }

    fn run(&mut self, pool: &Pool) -> Result<(), Box<dyn Error>> {
        let mut lent: Vec<Lent<'_>> = self.memories.iter_mut().map(|m| Lent::Write(m.as_f32_mut())).collect();
        let start = Instant::now();
        self.machine.run(pool, &mut lent)?;
        self.best = self.best.min(start.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Rate in GFLOP/s and its share of the peak.
fn rate(isa: Isa, pool: &Pool, kernel: Arc<dyn Kernel>, tasks: bool) -> Result<(f64, f64), Box<dyn Error>> {
    if tasks {
        let (mut peak, mut best) = (0.0f64, f64::INFINITY);
        for _ in 0..ROUNDS / 2 {
            peak = peak.max(multiply_adds(isa, pool, 2)?);
            best = best.min(by_task(kernel.as_ref(), isa, 4)?);
        }
        let rate = kernel.flops() as f64 / best / 1e9;
        return Ok((rate, rate / peak));
    }
    let mut measured = Measured::new(isa, kernel)?;
    let mut peak = 0.0f64;
    for _ in 0..ROUNDS {
        peak = peak.max(multiply_adds(isa, pool, 1)?);
        measured.run(pool)?;
    }
    let rate = measured.flops / measured.best / 1e9;
    Ok((rate, rate / peak))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut isas, mut threads, mut filter, mut bf16) = (Isa::available(), Vec::new(), String::new(), false);
    let mut tasks = false;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--isa" => isas = vec![Isa::parse(&args.next().ok_or("--isa needs a name")?)?],
            "--threads" => {
                threads.push(args.next().ok_or("--threads needs a number")?.parse::<usize>()?.max(1));
            }
            "--bf16" => bf16 = true,
            "--by-task" => (tasks, threads) = (true, vec![1]),
            other => filter = other.to_string(),
        }
    }
    if threads.is_empty() {
        threads = vec![1, 2];
    }
    for (isa, &threads) in
        isas.iter().rev().flat_map(|&isa| threads.iter().map(move |threads| (isa, threads)))
    {
        let pool = Pool::new(threads)?;
        println!("{} on {threads} threads: GFLOP/s, share of the f32 peak", isa.name());
        println!("{:26} {:>13} {:>13} {:>13}  | in bands", "", "forward", "input grad", "weight grad");
        for (name, layer) in LAYERS.iter().filter(|(name, _)| name.contains(&filter)) {
            let print = |kernel: Option<Arc<dyn Kernel>>| -> Result<(), Box<dyn Error>> {
                match kernel {
                    Some(kernel) => {
                        let (rate, share) = rate(isa, &pool, kernel, tasks)?;
                        print!(" {rate:7.1} {:3.0} %", 100.0 * share);
                    }
                    None => print!(" {:13}", ""),
                }
                Ok(())
            };
            print!("{name:26}");
            let shapes = products(layer);
            for shape in shapes {
                print(if bf16 {
                    MixedMatMul::new(isa, shape, Mixed::F32).map(|kernel| Arc::new(kernel) as _)
                } else {
                    Some(Arc::new(MatMul::new(isa, shape)))
                })?;
            }
            if !bf16 {
                print!("  |");
                for shape in shapes {
                    print(BandMatMul::new(isa, shape).map(|kernel| Arc::new(kernel) as _))?;
                }
            }
            println!();
        }
    }
    Ok(())
}
