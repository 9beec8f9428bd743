use super::frechet::has_interval;
use super::{Better, Context, LEVEL, Metric, Score, Subject};
use crate::error::Error;
use ganymede_metrics::MetricError;
use ganymede_metrics::class_frechet::{Labelled, class_frechet, class_frechet_interval};
use serde_json::json;

/// Frechet distance within each class.
pub(super) struct ClassFrechet;

impl Metric for ClassFrechet {
    fn name(&self) -> &'static str {
        "class-frechet"
    }

    fn about(&self) -> &'static str {
        "Frechet distance between the samples asked of each class and the real ones of that class, averaged over classes."
    }

    fn paper(&self) -> &'static str {
        "Miyato and Koyama 2018, section 4 (intra-FID)"
    }

    fn better(&self) -> Better {
        Better::Lower
    }

    fn suits(&self, subject: &Subject) -> Result<(), String> {
        if !(subject.labelled && subject.images()) {
            return Err(format!("{} has no labelled images to compare classes of", subject.spec));
        }
        if subject.stacked {
            return Err("stacked digits have thousands of classes, which `modes` counts".into());
        }
        if !subject.generated_labels {
            return Err("the classes of the generated samples are not known: it takes a conditional run, or a folder with \
                        a sub-folder a class"
                .into());
        }
        Ok(())
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let (real, generated) = context.both()?;
        let names = context.train.classes().unwrap_or_default();
        let (Some(of_real), Some(of_generated)) = (&real.labels, &generated.labels) else {
            return Err(Error::Unsuited("the classes of the samples are not known".into()));
        };
        let of_real = Labelled { features: &real.features, labels: of_real };
        let of_generated = Labelled { features: &generated.features, labels: of_generated };
        let (classes, d) = (names.len(), real.features.dimensions());
        let found = match has_interval(context, classes)? {
            true => class_frechet_interval(of_real, of_generated, classes, LEVEL),
            false => class_frechet(of_real, of_generated, classes).map(|found| (found, None)),
        };
        let (found, interval) = found.map_err(|error| match error {
            MetricError::Class { class, needed, got, .. } => Error::Unsuited(format!(
                "class {}: {got} samples on one side, and a Gaussian takes {needed}: give a larger --n, or compare with data of \
                 the classes that are made",
                names[class]
            )),
            error => error.into(),
        })?;
        let worst = (0..names.len()).max_by(|&a, &b| found.distances[a].total_cmp(&found.distances[b]));
        let name = context.named("Frechet distance, mean of classes");
        let mut score = Score::new(self.name(), name, found.mean, Better::Lower);
        if let Some(interval) = interval {
            score = score.within(interval);
        }
        let mut note = worst.map_or_else(String::new, |class| {
            format!("class {} is farthest, {:.4}", names[class], found.distances[class])
        });
        if found.fewest <= d {
            note += &format!(
                "; a class of {} samples has no more than features: it would fall with more",
                found.fewest
            );
        }
        score = score.noting(note);
        score.detail = json!({
            "classes": names, "distances": found.distances, "fewest_samples_of_a_class": found.fewest,
        });
        Ok(vec![score])
    }
}
