//! One training step of a 28x28 DCGAN at batch 128 (a discriminator phase and a generator phase, Adam on both),
//! written with graph ops alone: time a step, and the time of each kernel.
//!
//! `cargo run --release -p ganymede-cpu --example dcgan_step [STEPS] [--threads=N] [--penalty] [--calls]`
//!
//! With `--penalty` the discriminator's loss has the gradient penalty of WGAN-GP (Gulrajani et al. 2017).

use ganymede_cpu::{CpuError, Executor, ExecutorOptions, PhaseId, ProfileEntry, Session, StateStore};
use ganymede_graph::{ConvOptions, DType, Graph, Tensor, TensorType, grad};
use std::collections::BTreeMap;
use std::time::Instant;

const BATCH: usize = 128;
const LATENT: usize = 100;
const RATE: f64 = 2e-4;

/// Names and shapes of the parameters of both networks.
const PARAMETERS: &[(&str, &[usize])] = &[
    ("G/dense/weight", &[LATENT, 6272]),
    ("G/dense/bias", &[6272]),
    ("G/bn0/scale", &[6272]),
    ("G/bn0/shift", &[6272]),
    ("G/up1/weight", &[4, 4, 64, 128]),
    ("G/up1/bias", &[64]),
    ("G/bn1/scale", &[64]),
    ("G/bn1/shift", &[64]),
    ("G/up2/weight", &[4, 4, 32, 64]),
    ("G/up2/bias", &[32]),
    ("G/bn2/scale", &[32]),
    ("G/bn2/shift", &[32]),
    ("G/out/weight", &[5, 5, 32, 1]),
    ("G/out/bias", &[1]),
    ("D/conv1/weight", &[5, 5, 1, 64]),
    ("D/conv1/bias", &[64]),
    ("D/conv2/weight", &[5, 5, 64, 128]),
    ("D/conv2/bias", &[128]),
    ("D/dense/weight", &[6272, 1]),
    ("D/dense/bias", &[1]),
];

fn parameter(g: &Graph, name: &str) -> Tensor {
    let shape = PARAMETERS.iter().find(|p| p.0 == name).map(|p| p.1);
    g.state(name, TensorType::f32(shape.unwrap_or_else(|| panic!("no parameter {name}"))))
}

/// Normalised over all axes but the last.
fn batch_norm(x: &Tensor, name: &str) -> Tensor {
    let g = x.graph();
    let _scope = g.scope(name);
    let axes: Vec<usize> = (0..x.shape().len() - 1).collect();
    let mean = x.mean(&axes);
    let inverse = (x.variance(&axes) + 1e-5).rsqrt();
    let scale = parameter(g, &format!("{name}/scale"));
    let shift = parameter(g, &format!("{name}/shift"));
    (x - &mean) * inverse * scale + shift
}

fn generator(z: &Tensor) -> Tensor {
    let g = z.graph();
    let p = |name: &str| parameter(g, name);
    let up = ConvOptions::default().stride(2).pad(1);
    let x = z.matmul(&p("G/dense/weight")) + p("G/dense/bias");
    let x = batch_norm(&x, "G/bn0").leaky_relu(0.2).reshape(&[BATCH, 7, 7, 128]);
    let x = x.conv2d_transposed(&p("G/up1/weight"), up, [14, 14]) + p("G/up1/bias");
    let x = batch_norm(&x, "G/bn1").leaky_relu(0.2);
    let x = x.conv2d_transposed(&p("G/up2/weight"), up, [28, 28]) + p("G/up2/bias");
    let x = batch_norm(&x, "G/bn2").leaky_relu(0.2);
    (x.conv2d(&p("G/out/weight"), ConvOptions::default().pad(2)) + p("G/out/bias")).tanh()
}

