//! A small disk that one process sees and nobody else: a file system in memory, mounted where only that process looks.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A disk that there will be.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    bytes: u64,
}

impl Disk {
    /// A disk of so many bytes at `folder`, which is made.
    pub fn new(folder: PathBuf, bytes: u64) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self { folder, bytes })
    }

    /// Where it is, for the process that sees it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The command under which a process sees it. Only root can mount.
    #[must_use]
    pub fn under(&self) -> Vec<String> {
        let script = "mount -t tmpfs -o \"size=$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"";
        let unshare = ["unshare", "--mount", "--propagation", "private"];
        let shell = ["sh", "-c", script, "sh"];
        let own = [self.bytes.to_string(), self.folder.display().to_string()];
        let all = unshare.iter().chain(&shell).map(ToString::to_string);
        all.chain(own).collect()
    }

    /// Fills it to the last byte, as seen by the process with this ID.
    pub fn fill(&self, pid: u32) -> Result<()> {
        let path = self.filler(pid)?;
        let mut file =
            File::create(&path).with_context(|| format!("writing {}", path.display()))?;
        for _ in 0..=self.bytes / 1024 {
            match file.write_all(&[0; 1024]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("filling the disk"),
            }
        }
        bail!("{} takes more than it has room for", path.display())
    }

    /// Makes room again.
    pub fn empty(&self, pid: u32) -> Result<()> {
        let path = self.filler(pid)?;
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))
    }

    fn filler(&self, pid: u32) -> Result<PathBuf> {
        let folder = self.folder.strip_prefix("/").context("an absolute path")?;
        Ok(Path::new(&format!("/proc/{pid}/root"))
            .join(folder)
            .join("filler"))
    }
}
