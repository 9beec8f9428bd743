//! What a person sees while a run trains.

use crate::human;
use crate::say::{complain, tell};
use ganymede::extractors::Watch;
use ganymede::run::{Observer, Tick};
use ganymede::trainer::{StepReport, Trainer};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

/// A live line on standard error for `total` of something; `None` where that is no terminal.
pub fn counter(total: u64, what: &'static str) -> Option<ProgressBar> {
    std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new(total);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos} of {len} {msg}  {eta} left") {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar
    })
}

/// Shows how far a piece of work is, one after the other.
#[derive(Default)]
pub struct Follow {
    bar: Option<(&'static str, ProgressBar)>,
}

impl Follow {
    /// Clears the live line.
    pub fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Watch for Follow {
    fn note(&mut self, message: &str) {
        self.clear();
        complain!("{message}");
    }

    fn moved(&mut self, what: &'static str, done: u64, total: u64) {
        if self.bar.as_ref().is_none_or(|(of, _)| *of != what) {
            self.clear();
            self.bar = counter(total, what).map(|bar| (what, bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done);
        }
        if done >= total {
            self.clear();
        }
    }
}

/// A live line on a terminal, a line a tick elsewhere, or JSON.
pub struct Progress {
    json: bool,
    bar: Option<ProgressBar>,
    shown: Instant,
    /// Work beside the steps, and when it began.
    beside: Option<(&'static str, Instant)>,
}

impl Progress {
    /// Text or JSON.
    pub fn new(json: bool) -> Self {
        let bar = (!json && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            if let Ok(style) = ProgressStyle::with_template("{bar:24} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { json, bar, shown: Instant::now() - Duration::from_secs(1), beside: None }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None if self.json => complain!("{line}"),
            None => tell!("{line}"),
        }
    }

    /// Clears the live line.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn left(images: u64, total: u64, rate: f64) -> String {
    if total == u64::MAX || rate <= 0.0 {
        return "measuring".into();
    }
    format!("{} left", human::duration(total.saturating_sub(images) as f64 / rate))
}

/// The score of a tick, marked where it is the best so far.
fn score(tick: &Tick) -> String {
    let best = if tick.best { " (best)" } else { "" };
    tick.score.map_or(String::new(), |score| format!("score {score:.4}{best}  "))
}

/// What is wrong, to stand out in a line.
fn trouble(tick: &Tick) -> String {
    tick.trouble.iter().map(|trouble| format!("! {}  ", trouble.name().to_uppercase())).collect()
}

impl Observer for Progress {
    fn step(&mut self, trainer: &Trainer, report: &StepReport, rate: f64) {
        let Some(bar) = &self.bar else { return };
        if self.shown.elapsed() < Duration::from_millis(200) {
            return;
        }
        self.shown = Instant::now();
        let p = trainer.progress();
        if p.total_images != u64::MAX {
            bar.set_length(p.total_images);
        }
        bar.set_position(p.images);
        bar.set_message(format!(
            "{} images  {rate:.0}/s  D real {:+.2}  D fake {:+.2}  G loss {:.3}  {}",
            human::count(p.images),
            report.d_real,
            report.d_fake,
            report.g_loss,
            left(p.images, p.total_images, rate)
        ));
    }

    fn tick(&mut self, tick: &Tick, samples: &Path) {
        if self.json {
            if let Ok(line) = serde_json::to_string(tick) {
                tell!("{line}");
            }
            return;
        }
        self.say(&format!(
            "{:>9} images  {:>5.0}/s  D real {:+.2}  D fake {:+.2}  G loss {:.3}  {}{}{}  {}",
            tick.images,
            tick.images_per_second,
            tick.d_real,
            tick.d_fake,
            tick.g_loss,
            score(tick),
            trouble(tick),
            left(tick.images, tick.total_images, tick.images_per_second),
            samples.display()
        ));
    }

    fn moved(&mut self, what: &'static str, done: u64, total: u64) {
        let began = match self.beside {
            Some((of, began)) if of == what && done > 1 => began,
            _ => Instant::now(),
        };
        self.beside = (done < total).then_some((what, began));
        let Some(bar) = &self.bar else { return };
        if self.shown.elapsed() < Duration::from_millis(200) {
            return;
        }
        self.shown = Instant::now();
        let seconds = began.elapsed().as_secs_f64();
        bar.set_message(format!(
            "{what}: {done} of {total}  {}",
            left(done, total, done as f64 / seconds.max(1e-9))
        ));
    }

    fn note(&mut self, message: &str) {
        self.say(&format!("note: {message}"));
    }
}
