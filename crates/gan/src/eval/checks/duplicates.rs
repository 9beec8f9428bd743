use super::views::Rough;
use super::{Check, Evidence, Fault, Finding, held, spaced};
use crate::error::Error;
use ganymede_metrics::collisions::{collisions, distances_at};
use serde_json::json;
use std::collections::HashMap;

/// Samples whose pairs are looked at, of either side.
const PAIRED: usize = 2_000;
/// Pairs of real samples that set how near two samples are that count for one: the nearest so many of two million.
const NEAREST: f64 = 10.0;
/// So many times fewer different samples than real ones are by the same count are a fault.
const FEWER: f64 = 20.0;
/// Deviations that make a share certain.
const SURE: f64 = 4.0;
/// Equal samples, as a share, from which on they are a fault.
const EQUAL: f64 = 0.01;

/// The same sample again and again.
pub(super) struct Duplicates;

impl Check for Duplicates {
    fn name(&self) -> &'static str {
        "duplicates"
    }

    fn about(&self) -> &'static str {
        "Whether samples repeat: equal bytes, and how many different ones there are by the birthday paradox, two counting \
         for one where they are as near as the nearest real pairs."
    }

    fn paper(&self) -> &'static str {
        "Arora and Zhang 2017, section 2"
    }

    fn check(&self, evidence: &mut Evidence<'_>) -> Result<Vec<Finding>, Error> {
        let shape = evidence.train.shape().to_vec();
        if shape.len() != 3 {
            return Err(Error::Unsuited(format!(
                "{} has no images that could be the same",
                evidence.train.spec()
            )));
        }
        let size: usize = shape.iter().product();
        let kept = &evidence.generated.kept;
        let count = (kept.len() / size).min(PAIRED);
        let (real, _) = spaced(evidence.train, held(PAIRED, size))?;
        if count < 100 || real.len() / size < 100 {
            return Err(Error::Unsuited(format!(
                "pairs say little of {count} samples and {} real ones: it takes a hundred of each",
                real.len() / size
            )));
        }
        let rough = Rough::of(&shape);
        let (real_seen, seen) = (rough.see(&real)?, rough.see(&kept[..count * size])?);
        let real_pairs = (real_seen.rows() * (real_seen.rows() - 1) / 2) as f64;
        let at = distances_at(&real_seen, &[NEAREST / real_pairs])?[0];
        let found = collisions(&seen, at)?;
        let support = found.support(count);
        let most = 1.0 / found.at_least(SURE).max(f64::MIN_POSITIVE);
        // Fewer different samples than there are training samples: then keeping those would be as good. The estimate for real
        // samples is what near pairs of an endless law give, so that nothing within some factor of it is a fault.
        let of_real = real_pairs / NEAREST / FEWER;
        let threshold = evidence.train.len().map_or(of_real, |items| of_real.min(items as f64)).round();
        let flagged = most < threshold;
        // A bound is not rounded up.
        let about = |value: f64, round: fn(f64) -> f64| {
            let unit = 10f64.powf(value.log10().floor() - 1.0);
            round(value / unit) * unit
        };
        let sentence = if flagged {
            format!(
                "Samples repeat: there are about {} different ones, fewer than {threshold}.",
                about(support, f64::round)
            )
        } else {
            let (bound, round): (_, fn(f64) -> f64) =
                if found.pairs == 0 { ("at least ", f64::floor) } else { ("about ", f64::round) };
            format!(
                "{bound}{} different samples, by {} near pairs among {count} samples.",
                about(support, round),
                found.pairs
            )
        };
        let birthday = Finding {
            check: "duplicates",
            name: "different samples",
            value: support,
            threshold,
            fault: Fault::Below,
            reason: "the number of training samples, with fewer than which a generator is no better than keeping the data, or \
                     a twentieth of what the same count gives for real samples, where that is less; by four deviations",
            flagged,
            sentence: upper_first(&sentence),
            p: None,
            detail: json!({"samples": count, "near_pairs": found.pairs, "near": at, "share": found.share}),
        };
        Ok(vec![equal(kept, &real, size), birthday])
    }
}

fn upper_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// Samples that another equals byte for byte, beside the same of real ones.
fn equal(samples: &[f32], real: &[f32], size: usize) -> Finding {
    let share = |samples: &[f32]| {
        let mut times: HashMap<&[u8], usize> = HashMap::new();
        for sample in samples.chunks_exact(size) {
            *times.entry(bytemuck::cast_slice(sample)).or_default() += 1;
        }
        let repeated: usize = times.values().filter(|&&n| n > 1).sum();
        repeated as f64 / (samples.len() / size).max(1) as f64
    };
    let (value, of_real) = (share(samples), share(real));
    let threshold = EQUAL.max(2.0 * of_real);
    let flagged = value > threshold;
    let sentence = match value {
        0.0 => "No two samples are equal byte for byte.".to_string(),
        _ => format!("{:.1} % of the samples equal another byte for byte.", 100.0 * value),
    };
    Finding {
        check: "duplicates",
        name: "equal samples",
        value,
        threshold,
        fault: Fault::Above,
        reason: "one in a hundred, or twice what real samples have: different latents do not make equal bytes unless the \
                 generator ignores them",
        flagged,
        sentence,
        p: None,
        detail: json!({"samples": samples.len() / size, "of_real": of_real}),
    }
}
