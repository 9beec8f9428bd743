use super::{Better, Context, LEVEL, Metric, Score, Subject};
use crate::error::Error;
use ganymede_metrics::ssim::{ms_ssim, scales};
use ganymede_metrics::stats::bootstrap;
use serde_json::json;

/// Images of either side, twice the pairs.
const IMAGES: usize = 4_000;
/// Length of the range of values.
const RANGE: f64 = 2.0;
const RESAMPLES: usize = 1000;

/// How alike pairs of generated images are.
pub(super) struct MsSsim;

impl Metric for MsSsim {
    fn name(&self) -> &'static str {
        "ms-ssim"
    }

    fn about(&self) -> &'static str {
        "Multi-scale structural similarity of 2000 pairs of generated images (of a class, where known), beside real pairs."
    }

    fn paper(&self) -> &'static str {
        "Odena, Olah and Shlens 2017, section 4.2; Wang, Simoncelli and Bovik 2003"
    }

    fn better(&self) -> Better {
        Better::Lower
    }

    fn looks(&self) -> bool {
        false
    }

    fn compares(&self) -> bool {
        false
    }

    fn on_request(&self) -> Option<&'static str> {
        Some("it draws images of its own")
    }

    fn suits(&self, subject: &Subject) -> Result<(), String> {
        if subject.images() { Ok(()) } else { Err(format!("{} has no images", subject.spec)) }
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let count = context.pairs_of_images(context.n.unwrap_or(IMAGES));
        let [h, w, c] = context.image_shape()?;
        let (real, of_real) = context.real_images(count)?;
        let (generated, of_generated) = context.generated_images(count)?;
        let by_class = of_real.is_some() && of_generated.is_some();
        let size = h * w * c;
        let similarities = |images: &[f32], labels: Option<&[i32]>| -> Result<Vec<f64>, Error> {
            let image = |i: usize| &images[i * size..][..size];
            let of = |(a, b): &(usize, usize)| -> Result<f64, Error> {
                Ok(ms_ssim(image(*a), image(*b), [h, w, c], RANGE)?)
            };
            pairs(count, labels.filter(|_| by_class)).iter().map(of).collect()
        };
        let found = similarities(&generated, of_generated.as_deref())?;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let interval = bootstrap(&found, RESAMPLES, LEVEL, mean)?;
        let real = mean(&similarities(&real, of_real.as_deref())?);
        let scales = scales(h, w);
        let of = if by_class { "pairs of a class" } else { "pairs" };
        let name = format!("MS-SSIM of {of}, {scales} scales");
        let mut score = Score::new(self.name(), name, interval.estimate, Better::Lower)
            .within(interval)
            .noting(format!("real pairs {real:.4}; well above them, samples are too much alike"));
        score.detail =
            json!({ "pairs": found.len(), "real": real, "scales": scales, "within_classes": by_class });
        Ok(vec![score])
    }
}

/// Neighbours in the order of samples, or of those of one class: each sample once.
fn pairs(count: usize, labels: Option<&[i32]>) -> Vec<(usize, usize)> {
    let Some(labels) = labels else { return (0..count / 2).map(|i| (2 * i, 2 * i + 1)).collect() };
    let (mut waiting, mut found) = (std::collections::HashMap::new(), Vec::with_capacity(count / 2));
    for (i, label) in labels.iter().enumerate() {
        match waiting.remove(label) {
            Some(first) => found.push((first, i)),
            None => {
                waiting.insert(*label, i);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_of_one_class_and_disjoint() {
        assert_eq!(pairs(5, None), [(0, 1), (2, 3)]);
        assert_eq!(pairs(6, Some(&[0, 1, 0, 2, 1, 0])), [(0, 2), (1, 4)]);
    }
}
