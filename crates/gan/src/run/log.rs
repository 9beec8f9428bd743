//! `log.jsonl`: one JSON object a line.

use super::Run;
use crate::error::Error;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

impl Run {
    /// The last step that the log tells of.
    pub(super) fn last_logged_step(&self) -> Option<u64> {
        let text = std::fs::read_to_string(self.folder.log()).ok()?;
        let step = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?.get("step")?.as_u64();
        text.lines().rev().find_map(step)
    }

    pub(super) fn append_log(&self, line: &serde_json::Value) -> Result<(), Error> {
        let path = self.folder.log();
        let write = || {
            let mut file = File::options().create(true).read(true).append(true).open(&path)?;
            // A line that a full disk or a kill cut short must not run into this one.
            let mut last = [b'\n'];
            if file.seek(SeekFrom::End(0))? > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            let start = if last == [b'\n'] { "" } else { "\n" };
            file.write_all(format!("{start}{line}\n").as_bytes())
        };
        write().map_err(Error::io(&path, "write the log"))
    }
}
