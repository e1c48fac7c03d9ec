//! The cache of tools: a folder outside the checkout with one folder per `<tool>-<version>`.
//!
//! A tool is installed into a temporary sibling that is then renamed, under a lock per tool: a folder with its final name is
//! complete, whatever was killed meanwhile, and two runs at once do not install twice.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::progress::Progress;

/// The cache; made by the first installation.
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$CROSSMESH_CACHE`, else `$XDG_CACHE_HOME/crossmesh`, else `~/.cache/crossmesh`.
    pub(crate) fn find() -> Result<Self> {
        let given = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let root = given("CROSSMESH_CACHE")
            .or_else(|| given("XDG_CACHE_HOME").map(|folder| folder.join("crossmesh")))
            .or_else(|| given("HOME").map(|home| home.join(".cache/crossmesh")))
            .context("nowhere to keep tools: HOME is not set; set CROSSMESH_CACHE to a folder")?;
        Ok(Self {
            root: std::path::absolute(root).context("CROSSMESH_CACHE is no usable path")?,
        })
    }

    /// The cache's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where `key` (`<tool>-<version>`) is once it is installed.
    pub(crate) fn folder(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Where the installer's output for `key` is kept.
    pub(crate) fn log(&self, key: &str) -> PathBuf {
        self.root.join("logs").join(format!("{key}.log"))
    }

    /// The folder of `key`; if there is none, `install` fills an empty one first. `install` is given a path that will
    /// change by the renaming, so what it leaves there must not name it.
    pub(crate) fn ensure(
        &self,
        key: &str,
        install: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let folder = self.folder(key);
        if folder.exists() {
            return Ok(folder);
        }
        let _lock = self.lock(key)?;
        if folder.exists() {
            return Ok(folder); // another run was quicker
        }
        let partial = self.root.join(format!(".partial-{key}"));
        if partial.exists() {
            // Left by an installation that was killed: whoever holds the lock is alone.
            fs::remove_dir_all(&partial)
                .with_context(|| format!("removing {}", partial.display()))?;
        }
        fs::create_dir_all(&partial).with_context(|| format!("creating {}", partial.display()))?;
        let installed = install(&partial).and_then(|()| {
            fs::rename(&partial, &folder).with_context(|| format!("creating {}", folder.display()))
        });
        if let Err(error) = installed {
            let _ = fs::remove_dir_all(&partial); // the error matters more; the next run removes what is left
            return Err(error);
        }
        Ok(folder)
    }

    /// Waits until no other run holds the lock called `name`. It is given back when the file is dropped, or its holder dies.
    pub(crate) fn lock(&self, name: &str) -> Result<File> {
        let folder = self.root.join("locks");
        fs::create_dir_all(&folder).with_context(|| {
            format!(
                "creating {}; set CROSSMESH_CACHE to a folder that can be written",
                folder.display()
            )
        })?;
        let path = folder.join(format!("{name}.lock"));
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let progress =
                    Progress::begin(format!("{name}: waiting for another run that installs it"));
                file.lock()
                    .with_context(|| format!("locking {}", path.display()))?;
                progress.done();
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", path.display()));
            }
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("cache");
        (folder, Cache { root })
    }

    #[test]
    fn an_installation_that_fails_leaves_nothing_that_looks_ready() {
        let (_folder, cache) = cache();
        let failed = cache.ensure("tool-1", |partial| {
            fs::write(partial.join("half"), "")?;
            bail!("no network")
        });
        assert_eq!(failed.unwrap_err().to_string(), "no network");
        assert!(!cache.folder("tool-1").exists());
        assert!(!cache.root.join(".partial-tool-1").exists());
    }

    #[test]
    fn what_a_killed_installation_left_is_not_taken_over() {
        let (_folder, cache) = cache();
        let partial = cache.root.join(".partial-tool-1");
        fs::create_dir_all(&partial).unwrap();
        fs::write(partial.join("half"), "").unwrap();
        let folder = cache
            .ensure("tool-1", |partial| {
                Ok(fs::write(partial.join("whole"), "")?)
            })
            .unwrap();
        assert!(folder.join("whole").exists());
        assert!(!folder.join("half").exists());
    }

    #[test]
    fn runs_at_the_same_time_install_once() {
        let (_folder, cache) = cache();
        let installations = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    cache.ensure("tool-1", |_| {
                        installations.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    })
                });
            }
        });
        assert_eq!(installations.into_inner(), 1);
        assert!(cache.folder("tool-1").exists());
    }
}
