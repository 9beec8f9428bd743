//! How many images a minute a network whose weights the user gives looks at: of [`NETWORKS`], under any weights.
//!
//!     cargo run --release -p ganymede --example network_speed -- [NETWORK] [--threads=N] [--batch=N] [--size=N] [--calls]
//!
//! By default `inception-v3-fid`, at the batch that scores take, one JSON line: images a minute at the least and the median of
//! five repetitions' times, work of an image, and of one image the time that the clean resizer takes from 32x32. With `--calls`
//! the time of each kind of kernel call. benches/peers/inception.py puts PyTorch beside it.

use ganymede::extractors::pretrained::resample::{Resize, Resizer};
use ganymede::extractors::pretrained::{NETWORKS, features};
use ganymede_cpu::{Executor, ExecutorOptions, Session, StateStore};
use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

/// Repetitions, and seconds of each at least.
const REPETITIONS: usize = 5;
const SPAN: f64 = 0.8;
const KEY: [u32; 2] = [1, 2];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| -> Result<Option<usize>, Box<dyn Error>> {
        let given = arguments.iter().find_map(|a| a.strip_prefix(&format!("--{name}=")));
        Ok(given.map(str::parse).transpose()?)
    };
    let named = arguments.iter().find(|a| !a.starts_with("--")).map_or("inception-v3-fid", String::as_str);
    let network = NETWORKS.iter().find(|network| network.name() == named).ok_or_else(|| {
        let known: Vec<&str> = NETWORKS.iter().map(|network| network.name()).collect();
        format!("`{named}` is no network known here: {} are", known.join(", "))
    })?;
    let side = network.side().or(number("size")?).unwrap_or(64);
    let batch = number("batch")?.unwrap_or_else(|| network.batch([side; 2]));
    let executor =
        Executor::new(ExecutorOptions { threads: number("threads")?, ..ExecutorOptions::default() })?;

    let (function, params) = features(*network, [side; 2], batch)?;
    let mut store = StateStore::new();
    store.reserve(params.iter().map(|p| p.ty.len()))?;
    for param in params.iter() {
        store.insert(&param.name, param.ty.clone(), &param.initialize(KEY))?;
    }
    let mut session = Session::new(executor.clone(), store);
    let phase = session.add_phase("extract", &function)?;
    for (i, value) in session.feed_mut(phase, "samples")?.iter_mut().enumerate() {
        *value = (i * 2_654_435_761 % 256) as f32 / 127.5 - 1.0;
    }
    if arguments.iter().any(|a| a == "--calls") {
        session.run(phase)?;
        session.set_profiling(true);
        session.run(phase)?;
        let mut kernels: BTreeMap<&str, (f64, f64, usize)> = BTreeMap::new();
        let calls = session.profile(phase);
        for call in &calls {
            let entry = kernels.entry(call.kernel).or_default();
            entry.0 += call.nanoseconds as f64 / 1e6;
            entry.1 += call.flops as f64 / 1e9;
            entry.2 += 1;
        }
        for (kernel, (ms, gflop, count)) in kernels {
            println!(
                "{kernel:28} {count:4} calls {ms:9.2} ms {gflop:8.2} GFLOP {:7.1} GFLOP/s",
                gflop / ms * 1e3
            );
        }
        let mut slowest: Vec<_> = calls.iter().collect();
        slowest.sort_by_key(|call| std::cmp::Reverse(call.nanoseconds));
        for call in slowest.iter().take(25) {
            let (ms, rate) = (call.nanoseconds as f64 / 1e6, call.flops as f64 / call.nanoseconds as f64);
            println!("{ms:9.2} ms {rate:7.1} GFLOP/s {:28} {}", call.kernel, call.label);
        }
        return Ok(());
    }
    let mut seconds = |runs: usize| -> Result<f64, Box<dyn Error>> {
        let began = Instant::now();
        for _ in 0..runs {
            session.run(phase)?;
        }
        Ok(began.elapsed().as_secs_f64() / runs as f64)
    };
    seconds(1)?;
    let runs = ((SPAN / seconds(1)?) as usize).max(1);
    let mut times = (0..REPETITIONS).map(|_| seconds(runs)).collect::<Result<Vec<f64>, _>>()?;
    times.sort_by(f64::total_cmp);

    let resize = Resize::new(Resizer::Clean, [32, 32], [side, side], 3);
    let (small, mut large) = (vec![100.0; 32 * 32 * 3], vec![0.0; side * side * 3]);
    let began = Instant::now();
    (0..20).for_each(|_| resize.apply(&small, &mut large));
    let resizing = began.elapsed().as_secs_f64() / 20.0 * 1e3;

    let rate = |seconds: f64| (60.0 * batch as f64 / seconds).round();
    let gflop = function.contraction_flops() as f64 / batch as f64 / 1e9;
    println!(
        r#"{{"network":"{named}","side":{side},"batch":{batch},"threads":{},"images_a_minute":{},"images_a_minute_median":{},"gflop_an_image":{gflop:.2},"gflops":{:.0},"resize_ms":{resizing:.2}}}"#,
        executor.threads(),
        rate(times[0]),
        rate(times[REPETITIONS / 2]),
        gflop * batch as f64 / times[REPETITIONS / 2],
    );
    Ok(())
}
