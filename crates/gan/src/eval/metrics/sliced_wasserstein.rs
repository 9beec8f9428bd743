use super::{Better, Context, LEVEL, Metric, Score, Subject};
use crate::error::Error;
use ganymede_metrics::sliced::{
    IMAGES, LevelDistance, SMALLEST, SlicedOptions, TOLD, image_distances, levels, parts_interval,
};
use serde_json::json;

/// Distance of patches of images at each scale.
pub(super) struct SlicedWasserstein;

impl Metric for SlicedWasserstein {
    fn name(&self) -> &'static str {
        "sliced-wasserstein"
    }

    fn about(&self) -> &'static str {
        "Sliced Wasserstein distance x 1000 of 7x7 patches at each level of a Laplacian pyramid, over 16,384 images."
    }

    fn paper(&self) -> &'static str {
        "Karras et al. 2018, progressive growing, section 5"
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
        Some("it sorts a hundred patches of each image a thousand times")
    }

    fn shares_real(&self) -> bool {
        true
    }

    fn suits(&self, subject: &Subject) -> Result<(), String> {
        match subject.shape[..] {
            [h, w, _] if h.min(w) >= SMALLEST => Ok(()),
            [h, w, _] => Err(format!("images of {h}x{w} pixels are smaller than the last level, 16x16")),
            _ => Err(format!("{} has no images", subject.spec)),
        }
    }

    fn compute(&self, context: &mut Context<'_>) -> Result<Vec<Score>, Error> {
        let count = context.pairs_of_images(context.n.unwrap_or(IMAGES));
        let (real, _) = context.real_images(count)?;
        let (generated, _) = context.generated_images(count)?;
        let [h, w, c] = context.image_shape()?;
        let options = SlicedOptions { seed: context.seed, ..SlicedOptions::default() };
        context.watch.note(&format!(
            "comparing patches of {count} images, levels of the pyramid: {}",
            levels(h, w)?.len()
        ));
        let found = image_distances(&real, &generated, [h, w, c], options)?;
        let count_of_levels = found.len() as f64;
        let mean = found.iter().map(|level| level.distance).sum::<f64>() / count_of_levels;
        // Parts are of the same images at every level. One level may have none, of images that are too much alike.
        let parts = found.iter().map(|level| level.parts.len()).min().unwrap_or(0);
        let of_part =
            |part: usize| found.iter().map(|level| level.parts[part]).sum::<f64>() / count_of_levels;
        let means: Vec<f64> = (0..parts).map(of_part).collect();
        let score = |name: String, distance: f64, parts: &[f64]| -> Result<Score, Error> {
            let score = Score::new(self.name(), name, distance, Better::Lower);
            Ok(match parts_interval(distance, parts, LEVEL)? {
                Some(interval) => score.within(interval),
                None => score,
            })
        };
        let mut all = score("sliced Wasserstein distance x 1000, mean of levels".into(), mean, &means)?
            .noting(match (parts, count) {
                (0, TOLD..) => format!(
                    "of {count} images of either side; no interval, since a part of them is without contrast"
                ),
                (_, _) => format!("of {count} images of either side"),
            });
        all.detail = json!({
            "images": count, "patches": options.patches, "directions": options.directions, "seed": context.seed,
        });
        let of_level = |level: &LevelDistance| {
            let [h, w] = level.size;
            score(format!("sliced Wasserstein distance x 1000, {h}x{w}"), level.distance, &level.parts)
        };
        let of_levels = found.iter().map(of_level).collect::<Result<Vec<_>, _>>()?;
        Ok([vec![all], of_levels].concat())
    }
}
