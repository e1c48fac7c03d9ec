//! A file whose content is followed by looking at it again and again.
//!
//! Looking rather than being told: it works on every file system, sees through the symbolic links that Kubernetes swaps
//! in a mounted ConfigMap, and cannot miss an event. A look costs one `stat`.
//!
//! Every file has a thread of its own that looks: a file system that does not answer, or a pipe that nobody writes to,
//! holds up neither other files nor the end of the process.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// A content, or why it cannot be read.
type Content = Result<String, String>;

/// The file, and what was last seen of it.
#[derive(Debug, Default)]
pub struct Watched {
    file: PathBuf,
    eye: Option<Eye>,
    stamp: Option<Stamp>,
    /// Accepted.
    content: Option<Content>,
    /// Seen once; accepted when it is seen a second time.
    next: Option<Content>,
}

/// The thread that looks at a file.
#[derive(Debug)]
struct Eye {
    /// Takes what was last seen.
    look: SyncSender<Option<Stamp>>,
    seen: Receiver<Seen>,
    /// When the look began that has not ended yet.
    looking_since: Option<Instant>,
}

/// What a look shows; no content when it cannot have changed.
#[derive(Debug)]
struct Seen {
    stamp: Option<Stamp>,
    content: Option<Content>,
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
/// How long a look is waited for; what comes later is taken up by a later look. Only once is this time lost, as no look
/// begins before the last one has ended.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a file may take to be read, before it counts as unreadable; so long the first look is waited for.
const TOO_LONG: Duration = Duration::from_secs(5);

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
        let seen = self.see(TOO_LONG);
        let content = match seen {
            Some(Seen { stamp, content }) => {
                self.stamp = stamp;
                content.unwrap_or_else(too_long)
            }
            None => too_long(),
        };
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

    /// The same on this thread, which is held up for half a second at most.
    pub fn look_now(&mut self) -> Option<Content> {
        let Some(seen) = self.see(PATIENCE) else {
            let since = self.eye.as_ref().and_then(|eye| eye.looking_since);
            return since
                .filter(|since| since.elapsed() > TOO_LONG)
                .and_then(|_| self.accept(too_long()));
        };
        self.stamp = seen.stamp;
        let content = seen.content?;
        if self.content.as_ref() == Some(&content) {
            self.next = None;
            return None;
        }
        if self.next.as_ref() == Some(&content) {
            return self.accept(content);
        }
        self.next = Some(content);
        None
    }

    /// Takes a content over unless it is the one that is known.
    fn accept(&mut self, content: Content) -> Option<Content> {
        self.next = None;
        let changed = self.content.as_ref() != Some(&content);
        changed.then(|| {
            self.content = Some(content.clone());
            content
        })
    }

    /// Looks, or goes on waiting for a look that has not ended.
    fn see(&mut self, patience: Duration) -> Option<Seen> {
        let known = self.stamp.clone().filter(|_| self.next.is_none());
        let file = &self.file;
        let eye = self.eye.get_or_insert_with(|| Eye::open(file.clone()));
        let patience = match eye.looking_since {
            // Not again the whole time for a file that has used it up.
            Some(_) => Duration::ZERO,
            None => {
                eye.look.send(known).ok()?;
                eye.looking_since = Some(Instant::now());
                patience
            }
        };
        match eye.seen.recv_timeout(patience) {
            Ok(seen) => {
                eye.looking_since = None;
                Some(seen)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // The thread has ended, which it does not by itself: the next look begins another.
                self.eye = None;
                None
            }
        }
    }
}

impl Eye {
    /// Begins the thread; it ends when this is dropped and its last look has ended.
    fn open(file: PathBuf) -> Self {
        let (look, looks) = sync_channel::<Option<Stamp>>(1);
        let (tell, seen) = sync_channel(1);
        // Where no thread can be had, both ends close and the next look tries again.
        let _ = thread::Builder::new().name("file".into()).spawn(move || {
            for known in looks {
                if tell.send(Seen::of(&file, known.as_ref())).is_err() {
                    return;
                }
            }
        });
        Self {
            look,
            seen,
            looking_since: None,
        }
    }
}

impl Seen {
    fn of(file: &Path, known: Option<&Stamp>) -> Self {
        let stamp = Stamp::of(file);
        let unchanged =
            stamp.as_ref() == known && stamp.as_ref().is_some_and(|stamp| stamp.settled);
        let content = (!unchanged).then(|| {
            fs::read(file)
                .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
                .map_err(|error| error.to_string())
        });
        Self { stamp, content }
    }
}

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        let modified = metadata.modified().ok()?;
        let settled = modified.elapsed().is_ok_and(|age| age > COARSE);
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified,
            settled,
        })
    }
}

fn too_long() -> Content {
    let seconds = TOO_LONG.as_secs();
    Err(format!("reading has taken more than {seconds} s"))
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

    /// A pipe, which nobody writes to: opening it to read does not come back.
    fn pipe(at: &Path) {
        let made = std::process::Command::new("mkfifo").arg(at).status();
        assert!(made.unwrap().success());
    }

    #[test]
    fn a_file_that_does_not_come_back_holds_up_no_look_for_long_and_counts_once_it_does() {
        let (folder, file, mut watched) = watched();
        fs::remove_file(&file).unwrap();
        pipe(&file);
        assert_eq!(watched.look_now(), None, "waited for");
        let eye = watched.eye.as_mut().unwrap();
        let since = eye.looking_since.unwrap();
        assert_eq!(watched.look_now(), None, "still waited for");
        let eye = watched.eye.as_mut().unwrap();
        assert_eq!(eye.looking_since, Some(since), "no second look began");
        // As if it had been so long.
        eye.looking_since = since.checked_sub(2 * TOO_LONG);
        assert_eq!(watched.look_now(), Some(too_long()));
        assert_eq!(watched.look_now(), None, "it is told once");

        // Somebody writes at last, and a plain file takes the pipe's place.
        fs::write(folder.path().join("new"), "two").unwrap();
        let mut writer = fs::File::options().write(true).open(&file).unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        io::Write::write_all(&mut writer, b"from the pipe").unwrap();
        drop(writer);
        let told = std::iter::repeat_with(|| watched.look_now())
            .flatten()
            .next();
        assert_eq!(told, Some(Ok("two".to_owned())));
    }
}
