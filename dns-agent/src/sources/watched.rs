//! A file whose content is followed by looking at it again and again.
//!
//! Looking rather than being told: it works on every file system, sees through the symbolic links that Kubernetes swaps
//! in a mounted ConfigMap, and cannot miss an event. A look costs one `stat`.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// A content, or why it cannot be read.
type Content = Result<String, String>;

/// The file, and what was last seen of it.
#[derive(Debug, Default)]
pub struct Watched {
    file: PathBuf,
    stamp: Option<Stamp>,
    /// Accepted.
    content: Option<Content>,
    /// Seen once; accepted when it is seen a second time.
    next: Option<Content>,
}

/// What changes when a file changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: SystemTime,
    /// File systems count time coarsely: what was modified just before it was read may be modified again within the
    /// same tick, and then looks the same.
    settled: bool,
}

const COARSE: Duration = Duration::from_secs(2);

impl Watched {
    /// Follows `file`.
    pub fn new(file: PathBuf) -> Self {
        Self {
            file,
            ..Self::default()
        }
    }

    /// The content at the start, taken as it is.
    pub fn first(&mut self) -> Content {
        self.stamp = self.stamp();
        let content = self.read();
        self.content = Some(content.clone());
        content
    }

    /// The content, if it changed and has been the same in two looks: a file that is being written in place is not
    /// taken half-written. Reading happens on a thread where it may block.
    pub async fn look(&mut self) -> Option<Content> {
        let mut watched = std::mem::take(self);
        let looked = tokio::task::spawn_blocking(move || {
            let change = watched.look_now();
            (watched, change)
        });
        // A look does not panic, and it is only cancelled when the process ends.
        let (watched, change) = looked.await.ok()?;
        *self = watched;
        change
    }

    /// The same on this thread.
    pub fn look_now(&mut self) -> Option<Content> {
        let stamp = self.stamp();
        let unchanged = stamp == self.stamp && stamp.as_ref().is_some_and(|stamp| stamp.settled);
        if unchanged && self.next.is_none() {
            return None;
        }
        self.stamp = stamp;
        let content = self.read();
        if self.content.as_ref() == Some(&content) {
            self.next = None;
            return None;
        }
        if self.next.as_ref() == Some(&content) {
            self.next = None;
            self.content = Some(content.clone());
            return Some(content);
        }
        self.next = Some(content);
        None
    }

    fn read(&self) -> Content {
        fs::read(&self.file)
            .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
            .map_err(|error| error.to_string())
    }

    fn stamp(&self) -> Option<Stamp> {
        let metadata = fs::metadata(&self.file).ok()?;
        let modified = metadata.modified().ok()?;
        let settled = modified.elapsed().is_ok_and(|age| age > COARSE);
        Some(Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified,
            settled,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched() -> (tempfile::TempDir, PathBuf, Watched) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "one").unwrap();
        let mut watched = Watched::new(file.clone());
        assert_eq!(watched.first(), Ok("one".to_owned()));
        (folder, file, watched)
    }

    #[test]
    fn a_change_is_told_once_and_only_when_it_is_seen_twice() {
        let (_folder, file, mut watched) = watched();
        assert_eq!(watched.look_now(), None);
        fs::write(&file, "tw").unwrap();
        assert_eq!(watched.look_now(), None);
        fs::write(&file, "two").unwrap();
        assert_eq!(watched.look_now(), None, "it was still being written");
        assert_eq!(watched.look_now(), Some(Ok("two".to_owned())));
        assert_eq!(watched.look_now(), None);
    }

    #[test]
    fn a_change_of_the_same_length_within_one_tick_is_seen() {
        let (_folder, file, mut watched) = watched();
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, "two").unwrap();
        let opened = fs::File::options().write(true).open(&file).unwrap();
        opened.set_modified(modified).unwrap();
        watched.look_now();
        assert_eq!(watched.look_now(), Some(Ok("two".to_owned())));
    }

    #[test]
    fn a_file_that_goes_and_comes_back_is_told_both_times() {
        let (_folder, file, mut watched) = watched();
        fs::remove_file(&file).unwrap();
        watched.look_now();
        assert!(matches!(watched.look_now(), Some(Err(_))));
        fs::write(&file, "one").unwrap();
        watched.look_now();
        assert_eq!(watched.look_now(), Some(Ok("one".to_owned())));
    }

    #[test]
    fn a_swapped_symbolic_link_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in ["1", "2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("file"), version).unwrap();
        }
        std::os::unix::fs::symlink("1", at("..data")).unwrap();
        let mut watched = Watched::new(at("..data").join("file"));
        assert_eq!(watched.first(), Ok("1".to_owned()));
        std::os::unix::fs::symlink("2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        watched.look_now();
        assert_eq!(watched.look_now(), Some(Ok("2".to_owned())));
    }
}
