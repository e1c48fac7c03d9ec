//! The layout by other eyes: the system's `sha256sum`, `gzip` and `tar`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::*;

const MODULE: &[u8] = b"\0asm\x01\0\0\0 more than one block of tar, after all: ";

fn module() -> Vec<u8> {
    MODULE.repeat(40)
}

fn written() -> (TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("image");
    let digest = write(&layout, &module()).unwrap();
    (folder, layout, digest)
}

/// What a program of the system prints.
fn said(program: &str, arguments: &[&str], file: &Path) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(fs::File::open(file).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; every Linux has it"));
    assert!(output.status.success(), "{program} {arguments:?}");
    output.stdout
}

fn sha256sum(file: &Path) -> String {
    let said = String::from_utf8(said("sha256sum", &[], file)).unwrap();
    said.split(' ').next().unwrap().to_owned()
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// The blob that a descriptor means, which must be as large and have the digest that it says.
fn blob(layout: &Path, descriptor: &Value, media_type: &str) -> PathBuf {
    assert_eq!(descriptor["mediaType"], media_type);
    let digest = descriptor["digest"].as_str().unwrap();
    let digest = digest.strip_prefix("sha256:").unwrap();
    let path = layout.join("blobs/sha256").join(digest);
    assert_eq!(sha256sum(&path), digest);
    assert_eq!(path.metadata().unwrap().len(), descriptor["size"]);
    path
}

#[test]
fn the_module_is_found_as_istios_agent_looks_for_it() {
    let (_folder, layout, digest) = written();
    assert_eq!(
        read(&layout.join("oci-layout"))["imageLayoutVersion"],
        "1.0.0"
    );
    let index = read(&layout.join("index.json"));
    assert_eq!(index["schemaVersion"], 2);
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    let path = blob(&layout, &index["manifests"][0], MANIFEST);
    assert!(path.ends_with(&digest), "{digest} is the manifest's");

    let manifest = read(&path);
    assert_eq!(manifest["schemaVersion"], 2);
    assert_eq!(
        manifest["mediaType"], MANIFEST,
        "Docker's would be read otherwise"
    );
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    let layer = blob(&layout, &manifest["layers"][0], LAYER);
    let names = said("tar", &["--list", "--gzip", "--verbose"], &layer);
    let names = String::from_utf8(names).unwrap();
    assert!(names.starts_with("-rw-r--r-- 0/0"), "{names}");
    assert!(names.trim_end().ends_with(" plugin.wasm"), "{names}");
    assert_eq!(names.lines().count(), 1, "{names}");
    let extract = ["--extract", "--gzip", "--to-stdout", "plugin.wasm"];
    assert_eq!(said("tar", &extract, &layer), module());

    let config = read(&blob(&layout, &manifest["config"], CONFIG));
    let archive = layout.join("archive");
    fs::write(&archive, said("gzip", &["--decompress"], &layer)).unwrap();
    let diff = format!("sha256:{}", sha256sum(&archive));
    assert_eq!(config["rootfs"]["diff_ids"], json!([diff]));
}

#[test]
fn the_same_module_gives_the_same_image() {
    let (_one, first, digest) = written();
    let (_other, second, again) = written();
    assert_eq!(digest, again);
    let differs = Command::new("diff")
        .arg("-r")
        .args([&first, &second])
        .status();
    assert!(differs.unwrap().success());
    // Pinned, so that a new version of the compressor does not change published digests unseen.
    let index = read(&first.join("index.json"));
    let manifest = read(&blob(&first, &index["manifests"][0], MANIFEST));
    let layer = sha256sum(&blob(&first, &manifest["layers"][0], LAYER));
    assert_eq!(
        layer,
        "db0dd21ca86d547fdc12c08a1358d872f919cf72455331e30a2f72fa670fc2e9"
    );
}

#[test]
fn only_an_earlier_image_is_replaced() {
    let (_folder, layout, digest) = written();
    let stale = layout.join("blobs/sha256/stale");
    fs::write(&stale, "").unwrap();
    assert_eq!(write(&layout, &module()).unwrap(), digest);
    assert!(!stale.exists());

    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("mine"), "").unwrap();
    let error = write(other.path(), MODULE).unwrap_err().to_string();
    assert!(error.contains("no image layout"), "{error}");
    assert!(other.path().join("mine").exists());
}
