//! Opening data: progress where it takes time, and a word on what was left out.

use crate::progress::counter;
use crate::say::complain;
use ganymede_data::{Dataset, OpenOptions, open};
use indicatif::ProgressBar;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long opening may take before it is shown.
const PATIENCE: Duration = Duration::from_secs(2);

/// Skipped files that are named.
const NAMED: usize = 5;

/// When files began to be read, and the bar once there is one.
static SHOWN: Mutex<Option<(Instant, Option<ProgressBar>)>> = Mutex::new(None);

fn show(done: u64, total: u64) {
    let Ok(mut shown) = SHOWN.lock() else { return };
    let (began, bar) = shown.get_or_insert_with(|| (Instant::now(), None));
    if bar.is_none() && began.elapsed() >= PATIENCE {
        *bar = counter(total, "pictures read");
    }
    if let Some(bar) = bar {
        // Threads may come out of order by a few files.
        bar.set_position(done.max(bar.position()));
    }
    if done == total {
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        *shown = None;
    }
}

/// Opens a set, with progress, and says what was skipped.
pub fn open_data(spec: &str, options: OpenOptions) -> anyhow::Result<Dataset> {
    let set = open(spec, &OpenOptions { progress: Some(show), ..options })?;
    let skipped = &set.reading().skipped;
    if !skipped.is_empty() {
        let named =
            skipped.iter().take(NAMED).map(|(path, reason)| format!("\n  {}: {reason}", path.display()));
        let more = if skipped.len() > NAMED { "\n  .." } else { "" };
        complain!(
            "warning: {} of the pictures in {spec} cannot be read and are left out:{}{more}",
            skipped.len(),
            named.collect::<String>()
        );
    }
    Ok(set)
}
