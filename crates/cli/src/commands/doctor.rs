use crate::args::Doctor;
use crate::human;
use crate::say::say;
use anyhow::Context;
use ganymede_cpu::{
    Bf16, Executor, ExecutorOptions, Precision, Session, StateStore, fast_bf16, has_bf16, has_tiles,
};
use ganymede_graph::{Array, ConvOptions, Function, Graph, GraphError, TensorType, grad, interpret};
use ganymede_kernels::isa::Isa;
use ganymede_nn::summary::bytes;
use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Instant;

/// A comparison of kernels with their definitions.
struct Check {
    isa: Isa,
    precision: Precision,
    /// Relative, in the L2 norm.
    error: f64,
}

impl Check {
    /// Kernels whose error is larger are wrong rather than rounded. Rounded to bf16 an operand is off by up to 2^-8, by
    /// 2^-8 / sqrt(3) in the mean square; about a dozen contractions of two such operands lie behind the results below,
    /// which makes .011, and .013 was measured.
    fn bound(&self) -> f64 {
        match self.precision {
            Precision::Bf16 => 0.03,
            Precision::F32 => 1e-5,
        }
    }

    fn sound(&self) -> bool {
        self.error <= self.bound()
    }

    fn name(&self) -> String {
        match self.precision {
            Precision::Bf16 => format!("{}, bf16", self.isa.name()),
            Precision::F32 => self.isa.name().to_string(),
        }
    }
}

