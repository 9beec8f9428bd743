//! Two sets of samples against each other: differences of their scores with intervals, and what they do not tell.

use super::collect::Collected;
use super::metrics::{self, Context, METRICS, Metric};
use super::report::{Better, Report, Score};
use super::source::{SampleSource, SourceInfo};
use super::{Evaluator, Examined, compared_with};
use crate::checkpoint::write_atomically;
use crate::error::Error;
use crate::extractors::Watch;
use ganymede_metrics::stats::{Moments, Random, quantile};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Parts of the samples that differences are computed of.
const ROUNDS: usize = 40;
/// Most samples of a part, and the share of all that it is at most: parts that are most of the whole differ too little.
const PART: usize = 1_000;
const SHARE: usize = 4;
/// Fewest samples of a part that still says something.
const FEWEST: usize = 20;
/// The confidence of intervals.
const LEVEL: f64 = 0.95;

/// Which is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The first.
    First,
    /// The second.
    Second,
    /// The interval holds 0, or there is none.
    Unclear,
    /// The figure is not better one way or the other.
    Neither,
}

/// A score of both.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The metric.
    pub metric: &'static str,
    /// The figure, with its extractor.
    pub name: String,
    /// Of the first.
    pub first: f64,
    /// Of the second.
    pub second: f64,
    /// Second less first.
    pub difference: f64,
    /// 95 % interval of that, where one can be given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// Which way it is better.
    pub better: Better,
    /// Which is.
    pub verdict: Verdict,
}

/// Both reports and what differs.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Of the first.
    pub first: Report,
    /// Of the second.
    pub second: Report,
    /// Score by score.
    pub differences: Vec<Difference>,
    /// All of it in a sentence or two.
    pub sentence: String,
}

impl Comparison {
    /// Writes it as JSON, whole or not at all.
    ///
    /// # Errors
    /// The file system's own.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).map_err(|e| {
            Error::Refused(format!("{}: the comparison cannot be written: {e}", path.display()))
        })?;
        write_atomically(path, format!("{text}\n").as_bytes())
            .map_err(Error::io(path, "write the comparison"))
    }
}

/// Samples that are looked at already.
struct Nothing {
    shape: Vec<usize>,
}

impl SampleSource for Nothing {
    fn info(&self) -> SourceInfo {
        SourceInfo::named("samples that were looked at")
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn available(&self) -> Option<usize> {
        Some(0)
    }
    fn take(&mut self, _: u64, _: usize) -> Result<(Vec<f32>, Option<Vec<i32>>), Error> {
        Err(Error::Unsuited("no more samples can be drawn in a comparison".into()))
    }
}

impl Evaluator {
    /// Compares two sets that were examined, or looked at, by this evaluator.
    ///
    /// Intervals come from parts of the samples without replacement (Politis and Romano 1994): the difference is computed of
    /// forty parts of m of n samples of each set, real ones among them (n the smallest number, of a larger set as large a share), and its deviations from their mean are scaled by
    /// sqrt(m / n) / sqrt(1 - m / n), the first as errors fall with n and the second since parts of a whole differ less
    /// than draws of the law. Drawn with replacement, samples would be their own nearest neighbours. Figures that are
    /// not of features (accuracy, the share of digits recognised in stacks) combine their own intervals as those of
    /// independent errors, and where there are no such parts those that compare with the same real samples add theirs up, which holds
    /// whatever these have to do with it.
    ///
    /// # Errors
    /// What metrics and the extractor say.
    pub fn compare(
        &mut self,
        first: &Examined,
        second: &Examined,
        watch: &mut dyn Watch,
    ) -> Result<Comparison, Error> {
        let spreads = self.spreads(first, second, watch)?;
        let mut differences = Vec::new();
        for score in &first.report.scores {
            let Some(other) = second.report.scores.iter().find(|other| other.name == score.name) else {
                continue;
            };
            let difference = other.value - score.value;
            let interval = match spreads.get(&score.name) {
                Some([low, high]) => Some([difference + low, difference + high]),
                None => {
                    let shares = metrics::find(score.metric).is_some_and(|metric| metric.shares_real());
                    own(score, other, difference, shares)
                }
            };
            differences.push(Difference {
                metric: score.metric,
                name: score.name.clone(),
                first: score.value,
                second: other.value,
                difference,
                interval,
                better: score.better,
                verdict: verdict(score.better, interval),
            });
        }
        let (first, second) = (first.report.clone(), second.report.clone());
        let sentence = sentence(&first, &second, &differences);
        Ok(Comparison { first, second, differences, sentence })
    }

