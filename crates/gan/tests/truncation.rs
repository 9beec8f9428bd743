//! The truncation trick: latents of the normal restricted to an interval, seen through a generator that is the identity.

mod common;

use common::*;
use ganymede::sampler::Sampler;
use ganymede_cpu::Session;

/// Samples are the latents themselves.
const IDENTITY: &str = r#"
name = "identity"
data = { shape = [2], default = "synthetic:ring8" }
latent = { dim = 2 }
train = { batch = 4, images = 400 }
loss = { name = "non-saturating" }

[generator]
layers = ["reshape 2"]
optimizer = { lr = 1e-2 }

[discriminator]
layers = ["dense 1"]
optimizer = { lr = 1e-2 }
"#;

const COUNT: usize = 10_000;

fn latents(truncation: Option<f64>) -> Vec<f32> {
    let objective = objective(IDENTITY, &[]);
    let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
    let mut sampler = truncation.map_or_else(|| Sampler::new(5), |t| Sampler::truncated(5, t));
    sampler.draw(&objective, &mut session, 0, COUNT).unwrap()
}

/// Integral of the normal's density (times sqrt(2 pi)) from -t to each of the sorted `values`, by Simpson's rule on the
/// gaps: with 20,000 values a gap is short, and the rule's error far below what is tested.
fn masses(values: &[f64], t: f64) -> Vec<f64> {
    let density = |x: f64| (-0.5 * x * x).exp();
    let mut at = -t;
    let mut sum = 0.0;
    values
        .iter()
        .map(|&x| {
            sum += (x - at) / 6.0 * (density(at) + 4.0 * density((at + x) / 2.0) + density(x));
            at = x;
            sum
        })
        .collect()
}

/// Largest distance between the distribution of `values` and the normal restricted to |z| <= t (Kolmogorov, Smirnov).
fn distance(values: &[f32], t: f64) -> f64 {
    let mut sorted: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    sorted.push(t);
    let masses = masses(&sorted, t);
    let (whole, below) = masses.split_last().unwrap();
    let gaps = below.iter().enumerate().map(|(i, mass)| {
        let f = mass / whole;
        (f - i as f64 / n).abs().max((f - (i + 1) as f64 / n).abs())
    });
    gaps.fold(0.0, f64::max)
}

#[test]
fn truncated_latents_have_the_restricted_normal_distribution() {
    let plain = latents(None);
    // P(D > 1.95 / sqrt n) = .001 for samples of the distribution itself.
    let limit = 1.95 / (plain.len() as f64).sqrt();
    assert!(distance(&plain, 8.0) < limit);
    for t in [0.1, 0.5, 1.0, 2.0] {
        let drawn = latents(Some(t));
        assert_eq!(drawn.len(), 2 * COUNT);
        let largest = drawn.iter().fold(0.0f32, |m, z| m.max(z.abs()));
        assert!(largest <= t as f32 && f64::from(largest) > 0.99 * t, "{largest} for {t}");
        let d = distance(&drawn, t);
        assert!(d < limit, "distance {d} for a threshold of {t}, at most {limit}");
        // What is not this distribution is told apart: values clamped to the interval, or squeezed into it.
        let clamped: Vec<f32> = plain.iter().map(|z| z.clamp(-t as f32, t as f32)).collect();
        let most = plain.iter().fold(0.0f32, |m, z| m.max(z.abs()));
        let squeezed: Vec<f32> = plain.iter().map(|z| z * t as f32 / most).collect();
        for (wrong, what) in [(clamped, "clamped"), (squeezed, "squeezed")] {
            assert!(distance(&wrong, t) > limit, "{what} at {t}");
        }
    }
}

#[test]
fn a_threshold_that_no_value_passes_changes_no_bit() {
    assert_eq!(latents(Some(100.0)), latents(None));
    assert_ne!(latents(Some(2.0)), latents(None));
}

#[test]
fn a_sample_depends_on_its_index_and_not_on_the_batch() {
    let objective = objective(IDENTITY, &[]);
    let mut session = Session::new(executor(), objective.initial_state(1).unwrap());
    let mut sampler = Sampler::truncated(5, 0.7);
    let whole = sampler.draw(&objective, &mut session, 0, 300).unwrap();
    let tail = sampler.draw(&objective, &mut session, 37, 2).unwrap();
    assert_eq!(whole[74..78], tail[..]);
}

#[test]
fn thresholds_that_leave_nothing_are_refused() {
    let objective = objective(IDENTITY, &[]);
    for t in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-60] {
        let error = objective.sample_phase(4, Some(t)).unwrap_err().to_string();
        assert!(error.contains("truncation") && error.contains("above 0"), "{t}: {error}");
    }
}