fn discriminator(x: &Tensor) -> Tensor {
    let g = x.graph();
    let p = |name: &str| parameter(g, name);
    let down = ConvOptions::default().stride(2).pad(2);
    let x = (x.conv2d(&p("D/conv1/weight"), down) + p("D/conv1/bias")).leaky_relu(0.2);
    let x = (x.conv2d(&p("D/conv2/weight"), down) + p("D/conv2/bias")).leaky_relu(0.2);
    x.reshape(&[BATCH, 6272]).matmul(&p("D/dense/weight")) + p("D/dense/bias")
}

/// Adam (Kingma and Ba 2015) with beta = (0.5, 0.999), committed only if every gradient is finite.
fn adam(g: &Graph, prefix: &str, loss: &Tensor) {
    let names: Vec<&str> = PARAMETERS.iter().map(|p| p.0).filter(|n| n.starts_with(prefix)).collect();
    let weights: Vec<Tensor> = names.iter().map(|n| parameter(g, n)).collect();
    let gradients = grad(loss, &weights.iter().collect::<Vec<_>>());
    // 1 - beta^t, for both betas.
    let correction = g.feed("correction", TensorType::f32([2]));
    let factor = |i: usize| correction.slice(0, i, i + 1).reshape(&[]);
    for ((name, w), dw) in names.iter().zip(&weights).zip(&gradients) {
        let m_name = format!("{name}/m");
        let v_name = format!("{name}/v");
        let m = g.state(&m_name, w.ty()) * 0.5 + dw * 0.5;
        let v = g.state(&v_name, w.ty()) * 0.999 + dw.square() * 0.001;
        let step = (&m / factor(0)) / ((&v / factor(1)).sqrt() + 1e-8);
        g.update(name, &(w - step * RATE));
        g.update(&m_name, &m);
        g.update(&v_name, &v);
        g.commit_when(&dw.all_finite());
    }
}

/// 10 mean((|dD(x)/dx| - 1)^2) at points between real and generated images.
fn gradient_penalty(real: &Tensor, fake: &Tensor) -> Tensor {
    let g = real.graph();
    let mix = g.feed("mix", TensorType::f32([BATCH, 1, 1, 1]));
    let x = &mix * real + (1.0 - &mix) * fake;
    let slope = &grad(&discriminator(&x).sum_all(), &[&x])[0];
    let norm = slope.square().sum(&[1, 2, 3]).sqrt();
    (norm - 1.0).square().mean_all() * 10.0
}

