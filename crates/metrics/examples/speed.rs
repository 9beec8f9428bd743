//! Time of Frechet distance, kernel distance, precision, recall, density and coverage on given features, beside which
//! `benches/peers/scores_peer.py` times torch-fidelity and prdc on the same ones.
//!
//!     cargo run --release -p ganymede-metrics --example speed [samples [dimensions]]

use ganymede_metrics::influence::influence;
use ganymede_metrics::kernel::KernelOptions;
use ganymede_metrics::neighbours::Ball;
use ganymede_metrics::pairs::{PairOptions, compare};
use ganymede_metrics::stats::Random;
use ganymede_metrics::{Features, Gaussian};
use std::time::Instant;

/// Features that an f32 network could have given: sums of two uniforms, positive, the second set a little wider.
fn drawn(seed: u64, rows: usize, d: usize, scale: f64) -> Features {
    let mut random = Random::new(seed);
    let mut values = Vec::with_capacity(rows * d);
    let mut z = vec![0.0; d];
    for _ in 0..rows {
        z.iter_mut().for_each(|z| *z = random.unit());
        values.extend((0..d).map(|j| f64::from((scale * (z[j] + 0.7 * z[(7 * j + 1) % d])) as f32)));
    }
    Features::new(values, d).expect("finite features")
}

fn main() {
    let mut given = std::env::args().skip(1).map(|word| word.parse::<usize>().expect("a number"));
    let (rows, d) = (given.next().unwrap_or(10_000), given.next().unwrap_or(2048));
    let (real, generated) = (drawn(1, rows, d, 1.0), drawn(2, rows, d, 1.05));
    let began = Instant::now();
    let mut last = began;
    let mut took = |what: &str| {
        let now = Instant::now();
        println!("{what:22} {:7.2} s", (now - last).as_secs_f64());
        last = now;
    };
    let (a, b) = (Gaussian::of(&real).expect("samples"), Gaussian::of(&generated).expect("samples"));
    took("covariances");
    let frechet = a.distance(&b).expect("a distance");
    took("nuclear norm");
    let options = PairOptions { neighbours: vec![3, 5], kernel: Some(KernelOptions::default()) };
    let pairs = compare(&real, &generated, &options).expect("scores");
    took("pairs");
    println!("{:22} {:7.2} s", "all", began.elapsed().as_secs_f64());
    let kernel = pairs.kernel().expect("asked for");
    // What the other side does not give.
    let (began, interval) =
        (Instant::now(), influence(&real, &generated).and_then(|i| i.interval(frechet, 0.95)).expect("one"));
    println!("{:22} {:7.2} s", "interval of frechet", began.elapsed().as_secs_f64());
    println!("frechet {frechet}, {} to {}", interval.low, interval.high);
    println!("kernel {} +- {}", kernel.mean, kernel.deviation);
    for ball in Ball::ALL {
        println!(
            "{} {:?} {:?}",
            ball.sign(),
            pairs.precision_recall(3, ball),
            pairs.density_coverage(5, ball)
        );
    }
}
