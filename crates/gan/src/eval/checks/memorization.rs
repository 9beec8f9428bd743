use super::views::{Close, Rough, mirrored};
use super::{Check, Evidence, Fault, Finding, LEVEL};
use crate::error::Error;
use crate::eval::collect::quantize;
use crate::eval::report::Unchecked;
use crate::extractors::Watch;
use ganymede_data::Dataset;
use ganymede_metrics::Features;
use ganymede_metrics::copying::{Copying, Near, copying};
use ganymede_metrics::nearest::{Neighbour, nearest};
use ganymede_metrics::stats::wilson;
use serde_json::json;
use std::collections::HashSet;

/// Most training samples that copies are looked for among.
const TRAINING: usize = 60_000;
/// Most held-out ones.
const HELD_OUT: usize = 10_000;
/// Real samples that could be the same as a generated one by the rough view, compared with it closely.
const CANDIDATES: usize = 10;
/// The neighbour whose distance is the usual one.
const USUAL: usize = 5;
/// How much nearer than usual is striking: a half finds copies with much done to them, a tenth few among many others.
const STRIKING: [f64; 4] = [0.1, 0.25, 0.5, 0.75];
/// The share of copies from which on they are a fault.
const COPIED: f64 = 0.01;
/// Pairs kept to be shown.
const SHOWN: usize = 24;
/// Samples taken at once.
const CHUNK: usize = 1024;

/// A generated sample beside the training sample that it is nearest to.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Number of the generated sample.
    pub generated: usize,
    /// Number of the training sample.
    pub training: u64,
    /// sqrt(1 - correlation) of the two at the best shift.
    pub distance: f64,
    /// That over the distance of the usual neighbour.
    pub ratio: f64,
    /// Both as they are, the training sample mirrored where that is nearer.
    pub images: [Vec<f32>; 2],
}

/// Training samples given back.
pub(super) struct Memorization;

/// Real samples of both kinds, or of the first alone: training ones first.
struct Pool<'a> {
    sets: Vec<&'a Dataset>,
    /// Those that are looked through.
    indices: Vec<Vec<u64>>,
    rough: Features,
    hashes: Vec<Vec<blake3::Hash>>,
    /// The training samples among them.
    known: HashSet<blake3::Hash>,
    /// Held-out samples that are training samples too, and were left out.
    leaked: usize,
}

impl Pool<'_> {
    /// The set and the place in it of a row.
    fn place(&self, row: usize) -> (usize, usize) {
        match row.checked_sub(self.indices[0].len()) {
            None => (0, row),
            Some(row) => (1, row),
        }
    }

    /// The set and the index of a row.
    fn find(&self, row: usize) -> (usize, u64) {
        let (set, place) = self.place(row);
        (set, self.indices[set][place])
    }

    fn hash(&self, row: usize) -> &[u8; 32] {
        let (set, place) = self.place(row);
        self.hashes[set][place].as_bytes()
    }

    fn held_out(&self) -> usize {
        self.indices.get(1).map_or(0, Vec::len)
    }

    fn image(&self, row: usize) -> Result<Vec<f32>, Error> {
        let (set, index) = self.find(row);
        let mut image = vec![0.0; self.sets[set].elements()];
        self.sets[set].fill(&[index], &mut image, None)?;
        quantize(&mut image, self.sets[set].shape());
        Ok(image)
    }
}

/// Indices at equal distances.
fn indices(set: &Dataset, most: usize) -> Vec<u64> {
    let all = set.len().unwrap_or(0);
    let count = all.min(most as u64);
    (0..count).map(|i| (u128::from(i) * u128::from(all) / u128::from(count)) as u64).collect()
}

fn hash(sample: &[f32]) -> blake3::Hash {
    blake3::hash(bytemuck::cast_slice(sample))
}