fn add_phases(session: &mut Session, penalty: bool) -> Result<[PhaseId; 2], CpuError> {
    let latent = |g: &Graph| {
        let pair = TensorType::new(DType::U32, [2]);
        let (key, first) = (g.feed("key", pair.clone()), g.feed("first", pair));
        g.random_normal(&key, &first, 1, &[BATCH, LATENT])
    };
    let d = Graph::new();
    let fake = generator(&latent(&d)).stop_gradient();
    let real = d.feed("real", TensorType::f32([BATCH, 28, 28, 1]));
    let mut loss = (-discriminator(&real)).softplus().mean_all() + discriminator(&fake).softplus().mean_all();
    if penalty {
        loss = loss + gradient_penalty(&real, &fake);
    }
    adam(&d, "D/", &loss);
    d.output("loss", &loss);
    let g = Graph::new();
    let loss = (-discriminator(&generator(&latent(&g)))).softplus().mean_all();
    adam(&g, "G/", &loss);
    g.output("loss", &loss);
    Ok([session.add_phase("D", &d.finish()?)?, session.add_phase("G", &g.finish()?)?])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let steps: u64 = arguments.iter().find_map(|a| a.parse().ok()).unwrap_or(10);
    let mut store = StateStore::new();
    let mut seed = 1u32;
    for (name, shape) in PARAMETERS {
        let ty = TensorType::f32(*shape);
        let mut uniform = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let value = |u: f32| if name.ends_with("scale") { 1.0 + 0.02 * u } else { 0.035 * u };
        let values: Vec<f32> = (0..ty.len()).map(|_| value(uniform())).collect();
        store.insert(name, ty.clone(), &values)?;
        store.insert(&format!("{name}/m"), ty.clone(), &vec![0.0; ty.len()])?;
        store.insert(&format!("{name}/v"), ty.clone(), &vec![0.0; ty.len()])?;
    }
    let threads = arguments.iter().find_map(|a| a.strip_prefix("--threads=")?.parse().ok());
    let executor = Executor::new(ExecutorOptions { threads, ..ExecutorOptions::default() })?;
    println!("{} threads, {}", executor.threads(), executor.isa().name());
    let mut session = Session::new(executor, store);
    let began = Instant::now();
    let penalty = arguments.iter().any(|a| a == "--penalty");
    let phases = add_phases(&mut session, penalty)?;
    println!("compiled in {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    for (name, phase) in ["D", "G"].iter().zip(phases) {
        println!("{name}: {:?}", session.stats(phase));
    }
    println!("memory {:.1} MB", session.memory_bytes() as f64 / 1e6);
    for (i, x) in session.feed_mut(phases[0], "real")?.iter_mut().enumerate() {
        *x = ((i % 97) as f32 / 48.0) - 1.0;
    }
    if penalty {
        for (i, x) in session.feed_mut(phases[0], "mix")?.iter_mut().enumerate() {
            *x = i as f32 / BATCH as f32;
        }
    }
    let mut times = Vec::new();
    let step = |session: &mut Session, t: u64| -> Result<f64, CpuError> {
        let began = Instant::now();
        for phase in phases {
            session.feed_words_mut(phase, "key")?.copy_from_slice(&[7, 11]);
            session.feed_words_mut(phase, "first")?.copy_from_slice(&[(t * 128) as u32, 0]);
            let correction = [1.0 - 0.5f32.powi(t as i32), 1.0 - 0.999f32.powi(t as i32)];
            session.feed_mut(phase, "correction")?.copy_from_slice(&correction);
            assert!(session.run(phase)?.committed, "a gradient is not finite");
        }
        Ok(began.elapsed().as_secs_f64() * 1e3)
    };
    for t in 1..=steps {
        times.push(step(&mut session, t)?);
    }
    times.sort_by(f64::total_cmp);
    let loss = |phase| session.output(phase, "loss").map(|l| l[0]);
    println!("losses {:?} {:?}", loss(phases[0]), loss(phases[1]));
    println!("ms a step: min {:.1} median {:.1}", times[0], times[times.len() / 2]);
    // The least time of each call over some steps: on a busy machine the others say little.
    session.set_profiling(true);
    let mut profile: Vec<ProfileEntry> = Vec::new();
    for t in 0..steps {
        step(&mut session, steps + 1 + t)?;
        let run: Vec<ProfileEntry> = phases.into_iter().flat_map(|p| session.profile(p)).collect();
        if profile.is_empty() {
            profile = run;
        } else {
            for (best, entry) in profile.iter_mut().zip(run) {
                best.nanoseconds = best.nanoseconds.min(entry.nanoseconds);
            }
        }
    }
    let mut by_kernel: BTreeMap<&str, (u64, u64, usize)> = BTreeMap::new();
    for entry in &profile {
        let total = by_kernel.entry(entry.kernel).or_default();
        total.0 += entry.nanoseconds;
        total.1 += entry.flops;
        total.2 += 1;
        if arguments.iter().any(|a| a == "--calls") {
            println!("{:9.3} ms  {:16} {}", entry.nanoseconds as f64 / 1e6, entry.kernel, entry.label);
        }
    }
    for (kernel, (nanoseconds, flops, calls)) in by_kernel {
        let rate = flops as f64 / nanoseconds as f64;
        println!("{:9.3} ms  {kernel:18} {calls:4} calls  {rate:7.1} GFLOP/s", nanoseconds as f64 / 1e6);
    }
    Ok(())
}
