//! Files that are whole, cut, damaged, copied and abandoned.

use std::{os::unix::fs::PermissionsExt as _, time::SystemTime};

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

#[test]
fn what_was_begun_and_never_finished_is_removed_and_what_is_being_written_is_not() {
    let (_folder, path, _) = written();
    let directory = path.parent().unwrap();
    let left = |name: &str, seconds: u64| {
        let file = File::create(directory.join(name)).unwrap();
        let then = SystemTime::now() - Duration::from_secs(seconds);
        file.set_modified(then).unwrap();
    };
    left("cluster-1.snapshot.0123456789abcdef.new", 600);
    left("once-local.memory.0123456789abcdef.new", 600);
    left("cluster-2.snapshot.0123456789abcdef.new", 0);
    left("somebody-elses.new", 600);
    remove_abandoned(directory);
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let kept = [
        "Cluster%2f1.snapshot",
        "cluster-2.snapshot.0123456789abcdef.new",
        "somebody-elses.new",
    ];
    assert_eq!(names, kept);
}
