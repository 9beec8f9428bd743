use super::{Better, Context, Metric, Score, Subject};
use crate::error::Error;
use crate::eval::source::Path;
use crate::extractors::Extractor;
use ganymede_metrics::path_length::{EPSILON, path_length};
use serde_json::json;

/// Paths that are followed unless asked otherwise.
const PATHS: usize = 10_000;

/// How far samples move when their code does.
pub(super) struct PathLength;

impl Metric for PathLength {
    fn name(&self) -> &'static str {
        "ppl"
    }

    fn about(&self) -> &'static str {
        "Path length: squared distance of features a step of 1e-4 apart on a path between two codes, over 1e-8."
    }

    fn paper(&self) -> &'static str {
        "Karras, Laine and Aila 2019, StyleGAN, equations 2 and 3"
    }

    fn better(&self) -> Better {
        Better::Lower
    }

    fn compares(&self) -> bool {
        false
    }

    fn on_request(&self) -> Option<&'static str> {
        Some("it draws two samples a path")
    }

    fn suits(&self, subject: &Subject) -> Result<(), String> {
        if subject.generator {
            return Ok(());
        }
        Err("there is no generator whose codes could be moved: it takes a run or a checkpoint".into())
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let count = context.n.unwrap_or(PATHS);
        let mut found = Vec::new();
        for path in context.source.paths().to_vec() {
            let squared = distances(context, path, count)?;
            let length = path_length(&squared, EPSILON)?;
            let name = context.named(&format!("path length, {}", path.words()));
            let mut score = Score::new(self.name(), name, length.mean.estimate, Better::Lower)
                .noting(format!("{} of {count} paths, percentiles 1 to 99", length.kept));
            score.interval = Some([length.mean.low, length.mean.high]);
            score.detail = json!({
                "paths": count, "kept": length.kept, "epsilon": EPSILON, "deviation": length.deviation,
                "distance": "squared difference of features, samples not rounded to bytes",
            });
            found.push(score);
        }
        Ok(found)
    }
}

/// Squared distances of both ends of the steps of all paths.
fn distances(context: &mut Context<'_>, path: Path, count: usize) -> Result<Vec<f64>, Error> {
    let Some(extractor) = context.extractor.as_deref_mut() else {
        return Err(Error::Refused("metric ppl: nothing looks at the samples".into()));
    };
    let mut squared = Vec::with_capacity(count);
    let watch = &mut *context.watch;
    let mut measure = |from: &[f32], to: &[f32]| -> Result<(), Error> {
        squared.extend(apart(extractor, from, to)?);
        watch.moved("following paths", squared.len() as u64, count as u64);
        Ok(())
    };
    context.source.along(path, count, EPSILON, &mut measure)?;
    Ok(squared)
}

/// Squared distances of features of pairs of samples.
fn apart(extractor: &mut dyn Extractor, from: &[f32], to: &[f32]) -> Result<Vec<f64>, Error> {
    let dimensions = extractor.dimensions();
    let [a, b] = [extractor.extract(from)?.features, extractor.extract(to)?.features];
    let square = |(a, b): (&[f32], &[f32])| {
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>()
    };
    Ok(a.chunks_exact(dimensions).zip(b.chunks_exact(dimensions)).map(square).collect())
}
