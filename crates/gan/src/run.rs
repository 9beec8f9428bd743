//! A run on disk: its folder, how it starts and is kept, what it tells, and here the loop that trains.

mod folder;
mod guard;
mod length;
mod log;
mod pictures;
mod report;
mod saving;
mod scoring;
mod start;
mod watch;
mod window;

pub use folder::RunFolder;
pub use ganymede_metrics::mixture::MixtureScore;
use length::next_measurement;
pub use length::{Length, lengthened_images, planned_images};
pub use pictures::{GRID, original_points, samples_drawn, write_picture};
pub use report::{Finished, Observer, Tick};
pub use scoring::{SCORED, known_mixture};
use scoring::{Scoring, Watching};
use watch::Watch;
pub(crate) use watch::held_bytes as watching_bytes;
pub use watch::{Seen, Trouble};

use crate::error::Error;
use crate::networks::Side;
use crate::sampler::Sampler;
use crate::standing::Standing;
use crate::step::Objective;
use crate::trainer::Trainer;
use ganymede_cpu::Session;
use ganymede_data::Dataset;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use window::{Rate, Window};

/// Sample grids and log lines over a whole run.
const TICKS: u64 = 40;

/// A run in its folder.
pub struct Run {
    folder: RunFolder,
    trainer: Trainer,
    dataset: Arc<Dataset>,
    seed: u64,
    sampler: Sampler,
    standing: Option<Standing>,
    scoring: Option<Scoring>,
    watch: Option<Watch>,
    minutes: Option<f64>,
    saved: Option<(u64, Instant, Duration)>,
    /// The network whose penalty was what ran away, at the last step that dropped an update.
    blamed: Option<Side>,
    /// What is worth a sentence and happened before anyone listened.
    notes: Vec<String>,
    /// Held as long as the run is: no other process trains in the folder.
    _lock: Option<File>,
}

impl Run {
    /// The objective beside the session, to draw samples from the current state.
    pub fn parts_mut(&mut self) -> (&Objective, &mut Session) {
        self.trainer.parts_mut()
    }

