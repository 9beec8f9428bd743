//! Prints effective GFLOP/s (by the definition, `w` where Winograd's algorithm runs) of the convolution triad on shapes
//! that GANs meet, per direction and instruction set, and their share of the peak: f32 multiply-adds on registers,
//! measured in turn with the kernel, the best of both counting, so that what else the machine does decides less.
//!
//! `cargo run --release -p ganymede-kernels --example conv_speed -- [--isa NAME] [--threads N] [--batch N] [--direct] [--only DIRECTION] [--bf16 [--stored]] [--by-task] [FILTER]`
//!
//! `--bf16` times mixed precision where it is computed (`b`), and the rate of `vdpbf16ps` alone; with `--stored`,
//! images and gradients that are read are stored as bf16. `--only forward` (or `input`, `weight`) leaves the others out,
//! for profiles. `--by-task` sums the least time of each task on one thread, for machines that others use.

mod measure;

use ganymede_kernels::buffer::AllocError;
use ganymede_kernels::conv::{
    Algorithm, ConvForward, ConvInputGrad, ConvShape, ConvWeightGrad, MixedConv, MixedWeightGrad,
};
use ganymede_kernels::isa::{Isa, has_bf16};
use ganymede_kernels::kernel::{Element, Kernel, Mixed, Operands};
use ganymede_kernels::peak::multiply_adds;
use ganymede_kernels::pool::Pool;
use measure::{Memory, by_task, scratch};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Batch, size, input channels, output channels, kernel, stride, padding, groups.
type Row = (&'static str, [usize; 8]);

const SHAPES: &[Row] = &[
    ("dcgan28 D2 14x14x64->128 k5s2", [128, 14, 64, 128, 5, 2, 2, 1]),
    ("dcgan28 D1 28x28x1->64 k5s2", [128, 28, 1, 64, 5, 2, 2, 1]),
    ("dcgan28 G1 14x14x64->7x7x128 k4s2", [128, 14, 64, 128, 4, 2, 1, 1]),
    ("dcgan28 G2 28x28x32->14x14x64 k4s2", [128, 28, 32, 64, 4, 2, 1, 1]),
    ("dcgan28 G3 28x28x32->1 k5s1", [128, 28, 32, 1, 5, 1, 2, 1]),
    ("dcgan64 D1 64x64x3->64 k4s2", [64, 64, 3, 64, 4, 2, 1, 1]),
    ("dcgan64 D2 32x32x64->128 k4s2", [64, 32, 64, 128, 4, 2, 1, 1]),
    ("dcgan64 D3 16x16x128->256 k4s2", [64, 16, 128, 256, 4, 2, 1, 1]),
    ("dcgan64 D4 8x8x256->512 k4s2", [64, 8, 256, 512, 4, 2, 1, 1]),
    ("dcgan64 D5 4x4x512->1 k4", [64, 4, 512, 1, 4, 1, 0, 1]),
    ("dcgan64 G0 4x4x512->100 k4", [64, 4, 512, 100, 4, 1, 0, 1]),
    ("guide-dense 28x28x1->64 k5", [100, 28, 1, 64, 5, 1, 0, 1]),
    ("r3 14x14x96->192 k1", [128, 14, 96, 192, 1, 1, 0, 1]),
    ("r3 14x14x192 k3 groups 12", [128, 14, 192, 192, 3, 1, 1, 12]),
    ("r3 7x7x192 k3 groups 12", [128, 7, 192, 192, 3, 1, 1, 12]),
    ("r3 7x7x96 k7 depthwise valid", [128, 7, 96, 96, 7, 1, 0, 96]),
    ("14x14x96 k3 depthwise", [128, 14, 96, 96, 3, 1, 1, 96]),
];

fn shape(&[batch, size, in_c, out_c, k, stride, pad, groups]: &[usize; 8]) -> ConvShape {
    ConvShape {
        batch,
        in_h: size,
        in_w: size,
        in_c,
        out_c,
        kernel: [k, k],
        stride: [stride, stride],
        pad_low: [pad, pad],
        pad_high: [pad, pad],
        dilation: [1, 1],
        groups,
    }
}

/// Measurements of peak and kernel, in turn.
const ROUNDS: usize = 6;

/// Seconds of the fastest of `repeats` runs on `threads` threads, which take tasks as they come.
fn seconds(kernel: &dyn Kernel, isa: Isa, threads: usize, repeats: usize) -> Result<f64, AllocError> {
    let memory = Memory::of(kernel)?;
    let operands = Operands::new(&memory.parts);
    let stages = kernel.stages();
    let next: Vec<AtomicUsize> = (0..repeats * stages).map(|_| AtomicUsize::new(0)).collect();
    let barrier = Barrier::new(threads);
    let work = || {
        let (mut scratch, shift) = scratch(kernel);
        let local = &mut scratch[shift..shift + kernel.local_words()];
        let mut best = f64::INFINITY;
        for repeat in 0..repeats {
            // Before the barrier: a thread that leaves it late would miss work that others have done.
            let start = Instant::now();
            barrier.wait();
            for stage in 0..stages {
                loop {
                    let task = next[repeat * stages + stage].fetch_add(1, Ordering::Relaxed);
                    if task >= kernel.tasks(stage) {
                        break;
                    }
                    // SAFETY: the instruction set is available, operands are as declared and distinct, the
                    // barrier separates stages, and every task is taken once.
                    unsafe { kernel.run(isa, stage, task, &operands, local) };
                }
                barrier.wait();
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        best
    };
    Ok(std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work()
    }))
}

/// GFLOP/s of `vdpbf16ps` on `threads` threads: sums in registers, no memory.
#[cfg(target_arch = "x86_64")]
fn peak(threads: usize) -> Option<f64> {
    use std::arch::x86_64::*;
    const SUMS: usize = 24;
    const ROUNDS: usize = 1_000_000;
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn rounds(word: i32) -> f32 {
        // SAFETY: both types are 512 bits without invalid patterns.
        let x = unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(word)) };
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, x, x);
            }
        }
        sums.iter().fold(0.0, |total, &sum| total + _mm512_reduce_add_ps(sum))
    }
    if !has_bf16(Isa::Avx512) {
        return None;
    }
    let once = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                // SAFETY: the CPU has the instructions.
                scope.spawn(|| std::hint::black_box(unsafe { rounds(std::hint::black_box(0x3f80_3f80)) }));
            }
        });
        (threads * ROUNDS * SUMS * 64) as f64 / start.elapsed().as_secs_f64() * 1e-9
    };
    Some((0..10).map(|_| once()).fold(0.0, f64::max))
}

