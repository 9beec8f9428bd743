//! Speed and means over the last moments of a run.

use super::Tick;
use crate::trainer::{StepReport, Trainer};
use std::path::Path;
use std::time::{Duration, Instant};

/// Speed over the last seconds.
#[derive(Default)]
pub(super) struct Rate {
    marks: std::collections::VecDeque<(u64, Duration)>,
}

impl Rate {
    pub(super) fn update(&mut self, images: u64, now: Duration) -> f64 {
        self.marks.push_back((images, now));
        while self.marks.len() > 2 && now - self.marks[0].1 > Duration::from_secs(15) {
            self.marks.pop_front();
        }
        let (first, then) = self.marks[0];
        let span = (now - then).as_secs_f64();
        if span > 0.0 { (images - first) as f64 / span } else { 0.0 }
    }
}

/// Means since the last tick.
pub(super) struct Window {
    pub(super) steps: u64,
    /// Steps that dropped an update.
    pub(super) dropped: u64,
    sums: [f64; 6],
    began: Instant,
    images: u64,
    waited: Duration,
}

impl Window {
    pub(super) fn new(trainer: &Trainer) -> Self {
        Self {
            steps: 0,
            dropped: 0,
            sums: [0.0; 6],
            began: Instant::now(),
            images: trainer.progress().images,
            waited: trainer.waited(),
        }
    }

    pub(super) fn add(&mut self, report: &StepReport) {
        let StepReport { d_loss, d_penalty, d_real, d_fake, g_loss, g_penalty, .. } = *report;
        let values = [d_loss, d_penalty, d_real, d_fake, g_loss, g_penalty];
        self.dropped += u64::from(report.skipped > 0);
        // A skipped step's losses say nothing; its count is logged instead.
        if report.skipped == 0 {
            self.steps += 1;
            for (sum, value) in self.sums.iter_mut().zip(values) {
                *sum += f64::from(value);
            }
        }
    }

    pub(super) fn close(&mut self, trainer: &Trainer, root: &Path, samples: &Path) -> Tick {
        let progress = trainer.progress();
        let seconds = self.began.elapsed().as_secs_f64().max(1e-9);
        let mean = |i: usize| self.sums[i] / self.steps.max(1) as f64;
        let tick = Tick {
            step: progress.step,
            images: progress.images,
            total_images: progress.total_images,
            seconds: progress.seconds,
            images_per_second: (progress.images - self.images) as f64 / seconds,
            d_loss: mean(0),
            d_penalty: mean(1),
            d_real: mean(2),
            d_fake: mean(3),
            g_loss: mean(4),
            g_penalty: mean(5),
            lr_scale: progress.lr_scale,
            skipped: progress.skipped,
            rollbacks: progress.rollbacks,
            data_wait: trainer.waited().saturating_sub(self.waited).as_secs_f64() / seconds,
            samples: samples.strip_prefix(root).unwrap_or(samples).display().to_string(),
            score: None,
            best: false,
            variety: None,
            overfitting: None,
            trouble: Vec::new(),
        };
        *self = Self::new(trainer);
        tick
    }
}
