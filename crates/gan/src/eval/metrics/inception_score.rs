use super::{Better, Classified, Context, LEVEL, Metric, Score, Subject, suits_classes};
use crate::error::Error;
use crate::extractors::Extractor;
use ganymede_metrics::inception::{Order, SPLITS, inception_interval, inception_score};
use ganymede_metrics::stats::student;
use serde_json::json;

/// How sure a classifier is of samples, and of how many classes they are.
pub(super) struct InceptionScore;

impl Metric for InceptionScore {
    fn name(&self) -> &'static str {
        "inception-score"
    }

    fn about(&self) -> &'static str {
        "exp of the mean KL of a classifier's classes of each sample to those of all (the Inception score where it is \
         Inception)."
    }

    fn paper(&self) -> &'static str {
        "Salimans et al. 2016, section 4"
    }

    fn better(&self) -> Better {
        Better::Higher
    }

    fn shares_real(&self) -> bool {
        false
    }

    fn suits(&self, subject: &Subject) -> Result<(), String> {
        suits_classes(subject, true, "has no images that a classifier could see")
    }

    fn keeps_features(&self, _: [usize; 2], _: usize) -> bool {
        false
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let Classified { classes, real: of_real, generated: seen } = context.classified()?;
        let what = match context.extractor.as_deref().map(Extractor::name) {
            Some(name) if name.starts_with("inception") => "Inception score",
            _ => "exp KL of classes",
        };
        let shuffled = Order::Shuffled(context.seed);
        let split = inception_score(seen, classes, SPLITS, shuffled)?;
        let given = inception_score(seen, classes, SPLITS, Order::Given)?;
        let (whole, interval) = if context.resampled {
            (inception_score(seen, classes, 1, Order::Given)?.mean, None)
        } else {
            let whole = inception_interval(seen, classes, LEVEL)?;
            (whole.estimate, Some([whole.low, whole.high]))
        };
        let real = inception_score(of_real, classes, SPLITS, shuffled)?;
        let named = |words: &str| context.named(&format!("{what}, {words}"));
        let mut score =
            Score::new(self.name(), named(&format!("{SPLITS} splits")), split.mean, Better::Higher)
                .noting(format!("+- {:.3} over splits; real samples {:.3}", split.deviation, real.mean));
        if !context.resampled {
            // Splits share no sample.
            score = score.within(student(&split.splits, LEVEL)?);
        }
        score.detail = json!({
            "splits": SPLITS, "deviation": split.deviation, "shuffle_seed": context.seed,
            "in_the_order_of_samples": { "mean": given.mean, "deviation": given.deviation },
            "real": { "mean": real.mean, "deviation": real.deviation },
        });
        let mut all = Score::new(self.name(), named("all samples"), whole, Better::Higher);
        all.interval = interval;
        Ok(vec![score, all])
    }
}