    /// Ends of the interval of each score's difference, less the difference itself.
    fn spreads(
        &mut self,
        first: &Examined,
        second: &Examined,
        watch: &mut dyn Watch,
    ) -> Result<BTreeMap<String, [f64; 2]>, Error> {
        let Some(real) = self.real.take() else { return Ok(BTreeMap::new()) };
        let found = self.spreads_of(&real, first, second, watch);
        self.real = Some(real);
        found
    }

    fn spreads_of(
        &mut self,
        real: &Collected,
        first: &Examined,
        second: &Examined,
        watch: &mut dyn Watch,
    ) -> Result<BTreeMap<String, [f64; 2]>, Error> {
        let all = real.count.min(first.generated.count).min(second.generated.count);
        let part = PART.min(all / SHARE);
        let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        if part < FEWEST {
            return Ok(BTreeMap::new());
        }
        let scored = |metric: &str| first.report.scores.iter().any(|score| score.metric == metric);
        // What takes long once is not computed eighty times.
        let often = |m: &&&dyn Metric| m.compares() && m.on_request().is_none();
        let metrics: Vec<_> = METRICS.iter().filter(often).filter(|m| scored(m.name())).collect();
        if metrics.is_empty() {
            return Ok(BTreeMap::new());
        }
        for round in 0..ROUNDS {
            let mut random = Random::new(0x7061_7274 ^ ((round as u64) << 32) ^ self.options.seed);
            // The same share of each set, so that parts are to each other as the sets are.
            let rows = |random: &mut Random, of: usize| some(random, of, (of * part).div_ceil(all));
            let real = real.select(&rows(&mut random, real.count))?;
            let sides =
                [&first.generated, &second.generated].map(|side| side.select(&rows(&mut random, side.count)));
            let [one, other] = sides;
            let (one, other) = (one?, other?);
            for metric in &metrics {
                let mut scores = Vec::new();
                for generated in [&one, &other] {
                    let computed = metric.compute(&mut Context {
                        real: Some(&real),
                        generated: Some(generated),
                        pairs: None,
                        source: &mut Nothing { shape: self.train.shape().to_vec() },
                        train: &self.train,
                        test: self.test.as_ref(),
                        reference: compared_with(self.options.split, &self.train, self.test.as_ref()),
                        extractor: self.extractor.as_deref_mut(),
                        executor: &self.executor,
                        n: Some(part),
                        seed: self.options.seed,
                        resampled: true,
                        watch: &mut *watch,
                    });
                    match computed {
                        Ok(found) => scores.push(found),
                        // Of so few samples it has no figure.
                        Err(Error::Metric(_) | Error::Unsuited(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                if let [of_one, of_other] = &scores[..] {
                    for score in of_one {
                        if let Some(other) = of_other.iter().find(|other| other.name == score.name) {
                            found.entry(score.name.clone()).or_default().push(other.value - score.value);
                        }
                    }
                }
            }
            watch.moved("comparing parts", round as u64 + 1, ROUNDS as u64);
        }
        let kept = part as f64 / all as f64;
        let scale = kept.sqrt() / (1.0 - kept).sqrt();
        let mut spreads = BTreeMap::new();
        for (name, values) in found {
            if values.len() < ROUNDS || values.iter().any(|v| !v.is_finite()) {
                continue;
            }
            let mean = values.iter().copied().collect::<Moments>().mean().unwrap_or(0.0);
            let off: Vec<f64> = values.iter().map(|v| (v - mean) * scale).collect();
            let tail = (1.0 - LEVEL) / 2.0;
            // theta_m - theta_n is distributed as theta_n - theta is: the interval mirrors it.
            spreads.insert(name, [-quantile(&off, 1.0 - tail)?, -quantile(&off, tail)?]);
        }
        Ok(spreads)
    }
}

/// So many of `0..of` without repeats, ascending.
fn some(random: &mut Random, of: usize, count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..of).collect();
    for i in 0..count.min(of) {
        let other = i + random.below(of - i);
        all.swap(i, other);
    }
    all.truncate(count);
    all.sort_unstable();
    all
}

/// The interval of a difference of two figures with intervals of their own: of errors that have nothing to do with each other, or, where
/// both hold the chance of the same real samples, of any errors. Deviations of a difference are then at most the sum of both.
fn own(first: &Score, second: &Score, difference: f64, shares_real: bool) -> Option<[f64; 2]> {
    let (a, b) = (first.interval?, second.interval?);
    let reach = |side: f64, of: f64, other: f64, other_of: f64| match shares_real {
        true => (side - of).abs() + (other - other_of).abs(),
        false => (side - of).hypot(other - other_of),
    };
    let down = reach(b[0], second.value, a[1], first.value);
    let up = reach(b[1], second.value, a[0], first.value);
    Some([difference - down, difference + up])
}

fn verdict(better: Better, interval: Option<[f64; 2]>) -> Verdict {
    let Some([low, high]) = interval else {
        return if better == Better::Neither { Verdict::Neither } else { Verdict::Unclear };
    };
    match (better, low > 0.0, high < 0.0) {
        (Better::Neither, _, _) => Verdict::Neither,
        (_, false, false) => Verdict::Unclear,
        (Better::Lower, true, _) | (Better::Higher, _, true) => Verdict::First,
        (Better::Lower, _, true) | (Better::Higher, true, _) => Verdict::Second,
    }
}

/// A number of things.
fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn sentence(first: &Report, second: &Report, differences: &[Difference]) -> String {
    let count = |verdict| differences.iter().filter(|d| d.verdict == verdict).count();
    let (one, two, unclear) = (count(Verdict::First), count(Verdict::Second), count(Verdict::Unclear));
    let told = match (one, two) {
        (0, 0) => "no score tells the two apart".to_string(),
        (n, 0) => format!("{} is better by {} and worse by none", first.source.path, counted(n, "score")),
        (0, n) => format!("{} is better by {} and worse by none", second.source.path, counted(n, "score")),
        (a, b) => format!(
            "{} is better by {} and {} by {b}: which is better depends on what is wanted",
            first.source.path,
            counted(a, "score"),
            second.source.path
        ),
    };
    let rest = if unclear > 0 { format!("; {unclear} cannot tell") } else { String::new() };
    let faults = |report: &Report| report.findings.iter().filter(|f| f.flagged).count();
    let (a, b) = (faults(first), faults(second));
    let checked = if a + b > 0 {
        format!(" The checks find {} in the first and {b} in the second.", counted(a, "fault"))
    } else {
        String::new()
    };
    format!("{told}{rest}.{checked}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_follow_the_interval_and_the_way_that_is_better() {
        let of = |better, low, high| verdict(better, Some([low, high]));
        assert_eq!(of(Better::Lower, 0.1, 0.2), Verdict::First);
        assert_eq!(of(Better::Lower, -0.2, -0.1), Verdict::Second);
        assert_eq!(of(Better::Higher, 0.1, 0.2), Verdict::Second);
        assert_eq!(of(Better::Higher, -0.2, -0.1), Verdict::First);
        assert_eq!(of(Better::Higher, -0.2, 0.1), Verdict::Unclear);
        assert_eq!(of(Better::Neither, 0.1, 0.2), Verdict::Neither);
        assert_eq!(verdict(Better::Lower, None), Verdict::Unclear);
    }

    #[test]
    fn parts_have_no_repeats_and_independent_errors_add_as_squares() {
        let mut random = Random::new(1);
        let part = some(&mut random, 50, 20);
        assert!(part.len() == 20 && part.windows(2).all(|w| w[0] < w[1]) && part[19] < 50);
        let score = |value, low, high| {
            let mut score = Score::new("m", "m", value, Better::Higher);
            score.interval = Some([low, high]);
            score
        };
        let found = own(&score(1.0, 0.7, 1.3), &score(2.0, 1.6, 2.4), 1.0, false).unwrap();
        assert!((found[0] - 0.5).abs() < 1e-12 && (found[1] - 1.5).abs() < 1e-12, "{found:?}");
        assert_eq!((counted(1, "score"), counted(2, "score")), ("1 score".into(), "2 scores".into()));
        // Those that share real samples add up.
        let found = own(&score(1.0, 0.7, 1.3), &score(2.0, 1.6, 2.4), 1.0, true).unwrap();
        assert!((found[0] - 0.3).abs() < 1e-12 && (found[1] - 1.7).abs() < 1e-12, "{found:?}");
        assert!(own(&Score::new("m", "m", 1.0, Better::Higher), &score(1.0, 0.0, 2.0), 0.0, false).is_none());
    }
}
