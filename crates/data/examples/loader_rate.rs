//! How fast batches are prepared, and what a training loop waits for them: `loader_rate [DATA]... [--step MS]`.
//!
//! Two figures for each set: items a second when nothing but loading is done, and the share of time that a loop
//! waits whose step takes MS milliseconds (5 when absent).

use ganymede_data::{Loader, OpenOptions, open};
use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

const BATCH: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut step = Duration::from_millis(5);
    if let Some(flag) = args.iter().position(|arg| arg == "--step") {
        let value = args.get(flag + 1).ok_or("--step needs milliseconds")?;
        step = Duration::try_from_secs_f64(value.parse::<f64>()? / 1e3)?;
        args.drain(flag..flag + 2);
    }
    if args.is_empty() {
        args = ["glyphs", "synthetic:ring8", "synthetic:grid25"].map(str::to_owned).to_vec();
    }
    for spec in args {
        let set = Arc::new(open(&spec, &OpenOptions::default())?);
        let mut loader = Loader::new(set.clone(), BATCH, 0, 0)?;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            let batch = loader.next_batch()?;
            loader.recycle(batch);
        }
        let rate = loader.cursor() as f64 / start.elapsed().as_secs_f64();

        let mut loader = Loader::new(set, BATCH, 0, 0)?;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            let batch = loader.next_batch()?;
            std::thread::sleep(step);
            loader.recycle(batch);
        }
        let share = loader.waited().as_secs_f64() / start.elapsed().as_secs_f64();
        println!("{spec}: {rate:.0} items/s; waited {:.2} % of a loop with {step:?} steps", share * 100.0);
    }
    Ok(())
}
