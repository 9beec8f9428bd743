use super::{Better, Context, LEVEL, Metric, Score, Subject};
use crate::error::Error;
use crate::eval::collect::{check_available, take};
use crate::extractors::{BATCH, best};
use ganymede_metrics::classes::{CONFIDENT, ClassScore};
use ganymede_metrics::law::kl_interval;
use ganymede_metrics::modes::ModeScore;
use ganymede_metrics::stats::student;
use serde_json::json;

/// Samples that the count is made over by custom.
const SAMPLES: usize = 26_000;

/// Which triples of stacked digits appear.
pub(super) struct Modes;

impl Metric for Modes {
    fn name(&self) -> &'static str {
        "modes"
    }

    fn about(&self) -> &'static str {
        "Stacked digits: classes found of all triples and KL to uniform over 26,000 samples, each channel classified."
    }

    fn paper(&self) -> &'static str {
        "Metz et al. 2017, section 3.3.1; Lin et al. 2018, section 4.2"
    }

    fn better(&self) -> Better {
        Better::Higher
    }

    fn compares(&self) -> bool {
        false
    }

    fn suits(&self, subject: &Subject) -> Result<(), String> {
        if subject.stacked {
            return Ok(());
        }
        Err(format!("{} is no stack of digits with all its triples (`stacked:..`)", subject.spec))
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let available = context.source.available().unwrap_or(usize::MAX);
        let count = context.n.unwrap_or(SAMPLES.min(available));
        check_available(context.source, count)?;
        let not = |got| Error::Unsuited(format!("{got}: use --extractor classifier, or a file of weights"));
        let Some(extractor) = context.extractor.as_deref_mut() else {
            return Err(not("nothing looks at the channels"));
        };
        let (heads, Some(classes)) = (extractor.heads(), extractor.classes()) else {
            return Err(not("the extractor is no classifier"));
        };
        if heads == 1 {
            return Err(not("the extractor does not look at each channel"));
        }
        let (mut triples, mut probabilities) = (Vec::with_capacity(count), Vec::new());
        // Of each sample the share of its digits: those of one sample have one latent, and are no independent draws.
        let mut sure = Vec::with_capacity(count);
        for first in (0..count).step_by(4 * BATCH) {
            let (samples, _) = take(context.source, first, (4 * BATCH).min(count - first))?;
            let seen = extractor.extract(&samples)?.probabilities.unwrap_or_default();
            for sample in seen.chunks_exact(heads * classes) {
                let digits = || sample.chunks_exact(classes);
                triples.push(digits().fold(0, |all, p| all * classes + best(p)));
                let found = digits().filter(|p| f64::from(p[best(p)]) >= CONFIDENT).count();
                sure.push(found as f64 / heads as f64);
            }
            probabilities.extend(seen.iter().map(|&p| f64::from(p)));
            context.watch.moved("counting modes", triples.len() as u64, count as u64);
        }
        let modes = ModeScore::new(&triples, classes.pow(heads as u32))?;
        let digits = ClassScore::new(&probabilities, classes)?;
        let accuracy = extractor.accuracy();
        let total = modes.total_modes;
        let mut found = Score::new(self.name(), context.named("modes"), modes.modes as f64, Better::Higher)
            .noting(format!("of {total}, over {} samples", modes.samples));
        found.detail = json!({
            "samples": modes.samples, "total_modes": total, "counts": modes.counts, "digit_shares": digits.shares(),
            "accuracy_of_a_digit": accuracy,
        });
        let mut kl = Score::new(
            self.name(),
            context.named("KL of modes to uniform"),
            modes.kl_to_uniform,
            Better::Lower,
        )
        .noting(format!("{:.3} for a sampler of equal shares", modes.kl_floor));
        if modes.samples > 1 {
            let uniform = vec![1.0 / total as f64; total];
            kl = kl.within(kl_interval(&modes.counts, &uniform, LEVEL)?);
        }
        let recognised = context.named(&format!("share of digits recognised, p >= {CONFIDENT}"));
        let mut recognised = Score::new(self.name(), recognised, digits.confident, Better::Higher);
        if modes.samples > 1 {
            let spread = student(&sure, LEVEL)?;
            recognised.interval = Some([spread.low.max(0.0), spread.high.min(1.0)]);
        }
        Ok(vec![found, kl, recognised])
    }
}
