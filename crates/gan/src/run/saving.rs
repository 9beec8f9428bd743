//! What a run keeps on disk beside its log: checkpoints, when and how many, and its recipe.

use super::Run;
use crate::checkpoint;
use crate::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Checkpoints kept.
const KEEP: usize = 2;
/// Shortest time between two checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
/// Checkpoints take at most one part in this many of the time.
const CHECKPOINT_SHARE: u32 = 30;

impl Run {
    pub(super) fn write_recipe(&self) -> Result<(), Error> {
        let path = self.folder.recipe();
        let text = &self.trainer.progress().recipe;
        checkpoint::write_atomically(&path, text.as_bytes()).map_err(Error::io(&path, "write the recipe"))
    }

    pub(super) fn save(&mut self) -> Result<PathBuf, Error> {
        let began = Instant::now();
        let progress = self.trainer.progress();
        let path = self.folder.checkpoint(progress.step);
        checkpoint::save(&path, self.trainer.store(), progress)?;
        self.saved = Some((progress.step, Instant::now(), began.elapsed()));
        let folder = self.folder.checkpoints();
        checkpoint::prune(&folder, KEEP).map_err(Error::io(&folder, "remove old checkpoints"))?;
        Ok(path)
    }

    pub(super) fn checkpoint_due(&self) -> bool {
        match self.saved {
            Some((step, at, took)) => {
                step != self.trainer.progress().step
                    && at.elapsed() >= CHECKPOINT_EVERY.max(took * CHECKPOINT_SHARE)
            }
            None => true,
        }
    }

    /// Checkpoints of a later step belong to a course of the run that is being left.
    pub(super) fn set_aside(&mut self, step: u64) -> Result<(), Error> {
        let folder = self.folder.checkpoints();
        let moved = checkpoint::set_aside(&folder, step)
            .map_err(Error::io(&folder, "set newer checkpoints aside"))?;
        self.notes.extend(moved.iter().map(|path| {
            format!("going on from step {step}, so a later checkpoint is set aside: {}", path.display())
        }));
        Ok(())
    }
}
