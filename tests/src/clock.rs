//! A wall clock of its own for one process, which can jump: libfaketime, told by a file how far it is off.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::Command;

/// A clock that begins at the true time.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
    library: String,
}

impl Clock {
    /// Makes it, with its file in `folder`.
    pub async fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        // The command knows best where its library lies.
        let asked = Command::faketime()?.args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]);
        let library = asked.output().await?.trim().to_owned();
        let clock = Self {
            file: folder.join("clock"),
            library,
        };
        clock.set(0)?;
        Ok(clock)
    }

    /// The command under which a process lives by it.
    #[must_use]
    pub fn under(&self) -> Vec<String> {
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", self.library),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display()),
            // The file counts at once.
            "FAKETIME_NO_CACHE=1".to_owned(),
            // As when somebody sets the time: the wall clock jumps, the monotonic one does not, and the times of files are
            // what they were.
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            "NO_FAKE_STAT=1".to_owned(),
        ]
    }

    /// Jumps to so many seconds ahead of the true time; behind it, if negative.
    pub fn set(&self, seconds: i64) -> Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n"))
            .with_context(|| format!("writing {}", new.display()))?;
        fs::rename(&new, &self.file).with_context(|| format!("replacing {}", self.file.display()))
    }
}
