//! The folder of a run.

use crate::error::Error;
use std::path::{Path, PathBuf};

/// Where a run lives.
#[derive(Clone, Debug)]
pub struct RunFolder {
    /// The folder itself.
    pub root: PathBuf,
}

impl RunFolder {
    /// Makes a new run folder; a folder that holds anything is refused, so that no run overwrites another.
    pub fn create(root: &Path) -> Result<Self, Error> {
        let folder = Self { root: root.to_path_buf() };
        if root.exists() {
            let mut entries = std::fs::read_dir(root).map_err(Error::io(root, "read the output folder"))?;
            if entries.next().is_some() {
                return Err(Error::Refused(format!(
                    "{}: the output folder is not empty; name another with --out, or continue the run in it with \
                     --resume {}",
                    root.display(),
                    root.display()
                )));
            }
        }
        for path in [folder.samples(), folder.checkpoints()] {
            std::fs::create_dir_all(&path).map_err(Error::io(&path, "make the folder"))?;
        }
        Ok(folder)
    }

    /// Takes back a folder in which nothing came to be, so that the same command can be given again.
    pub(super) fn discard(&self) {
        // What is not empty, or not ours to remove, stays: the caller's error says why the run did not begin.
        let _ = std::fs::remove_file(self.recipe());
        for path in [self.samples(), self.checkpoints(), self.root.clone()] {
            let _ = std::fs::remove_dir(path);
        }
    }

    /// The first of `runs/NAME-1`, `runs/NAME-2`, .. that does not exist.
    pub fn unused(name: &str) -> PathBuf {
        let mut n = 1;
        loop {
            let path = Path::new("runs").join(format!("{name}-{n}"));
            if !path.exists() {
                return path;
            }
            n += 1;
        }
    }

    /// Folder of the sample pictures.
    pub fn samples(&self) -> PathBuf {
        self.root.join("samples")
    }
    /// Folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }
    /// The resolved recipe.
    pub fn recipe(&self) -> PathBuf {
        self.root.join("recipe.toml")
    }
    /// One JSON object a tick.
    pub fn log(&self) -> PathBuf {
        self.root.join("log.jsonl")
    }
    /// A checkpoint by step.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints().join(format!("step-{step}.safetensors"))
    }
}
