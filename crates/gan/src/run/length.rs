//! How long a run is.

use crate::error::Error;
use crate::recipe::Recipe;
use ganymede_data::Dataset;

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// Real samples shown to the discriminator.
    Images(u64),
    /// Generator steps.
    Steps(u64),
    /// Passes over the data by the loader, which serves the discriminator's steps and, for losses that pair, the
    /// generator's.
    Epochs(f64),
    /// Time: the speed is measured over the first seconds and the number of images fixed from it, so that schedules
    /// know their end; the clock still ends the run if it comes first.
    Minutes(f64),
}

/// Images in the whole run for a length; `None` where time decides.
pub fn planned_images(length: Length, recipe: &Recipe, dataset: &Dataset) -> Result<Option<u64>, Error> {
    let per_step = (recipe.train.batch * recipe.train.critic_steps) as u64;
    let images = match length {
        Length::Images(n) => n,
        Length::Steps(n) => {
            n.checked_mul(per_step).ok_or_else(|| Error::Refused(format!("{n} steps are too many")))?
        }
        Length::Epochs(n) => match dataset.len() {
            Some(len) => {
                // Samples that a step takes from the loader: a loss that pairs compares the generator's step with
                // real samples too, and they do not count as images shown to the discriminator.
                let paired = if recipe.loss_function()?.pairs() { recipe.train.batch as u64 } else { 0 };
                (n * len as f64 * per_step as f64 / (per_step + paired) as f64).round() as u64
            }
            None => {
                return Err(Error::Refused(format!(
                    "{} has no end, so epochs mean nothing: give --images, --steps or --minutes",
                    dataset.spec()
                )));
            }
        },
        Length::Minutes(_) => return Ok(None),
    };
    if images > i64::MAX as u64 {
        return Err(Error::Refused(format!(
            "a run of {images} images would never end: give a smaller number"
        )));
    }
    if images == 0 {
        return Err(Error::Refused("a run of no images: give a larger --images, --steps or --epochs".into()));
    }
    Ok(Some(images))
}