#[cfg(not(target_arch = "x86_64"))]
fn peak(_: usize) -> Option<f64> {
    None
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut isas, mut threads, mut batch, mut filter) = (Isa::available(), 2, None, String::new());
    let (mut algorithm, mut bf16, mut stored) = (Algorithm::Any, false, Element::F32);
    let (mut only, mut tasks) = (String::new(), false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--isa" => isas = vec![Isa::parse(&args.next().ok_or("--isa needs a name")?)?],
            "--threads" => threads = args.next().ok_or("--threads needs a number")?.parse::<usize>()?.max(1),
            "--batch" => {
                batch = Some(args.next().ok_or("--batch needs a number")?.parse::<usize>()?.max(1));
            }
            "--bf16" => bf16 = true,
            "--by-task" => (tasks, threads) = (true, 1),
            "--stored" => stored = Element::Bf16,
            "--only" => only = args.next().ok_or("--only needs a direction")?,
            "--direct" => algorithm = Algorithm::Direct,
            other => filter = other.to_string(),
        }
    }
    for isa in isas.into_iter().rev() {
        let pool = Pool::new(threads)?;
        println!("{} on {threads} threads: GFLOP/s (milliseconds) share of the f32 peak", isa.name());
        if bf16
            && has_bf16(isa)
            && let Some(peak) = peak(threads)
        {
            println!("vdpbf16ps alone: {peak:.1}");
        }
        println!("{:36} {:>22} {:>22} {:>22}", "", "forward", "input grad", "weight grad");
        for (name, dims) in SHAPES.iter().filter(|(name, _)| name.contains(&filter)) {
            let mut shape = shape(dims);
            shape.batch = match batch {
                Some(batch) => batch,
                None if isa == Isa::Portable => shape.batch.div_ceil(8),
                None => shape.batch,
            };
            let mut kernels: [Box<dyn Kernel>; 3] = [
                Box::new(ConvForward::new(isa, shape, algorithm)?),
                Box::new(ConvInputGrad::new(isa, shape, algorithm)?),
                Box::new(ConvWeightGrad::new(isa, shape, algorithm)?),
            ];
            let image = Mixed { a: stored, ..Mixed::F32 };
            if bf16 && let Some(kernel) = MixedConv::forward(isa, shape, image) {
                kernels[0] = Box::new(kernel);
            }
            if bf16 && let Some(kernel) = MixedConv::input_grad(isa, shape, image) {
                kernels[1] = Box::new(kernel);
            }
            if bf16 && let Some(kernel) = MixedWeightGrad::new(isa, shape, Mixed { b: stored, ..image }) {
                kernels[2] = Box::new(kernel);
            }
            print!("{name:36}");
            for (direction, kernel) in ["forward", "input", "weight"].into_iter().zip(&kernels) {
                if !direction.starts_with(&only) {
                    print!("{:23}", "");
                    continue;
                }
                // About 15 milliseconds at 150 GFLOP/s, as long as the peak is measured each time.
                let repeats = (2e9 / kernel.flops() as f64).clamp(2.0, 40.0) as usize;
                let (mut time, mut peak) = (f64::INFINITY, 0.0f64);
                for _ in 0..ROUNDS {
                    peak = peak.max(multiply_adds(isa, &pool, 2)?);
                    time = time.min(if tasks {
                        by_task(kernel.as_ref(), isa, repeats)?
                    } else {
                        seconds(kernel.as_ref(), isa, threads, repeats)?
                    });
                }
                let mark = match kernel.name() {
                    name if name.starts_with("winograd") => "w",
                    name if name.ends_with("bf16") => "b",
                    _ => " ",
                };
                let rate = kernel.flops() as f64 / time / 1e9;
                print!(" {rate:7.1}{mark}({:6.2}) {:3.0} %", time * 1e3, 100.0 * rate / peak);
            }
            println!();
        }
    }
    Ok(())
}