pub fn run(options: &Doctor) -> anyhow::Result<ExitCode> {
    let chosen = Isa::from_env().context("environment variable GANYMEDE_ISA")?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = options.threads.unwrap_or(cores);
    let mut checks = Vec::new();
    for isa in Isa::available() {
        checks.push(self_test(isa, Precision::F32, threads)?);
        if has_bf16(isa) {
            checks.push(self_test(isa, Precision::Bf16, threads)?);
        }
    }
    let speed = matmul_speed(chosen, threads)?;
    let sound = checks.iter().all(Check::sound);
    let (total, free) = memory();
    if options.json {
        let tests: Vec<_> = checks
            .iter()
            .map(|check| {
                serde_json::json!({"isa": check.isa.name(), "bf16": check.precision == Precision::Bf16,
                    "relative_error": check.error, "ok": check.sound()})
            })
            .collect();
        let line = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"), "cpu": human::processor(), "cores": cores, "threads": threads,
            "isa": chosen.name(), "bf16": has_bf16(chosen), "bf16_fast": fast_bf16(chosen),
            "matrix_unit": has_tiles(chosen),
            "memory_bytes": total, "memory_free_bytes": free,
            "matmul_gflops": speed,
            "self_test": tests, "ok": sound,
        });
        say!("{line}")?;
    } else {
        say!("ganymede {}", env!("CARGO_PKG_VERSION"))?;
        say!("CPU              {}", human::processor())?;
        say!("threads          {threads} of {cores} cores")?;
        for isa in Isa::ALL {
            let state = match (isa == chosen, isa.supported()) {
                (true, _) => "in use",
                (false, true) => "available (force it with GANYMEDE_ISA)",
                (false, false) => "not on this CPU",
            };
            say!("{:<16} {state}", isa.name())?;
        }
        let bf16 = match (has_bf16(chosen), Isa::available().into_iter().any(has_bf16)) {
            (true, _) if has_tiles(chosen) => "on this CPU's matrix unit (AMX): --precision bf16 uses it",
            (true, _) if fast_bf16(chosen) => "on this CPU: --precision bf16 uses it",
            (true, _) => {
                "on this CPU, slower than f32 and without a matrix unit: --precision bf16 computes in f32"
            }
            (false, true) => {
                "on this CPU, but not with the instruction set in use: --precision bf16 computes in f32"
            }
            (false, false) => "not on this CPU: --precision bf16 computes in f32",
        };
        say!("{:<16} {bf16}", "bf16")?;
        if total > 0 {
            say!("memory           {} of {} free", bytes(free), bytes(total))?;
        }
        say!("matrix product   {speed:.0} GFLOP/s (1024 x 1024 x 1024, f32)")?;
        for check in &checks {
            let verdict = if check.sound() { "ok" } else { "WRONG" };
            say!(
                "self-test        {:<13} {verdict}: relative error {:.1e} of a network and its second derivatives",
                check.name(),
                check.error
            )?;
        }
    }
    if !sound {
        anyhow::bail!(
            "a kernel disagrees with its definition on this machine: please report the lines above"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// A network of convolution and dense layers with a gradient penalty, on images of so many channels: its loss and
/// gradients touch every contraction and the second derivatives.
fn subject([input, middle, output]: [usize; 3]) -> Result<Function, GraphError> {
    let g = Graph::new();
    let x = g.feed("x", TensorType::f32([4, 9, 9, input]));
    let w1 = g.feed("w1", TensorType::f32([3, 3, input, middle]));
    let w2 = g.feed("w2", TensorType::f32([4, 4, output, middle]));
    let w3 = g.feed("w3", TensorType::f32([49 * output, 1]));
    let h = x.conv2d(&w1, ConvOptions::default().stride(2).pad(1)).leaky_relu(0.2);
    let up = h.conv2d_transposed(&w2, ConvOptions::default().stride(2).pad(0), [12, 12]).tanh();
    let pooled = up.slice(1, 0, 7).slice(2, 0, 7);
    let logits = pooled.reshape(&[4, 49 * output]).matmul(&w3);
    let slope = &grad(&logits.sum_all(), &[&x])[0];
    let loss = logits.softplus().mean_all() + slope.square().sum_all() * 0.5;
    for (name, value) in ["gx", "g1", "g2", "g3"].iter().zip(grad(&loss, &[&x, &w1, &w2, &w3])) {
        g.output(name, &value);
    }
    g.output("loss", &loss);
    g.finish()
}

fn values(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(next).collect()
}

/// Largest relative error (in L2 norm) of the executor against the reference interpreter over all results.
fn self_test(isa: Isa, precision: Precision, threads: usize) -> anyhow::Result<Check> {
    // Contractions of fewer than 16 channels have no bf16 kernels.
    let function = subject(if precision == Precision::Bf16 { [16, 36, 20] } else { [3, 20, 8] })?;
    let executor = Executor::new(ExecutorOptions {
        threads: Some(threads),
        isa: Some(isa),
        bf16: Some(Bf16::Everywhere),
        ..ExecutorOptions::default()
    })?;
    let mut session = Session::new(executor, StateStore::new());
    session.set_precision(precision);
    let phase = session.add_phase("self-test", &function)?;
    let mut arrays = HashMap::new();
    for (i, input) in function.inputs.iter().enumerate() {
        let mut given = values(input.ty.len(), 7 + i as u32);
        if input.name.starts_with('w') {
            // Sums stay near 1: a saturated tanh turns what bf16 rounds into errors of any size.
            given.iter_mut().for_each(|w| *w *= 0.1);
        }
        session.feed_mut(phase, &input.name)?.copy_from_slice(&given);
        arrays.insert(input.name.clone(), Array::from_f32(&input.ty.shape, &given));
    }
    session.run(phase)?;
    let expected = interpret(&function, &arrays, ganymede_graph::Precision::F64)?;
    let mut worst = 0.0f64;
    for (name, array) in &expected.outputs {
        let got = session.output(phase, name).unwrap_or(&[]);
        let (mut error, mut norm) = (0.0, 1e-30);
        for (g, e) in got.iter().zip(array.floats()) {
            error += (f64::from(*g) - e).powi(2);
            norm += e * e;
        }
        let relative = if got.len() == array.floats().len() { (error / norm).sqrt() } else { f64::INFINITY };
        worst = if relative.is_nan() { f64::INFINITY } else { worst.max(relative) };
    }
    Ok(Check { isa, precision, error: worst })
}

fn matmul_speed(isa: Isa, threads: usize) -> anyhow::Result<f64> {
    const N: usize = 1024;
    let g = Graph::new();
    let (a, b) = (g.feed("a", TensorType::f32([N, N])), g.feed("b", TensorType::f32([N, N])));
    g.output("c", &a.matmul(&b));
    let executor = Executor::new(ExecutorOptions {
        threads: Some(threads),
        isa: Some(isa),
        ..ExecutorOptions::default()
    })?;
    let mut session = Session::new(executor, StateStore::new());
    let phase = session.add_phase("matmul", &g.finish()?)?;
    for (i, name) in ["a", "b"].iter().enumerate() {
        session.feed_mut(phase, name)?.copy_from_slice(&values(N * N, 3 + i as u32));
    }
    let mut best = f64::INFINITY;
    for _ in 0..6 {
        let began = Instant::now();
        session.run(phase)?;
        best = best.min(began.elapsed().as_secs_f64());
    }
    Ok(2.0 * (N * N * N) as f64 / best / 1e9)
}

/// Total and available memory in bytes; 0 where the system does not say.
fn memory() -> (u64, u64) {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let read = |key: &str| {
        let line = info.lines().find_map(|l| l.strip_prefix(key));
        line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kb| kb * 1024)
    };
    (read("MemTotal:"), read("MemAvailable:"))
}
