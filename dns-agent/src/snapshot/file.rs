//! A snapshot's files: whole or not at all, and only as we wrote them.
//!
//! A file is `XMSNAP`, two bytes of version, four of checksum (CRC-32) over what follows, and a message of
//! `crossmesh.snapshot.v1`: a `Cluster`, or what else an agent keeps in mind; numbers are big-endian.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Restored, decode};

const MAGIC: &[u8; 6] = b"XMSNAP";
const VERSION: u16 = 1;
const HEADER: usize = 12;
/// Of clusters.
const ENDING: &str = ".snapshot";
/// Of what else is kept in mind.
const MEMORY: &str = ".memory";
/// Behind the name of what an agent of another version wrote.
const ASIDE: &str = ".other-version";
/// Of files that are being written.
const UNFINISHED: &str = ".new";
/// Nobody writes for so long: whoever began that file has ended without having finished it.
const ABANDONED: Duration = Duration::from_secs(60);
/// Ten times what a cluster of 10,000 services and their endpoints takes, in bytes: whatever is larger is not ours.
const LARGEST: u64 = 256 << 20;

/// A file with the cluster in it, or what is wrong.
pub(super) type Read = (PathBuf, Result<(String, Restored), String>);

/// Reads every snapshot in a folder. A folder that is not there has none.
pub(super) fn read_all(directory: &Path) -> Vec<Read> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            let problem = format!("the folder cannot be read: {error}");
            return vec![(directory.to_owned(), Err(problem))];
        }
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.ends_with(ENDING))
        })
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let read = read(&path);
            (path, read)
        })
        .collect()
}

fn read(path: &Path) -> Result<(String, Restored), String> {
    let bytes = bytes(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let (cluster, restored) = decode::decode(content(&bytes)?)?;
    // Copied from elsewhere, or two names for one cluster: which is newer cannot be known.
    if path.file_name() != Some(name(&cluster).as_ref()) {
        return Err(format!(
            "it is of cluster \"{cluster}\", which its name does not say"
        ));
    }
    Ok((cluster, restored))
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Which file it is, of those that had the same name one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}

/// Why a file of something else has nothing for us.
#[derive(Debug)]
pub(super) enum Unread {
    /// The disk does not give it now: what is in it may be good.
    Failed(io::Error),
    /// An agent of another version wrote it.
    Version(String),
    /// It is damaged, or nothing of ours.
    NotUnderstood(String),
}

impl fmt::Display for Unread {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(to, "it cannot be read: {error}"),
            Self::Version(problem) | Self::NotUnderstood(problem) => to.write_str(problem),
        }
    }
}

/// The message in a file of something else; `None` when there is no such file.
pub(super) fn read_memory(
    directory: &Path,
    name: &str,
) -> Result<Option<(Vec<u8>, Identity)>, Unread> {
    let read = || -> io::Result<(Vec<u8>, Identity)> {
        let file = File::open(memory(directory, name))?;
        let identity = Identity::of(&file)?;
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes)?;
        Ok((bytes, identity))
    };
    match read() {
        Ok((bytes, identity)) => match content(&bytes) {
            Ok(content) => Ok(Some((content.to_vec(), identity))),
            Err(problem) if is_of_other_version(&bytes) => Err(Unread::Version(problem)),
            Err(problem) => Err(Unread::NotUnderstood(problem)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Unread::Failed(error)),
    }
}

fn is_of_other_version(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(MAGIC);
    let version = rest.and_then(|rest| rest.first_chunk());
    version.is_some_and(|version| u16::from_be_bytes(*version) != VERSION)
}