fn pool<'a>(sets: Vec<&'a Dataset>, rough: &Rough, watch: &mut dyn Watch) -> Result<Pool<'a>, Error> {
    let wanted: Vec<Vec<u64>> =
        sets.iter().zip([TRAINING, HELD_OUT]).map(|(set, most)| indices(set, most)).collect();
    let total = wanted.iter().map(Vec::len).sum::<usize>() as u64;
    let mut pool = Pool {
        sets,
        indices: Vec::new(),
        rough: Features::empty(rough.dimensions())?,
        hashes: Vec::new(),
        known: HashSet::new(),
        leaked: 0,
    };
    let mut done = 0;
    for (number, wanted) in wanted.into_iter().enumerate() {
        let size = pool.sets[number].elements();
        let (mut indices, mut hashes) = (Vec::new(), Vec::new());
        for chunk in wanted.chunks(CHUNK) {
            let mut samples = vec![0.0; chunk.len() * size];
            pool.sets[number].fill(chunk, &mut samples, None)?;
            quantize(&mut samples, pool.sets[number].shape());
            // A held-out sample that is a training sample is neither: the test counts it for none.
            let mut own = Vec::with_capacity(samples.len());
            for (&index, sample) in chunk.iter().zip(samples.chunks_exact(size)) {
                let hash = hash(sample);
                if number == 1 && pool.known.contains(&hash) {
                    pool.leaked += 1;
                    continue;
                }
                indices.push(index);
                hashes.push(hash);
                own.extend_from_slice(sample);
            }
            if !own.is_empty() {
                pool.rough.push(rough.see(&own)?.values())?;
            }
            done += chunk.len() as u64;
            watch.moved("looking through training samples", done, total);
        }
        if number == 0 {
            pool.known.extend(hashes.iter().copied());
        }
        pool.indices.push(indices);
        pool.hashes.push(hashes);
    }
    Ok(pool)
}

impl Check for Memorization {
    fn name(&self) -> &'static str {
        "memorization"
    }

    fn about(&self) -> &'static str {
        "Whether samples are copies of training samples, shifted, brightened or mirrored ones among them, by an exact test \
         against held-out samples."
    }

    fn paper(&self) -> &'static str {
        "after Meehan, Chaudhuri and Dasgupta 2020, section 3; authenticity: Alaa et al. 2022, section 4.3"
    }

    fn check(&self, evidence: &mut Evidence<'_>) -> Result<Vec<Finding>, Error> {
        let shape = evidence.train.shape().to_vec();
        let (Some(close), Some(training)) = (Close::of(&shape), evidence.train.len()) else {
            return Err(Error::Unsuited(format!(
                "{} has no images of a fixed number that a generator could keep",
                evidence.train.spec()
            )));
        };
        if let Some(own) = evidence.trained_elsewhere() {
            let reason = format!(
                "copies of {own}, which the generator was trained on and which has another BLAKE3 sum than {}: they are looked for \
                 among the latter alone",
                evidence.train.spec()
            );
            evidence.unchecked.push(Unchecked { check: self.name(), reason });
        }
        let test = evidence.test.filter(|test| test.len().is_some_and(|n| n > 0));
        let rough = Rough::of(&shape);
        let size: usize = shape.iter().product();
        let sets = std::iter::once(evidence.train).chain(test).map(|set| &**set).collect();
        let pool = pool(sets, &rough, evidence.watch)?;
        let kept = &evidence.generated.kept;
        let exact = kept.chunks_exact(size).filter(|sample| pool.known.contains(&hash(sample))).count();
        let turned: Vec<f32> = kept.chunks_exact(size).flat_map(|s| mirrored(s, &shape)).collect();
        let views = [rough.see(kept)?, rough.see(&turned)?];
        let candidates = pool.rough.rows().min(CANDIDATES);
        let found = [0, 1].map(|view: usize| nearest(&views[view], &pool.rough, candidates, false));
        let [plain, mirror] = found;
        let candidates = [plain?, mirror?];
        let (near, mut pairs) = compare(&close, &pool, [kept, &turned], &candidates, evidence.watch)?;
        evidence.pairs.append(&mut pairs);
        let count = near.len();
        let mut findings = Vec::new();
        match untold(test.map(|test| test.spec()), evidence.train.spec(), &pool, count) {
            Some(reason) => evidence.unchecked.push(Unchecked { check: self.name(), reason }),
            None => {
                let tests = copying(&near, pool.indices[0].len(), pool.held_out(), &STRIKING)?;
                findings.push(copied(&tests, count, &pool, training));
            }
        }
        findings.push(exact_copies(exact, count, pool.indices[0].len(), training)?);
        if evidence.of_training {
            findings.push(authenticity(evidence)?);
        }
        Ok(findings)
    }
}

