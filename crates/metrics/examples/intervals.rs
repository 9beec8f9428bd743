//! How far errors of the Frechet distance, by influence and by resamples, are from the deviation of the distance itself over fresh
//! pairs of sets. What docs/scores.md says of them.
//!
//!     cargo run --release -p ganymede-metrics --example intervals [pairs]

use ganymede_metrics::Features;
use ganymede_metrics::frechet::frechet_distance;
use ganymede_metrics::influence::influence;
use ganymede_metrics::stats::{Moments, Random};

/// Resamples of a pair.
const RESAMPLES: usize = 50;
/// Pairs of which one is resampled: each costs as many distances as there are resamples.
const EACH: usize = 10;

struct Case {
    what: &'static str,
    samples: usize,
    dimensions: usize,
    shift: f64,
}

const CASES: [Case; 4] = [
    Case { what: "laws apart", samples: 1000, dimensions: 16, shift: 0.2 },
    Case { what: "equal laws", samples: 1000, dimensions: 16, shift: 0.0 },
    Case { what: "equal laws", samples: 1000, dimensions: 64, shift: 0.0 },
    Case { what: "fewer samples than dimensions", samples: 200, dimensions: 256, shift: 0.1 },
];

/// Normal samples, deviations falling from 1 to .1 over the dimensions.
fn drawn(random: &mut Random, case: &Case, shift: f64) -> Features {
    let d = case.dimensions;
    let value = |i: usize, random: &mut Random| {
        (1.0 - 0.9 * (i % d) as f64 / (d - 1) as f64) * random.normal() + shift
    };
    Features::new((0..case.samples * d).map(|i| value(i, random)).collect(), d).expect("finite features")
}

fn main() {
    let pairs: usize = std::env::args().nth(1).map_or(200, |word| word.parse().expect("a number"));
    println!("{:32} {:>8} {:>5} {:>10} {:>10}", "deviations of", "samples", "d", "influence", "resamples");
    for case in &CASES {
        let mut random = Random::new(1);
        let [mut distances, mut errors, mut resampled] = [Moments::default(); 3];
        for pair in 0..pairs {
            let (a, b) = (drawn(&mut random, case, 0.0), drawn(&mut random, case, case.shift));
            distances.push(frechet_distance(&a, &b).expect("a distance"));
            errors.push(influence(&a, &b).expect("an influence").error());
            if pair % EACH == 0 {
                let mut again = |set: &Features| {
                    set.select((0..set.rows()).map(|_| random.below(set.rows())).collect::<Vec<_>>())
                };
                let of: Moments = (0..RESAMPLES)
                    .map(|_| frechet_distance(&again(&a), &again(&b)).expect("a distance"))
                    .collect();
                resampled.push(of.variance().expect("several").sqrt());
            }
        }
        let own = distances.variance().expect("several").sqrt();
        let share = |of: &Moments| of.mean().expect("some") / own;
        println!(
            "{:32} {:8} {:5} {:10.2} {:10.2}",
            case.what,
            case.samples,
            case.dimensions,
            share(&errors),
            share(&resampled)
        );
    }
}