/// Which file of something else is there now, if any.
pub(super) fn identity(directory: &Path, name: &str) -> io::Result<Option<Identity>> {
    match File::open(memory(directory, name)).and_then(|file| Identity::of(&file)) {
        Ok(identity) => Ok(Some(identity)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives a file of something else another name, under which nobody looks for it, and says which.
pub(super) fn set_aside(directory: &Path, name: &str) -> io::Result<PathBuf> {
    let aside = directory.join(format!("{name}{MEMORY}{ASIDE}"));
    fs::rename(memory(directory, name), &aside)?;
    Ok(aside)
}

fn memory(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}{MEMORY}"))
}

/// Removes what was begun and never finished: an agent that is killed while it writes leaves it, and it takes up room.
pub(super) fn remove_abandoned(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let unfinished = entry.file_name().to_str().is_some_and(|name| {
            let began = name.strip_suffix(UNFINISHED);
            // Behind the file's own name there is a random one.
            let of = began
                .and_then(|name| name.rsplit_once('.'))
                .map(|(of, _)| of);
            of.is_some_and(|of| of.ends_with(ENDING) || of.ends_with(MEMORY))
        });
        // Another agent, whose place this one takes, may be writing.
        let modified = entry.metadata().and_then(|found| found.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        if unfinished && age.is_some_and(|age| age > ABANDONED) {
            // If that fails, the next start tries again.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn content(bytes: &[u8]) -> Result<&[u8], String> {
    let Some((header, content)) = bytes.split_at_checked(HEADER) else {
        return Err("it is cut off".to_owned());
    };
    let [m, a, g, i, c, s, v, w, checksum @ ..] = header else {
        return Err("it is cut off".to_owned());
    };
    if [*m, *a, *g, *i, *c, *s] != *MAGIC {
        return Err("it is no snapshot".to_owned());
    }
    let version = u16::from_be_bytes([*v, *w]);
    if version != VERSION {
        return Err(format!(
            "it is of version {version}, and this agent reads {VERSION}"
        ));
    }
    if checksum != crc32fast::hash(content).to_be_bytes() {
        return Err("it is cut off or damaged: the checksum differs".to_owned());
    }
    Ok(content)
}

/// Replaces a cluster's snapshot.
pub(super) fn write(directory: &Path, cluster: &str, content: &[u8]) -> io::Result<()> {
    replace(directory, &name(cluster), content).map(|_| ())
}

/// Replaces the file of something else, and says which it is now.
pub(super) fn write_memory(directory: &Path, name: &str, content: &[u8]) -> io::Result<Identity> {
    replace(directory, &format!("{name}{MEMORY}"), content)
}

/// Whoever looks, and whenever the power goes, there is the old file or the new one. For the agent's user alone: it says what
/// runs in the cluster.
fn replace(directory: &Path, name: &str, content: &[u8]) -> io::Result<Identity> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    // Another agent may be writing too, while one takes the other's place; in containers both are process 1.
    let random = getrandom::u64().map_err(io::Error::other)?;
    let new = directory.join(format!("{name}.{random:016x}{UNFINISHED}"));
    let written = write_new(&new, content).and_then(|identity| {
        fs::rename(&new, directory.join(name))?;
        File::open(directory)?.sync_all()?;
        Ok(identity)
    });
    if written.is_err() {
        // What is left of it takes up room, which may be just what is missing.
        let _ = fs::remove_file(&new);
    }
    written
}

fn write_new(new: &Path, content: &[u8]) -> io::Result<Identity> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(new)?;
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_be_bytes());
    header.extend_from_slice(&crc32fast::hash(content).to_be_bytes());
    file.write_all(&header)?;
    file.write_all(content)?;
    file.sync_all()?;
    Identity::of(&file)
}

/// Removes a cluster's snapshot, if there is one.
pub(super) fn remove(directory: &Path, cluster: &str) -> io::Result<()> {
    remove_if_there(&directory.join(name(cluster)))
}

/// Removes the file of something else, if there is one.
pub(super) fn remove_memory(directory: &Path, name: &str) -> io::Result<()> {
    remove_if_there(&memory(directory, name))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A cluster's identifier may be any text; a file's name may not.
fn name(cluster: &str) -> String {
    let mut name = String::new();
    for byte in cluster.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            other => name.push_str(&format!("%{other:02x}")),
        }
    }
    name + ENDING
}

#[cfg(test)]
mod tests;
