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
        "Path length: LPIPS, or squared distance of features of extractors without it, a step of 1e-4 apart on a path between two \
         codes, over 1e-8."
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
        let own = context.extractor.as_deref_mut().is_some_and(|extractor| extractor.distance().is_some());
        let (what, distance) = match own {
            true => ("perceptual path length", "the extractor's own, samples not rounded to bytes"),
            false => ("path length", "squared difference of features, samples not rounded to bytes"),
        };
        let mut found = Vec::new();
        for path in context.source.paths().to_vec() {
            let squared = distances(context, path, count)?;
            let length = path_length(&squared, EPSILON)?;
            let name = context.named(&format!("{what}, {}", path.words()));
            let mut score = Score::new(self.name(), name, length.mean.estimate, Better::Lower)
                .within(length.mean)
                .noting(format!("{} of {count} paths, percentiles 1 to 99", length.kept));
            score.detail = json!({
                "paths": count, "kept": length.kept, "epsilon": EPSILON, "deviation": length.deviation,
                "distance": distance,
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

/// Squared distances of pairs of samples: the extractor's own where it has one, which is the published length and has squares
/// in it (LPIPS: Zhang et al. 2018, equation 1), of features elsewhere.
fn apart(extractor: &mut dyn Extractor, from: &[f32], to: &[f32]) -> Result<Vec<f64>, Error> {
    if let Some(own) = extractor.distance() {
        return Ok(own.distances(from, to)?.into_iter().map(f64::from).collect());
    }
    let dimensions = extractor.dimensions();
    let [a, b] = [extractor.extract(from)?.features, extractor.extract(to)?.features];
    let square = |(a, b): (&[f32], &[f32])| {
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>()
    };
    Ok(a.chunks_exact(dimensions).zip(b.chunks_exact(dimensions)).map(square).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extractors::{Distance, Extracted};

    /// Features of two values are the sample; the distance, where there is one, is the difference of the first.
    struct Seen {
        own: bool,
    }

    impl Extractor for Seen {
        fn name(&self) -> &str {
            "seen"
        }

        fn hash(&self) -> &str {
            ""
        }

        fn shape(&self) -> &[usize] {
            &[2]
        }

        fn dimensions(&self) -> usize {
            2
        }

        fn distance(&mut self) -> Option<&mut dyn Distance> {
            if self.own { Some(self) } else { None }
        }

        fn extract(&mut self, samples: &[f32]) -> Result<Extracted, Error> {
            Ok(Extracted { features: samples.to_vec(), probabilities: None })
        }
    }

    impl Distance for Seen {
        fn distances(&mut self, a: &[f32], b: &[f32]) -> Result<Vec<f32>, Error> {
            Ok(a.chunks(2).zip(b.chunks(2)).map(|(a, b)| (a[0] - b[0]).abs()).collect())
        }
    }

    #[test]
    fn the_extractors_own_distance_is_taken_as_it_is() {
        let (from, to) = ([0.0, 0.0, 1.0, 0.0], [3.0, 4.0, 1.0, 2.0]);
        assert_eq!(apart(&mut Seen { own: true }, &from, &to).unwrap(), [3.0, 0.0]);
        assert_eq!(apart(&mut Seen { own: false }, &from, &to).unwrap(), [25.0, 4.0]);
    }
}
