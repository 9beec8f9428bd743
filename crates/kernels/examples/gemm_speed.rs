//! Prints the speed of matrix products on each instruction set, or on the named one, with one thread and with
//! two, or with the given numbers; with `--bf16`, of those in mixed precision.
//!
//! `cargo run --release -p ganymede-kernels --example gemm_speed [--bf16] [ISA [THREADS...]]`

use ganymede_kernels::buffer::Buffer;
use ganymede_kernels::gemm::{MatMul, MatMulShape, MixedMatMul};
use ganymede_kernels::isa::Isa;
use ganymede_kernels::kernel::{Access, Kernel, Mixed};
use ganymede_kernels::machine::{Lent, Machine, Space, SpaceId, Step, View};
use ganymede_kernels::pool::Pool;
use std::error::Error;
use std::time::{Duration, Instant};

/// Batch, m, n, k, whether A and B are stored transposed.
const SHAPES: [(usize, usize, usize, usize, bool, bool); 13] = [
    (1, 100, 1024, 36864, false, false),
    (1, 100, 36864, 1024, false, true),
    (1, 36864, 1024, 100, true, false),
    (1, 128, 6272, 100, false, false),
    (1, 100, 6272, 128, true, false),
    (1, 128, 100, 6272, false, true),
    (1, 128, 1, 6272, false, false),
    (1, 256, 128, 128, false, false),
    (1, 128, 128, 256, true, false),
    (1, 500, 256, 256, false, false),
    (1, 500, 256, 256, false, true),
    (1, 1024, 1024, 1024, false, false),
    (64, 49, 49, 64, false, true),
];

/// Time spent on each figure.
const BUDGET: Duration = Duration::from_millis(250);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let bf16 = arguments.next_if(|a| a == "--bf16").is_some();
    let isas = match arguments.next() {
        Some(name) => vec![Isa::parse(&name)?],
        None => Isa::available(),
    };
    let mut threads = arguments.map(|a| a.parse()).collect::<Result<Vec<usize>, _>>()?;
    if threads.is_empty() {
        threads = vec![1, 2];
    }
    for isa in isas {
        println!("{} (batch x m x n x k: GFLOP/s with {threads:?} threads)", isa.name());
        for (batch, m, n, k, trans_a, trans_b) in SHAPES {
            let batched = batch > 1;
            let shape =
                MatMulShape { batch, m, n, k, trans_a, trans_b, a_batched: batched, b_batched: batched };
            let stored = |t: bool| if t { "^T" } else { "  " };
            print!("  {batch:3} x {m:5} x {n:5} x {k:5} A{} B{}", stored(trans_a), stored(trans_b));
            for &threads in &threads {
                let kernel: Box<dyn Kernel> = match MixedMatMul::new(isa, shape, Mixed::F32) {
                    Some(kernel) if bf16 => Box::new(kernel),
                    None if bf16 => {
                        print!("   (f32 only)");
                        continue;
                    }
                    _ => Box::new(MatMul::new(isa, shape)),
                };
                let (seconds, flops) = best_time(isa, kernel, threads)?;
                print!(" {:8.1}", flops / seconds * 1e-9);
            }
            println!();
        }
    }
    Ok(())
}

/// Seconds of the fastest of several runs, and the operations of one.
fn best_time(isa: Isa, kernel: Box<dyn Kernel>, threads: usize) -> Result<(f64, f64), Box<dyn Error>> {
    let flops = kernel.flops() as f64;
    let specs = kernel.operands();
    let mut memories = Vec::new();
    for spec in &specs {
        let mut memory = Buffer::try_zeroed(spec.words)?;
        for (i, word) in memory.as_f32_mut().iter_mut().enumerate() {
            *word = (i % 17) as f32 * 0.1 - 0.8;
        }
        memories.push(memory);
    }
    let spaces = specs.iter().map(|s| Space { words: s.words, writable: s.access != Access::Read }).collect();
    let views =
        (0..).zip(&specs).map(|(i, s)| View { space: SpaceId(i), offset: 0, words: s.words }).collect();
    let step = Step { kernel: kernel.into(), views, label: "product".into() };
    let mut machine = Machine::new(isa, spaces, vec![step], None)?;
    let pool = Pool::new(threads)?;
    let mut lent: Vec<Lent<'_>> = memories.iter_mut().map(|m| Lent::Write(m.as_f32_mut())).collect();
    let (begin, mut best) = (Instant::now(), f64::INFINITY);
    let mut runs = 0;
    while runs < 3 || begin.elapsed() < BUDGET {
        let start = Instant::now();
        machine.run(&pool, &mut lent)?;
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    Ok((best, flops))
}