    /// The run in memory.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// Draws samples, unless `drawn` names them, and writes a line of the log, scored or not. Neither is worth the work done
    /// since the last checkpoint: where they fail, the state is saved before the error is returned.
    fn tick(
        &mut self,
        drawn: Option<PathBuf>,
        scored: bool,
        window: &mut Window,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<PathBuf, Error> {
        if let (Some(path), 0, 0) = (&drawn, window.steps, window.dropped) {
            return Ok(path.clone());
        }
        let told = self.samples_of_tick(&mut Watching { observer: &mut *observer, stop }).and_then(|samples| {
            let path = drawn.map_or_else(|| self.draw(&samples), Ok)?;
            if window.steps > 0 {
                let (score, best) = match scored {
                    true => self.score(&mut Watching { observer: &mut *observer, stop })?,
                    false => (None, false),
                };
                let seen = self.look(&samples, observer)?;
                let tick = Tick {
                    score,
                    best,
                    variety: seen.as_ref().map(|seen| seen.variety),
                    overfitting: seen.as_ref().and_then(|seen| seen.overfitting),
                    trouble: seen.map(|seen| seen.trouble).unwrap_or_default(),
                    ..window.close(&self.trainer, &self.folder.root, &path)
                };
                self.append_log(&serde_json::to_value(&tick).unwrap_or_default())?;
                observer.tick(&tick, &path);
            } else if window.dropped > 0 {
                // No means: not one step since the last line went well.
                let progress = self.trainer.progress();
                self.append_log(&serde_json::json!({
                    "event": "dropped", "step": progress.step, "steps": window.dropped, "skipped": progress.skipped,
                }))?;
                *window = Window::new(&self.trainer);
            }
            Ok(path)
        });
        told.map_err(|error| match self.saved {
            Some((step, ..)) if step == self.trainer.progress().step => error,
            Some(_) | None => match self.save() {
                Ok(_) => error,
                Err(second) => Error::Refused(format!("{error}; nor could the state be saved: {second}")),
            },
        })
    }

    fn tell_notes(&mut self, observer: &mut dyn Observer) {
        self.notes.drain(..).for_each(|note| observer.note(&note));
    }

    /// Trains to the end, to `stop`, or to divergence.
    pub fn train(&mut self, stop: &AtomicBool, observer: &mut dyn Observer) -> Result<Finished, Error> {
        self.tell_notes(observer);
        let to_do = self.trainer.progress().images < self.trainer.progress().total_images;
        if let Some(scoring) = self.scoring.as_mut().filter(|_| to_do) {
            scoring.prepare(&mut Watching { observer: &mut *observer, stop })?;
        }
        let began = Instant::now();
        let before = self.trainer.progress().seconds;
        let first_step = self.trainer.progress().step;
        let mut window = Window::new(&self.trainer);
        let mut rate = Rate::default();
        let mut tick_at = next_tick(self.trainer.progress().images, self.trainer.progress().total_images);
        let mut measure_at = Duration::ZERO;
        if let Some(minutes) = self.minutes {
            measure_at = next_measurement(Duration::from_secs_f64(minutes * 60.0), Duration::ZERO);
        }
        let mut samples = None;
        let mut interrupted = false;
        while self.trainer.progress().images < self.trainer.progress().total_images {
            if stop.load(Ordering::Relaxed) {
                interrupted = true;
                break;
            }
            let report = self.trainer.step()?;
            let elapsed = began.elapsed();
            let speed = rate.update(self.trainer.progress().images, elapsed);
            self.trainer.progress_mut().seconds = before + elapsed.as_secs_f64();
            window.add(&report);
            if report.skipped > 0 {
                self.blamed = guard::penalty_to_blame(&report);
            }
            observer.step(&self.trainer, &report, speed);

            if let Some(stuck) = guard::stuck(self.trainer.progress()) {
                self.roll_back(&stuck, observer)?;
                tick_at = next_tick(self.trainer.progress().images, self.trainer.progress().total_images);
                rate = Rate::default();
                window = Window::new(&self.trainer);
                continue;
            }

            if let Some(minutes) = self.minutes {
                let limit = Duration::from_secs_f64(minutes * 60.0);
                if elapsed >= measure_at {
                    measure_at = next_measurement(limit, elapsed);
                    self.fix_length(limit, elapsed, self.trainer.progress().step - first_step, observer)?;
                    tick_at = next_tick(self.trainer.progress().images, self.trainer.progress().total_images);
                }
                if elapsed >= limit {
                    break;
                }
            }

            if self.trainer.progress().images >= tick_at {
                tick_at = next_tick(self.trainer.progress().images, self.trainer.progress().total_images);
                samples = Some(self.tick(None, true, &mut window, stop, observer)?);
            }
            if self.checkpoint_due() && self.trainer.progress().skipped_in_a_row == 0 {
                self.save()?;
            }
        }
        let checkpoint = self.save()?;
        let last = format!("step-{:06}.png", self.trainer.progress().step);
        let drawn = samples.filter(|path| !interrupted && path.ends_with(&last));
        let best = self.trainer.progress().best;
        // Where a stop falls is chance: a score there would make the best another than that of a run left alone.
        let path = self.tick(drawn, !interrupted, &mut window, stop, observer)?;
        if self.trainer.progress().best != best {
            // The last checkpoint shall know of it.
            self.save()?;
        }
        let mixture = self.score_mixture(&mut Watching { observer, stop })?;
        let progress = self.trainer.progress();
        Ok(Finished {
            best: progress.best.map(|best| (self.folder.best(), best)),
            skipped: progress.skipped,
            failing: progress.failing.clone().into_iter().collect(),
            mixture,
            root: self.folder.root.clone(),
            samples: path,
            checkpoint,
            interrupted,
            step: progress.step,
            images: progress.images,
            seconds: progress.seconds,
        })
    }
}

/// The image count of the next tick after `images`.
fn next_tick(images: u64, total: u64) -> u64 {
    if total == u64::MAX {
        return u64::MAX;
    }
    let every = (total / TICKS).max(1);
    (images / every + 1) * every
}