/// Why copies that are not byte for byte cannot be told by the test, if they cannot.
fn untold(test: Option<&str>, train: &str, pool: &Pool<'_>, count: usize) -> Option<String> {
    let Some(test) = test else {
        return Some(format!(
            "copies that are changed: {train} has no part that is held out, and without samples that the generator has not seen, \
             typical ones cannot be told from copies"
        ));
    };
    let (training, held_out) = (pool.indices[0].len() as f64, pool.held_out());
    if pool.leaked > held_out {
        return Some(format!(
            "copies that are changed: {} of {} held-out images of {test} are among its training images, so nothing is held out",
            pool.leaked,
            pool.leaked + held_out
        ));
    }
    // Were each sample a copy of another training sample, the law would give so many by chance with at least this probability.
    let least = count as f64 * (training / (training + held_out as f64)).ln();
    (least > (LEVEL / STRIKING.len() as f64).ln()).then(|| {
        format!(
            "copies that are changed: {count} samples looked at beside {training} training and {held_out} held-out ones are too few \
             to tell even where all are copies"
        )
    })
}

/// The nearest real sample of each generated one by close comparison of candidates, for samples and for the same mirrored,
/// and the pairs with training samples, the most striking first.
fn compare(
    close: &Close,
    pool: &Pool<'_>,
    samples: [&[f32]; 2],
    candidates: &[Vec<Vec<Neighbour>>; 2],
    watch: &mut dyn Watch,
) -> Result<(Vec<Near>, Vec<Pair>), Error> {
    let (size, count) = (pool.sets[0].elements(), candidates[0].len());
    let (mut near, mut pairs) = (Vec::with_capacity(count), Vec::new());
    for number in 0..count {
        let image = |view: usize| &samples[view][number * size..][..size];
        let mut distances = Vec::with_capacity(2 * CANDIDATES);
        for view in [0, 1] {
            let own = close.prepare(image(view));
            for candidate in &candidates[view][number] {
                let other = pool.image(candidate.row)?;
                distances.push((close.distance(&own, &close.prepare(&other)), candidate.row, view, other));
            }
        }
        // Equal ones in an order that says nothing of which are training samples.
        distances.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| pool.hash(a.1).cmp(pool.hash(b.1))));
        let usual = distances[USUAL.min(distances.len()) - 1].0;
        let (distance, row, view, other) = distances.swap_remove(0);
        // Where even the usual neighbour is the same image, nothing is special about the first.
        let ratio = if usual > 0.0 { distance / usual } else { 1.0 };
        near.push(Near { row, ratio });
        if let (0, training) = pool.find(row) {
            let other = if view == 1 { mirrored(&other, pool.sets[0].shape()) } else { other };
            pairs.push(Pair {
                generated: number,
                training,
                distance,
                ratio,
                images: [image(0).to_vec(), other],
            });
            if pairs.len() > 8 * SHOWN {
                shorten(&mut pairs);
            }
        }
        if number % 64 == 63 || number + 1 == count {
            watch.moved("comparing samples with training samples", number as u64 + 1, count as u64);
        }
    }
    shorten(&mut pairs);
    Ok((near, pairs))
}

fn shorten(pairs: &mut Vec<Pair>) {
    pairs.sort_by(|a, b| a.ratio.total_cmp(&b.ratio).then(a.generated.cmp(&b.generated)));
    pairs.truncate(SHOWN);
}

/// The share of the training samples that is looked through. A generator copies others as well: of all copies this share is found.
fn seen(looked_through: usize, training: u64) -> f64 {
    looked_through as f64 / training as f64
}

fn copied(tests: &[Copying], count: usize, pool: &Pool<'_>, training: u64) -> Finding {
    let seen = seen(pool.indices[0].len(), training);
    let level = LEVEL / tests.len() as f64;
    let share = |test: &Copying| (test.copied / seen).min(1.0);
    let certain = tests.iter().filter(|test| test.p < level);
    let worst = certain.max_by(|a, b| share(a).total_cmp(&share(b)));
    let least = tests.iter().map(|test| test.p).fold(1.0, f64::min);
    let value = worst.map_or(0.0, share);
    let flagged = value > COPIED;
    let sentence = match worst {
        Some(test) if flagged => format!(
            "About {:.0} % of the samples are copies of training samples: of the {} real samples that some sample is \
             strikingly near to, {} are training samples, where {:.0} are expected of a generator that does not copy.",
            100.0 * value,
            test.neighbours,
            test.training,
            test.expected
        ),
        Some(_) => format!(
            "Samples are nearer to training samples than to held-out ones, but too few ({:.1} %) to matter.",
            100.0 * value
        ),
        None => "Samples are no nearer to training samples than to held-out ones: nothing is copied.".into(),
    };
    Finding {
        check: "memorization",
        name: "copied samples",
        value,
        threshold: COPIED,
        fault: Fault::Above,
        reason: "one in a hundred; and more training samples among the nearest than chance gives once in 100,000 times, \
                 by the hypergeometric law, which holds for any generator that does not copy",
        flagged,
        sentence,
        p: Some(least),
        detail: json!({
            "samples": count, "training": pool.indices[0].len(), "held_out": pool.held_out(), "leaked": pool.leaked,
            "tests": tests.iter().map(|t| json!({
                "nearer_than": t.below, "neighbours": t.neighbours, "training": t.training,
                "expected": t.expected, "p": t.p, "copied": t.copied,
            })).collect::<Vec<_>>(),
        }),
    }
}

