//! The folder of a run.

use crate::error::Error;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Write};
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
        if let Some(above) = root.parent() {
            std::fs::create_dir_all(above).map_err(Error::io(root, "make the folder"))?;
        }
        if let Err(error) = std::fs::create_dir(root) {
            if error.kind() != ErrorKind::AlreadyExists {
                return Err(Error::io(root, "make the folder")(error));
            }
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
        folder.furnish()
    }

    /// Makes the first of `runs/NAME-1`, `runs/NAME-2`, .. that nobody else has made.
    pub fn create_unused(name: &str) -> Result<Self, Error> {
        let runs = Path::new("runs");
        std::fs::create_dir_all(runs).map_err(Error::io(runs, "make the folder"))?;
        let mut n = 1;
        loop {
            let root = runs.join(format!("{name}-{n}"));
            match std::fs::create_dir(&root) {
                Ok(()) => return Self { root }.furnish(),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => n += 1,
                Err(error) => return Err(Error::io(&root, "make the folder")(error)),
            }
        }
    }

    fn furnish(self) -> Result<Self, Error> {
        for path in [self.samples(), self.checkpoints()] {
            std::fs::create_dir_all(&path).map_err(Error::io(&path, "make the folder"))?;
        }
        Ok(self)
    }

    /// Keeps other processes from training in the folder until the file is dropped. `None` where the file system has
    /// no locks.
    ///
    /// # Errors
    /// Another process holds the lock, or the file cannot be written.
    pub fn lock(&self) -> Result<Option<File>, Error> {
        let path = self.root.join("lock");
        let opened = File::options().create(true).read(true).write(true).truncate(false).open(&path);
        let mut file = opened.map_err(Error::io(&path, "open the lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let known = file.read_to_string(&mut holder).is_ok_and(|n| n > 0);
                let holder =
                    if known { format!("process {}", holder.trim()) } else { "another process".into() };
                return Err(Error::Refused(format!(
                    "{}: {holder} is training in this folder: wait until it has ended, or stop it",
                    self.root.display()
                )));
            }
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(Error::io(&path, "lock the folder")(error)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(Error::io(&path, "write the lock"))?;
        Ok(Some(file))
    }

    /// Takes back a folder in which nothing came to be, so that the same command can be given again.
    pub(super) fn discard(&self) {
        // What is not empty, or not ours to remove, stays: the caller's error says why the run did not begin.
        for path in [self.recipe(), self.root.join("lock")] {
            let _ = std::fs::remove_file(path);
        }
        for path in [self.samples(), self.checkpoints(), self.root.clone()] {
            let _ = std::fs::remove_dir(path);
        }
    }

    /// Folder of the sample pictures.
    pub fn samples(&self) -> PathBuf {
        self.root.join("samples")
    }
    /// The picture drawn after a step.
    pub fn sample(&self, step: u64) -> PathBuf {
        self.samples().join(format!("step-{step:06}.png"))
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
    /// The checkpoint with the best score.
    pub fn best(&self) -> PathBuf {
        self.checkpoints().join("best.safetensors")
    }
    /// A checkpoint by step.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints().join(format!("step-{step}.safetensors"))
    }
}
