//! How long a run is.

use super::{Observer, Run};
use crate::error::Error;
use crate::recipe::Recipe;
use ganymede_data::Dataset;
use std::time::Duration;

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
    /// know their end. It is measured again later and the number moved where the speed has changed; the clock still
    /// ends the run if it comes first.
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

/// When the speed of a run of length `limit` is measured next: after its first seconds, then at each quarter and
/// shortly before the end.
pub(super) fn next_measurement(limit: Duration, elapsed: Duration) -> Duration {
    let first = (limit / 20).min(Duration::from_secs(10));
    let later = [0.25, 0.5, 0.75, 0.9].map(|part| limit.mul_f64(part));
    std::iter::once(first).chain(later).find(|&at| at > elapsed).unwrap_or(Duration::MAX)
}

/// How many more steps fit into `limit` when `steps` took `elapsed`; at least one. The first measurement has seen few
/// sample pictures and checkpoints, and leaves three parts in a hundred for them.
fn steps_left(limit: Duration, elapsed: Duration, steps: u64, first: bool) -> u64 {
    let left = limit.saturating_sub(elapsed).as_secs_f64() * if first { 0.97 } else { 0.995 };
    ((left * steps as f64 / elapsed.as_secs_f64()).round() as u64).max(1)
}

impl Run {
    /// With the speed known, the time becomes a number of images, which schedules and a resumed run can rely on.
    pub(super) fn fix_length(
        &mut self,
        limit: Duration,
        elapsed: Duration,
        steps: u64,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let train = &self.trainer.objective().recipe.train;
        let per_step = (train.batch * train.critic_steps) as u64;
        let before = Some(self.trainer.progress().total_images).filter(|&total| total != u64::MAX);
        let more = steps_left(limit, elapsed, steps, before.is_none());
        let total = self.trainer.progress().images + more * per_step;
        if before.is_some_and(|before| total.abs_diff(before) < before / 50) {
            return Ok(());
        }
        self.trainer.progress_mut().total_images = total;
        let now = if before.is_none() { "at this speed" } else { "the speed has changed:" };
        observer.note(&format!("{now} {:.1} minutes are {total} images", limit.as_secs_f64() / 60.0));
        let mut recipe = self.trainer.objective().recipe.clone();
        if let Some(run) = &mut recipe.run {
            run.images = total;
        }
        self.trainer.set_recipe(recipe);
        self.write_recipe()?;
        // From here on a resumed run knows its end too.
        self.save()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_minutes_follows_its_speed() {
        let second = Duration::from_secs;
        let limit = second(300);
        let mut at = Duration::ZERO;
        let mut seen = Vec::new();
        while let Some(next) = Some(next_measurement(limit, at)).filter(|&next| next < limit) {
            seen.push(next.as_secs());
            at = next;
        }
        assert_eq!(seen, [10, 75, 150, 225, 270]);
        assert_eq!(next_measurement(second(20), Duration::ZERO), second(1));
        // Ten steps a second at first; five a second from then on.
        assert_eq!(steps_left(limit, second(10), 100, true), 2813);
        assert_eq!(steps_left(limit, second(75), 100 + 325, false), 1269);
        assert_eq!(steps_left(limit, second(400), 100, false), 1);
    }
}
