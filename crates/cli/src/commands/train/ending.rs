//! A run to its end, and what is said then.

use super::super::interrupts;
use crate::args::Train;
use crate::human;
use crate::progress::Progress;
use crate::say::tell;
use anyhow::anyhow;
use ganymede::Error;
use ganymede::memory::peak_of_this_process;
use ganymede::run::{Finished, Run};
use std::path::Path;
use std::process::ExitCode;

/// Trains until the run ends, is stopped, or cannot go on.
pub(super) fn finish(options: &Train, root: &Path, mut run: Run) -> anyhow::Result<ExitCode> {
    let stop = interrupts()?;
    let mut progress = Progress::new(options.computing.json);
    let ended = run.train(&stop, &mut progress);
    progress.finish();
    // A run stopped before its minutes became a number of images has no end of its own.
    let planned = run.trainer().progress().total_images;
    let endless = planned == u64::MAX;
    let again =
        format!("ganymede train --resume {}{}", root.display(), if endless { " --images N" } else { "" });
    let ended = ended.map_err(|error| match error {
        Error::Diverged { .. } => {
            // Schedules have spaces and an arrow, which a shell would take apart.
            let sets = run.remedies().into_iter().map(|set| match set.contains(' ') {
                true => format!(" --set '{set}'"),
                false => format!(" --set {set}"),
            });
            anyhow!("{error}: {again}{}", sets.collect::<String>())
        }
        // Whatever else stopped it, what was saved is still there.
        other => {
            anyhow!("{other}\nThe last checkpoint is kept; when the cause is mended, go on with: {again}")
        }
    });
    let metric = run.trainer().objective().recipe.best.as_ref().map_or(String::new(), |b| b.metric.clone());
    let Finished {
        root,
        samples,
        checkpoint,
        interrupted,
        step,
        images,
        seconds,
        skipped,
        failing,
        mixture,
        best,
    } = ended?;
    if options.computing.json {
        let line = serde_json::json!({
            "event": if interrupted { "interrupted" } else { "finished" }, "run": root, "samples": samples,
            "checkpoint": checkpoint, "step": step, "images": images, "seconds": seconds, "skipped": skipped,
            "peak_rss_bytes": peak_of_this_process(),
            "best": best.as_ref().map(|(path, best)| serde_json::json!({
                "metric": metric, "score": best.score, "step": best.step, "checkpoint": path,
            })),
            "mixture": mixture.as_ref().map(|m| serde_json::json!({
                "samples": m.samples, "modes": m.modes, "total_modes": m.total_modes,
                "high_quality": m.high_quality, "reverse_kl": m.reverse_kl,
                "reverse_kl_floor": m.reverse_kl_floor, "spread": m.spread,
            })),
        });
        tell!("{line}");
    } else {
        let what = if interrupted { "Stopped" } else { "Done" };
        tell!("{what} after {images} images ({step} steps) in {}.", human::duration(seconds));
        if skipped > 0 {
            tell!("{}", dropped(skipped, &failing));
        }
        if let Some(m) = &mixture {
            let kl = m.reverse_kl.map_or("-".into(), |kl| format!("{kl:.4}"));
            let spread = m.spread_range().map_or("-".into(), |(low, high)| format!("{low:.2} to {high:.2}"));
            tell!(
                "{} samples: {} of {} modes, {:.1} % within 3 sigma (perfect 98.9), reverse KL {kl}, spread inside \
                 modes {spread} sigma (perfect 0.97).",
                m.samples,
                m.modes,
                m.total_modes,
                100.0 * m.high_quality
            );
        }
        if let Some((path, best)) = &best {
            tell!(
                "Best by {metric}: {:.6} at step {}, kept as {} (ganymede sample {} --best).",
                best.score,
                best.step,
                path.display(),
                root.display()
            );
        }
        if best.is_none() && !metric.is_empty() {
            tell!(
                "No best checkpoint by {metric} is kept: no samples so far have that score (a longer run may)."
            );
        }
        tell!("Last samples: {}", samples.display());
        if interrupted {
            tell!("Go on with: {again}");
        } else if images < planned && !endless {
            // Steps took longer towards the end than when the time became a number of images.
            tell!(
                "Its minutes were over {} images before their planned end; these with: {again}",
                planned - images
            );
        } else {
            tell!("More samples: ganymede sample {} --n 100 --out samples.png", root.display());
        }
        tell!("Run folder: {}", root.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// What was left out of a run because a value was not finite.
fn dropped(skipped: u64, failing: &[(String, u32)]) -> String {
    let last = failing
        .iter()
        .map(|(name, count)| format!("; the last {count} of {name}, which has not happened since"));
    format!("Updates dropped because a value was not finite: {skipped}{}.", last.collect::<Vec<_>>().concat())
}
