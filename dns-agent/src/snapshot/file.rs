//! A snapshot's files: whole or not at all, and only as we wrote them.
//!
//! A file is `XMSNAP`, two bytes of version, four of checksum (CRC-32) over what follows, and a
//! `crossmesh.snapshot.v1.Cluster`; numbers are big-endian.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{Restored, decode};

const MAGIC: &[u8; 6] = b"XMSNAP";
const VERSION: u16 = 1;
const HEADER: usize = 12;
const ENDING: &str = ".snapshot";
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
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST).read_to_end(&mut bytes))
        .map_err(|error| format!("it cannot be read: {error}"))?;
    let (cluster, restored) = decode::decode(content(&bytes)?)?;
    // Copied from elsewhere, or two names for one cluster: which is newer cannot be known.
    if path.file_name() != Some(name(&cluster).as_ref()) {
        return Err(format!(
            "it is of cluster \"{cluster}\", which its name does not say"
        ));
    }
    Ok((cluster, restored))
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

/// Replaces a cluster's snapshot: whoever looks, and whenever the power goes, there is the old one or the new one. For the
/// agent's user alone: it says what runs in the cluster.
pub(super) fn write(directory: &Path, cluster: &str, content: &[u8]) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    // Another agent may be writing too, while one takes the other's place; in containers both are process 1.
    let random = getrandom::u64().map_err(io::Error::other)?;
    let new = directory.join(format!("{}.{random:016x}.new", name(cluster)));
    let written = write_new(&new, content)
        .and_then(|()| fs::rename(&new, directory.join(name(cluster))))
        .and_then(|()| File::open(directory)?.sync_all());
    if written.is_err() {
        // What is left of it takes up room, which may be just what is missing.
        let _ = fs::remove_file(&new);
    }
    written
}

fn write_new(new: &Path, content: &[u8]) -> io::Result<()> {
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
    file.sync_all()
}

/// Removes a cluster's snapshot, if there is one.
pub(super) fn remove(directory: &Path, cluster: &str) -> io::Result<()> {
    match fs::remove_file(directory.join(name(cluster))) {
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
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::snapshot::tests::sample;

    fn written() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("snapshot");
        let content = sample();
        write(&directory, "Cluster/1", &content).unwrap();
        let path = directory.join("Cluster%2f1.snapshot");
        let bytes = fs::read(&path).unwrap();
        (folder, path, bytes)
    }

    fn problem(path: &Path, bytes: &[u8]) -> String {
        fs::write(path, bytes).unwrap();
        let mut all = read_all(path.parent().unwrap());
        assert_eq!(all.len(), 1);
        all.remove(0).1.unwrap_err()
    }

    #[test]
    fn what_is_written_is_read_and_only_its_owner_may() {
        let (_folder, path, _) = written();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let all = read_all(path.parent().unwrap());
        let (cluster, _) = all[0].1.as_ref().unwrap();
        assert_eq!((all.len(), cluster.as_str()), (1, "Cluster/1"));
        let names = fs::read_dir(path.parent().unwrap()).unwrap();
        assert_eq!(names.count(), 1, "nothing else is left");
        remove(path.parent().unwrap(), "Cluster/1").unwrap();
        remove(path.parent().unwrap(), "Cluster/1").unwrap();
        assert!(read_all(path.parent().unwrap()).is_empty());
    }

    #[test]
    fn what_we_did_not_write_so_is_refused() {
        let (_folder, path, good) = written();
        for length in 0..good.len() {
            problem(&path, &good[..length]);
        }
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            problem(&path, &bytes);
        }
        assert_eq!(
            problem(&path, b"{\"a\": \"catalog?\"}"),
            "it is no snapshot"
        );
        let mut newer = good.clone();
        newer[7] = 2;
        assert_eq!(
            problem(&path, &newer),
            "it is of version 2, and this agent reads 1"
        );
        // Whole, but not what it should be: as if written by a program with a fault.
        let mut other = good[..8].to_vec();
        other.extend(crc32fast::hash(b"\x0a\x01\xff").to_be_bytes());
        other.extend(b"\x0a\x01\xff");
        assert!(problem(&path, &other).starts_with("it cannot be understood: "));
        let copied = path.with_file_name("other.snapshot");
        fs::remove_file(&path).unwrap();
        assert_eq!(
            problem(&copied, &good),
            "it is of cluster \"Cluster/1\", which its name does not say"
        );
    }

    #[test]
    fn a_folder_that_cannot_be_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(write(&file, "cluster-1", b"").is_err());
        let all = read_all(&file);
        let problem = all[0].1.as_ref().unwrap_err();
        assert!(
            problem.starts_with("the folder cannot be read: "),
            "{problem}"
        );
        assert!(read_all(&folder.path().join("absent")).is_empty());
    }
}