fn exact_copies(exact: usize, count: usize, looked_through: usize, training: u64) -> Result<Finding, Error> {
    let seen = seen(looked_through, training);
    let value = (exact as f64 / count.max(1) as f64 / seen).min(1.0);
    // Of a small part of the training samples a single copy, of a blank image say, would stand for many.
    let flagged = value > COPIED && wilson(exact, count, 1.0 - 2.0 * LEVEL)?.low > COPIED * seen;
    let of = match looked_through as u64 == training {
        true => String::new(),
        false => format!(" of the {looked_through} of {training} that were looked through"),
    };
    let sentence = match exact {
        0 => format!("No sample is a training sample{of} byte for byte."),
        _ => format!("{exact} of {count} samples are training samples{of} byte for byte."),
    };
    Ok(Finding {
        check: "memorization",
        name: "exact copies",
        value,
        threshold: COPIED,
        fault: Fault::Above,
        reason: "one in a hundred: a network that makes an image anew does not meet all bytes of another by chance, but \
                 blank images may be in the data",
        flagged,
        sentence,
        p: None,
        detail: json!({"samples": count, "copies": exact, "looked_through": looked_through, "training": training}),
    })
}

/// The share of samples that are farther from the nearest real sample than that is from the nearest other one.
fn authenticity(evidence: &Evidence<'_>) -> Result<Finding, Error> {
    let (real, generated) = (&evidence.real.features, &evidence.generated.features);
    let most = super::LOOKED_AT.min(generated.rows());
    let nearest_real = nearest(&generated.select(0..most), real, 1, false)?;
    let own = nearest(real, real, 1, true)?;
    let authentic = nearest_real.iter().filter(|n| n[0].square > own[n[0].row][0].square).count();
    let value = authentic as f64 / most as f64;
    // One half is what fresh samples have where neighbours are mutual; few copies leave it, many bring it to 0.
    let flagged = value < AUTHENTIC;
    let sentence = if flagged {
        format!(
            "Only {:.0} % of the samples are farther from the nearest real sample than that is from other real ones: most \
             samples crowd around real ones.",
            100.0 * value
        )
    } else {
        format!(
            "{:.0} % of the samples are farther from the nearest real sample than that is from other real ones.",
            100.0 * value
        )
    };
    Ok(Finding {
        check: "memorization",
        name: "authenticity",
        value,
        threshold: AUTHENTIC,
        fault: Fault::Below,
        reason: "a generator of which every second sample is a copy has at most half the authenticity of fresh samples, \
                 which is about .5; typical samples lower it too, so that less decides nothing",
        flagged,
        sentence,
        p: None,
        detail: json!({"samples": most, "real": real.rows()}),
    })
}

/// Where too few samples are authentic.
const AUTHENTIC: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_what_is_not_looked_through_are_counted_by_share() {
        // One in ten is a copy of one of a million images, of which 60,000 are known.
        let found = exact_copies(24, 4000, 60_000, 1_000_000).unwrap();
        assert!((found.value - 0.1).abs() < 1e-12 && found.flagged, "{found:?}");
        assert!(found.sentence.contains("60000 of 1000000"), "{}", found.sentence);
        let none = exact_copies(0, 4000, 60_000, 1_000_000).unwrap();
        assert!(!none.flagged && none.sentence.contains("60000 of 1000000"), "{}", none.sentence);
        // One blank image in ten million stands for nothing.
        let blank = exact_copies(1, 4000, 60_000, 10_000_000).unwrap();
        assert!(blank.value > COPIED && !blank.flagged, "{blank:?}");
        // All are known: the share as it is.
        let all = exact_copies(24, 4000, 60_000, 60_000).unwrap();
        assert!(
            (all.value - 0.006).abs() < 1e-12 && !all.flagged && !all.sentence.contains("looked"),
            "{all:?}"
        );
    }
}
